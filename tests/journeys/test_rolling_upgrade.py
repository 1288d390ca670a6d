"""One replica after another gets the next version; the books are those of the next one alone.

The next version is this one with a rule that changes on a day to come, state of another form (so it
is folded anew from the journals), and an event with one more optional field.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pfdo.system import SERVICES
from tests.support.containers import ApacheKafka, Redis, free_port, require_docker
from tests.support.installation import Installation
from tests.support.outcome import segments

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "streaming", "rulebook", "services", "verification", "pfdo")
STORY = ("--seed", "7", "--children", "30", "--days", "12")
UPGRADED_ON, RULE_FROM = "2020-09-07", "2020-09-09"
OWNED_SECONDS_MAX = 60
PARTITIONS_OF_ALL = 2 * len(SERVICES)
RULE = f"""\
  - from: {RULE_FROM}
    published: 2020-08-20
    basis: The next version
    rows:
      - {{id: attended, when: {{mark: [present, made-up, ill]}}, then: {{charge: true}}, says: Был}}
      - id: missed
        when: {{mark: [absent, excused, cancelled]}}
        then: {{charge: false}}
        says: Не был
"""

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(400)]


def next_version(folder: Path) -> dict[str, str]:
    """Make the next version in a folder; return the environment in which Python takes it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.pyc"))
    with (folder / "services" / "billing" / "rules" / "charging.yaml").open("a") as rules:
        rules.write(RULE)
    for service in ("billing", "enrollment"):
        _edit(
            folder / "services" / service / "state.py",
            r"^STATE_VERSION = (\d+)$",
            lambda found: f"STATE_VERSION = {int(found[1]) + 1}",
        )
    _edit(
        folder / "contracts" / "attendance.py",
        r"^    evidence: Evidence$",
        lambda found: f"{found[0]}\n    room: str | None = None",
    )
    # Not the folder that a test runs in, which holds this version.
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def _edit(file: Path, pattern: str, change: Callable[[re.Match[str]], str]) -> None:
    text, number = re.subn(pattern, change, file.read_text(), flags=re.MULTILINE)
    assert number == 1, f"{file}: the next version is made by a line that is gone"
    file.write_text(text)


def in_parts(folder: Path) -> tuple[Path, Path, Path, Path]:
    """Write a small autumn: before the upgrade, what comes meanwhile, after it; and the whole.

    Meanwhile come marks of several payers, whose outcome depends on no order. Afterwards marks have
    the new field.
    """
    command = ("python", str(ROOT / "examples" / "generate.py"), *STORY)
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    runs = list(segments(made.splitlines()))
    day = next(i for i, run in enumerate(runs) if run[0]["data"].get("date") == UPGRADED_ON)
    meanwhile = next(i for i in range(day, len(runs)) if _are_marks(runs[i]))
    for run in runs[meanwhile + 1 :]:
        for event in run:
            if event["type"] == "attendance.lesson-marked.v1":
                event["data"]["room"] = "7"
    files = []
    for name, part in (
        ("before", runs[:meanwhile]),
        ("meanwhile", runs[meanwhile : meanwhile + 1]),
        ("after", runs[meanwhile + 1 :]),
        ("whole", runs),
    ):
        files.append(folder / f"{name}.jsonl")
        lines = "\n\n".join("\n".join(json.dumps(event) for event in run) for run in part)
        files[-1].write_text(lines + "\n")
    before, between, after, whole = files
    return before, between, after, whole


def _are_marks(run: list[dict[str, Any]]) -> bool:
    types = {event["type"] for event in run}
    payers = {event["partitionkey"] for event in run if "partitionkey" in event}
    return types == {"attendance.lesson-marked.v1"} and len(payers) > 1


