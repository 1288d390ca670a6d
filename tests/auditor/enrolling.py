"""Applications, places and agreements (rules.md, section 3)."""

import datetime as dt
from typing import NamedTuple

from tests.auditor import billing, certifying
from tests.auditor.dates import ONE_DAY, age, birthday, last_of_its_month
from tests.auditor.play import Entry, date
from tests.auditor.world import (
    Child,
    Enrollment,
    Group,
    Outcome,
    Payer,
    Period,
    Refused,
    Terms,
    Wait,
    World,
)

ALWAYS_CONSENTED = {"application", "terms", "personal-data"}


class Dates(NamedTuple):
    """The dates of an agreement."""

    starts_on: dt.date
    ends_on: dt.date
    period: str


# What is said of providers, groups, children and periods.


def provider_registered(world: World, entry: Entry) -> Outcome:
    """Take a provider's new revision; its waiting lists may go on."""
    home = world.payer(entry.payer)
    home.providers[entry.data["provider_id"]] = entry.data["state"]
    for group_id, group in sorted(home.groups.items()):
        if group.terms["provider_id"] == entry.data["provider_id"]:
            serve(world, home, group_id)
    return None


def group_published(world: World, entry: Entry) -> Outcome:
    """Take a group's new revision; those who waited for it are answered."""
    home, group_id = world.payer(entry.payer), entry.data["group_id"]
    if group_id in home.groups:
        home.groups[group_id].terms = entry.data
    else:
        home.groups[group_id] = Group(entry.data)
    for _, enrollment in home.requests.pop(group_id, []):
        request_place(world, enrollment)
    serve(world, home, group_id)
    return None


def child_registered(world: World, entry: Entry) -> Outcome:
    """Take a child's new revision; what waited for the child is decided."""
    payer, said = world.payer(entry.payer), entry.data
    child = Child(
        said["child_id"], date(said["birth_date"]), said["guardian_ids"], said["benefits"]
    )
    payer.children[child.child_id] = child
    if child.child_id in payer.certificates:
        certifying.close_adult(world, payer, payer.certificates[child.child_id])
        certifying.move_all_queues(world, payer)
    world.wake(payer.code, f"child:{child.child_id}")
    return None


def period_opened(world: World, entry: Entry) -> Outcome:
    """Open a period; what waited for it is decided."""
    said = entry.data
    world.payer(entry.payer).periods[said["period"]] = Period(
        said["period"], date(said["starts_on"]), date(said["ends_on"])
    )
    world.wake(entry.payer, f"period:{said['period']}")
    return None


def enrollment_closed(world: World, entry: Entry) -> Outcome:
    """Close enrollment in a period from a day on."""
    closes_on = date(entry.data["closes_on"])
    if closes_on < world.today + 2 * ONE_DAY:
        return Refused("too_late")
    world.payer(entry.payer).closings[entry.data["period"]] = closes_on
    return None


def frame_agreement_set(world: World, entry: Entry) -> Outcome:
    """Take a frame agreement's new revision."""
    name = (entry.data["provider_id"], entry.data["period"])
    world.payer(entry.payer).frames[name] = entry.data
    return None


def policy_set(world: World, entry: Entry) -> Outcome:
    """Take the new revision of a payer's policy for a period."""
    world.payer(entry.payer).policies[entry.data["period"]] = entry.data
    return None


# The application.


def application_submitted(world: World, entry: Entry) -> Outcome:
    """Decide an application, and ask for a place."""
    payer, said = world.payer(entry.payer), entry.data
    child = payer.children.get(said["child_id"])
    if child is None:
        days = world.days(payer.code, "enrollment.days", "parking_days")
        return Wait(f"child:{said['child_id']}", "unknown_child", days)
    enrollment = Enrollment(
        enrollment_id=said["enrollment_id"],
        payer=payer.code,
        child_id=child.child_id,
        guardian_id=said["guardian_id"],
        group_id=said["group_id"],
        group_home=said["group_home"],
        parent_share_max=said["parent_share_max_kopecks"],
        waitlist_ok=said["waitlist_ok"],
    )
    reason = _reason_against(world, payer, child, enrollment, entry)
    payer.enrollments[enrollment.enrollment_id] = enrollment
    world.wake(payer.code, f"enrollment:{enrollment.enrollment_id}")
    if reason is not None:
        _finish(world, enrollment, "REFUSED", reason)
    else:
        world.todo.append(lambda: request_place(world, enrollment))
    return None


