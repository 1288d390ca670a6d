"""`GET /` and a family's page, live. Only in the sandbox: there is no log-in yet."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from rulebook.wording import counted
from services.cabinet.pages.family import family_page
from services.cabinet.pages.people import People, looks_page, readers_of
from services.cabinet.pages.pulse import Pulse
from services.cabinet.pages.site import Id, Site
from services.cabinet.queries import GUARDIANS_LISTED_MAX, Answer, Queries
from streaming.errors import StoreUnavailableError

STAY_SECONDS_MAX = 30.0
PAUSE_SECONDS = 0.5
"""A family's page is told of changes no more often than this, however busy its municipality is."""

Search = Annotated[str, Query(max_length=80)]


def fingerprint(family: Answer) -> str:
    """Return what tells one state of a family's page from another."""
    return sha256(orjson.dumps(family, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def router(queries: Queries, pulse: Pulse, people: People, site: Site) -> APIRouter:
    """Return the parents' pages."""
    pages = APIRouter(include_in_schema=False)
    page, closed, unavailable = site.page, site.closed, site.unavailable

    @pages.get("/")
    async def start(q: Search = "") -> Response:
        if not site.sandbox:
            return closed(200)
        search = q.strip().lower()
        try:
            guardians = await queries.guardians(search)
        except StoreUnavailableError:
            return unavailable()
        families = [
            (each["guardian_id"], counted(each["children"], "ребёнок", "ребёнка", "детей"))
            for each in guardians
        ]
        more = len(families) == GUARDIANS_LISTED_MAX
        return page("start.html", families=families, search=q.strip(), more=more)

    @pages.get("/families/{guardian_id}")
    async def family(guardian_id: Id) -> Response:
        if not site.sandbox:
            return closed()
        try:
            found = await queries.family(guardian_id)
        except StoreUnavailableError:
            return unavailable()
        if found is None:
            return page("missing.html", 404, guardian_id=guardian_id)
        known = await people.of_family(found, "family-page")
        names = {id_: person.name for id_, person in known.items()}
        return page("family.html", version=fingerprint(found), **family_page(found, names))

    @pages.get("/families/{guardian_id}/looks")
    async def looks(guardian_id: Id) -> Response:
        if not site.sandbox:
            return closed()
        try:
            found = await queries.family(guardian_id)
            if found is None:
                return page("missing.html", 404, guardian_id=guardian_id)
            known = await people.of_family(found, "looks")
            ids = [guardian_id, *(child["child_id"] for child in found["children"])]
            looked = await people.looks(ids)
            titles = await queries.provider_titles(readers_of(looked))
        except StoreUnavailableError:
            return unavailable()
        return page("looks.html", **looks_page(found, known, looked, titles))

    @pages.get("/families/{guardian_id}/live")
    async def live(request: Request, guardian_id: Id, version: Search = "") -> Response:
        if not site.sandbox:
            return closed()
        if pulse.is_full or pulse.closing.is_set():
            return Response(status_code=503, headers={"retry-after": "30"})
        known = request.headers.get("last-event-id", version)
        return EventSourceResponse(
            _changes(queries, pulse, guardian_id, known),
            ping=15,
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return pages


async def _changes(
    queries: Queries, pulse: Pulse, guardian_id: str, known: str
) -> AsyncIterator[ServerSentEvent]:
    """Yield an event each time the page of the family has become another one."""
    async with pulse.listening():
        yield ServerSentEvent(comment="listening", retry=2000)
        while not pulse.closing.is_set():
            try:
                found = await queries.family(guardian_id)
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
