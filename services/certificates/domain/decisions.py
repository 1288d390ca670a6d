"""What certificates decides. Pure: the same state and words give the same facts.

Each function answers one event with the facts that follow, none if nothing does, or with the
reason for which the input is refused (docs/rules.md, section 4; docs/events.md, section 5).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import TypeAlias

from msgspec import Struct

from contracts.vocabulary import (
    CategoryId,
    CertificateNumber,
    CertificateRefusal,
    CertificateState,
    ChildId,
    CloseReason,
    EnrollmentId,
    InputRefusal,
    IssueMode,
    Kopecks,
    PayerCode,
    PeriodId,
)
from rulebook.evaluate import Decision
from rulebook.explain import why
from services.certificates.domain import texts
from services.certificates.domain.category import Category, Held, Limits, cost_of_raise
from services.certificates.domain.certificate import Certificate, Grant
from services.certificates.domain.child import Child
from services.certificates.domain.facts import (
    CertificateClosed,
    CertificateFrozen,
    CertificateFunded,
    CertificateIssued,
    CertificateQueued,
    CertificateRefused,
    CertificateRenewed,
    CertificateUnfrozen,
    Fact,
    NominalChanged,
)
from services.certificates.domain.number import Counter, next_number
from services.certificates.domain.period import Period, Policy

Answer: TypeAlias = tuple[Fact, ...] | InputRefusal

ELIGIBLE = "eligible"
NO_MONEY = Kopecks(0)


class Case(Struct, frozen=True, kw_only=True):
    """One child in one period: everything its certificate depends on.

    `age` and `kind` are what the tables `certificates.age` and `certificates.category` say of the
    child on `day`; `category` is the state of the category that `kind` names.
    """

    payer: PayerCode
    day: date
    child_id: ChildId
    child: Child
    period_id: PeriodId
    period: Period
    certificate: Certificate | None
    grant: Grant | None
    age: Decision
    kind: Decision
    category: Category
    counter: Counter

    @property
    def category_id(self) -> CategoryId:
        """Return the category the child belongs to."""
        return category_of(self.kind)

    @property
    def valid_from(self) -> date:
        """Return the later of the day and the period's start.

        An enrollment that is answered when its period is just over gets the period's last day.
        """
        return min(max(self.day, self.period.starts_on), self.period.ends_on)

    @property
    def valid_until(self) -> date:
        """Return the earlier of the period's end and the day before the 18th birthday."""
        return min(self.period.ends_on, self.child.last_day)


def category_of(kind: Decision) -> CategoryId:
    """Return the category that the table `certificates.category` names."""
    return CategoryId(str(kind.outputs["category"]))


# --- issue -------------------------------------------------------------------------------------


def answer_enrollment(case: Case, policy: Policy, enrollment_id: EnrollmentId) -> tuple[Fact, ...]:
    """Return the certificate an enrolled child gets, or why it gets none; nothing if it has one."""
    if case.grant is not None:
        return ()
    refused = _refusal(case, enrollment_id)
    if refused is not None:
        return (refused,)
    if policy.issue_mode is IssueMode.ON_REQUEST:
        return (_without_money(case, texts.on_request_only(_number(case))),)
    return _issue(case)


def answer_request(case: Case) -> Answer:
    """Return what follows from a request: a new certificate, or money or a turn for an old one."""
    known = case.certificate
    if case.grant is not None and (case.grant.is_settled or (known is not None and known.closed)):
        return ()
    if case.period.has_ended(case.day):
        return InputRefusal.PERIOD_CLOSED
    refused = _refusal(case, None)
    if refused is not None:
        return (refused,)
    if case.grant is None:
        return _issue(case)
    if case.category.obstacle is None:
        return (_funded_on_request(case),)
    return (_queued(case),)


