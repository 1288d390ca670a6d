"""When invoices are made, where a payer changes the day while the month runs."""

from datetime import date

import pytest

from contracts.vocabulary import Month
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
    ("invoice_day", "today", "are_due"),
    [
        pytest.param(6, "2020-10-05", False, id="the day before"),
        pytest.param(6, "2020-10-06", True, id="the day"),
        pytest.param(6, "2020-11-01", True, id="the month has gone by"),
        pytest.param(6, "2020-09-30", False, id="the month has not begun"),
        pytest.param(5, "2020-10-04", False, id="the rule is in force, its day has not come"),
        pytest.param(4, "2020-10-04", True, id="the day the rule begins"),
        pytest.param(3, "2020-10-03", False, id="not before the rule"),
        pytest.param(3, "2020-10-04", True, id="the rule begins after its own day"),
        pytest.param(7, "2020-10-06", False, id="a day later"),
    ],
)
def test_invoices_are_made_by_the_rule_of_the_day(
    invoice_day: int, today: str, *, are_due: bool
) -> None:
    payer = Rulebook.load("services.billing").for_payer(from_fourth_of_october(invoice_day))

    found = rules.are_invoices_due(payer, Month("2020-10"), date.fromisoformat(today))

    assert found is are_due
