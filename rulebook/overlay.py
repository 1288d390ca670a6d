"""A payer's own versions of a table: the base with some rows replaced and some added.

Each overlay stands on the base rows in force on its first day, never on an earlier overlay
(docs/rules.md, section 2). What a service keeps in its state is what the payer published, as
plain data; the rows that follow from it are made when they are first needed, and cached.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from rulebook.checking import check_version
from rulebook.errors import Defect, RulesInvalidError, UnknownTableError
from rulebook.evaluate import Decision, base_version, evaluate_version, in_force
from rulebook.model import Cell, Equals, Holds, OneOf, Range, Row, Table, Value, Version
from rulebook.parsing import Place, read_day, read_rows, read_text

PUBLISHED_BYTES_MAX = 12 * 1024
"""So big may one overlay be: it is kept in a service's state, whose pieces are small."""

MERGED_MAX = 1_024
"""So many merged versions are kept; the least used goes first and is merged again."""


def publish(base: Table, data: Mapping[str, object]) -> Version:
    """Return the version a payer gets by publishing `data`: {table, from, published, basis, rows}.

    Raises RulesInvalidError, whose problems name table, combination and remedy, if the data are
    malformed, too big, begin before the base does, or leave a gap, an overlap or a dead row.
    """
    place = Place(
        table=base.name,
        source=f"rows published for {base.name}",
        russian=f"Таблица {base.name}",
    )
    _check_head(base, data, place)
    valid_from = read_day(data["from"], place)
    standing = in_force(base.versions, valid_from)
    if standing is None:
        first = base.versions[0].valid_from.isoformat()
        raise place.wrong(
            f"{base.name} has no base version on {valid_from.isoformat()}",
            f"Let the rows begin on {first} or later.",
            f"до {first} основных правил нет; укажите более позднюю дату начала",
            Defect.NO_BASE,
        )
    own = read_rows(base.schema, data["rows"], place)
    version = Version(
        schema=base.schema,
        valid_from=valid_from,
        published=read_day(data["published"], place),
        basis=read_text(data["basis"], place),
        rows=_merged(standing.rows, own),
        overlaid=frozenset(row.id for row in own),
        by_payer=True,
    )
    problems = check_version(version, place.source, place.russian)
    if problems:
        raise RulesInvalidError(tuple(problems))
    return version


def as_published(row: Row) -> dict[str, object]:
    """Return a row as a payer would publish it: what `publish` reads the same row from."""
    return {
        "id": row.id,
        "when": {name: _asked(cell) for name, cell in row.when.items()},
        "then": {name: _text(value) for name, value in row.then.items()},
        "says": row.says,
    }


def _asked(cell: Cell) -> object:
    match cell:
        case Equals(value):
            return _text(value)
        case OneOf(values):
            return [_text(value) for value in values]
        case Range(start, below):
            ends = {"from": start, "below": below}
            return {name: _text(end) for name, end in ends.items() if end is not None}
        case Holds(has, lacks):
            sides = {"has": has, "lacks": lacks}
            return {name: sorted(codes) for name, codes in sides.items() if codes}


def _text(value: Value) -> Value:
    return value.isoformat() if isinstance(value, date) else value


def _check_head(base: Table, data: Mapping[str, object], place: Place) -> None:
    fields = ("table", "from", "published", "basis", "rows")
    missing = [name for name in fields if name not in data]
    extra = [name for name in data if name not in fields]
    if missing or extra:
        what = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is not known here"
        raise place.wrong(
            what,
            f"Give exactly {', '.join(fields)}.",
            f"нужны ровно поля {', '.join(fields)}",
        )
    if data["table"] != base.name:
        raise place.wrong(
            f"the rows are for {data['table']!r}",
            f"Publish them for {base.name}.",
            "строки указаны для другой таблицы",
        )
    if len(_canonical(data).encode("utf-8", "surrogatepass")) > PUBLISHED_BYTES_MAX:
        raise place.wrong(
            f"the rows take more than {PUBLISHED_BYTES_MAX} bytes",
            "Name only the rows that differ from the base, and say less.",
            "слишком длинно; указывайте только строки, которые отличаются от основных",
            Defect.TOO_LARGE,
        )


def _merged(base: Sequence[Row], own: Iterable[Row]) -> tuple[Row, ...]:
    """Return the base rows, those with a namesake replaced in place, then the new ones."""
    rows = {row.id: row for row in base}
    rows.update({row.id: row for row in own})
    return tuple(rows.values())


@dataclass(frozen=True, slots=True)
class Overlays:
    """What one payer has published, for any tables: plain JSON data, oldest arrival first.

    A service keeps `to_data()` in its state and makes the value anew from it at no cost.
    """

    published: tuple[Mapping[str, object], ...] = ()

    @classmethod
    def from_data(cls, data: Iterable[Mapping[str, object]]) -> "Overlays":
        """Return the overlays kept as `to_data()` gave them."""
        return cls(tuple(data))

    def to_data(self) -> list[Mapping[str, object]]:
        """Return plain data that JSON can hold."""
        return list(self.published)

    def adding(self, data: Mapping[str, object]) -> "Overlays":
        """Return these with one more, in plain form. Whether it is valid is for `publish`.

        The same table, `from` and `published` again takes the place of the earlier one.
        """
        plain: Mapping[str, object] = json.loads(_canonical(data))
        kept = (one for one in self.published if _key(one) != _key(plain))
        return Overlays((*kept, plain))


NO_OVERLAYS = Overlays()


def version_in_force(base: Table, overlays: Overlays, day: date) -> Version:
    """Return the version that holds for the payer on that day.

    It is the payer's own with the latest `from` not after the day, of two with the same `from`
    the one published later; if there is none, the base version. Raises NotInForceError.
    """
    latest = _latest(base.name, overlays, day)
    if latest is None:
        return base_version(base, day)
    return _stood_on(base, _canonical(latest))


def decide(base: Table, overlays: Overlays, day: date, inputs: Mapping[str, object]) -> Decision:
    """Return what holds for the payer in this case on that day; raises as `evaluate`."""
    return evaluate_version(version_in_force(base, overlays, day), inputs)


@dataclass(frozen=True, slots=True)
class PayerRules:
    """The tables of a service together with what one payer published: what a decision asks."""

    tables: Mapping[str, Table]
    overlays: Overlays = NO_OVERLAYS

    def decide(self, table: str, day: date, inputs: Mapping[str, object]) -> Decision:
        """Return what holds for the payer; raises UnknownTableError, else as `evaluate`."""
        base = self.tables.get(table)
        if base is None:
            raise UnknownTableError(table, tuple(self.tables))
        return decide(base, self.overlays, day, inputs)


def _latest(table: str, overlays: Overlays, day: date) -> Mapping[str, object] | None:
    asked = day.isoformat()
    latest: Mapping[str, object] | None = None
    # Dates are text here: YYYY-MM-DD sorts as the days do.
    latest_key = ("", "")
    for one in overlays.published:
        if one["table"] != table:
            continue
        key = (str(one["from"]), str(one["published"]))
        if key[0] <= asked and key > latest_key:
            latest, latest_key = one, key
    return latest


@lru_cache(maxsize=MERGED_MAX)
def _stood_on(base: Table, published: str) -> Version:
    return publish(base, json.loads(published))


def _key(data: Mapping[str, object]) -> tuple[object, object, object]:
    return data["table"], data["from"], data["published"]


def _canonical(data: Mapping[str, object]) -> str:
    return _ENCODER.encode(data)


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no plain data")


# Made once: this runs for every lesson of a payer with an overlay.
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_plain)
