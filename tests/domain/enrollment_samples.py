"""Invented terms, children and applications for the tests of enrollment's domain."""

from datetime import date
from typing import Any

from msgspec.structs import replace

from contracts.vocabulary import (
    ChildId,
    Consent,
    Direction,
    EnrollmentId,
    GroupId,
    GuardianId,
    Kopecks,
    PayerCode,
    PeriodId,
    ProgrammeId,
    ProviderId,
    Registry,
    Revision,
)
from rulebook.loading import Rulebook
from rulebook.overlay import PayerRules
from services.enrollment.domain.application import Admission, Application, Enrollment, Status
from services.enrollment.domain.child import Child
from services.enrollment.domain.dates import Span
from services.enrollment.domain.payer import Period
from services.enrollment.domain.terms import Terms

HOME = PayerCode("25703000")
PAYER = PayerCode("25701000")
CHESS = EnrollmentId("enr-chess")
TODAY = date(2020, 8, 31)

RULES = PayerRules(
    {
        **Rulebook.load("services.enrollment").tables,
        "billing.days": Rulebook.load("services.billing").table("billing.days"),
    }
)

TERMS = Terms(
    group_id=GroupId("grp-chess"),
    group_home=HOME,
    provider_id=ProviderId("prov-rook"),
    programme_id=ProgrammeId("prg-chess"),
    title="Шахматы для начинающих",
    registry=Registry.CERTIFIED,
    direction=Direction.SCIENCE,
    age_min=7,
    age_max=12,
    price_kopecks=Kopecks(1_800_000),
    normative_kopecks=Kopecks(1_800_000),
    lessons_total=72,
    starts_on=date(2020, 9, 1),
    ends_on=date(2021, 5, 31),
    auto_accept=False,
    revision=Revision(1),
)
CHILD = Child(
    child_id=ChildId("child-one"),
    birth_date=date(2010, 3, 4),
    guardian_ids=(GuardianId("guard-one"), GuardianId("guard-two")),
)
PERIOD = Period(period=PeriodId("2020"), starts_on=date(2020, 1, 1), ends_on=date(2020, 12, 31))
APPLICATION = Application(
    enrollment_id=CHESS,
    child_id=CHILD.child_id,
    guardian_id=GuardianId("guard-one"),
    group_id=TERMS.group_id,
    group_home=HOME,
    parent_share_max_kopecks=Kopecks(0),
    consents=(Consent.APPLICATION, Consent.TERMS, Consent.PERSONAL_DATA),
    waitlist_ok=False,
)


def terms(**changes: Any) -> Terms:
    """Return the chess group's terms with changes."""
    return replace(TERMS, **changes)


def child(**changes: Any) -> Child:
    """Return a ten-year-old with changes."""
    return replace(CHILD, **changes)


def admission(**changes: Any) -> Admission:
    """Return circumstances in which everybody is admitted, with changes."""
    usual = Admission(
        day=TODAY, rules=RULES, child=CHILD, period=PERIOD, closes_on=None, frame_signed=True
    )
    return replace(usual, **changes)


def enrollment(status: Status, **changes: Any) -> Enrollment:
    """Return an enrollment that has come to `status`, with changes."""
    early = status in (Status.REQUESTED, Status.WAITLISTED)
    placed = Enrollment(
        enrollment_id=CHESS,
        child_id=CHILD.child_id,
        guardian_id=GuardianId("guard-one"),
        group_id=TERMS.group_id,
        group_home=HOME,
        parent_share_max_kopecks=Kopecks(0),
        status=status,
        terms=None if early else TERMS,
        held_on=None if early else TODAY,
        held_until=None if early else date(2020, 9, 10),
    )
    if status in (Status.ENROLLED, Status.ACTIVE, Status.ENDED, Status.CANCELLED):
        span = Span(starts_on=date(2020, 9, 1), ends_on=date(2020, 12, 31))
        placed = replace(placed, span=span, period=PeriodId("2020"))
    return replace(placed, **changes)
