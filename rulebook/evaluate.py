"""What a table says about one case on one day. Pure, and cheap enough to ask for every lesson.

A version is compiled once: each input is cut into the parts its rows tell apart, and each
combination of parts leads to its decision. Asking is then one lookup an input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from rulebook.checking import COMBINATIONS_MAX, check_version
from rulebook.errors import InputInvalidError, NotInForceError, RulesInvalidError
from rulebook.model import Hit, Row, Table, Value, Version
from rulebook.partitions import Axis, cut

COMPILED_MAX = 1_024
"""So many compiled versions are kept; the least used goes first and is compiled again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a table says: which version and rows led to it, what follows, and why.

    `hits` are the rows that count: one for `unique` and `first`, any number for `collect`.
    """

    table: str
    valid_from: date
    basis: str
    hits: tuple[Row, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """The ids of the rows that count, in the order of the table."""
        return tuple(row.id for row in self.hits)

    @property
    def row(self) -> str:
        """The id of the one row that counts. For `unique` and `first` only."""
        (row,) = self.hits
        return row.id

    @property
    def outputs(self) -> Mapping[str, Value]:
        """What follows. For `unique` and `first` only; `collect` has `hits`."""
        (row,) = self.hits
        return row.then

    @property
    def says(self) -> str:
        """Why, in Russian, for a family; several rows say one sentence each."""
        return ". ".join(row.says for row in self.hits)


def in_force(versions: Sequence[Version], day: date) -> Version | None:
    """Return the version with the latest first day not after `day`, None if there is none.

    Of two with the same first day the one published later holds.
    """
    holding = [version for version in versions if version.valid_from <= day]
    return max(holding, key=_precedence, default=None)


def base_version(table: Table, day: date) -> Version:
    """Return the table's own version in force on that day; raises NotInForceError."""
    version = in_force(table.versions, day)
    if version is None:
        raise NotInForceError(table.name, day)
    return version


def evaluate(table: Table, day: date, inputs: Mapping[str, object]) -> Decision:
    """Return what the table's own version in force on `day` says about these inputs.

    All inputs of the table are given, and no others. Raises NotInForceError if no version holds,
    InputInvalidError for an input of another name, type, word or bound: that is a defect of the
    caller, since what comes from outside was checked at the edge. See docs/rules.md, section 2.
    """
    return evaluate_version(base_version(table, day), inputs)


def evaluate_version(version: Version, inputs: Mapping[str, object]) -> Decision:
    """Return what this version says about these inputs; raises as `evaluate`."""
    return _compiled(version).ask(inputs)


def _precedence(version: Version) -> tuple[date, date]:
    return version.valid_from, version.published


@dataclass(frozen=True, slots=True)
class _Compiled:
    table: str
    axes: tuple[Axis, ...]
    decisions: tuple[Decision, ...]

    def ask(self, inputs: Mapping[str, object]) -> Decision:
        axes = self.axes
        if len(inputs) != len(axes):
            self._name_the_odd_one(inputs)
        place = 0
        for axis in axes:
            try:
                value = inputs[axis.name]
            except KeyError:
                raise InputInvalidError(self.table, axis.name, "is missing") from None
            place = place * len(axis.parts) + axis.locate(value)
        return self.decisions[place]

    def _name_the_odd_one(self, inputs: Mapping[str, object]) -> None:
        known = [axis.name for axis in self.axes]
        for name in known:
            if name not in inputs:
                raise InputInvalidError(self.table, name, "is missing")
        for name in inputs:
            if name not in known:
                raise InputInvalidError(
                    self.table, name, f"is not known; there are: {', '.join(known) or 'none'}"
                )


@lru_cache(maxsize=COMPILED_MAX)
def _compiled(version: Version) -> _Compiled:
    problems = check_version(version)
    if problems:
        raise RulesInvalidError(tuple(problems))
    axes = cut(version.schema, version.rows)
    masks = [(1 << len(version.rows)) - 1]
    for axis in axes:
        masks = [mask & part.rows for mask in masks for part in axis.parts]
    assert len(masks) <= COMBINATIONS_MAX
    known: dict[int, Decision] = {}
    for mask in masks:
        if mask not in known:
            known[mask] = _decision(version, mask)
    return _Compiled(version.schema.table, axes, tuple(known[mask] for mask in masks))


def _decision(version: Version, mask: int) -> Decision:
    hits = tuple(row for bit, row in enumerate(version.rows) if mask >> bit & 1)
    return Decision(
        table=version.schema.table,
        valid_from=version.valid_from,
        basis=version.basis,
        hits=hits[:1] if version.schema.hit is Hit.FIRST else hits,
    )
