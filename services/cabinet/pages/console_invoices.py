"""What the pages of invoices and settlements show, and the events a settlement becomes. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from rulebook.wording import counted, full_date, rubles
from services.cabinet import settlement
from services.cabinet.pages import wording
from services.cabinet.pages.console_events import payer_event
from services.cabinet.pages.spreadsheets import Cell, Kind, Table
from services.cabinet.queries import Answer
from services.cabinet.settlement import Difference, Found, Matched

LINES_SHOWN_MAX = 300
LINES = ("строка", "строки", "строк")
INVOICES = ("счёт", "счёта", "счетов")

DIFFERENCES: Mapping[Difference, str] = MappingProxyType(
    {
        Difference.UNKNOWN_INVOICE: "такого счёта у муниципалитета нет",
        Difference.UNKNOWN_LINE: "такой строки в счёте нет",
        Difference.TWICE: "строка повторяется",
        Difference.OTHER_AMOUNT: "сумма не та",
        Difference.MISSING_LINE: "строки счёта нет в файле",
        Difference.SEVERAL_PAYMENTS: "другая дата или документ, чем у первой строки счёта",
        Difference.NOT_YET: "дата оплаты ещё не наступила",
        Difference.TOO_EARLY: "дата оплаты раньше месяца счёта",
    }
)


def invoices_page(
    payer: str,
    months: Sequence[str],
    month: str | None,
    invoices: Sequence[Answer],
    titles: Mapping[str, str],
) -> dict[str, Any]:
    """Return what the page of a month's invoices shows; the file has all lines."""
    left = LINES_SHOWN_MAX
    shown = []
    for invoice in invoices:
        lines = invoice["lines"][:left]
        left -= len(lines)
        shown.append(_invoice(invoice, lines, titles))
    owed = sum(each["amount_kopecks"] for each in invoices)
    paid = sum(each["amount_kopecks"] for each in invoices if each["settled"])
    return {
        "payer": payer,
        "months": [(each, wording.month(each)) for each in months],
        "month": month,
        "invoices": shown,
        "owed": rubles(owed),
        "paid": rubles(paid),
        "awaited": rubles(owed - paid),
    }


def _invoice(invoice: Answer, lines: Sequence[Answer], titles: Mapping[str, str]) -> dict[str, Any]:
    paid_on = invoice["paid_on"]
    return {
        "id": invoice["invoice_id"],
        "provider": titles.get(invoice["provider_id"], invoice["provider_id"]),
        "amount": rubles(invoice["amount_kopecks"]),
        "settled": invoice["settled"],
        "paid": "" if paid_on is None else full_date(date.fromisoformat(paid_on)),
        "document": invoice["payment_reference"] or "",
        "lines": [
            {
                "reference": each["line_reference"].rpartition("/")[2],
                "number": wording.number(each["certificate_number"]),
                "enrollment_id": each["enrollment_id"],
                "lessons": each["lessons"],
                "amount": rubles(each["amount_kopecks"]),
            }
            for each in lines
        ],
        "more": len(invoice["lines"]) - len(lines),
    }


def lines_table(invoices: Sequence[Answer], titles: Mapping[str, str]) -> Table:
    """Return all lines, to be filled in where they are paid, and uploaded again."""
    rows: list[tuple[Cell, ...]] = [
        (
            invoice["month"],
            titles.get(invoice["provider_id"], invoice["provider_id"]),
            line["line_reference"],
            line["certificate_number"],
            line["lessons"],
            line["amount_kopecks"],
            invoice["paid_on"] or "",
            invoice["payment_reference"] or "",
        )
        for invoice in invoices
        for line in invoice["lines"]
    ]
    return Table(
        name="lines",
        title="Строки счетов",
        note="",
        columns=(
            ("Месяц", Kind.TEXT),
            ("Организация", Kind.TEXT),
            (settlement.REFERENCE, Kind.TEXT),
            ("Сертификат", Kind.TEXT),
            ("Занятий", Kind.NUMBER),
            # Its title gets the currency: `settlement.AMOUNT`.
            ("Сумма", Kind.MONEY),
            (settlement.PAID_ON, Kind.TEXT),
            (settlement.DOCUMENT, Kind.TEXT),
        ),
        rows=tuple(rows),
    )


# --- a settlement --------------------------------------------------------------------------------


def settled_by(matched: Sequence[Matched]) -> list[Matched]:
    """Return what a file settles: invoices without any difference."""
    return [each for each in matched if not each.differences]


def events(payer: str, matched: Sequence[Matched]) -> list[dict[str, Any]]:
    """Return the events that say which invoices were paid."""
    return [
        payer_event(
            "invoice-paid",
            payer,
            each.invoice_id,
            {
                "invoice_id": each.invoice_id,
                "paid_on": each.paid_on.isoformat(),
                "payment_reference": each.document,
            },
        )
        for each in settled_by(matched)
    ]


def seal(matched: Sequence[Matched]) -> str:
    """Return what a preview was about: a confirmation of another one settles nothing."""
    return sha256(repr(sorted(map(repr, settled_by(matched)))).encode()).hexdigest()


def settlement_page(payer: str, text: str, matched: Sequence[Matched]) -> dict[str, Any]:
    """Return what a preview shows: what will be told as paid, and what will not, and why."""
    paid = settled_by(matched)
    return {
        "payer": payer,
        "text": text,
        "settled": sum(map(_was_settled, matched)),
        "seal": seal(matched),
        "paid": [
            {
                "id": each.invoice_id,
                "lines": counted(each.lines, *LINES),
                "amount": rubles(each.paid_kopecks),
                "on": full_date(each.paid_on),
                "document": each.document,
            }
            for each in paid
        ],
        "sum": rubles(sum(each.paid_kopecks for each in paid)),
        "count": counted(len(paid), *INVOICES),
        "others": [
            {
                "id": each.invoice_id or "без номера",
                "expected": rubles(each.amount_kopecks) if each.amount_kopecks else "",
                "said": rubles(each.paid_kopecks),
                "differences": [_difference(found) for found in each.differences[:LINES_SHOWN_MAX]],
                "more": max(0, len(each.differences) - LINES_SHOWN_MAX),
            }
            for each in matched
            if each.differences and not _was_settled(each)
        ],
    }


def _was_settled(matched: Matched) -> bool:
    return any(found.kind is Difference.SETTLED for found in matched.differences)


def sent_said(sent: int, done: int, refused: int) -> str:
    """Return what became of the events of a settlement, as far as it was decided."""
    if done == sent:
        return f"Отмечено оплаченными: {done}. Организации узнают об этом."
    said = f"Отправлено: {sent}. Уже отмечено оплаченными: {done}"
    if refused:
        said += f", не принято: {refused}"
    return f"{said}." if done + refused >= sent else f"{said}. Остальные появятся через минуту."


def _difference(found: Found) -> dict[str, str]:
    return {
        "number": "" if found.number is None else str(found.number),
        "reference": found.line_reference,
        "text": DIFFERENCES[found.kind],
        "expected": "" if found.expected_kopecks is None else rubles(found.expected_kopecks),
        "said": "" if found.paid_kopecks is None else rubles(found.paid_kopecks),
    }
