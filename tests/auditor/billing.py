"""Reserves, charges and what goes back (rules.md, sections 5 to 8)."""

import datetime as dt

from tests.auditor import certifying
from tests.auditor.dates import ONE_DAY, days_of, first_of, month_of
from tests.auditor.money import adjustment, monthly, shares
from tests.auditor.play import Entry, date
from tests.auditor.world import (
    Certificate,
    Enrollment,
    Grant,
    Lesson,
    Month,
    Movement,
    Outcome,
    Payer,
    Refused,
    Reserve,
    Wait,
    World,
)

AHEAD_MAX = 31
"""How many days before its lesson a mark may come."""


def reserve(world: World, payer: Payer, enrollment: Enrollment) -> str | None:
    """Reserve the money of an agreement, or return why not."""
    terms, starts_on, ends_on = enrollment.terms, enrollment.starts_on, enrollment.ends_on
    assert terms is not None
    assert starts_on is not None
    assert ends_on is not None
    certificate = payer.certificates[enrollment.child_id]
    grant = certificate.grants[enrollment.period]
    its = shares(
        agreement_days=days_of(starts_on, ends_on),
        group_days=days_of(date(terms["starts_on"]), date(terms["ends_on"])),
        price=terms["price_kopecks"],
        normative=terms["normative_kopecks"],
        lessons_total=terms["lessons_total"],
        balance=grant.balance,
    )
    if certificate.is_frozen:
        return "certificate_frozen"
    if certificate.is_closed:
        return "certificate_closed"
    if its.parent > enrollment.parent_share_max:
        return "parent_share_above_consent"
    limit = payer.frames[terms["provider_id"], enrollment.period]["limit_kopecks"]
    bound = sum(
        other.reserved + other.paid
        for other in payer.reserves.values()
        if (other.provider_id, other.period) == (terms["provider_id"], enrollment.period)
    )
    if limit is not None and bound + its.certificate > limit:
        return "frame_limit_reached"
    policy = payer.policies.get(enrollment.period, {})
    made = Reserve(
        enrollment_id=enrollment.enrollment_id,
        child_id=enrollment.child_id,
        provider_id=terms["provider_id"],
        period=enrollment.period,
        basis=policy.get("debit_basis", "ATTENDED_LESSONS"),
        starts_on=starts_on,
        ends_on=ends_on,
        certificate_share=its.certificate,
        parent_share=its.parent,
        lessons=its.lessons,
        lesson_share=its.lesson_share,
        extra=its.first_lesson_extra,
        reserved_on=world.today,
        reserved=0,
    )
    if made.basis == "MONTHLY_CONTRACT":
        made.months = {
            month: Month(amount, max(first_of(month), starts_on))
            for month, amount in monthly(its.certificate, starts_on, ends_on).items()
        }
    payer.reserves[made.enrollment_id] = made
    grant.balance -= its.certificate
    grant.reserved += its.certificate
    made.reserved += its.certificate
    certifying.move(certificate, grant, "funds-reserved", its.certificate, enrollment.enrollment_id)
    return None


def lesson_marked(world: World, entry: Entry) -> Outcome:
    """Decide a mark."""
    payer, said = world.payer(entry.payer), entry.data
    its = payer.reserves.get(said["enrollment_id"])
    if its is None:
        enrollment = payer.enrollments.get(said["enrollment_id"])
        if enrollment is not None and enrollment.is_finished:
            return Refused("agreement_not_active")
        days = world.days(payer.code, "billing.days", "parking_days")
        return Wait(f"reserve:{said['enrollment_id']}", "unknown_enrollment", days)
    on = date(said["lesson_date"])
    if not its.starts_on <= on <= its.last_day:
        return Refused("outside_agreement")
    if on > world.today:
        is_near = (on - world.today).days <= AHEAD_MAX
        return Wait(f"day:{on}") if is_near else Refused("future_lesson")
    month = its.months.get(month_of(on))
    if its.is_released or (month is not None and month.is_adjusted):
        return Refused("too_late")
    known = its.marked.get(said["lesson_id"])
    if known is not None and known.date != on:
        return Refused("conflict")
    lesson = its.marked.setdefault(said["lesson_id"], Lesson(on))
    lesson.marks[said["revision"]] = said["mark"]
    if its.basis == "ATTENDED_LESSONS":
        _follow_mark(payer, its, said["lesson_id"])
    return None