def _reason_against(
    world: World, payer: Payer, child: Child, enrollment: Enrollment, entry: Entry
) -> str | None:
    if enrollment.guardian_id not in child.guardians:
        return "guardian_not_linked"
    needed = ALWAYS_CONSENTED | ({"parent-share"} if enrollment.parent_share_max > 0 else set())
    if not needed <= set(entry.data["consents"]):
        return "consent_missing"
    verdict = _age_verdict(world, payer, child)
    if verdict is not None:
        return verdict
    for other in payer.enrollments.values():
        same = (other.child_id, other.group_id, other.group_home)
        wanted = (child.child_id, enrollment.group_id, enrollment.group_home)
        if same == wanted and not other.is_finished:
            return "already_enrolled"
    return None


def _age_verdict(world: World, payer: Payer, child: Child) -> str | None:
    years = age(child.birth, world.today)
    verdict = payer.rules.ask("enrollment.age", world.today, age_years=years)["verdict"]
    return None if verdict == "eligible" else str(verdict)


# The place.


def request_place(world: World, enrollment: Enrollment) -> None:
    """Ask the municipality of the group for a place."""
    home = world.payer(enrollment.group_home)
    group = home.groups.get(enrollment.group_id)
    if group is None:
        days = world.days(home.code, "enrollment.days", "parking_days")
        asked = (world.today + days * ONE_DAY, enrollment)
        home.requests.setdefault(enrollment.group_id, []).append(asked)
    elif home.providers.get(group.terms["provider_id"]) != "active":
        _finish(world, enrollment, "REFUSED", "provider_suspended")
    elif not group.terms["enrollment_open"]:
        _finish(world, enrollment, "REFUSED", "group_closed")
    elif len(group.taken) < group.terms["capacity"]:
        _hold(world, group, enrollment)
    elif enrollment.waitlist_ok:
        group.waiting.append((enrollment.payer, enrollment.enrollment_id))
        enrollment.state = "WAITLISTED"
        world.wake(enrollment.payer, f"answer:{enrollment.enrollment_id}")
    else:
        _finish(world, enrollment, "REFUSED", "group_full")


def give_up_requests(world: World, home: Payer) -> None:
    """Refuse what has waited too long for a group."""
    for group_id, requests in list(home.requests.items()):
        for until, enrollment in list(requests):
            if world.today > until:
                home.requests[group_id].remove((until, enrollment))
                _finish(world, enrollment, "REFUSED", "group_closed")


def serve(world: World, home: Payer, group_id: str) -> None:
    """Give the free places of a group to those who wait, the first first."""
    group = home.groups[group_id]
    while (
        group.waiting
        and len(group.taken) < group.terms["capacity"]
        and group.terms["enrollment_open"]
        and home.providers.get(group.terms["provider_id"]) == "active"
    ):
        payer, enrollment_id = group.waiting.pop(0)
        _hold(world, group, world.payer(payer).enrollments[enrollment_id])


def _hold(world: World, group: Group, enrollment: Enrollment) -> None:
    group.taken.append((enrollment.payer, enrollment.enrollment_id))
    enrollment.has_place = True
    terms = group.terms
    world.todo.append(lambda: _place_held(world, enrollment, terms))


