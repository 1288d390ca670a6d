"""The log-in against a real OpenID Connect server: people by code and PKCE, machines by tokens."""

import re
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from playwright.async_api import async_playwright

from services.cabinet.access import oidc
from services.cabinet.access.oidc import OpenIdConnect
from services.cabinet.access.recognition import Access
from services.cabinet.access.sessions import MemorySessions, Sessions
from services.cabinet.access.settings import load_log_in
from services.cabinet.app import serving
from streaming.settings import Settings
from tests.cabinet import story
from tests.cabinet.clients import app_of, csrf_of
from tests.cabinet.journals import PAYER, Journals
from tests.cabinet.test_browser import ARGUMENTS, CHROMIUM
from tests.support.oidc import (
    CLIENT_SECRET,
    Server,
    installed,
    running_server,
)
from tests.support.world import event

FAMILY = f"/families/{story.GUARDIAN}"
PEOPLE: dict[str, dict[str, Any]] = {
    "mother": {"roles": ["guardian"], "guardian_id": story.GUARDIAN},
    "teacher": {"roles": ["provider"], "provider_id": [story.PROVIDER]},
    "both": {
        "roles": ["guardian", "provider"],
        "guardian_id": story.GUARDIAN,
        "provider_id": story.PROVIDER,
    },
    "nobody": {},
    "half": {"roles": ["guardian"]},
    "machine": {"roles": ["source", "navigator", "local"], "source": "attendance"},
}
MACHINES: dict[str, dict[str, Any]] = {
    "journal": {"roles": ["source"], "source": "attendance"},
    "budget": {"roles": ["payer"], "payer_code": PAYER},
    "keeper": {"roles": ["navigator"]},
    "sly": {"roles": ["local"]},
    "plain": {},
}


LIKE_A_TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.AAAA"


@pytest.fixture(scope="module")
def server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """The real server."""
    assert pytestconfig.cache is not None
    with running_server(installed(pytestconfig.cache), PEOPLE, MACHINES) as running:
        yield running


def app_at(journals: Journals, server: Server, folder: Path, **changes: str) -> FastAPI:
    """Return the cabinet with the log-in of this server, by its settings."""
    settings = Settings(public_url=server.cabinet_url)
    log_in = load_log_in(settings, server.settings(folder) | changes)
    assert log_in is not None
    return app_of(
        journals,
        sandbox=False,
        access=Access.new(
            Sessions(MemorySessions(), log_in.session_key),
            sandbox=False,
            server=OpenIdConnect(log_in),
        ),
    )


def browser_at(server: Server) -> httpx.AsyncClient:
    """Return a client that keeps cookies as a browser does."""
    return httpx.AsyncClient(base_url=server.cabinet_url, auth=Cookies(), timeout=10)


class Cookies(httpx.Auth):
    """Keeps cookies of each host, also secure ones: on one machine browsers send them over http."""

    def __init__(self) -> None:
        self.of_host: dict[str, dict[str, str]] = {}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Send what is kept, keep what is set; what ends at once is forgotten."""
        kept = self.of_host.setdefault(request.url.host, {})
        if kept:
            request.headers["cookie"] = "; ".join(f"{name}={kept[name]}" for name in kept)
        answer = yield request
        for text in answer.headers.get_list("set-cookie"):
            (name, morsel), *_ = SimpleCookie(text).items()
            kept[name] = morsel.coded_value
            if morsel["max-age"] == "0" or "1970" in morsel["expires"]:
                del kept[name]


def session_of(client: httpx.AsyncClient) -> str:
    """Return the token of the session somebody has."""
    assert isinstance(client.auth, Cookies)
    return client.auth.of_host["127.0.0.1"]["__Host-pfdo"]


@asynccontextmanager
async def cabinet(
    journals: Journals, server: Server, folder: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the cabinet where the server sends people back to; yields somebody's browser."""
    async with (
        serving(app_at(journals, server, folder), "127.0.0.1", server.cabinet_port),
        browser_at(server) as client,
    ):
        yield client


