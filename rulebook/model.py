"""The words of a decision table: inputs, outputs, rows, versions. Plain frozen values.

The vocabulary is that of DMN decision tables; cells are typed equalities, thresholds and
memberships, never expressions (docs/rules.md, section 2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import TypeAlias

Value: TypeAlias = str | int | bool | date
"""What an output holds, and what an input that is no collection holds."""

KOPECKS_MAX = 10**12
TEXT_LENGTH_MAX = 200


class Hit(Enum):
    """How many rows a combination of inputs may hit, and which of them count."""

    UNIQUE = "unique"
    FIRST = "first"
    COLLECT = "collect"


# --- types of inputs ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """One of the listed words."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number, at least `start` and less than `below`; a bound that is None lacks."""

    start: int | None = None
    below: int | None = None


@dataclass(frozen=True, slots=True)
class YesNo:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day."""


@dataclass(frozen=True, slots=True)
class Codes:
    """A collection of codes, each there or not; order and number do not matter."""


InputType: TypeAlias = Words | Whole | YesNo | Day | Codes


# --- types of outputs --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identifier:
    """An id as on the bus: 3 to 40 lower-case letters, digits and hyphens."""


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence of at most `TEXT_LENGTH_MAX` characters."""


@dataclass(frozen=True, slots=True)
class Kopecks:
    """Whole kopecks, 0 to `KOPECKS_MAX`."""


OutputType: TypeAlias = Words | Whole | YesNo | Identifier | Text | Kopecks


# --- cells -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Equals:
    """The input is this value."""

    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The input is one of these values."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The input is at least `start` and less than `below`; either end may lack."""

    start: int | date | None = None
    below: int | date | None = None


@dataclass(frozen=True, slots=True)
class Holds:
    """The collection has all codes of `has` and none of `lacks`."""

    has: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()


Cell: TypeAlias = Equals | OneOf | Range | Holds
"""What a row asks of one input. An input a row does not name may be anything."""


# --- tables ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """If the inputs pass all cells of `when`, the outputs are `then`; `says` is why, in Russian.

    `line` is where the row stands in its file, 0 for a row that came by event.
    """

    id: str
    when: Mapping[str, Cell]
    then: Mapping[str, Value]
    says: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What all versions of a table have in common. `file` is for messages, or empty."""

    table: str
    meaning: str
    hit: Hit
    inputs: Mapping[str, InputType]
    outputs: Mapping[str, OutputType]
    file: str = ""


# Versions and tables are compared by identity: they are keys of the caches that make
# evaluating cheap, and hashing all rows for every lesson would not be.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Version:
    """The rows of a table from a day on, until the next version.

    `valid_from` is the first day it applies, `published` the day it could be known, `basis` the
    paper. `overlaid` are the ids of the rows a payer put in place; none in a base version.
    """

    schema: Schema
    valid_from: date
    published: date
    basis: str
    rows: tuple[Row, ...]
    overlaid: frozenset[str] = frozenset()
    by_payer: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A decision table with its base versions, in order of their first days."""

    schema: Schema
    versions: tuple[Version, ...]

    @property
    def name(self) -> str:
        """The name, e.g. `billing.charging`: the service that decides by it, and the matter."""
        return self.schema.table
