"""What enrollment keeps, and what its inputs and facts change in it. Nothing is decided here.

Indexes (of a payer): `open` enrollments by child and group, `asked` those without an answer to
their request for a place by arrival, `periods` by first day,
`waiting/<group>` in order of tickets, `owed/<provider>` groups that owe a place, `rules/<table>`
publications by day.
"""

from datetime import date
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from contracts import commands
from contracts.billing import FundsReserved
from contracts.calendar import DayOpened
from contracts.navigator import (
    ApplicationSubmitted,
    ChildRegistered,
    GroupPublished,
    ProviderRegistered,
)
from contracts.payers import EnrollmentClosed, FrameAgreementSet, PeriodOpened, RulesPublished
from contracts.vocabulary import EnrollmentId, GroupId, PayerCode, PeriodId, ProviderId
from services.enrollment import wire
from services.enrollment.domain import application, facts, places
from services.enrollment.domain.application import Enrollment
from services.enrollment.domain.child import Child
from services.enrollment.domain.dates import DAY
from services.enrollment.domain.payer import (
    Closing,
    FrameAgreement,
    OwnTables,
    Period,
    Publication,
)
from services.enrollment.domain.places import Asking, Group, Place, Provider, Standing, Step
from streaming.service import Service
from streaming.view import State, View

STATE_VERSION = 2

HOLD = "hold"
ACCEPT = "accept"
ASKED = "asked"
END = "end"
RETURN = "return"
SERVE = "serve"
"""Due work: an expired hold, an automatic acceptance, a natural end, a place that comes back, and
(by provider) a waiting list to be served."""

OWN_TABLES_ID = "all"

PUBLICATION_BYTES_MAX = 12 * 1024
"""What the rulebook takes at most; larger publications for billing's tables are not kept."""

KINDS: MappingProxyType[str, type[Any]] = MappingProxyType(
    {
        "provider": Provider,
        "group": Group,
        "place": Place,
        "child": Child,
        "enrollment": Enrollment,
        "period": Period,
        "closing": Closing,
        "frame-agreement": FrameAgreement,
        "own-tables": OwnTables,
        "publication": Publication,
    }
)


def _opened_day(event: DayOpened) -> date:
    return event.date


enrollment = Service(
    name="enrollment",
    state_version=STATE_VERSION,
    kinds=KINDS,
    facts=wire.FACTS,
    commands=wire.COMMANDS,
    calendar=DayOpened,
    opened_day=_opened_day,
)


# --- names -------------------------------------------------------------------------------------


def child_key(child_id: str) -> str:
    """Return the key under which applications wait for a child."""
    return f"child:{child_id}"


def group_key(group_id: str) -> str:
    """Return the key under which requests for places wait for a group."""
    return f"group:{group_id}"


def enrollment_key(enrollment_id: str) -> str:
    """Return the key under which inputs wait for an application."""
    return f"enrollment:{enrollment_id}"


def answer_key(enrollment_id: str) -> str:
    """Return the key under which inputs wait for an answer about a place or funds."""
    return f"answer:{enrollment_id}"


def place_key(enrollment_id: str) -> str:
    """Return the key under which an acceptance waits for a place in the waiting list."""
    return f"place:{enrollment_id}"


def place_id(group_id: str, enrollment_id: str) -> str:
    """Return the id of what an enrollment has in a group; two payers may use its id, each its own.

    Not in the same group: `docs/events.md` gives a place back without saying whose child had it.
    """
    return f"{group_id}|{enrollment_id}"


def frame_agreement_id(provider_id: ProviderId, period: PeriodId) -> str:
    """Return the id of the frame agreement with a provider in a period."""
    return f"{provider_id}|{period}"


def publication_id(table: str, member: str) -> str:
    """Return the id of a publication, `member` being its entry in the index of the table."""
    return f"{table}|{member}"


# --- what views show ---------------------------------------------------------------------------


def has_open_enrollment(
    view: View, child_id: str, group_home: PayerCode, group_id: GroupId
) -> bool:
    """Return whether the child has an enrollment in the group that is not finished."""
    start = _open_member(child_id, group_home, group_id, "")
    return view.first("open", start, _after(start)) is not None


