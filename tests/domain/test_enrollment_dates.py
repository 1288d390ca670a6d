"""Dates of children and agreements: one row per situation, each side of each boundary."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import DebitBasis
from services.enrollment.domain.dates import (
    Span,
    age_on,
    birthday,
    end_by_notice,
    first_day,
    last_day,
)
from tests.domain.enrollment_samples import terms

BORN = date(2010, 9, 1)
LEAP = date(2012, 2, 29)


@pytest.mark.parametrize(
    ("born", "day", "years"),
    [
        pytest.param(BORN, date(2020, 8, 31), 9, id="the day before the birthday"),
        pytest.param(BORN, date(2020, 9, 1), 10, id="the birthday"),
        pytest.param(BORN, date(2010, 9, 1), 0, id="the day of birth"),
        pytest.param(BORN, date(2010, 8, 31), -1, id="not born yet"),
        pytest.param(LEAP, date(2019, 2, 28), 6, id="29 February, the last day of February"),
        pytest.param(LEAP, date(2019, 3, 1), 7, id="29 February, first of March"),
        pytest.param(LEAP, date(2020, 2, 28), 7, id="29 February, a leap year, the day before"),
        pytest.param(LEAP, date(2020, 2, 29), 8, id="29 February, a leap year"),
    ],
)
def test_age_is_counted_in_full_years(born: date, day: date, years: int) -> None:
    assert age_on(born, day) == years


@pytest.mark.parametrize(
    ("born", "expected"),
    [
        pytest.param(BORN, date(2028, 9, 1), id="an ordinary day"),
        pytest.param(LEAP, date(2030, 3, 1), id="29 February in another year"),
        pytest.param(date(1996, 2, 29), date(2014, 3, 1), id="eighteen years never hit a leap day"),
    ],
)
def test_the_eighteenth_birthday(born: date, expected: date) -> None:
    assert birthday(born, 18) == expected


@given(st.dates(date(1990, 1, 1), date(2020, 12, 31)), st.integers(0, 18))
def test_one_becomes_older_on_the_birthday_and_not_before(born: date, years: int) -> None:
    day = birthday(born, years)

    assert age_on(born, day) == years
    assert age_on(born, day - timedelta(days=1)) == years - 1


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        pytest.param(date(2020, 8, 30), date(2020, 9, 1), id="before the group begins"),
        pytest.param(date(2020, 8, 31), date(2020, 9, 1), id="the evening before"),
        pytest.param(date(2020, 9, 1), date(2020, 9, 2), id="the group began today"),
        pytest.param(date(2020, 11, 15), date(2020, 11, 16), id="the group runs"),
    ],
)
def test_an_agreement_begins_with_the_group_or_tomorrow(day: date, expected: date) -> None:
    assert first_day(terms(starts_on=date(2020, 9, 1)), day) == expected


@pytest.mark.parametrize(
    ("group_ends", "period_ends", "born", "expected"),
    [
        pytest.param(
            date(2020, 11, 30), date(2020, 12, 31), BORN, date(2020, 11, 30), id="the group ends"
        ),
        pytest.param(
            date(2021, 5, 31), date(2020, 12, 31), BORN, date(2020, 12, 31), id="the period ends"
        ),
        pytest.param(
            date(2021, 5, 31),
            date(2020, 12, 31),
            date(2002, 12, 31),
            date(2020, 12, 30),
            id="the child grows up on the last day",
        ),
        pytest.param(
            date(2021, 5, 31),
            date(2020, 12, 31),
            date(2003, 1, 1),
            date(2020, 12, 31),
            id="the child grows up the day after",
        ),
    ],
)
def test_an_agreement_ends_with_what_ends_first(
    group_ends: date, period_ends: date, born: date, expected: date
) -> None:
    assert last_day(terms(ends_on=group_ends), period_ends, born) == expected


SPAN = Span(starts_on=date(2020, 9, 1), ends_on=date(2020, 12, 31))
TODAY = date(2020, 10, 15)


@pytest.mark.parametrize(
    ("notice_on", "basis", "expected"),
    [
        pytest.param(date(2020, 10, 15), "ATTENDED_LESSONS", date(2020, 10, 15), id="today"),
        pytest.param(date(2020, 10, 5), "ATTENDED_LESSONS", date(2020, 10, 5), id="ten days back"),
        pytest.param(date(2020, 10, 4), "ATTENDED_LESSONS", date(2020, 10, 5), id="eleven are ten"),
        pytest.param(date(2020, 11, 3), "ATTENDED_LESSONS", date(2020, 11, 3), id="a day ahead"),
        pytest.param(date(2020, 12, 31), "ATTENDED_LESSONS", date(2020, 12, 31), id="the end"),
        pytest.param(date(2021, 1, 1), "ATTENDED_LESSONS", date(2020, 12, 31), id="after the end"),
        pytest.param(date(2020, 10, 15), "MONTHLY_CONTRACT", date(2020, 10, 31), id="month by W6"),
        pytest.param(date(2020, 10, 31), "MONTHLY_CONTRACT", date(2020, 10, 31), id="its last day"),
        pytest.param(
            date(2020, 11, 1), "MONTHLY_CONTRACT", date(2020, 11, 30), id="the next month"
        ),
        pytest.param(
            date(2020, 9, 1), "MONTHLY_CONTRACT", date(2020, 10, 31), id="grace, then month"
        ),
        pytest.param(date(9999, 12, 31), "MONTHLY_CONTRACT", date(2020, 12, 31), id="far ahead"),
    ],
)
def test_a_notice_ends_an_agreement(notice_on: date, basis: str, expected: date) -> None:
    ended_on = end_by_notice(
        SPAN, notice_on=notice_on, day=TODAY, grace_days=10, basis=DebitBasis(basis)
    )

    assert ended_on == expected


def test_a_notice_before_the_first_day_means_that_the_agreement_never_began() -> None:
    ended_on = end_by_notice(
        SPAN,
        notice_on=date(2020, 8, 20),
        day=date(2020, 8, 20),
        grace_days=10,
        basis=DebitBasis.ATTENDED_LESSONS,
    )

    assert ended_on == date(2020, 8, 31)


@given(
    st.dates(date(2020, 1, 1), date(2021, 12, 31)),
    st.dates(date(2020, 8, 1), date(2021, 1, 31)),
    st.integers(0, 60),
    st.sampled_from(DebitBasis),
)
def test_an_end_stays_within_the_agreement_and_the_grace(
    notice_on: date, day: date, grace_days: int, basis: DebitBasis
) -> None:
    ended_on = end_by_notice(SPAN, notice_on=notice_on, day=day, grace_days=grace_days, basis=basis)

    assert SPAN.starts_on - timedelta(days=1) <= ended_on <= SPAN.ends_on
    assert ended_on >= min(day - timedelta(days=grace_days), SPAN.ends_on)
