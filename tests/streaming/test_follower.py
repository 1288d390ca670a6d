"""Following journals into read models."""

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import pytest
from msgspec import Struct
from msgspec.structs import replace

import streaming.follower
from contracts.certificates import CertificateRefused
from contracts.envelope import Envelope
from contracts.payers import CertificateFreezeSet
from contracts.registry import EVENTS
from streaming import memory
from streaming.bus import Outgoing, Polled
from streaming.errors import FencedError, HaltError, UnshownError
from streaming.follower import Follower, Models, Projection, is_behind
from streaming.host import FAILURES_BEFORE_HALT, Host
from streaming.memory import MemoryBus, MemoryReader
from streaming.memory_store import MemoryStore
from streaming.store import Commit
from streaming.telemetry import Telemetry
from tests.support.dumped import dumped
from tests.support.mini_service import mini_service
from tests.support.world import World, day, event

P = "25701000"
TOPIC = "certificates.events.v1"


class Answers(Struct, frozen=True, kw_only=True):
    """How many answers a child got, and what was asked last."""

    count: int = 0
    asked: str = ""


def projection(broken: str = "none") -> Projection:
    """Return a projection that breaks at the answer to what was asked with this reason."""
    projected = Projection(
        name="cabinet",
        state_version=1,
        kinds={"answers": Answers},
        events=EVENTS,
        topics=(TOPIC,),
    )

    @projected.of(CertificateRefused)
    def answered(fact: CertificateRefused, envelope: Envelope, models: Models) -> None:
        key = f"{envelope.partitionkey}/{fact.child_id}"
        known = models.find(Answers, key) or Answers()
        models.put(key, replace(known, count=known.count + 1))
        if known.asked == broken:
            raise KeyError("a defect of the projector")
        models.add("answered", fact.child_id)

    @projected.of_input("certificates", CertificateFreezeSet)
    def asked(data: CertificateFreezeSet, envelope: Envelope, models: Models) -> None:
        key = f"{envelope.partitionkey}/{data.child_id}"
        known = models.find(Answers, key) or Answers()
        models.put(key, replace(known, asked=data.reason))

    return projected


def freeze(child_id: str, revision: int, reason: str) -> dict[str, Any]:
    data = {"child_id": child_id, "frozen": True, "reason": reason, "revision": revision}
    return event("payers.certificate-freeze-set", P, child_id, data)


def registered(child_id: str) -> dict[str, Any]:
    data = {
        "child_id": child_id,
        "birth_date": "2010-01-01",
        "guardian_ids": ["guard-1"],
        "benefits": [],
        "revision": 1,
    }
    return event("navigator.child-registered", P, child_id, data)


async def world_with_answers(number: int) -> World:
    world = World([mini_service()], partitions=1)
    await world.publish(day("2020-08-30"), registered("child-1"))
    for revision in range(1, number + 1):
        await world.publish(freeze("child-1", revision, f"reason {revision}"))
    await world.publish(freeze("child-1", number + 1, "closed"))
    await world.settle()
    return world


async def caught_up(world: World, store: MemoryStore) -> Follower:
    follower = Follower(projection(), 0, world.bus, store, Telemetry())
    await follower.take_over()
    await read_on(follower)
    return follower


async def read_on(follower: Follower) -> None:
    while await follower.step(0.0):
        pass


async def models_of(store: MemoryStore) -> Mapping[str, Any]:
    kept = await dumped(store, 0, 1)
    return {key: json.loads(value) if value else None for key, value in kept.items()}


EXPECTED = {
    f"key/answers/{P}/child-1": {"count": 3, "asked": "reason 3"},
    "index/answered/child-1": None,
}


async def test_facts_and_accepted_inputs_are_projected_and_refused_ones_are_not() -> None:
    world, store = await world_with_answers(3), MemoryStore()
    await caught_up(world, store)

    assert await models_of(store) == EXPECTED
    standing = await store.standing(0, 1)
    assert standing.fields["day"] == b"2020-08-30"


async def test_it_goes_on_where_it_was_and_counts_nothing_twice() -> None:
    world, store = await world_with_answers(3), MemoryStore()
    await caught_up(world, store)
    await caught_up(world, store)

    assert await models_of(store) == EXPECTED


async def test_models_say_for_how_long_something_may_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming.follower, "BATCH_RECORDS_MAX", 1)
    world, store = await world_with_answers(3), MemoryStore()
    told = [is_behind(await store.standing(0, 1))]
    follower = Follower(projection(), 0, world.bus, store, Telemetry())
    await follower.take_over()
    while await follower.step(0.0):
        told.append(is_behind(await store.standing(0, 1)))
    told.append(is_behind(await store.standing(0, 1)))

    assert told[0], "nothing is there yet"
    assert len(told) > 4
    assert told == sorted(told, reverse=True)
    assert not told[-1]

    # What comes later is no outage.
    await world.publish(freeze("child-1", 9, "later"))
    await world.settle()
    assert await follower.step(0.0)
    assert not is_behind(await store.standing(0, 1))


async def test_an_owner_after_one_that_was_killed_while_it_read_says_when_all_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming.follower, "BATCH_RECORDS_MAX", 1)
    world, store = await world_with_answers(3), MemoryStore()
    first = Follower(projection(), 0, world.bus, store, Telemetry())
    await first.take_over()
    while first.seq == 0:
        await first.step(0.0)
    assert is_behind(await store.standing(0, 1))

    await caught_up(world, store)

    assert not is_behind(await store.standing(0, 1))


async def test_models_that_went_back_or_were_wiped_are_read_again() -> None:
    world, store = await world_with_answers(3), MemoryStore()
    await caught_up(world, store)
    store.wipe()
    await caught_up(world, store)

    assert await models_of(store) == EXPECTED


