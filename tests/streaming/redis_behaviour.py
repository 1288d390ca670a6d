"""What the Redis store must do on any server, besides what every store must do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from streaming.errors import SettingError, StoreUnavailableError
from streaming.redis_client import GATHERED_COMMANDS_MAX, Login
from streaming.redis_store import RedisStore
from streaming.store import Behind, Commit, Committed, Looked, Range
from tests.streaming.cutting_proxy import CuttingProxy
from tests.streaming.store_behaviour import P, StoreBehaviour, V
from tests.support.dumped import dumped


class RedisBehaviour(StoreBehaviour):
    """A subclass has a fixture `server`: the socket, or host and port, of an empty Redis."""

    @pytest.fixture
    async def proxy(
        self, server: Path | tuple[str, int], tmp_path: Path
    ) -> AsyncIterator[CuttingProxy]:
        self._proxy = CuttingProxy(tmp_path / "proxy.sock", server)
        await self._proxy.start()
        yield self._proxy
        await self._proxy.stop()

    @pytest.fixture
    async def admin(self, server: Path | tuple[str, int]) -> AsyncIterator["Redis"]:
        if isinstance(server, Path):
            self._admin = Redis(unix_socket_path=str(server))
        else:
            self._admin = Redis(host=server[0], port=server[1])
        yield self._admin
        # Whatever was done here, none of it passes away by itself.
        keys = [key async for key in self._admin.scan_iter()]
        assert [key for key in keys if await self._admin.ttl(key) != -1] == []
        await self._admin.aclose()

    @pytest.fixture
    async def store(self, proxy: CuttingProxy, admin: "Redis") -> AsyncIterator[RedisStore]:
        store = RedisStore(f"unix://{proxy.listens_at}", service="billing")
        await store.start()
        yield store
        await store.stop()

    async def wipe(self) -> None:
        await self._admin.flushall()

    async def functions(self) -> set[str]:
        answer: Any = await self._admin.function_list()
        return {str(each) for each in answer}

    def lose(self, what: Literal["request", "reply"]) -> None:
        self._proxy.lose_next(what)

    async def test_functions_that_were_lost_are_loaded_again(self, store: RedisStore) -> None:
        epoch = await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))

        await self._admin.flushall()
        await self._admin.function_flush()

        assert await store.commit(P, V, epoch, Commit(expected_seq=1)) == Behind(0)
        assert await self.functions()
        epoch = (await store.take_over(P, V)).epoch
        await self._admin.function_flush()
        assert await store.commit(P, V, epoch, Commit(expected_seq=0)) == Committed(1)

    async def test_a_call_whose_answer_is_lost_is_not_sent_again(self, store: RedisStore) -> None:
        epoch = await self.commits(store)
        await self._admin.config_resetstat()
        self.lose("reply")

        with pytest.raises(StoreUnavailableError):
            await store.commit(P, V, epoch, Commit(expected_seq=0, writes={"a": b"1"}))

        told: Any = await self._admin.info("commandstats")
        assert told["cmdstat_fcall"]["calls"] == 1

    async def test_functions_are_loaded_once_for_all_services(
        self, store: RedisStore, proxy: CuttingProxy
    ) -> None:
        before = await self.functions()
        other = RedisStore(f"unix://{proxy.listens_at}", service="certificates")
        await other.start()
        await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))

        assert await self.functions() == before
        assert (await other.standing(P, V)).epoch == 0
        assert await dumped(other, P, V) == {}
        await other.stop()

    async def test_nothing_has_a_time_to_live(self, store: RedisStore) -> None:
        await self.commits(
            store,
            Commit(
                expected_seq=0,
                fields={"f": b"1"},
                writes={"a": b"1"},
                index_adds=[("i", "m")],
                outbox=[b"o"],
            ),
        )

        keys = [key async for key in self._admin.scan_iter()]
        assert sorted(keys) == [
            b"pfdo:{billing:7}:epoch",
            b"pfdo:{billing:7}:v1:indexes",
            b"pfdo:{billing:7}:v1:indexes:i",
            b"pfdo:{billing:7}:v1:outbox",
            b"pfdo:{billing:7}:v1:position",
            b"pfdo:{billing:7}:v1:state",
        ]
        assert [await self._admin.ttl(key) for key in keys] == [-1] * len(keys)

    async def test_what_began_and_did_not_end_is_told_and_takes_no_commit_until_it_is_cleared(
        self, store: RedisStore
    ) -> None:
        epoch = await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))
        assert (await store.standing(P, V)).is_whole
        await self._admin.hincrby("pfdo:{billing:7}:v1:position", "begun", 1)

        assert await store.commit(P, V, epoch, Commit(expected_seq=1)) == Behind(1)
        standing = await store.take_over(P, V)
        assert (standing.is_whole, standing.seq, set(standing.fields)) == (False, 1, set())
        assert await store.clear(P, V, standing.epoch) == Committed(0)
        assert (await store.standing(P, V)).is_whole
        assert await store.commit(P, V, standing.epoch, Commit(expected_seq=0)) == Committed(1)

    async def test_a_full_memory_means_waiting_not_half_a_commit(self, store: RedisStore) -> None:
        epoch = await self.commits(store)
        await self._admin.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreUnavailableError, match="OutOfMemory"):
                await store.commit(P, V, epoch, Commit(expected_seq=0, writes={"a": b"1"}))
        finally:
            await self._admin.config_set("maxmemory", "0")

        assert (await store.standing(P, V)).seq == 0
        assert await dumped(store, P, V) == {}

    async def test_reading_goes_on_where_the_memory_is_full(self, store: RedisStore) -> None:
        await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))
        await self._admin.config_set("maxmemory", "1")
        try:
            loaded = await store.load(P, V, ["a", "b"])
        finally:
            await self._admin.config_set("maxmemory", "0")

        assert (loaded.seq, loaded.values) == (1, [b"1", None])

    async def test_reading_goes_on_where_the_functions_are_lost_and_loads_none(
        self, store: RedisStore
    ) -> None:
        await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))
        await self._admin.function_flush()

        assert (await store.load(P, V, ["a"])).values == [b"1"]
        assert not await self.functions()

    async def test_what_is_asked_at_once_is_one_command_for_the_server(
        self, store: RedisStore
    ) -> None:
        await self.commits(store, Commit(expected_seq=0, writes={"a": b"1", "b": b"2"}))
        await self._admin.config_resetstat()

        found = await asyncio.gather(*(store.look(P, V, [name]) for name in "abab"))

        assert [each.values for each in found] == [[b"1"], [b"2"], [b"1"], [b"2"]]
        told: Any = await self._admin.info("commandstats")
        assert told["cmdstat_fcall"]["calls"] == 1

    async def test_many_questions_at_once_travel_in_parts_and_all_are_answered(
        self, store: RedisStore
    ) -> None:
        number = GATHERED_COMMANDS_MAX + 1
        names = [f"k{at}" for at in range(number)]
        await self.commits(
            store, Commit(expected_seq=0, writes={name: name.encode() for name in names})
        )
        await self._admin.config_resetstat()

        found = await asyncio.gather(
            *(store.look(P, V, [name]) for name in names), store.look(P, V, names)
        )

        assert [each.values for each in found] == [
            *([name.encode()] for name in names),
            [name.encode() for name in names],
        ]
        told: Any = await self._admin.info("commandstats")
        assert told["cmdstat_fcall"]["calls"] == 2

    async def test_who_asks_and_goes_leaves_nobody_waiting(self, store: RedisStore) -> None:
        await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))
        gone = asyncio.create_task(store.look(P, V, ["a"]))
        stays = asyncio.create_task(store.look(P, V, ["a"]))
        await asyncio.sleep(0)

        gone.cancel()

        assert (await stays).values == [b"1"]
        assert (await store.look(P, V, ["a"])).values == [b"1"]

    async def test_who_may_only_read_reads_where_the_functions_are_not_loaded(
        self, store: RedisStore, proxy: CuttingProxy
    ) -> None:
        await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))
        rights = "resetchannels ~pfdo:* -@all +ping +info +config|get +client|setinfo +fcall"
        rights += " +function|list +get +hget +hgetall +hmget +llen +zrange"
        admin: Any = self._admin
        await admin.execute_command("ACL", "SETUSER", "reader", "on", ">pw", *rights.split())
        await self._admin.function_flush()
        login = Login(username="reader", password="pw")
        reader = RedisStore(f"unix://{proxy.listens_at}", service="billing", login=login)

        await reader.start()
        try:
            assert (await reader.look(P, V, ["a"])).values == [b"1"]
            assert (await reader.standing(P, V)).seq == 1
        finally:
            await reader.stop()
            await admin.execute_command("ACL", "DELUSER", "reader")

        assert not await self.functions()

    async def test_an_error_is_the_answer_to_its_own_question_alone(
        self, store: RedisStore
    ) -> None:
        await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))
        await self._admin.set("pfdo:{billing:7}:v1:indexes:i", "not an index")

        wrong, right = await asyncio.gather(
            store.look(P, V, ranges=[Range("i", "", None, 1)]),
            store.look(P, V, ["a"]),
            return_exceptions=True,
        )

        assert isinstance(wrong, Exception)
        assert "WRONGTYPE" in str(wrong)
        assert isinstance(right, Looked)
        assert right.values == [b"1"]

    async def test_a_key_of_a_stranger_means_no_write_at_all(self, store: RedisStore) -> None:
        epoch = await self.commits(store)
        await self._admin.set("pfdo:{billing:7}:v1:indexes:i", "not an index")

        with pytest.raises(Exception, match="WRONGTYPE"):
            await store.commit(
                P,
                V,
                epoch,
                Commit(expected_seq=0, writes={"a": b"1"}, index_adds=[("i", "m")], outbox=[b"o"]),
            )

        assert (await store.standing(P, V)).seq == 0
        assert (await store.standing(P, V)).outbox == 0
        assert (await store.outbox(P, V, 1)).entries == []
        assert (await store.load(P, V, ["a"])).values == [None]

    @pytest.mark.parametrize(
        ("setting", "unsafe", "safe"),
        [
            ("appendfsync", "everysec", "always"),
            ("appendonly", "no", "yes"),
            ("maxmemory-policy", "allkeys-lru", "noeviction"),
            ("no-appendfsync-on-rewrite", "yes", "no"),
        ],
    )
    async def test_a_server_that_may_forget_is_refused(
        self, admin: "Redis", proxy: CuttingProxy, setting: str, unsafe: str, safe: str
    ) -> None:
        await admin.config_set(setting, unsafe)
        try:
            store = RedisStore(f"unix://{proxy.listens_at}", service="billing")
            with pytest.raises(SettingError, match=f"{setting} is '{unsafe}', must be '{safe}'"):
                await store.start()
            sandbox = RedisStore(f"unix://{proxy.listens_at}", service="billing", allow_unsafe=True)
            await sandbox.start()
            await sandbox.stop()
        finally:
            await admin.config_set(setting, safe)

    async def test_a_wrong_password_is_a_wrong_setting(
        self, admin: "Redis", proxy: CuttingProxy
    ) -> None:
        await admin.config_set("requirepass", "secret")
        try:
            store = RedisStore(f"unix://{proxy.listens_at}", service="billing")
            with pytest.raises(SettingError, match="password"):
                await store.start()
        finally:
            await admin.config_set("requirepass", "")
