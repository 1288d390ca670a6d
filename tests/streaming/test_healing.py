"""What a store or a topic that is not what it was is healed to, or the message it halts with."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from streaming.bus import Outgoing
from streaming.errors import FencedError, HaltError, StoreUnavailableError
from streaming.follower import Follower
from streaming.memory_store import MemoryStore
from streaming.outbox import pack
from streaming.processor import POSITION_FIELDS, Processor
from streaming.redis_store import RedisStore
from streaming.store import Store
from streaming.telemetry import Telemetry
from streaming.valkey import EmbeddedValkey
from tests.streaming.test_follower import EXPECTED, models_of, projection, world_with_answers
from tests.streaming.test_processor import (
    NAME,
    P,
    check_journal,
    child,
    home,
    request,
    started,
    taken_over_and_read,
    told,
)
from tests.support.dumped import dumped
from tests.support.mini_service import mini_service
from tests.support.world import World, day

ROOT = Path(__file__).parents[2]
VERSION = 1


def hurt(world: World, how: Callable[[Any], None]) -> None:
    """Change what the store of the partition at home holds, behind everybody's back."""
    how(world.stores[NAME]._now.kept[home(world), VERSION])


def without(name: str) -> Callable[[Any], None]:
    return lambda kept: kept.fields.pop(name)


def cut(name: str) -> Callable[[Any], None]:
    def halve(kept: Any) -> None:
        kept.fields[name] = kept.fields[name][: len(kept.fields[name]) // 2]

    return halve


def forgets_the_position(kept: Any) -> None:
    """Leave everything but the position record."""
    kept.fields.clear()
    kept.outbox.clear()
    kept.seq = 0
    kept.values["child/25701000/child-remains"] = b"{}"
    kept.indexes["_ready"] = ["000000000000001|payers.events.v1|0"]


# --- a store that is half there ----------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        *(pytest.param(without(name), id=f"no {name}") for name in POSITION_FIELDS),
        *(
            pytest.param(cut(name), id=f"half of {name}")
            for name in ("positions", "journal", "published")
        ),
        pytest.param(forgets_the_position, id="no position record"),
    ],
)
async def test_a_store_whose_position_record_is_not_whole_is_folded_anew(
    how: Callable[[Any], None],
) -> None:
    world = await started(child(1), request(1), request(2), request(1, 2))
    before, said = await world.state(NAME), told(world)
    hurt(world, how)
    world.kill(NAME, home(world))
    await world.settle()

    assert await world.state(NAME) == before
    assert told(world) == said
    await world.publish(child(2), request(1, 2, id="copy"), request(1, 3))
    await world.settle()
    assert world.decisions(NAME)["copy"] == ["duplicate"]
    assert told(world)[-1] == "certificate-refused Ответ 3"
    check_journal(world)


async def test_a_store_that_did_half_a_commit_again_is_folded_anew_while_its_owner_lives() -> None:
    world = await started(child(1), request(1), request(1, 2))
    calm = await started(child(1), request(1), request(1, 2), request(1, 3))
    said = told(world)
    hurt(world, lambda kept: kept.values.pop(f"child/{P}/child-1"))
    hurt(world, lambda kept: setattr(kept, "is_whole", False))
    owner = world.owner(NAME, home(world))
    assert owner is not None
    assert not await owner.still_owner()

    await world.publish(request(1, 3))
    await world.settle()

    assert told(world) == [*said, "certificate-refused Ответ 3"]
    assert await world.state(NAME) == await calm.state(NAME)
    check_journal(world)


async def test_a_store_whose_outbox_came_back_with_what_was_published_is_folded_anew() -> None:
    """A Redis that lost the end of its file did so: it had pushed, and forgot the rest."""
    world = await started(child(1), request(1), request(1, 2))
    before, said = await world.state(NAME), told(world)
    topic = f"{NAME}.events.v1"
    *_, last = world.log.log(topic, home(world)).records
    again = pack(Outgoing(topic, home(world), last.key, last.value, last.headers))
    hurt(world, lambda kept: kept.outbox.append(again))
    hurt(world, lambda kept: kept.values.pop(f"child/{P}/child-1"))
    world.kill(NAME, home(world))
    await world.settle()

    assert await world.state(NAME) == before
    assert told(world) == said
    await world.publish(request(1, 3))
    await world.settle()
    assert told(world)[-1] == "certificate-refused Ответ 3"
    check_journal(world)


