"""A family's page, live, and who looked at its names."""

import asyncio
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.cabinet.access.gate import NotHereError, Visitor, needs
from services.cabinet.access.policy import Action, Resource, Role
from services.cabinet.pages.family import (
    ALL_MESSAGES_MAX,
    ENTRIES_ASKED,
    MESSAGES_ASKED,
    family_page,
    history_page,
    messages_page,
)
from services.cabinet.pages.people import People, looks_page, readers_of
from services.cabinet.pages.pulse import Pulse
from services.cabinet.pages.site import Id, Site
from services.cabinet.queries import Answer, Queries
from streaming.errors import StoreUnavailableError

STAY_SECONDS_MAX = 30.0
LISTENING_SECONDS_MAX = 15 * 60
"""So long a page is told of changes before it must ask anew: by then somebody may have left."""
PAUSE_SECONDS = 0.5
"""A family's page is told of changes no more often than this, however busy its municipality is."""

Version = Annotated[str, Query(max_length=80)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000)]
Family = Annotated[Visitor, needs(Resource.FAMILY, Action.READ, guardian="guardian_id")]
Looks = Annotated[Visitor, needs(Resource.FAMILY_LOOKS, Action.READ, guardian="guardian_id")]


def fingerprint(family: Answer) -> str:
    """Return what tells one state of a family's page from another."""
    return sha256(orjson.dumps(family, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


async def lately(queries: Queries, guardian_id: str) -> Answer | None:
    """Return what a family's page is made of; None if there is no such family."""
    return await queries.family(guardian_id, entries_max=ENTRIES_ASKED, messages_max=MESSAGES_ASKED)


def router(queries: Queries, pulse: Pulse, people: People, site: Site) -> APIRouter:
    """Return the parents' pages."""
    pages = APIRouter(include_in_schema=False)
    page, unavailable = site.page, site.unavailable

    @pages.get("/families/{guardian_id}")
    async def family(guardian_id: Id, who: Family) -> Response:
        try:
            found = await lately(queries, guardian_id)
        except StoreUnavailableError:
            return unavailable()
        # Names are for the family alone: an auditor reads ids.
        is_own = guardian_id in who.principal.scopes(Role.GUARDIAN)
        if found is None:
            if is_own and site.stand_in:
                # A family begins here with its first child.
                return RedirectResponse(f"/families/{guardian_id}/children/new", 303)
            raise NotHereError
        known = await people.of_family(found, "family-page") if is_own else {}
        names = {id_: person.name for id_, person in known.items()}
        version = fingerprint(found)
        return page(
            "family.html", who=who, version=version, own=is_own, **family_page(found, names)
        )

    @pages.get("/families/{guardian_id}/history/{payer}/{child_id}")
    async def history(
        guardian_id: Id, payer: Id, child_id: Id, who: Family, page_number: PageNumber = 1
    ) -> Response:
        try:
            found = await queries.family(guardian_id, child_id=child_id, messages_max=0)
        except StoreUnavailableError:
            return unavailable()
        is_own = guardian_id in who.principal.scopes(Role.GUARDIAN)
        known = await people.of_family(found, "family-page") if found and is_own else {}
        names = {id_: person.name for id_, person in known.items()}
        shown = found and history_page(found, payer, child_id, page_number, names)
        if not shown:
            raise NotHereError
        return page("history.html", who=who, own=is_own, **shown)

    @pages.get("/families/{guardian_id}/messages")
    async def messages(guardian_id: Id, who: Family) -> Response:
        try:
            found = await queries.family(guardian_id, entries_max=0, messages_max=ALL_MESSAGES_MAX)
        except StoreUnavailableError:
            return unavailable()
        if found is None:
            raise NotHereError
        is_own = guardian_id in who.principal.scopes(Role.GUARDIAN)
        known = await people.of_family(found, "family-page") if is_own else {}
        names = {id_: person.name for id_, person in known.items()}
        return page("messages.html", who=who, **messages_page(found, names))

    @pages.get("/families/{guardian_id}/looks")
    async def looks(guardian_id: Id, who: Looks) -> Response:
        try:
            found = await queries.family(guardian_id, entries_max=0, messages_max=0)
            if found is None:
                raise NotHereError
            known = await people.of_family(found, "looks")
            ids = [guardian_id, *(child["child_id"] for child in found["children"])]
            looked = await people.looks(ids)
            titles = await queries.provider_titles(readers_of(looked))
        except StoreUnavailableError:
            return unavailable()
        shown = looks_page(found, known, looked, titles, is_kept=people.can_enter)
        return page("looks.html", who=who, **shown)

    @pages.get("/families/{guardian_id}/live")
    async def live(
        request: Request, guardian_id: Id, who: Family, version: Version = ""
    ) -> Response:
        subject = who.principal.subject
        if pulse.is_full(subject) or pulse.closing.is_set():
            return Response(status_code=503, headers={"retry-after": "30"})
        known = request.headers.get("last-event-id", version)
        return EventSourceResponse(
            _changes(queries, pulse, guardian_id, known, subject),
            ping=15,
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return pages


async def _changes(
    queries: Queries, pulse: Pulse, guardian_id: str, known: str, subject: str
) -> AsyncIterator[ServerSentEvent]:
    """Yield an event each time the page of the family has become another one.

    It ends; the browser asks anew, as long as somebody is logged in there.
    """
    if pulse.is_full(subject):
        # Others came between the answer's beginning and this.
        return
    ends = time.monotonic() + LISTENING_SECONDS_MAX
    async with pulse.listening(subject):
        yield ServerSentEvent(comment="listening", retry=2000)
        while not pulse.closing.is_set() and time.monotonic() < ends:
            try:
                found = await lately(queries, guardian_id)
            except StoreUnavailableError:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if found is None:
                return
            seqs = pulse.seqs(found["partitions"])
            now = fingerprint(found)
            if now != known:
                known = now
                yield ServerSentEvent(data=now, event="changed", id=now)
                await asyncio.sleep(PAUSE_SECONDS)
            await pulse.moved(found["partitions"], seqs, STAY_SECONDS_MAX)
