"""Colors of the sheet, held against the contrast that WCAG 2.2 asks for (1.4.11: three to one)."""

import re

import pytest

from services.cabinet.pages.site import FOLDER

SHEET = (FOLDER / "static" / "cabinet.css").read_text()
LIGHT, DARK = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
GROUNDS = ("paper", "card", "sunk", "note", "good-back", "wait-back", "bad-back")
CONTRAST_MIN = 3


def luminance(color: str) -> float:
    """Return how bright a color is, of 0 to 1, as WCAG counts it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, of 1 to 21."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_what_has_the_focus_is_seen_on_every_ground(scheme: str) -> None:
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme))
    rings = set(re.findall(r"outline: 3px solid var\(--([a-z-]+)\)", SHEET))

    assert rings
    assert {
        (ring, ground)
        for ring in rings
        for ground in GROUNDS
        if contrast(colors[ring], colors[ground]) < CONTRAST_MIN
    } == set()
