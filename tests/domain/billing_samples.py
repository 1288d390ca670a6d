"""The group, certificate and agreement of the worked examples (docs/rules.md, section 10)."""

from datetime import date
from typing import Any

from msgspec.structs import replace

from contracts.vocabulary import (
    CertificateNumber,
    ChildId,
    DebitBasis,
    EnrollmentId,
    Kopecks,
    LessonId,
    Mark,
    PayerCode,
    PeriodId,
    ProviderId,
    Revision,
)
from rulebook.evaluate import Decision
from rulebook.loading import Rulebook
from services.billing.domain import rules
from services.billing.domain.account import Account, Certificate
from services.billing.domain.charging import MarkLesson
from services.billing.domain.facts import FundsReserved
from services.billing.domain.frame import Frame
from services.billing.domain.purse import EMPTY_PURSE, Purse
from services.billing.domain.reserve import Reserve, opened
from services.billing.domain.reserving import ReserveFunds, decide
from services.billing.domain.shares import Course

RULES = Rulebook.load("services.billing").for_payer()

PAYER = PayerCode("25703000")
PERIOD = PeriodId("2020")
CHILD = ChildId("child-1")
NUMBER = CertificateNumber("7030000017")
CHESS = EnrollmentId("enr-chess")
PROVIDER = ProviderId("prov-1")

RESERVED_ON = date(2020, 8, 31)
STARTS_ON = date(2020, 9, 1)
ENDS_ON = date(2020, 12, 31)

COURSE = Course(
    starts_on=STARTS_ON,
    ends_on=date(2021, 5, 31),
    lessons_total=72,
    price_kopecks=Kopecks(1_800_000),
    normative_kopecks=Kopecks(1_800_000),
)
ASKED = ReserveFunds(
    enrollment_id=CHESS,
    child_id=CHILD,
    provider_id=PROVIDER,
    period=PERIOD,
    course=COURSE,
    starts_on=STARTS_ON,
    ends_on=ENDS_ON,
    parent_share_max_kopecks=Kopecks(0),
)
CERTIFICATE = Certificate(number=NUMBER)


def purse(nominal: int = 1_000_000, **sums: int) -> Purse:
    """Return a purse; what is not told is balance."""
    parts = {f"{name}_kopecks": Kopecks(amount) for name, amount in sums.items()}
    granted = EMPTY_PURSE.granting(nominal)
    return replace(granted, balance_kopecks=Kopecks(nominal - sum(sums.values())), **parts)


def account(money: Purse | None = None, **more: Any) -> Account:
    """Return a funded account."""
    return Account(certificate_number=NUMBER, funded=True, purse=money or purse(), **more)


def reserved(
    basis: DebitBasis = DebitBasis.ATTENDED_LESSONS, money: Purse | None = None, **asked: Any
) -> FundsReserved:
    """Return the reserve of W1, or of what differs from it."""
    command = replace(ASKED, **{"parent_share_max_kopecks": Kopecks(10**9), **asked})
    fact = decide(command, CERTIFICATE, account(money), Frame(), basis)
    assert isinstance(fact, FundsReserved)
    return fact


def reserve(
    basis: DebitBasis = DebitBasis.ATTENDED_LESSONS, money: Purse | None = None, **more: Any
) -> Reserve:
    """Return the state of that reserve on the day it was made."""
    return replace(opened(reserved(basis, money), PERIOD, RESERVED_ON), **more)


def mark(lesson: int, day: str, value: Mark = Mark.PRESENT, revision: int = 1) -> MarkLesson:
    """Return the mark of a lesson."""
    return MarkLesson(
        enrollment_id=CHESS,
        lesson_id=LessonId(f"les-{lesson:03d}"),
        lesson_date=date.fromisoformat(day),
        mark=value,
        revision=Revision(revision),
    )


def rule_of(command: MarkLesson) -> Decision:
    """Return what the base table says about a mark."""
    return rules.charging(RULES, command.lesson_date, command.mark)
