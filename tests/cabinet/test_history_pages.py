"""A long history: the family's page shows its end, a page of its own shows all of it."""

import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from services.cabinet.pages.family import (
    ALL_MESSAGES_MAX,
    ENTRIES_ASKED,
    ENTRIES_SHOWN,
    LINES_A_PAGE,
    MESSAGES_SHOWN,
    disputable,
    family_page,
    history_page,
    messages_page,
)
from services.cabinet.queries import Answer
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals, purse
from tests.cabinet.test_browser import PAGE_BYTES_MAX

FAMILY = f"/families/{story.GUARDIAN}"
HISTORY = f"{FAMILY}/history/{PAYER}/{story.ELDER}"
FIRST = date(2020, 9, 16)
A_YEAR = 110
"""Lessons of a child in a year, of two clubs."""


@pytest.fixture
async def journals() -> Journals:
    """Return the journals of a family whose elder child was charged a few lessons."""
    journals = await Journals().start()
    await story.tell_all(journals)
    await journals.follow()
    return journals


@pytest.fixture
async def client(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the cabinet."""
    async with client_of(app_of(journals)) as client:
        yield client


async def charge(journals: Journals, lessons: int) -> list[str]:
    """Charge lessons, one a day; return their days, the latest first."""
    days = [(FIRST + timedelta(days=number)).isoformat() for number in range(lessons)]
    for number, day in enumerate(days):
        journals.day = day
        left = purse(195_604, 728_973 - 100 * number, 75_423 + 100 * number)
        await story.charge(journals, day, 100, left, 3)
    await journals.follow()
    return days[::-1]


async def elder(journals: Journals, entries_max: int | None = None) -> Answer:
    """Return the elder child, with the latest entries of its history."""
    family = await journals.queries.family(story.GUARDIAN, entries_max=entries_max)
    assert family is not None
    return next(dict(each) for each in family["children"] if each["child_id"] == story.ELDER)


def charged_days(html: str) -> list[str]:
    """Return the days of debits as they stand on a page, from the keys of its lines."""
    return re.findall(r"lesson-charged\|[^|]*\|les-([0-9-]+)", html)


@pytest.mark.parametrize("entries_max", [0, 1, 7, 10_000])
async def test_a_history_that_is_cut_off_is_the_end_of_the_whole_one(
    journals: Journals, entries_max: int
) -> None:
    whole = (await elder(journals))["history"]

    assert len(whole) > 7
    assert (await elder(journals, entries_max))["history"] == whole[:entries_max]


async def test_a_years_lessons_make_the_familys_page_no_heavier(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await charge(journals, ENTRIES_ASKED)
    before = await client.get(FAMILY)
    await charge(journals, A_YEAR)

    after = await client.get(FAMILY)

    assert len(after.content) < PAGE_BYTES_MAX / 2
    # Days and sums are longer or shorter; a line more would be.
    assert abs(len(after.content) - len(before.content)) < 500
    assert len(charged_days(after.text)) == ENTRIES_SHOWN
    assert f'href="{HISTORY}"' in after.text


async def test_every_debit_stands_on_some_page_of_the_history_once(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    days = await charge(journals, A_YEAR)
    pages = [await client.get(HISTORY, params={"page": number}) for number in (1, 2, 3)]

    shown = [day for page in pages for day in charged_days(page.text)]

    assert [page.status_code for page in pages] == [200] * 3
    assert shown[: len(days)] == days
    assert len(shown) == len(set(shown)) > len(days)
    assert "Раньше" in pages[0].text
    assert "Позже" not in pages[0].text
    assert "Раньше" not in pages[2].text
    assert "Позже" in pages[2].text


@pytest.mark.parametrize(("lines", "pages"), [(LINES_A_PAGE, 1), (LINES_A_PAGE + 1, 2)])
async def test_a_page_is_full_before_the_next_one_begins(
    journals: Journals, lines: int, pages: int
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    (told,) = [
        each
        for each in (await elder(journals))["history"]
        if each["kind"] == "lesson-charged" and each["lesson_id"] == "les-2020-09-12"
    ]
    child = await elder(journals) | {"history": [told] * lines}

    shown = history_page(family | {"children": [child]}, PAYER, story.ELDER, pages + 5)

    assert shown is not None
    assert (shown["pages"], shown["page"]) == (pages, pages)
    ((_, _, of_month),) = shown["months"]
    assert len(of_month) == lines - LINES_A_PAGE * (pages - 1)
    assert shown["begins"] == [("2020-09", "Сентябрь 2020\u00a0года", 1)]


async def test_each_month_is_found_on_the_page_on_which_it_begins(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await charge(journals, A_YEAR)
    first = (await client.get(HISTORY)).text
    links = re.findall(r'href="\?page=(\d+)#(\d{4}-\d{2})">([^<]+)<', first)

    assert [month for _, month, _ in links][:4] == ["2021-01", "2020-12", "2020-11", "2020-10"]
    assert links[0] == ("1", "2021-01", "Январь 2021\u00a0года")
    for page, month, name in links:
        text = (await client.get(HISTORY, params={"page": page})).text
        assert text.count(f'<h2 class="caption space" id="{month}">{name}</h2>') == 1
        earlier = int(page) - 1
        if earlier:
            before = (await client.get(HISTORY, params={"page": earlier})).text
            assert f'<h2 class="caption space" id="{month}">' not in before


async def test_what_has_no_day_stands_under_earlier(journals: Journals) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    child = await elder(journals)
    undated = [each | {"day": None} for each in child["history"]]

    shown = history_page(
        family | {"children": [child | {"history": undated}]}, PAYER, story.ELDER, 1
    )

    assert shown is not None
    assert [(month, name) for month, name, _ in shown["months"]] == [("", "Ранее")]


@pytest.mark.parametrize("lines", [ENTRIES_SHOWN, ENTRIES_SHOWN + 1])
async def test_the_whole_history_is_offered_where_there_is_more_than_is_shown(
    journals: Journals, lines: int
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    told = (await elder(journals))["history"][0]
    child = await elder(journals) | {"history": [told] * lines}

    (shown,) = family_page(family | {"children": [child]})["children"]

    assert len(shown["history"]) == ENTRIES_SHOWN
    assert shown["has_older"] is (lines > ENTRIES_SHOWN)


async def test_the_whole_history_is_offered_where_what_was_asked_for_was_cut_off(
    journals: Journals,
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    child = await elder(journals)
    funded = next(each for each in child["history"] if each["kind"] == "certificate-issued")
    folded = funded | {"kind": "account-opened"}
    child |= {"history": [funded] + [folded] * (ENTRIES_ASKED - 1)}

    (shown,) = family_page(family | {"children": [child]})["children"]

    assert len(shown["history"]) == 1
    assert shown["has_older"]


async def test_messages_are_all_on_a_page_of_their_own(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    for number in range(MESSAGES_SHOWN + 3):
        journals.day = f"2020-09-{16 + number}"
        charged = await story.charge(
            journals, journals.day, 100, purse(195_604, 728_973, 75_423), 3
        )
        id_ = f"msg-{number + 100}"
        await story.message(journals, id_, "cabinet", "debit", "lesson-charged", [charged])
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    page, own = await client.get(FAMILY), await client.get(f"{FAMILY}/messages")

    everything = messages_page(family)["messages"]
    assert len(everything) > MESSAGES_SHOWN + 2
    assert own.status_code == 200
    assert own.text.count('<div class="head">') == len(everything)
    assert f'href="{FAMILY}/messages"' in page.text
    assert family_page(family)["messages"] == everything[:MESSAGES_SHOWN]


@pytest.mark.parametrize(
    ("messages", "are_all"), [(ALL_MESSAGES_MAX - 1, True), (ALL_MESSAGES_MAX, False)]
)
async def test_a_page_that_may_not_have_all_messages_says_so(
    journals: Journals, messages: int, are_all: bool
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)

    shown = messages_page(family | {"messages": family["messages"][:1] * messages})

    assert shown["are_all"] is are_all


async def test_fewer_messages_asked_for_are_the_latest(journals: Journals) -> None:
    whole: Any = await journals.queries.family(story.GUARDIAN)
    some: Any = await journals.queries.family(story.GUARDIAN, messages_max=1)

    assert len(whole["messages"]) > 1
    assert some["messages"] == whole["messages"][:1]


async def test_one_child_asked_for_is_what_it_is_among_all(journals: Journals) -> None:
    whole: Any = await journals.queries.family(story.GUARDIAN)
    one: Any = await journals.queries.family(story.GUARDIAN, child_id=story.ELDER)

    assert len(whole["children"]) > 1
    assert one["children"] == [
        child for child in whole["children"] if child["child_id"] == story.ELDER
    ]
    assert one["messages"] == whole["messages"]
    assert await journals.queries.family(story.GUARDIAN, child_id="child-of-others") is None


async def test_what_was_disputed_before_the_history_was_cut_off_is_not_offered_again(
    journals: Journals,
) -> None:
    last = "2020-09-12"
    assert (story.ROBOTS, f"les-{last}") in disputable(await elder(journals))
    await story.dispute(journals, last, 25_149)
    await story.correct(journals, last, 25_149)
    await charge(journals, 3)
    left = purse(195_604, 728_673, 75_723)
    await story.charge(journals, last, 25_149, left, 3, on="2020-09-19")
    await journals.follow()

    lately = await elder(journals, 2)

    assert [each["lesson_id"] for each in lately["history"]] == [f"les-{last}", "les-2020-09-18"]
    assert disputable(lately) == {(story.ROBOTS, "les-2020-09-18")}
    assert (story.ROBOTS, f"les-{last}") not in disputable(await elder(journals))


@pytest.mark.parametrize(
    "path",
    [
        f"{FAMILY}/history/{PAYER}/child-99999",
        f"{FAMILY}/history/{OTHER_PAYER}/{story.ELDER}",
        f"/families/guardian-99999/history/{PAYER}/{story.ELDER}",
        "/families/guardian-99999/messages",
    ],
)
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("number", ["0", "-1", "x", "1001"])
async def test_a_number_that_is_no_page_is_refused(client: httpx.AsyncClient, number: str) -> None:
    answer = await client.get(HISTORY, params={"page": number})

    assert answer.status_code == 422
