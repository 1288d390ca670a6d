"""What follows from facts and days, on each side of each boundary."""

from datetime import date, timedelta

import pytest

from contracts.vocabulary import Kopecks
from services.notifications.domain.occasion import Occasion
from services.notifications.domain.people import Purse
from services.notifications.domain.thresholds import (
    BALANCE_LOW,
    answer_overdue_on,
    is_low,
    is_reminded,
    reminders,
)

END = date(2020, 12, 31)
RESERVED = "billing.funds-reserved"


@pytest.mark.parametrize(
    ("nominal", "balance", "price", "expected"),
    [
        pytest.param(100_000, 25_137, 25_137, False, id="just one lesson more"),
        pytest.param(100_000, 25_136, 25_137, True, id="one kopeck less"),
        pytest.param(100_000, 0, 1, True, id="nothing"),
        pytest.param(100_000, 0, 0, False, id="no lesson has a price yet"),
        pytest.param(0, 0, 25_137, False, id="a certificate without money"),
    ],
)
def test_money_for_less_than_a_lesson(
    nominal: int, balance: int, price: int, expected: bool
) -> None:
    assert is_low(Kopecks(nominal), Kopecks(balance), Kopecks(price)) is expected


def purse(balance: int, price: int = 25_137) -> Purse:
    return Purse(
        nominal_kopecks=Kopecks(100_000),
        balance_kopecks=Kopecks(balance),
        price_kopecks=Kopecks(price),
    )


@pytest.mark.parametrize(
    ("before", "balance", "price", "expected"),
    [
        pytest.param(None, 25_137, 25_137, (RESERVED,), id="enough for a lesson"),
        pytest.param(None, 25_136, 25_137, (BALANCE_LOW, RESERVED), id="not enough"),
        pytest.param(purse(25_136), 0, 25_137, (RESERVED,), id="it was said already"),
        pytest.param(
            purse(25_137), 25_136, None, (BALANCE_LOW, RESERVED), id="by the price of before"
        ),
        pytest.param(purse(30_000), 29_999, 30_000, (BALANCE_LOW, RESERVED), id="a dearer lesson"),
        pytest.param(purse(25_136), 90_000, None, (RESERVED,), id="more became free"),
    ],
)
def test_that_money_runs_low_is_said_when_it_comes_to_be_so(
    before: Purse | None, balance: int, price: int | None, expected: tuple[str, ...]
) -> None:
    occasion = Occasion(
        word=RESERVED,
        nominal_kopecks=Kopecks(100_000),
        balance_kopecks=Kopecks(balance),
        price_kopecks=None if price is None else Kopecks(price),
    )

    assert occasion.words(were_low=False, purse=before) == expected


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2020, 11, 30), [30, 7]),
        (date(2020, 12, 1), [7]),
        (date(2020, 12, 23), [7]),
        (date(2020, 12, 24), []),
        (date(2021, 1, 1), []),
    ],
)
def test_reminders_are_for_days_to_come(today: date, expected: list[int]) -> None:
    planned = reminders(END, today)

    assert [before for _, before in planned] == expected
    assert all(day + timedelta(days=before) == END for day, before in planned)


@pytest.mark.parametrize(
    ("before", "balance", "today", "expected"),
    [
        pytest.param(30, 1, date(2020, 12, 1), True, id="a kopeck is left"),
        pytest.param(30, 0, date(2020, 12, 1), False, id="nothing is left"),
        pytest.param(30, 1, date(2020, 12, 23), True, id="late, but before the next one"),
        pytest.param(30, 1, date(2020, 12, 24), False, id="the next one is due: it speaks"),
        pytest.param(7, 1, date(2020, 12, 24), True, id="seven days before"),
        pytest.param(7, 1, END, True, id="on the last day"),
        pytest.param(7, 1, date(2021, 1, 1), False, id="the money has ended"),
    ],
)
def test_who_has_money_left_is_reminded(
    before: int, balance: int, today: date, expected: bool
) -> None:
    assert is_reminded(before, END, Kopecks(balance), today) is expected


def test_without_an_end_nobody_is_reminded() -> None:
    assert not is_reminded(7, None, Kopecks(1), END)


def test_five_days_are_given_for_an_answer() -> None:
    assert answer_overdue_on(date(2020, 9, 1)) == date(2020, 9, 6)
