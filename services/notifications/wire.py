"""Between the contracts and the domain. Old versions are lifted here and nowhere else."""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from msgspec.structs import replace

from contracts import billing, enrollment
from contracts import notifications as published
from contracts.calendar import DayOpened
from contracts.envelope import EventData
from contracts.moments import read_moment
from contracts.navigator import PreferencesSet
from contracts.vocabulary import DisputeOutcome, Kopecks
from services.notifications.domain import facts
from services.notifications.domain.hours import QUIET_FROM, QUIET_UNTIL, REGION, REGION_MINUTES
from services.notifications.domain.occasion import DISPUTE_UPHELD, HELD_AT_ONCE, Occasion
from services.notifications.domain.people import Preferences

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
        utc_offset_minutes=_minutes(event.utc_offset),
        digest=event.digest,
    )


def _minutes(utc_offset: str | None) -> int:
    if utc_offset is None:
        return REGION_MINUTES
    minutes = int(utc_offset[1:3]) * 60 + int(utc_offset[4:])
    return -minutes if utc_offset.startswith("-") else minutes


def to_occasion(event: EventData) -> Occasion:
    """Return what a fact of another service is about; the table calls it by its type."""
    # To ask a model of pydantic for what it has not costs more than all the rest.
    said = vars(event)
    occasion = Occasion(
        word=event.type.rpartition(".")[0],
        child_id=said.get("child_id"),
        enrollment_id=said.get("enrollment_id"),
        group_id=said.get("group_id"),
        provider_id=vars(said.get("terms") or event).get("provider_id"),
        period=said.get("period"),
    )
    purse = said.get("purse")
    if purse is not None and not isinstance(event, billing.PeriodExpired):
        # What expires is gone with its period: nobody needs to hear that it ran low.
        occasion = replace(
            occasion,
            nominal_kopecks=purse.nominal_kopecks,
            balance_kopecks=purse.balance_kopecks,
        )
    match event:
        case enrollment.PlaceHeld(terms=terms) if terms.auto_accept:
            return replace(occasion, particular=HELD_AT_ONCE)
        case billing.FundsReserved():
            price = Kopecks(event.total_kopecks // max(1, event.lessons))
            return replace(occasion, price_kopecks=price)
        case billing.LessonCharged():
            return replace(occasion, lessons_left=event.lessons_left)
        case (
            billing.MonthCharged()
            | billing.MonthReversed()
            | billing.MonthAdjusted()
            | billing.ReserveReleased()
        ):
            return replace(occasion, moved_kopecks=event.amount_kopecks)
        case billing.DisputeSettled(outcome=DisputeOutcome.UPHELD):
            return replace(occasion, word=DISPUTE_UPHELD)
        case billing.InvoiceIssued():
            return replace(occasion, part=event.part or 1)
        case _:
            return occasion


def to_moment(written: str) -> datetime | None:
    """Return a time of the envelope in the region's zone; None if it is too far out to be one."""
    return read_moment(written, REGION)
