"""How a share is spread over months, and what of a month goes back."""

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import Kopecks, Mark, Month
from services.billing.domain.month import MonthBook
from services.billing.domain.months import (
    before,
    following,
    goes_back,
    next_first,
    schedule,
)

FIRST = date(2020, 9, 1)


def test_w6_spreads_the_first_month_and_three_equal_ones() -> None:
    months = schedule(FIRST, date(2020, 12, 31), Kopecks(804_396))

    assert [(one.month, one.opens_on.isoformat(), one.amount_kopecks) for one in months] == [
        ("2020-09", "2020-09-01", 197_805),
        ("2020-10", "2020-10-01", 202_197),
        ("2020-11", "2020-11-01", 202_197),
        ("2020-12", "2020-12-01", 202_197),
    ]


@pytest.mark.parametrize(
    ("starts_on", "ends_on", "expected"),
    [
        pytest.param("2020-09-15", "2020-09-30", [("2020-09", 1000)], id="one month takes all"),
        pytest.param("2020-09-30", "2020-09-30", [("2020-09", 1000)], id="one day"),
        pytest.param(
            "2020-09-30", "2020-10-01", [("2020-09", 500), ("2020-10", 500)], id="a day in each"
        ),
        pytest.param(
            "2020-12-31",
            "2021-01-30",
            [("2020-12", 33), ("2021-01", 967)],
            id="over the new year, the first takes what is left",
        ),
    ],
)
def test_the_months_of_an_agreement(
    starts_on: str, ends_on: str, expected: list[tuple[str, int]]
) -> None:
    months = schedule(date.fromisoformat(starts_on), date.fromisoformat(ends_on), Kopecks(1000))

    assert [(one.month, one.amount_kopecks) for one in months] == expected


@given(
    start=st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    days=st.integers(1, 800),
    share=st.integers(0, 10**12).map(Kopecks),
)
def test_months_add_up_and_follow_each_other(start: date, days: int, share: Kopecks) -> None:
    last = start + timedelta(days=days - 1)

    months = schedule(start, last, share)

    touched = sorted({(start + timedelta(days=n)).isoformat()[:7] for n in range(days)})
    assert [one.month for one in months] == touched
    assert sum(one.amount_kopecks for one in months) == share
    assert all(one.amount_kopecks >= 0 for one in months)
    assert months[0].opens_on == start
    assert all(one.opens_on == date.fromisoformat(f"{one.month}-01") for one in months[1:])
    assert len({one.amount_kopecks for one in months[1:]}) <= 1


@pytest.mark.parametrize(
    ("marked", "cancelled", "expected"),
    [
        pytest.param(0, 0, 0, id="nothing marked"),
        pytest.param(8, 0, 0, id="nothing cancelled"),
        pytest.param(8, 8, 101, id="all cancelled"),
        pytest.param(2, 1, 50, id="a half is kept rounded up"),
        pytest.param(3, 1, 34, id="a third"),
        pytest.param(3, 2, 67, id="two thirds"),
    ],
)
def test_what_goes_back_of_a_month_of_a_hundred_and_one_kopecks(
    marked: int, cancelled: int, expected: int
) -> None:
    assert goes_back(Kopecks(101), marked, cancelled) == expected


@given(st.integers(0, 10**12), st.integers(1, 1000), st.data())
def test_what_is_kept_is_rounded_half_up(amount: int, marked: int, chance: st.DataObject) -> None:
    cancelled = chance.draw(st.integers(0, marked))

    back = goes_back(Kopecks(amount), marked, cancelled)

    kept = Fraction(amount * (marked - cancelled), marked)
    assert 0 <= back <= amount
    assert Fraction(-1, 2) < (amount - back) - kept <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("day", "next_", "previous"),
    [
        ("2020-12-31", "2021-01-01", "2020-11"),
        ("2021-01-01", "2021-02-01", "2020-12"),
        ("2020-02-29", "2020-03-01", "2020-01"),
    ],
)
def test_months_before_and_after(day: str, next_: str, previous: str) -> None:
    assert next_first(date.fromisoformat(day)).isoformat() == next_
    assert before(Month(day[:7])) == previous
    assert following(Month(day[:7])) == next_[:7]


def test_a_corrected_mark_is_counted_once() -> None:
    book = MonthBook()

    book = book.marking(None, Mark.PRESENT).marking(None, Mark.CANCELLED)
    book = book.marking(Mark.CANCELLED, Mark.PRESENT).marking(Mark.PRESENT, Mark.CANCELLED)

    assert (book.marked, book.cancelled) == (2, 1)


def test_an_adjusted_month_is_over() -> None:
    book = MonthBook(charged_kopecks=Kopecks(1000), marked=4, cancelled=1)

    assert book.adjusting(250) == MonthBook(
        charged_kopecks=Kopecks(750), marked=4, cancelled=1, adjusted=True
    )
