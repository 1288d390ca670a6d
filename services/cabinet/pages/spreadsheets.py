"""Tables as files: CSV as Russian spreadsheets take it, XLSX with sums one can add up. Pure."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from io import BytesIO, StringIO
from typing import TypeAlias

from xlsxwriter import Workbook  # type: ignore[import-untyped]

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV = "text/csv; charset=utf-8"

Cell: TypeAlias = str | int | date | None


class Kind(StrEnum):
    """What a column holds. Money is kopecks here and rubles in a file."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its columns: title and kind of each. `note` says how it is counted."""

    name: str
    title: str
    note: str
    columns: tuple[tuple[str, Kind], ...]
    rows: tuple[tuple[Cell, ...], ...]


def plain_rubles(kopecks: int) -> str:
    """Return a sum as spreadsheets read it: ``7792,47``."""
    sign = "-" if kopecks < 0 else ""
    return f"{sign}{abs(kopecks) // 100},{abs(kopecks) % 100:02d}"


def harmless(text: str) -> str:
    """Return a text of others that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def csv_of(table: Table) -> str:
    """Return a table with a line of titles; semicolons, decimal commas, dates as ISO has them."""
    output = StringIO()
    # The mark at the beginning tells spreadsheets that this is UTF-8.
    output.write("\ufeff")
    writer = csv.writer(output, delimiter=";", lineterminator="\r\n")
    writer.writerow(_title(*column) for column in table.columns)
    for row in table.rows:
        writer.writerow(
            _plain(cell, kind) for cell, (_, kind) in zip(row, table.columns, strict=True)
        )
    return output.getvalue()


def _title(title: str, kind: Kind) -> str:
    return f"{title}, руб." if kind is Kind.MONEY else title


def _plain(cell: Cell, kind: Kind) -> str:
    if cell is None:
        return ""
    if kind is Kind.MONEY and isinstance(cell, int):
        return plain_rubles(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell) if isinstance(cell, int) else harmless(cell)


def xlsx_of(about: Table, tables: Sequence[Table], day: date | None) -> bytes:
    """Return a workbook of a sheet for each table; it says it was made on `day`."""
    output = BytesIO()
    with Workbook(output, {"in_memory": True}) as book:
        made = datetime.combine(day or date(2000, 1, 1), datetime.min.time(), UTC)
        book.set_properties({"title": about.title, "created": made.replace(tzinfo=None)})
        bold = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        formats = {
            Kind.TEXT: book.add_format({}),
            Kind.NUMBER: book.add_format({"num_format": "#,##0"}),
            Kind.MONEY: book.add_format({"num_format": "#,##0.00"}),
            Kind.DATE: book.add_format({"num_format": "dd.mm.yyyy"}),
        }
        for table in (about, *tables):
            sheet = book.add_worksheet(table.title)
            sheet.freeze_panes(1, 0)
            for column, (title, kind) in enumerate(table.columns):
                wide = max([len(title), *(len(_plain(row[column], kind)) for row in table.rows)])
                sheet.set_column(column, column, min(60, wide + 3))
                sheet.write_string(0, column, _title(title, kind), bold)
            for number, row in enumerate(table.rows, 1):
                for column, (cell, (_, kind)) in enumerate(zip(row, table.columns, strict=True)):
                    _write(sheet, number, column, cell, kind, formats[kind])
    return output.getvalue()


def _write(sheet: object, row: int, column: int, cell: Cell, kind: Kind, format_: object) -> None:
    # Said by kind: what a text looks like never makes it a formula or a number.
    if isinstance(cell, date):
        sheet.write_datetime(row, column, cell, format_)  # type: ignore[attr-defined]
    elif isinstance(cell, int):
        number = cell / 100 if kind is Kind.MONEY else cell
        sheet.write_number(row, column, number, format_)  # type: ignore[attr-defined]
    elif cell is not None:
        sheet.write_string(row, column, cell, format_)  # type: ignore[attr-defined]
