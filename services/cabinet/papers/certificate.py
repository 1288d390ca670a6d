"""The certificate on paper: number, category, term, nominal, and a code that can be checked."""

from dataclasses import dataclass
from io import BytesIO

from reportlab.lib.units import mm

from services.cabinet.papers.drawing import (
    BOLD,
    DEEP,
    HEIGHT,
    INK,
    LINE,
    MARGIN,
    PLAIN,
    SAMPLE,
    SOFT,
    WIDTH,
    draw_lines,
    draw_qr,
    paper,
)

QR_SIZE = 46 * mm


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePaper:
    """What is printed. `holder` is a name where the vault knows it."""

    number: str
    holder: str | None
    state: str
    category: str
    term: str
    nominal: str
    as_of: str
    code: str
    address: str
    is_sample: bool


def certificate_pdf(shown: CertificatePaper) -> bytes:
    """Return the certificate as PDF. Pure."""
    output = BytesIO()
    with paper(f"Сертификат № {shown.number}", output) as canvas:
        top = HEIGHT - MARGIN
        canvas.setStrokeColor(DEEP)
        canvas.setLineWidth(2)
        canvas.roundRect(MARGIN, top - 128 * mm, WIDTH - 2 * MARGIN, 128 * mm, 5 * mm)
        x, width = MARGIN + 10 * mm, WIDTH - 2 * MARGIN - 20 * mm
        canvas.setFillColor(SOFT)
        y = draw_lines(
            canvas, "Дополнительное образование детей", x, top - 14 * mm, width, font=PLAIN, size=11
        )
        canvas.setFillColor(DEEP)
        y = draw_lines(
            canvas, f"Сертификат № {shown.number}", x, y - 5 * mm, width, font=BOLD, size=22
        )
        if shown.holder is not None:
            canvas.setFillColor(INK)
            y = draw_lines(canvas, shown.holder, x, y - 1 * mm, width, font=BOLD, size=15)
        y -= 5 * mm
        for label, value in (
            ("Состояние", shown.state),
            ("Категория", shown.category),
            ("Срок", shown.term),
            ("Номинал", shown.nominal),
        ):
            canvas.setFillColor(SOFT)
            y = draw_lines(canvas, label, x, y, width, font=PLAIN, size=9)
            canvas.setFillColor(INK)
            y = draw_lines(canvas, value, x, y, width - QR_SIZE - 4 * mm, font=BOLD, size=12)
            y -= 2 * mm
        left = WIDTH - MARGIN - 7 * mm - QR_SIZE
        draw_qr(canvas, shown.address, left, top - 102 * mm, QR_SIZE)
        canvas.setFillColor(SOFT)
        canvas.setFont(PLAIN, 8)
        canvas.drawCentredString(left + QR_SIZE / 2, top - 105 * mm, shown.code)
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.7)
        canvas.line(x, top - 110 * mm, WIDTH - MARGIN - 10 * mm, top - 110 * mm)
        y = draw_lines(
            canvas,
            f"Действует ли сертификат, скажет код: {shown.address}",
            x,
            top - 116 * mm,
            width,
            font=PLAIN,
            size=8,
        )
        draw_lines(
            canvas, f"Напечатано по данным на {shown.as_of}.", x, y, width, font=PLAIN, size=8
        )
        y = top - 136 * mm
        y = draw_lines(
            canvas,
            "Сертификат — не деньги на руки: им муниципалитет платит за занятия ребёнка. "
            "Остаток на следующий год не переносится. Сколько осталось сегодня, видно в кабинете.",
            MARGIN,
            y,
            WIDTH - 2 * MARGIN,
            font=PLAIN,
            size=9,
        )
        if shown.is_sample:
            canvas.setFillColor(INK)
            draw_lines(canvas, SAMPLE, MARGIN, y - 3 * mm, WIDTH - 2 * MARGIN, font=BOLD, size=10)
    return output.getvalue()
