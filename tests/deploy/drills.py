"""Kill drills on the compose deployment: `python -m tests.deploy.drills`, or `make drills`.

Each container in turn is killed, and each Redis loses its volume, as soon as the first of some
events are appended. Then the step of the runbook is taken, and it is measured how long it
takes until all is healthy and settled. At the end the books must be those of one process.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfdo.playing import Line, is_calendar, read_lines, segments
from streaming.kafka import KafkaBus
from tests.chaos.report import commit, machine
from tests.deploy.deployment import (
    BACKUP,
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
from tests.support.containers import why_no_docker

REPORT = ROOT / "docs" / "drills-report.md"
AUTUMN = ("--seed", "7", "--children", "12", "--days", "12")
TOPICS = tuple(
    f"{source}.events.v1" for source in ("navigator", "payers", "attendance", "calendar")
)
PROCESSES = ("enrollment", "certificates", "billing", "notifications", "senders", "cabinet")
USERS = {
    "enrollment-redis": ("enrollment",),
    "certificates-redis": ("certificates",),
    "billing-redis": ("billing",),
    "notifications-redis": ("notifications", "senders"),
    "cabinet-redis": ("cabinet",),
    "vault-redis": ("cabinet", "senders"),
}
"""Who stores its state in a Redis."""
PERSON, EMAIL = "guardian-88888", "nobody@example.invalid"
SETTLE_SECONDS_MAX = 180
ALARM_SECONDS_MAX = 25
"""Kafka takes 15 s to know that nobody runs a service that was killed at rest."""
APPENDED_SECONDS_MAX = 60
LOOK_SECONDS = 0.02
FOUND_LENGTH_MAX = 90
HOW = f"""\
Each was killed as soon as the first events of a run were appended. Seconds count from the first
step of what was done; other work may have shared the machine. "Is unhealthy" is what
`docker compose ps` shows, also of a container that has exited. `doctor` was asked until it found
something, for {ALARM_SECONDS_MAX} s at most. Prometheus and its alerts were not part of it."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One thing that happens to one container."""

    container: str
    volume_is_lost: bool = False

    @property
    def title(self) -> str:
        return (
            f"`{self.container}`, its volume lost" if self.volume_is_lost else f"`{self.container}`"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a drill; seconds count from the first step of the runbook."""

    drill: Drill
    alarms: Sequence[str]
    step: str
    healthy_seconds: float
    settled_seconds: float


@dataclass(frozen=True, slots=True)
class Course:
    """All drills of a run, and what was wrong in the end: nothing, if the books agree."""

    outcomes: Sequence[Outcome]
    wrong: Sequence[str]


def all_drills() -> list[Drill]:
    """Return each container killed, then each volume of a Redis lost."""
    killed = [Drill(name) for name in (*PROCESSES, "kafka", *USERS)]
    return killed + [Drill(name, volume_is_lost=True) for name in USERS]


def run(drills: Sequence[Drill], size: Sequence[str], folder: Path) -> Course:
    """Bring a deployment up, play an autumn, let the drills strike, and count the books."""
    files = folder / "files"
    files.mkdir()
    lines = autumn_of(*size)
    write_play(files / "whole.jsonl", lines)
    with ThreadPoolExecutor(1) as aside:
        expected = aside.submit(by_one_process, files / "whole.jsonl", folder / "one-process")
        with deployed(files, "drills") as deployment:
            deployment.enter(PERSON, EMAIL)
            deployment.call(BACKUP, "copy", str(folder / "copy"))
            deployment.up()
            outcomes = []
            for outcome in struck(deployment, drills, lines, folder / "copy"):
                outcomes.append(outcome)
                print(_row(outcome), flush=True)
            return Course(outcomes, _wrong(deployment, *expected.result()))


def struck(
    deployment: Deployment, drills: Sequence[Drill], lines: Sequence[str], copy: Path | None = None
) -> Iterator[Outcome]:
    """Play lines to their end, and yield what came of each drill on the way.

    `copy` is where `make backup` put one: the vault comes back from nowhere else.
    """
    for number, (before, published) in enumerate(_parts(lines, len(drills))):
        _play(deployment, f"before-{number}.jsonl", before)
        if number < len(drills):
            write_play(deployment.files / f"struck-{number}.jsonl", published)
            yield _strike(deployment, drills[number], f"struck-{number}", copy)


def _parts(lines: Sequence[str], drills: int) -> Iterator[tuple[list[str], list[str]]]:
    """Yield for each drill what is played before it and what is published as it strikes; the rest.

    What is published has no barrier inside, so its outcome depends on no order: the largest such
    runs of the file.
    """
    runs = list(segments(read_lines(lines, TOPICS)))
    sizes = sorted(
        (number for number, each in enumerate(runs) if not is_calendar(each[0])),
        key=lambda number: -len(runs[number]),
    )
    assert len(sizes) >= drills, "play a longer autumn"
    begin = 0
    for number in sorted(sizes[:drills]):
        yield _texts(runs[begin:number]), _texts(runs[number : number + 1])
        begin = number + 1
    yield _texts(runs[begin:]), []


def _texts(runs: Sequence[Sequence[Line]]) -> list[str]:
    return [text for run in runs for text in (*(line.text for line in run), "")]


def _play(deployment: Deployment, name: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    write_play(deployment.files / name, lines)
    played = json.loads(deployment.pfdo("play", f"/files/{name}", "--json"))
    assert played["settled"], played


def _strike(deployment: Deployment, drill: Drill, file: str, copy: Path | None) -> Outcome:
    """Kill as the first events are appended, look who notices, and follow the runbook."""
    container = deployment.inspected()[drill.container]["Id"]
    publish = deployment.tools("publish", f"/files/{file}.jsonl", "--json")
    known = asyncio.run(_ends(deployment))
    publishing = subprocess.Popen(publish, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        asyncio.run(_ends(deployment, known))
        deployment.call("docker", "kill", "--signal", "KILL", container)
        if drill.volume_is_lost:
            deployment.call("docker", "rm", "--force", container)
            deployment.call("docker", "volume", "rm", deployment.volume_of(drill.container))
        alarms = _alarms(deployment)
        begun = time.monotonic()
        step = _recover(deployment, drill, copy)
        # Who waited for it becomes healthy after it.
        unhealthy = until(deployment.unhealthy, lambda names: not names, SETTLE_SECONDS_MAX)
        assert unhealthy == []
        healthy = time.monotonic() - begun
        publishing.communicate(timeout=SETTLE_SECONDS_MAX)
    finally:
        publishing.kill()
        publishing.wait()
    if publishing.returncode != 0:
        # As a source does that was not answered. What had arrived are copies.
        deployment.call(*publish)
    timeout = ("--timeout", str(SETTLE_SECONDS_MAX))
    settled = json.loads(deployment.pfdo("settle", *timeout, "--json"))
    assert settled["settled"], settled
    return Outcome(drill, alarms, step, healthy, time.monotonic() - begun)


async def _ends(
    deployment: Deployment, known: Mapping[Any, int] | None = None
) -> Mapping[Any, int]:
    """Return where the topics of all sources end; wait until that is not `known` any more."""
    bus = KafkaBus(deployment.bootstrap, PARTITIONS, security=deployment.security("operator"))
    await bus.start()
    try:
        async with asyncio.timeout(APPENDED_SECONDS_MAX):
            while (ends := await bus.ends(TOPICS)) == known:
                await asyncio.sleep(LOOK_SECONDS)
        return ends
    finally:
        await bus.stop()


def _recover(deployment: Deployment, drill: Drill, copy: Path | None) -> str:
    """Do what docs/runbooks say; return it in a word."""
    if drill.volume_is_lost:
        deployment.lose({drill.container: USERS[drill.container]}, copy)
        return "vault-lost.md" if drill.container == "vault-redis" else "redis-lost.md"
    deployment.up(drill.container)
    return "`up -d --wait`"


def _alarms(deployment: Deployment) -> list[str]:
    """Return who says that something is wrong: `doctor`, the health of containers, the cabinet."""
    found = until(lambda: _doctor(deployment), bool, ALARM_SECONDS_MAX)
    unwell = [f"`{name}` is unhealthy" for name in deployment.unhealthy()]
    try:
        deployment.shown()
    except OSError:
        unwell.append("the cabinet does not answer")
    return [*found, *unwell]


def _doctor(deployment: Deployment) -> list[str]:
    """Return what `pfdo doctor` finds wrong, but for the sandbox, which it always names."""
    command = deployment.tools("doctor", "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    findings = [f for f in json.loads(done.stdout) if not f["ok"] and f["what"] != "sandbox"]
    return [
        f"doctor: {f['what']}: {f['found'].splitlines()[0][:FOUND_LENGTH_MAX]}" for f in findings
    ]


def _wrong(deployment: Deployment, export: Any, inputs: Inputs) -> list[str]:
    """Return where the books are others than those of one process."""
    wrong = []
    exported = until(lambda: json.loads(deployment.pfdo("export")), lambda seen: seen == export)
    if exported != export:
        wrong.append("what the cabinet shows differs")
    if _once(decided(deployment.pfdo("inputs", "--json"))) != _once(inputs):
        wrong.append("decisions about inputs differ")
    if not json.loads(deployment.pfdo("verify", "--against-state", "--json"))["ok"]:
        wrong.append("`verify --against-state` finds a broken promise")
    if deployment.address_of(PERSON) != EMAIL:
        wrong.append("the vault has lost a person")
    return wrong


def _once(inputs: Inputs) -> set[tuple[str, str, str]]:
    """Return what was decided, but about copies: who published again made more of them."""
    return {each for each in inputs if each[1] != "duplicate"}


def _row(outcome: Outcome) -> str:
    alarms = "; ".join(outcome.alarms).replace("|", "/") or "none of these"
    return (
        f"| {outcome.drill.title} | {alarms} | {outcome.step} "
        f"| {outcome.healthy_seconds:.0f} s | {outcome.settled_seconds:.0f} s |"
    )


def markdown(course: Course) -> str:
    """Return what a person reads."""
    verdict = "**The books differ from**" if course.wrong else "**The books agree with**"
    lines = [
        "# Drills report",
        "",
        f"{verdict} those of one process, after {len(course.outcomes)} drills on the compose",
        "deployment. How it is done: [restore](operations/restore.md#drills).",
        "",
        "| | |",
        "|---|---|",
        "| to repeat it | `make drills` |",
        f"| commit | {commit()} |",
        f"| machine | {machine()} |",
        f"| load of the machine at the end | {os.getloadavg()[0]:.0f} |",
        "",
        "| killed | what alarmed | what was done | healthy after | settled after |",
        "|---|---|---|---:|---:|",
        *map(_row, course.outcomes),
        "",
        HOW,
        *(("", "## Wrong", "") if course.wrong else ()),
        *(f"* {line}" for line in course.wrong),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run as the command line says. Return 0 if the books agree, 1 if not, 2 if it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.drills", description=__doc__)
    parser.add_argument(
        "--only", nargs="*", help="containers; those of Redis also lose their volume"
    )
    parser.add_argument("--report", type=Path, help="where it goes, if not all was drilled")
    options = parser.parse_args()
    if (reason := why_no_docker()) is not None:
        print(f"The drills need Docker: {reason}", file=sys.stderr)
        return 2
    drills = [d for d in all_drills() if not options.only or d.container in options.only]
    with tempfile.TemporaryDirectory(prefix="pfdo-drills-") as folder:
        course = run(drills, AUTUMN, Path(folder))
    report = options.report or (None if options.only else REPORT)
    if report is not None:
        report.write_text(markdown(course), encoding="utf-8")
    print(markdown(course))
    return 1 if course.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
