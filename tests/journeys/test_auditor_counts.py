"""The auditor itself: the worked examples of the rules, and that it stands alone."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auditor.count import count
from tests.auditor.money import Shares, adjustment, certificate_number, monthly, shares
from tests.auditor.play import date
from tests.auditor.report import report

AUDITOR = Path(__file__).parents[1] / "auditor"
PAYER = "25701000"


def test_it_imports_nothing_of_this_project() -> None:
    imported = set()
    for module in AUDITOR.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))

    own = {name for name in imported if name.partition(".")[0] == "tests"}
    assert own
    assert all(name.startswith("tests.auditor") for name in own)
    assert all(name.partition(".")[0] in sys.stdlib_module_names for name in imported - own)


@pytest.mark.parametrize(
    ("price", "normative", "balance", "expected"),
    [
        pytest.param(
            1_800_000, 1_800_000, 1_000_000, Shares(804_396, 804_396, 0, 32, 25_137, 12), id="W1"
        ),
        pytest.param(
            1_800_000, 1_800_000, 500_000, Shares(804_396, 500_000, 304_396, 32, 15_625, 0), id="W2"
        ),
        pytest.param(
            2_100_000,
            1_800_000,
            1_000_000,
            Shares(938_462, 804_396, 134_066, 32, 25_137, 12),
            id="W3",
        ),
        pytest.param(
            720_000, 720_000, 195_604, Shares(321_759, 195_604, 126_155, 32, 6_112, 20), id="W4"
        ),
    ],
)
def test_shares(price: int, normative: int, balance: int, expected: Shares) -> None:
    counted = shares(
        agreement_days=122,
        group_days=273,
        price=price,
        normative=normative,
        lessons_total=72,
        balance=balance,
    )

    assert counted == expected


def test_w6_months_and_what_is_cancelled_of_them() -> None:
    months = monthly(804_396, date("2020-09-01"), date("2020-12-31"))

    assert months == {
        "2020-09": 197_805,
        "2020-10": 202_197,
        "2020-11": 202_197,
        "2020-12": 202_197,
    }
    assert [adjustment(101, 2, cancelled) for cancelled in (0, 1, 2)] == [0, 50, 101]
    assert adjustment(101, 0, 0) == 0


def test_a_certificate_number_ends_with_its_luhn_digit() -> None:
    assert certificate_number("25703000", 15) == "7030000157"


Words = tuple[str, str, dict[str, Any]]


def file(*words: Words) -> Iterator[str]:
    """Yield a play file of these words."""
    for number, (type_, subject, data) in enumerate(words):
        event = {"id": f"event-{number}", "type": f"{type_}.v1", "subject": subject, "data": data}
        if type_ != "calendar.day-opened":
            event["partitionkey"] = PAYER
        stream = type_.partition(".")[0]
        yield json.dumps(
            event | {"source": f"/{stream}", "specversion": "1.0", "time": "2020-08-31T10:00:00Z"}
        )
        yield ""


def day(date_: str) -> Words:
    return "calendar.day-opened", date_, {"date": date_}


def mark(lesson: int, on: str, how: str = "present", revision: int = 1) -> Words:
    data = {
        "enrollment_id": "enr-chess",
        "lesson_id": f"les-{lesson}",
        "lesson_date": on,
        "mark": how,
        "evidence": "journal",
        "revision": revision,
    }
    return "attendance.lesson-marked", "enr-chess", data


GROUP = {
    "group_id": "grp-chess",
    "provider_id": "prov-tower",
    "programme_id": "prog-chess",
    "title": "Шахматы",
    "registry": "certified",
    "direction": "science",
    "age_min": 5,
    "age_max": 17,
    "capacity": 1,
    "starts_on": "2020-09-01",
    "ends_on": "2021-05-31",
    "lessons_total": 72,
    "price_kopecks": 1_800_000,
    "normative_kopecks": 1_800_000,
    "enrollment_open": True,
    "auto_accept": True,
    "revision": 1,
}
W1: tuple[Words, ...] = (
    day("2020-08-31"),
    (
        "payers.period-opened",
        "2020",
        {
            "period": "2020",
            "starts_on": "2020-01-01",
            "ends_on": "2020-12-31",
            "basis": "Постановление",
        },
    ),
    (
        "payers.category-set",
        "general",
        {
            "category": "general",
            "period": "2020",
            "unit": "RUB",
            "nominal_kopecks": 1_000_000,
            "places_max": 1,
            "budget_max_kopecks": 1_000_000,
            "revision": 1,
        },
    ),
    (
        "payers.frame-agreement-set",
        "prov-tower",
        {
            "provider_id": "prov-tower",
            "period": "2020",
            "state": "signed",
            "limit_kopecks": None,
            "revision": 1,
        },
    ),
    (
        "navigator.provider-registered",
        "prov-tower",
        {"provider_id": "prov-tower", "title": "Ладья", "state": "active", "revision": 1},
    ),
    ("navigator.group-published", "grp-chess", GROUP),
    (
        "navigator.child-registered",
        "child-anna",
        {
            "child_id": "child-anna",
            "birth_date": "2010-05-05",
            "guardian_ids": ["guard-anna"],
            "benefits": [],
            "revision": 1,
        },
    ),
    (
        "navigator.application-submitted",
        "enr-chess",
        {
            "enrollment_id": "enr-chess",
            "child_id": "child-anna",
            "guardian_id": "guard-anna",
            "group_id": "grp-chess",
            "group_home": PAYER,
            "parent_share_max_kopecks": 0,
            "consents": ["application", "terms", "personal-data"],
            "waitlist_ok": False,
        },
    ),
)


def purse(*words: Words) -> tuple[int, int, int, int]:
    """Return balance, reserved, paid and expired after W1 and some more words."""
    (certificate,) = report(*count(file(*W1, *words)))["certificates"].values()
    (period,) = certificate["periods"]
    balance, reserved, paid, expired = (
        period[f"{part}_kopecks"] for part in ("balance", "reserved", "paid", "expired")
    )
    return balance, reserved, paid, expired


def test_w5_the_life_of_w1() -> None:
    first, second = mark(1, "2020-09-01"), mark(2, "2020-09-03", "ill")
    third, fourth = mark(3, "2020-09-08"), mark(4, "2020-09-10")
    absent = mark(1, "2020-09-01", "absent", 2)
    lessons = (day("2020-09-10"), first, second, third, absent, fourth)
    notice = {
        "enrollment_id": "enr-chess",
        "by": "guardian",
        "notice_on": "2020-10-15",
        "reason": "Переезд",
    }
    ended = (*lessons, day("2020-10-15"), ("navigator.enrollment-terminated", "enr-chess", notice))

    assert purse() == (195_604, 804_396, 0, 0)
    assert purse(*lessons[:2]) == (195_604, 779_247, 25_149, 0)
    assert purse(*lessons[:3]) == (195_604, 779_247, 25_149, 0)
    assert purse(*lessons[:4]) == (195_604, 754_110, 50_286, 0)
    assert purse(*lessons[:5]) == (195_604, 779_259, 25_137, 0)
    assert purse(*lessons) == (195_604, 754_110, 50_286, 0)
    assert purse(*ended, day("2020-10-25")) == (195_604, 754_110, 50_286, 0)
    assert purse(*ended, day("2020-10-26")) == (949_714, 0, 50_286, 0)
    assert purse(*ended, day("2020-10-26"), day("2021-01-10")) == (949_714, 0, 50_286, 0)
    assert purse(*ended, day("2020-10-26"), day("2021-01-11")) == (0, 0, 50_286, 949_714)


def test_an_invoice_is_made_on_the_first_business_day_after_its_day_in_whatever_month() -> None:
    september, october = mark(1, "2020-09-01"), mark(2, "2020-10-01")
    words = (*W1, day("2020-10-01"), september, october, day("2020-11-02"), day("2020-11-06"))

    invoices = report(*count(file(*words)))["invoices"]

    assert {invoice["month"]: invoice["amount_kopecks"] for invoice in invoices.values()} == {
        "2020-09": 25_149,
        "2020-10": 25_137,
    }


def test_w7_the_budget_holds_to_the_last_kopeck() -> None:
    def state(budget: int) -> str:
        type_, subject, data = W1[2]
        words = (*W1[:2], (type_, subject, data | {"budget_max_kopecks": budget}), *W1[3:])
        (certificate,) = report(*count(file(*words)))["certificates"].values()
        return str(certificate["periods"][0]["state"])

    assert [state(1_000_000), state(999_999)] == ["FUNDED", "ACCOUNTING"]


def test_w8_two_children_and_one_place() -> None:
    def of_boris(words: Words) -> Words:
        type_, subject, data = words
        told = json.dumps(data).replace("anna", "boris").replace("enr-chess", "enr-late")
        return (
            type_,
            subject.replace("anna", "boris").replace("enr-chess", "enr-late"),
            json.loads(told),
        )

    told = report(*count(file(*W1, of_boris(W1[-2]), of_boris(W1[-1]))))

    assert told["enrollments"]["enr-chess"]["state"] == "ACTIVE"
    assert told["enrollments"]["enr-late"]["reason"] == "group_full"
    assert set(told["certificates"]) == {"child-anna"}
