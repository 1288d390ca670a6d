"""The vault: sealed per person, erased with the key, every look on record; and nothing leaks."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from pydantic import SecretStr

from services.cabinet.access.oidc import OpenIdConnect
from services.cabinet.access.recognition import Access
from services.cabinet.access.sessions import MemorySessions, Sessions
from services.cabinet.app import make_app
from services.cabinet.pages import wording
from services.cabinet.vault import watching
from services.cabinet.vault.invented import invent
from services.cabinet.vault.looks import FIRST_HASH, KEPT_MAX, Deed, Look, is_whole, next_look
from services.cabinet.vault.opening import vault_of
from services.cabinet.vault.person import Known, Person, PushKeys, PushSubscription
from services.cabinet.vault.sealing import BrokenSealError, MasterKeys
from services.cabinet.vault.store import Change, VaultStore, VaultUnavailableError
from services.cabinet.vault.vault import Reader, Vault
from streaming.errors import SettingError
from streaming.host import Host
from streaming.redis_client import Login
from streaming.settings import Settings, load_settings
from streaming.telemetry import Telemetry, configure_logs
from streaming.valkey import EmbeddedValkey
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import Journals
from tests.cabinet.running import running_system
from tests.pfdo.test_tracing import Collector, collecting, tracing
from tests.support.issuer import running_issuer
from tests.support.world import day, event

CHILD = "child-00027"
K1 = "k1 " + base64.b64encode(b"1" * 32).decode()
K2 = "k2 " + base64.b64encode(b"2" * 32).decode()
TOKEN, SENDERS_TOKEN = "t" * 40, "s" * 40
NAVIGATOR = Reader(by="navigator", why="registration")
TEACHER = Reader(by="prov-000", why="journal")
PERSON = Person(
    family_name="Заглушкина",
    given_name="Проверка",
    patronymic="Выдумовна",
    addresses=("Посёлок Нигдейный, улица Пустая, 0",),
    phones=("+70000000000",),
    email="nobody@example.invalid",
)
KNOWN = Known(**PERSON.model_dump())
PARENT = Reader(by=CHILD, why="push-on")


def browser(number: int) -> PushSubscription:
    """Return a browser that nobody has."""
    keys = PushKeys(p256dh=f"{number:A>87}", auth=f"{number:A>22}")
    return PushSubscription(endpoint=f"https://updates.push.example/{number}", keys=keys)


def vault_in(directory: Path, keys: str = K1, **more: Any) -> Vault:
    """Return a vault, not yet open, on an embedded Valkey of its own."""
    store = VaultStore(EmbeddedValkey(directory), allow_unsafe=True)
    return Vault(store, MasterKeys.parse(keys), **more)


@asynccontextmanager
async def open_vault(directory: Path, keys: str = K1, **more: Any) -> AsyncIterator[Vault]:
    """Open a vault on an embedded Valkey of its own."""
    vault = vault_in(directory, keys, **more)
    await vault.open()
    try:
        yield vault
    finally:
        await vault.close()


def bytes_in(directory: Path) -> bytes:
    """Return all that lies in a directory, of any file."""
    return b"\n".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


# --- browsers ----------------------------------------------------------------------------------


async def test_a_browser_is_kept_sealed_and_its_coming_and_going_is_on_record(
    tmp_path: Path,
) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        for each in (browser(1), browser(2), browser(2)):
            assert await vault.add_browser(CHILD, each, PARENT)
        both = (await vault.read([CHILD], NAVIGATOR))[CHILD].push
        gone = Reader(by="machine", why="push-gone")
        await vault.drop_browser(CHILD, browser(1).endpoint_sha256, gone)
        await vault.drop_browser(CHILD, browser(1).endpoint_sha256, gone)
        left = (await vault.read([CHILD], NAVIGATOR))[CHILD].push
        record = await vault.looks(CHILD)

    assert (both, left) == ((browser(1), browser(2)), (browser(2),))
    written = [(look.by, look.why) for look in record.looks if look.deed is Deed.WRITTEN]
    assert written == [
        ("navigator", "registration"),
        (CHILD, "push-on"),
        (CHILD, "push-on"),
        ("machine", "push-gone"),
    ]
    assert b"push.example" not in bytes_in(tmp_path)


async def test_who_is_entered_anew_keeps_browsers_and_who_is_erased_does_not(
    tmp_path: Path,
) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        await vault.add_browser(CHILD, browser(1), PARENT)
        await vault.put(CHILD, PERSON.model_copy(update={"email": None}), NAVIGATOR)
        anew = (await vault.read([CHILD], NAVIGATOR))[CHILD]
        await vault.erase(CHILD, NAVIGATOR)
        is_known = await vault.add_browser(CHILD, browser(2), PARENT)
        await vault.put(CHILD, PERSON, NAVIGATOR)
        after = (await vault.read([CHILD], NAVIGATOR))[CHILD]

    assert (anew.email, anew.push) == (None, (browser(1),))
    assert not is_known
    assert after == KNOWN


async def test_of_too_many_browsers_the_oldest_goes(tmp_path: Path) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        for number in (1, 2, 3, 4, 5, 1, 6):
            await vault.add_browser(CHILD, browser(number), PARENT)
        kept = (await vault.read([CHILD], NAVIGATOR))[CHILD].push

    assert kept == tuple(browser(number) for number in (3, 4, 5, 1, 6))


# --- sealing -----------------------------------------------------------------------------------


async def test_who_is_entered_is_found_and_the_look_is_on_record(tmp_path: Path) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)

        found = await vault.read([CHILD, "child-00099"], TEACHER)
        record = await vault.looks(CHILD)

    assert found == {CHILD: KNOWN}
    assert record.is_whole
    assert [(look.number, look.deed, look.by, look.why) for look in record.looks] == [
        (1, Deed.WRITTEN, "navigator", "registration"),
        (2, Deed.READ, "prov-000", "journal"),
    ]


async def test_nothing_is_shown_that_is_not_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: VaultStore, changes: Sequence[Change]) -> bool:
        raise VaultUnavailableError("away")

    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        monkeypatch.setattr(VaultStore, "change", away)

        with pytest.raises(VaultUnavailableError):
            await vault.read([CHILD], TEACHER)


async def test_what_is_kept_says_nothing_without_the_keys(tmp_path: Path) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        await vault.read([CHILD], TEACHER)
        kept = bytes_in(tmp_path)

    assert CHILD.encode() in kept
    for text in (PERSON.family_name, PERSON.given_name, *PERSON.addresses, *PERSON.phones):
        assert text.encode() not in kept


async def test_erasing_destroys_the_key_in_memory_and_on_the_disk(tmp_path: Path) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        (kept,) = await vault._store.load([CHILD])
        assert kept.key is not None
        assert kept.key in bytes_in(tmp_path)

        erasure = await vault.erase(CHILD, Reader(by="navigator", why="zayavlenie-17"))

        assert erasure is not None
        assert (erasure.act.deed, erasure.act.why) == (Deed.ERASED, "zayavlenie-17")
        assert erasure.log_is_rewritten
        assert kept.key not in bytes_in(tmp_path)
        assert await vault.read([CHILD], TEACHER) == {}
        assert await vault.erase(CHILD, NAVIGATOR) is None
        record = await vault.looks(CHILD)
        assert record.is_whole
        assert [look.deed for look in record.looks] == [Deed.WRITTEN, Deed.ERASED]


async def test_a_new_master_key_wraps_all_and_the_old_one_can_go(tmp_path: Path) -> None:
    async with open_vault(tmp_path, K1) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
    async with open_vault(tmp_path, f"{K1}\n{K2}\n") as vault:
        (kept,) = await vault._store.load([CHILD])
    async with open_vault(tmp_path, K2) as vault:
        found = await vault.read([CHILD], TEACHER)

    assert kept.key is not None
    assert kept.key.startswith(b"k2:")
    assert found == {CHILD: KNOWN}


async def test_a_master_key_that_went_too_early_is_named_at_the_start(tmp_path: Path) -> None:
    async with open_vault(tmp_path, K1) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)

    with pytest.raises(SettingError, match="lacks the master key k1"):
        async with open_vault(tmp_path, K2):
            pass


async def test_a_cabinet_without_the_newest_master_key_has_no_names_until_it_starts_anew(
    tmp_path: Path,
) -> None:
    async with open_vault(tmp_path, K1) as older, open_vault(tmp_path, f"{K1}\n{K2}") as newer:
        await newer.put(CHILD, PERSON, NAVIGATOR)

        with pytest.raises(VaultUnavailableError, match="k2"):
            await older.read([CHILD], TEACHER)


async def test_what_was_sealed_for_one_does_not_open_for_another(tmp_path: Path) -> None:
    async with open_vault(tmp_path) as vault:
        for person_id in (CHILD, "child-00028"):
            await vault.put(person_id, PERSON, NAVIGATOR)
        stolen = await vault._store._client.execute(
            "HMGET", f"pfdo:vault:person:{CHILD}", "key", "data"
        )
        await vault._store._client.execute(
            "HSET", "pfdo:vault:person:child-00028", "key", stolen[0], "data", stolen[1]
        )

        with pytest.raises(BrokenSealError):
            await vault.read(["child-00028"], TEACHER)


@pytest.mark.parametrize(
    "text", ["", "k1", "k1 c2hvcnQ=", f"{K1}\n{K1}", K1.replace("k1", "K 1"), f"{K1}, {K2}"]
)
def test_a_file_of_keys_that_is_wrong_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(SettingError) as refused:
        MasterKeys.parse(text)

    assert "PFDO_VAULT_KEYS" in str(refused.value)
    assert "MTEx" not in str(refused.value)


# --- the record --------------------------------------------------------------------------------


def chain(length: int) -> list[Look]:
    """Return a record of so many looks."""
    looks: list[Look] = []
    head = FIRST_HASH
    for number in range(length):
        look = next_look(CHILD, number, head, at=f"t{number}", deed=Deed.READ, by="a", why="b")
        looks.append(look)
        head = look.hash
    return looks


LOOKS = chain(4)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param(LOOKS, True, id="all"),
        pytest.param(LOOKS[1:], True, id="the oldest went"),
        pytest.param(LOOKS[:-1], False, id="the latest is missing"),
        pytest.param([*LOOKS[:1], *LOOKS[2:]], False, id="one is missing"),
        pytest.param([LOOKS[1], LOOKS[0], *LOOKS[2:]], False, id="two changed places"),
        pytest.param([*LOOKS[:2], replace(LOOKS[2], by="x"), LOOKS[3]], False, id="another name"),
        pytest.param([replace(LOOKS[0], prevhash="1" * 64), *LOOKS[1:]], False, id="another start"),
        pytest.param([], False, id="nothing is left"),
    ],
)
def test_a_record_that_was_changed_is_seen(looks: list[Look], expected: bool) -> None:
    assert is_whole(CHILD, looks, LOOKS[-1].number, LOOKS[-1].hash) is expected


def test_the_record_of_one_person_is_not_that_of_another() -> None:
    assert not is_whole("child-00028", LOOKS, LOOKS[-1].number, LOOKS[-1].hash)


async def test_looks_at_once_are_all_on_record_whoever_looks(tmp_path: Path) -> None:
    async with open_vault(tmp_path) as vault, open_vault(tmp_path) as other:
        await vault.put(CHILD, PERSON, NAVIGATOR)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                reader = Reader(by=f"prov-{number:03}", why="journal")
                group.create_task((vault, other)[number % 2].read([CHILD], reader))
        record = await vault.looks(CHILD)

    assert [look.number for look in record.looks] == list(range(1, 22))
    assert record.is_whole


async def test_the_oldest_looks_go_and_are_counted(tmp_path: Path) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        for number in range(KEPT_MAX + 2):
            await vault.read([CHILD], Reader(by=f"prov-{number:03}", why="journal"))
        record = await vault.looks(CHILD)

    assert (len(record.looks), record.forgotten, record.is_whole) == (KEPT_MAX, 3, True)


async def test_who_looks_again_and_again_is_on_record_once_a_day_and_pushes_nobody_out(
    tmp_path: Path,
) -> None:
    moment = datetime(2020, 9, 1, 8, tzinfo=UTC)

    def now() -> str:
        return moment.isoformat()

    machine = Reader(by="machine/senders", why="notification")
    async with open_vault(tmp_path, now=now) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        await vault.read([CHILD], TEACHER)
        for _ in range(KEPT_MAX):
            assert CHILD in await vault.read([CHILD], machine)
            assert CHILD in await vault.read([CHILD], PARENT)
        moment += timedelta(hours=24, milliseconds=-1)
        await vault.read([CHILD], machine)
        moment += timedelta(milliseconds=1)
        await vault.read([CHILD], machine)
        await vault.read([CHILD], Reader(by="machine/senders", why="support"))
        record = await vault.looks(CHILD)

    assert record.is_whole
    assert [(look.at[8:13], look.by, look.why) for look in record.looks] == [
        ("01T08", "navigator", "registration"),
        ("01T08", "prov-000", "journal"),
        ("01T08", "machine/senders", "notification"),
        ("01T08", CHILD, "push-on"),
        ("02T08", "machine/senders", "notification"),
        ("02T08", "machine/senders", "support"),
    ]


async def test_what_was_written_or_is_said_to_be_of_later_stands_for_no_look(
    tmp_path: Path,
) -> None:
    moment = datetime(2020, 9, 2, tzinfo=UTC)

    def now() -> str:
        return moment.isoformat()

    async with open_vault(tmp_path, now=now) as vault:
        await vault.put(CHILD, PERSON, NAVIGATOR)
        await vault.read([CHILD], NAVIGATOR)
        moment -= timedelta(hours=1)
        await vault.read([CHILD], NAVIGATOR)
        record = await vault.looks(CHILD)

    assert [look.deed for look in record.looks] == [Deed.WRITTEN, Deed.READ, Deed.READ]


# --- settings ----------------------------------------------------------------------------------


def test_without_keys_there_is_no_vault_and_with_kafka_it_needs_a_redis(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(K1)

    assert vault_of(load_settings({}, {})) is None
    assert vault_of(load_settings({}, {"PFDO_VAULT_KEYS_FILE": str(keys)})) is not None
    with pytest.raises(SettingError, match="PFDO_VAULT_REDIS_URL"):
        vault_of(Settings(kafka_bootstrap="kafka:9092", vault_keys=SecretStr(K1)))
    assert "MTEx" not in repr(load_settings({}, {"PFDO_VAULT_KEYS_FILE": str(keys)}))


async def test_outside_the_sandbox_a_forgetful_server_is_refused(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    await server.start()
    store = VaultStore(f"unix://{server.socket_path}")

    await store.start()
    await store._client.execute("CONFIG", "SET", "appendfsync", "everysec")
    await store.stop()
    with pytest.raises(SettingError, match="appendfsync"):
        await store.start()
    await server.stop()


@pytest.mark.containers
async def test_a_vault_on_a_redis_with_a_password_of_its_own(redis_url: str) -> None:
    login = Login(username="vault", password="of-the-vault")
    admin = VaultStore(redis_url, allow_unsafe=True)
    await admin.start()
    acl = ("ACL", "SETUSER", "vault", "on", ">of-the-vault", "~pfdo:vault:*", "+@all")
    await admin._client.execute(*acl)

    vault = Vault(VaultStore(redis_url, login=login, allow_unsafe=True), MasterKeys.parse(K1))
    await vault.open()
    await vault.put(CHILD, PERSON, NAVIGATOR)
    erasure = await vault.erase(CHILD, NAVIGATOR)
    await vault.close()
    await admin._client.execute("ACL", "DELUSER", "vault")
    await admin.stop()

    assert erasure is not None
    with pytest.raises(SettingError):
        await VaultStore(redis_url, login=login, allow_unsafe=True).start()


async def test_a_vault_that_does_not_answer_is_told_and_so_is_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    telemetry = Telemetry()

    def told(name: str) -> float:
        labels = {"service": "vault", "partition": ""} if "trouble" in name else {}
        return telemetry.registry.get_sample_value(name, labels) or 0.0

    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.01)

    server = EmbeddedValkey(tmp_path)
    await server.start()
    store = VaultStore(f"unix://{server.socket_path}", allow_unsafe=True)
    vault = Vault(store, MasterKeys.parse(K1))
    await vault.open()
    watched = asyncio.create_task(watching.watch(vault, telemetry))
    await vault.put(CHILD, PERSON, NAVIGATOR)
    await until(lambda: told("pfdo_vault_records") == 2)
    assert told("pfdo_vault_memory_bytes") > 100_000
    assert told("pfdo_trouble_seconds") == 0

    await server.stop()
    await until(lambda: told("pfdo_trouble_seconds") > 0)
    await server.start()
    await until(lambda: told("pfdo_trouble_seconds") == 0)

    assert told("pfdo_vault_records") == 2
    watched.cancel()
    await vault.close()
    await server.stop()


# --- over HTTP ---------------------------------------------------------------------------------

PATH = f"/api/v1/vault/persons/{CHILD}"
BODY = PERSON.model_dump_json()


@asynccontextmanager
async def served(
    tmp_path: Path,
    *,
    sandbox: bool,
    token: str | None,
    senders_token: str | None = None,
    address: str = "127.0.0.1",
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a cabinet that knows a story and has a vault."""
    journals = await Journals().start()
    await story.tell_all(journals)
    await journals.follow()
    async with open_vault(tmp_path) as vault:
        app = make_app(
            journals.store,
            journals.bus,
            journals.sources,
            Host(journals.bus, {}, Telemetry()),
            Telemetry(),
            sandbox=sandbox,
            vault=vault,
            access=Access.new(
                Sessions(MemorySessions(), b"k" * 32),
                sandbox=sandbox,
                vault_token=token,
                senders_token=senders_token,
            ),
        )
        async with client_of(app, address) as client:
            yield client


