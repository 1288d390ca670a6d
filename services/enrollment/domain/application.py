"""An application, from submission to the enrolled child. `docs/rules.md`, section 3."""

from collections.abc import Callable, Collection
from datetime import date
from enum import StrEnum
from typing import TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import (
    ApplicationRefusal,
    ChildId,
    Consent,
    DebitBasis,
    EnrollmentId,
    GroupId,
    GuardianId,
    InputRefusal,
    Kopecks,
    PayerCode,
    PeriodId,
    PlaceAnswer,
    TerminatedBy,
)
from rulebook.explain import why
from rulebook.overlay import PayerRules
from services.enrollment.domain import dates, rules, wording
from services.enrollment.domain.child import Child
from services.enrollment.domain.commands import (
    PlaceAnswered,
    PlaceRequested,
    PlaceReturned,
    To,
)
from services.enrollment.domain.facts import (
    AgreementActivated,
    ApplicationRefused,
    ApplicationRegistered,
    ApplicationWaitlisted,
    ChildEnrolled,
    EnrollmentCancelled,
    EnrollmentEnded,
    EnrollmentFact,
    PlaceHeld,
    Why,
)
from services.enrollment.domain.payer import Period
from services.enrollment.domain.terms import Terms

Effects: TypeAlias = tuple[EnrollmentFact | To, ...]


class Status(StrEnum):
    """Where an enrollment stands."""

    REQUESTED = "requested"
    WAITLISTED = "waitlisted"
    HELD = "held"
    ENROLLED = "enrolled"
    ACTIVE = "active"
    ENDED = "ended"
    REFUSED = "refused"
    CANCELLED = "cancelled"


FINISHED = frozenset({Status.ENDED, Status.REFUSED, Status.CANCELLED})


class Application(Struct, frozen=True, kw_only=True):
    """What a guardian asks for."""

    enrollment_id: EnrollmentId
    child_id: ChildId
    guardian_id: GuardianId
    group_id: GroupId
    group_home: PayerCode
    parent_share_max_kopecks: Kopecks
    consents: Collection[Consent]
    waitlist_ok: bool


class Enrollment(Struct, frozen=True, kw_only=True):
    """One child in one group, from application to end. Kept for ever: a late copy finds it.

    `asked_at` orders the requests for places, `held_on` and `held_until` stand once a place was
    held, `span` and `period` once enrolled, `debit_basis` once funds are reserved, `ended_on` once
    ended.
    """

    enrollment_id: EnrollmentId
    child_id: ChildId
    guardian_id: GuardianId
    group_id: GroupId
    group_home: PayerCode
    parent_share_max_kopecks: Kopecks
    status: Status = Status.REQUESTED
    asked_at: int = 0
    terms: Terms | None = None
    held_on: date | None = None
    held_until: date | None = None
    span: dates.Span | None = None
    period: PeriodId | None = None
    debit_basis: DebitBasis = DebitBasis.ATTENDED_LESSONS
    ended_on: date | None = None


class Waiting(StrEnum):
    """What must come before an input about an enrollment can be decided."""

    ANSWER = "answer"
    PLACE = "place"


Hindrance: TypeAlias = InputRefusal | Waiting


class Admission(Struct, frozen=True, kw_only=True):
    """All that is looked at when a place is held or an application accepted.

    `period` is the payer's that contains the first day of the agreement; `closes_on` and
    `frame_signed` are of that period, the latter also of the provider.
    """

    day: date
    rules: PayerRules
    child: Child
    period: Period | None
    closes_on: date | None
    frame_signed: bool


# --- what changes ------------------------------------------------------------------------------


def submitted(application: Application) -> Enrollment:
    """Return the enrollment an application begins."""
    return Enrollment(
        enrollment_id=application.enrollment_id,
        child_id=application.child_id,
        guardian_id=application.guardian_id,
        group_id=application.group_id,
        group_home=application.group_home,
        parent_share_max_kopecks=application.parent_share_max_kopecks,
    )


def charged_by(enrollment: Enrollment, debit_basis: DebitBasis) -> Enrollment:
    """Return the enrollment with the basis that billing froze in its reserve."""
    return replace(enrollment, debit_basis=debit_basis)


