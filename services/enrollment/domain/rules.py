"""What the rule tables say, for the payer whose day it is. `docs/rules.md`, section 2."""

from collections.abc import Mapping
from datetime import date, timedelta

from contracts.vocabulary import Registry
from rulebook.evaluate import Decision
from rulebook.overlay import PayerRules

AGE = "enrollment.age"
REGISTRY = "enrollment.registry"
DAYS = "enrollment.days"
GRACE = "billing.days"
"""Billing's table: how far a notice reaches back is how long marks are corrected."""

ELIGIBLE = "eligible"


def age(rules: PayerRules, day: date, age_years: int) -> Decision:
    """Return whether a child so old may be enrolled."""
    return _ask(rules, AGE, day, {"age_years": age_years})


def registry(rules: PayerRules, day: date, registry: Registry) -> Decision:
    """Return whether a group of that registry is paid for by certificate."""
    return _ask(rules, REGISTRY, day, {"registry": registry.value})


def held_until(rules: PayerRules, day: date) -> date:
    """Return the last day a place is held that is held today."""
    return day + _days(_ask(rules, DAYS, day, {}), "hold_days")


def parked_until(rules: PayerRules, first_day: date) -> date:
    """Return the last day to wait for what is not known yet, from the day of arrival."""
    return first_day + _days(_ask(rules, DAYS, first_day, {}), "parking_days")


def grace_days(rules: PayerRules, day: date) -> int:
    """Return how many days a notice may reach back."""
    return _days(_ask(rules, GRACE, day, {}), "grace_days").days


def verdict(decision: Decision) -> str:
    """Return the output `verdict` of a table."""
    return str(decision.outputs["verdict"])


def _days(decision: Decision, output: str) -> timedelta:
    value = decision.outputs[output]
    assert isinstance(value, int)
    return timedelta(days=value)


def _ask(rules: PayerRules, table: str, day: date, inputs: Mapping[str, object]) -> Decision:
    # Before the first version the base version holds too: there is no other (section 2).
    return rules.decide(table, max(day, rules.tables[table].versions[0].valid_from), inputs)