def periods_begun(view: View, day: date) -> list[Period]:
    """Return the payer's periods that begin on the day or before."""
    members = view.members("periods", end=_after(f"{day.isoformat()}|"))
    return [view.get(Period, member.partition("|")[2]) for member in members]


def first_in_line(view: View, group: Group, places_max: int) -> list[Place]:
    """Return the first who wait for a place in the group."""
    members = view.members(_waiting_index(group.terms.group_id), members_max=places_max)
    group_id = group.terms.group_id
    return [view.get(Place, place_id(group_id, member.partition("|")[2])) for member in members]


def first_group_that_owes(view: View, provider_id: str) -> Group | None:
    """Return a group of the provider in which somebody waits although there is a place."""
    group_id = view.first(_owed_index(provider_id))
    return None if group_id is None else view.get(Group, group_id)


def publications(view: View, table: str, day: date) -> list[Publication]:
    """Return what the payer published for a table, in force on the day, the latest last."""
    own = view.find(OwnTables, OWN_TABLES_ID)
    if own is None or table not in own.tables:
        return []
    members = view.members(_rules_index(table), end=_after(f"{day.isoformat()}|"))
    return [view.get(Publication, publication_id(table, member)) for member in members]


def _open_member(child_id: str, group_home: str, group_id: str, enrollment_id: str) -> str:
    return f"{child_id}|{group_home}|{group_id}|{enrollment_id}"


def _after(start: str) -> str:
    """Return the end of what begins with `start`, whose last letter is `|`."""
    return f"{start[:-1]}}}"


def _waiting_index(group_id: str) -> str:
    return f"waiting/{group_id}"


def _waiting_member(place: Place) -> str:
    return f"{place.ticket:015d}|{place.enrollment_id}"


def _owed_index(provider_id: str) -> str:
    return f"owed/{provider_id}"


def _rules_index(table: str) -> str:
    return f"rules/{table}"


# --- what is learned from inputs ---------------------------------------------------------------


@enrollment.learns(ProviderRegistered)
def learn_provider(event: ProviderRegistered, state: State) -> None:
    """Keep the provider; one that is active again owes places to those who wait."""
    provider = wire.to_provider(event)
    state.put(event.provider_id, provider)
    if places.is_active(provider) and state.first(_owed_index(event.provider_id)) is not None:
        state.due_on(SERVE, state.day, event.provider_id)


@enrollment.learns(GroupPublished)
def learn_group(event: GroupPublished, state: State) -> None:
    """Keep the group's new revision; one with more places, or open again, may owe some."""
    known = state.find(Group, event.group_id)
    group = places.revised(known, wire.to_group(event, PayerCode(state.payer)))
    _put_group(state, known, group)
    if group.owes_a_place and places.is_active(state.find(Provider, event.provider_id)):
        state.due_on(SERVE, state.day, event.provider_id)
    state.wake(group_key(event.group_id))


@enrollment.learns(ChildRegistered)
def learn_child(event: ChildRegistered, state: State) -> None:
    """Keep the child; applications may wait for it."""
    state.put(event.child_id, wire.to_child(event))
    state.wake(child_key(event.child_id))


@enrollment.learns(ApplicationSubmitted)
def learn_application(event: ApplicationSubmitted, state: State) -> None:
    """Keep what was applied for; the facts say what became of it."""
    state.put(event.enrollment_id, application.submitted(wire.to_application(event)))


@enrollment.learns(PeriodOpened)
def learn_period(event: PeriodOpened, state: State) -> None:
    """Keep the period."""
    state.put(event.period, wire.to_period(event))
    state.add("periods", f"{event.starts_on.isoformat()}|{event.period}")


@enrollment.learns(EnrollmentClosed)
def learn_closing(event: EnrollmentClosed, state: State) -> None:
    """Keep from when on the period is closed."""
    state.put(event.period, wire.to_closing(event))


@enrollment.learns(FrameAgreementSet)
def learn_frame_agreement(event: FrameAgreementSet, state: State) -> None:
    """Keep how payer and provider stand."""
    agreement = wire.to_frame_agreement(event)
    state.put(frame_agreement_id(agreement.provider_id, agreement.period), agreement)


