"""The bus in memory keeps the promises of a bus, and plays the faults it is asked for."""

import pytest

from streaming.bus import Bus
from streaming.errors import BusUnavailableError, FencedError, HaltError, SettingError
from streaming.memory import MemoryBus, MemoryLog
from tests.streaming.bus_behaviour import (
    PARTITIONS,
    SharedBusBehaviour,
    outgoing,
    read,
    values,
)

JOURNAL = "billing.events.v1"


class TestMemoryBus(SharedBusBehaviour):
    @pytest.fixture(autouse=True)
    def log(self) -> None:
        self._log = MemoryLog(PARTITIONS)

    def connect(self) -> Bus:
        return MemoryBus(PARTITIONS, self._log)


class TestMemoryBusWithGaps(SharedBusBehaviour):
    @pytest.fixture(autouse=True)
    def log(self) -> None:
        self._log = MemoryLog(PARTITIONS, gaps=True)

    def connect(self) -> Bus:
        return MemoryBus(PARTITIONS, self._log)


class CrashError(Exception):
    """A process that dies at this point."""


class Faults:
    """Fails once, at the point it was told."""

    def __init__(self) -> None:
        self.at = ""

    def __call__(self, point: str, subject: str) -> None:
        if self.at == f"{point} {subject}":
            self.at = ""
            raise CrashError


def opened(log: MemoryLog, faults: Faults) -> MemoryBus:
    log.create([JOURNAL])
    return MemoryBus(log.partitions, log, fault=faults)


@pytest.mark.parametrize(
    ("point", "stands"),
    [("append:before", []), ("append:inside", []), ("append:after", ["fact"])],
)
async def test_a_crash_around_a_round_leaves_all_of_it_or_nothing(
    point: str, stands: list[str]
) -> None:
    faults = Faults()
    bus = opened(MemoryLog(2, gaps=True), faults)
    writer = await bus.writer("billing", 1)
    faults.at = f"{point} billing-1"

    with pytest.raises(CrashError):
        await writer.append([outgoing(JOURNAL, 1, "fact")])

    assert values(await read(bus, 1, JOURNAL, count=len(stands))) == stands


async def test_an_aborted_round_leaves_a_hole_that_readers_step_over() -> None:
    faults = Faults()
    bus = opened(MemoryLog(2, gaps=True), faults)
    writer = await bus.writer("billing", 1)
    faults.at = "append:inside billing-1"
    with pytest.raises(CrashError):
        await writer.append([outgoing(JOURNAL, 1, "aborted"), outgoing(JOURNAL, 1, "too")])

    (appended,) = await writer.append([outgoing(JOURNAL, 1, "fact")])
    reader = await bus.reader(1, {JOURNAL: 0})
    polled = await reader.poll([JOURNAL], 10, 0.0)

    assert appended.offset == 3
    assert values(polled.records[JOURNAL]) == ["fact"]
    assert polled.next_offsets == {JOURNAL: 5}
    assert (await bus.ends([JOURNAL]))[JOURNAL, 1] == 5


async def test_a_round_is_fenced_if_the_heir_comes_while_it_is_under_way() -> None:
    log = MemoryLog(1)
    log.create([JOURNAL])

    def heir_comes(point: str, _subject: str) -> None:
        if point == "append:inside":
            log.next_epoch("billing", 0)

    writer = await MemoryBus(1, log, fault=heir_comes).writer("billing", 0)

    with pytest.raises(FencedError):
        await writer.append([outgoing(JOURNAL, 0, "zombie")])

    assert log.log(JOURNAL, 0).records == []


async def test_the_time_of_appending_is_given_and_never_runs_backwards() -> None:
    clock = iter([100, 90, 110])
    log = MemoryLog(1, clock_ms=lambda: next(clock))
    log.create([JOURNAL])
    bus = MemoryBus(1, log)

    for number in range(3):
        await bus.publish([outgoing(JOURNAL, 0, str(number))])

    assert [r.appended_at_ms for r in await read(bus, 0, JOURNAL, count=3)] == [100, 100, 110]


async def test_two_can_be_made_to_own_a_partition() -> None:
    bus = MemoryBus(2)
    first, second = await bus.ownership("billing"), await bus.ownership("billing")

    second.force([0, 1])

    assert await anext(first.changes()) == {0}
    assert await anext(second.changes()) == {0, 1}


@pytest.mark.parametrize("position", [1, 9])
async def test_a_position_outside_of_the_log_halts(position: int) -> None:
    log = MemoryLog(1)
    log.create([JOURNAL])
    bus = MemoryBus(1, log)
    await bus.publish([outgoing(JOURNAL, 0, str(number)) for number in range(4)])
    log.trim(JOURNAL, 0, 2)

    reader = await bus.reader(0, {JOURNAL: position})

    with pytest.raises(HaltError, match="holds 2 to 4, reading stands at"):
        await reader.poll([JOURNAL], 10, 0.0)


async def test_a_topic_that_is_not_there_is_not_made_by_the_way() -> None:
    with pytest.raises(BusUnavailableError, match="create the topic first"):
        await MemoryBus(1).publish([outgoing(JOURNAL, 0, "fact")])


async def test_another_number_of_partitions_is_refused() -> None:
    with pytest.raises(SettingError, match="set PFDO_PARTITIONS=3"):
        await MemoryBus(2, MemoryLog(3)).start()
