"""When a message may come: both sides of each quiet hour and of each day."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.domain.hours import REGION, after_quiet, moment
from services.notifications.wire import to_moment

DAY = date(2020, 9, 2)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+08:00")


@pytest.mark.parametrize(
    ("told", "comes"),
    [
        pytest.param("2020-09-02T20:59:59", "2020-09-02T20:59:59", id="the last second of a day"),
        pytest.param("2020-09-02T21:00:00", "2020-09-03T08:00:00", id="the first quiet minute"),
        pytest.param("2020-09-02T23:59:59", "2020-09-03T08:00:00", id="before midnight"),
        pytest.param("2020-09-03T00:00:00", "2020-09-03T08:00:00", id="midnight"),
        pytest.param("2020-09-03T07:59:59", "2020-09-03T08:00:00", id="the last quiet second"),
        pytest.param("2020-09-03T08:00:00", "2020-09-03T08:00:00", id="the morning"),
        pytest.param("2020-12-31T22:00:00", "2021-01-01T08:00:00", id="into the new year"),
    ],
)
def test_the_usual_quiet_hours(told: str, comes: str) -> None:
    assert after_quiet(at(told), time(21), time(8)) == at(comes)


@pytest.mark.parametrize(
    ("quiet_from", "quiet_until", "told", "comes"),
    [
        pytest.param("13:00", "15:30", "12:59", "2020-09-02T12:59:00", id="before a quiet noon"),
        pytest.param("13:00", "15:30", "13:00", "2020-09-02T15:30:00", id="at a quiet noon"),
        pytest.param("13:00", "15:30", "15:30", "2020-09-02T15:30:00", id="after a quiet noon"),
        pytest.param("13:00", "15:30", "23:00", "2020-09-02T23:00:00", id="a night that is not"),
        pytest.param("22:00", "00:00", "23:59", "2020-09-03T00:00:00", id="until midnight"),
        pytest.param("22:00", "00:00", "00:00", "2020-09-02T00:00:00", id="at midnight"),
        pytest.param("00:00", "06:00", "00:00", "2020-09-02T06:00:00", id="from midnight"),
        pytest.param("09:00", "09:00", "09:00", "2020-09-02T09:00:00", id="the same hour twice"),
    ],
)
def test_hours_of_ones_own(quiet_from: str, quiet_until: str, told: str, comes: str) -> None:
    hours = time.fromisoformat(quiet_from), time.fromisoformat(quiet_until)

    assert after_quiet(at(f"2020-09-02T{told}:00"), *hours) == at(comes)


minutes = st.times().map(lambda t: t.replace(second=0, microsecond=0))


@given(
    st.builds(datetime.combine, st.dates(date(2020, 1, 1), date(2021, 1, 1)), st.times()).map(
        lambda naive: naive.replace(tzinfo=REGION)
    ),
    minutes,
    minutes,
)
def test_nobody_is_disturbed_nor_kept_waiting(told: datetime, begins: time, ends: time) -> None:
    comes = after_quiet(told, begins, ends)

    length = (
        timedelta(hours=ends.hour - begins.hour, minutes=ends.minute - begins.minute)
    ) % timedelta(days=1)
    since = datetime.combine(comes.date(), begins, REGION)
    since = since if since <= comes else since - timedelta(days=1)
    assert not since <= comes < since + length
    assert told <= comes <= told + length


@pytest.mark.parametrize(
    ("written", "told"),
    [
        pytest.param("2020-09-02T17:05:00+08:00", "2020-09-02T17:05:00", id="of the business day"),
        pytest.param("2020-09-02T09:05:00Z", "2020-09-02T17:05:00", id="in another zone"),
        pytest.param("2020-09-01T16:00:00Z", "2020-09-02T00:00:00", id="its first second"),
        pytest.param("2020-09-03T23:59:59+08:00", "2020-09-03T23:59:59", id="the next one's last"),
        pytest.param("2020-09-04T00:00:00+08:00", "2020-09-02T00:00:00", id="two days on: no hour"),
        pytest.param("2020-09-01T23:59:59+08:00", "2020-09-02T00:00:00", id="the day before"),
        pytest.param("2019-12-31T23:59:60Z", "2020-09-02T00:00:00", id="a year before"),
        pytest.param("9999-12-31T23:59:59Z", "2020-09-02T00:00:00", id="the end of the calendar"),
        pytest.param("0001-01-01T00:00:00+23:00", "2020-09-02T00:00:00", id="its beginning"),
    ],
)
def test_the_time_of_a_fact_on_a_business_day(written: str, told: str) -> None:
    assert moment(to_moment(written), DAY) == at(told)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param("2020-09-02T10:00:00Z", "2020-09-02T18:00:00+08:00", id="UTC"),
        pytest.param("2020-09-02t10:00:00z", "2020-09-02T18:00:00+08:00", id="small letters"),
        pytest.param("2016-12-31T23:59:60Z", "2017-01-01T07:59:59+08:00", id="a leap second"),
        pytest.param(
            "2016-12-31T23:59:60.5+03:00", "2017-01-01T04:59:59.500000+08:00", id="half of it"
        ),
        pytest.param(
            "2020-09-02T10:00:00.123456789Z", "2020-09-02T18:00:00.123456+08:00", id="nanoseconds"
        ),
        pytest.param("9999-12-30T23:59:59-23:00", None, id="the last year"),
        pytest.param("9998-12-31T23:59:59+08:00", "9998-12-31T23:59:59+08:00", id="the one before"),
    ],
)
def test_times_that_rfc_3339_allows(written: str, read: str | None) -> None:
    moment_read = to_moment(written)

    assert (None if moment_read is None else moment_read.isoformat()) == read


@given(
    st.one_of(
        st.none(),
        st.builds(datetime.combine, st.dates(date(2, 1, 1), date(9998, 1, 1)), st.times()).map(
            lambda naive: naive.replace(tzinfo=UTC)
        ),
    ),
    st.dates(date(1900, 1, 1), date(2999, 12, 31)),
)
def test_what_is_told_is_told_on_the_business_day_or_the_next(
    written: datetime | None, day: date
) -> None:
    told = moment(written, day)

    assert timedelta(0) <= told.date() - day <= timedelta(days=1)
