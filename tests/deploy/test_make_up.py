"""What `make up` and `deploy/compose.sh` tell docker compose, by one that only takes note."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = """#!/bin/sh
echo "$*" >>"$CALLS"
"""
COMPOSE_FILES = re.compile(r"-f deploy/([\w-]+)\.yaml")


@dataclass(frozen=True)
class Installation:
    """A copy of what an operator has, with a docker that only notes what it was told."""

    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "OVERLAYS"))}
        paths = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "CALLS": str(self.folder / "calls"),
        }
        return subprocess.run(
            command,
            cwd=self.folder,
            env=inherited | paths,
            capture_output=True,
            text=True,
            check=False,
        )

    def told(self, *command: str) -> list[str]:
        """Run a command to its good end; return what it had docker compose do."""
        (self.folder / "calls").unlink(missing_ok=True)
        done = self.run(*command)
        assert done.returncode == 0, done.stderr
        calls = (self.folder / "calls").read_text().splitlines()
        return [call for call in calls if call.startswith("compose -f")]

    def files(self, *command: str) -> list[str]:
        """Return the files that a command gave to compose, each time the same."""
        (files,) = {tuple(COMPOSE_FILES.findall(call)) for call in self.told(*command)}
        return list(files)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    private = shutil.ignore_patterns("secrets", ".env", ".overlays")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=private)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    return Installation(tmp_path)


def test_what_was_chosen_last_is_what_every_command_means(installation: Installation) -> None:
    chosen = ["compose", "observability", "tls", "observability-tls"]

    assert installation.files("deploy/compose.sh", "ps") == ["compose"]
    assert installation.files("make", "up") == ["compose"]
    assert installation.files("make", "up", "OVERLAYS=observability tls") == chosen
    assert installation.files("make", "up") == chosen
    assert installation.files("deploy/compose.sh", "run", "--rm", "tools", "doctor") == chosen
    assert (installation.folder / "deploy" / "secrets" / "tls-redis.pem").exists()
    # All of it goes, whatever was added at any time.
    assert {"compose", "observability", "three-brokers"} <= set(installation.files("make", "down"))
    # An installation that is restored comes up as it was.
    assert installation.files("make", "up") == chosen
    assert installation.files("make", "up", "OVERLAYS=") == ["compose"]
    assert installation.files("deploy/compose.sh", "ps") == ["compose"]


def test_a_word_reaches_compose_as_it_was_written(installation: Installation) -> None:
    (call,) = installation.told("deploy/compose.sh", "logs", "--since", "15 m")

    assert call == "compose -f deploy/compose.yaml logs --since 15 m"


def test_an_overlay_of_ones_own_needs_none_for_tls(installation: Installation) -> None:
    (installation.folder / "deploy" / "ours.yaml").write_text("services: {}\n")

    assert installation.files("make", "up", "OVERLAYS=tls ours") == ["compose", "tls", "ours"]


def test_a_deployment_of_before_is_not_made_into_a_plain_one(installation: Installation) -> None:
    docker = installation.folder / "bin" / "docker"
    docker.write_text(DOCKER + '[ "$1" != ps ] || echo /x/deploy/compose.yaml,/x/deploy/tls.yaml\n')

    asked = installation.run("make", "up")

    assert asked.returncode != 0
    assert "Name its overlays this once" in asked.stderr
    assert "deploy/tls.yaml" in asked.stdout
    assert installation.files("make", "up", "OVERLAYS=tls") == ["compose", "tls"]
    assert installation.files("make", "up") == ["compose", "tls"]


def test_an_overlay_that_is_not_there_is_not_chosen(installation: Installation) -> None:
    installation.told("make", "up", "OVERLAYS=three-brokers")

    refused = installation.run("make", "up", "OVERLAYS=thre-brokers")

    assert refused.returncode != 0
    assert "there is no deploy/thre-brokers.yaml" in refused.stderr
    assert installation.files("make", "up") == ["compose", "three-brokers"]


def anew(calls: list[str]) -> list[bool]:
    """Return of each `up` whether it makes containers anew."""
    return ["--force-recreate" in call for call in calls if " up " in call]


def test_new_certificates_reach_who_runs_with_old_ones(installation: Installation) -> None:
    secrets = installation.folder / "deploy" / "secrets"
    installation.told("make", "up", "OVERLAYS=tls")
    assert anew(installation.told("make", "up")) == [False]

    # Only its end is near: the same authority signs another one.
    certificate = secrets / "tls-redis.pem"
    soon_over(certificate, secrets)
    before = certificate.read_text()
    renewed = installation.run("make", "secrets")
    assert "A new certificate, tls-redis.pem, until " in renewed.stdout
    assert "tls-kafka.pem" not in renewed.stdout
    assert certificate.read_text() != before

    assert anew(installation.told("make", "up")) == [True]
    assert anew(installation.told("make", "up")) == [False]


@pytest.mark.parametrize(
    ("file", "is_held"),
    [
        ("sources.yaml", True),
        ("region.yaml", True),
        ("redis.conf", True),
        ("secrets/authorities.pem", True),
        ("secrets/kafka-billing", True),
        ("README.md", False),
    ],
)
def test_a_file_that_containers_hold_reaches_them(
    installation: Installation, file: str, *, is_held: bool
) -> None:
    installation.told("make", "up")
    changed = installation.folder / "deploy" / file
    changed.chmod(0o644)
    changed.write_text(changed.read_text() + "\n# changed\n")

    assert anew(installation.told("make", "up")) == [is_held]
    assert anew(installation.told("make", "up")) == [False]


def test_what_did_not_come_up_is_made_anew_again(installation: Installation) -> None:
    docker = installation.folder / "bin" / "docker"
    docker.write_text(DOCKER + 'case "$*" in *" up "*) exit 1 ;; esac\n')
    assert installation.run("make", "up").returncode != 0
    docker.write_text(DOCKER)

    assert anew(installation.told("make", "up")) == [True]


def test_what_only_watches_is_started_again_for_its_own_files(installation: Installation) -> None:
    installation.told("make", "up", "OVERLAYS=observability")
    alerts = installation.folder / "deploy" / "observability" / "alerts.yml"
    alerts.write_text(alerts.read_text() + "\n")

    calls = installation.told("make", "up")

    assert anew(calls) == [False]
    assert any(call.endswith(" restart prometheus grafana") for call in calls)
    assert not any(" restart " in call for call in installation.told("make", "up"))


def test_certificates_of_another_authority_are_never_replaced(installation: Installation) -> None:
    secrets = installation.folder / "deploy" / "secrets"
    installation.told("make", "up", "OVERLAYS=tls")
    soon_over(secrets / "tls-redis.pem", secrets)
    (secrets / ".tls-ca.key").unlink()
    before = (secrets / "tls-redis.pem").read_text()

    warned = installation.run("make", "up")

    assert warned.returncode == 0
    assert "tls-redis.pem ends on " in warned.stderr
    assert (secrets / "tls-redis.pem").read_text() == before
    (secrets / "tls-redis.pem").write_text("")
    assert installation.run("make", "up").returncode != 0


def soon_over(certificate: Path, secrets: Path) -> None:
    """Replace a certificate by one that ends in a day."""
    key = secrets / "soon.key"
    key.write_text(certificate.read_text().partition("-----BEGIN CERTIFICATE-----")[0])
    made = subprocess.run(
        f"openssl req -new -key {key} -subj /CN=redis | openssl x509 -req -days 1"
        f" -CA {secrets}/tls-ca.pem -CAkey {secrets}/.tls-ca.key -CAcreateserial",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    certificate.unlink()
    certificate.write_text(key.read_text() + made.stdout)


PAGES = sorted(
    file
    for folder in ("deploy", "docs/operations", "docs/runbooks", "docs/integrators")
    for file in (ROOT / folder).glob("*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_names_the_files_of_a_deployment_by_hand(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert not re.findall(r"docker compose (?!is\b|with\b).*|COMPOSE_FILE", text)
