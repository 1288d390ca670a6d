"""Sessions of people who logged in: on the server, each for as long as it is used, no longer.

A browser holds a random token; the store holds who it is, under the token's hash and sealed with
the session key. So neither who reads the store can take a session over, nor who writes to it can
make one. A store that was wiped costs a log-in.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Protocol

import orjson

from services.cabinet.access.gate import Visitor
from services.cabinet.access.policy import Grant, Principal, Role
from streaming.errors import StoreUnavailableError
from streaming.redis_client import NOBODY, Login, RedisClient
from streaming.valkey import EmbeddedValkey

IDLE_SECONDS_MAX = 30 * 60
WHOLE_SECONDS_MAX = 12 * 60 * 60
SEEN_AGAIN_SECONDS = 60
"""A session that is used is written anew no more often than this."""
IN_MEMORY_MAX = 10_000

_MAC_BYTES = 32
# In the part of the cabinet's Redis that its user may use: deploy/secrets.sh.
_PREFIX = "pfdo:{cabinet:sessions}:"


class SessionStore(Protocol):
    """Keeps sealed sessions, each for some seconds."""

    async def start(self) -> None:
        """Connect. Raises StoreUnavailableError, SettingError."""

    async def stop(self) -> None:
        """Let go. Never hangs."""

    async def load(self, key: str) -> bytes | None:
        """Return what is kept, if its time is not over. Raises StoreUnavailableError."""

    async def save(self, key: str, value: bytes, seconds: int, *, only_known: bool) -> None:
        """Keep it for so long; `only_known`: unless it ended meanwhile."""

    async def drop(self, key: str) -> None:
        """Forget it."""


class MemorySessions:
    """Sessions of this process alone: they end with it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def load(self, key: str) -> bytes | None:
        """Return what is kept, if its time is not over."""
        until, value = self._kept.get(key, (0.0, b""))
        return value if self._clock() < until else None

    async def save(self, key: str, value: bytes, seconds: int, *, only_known: bool) -> None:
        """Keep it for so long; of too many the oldest goes."""
        if only_known and await self.load(key) is None:
            return
        self._kept.pop(key, None)
        self._kept[key] = (self._clock() + seconds, value)
        if len(self._kept) > IN_MEMORY_MAX:
            del self._kept[next(iter(self._kept))]

    async def drop(self, key: str) -> None:
        """Forget it."""
        self._kept.pop(key, None)


class RedisSessions:
    """Sessions in the cabinet's Redis: all of its processes know them."""

    def __init__(self, server: str | EmbeddedValkey, login: Login = NOBODY) -> None:
        self._client = RedisClient(server, None, StoreUnavailableError, login=login)

    async def start(self) -> None:
        """Connect. Raises StoreUnavailableError, SettingError."""
        await self._client.start()

    async def stop(self) -> None:
        """Let go of connections. Never hangs."""
        await self._client.stop()

    async def load(self, key: str) -> bytes | None:
        """Return what is kept; Redis forgets in time."""
        kept: bytes | None = await self._client.execute("GET", _PREFIX + key)
        return kept

    async def save(self, key: str, value: bytes, seconds: int, *, only_known: bool) -> None:
        """Keep it for so long."""
        condition = ("XX",) if only_known else ()
        await self._client.execute("SET", _PREFIX + key, value, "EX", seconds, *condition)

    async def drop(self, key: str) -> None:
        """Forget it."""
        await self._client.execute("UNLINK", _PREFIX + key)


class Sessions:
    """Begins, finds and ends sessions. `key` seals them: 32 bytes or more, the same everywhere."""

    def __init__(
        self, store: SessionStore, key: bytes, clock: Callable[[], float] = time.time
    ) -> None:
        self.store = store
        self._key = key
        self._clock = clock

    async def begin(self, principal: Principal) -> str:
        """Return the token of a new session. Raises StoreUnavailableError."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        await self._save(token, principal, began=now, seen=now, only_known=False)
        return token

    async def find(self, token: str) -> Visitor | None:
        """Return whose session it is, if it goes on. Raises StoreUnavailableError."""
        id_ = _id(token)
        kept = await self.store.load(id_)
        if kept is None:
            return None
        mac, body = kept[:_MAC_BYTES], kept[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(id_, body)):
            return None
        fields = orjson.loads(body)
        now = self._clock()
        if now >= fields["began"] + WHOLE_SECONDS_MAX or now >= fields["seen"] + IDLE_SECONDS_MAX:
            return None
        principal = _principal(fields)
        if now >= fields["seen"] + SEEN_AGAIN_SECONDS:
            await self._save(token, principal, began=fields["began"], seen=now, only_known=True)
        return Visitor(principal=principal, csrf=self.signed("csrf", token))

    async def end(self, token: str) -> None:
        """End a session, wherever its token may be. Raises StoreUnavailableError."""
        await self.store.drop(_id(token))

    def signed(self, purpose: str, text: str) -> str:
        """Return a signature of ours; one for each purpose."""
        return hmac.new(self._key, f"{purpose}|{text}".encode(), sha256).hexdigest()

    async def _save(
        self, token: str, principal: Principal, *, began: float, seen: float, only_known: bool
    ) -> None:
        id_ = _id(token)
        body = orjson.dumps(
            {
                "subject": principal.subject,
                "grants": sorted([each.role.value, each.scope] for each in principal.grants),
                "began": began,
                "seen": seen,
            }
        )
        value = self._mac(id_, body) + body
        await self.store.save(id_, value, IDLE_SECONDS_MAX, only_known=only_known)

    def _mac(self, id_: str, body: bytes) -> bytes:
        return hmac.digest(self._key, b"session|" + id_.encode() + b"|" + body, "sha256")


def _id(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _principal(fields: dict[str, Any]) -> Principal:
    grants = frozenset(Grant(Role(role), scope) for role, scope in fields["grants"])
    return Principal(subject=fields["subject"], grants=grants)
