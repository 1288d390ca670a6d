"""`/`, `/login`, `/logout`: people come in, each to what is theirs, and leave.

In the sandbox one picks an invented person; elsewhere people log in at the server the installation
names (`access/oidc.py`).
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import parse_qs

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from rulebook.wording import counted
from services.cabinet.access.claims import PEOPLE
from services.cabinet.access.gate import (
    OPEN,
    NotHereError,
    Visitor,
    form_of,
    local_path,
    needs,
)
from services.cabinet.access.oidc import BACK, Attempt, RefusedError, ServerUnavailableError
from services.cabinet.access.policy import Action, Grant, Principal, Resource, Role
from services.cabinet.access.recognition import Access, Mode, address_of
from services.cabinet.console_queries import ConsoleQueries
from services.cabinet.family_queries import GUARDIANS_LISTED_MAX
from services.cabinet.pages.site import Site
from streaming.errors import StoreUnavailableError

ATTEMPT_SECONDS_MAX = 10 * 60
"""So long somebody may take to log in."""

SECOND = "2"
"""Where two must agree, the sandbox has two."""

Search = Annotated[str, Query(max_length=80)]
Next = Annotated[str, Query(max_length=1000)]
Anybody = Annotated[Visitor, OPEN]

_HOMES = {
    Role.GUARDIAN: ("Ваши дети", "/families/{}"),
    Role.PROVIDER: ("Журнал", "/journal/{}"),
    Role.PAYER: ("Бюджет и сертификаты", "/console"),
    Role.OPERATOR: ("Бюджет и сертификаты", "/console"),
    Role.AUDITOR: ("Бюджет и сертификаты", "/console"),
}


def homes_of(principal: Principal) -> list[tuple[str, str, str]]:
    """Return the pages where somebody begins, each once: title, path, whose it is."""
    homes: dict[str, tuple[str, str, str]] = {}
    for grant in sorted(each for each in principal.grants if each.role in _HOMES):
        title, path = _HOMES[grant.role]
        path = path.format(grant.scope)
        homes.setdefault(path, (title, path, grant.scope))
    return list(homes.values())


def router(queries: ConsoleQueries, site: Site, access: Access) -> APIRouter:
    """Return the pages of coming in and leaving."""
    pages = APIRouter(include_in_schema=False)
    attempts = f"{access.cookie}-login"
    secure = access.mode is not Mode.SANDBOX

    def cookie(answer: Response, name: str, value: str, seconds: int | None = None) -> None:
        answer.set_cookie(
            name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax"
        )

    async def let_in(request: Request, principal: Principal, then: str) -> Response:
        """Begin a new session, end the one before, and go on."""
        before = request.cookies.get(access.cookie)
        if before:
            await access.sessions.end(before)
        answer = RedirectResponse(then, 303, headers={"cache-control": "no-store"})
        cookie(answer, access.cookie, await access.sessions.begin(principal))
        return answer

    async def invented(search: str) -> dict[str, Any]:
        """Return whom one can be in the sandbox."""
        guardians = await queries.guardians(search.strip().lower())
        providers = await queries.providers("")
        return {
            "families": [
                (each["guardian_id"], counted(each["children"], "ребёнок", "ребёнка", "детей"))
                for each in guardians
            ],
            "more": len(guardians) == GUARDIANS_LISTED_MAX,
            "providers": [(each["provider_id"], each["title"]) for each in providers],
            "payers": site.region.in_order(await queries.payer_codes()),
            "search": search.strip(),
            "new_family": f"guardian-{secrets.token_hex(8)}",
        }

    async def door(who: Visitor, search: str, then: str, closed_status: int) -> Response:
        if access.mode is Mode.CLOSED:
            return site.closed(closed_status)
        if access.mode is Mode.SERVER:
            return site.page("login.html", who=who, then=local_path(then))
        try:
            return site.page("login_sandbox.html", who=who, **await invented(search))
        except StoreUnavailableError:
            return site.unavailable()

    @pages.get("/")
    async def start(who: Anybody, q: Search = "") -> Response:
        homes = homes_of(who.principal)
        if not homes:
            return await door(who, q, "/", 200)
        if len(homes) == 1:
            return RedirectResponse(homes[0][1], 303, headers={"cache-control": "no-store"})
        return site.page("login_homes.html", who=who, homes=homes)

    @pages.get("/login")
    async def login(who: Anybody, next: Next = "/", q: Search = "") -> Response:  # noqa: A002
        return await door(who, q, next, 403)

    @pages.post("/login/sandbox", dependencies=[OPEN])
    async def pick(request: Request) -> Response:
        if access.mode is not Mode.SANDBOX:
            raise NotHereError
        access.log_ins.take(address_of(request))
        principal = _picked(form_of(request))
        return await let_in(request, principal, homes_of(principal)[0][1])

    @pages.get("/login/start", dependencies=[OPEN])
    async def begin(request: Request, next: Next = "/") -> Response:  # noqa: A002
        if access.server is None:
            raise NotHereError
        access.log_ins.take(address_of(request))
        attempt = Attempt.new()
        address = await access.server.address(attempt)
        kept = orjson.dumps(asdict(attempt) | {"next": local_path(next)})
        text = urlsafe_b64encode(kept).decode()
        answer = RedirectResponse(address, 303, headers={"cache-control": "no-store"})
        value = f"{text}.{access.sessions.signed('login', text)}"
        cookie(answer, attempts, value, ATTEMPT_SECONDS_MAX)
        return answer

    @pages.get(BACK, dependencies=[OPEN])
    async def back(request: Request) -> Response:
        if access.server is None:
            raise NotHereError
        access.log_ins.take(address_of(request))
        text, _, signature = request.cookies.get(attempts, "").rpartition(".")
        if not hmac.compare_digest(
            signature.encode(), access.sessions.signed("login", text).encode()
        ):
            raise RefusedError("there is no log-in that this answers")
        kept = orjson.loads(urlsafe_b64decode(text))
        then = kept.pop("next")
        principal = await access.server.person(Attempt(**kept), dict(request.query_params))
        if not principal.grants:
            raise RefusedError("the server names no role of ours")
        answer = await let_in(request, principal, then)
        answer.delete_cookie(attempts, path="/", secure=secure, httponly=True, samesite="lax")
        return answer

    @pages.post("/logout")
    async def logout(
        request: Request, who: Annotated[Visitor, needs(Resource.SESSION, Action.ACT)]
    ) -> Response:
        del who
        await access.sessions.end(request.cookies.get(access.cookie, ""))
        then = "/" if access.server is None else "/logout"
        answer = RedirectResponse(then, 303, headers={"cache-control": "no-store"})
        answer.delete_cookie(access.cookie, path="/", secure=secure, httponly=True, samesite="lax")
        return answer

    @pages.get("/logout", dependencies=[OPEN])
    async def left() -> Response:
        if access.server is None:
            raise NotHereError
        try:
            server_knows = await access.server.leaving_address() is not None
        except ServerUnavailableError:
            server_knows = False
        return site.page("left.html", server_knows=server_knows)

    @pages.get("/logout/server", dependencies=[OPEN])
    async def leave_server() -> Response:
        address = None if access.server is None else await access.server.leaving_address()
        if address is None:
            raise NotHereError
        return RedirectResponse(address, 303, headers={"cache-control": "no-store"})

    return pages


def _picked(form: bytes) -> Principal:
    """Return whom a button of the sandbox stands for: `role:scope`, or `role:scope:2` for a second
    person of that kind. Raises NotHereError.
    """
    try:
        text = parse_qs(form.decode(), max_num_fields=10).get("as", [""])[0]
        role, scope, *more = text.split(":")
        grant = Grant(Role(role), scope)
    except ValueError as error:
        raise NotHereError from error
    if grant.role not in PEOPLE or more not in ([], [SECOND]):
        raise NotHereError
    return Principal(subject=text, grants=frozenset({grant}))
