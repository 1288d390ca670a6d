"""The read models of one partition, and of all: what questions are made of.

Answers are plain dictionaries. What is asked in the same moment travels together: questions that do
not wait for each other are gathered.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from typing import Any, TypeAlias, TypeVar

import orjson

from services.cabinet.projections import cabinet
from services.cabinet.projections.models import beginning
from services.cabinet.together import Question, together
from streaming.follower import is_behind
from streaming.routing import partition_of
from streaming.store import Count, Range, Store
from streaming.view import Codec

PAGE_MEMBERS = 1_000

Answer: TypeAlias = dict[str, Any]
Model = TypeVar("Model")


class Part:
    """The read models of one partition."""

    def __init__(self, store: Store, number: int, codec: Codec) -> None:
        self._store = store
        self._codec = codec
        self.number = number

    async def find(self, kind: type[Model], id_: str) -> Model | None:
        """Return one model, or None."""
        return (await self.all(kind, [id_]))[0]

    async def all(self, kind: type[Model], ids: Sequence[str]) -> list[Model | None]:
        """Return models in the order of their ids, in one round trip."""
        if not ids:
            return []
        keys = [f"{self._codec.names[kind]}/{id_}" for id_ in ids]
        loaded = await self._store.look(self.number, cabinet.state_version, keys)
        return [
            None if value is None else self._codec.decode(key, value)
            for key, value in zip(keys, loaded.values, strict=True)
        ]

    async def members(self, index: str, start: str = "", end: str | None = None) -> list[str]:
        """Return all entries of an index from `start` to before `end`."""
        return [member async for page in self.pages(index, start, end) for member in page]

    async def pages(
        self, index: str, start: str = "", end: str | None = None, members_max: int = PAGE_MEMBERS
    ) -> AsyncIterator[list[str]]:
        """Yield the entries of an index in pages."""
        while True:
            page = await self.first(index, start, end, members_max)
            if page:
                yield page
            if len(page) < members_max:
                return
            start = f"{page[-1]}\0"

    async def first(self, index: str, start: str, end: str | None, members_max: int) -> list[str]:
        """Return the first entries of an index from `start` to before `end`."""
        return (await self.ranges([Range(index, start, end, members_max)]))[0]

    async def rest(self, index: str, page: list[str], bounds: tuple[str, str | None]) -> list[str]:
        """Return a first page of an index and, if it is full, all that follows it."""
        if len(page) < PAGE_MEMBERS:
            return page
        return page + await self.members(index, f"{page[-1]}\0", bounds[1])

    async def found(self, kind: type[Model], ids: Sequence[str]) -> dict[str, Model]:
        """Return those that are known, however many are asked for."""
        found: dict[str, Model] = {}
        for first in range(0, len(ids), PAGE_MEMBERS):
            some = ids[first : first + PAGE_MEMBERS]
            models = zip(some, await self.all(kind, some), strict=True)
            found |= {id_: model for id_, model in models if model is not None}
        return found

    async def ranges(self, asked: Sequence[Range]) -> list[list[str]]:
        """Return what stands in ranges, in one round trip."""
        loaded = await self._store.look(self.number, cabinet.state_version, (), asked)
        return [list(each) for each in loaded.ranges]

    async def counts(self, asked: Sequence[Count]) -> list[int]:
        """Return how many entries there are, in one round trip."""
        if not asked:
            return []
        loaded = await self._store.look(self.number, cabinet.state_version, (), (), asked)
        return list(loaded.counts)

    async def standing(self) -> Answer:
        """Return up to which journal records the models go: at least what is read after this."""
        return (await self.progress())[0]

    async def progress(self) -> tuple[Answer, bool]:
        """Return that, and whether they are still being read: something may be missing."""
        standing = await self._store.standing(self.number, cabinet.state_version)
        positions = orjson.loads(standing.fields.get("positions", b"{}"))
        day = standing.fields.get("day")
        as_of = {
            "partition": self.number,
            "business_day": None if day is None else day.decode(),
            "seq": standing.seq,
            "journals": {
                topic: positions[topic][3] if topic in positions else 0 for topic in cabinet.topics
            },
        }
        return as_of, is_behind(standing)


class Parts:
    """All partitions of one installation.

    A question goes to the partition it belongs to; where the payer is not known, to all of them at
    once.
    """

    def __init__(self, store: Store, partitions: int) -> None:
        codec = Codec(cabinet.kinds)
        self._parts = [Part(store, number, codec) for number in range(partitions)]

    async def as_of(self) -> list[Answer]:
        """Return for each partition up to which journal records the models go."""
        return await self._everywhere(lambda part: part.standing())

    async def is_behind(self) -> bool:
        """Return whether read models are still being read: what is not there may come yet."""
        return any(behind for _, behind in await self._everywhere(lambda part: part.progress()))

    def partition_of(self, payer: str) -> int:
        """Return the partition of a payer."""
        return self._part_of(payer).number

    def _part_of(self, payer: str) -> Part:
        return self._parts[partition_of(payer.encode(), len(self._parts))]

    async def _everywhere(self, ask: Callable[[Part], Question[Model]]) -> list[Model]:
        return list(await together(*(ask(part) for part in self._parts)))

    async def _place(self, index: str, id_: str) -> tuple[Part, str] | None:
        """Return where an id stands and the rest of its entry, of the lowest payer's code."""
        found = await self._everywhere(lambda part: part.first(index, *beginning(id_), 1))
        places = [
            (entry.partition("|")[2], part.number)
            for part, entries in zip(self._parts, found, strict=True)
            for entry in entries
        ]
        if not places:
            return None
        rest, number = min(places)
        return self._parts[number], rest


def split(entry: str) -> list[str]:
    """Return the parts of an entry of an index."""
    return entry.split("|")


def last(entry: str) -> str:
    """Return the last part of an entry of an index."""
    return entry.rpartition("|")[2]


def iso(day: date | None) -> str | None:
    """Return a day as answers have it."""
    return None if day is None else day.isoformat()
