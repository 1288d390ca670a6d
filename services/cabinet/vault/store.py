"""Where the vault keeps sealed bytes: a Redis or Valkey of its own, under `pfdo:vault:`.

Of a person there are a hash `person:<id>` (`key`, `data`, `number` and `head` of its looks) and a
list `looks:<id>`. No journal can bring this back: it is to be backed up, and without its master
keys a backup says nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from redis import exceptions

from services.cabinet.vault.looks import FIRST_HASH, KEPT_MAX, Look, look_of
from streaming.errors import SettingError, StreamingError
from streaming.redis_client import NOBODY, Argument, FunctionLibrary, Login, RedisClient
from streaming.store import Room
from streaming.valkey import EmbeddedValkey

PREFIX = "pfdo:vault:"
SCAN_COUNT = 500
FORGETTING_SECONDS_MAX = 10.0
FORGETTING_PAUSE_SECONDS = 0.1

_SAFE_SETTINGS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


class VaultUnavailableError(StreamingError):
    """The vault did not answer: nothing personal can be shown now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of a person. Key and data lack where there are none, or they were destroyed."""

    key: bytes | None = None
    data: bytes | None = None
    number: int = 0
    head: str = FIRST_HASH
    lately: tuple[Look, ...] = ()
    """The latest entries of its looks, if they were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A person's wrapped key and what it seals."""

    key: bytes
    data: bytes


ERASED = None
"""In place of what is sealed: the key and what it sealed are destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A look at a person, and what becomes of the sealed data with it."""

    person_id: str
    look: Look
    replaces: bool = False
    sealed: Sealed | None = ERASED


class VaultStore:
    """The vault on the server at a URL, or on an embedded one.

    `allow_unsafe` lets it start on a server that may forget what it acknowledged: sandbox, tests.
    """

    def __init__(
        self, server: str | EmbeddedValkey, *, login: Login = NOBODY, allow_unsafe: bool = False
    ) -> None:
        library = FunctionLibrary(Path(__file__).with_name("vault.lua"))
        self._client = RedisClient(server, library, VaultUnavailableError, login=login)
        self._allow_unsafe = allow_unsafe

    async def start(self) -> None:
        """Connect and check the server. Raises VaultUnavailableError, SettingError."""
        await self._client.start()
        try:
            if not self._allow_unsafe:
                await self._check_settings()
        except BaseException:
            await self._client.stop()
            raise

    async def _check_settings(self) -> None:
        for name, wanted in _SAFE_SETTINGS.items():
            told = await self._client.execute("CONFIG", "GET", name)
            value = told[1].decode() if told else None
            if value != wanted:
                raise SettingError(
                    f"PFDO_VAULT_REDIS_URL: {name} is {value}, it must be {wanted}: an erasure, or "
                    "the record of who looked, could be forgotten."
                )

    async def stop(self) -> None:
        """Let go of connections. Never hangs."""
        await self._client.stop()

    async def load(self, ids: Sequence[str], *, looks_max: int = 0) -> list[Kept]:
        """Return what is kept of persons, in the order of their ids, with their latest looks."""
        fields = ("key", "data", "number", "head")
        asked: list[tuple[Argument, ...]] = [("HMGET", _person(id_), *fields) for id_ in ids]
        if looks_max:
            asked += [("LRANGE", _looks(id_), -looks_max, -1) for id_ in ids]
        found = await self._client.execute_all(asked)
        lately = found[len(ids) :] or [()] * len(ids)
        return [
            Kept(
                key=key,
                data=data,
                number=int(number or 0),
                head=(head or FIRST_HASH.encode()).decode(),
                lately=tuple(look_of(each) for each in looks),
            )
            for (key, data, number, head), looks in zip(found[: len(ids)], lately, strict=True)
        ]

    async def records(self) -> int | None:
        """Return how many records there are, None if we may not know; raises as `load` does."""
        try:
            return int(await self._client.execute("DBSIZE"))
        except exceptions.NoPermissionError:
            # By an access list of an earlier version, until its Redis is started anew.
            return None

    async def room(self) -> Room:
        """Return how full the server is; raises as `load` does."""
        return await self._client.room()

    async def change(self, changes: Sequence[Change]) -> bool:
        """Apply all changes, or none and return False if another was faster with one of them."""
        keys: list[Argument] = []
        arguments: list[Argument] = [KEPT_MAX]
        for each in changes:
            keys += [_person(each.person_id), _looks(each.person_id)]
            look = each.look
            arguments += [look.number - 1, look.number, look.hash, look.to_json()]
            if each.replaces and each.sealed is not None:
                arguments += ["set", each.sealed.key, each.sealed.data]
            else:
                arguments += ["erase" if each.replaces else "keep", "", ""]
        return bool(await self._client.call("change", keys, arguments))

    async def looks(self, person_id: str) -> tuple[list[Look], Kept]:
        """Return the entries of a person that are kept, the oldest first, and where they end."""
        for _ in range(3):
            before = (await self.load([person_id]))[0]
            kept = await self._client.execute("LRANGE", _looks(person_id), 0, -1)
            if (await self.load([person_id]))[0].number == before.number:
                return [look_of(each) for each in kept], before
        raise VaultUnavailableError("the looks of a person change all the time")

    async def wrapped_keys(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield each person with its wrapped key."""
        cursor: bytes | int = 0
        while True:
            scan = ("SCAN", cursor, "MATCH", _person("*"), "COUNT", SCAN_COUNT)
            cursor, names = await self._client.execute(*scan)
            keys = await self._client.execute_all([("HGET", name, "key") for name in names])
            for name, key in zip(names, keys, strict=True):
                if key is not None:
                    yield name.decode().removeprefix(_person("")), key
            if cursor == b"0":
                return

    async def rewrap(self, person_id: str, before: bytes, after: bytes) -> None:
        """Put a newly wrapped key in the place of the one that is there, if it still is."""
        await self._client.call("rewrap", [_person(person_id)], [before, after])

    async def forget_log(self) -> bool:
        """Have the server write its append-only file anew: without what was deleted.

        Returns False if that did not succeed in time, or is not allowed.
        """
        try:
            async with asyncio.timeout(FORGETTING_SECONDS_MAX):
                # A rewrite that began before may still hold what was deleted.
                await self._until_no_rewrite()
                await self._client.execute("BGREWRITEAOF")
                await self._until_no_rewrite()
                return b"aof_last_bgrewrite_status:ok" in await self._persistence()
        except (TimeoutError, exceptions.ResponseError):
            return False

    async def _until_no_rewrite(self) -> None:
        while True:
            told = await self._persistence()
            if b"aof_rewrite_in_progress:0" in told and b"aof_rewrite_scheduled:0" in told:
                return
            await asyncio.sleep(FORGETTING_PAUSE_SECONDS)

    async def _persistence(self) -> bytes:
        told: bytes = await self._client.execute("INFO", "persistence")
        return told


def _person(person_id: str) -> str:
    return f"{PREFIX}person:{person_id}"


def _looks(person_id: str) -> str:
    return f"{PREFIX}looks:{person_id}"
