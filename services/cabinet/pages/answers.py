"""What who may not come in is answered, and the limit on how often one may miss.

Not there and not theirs are one answer. Pages and API say it in their own way.
"""

from contextlib import suppress

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rulebook.wording import counted
from services.cabinet.access.gate import (
    SAFE_METHODS,
    ForeignFormError,
    NotAllowedError,
    NotHereError,
    NotKnownError,
    TooLongError,
    Visitor,
    asks_api,
    log_in_path,
    path_of,
)
from services.cabinet.access.limits import TooOftenError
from services.cabinet.access.oidc import RefusedError, ServerUnavailableError
from services.cabinet.access.recognition import Access, Mode
from services.cabinet.api.problems import (
    ProblemError,
    headers_of,
    invalid,
    not_routed,
    problem,
    unavailable,
)
from services.cabinet.pages.freshness import ComesYetError
from services.cabinet.pages.site import Site
from services.cabinet.queries import Queries
from streaming.errors import BusUnavailableError, StoreUnavailableError
from streaming.telemetry import Telemetry

MISSES = frozenset({401, 404})
BEHIND_AGAIN_SECONDS = "30"
LOGGED_MAX = 200
"""Characters of a reason that are logged: others may have had a hand in it."""


def add_answers(
    app: FastAPI, site: Site, access: Access, telemetry: Telemetry, queries: Queries
) -> None:
    """Answer the errors of the gate, and count what was asked for in vain."""
    app.add_middleware(Misses)

    @app.exception_handler(NotHereError)
    async def _not_here(request: Request, error: NotHereError) -> Response:
        del error
        with suppress(StoreUnavailableError):
            # What is being read again is not there yet: nobody is told that it is not there.
            if _visitor(request).principal.grants and await queries.is_behind():
                return _comes_yet(request, site)
        if asks_api(request):
            return problem(404, NOT_HERE)
        return site.missing(_visitor(request))

    @app.exception_handler(HTTPException)
    async def _not_routed(request: Request, error: HTTPException) -> Response:
        if not _is_for_people(request):
            return not_routed(app, request, error)
        answer = site.missing(_visitor(request), error.status_code)
        answer.headers.update(headers_of(app, request, error))
        return answer

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        if not _is_for_people(request):
            return invalid(error)
        return site.missing(_visitor(request), 422)

    @app.exception_handler(ComesYetError)
    async def _comes(request: Request, error: ComesYetError) -> Response:
        del error
        return _comes_yet(request, site)

    @app.exception_handler(NotAllowedError)
    async def _not_allowed(request: Request, error: NotAllowedError) -> Response:
        del request, error
        return problem(403, "Your token has no right of this kind.")

    @app.exception_handler(NotKnownError)
    async def _not_known(request: Request, error: NotKnownError) -> Response:
        del error
        if asks_api(request):
            return _unknown_machine(access)
        if access.mode is Mode.CLOSED:
            return site.closed()
        if request.method in SAFE_METHODS and not _is_script(request):
            return RedirectResponse(log_in_path(request), 303, headers=_UNSEEN)
        return site.page("login_over.html", 401)

    @app.exception_handler(RefusedError)
    async def _refused(request: Request, error: RefusedError) -> Response:
        telemetry.log.warning("log-in refused", error=str(error)[:LOGGED_MAX])
        if asks_api(request):
            return _unknown_machine(access)
        return site.page("login_refused.html", 403, who=_visitor(request))

    @app.exception_handler(ForeignFormError)
    async def _foreign(request: Request, error: ForeignFormError) -> Response:
        del error
        return site.problem(_FOREIGN, 403, who=_visitor(request), back="/")

    @app.exception_handler(TooLongError)
    async def _long(request: Request, error: TooLongError) -> Response:
        if error.is_file:
            return site.problem(_LONG_FILE, who=_visitor(request))
        return site.problem(_LONG, who=_visitor(request), back="/")

    @app.exception_handler(TooOftenError)
    async def _often(request: Request, error: TooOftenError) -> Response:
        again = {"retry-after": str(error.seconds)}
        answer = (
            problem(429, "Too many tries. Come again later.")
            if asks_api(request)
            else site.page("login_often.html", 429, wait=_wait(error.seconds))
        )
        answer.headers.update(again)
        return answer

    @app.exception_handler(ServerUnavailableError)
    async def _server(request: Request, error: ServerUnavailableError) -> Response:
        telemetry.log.error("log-in server", error=str(error)[:LOGGED_MAX])
        if asks_api(request):
            return problem(503, "The server of tokens cannot be reached. Try again later.")
        return site.page("login_unavailable.html", 503)

    @app.exception_handler(StoreUnavailableError)
    async def _store(request: Request, error: StoreUnavailableError) -> Response:
        return site.unavailable() if _is_for_people(request) else unavailable(error)

    @app.exception_handler(BusUnavailableError)
    async def _bus(request: Request, error: BusUnavailableError) -> Response:
        return site.unavailable() if _is_for_people(request) else unavailable(error)

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> Response:
        if not _is_for_people(request):
            return error.response()
        if error.status in (429, 503):
            return site.unavailable()
        return site.problem(_NOT_TAKEN, error.status, who=_visitor(request))

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> Response:
        # The server logs it: Starlette raises it again when the answer is sent.
        del error
        if _is_for_people(request):
            return site.page("defect.html", 500)
        return problem(500, "Something went wrong on our side.")