def evolve(enrollment: Enrollment, fact: EnrollmentFact, day: date) -> Enrollment:
    """Return the enrollment after one fact of a business day. Never refuses."""
    match fact:
        case ApplicationRegistered():
            return replace(enrollment, status=Status.REQUESTED)
        case ApplicationRefused():
            return replace(enrollment, status=Status.REFUSED)
        case ApplicationWaitlisted():
            return replace(enrollment, status=Status.WAITLISTED)
        case PlaceHeld():
            return replace(
                enrollment,
                status=Status.HELD,
                terms=fact.terms,
                held_on=day,
                held_until=fact.held_until,
            )
        case ChildEnrolled():
            return replace(
                enrollment,
                status=Status.ENROLLED,
                span=dates.Span(starts_on=fact.starts_on, ends_on=fact.ends_on),
                period=fact.period,
            )
        case AgreementActivated():
            return replace(enrollment, status=Status.ACTIVE)
        case EnrollmentCancelled():
            return replace(enrollment, status=Status.CANCELLED)
        case EnrollmentEnded():
            return replace(enrollment, status=Status.ENDED, ended_on=fact.ended_on)
        case _:
            assert_never(fact)


# --- what is decided ---------------------------------------------------------------------------


def submit(
    application: Application,
    child: Child,
    *,
    payer: PayerCode,
    day: date,
    rules: PayerRules,
    already_enrolled: bool,
) -> Effects:
    """Register an application and ask for a place, or refuse it."""
    refusal = (
        _not_linked(application.guardian_id, child)
        or _consent_missing(application)
        or _age(child, rules, day)
    )
    if refusal is None and already_enrolled:
        refusal = ApplicationRefusal.ALREADY_ENROLLED, {"text": wording.ALREADY_ENROLLED}
    if refusal is not None:
        return (_refused(submitted(application), *refusal),)
    return (
        ApplicationRegistered(
            enrollment_id=application.enrollment_id,
            child_id=application.child_id,
            group_id=application.group_id,
            guardian_id=application.guardian_id,
        ),
        To(
            application.group_home,
            PlaceRequested(
                enrollment_id=application.enrollment_id,
                child_payer=payer,
                group_id=application.group_id,
                waitlist_ok=application.waitlist_ok,
            ),
        ),
    )


def answered(
    enrollment: Enrollment, answer: PlaceAnswered, look: Callable[[Terms], Admission]
) -> Effects:
    """Take the answer to a request for a place; `look` finds what a held place is judged by."""
    if enrollment.status not in (Status.REQUESTED, Status.WAITLISTED):
        # It was given up while the answer was under way; giving back twice does no harm.
        late = answer.answer is PlaceAnswer.HELD
        return (give_back(enrollment, "late answer"),) if late else ()
    match answer.answer:
        case PlaceAnswer.HELD:
            assert answer.terms is not None
            return _held(enrollment, answer.terms, look(answer.terms))
        case PlaceAnswer.WAITLISTED:
            assert answer.position is not None
            return (
                ApplicationWaitlisted(
                    enrollment_id=enrollment.enrollment_id,
                    child_id=enrollment.child_id,
                    position=answer.position,
                ),
            )
        case PlaceAnswer.REFUSED:
            assert answer.reason is not None
            text = wording.no_place(answer.reason)
            return (_refused(enrollment, answer.reason, {"text": text}),)
        case _:
            assert_never(answer.answer)


def _held(enrollment: Enrollment, terms: Terms, admission: Admission) -> Effects:
    refusal = _inadmissible(terms, admission, accepting=False)
    if refusal is not None:
        return _given_up(enrollment, *refusal)
    return (
        PlaceHeld(
            enrollment_id=enrollment.enrollment_id,
            child_id=enrollment.child_id,
            terms=terms,
            held_until=rules.held_until(admission.rules, admission.day),
        ),
    )


def hindrance_to_accepting(enrollment: Enrollment) -> Hindrance | None:
    """Return why an acceptance cannot be decided now, or at all."""
    if enrollment.status is Status.WAITLISTED:
        return Waiting.PLACE
    return hindrance_to_giving_up(enrollment)


def hindrance_to_giving_up(enrollment: Enrollment) -> Hindrance | None:
    """Return why a rejection or a withdrawal cannot be decided now, or at all."""
    if enrollment.status is Status.ACTIVE:
        return InputRefusal.NOT_AWAITING_ACCEPTANCE
    return hindrance_to_terminating(enrollment)


def hindrance_to_terminating(enrollment: Enrollment) -> Hindrance | None:
    """Return why a termination cannot be decided now, or at all."""
    if enrollment.status in FINISHED:
        return InputRefusal.ALREADY_FINISHED
    if enrollment.status in (Status.REQUESTED, Status.ENROLLED):
        return Waiting.ANSWER
    return None


def accept(enrollment: Enrollment, admission: Admission) -> Effects:
    """Enroll the child on a held place, all checks made anew but the closing of the enrollment."""
    terms = enrollment.terms
    assert enrollment.status is Status.HELD
    assert terms is not None
    refusal = (
        _not_linked(enrollment.guardian_id, admission.child)
        or _age(admission.child, admission.rules, admission.day)
        or _inadmissible(terms, admission, accepting=True)
    )
    if refusal is not None:
        return _given_up(enrollment, *refusal)
    period = admission.period
    assert period is not None
    return (
        ChildEnrolled(
            enrollment_id=enrollment.enrollment_id,
            child_id=enrollment.child_id,
            terms=terms,
            starts_on=dates.first_day(terms, admission.day),
            ends_on=dates.last_day(terms, period.ends_on, admission.child.birth_date),
            period=period.period,
            parent_share_max_kopecks=enrollment.parent_share_max_kopecks,
            guardian_id=enrollment.guardian_id,
        ),
    )