def _place_held(world: World, enrollment: Enrollment, terms: Terms) -> None:
    enrollment.terms = terms
    found = _checked(world, enrollment, is_acceptance=False)
    if not isinstance(found, Dates):
        _finish(world, enrollment, "REFUSED", found)
        return
    enrollment.state = "PLACE_HELD"
    hold_days = world.days(enrollment.payer, "enrollment.days", "hold_days")
    enrollment.held_until = world.today + hold_days * ONE_DAY
    world.wake(enrollment.payer, f"answer:{enrollment.enrollment_id}")
    world.wake(enrollment.payer, f"place:{enrollment.enrollment_id}")
    if terms["auto_accept"]:
        world.todo.append(lambda: _accept_if_held(world, enrollment))


def _return_place(world: World, enrollment: Enrollment) -> None:
    home = world.payer(enrollment.group_home)
    group = home.groups.get(enrollment.group_id)
    enrollment.has_place = False
    if group is None:
        return
    place = (enrollment.payer, enrollment.enrollment_id)
    if place in group.taken:
        group.taken.remove(place)
    elif place in group.waiting:
        group.waiting.remove(place)
    world.todo.append(lambda: serve(world, home, enrollment.group_id))


# The agreement.


def _checked(world: World, enrollment: Enrollment, *, is_acceptance: bool) -> Dates | str:
    """Return the dates of the agreement, or why there can be none."""
    payer, terms = world.payer(enrollment.payer), enrollment.terms
    assert terms is not None
    child = payer.children[enrollment.child_id]
    if is_acceptance:  # all checks are made anew, those of the application too
        if enrollment.guardian_id not in child.guardians:
            return "guardian_not_linked"
        verdict = _age_verdict(world, payer, child)
        if verdict is not None:
            return verdict
    registered = payer.rules.ask("enrollment.registry", world.today, registry=terms["registry"])
    if registered["verdict"] != "eligible":
        return str(registered["verdict"])
    starts_on = max(date(terms["starts_on"]), world.today + ONE_DAY)
    period = payer.period_of(starts_on)
    if period is None:
        return "outside_period"
    eve = birthday(child.birth, certifying.ADULT_AT) - ONE_DAY
    ends_on = min(date(terms["ends_on"]), period.ends_on, eve)
    if ends_on < starts_on:
        return "outside_period"
    closes_on = payer.closings.get(period.period)
    is_closed = closes_on is not None and world.today >= closes_on
    if is_closed and not is_acceptance:
        return "enrollment_closed"
    frame = payer.frames.get((terms["provider_id"], period.period))
    if frame is None or frame["state"] != "signed":
        return "no_frame_agreement"
    if not terms["age_min"] <= age(child.birth, world.today) <= terms["age_max"]:
        return "age_outside_group"
    return Dates(starts_on, ends_on, period.period)


def _accept_if_held(world: World, enrollment: Enrollment) -> None:
    if enrollment.state == "PLACE_HELD":
        _accept(world, enrollment)


def _accept(world: World, enrollment: Enrollment) -> None:
    found = _checked(world, enrollment, is_acceptance=True)
    if not isinstance(found, Dates):
        _finish(world, enrollment, "REFUSED", found)
        return
    enrollment.state = "ENROLLED"
    enrollment.starts_on, enrollment.ends_on, enrollment.period = found
    payer = world.payer(enrollment.payer)
    child, period = payer.children[enrollment.child_id], payer.periods[enrollment.period]
    reason = certifying.for_enrolled(world, payer, child, period)
    reason = reason or billing.reserve(world, payer, enrollment)
    if reason is not None:
        _finish(world, enrollment, "CANCELLED", reason)
        return
    enrollment.state = "ACTIVE"
    # Marks wait in billing, which has the reserve before anybody else hears of it.
    world.wake_at_once(payer.code, f"reserve:{enrollment.enrollment_id}")


def _finish(world: World, enrollment: Enrollment, state: str, reason: str) -> None:
    """End what never became active; its place comes back, and what waited for it is decided."""
    enrollment.state, enrollment.reason = state, reason
    for key in ("answer", "place", "reserve"):
        world.wake(enrollment.payer, f"{key}:{enrollment.enrollment_id}")
    _return_place(world, enrollment)


