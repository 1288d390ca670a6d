"""Setting a record aside at which a partition halts, and asking what would be decided."""

import json
from collections.abc import AsyncIterator

import pytest

from contracts.enrollment import GroupChanged
from contracts.registry import EVENTS
from streaming.bus import Outgoing, Record
from streaming.errors import HaltError
from streaming.listening import listening_of
from streaming.partition import Partition
from streaming.processor import UndecidableError
from streaming.quarantine import set_aside, take_back, wishes
from streaming.reading import Read
from streaming.rehearsal import (
    FAULTS_MAX,
    NotRehearsedError,
    Rehearsed,
    Stage,
    rehearse,
    where_it_halts,
)
from streaming.service import Outcome
from streaming.view import Missing, View
from tests.streaming.test_processor import NAME, P, child, folded, home, request, started, told
from tests.support.mini_service import mini_service
from tests.support.world import World, event

PAYERS = "payers.events.v1"
WHY = "Сбой в решении, разбирается"


async def halted() -> World:
    """Return a world whose partition halts at the second request."""
    world = await started(child(1))
    await world.publish(request(1), request(1, 2, "broken"), request(1, 3))
    with pytest.raises(UndecidableError, match=r"payers\.events\.v1 \d/1"):
        await world.settle()
    world.kill(NAME, home(world))
    return world


async def offset_of_the_broken(world: World) -> int:
    records = world.log.log(PAYERS, home(world)).records
    return next(r.offset for r in records if b'"broken"' in (r.value or b""))


async def test_a_record_set_aside_becomes_a_dead_letter_and_what_follows_is_decided() -> None:
    world = await halted()
    offset = await offset_of_the_broken(world)

    await set_aside(world.stores[NAME], 1, home(world), PAYERS, offset, WHY)
    await world.settle()

    assert told(world)[-2:] == ["certificate-refused Ответ 1", "certificate-refused Ответ 2"]
    (letter,) = world.journal(NAME, "input-dead-lettered")
    assert letter["data"]["detail"] == WHY
    assert letter["causeoffset"] == offset
    (kept,) = world.log.log(f"{NAME}.dead-letters.v1", home(world)).records
    assert b'"broken"' in (kept.value or b"")
    assert await wishes(world.stores[NAME], 1, home(world)) == {}
    await folded(world)


async def test_other_records_are_not_set_aside() -> None:
    world = await halted()
    offset = await offset_of_the_broken(world)
    store = world.stores[NAME]

    await set_aside(store, 1, home(world), PAYERS, offset - 1, WHY)
    await set_aside(store, 1, home(world), PAYERS, offset + 1, WHY)

    with pytest.raises(UndecidableError, match=r"payers\.events\.v1 \d/1"):
        await world.settle()
    assert set(await wishes(store, 1, home(world))) == {(PAYERS, offset - 1), (PAYERS, offset + 1)}


async def test_who_sets_a_record_aside_fences_the_owner() -> None:
    world = await started(child(1))
    owner = world.owner(NAME, home(world))
    assert owner is not None
    assert not await owner.is_fenced()

    await set_aside(world.stores[NAME], 1, home(world), PAYERS, 7, WHY)

    assert await owner.is_fenced()


async def test_a_journal_record_that_cannot_be_read_is_set_aside_and_the_numbers_go_on() -> None:
    world = await started(child(1))
    partition, topic = home(world), "enrollment.events.v1"
    data = {"group_id": "grp-1", "capacity": 1, "taken": 0, "waiting": 0}
    record = event("enrollment.group-changed", P, "grp-1", data)
    numbered = {"source": "/services/enrollment"}
    values = [
        json.dumps(record | numbered | {"journalseq": seq, "id": f"e:0:{seq}"}).encode()
        for seq in (1, 2, 3)
    ]
    values[1] = b"torn"
    sent = await world.bus.publish([Outgoing(topic, partition, P.encode(), v) for v in values])
    with pytest.raises(HaltError, match="cannot be read"):
        await world.settle()
    world.kill(NAME, partition)

    await set_aside(world.stores[NAME], 1, partition, topic, sent[1].offset, WHY)
    await world.settle()

    decided = world.journal(NAME, "input-dead-lettered")
    assert [one["causeoffset"] for one in decided] == [sent[1].offset]
    owner = world.owner(NAME, partition)
    assert owner is not None
    assert owner.partition.positions[topic].journalseq == 3
    await folded(world)


