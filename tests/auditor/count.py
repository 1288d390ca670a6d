"""The order of everything: one event after the other, one step of a day after the other."""

from collections.abc import Iterable

from tests.auditor import billing, certifying, enrolling, invoicing
from tests.auditor.play import Entry, date, read
from tests.auditor.world import Handler, Outcome, Payer, Refused, World


def count(lines: Iterable[str]) -> tuple[World, list[Entry]]:
    """Return what comes of a play file, and the events in it."""
    world, entries = World(HANDLERS), list(read(lines))
    for entry in entries:
        if entry.type != "calendar.day-opened":
            world.hear(entry)
        elif world.open_day(date(entry.data["date"])):
            world.decisions[entry.line] = ("applied", None)
            _work_through_the_day(world)
        else:
            world.decisions[entry.line] = ("duplicate", None)
    return world, entries


def _work_through_the_day(world: World) -> None:
    """Do what a business day brings, in the order of rules.md, section 2.

    Each service does its own steps first; what it is told by another, since that one did its
    steps, comes after all of them. So only marks, which concern billing alone, are settled here.
    """
    world.wake_for_today()
    world.give_up()
    payers = [payer for _, payer in sorted(world.payers.items())]
    for step in (
        enrolling.give_up_requests,
        certifying.close_adults,
        enrolling.expire_holds,
        enrolling.complete,
        enrolling.take_places_back,
        billing.charge_months,
        billing.release,
        billing.expire,
        certifying.move_all_queues,
        _invoice,
    ):
        for payer in payers:
            step(world, payer)
    world.settle()


def _invoice(world: World, payer: Payer) -> None:
    due = invoicing.months_due(world, payer)
    if due:
        billing.adjust(payer, due[-1])
    for month in due:
        invoicing.make_invoices(payer, month)
    billing.expire(world, payer)


def rules_published(world: World, entry: Entry) -> Outcome:
    """Decide `payers.rules-published`; who is told what is no matter of this count."""
    said = entry.data
    if said["table"] == "notifications.routing":
        return None
    is_sound = world.payer(entry.payer).rules.publish(
        said["table"], date(said["from"]), date(said["published"]), said["rows"]
    )
    return None if is_sound else Refused("rules_invalid")


def preferences_set(_world: World, _entry: Entry) -> Outcome:
    """Take how a guardian wants to be told: no matter of this count."""
    return None


HANDLERS: dict[str, Handler] = {
    "navigator.provider-registered": enrolling.provider_registered,
    "navigator.group-published": enrolling.group_published,
    "navigator.child-registered": enrolling.child_registered,
    "navigator.application-submitted": enrolling.application_submitted,
    "navigator.application-accepted": enrolling.application_accepted,
    "navigator.application-rejected": enrolling.application_rejected,
    "navigator.application-withdrawn": enrolling.application_withdrawn,
    "navigator.enrollment-terminated": enrolling.enrollment_terminated,
    "navigator.certificate-requested": certifying.requested,
    "navigator.preferences-set": preferences_set,
    "payers.period-opened": enrolling.period_opened,
    "payers.enrollment-closed": enrolling.enrollment_closed,
    "payers.category-set": certifying.category_set,
    "payers.frame-agreement-set": enrolling.frame_agreement_set,
    "payers.policy-set": enrolling.policy_set,
    "payers.rules-published": rules_published,
    "payers.certificate-freeze-set": certifying.freeze_set,
    "payers.nominal-corrected": billing.nominal_corrected,
    "payers.invoice-paid": invoicing.invoice_paid,
    "attendance.lesson-marked": billing.lesson_marked,
    "disputes.lesson-disputed": billing.lesson_disputed,
    "disputes.dispute-answered": billing.dispute_answered,
}
