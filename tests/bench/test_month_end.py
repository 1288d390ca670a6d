"""What a journal says of a month's end: debits and invoices, counted one beside the other."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from bench import load, month_end
from pfdo.system import SERVICES, services_of
from tests.support.world import World

SMALL = month_end.Amount(providers=8, children=2, lessons=3, seconds=1)


async def journal(records: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Yield records as a topic would."""
    for record in records:
        yield record


def invoice(id_: str, amount: int, lines: list[int]) -> dict[str, Any]:
    """Return the fact that an invoice, or a part of one, was issued."""
    data = {
        "invoice_id": id_,
        "amount_kopecks": amount,
        "lines": [{"amount_kopecks": line} for line in lines],
    }
    return {"type": month_end.INVOICED, "data": data}


async def test_a_small_month_in_memory_is_invoiced_to_the_kopeck() -> None:
    world = World(services_of(SERVICES), partitions=month_end.PARTITIONS)
    for segment in month_end.beginning(SMALL):
        await world.publish(*segment)
        await world.settle()

    await world.publish(*month_end.marks(SMALL))
    await world.settle()
    await world.publish(load.day(month_end.INVOICED_ON))
    await world.settle()

    books = await month_end.counted(journal(world.journal("billing")))
    assert books.debits == SMALL.marks == 48
    assert books.invoices == SMALL.providers
    assert books.charged_kopecks == 48 * 9_000
    assert books.charged_kopecks == books.invoiced_kopecks == books.lines_kopecks


async def test_an_invoice_in_parts_is_one_invoice_with_all_their_lines() -> None:
    parts = [invoice("inv", 6, [1, 2]), invoice("inv", 6, [3]), invoice("other", 4, [4])]

    books = await month_end.counted(journal(parts))

    assert (books.invoices, books.invoiced_kopecks, books.lines_kopecks) == (2, 10, 10)


def test_more_lessons_than_a_month_of_the_load_has_are_refused() -> None:
    most = month_end.LESSONS_MAX
    last = list(month_end.marks(month_end.Amount(4, 1, most, 1)))[-1]

    assert last["data"]["lesson_date"].startswith("2020-09-")
    with pytest.raises(ValueError, match=f"at most {most} lessons"):
        list(month_end.marks(month_end.Amount(4, 1, most + 1, 1)))


def test_a_month_with_one_kopeck_too_little_is_not_as_promised() -> None:
    books = {
        "debits": 6,
        "invoices": 1,
        "charged_kopecks": 60,
        "invoiced_kopecks": 60,
        "lines_kopecks": 60,
    }
    good: dict[str, Any] = {
        "verify": {"ok": True},
        "books": books,
        "providers": 1,
        "children": 2,
        "lessons": 3,
    }
    bad: list[dict[str, Any]] = [
        {"verify": {"ok": False}},
        *({"books": books | {name: value - 1}} for name, value in books.items()),
    ]

    assert month_end.kept(good)
    assert [month_end.kept(good | one) for one in bad] == [False] * len(bad)
