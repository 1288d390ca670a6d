"""Ages and last days of a child, on both sides of each birthday."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.certificates.domain.child import Child


def born(day: str) -> Child:
    return Child(birth_date=date.fromisoformat(day), guardian_ids=(), benefits=())


@pytest.mark.parametrize(
    ("birth", "day", "years"),
    [
        pytest.param("2015-09-01", "2020-08-31", 4, id="the day before the birthday"),
        pytest.param("2015-09-01", "2020-09-01", 5, id="the birthday counts"),
        pytest.param("2016-02-29", "2021-02-28", 4, id="29 February waits for March"),
        pytest.param("2016-02-29", "2021-03-01", 5, id="29 February is 1 March in other years"),
        pytest.param("2016-02-29", "2024-02-29", 8, id="29 February is itself in a leap year"),
        pytest.param("2016-02-29", "2024-02-28", 7, id="the day before it in a leap year"),
        pytest.param("2020-09-01", "2020-09-01", 0, id="born today"),
        pytest.param("2020-09-02", "2020-09-01", -1, id="born tomorrow"),
    ],
)
def test_age_in_full_years(birth: str, day: str, years: int) -> None:
    assert born(birth).age_on(date.fromisoformat(day)) == years


@pytest.mark.parametrize(
    ("birth", "grown_up", "last"),
    [
        pytest.param("2002-09-15", "2020-09-15", "2020-09-14", id="an ordinary day"),
        pytest.param("2004-02-29", "2022-03-01", "2022-02-28", id="29 February"),
        pytest.param("2003-01-01", "2021-01-01", "2020-12-31", id="New Year"),
    ],
)
def test_the_end_with_the_eighteenth_birthday(birth: str, grown_up: str, last: str) -> None:
    child = born(birth)

    assert (child.grown_up_on.isoformat(), child.last_day.isoformat()) == (grown_up, last)


@given(st.dates(date(1990, 1, 1), date(2020, 12, 31)), st.dates(date(1990, 1, 1), date(2050, 1, 1)))
def test_age_counts_the_birthdays_that_have_come(birth: date, day: date) -> None:
    child = Child(birth_date=birth, guardian_ids=(), benefits=())

    def had_birthday(year: int) -> bool:
        return (birth.month, birth.day) <= (day.month, day.day) if year == day.year else True

    counted = sum(had_birthday(year) for year in range(birth.year + 1, day.year + 1))

    if day >= birth:
        assert child.age_on(day) == counted
