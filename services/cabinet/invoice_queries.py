"""What a payer asks about invoices: which there are, their lines, what was paid."""

from collections.abc import Iterable

from services.cabinet.parts import Answer, last
from services.cabinet.projections.models import (
    INVOICES_BY,
    Invoice,
    beginning,
    under,
)
from services.cabinet.provider_queries import invoice_with_lines
from services.cabinet.report_queries import ReportQueries
from services.cabinet.settlement import Invoice as Issued
from services.cabinet.together import together


class InvoiceQueries(ReportQueries):
    """Questions about a payer's invoices, beside all others."""

    async def months(self, payer: str) -> list[str]:
        """Return the months a payer has invoices of, the latest first."""
        entries = await self._part_of(payer).members(INVOICES_BY, *beginning(payer))
        return sorted({entry.split("|")[1] for entry in entries}, reverse=True)

    async def invoices_by(self, payer: str, month: str) -> list[Answer]:
        """Return the invoices to a payer of a month, with their lines."""
        part = self._part_of(payer)
        entries = await part.members(INVOICES_BY, *beginning(payer, month))
        ids = [last(entry) for entry in entries]
        known = await part.all(Invoice, [under(payer, id_) for id_ in ids])
        answers = await together(
            *(
                invoice_with_lines(part, payer, id_, invoice)
                for id_, invoice in zip(ids, known, strict=True)
                if invoice is not None
            )
        )
        return list(answers)

    async def issued(self, payer: str, ids: Iterable[str]) -> dict[str, Issued]:
        """Return those invoices that are the payer's, as a settlement is held against them."""
        part, asked = self._part_of(payer), sorted(set(ids))
        known = await part.all(Invoice, [under(payer, id_) for id_ in asked])
        found = await together(
            *(
                invoice_with_lines(part, payer, id_, invoice)
                for id_, invoice in zip(asked, known, strict=True)
                if invoice is not None
            )
        )
        return {
            each["invoice_id"]: Issued(
                lines={line["line_reference"]: line["amount_kopecks"] for line in each["lines"]},
                is_settled=each["settled"],
                month=each["month"],
            )
            for each in found
        }
