"""Events certificates publishes on `certificates.events.v1`, keyed by the payer of the child.

`docs/events.md`, section 4.
"""

from typing import ClassVar

from pydantic import Field

from contracts.fields import (
    CategoryId,
    CertificateNumber,
    CertificateRefusal,
    CertificateState,
    ChildId,
    CloseReason,
    Date,
    EnrollmentId,
    GuardianId,
    Kopecks,
    Many,
    PeriodId,
    Position,
    Text,
)
from contracts.published import PublishedFact, Why


class _CertificateFact(PublishedFact):
    subject_field: ClassVar[str] = "child_id"

    child_id: ChildId


class CertificateIssued(_CertificateFact):
    """A child has a certificate, for the first time."""

    type: ClassVar[str] = "certificates.certificate-issued.v1"

    certificate_number: CertificateNumber
    state: CertificateState
    category: CategoryId
    period: PeriodId
    valid_from: Date
    valid_until: Date
    nominal_kopecks: Kopecks
    guardian_ids: Many[GuardianId] = Field(max_length=4)
    why: Why


class CertificateQueued(_CertificateFact):
    """A certificate without money waits for a vacancy of its category."""

    type: ClassVar[str] = "certificates.certificate-queued.v1"

    certificate_number: CertificateNumber
    category: CategoryId
    period: PeriodId
    position: Position = Field(description="1 is the next")
    why: Why


class CertificateFunded(_CertificateFact):
    """A certificate without money got its nominal: ACCOUNTING became FUNDED."""

    type: ClassVar[str] = "certificates.certificate-funded.v1"

    certificate_number: CertificateNumber
    category: CategoryId
    period: PeriodId
    nominal_kopecks: Kopecks
    why: Why


class CertificateRefused(_CertificateFact):
    """A child gets no certificate."""

    type: ClassVar[str] = "certificates.certificate-refused.v1"

    enrollment_id: EnrollmentId | None = Field(
        default=None, description="The enrollment this answers, if one asked"
    )
    reason: CertificateRefusal
    why: Why


class CertificateFrozen(_CertificateFact):
    """A certificate gets no reserve from now on."""

    type: ClassVar[str] = "certificates.certificate-frozen.v1"

    certificate_number: CertificateNumber
    reason: Text


class CertificateUnfrozen(_CertificateFact):
    """A freeze was lifted."""

    type: ClassVar[str] = "certificates.certificate-unfrozen.v1"

    certificate_number: CertificateNumber
    reason: Text


class NominalChanged(_CertificateFact):
    """The nominal of a certificate in a period changed."""

    type: ClassVar[str] = "certificates.nominal-changed.v1"

    certificate_number: CertificateNumber
    period: PeriodId
    nominal_kopecks: Kopecks
    previous_kopecks: Kopecks
    reason: Text


class CertificateRenewed(_CertificateFact):
    """A child's certificate holds in a later period, under the same number."""

    type: ClassVar[str] = "certificates.certificate-renewed.v1"

    certificate_number: CertificateNumber
    state: CertificateState
    category: CategoryId
    period: PeriodId
    valid_from: Date
    valid_until: Date
    nominal_kopecks: Kopecks
    why: Why


class CertificateClosed(_CertificateFact):
    """A certificate came to its end with the 18th birthday."""

    type: ClassVar[str] = "certificates.certificate-closed.v1"

    certificate_number: CertificateNumber
    reason: CloseReason
