"""Lists of holders and queues: counted again from the journals, in order, in pages, as files."""

import csv
import io
from datetime import date
from typing import Any

import pytest

from services.cabinet.holder_queries import HolderQueries, Roll
from services.cabinet.pages.console_rolls import PAGE_ROWS, Sort, roll_page, table
from services.cabinet.pages.spreadsheets import csv_of
from tests.cabinet import story
from tests.cabinet.autumn import PAYERS, PERIOD, the_town
from tests.cabinet.clients import client_of
from tests.cabinet.journals import PAYER, Journals
from tests.cabinet.test_console_reports import cells_of
from tests.cabinet.test_projections import CLOSED, FROZEN, FUNDED, Tell


async def rows_of(roll: Roll, payer: str, category: str) -> list[dict[str, Any]]:
    """Return a list of the autumn."""
    told = await (await the_town()).queries.roll(roll, payer, PERIOD, category)
    assert told is not None
    return list(told["rows"])


async def categories_of(payer: str) -> list[str]:
    """Return the categories a payer of the autumn has."""
    told = await (await the_town()).queries.roll(Roll.HOLDERS, payer, PERIOD)
    assert told is not None
    return list(told["categories"])


# --- what is listed is what the journals say -----------------------------------------------------

GRANTING = ("certificate-issued", "certificate-renewed", "certificate-funded")


@pytest.mark.parametrize("payer", PAYERS)
async def test_holders_are_those_that_the_journal_gave_money_with_their_last_purse(
    payer: str,
) -> None:
    town = await the_town()
    since, category_of, purse_of = {}, {}, {}
    closed = {each["child_id"] for each in town.facts("certificates.certificate-closed")}
    for each in town.facts(*(f"certificates.{name}" for name in GRANTING), payer=payer):
        if each["period"] == PERIOD and each.get("state", "FUNDED") == "FUNDED":
            since[each["child_id"]] = each["_day"]
            category_of[each["child_id"]] = each["category"]
    periods = {
        each["enrollment_id"]: each["period"]
        for each in town.facts("enrollment.child-enrolled", payer=payer)
    }
    for record in town.world.journal("billing"):
        data = record["data"]
        if "purse" in data and record["partitionkey"] == payer:
            period = data.get("period") or periods[data["enrollment_id"]]
            if period == PERIOD:
                purse_of[data["child_id"]] = data["purse"]

    for category in await categories_of(payer):
        told = await rows_of(Roll.HOLDERS, payer, category)

        assert {each["child_id"]: each["since"].isoformat() for each in told} == {
            child_id: day
            for child_id, day in since.items()
            if category_of[child_id] == category and child_id not in closed
        }
        for each in told:
            purse = purse_of[each["child_id"]]
            fields = ("nominal", "paid", "reserved", "balance")
            assert {f: each[f"{f}_kopecks"] for f in fields} == {
                f: purse[f"{f}_kopecks"] for f in fields
            }
    assert since


@pytest.mark.parametrize("payer", PAYERS)
async def test_a_queue_is_who_waits_in_the_order_of_the_journal(payer: str) -> None:
    town = await the_town()
    waiting: dict[str, tuple[str, str]] = {}
    kinds = ("certificate-queued", "certificate-funded", "certificate-closed")
    for each in town.facts(*(f"certificates.{kind}" for kind in kinds), payer=payer):
        waiting.pop(each["child_id"], None)
        if each["_type"].endswith("queued"):
            waiting[each["child_id"]] = (each["category"], each["_day"])

    for category in await categories_of(payer):
        told = await rows_of(Roll.QUEUE, payer, category)

        assert [(each["child_id"], each["since"].isoformat()) for each in told] == [
            (child_id, day) for child_id, (of, day) in waiting.items() if of == category
        ]
        assert [each["position"] for each in told] == list(range(1, len(told) + 1))


async def test_somewhere_somebody_waits_and_not_in_the_order_of_ids() -> None:
    # Else the test above could not fail.
    queues = [
        [each["child_id"] for each in await rows_of(Roll.QUEUE, payer, category)]
        for payer in PAYERS
        for category in await categories_of(payer)
    ]

    assert any(queue != sorted(queue) for queue in queues)


