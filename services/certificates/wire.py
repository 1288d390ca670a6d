"""Between the contracts and the domain. Old versions are lifted here and nowhere else."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from contracts import certificates as published
from contracts.calendar import DayOpened
from contracts.envelope import EventData
from contracts.navigator import ChildRegistered
from contracts.payers import CategorySet, PeriodOpened, PolicySet
from services.certificates.domain import facts
from services.certificates.domain.category import Limits
from services.certificates.domain.child import Child
from services.certificates.domain.period import Period, Policy

FACTS: Mapping[type[Any], type[EventData]] = {
    facts.CertificateIssued: published.CertificateIssued,
    facts.CertificateRenewed: published.CertificateRenewed,
    facts.CertificateQueued: published.CertificateQueued,
    facts.CertificateFunded: published.CertificateFunded,
    facts.CertificateRefused: published.CertificateRefused,
    facts.CertificateFrozen: published.CertificateFrozen,
    facts.CertificateUnfrozen: published.CertificateUnfrozen,
    facts.NominalChanged: published.NominalChanged,
    facts.CertificateClosed: published.CertificateClosed,
}
"""What certificates publishes, and as which event."""


def opened_day(event: DayOpened) -> date:
    """Return the business day that begins."""
    return event.date


def to_child(event: ChildRegistered) -> Child:
    """Return what a certificate depends on, of a child."""
    return Child(
        birth_date=event.birth_date,
        guardian_ids=event.guardian_ids,
        benefits=event.benefits,
    )


def to_period(event: PeriodOpened) -> Period:
    """Return the period a payer opened."""
    return Period(starts_on=event.starts_on, ends_on=event.ends_on)


def to_policy(event: PolicySet) -> Policy:
    """Return how certificates of a period are issued."""
    return Policy(issue_mode=event.issue_mode)


def to_limits(event: CategorySet) -> Limits:
    """Return nominal, places and budget of a category."""
    return Limits(
        nominal_kopecks=event.nominal_kopecks,
        places_max=event.places_max,
        budget_max_kopecks=event.budget_max_kopecks,
    )
