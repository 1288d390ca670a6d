"""Rules of one municipality: they hold for it alone, from their day, and after any replay."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from tests.support.chess import Words, beginning, day, mark, play_file, rules
from tests.support.outcome import check_folds, outcome, segments
from tests.support.second_opinion import audited, differences, in_memory, played

ANGARA, TAIGA = "25701000", "25703000"
marked_anna = partial(mark, payer=ANGARA, child="anna")
marked_boris = partial(mark, payer=TAIGA, child="boris")
CHARGES_ABSENCE = [
    {
        "id": "missed",
        "when": {"mark": ["ill", "excused", "cancelled"]},
        "then": {"charge": False},
        "says": "Уважительная причина",
    },
    {
        "id": "absent",
        "when": {"mark": "absent"},
        "then": {"charge": True},
        "says": "Пропуск без причины оплачивается",
    },
]
OVERLAY = rules("billing.charging", CHARGES_ABSENCE, "2020-09-14", "2020-09-08", ANGARA)
START = (day("2020-08-31"), *beginning(ANGARA, "anna"), *beginning(TAIGA, "boris"))


def absences(first: int, *dates: str) -> Iterable[Words]:
    """Both children were absent on these days."""
    for number, date in enumerate(dates, start=first):
        yield marked_anna(number, date, "absent")
        yield marked_boris(number, date, "absent")


def story(*overlays: Words) -> list[str]:
    """Absences on both sides of the first day of the overlay, heard before and after it is."""
    words = (
        *START,
        day("2020-09-08"),
        *absences(1, "2020-09-07"),
        marked_anna(2, "2020-09-08"),
        *overlays,
        *absences(3, "2020-09-08"),
        day("2020-09-15"),
        *absences(4, "2020-09-13", "2020-09-14", "2020-09-15"),
        marked_anna(7, "2020-09-15", "ill"),
        marked_anna(1, "2020-09-07", "absent", 2),
        day("2020-10-06"),
    )
    return [*play_file(words)]


def lessons_charged(books: dict[str, Any], child: str) -> list[str]:
    movements = books["certificates"][child]["movements"]
    return [it["lesson_id"] for it in movements if it["kind"] == "lesson-charged"]


def of_payer(books: dict[str, Any], payer: str) -> dict[str, Any]:
    """Return what the books say of a payer."""
    named = {book: books[book] for book in ("certificates", "enrollments", "payers", "invoices")}
    return {
        book: {id_: it for id_, it in entries.items() if it["payer"] == payer}
        for book, entries in named.items()
    } | {
        "providers": [
            owed
            for provider in books["providers"].values()
            for owed in provider["payers"]
            if owed["payer"] == payer
        ]
    }


async def test_an_overlay_changes_its_payer_from_its_day_and_nobody_else() -> None:
    before = await played(in_memory(1), segments(story()))

    after = await played(in_memory(2), segments(story(OVERLAY)))

    assert lessons_charged(before, "child-anna") == ["les-2"]
    assert lessons_charged(after, "child-anna") == ["les-2", "les-5", "les-6"]
    assert lessons_charged(after, "child-boris") == []
    assert of_payer(after, TAIGA) == of_payer(before, TAIGA)
    assert after["enrollments"]["enr-anna"]["charged_kopecks"] == 25_149 + 2 * 25_137
    assert not differences(audited(story(OVERLAY)), after)


async def test_a_charge_by_an_overlay_names_it() -> None:
    world = in_memory(3)

    await played(world, segments(story(OVERLAY)))

    whys = {
        data["lesson_id"]: data["why"]
        for fact, data in world.facts("billing")
        if fact == "lesson-charged"
    }
    assert (whys["les-2"]["from"], whys["les-2"]["row"]) == ("2020-09-01", "attended")
    assert (whys["les-5"]["from"], whys["les-5"]["row"]) == ("2020-09-14", "absent")
    assert whys["les-5"]["basis"] == "Постановление"
    assert "пропуск без причины оплачивается" in whys["les-5"]["text"]


async def test_a_replay_gives_the_same_books() -> None:
    world = in_memory(4)
    await played(world, segments(story(OVERLAY)))
    before = await outcome(world)

    await check_folds(world)
    # The rules in force are a part of what was folded: what comes now is decided by them.
    again = [*play_file([*absences(8, "2020-10-05")])]
    for segment in segments(line.replace("event-", "later-") for line in again):
        await world.publish(*segment)
    await world.settle()

    after = await outcome(world)
    assert lessons_charged(after, "child-anna") == [*lessons_charged(before, "child-anna"), "les-8"]
    assert of_payer(after, TAIGA) == of_payer(before, TAIGA)


@pytest.mark.parametrize(
    ("table", "rows", "first_day", "told"),
    [
        pytest.param(
            "billing.charging",
            CHARGES_ABSENCE[1:],
            "2020-09-14",
            "Таблица billing.charging: случай «mark: absent» подходит сразу двум строкам:"
            " «missed» и «absent». Сузьте одну из них;"
            " чтобы изменить строку «missed», укажите её под тем же именем.",
            id="two rows for one case",
        ),
        pytest.param(
            "billing.charging",
            CHARGES_ABSENCE[:1],
            "2020-09-14",
            "Таблица billing.charging: с 2020-09-14 нет строки для случая «mark: absent»."
            " Добавьте строку для него или расширьте соседнюю.",
            id="no row for a case",
        ),
        pytest.param(
            "billing.charging",
            CHARGES_ABSENCE,
            "2020-08-13",
            "Таблица billing.charging: до 2020-09-01 основных правил нет;"
            " укажите более позднюю дату начала.",
            id="before there were rules",
        ),
        pytest.param(
            "billing.weather",
            CHARGES_ABSENCE,
            "2020-09-14",
            "Таблицы правил billing.weather нет. Есть: billing.charging, billing.days,"
            " certificates.age, certificates.category, enrollment.age, enrollment.days,"
            " enrollment.registry, notifications.routing.",
            id="no such table",
        ),
    ],
)
async def test_a_wrong_overlay_is_refused_in_words_and_changes_nothing(
    table: str, rows: list[dict[str, Any]], first_day: str, told: str
) -> None:
    world, wrong = in_memory(5), rules(table, rows, first_day, "2020-09-08", ANGARA)
    before = await played(in_memory(6), segments(story()))

    after = await played(world, segments(story(wrong)))

    (refusal,) = (
        record["data"]
        for name in world.services
        for record in world.journal(name, "input-refused")
        if record["data"]["reason"] == "rules_invalid"
    )
    assert refusal["detail"] == told
    assert not differences(audited(story(wrong)), after)
    del before["inputs"], after["inputs"]
    assert after == before
