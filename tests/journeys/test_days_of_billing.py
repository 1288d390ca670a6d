"""Days that rules tell are asked anew each business day, and skipped days skip no invoice."""

from typing import Any

import pytest

from tests.support.chess import Words, beginning, day, mark, play_file, rules
from tests.support.outcome import segments
from tests.support.second_opinion import audited, differences, in_memory, played

PAYER = "25701000"
START = (day("2020-08-31"), *beginning(PAYER, "anna"))


def days(on: str, published: str, **changed: int) -> Words:
    numbers = {"parking_days": 30, "grace_days": 10, "invoice_day": 6} | changed
    row = {"id": "days", "then": numbers, "says": "Сроки муниципалитета"}
    return rules("billing.days", [row], on, published, PAYER)


def ended(on: str, enrollment: str) -> Words:
    data = {"enrollment_id": enrollment, "by": "guardian", "notice_on": on, "reason": "Переезд"}
    return Words("navigator.enrollment-terminated", PAYER, enrollment, data)


async def books(*words: Words) -> dict[str, Any]:
    """Return the books of a story, on which services and auditor agree."""
    lines = [*play_file(words)]
    shown = await played(in_memory(0), segments(lines))
    assert differences(audited(lines), shown) == []
    return shown


def enrollment_of(words: tuple[Words, ...]) -> str:
    return next(one.subject for one in words if "application-submitted" in one.type)


def reserved(shown: dict[str, Any]) -> int:
    (certificate,) = shown["certificates"].values()
    return int(certificate["periods"][0]["reserved_kopecks"])


@pytest.mark.parametrize(
    ("last", "is_released"),
    [("2020-09-04", False), ("2020-09-05", True)],
)
async def test_fewer_days_of_grace_release_what_waits(last: str, *, is_released: bool) -> None:
    shown = await books(
        *START,
        day("2020-09-02"),
        mark(1, "2020-09-01", payer=PAYER, child="anna"),
        ended("2020-09-02", enrollment_of(START)),
        day("2020-09-03"),
        days("2020-09-03", "2020-09-03", grace_days=2),
        day(last),
    )

    assert (reserved(shown) == 0) is is_released


@pytest.mark.parametrize(
    ("last", "months"),
    [("2020-10-02", []), ("2020-10-03", ["2020-09"])],
)
async def test_an_earlier_day_of_invoices_holds_from_its_day(last: str, months: list[str]) -> None:
    shown = await books(
        *START,
        day("2020-09-01"),
        mark(1, "2020-09-01", payer=PAYER, child="anna"),
        day("2020-10-01"),
        days("2020-10-01", "2020-10-01", invoice_day=3),
        day(last),
    )

    assert [invoice["month"] for invoice in shown["invoices"].values()] == months


async def test_a_month_without_a_business_day_after_its_day_has_its_invoice_all_the_same() -> None:
    shown = await books(
        *START,
        day("2020-10-01"),
        mark(1, "2020-09-01", payer=PAYER, child="anna"),
        mark(2, "2020-10-01", payer=PAYER, child="anna"),
        day("2020-11-02"),
        day("2020-11-06"),
    )

    assert sorted(invoice["month"] for invoice in shown["invoices"].values()) == [
        "2020-09",
        "2020-10",
    ]


async def test_months_that_were_skipped_have_their_invoices() -> None:
    shown = await books(
        *START,
        day("2020-10-01"),
        mark(1, "2020-09-01", payer=PAYER, child="anna"),
        mark(2, "2020-10-01", payer=PAYER, child="anna"),
        day("2020-12-07"),
    )

    assert sorted(invoice["month"] for invoice in shown["invoices"].values()) == [
        "2020-09",
        "2020-10",
    ]
