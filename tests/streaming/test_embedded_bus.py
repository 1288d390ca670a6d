"""The bus on an embedded Valkey keeps the promises of a bus, on one host."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from streaming import embedded
from streaming.bus import Bus
from streaming.embedded import EmbeddedBus
from streaming.errors import BusUnavailableError, FencedError, HaltError, SettingError
from streaming.valkey import EmbeddedValkey
from tests.streaming.bus_behaviour import (
    PARTITIONS,
    BusBehaviour,
    Watched,
    collect,
    outgoing,
    read,
    values,
)
from tests.streaming.embedded_servers import kill_server, nothing_left_in, pid_of, server_lives

JOURNAL = "billing.events.v1"
SOURCE = "navigator.events.v1"
EVERYTHING = frozenset(range(PARTITIONS))
LONG_SECONDS = 120.0


@pytest.fixture(autouse=True)
def clean(tmp_path: Path) -> Iterator[None]:
    with nothing_left_in(tmp_path):
        yield


class TestEmbeddedBus(BusBehaviour):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self._place = tmp_path

    def connect(self) -> Bus:
        return EmbeddedBus(EmbeddedValkey(self._place), PARTITIONS)


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(EmbeddedValkey(tmp_path), PARTITIONS)
    await bus.start()
    await bus.create_topics([JOURNAL, SOURCE])
    yield bus
    await bus.stop()


@pytest.fixture
async def other_process(bus: EmbeddedBus, tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    other = EmbeddedBus(EmbeddedValkey(tmp_path), PARTITIONS)
    await other.start()
    yield other
    await other.stop()


async def test_giving_back_ends_also_if_a_cancellation_is_lost_in_an_answer(
    bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership = await bus.ownership("billing")
    await anext(ownership.changes())
    renewing = asyncio.Event()
    call = ownership._client.call

    async def deaf(*arguments: object) -> object:
        if arguments[0] != "take_lease":
            return await call(*arguments)  # type: ignore[arg-type]
        renewing.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(5)
        return await call(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ownership._client, "call", deaf)
    await asyncio.wait_for(renewing.wait(), 10)

    async with asyncio.timeout(5):
        await ownership.close()


async def test_offsets_are_dense_over_rounds_and_sources(bus: EmbeddedBus) -> None:
    writer = await bus.writer("billing", 1)

    await writer.append([outgoing(JOURNAL, 1, "0"), outgoing(JOURNAL, 1, "1")])
    await bus.publish([outgoing(JOURNAL, 1, "2")])
    appended = await writer.append([outgoing(JOURNAL, 1, "3"), outgoing(SOURCE, 1, "other")])

    assert [place.offset for place in appended] == [3, 0]
    assert [r.offset for r in await read(bus, 1, JOURNAL, count=4)] == [0, 1, 2, 3]


async def test_the_time_of_appending_never_runs_backwards(tmp_path: Path) -> None:
    clock = iter([5_000, 4_000, 6_000])
    bus = EmbeddedBus(EmbeddedValkey(tmp_path), PARTITIONS, clock_ms=lambda: next(clock))
    await bus.start()
    await bus.create_topics([JOURNAL, SOURCE])

    for number in range(3):
        await bus.publish([outgoing(JOURNAL, 0, str(number))])

    records = await read(bus, 0, JOURNAL, count=3)
    assert [record.appended_at_ms for record in records] == [5_000, 5_000, 6_000]
    await bus.stop()


async def test_a_round_to_a_topic_that_is_not_there_leaves_nothing(bus: EmbeddedBus) -> None:
    writer = await bus.writer("billing", 0)

    with pytest.raises(BusUnavailableError, match="create the topic"):
        await writer.append([outgoing(JOURNAL, 0, "fact"), outgoing("nobody.v1", 0, "lost")])
    with pytest.raises(BusUnavailableError, match="create the topic"):
        await bus.publish([outgoing(JOURNAL, 0, "fact"), outgoing(JOURNAL, PARTITIONS, "lost")])
    with pytest.raises(BusUnavailableError, match="create the topic"):
        await bus.ends(["nobody.v1"])

    assert (await bus.ends([JOURNAL]))[JOURNAL, 0] == 0


async def test_one_full_topic_fills_the_poll_alone(bus: EmbeddedBus) -> None:
    await bus.publish([outgoing(JOURNAL, 0, str(number)) for number in range(100)])
    await bus.publish([outgoing(SOURCE, 0, "only")])
    reader = await bus.reader(0, {JOURNAL: 0, SOURCE: 0})

    polled = await reader.poll([JOURNAL, SOURCE], 50, 0.0)

    assert {topic: len(found) for topic, found in polled.records.items()} == {
        JOURNAL: 49,
        SOURCE: 1,
    }
    assert polled.ended == {SOURCE}


async def test_a_poll_of_one_record_starves_no_topic(bus: EmbeddedBus) -> None:
    await bus.publish([outgoing(topic, 0, "x") for topic in (JOURNAL, SOURCE) for _ in range(3)])
    reader = await bus.reader(0, {JOURNAL: 0, SOURCE: 0})

    polls = [await reader.poll([JOURNAL, SOURCE], 1, 0.0) for _ in range(4)]

    assert sorted(topic for polled in polls for topic in polled.records) == [
        JOURNAL,
        JOURNAL,
        SOURCE,
        SOURCE,
    ]


async def test_a_topic_that_grew_with_the_one_that_woke_the_poll_has_not_ended(
    bus: EmbeddedBus,
) -> None:
    reader = await bus.reader(0, {JOURNAL: 0, SOURCE: 0})
    writer = await bus.writer("billing", 0)
    for _ in range(10):
        waiting = asyncio.create_task(reader.poll([JOURNAL, SOURCE], 10, 5.0))
        await asyncio.sleep(0.02)

        await writer.append([outgoing(JOURNAL, 0, "fact"), outgoing(SOURCE, 0, "command")])

        polled = await waiting
        assert set(polled.records) == {JOURNAL, SOURCE}
        assert polled.ended == {JOURNAL, SOURCE}


async def test_a_position_beyond_the_end_halts(bus: EmbeddedBus) -> None:
    await bus.publish([outgoing(JOURNAL, 0, "only")])
    reader = await bus.reader(0, {JOURNAL: 2})

    with pytest.raises(HaltError, match="ends at 1, reading stands at 2"):
        await reader.poll([JOURNAL], 10, 0.0)


async def test_the_number_of_partitions_cannot_change(bus: EmbeddedBus, tmp_path: Path) -> None:
    other = EmbeddedBus(EmbeddedValkey(tmp_path), PARTITIONS + 1)

    with pytest.raises(SettingError, match=f"set PFDO_PARTITIONS={PARTITIONS}"):
        await other.start()


async def test_another_installation_has_another_identity(bus: EmbeddedBus, tmp_path: Path) -> None:
    other = EmbeddedBus(EmbeddedValkey(tmp_path / "other"), PARTITIONS)
    await other.start()

    assert await other.identity() != await bus.identity()
    await other.stop()


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = EmbeddedBus(EmbeddedValkey(tmp_path), PARTITIONS)
    await first.start()
    await first.create_topics([JOURNAL, SOURCE])
    older = await first.writer("billing", 0)
    await older.append([outgoing(JOURNAL, 0, "before")])
    identity = await first.identity()
    await first.stop()

    second = EmbeddedBus(EmbeddedValkey(tmp_path), PARTITIONS)
    await second.start()
    newer = await second.writer("billing", 0)
    await newer.append([outgoing(JOURNAL, 0, "after")])

    assert await second.identity() == identity
    assert set(await second.create_topics([JOURNAL, SOURCE])) == set()
    assert values(await read(second, 0, JOURNAL, count=2)) == ["before", "after"]
    await second.stop()


async def somebody_waits(bus: EmbeddedBus) -> None:
    """Return when the server lets somebody wait for records."""
    server = bus._client._server
    assert isinstance(server, EmbeddedValkey)
    client = Redis(unix_socket_path=str(server.socket_path))
    async with asyncio.timeout(30):
        while (await client.info("clients"))["blocked_clients"] == 0:
            await asyncio.sleep(0.01)
    await client.aclose()


async def test_a_killed_server_is_unavailable_once_then_there_again(
    bus: EmbeddedBus, other_process: EmbeddedBus, tmp_path: Path
) -> None:
    writer = await bus.writer("billing", 0)
    await writer.append([outgoing(JOURNAL, 0, "before")])
    reader = await other_process.reader(0, {JOURNAL: 1})
    waiting = asyncio.create_task(reader.poll([JOURNAL], 10, 30.0))
    await somebody_waits(bus)

    kill_server(tmp_path)

    with pytest.raises(BusUnavailableError):
        await waiting
    with pytest.raises(BusUnavailableError):
        await writer.append([outgoing(JOURNAL, 0, "in doubt")])
    with pytest.raises(BusUnavailableError, match="in doubt"):
        await writer.append([outgoing(JOURNAL, 0, "never by this writer")])
    heir = await bus.writer("billing", 0)
    await heir.append([outgoing(JOURNAL, 0, "after")])
    assert values((await reader.poll([JOURNAL], 10, 5.0)).records[JOURNAL]) == ["after"]
    assert values(await read(other_process, 0, JOURNAL, count=2)) == ["before", "after"]


async def test_a_kill_in_the_middle_of_rounds_halves_none(bus: EmbeddedBus, tmp_path: Path) -> None:
    writer = await bus.writer("billing", 0)
    acknowledged = 0

    async def append_until_it_breaks() -> None:
        nonlocal acknowledged
        while True:
            await writer.append(
                [outgoing(topic, 0, "x" * 500) for topic in (JOURNAL, SOURCE) for _ in range(50)]
            )
            acknowledged += 1

    appending = asyncio.create_task(append_until_it_breaks())
    while acknowledged == 0 and not appending.done():
        await asyncio.sleep(0.01)
    kill_server(tmp_path)
    with pytest.raises(BusUnavailableError):
        await appending

    ends = await bus.ends([JOURNAL, SOURCE])
    assert acknowledged > 0
    assert ends[JOURNAL, 0] == ends[SOURCE, 0]
    assert ends[JOURNAL, 0] in (50 * acknowledged, 50 * (acknowledged + 1))
    assert len(await read(bus, 0, JOURNAL, count=ends[JOURNAL, 0])) == ends[JOURNAL, 0]


async def test_a_second_member_waits_until_the_first_leaves(
    bus: EmbeddedBus, other_process: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than anything here waits: a lease that is not given back is not had.
    monkeypatch.setattr(embedded, "LEASE_SECONDS", LONG_SECONDS)
    ours = await bus.ownership("billing")
    first = Watched(ours)
    await first.reaches(lambda: first.now == EVERYTHING)
    second = Watched(await other_process.ownership("billing"))
    elsewhere = Watched(await other_process.ownership("certificates"))
    await elsewhere.reaches(lambda: elsewhere.now == EVERYTHING)
    await asyncio.sleep(0.5)
    waited = second.now

    await ours.close()
    await second.reaches(lambda: second.now == EVERYTHING)

    assert waited == frozenset()


OWNER = """
import asyncio, sys
from pathlib import Path
from streaming import embedded
from streaming.embedded import EmbeddedBus
from streaming.valkey import EmbeddedValkey
from tests.streaming.bus_behaviour import outgoing

