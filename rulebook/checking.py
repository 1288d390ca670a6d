"""Is a table whole? Exactly so: over every combination of the parts its inputs fall into.

A table is refused if some combination of inputs has no row (`unique`, `first`), two rows
(`unique`), or if a row can never hit (docs/rules.md, section 2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import assert_never

from rulebook.errors import Defect, Problem
from rulebook.model import Hit, Row, Table, Version
from rulebook.partitions import Axis, Part, cut, part_count

COMBINATIONS_MAX = 16_384
"""A version with more combinations is refused: no paper has as many, only an attack or a slip."""

GAPS_NAMED_MAX = 5
"""So many gaps are named one by one; further ones are counted."""


def check(table: Table) -> list[Problem]:
    """Return what is wrong with the table's versions, oldest first; empty if nothing is."""
    return [problem for version in table.versions for problem in check_version(version)]


def check_version(version: Version, where: str = "", russian: str = "") -> list[Problem]:
    """Return what is wrong with one version; empty if nothing is.

    `where` and `russian` name the place of a version that came by event and has no file.
    """
    return _Check(version, where, russian).problems()


@dataclass(slots=True)
class _Seen:
    """What walking through all combinations has shown."""

    gaps: list[tuple[Part | None, ...]] = field(default_factory=list)
    overlaps: dict[tuple[int, int], tuple[Part | None, ...]] = field(default_factory=dict)
    hit: int = 0
    shadows: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Check:
    version: Version
    place: str
    place_russian: str

    def problems(self) -> list[Problem]:
        schema, rows = self.version.schema, self.version.rows
        count = part_count(schema, rows)
        if count > COMBINATIONS_MAX:
            return [self._too_large(count)]
        axes = cut(schema, rows)
        seen = _Seen()
        _walk(schema.hit, axes, (1 << len(rows)) - 1, (), seen)
        return [
            *self._gaps(axes, seen),
            *(
                self._overlap(axes, *pair, parts)
                for pair, parts in sorted(seen.overlaps.items(), key=_pair)
            ),
            *(
                self._dead(number, seen)
                for number in range(len(rows))
                if not seen.hit >> number & 1
            ),
        ]

    def _where(self, line: int) -> str:
        file = self.version.schema.file
        return self.place or (f"{file}:{line}" if file else self.version.schema.table)

    def _problem(
        self,
        defect: Defect,
        what: str,
        remedy: str,
        russian: str,
        *,
        line: int,
        combination: str = "",
        rows: tuple[str, ...] = (),
    ) -> Problem:
        return Problem(
            defect=defect,
            table=self.version.schema.table,
            where=self._where(line),
            what=what,
            remedy=remedy,
            russian=f"{self.place_russian or self._where(line)}: {russian}",
            combination=combination,
            rows=rows,
        )

    def _too_large(self, count: int) -> Problem:
        return self._problem(
            Defect.TOO_LARGE,
            f"the rows cut the inputs into {count} combinations, at most {COMBINATIONS_MAX} "
            "can be checked",
            "Name fewer codes or boundaries.",
            "слишком много сочетаний условий; назовите меньше кодов или границ",
            line=self.version.line,
        )

    def _gaps(self, axes: Sequence[Axis], seen: _Seen) -> Iterator[Problem]:
        since = self.version.valid_from.isoformat()
        for parts in seen.gaps[:GAPS_NAMED_MAX]:
            english, russian = _described(axes, parts)
            yield self._problem(
                Defect.GAP,
                f"no row covers {english} from {since}",
                "Add a row for it, or widen the row beside it.",
                f"с {since} нет строки для случая «{russian}». Добавьте строку для него "
                "или расширьте соседнюю",
                line=self.version.line,
                combination=english,
            )
        more = len(seen.gaps) - GAPS_NAMED_MAX
        if more > 0:
            yield self._problem(
                Defect.GAP,
                f"{more} more combinations have no row",
                "Add rows for them.",
                f"и ещё {more} случаев без строки",
                line=self.version.line,
            )

    def _overlap(
        self, axes: Sequence[Axis], first: int, second: int, parts: tuple[Part | None, ...]
    ) -> Problem:
        english, russian = _described(axes, parts)
        one, other = self.version.rows[first], self.version.rows[second]
        # The row that came last is the one to look at: in an overlay it is the payer's own.
        line = max(one.line, other.line)
        return self._problem(
            Defect.OVERLAP,
            f"rows {one.id!r} and {other.id!r} both cover {english}",
            f"Narrow one of them; to change the row {one.id!r} itself, publish it under its id.",
            f"случай «{russian}» подходит сразу двум строкам: «{one.id}» и «{other.id}». "
            f"Сузьте одну из них; чтобы изменить строку «{one.id}», укажите её под тем же именем",
            line=line,
            combination=english,
            rows=(one.id, other.id),
        )

    def _dead(self, number: int, seen: _Seen) -> Problem:
        row: Row = self.version.rows[number]
        shadow = seen.shadows.get(number, 0)
        above = [other.id for bit, other in enumerate(self.version.rows) if shadow >> bit & 1]
        if above:
            named = ", ".join(repr(one) for one in above)
            return self._problem(
                Defect.DEAD_ROW,
                f"row {row.id!r} can never hit: {named} above it takes all its cases",
                f"Put {row.id!r} above, or remove it.",
                f"строка «{row.id}» никогда не сработает: её случаи забирает строка "
                f"«{'», «'.join(above)}» выше. Поставьте её выше или уберите",
                line=row.line,
                rows=(row.id, *above),
            )
        return self._problem(
            Defect.DEAD_ROW,
            f"row {row.id!r} can never hit: no input of the table passes its cells",
            "Correct its cells to the bounds of the inputs, or remove it.",
            f"строка «{row.id}» никогда не сработает: таких значений не бывает",
            line=row.line,
            rows=(row.id,),
        )