def application_accepted(world: World, entry: Entry) -> Outcome:
    """Decide a provider's acceptance."""
    found = _awaiting(world, entry)
    if not isinstance(found, Enrollment):
        return found
    if found.state == "WAITLISTED":
        return Wait(f"place:{found.enrollment_id}")
    if found.state == "ACTIVE":
        return Refused("not_awaiting_acceptance")
    _accept(world, found)
    return None


def application_rejected(world: World, entry: Entry) -> Outcome:
    """Decide a provider's rejection."""
    return _end_before_it_began(world, entry, "rejected_by_provider")


def application_withdrawn(world: World, entry: Entry) -> Outcome:
    """Decide a guardian's withdrawal."""
    return _end_before_it_began(world, entry, "withdrawn")


def _end_before_it_began(world: World, entry: Entry, reason: str) -> Outcome:
    found = _awaiting(world, entry)
    if not isinstance(found, Enrollment):
        return found
    if found.state == "ACTIVE":
        return Refused("not_awaiting_acceptance")
    _finish(world, found, "REFUSED", reason)
    return None


def enrollment_terminated(world: World, entry: Entry) -> Outcome:
    """Decide a notice: the end of an agreement, or of an application."""
    found = _awaiting(world, entry)
    if not isinstance(found, Enrollment):
        return found
    if found.state != "ACTIVE":
        by_guardian = entry.data["by"] == "guardian"
        _finish(world, found, "REFUSED", "withdrawn" if by_guardian else "rejected_by_provider")
        return None
    assert found.starts_on is not None
    assert found.ends_on is not None
    grace = world.days(found.payer, "billing.days", "grace_days")
    ended_on = max(date(entry.data["notice_on"]), world.today - grace * ONE_DAY)
    payer = world.payer(found.payer)
    if payer.reserves[found.enrollment_id].basis == "MONTHLY_CONTRACT":
        ended_on = last_of_its_month(ended_on)
    found.ended_on = max(min(ended_on, found.ends_on), found.starts_on - ONE_DAY)
    found.state = "ENDED"
    billing.end_known(world, payer, payer.reserves[found.enrollment_id], found.ended_on)
    if world.today > found.ended_on:
        _return_place(world, found)
    return None


def _awaiting(world: World, entry: Entry) -> Enrollment | Outcome:
    """Return the enrollment an input is about, or what to do as long as it cannot be decided."""
    enrollment = world.payer(entry.payer).enrollments.get(entry.data["enrollment_id"])
    if enrollment is None:
        days = world.days(entry.payer, "enrollment.days", "parking_days")
        return Wait(f"enrollment:{entry.data['enrollment_id']}", "unknown_enrollment", days)
    if enrollment.is_finished:
        return Refused("already_finished")
    if enrollment.state == "REGISTERED":
        return Wait(f"answer:{enrollment.enrollment_id}")
    return enrollment


# The day.


def expire_holds(world: World, payer: Payer) -> None:
    """Refuse what was not accepted in time."""
    for _, enrollment in sorted(payer.enrollments.items()):
        held_until = enrollment.held_until
        is_held = enrollment.state == "PLACE_HELD" and held_until is not None
        if is_held and held_until is not None and world.today > held_until:
            _finish(world, enrollment, "REFUSED", "hold_expired")


def complete(world: World, payer: Payer) -> None:
    """End the agreements whose last day is over."""
    for _, enrollment in sorted(payer.enrollments.items()):
        ends_on = enrollment.ends_on
        if enrollment.state == "ACTIVE" and ends_on is not None and world.today > ends_on:
            enrollment.state, enrollment.ended_on = "ENDED", ends_on
            billing.end_known(
                world, payer, payer.reserves[enrollment.enrollment_id], enrollment.ended_on
            )


def take_places_back(world: World, payer: Payer) -> None:
    """Return the places of agreements that have ended."""
    for _, enrollment in sorted(payer.enrollments.items()):
        ended_on = enrollment.ended_on
        if enrollment.has_place and ended_on is not None and world.today > ended_on:
            _return_place(world, enrollment)