BEARER = {"authorization": f"Bearer {TOKEN}"}
SENDERS = {"authorization": f"Bearer {SENDERS_TOKEN}"}


async def test_who_names_no_basis_erases_too_and_the_act_says_so(tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with served(tmp_path, sandbox=False, token=TOKEN) as client:
        await client.put(PATH, content=BODY, headers=headers)
        erased = await client.delete(PATH, headers=headers)
        read = await client.get(PATH, params={"why": "notification"}, headers=headers)

    assert erased.status_code == 200
    assert erased.json()["act"]["why"] == "unnamed"
    assert read.status_code == 404


@pytest.mark.parametrize(
    ("sandbox", "token", "address", "headers", "status"),
    [
        pytest.param(False, TOKEN, "10.0.0.9", BEARER, 204, id="the token, from anywhere"),
        pytest.param(False, TOKEN, "127.0.0.1", {}, 401, id="no token"),
        pytest.param(
            False, TOKEN, "127.0.0.1", {"authorization": f"Bearer {TOKEN}x"}, 401, id="another"
        ),
        pytest.param(
            False, TOKEN, "127.0.0.1", {"authorization": f"Basic {TOKEN}"}, 401, id="no bearer"
        ),
        pytest.param(False, None, "127.0.0.1", BEARER, 401, id="none is set"),
        pytest.param(False, None, "127.0.0.1", {"authorization": "Bearer "}, 401, id="empty"),
        pytest.param(True, None, "127.0.0.1", {}, 204, id="sandbox, this machine"),
        pytest.param(True, None, "10.0.0.9", {}, 401, id="sandbox, another machine"),
        pytest.param(True, TOKEN, "127.0.0.1", {}, 401, id="sandbox, a token is set"),
    ],
)
async def test_persons_are_entered_by_who_has_the_token(
    tmp_path: Path,
    sandbox: bool,
    token: str | None,
    address: str,
    headers: dict[str, str],
    status: int,
) -> None:
    async with served(tmp_path, sandbox=sandbox, token=token, address=address) as client:
        put = await client.put(PATH, content=BODY, headers=headers)
        read = await client.get(PATH, params={"why": "notification"}, headers=headers)
        erased = await client.delete(PATH, params={"basis": "act-1"}, headers=headers)
        record = await client.get(f"{PATH}/looks", headers=headers)

    good = status == 204
    assert put.status_code == status
    assert [each.status_code for each in (read, erased, record)] == [200 if good else status] * 3
    assert (PERSON.family_name in read.text) is good


async def test_senders_learn_where_somebody_is_drop_a_browser_and_may_nothing_else(
    tmp_path: Path,
) -> None:
    person, page = f"/api/v1/vault/persons/{story.GUARDIAN}", f"/families/{story.GUARDIAN}"
    on = browser(1)
    async with served(
        tmp_path, sandbox=True, token=TOKEN, senders_token=SENDERS_TOKEN, address="10.0.0.9"
    ) as client:
        await client.put(person, content=BODY, headers=BEARER)
        await client.post(f"{page}/push", json=on.model_dump())
        found = await client.get(person, params={"why": "notification"}, headers=SENDERS)
        refused = [
            await client.put(person, content=BODY, headers=SENDERS),
            await client.get(person, params={"why": "support"}, headers=SENDERS),
            await client.get(f"{person}0", params={"why": "support"}, headers=SENDERS),
            await client.delete(person, params={"basis": "act-1"}, headers=SENDERS),
            await client.get(f"{person}/looks", headers=SENDERS),
            await client.get("/api/v1/export", headers=SENDERS),
        ]
        dropped = await client.delete(f"{person}/push/{on.endpoint_sha256}", headers=SENDERS)
        record = (await client.get(f"{person}/looks", headers=BEARER)).json()
        whole = await client.get(person, params={"why": "notification"}, headers=BEARER)
        looks = await client.get(f"{page}/looks")

    # No name, no place: neither is needed to send.
    contact = {"phones": ["+70000000000"], "email": PERSON.email, "push": [on.model_dump()]}
    assert found.json() == contact
    assert [each.status_code for each in refused] == [403] * 6
    assert dropped.status_code == 204
    assert record["is_whole"]
    assert [(look["by"], look["why"]) for look in record["looks"]] == [
        ("machine/navigator", "registration"),
        (story.GUARDIAN, "push-on"),
        ("machine/senders", "notification"),
        ("machine/senders", "push-gone"),
    ]
    assert whole.json() == PERSON.model_dump(mode="json") | {"push": []}
    assert "Рассылка сообщений" in looks.text


@pytest.mark.parametrize(
    ("token", "senders_token", "statuses"),
    [
        pytest.param(TOKEN, None, [204, 200, 401], id="of before: with the Navigator's"),
        pytest.param(None, SENDERS_TOKEN, [401, 401, 404], id="nobody enters persons"),
    ],
)
@pytest.mark.parametrize("sandbox", [False, True])
async def test_a_token_that_is_not_set_is_nobodys(
    tmp_path: Path,
    *,
    sandbox: bool,
    token: str | None,
    senders_token: str | None,
    statuses: list[int],
) -> None:
    look = {"why": "notification"}
    async with served(
        tmp_path, sandbox=sandbox, token=token, senders_token=senders_token
    ) as client:
        put = await client.put(PATH, content=BODY, headers=BEARER)
        by_navigator = await client.get(PATH, params=look, headers=BEARER)
        by_senders = await client.get(PATH, params=look, headers=SENDERS)
        by_anybody = await client.get(PATH, params=look)

    answers = (put, by_navigator, by_senders)
    assert [each.status_code for each in answers] == statuses
    assert by_anybody.status_code == 401


async def test_a_body_that_is_wrong_is_refused_and_not_repeated(tmp_path: Path) -> None:
    bodies = [
        b"{",
        BODY.replace("+70000000000", "Секретная 5").encode(),
        BODY.replace('"family_name"', '"Секретная"').encode(),
        b'{"family_name":"Sekret","given_name":5}',
        BODY.replace("Заглушкина", "<b>Секретная").encode(),
        b'"' + b"x" * 20_000 + b'"',
    ]
    async with served(tmp_path, sandbox=False, token=TOKEN) as client:
        answers = [await client.put(PATH, content=body, headers=BEARER) for body in bodies]
        read = await client.get(PATH, params={"why": "support"}, headers=BEARER)

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 422, 413]
    assert not any("екретная" in each.text or "Sekret" in each.text for each in answers)
    assert read.status_code == 404


