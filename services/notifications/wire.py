"""Between the contracts and the domain. Old versions are lifted here and nowhere else."""

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from contracts import notifications as published
from contracts.calendar import DayOpened
from contracts.envelope import EventData
from contracts.navigator import PreferencesSet
from services.notifications.domain import facts
from services.notifications.domain.people import QUIET_FROM, QUIET_UNTIL, Preferences

FACTS: Mapping[type[Any], type[EventData]] = {
    facts.MessageDue: published.MessageDue,
    facts.MessageSuppressed: published.MessageSuppressed,
    facts.MessageSent: published.MessageSent,
    facts.MessageFailed: published.MessageFailed,
}
"""What notifications publishes, and as which event."""


def opened_day(event: DayOpened) -> date:
    """Return the business day that begins."""
    return event.date


def to_preferences(event: PreferencesSet) -> Preferences:
    """Return how a guardian wants to be told."""
    return Preferences(
        channels={category: tuple(channels) for category, channels in event.channels.items()},
        quiet_from=QUIET_FROM if event.quiet_from is None else time.fromisoformat(event.quiet_from),
        quiet_until=(
            QUIET_UNTIL if event.quiet_until is None else time.fromisoformat(event.quiet_until)
        ),
    )


def word_of(event: EventData) -> str:
    """Return what the routing table calls a fact: its type without the version."""
    return event.type.rpartition(".")[0]
