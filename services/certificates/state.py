"""What certificates keeps, and what its inputs and facts change in it. Nothing is decided here.

Indexes (of a payer): `open/<child>` enrollments that are enrolled or active, `periods/<child>` in
which the child has a certificate, `queue/<period>/<category>` who may be funded, in order of turns
(a frozen certificate keeps its turn, but is not there), `rules/<table>` publications, the latest
first, and two of those whom a raise would touch (holders, not closed, not corrected by hand):
`number/<period>/<category>` and `nominal/<period>/<category>`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

import orjson

from contracts.billing import NominalApplied
from contracts.calendar import DayOpened
from contracts.enrollment import ChildEnrolled, EnrollmentCancelled, EnrollmentEnded
from contracts.navigator import ChildRegistered
from contracts.payers import CategorySet, PeriodOpened, PolicySet, RulesPublished
from contracts.vocabulary import (
    CategoryId,
    CertificateNumber,
    CertificateState,
    ChildId,
    Kopecks,
    PeriodId,
)
from rulebook.overlay import NO_OVERLAYS, Overlays
from services.certificates import wire
from services.certificates.domain import facts
from services.certificates.domain.category import Category, Held
from services.certificates.domain.certificate import Certificate, Grant
from services.certificates.domain.child import Child
from services.certificates.domain.decisions import Holder, Waiting
from services.certificates.domain.number import Counter
from services.certificates.domain.period import Period, Policy
from services.certificates.domain.rules import Publication
from streaming.service import Service
from streaming.view import State, View

STATE_VERSION = 1

BIRTHDAY = "birthday"
RAISE = "raise"
QUEUE = "queue"
"""Due work: an 18th birthday, a raise under way, a queue that may move."""

COUNTER_ID = "numbers"
PAGE_MEMBERS = 500
"""So many members of an index are looked at in one step."""

KINDS: MappingProxyType[str, type[Any]] = MappingProxyType(
    {
        "child": Child,
        "certificate": Certificate,
        "grant": Grant,
        "period": Period,
        "policy": Policy,
        "category": Category,
        "counter": Counter,
        "publication": Publication,
    }
)

certificates = Service(
    name="certificates",
    state_version=STATE_VERSION,
    kinds=KINDS,
    facts=wire.FACTS,
    calendar=DayOpened,
    opened_day=wire.opened_day,
)


# --- names -------------------------------------------------------------------------------------


def child_key(child_id: str) -> str:
    """Return the key under which inputs wait for a child."""
    return f"child:{child_id}"


def period_key(period: str) -> str:
    """Return the key under which inputs wait for a period."""
    return f"period:{period}"


def grant_id(child_id: str, period: str) -> str:
    """Return the id of what a child's certificate grants in a period."""
    return f"{child_id}/{period}"


def category_id(period: str, category: str) -> str:
    """Return the id of a category in a period; also what its due work refers to."""
    return f"{period}/{category}"


def _birthday_ref(number: str, child_id: str) -> str:
    # Certificates are closed in order of number (docs/rules.md, section 2).
    return f"{number}/{child_id}"


def _after(prefix: str) -> str:
    """Return the first text behind all that begin with the prefix."""
    return f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"


# --- what views show ---------------------------------------------------------------------------


def find_category(view: View, period: str, category: str) -> Category:
    """Return the state of a category, an untouched one if nobody spoke of it yet."""
    return view.find(Category, category_id(period, category)) or Category()


def has_agreement(view: View, child_id: str) -> bool:
    """Return whether an enrollment of the child is enrolled or active."""
    return view.first(f"open/{child_id}") is not None


def is_open(view: View, child_id: str, enrollment_id: str) -> bool:
    """Return whether this enrollment of the child is enrolled or active."""
    return view.first(f"open/{child_id}", enrollment_id, f"{enrollment_id}\0") is not None


def held_below(view: View, id_: str, nominal: Kopecks) -> Iterator[Held]:
    """Yield the nominals below `nominal` that a raise would touch, with how many hold them."""
    index = f"nominal/{id_}"
    start, end = "", _amount(nominal)
    while (member := view.first(index, start, end)) is not None:
        amount = member.partition("/")[0]
        start = _after(f"{amount}/")
        count = view.count(index, f"{amount}/", start)
        yield Held(nominal_kopecks=Kopecks(int(amount)), certificates=count)


