"""Every type of event there is, by its full name."""

from collections.abc import Mapping
from types import MappingProxyType

from contracts import (
    attendance,
    billing,
    calendar,
    certificates,
    commands,
    disputes,
    enrollment,
    navigator,
    notifications,
    payers,
)
from contracts.decisions import DECISIONS
from contracts.envelope import EventData

INPUT_EVENTS: tuple[type[EventData], ...] = (
    navigator.ProviderRegistered,
    navigator.GroupPublished,
    navigator.ChildRegistered,
    navigator.ApplicationSubmitted,
    navigator.ApplicationAccepted,
    navigator.ApplicationRejected,
    navigator.ApplicationWithdrawn,
    navigator.EnrollmentTerminated,
    navigator.CertificateRequested,
    navigator.PreferencesSet,
    payers.PeriodOpened,
    payers.EnrollmentClosed,
    payers.CategorySet,
    payers.FrameAgreementSet,
    payers.PolicySet,
    payers.RulesPublished,
    payers.CertificateFreezeSet,
    payers.NominalCorrected,
    payers.InvoicePaid,
    attendance.LessonMarked,
    disputes.LessonDisputed,
    disputes.DisputeAnswered,
    calendar.DayOpened,
)
"""What comes from outside, in the order of `docs/events.md`."""

COMMAND_EVENTS: tuple[type[EventData], ...] = (
    commands.PlaceRequested,
    commands.PlaceAnswered,
    commands.PlaceReturned,
)
"""What enrollment asks itself across partitions."""

REPORT_EVENTS: tuple[type[EventData], ...] = (notifications.DeliveryReported,)
"""What senders report to notifications."""

FACT_EVENTS: tuple[type[EventData], ...] = (
    enrollment.ApplicationRegistered,
    enrollment.ApplicationRefused,
    enrollment.ApplicationWaitlisted,
    enrollment.PlaceHeld,
    enrollment.ChildEnrolled,
    enrollment.AgreementActivated,
    enrollment.EnrollmentCancelled,
    enrollment.EnrollmentEnded,
    enrollment.GroupChanged,
    certificates.CertificateIssued,
    certificates.CertificateQueued,
    certificates.CertificateFunded,
    certificates.CertificateRefused,
    certificates.CertificateFrozen,
    certificates.CertificateUnfrozen,
    certificates.NominalChanged,
    certificates.CertificateRenewed,
    certificates.CertificateClosed,
    billing.AccountOpened,
    billing.FundsReserved,
    billing.FundsRefused,
    billing.LessonCharged,
    billing.LessonNotCharged,
    billing.ChargeReversed,
    billing.MonthCharged,
    billing.MonthReversed,
    billing.MonthAdjusted,
    billing.ReserveReleased,
    billing.NominalApplied,
    billing.PeriodExpired,
    billing.InvoiceIssued,
    billing.InvoiceSettled,
    billing.DisputeOpened,
    billing.DisputeSettled,
    notifications.MessageDue,
    notifications.MessageSuppressed,
    notifications.MessageSent,
    notifications.MessageFailed,
)
"""What the services publish in their journals beside their decisions about inputs."""

EVENTS: Mapping[str, type[EventData]] = MappingProxyType(
    {event.type: event for event in INPUT_EVENTS + COMMAND_EVENTS + REPORT_EVENTS + FACT_EVENTS}
    | dict(DECISIONS)
)
"""Every type of event by its full name, `<stream>.<fact>.v<n>`."""
