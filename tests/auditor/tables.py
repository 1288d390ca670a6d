"""The rule tables a payer may change, and the check an overlay must pass (rules.md, section 2)."""

import datetime as dt
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{2,39}")
BENEFIT = re.compile(r"b[0-9]{2}")
MARKS = ("present", "absent", "ill", "excused", "cancelled", "made-up")
REGISTRIES = ("certified", "preprofessional", "significant", "general", "other")
VERDICTS = ("eligible", "too_young", "too_old")


@dataclass(frozen=True)
class Days:
    """A whole number of days, from and below."""

    low: int
    below: int


@dataclass(frozen=True)
class Table:
    """A table. An input is a choice of words, `int` or `benefits`.

    An output is a choice of words, `bool`, `id` or a range of days.
    """

    inputs: Mapping[str, tuple[str, ...] | str]
    outputs: Mapping[str, tuple[str, ...] | str | Days]
    rows: tuple[Row, ...]


_AGES = Table(
    inputs={"age_years": "int"},
    outputs={"verdict": VERDICTS},
    rows=(
        {"id": "young", "when": {"age_years": {"below": 5}}, "then": {"verdict": "too_young"}},
        {
            "id": "right",
            "when": {"age_years": {"from": 5, "below": 18}},
            "then": {"verdict": "eligible"},
        },
        {"id": "old", "when": {"age_years": {"from": 18}}, "then": {"verdict": "too_old"}},
    ),
)

BASE = {
    "enrollment.age": _AGES,
    "certificates.age": _AGES,
    "enrollment.registry": Table(
        inputs={"registry": REGISTRIES},
        outputs={"verdict": ("eligible", "not_certified")},
        rows=(
            {"id": "certified", "when": {"registry": "certified"}, "then": {"verdict": "eligible"}},
            {
                "id": "others",
                "when": {"registry": [*REGISTRIES[1:]]},
                "then": {"verdict": "not_certified"},
            },
        ),
    ),
    "enrollment.days": Table(
        inputs={},
        outputs={"hold_days": Days(0, 366), "parking_days": Days(0, 366)},
        rows=({"id": "days", "then": {"hold_days": 10, "parking_days": 30}},),
    ),
    "certificates.category": Table(
        inputs={"age_years": "int", "benefits": "benefits"},
        outputs={"category": "id"},
        rows=(
            {
                "id": "special",
                "when": {"benefits": {"has": "b01"}},
                "then": {"category": "special"},
            },
            {
                "id": "general",
                "when": {"benefits": {"lacks": "b01"}},
                "then": {"category": "general"},
            },
        ),
    ),
    "billing.charging": Table(
        inputs={"mark": MARKS},
        outputs={"charge": "bool"},
        rows=(
            {
                "id": "attended",
                "when": {"mark": ["present", "made-up"]},
                "then": {"charge": True},
            },
            {
                "id": "missed",
                "when": {"mark": ["absent", "ill", "excused", "cancelled"]},
                "then": {"charge": False},
            },
        ),
    ),
    "billing.days": Table(
        inputs={},
        outputs={
            "parking_days": Days(0, 366),
            "grace_days": Days(0, 366),
            "invoice_day": Days(1, 29),
        },
        rows=({"id": "days", "then": {"parking_days": 30, "grace_days": 10, "invoice_day": 6}},),
    ),
}
"""The base content. Every table is `unique`: exactly one row for every combination."""

FIRST_DAY = dt.date(2020, 8, 14)
"""From when the base rows are in force; an overlay cannot begin earlier."""
FIRST_DAYS = {"billing.charging": dt.date(2020, 9, 1)}
"""Of tables that begin later."""


class Rulebook:
    """The tables as one payer has them."""

    def __init__(self) -> None:
        self._published: dict[str, list[tuple[dt.date, dt.date, tuple[Row, ...]]]] = {}

    def publish(
        self, name: str, first_day: dt.date, published: dt.date, rows: Sequence[Row]
    ) -> bool:
        """Take an overlay; return False, and change nothing, if the result is no sound table."""
        table = BASE.get(name)
        if table is None or first_day < FIRST_DAYS.get(name, FIRST_DAY):
            return False
        replaced = {row.get("id"): row for row in rows}
        merged = {row["id"]: row for row in table.rows} | replaced
        if len(replaced) < len(rows) or not is_sound(table, tuple(merged.values())):
            return False
        self._published.setdefault(name, []).append((first_day, published, tuple(merged.values())))
        return True

    def ask(self, name: str, day: dt.date, **case: Any) -> Mapping[str, Any]:
        """Return what the version in force on a day says of a case."""
        (row,) = (row for row in self._rows(name, day) if _hits(row, case))
        then: Mapping[str, Any] = row["then"]
        return then

    def _rows(self, name: str, day: dt.date) -> tuple[Row, ...]:
        in_force = [version for version in self._published.get(name, []) if version[0] <= day]
        if not in_force:
            return BASE[name].rows
        return max(in_force, key=lambda version: version[:2])[2]


