"""Log-in of the sandbox, sessions, forms, limits, settings; tokens that are not to be trusted."""

import base64
import hmac
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from joserfc import jwt
from joserfc.jwk import OctKey

from pfdo.examination import examine
from services.cabinet.access import sessions as sessions_module
from services.cabinet.access.claims import MACHINES, PEOPLE, principal_of
from services.cabinet.access.gate import Visitor, local_path
from services.cabinet.access.limits import ADDRESSES_MAX, Limit, TooOftenError
from services.cabinet.access.oidc import (
    Attempt,
    OpenIdConnect,
    RefusedError,
    ServerUnavailableError,
)
from services.cabinet.access.policy import Grant, Principal, Role
from services.cabinet.access.recognition import Access
from services.cabinet.access.sessions import (
    IDLE_SECONDS_MAX,
    WHOLE_SECONDS_MAX,
    MemorySessions,
    RedisSessions,
    Sessions,
    SessionStore,
)
from services.cabinet.access.settings import load_log_in, trusts_no_proxy
from services.cabinet.app import serving
from streaming.errors import SettingError, StoreUnavailableError
from streaming.settings import Settings, load_settings
from streaming.valkey import EmbeddedValkey
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of, csrf_of
from tests.cabinet.journals import PAYER, Journals
from tests.cabinet.test_journal import invoice
from tests.support.issuer import AUDIENCE, KEY, NAMES, STRANGE_KEY, Issuer, running_issuer

FAMILY = f"/families/{story.GUARDIAN}"
PROVIDER = f"/journal/{story.PROVIDER}"
MOTHER = Principal(subject="m", grants=frozenset({Grant(Role.GUARDIAN, story.GUARDIAN)}))
KEY_OF_SESSIONS = b"k" * 40


