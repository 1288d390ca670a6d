"""I23, certificates: no grant takes more places, no grant or raise more money than a category has.

A correction by hand is the payer's own word and may exceed the budget (docs/rules.md, section 4).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from verification.findings import Findings
from verification.records import Fact

CategoryKey: TypeAlias = tuple[str, str, str]
"""Payer, period, category."""

CORRECTIONS = "billing.events.v1"
"""Where corrections by hand come from: billing decides them, certificates follow."""


@dataclass(slots=True)
class _Category:
    places_max: int = 0
    budget_max: int = 0
    holders: int = 0
    granted: int = 0


@dataclass(slots=True)
class _Grant:
    category: CategoryKey
    nominal: int


class Grants:
    """The categories of all payers, and who holds what."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._categories: defaultdict[CategoryKey, _Category] = defaultdict(_Category)
        self._grants: defaultdict[tuple[str, str], dict[str, _Grant]] = defaultdict(dict)
        """By payer and child, then by period."""

    def __len__(self) -> int:
        return len(self._categories)

    def fact(self, fact: Fact) -> None:
        """Note a fact of certificates."""
        told = fact.input
        if told is not None and fact.is_applied and told["type"] == "payers.category-set.v1":
            self._set(fact.payer, told["data"])
        data = fact.data
        match fact.kind:
            case "certificate-issued" | "certificate-renewed" if data["state"] == "FUNDED":
                self._grant(fact)
            case "certificate-funded":
                self._grant(fact)
            case "nominal-changed":
                self._change(fact)
            case "certificate-closed":
                for grant in self._grants[fact.payer, str(data["child_id"])].values():
                    self._categories[grant.category].holders -= 1
            case _:
                pass

    def _set(self, payer: str, data: Mapping[str, Any]) -> None:
        category = self._categories[payer, str(data["period"]), str(data["category"])]
        category.places_max = int(data["places_max"])
        category.budget_max = int(data["budget_max_kopecks"])

    def _grant(self, fact: Fact) -> None:
        data, period = fact.data, str(fact.data["period"])
        key = (fact.payer, period, str(data["category"]))
        category, nominal = self._categories[key], _whole(data["nominal_kopecks"])
        held = self._grants[fact.payer, str(data["child_id"])]
        if period in held:
            detail = f"{fact.id}: {data['child_id']} was granted money for {period} before"
            self._findings.report("I23", detail, [fact.id])
            return
        held[period] = _Grant(key, nominal)
        category.holders += 1
        category.granted += nominal
        if category.holders > category.places_max:
            numbers = f"{category.holders} holders of {category.places_max} places"
            self._findings.report("I23", f"{fact.id}: {_told(key)}: {numbers}", [fact.id])
        self._check_budget(fact, key, category)

    def _change(self, fact: Fact) -> None:
        grant = self._grants[fact.payer, str(fact.data["child_id"])].get(str(fact.data["period"]))
        if grant is None:
            detail = f"{fact.id}: the nominal of a certificate changes that has none"
            self._findings.report("I23", detail, [fact.id])
            return
        category = self._categories[grant.category]
        nominal = _whole(fact.data["nominal_kopecks"])
        category.granted += nominal - grant.nominal
        is_raise = nominal > grant.nominal and fact.cause[0] != CORRECTIONS
        grant.nominal = nominal
        if is_raise:
            self._check_budget(fact, grant.category, category)

    def _check_budget(self, fact: Fact, key: CategoryKey, category: _Category) -> None:
        if category.granted > category.budget_max:
            numbers = f"{category.granted} granted of {category.budget_max} kopecks"
            self._findings.report("I23", f"{fact.id}: {_told(key)}: {numbers}", [fact.id])


def _whole(value: object) -> int:
    """Return a sum; what is no whole number is I15's to tell."""
    return value if type(value) is int else 0


def _told(key: CategoryKey) -> str:
    payer, period, category = key
    return f"category {category} of {payer} in {period}"