async def test_keys_that_are_gone_are_there_again_after_a_rebuild() -> None:
    world = await started(child(1), request(1), request(1, 2))
    before = await world.state(NAME)
    hurt(world, lambda kept: kept.values.pop(f"child/{P}/child-1"))
    hurt(world, lambda kept: kept.indexes.clear())
    assert await world.state(NAME) != before
    world.kill(NAME, home(world))

    owner = world.start_owner(NAME, home(world))
    await owner.take_over()
    await owner.rebuild()

    assert await world.state(NAME) == before
    await owner.close()


async def test_another_version_of_the_state_is_folded_from_the_journal_beside_the_old_one() -> None:
    world = await started(child(1), request(1))
    before, said = await world.state(NAME), told(world)
    world.services[NAME].state_version = 2
    for partition in range(world.partitions):
        world.kill(NAME, partition)
    await world.settle()

    assert await world.state(NAME) == before
    assert told(world) == said
    # An older version that runs again still finds its own.
    assert (home(world), VERSION) in world.stores[NAME]._now.kept


def does_half_a_commit(kept: Any) -> None:
    kept.values.pop(next(iter(kept.values)))
    kept.is_whole = False


@pytest.mark.parametrize(
    "how", [without("positions"), without("bus"), cut("positions"), does_half_a_commit]
)
async def test_read_models_whose_position_record_is_not_whole_are_read_again(
    how: Callable[[Any], None],
) -> None:
    world = await world_with_answers(3)
    store = MemoryStore()
    await _followed(world, store)
    how(store._now.kept[0, 1])

    await _followed(world, store)

    assert await models_of(store) == EXPECTED


async def _followed(world: World, store: MemoryStore) -> None:
    follower = Follower(projection(), 0, world.bus, store, Telemetry())
    await follower.take_over()
    while await follower.step(0.0):
        pass
    await follower.close()


# --- topics ------------------------------------------------------------------------------------


async def test_an_own_journal_made_anew_halts_even_if_it_has_grown_as_long() -> None:
    world = await started(child(1), request(1))
    topic = f"{NAME}.events.v1"
    length = world.log.log(topic, home(world)).end
    world.log._logs[topic] = World([mini_service()]).log._logs[topic]
    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match="cut or made anew"):
        await owner.take_over()

    await world.bus.publish([Outgoing(topic, home(world), None, b"{}") for _ in range(length + 3)])
    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match="damaged: restore it"):
        await owner.take_over()


async def test_inputs_gone_by_retention_that_no_journal_covers_halt() -> None:
    world = await started(child(1), request(1))
    topic = "payers.events.v1"
    log = world.log.log(topic, home(world))
    world.log.trim(topic, home(world), log.end)
    for partition in range(world.partitions):
        world.kill(NAME, partition)
    world.stores[NAME].wipe()
    journal = world.log.log(f"{NAME}.events.v1", home(world))
    journal.records.clear()
    journal.end = 0

    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match=r"no journal says .* Set retention.ms=-1"):
        await owner.take_over()


# --- a journal longer than memory --------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "valkey"])
async def test_a_fold_in_little_memory_gives_what_one_in_much_memory_gives(
    where: str, tmp_path: Path
) -> None:
    children = 60
    events = [e for n in range(children) for e in (child(n), request(n), request(n, 2))]
    early = [request(number, 7) for number in range(children, children + 20)]
    world = await started(*events, *early)
    await world.publish(day("2020-08-31"), *(child(n) for n in range(children, children + 10)))
    await world.settle()
    partition = home(world)
    assert world.log.log(f"{NAME}.events.v1", partition).end > 200

    folded = []
    for cached_max in (100_000, 2):
        store: Store = MemoryStore()
        if where == "valkey":
            store = RedisStore(EmbeddedValkey(tmp_path / str(cached_max)), service=NAME)
        await store.start()
        owner = Processor(
            world.services[NAME],
            partition,
            world.bus,
            store,
            tuple(world.start_owner(NAME, partition).partition.listening.values()),
            Telemetry(),
            cached_max=cached_max,
        )
        await owner.take_over()
        assert len(owner.partition.memory._cache) <= cached_max
        folded.append(await dumped(store, partition, VERSION))
        await owner.close()
        await store.stop()

    assert folded[0] == folded[1] == (await world.state(NAME))[partition]
    assert len(folded[0]) > 100


async def many() -> World:
    return await started(*(event for n in range(20) for event in (child(n), request(n))))