@pytest.fixture
async def stranger(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody in the sandbox who is nobody yet."""
    async with client_of(app_of(journals), auth=None) as client:
        yield client


# --- the sandbox -------------------------------------------------------------------------------


async def test_from_the_first_page_one_click_leads_to_the_parents_page(
    stranger: httpx.AsyncClient,
) -> None:
    first = await stranger.get("/")
    picked = await stranger.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})
    page = await stranger.get(picked.headers["location"])

    assert f'<button name="as" value="guardian:{story.GUARDIAN}">' in first.text
    assert f'value="provider:{story.PROVIDER}"' in first.text
    assert f'value="payer:{PAYER}"' in first.text
    assert picked.headers["location"] == FAMILY
    assert "1\u00a0956,04\u00a0₽" in page.text
    for each in (first, page):
        assert "Учебный режим:" in each.text


@pytest.mark.parametrize(
    ("whom", "home"),
    [
        (f"provider:{story.PROVIDER}", PROVIDER),
        (f"payer:{PAYER}", "/console"),
        (f"payer:{PAYER}:2", "/console"),
        ("operator:", "/console"),
        ("operator::2", "/console"),
        ("auditor:", "/console"),
    ],
)
async def test_each_begins_where_their_work_is(
    stranger: httpx.AsyncClient, whom: str, home: str
) -> None:
    picked = await stranger.post("/login/sandbox", data={"as": whom})
    start = await stranger.get("/")

    assert picked.headers["location"] == start.headers["location"] == home


async def test_where_two_must_agree_there_are_two(journals: Journals) -> None:
    app = app_of(journals)
    subjects = []
    async with client_of(app, auth=None) as client:
        for whom in (f"payer:{PAYER}", f"payer:{PAYER}:2"):
            await client.post("/login/sandbox", data={"as": whom})
            visitor = await app.state.access.sessions.find(client.cookies["pfdo"])
            assert visitor.principal.scopes(Role.PAYER) == {PAYER}
            subjects.append(visitor.principal.subject)

    assert len(set(subjects)) == 2


@pytest.mark.parametrize(
    "whom",
    [
        "",
        "guardian:",
        "operator:x",
        "source:attendance",
        "navigator:",
        "local:",
        "king:x",
        "operator::3",
    ],
)
async def test_nobody_else_can_be_picked(stranger: httpx.AsyncClient, whom: str) -> None:
    picked = await stranger.post("/login/sandbox", data={"as": whom})

    assert picked.status_code == 404
    assert "set-cookie" not in picked.headers


async def test_outside_the_sandbox_nobody_is_picked(journals: Journals) -> None:
    async with client_of(app_of(journals, sandbox=False), auth=None) as client:
        picked = await client.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})
        door = await client.get("/login")

    assert picked.status_code == 404
    assert door.status_code == 403
    assert "set-cookie" not in picked.headers
    assert "Учебный режим" not in door.text


@pytest.mark.parametrize(
    ("path", "sent_to"),
    [
        (FAMILY, "/login?next=%2Ffamilies%2Fguardian-00012"),
        ("/families/guardian-99999", "/login?next=%2Ffamilies%2Fguardian-99999"),
        ("/journal?q=a b", "/login?next=%2Fjournal%3Fq%3Da%2520b"),
        # What is no id is not looked at before it is known who asks.
        ("/families/No%20Id", "/login?next=%2Ffamilies%2FNo%2520Id"),
    ],
)
async def test_who_is_not_known_is_asked_to_log_in_whatever_there_is(
    stranger: httpx.AsyncClient, path: str, sent_to: str
) -> None:
    page = await stranger.get(path)

    assert (page.status_code, page.headers["location"], page.text) == (303, sent_to, "")
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["x/api/", "x/health/live?", "x#", "x?/api/"])
async def test_a_host_that_looks_like_a_path_makes_a_page_no_other_page(
    journals: Journals, host: str
) -> None:
    async with client_of(app_of(journals), auth=None) as client:
        picked = {"as": f"provider:{story.PROVIDER}"}
        await client.post("/login/sandbox", data=picked)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        headers = {"host": host, "cookie": cookie}
        own = await client.get(PROVIDER, headers=headers)
        form = await client.post(
            f"{PROVIDER}/applications/{PAYER}/{story.CHESS}",
            data={"answer": "accept"},
            headers=headers,
        )

    assert (own.status_code, form.status_code) == (200, 403)


async def test_a_script_that_is_not_known_any_more_is_told_so(stranger: httpx.AsyncClient) -> None:
    live = await stranger.get(f"{FAMILY}/live", headers={"accept": "text/event-stream"})
    saved = await stranger.post(f"{PROVIDER}/groups/{PAYER}/grp-000", content="x=y")

    assert live.status_code == saved.status_code == 401
    assert "data-problem" in saved.text


async def test_names_are_for_the_family_and_its_teachers_an_auditor_reads_ids(
    journals: Journals, tmp_path: Path
) -> None:
    from services.cabinet.vault.vault import Reader
    from tests.cabinet.test_vault import PERSON, open_vault

    async with open_vault(tmp_path) as vault:
        await vault.put(story.ELDER, PERSON, Reader(by="navigator", why="registration"))
        async with client_of(app_of(journals, vault=vault), auth=None) as client:
            await client.post("/login/sandbox", data={"as": "auditor:"})
            pages = [
                await client.get(path)
                for path in (FAMILY, f"{PROVIDER}/groups/{PAYER}/grp-000", PROVIDER)
            ]
        looks = await vault.looks(story.ELDER)

    assert [page.status_code for page in pages] == [200] * 3
    assert not any(PERSON.family_name in page.text for page in pages)
    assert [each.by for each in looks.looks] == ["navigator"]


# --- forms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("csrf", "status"),
    [("own", 303), ("another's", 403), ("", 403), ("ж", 403)],
)
@pytest.mark.parametrize("by", ["field", "header"])
async def test_a_form_carries_the_token_of_its_session(
    journals: Journals, csrf: str, status: int, by: str
) -> None:
    app = app_of(journals)
    async with client_of(app, auth=None) as other, client_of(app, auth=None) as client:
        whom = {"as": f"provider:{story.PROVIDER}"}
        await other.post("/login/sandbox", data=whom)
        await client.post("/login/sandbox", data=whom)
        tokens = {
            "own": csrf_of((await client.get(PROVIDER)).text),
            "another's": csrf_of((await other.get(PROVIDER)).text),
        }
        token = tokens.get(csrf, csrf)
        form = {"answer": "accept"} | ({"csrf": token} if by == "field" else {})
        headers = [(b"x-csrf-token", token.encode())] if by == "header" else []
        answer = await client.post(
            f"{PROVIDER}/applications/{PAYER}/{story.CHESS}", data=form, headers=headers
        )

    assert len(tokens["own"]) == 64
    assert answer.status_code == status


async def test_every_form_of_every_page_carries_it(journals: Journals) -> None:
    async with client_of(app_of(journals)) as client:
        for path in (FAMILY, PROVIDER, f"{PROVIDER}/groups/{PAYER}/grp-000"):
            page = await client.get(path)
            forms = page.text.split("<form ")[1:]
            posts = [each.partition("</form>")[0] for each in forms if 'method="post"' in each]

            assert posts
            assert all(f'name="csrf" value="{csrf_of(page.text)}"' in each for each in posts)


@pytest.mark.parametrize("path", ["/", "/login", FAMILY, PROVIDER, "/families/guardian-99999"])
async def test_pages_say_what_browsers_must_not_do(journals: Journals, path: str) -> None:
    async with client_of(app_of(journals)) as client:
        page = await client.get(path)

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert "<style" not in page.text
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert " onclick=" not in page.text


@pytest.mark.parametrize(
    "path",
    [
        f"{PROVIDER}/money.csv",
        f"/console/{PAYER}/reports.xlsx",
        f"/console/{PAYER}/reports/coverage.csv",
        f"/console/{PAYER}/invoices.csv?month=2020-09",
    ],
)
async def test_files_are_what_they_say_and_tell_nobody_where_they_came_from(
    journals: Journals, path: str
) -> None:
    await invoice(journals, paid=False)
    await journals.follow()
    async with client_of(app_of(journals)) as client:
        file = await client.get(path)

    assert file.status_code == 200
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["x-content-type-options"] == "nosniff"
    assert file.headers["referrer-policy"] == "same-origin"
    assert file.headers["cache-control"] == "no-store"


# --- sessions ----------------------------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that is set by hand."""
    return Clock()


@pytest.fixture(params=["memory", "redis"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[SessionStore]:
    """Each form that keeps sessions."""
    made: SessionStore = (
        MemorySessions(clock)
        if request.param == "memory"
        else RedisSessions(EmbeddedValkey(tmp_path / "state"))
    )
    await made.start()
    yield made
    await made.stop()


async def test_a_session_is_found_by_its_token_until_it_ends(
    store: SessionStore, clock: Clock
) -> None:
    sessions = Sessions(store, KEY_OF_SESSIONS, clock)

    token = await sessions.begin(MOTHER)
    other = await sessions.begin(MOTHER)
    found = await sessions.find(token)
    await sessions.end(token)

    assert found is not None
    assert found.principal == MOTHER
    assert len(token) == 43
    assert await sessions.find(token) is None
    assert await sessions.find("") is None
    still = await sessions.find(other)
    assert still is not None
    assert still.csrf != found.csrf


async def test_a_session_lasts_while_it_is_used_and_not_for_ever(
    store: SessionStore, clock: Clock
) -> None:
    sessions = Sessions(store, KEY_OF_SESSIONS, clock)
    began = clock.now
    used, idle = await sessions.begin(MOTHER), await sessions.begin(MOTHER)

    clock.now += IDLE_SECONDS_MAX - 1
    assert await sessions.find(used) is not None
    clock.now += 1
    assert await sessions.find(idle) is None
    clock.now -= 1
    while clock.now + IDLE_SECONDS_MAX - 1 < began + WHOLE_SECONDS_MAX:
        clock.now += IDLE_SECONDS_MAX - 1
        assert await sessions.find(used) is not None
    clock.now = began + WHOLE_SECONDS_MAX - 1
    assert await sessions.find(used) is not None
    clock.now += 1
    assert await sessions.find(used) is None


async def test_a_session_that_ended_is_not_brought_back_by_a_page_that_was_under_way(
    store: SessionStore, clock: Clock
) -> None:
    sessions = Sessions(store, KEY_OF_SESSIONS, clock)
    token = await sessions.begin(MOTHER)
    clock.now += sessions_module.SEEN_AGAIN_SECONDS
    kept = store.load

    async def load_then_end(key: str) -> bytes | None:
        found = await kept(key)
        await store.drop(key)
        return found

    store.load = load_then_end  # type: ignore[method-assign]
    await sessions.find(token)
    store.load = kept  # type: ignore[method-assign]

    assert await sessions.find(token) is None


async def test_who_writes_to_the_store_makes_no_session_and_who_reads_it_takes_none(
    clock: Clock,
) -> None:
    store = MemorySessions(clock)
    sessions = Sessions(store, KEY_OF_SESSIONS, clock)
    token, victim = await sessions.begin(MOTHER), await sessions.begin(Principal(subject="v"))
    (key, (until, value)), (key_of_victim, _) = store._kept.items()

    changed = value.replace(story.GUARDIAN.encode(), b"guardian-00900")
    assert token.encode() not in key.encode() + value
    assert changed != value
    store._kept[key] = (until, changed)
    assert await sessions.find(token) is None
    # Nor is a good one good in another place.
    store._kept[key_of_victim] = (until, value)
    assert await sessions.find(victim) is None
    # Nor under another key.
    store._kept[key] = (until, value)
    assert await sessions.find(token) is not None
    assert await Sessions(store, b"x" * 40, clock).find(token) is None


async def test_all_processes_of_the_cabinet_know_a_session(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "state")
    one, two = RedisSessions(server), RedisSessions(EmbeddedValkey(tmp_path / "state"))
    await one.start()
    await two.start()
    try:
        token = await Sessions(one, KEY_OF_SESSIONS).begin(MOTHER)
        found = await Sessions(two, KEY_OF_SESSIONS).find(token)
    finally:
        await two.stop()
        await one.stop()

    assert found is not None
    assert found.principal == MOTHER


async def test_sessions_that_cannot_be_asked_for_let_nobody_in(
    journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(self: MemorySessions, key: str) -> bytes | None:
        raise StoreUnavailableError("redis at 10.0.0.7")

    async with client_of(app_of(journals), auth=None) as client:
        await client.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})
        monkeypatch.setattr(MemorySessions, "load", gone)
        page = await client.get(FAMILY)
        health = await client.get("/health/live")

    assert page.status_code == 503
    assert "ничего не потеряно" in page.text
    assert "10.0.0.7" not in page.text
    assert health.status_code == 200


async def test_memory_keeps_no_more_than_it_should(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "IN_MEMORY_MAX", 3)
    sessions = Sessions(MemorySessions(clock), KEY_OF_SESSIONS, clock)

    tokens = [await sessions.begin(MOTHER) for _ in range(4)]

    assert [await sessions.find(token) is not None for token in tokens] == [False] + [True] * 3


# --- limits ------------------------------------------------------------------------------------


def test_tries_come_back_evenly() -> None:
    now = 0.0
    limit = Limit(60, lambda: now)

    for _ in range(60):
        limit.take("10.0.0.9")
    with pytest.raises(TooOftenError) as error:
        limit.take("10.0.0.9")
    limit.take("10.0.0.8")
    now = 0.99
    with pytest.raises(TooOftenError):
        limit.check("10.0.0.9")
    now = 1.0
    limit.take("10.0.0.9")

    assert error.value.seconds == 1


def test_a_network_of_ipv6_is_one_and_memory_has_its_bound() -> None:
    limit = Limit(1, lambda: 0.0)

    limit.take("2001:db8::1")
    with pytest.raises(TooOftenError):
        limit.take("2001:db8::2")
    limit.take("2001:db8:0:1::1")
    for number in range(ADDRESSES_MAX + 10):
        limit.count(f"host-{number}")

    assert len(limit._left) == ADDRESSES_MAX


FORGED = "/verify/7010000157-AAAAAAAAAA"


async def test_who_looks_for_what_is_not_theirs_is_put_off(stranger: httpx.AsyncClient) -> None:
    await stranger.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})
    answers = [await stranger.get("/families/guardian-99999") for _ in range(62)]
    own = await stranger.get(FAMILY)
    health = await stranger.get("/health/live")

    assert {each.status_code for each in answers[:60]} == {404}
    assert answers[61].status_code == own.status_code == 429
    assert int(answers[61].headers["retry-after"]) == 1
    assert health.status_code == 200


