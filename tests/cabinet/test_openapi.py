"""What OpenAPI tells is true: schemathesis asks all it allows, and what it does not."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth

from services.cabinet.access.oidc import OpenIdConnect
from services.cabinet.access.recognition import Access
from services.cabinet.access.sessions import MemorySessions, Sessions
from services.cabinet.api.openapi import PATH
from services.cabinet.app import serving
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import Journals
from tests.cabinet.test_vault import SENDERS_TOKEN, TOKEN, vault_in
from tests.support.issuer import Issuer


async def told_journals() -> Journals:
    """Return a cabinet that knows the whole story."""
    journals = await Journals().start()
    await story.tell_all(journals)
    await journals.follow()
    return journals


CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20200901,
        "generation": {"max-examples": 12, "deterministic": True, "database": "none"},
        "operations": [
            {
                # An event that its schema allows may come from no source, or name another subject
                # than its data: between fields JSON Schema says nothing.
                "include-operation-id": "events_api_v1_events_post",
                # A fraction is refused wherever it stands, also in a field that nobody knows.
                # A batch of too many is refused by 413, which is not among the usual refusals.
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ["202", "400", "422"]},
                    "negative_data_rejection": {"expected-statuses": ["400", "413", "415", "422"]},
                },
            }
        ],
    }
)
APP = app_of(asyncio.run(told_journals()))
SCHEMA = schemathesis.openapi.from_asgi(PATH, APP, config=CONFIG)


@SCHEMA.parametrize()
def test_each_answer_is_one_that_openapi_tells(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()


ISSUER = "https://id.example"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def with_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cabinet with a vault, served: its connections belong to one event loop."""
    served = threading.Event()
    told: dict[str, Any] = {}

    async def serve(directory: Path) -> None:
        access = Access.new(Sessions(MemorySessions(), b"k" * 32), sandbox=False, vault_token=TOKEN)
        app = app_of(await told_journals(), vault=vault_in(directory), access=access, sandbox=False)
        ended = told["ended"] = asyncio.Event()
        told["loop"] = asyncio.get_running_loop()
        async with serving(app, "127.0.0.1", 0) as told["port"]:
            served.set()
            await ended.wait()

    directory = tmp_path_factory.mktemp("vault")
    thread = threading.Thread(target=asyncio.run, args=(serve(directory),))
    thread.start()
    assert served.wait(30)
    yield schemathesis.openapi.from_url(f"http://127.0.0.1:{told['port']}{PATH}", config=CONFIG)
    told["loop"].call_soon_threadsafe(told["ended"].set)
    thread.join()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_so_it_is_for_who_has_the_vaults_token(with_vault: Any, mode: GenerationMode) -> None:
    asked = set()
    for found in with_vault.get_all_operations():
        operation = found.ok()
        if "/vault/" not in operation.path:
            continue

        @settings(max_examples=40, derandomize=True, database=None, deadline=None)
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case[Any]) -> None:
            # That check asks without the token and means with it; test_access asks without.
            case.call_and_validate(headers=BEARER, excluded_checks=[ignored_auth])

        ask()
        asked.add(operation.label)

    assert len(asked) == 5


@pytest.mark.parametrize(
    ("token", "senders_token"),
    [(None, None), (TOKEN, None), (TOKEN, SENDERS_TOKEN)],
    ids=["no vault token", "vault token", "one of the senders too"],
)
@pytest.mark.parametrize(
    "server", [None, Issuer(url="https://id.example")], ids=["no log-in", "log-in"]
)
async def test_it_tells_how_one_proves_who_one_is(
    journals: Journals, server: Issuer | None, token: str | None, senders_token: str | None
) -> None:
    """Also: nothing is asked for that this installation does not take."""
    access = Access.new(
        Sessions(MemorySessions(), b"k" * 32),
        sandbox=False,
        server=None if server is None else OpenIdConnect(server.log_in()),
        vault_token=token,
        senders_token=senders_token,
    )
    async with client_of(app_of(journals, sandbox=False, access=access), auth=None) as client:
        told = (await client.get(PATH)).json()

    by_name = {
        "accessToken": server is not None,
        "vaultToken": token is not None,
        "vaultSendersToken": senders_token is not None,
    }
    taken = {name for name, is_taken in by_name.items() if is_taken}
    assert set(told["components"].get("securitySchemes", {})) == taken
    persons = told["paths"]["/api/v1/vault/persons/{id}"]["get"]["security"]
    assert {name for way in persons for name in way} == taken
    entered = told["paths"]["/api/v1/vault/persons/{id}"]["put"]["security"]
    assert {name for way in entered for name in way} == taken - {"vaultSendersToken"}
    events = told["paths"]["/api/v1/events"]["post"]["security"]
    assert {name for way in events for name in way} == taken - {"vaultToken", "vaultSendersToken"}
    assert told["paths"][PATH]["get"]["security"] == []
