"""`GET /api/v1/…`: the same as `pfdo show`, with an ETag, and `as_of` where there are balances."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Header, Path, Query, Response

from services.cabinet.access.gate import NotHereError, Visitor, needs
from services.cabinet.access.policy import Action, Owner, Resource, allows
from services.cabinet.api import shapes
from services.cabinet.api.problems import EVERYWHERE, problems
from services.cabinet.queries import EXPORTS, Answer, Queries

Id = Annotated[str, Path(max_length=120, pattern=r"^[A-Za-z0-9-]+$")]
Reader = Annotated[Visitor, needs(Resource.RECORD, Action.READ)]
Auditor = Annotated[Visitor, needs(Resource.EXPORT, Action.READ)]
Sender = Annotated[Visitor, needs(Resource.EVENTS, Action.READ)]
_KIND = f"({'|'.join(EXPORTS)})"
What = Annotated[
    str,
    Query(
        pattern=f"^{_KIND}(,{_KIND})*$", description=f"Kinds, comma between: {','.join(EXPORTS)}"
    ),
]
EVERYTHING = ",".join(EXPORTS)
PAGE_ITEMS, PAGE_ITEMS_MAX = 100, 1_000
Kind = Annotated[str, Path(pattern=f"^{_KIND}$", description=f"One of {', '.join(EXPORTS)}")]
Limit = Annotated[int, Query(ge=1, le=PAGE_ITEMS_MAX, description="Items a page")]
After = Annotated[
    str,
    Query(
        max_length=120,
        pattern=r"^[A-Za-z0-9-]*$",
        description="Go on after this id; the header `Link` of a page has it (RFC 8288)",
    ),
]
Known = Annotated[
    str, Header(alias="If-None-Match", description="ETags of answers the asker has: then 304")
]
_ETAG: dict[str, Any] = {"ETag": {"description": "Of the answer", "schema": {"type": "string"}}}
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG},
    304: {"description": "As the asker knows it", "headers": _ETAG},
}
_LINK = {"description": "Of the next page, if there is one", "schema": {"type": "string"}}
PAGED: dict[int | str, dict[str, Any]] = {
    **TAGGED,
    200: {"headers": _ETAG | {"Link": _LINK}},
}
FOUND = TAGGED | problems({404: "There is none, or it is not yours"})
"""What a route answers that shows one thing; `as_of` alone makes no other ETag."""


def router(queries: Queries) -> APIRouter:
    """Return the paths that read."""
    api = APIRouter(prefix="/api/v1", tags=["read"], responses=EVERYWHERE)

    @api.get("/certificates/{id}", response_model=shapes.CertificateAnswer, responses=FOUND)
    async def certificate(id: Id, who: Reader, known: Known = "") -> Response:  # noqa: A002 - names the path
        """Return a certificate by the id of its child or by its number."""
        standings = await queries.as_of()
        return _found(known, who, await queries.certificate(id), standings, queries)

    @api.get("/enrollments/{id}", response_model=shapes.EnrollmentAnswer, responses=FOUND)
    async def enrollment(id: Id, who: Reader, known: Known = "") -> Response:  # noqa: A002
        """Return an enrollment, from application to end."""
        standings = await queries.as_of()
        return _found(known, who, await queries.enrollment(id), standings, queries)

    @api.get("/groups/{id}", response_model=shapes.GroupShape, responses=FOUND)
    async def group(id: Id, who: Reader, known: Known = "") -> Response:  # noqa: A002
        """Return the places and the waiting list of a group."""
        return _found(known, who, await queries.group(id))

    @api.get("/payers/{code}", response_model=shapes.PayerAnswer, responses=FOUND)
    async def payer(code: Id, who: Reader, known: Known = "") -> Response:
        """Return the categories of a payer with holders, budget and queues."""
        standings = await queries.as_of()
        return _found(known, who, await queries.payer(code), standings, queries)

    @api.get("/providers/{id}", response_model=shapes.ProviderShape, responses=FOUND)
    async def provider(id: Id, who: Reader, known: Known = "") -> Response:  # noqa: A002
        """Return what is owed to a provider, invoiced and settled."""
        return _found(known, who, await queries.provider(id))

    @api.get("/invoices/{id}", response_model=shapes.InvoiceShape, responses=FOUND)
    async def invoice(id: Id, who: Reader, known: Known = "") -> Response:  # noqa: A002
        """Return an invoice with its lines."""
        return _found(known, who, await queries.invoice(id))

    @api.get("/export", response_model=shapes.ExportShape, responses=TAGGED)
    async def export(who: Auditor, what: What = EVERYTHING, known: Known = "") -> Response:
        """Return everything that can be shown."""
        del who
        return _json(known, await queries.export(list(dict.fromkeys(what.split(",")))))

    @api.get("/export/{kind}", response_model=shapes.ExportShape, responses=PAGED)
    async def export_page(
        kind: Kind, who: Auditor, limit: Limit = PAGE_ITEMS, after: After = "", known: Known = ""
    ) -> Response:
        """Return one kind of it, page by page: the next one is where the header `Link` says."""
        del who
        items, last = await queries.page(kind, after, limit)
        answer = _json(known, {kind: items})
        if last is not None:
            query = urlencode({"limit": limit, "after": last})
            answer.headers["link"] = f'</api/v1/export/{kind}?{query}>; rel="next"'
        return answer

    @api.get("/events/{topic}/{partition}/{offset}", response_model=shapes.EventStatus)
    async def status(
        topic: Annotated[str, Path(max_length=120, pattern=r"^[a-z0-9.-]+$")],
        partition: Annotated[int, Path(ge=0, le=999)],
        offset: Annotated[int, Path(ge=0, le=10**15)],
        who: Sender,
    ) -> Response:
        """Return what became of an event that was sent; it is undecided until it was read."""
        # Of others' events as little is told as of events nobody sent.
        owner = Owner(source=topic.partition(".")[0])
        is_theirs = allows(who.principal, Resource.EVENTS, Action.READ, owner)
        known = await queries.decided(topic, partition, offset) if is_theirs else None
        undecided = {"decision": "undecided", "reason": None, "decided_by": None}
        place = {"topic": topic, "partition": partition, "offset": offset}
        body = orjson.dumps(place | (known or undecided))
        return Response(body, media_type="application/json", headers={"cache-control": "no-store"})

    return api


def _found(
    known: str,
    who: Visitor,
    answer: Answer | None,
    standings: list[Answer] | None = None,
    queries: Queries | None = None,
) -> Response:
    if answer is None or not allows(who.principal, Resource.RECORD, Action.READ, _owner(answer)):
        raise NotHereError
    more: Answer = {}
    if standings is not None and queries is not None:
        as_of = dict(standings[queries.partition_of(answer["payer"])])
        del as_of["seq"]
        more["as_of"] = as_of
    return _json(known, answer, more)


def _owner(answer: Answer) -> Owner:
    return Owner(provider=answer.get("provider_id"), payer=answer.get("payer"))


def _json(known: str, answer: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> Response:
    """Return the answer, or 304 where the asker has it; `more` does not make it another one."""
    body = orjson.dumps(answer)
    etag = f'W/"{sha256(body).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    # Compared weakly, whatever the asker calls them (RFC 9110, section 13.1.2).
    tags = {f"W/{tag.strip().removeprefix('W/')}" for tag in known.split(",")}
    if etag in tags or "W/*" in tags:
        return Response(status_code=304, headers=headers)
    if more:
        body = orjson.dumps({**answer, **more})
    return Response(body, media_type="application/json", headers=headers)
