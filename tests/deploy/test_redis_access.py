"""The access lists of Redis, on real servers: what is needed works, also after a restart."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis, exceptions

from services.cabinet.proposals import Answer, Proposal, Proposals, RedisKeys
from services.cabinet.vault.person import Person
from services.cabinet.vault.sealing import MasterKeys
from services.cabinet.vault.store import VaultStore
from services.cabinet.vault.vault import Reader, Vault
from streaming.redis_client import Login
from streaming.redis_store import RedisStore
from streaming.store import Commit, Committed
from streaming.valkey import find_server
from tests.support.containers import REDIS_IMAGE, free_port, require_docker

DEPLOY = Path(__file__).parents[2] / "deploy"
CHILD = "child-00027"
PERSON = Person(family_name="Заглушкина", given_name="Проверка")
NAVIGATOR = Reader(by="navigator", why="registration")


@contextmanager
def served(folder: Path, without: str = "", service: str = "vault") -> Iterator[str]:
    """Run a server by deploy/redis.conf and the list that deploy/secrets.sh makes; its address.

    `without`: a right that nobody is given.
    """
    subprocess.run([str(DEPLOY / "secrets.sh"), str(folder / "secrets")], check=True)
    allowed = folder / "secrets" / f"acl-{service}"
    list_ = allowed.read_text()
    assert without in list_
    allowed.chmod(0o644)
    allowed.write_text(list_.replace(without, ""))
    port = free_port()
    conf = (DEPLOY / "redis.conf").read_text()
    conf = conf.replace("/data", str(folder))
    conf = conf.replace("/run/secrets/users.acl", str(allowed))
    conf = conf.replace("bind * -::*", f"bind 127.0.0.1\nport {port}")
    (folder / "redis.conf").write_text(conf)
    server = subprocess.Popen(
        (str(find_server()), str(folder / "redis.conf")), stdout=subprocess.DEVNULL
    )
    try:
        with Redis(port=port) as stranger:
            _until_refused(stranger)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=10)


def _until_refused(stranger: Redis) -> None:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            stranger.ping()
        except exceptions.AuthenticationError:
            return
        except exceptions.ConnectionError:
            time.sleep(0.02)
    pytest.fail("the server does not start, or takes anybody")


@contextmanager
def contained(folder: Path, service: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Run the image that deploy/compose.yaml runs; its address, and what restarts it."""
    require_docker()
    subprocess.run([str(DEPLOY / "secrets.sh"), str(folder / "secrets")], check=True)
    port = free_port()
    name = f"pfdo-test-redis-{port}"
    mounts = (
        f"{DEPLOY / 'redis.conf'}:/etc/redis/redis.conf:ro",
        f"{folder / 'secrets' / f'acl-{service}'}:/run/secrets/users.acl:ro",
    )
    volumes = [option for mount in mounts for option in ("-v", mount)]
    command = ["docker", "run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:6379", *volumes]
    command += ["--entrypoint", "redis-server", REDIS_IMAGE, "/etc/redis/redis.conf"]

    def answers() -> None:
        with Redis(port=port) as stranger:
            _until_refused(stranger)

    def restart() -> None:
        subprocess.run(["docker", "restart", name], check=True, capture_output=True)
        answers()

    try:
        subprocess.run(command, check=True, capture_output=True)
        answers()
        yield f"redis://127.0.0.1:{port}/0", restart
    finally:
        subprocess.run(["docker", "rm", "-fv", name], check=False, capture_output=True)


@pytest.mark.containers
async def test_what_the_vault_has_taken_is_there_after_a_restart(tmp_path: Path) -> None:
    with contained(tmp_path, "vault") as (url, restart):
        login = _login(tmp_path, "cabinet")
        keys = MasterKeys.parse((tmp_path / "secrets" / "vault-keys").read_text())
        vault = Vault(VaultStore(url, login=login), keys)
        await vault.open()
        await vault.put(CHILD, PERSON, NAVIGATOR)
        await vault.close()

        restart()

        again = Vault(VaultStore(url, login=login), keys)
        await again.open()
        assert CHILD in await again.read([CHILD], NAVIGATOR)
        await again.close()


@pytest.mark.containers
async def test_what_a_service_has_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    with contained(tmp_path, "billing") as (url, restart):
        login = _login(tmp_path, "billing")
        store = RedisStore(url, service="billing", login=login)
        await store.start()
        standing = await store.take_over(0, 1)
        commit = Commit(expected_seq=0, fields={"journal": b"1"}, writes={"a/1": b"x"})
        assert isinstance(await store.commit(0, 1, standing.epoch, commit), Committed)
        await store.stop()

        restart()

        again = RedisStore(url, service="billing", login=login)
        await again.start()
        assert (await again.standing(0, 1)).seq == 1
        assert (await again.load(0, 1, ["a/1"])).values == [b"x"]
        await again.stop()


