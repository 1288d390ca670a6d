"""Errors as machines read them: `application/problem+json` (RFC 9457), without internals."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match

from contracts.vocabulary import DeadLetterReason
from services.cabinet.api import shapes
from streaming.errors import BusUnavailableError, StoreUnavailableError

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"

_TITLES = {
    400: "This is no readable JSON",
    401: "Not known",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    406: "Not available in that form",
    408: "Too slow",
    413: "Too large",
    415: "Another content type is needed",
    422: "This cannot be accepted",
    429: "Too much at once",
    500: "A defect",
    503: "Not available at the moment",
}


_HEADERS = {
    401: {"WWW-Authenticate": "`Bearer`"},
    429: {"Retry-After": "Seconds"},
    503: {"Retry-After": "Seconds"},
}


def problems(
    descriptions: Mapping[int, str], shape: type[shapes.Problem] = shapes.Problem
) -> dict[int | str, dict[str, Any]]:
    """Return problems that a route answers with, as `responses` of FastAPI; `openapi.py` adds the
    shapes they refer to.
    """
    schema = {"$ref": f"#/components/schemas/{shape.__name__}"}
    return {
        status: {
            "description": description,
            "content": {CONTENT_TYPE: {"schema": schema}},
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in _HEADERS.get(status, {}).items()
            },
        }
        for status, description in descriptions.items()
    }


EVERYWHERE = problems(
    {
        401: "Not known: no token, or none to be trusted",
        403: "No right of this kind, whatever there be",
        422: "What was sent is not as it is described here",
        429: "Too much at once, or too often in vain",
        503: "What this stands on cannot be reached at the moment",
    }
)
"""What each route of the API may answer."""


class ProblemError(Exception):
    """An answer that is a problem. `reason` is of the closed list of `docs/events.md`."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        reason: DeadLetterReason | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason
        self.index = index

    def response(self) -> Response:
        """Return the answer."""
        more: dict[str, Any] = {}
        if self.reason is not None:
            more["reason"] = self.reason.value
        if self.index is not None:
            more["index"] = self.index
        return problem(self.status, self.detail, **more)


def problem(status: int, detail: str, **more: Any) -> Response:
    """Return a problem as RFC 9457 has it; 429 and 503 say when to come again."""
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Not possible"),
        "status": status,
        "detail": detail,
        **more,
    }
    again = {"retry-after": RETRY_AFTER_SECONDS} if status in (429, 503) else None
    return Response(orjson.dumps(body), status, media_type=CONTENT_TYPE, headers=again)


def unavailable(error: StoreUnavailableError | BusUnavailableError) -> Response:
    """Return that store or bus cannot be reached; which and where is not the caller's to know."""
    what = "bus" if isinstance(error, BusUnavailableError) else "store"
    return problem(503, f"The {what} cannot be reached. Try again later.")


def not_routed(app: FastAPI, request: Request, error: HTTPException) -> Response:
    """Return that there is no such route, or none for this method."""
    answer = problem(error.status_code, str(error.detail))
    answer.headers.update(headers_of(app, request, error))
    return answer


def headers_of(app: FastAPI, request: Request, error: HTTPException) -> Mapping[str, str]:
    """Return what goes with such an answer, whoever reads it."""
    if error.status_code != 405:
        return error.headers or {}
    # The router names the methods of the first route alone.
    return {"allow": ", ".join(sorted(_methods_at(app, request)))}


def invalid(error: RequestValidationError) -> Response:
    """Return what a route does not take."""
    first = error.errors()[0]
    name = ".".join(str(step) for step in first["loc"])
    return problem(422, f"{name}: {first['msg']}")


def _methods_at(app: FastAPI, request: Request) -> set[str]:
    return {
        method
        for route in iter_route_contexts(app.routes)
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