ANOTHER = "enrollment.events.v1"


def numbered(seq: int | None) -> bytes:
    """Return a record of another service's journal, or one like it without a number."""
    data = {"group_id": "grp-1", "capacity": 1, "taken": 0, "waiting": seq or 99}
    record = event("enrollment.group-changed", P, "grp-1", data, id=f"e:0:{seq}")
    record["source"] = "/services/enrollment"
    return json.dumps(record if seq is None else record | {"journalseq": seq}).encode()


def world_that_listens() -> World:
    """Return a world with a service that notes what another one says."""
    service = mini_service()

    @service.notes(GroupChanged)
    def group_changed(event: GroupChanged, view: View) -> Outcome:
        del event, view
        return ()

    return World([service])


def noted(world: World) -> list[int]:
    """Return the numbers of what was noted."""
    return [
        int(one["data"]["input"]["id"].rpartition(":")[2])
        for one in world.journal(NAME, "input-noted")
    ]


STRAY, TORN = numbered(None), b"torn"


@pytest.mark.parametrize(
    ("values", "strays", "expected"),
    [
        pytest.param([1, STRAY, 2, 3], [1], [1, 2, 3], id="a stray without a number"),
        pytest.param([1, 2, 1, 3], [2], [1, 2, 3], id="a stray with a number that was seen"),
        pytest.param([1, 2, 2, 3], [2], [1, 2, 3], id="a stray with the last number"),
        pytest.param([1, 2, 2, 3], [1], [1, 2, 3], id="a stray with the next number"),
        pytest.param([1, 9, 2, 3], [1], [1, 2, 3], id="a stray with a number to come"),
        pytest.param([1, TORN, 2, 3], [1], [1, 2, 3], id="a torn one that stood for none"),
        pytest.param([1, TORN, 3, 4], [1], [1, 3, 4], id="a torn one that stood for the next"),
        pytest.param([1, TORN, TORN, 4, 5], [1, 2], [1, 4, 5], id="two that stood for the next"),
        pytest.param([1, 2, 3, 4], [1], [1, 3, 4], id="one that breaks the code"),
        pytest.param([1, TORN, 4, 5], [1], None, id="a hole after a torn one"),
        pytest.param([1, STRAY, 3], [1], None, id="a hole after a stray one"),
        pytest.param([1, TORN, 2, 4], [1], None, id="a hole later on"),
    ],
)
async def test_what_is_set_aside_in_a_journal_hides_no_other_record(
    values: list[int | bytes], strays: list[int], expected: list[int] | None
) -> None:
    world = world_that_listens()
    partition = home(world)
    bytes_ = [numbered(value) if isinstance(value, int) else value for value in values]
    sent = await world.bus.publish([Outgoing(ANOTHER, partition, P.encode(), v) for v in bytes_])
    for at in strays:
        await set_aside(world.stores[NAME], 1, partition, ANOTHER, sent[at].offset, WHY)

    if expected is None:
        with pytest.raises(HaltError, match="records are missing"):
            await world.settle()
        return
    await world.settle()

    dead = world.journal(NAME, "input-dead-lettered")
    assert [one["causeoffset"] for one in dead] == [sent[at].offset for at in strays]
    assert noted(world) == expected
    await folded(world)


async def test_a_number_that_may_have_been_set_aside_is_remembered_by_the_next_owner() -> None:
    world = world_that_listens()
    partition, store = home(world), world.stores[NAME]
    records = [
        Outgoing(ANOTHER, partition, P.encode(), v) for v in (numbered(1), TORN, numbered(3))
    ]
    sent = await world.bus.publish(records[:2])
    await set_aside(store, 1, partition, ANOTHER, sent[1].offset, WHY)
    await world.settle()
    world.kill(NAME, partition)

    await world.bus.publish(records[2:])
    await world.settle()

    assert noted(world) == [1, 3]


