"""Invoices of providers, and their settlement (rules.md, section 8)."""

from tests.auditor.dates import first_of, month_before, month_of, next_month
from tests.auditor.play import Entry
from tests.auditor.world import Invoice, Outcome, Payer, Refused, World


def months_due(world: World, payer: Payer) -> list[str]:
    """Return the months whose invoices are due: a month's day of invoices has come since."""
    invoice_day = world.days(payer.code, "billing.days", "invoice_day")
    last = month_of(world.today)
    if world.today.day < invoice_day:
        last = month_before(world.today)
    if payer.invoiced_in:
        month = next_month(payer.invoiced_in)
    else:
        known_on = payer.known_on or world.today
        month = month_of(known_on)
        if known_on.day >= invoice_day:
            month = next_month(month)
        payer.invoiced_in = month_before(first_of(month))
    due = []
    while month <= last:
        due.append(month_before(first_of(month)))
        payer.invoiced_in, month = month, next_month(month)
    return due


def make_invoices(payer: Payer, month: str) -> None:
    """Put all movements up to a month that are in no invoice yet into one for each provider."""
    for provider_id, movements in sorted(payer.movements.items()):
        taken = [it for it in movements if not it.is_invoiced and it.month <= month]
        lines = {it.enrollment_id: 0 for it in sorted(taken, key=lambda it: it.enrollment_id)}
        for it in taken:
            lines[it.enrollment_id] += it.amount
        if sum(lines.values()) <= 0:
            continue
        for it in taken:
            it.is_invoiced = True
        invoice_id = f"inv-{payer.code}-{provider_id}-{month}"
        payer.invoices[invoice_id] = Invoice(invoice_id, provider_id, month, lines)


def invoice_paid(world: World, entry: Entry) -> Outcome:
    """Decide `payers.invoice-paid`."""
    invoice = world.payer(entry.payer).invoices.get(entry.data["invoice_id"])
    if invoice is None:
        return Refused("unknown_invoice")
    invoice.is_settled = True
    return None
