"""The lists of a category's holders and of its queue: as tables, and their page. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from services.cabinet.holder_queries import Roll
from services.cabinet.pages import console_words as words
from services.cabinet.pages.console_reports import shown_table
from services.cabinet.pages.spreadsheets import Cell, Kind, Table
from services.cabinet.queries import Answer

PAGE_ROWS = 50

TITLES: Mapping[Roll, str] = MappingProxyType({Roll.HOLDERS: "Сертификаты", Roll.QUEUE: "Очередь"})


class Sort(StrEnum):
    """What holders may be sorted by; those who are alike, by the numbers of their certificates."""

    NUMBER = "number"
    SINCE = "since"
    LEFT = "left"


SORTS: Mapping[Sort, tuple[str, Callable[[Answer], Any]]] = MappingProxyType(
    {
        Sort.NUMBER: ("По номеру", lambda row: row["certificate_number"]),
        Sort.SINCE: (
            "По дню выдачи",
            lambda row: (row["since"] or date.min, row["certificate_number"]),
        ),
        Sort.LEFT: (
            "Сначала с большим остатком",
            lambda row: (-row["balance_kopecks"], row["certificate_number"]),
        ),
    }
)

_NO_NAMES = "Имена видят только семья и её организации, поэтому здесь номера."


def table(told: Answer, sort: Sort = Sort.NUMBER) -> Table:
    """Return a whole list. The order of a queue is its own."""
    if told["roll"] is Roll.QUEUE:
        return _queue(told)
    return _holders(told, sorted(told["rows"], key=SORTS[sort][1]))


def _holders(told: Answer, rows: list[Answer]) -> Table:
    cells: list[tuple[Cell, ...]] = [
        (
            row["certificate_number"],
            row["child_id"],
            row["since"],
            row["nominal_kopecks"],
            row["paid_kopecks"],
            row["reserved_kopecks"],
            row["balance_kopecks"],
            "приостановлен" if row["is_frozen"] else "",
        )
        for row in rows
    ]
    return Table(
        name=Roll.HOLDERS.value,
        title=TITLES[Roll.HOLDERS],
        note=f"У кого в периоде {told['period']} есть сертификат с деньгами, кроме закрытых. "
        + _NO_NAMES,
        columns=(
            ("Сертификат", Kind.TEXT),
            ("Ребёнок", Kind.TEXT),
            ("С деньгами с", Kind.DATE),
            ("Номинал", Kind.MONEY),
            ("Потрачено", Kind.MONEY),
            ("Забронировано", Kind.MONEY),
            ("Свободно", Kind.MONEY),
            ("Примечание", Kind.TEXT),
        ),
        rows=tuple(cells),
    )


def _queue(told: Answer) -> Table:
    cells: list[tuple[Cell, ...]] = [
        (
            row["position"],
            row["certificate_number"],
            row["child_id"],
            row["since"],
            "приостановлен: очередь его пока пропускает" if row["is_frozen"] else "",
        )
        for row in told["rows"]
    ]
    return Table(
        name=Roll.QUEUE.value,
        title=TITLES[Roll.QUEUE],
        note="Как только появятся деньги и место, их получает первый в очереди. Очередь "
        f"заканчивается вместе с периодом. {_NO_NAMES}",
        columns=(
            ("Место", Kind.NUMBER),
            ("Сертификат", Kind.TEXT),
            ("Ребёнок", Kind.TEXT),
            ("Ждёт с", Kind.DATE),
            ("Примечание", Kind.TEXT),
        ),
        rows=tuple(cells),
    )


def file_name(told: Answer) -> str:
    """Return what a file of a whole list is called."""
    return f"{told['payer']}-{told['period']}-{told['roll']}-{told['category']}"


def roll_page(told: Answer, sort: Sort, page: int) -> dict[str, Any]:
    """Return what the page of a list shows: of many rows, those of one page."""
    roll, whole = told["roll"], table(told, sort)
    pages = max(1, -(-len(whole.rows) // PAGE_ROWS))
    page = min(page, pages)
    rows = whole.rows[PAGE_ROWS * (page - 1) : PAGE_ROWS * page]
    base = f"/console/{told['payer']}/lists"
    place = {"period": told["period"], "category": told["category"]}

    def to(which: Roll, **more: Any) -> str:
        return f"{base}/{which}?{urlencode(place | more)}"

    return {
        "payer": told["payer"],
        "period": told["period"],
        "category": words.category(told["category"]),
        "total": len(whole.rows),
        "table": shown_table(replace(whole, rows=rows)),
        "rolls": [(to(each), title, each is roll) for each, title in TITLES.items()],
        "categories": [
            (to(roll, category=each), words.category(each), each == told["category"])
            for each in told["categories"]
        ],
        "sorts": [
            (to(roll, sort=key), said, key == sort)
            for key, (said, _) in SORTS.items()
            if roll is Roll.HOLDERS
        ],
        "files": [
            (f"{base}/{roll}.{kind}?{urlencode(place)}", kind.upper()) for kind in ("csv", "xlsx")
        ],
        "page": page,
        "pages": pages,
        "earlier": to(roll, sort=sort, page=page - 1) if page > 1 else "",
        "later": to(roll, sort=sort, page=page + 1) if page < pages else "",
    }