async def test_a_dead_letter_keeps_no_headers_and_no_key_without_bounds() -> None:
    world = World([mini_service()])
    partition = home(world)
    much = (("h", bytes(1_000_000)),)
    sent = await world.bus.publish(
        [
            Outgoing(ANOTHER, partition, b"few", TORN, (("h", b"1"),)),
            *(Outgoing(ANOTHER, partition, b"much", TORN, much) for _ in range(3)),
            Outgoing(ANOTHER, partition, b"many", TORN, (("h", b""),) * 100_000),
            Outgoing(ANOTHER, partition, bytes(1_000_000), TORN),
        ]
    )
    for at in sent:
        await set_aside(world.stores[NAME], 1, partition, ANOTHER, at.offset, WHY)
    await world.settle()

    kept = world.log.log(f"{NAME}.dead-letters.v1", partition).records
    said = [(one.key, dict(one.headers)) for one in kept]
    assert [one.value for one in kept] == [TORN] * len(sent)
    assert [key for key, _ in said] == [b"few", *[b"much"] * 3, b"many", None]
    assert [headers.get("pfdo-headers-dropped") for _, headers in said] == [
        None,
        *[b"1"] * 3,
        b"100000",
        None,
    ]
    assert [headers.get("pfdo-key-dropped") for _, headers in said] == [*[None] * 5, b"1000000"]
    assert said[0][1]["h"] == b"1"
    await folded(world)


async def test_a_record_is_not_set_aside_after_all() -> None:
    world = await halted()
    offset = await offset_of_the_broken(world)
    store = world.stores[NAME]
    for why in (WHY, "Ещё раз"):
        await set_aside(store, 1, home(world), PAYERS, offset, why)
    await set_aside(store, 1, home(world), PAYERS, offset + 1, WHY)

    assert await take_back(store, 1, home(world), PAYERS, offset)
    assert not await take_back(store, 1, home(world), PAYERS, offset)

    assert set(await wishes(store, 1, home(world))) == {(PAYERS, offset + 1)}
    with pytest.raises(UndecidableError, match=r"payers\.events\.v1 \d/1"):
        await world.settle()


async def test_where_a_partition_halts_can_be_told() -> None:
    world = await halted()
    offset = await offset_of_the_broken(world)
    place = f"{PAYERS} {home(world)}/{offset}"

    assert await where_it_halts(stage(world), world.bus) == (place, "builtins.RuntimeError")
    await set_aside(world.stores[NAME], 1, home(world), PAYERS, offset, WHY)
    assert await where_it_halts(stage(world), world.bus) is None
    await world.settle()
    assert await where_it_halts(stage(world), world.bus) is None


# --- rehearsing ------------------------------------------------------------------------------


def as_record(value: bytes | None, topic: str = PAYERS) -> Record:
    return Record(topic, 0, 0, 0, P.encode(), value)


def stage(world: World) -> Stage:
    return Stage(
        world.services[NAME],
        home(world),
        world.partitions,
        world.stores[NAME],
        listening_of(NAME, world.sources, EVENTS),
    )


async def rehearsed(world: World, *values: bytes | None) -> list[Rehearsed]:
    async def records() -> AsyncIterator[Record]:
        for value in values:
            yield as_record(value)

    return await rehearse(stage(world), records)


async def test_a_rehearsal_tells_the_decisions_and_changes_nothing() -> None:
    world = await started(child(1), request(1))
    state, journal = await world.state(NAME), world.journal(NAME)
    events = [request(1, 2), request(1, 2), request(1, 3, "closed"), request(2)]

    found = await rehearsed(world, *(json.dumps(one).encode() for one in events))

    assert [(one.decision, one.reason) for one in found] == [
        ("applied", ""),
        ("duplicate", ""),
        ("refused", "unknown_period"),
        ("parked", "child:child-2"),
    ]
    assert found[0].published == ("certificates.certificate-refused.v1",)
    assert await world.state(NAME) == state
    assert world.journal(NAME) == journal