def holders_below(view: View, id_: str, category: Category, holders_max: int) -> list[Holder]:
    """Return the next of those whom the raise under way touches, in order of number."""
    assert category.limits is not None
    found: list[Holder] = []
    start = _after(f"{category.raised_up_to}/") if category.raised_up_to else ""
    for member in _pages(view, f"number/{id_}", start):
        number, amount, child_id = member.split("/")
        if int(amount) < category.limits.nominal_kopecks:
            found.append(
                Holder(
                    child_id=ChildId(child_id),
                    number=CertificateNumber(number),
                    nominal_kopecks=Kopecks(int(amount)),
                )
            )
            if len(found) == holders_max:
                break
    return found


def waiting(view: View, id_: str, waiting_max: int) -> list[Waiting]:
    """Return the next who wait for money of a category, first come first."""
    found = []
    for turn in view.members(f"queue/{id_}", members_max=waiting_max):
        _, child_id, number = turn.split("/")
        found.append(Waiting(child_id=ChildId(child_id), number=CertificateNumber(number)))
    return found


def overlays(
    view: View, table: str, day: date, is_whole: Callable[[str, Mapping[str, object]], bool]
) -> Overlays:
    """Return what the payer published for a table and what holds on the day, if anything does."""
    for member in _pages(view, f"rules/{table}", _backwards(day)):
        publication = view.get(Publication, f"{table}/{member}")
        if is_whole(table, publication.data):
            return Overlays.from_data((publication.data,))
    return NO_OVERLAYS


def _pages(view: View, index: str, start: str) -> Iterator[str]:
    while True:
        members = view.members(index, start, None, PAGE_MEMBERS)
        yield from members
        if len(members) < PAGE_MEMBERS:
            return
        start = f"{members[-1]}\0"


def _amount(nominal: int) -> str:
    return f"{nominal:013d}"


def _backwards(day: date) -> str:
    # Index members are read upwards: the latest day comes first.
    return f"{date.max.toordinal() - day.toordinal():07d}"


# --- what inputs change ------------------------------------------------------------------------


@certificates.learns(ChildRegistered)
def child_registered(event: ChildRegistered, state: State) -> None:
    """Know the child, and close its certificate on the birthday it has now."""
    child = wire.to_child(event)
    state.put(event.child_id, child)
    certificate = state.find(Certificate, event.child_id)
    if certificate is not None and not certificate.closed:
        ref = _birthday_ref(certificate.number, event.child_id)
        state.not_due(BIRTHDAY, certificate.closes_on, ref)
        state.due_on(BIRTHDAY, child.grown_up_on, ref)
        state.put(event.child_id, certificate.closing_on(child.grown_up_on))
    state.wake(child_key(event.child_id))


@certificates.learns(PeriodOpened)
def period_opened(event: PeriodOpened, state: State) -> None:
    """Know the period."""
    state.put(event.period, wire.to_period(event))
    state.wake(period_key(event.period))


@certificates.learns(PolicySet)
def policy_set(event: PolicySet, state: State) -> None:
    """Know when certificates of a period are funded."""
    state.put(event.period, wire.to_policy(event))


@certificates.learns(RulesPublished)
def rules_published(event: RulesPublished, state: State) -> None:
    """Keep the rows a payer published."""
    member = f"{_backwards(event.from_)}/{_backwards(event.published)}"
    # Sorted: the journal keeps the content of the rows, not the order of their fields.
    data = orjson.loads(orjson.dumps(event.to_data(), option=orjson.OPT_SORT_KEYS))
    state.put(f"{event.table}/{member}", Publication(data=data))
    state.add(f"rules/{event.table}", member)


@certificates.learns(CategorySet)
def category_set(event: CategorySet, state: State) -> None:
    """Take the new limits; raising nominals and moving the queue is work of its own."""
    id_ = category_id(event.period, event.category)
    limits = wire.to_limits(event)
    category = find_category(state, event.period, event.category).after_limits(limits)
    state.put(id_, category)
    if _is_raise_under_way(state, id_, category):
        state.due_on(RAISE, state.day, id_)
    _let_queue_move(state, event.period, event.category)


@certificates.learns(ChildEnrolled)
def child_enrolled(event: ChildEnrolled, state: State) -> None:
    """Know that the child has an enrollment."""
    state.add(f"open/{event.child_id}", event.enrollment_id)


@certificates.learns(EnrollmentEnded)
def enrollment_ended(event: EnrollmentEnded, state: State) -> None:
    """Know that an enrollment of the child is over."""
    state.discard(f"open/{event.child_id}", event.enrollment_id)


