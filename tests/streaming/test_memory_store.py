"""The store in memory keeps the promises of a store, and can be made to break."""

import asyncio
from typing import Literal

import pytest

from streaming.errors import StoreUnavailableError
from streaming.memory_store import MemoryStore, Point
from streaming.store import Behind, Commit, Committed, Fenced
from tests.streaming.store_behaviour import StoreBehaviour
from tests.support.dumped import dumped


class TestMemoryStore(StoreBehaviour):
    @pytest.fixture
    def store(self) -> MemoryStore:
        self._store = MemoryStore()
        return self._store

    async def wipe(self) -> None:
        self._store.wipe()

    def lose(self, what: Literal["request", "reply"]) -> None:
        def fail(point: Point) -> None:
            if what == "request" or not point.endswith(".before"):
                self._store.fault = None
                raise StoreUnavailableError(point)

        self._store.fault = fail

    async def test_it_goes_back_to_an_older_copy_of_itself(self) -> None:
        store = MemoryStore()
        epoch = (await store.take_over(0, 1)).epoch
        await store.commit(0, 1, epoch, Commit(expected_seq=0, writes={"a": b"1"}, outbox=[b"1"]))
        copy = store.snapshot()
        newer = (await store.take_over(0, 1)).epoch
        await store.commit(0, 1, newer, Commit(expected_seq=1, writes={"a": b"2"}, trim=1))

        store.restore(copy)

        assert await dumped(store, 0, 1) == {"key/a": b"1"}
        assert (await store.outbox(0, 1, 10)).entries == [b"1"]
        assert await store.commit(0, 1, newer, Commit(expected_seq=1)) == Behind(1)
        newest = (await store.take_over(0, 1)).epoch
        assert newest > newer
        assert await store.commit(0, 1, newer, Commit(expected_seq=1)) == Fenced(newest)
        await store.commit(0, 1, newest, Commit(expected_seq=1, writes={"a": b"3"}))
        store.restore(copy)
        assert await dumped(store, 0, 1) == {"key/a": b"1"}

    async def test_a_paused_owner_finds_itself_fenced(self) -> None:
        store = MemoryStore()
        epoch = (await store.take_over(0, 1)).epoch
        woken = asyncio.Event()

        async def pause(point: Point) -> None:
            if point == "commit.before":
                await woken.wait()

        store.fault = pause
        paused = asyncio.create_task(store.commit(0, 1, epoch, Commit(expected_seq=0)))
        await asyncio.sleep(0)
        store.fault = None
        newer = (await store.take_over(0, 1)).epoch
        assert await store.commit(0, 1, newer, Commit(expected_seq=0)) == Committed(1)
        woken.set()

        assert await paused == Fenced(newer)
