"""When an invoice is made, and how it is cut into parts. `docs/rules.md`, section 8."""

import pytest

from contracts.vocabulary import Month, SignedKopecks
from services.billing.domain.provider import LINES_PER_PART_MAX, Provider, begin
from services.billing.domain.uninvoiced import Sum
from tests.domain.billing_samples import PROVIDER

SEPTEMBER, OCTOBER = Month("2020-09"), Month("2020-10")


def owing(kopecks: int, month: Month = SEPTEMBER) -> Provider:
    return Provider().moving(month, Sum(lessons=1, kopecks=SignedKopecks(kopecks)))


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        pytest.param(owing(1), 1, id="a kopeck is owed"),
        pytest.param(owing(0), None, id="nothing is owed"),
        pytest.param(owing(-1), None, id="the provider owes"),
        pytest.param(owing(1, OCTOBER), None, id="it is owed for the month after"),
        pytest.param(Provider(), None, id="nothing ever moved"),
    ],
)
def test_a_sum_above_nothing_is_invoiced(provider: Provider, expected: int | None) -> None:
    invoice = begin(PROVIDER, provider, SEPTEMBER, lines=1)

    assert (invoice and invoice.amount_kopecks) == expected


@pytest.mark.parametrize(
    ("lines", "parts"),
    [(1, 1), (LINES_PER_PART_MAX, 1), (LINES_PER_PART_MAX + 1, 2), (2 * LINES_PER_PART_MAX, 2)],
)
def test_a_part_has_so_many_lines_at_most(lines: int, parts: int) -> None:
    invoice = begin(PROVIDER, owing(1), SEPTEMBER, lines)

    assert invoice is not None
    assert (invoice.part, invoice.parts) == (0, parts)