class Replica:
    """A process of all services, under a name that it keeps from version to version."""

    def __init__(self, name: str, data: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self._installation = Installation(
            data, environment | {"PFDO_INSTANCE": name, "PFDO_HEALTH_PORT": str(self.port)}
        )
        self._process = self._installation.start("run", "--services", ",".join(SERVICES))

    def metrics(self, pattern: str) -> list[str]:
        """Return what is found of a pattern in the metrics; nothing while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as page:
                return re.findall(pattern, page.read().decode(), re.MULTILINE)
        except OSError:
            assert self._process.poll() is None, "it ended"
            return []

    def owned(self) -> int:
        """Return how many partitions it owns, of all services together."""
        return len(self.metrics(r"^pfdo_partition_owned\{[^}]*\} 1"))

    def halted(self) -> int:
        """Return how many partitions wait for a person."""
        return len(self.metrics(r"^pfdo_partition_halted\{[^}]*\} 1"))

    def marks_decided(self) -> int:
        """Return how many marks it has decided."""
        found = self.metrics(
            r'^pfdo_decisions_total\{[^}]*topic="attendance.events.v1"[^}]*\} ([0-9.]+)'
        )
        return int(sum(map(float, found)))

    def leave(self) -> None:
        """Finish the batch and go."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=30) == 0

    def kill(self) -> None:
        """End it, however it stands."""
        self._process.kill()
        self._process.wait()


@contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """Run a Kafka and a Redis; the environment that names them."""
    kafka, redis = os.environ.get("TEST_KAFKA_BOOTSTRAP"), os.environ.get("TEST_REDIS_URL")
    if kafka and redis:
        yield _environment(kafka, redis)
        return
    require_docker()
    with ApacheKafka() as broker, Redis() as store:
        yield _environment(broker.bootstrap, store.url)


def _environment(bootstrap: str, redis: str) -> dict[str, str]:
    # Two: each replica has one, and the payers of the story stand in both.
    return {"PFDO_KAFKA_BOOTSTRAP": bootstrap, "PFDO_REDIS_URL": redis, "PFDO_PARTITIONS": "2"}


def until(holds: Callable[[], bool], seconds: float = OWNED_SECONDS_MAX) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it does not come to that"
        time.sleep(0.2)


def test_replicas_are_upgraded_one_after_the_other_and_no_promise_is_broken(tmp_path: Path) -> None:
    before, meanwhile, after, whole = in_parts(tmp_path)
    newer = next_version(tmp_path / "next")
    expected = Installation(tmp_path / "embedded", newer)
    assert expected.json("play", str(whole))["settled"]
    with surroundings() as environment:
        old = Installation(tmp_path / "data", environment)
        new = Installation(tmp_path / "data", environment | newer)
        assert old.pfdo("topics", "create").returncode == 0
        replicas: list[Replica] = []

        def replica(name: str, version: dict[str, str]) -> Replica:
            replicas.append(Replica(name, tmp_path / name, environment | version))
            return replicas[-1]

        try:
            a, b = replica("a", {}), replica("b", {})
            until(
                lambda: (
                    a.owned() > 0 and b.owned() > 0 and a.owned() + b.owned() == PARTITIONS_OF_ALL
                )
            )
            assert old.json("play", str(before))["settled"]

            a.leave()
            a_next = replica("a", newer)
            until(lambda: a_next.owned() > 0 and b.owned() + a_next.owned() == PARTITIONS_OF_ALL)
            done = b.marks_decided()
            assert old.pfdo("publish", str(meanwhile)).returncode == 0
            marks = len(meanwhile.read_text().split("\n")) - 1
            until(lambda: b.marks_decided() - done + a_next.marks_decided() == marks)
            assert 0 < a_next.marks_decided() < marks, "both versions are to decide"

            b.leave()
            b_next = replica("b", newer)
            until(
                lambda: b_next.owned() > 0 and a_next.owned() + b_next.owned() == PARTITIONS_OF_ALL
            )
            assert new.json("play", str(after))["settled"]

            assert a_next.halted() + b_next.halted() == 0
            assert new.json("verify", "--against-state")["ok"]
            assert new.json("export") == expected.json("export")
            assert new.decisions() == expected.decisions()
            # Both changes were in force: a rule of the next version, and the field it knows.
            charged = new.lines("journal", "billing", "--type", "lesson-charged")
            days = {f["data"]["lesson_date"] for f in charged if f["data"]["mark"] == "ill"}
            assert days
            assert min(days) >= RULE_FROM
            assert any("room" in (f["data"].get("input", {}).get("data") or {}) for f in charged)
        finally:
            for each in replicas:
                each.kill()