def _pair(item: tuple[tuple[int, int], object]) -> tuple[int, int]:
    return item[0]


def _walk(
    hit: Hit, axes: Sequence[Axis], rows: int, parts: tuple[Part | None, ...], seen: _Seen
) -> None:
    """Look at every combination that begins with these parts; `rows` (bits) are still in it."""
    if rows == 0:
        # Whatever the other inputs are: name only what is needed to fall into the gap.
        if hit is not Hit.COLLECT:
            seen.gaps.append(parts)
        return
    if len(parts) == len(axes):
        _arrive(hit, rows, parts, seen)
        return
    for part in axes[len(parts)].parts:
        _walk(hit, axes, rows & part.rows, (*parts, part), seen)


def _arrive(hit: Hit, rows: int, parts: tuple[Part | None, ...], seen: _Seen) -> None:
    numbers = [bit for bit in range(rows.bit_length()) if rows >> bit & 1]
    match hit:
        case Hit.COLLECT:
            seen.hit |= rows
        case Hit.UNIQUE:
            seen.hit |= rows
            for pair in combinations(numbers, 2):
                seen.overlaps.setdefault(pair, parts)
        case Hit.FIRST:
            first = numbers[0]
            seen.hit |= 1 << first
            for later in numbers[1:]:
                seen.shadows[later] = seen.shadows.get(later, 0) | 1 << first
        case _:
            assert_never(hit)


def _described(axes: Sequence[Axis], parts: tuple[Part | None, ...]) -> tuple[str, str]:
    """Return the combination in English and in Russian; inputs that are not cut stay unsaid."""
    named = [
        (axis.name, part)
        for axis, part in zip(axes, parts, strict=False)
        if part is not None and not axis.whole
    ]
    english = ", ".join(f"{name} {part.english}" for name, part in named)
    russian = ", ".join(f"{name}: {part.russian}" for name, part in named)
    return english or "any input", russian or "любые значения"