async def test_what_strangers_miss_puts_off_nobody_else_at_their_address(
    journals: Journals,
) -> None:
    app = app_of(journals)
    async with (
        client_of(app, "10.0.0.9", auth=None) as stranger,
        client_of(app, "10.0.0.9", auth=None) as parent,
        client_of(app, "10.0.0.9", auth=None) as auditor,
    ):
        await parent.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})
        await auditor.post("/login/sandbox", data={"as": "auditor:"})
        forged = [await stranger.get(FORGED) for _ in range(62)]
        for _ in range(62):
            await parent.get("/families/guardian-99999")
            await stranger.get(f"{FAMILY}/live", headers={"accept": "text/event-stream"})

        assert [forged[number].status_code for number in (0, 61)] == [404, 429]
        assert (await parent.get(FAMILY)).status_code == 429
        assert (await auditor.get(FAMILY)).status_code == 200
        assert (await auditor.get(FORGED)).status_code == 404
        assert (await stranger.get("/login")).status_code == 200


async def test_what_is_printed_is_asked_about_apart_from_all_else(
    stranger: httpx.AsyncClient,
) -> None:
    await stranger.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})

    forged = [(await stranger.get(FORGED)).status_code for _ in range(62)]

    assert (forged[59], forged[61]) == (404, 429)
    assert (await stranger.get(FAMILY)).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8038", 200),
        ("127.0.0.1:8038", 200),
        ("[::1]:8038", 200),
        ("evil.example:8038", 401),
        ("localhost.evil.example", 401),
        ("localhost@evil.example", 401),
        ("", 401),
    ],
)
async def test_who_comes_by_another_name_is_not_of_this_machine(
    journals: Journals, host: str, status: int
) -> None:
    async with client_of(app_of(journals, sandbox=False), auth=None) as client:
        answer = await client.get("/api/v1/export", headers={"host": host})

    assert answer.status_code == status


