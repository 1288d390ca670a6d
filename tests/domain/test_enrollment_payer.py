"""What payers settle: periods and the closing of enrollment."""

from datetime import date

import pytest

from contracts.vocabulary import PeriodId
from services.enrollment.domain.payer import Period, containing, hindrance_to_closing

YEAR = Period(period=PeriodId("2020"), starts_on=date(2020, 1, 1), ends_on=date(2020, 12, 31))
AUTUMN = Period(
    period=PeriodId("2020-autumn"), starts_on=date(2020, 9, 1), ends_on=date(2020, 11, 30)
)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        pytest.param(date(2019, 12, 31), None, id="the day before"),
        pytest.param(date(2020, 1, 1), "2020", id="the first day"),
        pytest.param(date(2020, 12, 31), "2020", id="the last day"),
        pytest.param(date(2021, 1, 1), None, id="the day after"),
        pytest.param(date(2020, 10, 1), "2020-autumn", id="of two the one that began last"),
    ],
)
def test_the_period_of_a_day(day: date, expected: str | None) -> None:
    period = containing((AUTUMN, YEAR), day)

    assert (None if period is None else period.period) == expected


@pytest.mark.parametrize(
    ("closes_on", "expected"),
    [
        pytest.param(date(2020, 10, 13), "too_late", id="tomorrow"),
        pytest.param(date(2020, 10, 14), None, id="the day after tomorrow"),
    ],
)
def test_closing_is_announced_two_days_ahead(closes_on: date, expected: str | None) -> None:
    assert hindrance_to_closing(closes_on, date(2020, 10, 12)) == expected
