"""What the cabinet answers, counted, and how long that takes: for who is on call."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming.telemetry import Telemetry


class Counting:
    """Counts answers by surface (`api`, `pages`, `static`) and status, outermost in the app.

    The time is that until an answer begins: a page that is told news stays open for hours.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, surface, answered = time.monotonic(), _surface(scope["path"]), False

        def count(status: int) -> None:
            nonlocal answered
            answered = True
            self._telemetry.http_responses.labels(surface, str(status)).inc()
            self._telemetry.http_seconds.labels(surface).observe(time.monotonic() - began)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception:
            if not answered:
                # Who answers for defects stands outside of all that is added to an app.
                count(500)
            raise


def _surface(path: str) -> str:
    match path.split("/", 2)[1:]:
        case ["api" | "static" as first, _]:
            return first
        case _:
            return "pages"
