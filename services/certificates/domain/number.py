"""The number of a certificate: ten digits, issued once in a life (docs/rules.md, section 4)."""

from msgspec import Struct

from contracts.vocabulary import CertificateNumber, PayerCode

COUNTER_MAX = 999_999


class Counter(Struct, frozen=True, kw_only=True):
    """How many numbers a payer has given out."""

    issued: int = 0

    def after_one_more(self) -> "Counter":
        """Return the counter after the next number was given out."""
        return Counter(issued=self.issued + 1)


def next_number(payer: PayerCode, counter: Counter) -> CertificateNumber:
    """Return digits 3 to 5 of the payer's code, the next six-digit count, and a check digit."""
    count = counter.issued + 1
    assert count <= COUNTER_MAX, f"payer {payer} has given out all its certificate numbers"
    digits = f"{payer[2:5]}{count:06d}"
    return CertificateNumber(f"{digits}{luhn_digit(digits)}")


def luhn_digit(digits: str) -> int:
    """Return the check digit that Luhn's formula (ISO/IEC 7812-1, annex B) gives to the digits."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2 == 0:
            value *= 2
        total += value - 9 if value > 9 else value
    return -total % 10
