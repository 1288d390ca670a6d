"""Every rule table, asked about every combination, says the same in a foreign engine."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import zen

from rulebook.evaluate import evaluate_version
from rulebook.loading import Rulebook
from rulebook.model import (
    Codes,
    Day,
    Equals,
    Holds,
    InputType,
    OneOf,
    Range,
    Version,
    Whole,
    Words,
    YesNo,
)
from rulebook.overlay import publish
from tests.rules.jdm import ROW, exported

SERVICES = ("billing", "certificates", "enrollment", "notifications")
TABLES = {
    name: table
    for service in SERVICES
    for name, table in Rulebook.load(f"services.{service}").tables.items()
}
YOUNGER = [
    {"id": "young", "when": {"age_years": {"below": 3}}, "then": {"verdict": "too_young"}},
    {"id": "tiny", "when": {"age_years": [3, 4]}, "then": {"verdict": "eligible"}},
]
OVERLAYS: Mapping[str, list[dict[str, Any]]] = {
    "billing.charging": [
        {"id": "missed", "when": {"mark": ["ill", "excused"]}, "then": {"charge": False}},
        {"id": "absent", "when": {"mark": "absent"}, "then": {"charge": True}},
        {"id": "cancelled", "when": {"mark": "cancelled"}, "then": {"charge": False}},
    ],
    "billing.days": [
        {"id": "days", "then": {"parking_days": 0, "grace_days": 365, "invoice_day": 28}}
    ],
    "certificates.age": YOUNGER,
    "certificates.category": [
        {
            "id": "general",
            "when": {"benefits": {"lacks": ["b01", "b02"]}, "age_years": {"below": 14}},
            "then": {"category": "general"},
        },
        {
            "id": "teens",
            "when": {"benefits": {"lacks": ["b01", "b02"]}, "age_years": {"from": 14}},
            "then": {"category": "teens"},
        },
        {
            "id": "large-family",
            "when": {"benefits": {"has": "b02", "lacks": "b01"}},
            "then": {"category": "large-family"},
        },
    ],
    "enrollment.age": YOUNGER,
    "enrollment.days": [{"id": "days", "then": {"hold_days": 3, "parking_days": 14}}],
    "enrollment.registry": [
        {
            "id": "certified",
            "when": {"registry": ["certified", "significant"]},
            "then": {"verdict": "eligible"},
        },
        {
            "id": "others",
            "when": {"registry": ["preprofessional", "general", "other"]},
            "then": {"verdict": "not_certified"},
        },
    ],
    "notifications.routing": [
        {
            "id": "lesson-not-charged-to-provider",
            "when": {"event": ["billing.lesson-not-charged", "billing.lesson-charged"]},
            "then": {
                "recipient": "provider",
                "category": "debit",
                "template": "lesson-charged",
                "urgent": False,
            },
        }
    ],
}


def overlaid(name: str) -> Version:
    """Return a table as a payer has it who published rows of its own."""
    rows = [row | {"says": "Решение муниципалитета"} for row in OVERLAYS[name]]
    paper = {"from": "2021-01-01", "published": "2020-12-01", "basis": "Постановление"}
    return publish(TABLES[name], paper | {"table": name, "rows": rows})


VERSIONS = {
    **{f"{name} {v.valid_from}": v for name, table in TABLES.items() for v in table.versions},
    **{f"{name} of a payer": overlaid(name) for name in OVERLAYS},
}


def combinations(version: Version) -> Iterator[dict[str, Any]]:
    """Yield every combination of inputs that a row could tell apart, and both sides of each end."""
    schema = version.schema
    values = [_values(kind, version, name) for name, kind in schema.inputs.items()]
    for chosen in itertools.product(*values):
        yield dict(zip(schema.inputs, chosen, strict=True))


def _values(kind: InputType, version: Version, name: str) -> list[Any]:
    cells = [row.when[name] for row in version.rows if name in row.when]
    match kind:
        case Words(words):
            return [*words]
        case YesNo():
            return [False, True]
        case Whole(start, below):
            named = {-1, 0, 1, 100}
            for cell in cells:
                for number in _numbers(cell):
                    named |= {number - 1, number, number + 1}
            return [
                number
                for number in sorted(named)
                if (start is None or start <= number) and (below is None or number < below)
            ]
        case Codes():
            codes = {"b99"}
            for cell in cells:
                assert isinstance(cell, Holds)
                codes |= cell.has | cell.lacks
            sizes = range(len(codes) + 1)
            return [[*some] for n in sizes for some in itertools.combinations(sorted(codes), n)]
        case Day():
            raise ValueError("A day has no cases here: no table asks for one.")


def _numbers(cell: object) -> list[int]:
    match cell:
        case Equals(int(value)):
            return [value]
        case OneOf(values):
            return [value for value in values if isinstance(value, int)]
        case Range(start, below):
            return [end for end in (start, below) if isinstance(end, int)]
        case _:
            raise AssertionError(f"{cell} is no cell of a number")


Told = list[dict[str, Any]]


def ours(version: Version, case: Mapping[str, Any]) -> Told:
    return [{**row.then, ROW: row.id} for row in evaluate_version(version, case).hits]


def theirs(jdm: Mapping[str, Any], cases: list[dict[str, Any]]) -> list[Told]:
    decision = zen.ZenEngine().create_decision(json.dumps(jdm, ensure_ascii=False))
    answers: list[Any] = [decision.evaluate(case)["result"] for case in cases]
    return answers


def test_every_table_has_an_overlay_here() -> None:
    assert set(OVERLAYS) == set(TABLES)
    assert len(VERSIONS) >= 2 * len(TABLES)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_both_engines_say_the_same_of_every_combination(version: Version) -> None:
    cases = [*combinations(version)]

    told = theirs(exported(version), cases)

    assert told == [ours(version, case) for case in cases]
    # The engine skips a cell it does not understand, without a word: each row must have hit.
    assert {one[ROW] for rows in told for one in rows} == {row.id for row in version.rows}


@pytest.mark.parametrize(
    ("name", "row", "cell", "written"),
    [
        pytest.param("billing.charging", 0, "mark", '"present" "made-up"', id="no list"),
        pytest.param("certificates.age", 1, "age_years", "[5..18]", id="one year too many"),
        pytest.param("certificates.age", 0, "age_years", "<== 5", id="no comparison"),
        pytest.param("certificates.category", 0, "benefits", "has(b01)", id="no function"),
    ],
)
def test_a_cell_that_says_something_else_is_noticed(
    name: str, row: int, cell: str, written: str
) -> None:
    version = next(each for title, each in VERSIONS.items() if title.startswith(f"{name} "))
    jdm = exported(version)
    rules = jdm["nodes"][1]["content"]["rules"]
    assert rules[row][cell] != written
    rules[row][cell] = written
    cases = [*combinations(version)]

    assert theirs(jdm, cases) != [ours(version, case) for case in cases]
