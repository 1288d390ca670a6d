"""What a payer has settled: its periods, their closing, its frame agreements, its own rules."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from msgspec import Struct

from contracts.vocabulary import FrameAgreementState, InputRefusal, PeriodId, ProviderId

NOTICE_OF_CLOSING = timedelta(days=2)
"""A payer closes the enrollment at least so long after the day it says so."""


class Period(Struct, frozen=True, kw_only=True):
    """An accounting period, both days within it."""

    period: PeriodId
    starts_on: date
    ends_on: date


class Closing(Struct, frozen=True, kw_only=True):
    """From `closes_on` on no place is held for agreements of the period. The last word counts."""

    period: PeriodId
    closes_on: date


class FrameAgreement(Struct, frozen=True, kw_only=True):
    """Whether the payer pays this provider in this period."""

    provider_id: ProviderId
    period: PeriodId
    state: FrameAgreementState


class Publication(Struct, frozen=True, kw_only=True):
    """Rows a payer published for a table, as they came."""

    table: str
    data: Mapping[str, Any]


class OwnTables(Struct, frozen=True, kw_only=True):
    """The tables a payer has published rows for; most have none, and need not be searched."""

    tables: tuple[str, ...] = ()


def containing(periods: Iterable[Period], day: date) -> Period | None:
    """Return the period that contains the day; of several the one that began last."""
    holding = [period for period in periods if period.starts_on <= day <= period.ends_on]
    return max(holding, key=lambda period: (period.starts_on, period.period), default=None)


def hindrance_to_closing(closes_on: date, day: date) -> InputRefusal | None:
    """Return why enrollment cannot be closed on that day; families need time to apply."""
    return InputRefusal.TOO_LATE if closes_on < day + NOTICE_OF_CLOSING else None
