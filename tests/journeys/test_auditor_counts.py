"""The auditor itself: the worked examples of the rules."""

from typing import Any

import pytest

from tests.auditor.count import count
from tests.auditor.money import Shares, adjustment, certificate_number, monthly, shares
from tests.auditor.play import date
from tests.auditor.report import report
from tests.support.chess import Words, beginning, day, family, mark, play_file, terminated


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


W1 = (day("2020-08-31"), *beginning())


def audited(*words: Words) -> dict[str, Any]:
    return report(*count(play_file(words)))


def purse(*words: Words) -> tuple[int, int, int, int]:
    """Return balance, reserved, paid and expired after W1 and some more words."""
    (certificate,) = audited(*W1, *words)["certificates"].values()
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
    ended = (*lessons, day("2020-10-15"), terminated("2020-10-15"))

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

    invoices = audited(*words)["invoices"]

    assert {invoice["month"]: invoice["amount_kopecks"] for invoice in invoices.values()} == {
        "2020-09": 25_149,
        "2020-10": 25_137,
    }


def test_w7_the_budget_holds_to_the_last_kopeck() -> None:
    def state(budget: int) -> str:
        general = W1[2]._replace(data=W1[2].data | {"budget_max_kopecks": budget})
        (certificate,) = audited(*W1[:2], general, *W1[3:])["certificates"].values()
        return str(certificate["periods"][0]["state"])

    assert [state(1_000_000), state(999_999)] == ["FUNDED", "ACCOUNTING"]


def test_w8_two_children_and_one_place() -> None:
    late = family("25701000", "boris", "grp-25701000", "enr-boris")

    told = audited(*W1, *late)

    assert told["enrollments"]["enr-anna"]["state"] == "ACTIVE"
    assert told["enrollments"]["enr-boris"]["reason"] == "group_full"
    assert set(told["certificates"]) == {"child-anna"}