async def test_what_a_batch_asks_for_is_loaded_in_few_round_trips() -> None:
    world, store = World([mini_service()], partitions=1), MemoryStore()
    await world.publish(day("2020-08-30"))
    children = [f"child-{number}" for number in range(100)]
    await world.publish(*map(registered, children))
    await world.publish(*(freeze(child_id, 1, "reason") for child_id in children))
    await world.settle()
    points: list[str] = []
    store.fault = points.append

    await caught_up(world, store)

    assert len(await models_of(store)) == 2 * len(children)
    assert 0 < points.count("load") <= 5


class SlowTopic(MemoryReader):
    """The end of a second topic is not known yet, so that nothing can be taken."""

    asked_seconds: ClassVar[list[float]] = []

    async def poll(
        self, topics: Collection[str], records_max: int, timeout_seconds: float
    ) -> Polled:
        self.asked_seconds.append(timeout_seconds)
        polled = await super().poll(topics, records_max, 0.0)
        return replace(polled, ended=polled.ended - {"billing.events.v1"})


async def test_records_that_another_topic_holds_back_are_waited_for_and_not_asked_for_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await world_with_answers(2)
    monkeypatch.setattr(memory, "MemoryReader", SlowTopic)
    held_back = projection()
    held_back.topics = (TOPIC, "billing.events.v1")
    follower = Follower(held_back, 0, world.bus, MemoryStore(), Telemetry())
    await follower.take_over()
    await follower.step(0.25)

    SlowTopic.asked_seconds.clear()
    assert [await follower.step(0.25) for _ in range(3)] == [True] * 3

    assert SlowTopic.asked_seconds == [0.25] * 3


async def test_the_business_day_does_not_go_back_at_a_restart() -> None:
    world, store = await world_with_answers(1), MemoryStore()
    follower = await caught_up(world, store)
    tomorrow = Commit(expected_seq=follower.seq, fields={"day": b"2020-08-31"})
    await store.commit(0, 1, follower.epoch, tomorrow)

    await world.publish(freeze("child-1", 9, "of the day before"))
    await world.settle()
    await caught_up(world, store)

    assert (await store.standing(0, 1)).fields["day"] == b"2020-08-31"


async def test_models_of_another_installation_are_dropped() -> None:
    other, store = await world_with_answers(7), MemoryStore()
    await caught_up(other, store)
    world = await world_with_answers(3)
    world.log.identity = "another"
    await caught_up(world, store)

    assert await models_of(store) == EXPECTED


async def test_a_paused_follower_that_wakes_up_is_fenced() -> None:
    world, store = await world_with_answers(1), MemoryStore()
    paused = await caught_up(world, store)
    await caught_up(world, store)
    await world.publish(freeze("child-1", 9, "later"))
    await world.settle()

    with pytest.raises(FencedError):
        await read_on(paused)
    assert await paused.is_fenced()


async def test_a_hole_stops_it() -> None:
    world, store = await world_with_answers(3), MemoryStore()
    records = world.log.log(TOPIC, 0).records
    del records[3]

    with pytest.raises(HaltError, match="records are missing"):
        await caught_up(world, store)


async def test_a_record_that_stands_twice_counts_once() -> None:
    world, store = await world_with_answers(3), MemoryStore()
    again = world.log.log(TOPIC, 0).records[-2]
    bus = MemoryBus(1, world.log)
    await bus.publish([Outgoing(TOPIC, 0, again.key, again.value, again.headers)])
    await caught_up(world, store)

    assert await models_of(store) == EXPECTED


async def poisoned(bytes_: bytes | None) -> tuple[World, Projection, str]:
    """Return a world with a record that cannot be shown, a projection of it, and the place."""
    world = await world_with_answers(3)
    records = world.log.log(TOPIC, 0).records
    answers = [n for n, r in enumerate(records) if b"certificate-refused" in (r.value or b"")]
    at = answers[-1]
    if bytes_ is None:
        return world, projection("reason 3"), f"{TOPIC} 0/{records[at].offset}"
    records[at] = replace(records[at], value=bytes_)
    return world, projection(), f"{TOPIC} 0/{records[at].offset}"


@pytest.mark.parametrize("bytes_", [None, b"torn", b"{}"], ids=["a projector", "torn", "no event"])
async def test_a_record_that_cannot_be_shown_is_named_and_all_before_it_is_shown(
    bytes_: bytes | None,
) -> None:
    world, broken, place = await poisoned(bytes_)
    store = MemoryStore()
    follower = Follower(broken, 0, world.bus, store, Telemetry())
    await follower.take_over()

    with pytest.raises(UnshownError) as raised:
        await read_on(follower)

    assert raised.value.place == place
    assert await models_of(store) == {
        f"key/answers/{P}/child-1": {"count": 2, "asked": "reason 2"},
        "index/answered/child-1": None,
    }


async def test_a_follower_halts_at_a_record_that_cannot_be_shown() -> None:
    world, broken, place = await poisoned(None)
    store, telemetry = MemoryStore(), Telemetry()

    def owner(partition: int) -> Follower:
        return Follower(broken, partition, world.bus, store, telemetry)

    host = Host(world.bus, {"cabinet": owner}, telemetry)
    task = asyncio.create_task(host.run())
    try:
        async with asyncio.timeout(20):
            while not host.halted:
                await asyncio.sleep(0.01)
        told = host.halted["cabinet", 0]
    finally:
        host.stop()
        await task

    assert place in told
    assert f"{FAILURES_BEFORE_HALT} times" in told
    assert "builtins.KeyError" in told
