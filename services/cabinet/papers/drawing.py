"""Drawing on PDF: our fonts, a QR code, and what all papers have in common.

The fonts are DejaVu, shipped beside this file with their license.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import segno
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

PLAIN, BOLD = "DejaVuSans", "DejaVuSans-Bold"
WIDTH, HEIGHT = A4
MARGIN = 20 * mm
INK, SOFT, DEEP, LINE = (HexColor(each) for each in ("#17242a", "#55646b", "#0b5c63", "#d8d2c4"))
SAMPLE = "Учебный образец: люди вымышлены, деньги ненастоящие"
QUIET_MODULES = 4
"""Margin of a QR code that ISO/IEC 18004 asks for."""

_FONTS = Path(__file__).with_name("fonts")


def register_fonts() -> None:
    """Make our fonts known; once is enough, more often changes nothing."""
    for name in (PLAIN, BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, _FONTS / f"{name}.ttf"))


@contextmanager
def paper(title: str, output: BytesIO) -> Iterator[Canvas]:
    """Draw one page into `output`. The same drawing gives the same bytes."""
    register_fonts()
    canvas = Canvas(output, pagesize=A4, invariant=True, lang="ru")
    canvas.setTitle(title)
    canvas.setAuthor("Навигатор дополнительного образования")
    yield canvas
    canvas.showPage()
    canvas.save()


def draw_qr(canvas: Canvas, text: str, x: float, y: float, size: float) -> None:
    """Draw a QR code of a text with its quiet margin, dark on white, `size` points wide."""
    code = segno.make(text, error="m", micro=False)
    rows = [list(row) for row in code.matrix_iter(scale=1, border=QUIET_MODULES)]
    side = size / len(rows)
    canvas.setFillColor(HexColor("#ffffff"))
    canvas.rect(x, y, size, size, stroke=0, fill=1)
    canvas.setFillColor(HexColor("#000000"))
    for number, row in enumerate(rows):
        for place, dark in enumerate(row):
            if dark:
                # A hair wider, or viewers draw white lines between neighbours.
                left, top = x + place * side, y + size - (number + 1) * side
                canvas.rect(left, top, side * 1.02, side * 1.02, stroke=0, fill=1)


def draw_lines(
    canvas: Canvas, text: str, x: float, y: float, width: float, *, font: str, size: float
) -> float:
    """Draw a text in lines no wider than `width`; return where the next line would stand."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}".strip()
        if line and pdfmetrics.stringWidth(longer, font, size) > width:
            y = _draw_line(canvas, line, x, y, font, size)
            longer = word
        line = longer
    return _draw_line(canvas, line, x, y, font, size)


def _draw_line(canvas: Canvas, line: str, x: float, y: float, font: str, size: float) -> float:
    canvas.setFont(font, size)
    canvas.drawString(x, y, line)
    return y - size * 1.4
