"""Who pays how much of an agreement: the worked examples, boundaries, and a second count."""

from datetime import date, timedelta
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.vocabulary import Kopecks
from services.billing.domain.shares import Course, shares
from tests.domain.billing_samples import COURSE, ENDS_ON, STARTS_ON


@pytest.mark.parametrize(
    ("price", "normative", "balance", "total", "share", "parent", "lesson", "extra"),
    [
        pytest.param(1_800_000, 1_800_000, 1_000_000, 804_396, 804_396, 0, 25_137, 12, id="W1"),
        pytest.param(1_800_000, 1_800_000, 500_000, 804_396, 500_000, 304_396, 15_625, 0, id="W2"),
        pytest.param(
            2_100_000, 1_800_000, 1_000_000, 938_462, 804_396, 134_066, 25_137, 12, id="W3"
        ),
        pytest.param(
            720_000, 720_000, 195_604, 321_759, 195_604, 126_155, 6_112, 20, id="W4 after W1"
        ),
        pytest.param(
            1_800_000, 1_800_000, 804_396, 804_396, 804_396, 0, 25_137, 12, id="just enough"
        ),
        pytest.param(
            1_800_000, 1_800_000, 804_395, 804_396, 804_395, 1, 25_137, 11, id="a kopeck less"
        ),
        pytest.param(1_800_000, 1_800_000, 0, 804_396, 0, 804_396, 0, 0, id="no money"),
        pytest.param(1_800_000, 1_800_000, 5, 804_396, 5, 804_391, 0, 5, id="less than lessons"),
        pytest.param(0, 0, 1_000_000, 0, 0, 0, 0, 0, id="a course for nothing"),
    ],
)
def test_the_shares_of_an_agreement(
    price: int,
    normative: int,
    balance: int,
    total: int,
    share: int,
    parent: int,
    lesson: int,
    extra: int,
) -> None:
    course = replace(COURSE, price_kopecks=Kopecks(price), normative_kopecks=Kopecks(normative))

    counted = shares(course, STARTS_ON, ENDS_ON, Kopecks(balance))

    assert counted.lessons == 32
    assert (
        counted.total_kopecks,
        counted.certificate_share_kopecks,
        counted.parent_share_kopecks,
        counted.lesson_share_kopecks,
        counted.first_lesson_extra_kopecks,
    ) == (total, share, parent, lesson, extra)


def test_an_agreement_of_a_day_has_one_lesson() -> None:
    counted = shares(replace(COURSE, lessons_total=1), STARTS_ON, STARTS_ON, Kopecks(1_000_000))

    assert counted.lessons == 1
    assert counted.total_kopecks == 6_594


def test_the_whole_group_is_the_whole_course() -> None:
    counted = shares(COURSE, COURSE.starts_on, COURSE.ends_on, Kopecks(10**12))

    assert (counted.total_kopecks, counted.lessons) == (1_800_000, 72)


kopecks = st.integers(0, 10**12).map(Kopecks)


@given(
    group_days=st.integers(1, 400),
    first=st.integers(0, 399),
    length=st.integers(1, 400),
    price=kopecks,
    normative=kopecks,
    balance=kopecks,
    lessons=st.integers(1, 1000),
)
def test_shares_agree_with_a_count_in_fractions(
    group_days: int,
    first: int,
    length: int,
    price: Kopecks,
    normative: Kopecks,
    balance: Kopecks,
    lessons: int,
) -> None:
    begins = STARTS_ON + timedelta(days=min(first, group_days - 1))
    ends = min(begins + timedelta(days=length - 1), STARTS_ON + timedelta(days=group_days - 1))
    course = Course(
        starts_on=STARTS_ON,
        ends_on=STARTS_ON + timedelta(days=group_days - 1),
        lessons_total=lessons,
        price_kopecks=price,
        normative_kopecks=normative,
    )

    counted = shares(course, begins, ends, balance)

    part = Fraction(sum(1 for _ in _days(begins, ends)), group_days)
    assert counted.total_kopecks == ceil(part * price)
    assert counted.certificate_share_kopecks == min(
        ceil(part * price), ceil(part * normative), balance
    )
    assert counted.parent_share_kopecks == ceil(part * price) - counted.certificate_share_kopecks
    assert counted.lessons == max(1, floor(part * lessons))
    assert (
        counted.lesson_share_kopecks * counted.lessons + counted.first_lesson_extra_kopecks
        == counted.certificate_share_kopecks
    )
    assert 0 <= counted.first_lesson_extra_kopecks < counted.lessons


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