async def test_a_family_sees_names_and_who_looked(tmp_path: Path) -> None:
    async with served(tmp_path, sandbox=True, token=TOKEN) as client:
        before = await client.get(f"/families/{story.GUARDIAN}")
        await client.put(PATH, content=BODY, headers=BEARER)
        await client.get(PATH, params={"why": "notification"}, headers=BEARER)
        page = await client.get(f"/families/{story.GUARDIAN}")
        looks = await client.get(f"/families/{story.GUARDIAN}/looks")

    assert PERSON.name not in before.text
    assert f'id="h-{CHILD}">{PERSON.name}<' in page.text
    assert f'id="h-{story.YOUNGER}">{story.YOUNGER}<' in page.text
    assert "Адрес узнан, чтобы отправить сообщение" in looks.text
    assert "Навигатор или рассылка сообщений" in looks.text
    assert "machine/" not in looks.text
    assert "вы сами открывали данные: 2." in looks.text


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("machine/svc-43 <b>", "Система «svc-43 <b>»"),
        ("machine/senders", "Рассылка сообщений"),
        ("machine/local", "Программа на этом компьютере"),
        ("navigator", "Навигатор"),
        ("machine", "Система сертификатов"),
        ("prov-000", "Кружок"),
        ("prov-001", "prov-001"),
    ],
)
def test_who_looked_is_said_in_words_as_far_as_it_is_known(by: str, said: str) -> None:
    assert wording.looker(by, {"prov-000": "Кружок"}) == said


