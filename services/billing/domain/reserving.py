"""Whether money is set aside for an enrollment, and how much. `docs/rules.md`, section 5."""

from datetime import date

from msgspec import Struct

from contracts.vocabulary import (
    ChildId,
    DebitBasis,
    EnrollmentId,
    FundsRefusal,
    Kopecks,
    PeriodId,
    ProviderId,
)
from services.billing.domain import texts
from services.billing.domain.account import Account, Certificate, NoCertificate
from services.billing.domain.facts import FundsRefused, FundsReserved
from services.billing.domain.frame import Frame
from services.billing.domain.shares import Course, Shares, shares


class ReserveFunds(Struct, frozen=True, kw_only=True):
    """Set money aside for an enrollment."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    provider_id: ProviderId
    period: PeriodId
    course: Course
    starts_on: date
    ends_on: date
    parent_share_max_kopecks: Kopecks


def refuse_without_certificate(command: ReserveFunds, answer: NoCertificate) -> FundsRefused:
    """Return the refusal for a child that gets no certificate."""
    text = texts.refused_without_certificate(answer.reason, answer.text)
    return FundsRefused(
        child_id=command.child_id,
        enrollment_id=command.enrollment_id,
        reason=answer.reason,
        parent_share_max_kopecks=command.parent_share_max_kopecks,
        why=texts.by_rules(text),
    )


def decide(
    command: ReserveFunds,
    certificate: Certificate,
    account: Account,
    frame: Frame,
    basis: DebitBasis,
) -> FundsReserved | FundsRefused:
    """Return the reserve, or the first reason against it. A share of 0 is a reserve too."""
    if certificate.frozen:
        return _refused(command, certificate, FundsRefusal.CERTIFICATE_FROZEN, texts.REFUSED_FROZEN)
    if certificate.closed:
        return _refused(command, certificate, FundsRefusal.CERTIFICATE_CLOSED, texts.REFUSED_CLOSED)
    counted = shares(
        command.course, command.starts_on, command.ends_on, account.purse.balance_kopecks
    )
    if counted.parent_share_kopecks > command.parent_share_max_kopecks:
        return _refused(
            command,
            certificate,
            FundsRefusal.PARENT_SHARE_ABOVE_CONSENT,
            texts.refused_share_above_consent(counted, command.parent_share_max_kopecks),
            counted,
        )
    if not frame.has_room_for(counted.certificate_share_kopecks):
        return _refused(
            command,
            certificate,
            FundsRefusal.FRAME_LIMIT_REACHED,
            texts.refused_frame_limit(counted),
            counted,
        )
    return _reserved(command, account, basis, counted)


def _reserved(
    command: ReserveFunds, account: Account, basis: DebitBasis, counted: Shares
) -> FundsReserved:
    text = texts.reserved(counted, basis, command.starts_on, command.ends_on)
    return FundsReserved(
        child_id=command.child_id,
        certificate_number=account.certificate_number,
        enrollment_id=command.enrollment_id,
        provider_id=command.provider_id,
        debit_basis=basis,
        starts_on=command.starts_on,
        ends_on=command.ends_on,
        total_kopecks=counted.total_kopecks,
        certificate_share_kopecks=counted.certificate_share_kopecks,
        parent_share_kopecks=counted.parent_share_kopecks,
        lessons=counted.lessons,
        lesson_share_kopecks=counted.lesson_share_kopecks,
        first_lesson_extra_kopecks=counted.first_lesson_extra_kopecks,
        purse=account.purse.reserving(counted.certificate_share_kopecks),
        why=texts.by_rules(text),
    )


def _refused(
    command: ReserveFunds,
    certificate: Certificate,
    reason: FundsRefusal,
    text: str,
    counted: Shares | None = None,
) -> FundsRefused:
    return FundsRefused(
        child_id=command.child_id,
        certificate_number=certificate.number,
        enrollment_id=command.enrollment_id,
        reason=reason,
        certificate_share_kopecks=None if counted is None else counted.certificate_share_kopecks,
        parent_share_kopecks=None if counted is None else counted.parent_share_kopecks,
        parent_share_max_kopecks=command.parent_share_max_kopecks,
        why=texts.by_rules(text),
    )
