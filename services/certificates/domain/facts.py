"""What can happen to a certificate. Facts are never edited, only added.

Names and order of the fields are those of `contracts/certificates.py` (docs/events.md, section 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from contracts.vocabulary import (
    CategoryId,
    CertificateNumber,
    CertificateRefusal,
    CertificateState,
    ChildId,
    CloseReason,
    EnrollmentId,
    GuardianId,
    Kopecks,
    PeriodId,
)

Why: TypeAlias = Mapping[str, str]
"""Which rule led here: table, from, row, basis, and a text for a parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIssued:
    """A child has a certificate, for the first time."""

    child_id: ChildId
    certificate_number: CertificateNumber
    state: CertificateState
    category: CategoryId
    period: PeriodId
    valid_from: date
    valid_until: date
    nominal_kopecks: Kopecks
    guardian_ids: tuple[GuardianId, ...]
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRenewed:
    """A certificate holds in a later period, under the same number."""

    child_id: ChildId
    certificate_number: CertificateNumber
    state: CertificateState
    category: CategoryId
    period: PeriodId
    valid_from: date
    valid_until: date
    nominal_kopecks: Kopecks
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateQueued:
    """A certificate without money waits for a vacancy of its category; position 1 is the next."""

    child_id: ChildId
    certificate_number: CertificateNumber
    category: CategoryId
    period: PeriodId
    position: int
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFunded:
    """A certificate without money got its nominal."""

    child_id: ChildId
    certificate_number: CertificateNumber
    category: CategoryId
    period: PeriodId
    nominal_kopecks: Kopecks
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRefused:
    """A child gets no certificate; `enrollment_id` is the enrollment this answers, if one asked."""

    child_id: ChildId
    enrollment_id: EnrollmentId | None = None
    reason: CertificateRefusal
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFrozen:
    """A certificate gets no reserve from now on."""

    child_id: ChildId
    certificate_number: CertificateNumber
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateUnfrozen:
    """A freeze was lifted."""

    child_id: ChildId
    certificate_number: CertificateNumber
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NominalChanged:
    """The nominal of a certificate in a period changed, by the difference of the two sums."""

    child_id: ChildId
    certificate_number: CertificateNumber
    period: PeriodId
    nominal_kopecks: Kopecks
    previous_kopecks: Kopecks
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateClosed:
    """A certificate came to its end."""

    child_id: ChildId
    certificate_number: CertificateNumber
    reason: CloseReason


Fact: TypeAlias = (
    CertificateIssued
    | CertificateRenewed
    | CertificateQueued
    | CertificateFunded
    | CertificateRefused
    | CertificateFrozen
    | CertificateUnfrozen
    | NominalChanged
    | CertificateClosed
)
