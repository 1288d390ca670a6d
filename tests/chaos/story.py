"""What the sources say: an autumn, rough towns, copies, broken and misplaced records, by a seed.

Between two barriers stands only what can be decided in any order, so that one outcome exists and
the auditor can count it: any number of events of an autumn's own segments, one event of each rough
town, copies of what was said before an earlier barrier, and bytes that are no events.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Any

from streaming.routing import partition_of
from tests.support.outcome import segments
from tests.support.rough_play import PAYERS, RoughPlay
from tests.support.second_opinion import generated

TOWNS_MAX = 300
TOWN_EVENTS_MIN, TOWN_EVENTS_MAX = 60, 400
COPIES = 0.05
TOWN_EVENTS_A_DAY = 6
"""What a town says beyond that comes a day late: one event is one barrier."""
BROKEN = 0.4
"""How many of the segments carry a record that is no event."""
MISPLACED = 0.03
_NAMES = re.compile(r'(?<=["-])(child|guard|prov|grp|enr|rough)-')


@dataclass(frozen=True, slots=True)
class Line:
    """One thing said. `partition` is None for what is said in each of them."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes
    event: dict[str, Any] | None
    """None for what is no event: it must become a dead letter."""


Segment = list[Line]


def story(seed: int, events: int, partitions: int) -> list[Segment]:
    """Return segments of `events` lines in all, or a few less."""
    chance = random.Random(seed)
    cut: list[Segment] = []
    left = events
    for segment in _spoiled(_merged(_tellers(seed, events)), chance, partitions):
        cut.append(segment[:left])
        left -= len(cut[-1])
        if left <= 0:
            break
    return cut


def _tellers(seed: int, events: int) -> list[dict[str, list[list[dict[str, Any]]]]]:
    """Return by day the segments of an autumn and of rough towns, each with people of its own."""
    town_events = max(TOWN_EVENTS_MIN, min(TOWN_EVENTS_MAX, isqrt(events) * 9 // 5))
    towns = min(TOWNS_MAX, max(3, events * 2 // 5 // (town_events + 31)))
    days = max(12, town_events // 4)
    children = max(20, int(events * 0.6 / (0.29 * days)))
    tellers = [_by_day(generated(seed, children=children, days=days))]
    tellers += [_by_day(_town(seed * 1_000 + n, n, town_events)) for n in range(towns)]
    return tellers


def _town(seed: int, number: int, events: int) -> Iterator[str]:
    """Yield a rough play whose payers, people and places no other town has."""
    payers = [f"2{100 + 2 * number + nth:04}000" for nth in range(2)]
    for line in RoughPlay(seed).lines(events):
        own = line
        for old, new in zip(PAYERS, payers, strict=True):
            own = own.replace(old, new)
        yield _NAMES.sub(rf"\1-t{number}-", own)


def _by_day(lines: Iterable[str]) -> dict[str, list[list[dict[str, Any]]]]:
    day, told = "", dict[str, list[list[dict[str, Any]]]]()
    for segment in segments(lines):
        if segment[0]["source"] == "/calendar":
            day = max(day, segment[0]["data"]["date"])
            told.setdefault(day, [])
        else:
            told[day].append(segment)
    return told


def _merged(
    tellers: list[dict[str, list[list[dict[str, Any]]]]],
) -> Iterator[list[dict[str, Any]]]:
    late: list[list[list[dict[str, Any]]]] = [[] for _ in tellers]
    for day in sorted({day for told in tellers for day in told}):
        yield [
            {
                "specversion": "1.0",
                "id": f"day-{day}",
                "source": "/calendar",
                "type": "calendar.day-opened.v1",
                "time": f"{day}T00:05:00+08:00",
                "subject": day,
                "data": {"date": day},
            }
        ]
        todays = [waits + told.get(day, []) for waits, told in zip(late, tellers, strict=True)]
        late = [[], *(today[TOWN_EVENTS_A_DAY:] for today in todays[1:])]
        todays[1:] = (today[:TOWN_EVENTS_A_DAY] for today in todays[1:])
        for nth in range(max(map(len, todays))):
            yield [event for told in todays if nth < len(told) for event in told[nth]]


def _spoiled(
    segments: Iterable[list[dict[str, Any]]], chance: random.Random, partitions: int
) -> Iterator[Segment]:
    past: list[dict[str, Any]] = []
    told = 0
    for events in segments:
        segment = [_line(event, partitions) for event in events]
        if events[0]["source"] == "/calendar":
            past.append(events[0])
            yield segment
            continue
        for nth, event in enumerate(events):
            # Of a town there is one event in a segment: it may take the longer way.
            if "-t" in event["id"] and chance.random() < MISPLACED:
                segment[nth] = _misplaced(segment[nth], chance, partitions)
        for _ in range(sum(chance.random() < COPIES for _ in events)):
            event = chance.choice(past)
            told += 1
            if chance.random() < 0.5:
                event = event | {"id": f"copy-{told}"}
            segment.append(_line(event, partitions))
        if chance.random() < BROKEN:
            told += 1
            segment.append(_broken(told, events[-1], chance, partitions))
        past += events
        yield segment


def _line(event: dict[str, Any], partitions: int) -> Line:
    topic = f"{event['source'].removeprefix('/')}.events.v1"
    value = json.dumps(event, ensure_ascii=False).encode()
    if event["source"] == "/calendar":
        return Line(topic, None, None, value, event)
    key = event["partitionkey"].encode()
    return Line(topic, partition_of(key, partitions), key, value, event)


def _misplaced(line: Line, chance: random.Random, partitions: int) -> Line:
    assert line.partition is not None
    wrong = (line.partition + chance.randrange(1, partitions)) % partitions
    return Line(line.topic, wrong, line.key, line.value, line.event)


def _broken(number: int, event: dict[str, Any], chance: random.Random, partitions: int) -> Line:
    """Return bytes that no service can read as an event of theirs; no two are the same."""
    envelope = event | {"id": f"broken-{number}"}
    text = json.dumps(envelope, ensure_ascii=False)
    value = chance.choice(
        (
            f"no JSON {number}".encode(),
            f"[{number}]".encode(),
            b"\xff\xfe" + text.encode(),
            text.encode()[: len(text) // 2],
            (text[:-1] + f', "id": "twice-{number}"}}').encode(),
            json.dumps(envelope | {"data": {"nobody": number}}).encode(),
            json.dumps(envelope | {"type": "navigator.never-heard-of.v1"}).encode(),
            json.dumps(envelope | {"source": "/somebody-else"}).encode(),
            json.dumps({name: envelope[name] for name in ("id", "type")}).encode(),
        )
    )
    topic = f"{event['source'].removeprefix('/')}.events.v1"
    return Line(topic, chance.randrange(partitions), b"broken", value, None)
