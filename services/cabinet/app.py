"""The web application of the cabinet, and how to serve it.

`create_app` needs an open installation and the host of this process; the read models may be kept
by another process. `serving` runs it beside whatever else the process does.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from contracts.sources import Sources
from services.cabinet.access.gate import OPEN, check_routes
from services.cabinet.access.oidc import OpenIdConnect
from services.cabinet.access.recognition import Access
from services.cabinet.access.sessions import MemorySessions, RedisSessions, Sessions
from services.cabinet.access.settings import NO_PROXY, LogIn, load_log_in, trusts_no_proxy
from services.cabinet.api import intake, openapi, reading
from services.cabinet.api import vault as personal
from services.cabinet.club_queries import ClubQueries
from services.cabinet.counting import Counting
from services.cabinet.heads import Heads
from services.cabinet.pages import (
    clubs_routes,
    console_invoice_routes,
    console_operations_routes,
    console_routes,
    console_rules_routes,
    contacts_routes,
    disputes,
    disputes_routes,
    journal_routes,
    leaving,
    leaving_routes,
    login_routes,
    paper_routes,
    preferences_routes,
    push_routes,
    routes,
)
from services.cabinet.pages.answers import add_answers
from services.cabinet.pages.people import People
from services.cabinet.pages.pulse import Pulse
from services.cabinet.pages.site import FOLDER, Site
from services.cabinet.papers.codes import SANDBOX_KEY, Codes
from services.cabinet.projections import cabinet
from services.cabinet.proposals import MemoryKeys, Proposals, RedisKeys
from services.cabinet.region import Region, region_of
from services.cabinet.sending import Sending
from services.cabinet.vault.opening import vault_of
from services.cabinet.vault.vault import Vault
from services.cabinet.vault.watching import watch
from streaming import health
from streaming.bus import Bus
from streaming.errors import SettingError
from streaming.health import quiet_server
from streaming.host import Host
from streaming.installation import Installation
from streaming.redis_client import Login
from streaming.settings import Settings
from streaming.store import Store
from streaming.telemetry import Telemetry
from streaming.valkey import EmbeddedValkey

STOP_SECONDS_MAX = 5

_SANDBOX_SEAL = b"the sandbox, where nobody is anybody"

AS_THE_NAVIGATOR = (
    "PFDO_VAULT_SENDERS_TOKEN here, the same as PFDO_SENDERS_VAULT_TOKEN of the senders, then "
    "another PFDO_VAULT_TOKEN: with that one they may all that the Navigator may"
)

_HEALTH = ("/health/live", "/health/ready", "/metrics")


async def create_app(
    installation: Installation,
    host: Host,
    telemetry: Telemetry,
    settings: Settings,
    environment: Mapping[str, str] | None = None,
) -> FastAPI:
    """Return the cabinet on an open installation, with the log-in that the environment sets.

    Raises StoreUnavailableError, SettingError.
    """
    log_in = load_log_in(settings, environment)
    if log_in is not None and trusts_no_proxy(settings, environment):
        telemetry.log.warning("no proxy is trusted", remedy=NO_PROXY)
    if settings.vault_token is not None and settings.vault_senders_token is None:
        telemetry.log.warning("senders have no token of their own", remedy=AS_THE_NAVIGATOR)
    store = await installation.store(cabinet.name)
    return make_app(
        store,
        installation.bus,
        installation.sources,
        host,
        telemetry,
        sandbox=settings.sandbox,
        vault=vault_of(settings),
        access=_access_of(settings, log_in),
        proposals=_proposals_of(settings, log_in),
        codes=_codes_of(settings),
        public_url=settings.public_url,
        push_key=settings.push_public_key,
        watch_url=settings.watch_url,
        stand_in=_stands_in(settings, installation.sources),
        region=region_of(settings.region, sandbox=settings.sandbox),
    )


def _stands_in(settings: Settings, sources: Sources) -> bool:
    """Return whether families enter here what they enter in the Navigator elsewhere.

    Raises SettingError where they should and there is no such source.
    """
    has_source = leaving.SOURCE in sources.by_name
    if settings.stand_in and not has_source:
        raise SettingError(
            f"PFDO_STAND_IN=1 needs the source {leaving.SOURCE!r}, and PFDO_SOURCES has none. "
            "Take its entry from contracts/sources.yaml."
        )
    is_wanted = settings.sandbox if settings.stand_in is None else settings.stand_in
    return is_wanted and has_source


def _may_leave(sources: Sources) -> bool:
    """Return whether the source of families may say that a place is given up."""
    return all(sources.by_name[leaving.SOURCE].may_send(type_) for type_ in leaving.SENT)


def _login_of(settings: Settings) -> Login:
    return Login(
        username=settings.redis_username, password=settings.redis_password, ca=settings.redis_ca
    )


def _access_of(settings: Settings, log_in: LogIn | None) -> Access:
    server = settings.redis_url_of(cabinet.name) or EmbeddedValkey(settings.data / "state")
    login = _login_of(settings)
    # In the sandbox sessions end with the process: nobody there is anybody.
    key = secrets.token_bytes(32) if log_in is None else log_in.session_key
    token, senders_token = settings.vault_token, settings.vault_senders_token
    return Access.new(
        Sessions(RedisSessions(server, login), key),
        sandbox=settings.sandbox,
        server=None if log_in is None else OpenIdConnect(log_in),
        vault_token=None if token is None else token.get_secret_value(),
        senders_token=None if senders_token is None else senders_token.get_secret_value(),
    )


def _proposals_of(settings: Settings, log_in: LogIn | None) -> Proposals:
    server = settings.redis_url_of(cabinet.name) or EmbeddedValkey(settings.data / "state")
    # Without a log-in nobody proposes but the invented people of the sandbox, whose proposals
    # outlive the process.
    key = _SANDBOX_SEAL if log_in is None else log_in.session_key
    return Proposals(RedisKeys(server, _login_of(settings)), key)


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
    access: Access | None = None,
    proposals: Proposals | None = None,
    codes: Codes | None = None,
    public_url: str | None = None,
    push_key: str | None = None,
    watch_url: str | None = None,
    stand_in: bool = False,
    region: Region | None = None,
) -> FastAPI:
    """Return the cabinet on a store of read models and a bus to publish to.

    Without a vault there are no names; `serving` opens it, and what keeps sessions and proposals.
    Without `access` people are those of the sandbox, or nobody, and sessions are kept in this
    process; so are proposals without `proposals`. Without codes no certificate is printed, and
    none can be asked about. Without a region places are called by their codes.
    """
    if access is None:
        sessions = Sessions(MemorySessions(), secrets.token_bytes(32))
        access = Access.new(sessions, sandbox=sandbox)
    app = FastAPI(
        title="PFDO cabinet",
        version="1",
        description="What the services decided, read only; and the way in for events over HTTP.",
        # Added below, as a route that declares who may read it.
        openapi_url=None,
        # Their pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
    )
    queries = ClubQueries(store, bus.partitions)
    way_in = intake.Intake(bus, sources)
    sending = Sending(way_in, queries)
    people = People(vault)
    app.state.pulse = Pulse(queries)
    app.state.vault = vault
    app.state.telemetry = telemetry
    app.state.access = access
    app.state.recognize = access.recognize
    app.add_middleware(Heads)
    app.add_middleware(Counting, telemetry=telemetry)
    _add_health(app, host, telemetry)
    app.include_router(reading.router(queries))
    app.include_router(intake.router(way_in))
    app.include_router(personal.router(vault))
    app.include_router(openapi.router(app, access))
    leaves = stand_in and _may_leave(sources)
    can_dispute = disputes.SOURCE in sources.by_name
    site = Site(
        sandbox=sandbox,
        invented=people.are_invented,
        papers=codes is not None,
        # Where browsers are to be reached is personal: without a vault nobody could keep it.
        push_key=None if vault is None else push_key,
        stand_in=stand_in,
        leaving=leaves,
        contacts=stand_in and vault is not None,
        region=region or Region(),
        disputes=can_dispute,
        https=(public_url or "").startswith("https:"),
    )
    add_answers(app, site, access, telemetry, queries)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    app.include_router(login_routes.router(queries, site, access))
    app.include_router(routes.router(queries, app.state.pulse, people, site))
    app.include_router(preferences_routes.router(queries, site, sending))
    if stand_in:
        app.include_router(clubs_routes.router(queries, people, site, sending))
        app.include_router(contacts_routes.router(queries, vault, site))
    if leaves:
        app.include_router(leaving_routes.router(queries, people, site, sending))
    if can_dispute:
        app.include_router(disputes_routes.router(queries, site, sending))
    app.include_router(push_routes.router(vault, site))
    app.include_router(paper_routes.router(queries, people, site, codes, public_url))
    app.include_router(journal_routes.router(queries, people, site, sending))
    app.include_router(console_operations_routes.router(queries, site, bus, sources, watch_url))
    app.include_router(console_routes.router(queries, site))
    app.include_router(console_invoice_routes.router(queries, site, sending))
    proposed = proposals or Proposals(MemoryKeys(), secrets.token_bytes(32))
    app.state.proposals = proposed
    app.include_router(console_rules_routes.router(queries, site, sending, proposed))
    check_routes(app)
    return app


def _add_health(app: FastAPI, host: Host, telemetry: Telemetry) -> None:
    for path in _HEALTH:

        async def look(request: Request) -> Response:
            status, content_type, body = health.answer(request.url.path, host, telemetry)
            return Response(body, status, headers={"content-type": content_type})

        app.add_api_route(path, look, include_in_schema=False, dependencies=[OPEN])


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
    # asyncio does so itself only for sockets of which it is told that they speak TCP: what is
    # written in two parts would wait for the browser to acknowledge the first, some 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    async with AsyncExitStack() as opened:
        opened.enter_context(listening)
        if app.state.vault is not None:
            await app.state.vault.open()
            opened.push_async_callback(app.state.vault.close)
            watching = asyncio.create_task(watch(app.state.vault, app.state.telemetry))
            opened.callback(watching.cancel)
        for each in (app.state.access, app.state.proposals.store):
            await each.start()
            opened.push_async_callback(each.stop)
        server = quiet_server(app, address, port)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            await app.state.pulse.close()
            server.should_exit = True
            await asyncio.wait([task], timeout=STOP_SECONDS_MAX)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