async def test_a_rehearsal_tells_what_would_really_be_decided() -> None:
    world = await started(child(1), request(1))
    events = [request(1, 2), request(1, 2, "other"), request(3), request(1, 4, "tomorrow")]

    found = await rehearsed(world, *(json.dumps(one).encode() for one in events))
    journal = world.log.log(f"{NAME}.events.v1", home(world)).records
    before = len(journal)
    await world.publish(*events)
    await world.settle()

    really = [json.loads(record.value or b"")["type"] for record in journal[before:]]
    assert [type_ for one in found for type_ in one.published] == really


async def test_a_rehearsal_goes_on_after_a_record_at_which_the_partition_would_halt() -> None:
    world = await started(child(1))
    events = [request(1), request(1, 2, "broken"), request(1, 3)]

    found = await rehearsed(world, *(json.dumps(one).encode() for one in events))

    assert [(one.decision, one.reason) for one in found] == [
        ("applied", ""),
        ("would-halt", "builtins.RuntimeError"),
        ("applied", ""),
    ]
    assert [one.halts for one in found] == [False, True, False]


async def test_a_rehearsal_keeps_nothing_of_what_it_would_have_published() -> None:
    world = await started(child(1))
    rehearsing = stage(world)

    async def records() -> AsyncIterator[Record]:
        for number in range(1, 5):
            yield as_record(json.dumps(request(1, number)).encode())

    assert len(await rehearse(rehearsing, records)) == 4

    partition = rehearsing.partition
    assert (list(partition.commit(0, {}, 0).outbox), partition.batch.outgoing) == ([], [])


async def test_a_decision_that_asks_for_more_and_more_would_halt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await started(child(1))
    asked: list[str] = []

    def decide(partition: Partition, read: Read) -> None:
        asked.append(f"child/{P}/{len(asked)}")
        raise Missing(key=asked[-1])

    monkeypatch.setattr(Partition, "decide", decide)
    (found,) = await rehearsed(world, json.dumps(request(1)).encode())

    assert found.halts
    assert len(asked) == FAULTS_MAX


async def test_what_a_record_wakes_is_rehearsed_before_the_next_one() -> None:
    world = await started()
    # It waits for the child, and will be answered first of all.
    await world.publish(request(1))
    await world.settle()
    stage_ = stage(world)

    async def records() -> AsyncIterator[Record]:
        yield as_record(json.dumps(child(1)).encode(), "navigator.events.v1")
        yield as_record(json.dumps(request(1, 2)).encode())

    await rehearse(stage_, records)

    kept = stage_.partition.memory.get(f"child/{P}/child-1")
    assert kept.answers == 2


async def test_no_rehearsal_is_told_of_a_state_that_is_folded_anew() -> None:
    world = await started(child(1), request(1))
    store = world.stores[NAME]
    standing = await store.standing(home(world), 1)
    await store.clear(home(world), 1, standing.epoch)

    with pytest.raises(NotRehearsedError, match="not whole"):
        await rehearsed(world, json.dumps(request(1, 2)).encode())


async def test_a_rehearsal_during_which_the_owner_goes_on_is_begun_anew() -> None:
    world = await started(child(1), request(1))
    store = world.stores[NAME]
    moved: list[str] = []

    async def move(point: str) -> None:
        if point == "load" and len(moved) < 2:
            moved.append(point)
            store.fault = None
            await world.publish(request(1, 10 + len(moved)))
            await world.settle()
            store.fault = move

    store.fault = move
    (found,) = await rehearsed(world, json.dumps(request(1, 11)).encode())

    assert len(moved) == 2
    assert found.decision == "duplicate"


async def test_a_rehearsal_on_a_partition_that_decides_all_the_time_is_given_up() -> None:
    world = await started(child(1), request(1))
    store = world.stores[NAME]

    async def move(point: str) -> None:
        if point == "load":
            store.fault = None
            await store.take_over(home(world), 1)
            store.fault = move

    store.fault = move
    with pytest.raises(NotRehearsedError, match="decides all the time"):
        await rehearsed(world, json.dumps(request(1, 2)).encode())