async def test_who_watches_sees_how_full_it_is_and_changes_nothing(tmp_path: Path) -> None:
    with served(tmp_path, service="billing") as url:
        watch = _login(tmp_path, "watch")
        store = RedisStore(url, service="billing", login=watch)
        await store.start()

        room = await store.room()

        # `maxmemory 256mb` of deploy/redis.conf.
        assert room.max_bytes == 256 * 1024 * 1024
        assert 0 < room.used_bytes < room.max_bytes
        await store.stop()
        client = Redis.from_url(url, username=watch.username, password=watch.password)
        with pytest.raises(exceptions.NoPermissionError):
            client.hset("pfdo:{billing:0}:v1:state", "a", "b")
        client.close()


def _login(folder: Path, user: str) -> Login:
    return Login(username=user, password=(folder / "secrets" / f"redis-{user}").read_text())


async def test_the_cabinet_may_do_there_what_the_vault_does_and_nothing_else(
    tmp_path: Path,
) -> None:
    secrets = tmp_path / "secrets"
    with served(tmp_path) as url:
        login = Login(username="cabinet", password=(secrets / "redis-cabinet").read_text())
        keys = (secrets / "vault-keys").read_text()

        # Not `allow_unsafe`: the settings must be those that an erasure needs.
        vault = Vault(VaultStore(url, login=login), MasterKeys.parse(keys))
        await vault.open()
        await vault.put(CHILD, PERSON, NAVIGATOR)
        assert await vault.records() == 2
        found = await vault.read([CHILD], NAVIGATOR)
        assert found[CHILD].family_name == PERSON.family_name
        await vault.close()

        rotated = Vault(VaultStore(url, login=login), MasterKeys.parse(keys + _another_key()))
        await rotated.open()
        erasure = await rotated.erase(CHILD, NAVIGATOR)
        assert erasure is not None
        assert erasure.log_is_rewritten
        assert (await rotated.looks(CHILD)).is_whole
        await rotated.close()

        client = Redis.from_url(url, username=login.username, password=login.password)
        for command in (
            ("GET", "pfdo:{cabinet:0}:epoch"),
            ("FLUSHALL",),
            ("KEYS", "*"),
            ("UNLINK", f"pfdo:vault:person:{CHILD}"),
            ("CONFIG", "SET", "appendfsync", "no"),
        ):
            with pytest.raises(exceptions.NoPermissionError):
                client.execute_command(*command)  # type: ignore[no-untyped-call]
        client.close()


async def test_an_operator_reaches_read_models_and_neither_sessions_nor_proposals(
    tmp_path: Path,
) -> None:
    with served(tmp_path, service="cabinet") as url:
        kept = RedisKeys(url, _login(tmp_path, "cabinet"))
        await kept.start()
        proposals = Proposals(kept, b"k" * 32)
        proposal = Proposal(
            payer="57", fact="policy-set", subject="s", data={}, why="w", by="a", at="t"
        )
        id_ = await proposals.put(proposal)
        assert await proposals.answer("57", id_, Answer(is_approved=False, by="b", at="t"))
        assert len(await proposals.of("57")) == 1
        assert await proposals.find("57", "open") is None
        await kept.drop([f"57:{id_}"])
        await kept.stop()

        operator = _login(tmp_path, "operator")
        client = Redis.from_url(url, username=operator.username, password=operator.password)
        client.hset("pfdo:{cabinet:0}:1:x", "a", "b")
        client.unlink("pfdo:{cabinet:0}:1:x")
        for key in ("pfdo:{cabinet:proposals}:57::open", "pfdo:{cabinet:sessions}:x"):
            with pytest.raises(exceptions.NoPermissionError):
                client.unlink(key)
            with pytest.raises(exceptions.NoPermissionError):
                client.get(key)
        client.close()


def _another_key() -> str:
    return f"k2 {'A' * 43}="


async def test_by_an_older_access_list_the_vault_does_not_say_how_much_it_holds(
    tmp_path: Path,
) -> None:
    with served(tmp_path, without="+dbsize ") as url:
        password = (tmp_path / "secrets" / "redis-cabinet").read_text()
        store = VaultStore(url, login=Login(username="cabinet", password=password))
        await store.start()
        assert await store.records() is None
        await store.stop()
