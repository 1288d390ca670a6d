"""The inputs of a table, cut where its rows differ.

Inside one part of an input no row can tell two values apart. So to look at every combination of
parts is to look at every combination of values: the check is exact, and a lookup finds its part
instead of trying rows.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import assert_never

from rulebook.errors import InputInvalidError
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
    Schema,
    Whole,
    Words,
    YesNo,
)

Locate = Callable[[object], int]
"""From the value of an input to the number of its part; raises InputInvalidError."""


@dataclass(frozen=True, slots=True)
class Part:
    """Values of one input that no row tells apart, and which rows (by bit) take them."""

    english: str
    russian: str
    rows: int


@dataclass(frozen=True, slots=True)
class Axis:
    """One input cut into parts. A `whole` axis is not cut: no row asks anything of it."""

    name: str
    parts: tuple[Part, ...]
    locate: Locate

    @property
    def whole(self) -> bool:
        """Whether all values are in one part, which then need not be named."""
        return len(self.parts) == 1


def part_count(schema: Schema, rows: Sequence[Row]) -> int:
    """Return how many combinations of parts there are, without making them."""
    count = 1
    for name, kind in schema.inputs.items():
        cells = [row.when[name] for row in rows if name in row.when]
        match kind:
            case Words():
                count *= len(kind.words)
            case YesNo():
                count *= 2
            case Codes():
                count *= 2 ** len(_codes_named(cells))
            case Whole() | Day():
                count *= len(_cuts(kind, cells)) + 1
            case _:
                assert_never(kind)
    return count


def cut(schema: Schema, rows: Sequence[Row]) -> tuple[Axis, ...]:
    """Return the inputs of the table, each cut at the boundaries these rows name."""
    return tuple(_axis(schema.table, name, kind, rows) for name, kind in schema.inputs.items())


def _axis(table: str, name: str, kind: InputType, rows: Sequence[Row]) -> Axis:
    cells = [row.when.get(name) for row in rows]
    named = [cell for cell in cells if cell is not None]
    match kind:
        case Words():
            parts = [Part(word, word, _taken(cells, word)) for word in kind.words]
            numbers = {word: number for number, word in enumerate(kind.words)}
            return Axis(name, tuple(parts), _locate_word(table, name, numbers))
        case YesNo():
            parts = [
                Part("false", "нет", _taken(cells, False)),
                Part("true", "да", _taken(cells, True)),
            ]
            return Axis(name, tuple(parts), _locate_yes_no(table, name))
        case Whole():
            cuts = _cuts(kind, named)
            lows = [kind.start, *cuts]
            highs = [*cuts, kind.below]
            parts = [
                Part(*_whole_words(low, high), _taken(cells, _sample(low, high)))
                for low, high in zip(lows, highs, strict=True)
            ]
            return Axis(name, tuple(parts), _locate_whole(table, name, kind, cuts))
        case Day():
            cuts = _cuts(kind, named)
            ends: list[int | None] = [None]
            parts = [
                Part(*_day_words(low, high), _taken(cells, date.fromordinal(_sample(low, high))))
                for low, high in zip([*ends, *cuts], [*cuts, *ends], strict=True)
            ]
            return Axis(name, tuple(parts), _locate_day(table, name, cuts))
        case Codes():
            codes = _codes_named(named)
            parts = [_codes_part(cells, codes, number) for number in range(2 ** len(codes))]
            return Axis(name, tuple(parts), _locate_codes(table, name, codes))
        case _:
            assert_never(kind)


# --- which rows take a value -------------------------------------------------------------------


def takes(cell: Cell, value: object) -> bool:
    """Return whether the cell lets this value of its input pass."""
    match cell:
        case Equals():
            return value == cell.value
        case OneOf():
            return value in cell.values
        case Range(start, below):
            number = _ordinal(value)
            return (start is None or _ordinal(start) <= number) and (
                below is None or number < _ordinal(below)
            )
        case Holds():
            assert isinstance(value, Collection)
            return all(code in value for code in cell.has) and not any(
                code in value for code in cell.lacks
            )
        case _:
            assert_never(cell)


def _taken(cells: Sequence[Cell | None], value: object) -> int:
    mask = 0
    for number, cell in enumerate(cells):
        if cell is None or takes(cell, value):
            mask |= 1 << number
    return mask


# --- numbers and days --------------------------------------------------------------------------


def _ordinal(value: object) -> int:
    if isinstance(value, date):
        return value.toordinal()
    assert isinstance(value, int)
    return value


def _cuts(kind: Whole | Day, cells: Sequence[Cell]) -> list[int]:
    cuts: set[int] = set()
    for cell in cells:
        match cell:
            case Equals():
                cuts |= {_ordinal(cell.value), _ordinal(cell.value) + 1}
            case OneOf():
                for value in cell.values:
                    cuts |= {_ordinal(value), _ordinal(value) + 1}
            case Range():
                cuts |= {_ordinal(end) for end in (cell.start, cell.below) if end is not None}
            case Holds():
                raise AssertionError("a number has no members")
            case _:
                assert_never(cell)
    match kind:
        case Whole(start, below):
            return sorted(
                number
                for number in cuts
                if (start is None or start < number) and (below is None or number < below)
            )
        case Day():
            first, last = date.min.toordinal(), date.max.toordinal()
            return sorted(number for number in cuts if first < number <= last)
        case _:
            assert_never(kind)


def _sample(low: int | None, high: int | None) -> int:
    if low is not None:
        return low
    # Without any end one value stands for all; 1 is also the ordinal of a day.
    return 1 if high is None else high - 1


def _whole_words(low: int | None, high: int | None) -> tuple[str, str]:
    if low is None:
        return ("any", "любое") if high is None else (f"below {high}", f"меньше {high}")
    if high is None:
        return f"{low} and above", f"{low} и больше"
    if high == low + 1:
        return str(low), str(low)
    return f"{low} to {high - 1}", f"от {low} до {high - 1}"


def _day_words(low: int | None, high: int | None) -> tuple[str, str]:
    first = None if low is None else date.fromordinal(low).isoformat()
    last = None if high is None else date.fromordinal(high - 1).isoformat()
    if first is None:
        if last is None:
            return "any day", "любой день"
        return f"up to {last}", f"по {last} включительно"
    if last is None:
        return f"{first} and later", f"с {first}"
    if first == last:
        return first, first
    return f"{first} to {last}", f"с {first} по {last} включительно"


# --- collections -------------------------------------------------------------------------------


def _codes_named(cells: Sequence[Cell]) -> tuple[str, ...]:
    named: set[str] = set()
    for cell in cells:
        assert isinstance(cell, Holds)
        named |= cell.has | cell.lacks
    return tuple(sorted(named))


def _codes_part(cells: Sequence[Cell | None], codes: tuple[str, ...], number: int) -> Part:
    present = {code for bit, code in enumerate(codes) if number >> bit & 1}
    english = " and ".join(f"{'with' if code in present else 'without'} {code}" for code in codes)
    russian = " и ".join(f"{'есть' if code in present else 'нет'} {code}" for code in codes)
    return Part(english or "any", russian or "любые", _taken(cells, present))


# --- from a value to its part ------------------------------------------------------------------


def _locate_word(table: str, name: str, numbers: dict[str, int]) -> Locate:
    def locate(value: object) -> int:
        number = numbers.get(value) if isinstance(value, str) else None
        if number is None:
            listed = ", ".join(numbers)
            raise InputInvalidError(table, name, f"is {value!r}, not one of {listed}")
        return number

    return locate


def _locate_yes_no(table: str, name: str) -> Locate:
    def locate(value: object) -> int:
        if not isinstance(value, bool):
            raise InputInvalidError(table, name, f"is {value!r}, not true or false")
        return int(value)

    return locate


def _locate_whole(table: str, name: str, kind: Whole, cuts: list[int]) -> Locate:
    start, below = kind.start, kind.below

    def locate(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputInvalidError(table, name, f"is {value!r}, not a whole number")
        if (start is not None and value < start) or (below is not None and value >= below):
            raise InputInvalidError(table, name, f"is {value}, not {_whole_words(start, below)[0]}")
        return bisect_right(cuts, value)

    return locate


def _locate_day(table: str, name: str, cuts: list[int]) -> Locate:
    def locate(value: object) -> int:
        if type(value) is not date:
            raise InputInvalidError(table, name, f"is {value!r}, not a date")
        return bisect_right(cuts, value.toordinal())

    return locate


def _locate_codes(table: str, name: str, codes: tuple[str, ...]) -> Locate:
    bits = tuple((code, 1 << bit) for bit, code in enumerate(codes))

    def locate(value: object) -> int:
        if isinstance(value, str) or not isinstance(value, Collection):
            raise InputInvalidError(table, name, f"is {value!r}, not a collection of codes")
        number = 0
        for code, bit in bits:
            if code in value:
                number |= bit
        return number

    return locate