def _refusal(case: Case, enrollment_id: EnrollmentId | None) -> CertificateRefused | None:
    verdict = str(case.age.outputs["verdict"])
    reason = CertificateRefusal.TOO_OLD
    told: Mapping[str, str]
    if verdict != ELIGIBLE:
        reason = CertificateRefusal(verdict)
        advice = {
            CertificateRefusal.TOO_YOUNG: texts.TOO_YOUNG,
            CertificateRefusal.TOO_OLD: texts.TOO_OLD,
        }
        told = why(case.age, advice[reason])
    elif case.certificate is not None and case.certificate.closed:
        # The birth date was corrected after the birthday: after the end nothing revives.
        told = {"text": texts.closed_for_good(case.certificate.number)}
    elif case.valid_until < case.valid_from:
        # Money of a period that begins after the 18th birthday would be granted to nobody.
        told = {"text": texts.grown_up_before(case.period.starts_on)}
    else:
        return None
    return CertificateRefused(
        child_id=case.child_id, enrollment_id=enrollment_id, reason=reason, why=told
    )


def _issue(case: Case) -> tuple[Fact, ...]:
    if case.category.obstacle is None:
        return (_with_money(case),)
    told = texts.without_money(_number(case), texts.obstacle(case.category))
    issued = _without_money(case, told)
    if case.period.has_ended(case.day):
        return (issued,)
    return (issued, _queued(case))


def _with_money(case: Case) -> Fact:
    nominal = _limits(case.category).nominal_kopecks
    told = texts.funded(_number(case), nominal, case.valid_from, case.valid_until)
    return _certificate(case, CertificateState.FUNDED, nominal, told)


def _without_money(case: Case, told: str) -> Fact:
    return _certificate(case, CertificateState.ACCOUNTING, NO_MONEY, told)


def _certificate(case: Case, state: CertificateState, nominal: Kopecks, told: str) -> Fact:
    if case.certificate is not None:
        return CertificateRenewed(
            child_id=case.child_id,
            certificate_number=case.certificate.number,
            state=state,
            category=case.category_id,
            period=case.period_id,
            valid_from=case.valid_from,
            valid_until=case.valid_until,
            nominal_kopecks=nominal,
            why=why(case.kind, told),
        )
    return CertificateIssued(
        child_id=case.child_id,
        certificate_number=_number(case),
        state=state,
        category=case.category_id,
        period=case.period_id,
        valid_from=case.valid_from,
        valid_until=case.valid_until,
        nominal_kopecks=nominal,
        guardian_ids=case.child.guardian_ids,
        why=why(case.kind, told),
    )


def _funded_on_request(case: Case) -> CertificateFunded:
    nominal = _limits(case.category).nominal_kopecks
    return CertificateFunded(
        child_id=case.child_id,
        certificate_number=_number(case),
        category=case.category_id,
        period=case.period_id,
        nominal_kopecks=nominal,
        why=why(case.kind, texts.funded_on_request(_number(case), nominal)),
    )


def _queued(case: Case) -> CertificateQueued:
    position = case.category.queued + 1
    obstacle = case.category.obstacle
    assert obstacle is not None, "only what cannot be funded waits"
    told = texts.queued(_number(case), position, texts.obstacle(case.category))
    return CertificateQueued(
        child_id=case.child_id,
        certificate_number=_number(case),
        category=case.category_id,
        period=case.period_id,
        position=position,
        # No table decides this: the row is the reason of the closed list.
        why={"row": obstacle.value, "text": told},
    )


def _number(case: Case) -> CertificateNumber:
    if case.certificate is not None:
        return case.certificate.number
    return next_number(case.payer, case.counter)


def _limits(category: Category) -> Limits:
    assert category.limits is not None, "a category that is not set has no vacancy"
    return category.limits


# --- the payer's words -------------------------------------------------------------------------


