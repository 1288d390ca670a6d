"""The Redis store on an embedded Valkey, and on a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from streaming.errors import StoreUnavailableError
from streaming.redis_store import RedisStore
from streaming.store import Commit, Committed
from streaming.valkey import EmbeddedValkey
from tests.streaming.embedded_servers import kill_server, nothing_left_in
from tests.streaming.redis_behaviour import RedisBehaviour
from tests.streaming.store_behaviour import P, V
from tests.support.dumped import dumped


@pytest.fixture(autouse=True)
def clean(tmp_path: Path) -> Iterator[None]:
    with nothing_left_in(tmp_path):
        yield


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path / "state")
    await valkey.start()
    yield valkey
    await valkey.stop()


class TestRedisStoreOnValkey(RedisBehaviour):
    @pytest.fixture
    def server(self, valkey: EmbeddedValkey) -> Path:
        return valkey.socket_path


@pytest.mark.containers
class TestRedisStoreOnRedis(RedisBehaviour):
    @pytest.fixture
    async def server(self, redis_url: str) -> tuple[str, int]:
        client = Redis.from_url(redis_url)
        await client.flushall()
        await client.function_flush()
        await client.aclose()
        address = urlsplit(redis_url)
        assert address.hostname is not None
        return address.hostname, address.port or 6379


async def test_what_was_committed_outlives_a_killed_server(tmp_path: Path) -> None:
    store = RedisStore(EmbeddedValkey(tmp_path), service="billing")
    await store.start()
    epoch = (await store.take_over(P, V)).epoch
    for seq in range(20):
        commit = Commit(expected_seq=seq, writes={f"k{seq}": bytes(200)}, outbox=[b"o"])
        assert await store.commit(P, V, epoch, commit) == Committed(seq + 1)

    kill_server(tmp_path)

    with pytest.raises(StoreUnavailableError):
        await store.commit(P, V, epoch, Commit(expected_seq=20, writes={"lost": b"1"}))
    standing = await store.standing(P, V)
    assert (standing.epoch, standing.seq, standing.outbox) == (epoch, 20, 20)
    assert len(await dumped(store, P, V)) == 20
    assert await store.commit(P, V, epoch, Commit(expected_seq=20)) == Committed(21)
    await store.stop()


async def test_a_kill_in_the_middle_of_commits_loses_none_and_halves_none(tmp_path: Path) -> None:
    store = RedisStore(EmbeddedValkey(tmp_path), service="billing")
    await store.start()
    epoch = (await store.take_over(P, V)).epoch
    seq = 0

    async def commit_until_it_breaks() -> None:
        nonlocal seq
        while True:
            commit = Commit(
                expected_seq=seq,
                fields={"n": str(seq + 1).encode()},
                writes={f"k{seq}-{n}": bytes(500) for n in range(200)},
                outbox=[b"o"] * 3,
            )
            answer = await store.commit(P, V, epoch, commit)
            assert isinstance(answer, Committed)
            seq = answer.seq

    committing = asyncio.create_task(commit_until_it_breaks())
    while seq == 0 and not committing.done():
        await asyncio.sleep(0.01)
    kill_server(tmp_path)
    with pytest.raises(StoreUnavailableError):
        await committing

    standing = await store.standing(P, V)
    assert seq > 0
    assert standing.seq in (seq, seq + 1)
    assert standing.fields == {"n": str(standing.seq).encode()}
    assert standing.outbox == 3 * standing.seq
    assert len(await dumped(store, P, V)) == 200 * standing.seq
    await store.stop()


async def test_a_deleted_directory_is_a_fresh_store(tmp_path: Path) -> None:
    first = RedisStore(EmbeddedValkey(tmp_path / "state"), service="billing")
    await first.start()
    old = (await first.take_over(P, V)).epoch
    await first.commit(P, V, old, Commit(expected_seq=0, writes={"a": b"1"}))
    await first.stop()
    for file in sorted((tmp_path / "state").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()

    store = RedisStore(EmbeddedValkey(tmp_path / "state"), service="billing")
    await store.start()
    standing = await store.take_over(P, V)

    assert (standing.seq, await dumped(store, P, V)) == (0, {})
    assert standing.epoch > old
    await store.stop()


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    store = RedisStore(f"unix://{tmp_path}/nobody.sock", service="billing")

    with pytest.raises(StoreUnavailableError):
        await store.start()