async def test_the_record_says_which_machine_looked(tmp_path: Path, journals: Journals) -> None:
    async with running_issuer() as issuer, open_vault(tmp_path) as vault:
        server = OpenIdConnect(issuer.log_in())
        access = Access.new(Sessions(MemorySessions(), b"k" * 32), sandbox=False, server=server)
        await access.start()
        app = app_of(journals, sandbox=False, access=access, vault=vault)
        async with client_of(app, auth=None) as client:
            for subject in ("svc-1", "svc-2"):
                token = issuer.token(roles=["navigator"], sub=subject)
                bearer = {"authorization": f"Bearer {token}"}
                await client.put(PATH, content=BODY, headers=bearer)
                await client.get(PATH, params={"why": "support"}, headers=bearer)
        record = await vault.looks(CHILD)
        await access.stop()

    assert [(look.by, look.why) for look in record.looks] == [
        ("machine/svc-1", "registration"),
        ("machine/svc-1", "support"),
        ("machine/svc-2", "registration"),
        ("machine/svc-2", "support"),
    ]


async def test_while_the_vault_is_away_ids_stand_for_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: VaultStore, ids: Sequence[str], **more: Any) -> list[Any]:
        raise VaultUnavailableError("redis at 10.0.0.7")

    async with served(tmp_path, sandbox=True, token=TOKEN) as client:
        await client.put(PATH, content=BODY, headers=BEARER)
        monkeypatch.setattr(VaultStore, "load", away)
        page = await client.get(f"/families/{story.GUARDIAN}")
        looks = await client.get(f"/families/{story.GUARDIAN}/looks")
        answer = await client.get(PATH, params={"why": "support"}, headers=BEARER)

    assert page.status_code == looks.status_code == 200
    assert f'id="h-{CHILD}">{CHILD}<' in page.text
    assert "Сейчас список не открывается" in looks.text
    assert answer.status_code == 503
    assert "10.0.0.7" not in answer.text