@certificates.learns(EnrollmentCancelled)
def enrollment_cancelled(event: EnrollmentCancelled, state: State) -> None:
    """Know that an enrollment of the child came to nothing."""
    state.discard(f"open/{event.child_id}", event.enrollment_id)


@certificates.learns(NominalApplied)
def nominal_applied(event: NominalApplied, state: State) -> None:
    """Know that the payer set this nominal by hand: no raise touches it from now on."""
    grant = state.get(Grant, grant_id(event.child_id, event.period))
    certificate = state.get(Certificate, event.child_id)
    _off_raises(state, event.child_id, certificate.number, event.period, grant)
    state.put(grant_id(event.child_id, event.period), grant.after_correction())


# --- what facts change -------------------------------------------------------------------------


@certificates.evolves(facts.CertificateIssued)
def certificate_issued(fact: facts.CertificateIssued, state: State) -> None:
    """The first certificate of a child: a number is used up, and a birthday ends it."""
    counter = state.find(Counter, COUNTER_ID) or Counter()
    state.put(COUNTER_ID, counter.after_one_more())
    closes_on = state.get(Child, fact.child_id).grown_up_on
    state.put(fact.child_id, Certificate(number=fact.certificate_number, closes_on=closes_on))
    state.due_on(BIRTHDAY, closes_on, _birthday_ref(fact.certificate_number, fact.child_id))
    _granted(fact, state)


@certificates.evolves(facts.CertificateRenewed)
def certificate_renewed(fact: facts.CertificateRenewed, state: State) -> None:
    """The certificate holds in one more period."""
    _granted(fact, state)


def _granted(fact: facts.CertificateIssued | facts.CertificateRenewed, state: State) -> None:
    grant = Grant(category=fact.category, state=fact.state, nominal_kopecks=fact.nominal_kopecks)
    state.put(grant_id(fact.child_id, fact.period), grant)
    state.add(f"periods/{fact.child_id}", fact.period)
    if fact.state is CertificateState.FUNDED:
        _funded(state, fact.child_id, fact.certificate_number, fact.period, grant)


@certificates.evolves(facts.CertificateQueued)
def certificate_queued(fact: facts.CertificateQueued, state: State) -> None:
    """The certificate takes its turn at the end of the queue."""
    id_ = category_id(fact.period, fact.category)
    turn = f"{state.journalseq:015d}/{fact.child_id}/{fact.certificate_number}"
    grant = state.get(Grant, grant_id(fact.child_id, fact.period))
    state.put(grant_id(fact.child_id, fact.period), grant.after_queueing(fact.category, turn))
    state.put(id_, find_category(state, fact.period, fact.category).after_queueing())
    if not state.get(Certificate, fact.child_id).frozen:
        state.add(f"queue/{id_}", turn)


@certificates.evolves(facts.CertificateFunded)
def certificate_funded(fact: facts.CertificateFunded, state: State) -> None:
    """The certificate has money and waits no more."""
    id_ = category_id(fact.period, fact.category)
    grant = state.get(Grant, grant_id(fact.child_id, fact.period))
    _off_queue(state, fact.period, grant)
    grant = grant.after_funding(fact.category, fact.nominal_kopecks)
    state.put(grant_id(fact.child_id, fact.period), grant)
    _funded(state, fact.child_id, fact.certificate_number, fact.period, grant)
    if not _may_move(state, fact.period, fact.category):
        state.not_due(QUEUE, state.day, id_)


@certificates.evolves(facts.NominalChanged)
def nominal_changed(fact: facts.NominalChanged, state: State) -> None:
    """The nominal moved by a difference, by a raise or by the payer's own hand."""
    grant = state.get(Grant, grant_id(fact.child_id, fact.period))
    id_ = category_id(fact.period, grant.category)
    category = find_category(state, fact.period, grant.category)
    category = category.after_change(fact.nominal_kopecks, fact.previous_kopecks)
    changed = grant.after_change(fact.nominal_kopecks)
    if not grant.corrected:
        category = category.after_raise_of(fact.certificate_number)
        _off_raises(state, fact.child_id, fact.certificate_number, fact.period, grant)
        _onto_raises(state, fact.child_id, fact.certificate_number, fact.period, changed)
    state.put(id_, category)
    state.put(grant_id(fact.child_id, fact.period), changed)
    if not _is_raise_under_way(state, id_, category):
        state.not_due(RAISE, state.day, id_)
    if fact.nominal_kopecks < fact.previous_kopecks:
        _let_queue_move(state, fact.period, grant.category)


