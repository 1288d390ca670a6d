"""Who comes? People by the cookie of a session, machines by a token; each at their own door."""

import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from fastapi import Request

from services.cabinet.access.gate import Visitor, asks_api, path_of
from services.cabinet.access.limits import LOG_INS_A_MINUTE, MISSES_A_MINUTE, Limit
from services.cabinet.access.oidc import OpenIdConnect, RefusedError
from services.cabinet.access.policy import Grant, Principal, Role
from services.cabinet.access.sessions import Sessions

_WATCHED = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Asked by machines that must not be put off by what others do from their address."""
_UNLIMITED = (Role.LOCAL, Role.NAVIGATOR, Role.SENDERS)
_LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Mode(StrEnum):
    """How people log in here."""

    SERVER = "server"
    """At a server for it (OpenID Connect)."""
    SANDBOX = "sandbox"
    """By picking an invented person."""
    CLOSED = "closed"
    """Not at all: pages show nothing, and the API answers the machine it runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """All it takes to know who comes.

    `vault_token` opens the vault to the Navigator, `senders_token` as far as senders need it.

    `misses` and `codes` are what was asked for in vain; `codes` at /verify, which is for everybody.
    """

    mode: Mode
    sessions: Sessions
    server: OpenIdConnect | None = None
    vault_token: str | None = None
    senders_token: str | None = None
    log_ins: Limit
    misses: Limit
    codes: Limit

    @classmethod
    def new(
        cls,
        sessions: Sessions,
        *,
        sandbox: bool,
        server: OpenIdConnect | None = None,
        vault_token: str | None = None,
        senders_token: str | None = None,
    ) -> "Access":
        """Return how people and machines are known; with a server nobody is invented."""
        closed = Mode.SANDBOX if sandbox else Mode.CLOSED
        return cls(
            mode=Mode.SERVER if server is not None else closed,
            sessions=sessions,
            server=server,
            vault_token=vault_token,
            senders_token=senders_token,
            log_ins=Limit(LOG_INS_A_MINUTE),
            misses=Limit(MISSES_A_MINUTE),
            codes=Limit(MISSES_A_MINUTE),
        )

    @property
    def cookie(self) -> str:
        """Return the name of the session's cookie; `__Host-` makes browsers keep it to us."""
        return "pfdo" if self.mode is Mode.SANDBOX else "__Host-pfdo"

    async def start(self) -> None:
        """Open what is needed. Raises StoreUnavailableError, SettingError."""
        await self.sessions.store.start()
        if self.server is not None:
            await self.server.start()

    async def stop(self) -> None:
        """Let go of it."""
        if self.server is not None:
            await self.server.stop()
        await self.sessions.store.stop()

    async def recognize(self, request: Request) -> Visitor:
        """Return who comes; nobody if nothing proves it.

        Raises RefusedError, ServerUnavailableError, StoreUnavailableError, and TooOftenError for
        whoever asked too often for what is not there or not theirs.
        """
        if path_of(request) in _WATCHED:
            return Visitor()
        try:
            visitor = await self._visitor(request)
        except RefusedError:
            self._limit(request, Visitor())
            raise
        # From these nothing is kept that they could find by asking and asking.
        if not any(visitor.principal.has(role) for role in _UNLIMITED):
            self._limit(request, visitor)
        return visitor

    def _limit(self, request: Request, visitor: Visitor) -> None:
        """Say against whom a miss counts. Raises TooOftenError for who missed too often.

        Many people may share an address: what somebody misses there puts off nobody who is known,
        and keeps nobody from the log-in.
        """
        if path_of(request).startswith("/verify/"):
            limit = self.codes
        elif visitor.is_known or asks_api(request):
            limit = self.misses
        else:
            return
        known = visitor.principal.subject
        name = f"subject {known}" if visitor.is_known else address_of(request)
        request.state.missing = (limit, name)
        limit.check(name)

    async def _visitor(self, request: Request) -> Visitor:
        if asks_api(request):
            return Visitor(principal=await self._machine(request))
        token = request.cookies.get(self.cookie, "")
        if self.mode is Mode.CLOSED or not token:
            return Visitor()
        return await self.sessions.find(token) or Visitor()

    async def _machine(self, request: Request) -> Principal:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        keepers = ((self.vault_token, _NAVIGATOR), (self.senders_token, _SENDERS))
        for known, machine in keepers:
            if known and token and hmac.compare_digest(token.encode(), known.encode()):
                return machine
        if self.server is not None:
            return await self.server.bearer(token) if token else Principal()
        here = is_local(request)
        if self.mode is Mode.SANDBOX:
            takes_tokens = any(known for known, _ in keepers)
            return _LOCAL_NAVIGATOR if here and not takes_tokens else _LOCAL
        return _LOCAL if here else Principal()


_NAVIGATOR = Principal(subject="navigator", grants=frozenset({Grant(Role.NAVIGATOR)}))
_SENDERS = Principal(subject="senders", grants=frozenset({Grant(Role.SENDERS)}))
_LOCAL = Principal(subject="local", grants=frozenset({Grant(Role.LOCAL)}))
_LOCAL_NAVIGATOR = Principal(
    subject="local", grants=frozenset({Grant(Role.LOCAL), Grant(Role.NAVIGATOR)})
)


def address_of(request: Request) -> str:
    """Return where a request comes from, for limits."""
    return "" if request.client is None else request.client.host


def is_local(request: Request) -> bool:
    """Return whether a request comes from this machine and nobody's behalf.

    A page of others can have a browser here ask under its own name (DNS rebinding), never as ours.
    """
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        is_here = ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    return is_here and _LOCAL_HOST.fullmatch(request.headers.get("host", "")) is not None
