"""What a payer has settled: its periods, their closing, its frame agreements, its own rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from contracts.vocabulary import FrameAgreementState, InputRefusal, PeriodId, ProviderId

NOTICE_OF_CLOSING = timedelta(days=2)
"""A payer closes the enrollment at least so long after the day it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """An accounting period, both days within it."""

    period: PeriodId
    starts_on: date
    ends_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """From `closes_on` on no place is held for agreements of the period. The last word counts."""

    period: PeriodId
    closes_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAgreement:
    """Whether the payer pays this provider in this period."""

    provider_id: ProviderId
    period: PeriodId
    state: FrameAgreementState


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Rows a payer published for a table, as they came."""

    table: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTables:
    """The tables a payer has published rows for; most have none, and need not be searched."""

    tables: tuple[str, ...] = ()


def containing(periods: Iterable[Period], day: date) -> Period | None:
    """Return the period that contains the day; of several the one that began last."""
    holding = [period for period in periods if period.starts_on <= day <= period.ends_on]
    return max(holding, key=lambda period: (period.starts_on, period.period), default=None)


def hindrance_to_closing(closes_on: date, day: date) -> InputRefusal | None:
    """Return why enrollment cannot be closed on that day; families need time to apply."""
    return InputRefusal.TOO_LATE if closes_on < day + NOTICE_OF_CLOSING else None
