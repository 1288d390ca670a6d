"""Why a table says what it says: for a family, for an official, for a developer. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import assert_never

from rulebook.errors import InputInvalidError
from rulebook.evaluate import Decision, evaluate_version
from rulebook.model import (
    Cell,
    Codes,
    Day,
    Equals,
    Holds,
    InputType,
    OneOf,
    Range,
    Row,
    Table,
    Value,
    Version,
    Whole,
    Words,
    YesNo,
)
from rulebook.overlay import NO_OVERLAYS, Overlays, version_in_force
from rulebook.partitions import takes

Plain = str | int | bool | list["Plain"] | dict[str, "Plain"]
"""Data that JSON can hold."""


def why(decision: Decision, *more: str) -> dict[str, str]:
    """Return the `why` of a published fact: table, from, row, basis and a Russian text.

    `more` are sentences with the numbers of the case; they follow what the row says
    (docs/events.md, section 4).
    """
    sentences = [sentence.strip().rstrip(".") for sentence in (decision.says, *more)]
    return {
        "table": decision.table,
        "from": decision.valid_from.isoformat(),
        "row": ", ".join(decision.rows),
        "basis": decision.basis,
        "text": "".join(f"{sentence}. " for sentence in sentences if sentence).rstrip(),
    }


def show(table: Table, day: date, overlays: Overlays = NO_OVERLAYS) -> dict[str, Plain]:
    """Return the rows in force on that day, in plain data; raises NotInForceError."""
    version = version_in_force(table, overlays, day)
    return {
        **_head(version, day),
        "inputs": {name: _type_words(kind) for name, kind in table.schema.inputs.items()},
        "rows": [
            {
                "id": row.id,
                "when": {name: _cell_data(cell) for name, cell in row.when.items()},
                "then": {name: _value_data(value) for name, value in row.then.items()},
                "says": row.says,
                "by": "payer" if row.id in version.overlaid else "base",
            }
            for row in version.rows
        ],
    }


def explain(
    table: Table, day: date, inputs: Mapping[str, object], overlays: Overlays = NO_OVERLAYS
) -> dict[str, Plain]:
    """Return what the table says about one case, and of each row why it hit or did not.

    Raises NotInForceError and InputInvalidError as `evaluate` does.
    """
    version = version_in_force(table, overlays, day)
    decision = evaluate_version(version, inputs)
    return {
        **_head(version, day),
        "hits": [
            {
                "row": row.id,
                "then": {name: _value_data(value) for name, value in row.then.items()},
                "says": row.says,
            }
            for row in decision.hits
        ],
        "rows": [_judged(row, decision, inputs) for row in version.rows],
    }


def inputs_from_text(table: Table, pairs: Iterable[str]) -> dict[str, object]:
    """Return typed inputs from `name=value` texts, as typed in a terminal.

    A collection is written `name=b01,b02`, an empty one `name=`; a bool `true` or `false`.
    Raises InputInvalidError for a name or a value that the table does not know.
    """
    inputs: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        kind = table.schema.inputs.get(name)
        if kind is None or not equals:
            known = ", ".join(table.schema.inputs) or "none"
            raise InputInvalidError(table.name, name, f"is not known; write NAME=VALUE of: {known}")
        if name in inputs:
            raise InputInvalidError(table.name, name, "is given twice")
        inputs[name] = _typed(table.name, name, kind, text)
    return inputs


def _typed(table: str, name: str, kind: InputType, text: str) -> object:
    match kind:
        case Words():
            return text
        case Codes():
            return frozenset(code for code in text.split(",") if code)
        case YesNo():
            if text in ("true", "false"):
                return text == "true"
        case Whole():
            digits = text.removeprefix("-")
            if digits.isascii() and digits.isdigit():
                return int(text)
        case Day():
            try:
                return date.fromisoformat(text)
            except ValueError:
                pass
        case _:
            assert_never(kind)
    raise InputInvalidError(table, name, f"cannot be {text!r}; it is {_type_words(kind)}")


def _head(version: Version, day: date) -> dict[str, Plain]:
    return {
        "table": version.schema.table,
        "meaning": version.schema.meaning,
        "hit": version.schema.hit.value,
        "day": day.isoformat(),
        "from": version.valid_from.isoformat(),
        "published": version.published.isoformat(),
        "basis": version.basis,
        "by": "payer" if version.by_payer else "base",
    }


def _judged(row: Row, decision: Decision, inputs: Mapping[str, object]) -> dict[str, Plain]:
    fails_on: list[Plain] = [
        name for name, cell in row.when.items() if not takes(cell, inputs[name])
    ]
    return {"row": row.id, "hit": row.id in decision.rows, "fails_on": fails_on}


def _cell_data(cell: Cell) -> Plain:
    match cell:
        case Equals(value):
            return _value_data(value)
        case OneOf(values):
            return [_value_data(value) for value in values]
        case Range(start, below):
            ends = {"from": start, "below": below}
            return {name: _value_data(end) for name, end in ends.items() if end is not None}
        case Holds(has, lacks):
            named: dict[str, Plain] = {}
            for name, codes in (("has", has), ("lacks", lacks)):
                if codes:
                    listed: list[Plain] = [*sorted(codes)]
                    named[name] = listed[0] if len(listed) == 1 else listed
            return named
        case _:
            assert_never(cell)


def _value_data(value: Value) -> Plain:
    return value.isoformat() if isinstance(value, date) else value


def _type_words(kind: InputType) -> str:
    match kind:
        case Words(words):
            return f"one of {', '.join(words)}"
        case Whole(start, below):
            low = "" if start is None else f" from {start}"
            high = "" if below is None else f" below {below}"
            return f"a whole number{low}{high}"
        case YesNo():
            return "true or false"
        case Day():
            return "a date, YYYY-MM-DD"
        case Codes():
            return "a collection of codes"
        case _:
            assert_never(kind)
