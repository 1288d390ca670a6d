"""A payer's own version: what it is made of, when it holds, when it is refused."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulebook.errors import Defect, NotInForceError, RulesInvalidError, UnknownTableError
from rulebook.evaluate import evaluate_version
from rulebook.loading import Rulebook, load_table
from rulebook.model import Table
from rulebook.overlay import (
    NO_OVERLAYS,
    PUBLISHED_BYTES_MAX,
    Overlays,
    as_published,
    decide,
    publish,
    version_in_force,
)
from rulebook.parsing import Place, read_rows
from tests.rules.tables import loaded, row

CHARGING = Rulebook.load("services.billing").table("billing.charging")
CATEGORY = Rulebook.load("services.certificates").table("certificates.category")


def row_data(row_id: str, marks: list[str], charge: bool) -> dict[str, Any]:
    return {
        "id": row_id,
        "when": {"mark": marks},
        "then": {"charge": charge},
        "says": f"Решено строкой {row_id}",
    }


MISSED = row_data("missed", ["ill", "excused", "cancelled"], False)
ABSENT = row_data("absent", ["absent"], True)
SAME_AS_BASE = row_data("missed", ["absent", "ill", "excused", "cancelled"], False)


def published(
    *rows: dict[str, Any],
    since: str = "2020-09-18",
    known: str = "2020-09-21",
    table: str = "billing.charging",
) -> dict[str, Any]:
    return {
        "table": table,
        "from": since,
        "published": known,
        "basis": "Постановление 12",
        "rows": list(rows),
    }


def charged(overlays: Overlays, day: str, mark: str) -> object:
    return decide(CHARGING, overlays, date.fromisoformat(day), {"mark": mark}).outputs["charge"]


def test_a_row_of_the_same_id_is_replaced_and_a_new_one_added() -> None:
    version = publish(CHARGING, published(MISSED, ABSENT))

    assert [one.id for one in version.rows] == ["attended", "missed", "absent"]
    assert version.overlaid == {"missed", "absent"}
    assert evaluate_version(version, {"mark": "absent"}).outputs == {"charge": True}
    assert evaluate_version(version, {"mark": "ill"}).outputs == {"charge": False}
    assert evaluate_version(version, {"mark": "present"}).row == "attended"


def test_a_row_of_the_same_id_decides_in_the_place_of_the_base_row() -> None:
    missed = row_data("missed", ["absent", "ill", "excused", "cancelled"], True)
    overlays = NO_OVERLAYS.adding(published(missed))

    assert charged(NO_OVERLAYS, "2020-09-18", "ill") is False
    assert charged(overlays, "2020-09-18", "ill") is True


def test_the_same_rows_stand_on_what_the_base_says_on_their_first_day(tmp_path: Path) -> None:
    loaded(tmp_path, row("young", "{age_years: {below: 7}}"), row("any", "{age_years: {from: 7}}"))
    file = tmp_path / "age.yaml"
    later = file.read_text(encoding="utf-8").split("versions:\n")[1]
    later = later.replace("2020-09-01", "2021-01-01").replace("yes-please", "no-thanks")
    file.write_text(file.read_text(encoding="utf-8") + later, encoding="utf-8")
    table = load_table(file)
    own = {
        "id": "young",
        "when": {"age_years": {"below": 7}},
        "then": {"verdict": "no-thanks"},
        "says": "Рано",
    }

    said = {
        since: publish(table, published(own, since=since, table="play.age")).rows[1].then["verdict"]
        for since in ("2020-12-31", "2021-01-01")
    }

    assert said == {"2020-12-31": "yes-please", "2021-01-01": "no-thanks"}


def test_no_rows_bring_a_payer_back_to_the_base() -> None:
    overlays = NO_OVERLAYS.adding(published(MISSED, ABSENT)).adding(
        published(since="2020-10-01", known="2020-09-30")
    )

    assert charged(overlays, "2020-09-30", "absent") is True
    assert charged(overlays, "2020-10-01", "absent") is False


def test_an_overlay_holds_from_its_first_day() -> None:
    overlays = NO_OVERLAYS.adding(published(MISSED, ABSENT))

    assert charged(overlays, "2020-09-17", "absent") is False
    assert charged(overlays, "2020-09-18", "absent") is True
    assert charged(NO_OVERLAYS, "2020-09-18", "absent") is False


def test_an_overlay_stands_on_the_base_and_not_on_an_earlier_overlay() -> None:
    first = published(MISSED, ABSENT)
    second = published(
        row_data("missed", ["absent", "excused", "cancelled"], False),
        row_data("ill", ["ill"], True),
        since="2020-10-01",
    )
    overlays = NO_OVERLAYS.adding(first).adding(second)

    assert charged(overlays, "2020-10-01", "absent") is False
    assert charged(overlays, "2020-10-01", "ill") is True


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_from_the_same_day_the_one_published_later_holds(turned: bool) -> None:
    early = published(MISSED, ABSENT, known="2020-09-21")
    late = published(SAME_AS_BASE, known="2020-09-22")
    overlays = NO_OVERLAYS
    for one in (late, early) if turned else (early, late):
        overlays = overlays.adding(one)

    assert charged(overlays, "2020-09-18", "absent") is False


def test_a_later_first_day_beats_a_later_publication() -> None:
    overlays = NO_OVERLAYS.adding(published(MISSED, ABSENT, since="2020-10-01", known="2020-09-01"))
    overlays = overlays.adding(published(SAME_AS_BASE, since="2020-09-18", known="2020-11-01"))

    assert charged(overlays, "2020-09-30", "absent") is False
    assert charged(overlays, "2020-10-01", "absent") is True


def test_an_overlay_of_one_table_leaves_others_alone() -> None:
    book = Rulebook.load("services.billing")
    rules = book.for_payer(NO_OVERLAYS.adding(published(MISSED, ABSENT)))

    assert rules.decide("billing.days", date(2020, 9, 18), {}).outputs["invoice_day"] == 6
    assert rules.decide("billing.charging", date(2020, 9, 18), {"mark": "absent"}).row == "absent"
    with pytest.raises(UnknownTableError):
        rules.decide("billing.discounts", date(2020, 9, 18), {})


def test_the_base_rows_are_those_of_the_first_day(tmp_path: Path) -> None:
    table = loaded(tmp_path, row("any", "{}"))
    file = tmp_path / "age.yaml"
    later = file.read_text(encoding="utf-8").split("versions:\n")[1]
    later = later.replace("2020-09-01", "2021-01-01").replace("any, when", "all, when")
    file.write_text(file.read_text(encoding="utf-8") + later, encoding="utf-8")
    table = load_table(file)
    own = {"id": "any", "then": {"verdict": "no-thanks"}, "says": "Нет"}

    before = publish(table, published(own, since="2020-12-31", table="play.age"))
    with pytest.raises(RulesInvalidError) as caught:
        publish(table, published(own, since="2021-01-01", table="play.age"))

    assert [one.id for one in before.rows] == ["any"]
    assert caught.value.problems[0].rows == ("all", "any")
    overlays = NO_OVERLAYS.adding(published(own, since="2020-12-31", table="play.age"))
    assert version_in_force(table, overlays, date(2021, 6, 1)).by_payer


def test_overlays_survive_json_and_dates() -> None:
    with_dates = published(MISSED, ABSENT) | {
        "from": date(2020, 9, 18),
        "published": date(2020, 9, 21),
    }
    overlays = NO_OVERLAYS.adding(with_dates)

    again = Overlays.from_data(json.loads(json.dumps(overlays.to_data())))

    assert again == overlays == NO_OVERLAYS.adding(published(MISSED, ABSENT))
    assert charged(again, "2020-09-18", "absent") is True


def test_adding_the_same_twice_changes_nothing() -> None:
    once = NO_OVERLAYS.adding(published(MISSED, ABSENT))

    assert once.adding(published(MISSED, ABSENT)) == once


def test_a_third_category_can_be_published() -> None:
    def category(row_id: str, benefits: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": row_id,
            "when": {"benefits": benefits},
            "then": {"category": row_id},
            "says": "Категория по постановлению",
        }

    version = publish(
        CATEGORY,
        published(
            category("many-children", {"has": "b02", "lacks": "b01"}),
            category("general", {"lacks": ["b01", "b02"]}),
            table="certificates.category",
        ),
    )

    def asked(*benefits: str) -> str:
        return evaluate_version(version, {"age_years": 9, "benefits": benefits}).row

    assert asked("b01", "b02") == asked("b01") == "special"
    assert asked("b02") == "many-children"
    assert asked() == asked("b03") == "general"


def refused(data: dict[str, Any], base: Table = CHARGING) -> RulesInvalidError:
    with pytest.raises(RulesInvalidError) as caught:
        publish(base, data)
    return caught.value


def test_an_overlap_is_refused_in_words_for_an_official() -> None:
    error = refused(published(ABSENT))

    assert error.table == "billing.charging"
    assert error.combination == "mark absent"
    assert error.problems[0].rows == ("missed", "absent")
    assert error.russian == (
        "Таблица billing.charging: случай «mark: absent» подходит сразу двум строкам: «missed» "
        "и «absent». Сузьте одну из них; чтобы изменить строку «missed», укажите её под тем же "
        "именем."
    )


def test_a_gap_is_refused() -> None:
    error = refused(published(row_data("missed", ["absent", "ill", "excused"], False)))

    assert error.problems[0].defect is Defect.GAP
    assert error.combination == "mark cancelled"


def change(**changes: Any) -> dict[str, Any]:
    return published(MISSED, ABSENT) | changes


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(change(rows=[MISSED, ABSENT, ABSENT]), id="an id twice"),
        pytest.param(change(rows="all"), id="rows that are no list"),
        pytest.param(change(rows=[7]), id="a row that is no row"),
        pytest.param(change(rows=[MISSED, ABSENT | {"prio": 1}]), id="an unknown field"),
        pytest.param(change(rows=[MISSED, {**ABSENT, "says": ""}]), id="a row that says nothing"),
        pytest.param(change(rows=[MISSED, {**ABSENT, "then": {}}]), id="a missing output"),
        pytest.param(change(rows=[MISSED, {**ABSENT, "then": {"charge": 1}}]), id="1 for true"),
        pytest.param(change(rows=[MISSED, row_data("absent", ["away"], True)]), id="unknown word"),
        pytest.param(change(rows=[MISSED, {**ABSENT, "when": {"day": 1}}]), id="unknown input"),
        pytest.param(change(rows=[MISSED, {**ABSENT, "when": {"mark": 1.5}}]), id="a decimal"),
        pytest.param(change(rows=[{1: "x"}]), id="a key that is not text"),
        pytest.param(change(**{"from": "18.09.2020"}), id="another form of date"),
        pytest.param(change(basis=""), id="no basis"),
        pytest.param(change(basis="line\nline"), id="control characters"),
        pytest.param(change(table="billing.days"), id="another table"),
        pytest.param(change(extra=1), id="an unknown member"),
        pytest.param({"table": "billing.charging"}, id="missing members"),
        pytest.param(change(**{"from": "2020-08-13"}), id="before the base"),
        pytest.param(
            change(rows=[MISSED, ABSENT | {"says": "я" * 200}] * (PUBLISHED_BYTES_MAX // 200)),
            id="too long",
        ),
    ],
)
def test_what_is_malformed_is_refused(data: dict[str, Any]) -> None:
    error = refused(data)

    assert error.table == "billing.charging"
    assert error.remedy
    assert error.russian.startswith("Таблица billing.charging: ")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["b01", "general", "2020-09-18", "special", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "when", "then", "says", "from", "below", "has", "lacks"])
            | st.sampled_from(["benefits", "age_years", "category"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
GENERAL = {
    "id": "general",
    "when": {"benefits": {"lacks": "b01"}},
    "then": {"category": "general"},
    "says": "Так решено",
}


@given(st.sampled_from(["", *GENERAL, "benefits", "from", "published", "basis", "rows"]), anything)
def test_whatever_is_published_is_taken_or_refused(spoiled: str, something: Any) -> None:
    row_given = GENERAL | ({spoiled: something} if spoiled in GENERAL else {})
    if spoiled == "benefits":
        row_given["when"] = {"benefits": something}
    data = published(row_given, table="certificates.category")
    if spoiled in data:
        data[spoiled] = something

    try:
        version = publish(CATEGORY, data)
    except RulesInvalidError:
        return

    assert evaluate_version(version, {"age_years": 9, "benefits": []}).says


def test_nothing_holds_before_the_base() -> None:
    with pytest.raises(NotInForceError):
        version_in_force(CHARGING, NO_OVERLAYS, date(2020, 8, 13))


TABLES = [
    Rulebook.load(f"services.{service}").tables[name]
    for service in ("enrollment", "certificates", "billing", "notifications")
    for name in sorted(Rulebook.load(f"services.{service}").tables)
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rows_written_as_one_publishes_them_are_read_as_they_were(table: Table) -> None:
    base = table.versions[-1]
    since = base.valid_from.isoformat()
    rows = json.loads(json.dumps([as_published(each) for each in base.rows]))
    # So much may not be published at once: a few rows at a time.
    for first in range(0, len(rows), 10):
        data = published(*rows[first : first + 10], since=since, table=table.name)

        assert publish(table, data).rows == base.rows


def test_every_kind_of_cell_is_written_as_one_publishes_it() -> None:
    whens = [
        {"benefits": {"has": ["b01", "b02"]}, "age_years": {"from": 5, "below": 18}},
        {"benefits": {"has": ["b01"], "lacks": ["b02"]}, "age_years": {"below": 7}},
        {"age_years": [7, 8]},
        {"age_years": 9},
        {},
    ]
    rows = [
        {"id": f"row-{number}", "when": when, "then": {"category": "general"}, "says": "Так"}
        for number, when in enumerate(whens)
    ]

    read = read_rows(CATEGORY.schema, rows, Place(table="t", source="s", russian="т"))

    assert [as_published(each) for each in read] == rows
