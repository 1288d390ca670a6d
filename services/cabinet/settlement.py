"""What was paid, as a payer's bank or treasury lists it, held against the invoices. Pure.

A file has a line for each line of an invoice, found by its reference. An invoice is paid when every
line of it is there with its very sum, on one day, by one document; anything else is a difference,
which is shown and settles nothing: a part of an invoice is never paid (docs/rules.md, section 8).
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from io import StringIO

LINES_MAX = 20_000
REFERENCE, AMOUNT, PAID_ON, DOCUMENT = (
    "Строка счёта",
    "Сумма, руб.",
    "Дата оплаты",
    "Платёжный документ",
)
COLUMNS = (REFERENCE, AMOUNT, PAID_ON, DOCUMENT)
DOCUMENT_LENGTH_MAX = 200

_SPACES = re.compile(r"[ \u00a0\u202f]")
_DAY = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})")
_SUM = re.compile(r"([-−]?)(\d{1,13})(?:[.,](\d{1,2}))?")


class UnreadableError(Exception):
    """A file cannot be read; in plain Russian, with the line and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidLine:
    """A line of a file, and where it stands there."""

    number: int
    line_reference: str
    amount_kopecks: int
    paid_on: date
    document: str

    @property
    def invoice_id(self) -> str:
        """Return the invoice it belongs to."""
        return self.line_reference.rpartition("/")[0]


class Difference(StrEnum):
    """Why an invoice is not settled by a file, or a line of a file counts for nothing."""

    UNKNOWN_INVOICE = "unknown-invoice"
    SETTLED = "settled"
    UNKNOWN_LINE = "unknown-line"
    TWICE = "twice"
    OTHER_AMOUNT = "other-amount"
    MISSING_LINE = "missing-line"
    SEVERAL_PAYMENTS = "several-payments"
    NOT_YET = "not-yet"
    TOO_EARLY = "too-early"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A difference: about which line of the invoice, what was expected, what the file says."""

    kind: Difference
    line_reference: str
    number: int | None = None
    expected_kopecks: int | None = None
    paid_kopecks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """An invoice and what a file says of it. Without differences it is paid."""

    invoice_id: str
    amount_kopecks: int
    paid_kopecks: int
    lines: int
    paid_on: date
    document: str
    differences: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice as it was issued: the sum of each line by its reference; for which month."""

    lines: Mapping[str, int]
    is_settled: bool
    month: str