def lesson_disputed(world: World, entry: Entry) -> Outcome:
    """Decide `disputes.lesson-disputed`."""
    payer, said = world.payer(entry.payer), entry.data
    its = payer.reserves.get(said["enrollment_id"])
    if its is None:
        return _without_reserve(payer, said["enrollment_id"])
    if its.is_released:
        return Refused("too_late")
    lesson = its.marked.get(said["lesson_id"])
    if lesson is None or lesson.charged is None:
        return Refused("already_finished")
    its.disputes[said["lesson_id"]] = "open"
    return None


def dispute_answered(world: World, entry: Entry) -> Outcome:
    """Decide `disputes.dispute-answered`."""
    payer, said = world.payer(entry.payer), entry.data
    its = payer.reserves.get(said["enrollment_id"])
    if its is None:
        return _without_reserve(payer, said["enrollment_id"])
    state = its.disputes.get(said["lesson_id"])
    if state is None:
        return Refused("not_awaiting_acceptance")
    if state != "open":
        return Refused("already_finished")
    its.disputes[said["lesson_id"]] = "upheld"
    return None


def _without_reserve(payer: Payer, enrollment_id: str) -> Refused:
    enrollment = payer.enrollments.get(enrollment_id)
    is_over = enrollment is not None and enrollment.is_finished
    return Refused("agreement_not_active" if is_over else "unknown_enrollment")


def _follow_mark(payer: Payer, its: Reserve, lesson_id: str) -> None:
    lesson = its.marked[lesson_id]
    if _counts(payer, lesson):
        if lesson.charged is None and its.certificate_share > 0:
            if its.lessons_charged < its.lessons:
                _charge(payer, its, lesson_id)
            elif lesson_id not in its.exhausted:
                its.exhausted.append(lesson_id)
        return
    if lesson_id in its.exhausted:
        its.exhausted.remove(lesson_id)
    if lesson.charged is not None:
        _reverse(payer, its, lesson_id)
        for other_id in its.exhausted:
            other = its.marked[other_id]
            if other.date <= its.last_day and _counts(payer, other):
                _charge(payer, its, other_id)
                return


def _counts(payer: Payer, lesson: Lesson) -> bool:
    asked = payer.rules.ask("billing.charging", lesson.date, mark=lesson.mark)
    return bool(asked["charge"])


def _charge(payer: Payer, its: Reserve, lesson_id: str) -> None:
    lesson = its.marked[lesson_id]
    if lesson_id in its.exhausted:
        its.exhausted.remove(lesson_id)
    lesson.has_extra = not any(other.has_extra for other in its.marked.values())
    lesson.charged = its.lesson_share + (its.extra if lesson.has_extra else 0)
    _pay(payer, its, month_of(lesson.date), lesson.charged, "lesson-charged", lesson_id)


def _reverse(payer: Payer, its: Reserve, lesson_id: str) -> None:
    lesson = its.marked[lesson_id]
    assert lesson.charged is not None
    amount, lesson.charged, lesson.has_extra = lesson.charged, None, False
    _pay(payer, its, month_of(lesson.date), -amount, "charge-reversed", lesson_id)
    if its.disputes.get(lesson_id) == "open":
        its.disputes[lesson_id] = "corrected"


def _pay(
    payer: Payer,
    its: Reserve,
    month: str,
    amount: int,
    kind: str,
    lesson_id: str | None = None,
) -> None:
    """Move money from reserved to paid, or back."""
    certificate, grant = _purse(payer, its)
    its.reserved -= amount
    its.paid += amount
    grant.reserved -= amount
    grant.paid += amount
    certifying.move(certificate, grant, kind, abs(amount), its.enrollment_id, lesson_id)
    owed = payer.movements.setdefault(its.provider_id, [])
    owed.append(Movement(its.enrollment_id, month, amount))