def _wait(seconds: int) -> str:
    if seconds < 60:
        return counted(seconds, "секунду", "секунды", "секунд")
    return counted(-(-seconds // 60), "минуту", "минуты", "минут")


def _comes_yet(request: Request, site: Site) -> Response:
    if asks_api(request):
        answer = problem(503, "The read models are being read again. Try again later.")
    else:
        answer = site.page("behind.html", 503, who=_visitor(request))
    answer.headers["retry-after"] = BEHIND_AGAIN_SECONDS
    return answer


NOT_HERE = "There is nothing under this id."
_FOR_MACHINES = ("/static/", "/health/", "/metrics")
_UNSEEN = {"cache-control": "no-store"}
_FOREIGN = "Форма устарела или пришла с чужой страницы. Откройте страницу заново и повторите."
_LONG = "Слишком много сразу. Откройте страницу заново."
_LONG_FILE = "Файл слишком большой. Загрузите его по частям: по одному месяцу."
_NOT_TAKEN = "То, что вы отправили, не принято: страница устарела. Откройте её заново и повторите."


def _unknown_machine(access: Access) -> Response:
    told = {
        Mode.SERVER: "Send an access token of the server of tokens: Authorization: Bearer …",
        Mode.SANDBOX: "Send the token of the vault: Authorization: Bearer …",
        Mode.CLOSED: "There is no log-in here (PFDO_OIDC_ISSUER is not set): only the machine it "
        "runs on is answered, and the vault by its token.",
    }[access.mode]
    answer = problem(401, told)
    answer.headers["www-authenticate"] = "Bearer"
    return answer


def _is_script(request: Request) -> bool:
    """Return whether a script asks: an event stream cannot log in."""
    return "text/event-stream" in request.headers.get("accept", "")


def _is_for_people(request: Request) -> bool:
    """Return whether a person reads the answer: neither a machine nor a page that loads a part."""
    path = path_of(request)
    return not asks_api(request) and not path.startswith(_FOR_MACHINES)


def _visitor(request: Request) -> Visitor:
    visitor: Visitor = getattr(request.state, "visitor", Visitor())
    return visitor


class Misses:
    """Counts answers that say "not here" or "not known", against whom `recognize` named."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and look at the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in MISSES:
                limit, name = getattr(Request(scope).state, "missing", (None, ""))
                if limit is not None:
                    limit.count(name)
            await send(message)

        await self._app(scope, receive, counted)