async def to_the_server(client: httpx.AsyncClient, path: str = "/login/start") -> httpx.Response:
    """Begin to log in; return the server's page."""
    answer = await client.get(path)
    while answer.is_redirect:
        answer = await client.get(target(answer))
    assert "Log in" in answer.text
    return answer


def target(answer: httpx.Response) -> str:
    """Return where an answer sends a browser."""
    return str(answer.url.join(answer.headers["location"]))


async def back_from_the_server(client: httpx.AsyncClient, page: httpx.Response, who: str) -> str:
    """Say to the server who it is; return the address it sends the person back to."""
    answer = await client.post(page.url, data={"login": who})
    while "/login/back" not in target(answer):
        answer = await client.get(target(answer))
    return target(answer)


async def log_in(client: httpx.AsyncClient, who: str, then: str = "/") -> httpx.Response:
    """Log in; return what the cabinet answers."""
    page = await to_the_server(client, f"/login/start?next={then}")
    return await client.get(await back_from_the_server(client, page, who))


async def token_of(server: Server, machine: str, **more: str) -> str:
    """Return an access token that the server gives a machine."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{server.issuer}/token",
            data={"grant_type": "client_credentials"} | more,
            auth=(machine, CLIENT_SECRET),
        )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"authorization": f"Bearer {token}"}


# --- people ------------------------------------------------------------------------------------


async def test_a_mother_logs_in_sees_her_own_and_leaves(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        sent_away = await client.get(FAMILY)
        back = await log_in(client, "mother", FAMILY)
        own = await client.get(FAMILY)
        home = await client.get("/")
        other = await client.get("/families/guardian-00900")
        journal = await client.get(f"/journal/{story.PROVIDER}")
        copied = {"cookie": f"__Host-pfdo={session_of(client)}"}
        left = await client.post("/logout", data={"csrf": csrf_of(own.text)})
        after = await client.get(FAMILY)
        async with browser_at(server) as thief:
            stolen = await thief.get(FAMILY, headers=copied)

    assert sent_away.headers["location"] == f"/login?next=%2Ffamilies%2F{story.GUARDIAN}"
    assert (back.status_code, back.headers["location"]) == (303, FAMILY)
    assert own.status_code == 200
    assert "1\u00a0956,04\u00a0₽" in own.text
    assert home.headers["location"] == FAMILY
    assert (other.status_code, other.text) == (404, journal.text)
    assert left.status_code == after.status_code == 303
    # Whoever copied the cookie has nothing of it either.
    assert stolen.status_code == 303


async def test_the_session_is_kept_from_scripts_foreign_pages_and_plain_http(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        back = await log_in(client, "mother")

    (session,) = [
        each for each in back.headers.get_list("set-cookie") if each.startswith("__Host-pfdo=")
    ]
    told = {part.strip().lower() for part in session.split(";")[1:]}
    assert told == {"httponly", "secure", "samesite=lax", "path=/"}


async def test_each_log_in_is_a_new_session_and_ends_the_one_before(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        await log_in(client, "mother")
        first = session_of(client)
        await client.get(FAMILY)
        again = await client.get(f"/login/start?next={FAMILY}")
        # The server knows her still, and sends her back at once.
        while again.is_redirect and "__Host-pfdo=" not in again.headers.get("set-cookie", ""):
            again = await client.get(target(again))
        second = session_of(client)
        async with browser_at(server) as thief:
            stolen = await thief.get(FAMILY, headers={"cookie": f"__Host-pfdo={first}"})
        own = await client.get(FAMILY)

    assert first != second
    assert (stolen.status_code, own.status_code) == (303, 200)


async def test_who_is_more_than_one_finds_all_that_is_theirs(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        await log_in(client, "both")
        home = await client.get("/")
        pages = [await client.get(path) for path in (FAMILY, f"/journal/{story.PROVIDER}")]

    assert f'href="{FAMILY}"' in home.text
    assert f'href="/journal/{story.PROVIDER}"' in home.text
    assert [page.status_code for page in pages] == [200, 200]


@pytest.mark.parametrize("who", ["nobody", "half", "machine", "a stranger"])
async def test_who_has_no_role_of_a_person_is_not_let_in(
    journals: Journals, server: Server, tmp_path: Path, who: str
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        back = await log_in(client, who)
        after = await client.get(FAMILY)

    assert back.status_code == 403
    assert "Войти не получилось" in back.text
    assert "__Host-pfdo=" not in str(back.headers.get_list("set-cookie"))
    assert after.status_code == 303


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({}, 303, id="as it was sent"),
        pytest.param({"state": "x" * 43}, 403, id="another state"),
        pytest.param({"state": None}, 403, id="no state"),
        pytest.param({"code": "x" * 43}, 403, id="another code"),
        pytest.param({"code": None}, 403, id="no code"),
        pytest.param({"iss": "http://evil.example"}, 403, id="another server"),
        pytest.param({"iss": None}, 403, id="no server though it says so"),
    ],
)
async def test_an_answer_that_was_changed_lets_nobody_in(
    journals: Journals,
    server: Server,
    tmp_path: Path,
    change: dict[str, str | None],
    status: int,
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        page = await to_the_server(client)
        address = urlsplit(await back_from_the_server(client, page, "mother"))
        asked = {name: values[0] for name, values in parse_qs(address.query).items()} | change
        sent = {name: value for name, value in asked.items() if value is not None}
        back = await client.get("/login/back", params=sent)

    assert {"state", "code", "iss"} <= set(parse_qs(address.query))
    assert back.status_code == status


async def test_an_answer_is_for_the_browser_that_asked_and_once(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    async with cabinet(journals, server, tmp_path) as client, browser_at(server) as victim:
        address = await back_from_the_server(client, await to_the_server(client), "mother")
        # A log-in of somebody else, slipped to a victim who began one, or none.
        without = await victim.get(address)
        await to_the_server(victim)
        slipped = await victim.get(address)
        own = await client.get(address)
        again = await client.get(address)

    assert [each.status_code for each in (without, slipped, own, again)] == [403, 403, 303, 403]


async def test_a_code_is_of_no_use_without_the_verifier_of_who_asked(
    journals: Journals, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge = oidc.Attempt.new().challenge
    monkeypatch.setattr(oidc.Attempt, "challenge", property(lambda self: challenge))
    async with cabinet(journals, server, tmp_path) as client:
        back = await log_in(client, "mother")

    assert back.status_code == 403


async def test_a_token_of_another_log_in_is_refused(
    journals: Journals, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = oidc.OpenIdConnect.address

    async def with_another_nonce(self: OpenIdConnect, attempt: oidc.Attempt) -> str:
        return await asked(self, replace(attempt, nonce="another"))

    monkeypatch.setattr(oidc.OpenIdConnect, "address", with_another_nonce)
    async with cabinet(journals, server, tmp_path) as client:
        back = await log_in(client, "mother")

    assert back.status_code == 403


@pytest.mark.parametrize(
    "then",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1", "\t//evil"],
)
async def test_nobody_is_sent_elsewhere_after_the_log_in(
    journals: Journals, server: Server, tmp_path: Path, then: str
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        page = await client.get("/login", params={"next": then})
        start = re.search(r'href="(/login/start[^"]*)"', page.text)
        begun = await to_the_server(client, str(httpx.URL("/login/start", params={"next": then})))
        back = await client.get(await back_from_the_server(client, begun, "mother"))

    assert start is not None
    assert start[1] == "/login/start?next=/"
    assert back.headers["location"] == "/"


async def test_too_many_log_ins_are_put_off(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        answers = [await client.get("/login/start") for _ in range(31)]

    assert {answer.status_code for answer in answers[:30]} == {303}
    assert answers[30].status_code == 429
    assert 1 <= int(answers[30].headers["retry-after"]) <= 2
    assert "Слишком часто" in answers[30].text


async def test_a_server_that_is_away_is_told_kindly_and_found_again(
    journals: Journals, server: Server, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    away = replace(server, issuer="http://localhost:9")
    async with (
        serving(app_at(journals, away, tmp_path), "127.0.0.1", server.cabinet_port),
        browser_at(server) as client,
    ):
        page = await client.get("/login/start")
        answer = await client.get(f"/api/v1/payers/{PAYER}", headers=bearer(LIKE_A_TOKEN))

    assert page.status_code == answer.status_code == 503
    assert "Вход сейчас не работает" in page.text
    assert "localhost:9" not in page.text + answer.text


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")
@pytest.mark.parametrize("scripts", [True, False])
async def test_a_real_browser_goes_to_the_server_and_comes_back(
    journals: Journals, server: Server, tmp_path: Path, scripts: bool
) -> None:
    complaints: list[str] = []
    async with (
        serving(app_at(journals, server, tmp_path), "127.0.0.1", server.cabinet_port),
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        context = await browser.new_context(java_script_enabled=scripts)
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(f"{server.cabinet_url}{FAMILY}")
        await page.get_by_role("link", name="Войти").click()
        await page.wait_for_url(f"{server.issuer}/**")
        await page.get_by_label("login").fill("mother")
        await page.get_by_role("button").click()
        await page.wait_for_url(f"{server.cabinet_url}{FAMILY}")
        shown = await page.locator("main").inner_text()
        cookies = {each["name"]: each for each in await context.cookies(server.cabinet_url)}
        await page.get_by_role("button", name="Выйти").click()
        await page.get_by_role("heading", name="Вы вышли из кабинета").wait_for()
        await page.goto(f"{server.cabinet_url}{FAMILY}")
        after = await page.locator("main").inner_text()
        await page.goto(f"{server.cabinet_url}/logout")
        await page.get_by_role("link", name="Выйти и там").click()
        await page.get_by_role("button", name="Yes, sign me out").click()
        await page.wait_for_url(f"{server.cabinet_url}/")
        # Nobody comes in without saying to the server who it is.
        await page.get_by_role("link", name="Войти").click()
        await page.get_by_label("login").wait_for()

    assert "1\u00a0956,04\u00a0₽" in shown
    assert cookies["__Host-pfdo"]["httpOnly"]
    assert cookies["__Host-pfdo"]["secure"]
    assert cookies["__Host-pfdo"]["sameSite"] == "Lax"
    assert "Войдите" in after
    # The server has no icon.
    assert [each for each in complaints if "Failed to load resource" not in each] == []


# --- machines ----------------------------------------------------------------------------------


def mark(source: str = "attendance") -> dict[str, Any]:
    """Return a mark, said to come from a source."""
    data = story.lesson("2020-09-14", "present") | {"evidence": "journal"}
    return event("attendance.lesson-marked", PAYER, story.ROBOTS, data) | {"source": f"/{source}"}


async def test_a_machine_sends_for_its_own_source_alone(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    headers = {"content-type": "application/cloudevents+json"}
    async with cabinet(journals, server, tmp_path) as client:
        token = bearer(await token_of(server, "journal"))
        path = "/api/v1/events"
        own = await client.post(path, json=mark(), headers=headers | token)
        # Said to come from another source, and from one that is nowhere: no difference.
        others = await client.post(path, json=mark("navigator"), headers=headers | token)
        nobodys = await client.post(path, json=mark("nowhere"), headers=headers | token)
        without = await client.post(path, json=mark(), headers=headers)
        looked = await client.get(own.json()["events"][0]["status"], headers=token)
        record = await client.get(f"/api/v1/certificates/{story.ELDER}", headers=token)

    assert own.status_code == 202
    assert (others.status_code, others.json()) == (nobodys.status_code, nobodys.json())
    assert others.status_code == 422
    assert without.status_code == 401
    assert without.headers["www-authenticate"] == "Bearer"
    assert looked.status_code == 200
    assert record.status_code == 403


async def test_a_machine_reads_what_is_its_own_and_cannot_tell_what_others_have(
    journals: Journals, server: Server, tmp_path: Path
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        token = bearer(await token_of(server, "budget"))
        own = await client.get(f"/api/v1/certificates/{story.ELDER}", headers=token)
        others = await client.get(f"/api/v1/providers/{story.PROVIDER}", headers=token)
        nobodys = await client.get("/api/v1/providers/prov-404", headers=token)
        export = await client.get("/api/v1/export", headers=token)

    assert own.status_code == 200
    assert (others.status_code, others.content) == (404, nobodys.content)
    assert export.status_code == 403


@pytest.mark.parametrize("machine", ["sly", "plain"])
async def test_a_machine_without_a_role_of_ours_is_nobody(
    journals: Journals, server: Server, tmp_path: Path, machine: str
) -> None:
    async with cabinet(journals, server, tmp_path) as client:
        token = bearer(await token_of(server, machine))
        answer = await client.get(f"/api/v1/certificates/{story.ELDER}", headers=token)

    assert answer.status_code == 401


async def test_tokens_that_are_not_for_the_api_open_nothing(
    journals: Journals, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    exchanged = oidc.OpenIdConnect._exchanged

    async def remembered(self: OpenIdConnect, *more: Any) -> str:
        given.append(await exchanged(self, *more))
        return given[-1]

    monkeypatch.setattr(oidc.OpenIdConnect, "_exchanged", remembered)
    path = f"/api/v1/certificates/{story.ELDER}"
    async with cabinet(journals, server, tmp_path) as client:
        await log_in(client, "mother")
        good = await token_of(server, "budget")
        head, body, signature = good.split(".")
        bad = {
            "an identity token": given[0],
            "for another audience": await token_of(
                server, "budget", resource="https://other.example.invalid"
            ),
            "another signature": f"{head}.{body}.{signature[:-8]}AAAAAAAA",
            "another body": f"{head}.{body[:-4]}AAAA.{signature}",
            "no signature": f"eyJhbGciOiJub25lIn0.{body}.",
            "no token": "x",
            "very long": "x" * 20_000,
        }
        right = await client.get(path, headers=bearer(good))
        answers = {
            what: (await client.get(path, headers=bearer(token))).status_code
            for what, token in bad.items()
        }
        by_cookie = await client.get(path)

    assert right.status_code == 200
    assert answers == dict.fromkeys(bad, 401)
    assert by_cookie.status_code == 401


async def test_a_token_ends_and_new_keys_of_the_server_are_learned(
    journals: Journals, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    folder = installed(pytestconfig.cache)
    path = f"/api/v1/payers/{PAYER}"
    with running_server(folder, PEOPLE, MACHINES, token_seconds=300) as server:
        app = app_at(journals, server, tmp_path)
        connected = app.state.access.server
        now = connected._clock()
        connected._clock = lambda: now
        async with (
            serving(app, "127.0.0.1", server.cabinet_port),
            browser_at(server) as client,
        ):
            old = bearer(await token_of(server, "budget"))
            first = await client.get(path, headers=old)
            connected._clock = lambda: now + 300 + oidc.LEEWAY_SECONDS + 5
            ended = await client.get(path, headers=old)
    connected._clock = lambda: now
    with running_server(folder, PEOPLE, MACHINES, like=server):
        async with (
            serving(app, "127.0.0.1", server.cabinet_port),
            browser_at(server) as client,
        ):
            new = bearer(await token_of(server, "budget"))
            # Keys are not asked for at each token that somebody makes up.
            too_soon = await client.get(path, headers=new)
            connected._clock = lambda: now + oidc.KEYS_AGAIN_SECONDS + 1
            learned = await client.get(path, headers=new)
            former = await client.get(path, headers=old)

    assert [each.status_code for each in (first, ended)] == [200, 401]
    assert [each.status_code for each in (too_soon, learned, former)] == [401, 200, 401]