def is_sound(table: Table, rows: Sequence[Row]) -> bool:
    """Return whether every row is well-formed and every combination has exactly one."""
    if not all(_is_well_formed(table, row) for row in rows):
        return False
    hits = dict.fromkeys(range(len(rows)), 0)
    for case in _combinations(table, rows):
        hitting = [number for number, row in enumerate(rows) if _hits(row, case)]
        if len(hitting) != 1:
            return False
        hits[hitting[0]] += 1
    return all(hits.values())


def _hits(row: Row, case: Mapping[str, Any]) -> bool:
    return all(_fits(cell, case[name]) for name, cell in row.get("when", {}).items())


def _fits(cell: Any, value: Any) -> bool:
    if isinstance(cell, list):
        return value in cell
    if isinstance(cell, dict):
        if "has" in cell:
            return cell["has"] in value
        if "lacks" in cell:
            return cell["lacks"] not in value
        return bool(cell.get("from", value) <= value < cell.get("below", value + 1))
    return bool(value == cell)


def _combinations(table: Table, rows: Sequence[Row]) -> Iterator[Mapping[str, Any]]:
    """Yield one case on each side of every boundary, combined."""
    values: list[list[Any]] = []
    for name, kind in table.inputs.items():
        cells = [row.get("when", {}).get(name) for row in rows]
        if isinstance(kind, tuple):
            values.append([*kind])
        elif kind == "int":
            values.append([*sorted(_around(cells))])
        else:
            codes = sorted({code for cell in cells if cell for code in cell.values()})
            subsets = (itertools.combinations(codes, size) for size in range(len(codes) + 1))
            values.append([*itertools.chain.from_iterable(subsets)])
    for chosen in itertools.product(*values):
        yield dict(zip(table.inputs, chosen, strict=True))


def _around(cells: Sequence[Any]) -> set[int]:
    named = {0}
    for cell in cells:
        if isinstance(cell, dict):
            named.update(cell.values())
        elif isinstance(cell, list):
            named.update(cell)
        elif cell is not None:
            named.add(cell)
    return {number + step for number in named for step in (-1, 0, 1)}


def _is_well_formed(table: Table, row: Row) -> bool:
    then, when = row.get("then"), row.get("when", {})
    if not isinstance(row.get("id"), str) or not isinstance(then, dict):
        return False
    if not isinstance(when, dict) or not set(when) <= set(table.inputs):
        return False
    return (
        set(then) == set(table.outputs)
        and all(_is_output(table.outputs[name], value) for name, value in then.items())
        and all(_is_cell(table.inputs[name], cell) for name, cell in when.items())
    )


def _is_output(kind: tuple[str, ...] | str | Days, value: Any) -> bool:
    if isinstance(kind, tuple):
        return value in kind
    if isinstance(kind, Days):
        return type(value) is int and kind.low <= value < kind.below
    if kind == "bool":
        return isinstance(value, bool)
    return isinstance(value, str) and IDENTIFIER.fullmatch(value) is not None


def _is_cell(kind: tuple[str, ...] | str, cell: Any) -> bool:
    if isinstance(kind, tuple):
        words = cell if isinstance(cell, list) else [cell]
        return bool(words) and all(word in kind for word in words)
    if kind == "int":
        if isinstance(cell, dict):
            return (
                bool(cell)
                and set(cell) <= {"from", "below"}
                and all(type(number) is int for number in cell.values())
            )
        numbers = cell if isinstance(cell, list) else [cell]
        return bool(numbers) and all(type(number) is int for number in numbers)
    return (
        isinstance(cell, dict)
        and len(cell) == 1
        and set(cell) <= {"has", "lacks"}
        and all(isinstance(code, str) and BENEFIT.fullmatch(code) for code in cell.values())
    )