def reject(enrollment: Enrollment, reason: str, by: TerminatedBy) -> Effects:
    """Refuse an application that waits, as the provider or the operator wants."""
    text = wording.rejected(reason, by)
    return _given_up(enrollment, ApplicationRefusal.REJECTED_BY_PROVIDER, {"text": text})


def withdraw(enrollment: Enrollment) -> Effects:
    """Take back an application that waits, as the guardian wants."""
    return _given_up(enrollment, ApplicationRefusal.WITHDRAWN, {"text": wording.WITHDRAWN})


def expire(enrollment: Enrollment) -> Effects:
    """Give up a place nobody accepted in time."""
    assert enrollment.status is Status.HELD
    assert enrollment.held_until is not None
    text = wording.hold_expired(enrollment.held_until)
    return _given_up(enrollment, ApplicationRefusal.HOLD_EXPIRED, {"text": text})


# --- checks, in the order of docs/rules.md -----------------------------------------------------

_Refusal: TypeAlias = tuple[ApplicationRefusal, Why]


def _not_linked(guardian_id: GuardianId, child: Child) -> _Refusal | None:
    if guardian_id in child.guardian_ids:
        return None
    return ApplicationRefusal.GUARDIAN_NOT_LINKED, {"text": wording.GUARDIAN_NOT_LINKED}


def _consent_missing(application: Application) -> _Refusal | None:
    needed = {Consent.APPLICATION, Consent.TERMS, Consent.PERSONAL_DATA}
    if application.parent_share_max_kopecks > 0:
        needed.add(Consent.PARENT_SHARE)
    if needed <= set(application.consents):
        return None
    text = wording.consent_missing(application.parent_share_max_kopecks)
    return ApplicationRefusal.CONSENT_MISSING, {"text": text}


def _age(child: Child, payer_rules: PayerRules, day: date) -> _Refusal | None:
    age_years = dates.age_on(child.birth_date, day)
    decision = rules.age(payer_rules, day, age_years)
    verdict = rules.verdict(decision)
    if verdict == rules.ELIGIBLE:
        return None
    return ApplicationRefusal(verdict), why(decision, wording.age_of(age_years))


def _inadmissible(terms: Terms, admission: Admission, *, accepting: bool) -> _Refusal | None:
    day, child, period = admission.day, admission.child, admission.period
    decision = rules.registry(admission.rules, day, terms.registry)
    verdict = rules.verdict(decision)
    if verdict != rules.ELIGIBLE:
        return ApplicationRefusal(verdict), why(decision, wording.other_programme(terms))
    starts_on = dates.first_day(terms, day)
    if period is None or dates.last_day(terms, period.ends_on, child.birth_date) < starts_on:
        text = wording.outside_period(terms, starts_on)
        return ApplicationRefusal.OUTSIDE_PERIOD, {"text": text}
    closes_on = admission.closes_on
    if not accepting and closes_on is not None and day >= closes_on:
        text = wording.enrollment_closed(closes_on)
        return ApplicationRefusal.ENROLLMENT_CLOSED, {"text": text}
    if not admission.frame_signed:
        text = wording.no_frame_agreement(terms)
        return ApplicationRefusal.NO_FRAME_AGREEMENT, {"text": text}
    age_years = dates.age_on(child.birth_date, day)
    if not terms.age_min <= age_years <= terms.age_max:
        text = wording.age_outside_group(terms, age_years)
        return ApplicationRefusal.AGE_OUTSIDE_GROUP, {"text": text}
    return None


def _given_up(enrollment: Enrollment, reason: ApplicationRefusal, because: Why) -> Effects:
    return (
        _refused(enrollment, reason, because),
        give_back(enrollment, reason.value),
    )


def _refused(
    enrollment: Enrollment, reason: ApplicationRefusal, because: Why
) -> ApplicationRefused:
    return ApplicationRefused(
        enrollment_id=enrollment.enrollment_id,
        child_id=enrollment.child_id,
        reason=reason,
        why=because,
    )


def give_back(enrollment: Enrollment, reason: str) -> To:
    """Return the command that frees the place, or the turn in the waiting list."""
    return To(
        enrollment.group_home,
        PlaceReturned(
            enrollment_id=enrollment.enrollment_id,
            group_id=enrollment.group_id,
            reason=reason,
        ),
    )
