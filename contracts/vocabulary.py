"""Ids, units and closed lists as plain types, for the domain as for the contracts.

Standard library only: a domain module may import this and nothing else of the contracts. The
limits of each type stand in `contracts/fields.py`; the words are those of `docs/events.md`.
"""

from enum import StrEnum
from typing import NewType

PayerCode = NewType("PayerCode", str)
"""OKTMO code of a municipality, 8 digits; the partition key of everything that is the payer's."""

ChildId = NewType("ChildId", str)
GuardianId = NewType("GuardianId", str)
ProviderId = NewType("ProviderId", str)
GroupId = NewType("GroupId", str)
ProgrammeId = NewType("ProgrammeId", str)
EnrollmentId = NewType("EnrollmentId", str)
"""Names the application, the agreement and the reserve all their life."""
LessonId = NewType("LessonId", str)
PeriodId = NewType("PeriodId", str)
CategoryId = NewType("CategoryId", str)
BenefitCode = NewType("BenefitCode", str)
CertificateNumber = NewType("CertificateNumber", str)
"""Ten digits; the last one is the Luhn check digit."""
InvoiceId = NewType("InvoiceId", str)
LineReference = NewType("LineReference", str)
MessageId = NewType("MessageId", str)
RecipientId = NewType("RecipientId", str)
"""A guardian, a provider or a payer, as the addressee of a message."""
EventId = NewType("EventId", str)
TableName = NewType("TableName", str)
Month = NewType("Month", str)
"""A calendar month, `YYYY-MM`."""

Kopecks = NewType("Kopecks", int)
"""Money: whole kopecks, never negative."""
SignedKopecks = NewType("SignedKopecks", int)
"""A movement of money: whole kopecks, negative for what goes back."""
Revision = NewType("Revision", int)
"""Raised by the sender with each change, from 1."""

KOPECKS_MAX = 10**12
"""The greatest sum that can be said, in kopecks."""


class ProviderState(StrEnum):
    """Whether a provider may take children."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Registry(StrEnum):
    """The list of programs a group belongs to."""

    CERTIFIED = "certified"
    PREPROFESSIONAL = "preprofessional"
    SIGNIFICANT = "significant"
    GENERAL = "general"
    OTHER = "other"


class Direction(StrEnum):
    """What a program is about."""

    TECHNICAL = "technical"
    SCIENCE = "science"
    SPORT = "sport"
    ARTS = "arts"
    TOURISM = "tourism"
    SOCIAL = "social"


class Consent(StrEnum):
    """What a guardian agreed to with the application."""

    APPLICATION = "application"
    TERMS = "terms"
    PERSONAL_DATA = "personal-data"
    PARENT_SHARE = "parent-share"


class TerminatedBy(StrEnum):
    """Who ends an agreement before its time."""

    GUARDIAN = "guardian"
    PROVIDER = "provider"
    OPERATOR = "operator"


class Channel(StrEnum):
    """How a message reaches its recipient."""

    CABINET = "cabinet"
    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class DeliveryStatus(StrEnum):
    """What a sender reports about a message."""

    SENT = "sent"
    FAILED = "failed"


class FrameAgreementState(StrEnum):
    """Whether payer and provider have a frame agreement for a period."""

    SIGNED = "signed"
    ENDED = "ended"


class DebitBasis(StrEnum):
    """What a reserve is charged by, `docs/rules.md` sections 6 and 7."""

    ATTENDED_LESSONS = "ATTENDED_LESSONS"
    MONTHLY_CONTRACT = "MONTHLY_CONTRACT"


class IssueMode(StrEnum):
    """When a certificate is funded or queued."""

    ON_ENROLLMENT = "ON_ENROLLMENT"
    ON_REQUEST = "ON_REQUEST"


class Mark(StrEnum):
    """What a journal says about a child and a lesson."""

    PRESENT = "present"
    ABSENT = "absent"
    ILL = "ill"
    EXCUSED = "excused"
    CANCELLED = "cancelled"
    MADE_UP = "made-up"


class Evidence(StrEnum):
    """What a mark rests on."""

    JOURNAL = "journal"
    QR = "qr"
    BIOMETRIC = "biometric"
    NONE = "none"


class DisputeGround(StrEnum):
    """Why a family disputes the debit of a lesson."""

    WAS_ABSENT = "was-absent"
    LESSON_CANCELLED = "lesson-cancelled"
    WRONG_CHILD = "wrong-child"


class AnsweredBy(StrEnum):
    """Who answers a dispute."""

    PROVIDER = "provider"
    PAYER = "payer"


class DisputeAnswer(StrEnum):
    """What is answered to a dispute."""

    ATTENDED = "attended"


class DisputeOutcome(StrEnum):
    """How a dispute was settled: the debit was taken back, or it stands."""

    CORRECTED = "corrected"
    UPHELD = "upheld"


class PlaceAnswer(StrEnum):
    """What the group's partition answers to a request for a place."""

    HELD = "held"
    WAITLISTED = "waitlisted"
    REFUSED = "refused"


class EndCause(StrEnum):
    """Why an enrollment ended."""

    COMPLETED = "completed"
    GUARDIAN = "guardian"
    PROVIDER = "provider"
    OPERATOR = "operator"


class CertificateState(StrEnum):
    """Whether a certificate holds money in a period."""

    FUNDED = "FUNDED"
    ACCOUNTING = "ACCOUNTING"


