"""A range takes its first value and not the one it stays below."""

from datetime import date

import pytest

from rulebook.model import Cell, Range
from rulebook.partitions import takes

SCHOOL_AGE = Range(5, 18)
AUTUMN = Range(date(2020, 9, 1), date(2020, 12, 1))


@pytest.mark.parametrize(
    ("cell", "value", "expected"),
    [
        pytest.param(SCHOOL_AGE, 4, False, id="before the first"),
        pytest.param(SCHOOL_AGE, 5, True, id="the first"),
        pytest.param(SCHOOL_AGE, 17, True, id="the last"),
        pytest.param(SCHOOL_AGE, 18, False, id="the one it stays below"),
        pytest.param(Range(5, None), 4, False, id="below an open end"),
        pytest.param(Range(5, None), 5, True, id="without an end"),
        pytest.param(Range(None, 18), 17, True, id="without a beginning"),
        pytest.param(Range(None, 18), 18, False, id="above an open beginning"),
        pytest.param(AUTUMN, date(2020, 8, 31), False, id="the day before"),
        pytest.param(AUTUMN, date(2020, 9, 1), True, id="the first day"),
        pytest.param(AUTUMN, date(2020, 11, 30), True, id="the last day"),
        pytest.param(AUTUMN, date(2020, 12, 1), False, id="the day it stays below"),
    ],
)
def test_a_range_is_half_open(cell: Cell, value: object, expected: bool) -> None:
    assert takes(cell, value) is expected