async def test_behind_https_browsers_are_told_to_stay_there(journals: Journals) -> None:
    for url, told in (("https://cabinet.example", "max-age=31536000"), ("http://x.example", None)):
        async with client_of(app_of(journals, public_url=url), auth=None) as client:
            page = await client.get("/login")
        assert page.headers.get("strict-transport-security") == told


async def test_who_finds_what_is_theirs_is_not_put_off(stranger: httpx.AsyncClient) -> None:
    await stranger.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})

    assert {(await stranger.get(FAMILY)).status_code for _ in range(70)} == {200}


@pytest.mark.parametrize("token", ["t" * 40, "s" * 40], ids=["the Navigator's", "the senders'"])
async def test_tokens_are_not_tried_for_ever_and_who_has_the_vault_may_miss(
    journals: Journals, tmp_path: Path, issuer: Issuer, token: str
) -> None:
    from tests.cabinet.test_vault import open_vault

    access = Access.new(
        Sessions(MemorySessions(), KEY_OF_SESSIONS),
        sandbox=False,
        server=OpenIdConnect(issuer.log_in()),
        vault_token="t" * 40,
        senders_token="s" * 40,
    )
    await access.start()
    person = "/api/v1/vault/persons/child-99999?why=notification"
    async with open_vault(tmp_path) as vault:
        app = app_of(journals, sandbox=False, access=access, vault=vault)
        async with client_of(app, auth=None) as client:
            headers = {"authorization": f"Bearer {token}"}
            missed = [await client.get(person, headers=headers) for _ in range(70)]
            headers = {"authorization": f"Bearer {'x' * 40}"}
            tried = [await client.get(person, headers=headers) for _ in range(62)]
    await access.stop()

    assert {each.status_code for each in missed} == {404}
    assert {each.status_code for each in tried[:60]} == {401}
    assert tried[61].status_code == 429


