"""What one person proposes and another approves: money and rules of a payer, until they are sent.

A proposal is no event and stands in no journal: it is kept here, with who proposed it and who
answered. Once approved it goes out as the payer's event, and that is what counts. The first answer
stands; approved and not yet sent (the bus was away) it can be sent again, under the same id.

Each is sealed for the place it is kept at: who writes to the store can neither propose nor approve.
"""

import hmac
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import orjson

from streaming.errors import StoreUnavailableError
from streaming.redis_client import NOBODY, Login, RedisClient
from streaming.valkey import EmbeddedValkey

OPEN_MAX = 500
"""So many proposals of a payer wait for an answer."""
OPEN_OF_ONE_MAX = 50
"""So many of them are of one person."""
ANSWERED_MAX = 500
"""So many that were answered are kept; the oldest go."""

_MAC_BYTES = 32

# In the part of the cabinet's Redis that its user may use: deploy/secrets.sh.
_PREFIX = "pfdo:{cabinet:proposals}:"


class TooManyError(Exception):
    """More proposals wait for an answer than may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is proposed: `fact` and `data` of the payer's event, without its revision, and why.

    `by` and `role` tell who proposed it; neither is a name.
    """

    payer: str
    fact: str
    subject: str
    data: dict[str, Any]
    why: str
    by: str
    at: str

    @property
    def id(self) -> str:
        """Return its id: the same words of the same person at the same moment are one."""
        return sha256(orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a proposal. `event` is what goes out, if it was approved."""

    is_approved: bool
    by: str
    at: str
    event: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A proposal with its answer, if it has one, and whether its event stands on the bus."""

    proposal: Proposal
    answer: Answer | None = None
    is_sent: bool = False


class KeyStore(Protocol):
    """Keeps bytes under keys, and names in order. Raises StoreUnavailableError."""

    async def start(self) -> None:
        """Connect. Raises StoreUnavailableError, SettingError."""

    async def stop(self) -> None:
        """Let go. Never hangs."""

    async def load(self, keys: list[str]) -> list[bytes | None]:
        """Return what stands under keys."""

    async def save_first(self, key: str, value: bytes) -> bool:
        """Keep a value unless there is one; return whether it was kept."""

    async def drop(self, keys: list[str]) -> None:
        """Forget what stands under keys."""

    async def add(self, key: str, name: str, at_ms: int) -> None:
        """Put a name at its place."""

    async def remove(self, key: str, name: str) -> None:
        """Take a name away."""

    async def names(self, key: str) -> list[str]:
        """Return the names in their order."""


class MemoryKeys:
    """Keys of this process alone: they end with it."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._names: dict[str, dict[str, int]] = {}

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def load(self, keys: list[str]) -> list[bytes | None]:
        """Return what stands under keys."""
        return [self._values.get(key) for key in keys]

    async def save_first(self, key: str, value: bytes) -> bool:
        """Keep a value unless there is one."""
        return self._values.setdefault(key, value) is value

    async def drop(self, keys: list[str]) -> None:
        """Forget what stands under keys."""
        for key in keys:
            self._values.pop(key, None)

    async def add(self, key: str, name: str, at_ms: int) -> None:
        """Put a name at its place."""
        self._names.setdefault(key, {})[name] = at_ms

    async def remove(self, key: str, name: str) -> None:
        """Take a name away."""
        self._names.get(key, {}).pop(name, None)

    async def names(self, key: str) -> list[str]:
        """Return the names in their order."""
        named = self._names.get(key, {})
        return sorted(named, key=lambda name: (named[name], name))


class RedisKeys:
    """Keys in the cabinet's Redis: all of its processes see them, and they outlive it."""

    def __init__(self, server: str | EmbeddedValkey, login: Login = NOBODY) -> None:
        self._client = RedisClient(server, None, StoreUnavailableError, login=login)

    async def start(self) -> None:
        """Connect. Raises StoreUnavailableError, SettingError."""
        await self._client.start()

    async def stop(self) -> None:
        """Let go of connections. Never hangs."""
        await self._client.stop()

    async def load(self, keys: list[str]) -> list[bytes | None]:
        """Return what stands under keys, in one round trip."""
        return await self._client.execute_all([("GET", _PREFIX + key) for key in keys])

    async def save_first(self, key: str, value: bytes) -> bool:
        """Keep a value unless there is one: Redis decides who was first."""
        return await self._client.execute("SET", _PREFIX + key, value, "NX") is not None

    async def drop(self, keys: list[str]) -> None:
        """Forget what stands under keys."""
        await self._client.execute("UNLINK", *(_PREFIX + key for key in keys))

    async def add(self, key: str, name: str, at_ms: int) -> None:
        """Put a name at its place."""
        await self._client.execute("ZADD", _PREFIX + key, at_ms, name)

    async def remove(self, key: str, name: str) -> None:
        """Take a name away."""
        await self._client.execute("ZREM", _PREFIX + key, name)

    async def names(self, key: str) -> list[str]:
        """Return the names in their order."""
        found = await self._client.execute("ZRANGE", _PREFIX + key, 0, -1)
        return [name.decode() for name in found]


class Proposals:
    """The proposals of all payers. `key` seals them: the same in all processes of the cabinet."""

    def __init__(self, store: KeyStore, key: bytes) -> None:
        self.store = store
        self._seal = key

    async def put(self, proposal: Proposal) -> str:
        """Keep a proposal and return its id. Raises TooManyError, StoreUnavailableError."""
        waiting = await self._waiting(proposal.payer)
        own = [each for each in waiting if each.proposal.by == proposal.by]
        if len(waiting) >= OPEN_MAX or len(own) >= OPEN_OF_ONE_MAX:
            raise TooManyError
        await self._save_first(_key(proposal.payer, proposal.id), proposal)
        await self.store.add(_key(proposal.payer, _OPEN), proposal.id, _now_ms())
        return proposal.id

    async def find(self, payer: str, id_: str) -> Kept | None:
        """Return a proposal of a payer, or None. Raises StoreUnavailableError."""
        return (await self._load(payer, [id_]))[0]

    async def of(self, payer: str) -> list[Kept]:
        """Return the proposals of a payer, the latest first. Raises StoreUnavailableError."""
        waiting = await self._waiting(payer)
        answered = await self._load(payer, await self.store.names(_key(payer, _ANSWERED)))
        found = [*waiting, *(each for each in answered if each is not None)]
        return sorted(found, key=lambda each: each.proposal.at, reverse=True)

    async def answer(self, payer: str, id_: str, answer: Answer) -> bool:
        """Answer a proposal; return whether this was the first answer, which stands."""
        is_first = await self._save_first(_key(payer, id_, "answer"), answer)
        if is_first:
            await self._put_away(payer, id_)
        return is_first

    async def sent(self, payer: str, id_: str) -> None:
        """Note that the event stands on the bus."""
        await self.store.save_first(_key(payer, id_, "sent"), b"1")

    async def _waiting(self, payer: str) -> list[Kept]:
        """Return the proposals of a payer that nobody answered."""
        kept = await self._load(payer, await self.store.names(_key(payer, _OPEN)))
        for each in kept:
            if each is not None and each.answer is not None:
                # Whoever answered it ended before it was put away.
                await self._put_away(payer, each.proposal.id)
        return [each for each in kept if each is not None and each.answer is None]

    async def _put_away(self, payer: str, id_: str) -> None:
        """Let a proposal wait no more; of those answered the oldest go."""
        answered = _key(payer, _ANSWERED)
        await self.store.add(answered, id_, _now_ms())
        await self.store.remove(_key(payer, _OPEN), id_)
        for old in (await self.store.names(answered))[:-ANSWERED_MAX]:
            await self.store.drop([_key(payer, old, part) for part in _PARTS])
            await self.store.remove(answered, old)

    async def _load(self, payer: str, ids: list[str]) -> list[Kept | None]:
        if not ids:
            return []
        keys = [_key(payer, id_, part) for id_ in ids for part in _PARTS]
        found = await self.store.load(keys)
        told = [self._opened(key, value) for key, value in zip(keys, found, strict=True)]
        return [
            None
            if proposal is None
            else Kept(
                proposal=Proposal(**proposal),
                answer=None if answer is None else Answer(**answer),
                is_sent=sent is not None,
            )
            for proposal, answer, sent in zip(told[::3], told[1::3], found[2::3], strict=True)
        ]

    async def _save_first(self, key: str, value: Proposal | Answer) -> bool:
        body = orjson.dumps(asdict(value))
        return await self.store.save_first(key, self._mac(key, body) + body)

    def _opened(self, key: str, value: bytes | None) -> dict[str, Any] | None:
        """Return what was kept at this place by us."""
        mac, body = (value or b"")[:_MAC_BYTES], (value or b"")[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(key, body)):
            return None
        fields: dict[str, Any] = orjson.loads(body)
        return fields

    def _mac(self, key: str, body: bytes) -> bytes:
        return hmac.digest(self._seal, b"proposal|" + key.encode() + b"|" + body, "sha256")


def now() -> str:
    """Return the present moment."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _now_ms() -> int:
    return int(time.time() * 1000)


# No id has a colon in it: pages ask for any that the address of a page may name.
_OPEN, _ANSWERED = ":open", ":answered"
_PARTS = ("", "answer", "sent")


def _key(payer: str, id_: str, part: str = "") -> str:
    return f"{payer}:{id_}:{part}" if part else f"{payer}:{id_}"