@pytest.mark.parametrize("payer", PAYERS)
async def test_a_list_is_as_long_as_the_budget_says(payer: str) -> None:
    budget = await (await the_town()).queries.budget(payer, PERIOD)
    assert budget is not None

    for each in budget["categories"]:
        assert len(await rows_of(Roll.HOLDERS, payer, each["category"])) == each["holders"]
        assert len(await rows_of(Roll.QUEUE, payer, each["category"])) == each["queued"]


@pytest.mark.parametrize(
    ("parts", "day", "holders", "queue"),
    [
        pytest.param((), "2020-09-15", [], [story.YOUNGER], id="waits"),
        pytest.param((FROZEN,), "2020-09-15", [], [story.YOUNGER], id="frozen keeps its turn"),
        pytest.param((FUNDED,), "2020-09-15", [story.YOUNGER], [], id="funded"),
        pytest.param((CLOSED,), "2020-09-15", [], [], id="closed waits no longer"),
        pytest.param((FUNDED, CLOSED), "2020-09-15", [], [], id="closed holds nothing"),
        pytest.param((), "2020-12-31", [], [story.YOUNGER], id="the last day of the period"),
        pytest.param((), "2021-01-01", [], [], id="the queue ends with the period"),
    ],
)
async def test_who_is_on_which_list(
    parts: tuple[Tell, ...], day: str, holders: list[str], queue: list[str]
) -> None:
    journals = await Journals().start()
    for part in (story.set_the_scene, story.issue, story.queue_younger, *parts):
        await part(journals)
    journals.day = day
    await story.register_child(journals, "child-00900", "2012-01-01", ["guardian-00900"])
    await journals.follow()
    queries = HolderQueries(journals.store, journals.partitions)

    held = await queries.roll(Roll.HOLDERS, PAYER, "2020", "general")
    waits = await queries.roll(Roll.QUEUE, PAYER, "2020", "general")

    assert held is not None
    assert waits is not None
    assert [each["child_id"] for each in held["rows"]] == [story.ELDER, *holders]
    assert [each["child_id"] for each in waits["rows"]] == queue
    assert all(each["is_frozen"] is (FROZEN in parts) for each in waits["rows"])
    # Billing has opened no account for the younger: all that is granted is there.
    assert all(each["balance_kopecks"] > 0 for each in held["rows"])


async def test_since_is_the_day_of_the_turn_and_then_that_of_the_money() -> None:
    journals = await Journals().start()
    await story.set_the_scene(journals)
    queries = HolderQueries(journals.store, journals.partitions)
    about = {
        "child_id": story.YOUNGER,
        "certificate_number": story.WAITING_NUMBER,
        "category": "general",
        "period": "2020",
        "why": story.why("Сертификат без денег."),
    }
    granted = {
        "state": "ACCOUNTING",
        "valid_from": "2020-09-02",
        "valid_until": "2020-12-31",
        "nominal_kopecks": 0,
        "guardian_ids": [story.GUARDIAN],
    }
    journals.day = "2020-09-02"
    await journals.fact("certificates.certificate-issued", about | granted)
    journals.day = "2020-09-05"
    await journals.fact("certificates.certificate-queued", about | {"position": 1})
    await journals.follow()
    waits = await queries.roll(Roll.QUEUE, PAYER, "2020", "general")
    journals.day = "2020-09-10"
    await FUNDED(journals)
    await journals.follow()

    held = await queries.roll(Roll.HOLDERS, PAYER, "2020", "general")

    assert waits is not None
    assert held is not None
    assert [each["since"] for each in waits["rows"]] == [date(2020, 9, 5)]
    assert [each["since"] for each in held["rows"]] == [date(2020, 9, 10)]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(("99999999", None, None), id="payer"),
        pytest.param((PAYER, "1999", None), id="period"),
        pytest.param((PAYER, "2020", "gener"), id="the beginning of a category"),
    ],
)
async def test_what_nobody_has_is_no_list(
    journals: Journals, place: tuple[str, str | None, str | None]
) -> None:
    queries = HolderQueries(journals.store, journals.partitions)

    assert await queries.roll(Roll.HOLDERS, *place) is None
    assert await queries.roll(Roll.QUEUE, *place) is None


# --- the page, and files -------------------------------------------------------------------------


def holder(number: int, **changes: Any) -> dict[str, Any]:
    """Return a line of a list."""
    return {
        "child_id": f"child-{9_999 - number}",
        "certificate_number": f"{7_000_000_000 + number}",
        "is_frozen": False,
        "since": date(2020, 9, 1),
        "nominal_kopecks": 1_000,
        "paid_kopecks": 0,
        "reserved_kopecks": 0,
        "balance_kopecks": 1_000,
    } | changes


