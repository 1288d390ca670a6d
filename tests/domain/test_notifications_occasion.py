"""What the routing is asked about a fact."""

import pytest

from contracts.vocabulary import Kopecks
from services.notifications.domain.occasion import Occasion, is_low

CHARGED = "billing.lesson-charged"
LOW = "billing.lessons-left-low"


@pytest.mark.parametrize(
    ("occasion", "were_low", "expected"),
    [
        pytest.param(
            Occasion(word="enrollment.place-held"),
            False,
            ("enrollment.place-held",),
            id="a fact goes by its name",
        ),
        pytest.param(Occasion(word=CHARGED, lessons_left=4), False, (CHARGED,), id="four left"),
        pytest.param(
            Occasion(word=CHARGED, lessons_left=3),
            False,
            (LOW, CHARGED),
            id="three left: the more particular first",
        ),
        pytest.param(
            Occasion(word=CHARGED, lessons_left=2), True, (CHARGED,), id="it was said already"
        ),
        pytest.param(
            Occasion(word=CHARGED, lessons_left=0), False, (LOW, CHARGED), id="none left at once"
        ),
        pytest.param(
            Occasion(word="billing.month-adjusted", moved_kopecks=Kopecks(0)),
            False,
            (),
            id="nothing moved, nothing to tell",
        ),
        pytest.param(
            Occasion(word="billing.month-adjusted", moved_kopecks=Kopecks(1)),
            False,
            ("billing.month-adjusted",),
            id="one kopeck moved",
        ),
        pytest.param(
            Occasion(word="billing.invoice-issued", part=1),
            False,
            ("billing.invoice-issued",),
            id="the first part of an invoice",
        ),
        pytest.param(
            Occasion(word="billing.invoice-issued", part=2), False, (), id="its second part"
        ),
    ],
)
def test_words(occasion: Occasion, were_low: bool, expected: tuple[str, ...]) -> None:
    assert occasion.words(were_low=were_low) == expected


@pytest.mark.parametrize(("left", "low"), [(4, False), (3, True), (0, True)])
def test_few_lessons(left: int, low: bool) -> None:
    assert is_low(left) is low
