"""Between the contracts and the domain. Old versions are lifted here and nowhere else."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from contracts import billing as published
from contracts.attendance import LessonMarked
from contracts.calendar import DayOpened
from contracts.certificates import CertificateRefused
from contracts.disputes import DisputeAnswered, LessonDisputed
from contracts.enrollment import ChildEnrolled
from contracts.envelope import EventData, day_of
from contracts.vocabulary import EventId, FundsRefusal, PayerCode, PeriodId
from services.billing.domain import facts
from services.billing.domain.account import NoCertificate
from services.billing.domain.charging import MarkLesson
from services.billing.domain.dispute import AnswerDispute, DisputeLesson
from services.billing.domain.ledger import Booked
from services.billing.domain.reserving import ReserveFunds
from services.billing.domain.shares import Course

FACTS: Mapping[type[Any], type[EventData]] = {
    facts.AccountOpened: published.AccountOpened,
    facts.FundsReserved: published.FundsReserved,
    facts.FundsRefused: published.FundsRefused,
    facts.LessonCharged: published.LessonCharged,
    facts.LessonNotCharged: published.LessonNotCharged,
    facts.ChargeReversed: published.ChargeReversed,
    facts.MonthCharged: published.MonthCharged,
    facts.MonthReversed: published.MonthReversed,
    facts.MonthAdjusted: published.MonthAdjusted,
    facts.ReserveReleased: published.ReserveReleased,
    facts.NominalApplied: published.NominalApplied,
    facts.PeriodExpired: published.PeriodExpired,
    facts.InvoiceIssued: published.InvoiceIssued,
    facts.InvoiceSettled: published.InvoiceSettled,
    facts.DisputeOpened: published.DisputeOpened,
    facts.DisputeSettled: published.DisputeSettled,
}
"""What billing publishes, and as which event."""

_TYPES: Mapping[str, type[Any]] = {model.type: fact for fact, model in FACTS.items()}


def to_booked(record: Mapping[str, Any]) -> Booked | None:
    """Return a record of the journal as the ledger takes it, None for one that is no fact.

    Raises ValueError for what is no record of billing's journal.
    """
    type_ = _TYPES.get(record["type"])
    if type_ is None:
        return None
    # What is no field of the fact, as the input it comes from, is left out.
    fact = msgspec.convert(record["data"], type_)
    period = None
    if isinstance(fact, facts.FundsReserved):
        period = PeriodId(record["data"]["input"]["data"]["period"])
    return Booked(
        event=EventId(record["id"]),
        payer=PayerCode(record["partitionkey"]),
        # Before the first business day a decision is made on the day of its input.
        day=day_of(record.get("businessday") or record["time"]),
        fact=fact,
        period=period,
    )


def opened_day(event: DayOpened) -> date:
    """Return the business day that begins."""
    return event.date


def to_reserve(event: ChildEnrolled) -> ReserveFunds:
    """Return what billing is asked to do when a child is enrolled."""
    terms = event.terms
    return ReserveFunds(
        enrollment_id=event.enrollment_id,
        child_id=event.child_id,
        provider_id=terms.provider_id,
        period=event.period,
        course=Course(
            starts_on=terms.starts_on,
            ends_on=terms.ends_on,
            lessons_total=terms.lessons_total,
            price_kopecks=terms.price_kopecks,
            normative_kopecks=terms.normative_kopecks,
        ),
        starts_on=event.starts_on,
        ends_on=event.ends_on,
        parent_share_max_kopecks=event.parent_share_max_kopecks,
    )


def to_mark(event: LessonMarked) -> MarkLesson:
    """Return what billing is asked to do when a lesson is marked."""
    return MarkLesson(
        enrollment_id=event.enrollment_id,
        lesson_id=event.lesson_id,
        lesson_date=event.lesson_date,
        mark=event.mark,
        revision=event.revision,
    )


def to_dispute(event: LessonDisputed) -> DisputeLesson:
    """Return what billing is asked to do when a family disputes a debit."""
    return DisputeLesson(
        enrollment_id=event.enrollment_id, lesson_id=event.lesson_id, ground=event.ground
    )


def to_answer(event: DisputeAnswered) -> AnswerDispute:
    """Return what billing is asked to do when a dispute is answered; there is one answer yet."""
    return AnswerDispute(
        enrollment_id=event.enrollment_id,
        lesson_id=event.lesson_id,
        by=event.by,
        evidence=event.evidence,
    )


def to_no_certificate(event: CertificateRefused) -> NoCertificate:
    """Return the answer that a child gets no certificate."""
    return NoCertificate(reason=FundsRefusal(event.reason.value), text=event.why.text)
