"""`/console/{payer}/invoices`: what providers charged, and what the payer's treasury paid of it.

A file is held against the invoices and the differences are shown; nothing is kept in between, so
the confirmation carries the file again. What it settles goes out as `payers.invoice-paid`.
"""

from collections import Counter
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.cabinet import settlement
from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs
from services.cabinet.access.policy import Action, Resource
from services.cabinet.api.problems import ProblemError
from services.cabinet.invoice_queries import InvoiceQueries
from services.cabinet.pages import console_invoices as shown
from services.cabinet.pages.forms import FormError, fields_of, one
from services.cabinet.pages.freshness import ensure_whole, said_when_behind
from services.cabinet.pages.site import Id, Site, attached
from services.cabinet.pages.spreadsheets import CSV, csv_of
from services.cabinet.sending import Sending
from services.cabinet.settlement import Matched
from streaming.errors import BusUnavailableError

FILE_BYTES_MAX = 4 * 1024 * 1024
"""As a form: Russian letters take six bytes each."""
FIELDS_MAX = 10

Month = Annotated[str | None, Query(pattern=r"^[0-9]{4}-[0-9]{2}$")]
Number = Annotated[int | None, Query(ge=0, le=100_000)]
OWN = needs(Resource.CONSOLE, Action.READ, payer="payer")
Own = Annotated[Visitor, OWN]
Looking = Annotated[
    Visitor,
    needs(Resource.CONSOLE, Action.PROPOSE, form_bytes_max=FILE_BYTES_MAX, payer="payer"),
]
Settling = Annotated[
    Visitor,
    needs(Resource.CONSOLE, Action.APPROVE, form_bytes_max=FILE_BYTES_MAX, payer="payer"),
]


def router(queries: InvoiceQueries, site: Site, sending: Sending) -> APIRouter:
    """Return the pages of invoices."""
    pages = APIRouter(
        prefix="/console/{payer}", include_in_schema=False, dependencies=[said_when_behind(queries)]
    )

    async def matched_of(payer: str, text: str) -> list[Matched]:
        lines = settlement.read(text)
        await ensure_whole(queries)
        invoices = await queries.issued(payer, {line.invoice_id for line in lines})
        budget = await queries.budget(payer)
        return settlement.match(lines, invoices, budget["business_day"] if budget else None)

    async def page(
        payer: str, who: Visitor, month: str | None, status: int = 200, **more: Any
    ) -> Response:
        months = await queries.months(payer)
        chosen = month or (months[0] if months else None)
        invoices = await queries.invoices_by(payer, chosen) if chosen else []
        titles = await queries.provider_titles({each["provider_id"] for each in invoices})
        content = shown.invoices_page(payer, months, chosen, invoices, titles)
        more = {"told": "", "is_late": False, "text": ""} | more
        return site.page("console_invoices.html", status, who=who, **(content | more))

    async def unreadable(
        payer: str, who: Visitor, text: str, error: settlement.UnreadableError
    ) -> Response:
        """Return the form again, with what was in it and why it was not taken."""
        return await page(payer, who, None, 422, text=text, trouble=FormError(str(error), "lines"))

    @pages.get("/invoices")
    async def listed(
        payer: Id,
        who: Own,
        month: Month = None,
        sent: Number = None,
        done: Number = 0,
        refused: Number = 0,
    ) -> Response:
        if payer not in await queries.payer_codes():
            raise NotHereError
        told = "" if sent is None else shown.sent_said(sent, done or 0, refused or 0)
        is_late = sent is not None and done != sent
        return await page(payer, who, month, told=told, is_late=is_late)

    @pages.get("/invoices.csv", dependencies=[OWN])
    async def lines(payer: Id, month: Month = None) -> Response:
        await ensure_whole(queries)
        months = [month] if month else await queries.months(payer)
        invoices = [each for one in months for each in await queries.invoices_by(payer, one)]
        titles = await queries.provider_titles({each["provider_id"] for each in invoices})
        headers = attached(f"{payer}-{month or 'all'}.csv")
        return Response(
            csv_of(shown.lines_table(invoices, titles)), media_type=CSV, headers=headers
        )

    @pages.post("/settlement")
    async def look(request: Request, payer: Id, who: Looking) -> Response:
        text, _, step = _fields(form_of(request))
        if step == "change":
            return await page(payer, who, None, text=text)
        try:
            matched = await matched_of(payer, text)
        except settlement.UnreadableError as error:
            return await unreadable(payer, who, text, error)
        content = shown.settlement_page(payer, text, matched)
        return site.page("console_settlement.html", who=who, changed=False, **content)

    @pages.post("/settlement/confirm")
    async def settle(request: Request, payer: Id, who: Settling) -> Response:
        text, seal, _ = _fields(form_of(request))
        try:
            matched = await matched_of(payer, text)
        except settlement.UnreadableError as error:
            return await unreadable(payer, who, text, error)
        if seal != shown.seal(matched):
            # Something was settled or issued since the preview: look again.
            content = shown.settlement_page(payer, text, matched)
            return site.page("console_settlement.html", 409, who=who, changed=True, **content)
        made = shown.events(payer, matched)
        decided: Counter[str] = Counter()
        try:
            for first in range(0, len(made), _AT_ONCE):
                told = await sending.send(made[first : first + _AT_ONCE])
                decided.update(each["decision"] for each in told if each is not None)
        except ProblemError as error:
            if error.status in (429, 503):
                return site.unavailable()
            raise
        except BusUnavailableError:
            return site.unavailable()
        became = {"sent": len(made), "done": decided["applied"] + decided["duplicate"]}
        became["refused"] = decided["refused"] + decided["dead-lettered"]
        return RedirectResponse(f"/console/{payer}/invoices?{urlencode(became)}", 303)

    return pages


_AT_ONCE = 100


def _fields(form: bytes) -> tuple[str, str, str]:
    """Return the file, the seal of the preview, and the button of a form."""
    try:
        fields = fields_of(form.decode(), FIELDS_MAX)
    except ValueError:
        return "", "", ""
    return one(fields, "lines"), one(fields, "seal"), one(fields, "step")