async def main():
    embedded.LEASE_SECONDS = float(sys.argv[4])
    bus = EmbeddedBus(EmbeddedValkey(Path(sys.argv[1])), int(sys.argv[2]))
    await bus.start()
    async for owned in (await bus.ownership("billing")).changes():
        if owned:
            writer = await bus.writer("billing", 0)
            await writer.append([outgoing(sys.argv[3], 0, "by the first")])
        print(len(owned), flush=True)
        if not owned:
            try:
                await writer.append([outgoing(sys.argv[3], 0, "by a zombie")])
            except Exception as error:
                print(type(error).__name__, flush=True)
            await bus.stop()
            return

asyncio.run(main())
"""


async def owner_elsewhere(
    directory: Path, lease_seconds: float = embedded.LEASE_SECONDS
) -> asyncio.subprocess.Process:
    """Return another process that owns the partitions of billing."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OWNER,
        str(directory),
        str(PARTITIONS),
        JOURNAL,
        str(lease_seconds),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert await next_line(process) == str(PARTITIONS)
    return process


async def next_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def test_the_lease_of_a_killed_process_is_taken_at_once(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    process = await owner_elsewhere(tmp_path, LONG_SECONDS)
    heir = Watched(await bus.ownership("billing"))
    await asyncio.sleep(0.3)
    waited = heir.now

    process.kill()
    await process.wait()
    await heir.reaches(lambda: heir.now == EVERYTHING)

    assert waited == frozenset()


async def test_a_paused_owner_loses_the_lease_and_wakes_up_fenced(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    process = await owner_elsewhere(tmp_path)
    heir = Watched(await bus.ownership("billing"))

    process.send_signal(signal.SIGSTOP)
    await heir.reaches(lambda: heir.now == EVERYTHING)
    writer = await bus.writer("billing", 0)
    await writer.append([outgoing(JOURNAL, 0, "by the heir")])
    process.send_signal(signal.SIGCONT)

    assert await next_line(process) == "0"
    assert await next_line(process) == FencedError.__name__
    assert await process.wait() == 0
    await writer.append([outgoing(JOURNAL, 0, "by the heir again")])
    assert values(await read(bus, 0, JOURNAL, count=3)) == [
        "by the first",
        "by the heir",
        "by the heir again",
    ]


async def test_an_owner_keeps_its_partitions_over_a_killed_server(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    ownership = await bus.ownership("billing")
    watching = asyncio.create_task(collect(ownership))
    await until(lambda: ownership._held_until > 0)
    killed = pid_of(tmp_path)
    kill_server(tmp_path)
    # Who asks for the lease again starts it again.
    await until(lambda: server_lives(tmp_path) and (tmp_path / "valkey.pid").exists())
    killed_at = time.monotonic()
    await until(lambda: ownership._held_until - embedded.LEASE_SECONDS > killed_at)
    await ownership.close()

    assert pid_of(tmp_path) != killed
    assert await watching == [EVERYTHING]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)