async def test_the_sandbox_invents_people_the_same_every_time(tmp_path: Path) -> None:
    names = []
    for number in range(2):
        vault = vault_of(Settings(data=tmp_path / str(number), sandbox=True))
        assert vault is not None
        await vault.open()
        family_of = dict.fromkeys(["guardian-00012", CHILD, "prov-000"], "guardian-00012")
        found = await vault.read_families(family_of, TEACHER)
        await vault.erase(CHILD, NAVIGATOR)
        assert await vault.read_families({CHILD: CHILD}, TEACHER) == {}
        await vault.close()
        names.append({id_: person.name for id_, person in found.items()})

    assert names[0] == names[1]
    assert set(names[0]) == {"guardian-00012", CHILD}


@pytest.mark.parametrize("family_id", ["guardian-00012", "guard-00001", "guardian-00900"])
def test_children_of_a_family_are_called_differently_and_have_one_father(family_id: str) -> None:
    ids = [f"child-{number:05d}" for number in range(1, 61)]

    people = [invent(id_, family_id) for id_ in ids]

    assert len({person.given_name for person in people if person}) == len(ids)
    assert len({person.patronymic for person in people if person}) == 2, "a son's, a daughter's"
    assert len({person.family_name for person in people if person}) == 2


def test_who_has_no_number_is_invented_too() -> None:
    assert invent("child-new", "guardian-new") == invent("child-new", "guardian-new")
    assert invent("prov-000", "guardian-new") is None


