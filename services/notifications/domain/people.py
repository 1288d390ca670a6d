"""Whom a fact is told to, and how they want to be told. `docs/rules.md`, section 9."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone

from msgspec import Struct, field

from contracts.vocabulary import Channel, EventId, GuardianId, Kopecks, PeriodId, ProviderId
from services.notifications.domain.hours import (
    QUIET_FROM,
    QUIET_UNTIL,
    REGION,
    REGION_MINUTES,
    after_quiet,
)

NOTHING = Kopecks(0)


class Child(Struct, frozen=True, kw_only=True):
    """Who acts for a child."""

    guardian_ids: tuple[GuardianId, ...]


class Group(Struct, frozen=True, kw_only=True):
    """Whose group it is."""

    provider_id: ProviderId


class Enrollment(Struct, frozen=True, kw_only=True):
    """The provider of an enrollment, as soon as a fact named it, and what was said already.

    `registered_by` and `held_by` are the facts of its application and of its place, the latter
    while the provider owes an answer; `overdue_on` is the day on which that is overdue.
    """

    provider_id: ProviderId | None = None
    period: PeriodId | None = None
    lessons_low: bool = False
    registered_by: EventId | None = None
    held_by: EventId | None = None
    overdue_on: date | None = None


class Purse(Struct, frozen=True, kw_only=True):
    """What a family can be told about the money of a child in a period.

    `price_kopecks` is that of one lesson of the latest agreement; `told_by` the latest fact about
    the money, `certificate_by` the one that says until when it is there.
    """

    nominal_kopecks: Kopecks = NOTHING
    balance_kopecks: Kopecks = NOTHING
    price_kopecks: Kopecks = NOTHING
    told_by: EventId | None = None
    certificate_by: EventId | None = None
    valid_until: date | None = None
    reminded: int | None = None
    """The latest reminder that was given, by its days before the end."""


class About(Struct, frozen=True, kw_only=True):
    """What a fact is about that may be told of later, because of a day: an aggregate's id."""

    id: str


class Digest(Struct, frozen=True, kw_only=True):
    """The debits a guardian is told of together, in order."""

    event_ids: tuple[EventId, ...]


class Preferences(Struct, frozen=True, kw_only=True):
    """How a guardian wants to be told; without any, in the cabinet and not at night."""

    channels: Mapping[str, tuple[Channel, ...]] = field(default_factory=dict)
    quiet_from: time = QUIET_FROM
    quiet_until: time = QUIET_UNTIL
    utc_offset_minutes: int = REGION_MINUTES
    """Of the zone in which these hours are quiet."""
    digest: bool = False
    """Debits are gathered for a day; in the cabinet they disturb nobody and stand at once."""

    def channels_for(self, category: str) -> tuple[Channel, ...]:
        """Return the channels for a category; none if the guardian wants none."""
        return self.channels.get(category, (Channel.CABINET,))

    def not_before(self, at: datetime, *, urgent: bool) -> datetime:
        """Return when a message may come; what is urgent may come at night."""
        if urgent:
            return at
        here = at.astimezone(timezone(timedelta(minutes=self.utc_offset_minutes)))
        return after_quiet(here, self.quiet_from, self.quiet_until).astimezone(REGION)


USUAL = Preferences()
"""Of guardians who said nothing, and of providers and payers."""
