"""What a proposal would change, before anybody approves it. Pure.

Counted by the text of docs/rules.md from the read models, not by the services, which decide when
the event arrives: who applies meanwhile changes the numbers. Tests hold it against what they do.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import TypeAlias

from rulebook.loading import Rulebook
from rulebook.model import Table
from rulebook.overlay import Overlays, decide, publish

PACKAGES = (
    "services.enrollment",
    "services.certificates",
    "services.billing",
    "services.notifications",
)
"""Whose tables a payer may publish rows of. Read as data: nothing of the services is imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a payer sets for a category; None where it is not set yet."""

    nominal_kopecks: int
    places_max: int
    budget_max_kopecks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A certificate that holds money, not closed. `is_corrected`: its nominal was set by hand."""

    nominal_kopecks: int
    is_corrected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryChange:
    """What new limits of a category do at once. Refused: nothing else happens."""

    is_refused: bool
    raised: int
    raised_kopecks: int
    funded: int
    funded_kopecks: int
    still_queued: int
    room: int


def category_change(
    limits: Limits,
    holders: Iterable[Holder],
    places_taken: int,
    granted_kopecks: int,
    queue_frozen: Sequence[bool],
) -> CategoryChange:
    """Return what follows (docs/rules.md, section 4): first the raise, then the queue moves.

    `queue_frozen` tells, in order of the queue, who is frozen: those are passed over.
    """
    nominal = limits.nominal_kopecks
    below = [
        each.nominal_kopecks
        for each in holders
        if not each.is_corrected and each.nominal_kopecks < nominal
    ]
    cost = sum(nominal - before for before in below)
    if cost and granted_kopecks + cost > limits.budget_max_kopecks:
        return CategoryChange(
            is_refused=True,
            raised=0,
            raised_kopecks=0,
            funded=0,
            funded_kopecks=0,
            still_queued=len(queue_frozen),
            room=0,
        )
    granted, taken, funded = granted_kopecks + cost, places_taken, 0

    def fits() -> bool:
        return taken < limits.places_max and granted + nominal <= limits.budget_max_kopecks

    for is_frozen in queue_frozen:
        if not fits():
            break
        if not is_frozen:
            granted, taken, funded = granted + nominal, taken + 1, funded + 1
    room = limits.places_max - taken
    if nominal:
        room = min(room, (limits.budget_max_kopecks - granted) // nominal)
    return CategoryChange(
        is_refused=False,
        raised=len(below),
        raised_kopecks=cost,
        funded=funded,
        funded_kopecks=funded * nominal,
        still_queued=len(queue_frozen) - funded,
        room=max(0, room),
    )


def is_closed(ends_on: date, grace_days: int, today: date) -> bool:
    """Return whether the books of a period are closed: nothing of it can be set any more."""
    return today > ends_on + timedelta(days=grace_days)


# --- rules ---------------------------------------------------------------------------------------


@cache
def tables() -> Mapping[str, Table]:
    """Return the base tables by name, as they are shipped."""
    return {
        name: table
        for package in PACKAGES
        for name, table in sorted(Rulebook.load(package).tables.items())
    }


def decided(
    table: str, overlays: Overlays, day: date, inputs: Mapping[str, object]
) -> Mapping[str, object]:
    """Return what a table says on a day. Before its first version the first holds."""
    (answer,) = _answers(table, overlays, day, inputs)
    return answer


def _answers(
    table: str, overlays: Overlays, day: date, inputs: Mapping[str, object]
) -> tuple[Mapping[str, object], ...]:
    """Return all that a table says: one thing, or any number where it collects."""
    base = tables()[table]
    first = base.versions[0].valid_from
    return tuple(row.then for row in decide(base, overlays, max(day, first), inputs).hits)


Child: TypeAlias = tuple[date, tuple[str, ...]]
"""Day of birth, and benefits in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChange:
    """A case that a table would answer otherwise: before and after, and for how many children.

    `case` has the inputs by name; there are none where a table answers always the same.
    """

    case: Mapping[str, object]
    before: tuple[Mapping[str, object], ...]
    after: tuple[Mapping[str, object], ...]
    children: int | None = None


def rule_changes(
    table: str,
    overlays: Overlays,
    published: Mapping[str, object],
    children: Mapping[Child, int],
    first_day: date,
) -> list[CaseChange]:
    """Return which cases of a table change on the first day in force.

    Asked are all cases where the inputs are words, and those of the payer's children, of whom each
    is told how many they are. Raises RulesInvalidError for rows that would be refused.
    """
    base = tables()[table]
    publish(base, published)
    after = overlays.adding(published)
    found = []
    for case, number in _cases(base, children, first_day):
        old = _answers(table, overlays, first_day, case)
        new = _answers(table, after, first_day, case)
        if old != new:
            found.append(CaseChange(case=case, before=old, after=new, children=number))
    return found


def asks_children(table: str) -> bool:
    """Return whether what a table says depends on a child."""
    return "age_years" in tables()[table].schema.inputs


def _cases(
    base: Table, children: Mapping[Child, int], day: date
) -> list[tuple[Mapping[str, object], int | None]]:
    """Return the inputs of each case, and how many children are one."""
    inputs = base.schema.inputs
    if not inputs:
        return [({}, None)]
    if asks_children(base.name):
        found: Counter[tuple[int, tuple[str, ...]]] = Counter()
        for (born, benefits), number in children.items():
            age = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
            found[age, benefits if "benefits" in inputs else ()] += number
        return [
            ({"age_years": age} | ({"benefits": benefits} if "benefits" in inputs else {}), number)
            for (age, benefits), number in sorted(found.items())
        ]
    # Tests ask of each table that comes with the services whether its cases are known.
    ((name, kind),) = inputs.items()
    return [({name: word}, None) for word in getattr(kind, "words", ())]
