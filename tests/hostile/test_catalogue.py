"""Hostile records between good ones: each gets its one decision, and nothing else happens."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from contracts.vocabulary import DeadLetterReason, InputRefusal
from pfdo.records import decided, story
from streaming.bus import Appended, Bus, Outgoing
from streaming.routing import partition_of
from tests.hostile.catalogue import CATALOGUE, PAYER, REFUSED, Hostile, mark, written
from tests.pfdo.worlds import SMALL, installation_of, world
from tests.support.outcome import check_folds, check_journals, outcome, segments
from tests.support.world import World, day

TOLD_IN_DECODING = {DeadLetterReason.OPERATOR_QUARANTINE}
"""Not the sender's doing."""


def good_mark(number: int) -> bytes:
    """Return a mark of the family that is charged."""
    return written(mark(f"les-{number:03d}", id=f"good-{number}"))


def as_sent(hostile: Hostile, partitions: int) -> Outgoing:
    """Return a hostile record as it goes onto the bus."""
    home = partition_of(PAYER.encode(), partitions)
    partition = (home + hostile.away) % partitions
    return Outgoing(hostile.topic, partition, hostile.key, hostile.value, hostile.headers)


async def send(bus: Bus, catalogue: tuple[Hostile, ...]) -> list[tuple[Hostile | None, Appended]]:
    """Send the catalogue with a good mark before every fifth record; return what stands where."""
    sent: list[tuple[Hostile | None, Appended]] = []
    home = partition_of(PAYER.encode(), bus.partitions)
    for number, hostile in enumerate(catalogue):
        if number % 5 == 0:
            good = Outgoing("attendance.events.v1", home, PAYER.encode(), good_mark(100 + number))
            (place,) = await bus.publish([good])
            sent.append((None, place))
        (place,) = await bus.publish([as_sent(hostile, bus.partitions)])
        sent.append((hostile, place))
    return sent


async def begun() -> World:
    """Return a world in which the family's agreement is active and a lesson was charged."""
    there = world()
    for segment in segments(SMALL.read_text(encoding="utf-8").splitlines()):
        await there.publish(*segment)
        await there.settle()
    return there


def differences(
    sent: list[tuple[Hostile | None, Appended]], inputs: list[dict[str, Any]]
) -> list[str]:
    """Return in words which records did not get the decision they must get."""
    said = {
        (one["topic"], one["partition"], one["offset"]): (one["decision"], one["reason"])
        for one in inputs
    }
    wrong = []
    for hostile, at in sent:
        expected = ("applied", None) if hostile is None else hostile.expected
        name = "a good mark" if hostile is None else f"{hostile.kind}: {hostile.name}"
        found = said[at.topic, at.partition, at.offset]
        if found != expected:
            wrong.append(f"{name}: {found}, expected {expected}")
    return wrong


async def books(there: World) -> Mapping[str, Any]:
    return await outcome(there)


async def test_each_gets_its_decision_and_no_book_changes() -> None:
    clean, there = await begun(), await begun()
    for number in range(0, len(CATALOGUE), 5):
        await clean.publish(json.loads(good_mark(100 + number)))
    await clean.settle()

    sent = await send(there.bus, CATALOGUE)
    await there.settle()

    installation = installation_of(there)
    wrong = differences(sent, decided(await story(installation), installation))
    assert not wrong, "\n".join(wrong)
    # What was forwarded can be read where it belongs.
    dead = there.journal("billing", "input-dead-lettered")
    assert not [one for one in dead if one["data"]["topic"] == "attendance.forwarded.v1"]
    assert await books(there) == await books(clean)
    check_journals(there)
    await check_folds(there)


async def test_what_waits_for_tomorrow_is_decided_tomorrow() -> None:
    there = await begun()
    sent = await send(there.bus, tuple(one for one in CATALOGUE if one.kind == "order"))
    await there.publish(day("2020-09-02"))
    await there.settle()

    installation = installation_of(there)
    said = {
        (one["topic"], one["partition"], one["offset"]): (one["decision"], one["reason"])
        for one in decided(await story(installation), installation)
    }
    found = {
        hostile.name: said[at.topic, at.partition, at.offset]
        for hostile, at in sent
        if hostile is not None and hostile.expected[1] == "day:2020-09-02"
    }
    assert found == {
        "a mark of tomorrow": ("applied", None),
        "a lesson that moves to tomorrow": (REFUSED, "conflict"),
    }


def test_every_reason_for_a_dead_letter_is_in_the_catalogue() -> None:
    reasons = {one.expected[1] for one in CATALOGUE if one.expected[0] == "dead-lettered"}

    assert reasons == {str(reason) for reason in DeadLetterReason} - TOLD_IN_DECODING
    assert {one.expected[1] for one in CATALOGUE if one.expected[0] == REFUSED} <= set(InputRefusal)


def test_names_are_told_apart() -> None:
    names = Counter((one.kind, one.name) for one in CATALOGUE)

    assert [name for name, number in names.items() if number > 1] == []
    assert len(CATALOGUE) >= 100


@pytest.mark.parametrize("place", [0, 1])
async def test_a_wrong_decision_is_noticed(place: int) -> None:
    there = await begun()
    sent = await send(there.bus, CATALOGUE[:2])
    await there.settle()
    installation = installation_of(there)
    inputs = decided(await story(installation), installation)
    at = sent[place + 1][1]
    for one in inputs:
        if (one["topic"], one["partition"], one["offset"]) == (at.topic, at.partition, at.offset):
            one["decision"] = "applied"

    assert len(differences(sent, inputs)) == 1