@certificates.evolves(facts.CertificateFrozen)
def certificate_frozen(fact: facts.CertificateFrozen, state: State) -> None:
    """The queue passes the certificate over; its turn is kept."""
    state.put(fact.child_id, state.get(Certificate, fact.child_id).after_freeze(frozen=True))
    for period, grant in _grants(state, fact.child_id):
        if grant.turn is not None:
            state.discard(f"queue/{category_id(period, grant.category)}", grant.turn)


@certificates.evolves(facts.CertificateUnfrozen)
def certificate_unfrozen(fact: facts.CertificateUnfrozen, state: State) -> None:
    """The certificate has its old turn: whatever it waits for may be there already."""
    state.put(fact.child_id, state.get(Certificate, fact.child_id).after_freeze(frozen=False))
    for period, grant in _grants(state, fact.child_id):
        if grant.turn is not None:
            state.add(f"queue/{category_id(period, grant.category)}", grant.turn)
            _let_queue_move(state, period, grant.category)


@certificates.evolves(facts.CertificateClosed)
def certificate_closed(fact: facts.CertificateClosed, state: State) -> None:
    """Places are free again, money that was granted is not; a queue is left."""
    certificate = state.get(Certificate, fact.child_id)
    ref = _birthday_ref(certificate.number, fact.child_id)
    state.not_due(BIRTHDAY, certificate.closes_on, ref)
    state.put(fact.child_id, certificate.after_closing())
    for period, grant in _grants(state, fact.child_id):
        if grant.is_funded:
            _off_raises(state, fact.child_id, certificate.number, period, grant)
            id_ = category_id(period, grant.category)
            state.put(id_, find_category(state, period, grant.category).after_leaving())
            _let_queue_move(state, period, grant.category)
        elif grant.turn is not None:
            _off_queue(state, period, grant)
            state.put(grant_id(fact.child_id, period), grant.after_leaving_queue())


def _grants(view: View, child_id: str) -> Iterable[tuple[PeriodId, Grant]]:
    for period in _pages(view, f"periods/{child_id}", ""):
        yield PeriodId(period), view.get(Grant, grant_id(child_id, period))


def _funded(
    state: State, child_id: ChildId, number: CertificateNumber, period: PeriodId, grant: Grant
) -> None:
    id_ = category_id(period, grant.category)
    category = find_category(state, period, grant.category)
    state.put(id_, category.after_grant(grant.nominal_kopecks))
    _onto_raises(state, child_id, number, period, grant)


def _onto_raises(
    state: State, child_id: ChildId, number: CertificateNumber, period: PeriodId, grant: Grant
) -> None:
    by_number, by_nominal = _raise_members(child_id, number, grant)
    id_ = category_id(period, grant.category)
    state.add(f"number/{id_}", by_number)
    state.add(f"nominal/{id_}", by_nominal)


def _off_raises(
    state: State, child_id: ChildId, number: CertificateNumber, period: PeriodId, grant: Grant
) -> None:
    by_number, by_nominal = _raise_members(child_id, number, grant)
    id_ = category_id(period, grant.category)
    state.discard(f"number/{id_}", by_number)
    state.discard(f"nominal/{id_}", by_nominal)


def _raise_members(child_id: ChildId, number: CertificateNumber, grant: Grant) -> tuple[str, str]:
    amount = _amount(grant.nominal_kopecks)
    return f"{number}/{amount}/{child_id}", f"{amount}/{number}"


def _off_queue(state: State, period: PeriodId, grant: Grant) -> None:
    if grant.turn is None:
        return
    id_ = category_id(period, grant.category)
    state.discard(f"queue/{id_}", grant.turn)
    state.put(id_, find_category(state, period, grant.category).after_dequeueing())


def _is_raise_under_way(view: View, id_: str, category: Category) -> bool:
    if category.limits is None:
        return False
    end = _amount(category.limits.nominal_kopecks)
    return view.first(f"nominal/{id_}", "", end) is not None


def _may_move(view: View, period: str, category: str) -> bool:
    known = find_category(view, period, category)
    return (
        known.obstacle is None and view.first(f"queue/{category_id(period, category)}") is not None
    )


def _let_queue_move(state: State, period: PeriodId, category: CategoryId) -> None:
    """Look at a queue today, if somebody waits and may get something; it ends with the period."""
    ended = state.get(Period, period).has_ended(state.day)
    if not ended and _may_move(state, period, category):
        state.due_on(QUEUE, state.day, category_id(period, category))
