"""What notifications keeps, and what its inputs and facts change in it. Nothing is decided here.

Index (of a payer): `rules`, publications of the routing table, the latest first.
"""

from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

from contracts.billing import ChargeReversed, LessonCharged
from contracts.calendar import DayOpened
from contracts.enrollment import AgreementActivated, ApplicationRegistered, PlaceHeld
from contracts.navigator import ChildRegistered, GroupPublished, PreferencesSet
from contracts.payers import RulesPublished
from contracts.vocabulary import ProviderId
from rulebook.overlay import NO_OVERLAYS, Overlays
from services.notifications import wire
from services.notifications.domain.occasion import is_low
from services.notifications.domain.people import Child, Enrollment, Group, Preferences
from services.notifications.domain.rules import Publication
from streaming.service import Service
from streaming.view import State, View

STATE_VERSION = 2
RULES = "rules"


KINDS: MappingProxyType[str, type[Any]] = MappingProxyType(
    {
        "child": Child,
        "group": Group,
        "enrollment": Enrollment,
        "preferences": Preferences,
        "publication": Publication,
    }
)

notifications = Service(
    name="notifications",
    state_version=STATE_VERSION,
    kinds=KINDS,
    facts=wire.FACTS,
    calendar=DayOpened,
    opened_day=wire.opened_day,
)


def child_key(child_id: str) -> str:
    """Return the key under which facts wait for a child's guardians."""
    return f"child:{child_id}"


def overlays(view: View, day: date) -> Overlays:
    """Return what the payer published for the routing and what holds on the day, if anything."""
    member = view.first(RULES, _backwards(day))
    if member is None:
        return NO_OVERLAYS
    return Overlays.from_data((view.get(Publication, member).data,))


def _backwards(day: date) -> str:
    # Index members are read upwards: the latest day comes first.
    return f"{date.max.toordinal() - day.toordinal():07d}"


@notifications.learns(ChildRegistered)
def learn_child(event: ChildRegistered, state: State) -> None:
    """Keep who acts for a child."""
    state.put(event.child_id, Child(guardian_ids=event.guardian_ids))
    state.wake(child_key(event.child_id))


@notifications.learns(GroupPublished)
def learn_group(event: GroupPublished, state: State) -> None:
    """Keep whose group it is."""
    state.put(event.group_id, Group(provider_id=event.provider_id))


@notifications.learns(PreferencesSet)
def learn_preferences(event: PreferencesSet, state: State) -> None:
    """Keep how a guardian wants to be told."""
    state.put(event.guardian_id, wire.to_preferences(event))


@notifications.learns(RulesPublished)
def learn_rules(event: RulesPublished, state: State) -> None:
    """Keep a payer's rows."""
    member = f"{_backwards(event.from_)}/{_backwards(event.published)}"
    state.put(member, Publication(data=event.to_data()))
    state.add(RULES, member)


def _keep_provider(state: State, enrollment_id: str, provider_id: ProviderId | None) -> None:
    known = state.find(Enrollment, enrollment_id) or Enrollment()
    if provider_id is not None and known.provider_id != provider_id:
        state.put(enrollment_id, replace(known, provider_id=provider_id))


@notifications.learns(ApplicationRegistered)
def learn_registered(event: ApplicationRegistered, state: State) -> None:
    """Keep the provider, where its group is of the same municipality."""
    group = state.find(Group, event.group_id)
    _keep_provider(state, event.enrollment_id, None if group is None else group.provider_id)


@notifications.learns(PlaceHeld)
def learn_held(event: PlaceHeld, state: State) -> None:
    """Keep the provider of the place."""
    _keep_provider(state, event.enrollment_id, event.terms.provider_id)


@notifications.learns(AgreementActivated)
def learn_activated(event: AgreementActivated, state: State) -> None:
    """Keep the provider of the agreement."""
    _keep_provider(state, event.enrollment_id, event.provider_id)


def _keep_lessons(state: State, enrollment_id: str, lessons_left: int) -> None:
    known = state.find(Enrollment, enrollment_id) or Enrollment()
    if known.lessons_low != is_low(lessons_left):
        state.put(enrollment_id, replace(known, lessons_low=is_low(lessons_left)))


@notifications.learns(LessonCharged)
def learn_charged(event: LessonCharged, state: State) -> None:
    """Keep whether the family was told that lessons run out."""
    _keep_lessons(state, event.enrollment_id, event.lessons_left)


@notifications.learns(ChargeReversed)
def learn_reversed(event: ChargeReversed, state: State) -> None:
    """A lesson more may be worth a word again later."""
    _keep_lessons(state, event.enrollment_id, event.lessons_left)