@enrollment.learns(RulesPublished)
def learn_rules(event: RulesPublished, state: State) -> None:
    """Keep the rows the payer published."""
    publication = wire.to_publication(event)
    member = f"{event.from_.isoformat()}|{event.published.isoformat()}"
    state.put(publication_id(event.table, member), publication)
    state.add(_rules_index(event.table), member)
    own = state.find(OwnTables, OWN_TABLES_ID) or OwnTables()
    if event.table not in own.tables:
        state.put(OWN_TABLES_ID, OwnTables(tables=(*own.tables, event.table)))


@enrollment.learns(FundsReserved)
def learn_funds_reserved(event: FundsReserved, state: State) -> None:
    """Keep by what the agreement is charged: its end depends on it."""
    known = state.get(Enrollment, event.enrollment_id)
    state.put(event.enrollment_id, application.charged_by(known, event.debit_basis))


@enrollment.learns(commands.PlaceRequested)
def learn_place_requested(event: commands.PlaceRequested, state: State) -> None:
    """Keep who asks: the fact that follows has only the group's numbers."""
    _ask(state, event.group_id, event.enrollment_id, event.child_payer)


@enrollment.learns(commands.PlaceReturned)
def learn_place_returned(event: commands.PlaceReturned, state: State) -> None:
    """Keep who gives back: the fact that follows has only the group's numbers."""
    place = state.find(Place, place_id(event.group_id, event.enrollment_id))
    if place is not None:
        _ask(state, place.group_id, place.enrollment_id, place.child_payer)


def _ask(
    state: State, group_id: GroupId, enrollment_id: EnrollmentId, child_payer: PayerCode
) -> None:
    group = state.find(Group, group_id)
    if group is not None:
        asking = Asking(enrollment_id=enrollment_id, child_payer=child_payer)
        state.put(group_id, places.asked(group, asking))


# --- what facts change -------------------------------------------------------------------------


@enrollment.evolves(facts.ApplicationRegistered)
def evolve_registered(fact: facts.ApplicationRegistered, state: State) -> None:
    """An application is known: what came before it may be decided."""
    now = replace(_evolve(fact, state), asked_at=state.journalseq)
    state.put(fact.enrollment_id, now)
    state.add(ASKED, turn(now))
    state.add("open", _open_member(now.child_id, now.group_home, now.group_id, now.enrollment_id))
    state.wake(enrollment_key(fact.enrollment_id))


@enrollment.evolves(facts.ApplicationRefused)
def evolve_refused(fact: facts.ApplicationRefused, state: State) -> None:
    """An application is over."""
    _leave_hold(state, fact.enrollment_id)
    _finish(state, _evolve(fact, state))


@enrollment.evolves(facts.ApplicationWaitlisted)
def evolve_waitlisted(fact: facts.ApplicationWaitlisted, state: State) -> None:
    """An application has its first answer."""
    _evolve(fact, state)
    state.wake(answer_key(fact.enrollment_id))


@enrollment.evolves(facts.PlaceHeld)
def evolve_held(fact: facts.PlaceHeld, state: State) -> None:
    """A place is held: what waited for it is decided first, then it may be accepted by itself."""
    _evolve(fact, state)
    state.due_on(HOLD, fact.held_until + DAY, fact.enrollment_id)
    if fact.terms.auto_accept:
        state.due_on(ACCEPT, state.day, turn(state.get(Enrollment, fact.enrollment_id)))
    state.wake(answer_key(fact.enrollment_id))
    state.wake(place_key(fact.enrollment_id))


@enrollment.evolves(facts.ChildEnrolled)
def evolve_enrolled(fact: facts.ChildEnrolled, state: State) -> None:
    """The hold did its work; funds are awaited."""
    _leave_hold(state, fact.enrollment_id)
    _evolve(fact, state)


@enrollment.evolves(facts.AgreementActivated)
def evolve_activated(fact: facts.AgreementActivated, state: State) -> None:
    """An agreement is in force until its end."""
    _evolve(fact, state)
    state.due_on(END, fact.ends_on + DAY, fact.enrollment_id)
    state.wake(answer_key(fact.enrollment_id))


