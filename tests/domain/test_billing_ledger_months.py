"""The double entries of a MONTHLY_CONTRACT. `docs/rules.md`, sections 7 and 8."""

from datetime import date

from contracts.vocabulary import DebitBasis, Kopecks, Month
from services.billing.domain import ending, ledger
from services.billing.domain.ending import StandingMonth
from services.billing.domain.facts import Fact
from services.billing.domain.month import MonthBook
from tests.domain.billing_samples import CHESS, reserve, reserved
from tests.domain.test_billing_ledger import booked

MONTHLY = DebitBasis.MONTHLY_CONTRACT
RESERVED = reserved(MONTHLY)


def test_a_month_is_charged_adjusted_and_taken_back() -> None:
    of = reserve(MONTHLY)
    september, october = ending.charge_months(CHESS, of, RESERVED.purse, date(2020, 10, 1))
    books = [
        StandingMonth(
            month=Month("2020-09"),
            book=MonthBook(charged_kopecks=Kopecks(197_805), marked=8, cancelled=2),
        ),
        StandingMonth(month=Month("2020-10"), book=MonthBook(charged_kopecks=Kopecks(202_197))),
    ]
    (adjusted,) = ending.adjust_months(CHESS, of, october.purse, books[:1])
    (reversed_,) = ending.reverse_months(CHESS, of, adjusted.purse, date(2020, 9, 30), books[1:])

    facts: list[Fact] = [RESERVED, september, october, adjusted, reversed_]
    entries = list(ledger.entries(map(booked, facts)))[1:]

    assert [(entry.source, entry.target, entry.kopecks) for entry in entries] == [
        ("reserved:enr-chess", "owed:prov-1", 197_805),
        ("reserved:enr-chess", "owed:prov-1", 202_197),
        ("owed:prov-1", "available:7030000017:2020", 49_451),
        ("owed:prov-1", "reserved:enr-chess", 202_197),
    ]
