"""A family's word against the debit of a lesson, until it is settled. `docs/rules.md`, section 11.

It moves no money: who agrees with the family corrects the mark, and that takes the debit back.
"""

from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import (
    AnsweredBy,
    DisputeGround,
    DisputeOutcome,
    EnrollmentId,
    Evidence,
    InputRefusal,
    Kopecks,
    LessonId,
)
from services.billing.domain import texts
from services.billing.domain.facts import ChargeReversed, DisputeOpened, DisputeSettled
from services.billing.domain.lesson import Lesson
from services.billing.domain.reserve import Reserve, Status


class DisputeLesson(Struct, frozen=True, kw_only=True):
    """The child did not have a lesson that was charged."""

    enrollment_id: EnrollmentId
    lesson_id: LessonId
    ground: DisputeGround


class AnswerDispute(Struct, frozen=True, kw_only=True):
    """The child was at the lesson after all."""

    enrollment_id: EnrollmentId
    lesson_id: LessonId
    by: AnsweredBy
    evidence: Evidence


class Dispute(Struct, frozen=True, kw_only=True):
    """What was charged when it was disputed, and how that ended; None: it is open."""

    lesson_date: date
    amount_kopecks: Kopecks
    outcome: DisputeOutcome | None = None


def open_(
    command: DisputeLesson, reserve: Reserve, lesson: Lesson | None, *, may_speak: bool
) -> DisputeOpened | InputRefusal:
    """Return the dispute of a lesson that is charged now, or the first reason against it."""
    if reserve.status is Status.CANCELLED:
        return InputRefusal.AGREEMENT_NOT_ACTIVE
    if reserve.status is Status.RELEASED:
        # Marks are not corrected any more: nothing could come of it.
        return InputRefusal.TOO_LATE
    if lesson is None or lesson.charged_kopecks is None:
        return InputRefusal.ALREADY_FINISHED
    if not may_speak:
        return InputRefusal.OUT_OF_SCOPE
    amount = lesson.charged_kopecks
    return DisputeOpened(
        child_id=reserve.child_id,
        certificate_number=reserve.certificate_number,
        enrollment_id=command.enrollment_id,
        provider_id=reserve.provider_id,
        lesson_id=command.lesson_id,
        lesson_date=lesson.lesson_date,
        ground=command.ground,
        amount_kopecks=amount,
        why=texts.by_rules(texts.disputed(lesson.lesson_date, command.ground, amount)),
    )


def answer(
    command: AnswerDispute, reserve: Reserve, dispute: Dispute | None, *, may_speak: bool
) -> DisputeSettled | InputRefusal:
    """Return that the debit stands, or the first reason against the answer."""
    if dispute is None:
        return InputRefusal.NOT_AWAITING_ACCEPTANCE
    if dispute.outcome is not None:
        return InputRefusal.ALREADY_FINISHED
    if not may_speak:
        return InputRefusal.OUT_OF_SCOPE
    day, amount = dispute.lesson_date, dispute.amount_kopecks
    return DisputeSettled(
        child_id=reserve.child_id,
        certificate_number=reserve.certificate_number,
        enrollment_id=command.enrollment_id,
        provider_id=reserve.provider_id,
        lesson_id=command.lesson_id,
        lesson_date=day,
        outcome=DisputeOutcome.UPHELD,
        by=command.by,
        evidence=command.evidence,
        amount_kopecks=amount,
        why=texts.by_rules(texts.upheld(day, command.by, command.evidence, amount)),
    )


def correct(reversal: ChargeReversed, dispute: Dispute | None) -> tuple[DisputeSettled, ...]:
    """Return how a debit that is taken back settles its dispute: not at all if none is open."""
    if dispute is None or dispute.outcome is not None:
        return ()
    amount = dispute.amount_kopecks
    return (
        DisputeSettled(
            child_id=reversal.child_id,
            certificate_number=reversal.certificate_number,
            enrollment_id=reversal.enrollment_id,
            provider_id=reversal.provider_id,
            lesson_id=reversal.lesson_id,
            lesson_date=reversal.lesson_date,
            outcome=DisputeOutcome.CORRECTED,
            amount_kopecks=amount,
            why=texts.by_rules(texts.corrected(reversal.lesson_date, amount)),
        ),
    )


def opened(fact: DisputeOpened) -> Dispute:
    """Return the dispute a fact opens."""
    return Dispute(lesson_date=fact.lesson_date, amount_kopecks=fact.amount_kopecks)


def settled(dispute: Dispute, fact: DisputeSettled) -> Dispute:
    """Return the dispute after it was settled."""
    return replace(dispute, outcome=fact.outcome)
