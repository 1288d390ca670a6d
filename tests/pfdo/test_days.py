"""The calendar: each day once, in every partition; what was missed is made good."""

import asyncio
import json
from datetime import date, datetime, timedelta, tzinfo

import pytest

from contracts.topics import CALENDAR
from pfdo.days import CAUGHT_UP_DAYS_MAX, ZONE, Calendar, days
from tests.pfdo.worlds import installation_of, world
from tests.support.world import World

LAST = date(2020, 9, 1)


def opened(here: World) -> list[list[str]]:
    """Return the days that stand in each partition."""
    logs = [here.log.log(CALENDAR.name, partition) for partition in range(here.partitions)]
    return [
        [json.loads(record.value or b"")["data"]["date"] for record in log.records] for log in logs
    ]


class Clock(datetime):
    """A clock that stands still, a minute before midnight."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        return cls(2020, 12, 31, 23, 59, tzinfo=tz)


async def calendar_of(here: World) -> Calendar:
    calendar = Calendar(installation_of(here))
    await calendar.read()
    return calendar


async def test_a_day_is_opened_once_however_often_and_by_whom() -> None:
    here = world()
    first, second = await calendar_of(here), await calendar_of(here)

    assert await first.open(LAST)
    assert not await first.open(LAST)
    assert await second.open(LAST)  # It had looked before: services take the copy for one.
    assert not await (await calendar_of(here)).open(LAST)
    assert not await (await calendar_of(here)).open(LAST - timedelta(days=1))

    assert opened(here) == [["2020-09-01", "2020-09-01"]] * here.partitions
    await here.settle()
    said = here.decisions("enrollment")["day-2020-09-01"]
    assert said == ["noted", "duplicate"] * here.partitions


async def test_a_day_that_reached_only_some_partitions_is_opened_in_the_others() -> None:
    here = world()
    await (await calendar_of(here)).open(LAST)
    record = here.log.log(CALENDAR.name, 0).records[0]
    assert record.value is not None
    later = record.value.replace(b"2020-09-01", b"2020-09-02")
    await here.publish_raw(CALENDAR.name, 1, later)

    calendar = await calendar_of(here)
    assert list(calendar.due(date(2020, 9, 2))) == [date(2020, 9, 2)]
    assert await calendar.open(date(2020, 9, 2))

    assert opened(here) == [["2020-09-01", "2020-09-02"]] * here.partitions


@pytest.mark.parametrize(
    ("missed", "due"),
    [
        pytest.param(0, [], id="today is open"),
        pytest.param(1, [LAST + timedelta(days=1)], id="a new day"),
        pytest.param(
            3, [LAST + timedelta(days=number) for number in (1, 2, 3)], id="after three days"
        ),
        pytest.param(CAUGHT_UP_DAYS_MAX + 2, [], id="after so long rather the clock is wrong"),
        pytest.param(-1, [], id="a clock that went back opens nothing"),
    ],
)
async def test_what_was_missed_is_made_good(missed: int, due: list[date]) -> None:
    here = world()
    await (await calendar_of(here)).open(LAST)

    assert list((await calendar_of(here)).due(LAST + timedelta(days=missed))) == due


async def test_the_longest_gap_that_is_made_good() -> None:
    here = world()
    await (await calendar_of(here)).open(LAST)
    today = LAST + timedelta(days=CAUGHT_UP_DAYS_MAX + 1)

    assert list((await calendar_of(here)).due(today)) == list(days(LAST + timedelta(1), today))


async def test_a_clock_that_is_far_from_the_last_day_is_doubted_until_a_person_opens_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = world()
    await (await calendar_of(here)).open(LAST)
    monkeypatch.setattr("pfdo.days.LOOK_SECONDS_MAX", 0.01)
    monkeypatch.setattr("pfdo.days.datetime", Clock)
    told: list[date] = []
    doubted: list[tuple[date, date]] = []

    following = asyncio.create_task(
        (await calendar_of(here)).follow(told.append, lambda *seen: doubted.append(seen))
    )
    while not doubted:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    before = list(told)
    today = Clock.now(ZONE).date()
    await (await calendar_of(here)).open(today - timedelta(days=1))
    while not told:
        await asyncio.sleep(0.01)
    following.cancel()

    assert before == []
    assert doubted == [(today, LAST + timedelta(days=1))]
    assert told == [today]


async def test_a_new_installation_begins_today() -> None:
    assert list((await calendar_of(world())).due(LAST)) == [LAST]


async def test_what_is_no_day_is_passed_over() -> None:
    here = world()
    await here.publish_raw(CALENDAR.name, 0, b"\xff")
    await here.publish_raw(CALENDAR.name, 0, None)
    await here.publish_raw(CALENDAR.name, 0, b'{"data":{"date":"9999-12-31"}}')

    assert list((await calendar_of(here)).due(LAST)) == [LAST]
