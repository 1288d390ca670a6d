"""Agreements: in force, cancelled, ended by notice or by their time."""

from datetime import date
from typing import Any

import pytest

from contracts.vocabulary import (
    ApplicationRefusal,
    DebitBasis,
    EndCause,
    Kopecks,
    TerminatedBy,
)
from services.enrollment.domain import agreement
from services.enrollment.domain.application import Status
from services.enrollment.domain.commands import PlaceReturned, To
from services.enrollment.domain.facts import (
    AgreementActivated,
    ApplicationRefused,
    EnrollmentCancelled,
    EnrollmentEnded,
)
from tests.domain.enrollment_samples import CHESS, CHILD, HOME, RULES, TERMS, enrollment

TODAY = date(2020, 10, 15)


def terminate(status: Status, by: TerminatedBy = TerminatedBy.GUARDIAN, **changes: Any) -> Any:
    return agreement.terminate(
        enrollment(status, **changes),
        by=by,
        notice_on=TODAY,
        reason="Переезд",
        day=TODAY,
        payer_rules=RULES,
    )


def test_reserved_funds_bring_an_agreement_into_force() -> None:
    effects = agreement.activate(
        enrollment(Status.ENROLLED),
        certificate_share_kopecks=Kopecks(804_396),
        parent_share_kopecks=Kopecks(0),
    )

    assert effects == (
        AgreementActivated(
            enrollment_id=CHESS,
            child_id=CHILD.child_id,
            provider_id=TERMS.provider_id,
            starts_on=date(2020, 9, 1),
            ends_on=date(2020, 12, 31),
            certificate_share_kopecks=Kopecks(804_396),
            parent_share_kopecks=Kopecks(0),
        ),
    )


def test_refused_funds_cancel_and_give_the_place_back() -> None:
    why = {"text": "Лимит договора исчерпан."}

    effects = agreement.cancel(
        enrollment(Status.ENROLLED), ApplicationRefusal.FRAME_LIMIT_REACHED, why
    )

    assert effects == (
        EnrollmentCancelled(
            enrollment_id=CHESS,
            child_id=CHILD.child_id,
            reason=ApplicationRefusal.FRAME_LIMIT_REACHED,
            why=why,
        ),
        To(
            HOME,
            PlaceReturned(
                enrollment_id=CHESS, group_id=TERMS.group_id, reason="frame_limit_reached"
            ),
        ),
    )


@pytest.mark.parametrize("by", TerminatedBy)
def test_an_active_agreement_ends_by_notice(by: TerminatedBy) -> None:
    assert terminate(Status.ACTIVE, by) == (
        EnrollmentEnded(
            enrollment_id=CHESS,
            child_id=CHILD.child_id,
            ended_on=TODAY,
            cause=EndCause(by.value),
        ),
    )


def test_a_monthly_agreement_ends_with_its_month() -> None:
    (ended,) = terminate(Status.ACTIVE, debit_basis=DebitBasis.MONTHLY_CONTRACT)

    assert ended.ended_on == date(2020, 10, 31)


@pytest.mark.parametrize("status", [Status.WAITLISTED, Status.HELD])
@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (TerminatedBy.GUARDIAN, "withdrawn"),
        (TerminatedBy.PROVIDER, "rejected_by_provider"),
        (TerminatedBy.OPERATOR, "rejected_by_provider"),
    ],
)
def test_before_it_is_active_a_termination_gives_the_application_up(
    status: Status, by: TerminatedBy, reason: str
) -> None:
    refused, back = terminate(status, by)

    assert isinstance(refused, ApplicationRefused)
    assert refused.reason == reason
    assert isinstance(back.command, PlaceReturned)
    assert ("Оператор" in refused.why["text"]) == (by is TerminatedBy.OPERATOR)


def test_an_agreement_that_has_run_its_time_is_completed() -> None:
    assert agreement.complete(enrollment(Status.ACTIVE)) == (
        EnrollmentEnded(
            enrollment_id=CHESS,
            child_id=CHILD.child_id,
            ended_on=date(2020, 12, 31),
            cause=EndCause.COMPLETED,
        ),
    )
