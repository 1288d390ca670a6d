"""What is told about a decision, and what is asked for in a terminal."""

import json
from datetime import date
from pathlib import Path

import pytest

from rulebook.errors import InputInvalidError
from rulebook.evaluate import evaluate
from rulebook.explain import explain, inputs_from_text, show, why
from rulebook.loading import Rulebook, load_table
from rulebook.model import Table
from rulebook.overlay import NO_OVERLAYS
from tests.rules.tables import loaded, row

DAY = date(2020, 9, 18)
CHARGING = Rulebook.load("services.billing").table("billing.charging")
OWN = {
    "table": "billing.charging",
    "from": "2020-09-18",
    "published": "2020-09-21",
    "basis": "Постановление 12",
    "rows": [
        {
            "id": "missed",
            "when": {"mark": ["absent", "ill", "excused", "cancelled"]},
            "then": {"charge": False},
            "says": "Пропуск не оплачивается",
        }
    ],
}


def test_why_names_table_version_row_and_paper() -> None:
    decision = evaluate(CHARGING, DAY, {"mark": "present"})

    assert why(decision) == {
        "table": "billing.charging",
        "from": "2020-09-01",
        "row": "attended",
        "basis": "Announcement of the system",
        "text": "Ребёнок был на занятии.",
    }
    assert why(decision, "Списано 251,37 ₽.", "Осталось 31 занятие")["text"] == (
        "Ребёнок был на занятии. Списано 251,37 ₽. Осталось 31 занятие."
    )


def test_show_tells_whose_a_row_is() -> None:
    shown = show(CHARGING, DAY, NO_OVERLAYS.adding(OWN))

    assert json.loads(json.dumps(shown)) == shown
    assert (shown["from"], shown["by"]) == ("2020-09-18", "payer")
    assert shown["rows"] == [
        {
            "id": "attended",
            "when": {"mark": ["present", "made-up"]},
            "then": {"charge": True},
            "says": "Ребёнок был на занятии",
            "by": "base",
        },
        {
            "id": "missed",
            "when": {"mark": ["absent", "ill", "excused", "cancelled"]},
            "then": {"charge": False},
            "says": "Пропуск не оплачивается",
            "by": "payer",
        },
    ]


def test_explain_says_which_inputs_a_row_failed_on() -> None:
    explained = explain(CHARGING, DAY, {"mark": "ill"})

    assert explained["hits"] == [
        {"row": "missed", "then": {"charge": False}, "says": "Занятие не посещено"}
    ]
    assert explained["rows"] == [
        {"row": "attended", "hit": False, "fails_on": ["mark"]},
        {"row": "missed", "hit": True, "fails_on": []},
    ]


@pytest.fixture
def ages(tmp_path: Path) -> Table:
    return loaded(
        tmp_path,
        row("young", "{age_years: {below: 5}}"),
        row("both", "{age_years: {from: 5}, benefits: {has: [b01, b02]}}"),
        row("rest", "{}"),
        hit="first",
    )


def test_cells_are_shown_as_they_are_written(ages: Table) -> None:
    rows = show(ages, DAY)["rows"]

    assert isinstance(rows, list)
    assert [one["when"] for one in rows if isinstance(one, dict)] == [
        {"age_years": {"below": 5}},
        {"age_years": {"from": 5}, "benefits": {"has": ["b01", "b02"]}},
        {},
    ]


def test_inputs_can_be_typed_in_a_terminal(ages: Table) -> None:
    inputs = inputs_from_text(ages, ["age_years=-1", "benefits=b01,b02"])

    assert inputs == {"age_years": -1, "benefits": {"b01", "b02"}}
    assert inputs_from_text(ages, ["benefits="]) == {"benefits": frozenset()}


@pytest.mark.parametrize(
    "pairs", [["age=5"], ["age_years"], ["age_years=5.5"], ["age_years=1", "age_years=1"]]
)
def test_inputs_that_are_not_known_are_refused(ages: Table, pairs: list[str]) -> None:
    with pytest.raises(InputInvalidError):
        inputs_from_text(ages, pairs)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"age_years": 5}, "'benefits' is missing"),
        ({"age_years": 5, "benefits": [], "mark": "ill"}, "'mark' is not known"),
        ({"age_years": True, "benefits": []}, "not a whole number"),
        ({"age_years": 5, "benefits": "b01"}, "not a collection"),
        ({"age_years": 5, "mark": "ill"}, "'benefits' is missing"),
    ],
)
def test_a_wrong_question_is_a_defect_and_says_so(
    ages: Table, inputs: dict[str, object], said: str
) -> None:
    with pytest.raises(InputInvalidError, match=said):
        evaluate(ages, DAY, inputs)


def test_days_and_bounds_are_asked_strictly(tmp_path: Path) -> None:
    file = tmp_path / "days.yaml"
    file.write_text(
        "table: play.days\nmeaning: Which days\nhit: first\n"
        "inputs: {day: date, hour: {int: {from: 0, below: 24}}, open: bool}\n"
        "outputs: {price: kopecks}\nversions:\n"
        "  - from: 2020-09-01\n    published: 2020-09-01\n    basis: A paper\n    rows:\n"
        "      - {id: late, when: {day: {from: 2020-10-01}, open: true}, then: {price: 100}, "
        'says: "Поздно"}\n'
        '      - {id: rest, then: {price: 0}, says: "Иначе"}\n',
        encoding="utf-8",
    )
    table = load_table(file)

    def price(**inputs: object) -> object:
        return evaluate(table, DAY, inputs).outputs["price"]

    typed = inputs_from_text(table, ["day=2020-10-01", "hour=23", "open=true"])
    assert price(**typed) == 100
    assert price(**typed | {"day": date(2020, 9, 30)}) == 0
    assert price(**typed | {"open": False}) == 0
    for name, wrong in (("hour", 24), ("hour", -1), ("open", 1), ("day", "2020-10-01")):
        with pytest.raises(InputInvalidError):
            price(**typed | {name: wrong})
