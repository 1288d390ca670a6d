"""At each route: who asks, and may he? A route that declares nothing stops the start.

How a route declares what it shows, and learns who asks:

    from services.cabinet.access.gate import Visitor, needs, form_of
    from services.cabinet.access.policy import Action, Owner, Resource, Role, allows

    @pages.get("/console/{payer}")
    async def budget(payer: Id, who: Annotated[Visitor, needs(
        Resource.CONSOLE, Action.READ, payer="payer")]) -> Response:
        return site.page("console.html", who=who, ...)

* `payer="payer"`: whose the thing is stands in the path, as `{payer}`. Not his: `NotHereError`, the
  same answer as when it is not there. Raise `NotHereError` yourself where there is none.
* Without an owner, `needs(Resource.CONSOLE, Action.READ)`: whoever may do this to something comes
  in, and each thing shown is asked for by `allows(who.principal, …, Owner(payer=code))`. A payer's
  own codes are `who.principal.scopes(Role.PAYER)`.
* `who.principal.subject` tells two persons apart; it is no name.
* A form (`post`) is urlencoded and holds `<input type="hidden" name="csrf" value="{{ who.csrf }}">`
  (a script may send it as the header `x-csrf-token`); its bytes are `form_of(request)`. The gate
  has checked the token and the length (`form_bytes_max`) before the route runs.
* Pages know people by a cookie, `/api/…` knows machines by a bearer token, never the other way.
* Each route has its rows in `tests/cabinet/test_access_matrix.py`: who may, and who may not.
"""

import hmac
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import Mount

from services.cabinet.access.policy import (
    NOBODY,
    Action,
    Owner,
    Principal,
    Resource,
    Role,
    allows,
    allows_somewhere,
)

FORM_BYTES_MAX = 64 * 1024
FIELDS_MAX = 2_000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_MOUNTS = frozenset({"/static"})
"""Files of ours, the same for everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks. `csrf` is what his forms must carry; empty where there is no session."""

    principal: Principal = NOBODY
    csrf: str = ""

    @property
    def is_known(self) -> bool:
        """Return whether somebody proved who he is."""
        return any(grant.role is not Role.LOCAL for grant in self.principal.grants)


class NotHereError(Exception):
    """It is not there, or not theirs: the answer is the same."""


class NotKnownError(Exception):
    """Nobody logged in, or no longer."""


class NotAllowedError(Exception):
    """A machine has no right of this kind, whatever there be."""


class ForeignFormError(Exception):
    """A form did not come from a page of this session."""


class TooLongError(Exception):
    """A form is longer than any of ours. `is_file`: it carried one, as only some may."""

    def __init__(self, *, is_file: bool) -> None:
        super().__init__()
        self.is_file = is_file


Recognize = Callable[[Request], Awaitable[Visitor]]


class Needs:
    """What a route asks of who comes; as a dependency of it, the gate."""

    def __init__(
        self, resource: Resource, action: Action, form_bytes_max: int, owner: dict[str, str]
    ) -> None:
        self.resource = resource
        self.action = action
        self.form_bytes_max = form_bytes_max
        self.owner = owner
        # A field that no owner has is a mistake of the route.
        Owner(**owner)

    async def __call__(self, request: Request) -> Visitor:
        """Return who asks, if he may. Raises one of the errors above."""
        recognize: Recognize = request.app.state.recognize
        visitor = await recognize(request)
        request.state.visitor = visitor
        is_api = asks_api(request)
        if self.owner:
            path = request.path_params
            owner = Owner(**{field: str(path[name]) for field, name in self.owner.items()})
            is_allowed = allows(visitor.principal, self.resource, self.action, owner)
        else:
            is_allowed = allows_somewhere(visitor.principal, self.resource, self.action)
        if not is_allowed:
            if not visitor.is_known:
                raise NotKnownError
            raise NotAllowedError if is_api and not self.owner else NotHereError
        if request.method not in SAFE_METHODS and not is_api:
            await self._check_form(request, visitor)
        return visitor

    async def _check_form(self, request: Request, visitor: Visitor) -> None:
        if not _is_ours(request):
            raise ForeignFormError
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.form_bytes_max:
                raise TooLongError(is_file=self.form_bytes_max > FORM_BYTES_MAX)
        request.state.form = bytes(body)
        if self.resource is Resource.OPEN:
            return
        given = request.headers.get("x-csrf-token") or _csrf_of(bytes(body))
        if not visitor.csrf or not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
            raise ForeignFormError


def needs(
    resource: Resource, action: Action, *, form_bytes_max: int = FORM_BYTES_MAX, **owner: str
) -> Any:
    """Return the declaration of a route; `owner` names parameters of its path, by kind of owner."""
    return Depends(Needs(resource, action, form_bytes_max, owner))


OPEN = needs(Resource.OPEN, Action.READ)
"""Declares a route that is for everybody."""


def form_of(request: Request) -> bytes:
    """Return the form that the gate has let in."""
    form: bytes = request.state.form
    return form


def declared(route: RouteContext) -> list[Needs]:
    """Return what a route declares."""
    dependant = getattr(route, "dependant", None)
    if dependant is None:
        return []
    return [call for call in _calls(dependant) if isinstance(call, Needs)]


def _calls(dependant: Dependant) -> Iterator[Any]:
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)


def undeclared(app: FastAPI) -> list[str]:
    """Return the paths of routes that do not declare exactly one need."""
    return [
        f"{sorted(route.methods or ())} {route.path}"
        for route in iter_route_contexts(app.routes)
        if len(declared(route)) != 1
        and not (isinstance(route.route, Mount) and route.path in OPEN_MOUNTS)
    ]


def check_routes(app: FastAPI) -> None:
    """Refuse an app of which a route would be open by oversight."""
    missing = undeclared(app)
    if missing:
        raise AssertionError(f"these routes declare nothing, or too much: {', '.join(missing)}")


def path_of(request: Request) -> str:
    """Return the path that chose the route; `request.url` is made of the header Host, too."""
    return str(request.scope["path"])


def asks_api(request: Request) -> bool:
    """Return whether this is a request of the API, where machines are known by tokens."""
    return path_of(request).startswith("/api/")


def log_in_path(request: Request) -> str:
    """Return where to log in, and to come back from to what was asked for."""
    asked = quote(path_of(request)) + (f"?{request.url.query}" if request.url.query else "")
    return f"/login?next={quote(asked, safe='')}"


def local_path(text: str) -> str:
    """Return a path of ours that somebody may be sent to; `/` if it is none."""
    parts = urlsplit(text)
    # Browsers read a backslash as a slash, and drop control characters.
    is_plain = text.isascii() and text.isprintable() and "\\" not in text
    is_ours = text.startswith("/") and not text.startswith("//") and not parts.netloc
    return text if is_plain and is_ours and not parts.scheme else "/"


def _is_ours(request: Request) -> bool:
    """Return whether a form was sent by a page of ours, as far as the browser says."""
    told = request.headers.get("sec-fetch-site")
    if told is not None:
        return told in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _csrf_of(body: bytes) -> str:
    try:
        fields = parse_qs(body.decode(), max_num_fields=FIELDS_MAX)
    except ValueError:
        return ""
    return fields.get("csrf", [""])[0]
