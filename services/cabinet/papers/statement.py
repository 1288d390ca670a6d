"""The statement: what happened to the money of a certificate, a table over as many pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from services.cabinet.papers.drawing import (
    BOLD,
    DEEP,
    INK,
    LINE,
    MARGIN,
    PLAIN,
    SAMPLE,
    SOFT,
    WIDTH,
    register_fonts,
)

MOVEMENTS_MAX = 1_000
WIDTHS = (26 * mm, 88 * mm, 28 * mm, 28 * mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A line of the statement."""

    day: str
    title: str
    text: str
    amount: str
    free: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementPaper:
    """What is printed; the oldest movement comes first."""

    number: str
    holder: str | None
    purses: Sequence[str]
    movements: Sequence[Movement]
    as_of: str
    is_sample: bool


def statement_pdf(shown: StatementPaper) -> bytes:
    """Return the statement as PDF. Pure."""
    register_fonts()
    plain = ParagraphStyle("plain", fontName=PLAIN, fontSize=8.5, leading=11.5, textColor=INK)
    soft = ParagraphStyle("soft", parent=plain, textColor=SOFT, spaceAfter=2)
    right = ParagraphStyle("right", parent=plain, alignment=TA_RIGHT)
    head = ParagraphStyle(
        "head", fontName=BOLD, fontSize=16, leading=20, textColor=DEEP, spaceAfter=4
    )
    bold = ParagraphStyle("bold", parent=plain, fontName=BOLD, fontSize=11, leading=15)

    said: list[Any] = [Paragraph(f"Выписка по сертификату № {escape(shown.number)}", head)]
    if shown.holder is not None:
        said.append(Paragraph(escape(shown.holder), bold))
    if shown.is_sample:
        said.append(Paragraph(escape(SAMPLE), bold))
    said += [Paragraph(escape(purse), plain) for purse in shown.purses]
    said.append(Paragraph(f"По данным на {escape(shown.as_of)}.", soft))
    left_out = len(shown.movements) - MOVEMENTS_MAX
    if left_out > 0:
        said.append(Paragraph(f"Показаны последние; более ранних движений: {left_out}.", soft))
    said.append(Spacer(1, 4 * mm))
    rows: list[list[Any]] = [["Дата", "Что произошло", "Сумма", "Свободно"]]
    rows += [
        [
            Paragraph(escape(each.day), plain),
            Paragraph(f"{escape(each.title)}<br/>{escape(each.text)}", plain),
            Paragraph(escape(each.amount), right),
            Paragraph(escape(each.free), right),
        ]
        for each in shown.movements[-MOVEMENTS_MAX:]
    ]
    style = TableStyle(
        [
            ("FONT", (0, 0), (-1, 0), BOLD, 8.5),
            ("TEXTCOLOR", (0, 0), (-1, 0), INK),
            ("ALIGN", (2, 0), (-1, 0), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.5, LINE),
        ]
    )
    if shown.movements:
        said.append(Table(rows, colWidths=WIDTHS, repeatRows=1, style=style))
    else:
        said.append(Paragraph("Движений денег пока не было.", plain))
    output = BytesIO()
    document = SimpleDocTemplate(
        output,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=f"Выписка по сертификату № {shown.number}",
        author="Навигатор дополнительного образования",
        lang="ru",
        invariant=1,
    )
    document.build(said, onFirstPage=_number, onLaterPages=_number)
    return output.getvalue()


def _number(canvas: Canvas, document: Any) -> None:
    canvas.setFont(PLAIN, 8)
    canvas.setFillColor(SOFT)
    canvas.drawRightString(WIDTH - MARGIN, 12 * mm, f"Страница {document.page}")
