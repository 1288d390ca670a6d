"""Papers for families, and `GET /verify/{code}` for whoever is shown one."""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath

from rulebook.wording import full_date
from services.cabinet.access.gate import OPEN, NotHereError, Visitor, needs
from services.cabinet.access.policy import Action, Resource, Role
from services.cabinet.pages import wording
from services.cabinet.pages.freshness import ensure_whole
from services.cabinet.pages.papers import certificate_paper, statement_paper
from services.cabinet.pages.people import People
from services.cabinet.pages.site import FILE_HEADERS, Id, Site
from services.cabinet.papers.certificate import certificate_pdf
from services.cabinet.papers.codes import Codes
from services.cabinet.papers.statement import statement_pdf
from services.cabinet.queries import Queries
from services.cabinet.vault.vault import Reader
from streaming.errors import StoreUnavailableError

Family = Annotated[Visitor, needs(Resource.FAMILY, Action.READ, guardian="guardian_id")]
Payer = Annotated[str, Query(max_length=8, pattern=r"^[0-9]*$")]
Code = Annotated[str, InPath(max_length=40)]


def router(
    queries: Queries, people: People, site: Site, codes: Codes | None, public_url: str | None
) -> APIRouter:
    """Return the papers. Without codes nothing is printed and every answer is no."""
    pages = APIRouter(include_in_schema=False)

    async def found(
        guardian_id: str, child_id: str, payer: str, why: str, who: Visitor
    ) -> tuple[Any, Any, str | None]:
        """Return a child of a guardian, its family and its name; None if it is not theirs.

        Two payers may know the child: without one it is the first that gave it a certificate.
        """
        await ensure_whole(queries)
        family = await queries.family(guardian_id, child_id=child_id, messages_max=0)
        children: list[Mapping[str, Any]] = [] if family is None else family["children"]
        certified = [
            each
            for each in children
            if each["certificate"] is not None and payer in ("", each["payer"])
        ]
        if not certified:
            return None, family, None
        child = certified[0]
        if guardian_id not in who.principal.scopes(Role.GUARDIAN):
            return child, family, None
        reader = Reader(by=guardian_id, why=why)
        known = await people.find({child_id: guardian_id}, reader)
        return child, family, known[child_id].full_name if child_id in known else None

    @pages.get("/families/{guardian_id}/{child_id}/certificate.pdf")
    async def certificate(
        request: Request, guardian_id: Id, child_id: Id, who: Family, payer: Payer = ""
    ) -> Response:
        try:
            child, family, name = await found(guardian_id, child_id, payer, "certificate", who)
        except StoreUnavailableError:
            return site.unavailable()
        base_url = public_url or str(request.base_url).rstrip("/")
        shown = (
            None
            if child is None or codes is None
            else certificate_paper(
                child, family["business_day"], name, codes, base_url, is_sample=site.sandbox
            )
        )
        if shown is None:
            raise NotHereError
        return _pdf(await asyncio.to_thread(certificate_pdf, shown), "certificate")

    @pages.get("/families/{guardian_id}/{child_id}/statement.pdf")
    async def statement(guardian_id: Id, child_id: Id, who: Family, payer: Payer = "") -> Response:
        try:
            child, family, name = await found(guardian_id, child_id, payer, "statement", who)
        except StoreUnavailableError:
            return site.unavailable()
        if child is None:
            raise NotHereError
        shown = statement_paper(child, family["business_day"], name, is_sample=site.sandbox)
        assert shown is not None, "a child that was found has a certificate"
        return _pdf(await asyncio.to_thread(statement_pdf, shown), "statement")

    @pages.get("/verify/{code}", dependencies=[OPEN])
    async def verify(code: Code) -> Response:
        number = None if codes is None else codes.number_of(code)
        try:
            holds, day = (False, None) if number is None else await queries.in_force(number)
            if number is not None and not holds:
                await ensure_whole(queries)
        except StoreUnavailableError:
            return site.unavailable()
        return site.page(
            "verify.html",
            200 if holds else 404,
            holds=holds,
            number=wording.number(number) if holds and number else "",
            day=full_date(date.fromisoformat(day)) if holds and day else "",
        )

    return pages


def _pdf(content: bytes, name: str) -> Response:
    headers = {"content-disposition": f'inline; filename="{name}.pdf"', **FILE_HEADERS}
    return Response(content, media_type="application/pdf", headers=headers)
