"""Groups, their places and waiting lists, and providers, from the journal of enrollment.

Each `group-changed` is one step; the difference to the one before says which. One more taken or
waiting, one less taken or waiting: the enrollment that asked; one more taken and one less waiting:
the first of the waiting list.
"""

from msgspec.structs import replace

from contracts.commands import PlaceRequested, PlaceReturned
from contracts.enrollment import GroupChanged
from contracts.envelope import Envelope
from contracts.navigator import GroupPublished, ProviderRegistered
from contracts.payers import EnrollmentClosed
from contracts.vocabulary import ProviderState, Service
from services.cabinet.projections.models import (
    GROUPS,
    GROUPS_IN,
    GROUPS_OF,
    PROVIDERS,
    Group,
    Provider,
    Turn,
    member,
    numbered,
    under,
    waiting_list,
)
from services.cabinet.projections.projection import (
    accepts,
    cabinet,
    decides,
    payer_of,
    seq_of,
)
from streaming.follower import Models

decides(Service.ENROLLMENT, EnrollmentClosed)


@accepts(Service.ENROLLMENT, ProviderRegistered)
def provider_registered(event: ProviderRegistered, envelope: Envelope, models: Models) -> None:
    """A provider is known by its title."""
    home = payer_of(envelope)
    models.put(
        under(home, event.provider_id),
        Provider(title=event.title, suspended=event.state is ProviderState.SUSPENDED),
    )
    models.add(PROVIDERS, member(event.provider_id, home))


@accepts(Service.ENROLLMENT, GroupPublished)
def group_published(event: GroupPublished, envelope: Envelope, models: Models) -> None:
    """A group is offered, or its terms have changed; its numbers come with the facts."""
    home = payer_of(envelope)
    known = models.find(Group, under(home, event.group_id))
    published = Group(
        provider_id=event.provider_id,
        title=event.title,
        registry=event.registry.value,
        direction=event.direction.value,
        age_min=event.age_min,
        age_max=event.age_max,
        starts_on=event.starts_on,
        ends_on=event.ends_on,
        lessons_total=event.lessons_total,
        price_kopecks=event.price_kopecks,
        normative_kopecks=event.normative_kopecks,
        enrollment_open=event.enrollment_open,
        auto_accept=event.auto_accept,
    )
    if known is not None:
        published = replace(
            published,
            capacity=known.capacity,
            taken=known.taken,
            waiting=known.waiting,
            asking=known.asking,
            asking_payer=known.asking_payer,
        )
        if known.provider_id != event.provider_id:
            models.discard(GROUPS_OF, member(known.provider_id, home, event.group_id))
    models.put(under(home, event.group_id), published)
    models.add(GROUPS, member(event.group_id, home))
    models.add(GROUPS_IN, member(home, event.group_id))
    models.add(GROUPS_OF, member(event.provider_id, home, event.group_id))


@cabinet.of_input(Service.ENROLLMENT, PlaceRequested)
def place_requested(event: PlaceRequested, envelope: Envelope, models: Models) -> None:
    """Keep who asks: the fact that follows has only the group's numbers."""
    _ask(event.group_id, event.enrollment_id, event.child_payer, envelope, models)


@cabinet.of_input(Service.ENROLLMENT, PlaceReturned)
def place_returned(event: PlaceReturned, envelope: Envelope, models: Models) -> None:
    """Keep who gives back: the fact that follows has only the group's numbers."""
    _ask(event.group_id, event.enrollment_id, None, envelope, models)


def _ask(
    group_id: str, enrollment_id: str, payer: str | None, envelope: Envelope, models: Models
) -> None:
    id_ = under(payer_of(envelope), group_id)
    group = models.find(Group, id_)
    if group is not None:
        models.put(id_, replace(group, asking=enrollment_id, asking_payer=payer))


@cabinet.of(GroupChanged)
def group_changed(fact: GroupChanged, envelope: Envelope, models: Models) -> None:
    """Follow one step of places and waiting list."""
    home = payer_of(envelope)
    known = models.find(Group, under(home, fact.group_id))
    if known is None:
        raise LookupError(f"{envelope.id}: group {fact.group_id} was never published")
    match fact.taken - known.taken, fact.waiting - known.waiting:
        case 0, 1:
            _join(home, fact.group_id, known, envelope, models)
        case 0, -1:
            _leave(home, known.asking or "", models)
        case 1, -1:
            _serve_first(home, fact.group_id, models)
        case _:
            # Places were taken or given back, or the capacity changed: nobody's turn did.
            pass
    models.put(
        under(home, fact.group_id),
        replace(known, capacity=fact.capacity, taken=fact.taken, waiting=fact.waiting),
    )


def _join(home: str, group_id: str, group: Group, envelope: Envelope, models: Models) -> None:
    asking = group.asking or ""
    entry = member(numbered(seq_of(envelope)), group.asking_payer or "", asking)
    models.put(under(home, asking), Turn(group_id=group_id, member=entry))
    models.add(waiting_list(home, group_id), entry)


def _leave(home: str, enrollment_id: str, models: Models) -> None:
    turn = models.find(Turn, under(home, enrollment_id))
    if turn is not None:
        models.discard(waiting_list(home, turn.group_id), turn.member)
        models.remove(Turn, under(home, enrollment_id))


def _serve_first(home: str, group_id: str, models: Models) -> None:
    for first in models.members(waiting_list(home, group_id), members_max=1):
        _leave(home, first.rpartition("|")[2], models)
