"""From plain data to typed rows and tables. Pure: where the data came from does not matter.

A file's data carries its line numbers along (`Lined`, made by `loading`); an event's data is
plain JSON and has none. Both are read by the same strict rules.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import TypeVar, assert_never

from rulebook.errors import Defect, Problem, RulesInvalidError
from rulebook.model import (
    KOPECKS_MAX,
    TEXT_LENGTH_MAX,
    Cell,
    Codes,
    Day,
    Equals,
    Hit,
    Holds,
    Identifier,
    InputType,
    Kopecks,
    OneOf,
    OutputType,
    Range,
    Row,
    Schema,
    Table,
    Text,
    Value,
    Version,
    Whole,
    Words,
    YesNo,
)

T = TypeVar("T")

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_ROW_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}", re.ASCII)
_TABLE = re.compile(r"[a-z]+\.[a-z][a-z0-9-]*", re.ASCII)
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{2,39}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class LinedDict(dict[str, object]):
    """A mapping from a file, with the line of each key."""

    def __init__(self) -> None:
        super().__init__()
        self.line = 0
        self.lines: dict[object, int] = {}


class LinedList(list[object]):
    """A list from a file, with the line of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.line = 0
        self.lines: dict[object, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where data stands: a file and line, or the words that name an event's rows."""

    table: str
    source: str
    line: int = 0
    russian: str = ""

    def at(self, holder: object, key: object = None) -> "Place":
        """Return the place of a member of a mapping or list, or of the mapping or list itself."""
        if isinstance(holder, LinedDict | LinedList):
            line = holder.lines.get(key, holder.line)
            return Place(table=self.table, source=self.source, line=line, russian=self.russian)
        return self

    @property
    def words(self) -> str:
        """The place as a message begins."""
        return f"{self.source}:{self.line}" if self.line else self.source

    def wrong(
        self,
        what: str,
        remedy: str,
        russian: str,
        defect: Defect = Defect.FORM,
        rows: tuple[str, ...] = (),
    ) -> RulesInvalidError:
        """Return the error that says what is wrong here and what to do."""
        return RulesInvalidError(
            (
                Problem(
                    defect=defect,
                    table=self.table,
                    where=self.words,
                    what=what,
                    remedy=remedy,
                    russian=f"{self.russian or self.words}: {russian}",
                    rows=rows,
                ),
            )
        )


@dataclass(slots=True)
class Findings:
    """Gathers problems, so that one reading names all of them."""

    problems: list[Problem] = field(default_factory=list)

    def attempt(self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns, or note its problems and return None."""
        try:
            return read()
        except RulesInvalidError as error:
            self.problems.extend(error.problems)
            return None

    def settle(self) -> None:
        """Raise RulesInvalidError with all problems noted; do nothing if there are none."""
        if self.problems:
            raise RulesInvalidError(tuple(self.problems))


# --- tables ------------------------------------------------------------------------------------


def read_table(data: object, source: str) -> Table:
    """Return the table that a file's data describe; `source` names the file in messages.

    Only the form is read here; whether rows leave gaps or overlap is for `checking`.
    Raises RulesInvalidError with every problem of form found.
    """
    place = Place(table="", source=source).at(data)
    body = _mapping(data, place)
    _known(body, place, required=("table", "meaning", "hit", "outputs", "versions", "inputs"))
    name = _matching(body["table"], _TABLE, place.at(body, "table"), "a name like billing.days")
    place = Place(table=name, source=source)
    schema = Schema(
        table=name,
        meaning=read_text(body["meaning"], place.at(body, "meaning")),
        hit=_hit(body["hit"], place.at(body, "hit")),
        inputs=_types(body["inputs"], place.at(body, "inputs"), _input_type),
        outputs=_types(body["outputs"], place.at(body, "outputs"), _output_type),
        file=source,
    )
    if not schema.outputs:
        raise place.at(body, "outputs").wrong(
            "the table has no output", "Name at least one.", "в таблице нет ни одного результата"
        )
    findings = Findings()
    listed = _list(body["versions"], place.at(body, "versions"))
    versions: list[Version] = []
    for number, one in enumerate(listed):
        here = place.at(listed, number)
        version = findings.attempt(lambda one=one, here=here: _version(schema, one, here))  # type: ignore[misc]
        if version is not None:
            versions.append(version)
    findings.settle()
    _check_order(versions, place.at(body, "versions"))
    return Table(schema=schema, versions=tuple(versions))


def _version(schema: Schema, data: object, place: Place) -> Version:
    body = _mapping(data, place)
    _known(body, place, required=("from", "published", "basis", "rows"))
    return Version(
        schema=schema,
        valid_from=read_day(body["from"], place.at(body, "from")),
        published=read_day(body["published"], place.at(body, "published")),
        basis=read_text(body["basis"], place.at(body, "basis")),
        rows=read_rows(schema, body["rows"], place.at(body, "rows")),
        line=place.line,
    )


def _check_order(versions: Sequence[Version], place: Place) -> None:
    if not versions:
        raise place.wrong(
            "the table has no version",
            "Add one with its first day.",
            "в таблице нет ни одной версии",
        )
    for earlier, later in pairwise(versions):
        if (later.valid_from, later.published) <= (earlier.valid_from, earlier.published):
            raise Place(table=place.table, source=place.source, line=later.line).wrong(
                f"the version from {later.valid_from} does not come after the one before it",
                "Put versions in order of `from`, then of `published`, each pair once.",
                "версии стоят не по порядку или повторяются",
            )


# --- rows --------------------------------------------------------------------------------------


def read_rows(schema: Schema, data: object, place: Place) -> tuple[Row, ...]:
    """Return the rows of a version; raises RulesInvalidError with the problems of every row."""
    listed = _list(data, place)
    findings = Findings()
    rows: dict[str, Row] = {}
    for number, one in enumerate(listed):
        here = place.at(listed, number)
        row = findings.attempt(lambda one=one, here=here: _row(schema, one, here))  # type: ignore[misc]
        if row is None:
            continue
        if row.id in rows:
            error = here.wrong(
                f"row {row.id!r} is there twice",
                "Give each row an id of its own, or remove one of them.",
                f"строка «{row.id}» указана дважды; уберите одну из них или дайте ей другое имя",
                Defect.REPEATED_ID,
                (row.id,),
            )
            findings.problems.extend(error.problems)
        rows.setdefault(row.id, row)
    findings.settle()
    return tuple(rows.values())


def _row(schema: Schema, data: object, place: Place) -> Row:
    body = _mapping(data, place)
    _known(body, place, required=("id", "then", "says"), optional=("when",))
    row_id = _matching(body["id"], _ROW_ID, place.at(body, "id"), "an id like right-age")
    asked = _mapping(body.get("when", {}), place.at(body, "when"))
    _known(asked, place.at(body, "when"), optional=tuple(schema.inputs))
    given = _mapping(body["then"], place.at(body, "then"))
    _known(given, place.at(body, "then"), required=tuple(schema.outputs))
    return Row(
        id=row_id,
        when={
            name: _cell(schema.inputs[name], asked[name], name, place.at(asked, name))
            for name in schema.inputs
            if name in asked
        },
        then={
            name: _output(kind, given[name], name, place.at(given, name))
            for name, kind in schema.outputs.items()
        },
        says=read_text(body["says"], place.at(body, "says")),
        line=place.line,
    )


# --- cells -------------------------------------------------------------------------------------


def _cell(kind: InputType, data: object, name: str, place: Place) -> Cell:
    if isinstance(kind, Codes):
        return _members(data, name, place)
    if isinstance(data, Mapping):
        if not isinstance(kind, Whole | Day):
            raise place.wrong(
                f"{name} is no number and no date, so it has no `from` or `below`",
                "Write a value, or a list of values.",
                f"для «{name}» нельзя задать границы; укажите значение или список значений",
            )
        return _range(kind, data, name, place)
    if isinstance(data, list | tuple):
        if not data:
            raise place.wrong(
                f"the list of {name} is empty, so the row can never hit",
                "Name at least one value, or leave the input out: then it may be anything.",
                f"список «{name}» пуст, строка никогда не сработает",
                Defect.DEAD_ROW,
            )
        values = (_value(kind, one, name, place.at(data, i)) for i, one in enumerate(data))
        return OneOf(tuple(values))
    return Equals(_value(kind, data, name, place))


def _range(kind: Whole | Day, data: object, name: str, place: Place) -> Range:
    body = _mapping(data, place)
    _known(body, place, optional=("from", "below"))
    if not body:
        raise place.wrong(
            f"the range of {name} has no end",
            "Give `from`, `below` or both, or leave the input out: then it may be anything.",
            f"у границ «{name}» не указано ни начало (from), ни конец (below)",
        )
    start = below = None
    if "from" in body:
        start = _ordered(kind, body["from"], name, place.at(body, "from"))
    if "below" in body:
        below = _ordered(kind, body["below"], name, place.at(body, "below"))
    if isinstance(start, int) and isinstance(below, int):
        empty = start >= below
    else:
        empty = isinstance(start, date) and isinstance(below, date) and start >= below
    if empty:
        raise place.wrong(
            f"{name} from {start} and below {below} holds nothing, so the row can never hit",
            "Make `from` smaller than `below`.",
            f"границы «{name}» пусты: from {start} не меньше below {below}",
            Defect.DEAD_ROW,
        )
    return Range(start, below)


def _ordered(kind: Whole | Day, data: object, name: str, place: Place) -> int | date:
    if isinstance(kind, Day):
        return read_day(data, place)
    return _whole(data, name, place)


def _members(data: object, name: str, place: Place) -> Holds:
    body = _mapping(data, place)
    _known(body, place, optional=("has", "lacks"))
    has, lacks = (
        frozenset(_codes(body[key], name, place.at(body, key))) if key in body else frozenset()
        for key in ("has", "lacks")
    )
    if not has and not lacks:
        raise place.wrong(
            f"{name} names no code",
            "Write {has: CODE} or {lacks: CODE}, or leave the input out.",
            f"для «{name}» не указан код: нужно has или lacks",
        )
    if has & lacks:
        raise place.wrong(
            f"{name} has and lacks {min(has & lacks)} at once, so the row can never hit",
            "Keep one of the two.",
            f"для «{name}» код {min(has & lacks)} указан и в has, и в lacks",
            Defect.DEAD_ROW,
        )
    return Holds(has=has, lacks=lacks)


def _codes(data: object, name: str, place: Place) -> Iterable[str]:
    listed = data if isinstance(data, list | tuple) else [data]
    return [_matching(one, _WORD, place, f"a code of {name}") for one in listed]


def _value(kind: Words | Whole | YesNo | Day, data: object, name: str, place: Place) -> Value:
    match kind:
        case Words():
            return _listed(kind, data, name, place)
        case Whole():
            return _bounded(kind, data, name, place)
        case YesNo():
            return _yes_no(data, name, place)
        case Day():
            return read_day(data, place)
        case _:
            assert_never(kind)


def _output(kind: OutputType, data: object, name: str, place: Place) -> Value:
    match kind:
        case Words():
            return _listed(kind, data, name, place)
        case Whole():
            return _bounded(kind, data, name, place)
        case YesNo():
            return _yes_no(data, name, place)
        case Identifier():
            return _matching(data, _IDENTIFIER, place, f"an id for {name}, 3 to 40 of a-z 0-9 -")
        case Text():
            return read_text(data, place)
        case Kopecks():
            return _bounded(Whole(0, KOPECKS_MAX + 1), data, name, place)
        case _:
            assert_never(kind)


# --- types of inputs and outputs ---------------------------------------------------------------


def _types(data: object, place: Place, read: Callable[[object, Place], T]) -> Mapping[str, T]:
    body = _mapping(data, place)
    types: dict[str, T] = {}
    for name, kind in body.items():
        _matching(name, _NAME, place.at(body, name), "a name like age_years")
        types[name] = read(kind, place.at(body, name))
    return types


def _input_type(data: object, place: Place) -> InputType:
    if data == "date":
        return Day()
    if isinstance(data, Mapping) and "collection" in data:
        _known(data, place, required=("collection",))
        if data["collection"] != "words":
            raise place.wrong(
                f"a collection holds words, not {data['collection']!r}",
                "Write {collection: words}.",
                "набор может состоять только из слов",
            )
        return Codes()
    kind = _shared_type(data, place)
    if kind is None:
        raise place.wrong(
            f"{data!r} is no type of an input",
            "Use a list of words, int, {int: {from: 0, below: 10}}, bool, date "
            "or {collection: words}.",
            "неизвестный вид входного значения",
        )
    return kind


def _output_type(data: object, place: Place) -> OutputType:
    if data == "id":
        return Identifier()
    if data == "text":
        return Text()
    if data == "kopecks":
        return Kopecks()
    kind = _shared_type(data, place)
    if kind is None:
        raise place.wrong(
            f"{data!r} is no type of an output",
            "Use a list of words, int, {int: {from: 0, below: 10}}, bool, id, text or kopecks.",
            "неизвестный вид результата",
        )
    return kind


def _shared_type(data: object, place: Place) -> Words | Whole | YesNo | None:
    if data == "int":
        return Whole()
    if data == "bool":
        return YesNo()
    if isinstance(data, Mapping) and "int" in data:
        _known(data, place, required=("int",))
        bounds = _range(Whole(), data["int"], "int", place.at(data, "int"))
        assert not isinstance(bounds.start, date)
        assert not isinstance(bounds.below, date)
        return Whole(bounds.start, bounds.below)
    if isinstance(data, list | tuple):
        words = tuple(
            _matching(one, _WORD, place.at(data, number), "a word")
            for number, one in enumerate(data)
        )
        if not words or len(set(words)) < len(words):
            raise place.wrong(
                "the list of words is empty or repeats a word",
                "Name each word once.",
                "список слов пуст или содержит повтор",
            )
        return Words(words)
    return None


def _hit(data: object, place: Place) -> Hit:
    known = {hit.value: hit for hit in Hit}
    if not isinstance(data, str) or data not in known:
        raise place.wrong(
            f"{data!r} is no hit policy",
            f"Use one of {', '.join(known)}.",
            "неизвестный вид таблицы",
        )
    return known[data]


# --- scalars -----------------------------------------------------------------------------------


def read_text(data: object, place: Place) -> str:
    """Return the sentence; raises RulesInvalidError if it is empty, too long or not text."""
    if (
        not isinstance(data, str)
        or not data.strip()
        or len(data) > TEXT_LENGTH_MAX
        or any(not character.isprintable() for character in data)
    ):
        raise place.wrong(
            f"{_shown(data)} is no sentence of at most {TEXT_LENGTH_MAX} characters",
            "Write one line of text; put it in quotes if it looks like a number or a date.",
            f"здесь нужен текст в одну строку, не длиннее {TEXT_LENGTH_MAX} знаков",
        )
    return data


def read_day(data: object, place: Place) -> date:
    """Return the date, given as a date or as `YYYY-MM-DD`; else raises RulesInvalidError."""
    if isinstance(data, date) and not isinstance(data, datetime):
        return data
    if isinstance(data, str) and _DATE.fullmatch(data):
        try:
            return date.fromisoformat(data)
        except ValueError:
            pass
    raise place.wrong(
        f"{_shown(data)} is no date", "Write YYYY-MM-DD.", f"{_shown(data)} — не дата (ГГГГ-ММ-ДД)"
    )


def _listed(kind: Words, data: object, name: str, place: Place) -> str:
    if isinstance(data, str) and data in kind.words:
        return data
    listed = ", ".join(kind.words)
    raise place.wrong(
        f"{_shown(data)} is no word of {name}",
        f"Use one of {listed}.",
        f"значение {_shown(data)} для «{name}» неизвестно; можно: {listed}",
    )


def _bounded(kind: Whole, data: object, name: str, place: Place) -> int:
    number = _whole(data, name, place)
    if (kind.start is None or kind.start <= number) and (kind.below is None or number < kind.below):
        return number
    low = "" if kind.start is None else f" from {kind.start}"
    high = "" if kind.below is None else f" below {kind.below}"
    raise place.wrong(
        f"{name} cannot be {number}",
        f"Use a whole number{low}{high}.",
        f"число {number} для «{name}» вне допустимых границ",
    )


def _whole(data: object, name: str, place: Place) -> int:
    if isinstance(data, int) and not isinstance(data, bool):
        return data
    raise place.wrong(
        f"{_shown(data)} is no whole number for {name}",
        "Write digits only; money is in whole kopecks.",
        f"для «{name}» нужно целое число, а указано {_shown(data)}",
    )


def _yes_no(data: object, name: str, place: Place) -> bool:
    if isinstance(data, bool):
        return data
    raise place.wrong(
        f"{_shown(data)} is not true or false for {name}",
        "Write true or false.",
        f"для «{name}» можно указать только true (да) или false (нет)",
    )


def _matching(data: object, pattern: re.Pattern[str], place: Place, wanted: str) -> str:
    if isinstance(data, str) and pattern.fullmatch(data):
        return data
    raise place.wrong(
        f"{_shown(data)} is not {wanted}",
        "Use letters, digits and hyphens; put it in quotes if it looks like a number or a yes.",
        f"недопустимое имя или код: {_shown(data)}",
    )


def _mapping(data: object, place: Place) -> Mapping[str, object]:
    if isinstance(data, Mapping) and all(isinstance(key, str) for key in data):
        return data
    raise place.wrong(
        f"{_shown(data)} has no named fields",
        "Write `name: value` here.",
        "здесь нужны поля с именами",
    )


def _list(data: object, place: Place) -> Sequence[object]:
    if isinstance(data, list | tuple):
        return data
    raise place.wrong(f"{_shown(data)} is no list", "Write a list here.", "здесь нужен список")


def _known(
    body: Mapping[str, object],
    place: Place,
    required: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
) -> None:
    allowed = (*required, *optional)
    for key in body:
        if key not in allowed:
            raise place.at(body, key).wrong(
                f"{_shown(key)} is not known here",
                f"Use {', '.join(allowed) or 'nothing'}.",
                f"лишнее поле {_shown(key)}; можно: {', '.join(allowed) or 'ничего'}",
            )
    for key in required:
        if key not in body:
            raise place.wrong(f"{key!r} is missing", f"Add `{key}`.", f"не хватает поля «{key}»")


def _shown(data: object) -> str:
    shown = repr(data)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
