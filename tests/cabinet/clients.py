"""The web application of hand-written journals, and a client of it without a network."""

from typing import Any

import httpx
from fastapi import FastAPI

from services.cabinet.app import make_app
from streaming.host import Host
from streaming.telemetry import Telemetry
from tests.cabinet.journals import Journals


def app_of(journals: Journals, *, sandbox: bool = True, **more: Any) -> FastAPI:
    """Return the cabinet of these journals."""
    host = Host(journals.bus, {}, Telemetry())
    return make_app(
        journals.store, journals.bus, journals.sources, host, Telemetry(), sandbox=sandbox, **more
    )


def client_of(app: FastAPI, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """Return a client at an address; errors of the app are answers, as over the wire."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://cabinet")
