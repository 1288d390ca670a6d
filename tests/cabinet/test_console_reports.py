"""Reports: each number is counted again from the journals, by another way than the read models'."""

import csv
import io
import zipfile
from collections import Counter, defaultdict
from datetime import date
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from contracts.vocabulary import ApplicationRefusal
from services.cabinet.pages import console_reports as reports
from services.cabinet.pages.spreadsheets import Kind, Table, csv_of, xlsx_of
from services.cabinet.report_queries import years_before
from tests.cabinet.autumn import PAYERS, PERIOD, Town, the_town
from tests.cabinet.clients import client_of

SHEETS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


async def report_of(payer: str) -> dict[str, Any]:
    """Return a report of the autumn."""
    report = await (await the_town()).queries.report(payer, PERIOD)
    assert report is not None
    return report


def inputs(town: Town, type_: str, payer: str) -> list[dict[str, Any]]:
    """Return the inputs of a type that enrollment accepted, with the day they were decided on."""
    found = []
    for record in town.world.journal("enrollment"):
        told = record["data"].get("input")
        refused = record["type"].startswith("enrollment.input-") and "noted" not in record["type"]
        is_wanted = told and told["type"] == f"{type_}.v1" and record.get("partitionkey") == payer
        if is_wanted and not refused and "data" in told:
            found.append(told["data"] | {"_day": record["businessday"]})
    return found


@pytest.mark.parametrize("payer", PAYERS)
async def test_coverage_counts_each_child_once(payer: str) -> None:
    town, report = await the_town(), await report_of(payer)
    today = report["business_day"]
    born = {
        each["child_id"]: date.fromisoformat(each["birth_date"])
        for each in inputs(town, "navigator.child-registered", payer)
    }
    ages = [
        today.year - day.year - ((today.month, today.day) < (day.month, day.day))
        for day in born.values()
    ]
    active = {
        each["enrollment_id"] for each in town.facts("enrollment.agreement-activated", payer=payer)
    }
    agreements = [
        each["child_id"]
        for each in town.facts("enrollment.child-enrolled", payer=payer)
        if each["enrollment_id"] in active and each["period"] == PERIOD
    ]

    assert report["children"] == sum(5 <= age < 18 for age in ages)
    assert report["covered"] == len(set(agreements))
    assert 0 < report["covered"] <= len(agreements)


async def test_somewhere_a_child_has_two_agreements_and_somebody_is_no_age_for_a_certificate() -> (
    None
):
    # Else the test above could not fail by counting twice.
    town = await the_town()
    activated = town.facts("enrollment.agreement-activated")

    assert len({each["child_id"] for each in activated}) < len(activated)


@pytest.mark.parametrize(
    ("today", "years", "expected"),
    [
        pytest.param(date(2021, 2, 28), 18, date(2003, 2, 28), id="an ordinary day"),
        pytest.param(date(2022, 2, 28), 18, date(2004, 2, 28), id="born on the 29th: not yet"),
        pytest.param(date(2022, 3, 1), 18, date(2004, 3, 1), id="born on the 29th: on 1 March"),
        pytest.param(date(2020, 2, 29), 18, date(2002, 2, 28), id="on the 29th itself"),
    ],
)
def test_who_is_so_many_years_old(today: date, years: int, expected: date) -> None:
    assert years_before(today, years) == expected


@pytest.mark.parametrize("payer", PAYERS)
async def test_refusals_and_days_are_those_of_the_journal(payer: str) -> None:
    town, report = await the_town(), await report_of(payer)
    submitted = {
        each["enrollment_id"]: date.fromisoformat(each["_day"])
        for each in inputs(town, "navigator.application-submitted", payer)
    }
    refused = Counter(
        each["reason"]
        for each in town.facts(
            "enrollment.application-refused", "enrollment.enrollment-cancelled", payer=payer
        )
    )
    of_period = {
        each["enrollment_id"]
        for each in town.facts("enrollment.child-enrolled", payer=payer)
        if each["period"] == PERIOD
    }
    days = Counter(
        (date.fromisoformat(each["_day"]) - submitted[each["enrollment_id"]]).days
        for each in town.facts("enrollment.agreement-activated", payer=payer)
        if each["enrollment_id"] in of_period
    )

    assert report["refused"] == refused
    assert report["submitted"] == len(submitted)
    assert report["days"] == days
    assert sum(refused.values()) > 0 < sum(days.values())