async def test_too_many_picks_are_put_off(stranger: httpx.AsyncClient) -> None:
    whom = {"as": f"guardian:{story.GUARDIAN}"}

    answers = [await stranger.post("/login/sandbox", data=whom) for _ in range(31)]

    assert [each.status_code for each in answers] == [303] * 30 + [429]
    assert "retry-after" in answers[30].headers


# --- what tokens say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "grants"),
    [
        pytest.param({"roles": ["auditor"]}, {Grant(Role.AUDITOR)}, id="a role"),
        pytest.param({"roles": "auditor"}, {Grant(Role.AUDITOR)}, id="as a text"),
        pytest.param({"roles": ["guardian"]}, set(), id="for nobody"),
        pytest.param({"guardian_id": "guardian-1"}, set(), id="no role"),
        pytest.param(
            {"roles": ["guardian"], "guardian_id": "guardian-1"},
            {Grant(Role.GUARDIAN, "guardian-1")},
            id="for somebody",
        ),
        pytest.param(
            {"roles": ["provider"], "provider_id": ["prov-1", "prov-2", 3, "Prov 4", ""]},
            {Grant(Role.PROVIDER, "prov-1"), Grant(Role.PROVIDER, "prov-2")},
            id="for two",
        ),
        pytest.param(
            {"roles": ["payer"], "payer_code": "25701000", "guardian_id": "guardian-1"},
            {Grant(Role.PAYER, PAYER)},
            id="what no role asks for counts not",
        ),
        pytest.param({"roles": ["Auditor", "admin", None, {"auditor": 1}]}, set(), id="no roles"),
        pytest.param({"roles": {"auditor": True}}, set(), id="no list"),
        pytest.param({"roles": ["auditor"], "sub": ""}, set(), id="nobody"),
        pytest.param({"roles": ["auditor"], "sub": 5}, set(), id="a number"),
        pytest.param({"roles": ["local", "source"], "source": "attendance"}, set(), id="machines"),
    ],
)
def test_claims_become_grants(claims: dict[str, Any], grants: set[Grant]) -> None:
    principal = principal_of({"sub": "x"} | claims, NAMES, PEOPLE)

    assert principal.grants == grants


def test_no_token_makes_anybody_local() -> None:
    assert Role.LOCAL not in MACHINES
    assert {Role.SOURCE, Role.NAVIGATOR, Role.SENDERS} == MACHINES - PEOPLE


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/families/x?y=1", "/families/x?y=1"),
        ("", "/"),
        ("families", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\tx", "/"),
        ("/\r\nset-cookie: a", "/"),
        ("/ж", "/"),
    ],
)
def test_somebody_is_sent_to_paths_of_ours_alone(text: str, path: str) -> None:
    assert local_path(text) == path


