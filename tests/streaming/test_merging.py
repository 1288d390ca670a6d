"""The merge: by time of append, held back by what may still come."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from streaming.bus import Outgoing, Record
from streaming.memory import MemoryBus, MemoryLog
from streaming.merging import BUFFERED_PER_TOPIC_MAX, Merge

TOPICS = ("a", "b", "c")


async def merged(appends: list[tuple[str, int]], chunk: int) -> list[Record]:
    """Append (topic, time) in this order, then read all back merged, `chunk` at a time."""
    now = [0]
    log = MemoryLog(1, clock_ms=lambda: now[0])
    log.create(TOPICS)
    bus = MemoryBus(1, log)
    for topic, at in appends:
        now[0] = at
        await bus.publish([Outgoing(topic, 0, None, b"x")])
    merge = Merge(await bus.reader(0, dict.fromkeys(TOPICS, 0)), TOPICS)
    taken: list[Record] = []
    while len(taken) < len(appends):
        taken += merge.take(chunk)
        await merge.fill(0.0)
    return taken


@given(
    st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 5)), max_size=40),
    st.integers(1, 7),
)
def test_records_come_by_time_then_topic_then_offset(
    appends: list[tuple[str, int]], chunk: int
) -> None:
    ordered = sorted(appends, key=lambda append: append[1])

    taken = asyncio.run(merged(ordered, chunk))

    places = [(record.appended_at_ms, record.topic, record.offset) for record in taken]
    assert places == sorted(places)
    assert len(set(places)) == len(ordered)


async def test_a_topic_that_may_hold_an_earlier_record_holds_the_others_back() -> None:
    log = MemoryLog(1)
    log.create(TOPICS)
    bus = MemoryBus(1, log)
    await bus.publish([Outgoing("a", 0, None, b"x")])
    merge = Merge(await bus.reader(0, dict.fromkeys(TOPICS, 0)), TOPICS)

    before = merge.take(10)
    await merge.fill(0.0)
    after = merge.take(10)

    assert (before, len(after)) == ([], 1)


async def test_a_topic_that_ran_dry_before_its_end_holds_the_others_back() -> None:
    now = [1]
    log = MemoryLog(1, clock_ms=lambda: now[0])
    log.create(TOPICS)
    bus = MemoryBus(1, log)
    early = [Outgoing("b", 0, None, b"x")] * (BUFFERED_PER_TOPIC_MAX + 1)
    await bus.publish(early)
    now[0] = 2
    await bus.publish([Outgoing("a", 0, None, b"x")])
    merge = Merge(await bus.reader(0, dict.fromkeys(TOPICS, 0)), TOPICS)
    await merge.fill(0.0)

    taken = merge.take(2 * len(early))
    assert 0 < len(taken) < len(early)
    assert merge.take(1) == []
    while len(taken) < len(early) + 1:
        await merge.fill(0.0)
        taken += merge.take(2 * len(early))

    assert [record.topic for record in taken] == ["b"] * len(early) + ["a"]
