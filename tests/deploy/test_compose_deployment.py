"""The compose deployment, started: what runs in one process and what runs here come to the same."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import streaming.kafka
from contracts.access import Operation, Resource, principals, rights
from contracts.sources import load_sources
from contracts.topics import all_topics
from pfdo.system import SERVICES
from streaming.bus import Outgoing
from streaming.errors import BusUnavailableError
from streaming.kafka import KafkaBus
from streaming.kafka_security import PLAIN_TEXT, KafkaSecurity
from streaming.settings import PREFIX
from tests.deploy.kafka_rights import rights_of
from tests.support.containers import free_port, require_docker

ROOT = Path(__file__).parents[2]
CALL_SECONDS_MAX = 240
CABINET_SECONDS_MAX = 60
LOOK_SECONDS = 0.2
STRANGER_SECONDS_MAX = 5
LETTERS = {Operation.READ: "r", Operation.WRITE: "w"}
PARTITIONS = 12
GUARDIAN, EMAIL = "guardian-88888", "nobody@example.invalid"
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

    @property
    def bootstrap(self) -> str:
        return f"localhost:{self.kafka_port}"

    def secret(self, name: str) -> str:
        return (ROOT / "deploy" / "secrets" / name).read_text()

    def security(self, user: str) -> KafkaSecurity:
        password = self.secret(f"kafka-{user}")
        return KafkaSecurity(protocol="SASL_PLAINTEXT", username=user, password=password)

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

    def down(self) -> None:
        profiles = ("--profile", "calendar", "--profile", "tools")
        self.compose(*profiles, "down", "--volumes", "--remove-orphans", "--timeout", "10")

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
        _call("make", "secrets", environment=deployment.environment)
        deployment.compose("up", "--build", "--wait", "-d")
        yield deployment
    finally:
        deployment.down()
    assert deployment.leftovers() == []


pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """One deployment for all tests here, brought up from nothing."""
    require_docker()
    with deployed() as deployment:
        yield deployment


def test_all_is_healthy_and_without_rights(deployment: Deployment) -> None:
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
    for path in ("/health/live", "/health/ready", "/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{deployment.port}{path}", timeout=5) as page:
            assert page.status == 200


async def test_kafka_lets_each_user_do_what_the_contracts_say_and_nothing_else(
    deployment: Deployment,
) -> None:
    sources = load_sources(ROOT / "deploy" / "sources.yaml")
    topics = [topic.name for topic in all_topics(sources)]

    for user in principals(sources):
        of_topics, of_cluster = await rights_of(
            deployment.bootstrap, deployment.security(user), topics
        )

        expected: dict[str, str] = dict.fromkeys(topics, "")
        for right in rights(sources):
            if right.principal == user and right.resource is Resource.TOPIC:
                expected[right.name] += LETTERS.get(right.operation, "")
        assert of_topics == expected, user
        assert of_cluster == 0, user


async def test_a_source_writes_its_topic_and_reads_the_journals_alone(
    deployment: Deployment,
) -> None:
    bus = KafkaBus(deployment.bootstrap, PARTITIONS, security=deployment.security("attendance"))
    await bus.start()
    try:
        event = b"not even an event: its decider says so"
        (appended,) = await bus.publish([Outgoing("attendance.events.v1", 0, b"k", event)])
        assert appended.topic == "attendance.events.v1"
        assert await bus.ends(["billing.events.v1"])
        for topic in ("navigator.events.v1", "billing.dead-letters.v1"):
            with pytest.raises(BusUnavailableError, match="attendance may not see them"):
                await bus.publish([Outgoing(topic, 0, b"k", event)])
        # It may read this one, so it is known to be there.
        with pytest.raises(BusUnavailableError, match="TopicAuthorizationFailed"):
            await bus.publish([Outgoing("billing.events.v1", 0, b"k", event)])
    finally:
        await bus.stop()


@pytest.mark.parametrize(
    "security",
    [
        pytest.param(PLAIN_TEXT, id="without a name"),
        pytest.param(
            KafkaSecurity(protocol="SASL_PLAINTEXT", username="billing", password="billing"),
            id="by a guessed password",
        ),
        pytest.param(
            KafkaSecurity(protocol="SASL_PLAINTEXT", username="admin", password=""),
            id="as administrator",
        ),
    ],
)
async def test_a_stranger_gets_nothing_from_kafka(
    deployment: Deployment, security: KafkaSecurity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming.kafka, "OPEN_SECONDS_MAX", STRANGER_SECONDS_MAX)
    if security.password == "":
        security = replace(security, password=deployment.secret("kafka-admin"))
    bus = KafkaBus(deployment.bootstrap, PARTITIONS, security=security)

    with pytest.raises(BusUnavailableError):
        await bus.start()


@pytest.mark.parametrize(
    ("server", "user", "command", "answer"),
    [
        pytest.param("billing", None, "PING", "NOAUTH", id="a stranger"),
        pytest.param("billing", "billing", "PING", "PONG", id="a service"),
        pytest.param("billing", "billing", "FLUSHALL", "NOPERM", id="a service empties nothing"),
        pytest.param(
            "billing", "billing", "CONFIG SET appendfsync no", "NOPERM", id="sets nothing"
        ),
        pytest.param("billing", "billing", "GET other", "NOPERM", id="a service, another's key"),
        pytest.param("billing", "enrollment", "PING", "WRONGPASS", id="another service"),
        pytest.param(
            "notifications",
            "senders",
            "GET pfdo:{notifications:0}:epoch",
            "NOPERM",
            id="who shares a Redis, another's key",
        ),
    ],
)
def test_redis_knows_its_service_and_nobody_else(
    deployment: Deployment, server: str, user: str | None, command: str, answer: str
) -> None:
    password = "" if user is None else deployment.secret(f"redis-{user}")
    login = "" if user is None else f"--user {user}"

    said = deployment.compose(
        "exec",
        "-T",
        "-e",
        f"REDISCLI_AUTH={password}",
        f"{server}-redis",
        "sh",
        "-c",
        f"redis-cli --no-auth-warning {login} {command} 2>&1",
    )

    assert answer in said


def test_senders_learn_from_the_vault_where_a_person_is(deployment: Deployment) -> None:
    person = {"family_name": "Заглушкина", "given_name": "Проверка", "email": EMAIL}
    token = {"authorization": f"Bearer {deployment.secret('vault-token')}"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{deployment.port}/api/v1/vault/persons/{GUARDIAN}",
        json.dumps(person).encode(),
        {"content-type": "application/json", **token},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 204

    assert _asked_by_senders(deployment) == f"{EMAIL}\n"
    look = "grep -arl {} /data | wc -l"
    for text, files in ((f"person:{GUARDIAN}", "1\n"), (EMAIL, "0\n")):
        seen = deployment.compose("exec", "-T", "vault-redis", "sh", "-c", look.format(text))
        assert seen == files, text


def _asked_by_senders(deployment: Deployment) -> str:
    """Return the address of GUARDIAN as the senders' container, by its own settings, finds it."""
    return deployment.compose("exec", "-T", "senders", "python", "-c", ASK_THE_VAULT)


