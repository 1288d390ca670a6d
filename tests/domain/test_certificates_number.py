"""Numbers of certificates, and a second way to count their check digit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import PayerCode
from services.certificates.domain.number import Counter, luhn_digit, next_number


@pytest.mark.parametrize(
    ("payer", "issued", "number"),
    [
        pytest.param("25703000", 14, "7030000157", id="the fifteenth"),
        pytest.param("25703000", 0, "7030000017", id="the first"),
        pytest.param("25701000", 0, "7010000011", id="another payer counts for itself"),
        pytest.param("25738000", 24, "7380000252", id="the twenty-fifth"),
        pytest.param("25703000", 999_998, "7039999995", id="the last"),
    ],
)
def test_the_number_of_a_certificate(payer: str, issued: int, number: str) -> None:
    assert next_number(PayerCode(payer), Counter(issued=issued)) == number


def test_there_is_no_millionth_number() -> None:
    with pytest.raises(AssertionError, match="given out all"):
        next_number(PayerCode("25703000"), Counter(issued=999_999))


DOUBLED = "0246813579"
"""What each digit adds to the sum when it is doubled and its digits are added."""


def is_valid(number: str) -> bool:
    """Check a number as a payment terminal does: the whole sum is a multiple of ten."""
    even = sum(int(digit) for digit in number[-1::-2])
    odd = sum(int(DOUBLED[int(digit)]) for digit in number[-2::-2])
    return (even + odd) % 10 == 0


@given(st.text("0123456789", min_size=9, max_size=9))
def test_a_check_digit_makes_the_number_valid_and_no_other_digit_does(digits: str) -> None:
    right = luhn_digit(digits)

    assert [digit for digit in range(10) if is_valid(f"{digits}{digit}")] == [right]


@given(st.integers(0, 999_998), st.integers(0, 9), st.integers(0, 9))
def test_one_wrong_digit_is_noticed(issued: int, place: int, digit: int) -> None:
    number = next_number(PayerCode("25703000"), Counter(issued=issued))
    mistyped = f"{number[:place]}{digit}{number[place + 1 :]}"

    assert is_valid(mistyped) == (mistyped == number)
