"""`GET /` and a family's page, live. Only in the sandbox: there is no log-in yet."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sse_starlette import EventSourceResponse, ServerSentEvent

from rulebook.wording import counted, rubles
from services.cabinet.pages.family import BAR_GAP, BAR_WIDTH, family_page
from services.cabinet.pages.people import People, looks_page, readers_of
from services.cabinet.pages.pulse import Pulse
from services.cabinet.queries import GUARDIANS_LISTED_MAX, Answer, Queries
from streaming.errors import StoreUnavailableError

FOLDER = Path(__file__).parent.parent
STAY_SECONDS_MAX = 30.0
PAUSE_SECONDS = 0.5
"""A family's page is told of changes no more often than this, however busy its municipality is."""

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
}

GuardianId = Annotated[str, InPath(max_length=40, pattern=r"^[a-z0-9-]+$")]
Search = Annotated[str, Query(max_length=80)]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rubles"] = rubles
    environment.globals.update(bar_width=BAR_WIDTH, bar_gap=BAR_GAP)
    return environment


def fingerprint(family: Answer) -> str:
    """Return what tells one state of a family's page from another."""
    return sha256(orjson.dumps(family, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def add_pages(
    app: FastAPI, queries: Queries, pulse: Pulse, people: People, *, sandbox: bool
) -> None:
    """Add the parents' pages and what they are made of."""
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    app.include_router(_router(queries, pulse, people, sandbox=sandbox))


def _router(queries: Queries, pulse: Pulse, people: People, *, sandbox: bool) -> APIRouter:
    pages = APIRouter(include_in_schema=False)
    environment = _environment()

    def page(name: str, status: int = 200, **shown: Any) -> Response:
        shown |= {"sandbox": sandbox, "invented": people.are_invented}
        content = environment.get_template(name).render(**shown)
        return Response(content, status, media_type="text/html", headers=dict(HEADERS))

    def closed(status: int) -> Response:
        return page("closed.html", status)

    def unavailable() -> Response:
        return page("unavailable.html", 503)

    @pages.get("/")
    async def start(q: Search = "") -> Response:
        if not sandbox:
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
    async def family(guardian_id: GuardianId) -> Response:
        if not sandbox:
            return closed(403)
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
    async def looks(guardian_id: GuardianId) -> Response:
        if not sandbox:
            return closed(403)
        try:
            found = await queries.family(guardian_id)
            if found is None:
                return page("missing.html", 404, guardian_id=guardian_id)
            known = await people.of_family(found, "record")
            ids = [guardian_id, *(child["child_id"] for child in found["children"])]
            records = await people.records(ids)
            titles = await queries.provider_titles(readers_of(records))
        except StoreUnavailableError:
            return unavailable()
        return page("looks.html", **looks_page(found, known, records, titles))

    @pages.get("/families/{guardian_id}/live")
    async def live(request: Request, guardian_id: GuardianId, version: Search = "") -> Response:
        if not sandbox:
            return closed(403)
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
