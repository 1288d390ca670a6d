"""An agreement, from the answer about its funds to its end. `docs/rules.md`, section 3, *End*."""

from datetime import date

from contracts.vocabulary import (
    ApplicationRefusal,
    EndCause,
    Kopecks,
    TerminatedBy,
)
from rulebook.overlay import PayerRules
from services.enrollment.domain import dates, rules
from services.enrollment.domain.application import (
    Effects,
    Enrollment,
    Status,
    give_back,
    reject,
    withdraw,
)
from services.enrollment.domain.facts import (
    AgreementActivated,
    EnrollmentCancelled,
    EnrollmentEnded,
    Why,
)


def activate(
    enrollment: Enrollment,
    *,
    certificate_share_kopecks: Kopecks,
    parent_share_kopecks: Kopecks,
) -> Effects:
    """Bring an agreement into force: its money is set aside."""
    assert enrollment.terms is not None
    assert enrollment.span is not None
    return (
        AgreementActivated(
            enrollment_id=enrollment.enrollment_id,
            child_id=enrollment.child_id,
            provider_id=enrollment.terms.provider_id,
            starts_on=enrollment.span.starts_on,
            ends_on=enrollment.span.ends_on,
            certificate_share_kopecks=certificate_share_kopecks,
            parent_share_kopecks=parent_share_kopecks,
        ),
    )


def cancel(enrollment: Enrollment, reason: ApplicationRefusal, why: Why) -> Effects:
    """Cancel an enrollment whose money was refused, and give its place back."""
    return (
        EnrollmentCancelled(
            enrollment_id=enrollment.enrollment_id,
            child_id=enrollment.child_id,
            reason=reason,
            why=why,
        ),
        give_back(enrollment, reason.value),
    )


def terminate(
    enrollment: Enrollment,
    *,
    by: TerminatedBy,
    notice_on: date,
    reason: str,
    day: date,
    payer_rules: PayerRules,
) -> Effects:
    """End an active agreement by notice; before it is active, give the application up."""
    if enrollment.status is not Status.ACTIVE:
        if by is TerminatedBy.GUARDIAN:
            return withdraw(enrollment)
        return reject(enrollment, reason, by)
    assert enrollment.span is not None
    ended_on = dates.end_by_notice(
        enrollment.span,
        notice_on=notice_on,
        day=day,
        grace_days=rules.grace_days(payer_rules, day),
        basis=enrollment.debit_basis,
    )
    return (_ended(enrollment, ended_on, EndCause(by.value)),)


def complete(enrollment: Enrollment) -> Effects:
    """End an agreement that has run its time."""
    assert enrollment.status is Status.ACTIVE
    assert enrollment.span is not None
    return (_ended(enrollment, enrollment.span.ends_on, EndCause.COMPLETED),)


def _ended(enrollment: Enrollment, ended_on: date, cause: EndCause) -> EnrollmentEnded:
    return EnrollmentEnded(
        enrollment_id=enrollment.enrollment_id,
        child_id=enrollment.child_id,
        ended_on=ended_on,
        cause=cause,
    )