def read(text: str) -> list[PaidLine]:
    """Return the lines of a file that were paid; those without day and document were not.

    Raises UnreadableError.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    first = text.partition("\n")[0]
    separator = max(";\t,", key=first.count)
    try:
        rows = list(csv.reader(StringIO(text), delimiter=separator))
    except csv.Error as error:
        raise UnreadableError("Это не таблица CSV. Сохраните файл как CSV ещё раз.") from error
    titles = [title.strip() for title in rows[0]] if rows else []
    missing = [title for title in COLUMNS if title not in titles]
    if missing:
        raise UnreadableError(
            f"В первой строке нет столбца «{missing[0]}». Возьмите файл строк отсюда, заполните "
            "дату и документ и загрузите его."
        )
    if len(rows) > LINES_MAX:
        raise UnreadableError(f"Больше {LINES_MAX} строк. Загрузите файл по частям.")
    places = {title: titles.index(title) for title in COLUMNS}
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(places.values()):
            raise UnreadableError(f"Строка {number}: не хватает столбцов.")
        cells = {title: row[at].strip().removeprefix("'") for title, at in places.items()}
        if cells[PAID_ON] or cells[DOCUMENT]:
            found.append(_line(number, cells))
    if not found:
        raise UnreadableError("Ни у одной строки нет даты оплаты и документа: оплачивать нечего.")
    return found


def _line(number: int, cells: Mapping[str, str]) -> PaidLine:
    document = cells[DOCUMENT]
    if not cells[PAID_ON] or not document:
        raise UnreadableError(f"Строка {number}: нужны и дата оплаты, и платёжный документ.")
    if len(document) > DOCUMENT_LENGTH_MAX or not document.isprintable():
        raise UnreadableError(f"Строка {number}: документ — до {DOCUMENT_LENGTH_MAX} знаков.")
    return PaidLine(
        number=number,
        line_reference=cells[REFERENCE],
        amount_kopecks=_kopecks(number, cells[AMOUNT]),
        paid_on=_day(number, cells[PAID_ON]),
        document=document,
    )


def _kopecks(number: int, text: str) -> int:
    kopecks = kopecks_of(text)
    if kopecks is None:
        raise UnreadableError(f"Строка {number}: «{text[:40]}» — не сумма в рублях.")
    return kopecks


def kopecks_of(text: str) -> int | None:
    """Return a sum as people write it, ``1 251,49``, in kopecks; None if it is none."""
    found = _SUM.fullmatch(_SPACES.sub("", text))
    if found is None:
        return None
    sign, whole, part = found.groups()
    kopecks = int(whole) * 100 + int((part or "").ljust(2, "0"))
    return -kopecks if sign else kopecks


def _day(number: int, text: str) -> date:
    russian = _DAY.fullmatch(text)
    written = "{2}-{1}-{0}".format(*russian.groups()) if russian else text
    try:
        return date.fromisoformat(written)
    except ValueError as error:
        raise UnreadableError(
            f"Строка {number}: «{text[:40]}» — не дата. Пишите так: 07.10.2020."
        ) from error


def match(
    lines: Sequence[PaidLine], invoices: Mapping[str, Invoice], today: date | None
) -> list[Matched]:
    """Return for each invoice that a file names what it says of it, in the order of the file.

    `invoices` are those of the payer; what is not there is unknown, whoever's it is.
    """
    of_invoice: dict[str, list[PaidLine]] = {}
    for line in lines:
        of_invoice.setdefault(line.invoice_id, []).append(line)
    return [_matched(id_, paid, invoices.get(id_), today) for id_, paid in of_invoice.items()]


def _matched(
    invoice_id: str, paid: Sequence[PaidLine], invoice: Invoice | None, today: date | None
) -> Matched:
    first = paid[0]
    return Matched(
        invoice_id=invoice_id,
        amount_kopecks=0 if invoice is None else sum(invoice.lines.values()),
        paid_kopecks=sum(line.amount_kopecks for line in paid),
        lines=len(paid),
        paid_on=first.paid_on,
        document=first.document,
        differences=tuple(_differences(paid, invoice, today)),
    )


def _differences(
    paid: Sequence[PaidLine], invoice: Invoice | None, today: date | None
) -> list[Found]:
    first = paid[0]
    if invoice is None:
        about = first.line_reference
        return [Found(kind=Difference.UNKNOWN_INVOICE, line_reference=about, number=first.number)]
    if invoice.is_settled:
        about = first.line_reference
        return [Found(kind=Difference.SETTLED, line_reference=about, number=first.number)]
    found: list[Found] = []
    seen: set[str] = set()
    for line in paid:
        expected = invoice.lines.get(line.line_reference)
        kind = None
        if expected is None:
            kind = Difference.UNKNOWN_LINE
        elif line.line_reference in seen:
            kind = Difference.TWICE
        elif expected != line.amount_kopecks:
            kind = Difference.OTHER_AMOUNT
        elif (line.paid_on, line.document) != (first.paid_on, first.document):
            kind = Difference.SEVERAL_PAYMENTS
        elif today is None or line.paid_on > today:
            kind = Difference.NOT_YET
        elif line.paid_on.isoformat()[:7] < invoice.month:
            kind = Difference.TOO_EARLY
        seen.add(line.line_reference)
        if kind is not None:
            found.append(
                Found(
                    kind=kind,
                    line_reference=line.line_reference,
                    number=line.number,
                    expected_kopecks=expected,
                    paid_kopecks=line.amount_kopecks,
                )
            )
    for reference, expected in invoice.lines.items():
        if reference not in seen:
            found.append(
                Found(
                    kind=Difference.MISSING_LINE,
                    line_reference=reference,
                    expected_kopecks=expected,
                )
            )
    return found
