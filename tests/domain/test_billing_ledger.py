"""The books as a pure fold: each entry by its accounts, and payments by period."""

from datetime import date

import pytest
from msgspec.structs import replace

from contracts.vocabulary import (
    CertificateNumber,
    EnrollmentId,
    EventId,
    InvoiceId,
    Kopecks,
    LineReference,
    Month,
    NominalCause,
    PeriodId,
    SignedKopecks,
)
from services.billing.domain import ledger
from services.billing.domain.account import expire, move_nominal, open_account
from services.billing.domain.charging import charge
from services.billing.domain.ending import release
from services.billing.domain.facts import Fact, InvoiceIssued, InvoiceLine, InvoiceSettled
from services.billing.domain.ledger import Booked
from tests.domain.billing_samples import (
    CHILD,
    NUMBER,
    PAYER,
    PERIOD,
    PROVIDER,
    account,
    mark,
    purse,
    reserve,
    reserved,
    rule_of,
)

TODAY = date(2020, 9, 1)
RAISED = move_nominal(CHILD, PERIOD, account(), 500, NominalCause.CHANGED)
RESERVED = reserved()
CHARGED = charge(mark(1, "2020-09-01"), reserve(), RESERVED.purse, rule_of(mark(1, "2020-09-01")))
RELEASED = release(RESERVED.enrollment_id, reserve().moving(CHARGED), CHARGED.purse)
EXPIRED = expire(CHILD, PERIOD, account(RELEASED.purse))


EVENT = EventId("billing:0:7")


def booked(fact: Fact, period: PeriodId = PERIOD) -> Booked:
    return Booked(event=EVENT, payer=PAYER, day=TODAY, fact=fact, period=period)


@pytest.mark.parametrize(
    ("facts", "source", "target", "kopecks"),
    [
        pytest.param(
            [open_account(CHILD, NUMBER, PERIOD, Kopecks(1_000_000))],
            "budget:25703000:2020",
            "available:7030000017:2020",
            1_000_000,
            id="granted",
        ),
        pytest.param(
            [RAISED], "budget:25703000:2020", "available:7030000017:2020", 500, id="raised"
        ),
        pytest.param(
            [RESERVED], "available:7030000017:2020", "reserved:enr-chess", 804_396, id="reserved"
        ),
        pytest.param(
            [RESERVED, CHARGED], "reserved:enr-chess", "owed:prov-1", 25_149, id="charged"
        ),
        pytest.param(
            [RESERVED, CHARGED, RELEASED],
            "reserved:enr-chess",
            "available:7030000017:2020",
            779_247,
            id="released",
        ),
        pytest.param(
            [EXPIRED],
            "available:7030000017:2020",
            "expired:25703000:2020",
            974_851,
            id="expired",
        ),
    ],
)
def test_each_fact_is_a_double_entry(
    facts: list[Fact], source: str, target: str, kopecks: int
) -> None:
    last = list(ledger.entries(map(booked, facts)))[-1]

    assert (last.source, last.target, last.kopecks) == (source, target, kopecks)
    assert last.postings == ((source, -kopecks), (target, kopecks))
    assert last.event == EVENT


def line(enrollment: EnrollmentId, kopecks: int) -> InvoiceLine:
    return InvoiceLine(
        line_reference=LineReference(f"{enrollment}/1"),
        enrollment_id=enrollment,
        certificate_number=CertificateNumber(NUMBER),
        lessons=1,
        amount_kopecks=SignedKopecks(kopecks),
    )


def test_a_payment_is_split_by_the_periods_of_what_it_pays() -> None:
    invoice = InvoiceId("inv-25703000-prov-1-2021-01")
    old = RESERVED.enrollment_id
    new = EnrollmentId("enr-new")
    issued = InvoiceIssued(
        invoice_id=invoice,
        provider_id=PROVIDER,
        month=Month("2021-01"),
        amount_kopecks=Kopecks(70),
        lines=(line(new, 100),),
        part=1,
        parts=2,
    )
    settled = InvoiceSettled(
        invoice_id=invoice,
        provider_id=PROVIDER,
        paid_on=TODAY,
        payment_reference="ПП-1",
        amount_kopecks=Kopecks(70),
    )

    entries = list(
        ledger.entries(
            [
                booked(RESERVED),
                booked(replace(RESERVED, enrollment_id=new), PeriodId("2021")),
                booked(issued),
                booked(replace(issued, lines=(line(old, -30),), part=2)),
                booked(settled),
            ]
        )
    )

    assert [(entry.period, entry.kopecks) for entry in entries[2:]] == [
        ("2020", -30),
        ("2021", 100),
    ]
    assert ledger.balances(entries)["settled:prov-1"] == 70
    assert ledger.balances(entries)["owed:prov-1"] == -70
    assert all(sum(kinds.values()) == 0 for kinds in ledger.trial_balances(entries).values())
    first = ledger.trial_balances(entries[:1])
    assert ledger.trial_balances(entries[1:], first) == ledger.trial_balances(entries)
    assert {entry.event for entry in entries} == {EVENT}


def test_the_entries_of_a_certificate_add_up_to_its_purse() -> None:
    opened = open_account(CHILD, NUMBER, PERIOD, Kopecks(1_000_000))
    facts: list[Fact] = [opened, RESERVED, CHARGED, RELEASED, EXPIRED]

    entries = ledger.entries(map(booked, facts))

    assert ledger.purses(entries) == {
        (NUMBER, PERIOD): purse(paid=25_149, expired=974_851),
    }