def _release(payer: Payer, its: Reserve, amount: int) -> None:
    certificate, grant = _purse(payer, its)
    its.reserved -= amount
    grant.reserved -= amount
    grant.balance += amount
    certifying.move(certificate, grant, "reserve-released", amount, its.enrollment_id)


def _purse(payer: Payer, its: Reserve) -> tuple[Certificate, Grant]:
    certificate = payer.certificates[its.child_id]
    return certificate, certificate.grants[its.period]


def end_known(world: World, payer: Payer, its: Reserve, ended_on: dt.date) -> None:
    """Take back what was charged for days after the end."""
    its.ended_on = ended_on
    for lesson_id, lesson in sorted(its.marked.items(), key=lambda it: (it[1].date, it[0])):
        if lesson.charged is not None and lesson.date > ended_on:
            _reverse(payer, its, lesson_id)
    rest = 0
    for name, month in its.months.items():
        if month.opens_on > ended_on:
            if month.is_charged:
                _pay(payer, its, name, -(month.amount - month.adjusted), "month-reversed")
            month.is_charged, month.is_over = False, True
            rest += month.amount - month.adjusted
    if rest:
        _release(payer, its, rest)
        expire(world, payer)


# The day.


def charge_months(world: World, payer: Payer) -> None:
    """Charge the months that have opened."""
    for _, its in sorted(payer.reserves.items()):
        for name, month in its.months.items():
            is_due = world.today >= max(month.opens_on, its.reserved_on)
            if is_due and not month.is_charged and not month.is_over:
                month.is_charged = True
                _pay(payer, its, name, month.amount, "month-charged")


def release(world: World, payer: Payer) -> None:
    """Give back what is left of reserves some days after the end."""
    grace = world.days(payer.code, "billing.days", "grace_days")
    for _, its in sorted(payer.reserves.items()):
        is_by_lesson = its.basis == "ATTENDED_LESSONS"
        is_due = world.today > its.last_day + grace * ONE_DAY
        if is_by_lesson and is_due and not its.is_released:
            its.is_released = True
            _release(payer, its, its.reserved)


def expire(world: World, payer: Payer) -> None:
    """Let what is left of a purse expire once its period is over and nothing is reserved."""
    for certificate in sorted(payer.certificates.values(), key=lambda it: it.number):
        for grant in certificate.grants.values():
            is_over = certifying.is_closed(world, payer, payer.periods[grant.period])
            if is_over and not grant.reserved and grant.balance:
                amount, grant.balance = grant.balance, 0
                grant.expired += amount
                certifying.move(certificate, grant, "period-expired", amount)


def adjust(payer: Payer, until: str) -> None:
    """Give back what of the charged months up to one belongs to lessons the provider cancelled."""
    for _, its in sorted(payer.reserves.items()):
        for name, month in its.months.items():
            if month.is_charged and not month.is_adjusted and name <= until:
                month.is_adjusted = True
                marks = [it.mark for it in its.marked.values() if month_of(it.date) == name]
                amount = adjustment(month.amount, len(marks), marks.count("cancelled"))
                month.adjusted = amount
                its.paid -= amount
                certificate, grant = _purse(payer, its)
                grant.paid -= amount
                grant.balance += amount
                certifying.move(certificate, grant, "month-adjusted", amount, its.enrollment_id)
                owed = payer.movements.setdefault(its.provider_id, [])
                owed.append(Movement(its.enrollment_id, name, -amount))


# What payers say.


def nominal_corrected(world: World, entry: Entry) -> Outcome:
    """Decide `payers.nominal-corrected`."""
    payer, said = world.payer(entry.payer), entry.data
    certificate = payer.certificates.get(said["child_id"])
    grant = certificate.grants.get(said["period"]) if certificate is not None else None
    if certificate is None or grant is None:
        return Refused("unknown_certificate")
    if certifying.is_closed(world, payer, payer.periods[grant.period]):
        return Refused("period_closed")
    if not grant.is_funded:
        return Refused("not_funded")
    if grant.balance - grant.nominal + said["nominal_kopecks"] < 0:
        return Refused("would_go_negative")
    certifying.change_nominal(certificate, grant, said["nominal_kopecks"])
    grant.is_corrected = True
    world.todo.append(lambda: certifying.move_all_queues(world, payer))
    return None
