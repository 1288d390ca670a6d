"""The web application of the cabinet, and how to serve it.

`create_app` needs an open installation and the host of this process; the read models may be kept
by another process. `serving` runs it beside whatever else the process does.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

from fastapi import Depends, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from contracts.sources import Sources
from services.cabinet.api import intake, reading
from services.cabinet.api import vault as personal
from services.cabinet.api.problems import ProblemError, add_handlers
from services.cabinet.pages import journal_routes, paper_routes, routes
from services.cabinet.pages.people import People
from services.cabinet.pages.pulse import Pulse
from services.cabinet.pages.site import FOLDER, Site
from services.cabinet.papers.codes import SANDBOX_KEY, Codes
from services.cabinet.projections import cabinet
from services.cabinet.provider_queries import ProviderQueries
from services.cabinet.vault.opening import vault_of
from services.cabinet.vault.vault import Vault
from streaming import health
from streaming.bus import Bus
from streaming.errors import SettingError
from streaming.health import quiet_server
from streaming.host import Host
from streaming.installation import Installation
from streaming.settings import Settings
from streaming.store import Store
from streaming.telemetry import Telemetry

PROJECTION = cabinet
"""The read models; a process that runs the cabinet gives this to `streaming.process.make_host`."""

STOP_SECONDS_MAX = 5

_HEALTH = ("/health/live", "/health/ready", "/metrics")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


async def create_app(
    installation: Installation, host: Host, telemetry: Telemetry, settings: Settings
) -> FastAPI:
    """Return the cabinet on an open installation. Raises StoreUnavailableError, SettingError."""
    store = await installation.store(PROJECTION.name)
    token = settings.vault_token
    return make_app(
        store,
        installation.bus,
        installation.sources,
        host,
        telemetry,
        sandbox=settings.sandbox,
        vault=vault_of(settings),
        vault_token=None if token is None else token.get_secret_value(),
        codes=_codes_of(settings),
        public_url=settings.public_url,
    )


def _codes_of(settings: Settings) -> Codes | None:
    if settings.paper_key is not None:
        return Codes(settings.paper_key.get_secret_value())
    return Codes(SANDBOX_KEY) if settings.sandbox else None


def make_app(
    store: Store,
    bus: Bus,
    sources: Sources,
    host: Host,
    telemetry: Telemetry,
    *,
    sandbox: bool,
    vault: Vault | None = None,
    vault_token: str | None = None,
    codes: Codes | None = None,
    public_url: str | None = None,
) -> FastAPI:
    """Return the cabinet on a store of read models and a bus to publish to.

    Without a vault there are no names; it is opened by `serving`. Without codes no certificate is
    printed, and none can be asked about.
    """
    app = FastAPI(
        title="PFDO cabinet",
        version="1",
        description="What the services decided, read only; and the way in for events over HTTP.",
        openapi_url="/api/v1/openapi.json",
        # Their pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
    )
    queries = ProviderQueries(store, bus.partitions)
    way_in = intake.Intake(bus, sources)
    app.state.pulse = Pulse(queries)
    app.state.vault = vault
    add_handlers(app)
    _add_health(app, host, telemetry)
    guards = [] if sandbox else [Depends(_only_this_machine)]
    app.include_router(reading.router(queries), dependencies=guards)
    app.include_router(intake.router(way_in), dependencies=guards)
    no_token_needed = _is_local if sandbox else _nobody
    app.include_router(personal.router(vault, vault_token, no_token_needed))
    _add_pages(app, queries, way_in, People(vault), codes, public_url, sandbox=sandbox)
    return app


def _add_pages(
    app: FastAPI,
    queries: ProviderQueries,
    way_in: intake.Intake,
    people: People,
    codes: Codes | None,
    public_url: str | None,
    *,
    sandbox: bool,
) -> None:
    site = Site(sandbox=sandbox, invented=people.are_invented, papers=codes is not None)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    app.include_router(routes.router(queries, app.state.pulse, people, site))
    app.include_router(paper_routes.router(queries, people, site, codes, public_url))
    app.include_router(journal_routes.router(queries, people, site, way_in))


def _nobody(request: Request) -> bool:
    del request
    return False


def _only_this_machine(request: Request) -> None:
    """Let the API answer this machine alone, as long as there is no log-in."""
    if not _is_local(request):
        raise ProblemError(403, "There is no log-in yet: only the machine it runs on is answered.")


def _is_local(request: Request) -> bool:
    """Return whether a request comes from this machine and nobody's behalf."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _add_health(app: FastAPI, host: Host, telemetry: Telemetry) -> None:
    for path in _HEALTH:

        async def look(request: Request) -> Response:
            status, content_type, body = health.answer(request.url.path, host, telemetry)
            return Response(body, status, headers={"content-type": content_type})

        app.add_api_route(path, look, include_in_schema=False)


@asynccontextmanager
async def serving(app: FastAPI, address: str, port: int) -> AsyncIterator[int]:
    """Serve the app while the block runs; yields its port, which was chosen if `port` is 0.

    Its vault is open as long. Raises SettingError when the port cannot be had or a key of the vault
    lacks, VaultUnavailableError.
    """
    try:
        listening = socket.create_server((address, port), family=_family(address))
    except OSError as error:
        raise SettingError(
            f"{address}:{port} cannot be listened on ({error.strerror}). "
            "Stop what uses it, or choose another one by PFDO_PORT or --port."
        ) from error
    with listening:
        if app.state.vault is not None:
            await app.state.vault.open()
        server = quiet_server(app, address, port)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            await app.state.pulse.close()
            server.should_exit = True
            await asyncio.wait([task], timeout=STOP_SECONDS_MAX)
            if app.state.vault is not None:
                await app.state.vault.close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
