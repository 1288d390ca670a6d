"""The store on Redis or Valkey: every commit is one function call, everything else one round trip.

Of a partition `<prefix>:{<service>:<partition>}` there are, by version: `position` (hash: `seq`,
`begun`, `ended` and the owner's fields), `state` (hash), `outbox` (list), `indexes` (set of names)
and one sorted set for each index; `epoch` is shared by the versions. Nothing has a time to live.
The server must not forget what it acknowledged; which settings that takes is checked at start
(promises.md, section 5).
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from redis import exceptions

from streaming.errors import SettingError, StoreUnavailableError
from streaming.redis_client import NOBODY, Argument, FunctionLibrary, Login, RedisClient
from streaming.store import (
    Answer,
    Behind,
    Commit,
    Committed,
    Count,
    Fenced,
    Loaded,
    Looked,
    Outbox,
    Range,
    Room,
    Standing,
)
from streaming.valkey import EmbeddedValkey

_FIELD = "field/"
_DUMP_STEP = 1_000

_SAFE_SETTINGS = {
    "appendonly": ("yes", "what is only in memory is lost with the process"),
    "appendfsync": ("always", "acknowledged writes of the last second are lost otherwise"),
    "no-appendfsync-on-rewrite": ("no", "writes during a rewrite are not on the disk otherwise"),
    "maxmemory-policy": ("noeviction", "a full memory would drop money"),
}


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


class RedisStore:
    """The store of one service on the server at a URL (`redis://…`, `unix://…`) or an embedded one.

    `allow_unsafe` lets it start on a server that may forget acknowledged writes: sandbox and tests.
    """

    def __init__(
        self,
        server: str | EmbeddedValkey,
        *,
        service: str,
        prefix: str = "pfdo",
        login: Login = NOBODY,
        allow_unsafe: bool = False,
        clock_ms: Callable[[], int] = _clock_ms,
    ) -> None:
        self._client = RedisClient(
            server,
            FunctionLibrary(Path(__file__).with_name("commit.lua")),
            StoreUnavailableError,
            login=login,
            asks_at_once=True,
        )
        self._service = service
        self._prefix = prefix
        self._allow_unsafe = allow_unsafe
        self._clock_ms = clock_ms

    async def start(self) -> None:
        """Connect, check the server's settings, load the functions.

        Raises StoreUnavailableError, or SettingError with the remedy.
        """
        await self._client.start()
        try:
            if not self._allow_unsafe:
                await self._check_settings()
        except BaseException:
            await self._client.stop()
            raise

    async def stop(self) -> None:
        """Let go of connections. Never hangs."""
        await self._client.stop()

    async def take_over(self, partition: int, version: int) -> Standing:
        """Raise the epoch of the partition and return its standing."""
        keys = self._keys(partition, version)[:3]
        return _standing(await self._client.call("take_over", keys, [self._clock_ms()]))

    async def standing(self, partition: int, version: int) -> Standing:
        """Return the standing without changing anything."""
        epoch, position, outbox, *_ = self._keys(partition, version)
        questions = [("GET", epoch), ("LLEN", outbox), ("HGETALL", position)]
        return _standing(await self._client.gather_all(questions))

    async def load(
        self,
        partition: int,
        version: int,
        keys: Sequence[str] = (),
        ranges: Sequence[Range] = (),
        counts: Sequence[Count] = (),
    ) -> Loaded:
        """Answer all questions of an owner in one round trip."""
        epoch, position, *_ = self._keys(partition, version)
        questions = self._questions(partition, version, keys, ranges, counts)
        answers = await self._client.execute_all(
            [("GET", epoch), ("HGET", position, "seq"), *questions]
        )
        return Loaded(
            *_looked(answers[2:], keys, ranges, counts),
            epoch=int(answers[0] or 0),
            seq=int(answers[1] or 0),
        )

    async def look(
        self,
        partition: int,
        version: int,
        keys: Sequence[str] = (),
        ranges: Sequence[Range] = (),
        counts: Sequence[Count] = (),
    ) -> Looked:
        """Answer all questions of somebody who shows and decides nothing, in one round trip."""
        questions = self._questions(partition, version, keys, ranges, counts)
        return Looked(*_looked(await self._client.gather_all(questions), keys, ranges, counts))

    def _questions(
        self,
        partition: int,
        version: int,
        keys: Sequence[str],
        ranges: Sequence[Range],
        counts: Sequence[Count],
    ) -> list[Sequence[Argument]]:
        *_, state, indexes = self._keys(partition, version)
        commands: list[Sequence[Argument]] = []
        if keys:
            commands.append(("HMGET", state, *keys))
        for each in ranges:
            start, end = _bounds(each.start, each.end)
            limit = ("LIMIT", 0, max(each.members_max, 0))
            commands.append(("ZRANGE", f"{indexes}:{each.index}", start, end, "BYLEX", *limit))
        for count in counts:
            start, end = _bounds(count.start, count.end)
            commands.append(("ZLEXCOUNT", f"{indexes}:{count.index}", start, end))
        return commands

    async def commit(self, partition: int, version: int, epoch: int, commit: Commit) -> Answer:
        """Apply a commit if `epoch` owns the partition and stands at `expected_seq`."""
        commit.check()
        keys = self._keys(partition, version)
        return _answer(await self._client.call("commit", keys, _packed(epoch, commit)))

    async def outbox(self, partition: int, version: int, entries_max: int) -> Outbox:
        """Return the oldest entries of the outbox, in order."""
        epoch, position, outbox, *_ = self._keys(partition, version)
        # From 1 to 0 is nothing.
        start, last = (0, entries_max - 1) if entries_max > 0 else (1, 0)
        owner, seq, entries = await self._client.execute_all(
            [("GET", epoch), ("HGET", position, "seq"), ("LRANGE", outbox, start, last)]
        )
        return Outbox(entries, int(owner or 0), int(seq or 0))

    async def clear(self, partition: int, version: int, epoch: int) -> Answer:
        """Drop all state of this version of the partition, keeping the epoch."""
        return _answer(await self._client.call("clear", self._keys(partition, version), [epoch]))

    async def room(self) -> Room:
        """Return how full the server is, of whatever else lies on it too."""
        return await self._client.room()

    async def dump(self, partition: int, version: int) -> AsyncIterator[Mapping[str, bytes]]:
        """Yield everything a fold must give again, in steps."""
        *_, state, indexes = self._keys(partition, version)
        cursor = 0
        while True:
            answer = await self._client.execute("HSCAN", state, cursor, "COUNT", _DUMP_STEP)
            cursor, pairs = int(answer[0]), iter(answer[1])
            yield {f"key/{key.decode()}": next(pairs) for key in pairs}
            if cursor == 0:
                break
        for name in sorted(await self._client.execute("SMEMBERS", indexes)):
            index, start = name.decode(), b"-"
            while members := await self._client.execute(
                "ZRANGE", f"{indexes}:{index}", start, "+", "BYLEX", "LIMIT", 0, _DUMP_STEP
            ):
                yield {f"index/{index}/{member.decode()}": b"" for member in members}
                start = b"(" + members[-1]

    def _keys(self, partition: int, version: int) -> tuple[str, str, str, str, str]:
        """Return the keys of epoch, position, outbox, state and indexes, as `commit.lua` wants."""
        base = f"{self._prefix}:{{{self._service}:{partition}}}"
        versioned = f"{base}:v{version}"
        return (
            f"{base}:epoch",
            f"{versioned}:position",
            f"{versioned}:outbox",
            f"{versioned}:state",
            f"{versioned}:indexes",
        )

    async def _check_settings(self) -> None:
        try:
            answer: list[bytes] = await self._client.execute("CONFIG", "GET", *_SAFE_SETTINGS)
        except exceptions.NoPermissionError as error:
            raise SettingError(
                f"The settings of Redis cannot be checked ({error}): grant our user +config|get."
            ) from error
        texts = [text.decode() for text in answer]
        found = dict(zip(texts[::2], texts[1::2], strict=True))
        unsafe = [
            f"{name} is {found.get(name, 'unknown')!r}, must be {wanted!r}: {reason}"
            for name, (wanted, reason) in _SAFE_SETTINGS.items()
            if found.get(name) != wanted
        ]
        if unsafe:
            raise SettingError(
                "Redis may forget what it acknowledged. Change its settings (deploy/redis.conf), or"
                " set PFDO_SANDBOX=1 if nothing real is kept here. " + "; ".join(unsafe) + "."
            )


def _looked(
    answers: Iterable[Any], keys: Sequence[str], ranges: Sequence[Range], counts: Sequence[Count]
) -> tuple[list[bytes | None], list[list[str]], list[int]]:
    answers = iter(answers)
    values = next(answers) if keys else []
    members = [[member.decode() for member in next(answers)] for _ in ranges]
    return values, members, [next(answers) for _ in counts]


def _bounds(start: str, end: str | None) -> tuple[str, str]:
    return f"[{start}", "+" if end is None else f"({end}"


def _packed(epoch: int, commit: Commit) -> list[Argument]:
    removals, additions = _grouped(commit.index_removes), _grouped(commit.index_adds)
    packed: list[Argument] = [
        epoch,
        commit.expected_seq,
        commit.trim,
        len(commit.fields),
        len(commit.writes),
        len(commit.deletes),
        len(removals),
        len(additions),
        len(commit.outbox),
    ]
    for field, content in commit.fields.items():
        packed += (_FIELD + field, content)
    for pair in commit.writes.items():
        packed += pair
    packed += commit.deletes
    for groups in (removals, additions):
        for index, members in groups.items():
            packed += (index, len(members), *members)
    packed += commit.outbox
    return packed


def _grouped(changes: Collection[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for index, member in changes:
        groups.setdefault(index, []).append(member)
    return groups


def _standing(answer: Any) -> Standing:
    epoch, outbox, record = answer
    pairs = dict(zip(record[::2], record[1::2], strict=True))
    return Standing(
        epoch=int(epoch or 0),
        seq=int(pairs.pop(b"seq", 0)),
        is_whole=pairs.pop(b"begun", b"") == pairs.pop(b"ended", b""),
        fields={name.decode().removeprefix(_FIELD): content for name, content in pairs.items()},
        outbox=outbox,
    )


def _answer(answer: Any) -> Answer:
    kind, content = answer
    match kind:
        case b"committed":
            return Committed(int(content))
        case b"behind":
            return Behind(int(content))
        case b"fenced":
            return Fenced(int(content))
        case _:
            raise ValueError(f"the store refused the call: {content.decode()}")
