"""What the rule tables say, for the payer whose day it is. `docs/rules.md`, section 2."""

from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct

from rulebook.evaluate import Decision
from rulebook.overlay import PayerRules
from services.certificates.domain.child import Child

AGE = "certificates.age"
CATEGORY = "certificates.category"
DAYS = "billing.days"
"""Billing's table: nominals can be changed as long as the books of their period are open."""

OWN_TABLES = (AGE, CATEGORY)
"""Publications for these are decided here."""


class Publication(Struct, frozen=True, kw_only=True):
    """Rows of a table that a payer published, as they came; our own were found valid."""

    data: Mapping[str, object]


def age(rules: PayerRules, day: date, child: Child) -> Decision:
    """Return whether a child of this age may hold a certificate."""
    return _ask(rules, AGE, day, {"age_years": child.age_on(day)})


def category(rules: PayerRules, day: date, child: Child) -> Decision:
    """Return which category of certificate the child belongs to."""
    inputs = {"age_years": child.age_on(day), "benefits": child.benefits}
    return _ask(rules, CATEGORY, day, inputs)


def grace(rules: PayerRules, day: date) -> timedelta:
    """Return how long after the end of a period its nominals may still be changed."""
    days = _ask(rules, DAYS, day, {}).outputs["grace_days"]
    assert isinstance(days, int)
    return timedelta(days=days)


def _ask(rules: PayerRules, table: str, day: date, inputs: Mapping[str, object]) -> Decision:
    # Before the first version the base version holds too: there is no other (section 2).
    return rules.decide(table, max(day, rules.tables[table].versions[0].valid_from), inputs)