@pytest.mark.parametrize("payer", PAYERS)
async def test_groups_and_deliveries_are_those_of_the_journals(payer: str) -> None:
    town, report = await the_town(), await report_of(payer)
    known = {each["group_id"]: each for each in inputs(town, "navigator.group-published", payer)}
    groups = {
        each["group_id"]: (each["taken"], each["capacity"], each["waiting"])
        for each in town.facts("enrollment.group-changed", payer=payer)
        if known[each["group_id"]]["starts_on"] <= report["ends_on"].isoformat()
        and known[each["group_id"]]["ends_on"] >= report["starts_on"].isoformat()
    }
    delivered: dict[str, Counter[str]] = defaultdict(Counter)
    basis = {}
    for each in town.facts("billing.funds-reserved", payer=payer):
        basis[each["enrollment_id"]] = each["debit_basis"]
        delivered[each["provider_id"]]["agreements"] += 1
        if each["debit_basis"] == "ATTENDED_LESSONS":
            delivered[each["provider_id"]]["lessons"] += each["lessons"]
    signs = {
        "billing.lesson-charged": (1, 1),
        "billing.charge-reversed": (-1, -1),
        "billing.month-charged": (0, 1),
        "billing.month-reversed": (0, -1),
        "billing.month-adjusted": (0, -1),
    }
    for each in town.facts(*signs, payer=payer):
        lessons, money = signs[each["_type"]]
        delivered[each["provider_id"]]["lessons_charged"] += lessons
        delivered[each["provider_id"]]["charged_kopecks"] += money * each["amount_kopecks"]
    for each in town.facts("billing.invoice-issued", payer=payer):
        for line in each["lines"]:
            delivered[each["provider_id"]]["invoiced_kopecks"] += line["amount_kopecks"]
    for each in town.facts("billing.invoice-settled", payer=payer):
        delivered[each["provider_id"]]["settled_kopecks"] += each["amount_kopecks"]

    told = {each["group_id"]: each for each in report["groups"]}
    assert {
        id_: (each["taken"], each["capacity"], each["waiting"]) for id_, each in told.items()
    } == groups
    assert {each.pop("provider_id"): each for each in map(dict, report["delivered"])} == {
        id_: {field: sums[field] for field in report["delivered"][0] if field != "provider_id"}
        for id_, sums in delivered.items()
    }
    assert any(each["settled_kopecks"] for each in report["delivered"])


@pytest.mark.parametrize(
    ("begins", "ends", "counted"),
    [
        pytest.param(date(2015, 9, 1), date(2016, 8, 31), date(2016, 8, 31), id="long over"),
        pytest.param(date(2030, 9, 1), date(2031, 8, 31), date(2030, 9, 1), id="not begun"),
    ],
)
async def test_another_period_counts_its_own_children_and_groups(
    monkeypatch: pytest.MonkeyPatch, begins: date, ends: date, counted: date
) -> None:
    town = await the_town()
    budget = await town.queries.budget(PAYERS[0], PERIOD)
    assert budget is not None

    async def moved(*_: Any) -> dict[str, Any]:
        return budget | {"starts_on": begins, "ends_on": ends}

    monkeypatch.setattr(type(town.queries), "budget", moved)
    report = await town.queries.report(PAYERS[0], PERIOD)
    born = [
        date.fromisoformat(each["birth_date"])
        for each in inputs(town, "navigator.child-registered", PAYERS[0])
    ]
    ages = [
        counted.year - day.year - ((counted.month, counted.day) < (day.month, day.day))
        for day in born
    ]

    assert report is not None
    assert report["groups"] == []
    assert report["children"] == sum(5 <= age < 18 for age in ages)


@pytest.mark.parametrize(
    ("ends", "note"),
    [
        pytest.param(date(2020, 10, 13), "занятия закончились", id="yesterday"),
        pytest.param(date(2020, 10, 14), "", id="today is the last day"),
    ],
)
async def test_a_group_that_is_over_is_told_as_one(ends: date, note: str) -> None:
    report = await report_of(PAYERS[0])
    group = report["groups"][0] | {"ends_on": ends}
    changed = report | {"groups": [group], "business_day": date(2020, 10, 14)}

    occupancy = next(each for each in reports.tables(changed) if each.name == "occupancy")

    assert [row[-1] for row in occupancy.rows] == [note, ""]


def test_each_reason_of_the_closed_list_has_words() -> None:
    assert set(reports.REFUSALS) == {reason.value for reason in ApplicationRefusal}