def set_category(
    period: Period,
    category: Category,
    limits: Limits,
    held: Iterable[Held],
    *,
    day: date,
    grace: timedelta,
) -> Answer:
    """Return whether a category may be set; what moves then is due work of its own.

    `held` are the nominals that a raise would touch: of holders, not closed, not corrected by
    hand. A raise for which the new budget is too small is refused as a whole.
    """
    if period.is_closed(day, grace):
        return InputRefusal.PERIOD_CLOSED
    cost = cost_of_raise(held, limits.nominal_kopecks)
    if cost and category.granted_kopecks + cost > limits.budget_max_kopecks:
        return InputRefusal.WOULD_EXCEED_BUDGET
    return ()


def freeze(
    child_id: ChildId,
    certificate: Certificate | None,
    *,
    frozen: bool,
    reason: str,
    has_agreement: bool,
) -> Answer:
    """Return what follows from a freeze or its end; a closed certificate has nothing to freeze.

    `has_agreement` says that an enrollment of the child is enrolled or active; it keeps a
    certificate from being frozen, not from being freed.
    """
    if certificate is None:
        return InputRefusal.UNKNOWN_CERTIFICATE
    if frozen and has_agreement:
        return InputRefusal.HAS_ACTIVE_AGREEMENT
    if certificate.closed or certificate.frozen == frozen:
        return ()
    fact = CertificateFrozen if frozen else CertificateUnfrozen
    return (fact(child_id=child_id, certificate_number=certificate.number, reason=reason),)


def follow_correction(
    child_id: ChildId,
    number: CertificateNumber,
    period_id: PeriodId,
    grant: Grant,
    difference_kopecks: int,
) -> tuple[Fact, ...]:
    """Return the nominal after billing applied a correction by hand: moved by the difference."""
    if difference_kopecks == 0:
        return ()
    return (
        NominalChanged(
            child_id=child_id,
            certificate_number=number,
            period=period_id,
            nominal_kopecks=Kopecks(grant.nominal_kopecks + difference_kopecks),
            previous_kopecks=grant.nominal_kopecks,
            reason=texts.NOMINAL_CORRECTED,
        ),
    )


# --- what falls due ----------------------------------------------------------------------------


class Holder(Struct, frozen=True, kw_only=True):
    """A certificate that holds a nominal, not closed and not corrected by hand."""

    child_id: ChildId
    number: CertificateNumber
    nominal_kopecks: Kopecks


def raise_nominals(
    period_id: PeriodId, category: Category, holders: Sequence[Holder]
) -> tuple[Fact, ...]:
    """Return the nominal in force for those who hold less, in the order given."""
    nominal = _limits(category).nominal_kopecks
    return tuple(
        NominalChanged(
            child_id=holder.child_id,
            certificate_number=holder.number,
            period=period_id,
            nominal_kopecks=nominal,
            previous_kopecks=holder.nominal_kopecks,
            reason=texts.NOMINAL_RAISED,
        )
        for holder in holders
        if holder.nominal_kopecks < nominal
    )


class Waiting(Struct, frozen=True, kw_only=True):
    """A certificate that waits for money and may be funded: neither closed nor frozen."""

    child_id: ChildId
    number: CertificateNumber


def move_queue(
    category_id: CategoryId, category: Category, period_id: PeriodId, waiting: Iterable[Waiting]
) -> tuple[Fact, ...]:
    """Return who is funded now: the first of the queue first, while there is a vacancy."""
    facts: list[Fact] = []
    for one in waiting:
        if category.obstacle is not None:
            break
        nominal = _limits(category).nominal_kopecks
        facts.append(
            CertificateFunded(
                child_id=one.child_id,
                certificate_number=one.number,
                category=category_id,
                period=period_id,
                nominal_kopecks=nominal,
                why={"text": texts.funded_at_last(one.number, nominal)},
            )
        )
        category = category.after_grant(nominal)
    return tuple(facts)


def close_grown_up(child_id: ChildId, certificate: Certificate) -> tuple[Fact, ...]:
    """Return that the certificate of a child that turned 18 is closed."""
    return (
        CertificateClosed(
            child_id=child_id,
            certificate_number=certificate.number,
            reason=CloseReason.AGED_OUT,
        ),
    )
