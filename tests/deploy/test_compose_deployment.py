"""The compose deployment, started: what runs in one process and what runs here come to the same."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pfdo.system import SERVICES
from streaming.settings import PREFIX
from tests.support.containers import free_port, require_docker

ROOT = Path(__file__).parents[2]
CALL_SECONDS_MAX = 240
CABINET_SECONDS_MAX = 60
LOOK_SECONDS = 0.2
PARTITIONS = 12
AUTUMN = ("--seed", "7", "--children", "12", "--days", "12")
Inputs = list[tuple[str, str, str]]


def _call(*command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _environment(**more: str) -> dict[str, str]:
    """Return the environment of this process without settings of whoever runs the tests."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "COMPOSE_"))}
    return {**inherited, "PFDO_PARTITIONS": str(PARTITIONS), **more}


@dataclass(frozen=True)
class Deployment:
    """The deployment under a name and on ports of its own."""

    project: str
    port: int
    kafka_port: int

    @property
    def environment(self) -> dict[str, str]:
        return _environment(PFDO_PORT=str(self.port), KAFKA_PORT=str(self.kafka_port))

    def command(self, *arguments: str) -> list[str]:
        file = str(ROOT / "deploy" / "compose.yaml")
        return ["docker", "compose", "-f", file, "-p", self.project, *arguments]

    def compose(self, *arguments: str) -> str:
        return _call(*self.command(*arguments), environment=self.environment)

    def tools(self, *arguments: str, files: Path | None = None) -> list[str]:
        """Return the command that runs `pfdo` inside; `files` is seen as /files."""
        mounts = () if files is None else ("-v", f"{files}:/files:ro")
        return self.command("run", "--rm", "-T", *mounts, "tools", *arguments)

    def pfdo(self, *arguments: str, files: Path | None = None) -> str:
        return _call(*self.tools(*arguments, files=files), environment=self.environment)

    def inspected(self) -> dict[str, dict[str, Any]]:
        """Return all containers by the name of their service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(_call("docker", "inspect", *ids, environment=self.environment))
        return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in found}

    def leftovers(self) -> list[str]:
        """Return containers, volumes and networks of the deployment."""
        label = f"label=com.docker.compose.project={self.project}"
        return [
            line
            for command in (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
            for line in _call(
                "docker", *command, "--quiet", "--filter", label, environment=self.environment
            ).split()
        ]


@contextmanager
def deployed() -> Iterator[Deployment]:
    """Start the deployment without its calendar; afterwards nothing of it may be left."""
    deployment = Deployment(f"pfdo-test-{os.getpid()}", free_port(), free_port())
    try:
        deployment.compose("up", "--build", "--wait", "-d")
        yield deployment
    finally:
        profiles = ("--profile", "calendar", "--profile", "tools")
        deployment.compose(*profiles, "down", "--volumes", "--remove-orphans", "--timeout", "10")
    assert deployment.leftovers() == []


@pytest.mark.containers
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_deployment_comes_to_what_one_process_comes_to(tmp_path: Path) -> None:
    require_docker()
    tmp_path.chmod(0o755)
    whole, halves = _play_files(tmp_path)
    expected_export, expected_inputs = _embedded(whole, tmp_path / "data")

    with deployed() as deployment:
        _check_containers(deployment)
        _check_pages(deployment)
        played = json.loads(
            deployment.pfdo("play", f"/files/{halves[0]}", "--json", files=tmp_path)
        )
        assert played["settled"]
        _play_while_services_die(deployment, halves[1], tmp_path)

        assert _inputs(deployment.pfdo("inputs", "--json")) == expected_inputs
        # Nobody waits for the cabinet but who looks at it.
        exported = _until(
            lambda: json.loads(deployment.pfdo("export")), lambda seen: seen == expected_export
        )
        assert exported == expected_export
        restarted = {name for name, c in deployment.inspected().items() if c["RestartCount"]}
        # Making topics may come too early for a broker; who crashed came back by itself.
        assert restarted - {"topics"} == {"certificates"}


def _play_files(folder: Path) -> tuple[Path, tuple[str, str]]:
    """Write a small autumn, whole and in two halves that meet at a barrier."""
    made = _call(
        sys.executable, "examples/generate.py", *AUTUMN, environment=_environment()
    ).splitlines()
    barrier = made.index("", len(made) // 2)
    contents = {"whole": made, "first": made[:barrier], "second": made[barrier:]}
    for name, lines in contents.items():
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{name}.jsonl").chmod(0o644)
    return folder / "whole.jsonl", ("first.jsonl", "second.jsonl")


def _embedded(file: Path, data: Path) -> tuple[Any, Inputs]:
    """Return what comes of a file in one process without Kafka and Redis."""

    def pfdo(*arguments: str) -> str:
        command = (sys.executable, "-m", "pfdo", "--data", str(data), *arguments)
        return _call(*command, environment=_environment())

    assert json.loads(pfdo("play", str(file), "--json"))["settled"]
    exported, inputs = json.loads(pfdo("export")), _inputs(pfdo("inputs", "--json"))
    assert exported["certificates"]
    assert {decision for _, decision, _ in inputs} > {"applied", "refused"}
    return exported, inputs


def _inputs(lines: str) -> Inputs:
    records = (json.loads(line) for line in lines.splitlines())
    return sorted((r["id"], str(r["decision"]), str(r["reason"])) for r in records)


def _check_containers(deployment: Deployment) -> None:
    containers = deployment.inspected()
    topics = containers.pop("topics")

    assert topics["State"]["ExitCode"] == 0
    assert set(containers) > {*SERVICES, "cabinet", "kafka"}
    assert {c["State"]["Health"]["Status"] for c in containers.values()} == {"healthy"}
    for name, container in containers.items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["Privileged"], name
        assert container["Config"]["User"] not in {"", "0", "root"}, name
    for name in (*SERVICES, "cabinet"):
        seen = deployment.compose("exec", "-T", name, "python", "-c", LOOK_AROUND)
        assert json.loads(seen) == {"user": 10001, "group": 10001, "written": False}, name


LOOK_AROUND = """
import json, os
try:
    open("/opt/pfdo/written", "w")
    written = True
