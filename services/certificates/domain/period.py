"""An accounting period of a payer, and how certificates are issued in it."""

from datetime import date, timedelta

from msgspec import Struct

from contracts.vocabulary import IssueMode

PARKING_DAYS = 30
"""So many days an input waits for a child or a period that is not known yet. The tables of
docs/rules.md, section 2, give this number to the services that have one for it."""


class Period(Struct, frozen=True, kw_only=True):
    """A period, both days inclusive."""

    starts_on: date
    ends_on: date

    def has_ended(self, day: date) -> bool:
        """Return whether the period is over: its queues end with it."""
        return day > self.ends_on

    def is_closed(self, day: date, grace: timedelta) -> bool:
        """Return whether nominals of the period can no longer change."""
        return day > self.ends_on + grace


class Policy(Struct, frozen=True, kw_only=True):
    """When certificates of a period are funded or queued."""

    issue_mode: IssueMode


DEFAULT_POLICY = Policy(issue_mode=IssueMode.ON_ENROLLMENT)
"""What holds without a policy of the payer (docs/events.md, section 3)."""


def parked_until(first_day: date) -> date:
    """Return the last day on which an input that arrived on `first_day` still waits."""
    return first_day + timedelta(days=PARKING_DAYS)
