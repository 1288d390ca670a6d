"""A provider as the payer owes it, and its invoices. `docs/rules.md`, section 8."""

from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import (
    CertificateNumber,
    EnrollmentId,
    InvoiceId,
    Kopecks,
    LineReference,
    Month,
    PayerCode,
    ProviderId,
)
from services.billing.domain.facts import InvoiceIssued, InvoiceLine, InvoiceSettled
from services.billing.domain.reserve import Reserve
from services.billing.domain.uninvoiced import EMPTY, Sum, Uninvoiced

LINES_PER_PART_MAX = 100
"""So many lines keep a record well below its limit, and a decision small."""


class Provider(Struct, frozen=True, kw_only=True):
    """What is in no invoice yet of all enrollments with a provider."""

    uninvoiced: Uninvoiced = EMPTY

    def moving(self, month: Month, moved: Sum) -> "Provider":
        """Return the provider after a movement of money."""
        return replace(self, uninvoiced=self.uninvoiced.moving(month, moved))

    def invoiced(self, month: Month) -> "Provider":
        """Return the provider after all up to a month went into an invoice."""
        return replace(self, uninvoiced=self.uninvoiced.without(month))


class Invoice(Struct, frozen=True, kw_only=True):
    """An invoice; while `part` is less than `parts` the rest of it is still to be issued."""

    provider_id: ProviderId
    month: Month
    amount_kopecks: Kopecks
    part: int = 1
    parts: int = 1
    settled: bool = False

    @property
    def is_complete(self) -> bool:
        """Return whether all parts were issued."""
        return self.part == self.parts


class Owed(Struct, frozen=True, kw_only=True):
    """What one enrollment adds to an invoice."""

    enrollment_id: EnrollmentId
    certificate_number: CertificateNumber
    sum: Sum


def owed(enrollment_id: EnrollmentId, reserve: Reserve, month: Month) -> Owed:
    """Return what an enrollment adds to the invoice for a month.

    Also what was charged and taken back: an accountant looks for its line.
    """
    return Owed(
        enrollment_id=enrollment_id,
        certificate_number=reserve.certificate_number,
        sum=reserve.uninvoiced.up_to(month),
    )


def invoice_id(payer: PayerCode, provider_id: ProviderId, month: Month) -> InvoiceId:
    """Return the id of the invoice of a provider for a month."""
    return InvoiceId(f"inv-{payer}-{provider_id}-{month}")


def begin(provider_id: ProviderId, provider: Provider, month: Month, lines: int) -> Invoice | None:
    """Return an invoice of which no part was issued, None if nothing is owed up to a month.

    A sum of 0 or less is carried on.
    """
    amount = provider.uninvoiced.up_to(month).kopecks
    if amount <= 0:
        return None
    return Invoice(
        provider_id=provider_id,
        month=month,
        amount_kopecks=Kopecks(amount),
        part=0,
        parts=-(-lines // LINES_PER_PART_MAX),
    )


def issue_next(id_: InvoiceId, invoice: Invoice, owed: tuple[Owed, ...]) -> InvoiceIssued:
    """Return the next part of an invoice; `owed` are its lines, sorted by enrollment id."""
    first = invoice.part * LINES_PER_PART_MAX + 1
    is_long = invoice.parts > 1
    return InvoiceIssued(
        invoice_id=id_,
        provider_id=invoice.provider_id,
        month=invoice.month,
        amount_kopecks=invoice.amount_kopecks,
        lines=tuple(
            InvoiceLine(
                line_reference=LineReference(f"{id_}/{number}"),
                enrollment_id=line.enrollment_id,
                certificate_number=line.certificate_number,
                lessons=line.sum.lessons,
                amount_kopecks=line.sum.kopecks,
            )
            for number, line in enumerate(owed, first)
        ),
        part=invoice.part + 1 if is_long else None,
        parts=invoice.parts if is_long else None,
    )


def issued(fact: InvoiceIssued) -> Invoice:
    """Return the invoice after a part of it was issued."""
    return Invoice(
        provider_id=fact.provider_id,
        month=fact.month,
        amount_kopecks=fact.amount_kopecks,
        part=fact.part or 1,
        parts=fact.parts or 1,
    )


def settle(
    id_: InvoiceId, invoice: Invoice, paid_on: date, payment_reference: str
) -> InvoiceSettled:
    """Return the fact that the payer paid an invoice."""
    return InvoiceSettled(
        invoice_id=id_,
        provider_id=invoice.provider_id,
        paid_on=paid_on,
        payment_reference=payment_reference,
        amount_kopecks=invoice.amount_kopecks,
    )


def settled(invoice: Invoice) -> Invoice:
    """Return an invoice that was paid."""
    return replace(invoice, settled=True)
