"""Places in a group and who waits for one. `docs/rules.md`, section 3, *On place-requested*.

Decided in the partition of the provider's municipality, for children of whatever payer.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import (
    ApplicationRefusal,
    EnrollmentId,
    GroupId,
    PayerCode,
    PlaceAnswer,
    ProviderId,
    ProviderState,
)
from services.enrollment.domain.commands import PlaceAnswered, PlaceRequested, To
from services.enrollment.domain.facts import GroupChanged
from services.enrollment.domain.terms import Terms

Effects: TypeAlias = tuple[GroupChanged | To, ...]


class Provider(Struct, frozen=True, kw_only=True):
    """Who teaches, registered in this municipality."""

    provider_id: ProviderId
    state: ProviderState


class Asking(Struct, frozen=True, kw_only=True):
    """The enrollment of the last command about a group, and its child's payer."""

    enrollment_id: EnrollmentId
    child_payer: PayerCode


class Group(Struct, frozen=True, kw_only=True):
    """A group with its numbers. `taken` may exceed a capacity that was lowered later."""

    terms: Terms
    capacity: int
    enrollment_open: bool
    taken: int = 0
    waiting: int = 0
    asking: Asking | None = None

    @property
    def vacant(self) -> int:
        """How many places can be given away."""
        return max(0, self.capacity - self.taken)

    @property
    def owes_a_place(self) -> bool:
        """Whether somebody waits although there is a place."""
        return self.enrollment_open and self.waiting > 0 and self.vacant > 0


class Standing(StrEnum):
    """What an enrollment has in a group."""

    TAKEN = "taken"
    WAITING = "waiting"


class Place(Struct, frozen=True, kw_only=True):
    """A place an enrollment has, or its turn in the waiting list. Gone when returned.

    `ticket` orders the waiting list; it is kept so that a returned turn finds its entry.
    """

    enrollment_id: EnrollmentId
    child_payer: PayerCode
    group_id: GroupId
    standing: Standing
    ticket: int


class Step(StrEnum):
    """What a `group-changed` says, seen against the numbers before."""

    CAPACITY = "capacity"
    TOOK = "took"
    JOINED = "joined"
    GAVE_BACK = "gave back"
    LEFT = "left"
    MOVED_UP = "moved up"


_STEPS = {
    (0, 0): Step.CAPACITY,
    (1, 0): Step.TOOK,
    (0, 1): Step.JOINED,
    (-1, 0): Step.GAVE_BACK,
    (0, -1): Step.LEFT,
    (1, -1): Step.MOVED_UP,
}


def step(group: Group, fact: GroupChanged) -> Step:
    """Return which step a fact is."""
    return _STEPS[fact.taken - group.taken, fact.waiting - group.waiting]


def evolve(group: Group, fact: GroupChanged) -> Group:
    """Return the group after one fact."""
    return replace(group, capacity=fact.capacity, taken=fact.taken, waiting=fact.waiting)


def publish(known: Group | None, published: Group) -> tuple[GroupChanged, ...]:
    """Return what the first or a later revision of a group changes in its places."""
    if known is not None and known.capacity == published.capacity:
        return ()
    return (_changed(published),)


def revised(known: Group | None, published: Group) -> Group:
    """Return the group in its new revision; who has a place keeps it."""
    if known is None:
        return published
    return replace(published, taken=known.taken, waiting=known.waiting, asking=known.asking)


def asked(group: Group, asking: Asking) -> Group:
    """Return the group, knowing whom the next fact is about."""
    return replace(group, asking=asking)


def moved_up(place: Place) -> Place:
    """Return what was a turn in the waiting list as a place."""
    return replace(place, standing=Standing.TAKEN)


def request(
    group: Group | None, provider: Provider | None, place: Place | None, command: PlaceRequested
) -> Effects:
    """Return the answer to a request; `group` is None when it was given up waiting for it."""
    refusal = _refusal(group, provider, place, command)
    if refusal is not None:
        return (_answer(command.child_payer, command.enrollment_id, refusal=refusal),)
    assert group is not None
    if group.vacant > 0:
        taken = replace(group, taken=group.taken + 1)
        return (
            _changed(taken),
            _answer(command.child_payer, command.enrollment_id, held=group.terms),
        )
    joined = replace(group, waiting=group.waiting + 1)
    return (
        _changed(joined),
        _answer(command.child_payer, command.enrollment_id, position=joined.waiting),
    )


def _refusal(
    group: Group | None, provider: Provider | None, place: Place | None, command: PlaceRequested
) -> ApplicationRefusal | None:
    if group is None:
        return ApplicationRefusal.GROUP_CLOSED
    if place is not None:
        # Another payer's child under the same id: the first keeps what it has.
        return ApplicationRefusal.ALREADY_ENROLLED
    if not is_active(provider):
        return ApplicationRefusal.PROVIDER_SUSPENDED
    if not group.enrollment_open:
        return ApplicationRefusal.GROUP_CLOSED
    if group.vacant == 0 and not command.waitlist_ok:
        return ApplicationRefusal.GROUP_FULL
    return None


def is_active(provider: Provider | None) -> bool:
    """Return whether a provider may take children; an unknown one may not."""
    return provider is not None and provider.state is ProviderState.ACTIVE


def give_back(
    group: Group, provider: Provider | None, place: Place, first_in_line: Place | None
) -> Effects:
    """Return what follows when a place or a turn is given back; the first who waits is served."""
    if place.standing is Standing.WAITING:
        return (_changed(replace(group, waiting=group.waiting - 1)),)
    free = replace(group, taken=group.taken - 1)
    if first_in_line is None:
        return (_changed(free),)
    return (_changed(free), *serve(free, provider, (first_in_line,)))


def serve(group: Group, provider: Provider | None, line: Iterable[Place]) -> Effects:
    """Return the places given to the first who wait, as many as there are."""
    return tuple(_served(group, line)) if is_active(provider) else ()


def _served(group: Group, line: Iterable[Place]) -> Iterator[GroupChanged | To]:
    for place in line:
        if not group.owes_a_place:
            return
        group = replace(group, taken=group.taken + 1, waiting=group.waiting - 1)
        yield _changed(group)
        yield _answer(place.child_payer, place.enrollment_id, held=group.terms)


def _changed(group: Group) -> GroupChanged:
    return GroupChanged(
        group_id=group.terms.group_id,
        capacity=group.capacity,
        taken=group.taken,
        waiting=group.waiting,
    )


def _answer(
    child_payer: PayerCode,
    enrollment_id: EnrollmentId,
    *,
    held: Terms | None = None,
    position: int | None = None,
    refusal: ApplicationRefusal | None = None,
) -> To:
    if held is not None:
        answer = PlaceAnswer.HELD
    elif position is not None:
        answer = PlaceAnswer.WAITLISTED
    else:
        answer = PlaceAnswer.REFUSED
    return To(
        child_payer,
        PlaceAnswered(
            enrollment_id=enrollment_id,
            answer=answer,
            reason=refusal,
            position=position,
            terms=held,
        ),
    )
