"""What counts the promises was seen to fail: each planted fault is told, and nothing else."""

import asyncio
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.topics import all_topics
from pfdo.system import SERVICES, services_of
from streaming.bus import Record
from tests.chaos.invariants import (
    HELD_BYTES_MAX,
    Bus,
    holding,
    is_answer_to_a_copy,
    is_defect,
    of_the_bus,
)
from tests.chaos.story import story
from tests.support.world import World

Records = dict[str, list[Record]]
BILLING = "billing.events.v1"


@cache
def sound() -> Records:
    """Return what is on the bus after a short story with dead letters and purses."""
    return asyncio.run(_records_of_a_world())


async def _records_of_a_world() -> Records:
    world = World(services_of(SERVICES), partitions=2, seed=1)
    for segment in story(1, 900, world.partitions)[:30]:
        for line in segment:
            if line.event is not None:
                await world.publish(line.event)
            else:
                assert line.partition is not None
                await world.publish_raw(line.topic, line.partition, line.value)
        await world.settle()
    return {
        topic.name: [r for p in range(2) for r in world.log.log(topic.name, p).records]
        for topic in all_topics(world.sources)
    }


def changed(records: list[Record], at: int, change: Callable[[dict[str, Any]], None]) -> None:
    said = json.loads(records[at].value or b"")
    change(said)
    records[at] = replace(records[at], value=json.dumps(said).encode())


def first(records: list[Record], has: Callable[[dict[str, Any]], bool]) -> int:
    return next(n for n, record in enumerate(records) if has(json.loads(record.value or b"")))


def lose_a_fact(bus: Records) -> None:
    del bus[BILLING][3]


def spend_more(bus: Records) -> None:
    at = first(bus[BILLING], lambda said: "purse" in said["data"])
    changed(bus[BILLING], at, lambda said: said["data"]["purse"].update(balance_kopecks=1))


def split_a_kopeck(bus: Records) -> None:
    at = first(bus[BILLING], lambda said: "purse" in said["data"])
    changed(bus[BILLING], at, lambda said: said["data"].update(nominal_kopecks=0.5))


def decide_twice(bus: Records) -> None:
    records = bus["enrollment.events.v1"]
    at = first(records, lambda said: said["type"] == "enrollment.input-noted.v1")
    again = first(
        records,
        lambda said: (
            said["type"] == "enrollment.input-noted.v1"
            and said["causeoffset"] != json.loads(records[at].value or b"")["causeoffset"]
        ),
    )
    told = json.loads(records[at].value or b"")
    cause = {name: told[name] for name in ("causetopic", "causepartition", "causeoffset")}
    changed(records, again, lambda said: said.update(cause))


def letters(bus: Records) -> list[Record]:
    return next(found for t, found in bus.items() if ".dead-letters." in t and found)


def tell_twice(bus: Records) -> None:
    records = bus["notifications.events.v1"]
    is_due = [
        n
        for n, record in enumerate(records)
        if json.loads(record.value or b"")["type"] == "notifications.message-due.v1"
    ]
    told = json.loads(records[is_due[0]].value or b"")["data"]
    same = {name: told[name] for name in ("event_ids", "recipient_id", "channel")}
    changed(records, is_due[1], lambda said: said["data"].update(same))


def lose_a_dead_letter(bus: Records) -> None:
    del letters(bus)[0]


def mend_a_dead_letter(bus: Records) -> None:
    found = letters(bus)
    found[0] = replace(found[0], value=b"mended")


def invent_a_reason(bus: Records) -> None:
    found = letters(bus)
    headers = tuple(
        (name, b"a mood" if name == "pfdo-reason" else value) for name, value in found[0].headers
    )
    found[0] = replace(found[0], headers=headers)


def test_a_sound_bus_has_no_violations() -> None:
    assert of_the_bus(Bus(sound())) == []


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (lose_a_fact, "I06"),
        (spend_more, "I02"),
        (split_a_kopeck, "I15"),
        (decide_twice, "I01"),
        (tell_twice, "I19"),
        (lose_a_dead_letter, "I13"),
        (mend_a_dead_letter, "I13"),
        (invent_a_reason, "I13"),
    ],
)
def test_a_planted_fault_is_told(plant: Callable[[Records], None], told: str) -> None:
    records = {topic: list(found) for topic, found in sound().items()}

    plant(records)

    assert {line.partition(" ")[0] for line in of_the_bus(Bus(records))} == {told}


@pytest.mark.parametrize(
    ("first", "copy", "is_right"),
    [
        (("applied", None), ("duplicate", None), True),
        (("applied", None), ("applied", None), False),
        (("applied", None), ("refused", "conflict"), False),
        (("refused", "too_late"), ("duplicate", None), True),
        (("refused", "too_late"), ("refused", "too_late"), False),
        (("refused", "conflict"), ("refused", "conflict"), True),
        (("refused", "conflict"), ("refused", "too_late"), False),
        (("refused", "conflict"), ("duplicate", None), False),
    ],
)
def test_a_copy_changes_nothing_and_a_conflict_stays_one(
    first: tuple[str, str | None], copy: tuple[str, str | None], is_right: bool
) -> None:
    told = [{"decision": decision, "reason": reason} for decision, reason in (first, copy)]

    assert is_answer_to_a_copy(*told) is is_right


def test_who_held_too_much_for_a_moment_is_told() -> None:
    sizes = [
        (5.0, {"billing-1": HELD_BYTES_MAX, "cabinet-1": HELD_BYTES_MAX + 2**20}),
        (10.0, {"billing-1": 0, "cabinet-1": 0}),
    ]

    assert list(holding(sizes)) == ["I22 cabinet-1 held 289 MiB, more than 288"]


@pytest.mark.parametrize(
    ("told", "defect"),
    [
        ({"event": "halted", "level": "error"}, True),
        ({"event": "serving", "level": "info"}, False),
        ({"raw": "Traceback (most recent call last):"}, True),
        ({"logger": "asyncio", "error": "builtins.KeyError"}, True),
        ({"logger": "aiokafka", "error": "builtins.TypeError"}, True),
        ({"logger": "aiokafka", "error": "aiokafka.errors.UnknownError"}, False),
        ({"logger": "aiokafka", "event": "Heartbeat session expired"}, False),
        ({"event": "surroundings are away", "error": "KeyError"}, False),
    ],
)
def test_an_exception_that_no_fault_explains_is_a_defect(
    told: dict[str, str], defect: bool
) -> None:
    assert is_defect(told) is defect
