"""When invoices are made, where a payer changes the day while the month runs."""

from datetime import date

import pytest

from rulebook.loading import Rulebook
from rulebook.overlay import Overlays
from services.billing.domain import rules


def from_fourth_of_october(invoice_day: int) -> Overlays:
    row = {
        "id": "days",
        "then": {"parking_days": 30, "grace_days": 10, "invoice_day": invoice_day},
        "says": "Сроки муниципалитета",
    }
    published = {
        "table": rules.DAYS,
        "from": "2020-10-04",
        "published": "2020-09-20",
        "basis": "Постановление",
        "rows": [row],
    }
    return Overlays.from_data([published])


@pytest.mark.parametrize(
    ("invoice_day", "today", "expected"),
    [
        pytest.param(6, "2020-10-01", "2020-10-06", id="as before"),
        pytest.param(6, "2020-10-06", "2020-10-06", id="today"),
        pytest.param(6, "2020-10-07", "2020-10-07", id="days were skipped"),
        pytest.param(5, "2020-10-01", "2020-10-05", id="a day earlier"),
        pytest.param(4, "2020-10-01", "2020-10-04", id="the day the rule begins"),
        pytest.param(3, "2020-10-01", "2020-10-04", id="the rule begins after its own day"),
        pytest.param(3, "2020-10-03", "2020-10-04", id="not before the rule"),
        pytest.param(7, "2020-10-01", "2020-10-07", id="a day later"),
        pytest.param(28, "2020-10-31", "2020-10-31", id="the end of the month"),
    ],
)
def test_invoices_are_made_by_the_rule_of_the_day(
    invoice_day: int, today: str, expected: str
) -> None:
    payer = Rulebook.load("services.billing").for_payer(from_fourth_of_october(invoice_day))

    assert rules.invoices_on(payer, date.fromisoformat(today)) == date.fromisoformat(expected)
