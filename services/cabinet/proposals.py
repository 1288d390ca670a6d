"""What one person proposes and another approves: money and rules of a payer, until they are sent.

A proposal is no event and stands in no journal: it is kept here, with who proposed it and who
answered. Once approved it goes out as the payer's event, and that is what counts. The first answer
stands; approved and not yet sent (the bus was away) it can be sent again, under the same id.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import orjson

from streaming.errors import StoreUnavailableError
from streaming.redis_client import NOBODY, Login, RedisClient
from streaming.valkey import EmbeddedValkey

PROPOSALS_MAX = 500
"""So many proposals of a payer are kept that were not answered yet, or were."""

# In the part of the cabinet's Redis that its user may use: deploy/secrets.sh.
_PREFIX = "pfdo:{cabinet:proposals}:"


class TooManyError(Exception):
    """A payer has more proposals than are kept."""


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
    """Keeps bytes under keys, and sets of names. Raises StoreUnavailableError."""

    async def start(self) -> None:
        """Connect. Raises StoreUnavailableError, SettingError."""

    async def stop(self) -> None:
        """Let go. Never hangs."""

    async def load(self, keys: list[str]) -> list[bytes | None]:
        """Return what stands under keys."""

    async def save_first(self, key: str, value: bytes) -> bool:
        """Keep a value unless there is one; return whether it was kept."""

    async def add(self, key: str, name: str) -> None:
        """Add a name to a set."""

    async def names(self, key: str) -> list[str]:
        """Return the names of a set."""


class MemoryKeys:
    """Keys of this process alone: they end with it."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._sets: dict[str, set[str]] = {}

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

    async def add(self, key: str, name: str) -> None:
        """Add a name to a set."""
        self._sets.setdefault(key, set()).add(name)

    async def names(self, key: str) -> list[str]:
        """Return the names of a set."""
        return sorted(self._sets.get(key, ()))


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

    async def add(self, key: str, name: str) -> None:
        """Add a name to a set."""
        await self._client.execute("SADD", _PREFIX + key, name)

    async def names(self, key: str) -> list[str]:
        """Return the names of a set."""
        found = await self._client.execute("SMEMBERS", _PREFIX + key)
        return sorted(name.decode() for name in found)


class Proposals:
    """The proposals of all payers."""

    def __init__(self, store: KeyStore) -> None:
        self.store = store

    async def put(self, proposal: Proposal) -> str:
        """Keep a proposal and return its id. Raises TooManyError, StoreUnavailableError."""
        if len(await self.store.names(proposal.payer)) >= PROPOSALS_MAX:
            raise TooManyError
        await self.store.save_first(_key(proposal.payer, proposal.id), _packed(proposal))
        await self.store.add(proposal.payer, proposal.id)
        return proposal.id

    async def find(self, payer: str, id_: str) -> Kept | None:
        """Return a proposal of a payer, or None. Raises StoreUnavailableError."""
        return (await self._load(payer, [id_]))[0]

    async def of(self, payer: str) -> list[Kept]:
        """Return the proposals of a payer, the latest first. Raises StoreUnavailableError."""
        kept = await self._load(payer, await self.store.names(payer))
        found = [each for each in kept if each is not None]
        return sorted(found, key=lambda each: each.proposal.at, reverse=True)

    async def answer(self, payer: str, id_: str, answer: Answer) -> bool:
        """Answer a proposal; return whether this was the first answer, which stands."""
        return await self.store.save_first(_key(payer, id_, "answer"), _packed(answer))

    async def sent(self, payer: str, id_: str) -> None:
        """Note that the event stands on the bus."""
        await self.store.save_first(_key(payer, id_, "sent"), b"1")

    async def _load(self, payer: str, ids: list[str]) -> list[Kept | None]:
        if not ids:
            return []
        parts = ("", "answer", "sent")
        found = await self.store.load([_key(payer, id_, part) for id_ in ids for part in parts])
        return [
            None
            if proposal is None
            else Kept(
                proposal=Proposal(**orjson.loads(proposal)),
                answer=None if answer is None else Answer(**orjson.loads(answer)),
                is_sent=sent is not None,
            )
            for proposal, answer, sent in zip(found[::3], found[1::3], found[2::3], strict=True)
        ]


def now() -> str:
    """Return the present moment."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _key(payer: str, id_: str, part: str = "") -> str:
    return f"{payer}:{id_}:{part}" if part else f"{payer}:{id_}"


def _packed(value: Proposal | Answer) -> bytes:
    return orjson.dumps(asdict(value))
