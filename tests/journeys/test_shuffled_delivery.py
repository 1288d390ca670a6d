"""Whatever order the bus allows: independent events give the same balances to the kopeck."""

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from streaming.routing import partition_of
from tests.support.hasty_world import HastyWorld
from tests.support.outcome import Segment, check_journals, segments
from tests.support.second_opinion import SERVICES, audited, differences, generated, played

Event = Mapping[str, Any]
MONEY = ("kind", "amount_kopecks", "enrollment_id", "lesson_id")


def days(story: Iterable[Segment]) -> Iterator[list[Segment]]:
    """Yield the segments of each business day; the first of them opens it."""
    day: list[Segment] = []
    for segment in story:
        if segment[0]["source"] == "/calendar" and day:
            yield day
            day = []
        day.append(segment)
    yield day


def is_cause(other: Event, mark: Event) -> bool:
    """Return whether a mark may have to be heard after an event, for one outcome to exist.

    Rules, nominals and ends may tell what it moves. An application need not: the mark waits for it.
    """
    if other["source"] == "/payers":
        return bool(other["partitionkey"] == mark["partitionkey"])
    is_end = other["type"].startswith("navigator.enrollment-terminated.")
    return bool(is_end and other["subject"] == mark["subject"])


def scattered(day: list[Segment], chance: random.Random) -> list[Segment]:
    """Let each mark of a day be heard at any moment of it, after what it depends on.

    The marks of a payer keep their order: they are of one topic and partition.
    """
    moved: list[Segment] = [[] for _ in day]
    latest: dict[str, int] = {}
    for number, segment in enumerate(day):
        for event in segment:
            moment = number
            if event["source"] == "/attendance":
                causes = (n for n in range(number) if any(is_cause(it, event) for it in day[n]))
                payer = event["partitionkey"]
                first = max(1, 1 + max(causes, default=0), latest.get(payer, 0))
                moment = latest[payer] = chance.randint(first, number)
            moved[moment].append(event)
    return [segment for segment in moved if segment]


def shuffled(segment: Segment, chance: random.Random, partitions: int) -> Iterator[dict[str, Any]]:
    """Yield a segment in any order in which the records of a topic and partition keep theirs."""
    logs: dict[tuple[str, int], deque[dict[str, Any]]] = {}
    for event in segment:
        partition = partition_of(event.get("partitionkey", "").encode(), partitions)
        logs.setdefault((event["source"], partition), deque()).append(event)
    while logs:
        place = chance.choice([*logs])
        yield logs[place].popleft()
        if not logs[place]:
            del logs[place]


def in_no_order(books: dict[str, Any]) -> dict[str, Any]:
    """Return books without what tells in which order money moved and inputs were heard."""
    for certificate in books["certificates"].values():
        movements = ({name: it[name] for name in MONEY} for it in certificate["movements"])
        certificate["movements"] = sorted(movements, key=str)
    books["inputs"].sort(key=lambda it: it["id"] if isinstance(it, dict) else it[0])
    return books


@pytest.mark.parametrize("seed", range(1, 5))
async def test_shuffled_delivery_gives_the_same_balances_to_the_kopeck(seed: int) -> None:
    chance = random.Random(seed)
    world = HastyWorld([make() for make in SERVICES], seed=seed)
    lines = generated(seed, children=40, days=45)
    in_order = [*segments(lines)]

    story = [
        [*shuffled(segment, chance, world.partitions)]
        for day in days(in_order)
        for segment in scattered(day, chance)
    ]
    told = differences(in_no_order(audited(lines)), in_no_order(await played(world, story)))

    heard, said = ([it["id"] for one in order for it in one] for order in (story, in_order))
    moved = sum(one != other for one, other in zip(heard, said, strict=True))
    assert moved > len(said) // 2
    assert any(len({it["source"] for it in segment}) > 1 for segment in story)
    assert not told, "\n".join(told[:40])
    check_journals(world)