@pytest.mark.parametrize("point", ["commit.before", "commit.after"])
async def test_a_rebuild_killed_in_between_is_begun_again(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.processor.BATCH_CHANGES_MAX", 7)
    world = await many()
    store, before = world.stores[NAME], await world.state(NAME)
    journal = list(world.log.log(f"{NAME}.events.v1", home(world)).records)
    killed_at: list[int] = []
    for last in range(1, 1_000):
        struck = 0

        def strike(here: str, last: int = last) -> None:
            nonlocal struck
            struck += here == point
            if struck == last:
                raise StoreUnavailableError("killed")

        world.kill(NAME, home(world))
        owner = world.start_owner(NAME, home(world))
        await owner.take_over()
        store.fault = strike
        try:
            await owner.rebuild()
        except StoreUnavailableError:
            killed_at.append(last)
        else:
            break
        finally:
            store.fault = None
        world.kill(NAME, home(world))
        await world.settle()
        assert await world.state(NAME) == before

    assert len(killed_at) > 10
    assert list(world.log.log(f"{NAME}.events.v1", home(world)).records) == journal


async def test_a_state_that_is_not_all_there_yet_is_nobodys_to_decide_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streaming.processor.BATCH_CHANGES_MAX", 7)
    world = await many()
    store, before = world.stores[NAME], await world.state(NAME)
    world.kill(NAME, home(world))
    slow, fast = world.start_owner(NAME, home(world)), world.start_owner(NAME, home(world))
    await slow.take_over()
    portions = 0

    async def wake_the_other() -> None:
        # In the middle of what it writes, another takes over.
        store.fault = None
        await fast.take_over()

    def strike(here: str) -> Awaitable[None] | None:
        nonlocal portions
        portions += here == "commit.before"
        return wake_the_other() if portions == 3 else None

    store.fault = strike
    with pytest.raises(FencedError):
        await slow.rebuild()

    assert await fast.still_owner()
    assert await world.state(NAME) == before
    await slow.close()
    await fast.close()


# --- what a person is told ---------------------------------------------------------------------

RUNBOOK = ROOT / "docs" / "runbooks" / "partition-halted.md"


async def test_each_message_that_halts_says_what_to_do_and_the_runbook_knows_it() -> None:
    runbook = RUNBOOK.read_text(encoding="utf-8")
    halts = {
        "belongs to bus": (_foreign, "Connect the right bus"),
        "cut or made anew": (_cut, "Restore it"),
        "damaged": (_edited, "restore it"),
        "records are missing": (_hole, "Restore the topic"),
        "are gone": (_trimmed, "Set retention.ms=-1"),
        "holds what cannot be read": (_unreadable, f"pfdo rebuild {NAME}"),
    }

    for words, (halted, remedy) in halts.items():
        message = await halted()
        assert words in message
        assert remedy in message
        assert f'"{words}"' in runbook


async def _message(world: World) -> str:
    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError) as told_:
        await taken_over_and_read(owner)
    return str(told_.value)


async def _foreign() -> str:
    world = await started(child(1))
    world.log.identity = "another"
    return await _message(world)


async def _cut() -> str:
    world = await started(child(1), request(1))
    log = world.log.log(f"{NAME}.events.v1", home(world))
    del log.records[-1]
    log.end = log.records[-1].offset + 1
    return await _message(world)


async def _edited() -> str:
    world = await started(child(1), request(1))
    world.stores[NAME].wipe()
    del world.log.log(f"{NAME}.events.v1", home(world)).records[1]
    return await _message(world)


async def _hole() -> str:
    world = await started(child(1))
    for seq in (1, 3):
        record = {
            "specversion": "1.0",
            "id": f"enrollment:0:{seq}",
            "source": "/services/enrollment",
            "type": "enrollment.group-changed.v1",
            "time": "2020-08-30T10:00:00+08:00",
            "subject": "grp-1",
            "partitionkey": P,
            "journalseq": seq,
            "data": {"group_id": "grp-1", "capacity": 1, "taken": 0, "waiting": 0},
        }
        value = json.dumps(record).encode()
        topic = "enrollment.events.v1"
        await world.bus.publish([Outgoing(topic, home(world), P.encode(), value)])
    return await _message(world)


async def _unreadable() -> str:
    world = await started(child(1))
    kept = world.stores[NAME]._now.kept[home(world), VERSION]
    kept.values[f"child/{P}/child-1"] = b"{"
    await world.publish(request(1))
    return await _message(world)


async def _trimmed() -> str:
    world = World([mini_service()])
    await world.publish(child(1), child(2))
    world.log.trim("navigator.events.v1", home(world), 1)
    return await _message(world)


def test_what_makes_a_position_record_whole_is_what_each_commit_writes() -> None:
    partition = World([mini_service()]).start_owner(NAME, 0).partition
    fields = {"bus": b"", "published": orjson.dumps([]), "idle": b"1"}

    commit = partition.commit(0, fields, 0)

    assert set(commit.fields) == set(POSITION_FIELDS)
