"""Whom a fact is told to, and how they want to be told. `docs/rules.md`, section 9."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time

from contracts.vocabulary import Channel, GuardianId, ProviderId
from services.notifications.domain.hours import QUIET_FROM, QUIET_UNTIL, after_quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """Who acts for a child."""

    guardian_ids: tuple[GuardianId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Whose group it is."""

    provider_id: ProviderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """The provider of an enrollment, as soon as a fact named it, and what was said already."""

    provider_id: ProviderId | None = None
    lessons_low: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How a guardian wants to be told; without any, in the cabinet and not at night."""

    channels: Mapping[str, tuple[Channel, ...]] = field(default_factory=dict)
    quiet_from: time = QUIET_FROM
    quiet_until: time = QUIET_UNTIL

    def channels_for(self, category: str) -> tuple[Channel, ...]:
        """Return the channels for a category; none if the guardian wants none."""
        return self.channels.get(category, (Channel.CABINET,))

    def not_before(self, at: datetime, *, urgent: bool) -> datetime:
        """Return when a message may come; what is urgent may come at night."""
        return at if urgent else after_quiet(at, self.quiet_from, self.quiet_until)


USUAL = Preferences()
"""Of guardians who said nothing, and of providers and payers."""
