"""The services and the auditor, who share nothing but the rules, count the same."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from services.billing.app import service as billing
from services.certificates.app import service as certificates
from services.enrollment.app import service as enrollment
from services.notifications.app import service as notifications
from streaming.bus import Appended
from tests.auditor.count import count
from tests.auditor.report import report
from tests.support.from_journals import decided, decisions
from tests.support.outcome import outcome, segments
from tests.support.rough_play import RoughPlay
from tests.support.world import World

ROOT = Path(__file__).parents[2]
SERVICES = (enrollment, certificates, billing, notifications)
BOOKS = ("certificates", "enrollments", "groups", "providers", "payers", "invoices")
NOT_COUNTED = {"at", "text"}
"""Of a movement of money: when its cause was sent, and how it is told."""


def audited(lines: list[str]) -> dict[str, Any]:
    """Return what the auditor counts."""
    return report(*count(lines))


async def played(lines: list[str], seed: int) -> dict[str, Any]:
    """Return what the services make of a play file, in the words of the auditor."""
    world = World([make() for make in SERVICES], seed=seed)
    heard: list[tuple[dict[str, Any], Appended]] = []
    for segment in segments(lines):
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
            yield from _differing(f"{where} {name}", ours.get(name), theirs.get(name))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
            yield from _differing(f"{where} {number}", one, other)
    elif ours != theirs:
        yield f"{where}: auditor {ours}, services {theirs}"


def generated(*arguments: str) -> list[str]:
    """Return a play file of `examples/generate.py`."""
    command = [sys.executable, str(ROOT / "examples" / "generate.py"), *arguments]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return done.stdout.decode().splitlines()


async def agreed(lines: list[str], seed: int = 0) -> None:
    told = differences(audited(lines), await played(lines, seed))

    assert not told, "\n".join([f"{len(told)} differences:", *told[:40]])


@pytest.mark.parametrize("seed", range(1, 4))
async def test_they_agree_on_an_autumn(seed: int) -> None:
    await agreed(generated("--seed", str(seed), "--children", "40", "--days", "45"), seed)


@pytest.mark.slow
async def test_they_agree_on_a_year_and_its_end() -> None:
    await agreed(generated("--seed", "11", "--children", "30", "--days", "170"))


@pytest.mark.parametrize("seed", range(1, 13))
async def test_they_agree_on_rough_play(seed: int) -> None:
    await agreed([*RoughPlay(seed).lines(400)], seed)


async def test_a_difference_is_named() -> None:
    lines = [*RoughPlay(1).lines(400)]
    shown = await played(lines, 0)
    counted = audited(lines)
    number, certificate = next(iter(counted["certificates"].items()))
    certificate["periods"][0]["paid_kopecks"] += 1
    line = counted["inputs"][7]
    line["decision"] = "parked"

    told = differences(counted, shown)

    assert len(told) == 2
    assert told[0].startswith(f"line {line['line']} {line['id']} {line['type']}: ")
    assert told[1].startswith(f"certificates {number} periods 1 paid_kopecks: ")