@pytest.mark.parametrize(
    ("days", "percents", "expected"),
    [
        pytest.param({}, 50, None, id="of nothing nothing"),
        pytest.param({3: 1}, 50, 3, id="of one that one"),
        pytest.param({0: 1, 9: 1}, 50, 0, id="half of two is one"),
        pytest.param({0: 1, 9: 2}, 50, 9, id="half of three is two"),
        pytest.param({1: 9, 30: 1}, 90, 1, id="nine of ten"),
        pytest.param({1: 89, 30: 11}, 90, 30, id="89 of 100 are not nine of ten"),
    ],
)
def test_in_how_many_days(days: dict[int, int], percents: int, expected: int | None) -> None:
    assert reports.quantile(days, percents) == expected


# --- files ---------------------------------------------------------------------------------------

TRAPS = Table(
    name="traps",
    title="Ловушки",
    note="",
    columns=(
        ("Текст", Kind.TEXT),
        ("Сумма", Kind.MONEY),
        ("День", Kind.DATE),
        ("Число", Kind.NUMBER),
    ),
    rows=(
        ("=1+1", -100_05, date(2020, 9, 1), 3),
        ("плюс; «кавычки»", 99_999_999_999_99, None, 0),
    ),
)


def test_a_csv_keeps_sums_exact_and_takes_no_text_for_a_formula() -> None:
    text = csv_of(TRAPS)

    assert text.startswith("\ufeff")
    assert list(csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";")) == [
        ["Текст", "Сумма, руб.", "День", "Число"],
        ["'=1+1", "-100,05", "2020-09-01", "3"],
        ["плюс; «кавычки»", "99999999999,99", "", "0"],
    ]


def cells_of(content: bytes, sheet: int) -> dict[str, str]:
    """Return the cells of a sheet as a reader of its own understands the file."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        shared = [
            "".join(node.itertext()) for node in ET.fromstring(book.read("xl/sharedStrings.xml"))
        ]
        tree = ET.fromstring(book.read(f"xl/worksheets/sheet{sheet}.xml"))
    found = {}
    for cell in tree.iter(f"{SHEETS}c"):
        assert cell.find(f"{SHEETS}f") is None, "a formula"
        value = cell.findtext(f"{SHEETS}v")
        if value is not None:
            found[cell.attrib["r"]] = shared[int(value)] if cell.get("t") == "s" else value
    return found


def test_a_workbook_has_numbers_for_sums_and_no_formula() -> None:
    content = xlsx_of(TRAPS, [], date(2020, 9, 1))

    cells = cells_of(content, 1)
    assert cells["A2"] == "=1+1"
    assert (float(cells["B2"]), float(cells["B3"])) == (-100.05, 99_999_999_999.99)
    # 1 September 2020 as spreadsheets count days.
    assert (cells["C2"], cells["D2"]) == ("44075", "3")
    assert "C3" not in cells


async def test_all_reports_are_on_the_page_in_csv_and_in_one_workbook() -> None:
    town, payer = await the_town(), PAYERS[0]
    report = await report_of(payer)
    made = reports.tables(report)
    async with client_of(town.app()) as client:
        page = await client.get(f"/console/{payer}/reports")
        book = await client.get(f"/console/{payer}/reports.xlsx?period={PERIOD}")

        assert (page.status_code, book.status_code) == (200, 200)
        assert [each.name for each in made] == list(reports.NAMES)
        for number, table in enumerate(made, 2):
            assert f'<h2 id="r-{table.name}">{table.title}</h2>' in page.text
            file = await client.get(f"/console/{payer}/reports/{table.name}.csv")
            assert file.status_code == 200
            assert file.text == csv_of(table)
            assert len(table.title) <= 31
            assert cells_of(book.content, number)["A1"].startswith(table.columns[0][0])
        assert report["business_day"].isoformat() in cells_of(book.content, 1).values()
        assert "attachment" in book.headers["content-disposition"]
        assert (await client.get(f"/console/{payer}/reports/salaries.csv")).status_code == 404


@pytest.mark.parametrize("path", ["reports", "reports.xlsx", "reports/coverage.csv"])
async def test_reports_of_others_are_not_there(path: str) -> None:
    async with client_of((await the_town()).app(), auth=None) as client:
        await client.post("/login/sandbox", data={"as": f"payer:{PAYERS[0]}"})

        assert (await client.get(f"/console/{PAYERS[0]}/{path}")).status_code == 200
        assert (await client.get(f"/console/{PAYERS[1]}/{path}")).status_code == 404