@enrollment.evolves(facts.EnrollmentCancelled)
def evolve_cancelled(fact: facts.EnrollmentCancelled, state: State) -> None:
    """An enrollment is over before it was in force."""
    _finish(state, _evolve(fact, state))


@enrollment.evolves(facts.EnrollmentEnded)
def evolve_ended(fact: facts.EnrollmentEnded, state: State) -> None:
    """An agreement is over; its place comes back after its last day."""
    now = _evolve(fact, state)
    assert now.span is not None
    state.not_due(END, now.span.ends_on + DAY, fact.enrollment_id)
    state.due_on(RETURN, fact.ended_on + DAY, fact.enrollment_id)
    _finish(state, now)


def _evolve(fact: facts.EnrollmentFact, state: State) -> Enrollment:
    known = state.get(Enrollment, fact.enrollment_id)
    now = application.evolve(known, fact, state.day)
    state.put(fact.enrollment_id, now)
    if known.asked_at and known.status is application.Status.REQUESTED is not now.status:
        state.discard(ASKED, turn(known))
    return now


def turn(asking: Enrollment) -> str:
    """Return what orders requests for places by arrival: the index member, and due work."""
    return f"{asking.asked_at:015d}/{asking.enrollment_id}"


def _leave_hold(state: State, enrollment_id: EnrollmentId) -> None:
    held = state.get(Enrollment, enrollment_id)
    if held.status is not application.Status.HELD:
        return
    assert held.held_on is not None
    assert held.held_until is not None
    assert held.terms is not None
    state.not_due(HOLD, held.held_until + DAY, enrollment_id)
    if held.terms.auto_accept:
        state.not_due(ACCEPT, held.held_on, turn(held))


def _finish(state: State, over: Enrollment) -> None:
    state.discard(
        "open", _open_member(over.child_id, over.group_home, over.group_id, over.enrollment_id)
    )
    state.wake(enrollment_key(over.enrollment_id))
    state.wake(answer_key(over.enrollment_id))
    state.wake(place_key(over.enrollment_id))


@enrollment.evolves(facts.GroupChanged)
def evolve_group(fact: facts.GroupChanged, state: State) -> None:
    """One step of a group's places; which one, the difference of the numbers tells."""
    known = state.get(Group, fact.group_id)
    match places.step(known, fact):
        case Step.CAPACITY:
            pass
        case Step.TOOK:
            _take_place(state, known, Standing.TAKEN)
        case Step.JOINED:
            place = _take_place(state, known, Standing.WAITING)
            state.add(_waiting_index(fact.group_id), _waiting_member(place))
        case Step.GAVE_BACK | Step.LEFT:
            assert known.asking is not None
            id_ = place_id(fact.group_id, known.asking.enrollment_id)
            place = state.get(Place, id_)
            if place.standing is Standing.WAITING:
                state.discard(_waiting_index(fact.group_id), _waiting_member(place))
            state.remove(Place, id_)
        case Step.MOVED_UP:
            (place,) = first_in_line(state, known, 1)
            state.discard(_waiting_index(fact.group_id), _waiting_member(place))
            state.put(place_id(fact.group_id, place.enrollment_id), places.moved_up(place))
    _put_group(state, known, places.evolve(known, fact))


def _take_place(state: State, group: Group, standing: Standing) -> Place:
    assert group.asking is not None
    place = Place(
        enrollment_id=group.asking.enrollment_id,
        child_payer=group.asking.child_payer,
        group_id=group.terms.group_id,
        standing=standing,
        ticket=state.journalseq,
    )
    state.put(place_id(place.group_id, place.enrollment_id), place)
    return place


def _put_group(state: State, known: Group | None, group: Group) -> None:
    group_id = group.terms.group_id
    if known is not None and known.owes_a_place:
        state.discard(_owed_index(known.terms.provider_id), group_id)
    if group.owes_a_place:
        state.add(_owed_index(group.terms.provider_id), group_id)
    state.put(group_id, group)
