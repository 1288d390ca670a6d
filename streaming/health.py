"""`/health/live`, `/health/ready` and `/metrics` of a process that has no other pages."""

import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streaming.host import Host
from streaming.telemetry import Telemetry

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def answer(path: str, host: Host, telemetry: Telemetry) -> tuple[int, str, bytes]:
    """Return status, content type and body for a path."""
    plain = "text/plain; charset=utf-8"
    if path == "/health/live":
        return 200, plain, b"alive\n"
    if path == "/health/ready":
        return (200, plain, b"ready\n") if host.is_ready else (503, plain, _why_not(host))
    if path == "/metrics":
        for (service, partition), since in host.in_trouble_since.items():
            telemetry.unsettled_seconds.labels(service, str(partition)).set(
                time.monotonic() - since
            )
        return 200, CONTENT_TYPE_LATEST, generate_latest(telemetry.registry)
    return 404, plain, b"/health/live, /health/ready and /metrics are here\n"


def _why_not(host: Host) -> bytes:
    owned = sum(len(partitions) for partitions in host.owned.values())
    return f"not ready: {len(host.ready)} of {owned} owned partitions stand\n".encode()


def server(host: Host, telemetry: Telemetry, address: str, port: int) -> uvicorn.Server:
    """Return a server of the three paths; run it with `serve()`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] != "http":
            return
        status, content_type, body = answer(scope["path"], host, telemetry)
        headers = [(b"content-type", content_type.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return quiet_server(application, address, port)


class QuietServer(uvicorn.Server):
    """A server that leaves signals to the process it runs in."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none: the process stops the server."""
        yield


def quiet_server(application: Any, address: str, port: int) -> uvicorn.Server:
    """Return an HTTP server that writes no log lines of its own and handles no signals."""
    config = uvicorn.Config(
        application,
        host=address,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
    )
    return QuietServer(config)