# --- nothing leaks -----------------------------------------------------------------------------

CANARIES: dict[str, str | list[str]] = {
    "family_name": "Канарейкина",
    "given_name": "Желтоптица",
    "patronymic": "Клеткоевна",
    "addresses": ["Переулок Певчий, 99999"],
    "phones": ["+79998887766"],
    "email": "kanareika@canary.invalid",
}


TRACED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """Logs as they were before, afterwards."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Who is sent spans."""
    with collecting() as opened:
        yield opened


def forms_of(text: str) -> set[bytes]:
    """Return the bytes in which a text could lie somewhere."""
    plain = text.encode()
    escaped = text.encode("unicode_escape").replace(b"\\x", b"\\u00")
    third = [base64.b64encode(b"x" * shift + plain)[shift + 1 : -4] for shift in range(3)]
    return {plain, escaped, text.encode("utf-16-le"), text.encode("cp1251"), *third}


@pytest.mark.usefixtures("logs_as_before")
async def test_not_one_byte_of_personal_data_lies_anywhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], collector: Collector
) -> None:
    configure_logs(0)
    title = "Кружок Контрольнослововедения"
    async with running_system(tmp_path / "data", vault_token=TOKEN) as running:
        await running.send([day("2020-08-31")])
        traces = tracing(running.installation, collector)
        await traces.look()
        child = {
            "child_id": CHILD,
            "birth_date": "2010-04-17",
            "guardian_ids": [story.GUARDIAN],
            "benefits": [],
            "revision": 1,
        }
        group = story.GROUPS["grp-000"] | {"title": title}
        await running.send(
            [
                event("navigator.child-registered", "25701000", CHILD, child),
                event(
                    "navigator.group-published", "25701000", "grp-000", group, traceparent=TRACED
                ),
            ]
        )
        for person_id in (CHILD, story.GUARDIAN):
            path = f"/api/v1/vault/persons/{person_id}"
            put = await running.client.put(path, json=CANARIES, headers=BEARER)
            wrong = await running.client.put(path, json=CANARIES | {"x": "y"}, headers=BEARER)
            assert (put.status_code, wrong.status_code) == (204, 422)
            read = await running.client.get(path, params={"why": "support"}, headers=BEARER)
            assert read.json() == CANARIES | {"push": []}
        push = f"/families/{story.GUARDIAN}/push"
        on = await running.client.post(push, json=browser(4_711).model_dump())
        assert on.status_code == 204
        page = await running.client.get(f"/families/{story.GUARDIAN}")
        looks = await running.client.get(f"/families/{story.GUARDIAN}/looks")
        assert "Канарейкина Желтоптица" in page.text
        assert "Канарейкина Желтоптица" in looks.text
        await running.settle()
        metrics = (await running.client.get("/metrics")).content
        export = (await running.client.get("/api/v1/export")).content
        await traces.look()
        kept = bytes_in(tmp_path / "data")
    captured = capfd.readouterr()
    logs = (captured.out + captured.err).encode()
    told = (logs, metrics, export, *collector.bodies)
    everything = b"\n".join((kept, *told, bytes_in(tmp_path / "data")))

    assert title.encode() in everything, "the search must find what is there"
    assert b"pfdo_decisions" in metrics
    assert b"took over" in logs
    assert b"group-changed" in b"".join(collector.bodies)
    for canary in (*CANARIES.values(), browser(4_711).endpoint):
        for text in [canary] if isinstance(canary, str) else canary:
            for form in forms_of(text):
                assert form not in everything, text


async def test_a_served_cabinet_opens_and_closes_its_vault(tmp_path: Path) -> None:
    async with running_system(tmp_path) as running:
        page = await running.client.get("/")
        assert page.status_code == 200
        assert (tmp_path / "vault" / "valkey.sock").exists()

    assert not (tmp_path / "vault" / "valkey.sock").exists()