# --- tokens that are not to be trusted ---------------------------------------------------------


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer that signs whatever it is told to."""
    async with running_issuer() as running:
        yield running


@pytest.fixture
async def server(issuer: Issuer) -> AsyncIterator[OpenIdConnect]:
    """What checks its tokens."""
    connected = OpenIdConnect(issuer.log_in())
    await connected.start()
    yield connected
    await connected.stop()


@pytest.mark.parametrize("offered", [None, 7, "javascript:alert(1)", "/logout"])
async def test_a_server_that_cannot_be_left_is_not_offered_to_be(
    journals: Journals, issuer: Issuer, server: OpenIdConnect, offered: object
) -> None:
    issuer.told["end_session_endpoint"] = offered
    access = Access.new(Sessions(MemorySessions(), KEY_OF_SESSIONS), sandbox=False, server=server)

    async with client_of(app_of(journals, sandbox=False, access=access), auth=None) as client:
        left = await client.get("/logout")
        further = await client.get("/logout/server")

    assert "Вы вышли" in left.text
    assert "/logout/server" not in left.text
    assert further.status_code == 404


async def test_a_server_is_left_with_the_way_back_and_nothing_of_the_person(
    issuer: Issuer, server: OpenIdConnect
) -> None:
    issuer.told["end_session_endpoint"] = f"{issuer.url}/leave?theme=plain"

    assert await server.leaving_address() == (
        f"{issuer.url}/leave?theme=plain&client_id=cabinet"
        "&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%2F"
    )


# Times are in seconds from when the token is made.
GOOD: list[dict[str, Any]] = [
    {},
    {"aud": ["x", AUDIENCE]},
    {"nbf": -1},
    {"exp": -10},
]
BAD = [
    pytest.param({"iss": "https://evil.example"}, id="another issuer"),
    pytest.param({"iss": None}, id="no issuer"),
    pytest.param({"aud": "cabinet"}, id="for people"),
    pytest.param({"aud": ["x", "y"]}, id="for others"),
    pytest.param({"aud": None}, id="for nobody"),
    pytest.param({"exp": -40}, id="over"),
    pytest.param({"exp": None}, id="for ever"),
    pytest.param({"exp": "tomorrow"}, id="until some day"),
    pytest.param({"nbf": 3600}, id="not yet"),
    pytest.param({"iat": 3600}, id="of tomorrow"),
    pytest.param({"iat": None}, id="of no time"),
    pytest.param({"sub": None}, id="of nobody"),
    pytest.param({"key": STRANGE_KEY}, id="another key of that name"),
    pytest.param({"header": {"kid": "two"}}, id="no key of theirs"),
    pytest.param({"header": {"kid": "shared"}}, id="a name that is no key"),
]


def from_now(changes: dict[str, Any]) -> dict[str, Any]:
    """Return changes with times in place of seconds from now."""
    now = int(time.time())
    return {
        name: now + value if isinstance(value, int) else value for name, value in changes.items()
    }


@pytest.mark.parametrize("changes", GOOD)
async def test_a_token_of_the_issuer_is_trusted(
    issuer: Issuer, server: OpenIdConnect, changes: dict[str, Any]
) -> None:
    principal = await server.bearer(issuer.token(roles=["auditor"], **from_now(changes)))

    assert principal == Principal(subject="x", grants=frozenset({Grant(Role.AUDITOR)}))


@pytest.mark.parametrize("changes", BAD)
async def test_a_token_that_is_not_in_order_is_refused(
    issuer: Issuer, server: OpenIdConnect, changes: dict[str, Any]
) -> None:
    token = issuer.token(roles=["auditor"], **from_now(changes))

    with pytest.raises(RefusedError):
        await server.bearer(token)


def _text(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def test_a_signature_that_anybody_could_make_is_none(
    issuer: Issuer, server: OpenIdConnect
) -> None:
    claims = issuer.claims(roles=["auditor"])
    unsigned = f"{_text({'alg': 'none', 'kid': 'one'})}.{_text(claims)}."
    # The public key taken for a secret, and the secret that was published.
    head = f"{_text({'alg': 'HS256', 'kid': 'one'})}.{_text(claims)}"
    mac = hmac.digest(KEY.as_pem(private=False), head.encode(), "sha256")
    by_public = f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    shared = OctKey.import_key(
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}
    )
    by_shared = jwt.encode({"alg": "HS256", "kid": "shared"}, claims, shared)
    inside = jwt.encode(
        {"alg": "RS256", "jwk": STRANGE_KEY.as_dict(private=False)}, claims, STRANGE_KEY
    )

    for token in (unsigned, by_public, by_shared, inside, "", ".", "..", "a.b.c", "\ud800"):
        with pytest.raises(RefusedError):
            await server.bearer(token)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"issuer": "https://evil.example"}, id="calls itself another"),
        pytest.param({"jwks_uri": None}, id="has no keys"),
        pytest.param({"jwks_uri": "http://127.0.0.1:9/"}, id="keys that are away"),
    ],
)
async def test_a_server_that_is_not_in_order_opens_nothing(
    issuer: Issuer, server: OpenIdConnect, changes: dict[str, Any]
) -> None:
    issuer.told.update(changes)

    with pytest.raises(ServerUnavailableError):
        await server.bearer(issuer.token(roles=["auditor"]))


@pytest.mark.parametrize("keys", [[], [None], [{"kty": "RSA"}], [{"kty": "RSA", "n": 5}], ["x"]])
async def test_keys_that_cannot_be_read_open_nothing(
    issuer: Issuer, server: OpenIdConnect, keys: list[Any]
) -> None:
    issuer.keys[:] = keys

    with pytest.raises(ServerUnavailableError):
        await server.bearer(issuer.token(roles=["auditor"]))


PERSON_CLAIMS = {"aud": "cabinet", "roles": ["auditor"]}


@pytest.mark.parametrize(
    ("changes", "is_let_in"),
    [
        pytest.param({}, True, id="in order"),
        pytest.param({"aud": ["cabinet"]}, True, id="one of a list"),
        pytest.param({"azp": "cabinet"}, True, id="given to us"),
        pytest.param({"aud": ["cabinet", "x"], "azp": "cabinet"}, True, id="for two, given to us"),
        pytest.param({"aud": ["cabinet", "x"]}, False, id="for two, given to who knows whom"),
        pytest.param({"azp": "x"}, False, id="given to another program"),
        pytest.param({"aud": AUDIENCE}, False, id="for machines"),
        pytest.param({"nonce": "x"}, False, id="of another log-in"),
        pytest.param({"nonce": None}, False, id="of no log-in"),
        pytest.param({"iat": -590}, True, id="nearly old"),
        pytest.param({"iat": -610}, False, id="old"),
        pytest.param({"key": STRANGE_KEY}, False, id="another key of that name"),
    ],
)
async def test_an_identity_token_is_for_us_and_for_this_log_in(
    issuer: Issuer, server: OpenIdConnect, changes: dict[str, Any], is_let_in: bool
) -> None:
    attempt = Attempt.new()
    claims = PERSON_CLAIMS | {"nonce": attempt.nonce} | from_now(changes)
    issuer.given["id_token"] = issuer.token(**claims)
    answer = {"state": attempt.state, "code": "c"}

    if is_let_in:
        principal = await server.person(attempt, answer)
        assert principal.grants == {Grant(Role.AUDITOR)}
    else:
        with pytest.raises(RefusedError):
            await server.person(attempt, answer)


@pytest.mark.parametrize("given", [{}, {"id_token": None}, {"access_token": "x"}])
async def test_a_server_that_gives_no_identity_token_lets_nobody_in(
    issuer: Issuer, server: OpenIdConnect, given: dict[str, Any]
) -> None:
    attempt = Attempt.new()
    issuer.given.update(given)

    with pytest.raises(ServerUnavailableError):
        await server.person(attempt, {"state": attempt.state, "code": "c"})


# --- settings ----------------------------------------------------------------------------------

WHOLE = {
    "PFDO_OIDC_ISSUER": "https://login.example",
    "PFDO_OIDC_CLIENT_ID": "cabinet",
    "PFDO_OIDC_CLIENT_SECRET": "s" * 16,
    "PFDO_OIDC_AUDIENCE": "https://cabinet.example/api",
    "PFDO_OIDC_SESSION_KEY": "k" * 32,
    "PFDO_PUBLIC_URL": "https://cabinet.example",
}


def read(environment: dict[str, str]) -> Any:
    """Return the log-in of an environment, as a process reads it."""
    return load_log_in(load_settings({}, environment), environment)


def test_a_whole_log_in_is_read_and_none_is_none() -> None:
    log_in = read(WHOLE | {"PFDO_OIDC_ROLES_CLAIM": "groups"})

    assert log_in.issuer == "https://login.example"
    assert log_in.names.roles == "groups"
    assert log_in.names.scopes[Role.PAYER] == "payer_code"
    assert read({}) is None
    assert read({"PFDO_PUBLIC_URL": "https://cabinet.example"}) is None


@pytest.mark.parametrize("missing", WHOLE)
def test_half_a_log_in_stops_the_start_and_says_what_is_missing(missing: str) -> None:
    half = {name: value for name, value in WHOLE.items() if name != missing}

    with pytest.raises(SettingError, match=f"{missing}.* is missing: .*or none of them"):
        read(half)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"PFDO_OIDC_ISSUER": "http://login.example"}, "ISSUER.*https", id="plain"),
        pytest.param({"PFDO_PUBLIC_URL": "http://cabinet.example"}, "PUBLIC_URL.*https", id="us"),
        pytest.param({"PFDO_OIDC_ISSUER": "login.example"}, "PFDO_OIDC_ISSUER", id="no address"),
        pytest.param({"PFDO_OIDC_AUDIENCE": "cabinet"}, "AUDIENCE is the client id", id="same"),
        pytest.param({"PFDO_OIDC_CLIENT_SECRET": "s"}, "CLIENT_SECRET", id="short secret"),
        pytest.param({"PFDO_OIDC_SESSION_KEY": "k" * 31}, "SESSION_KEY", id="short key"),
        pytest.param({"PFDO_OIDC_ISUER": "x"}, "did you mean PFDO_OIDC_ISSUER", id="a slip"),
        pytest.param({"PFDO_OIDC_SESSION_KEY_FILE": "/nowhere"}, "cannot be read", id="no file"),
    ],
)
def test_a_wrong_log_in_stops_the_start_with_a_remedy(changes: dict[str, str], told: str) -> None:
    with pytest.raises(SettingError, match=told) as error:
        read(WHOLE | changes)

    assert "s" * 16 not in str(error.value)
    assert "k" * 31 not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "listens_at", "is_alone"),
    [
        pytest.param({"FORWARDED_ALLOW_IPS": ""}, "0.0.0.0", True, id="nobody is named"),
        pytest.param({"FORWARDED_ALLOW_IPS": "10.0.0.1"}, "0.0.0.0", False, id="one is named"),
        pytest.param({}, "0.0.0.0", True, id="it may come from elsewhere"),
        pytest.param({}, "127.0.0.1", False, id="it comes from this machine, which is trusted"),
        pytest.param(
            {"PFDO_OIDC_ISSUER": "", "FORWARDED_ALLOW_IPS": ""}, "0.0.0.0", False, id="no log-in"
        ),
    ],
)
async def test_a_log_in_before_which_no_proxy_is_trusted_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    changes: dict[str, str],
    listens_at: str,
    is_alone: bool,
) -> None:
    # What tests are told by the environment is no setting.
    for name in [name for name in os.environ if name.startswith("PFDO_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    for name, value in (WHOLE | changes).items():
        monkeypatch.setenv(name, value)
    settings = load_settings({"data": tmp_path, "http_host": listens_at})

    found = {each["what"]: each["ok"] for each in await examine(settings)}

    assert trusts_no_proxy(settings) is is_alone
    assert ("proxy before the log-in" in found) is is_alone


@pytest.mark.parametrize(
    ("tokens", "is_told"),
    [
        pytest.param({}, False, id="nobody is let into the vault"),
        pytest.param({"vault_token": "t" * 40}, True, id="all by one token"),
        pytest.param(
            {"vault_token": "t" * 40, "vault_senders_token": "s" * 40}, False, id="each by its own"
        ),
    ],
)
async def test_senders_without_a_token_of_their_own_are_noticed(
    tmp_path: Path, tokens: dict[str, str], *, is_told: bool
) -> None:
    from services.cabinet.app import create_app
    from streaming.host import Host
    from streaming.installation import open_installation
    from streaming.telemetry import Telemetry

    settings = load_settings({"data": tmp_path, "sandbox": True, **tokens}, {})
    with structlog.testing.capture_logs() as told:
        async with open_installation(settings) as installation:
            app = await create_app(
                installation, Host(installation.bus, {}, Telemetry()), Telemetry(), settings, {}
            )

    access: Access = app.state.access
    assert (access.vault_token, access.senders_token) == (
        tokens.get("vault_token"),
        tokens.get("vault_senders_token"),
    )
    remedies = [each["remedy"] for each in told if each["event"].startswith("senders have no")]
    assert ["PFDO_VAULT_SENDERS_TOKEN" in remedy for remedy in remedies] == [True] * is_told
    assert "t" * 40 not in str(told)


async def test_a_process_with_half_a_log_in_does_not_start(tmp_path: Path) -> None:
    from services.cabinet.app import create_app
    from streaming.host import Host
    from streaming.installation import open_installation
    from streaming.telemetry import Telemetry

    settings = Settings(data=tmp_path, sandbox=True)
    half = {"PFDO_OIDC_ISSUER": "https://login.example"}
    async with open_installation(settings) as installation:
        host = Host(installation.bus, {}, Telemetry())
        with pytest.raises(SettingError, match="PFDO_OIDC_CLIENT_ID is missing"):
            await create_app(installation, host, Telemetry(), settings, half)


async def test_with_a_log_in_the_sandbox_has_no_invented_people_and_the_api_takes_tokens(
    tmp_path: Path, issuer: Issuer
) -> None:
    from services.cabinet.app import create_app
    from streaming.host import Host
    from streaming.installation import open_installation
    from streaming.telemetry import Telemetry

    (tmp_path / "secret").write_text("s" * 40)
    (tmp_path / "key").write_text("k" * 40)
    settings = Settings(data=tmp_path, sandbox=True, public_url="http://127.0.0.1:8038")
    environment = {
        "PFDO_OIDC_ISSUER": issuer.url,
        "PFDO_OIDC_CLIENT_ID": "cabinet",
        "PFDO_OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
        "PFDO_OIDC_AUDIENCE": AUDIENCE,
        "PFDO_OIDC_SESSION_KEY_FILE": str(tmp_path / "key"),
    }
    async with open_installation(settings) as installation:
        host = Host(installation.bus, {}, Telemetry())
        app = await create_app(installation, host, Telemetry(), settings, environment)
        async with (
            serving(app, "127.0.0.1", 0) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
        ):
            picked = await client.post("/login/sandbox", data={"as": "auditor:"})
            door = await client.get("/login")
            path = "/api/v1/export"
            without = await client.get(path)
            token = issuer.token(roles=["auditor"])
            allowed = await client.get(path, headers={"authorization": f"Bearer {token}"})
            # A session lies in the cabinet's Redis; it is found there by each page.
            access = app.state.access
            session = await access.sessions.begin(MOTHER)
            cookie = {"cookie": f"{access.cookie}={session}"}
            page = await client.get("/families/guardian-99999", headers=cookie)

    assert isinstance(access.sessions.store, RedisSessions)
    assert picked.status_code == 404
    assert "/login/start" in door.text
    assert (without.status_code, allowed.status_code) == (401, 200)
    # Whose session it is was found; nobody keeps read models here, so nobody knows what is there.
    assert page.status_code == 503


def test_a_visitor_of_an_open_api_proved_nothing() -> None:
    local = Visitor(principal=Principal(grants=frozenset({Grant(Role.LOCAL)})))

    assert not local.is_known
    assert Visitor(principal=MOTHER).is_known
