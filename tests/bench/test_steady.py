"""What is made of the debits of a steady load."""

import pytest

from bench import steady


@pytest.mark.parametrize(
    ("seconds", "share"),
    [([0.1], 0.0), ([0.1001], 1.0), ([0.01, 0.02, 0.03, 0.2], 0.25)],
)
def test_a_debit_is_slow_above_a_tenth_of_a_second(seconds: list[float], share: float) -> None:
    assert steady.slow_share(seconds) == share


def test_minutes_are_told_apart_and_the_last_may_be_shorter() -> None:
    first, second, rest = [0.01] * 60, [0.02] * 59 + [0.5], [0.03] * 30

    found = steady.minutes([*first, *second, *rest], rate=1)

    assert [round(each.p50_ms) for each in found] == [10, 20, 30]
    assert [each.slow_share for each in found] == [0.0, 1 / 60, 0.0]