except OSError:
    written = False
print(json.dumps({"user": os.getuid(), "group": os.getgid(), "written": written}))
"""


def _check_pages(deployment: Deployment) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{deployment.port}{path}", timeout=5) as page:
            assert page.status == 200


def _play_while_services_die(deployment: Deployment, file: str, files: Path) -> None:
    """Play a file; as soon as something came of it, certificates crashes and billing is killed."""
    containers = deployment.inspected()
    shown_before = _shown(deployment)
    playing = subprocess.Popen(
        deployment.tools("play", f"/files/{file}", "--json", files=files),
        cwd=ROOT,
        env=deployment.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        shown = _until(lambda: _shown(deployment), lambda seen: seen != shown_before)
        assert shown != shown_before
        _crash(containers["certificates"]["Id"], deployment.environment)
        # Docker does not bring back whom it was told to kill.
        billing = containers["billing"]["Id"]
        _call("docker", "kill", billing, environment=deployment.environment)
        assert playing.poll() is None, "it ended before billing was killed: play a longer file"
        _call("docker", "start", billing, environment=deployment.environment)
        out, errors = playing.communicate(timeout=CALL_SECONDS_MAX)
    finally:
        playing.kill()
        playing.wait()
    assert playing.returncode == 0, f"{out}\n{errors}"
    assert json.loads(out)["settled"]


def _shown(deployment: Deployment) -> bytes:
    """Return what the cabinet shows to machines."""
    address = f"http://127.0.0.1:{deployment.port}/api/v1/export"
    with urllib.request.urlopen(address, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def _crash(container: str, environment: dict[str, str]) -> None:
    """Kill every process in a container but its init, as a defect would."""
    kill_all = ("python", "-c", "import os; os.kill(-1, 9)")
    subprocess.run(
        ("docker", "exec", container, *kill_all),
        env=environment,
        capture_output=True,
        timeout=CALL_SECONDS_MAX,
        check=False,
    )


def _until(look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Look until it holds; return what was seen last."""
    give_up = time.monotonic() + CABINET_SECONDS_MAX
    seen = look()
    while not holds(seen) and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
        seen = look()
    return seen