def listed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an answer about holders."""
    return {
        "roll": Roll.HOLDERS,
        "payer": PAYER,
        "period": "2020",
        "category": "general",
        "categories": ["general"],
        "business_day": date(2020, 9, 14),
        "as_of": {},
        "rows": rows,
    }


@pytest.mark.parametrize(
    ("sort", "order"),
    [(Sort.NUMBER, [1, 2, 3, 4]), (Sort.SINCE, [4, 2, 3, 1]), (Sort.LEFT, [3, 1, 2, 4])],
)
def test_holders_are_sorted_and_who_is_alike_by_number(sort: Sort, order: list[int]) -> None:
    rows = [
        holder(4, since=None, balance_kopecks=0),
        holder(2),
        holder(3, balance_kopecks=2_000),
        holder(1, since=date(2020, 9, 2)),
    ]

    sorted_ = table(listed(rows), sort)

    assert [int(str(row[0])) - 7_000_000_000 for row in sorted_.rows] == order


@pytest.mark.parametrize(
    ("number", "page", "shown", "pages"),
    [
        pytest.param(0, 1, 0, 1, id="nobody is one page"),
        pytest.param(PAGE_ROWS, 1, PAGE_ROWS, 1, id="a full page is one"),
        pytest.param(PAGE_ROWS + 1, 1, PAGE_ROWS, 2, id="one more begins another"),
        pytest.param(PAGE_ROWS + 1, 2, 1, 2, id="where it stands"),
        pytest.param(PAGE_ROWS + 1, 3, 1, 2, id="after the last comes the last"),
    ],
)
def test_a_list_comes_in_pages(number: int, page: int, shown: int, pages: int) -> None:
    told = roll_page(listed([holder(each) for each in range(number)]), Sort.LEFT, page)

    assert (len(told["table"]["rows"]), told["pages"], told["total"]) == (shown, pages, number)
    assert bool(told["later"]) is (page < pages)
    assert bool(told["earlier"]) is (pages > 1 and page > 1)
    assert all("sort=left" in path for path in (told["earlier"], told["later"]) if path)


async def test_lists_are_reached_from_the_budget_and_are_files_too() -> None:
    town, payer = await the_town(), PAYERS[1]
    async with client_of(town.app()) as client:
        budget = await client.get(f"/console/{payer}")
        for roll in Roll:
            path = f"/console/{payer}/lists/{roll}"
            told = await town.queries.roll(roll, payer, PERIOD, "general")
            assert told is not None
            assert told["rows"]
            first = told["rows"][0]

            page = await client.get(f"{path}?period={PERIOD}&category=general")
            lines = await client.get(f"{path}.csv?period={PERIOD}&category=general")
            book = await client.get(f"{path}.xlsx?period={PERIOD}&category=general")

            assert f"{path}?period={PERIOD}&amp;category=general" in budget.text
            assert (page.status_code, lines.status_code, book.status_code) == (200, 200, 200)
            assert first["certificate_number"] in page.text
            assert first["child_id"] in page.text
            assert f"{path}.csv?period={PERIOD}&amp;category=general" in page.text
            assert lines.text == csv_of(table(told))
            read = list(csv.reader(io.StringIO(lines.text), delimiter=";"))
            assert len(read) == len(told["rows"]) + 1
            assert first["child_id"] in cells_of(book.content, 2).values()
            assert "attachment" in book.headers["content-disposition"]


@pytest.mark.parametrize("file", ["", ".csv", ".xlsx"])
@pytest.mark.parametrize("roll", Roll)
async def test_lists_of_others_are_not_there(roll: Roll, file: str) -> None:
    async with client_of((await the_town()).app(), auth=None) as client:
        await client.post("/login/sandbox", data={"as": f"payer:{PAYERS[0]}"})

        own = await client.get(f"/console/{PAYERS[0]}/lists/{roll}{file}")
        theirs = await client.get(f"/console/{PAYERS[1]}/lists/{roll}{file}")
        nobodys = await client.get(f"/console/99999999/lists/{roll}{file}")

        assert own.status_code == 200
        assert (theirs.status_code, theirs.text) == (nobodys.status_code, nobodys.text)
        assert theirs.status_code == 404