class CloseReason(StrEnum):
    """Why a certificate was closed."""

    AGED_OUT = "aged-out"


class NominalCause(StrEnum):
    """What moved the nominal of a purse."""

    CORRECTED = "corrected"
    CHANGED = "changed"
    FUNDED = "funded"
    RENEWED = "renewed"


class DeadLetterReason(StrEnum):
    """Why a record could not be read as an event. Closed: another reason is a defect."""

    EMPTY = "empty"
    TOMBSTONE = "tombstone"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    DUPLICATE_KEY = "duplicate_key"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_MANY_HEADERS = "too_many_headers"
    BAD_NUMBER = "bad_number"
    BAD_ENVELOPE = "bad_envelope"
    SCHEMA = "schema"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_VERSION = "unknown_version"
    SUBJECT_MISMATCH = "subject_mismatch"
    SOURCE_MISMATCH = "source_mismatch"
    OUT_OF_SCOPE = "out_of_scope"
    OPERATOR_QUARANTINE = "operator_quarantine"


class InputRefusal(StrEnum):
    """Why an input that was read was refused. Closed: another reason is a defect."""

    CONFLICT = "conflict"
    PARK_LIMIT = "park_limit"
    UNKNOWN_CHILD = "unknown_child"
    UNKNOWN_GROUP = "unknown_group"
    UNKNOWN_ENROLLMENT = "unknown_enrollment"
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    UNKNOWN_PERIOD = "unknown_period"
    UNKNOWN_INVOICE = "unknown_invoice"
    NOT_AWAITING_ACCEPTANCE = "not_awaiting_acceptance"
    ALREADY_FINISHED = "already_finished"
    AGREEMENT_NOT_ACTIVE = "agreement_not_active"
    OUTSIDE_AGREEMENT = "outside_agreement"
    FUTURE_LESSON = "future_lesson"
    PERIOD_CLOSED = "period_closed"
    HAS_ACTIVE_AGREEMENT = "has_active_agreement"
    WOULD_GO_NEGATIVE = "would_go_negative"
    WOULD_EXCEED_BUDGET = "would_exceed_budget"
    NOT_FUNDED = "not_funded"
    RULES_INVALID = "rules_invalid"
    TOO_LATE = "too_late"
    OUT_OF_SCOPE = "out_of_scope"


class ApplicationRefusal(StrEnum):
    """Why an application was refused or an enrollment cancelled."""

    TOO_YOUNG = "too_young"
    TOO_OLD = "too_old"
    GUARDIAN_NOT_LINKED = "guardian_not_linked"
    CONSENT_MISSING = "consent_missing"
    ALREADY_ENROLLED = "already_enrolled"
    OUTSIDE_PERIOD = "outside_period"
    ENROLLMENT_CLOSED = "enrollment_closed"
    GROUP_CLOSED = "group_closed"
    GROUP_FULL = "group_full"
    PROVIDER_SUSPENDED = "provider_suspended"
    NOT_CERTIFIED = "not_certified"
    NO_FRAME_AGREEMENT = "no_frame_agreement"
    AGE_OUTSIDE_GROUP = "age_outside_group"
    REJECTED_BY_PROVIDER = "rejected_by_provider"
    WITHDRAWN = "withdrawn"
    HOLD_EXPIRED = "hold_expired"
    PARENT_SHARE_ABOVE_CONSENT = "parent_share_above_consent"
    FRAME_LIMIT_REACHED = "frame_limit_reached"
    CERTIFICATE_FROZEN = "certificate_frozen"
    CERTIFICATE_CLOSED = "certificate_closed"


class FundsRefusal(StrEnum):
    """Why no money was set aside for an enrollment."""

    TOO_YOUNG = "too_young"
    TOO_OLD = "too_old"
    PARENT_SHARE_ABOVE_CONSENT = "parent_share_above_consent"
    FRAME_LIMIT_REACHED = "frame_limit_reached"
    CERTIFICATE_FROZEN = "certificate_frozen"
    CERTIFICATE_CLOSED = "certificate_closed"


class NotCharged(StrEnum):
    """Why a lesson was not charged."""

    ABSENT = "absent"
    ILL = "ill"
    EXCUSED = "excused"
    CANCELLED = "cancelled"
    LESSONS_EXHAUSTED = "lessons_exhausted"
    NO_CERTIFICATE_SHARE = "no_certificate_share"
    MARK_UNCHANGED = "mark_unchanged"


class QueueReason(StrEnum):
    """Why a certificate holds no money yet."""

    NO_VACANCY = "no_vacancy"
    CATEGORY_NOT_SET = "category_not_set"


class CertificateRefusal(StrEnum):
    """Why a child got no certificate."""

    TOO_YOUNG = "too_young"
    TOO_OLD = "too_old"


class Decision(StrEnum):
    """Decisions about an input that are not facts of the business."""

    DUPLICATE = "input-duplicate"
    REFUSED = "input-refused"
    PARKED = "input-parked"
    FORWARDED = "input-forwarded"
    DEAD_LETTERED = "input-dead-lettered"
    NOTED = "input-noted"


class Service(StrEnum):
    """The services that keep a journal."""

    ENROLLMENT = "enrollment"
    CERTIFICATES = "certificates"
    BILLING = "billing"
    NOTIFICATIONS = "notifications"
