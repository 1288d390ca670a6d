"""What can happen to a certificate. Facts are never edited, only added.

Names and order of the fields are those of `contracts/certificates.py` (docs/events.md, section 4).
"""

from collections.abc import Mapping
from datetime import date
from typing import TypeAlias

from msgspec import Struct

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


class CertificateIssued(Struct, frozen=True, kw_only=True):
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


class CertificateRenewed(Struct, frozen=True, kw_only=True):
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


class CertificateQueued(Struct, frozen=True, kw_only=True):
    """A certificate without money waits for a vacancy of its category; position 1 is the next."""

    child_id: ChildId
    certificate_number: CertificateNumber
    category: CategoryId
    period: PeriodId
    position: int
    why: Why


class CertificateFunded(Struct, frozen=True, kw_only=True):
    """A certificate without money got its nominal."""

    child_id: ChildId
    certificate_number: CertificateNumber
    category: CategoryId
    period: PeriodId
    nominal_kopecks: Kopecks
    why: Why


class CertificateRefused(Struct, frozen=True, kw_only=True):
    """A child gets no certificate; `enrollment_id` is the enrollment this answers, if one asked."""

    child_id: ChildId
    enrollment_id: EnrollmentId | None = None
    reason: CertificateRefusal
    why: Why


class CertificateFrozen(Struct, frozen=True, kw_only=True):
    """A certificate gets no reserve from now on."""

    child_id: ChildId
    certificate_number: CertificateNumber
    reason: str


class CertificateUnfrozen(Struct, frozen=True, kw_only=True):
    """A freeze was lifted."""

    child_id: ChildId
    certificate_number: CertificateNumber
    reason: str


class NominalChanged(Struct, frozen=True, kw_only=True):
    """The nominal of a certificate in a period changed, by the difference of the two sums."""

    child_id: ChildId
    certificate_number: CertificateNumber
    period: PeriodId
    nominal_kopecks: Kopecks
    previous_kopecks: Kopecks
    reason: str


class CertificateClosed(Struct, frozen=True, kw_only=True):
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
