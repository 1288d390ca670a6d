"""I02: the money of a certificate in a period adds up, at every position of billing's journal."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from verification.findings import Findings
from verification.records import Fact

Purse: TypeAlias = tuple[int, int, int, int, int]
"""Nominal, balance, reserved, paid, expired."""

_PARTS = (
    "nominal_kopecks",
    "balance_kopecks",
    "reserved_kopecks",
    "paid_kopecks",
    "expired_kopecks",
)
_MOVES: Mapping[str, tuple[str, int, int]] = {
    "funds-reserved": ("certificate_share_kopecks", 1, 2),
    "lesson-charged": ("amount_kopecks", 2, 3),
    "charge-reversed": ("amount_kopecks", 3, 2),
    "month-charged": ("amount_kopecks", 2, 3),
    "month-reversed": ("amount_kopecks", 3, 2),
    "month-adjusted": ("amount_kopecks", 3, 1),
    "reserve-released": ("amount_kopecks", 2, 1),
    "period-expired": ("expired_kopecks", 1, 4),
}
"""By fact: the amount, and between which parts of the purse it moves (docs/rules.md, 5 to 8)."""


class Periods:
    """In which period an enrollment is: said once, by what its money was set aside for."""

    def __init__(self) -> None:
        self._periods: dict[tuple[str, str], str] = {}

    def of(self, fact: Fact) -> str:
        """Return the period a fact of billing is about."""
        if "period" in fact.data:
            return str(fact.data["period"])
        return self.of_enrollment(fact.payer, str(fact.data["enrollment_id"]))

    def of_enrollment(self, payer: str, enrollment_id: str) -> str:
        """Return the period of an enrollment; empty if no money was set aside for it."""
        return self._periods.get((payer, enrollment_id), "")

    def fact(self, fact: Fact) -> None:
        """Learn the period of an enrollment."""
        if fact.kind == "funds-reserved" and fact.input is not None:
            enrollment = (fact.payer, str(fact.data["enrollment_id"]))
            self._periods[enrollment] = str((fact.input.get("data") or {}).get("period", ""))


class Purses:
    """The purses as billing says they are after each fact, and as the facts move them."""

    def __init__(self, findings: Findings, periods: Periods) -> None:
        self._findings = findings
        self._periods = periods
        self._purses: dict[tuple[str, str, str], Purse] = {}

    def __len__(self) -> int:
        return len(self._purses)

    def fact(self, fact: Fact) -> None:
        """Check the purse of one fact of billing."""
        told = fact.data.get("purse")
        if told is None:
            return
        stated = _purse(told)
        owner = (fact.payer, str(fact.data["certificate_number"]), self._periods.of(fact))
        before = self._purses.get(owner)
        expected = _moved(before, fact)
        wrong = _unsound(stated)
        if not wrong and expected is None:
            wrong = "it was not opened" if before is None else "it was opened before"
        elif not wrong and expected is not None and stated != expected:
            wrong = f"{_told(stated)} instead of {_told(expected)}"
        if wrong:
            detail = f"{fact.id}: purse of {owner[1]} in {owner[2]}: {wrong}"
            self._findings.report("I02", detail, [fact.id])
        # What does not add up is not counted on with: one wrong record is told once.
        self._purses[owner] = expected if expected is not None and _unsound(stated) else stated


def _purse(told: Mapping[str, Any]) -> Purse:
    nominal, balance, reserved, paid, expired = (_whole(told.get(part)) for part in _PARTS)
    return nominal, balance, reserved, paid, expired


def _whole(value: object) -> int:
    """Return an amount; what is no whole number is I15's to tell."""
    return value if type(value) is int else 0


def _unsound(purse: Purse) -> str:
    if min(purse) < 0:
        return f"{_told(purse)}: less than nothing"
    if purse[0] != sum(purse[1:]):
        return f"{_told(purse)} does not add up"
    return ""


def _told(purse: Purse) -> str:
    return " ".join(
        f"{part.removesuffix('_kopecks')} {kopecks}"
        for part, kopecks in zip(_PARTS, purse, strict=True)
    )


def _moved(before: Purse | None, fact: Fact) -> Purse | None:
    """Return the purse after a fact, by its amounts; None if it cannot have moved that one."""
    data = fact.data
    is_opening = fact.kind == "account-opened"
    if is_opening and before is None:
        nominal = _whole(data["purse"].get("nominal_kopecks"))
        return nominal, nominal, 0, 0, 0
    if is_opening or before is None:
        return None
    parts = list(before)
    if fact.kind == "nominal-applied":
        difference = _whole(data["nominal_kopecks"]) - before[0]
        parts[0] += difference
        parts[1] += difference
    else:
        amount, source, target = _MOVES[fact.kind]
        parts[source] -= _whole(data[amount])
        parts[target] += _whole(data[amount])
    nominal, balance, reserved, paid, expired = parts
    return nominal, balance, reserved, paid, expired