def test_the_deployment_comes_to_what_one_process_comes_to(
    deployment: Deployment, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    whole, halves = _play_files(tmp_path)
    expected_export, expected_inputs = _embedded(whole, tmp_path / "data")

    played = json.loads(deployment.pfdo("play", f"/files/{halves[0]}", "--json", files=tmp_path))
    assert played["settled"]
    _play_while_services_die(deployment, halves[1], tmp_path)

    # One record more was published by a source above.
    expected = sorted([*expected_inputs, ("None", "dead-lettered", "not_json")])
    assert _inputs(deployment.pfdo("inputs", "--json")) == expected
    # Nobody waits for the cabinet but who looks at it.
    exported = _until(
        lambda: json.loads(deployment.pfdo("export")), lambda seen: seen == expected_export
    )
    assert exported == expected_export
    restarted = {name for name, c in deployment.inspected().items() if c["RestartCount"]}
    # Making topics may come too early for a broker; who crashed came back by itself.
    assert restarted - {"topics"} == {"certificates"}

    _lose_all_but_a_copy_of_the_journals(deployment, tmp_path / "copy")

    assert json.loads(deployment.pfdo("export")) == expected_export
    assert _inputs(deployment.pfdo("inputs", "--json")) == expected
    assert json.loads(deployment.pfdo("verify", "--against-state", "--json"))["ok"]
    # No journal could have brought it back: it was in the copy.
    assert _asked_by_senders(deployment) == f"{EMAIL}\n"

    _lose(deployment, "vault-redis", "cabinet", "senders", copy=tmp_path / "copy")
    _lose(deployment, "billing-redis", "billing")

    assert _asked_by_senders(deployment) == f"{EMAIL}\n"
    settled = json.loads(deployment.pfdo("settle", "--json"))
    assert settled["settled"], settled
    assert json.loads(deployment.pfdo("verify", "--against-state", "--json"))["ok"]


@pytest.mark.parametrize("way", ["python", "java", "http"])
def test_an_integrators_first_event_is_decided(
    deployment: Deployment, tmp_path: Path, way: str
) -> None:
    """What docs/integrators/README.md says, with the programs it shows."""
    if way == "java" and shutil.which("mvn") is None:
        pytest.skip("Maven is not here")
    programs = tmp_path / "integrators"
    shutil.copytree(ROOT / "examples" / "integrators", programs)
    event = json.loads((programs / "event.json").read_text()) | {"id": f"first-by-{way}"}
    (programs / "event.json").write_text(json.dumps(event, ensure_ascii=False))
    command = {
        "python": (sys.executable, "publish.py", "event.json"),
        "java": ("mvn", "-q", "-f", "java", "compile", "exec:java", "-Dexec.args=event.json"),
        "http": ("./publish.sh", "event.json"),
    }[way]
    environment = deployment.environment | {
        "KAFKA": deployment.bootstrap,
        "KAFKA_USER": "navigator",
        "KAFKA_PASSWORD_FILE": str(ROOT / "deploy" / "secrets" / "kafka-navigator"),
        "CABINET": f"http://127.0.0.1:{deployment.port}",
    }

    done = subprocess.run(
        command,
        cwd=programs,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "navigator.events.v1" in done.stdout
    decided = _until(
        lambda: {i: d for i, d, _ in _inputs(deployment.pfdo("inputs", "--json"))}.get(event["id"]),
        lambda decision: decision is not None,
    )
    # All ways say the same: whichever comes first is the one that counts.
    assert decided in {"applied", "duplicate"}


def _lose_all_but_a_copy_of_the_journals(deployment: Deployment, copy: Path) -> None:
    """What docs/runbooks/kafka-lost.md says, and with it redis-lost.md, of all services at once."""
    backup = (str(ROOT / "deploy" / "backup.sh"),)
    environment = {**deployment.environment, "PROJECT": deployment.project}
    _call(*backup, "copy", str(copy), environment=environment)
    refused = subprocess.run(
        (*backup, "restore", str(copy)),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "First: make down" in refused.stderr
    deployment.down()
    assert deployment.leftovers() == []
    _call(*backup, "restore", str(copy), environment=environment)
    deployment.compose("up", "--wait", "-d")


def _lose(deployment: Deployment, redis: str, *users: str, copy: Path | None = None) -> None:
    """What docs/runbooks/redis-lost.md says, and vault-lost.md where there is a copy."""
    name = f"{redis.removesuffix('-redis')}-data"
    deployment.compose("stop", *users, redis)
    deployment.compose("rm", "-f", redis)
    environment = {**deployment.environment, "PROJECT": deployment.project}
    _call("docker", "volume", "rm", f"{deployment.project}_{name}", environment=environment)
    if copy is not None:
        backup = str(ROOT / "deploy" / "backup.sh")
        _call(backup, "restore-vault", str(copy), environment=environment)
    deployment.compose("up", "--wait", "-d")


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
    return sorted((str(r["id"]), str(r["decision"]), str(r["reason"])) for r in records)


ASK_THE_VAULT = f"""
import asyncio
from services.notifications.senders.assembly import _addresses
from services.notifications.senders.settings import load_sender_settings
address = asyncio.run(_addresses(load_sender_settings(), sandbox=True).find("{GUARDIAN}"))
print(address and address.email)
"""

LOOK_AROUND = """
import json, os
try:
    open("/opt/pfdo/written", "w")
    written = True
except OSError:
    written = False
print(json.dumps({"user": os.getuid(), "group": os.getgid(), "written": written}))
"""


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
