"""What the services and the auditor make of the same play file, and where they differ.

    python -m tests.support.second_opinion rough --seeds 1-300 --events 400
    python -m tests.support.second_opinion autumn --seeds 1-3 --children 1700 --days 170
    python -m tests.support.second_opinion file examples/autumn.jsonl

prints the differences seed by seed, and ends with 1 if there are any. All services play in memory;
with `--embedded` they do as a user has them, through `pfdo` and processes of their own.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.billing.app import service as billing
from services.certificates.app import service as certificates
from services.enrollment.app import service as enrollment
from services.notifications.app import service as notifications
from streaming.bus import Appended
from streaming.telemetry import configure_logs
from tests.auditor.count import count
from tests.auditor.report import report
from tests.support.from_journals import Decision, decided, decisions
from tests.support.installation import Installation
from tests.support.outcome import Segment, outcome, segments
from tests.support.rough_play import RoughPlay
from tests.support.world import World

ROOT = Path(__file__).parents[2]
SERVICES = (enrollment, certificates, billing, notifications)
BOOKS = ("certificates", "enrollments", "groups", "providers", "payers", "invoices")
PARTITIONS = (3, 1, 7)
NOT_COUNTED = {"at", "text"}
"""Of a movement of money: when its cause was sent, and how it is told."""
ABSENT = "absent"
SHOWN_MAX = 40
SECONDS_MAX = 3_600


def audited(lines: Iterable[str]) -> dict[str, Any]:
    """Return what the auditor counts."""
    return report(*count(lines))


def in_memory(seed: int) -> World:
    """Return a world of all services that decide; how many partitions it has the seed tells."""
    partitions = PARTITIONS[seed % len(PARTITIONS)]
    return World([make() for make in SERVICES], seed=seed, partitions=partitions)


async def played(world: World, story: Iterable[Segment]) -> dict[str, Any]:
    """Return what the services make of a story, in the words of the auditor."""
    heard: list[tuple[dict[str, Any], Appended]] = []
    for segment in story:
        places = await world.publish(*segment)
        heard += zip(segment, places, strict=False)  # a day stands in each partition: the first
        await world.settle()
    shown = await outcome(world)
    said = decisions(world)
    shown["inputs"] = [
        (event["id"], event["type"], *decided(said, event, (at.topic, at.partition, at.offset)))
        for event, at in heard
    ]
    return shown


def played_by_pfdo(lines: Iterable[str], data: Path) -> dict[str, Any]:
    """Return what an embedded installation makes of a play file, in the words of the auditor."""
    installation, file = Installation(data), data / "play.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    playing = installation.start("play", str(file), "--timeout", str(SECONDS_MAX), "--json")
    output, _ = playing.communicate(timeout=SECONDS_MAX)
    assert playing.returncode == 0, output.decode()
    shown: dict[str, Any] = installation.json("export")
    said = installation.decisions()
    shown["inputs"] = [
        (event["id"], event["type"], *_said(said, event))
        for segment in segments(lines)
        for event in segment
    ]
    return shown


def _said(said: Mapping[str, list[Decision]], event: Mapping[str, Any]) -> Decision:
    """Return what was decided; of a day, decided once in each partition, it is not told here."""
    return ("applied", None) if event["source"] == "/calendar" else said[event["id"]][0]


def differences(counted: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Return in words where the auditor and the services differ, inputs first."""
    told = [
        f"line {line['line']} {line['id']} {line['type']}: auditor {ours}, services {theirs}"
        for line, (_, _, *theirs) in zip(counted["inputs"], shown["inputs"], strict=True)
        for ours in [[line["decision"], line["reason"]]]
        if ours != theirs
    ]
    for book in BOOKS:
        told += _differing(book, counted[book], shown[book])
    return told


def _differing(where: str, ours: Any, theirs: Any) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted((ours.keys() | theirs.keys()) - NOT_COUNTED):
            yield from _differing(
                f"{where} {name}", ours.get(name, ABSENT), theirs.get(name, ABSENT)
            )
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
            yield from _differing(f"{where} {number}", one, other)
    elif ours != theirs:
        yield f"{where}: auditor {ours}, services {theirs}"


def generated(seed: int, *, children: int, days: int) -> list[str]:
    """Return a play file of `examples/generate.py`."""
    sizes = ["--seed", str(seed), "--children", str(children), "--days", str(days)]
    command = [sys.executable, str(ROOT / "examples" / "generate.py"), *sizes]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return done.stdout.decode().splitlines()


async def disagreements(lines: list[str], seed: int = 0) -> list[str]:
    """Return in words where the services and the auditor differ about a play file."""
    return differences(audited(lines), await played(in_memory(seed), segments(lines)))


def main() -> int:
    """Compare the play files that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.second_opinion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    rough = kinds.add_parser("rough", help="random words, as many events as asked for")
    rough.add_argument("--events", type=int, default=400)
    autumn = kinds.add_parser("autumn", help="plays of examples/generate.py")
    autumn.add_argument("--children", type=int, default=120)
    autumn.add_argument("--days", type=int, default=45)
    for kind in (rough, autumn):
        kind.add_argument("--seeds", default="1-10", metavar="FIRST-LAST")
    file = kinds.add_parser("file", help="a play file")
    file.add_argument("file", type=Path)
    for kind in (rough, autumn, file):
        kind.add_argument("--embedded", action="store_true", help="play by `pfdo`, not in memory")
    options = parser.parse_args()
    configure_logs(logging.WARNING)
    differ = 0
    for seed, lines in _asked_for(options):
        start = time.monotonic()
        if options.embedded:
            with TemporaryDirectory() as data:
                told = differences(audited(lines), played_by_pfdo(lines, Path(data)))
        else:
            told = asyncio.run(disagreements(lines, seed))
        events = sum(bool(line.strip()) for line in lines)
        print(
            f"{options.kind} {seed}: {events} events, {len(told)} differences,"
            f" {time.monotonic() - start:.0f} s",
            *told[:SHOWN_MAX],
            sep="\n  ",
            flush=True,
        )
        differ += bool(told)
    return min(differ, 1)


def _asked_for(options: argparse.Namespace) -> Iterator[tuple[int, list[str]]]:
    if options.kind == "file":
        yield 0, options.file.read_text(encoding="utf-8").splitlines()
        return
    first, _, last = options.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        if options.kind == "rough":
            yield seed, [*RoughPlay(seed).lines(options.events)]
        else:
            yield seed, generated(seed, children=options.children, days=options.days)


if __name__ == "__main__":
    sys.exit(main())
