"""The compose deployment, started: what runs in one process and what runs here come to the same."""

import asyncio
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import streaming.kafka
from contracts.access import Operation, Resource, principals, rights
from contracts.sources import load_sources
from contracts.topics import all_topics
from pfdo.system import SERVICES
from streaming.authorities import trusting
from streaming.bus import Outgoing
from streaming.errors import BusUnavailableError
from streaming.kafka import KafkaBus
from streaming.kafka_security import PLAIN_TEXT, KafkaSecurity
from tests.cabinet.test_oidc import Cookies, log_in
from tests.deploy.deployment import (
    BACKUP,
    CALL_SECONDS_MAX,
    PARTITIONS,
    ROOT,
    Deployment,
    Inputs,
    autumn_of,
    by_one_process,
    decided,
    deployed,
    until,
    write_play,
)
from tests.deploy.drills import USERS, Drill, Outcome, struck
from tests.deploy.kafka_rights import rights_of
from tests.deploy.log_in import with_log_in
from tests.support.containers import require_docker
from tests.support.oidc import CLIENT_SECRET, installed

STRANGER_SECONDS_MAX = 5
LETTERS = {Operation.READ: "r", Operation.WRITE: "w"}
GUARDIAN, EMAIL = "guardian-88888", "nobody@example.invalid"
AUTUMN = ("--seed", "7", "--children", "12", "--days", "12")

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Autumn:
    """A small autumn, in two halves, and what one process without Kafka and Redis makes of it."""

    first: list[str]
    second: str
    expected: Future[tuple[Any, Inputs]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the tools see as /files."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def autumn(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Autumn]:
    """One process comes to it while the deployment starts."""
    require_docker()
    whole, first, second = _play_files(files)
    with ThreadPoolExecutor(1) as aside:
        data = tmp_path_factory.mktemp("embedded")
        yield Autumn(first, second, aside.submit(by_one_process, whole, data))


@pytest.fixture(scope="module")
def deployment(files: Path, autumn: Autumn) -> Iterator[Deployment]:
    """One deployment for all tests here, brought up from nothing."""
    with deployed(files) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def drilled(deployment: Deployment, autumn: Autumn) -> list[Outcome]:
    """The first half of the autumn, with two of the drills (drills.py) on the way."""
    drills = (Drill("billing"), Drill("billing-redis", volume_is_lost=True))
    return list(struck(deployment, drills, autumn.first))


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
    deployment.enter(GUARDIAN, EMAIL)

    assert deployment.address_of(GUARDIAN) == EMAIL
    look = "grep -arl {} /data | wc -l"
    for text, files in ((f"person:{GUARDIAN}", "1\n"), (EMAIL, "0\n")):
        seen = deployment.compose("exec", "-T", "vault-redis", "sh", "-c", look.format(text))
        assert seen == files, text


def test_what_is_killed_while_events_flow_is_noticed_and_comes_back(drilled: list[Outcome]) -> None:
    killed, lost = drilled

    assert any(alarm.startswith("doctor: ") for alarm in killed.alarms), killed
    assert any(alarm.startswith("doctor: stores") for alarm in lost.alarms), lost
    # By its own word all is settled; that the books agree is seen below.
    assert 0 < killed.healthy_seconds < killed.settled_seconds


def test_the_deployment_comes_to_what_one_process_comes_to(
    deployment: Deployment, autumn: Autumn, drilled: list[Outcome], tmp_path: Path
) -> None:
    assert drilled
    expected_export, expected_inputs = autumn.expected.result()

    _play_while_a_service_crashes(deployment, autumn.second)

    # One record more was published by a source above.
    expected = sorted([*expected_inputs, ("None", "dead-lettered", "not_json")])
    assert decided(deployment.pfdo("inputs", "--json")) == expected
    # Nobody waits for the cabinet but who looks at it.
    exported = until(
        lambda: json.loads(deployment.pfdo("export")), lambda seen: seen == expected_export
    )
    assert exported == expected_export
    restarted = {name for name, c in deployment.inspected().items() if c["RestartCount"]}
    # Making topics may come too early for a broker; who crashed came back by itself.
    assert restarted - {"topics"} == {"certificates"}

    _lose_all_but_a_copy_of_the_journals(deployment, tmp_path / "copy")

    assert json.loads(deployment.pfdo("export")) == expected_export
    assert decided(deployment.pfdo("inputs", "--json")) == expected
    assert json.loads(deployment.pfdo("verify", "--against-state", "--json"))["ok"]
    # No journal could have brought it back: it was in the copy.
    assert deployment.address_of(GUARDIAN) == EMAIL

    deployment.lose({"vault-redis": USERS["vault-redis"]}, tmp_path / "copy")

    assert deployment.address_of(GUARDIAN) == EMAIL
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
    answer = until(
        lambda: {i: d for i, d, _ in decided(deployment.pfdo("inputs", "--json"))}.get(event["id"]),
        lambda decision: decision is not None,
    )
    # All ways say the same: whichever comes first is the one that counts.
    assert answer in {"applied", "duplicate"}


async def test_with_a_log_in_people_and_machines_see_what_is_theirs(
    deployment: Deployment, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """What docs/operations/secure.md says, against a real server behind TLS.

    The last test: from here nobody is let in without a log-in.
    """
    assert pytestconfig.cache is not None
    made = autumn_of(*AUTUMN)
    families: dict[str, tuple[str, str]] = {}
    for line in (line for line in made if "navigator.child-registered.v1" in line):
        registered = json.loads(line)["data"]
        families.setdefault(registered["guardian_ids"][0], (registered["child_id"], line))
    (mother, (child, _)), (other, _), *_ = families.items()
    mark = next(line for line in made if "attendance.lesson-marked.v1" in line)
    # They are there already, if all of the above ran.
    write_play(deployment.files / "families.jsonl", [line for _, line in families.values()])
    deployment.pfdo("play", "/files/families.jsonl")
    deployment.enter(GUARDIAN, EMAIL)
    people = {"mother": {"roles": ["guardian"], "family": mother}}
    machines = {"journal": {"roles": ["source"], "source": "attendance"}}
    node = installed(pytestconfig.cache)
    async with with_log_in(deployment, node, people, machines, tmp_path) as real:
        await asyncio.to_thread(real.deployment.up)

        trust = trusting(real.authority)
        address = real.server.cabinet_url
        async with httpx.AsyncClient(
            base_url=address, auth=Cookies(), verify=trust, timeout=10
        ) as browser:
            sent_away = await browser.get(f"/families/{mother}")
            await log_in(browser, "mother", f"/families/{mother}")
            own = await browser.get(f"/families/{mother}")
            others = await browser.get(f"/families/{other}")
        async with httpx.AsyncClient(base_url=address, verify=trust, timeout=10) as machine:
            given = await machine.post(
                f"{real.server.issuer}/token",
                data={"grant_type": "client_credentials"},
                auth=("journal", CLIENT_SECRET),
            )
            taken, refused = [
                await machine.post(
                    "/api/v1/events",
                    content=mark.encode(),
                    headers={"content-type": "application/cloudevents+json", **shown},
                )
                for shown in ({"authorization": f"Bearer {given.json()['access_token']}"}, {})
            ]
        found = await asyncio.to_thread(real.deployment.address_of, GUARDIAN)

    assert sent_away.headers["location"].startswith("/login?")
    assert own.status_code == 200
    # Nobody entered the child into the vault, and nobody is invented any more.
    assert child in own.text
    assert others.status_code == 404
    assert (taken.status_code, refused.status_code) == (202, 401)
    # The senders ask the vault over TLS too.
    assert found == EMAIL


def _lose_all_but_a_copy_of_the_journals(deployment: Deployment, copy: Path) -> None:
    """What docs/runbooks/kafka-lost.md says, and with it redis-lost.md, of all services at once."""
    deployment.call(BACKUP, "copy", str(copy))
    refused = subprocess.run(
        (BACKUP, "restore", str(copy)),
        env=deployment.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "First: make down" in refused.stderr
    deployment.down()
    assert deployment.leftovers() == []
    deployment.call(BACKUP, "restore", str(copy))
    deployment.up()
    deployment.open_tools()


def _play_files(folder: Path) -> tuple[Path, list[str], str]:
    """Write a small autumn, whole, and its second half; the halves meet at a barrier."""
    made = autumn_of(*AUTUMN)
    barrier = made.index("", len(made) // 2)
    write_play(folder / "whole.jsonl", made)
    write_play(folder / "second.jsonl", made[barrier:])
    return folder / "whole.jsonl", made[:barrier], "second.jsonl"


LOOK_AROUND = """
import json, os
try:
    open("/opt/pfdo/written", "w")
    written = True
except OSError:
    written = False
print(json.dumps({"user": os.getuid(), "group": os.getgid(), "written": written}))
"""


def _play_while_a_service_crashes(deployment: Deployment, file: str) -> None:
    """Play a file; as soon as something came of it, certificates crashes."""
    shown_before = deployment.shown()
    playing = subprocess.Popen(
        deployment.tools("play", f"/files/{file}", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        shown = until(deployment.shown, lambda seen: seen != shown_before)
        assert shown != shown_before
        deployment.crash("certificates")
        assert playing.poll() is None, "it ended before the crash: play a longer file"
        out, errors = playing.communicate(timeout=CALL_SECONDS_MAX)
    finally:
        playing.kill()
        playing.wait()
    assert playing.returncode == 0, f"{out}\n{errors}"
    assert json.loads(out)["settled"]
