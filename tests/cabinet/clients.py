"""The web application of hand-written journals, and a client of it without a network."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from fastapi import FastAPI

from services.cabinet.app import make_app
from streaming.host import Host
from streaming.telemetry import Telemetry
from tests.cabinet.journals import Journals

_OWNERS = re.compile(r"/(families|journal|console)(?:/([^/]+))?")
_ROLES = {"families": "guardian", "journal": "provider", "console": "payer"}


def app_of(journals: Journals, *, sandbox: bool = True, **more: Any) -> FastAPI:
    """Return the cabinet of these journals."""
    host = Host(journals.bus, {}, Telemetry())
    return make_app(
        journals.store, journals.bus, journals.sources, host, Telemetry(), sandbox=sandbox, **more
    )


def client_of(app: FastAPI, address: str = "127.0.0.1", **more: Any) -> httpx.AsyncClient:
    """Return a client at an address; errors of the app are answers, as over the wire.

    It is whoever a page is for; `auth=None` is nobody.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    more = {"auth": WhoeverItIsFor()} | more
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", **more)


class WhoeverItIsFor(httpx.Auth):
    """Picks, on the sandbox's page, whom the page that is asked for belongs to.

    A list is asked for by the auditor. Forms carry the token of a page that was opened before.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Log in once as each, then send what is to be sent as the right one."""
        owner = _OWNERS.match(request.url.path)
        if owner is not None:
            kind, scope = owner.groups()
            whom = f"{_ROLES[kind]}:{scope}" if scope else "auditor:"
            if whom not in self._known:
                at = request.url.copy_with(path="/login/sandbox", query=None)
                picked = yield httpx.Request("POST", at, data={"as": whom})
                cookie = picked.headers.get("set-cookie", "").partition(";")[0]
                at = request.url.copy_with(path="/login", query=None)
                page = yield httpx.Request("GET", at, headers={"cookie": cookie})
                await page.aread()
                self._known[whom] = (cookie, csrf_of(page.text))
            cookie, csrf = self._known[whom]
            request.headers["cookie"] = cookie
            if request.method == "POST":
                request.headers["x-csrf-token"] = csrf
        yield request


def csrf_of(page: str) -> str:
    """Return the token that the forms of a page carry; empty if nobody is logged in."""
    found = re.search(r'<body data-csrf="([^"]*)"', page)
    return found[1] if found else ""
