"""Addresses from the cabinet's vault: the real one, served, with a record of each look."""

from pathlib import Path

import httpx
import pytest

from services.cabinet.vault.vault import Vault
from services.notifications.senders.addresses import (
    Address,
    AddressesAwayError,
    VaultAddresses,
)
from tests.cabinet import story
from tests.cabinet.test_vault import (
    BEARER,
    BODY,
    CHILD,
    PATH,
    SENDERS_TOKEN,
    TOKEN,
    browser,
    served,
)

GUARDIAN = "guardian-00001"


async def test_the_vault_says_where_a_person_is_and_keeps_the_look(tmp_path: Path) -> None:
    async with served(tmp_path, sandbox=False, token=TOKEN, senders_token=SENDERS_TOKEN) as client:
        await client.put(PATH, content=BODY, headers=BEARER)
        book = VaultAddresses("http://cabinet/", SENDERS_TOKEN, client)

        found = await book.find(CHILD)
        record = (await client.get(f"{PATH}/looks", headers=BEARER)).json()

    assert found == Address(email="nobody@example.invalid", phone="+70000000000")
    last = record["looks"][-1]
    assert (last["deed"], last["by"], last["why"]) == ("read", "machine/senders", "notification")


async def test_senders_that_have_the_navigators_token_still_find_people(tmp_path: Path) -> None:
    async with served(tmp_path, sandbox=False, token=TOKEN) as client:
        await client.put(PATH, content=BODY, headers=BEARER)

        found = await VaultAddresses("http://cabinet", TOKEN, client).find(CHILD)

    assert found == Address(email="nobody@example.invalid", phone="+70000000000")


async def test_who_is_not_known_has_no_address(tmp_path: Path) -> None:
    async with served(tmp_path, sandbox=False, token=TOKEN, senders_token=SENDERS_TOKEN) as client:
        assert await VaultAddresses("http://cabinet", SENDERS_TOKEN, client).find(GUARDIAN) is None


async def test_a_parent_turns_a_browser_on_and_senders_find_it_until_it_is_gone(
    tmp_path: Path,
) -> None:
    path, page = f"/api/v1/vault/persons/{story.GUARDIAN}", f"/families/{story.GUARDIAN}/push"
    said = browser(1).model_dump() | {"expirationTime": None}
    async with served(tmp_path, sandbox=True, token=TOKEN, senders_token=SENDERS_TOKEN) as client:
        book = VaultAddresses("http://cabinet", SENDERS_TOKEN, client)
        refused = await client.post(page, json=said)
        await client.put(path, content=BODY, headers=BEARER)
        wrong = await client.post(page, json=said | {"endpoint": "http://127.0.0.1/"})
        taken = await client.post(page, json=said)
        on = await book.find(story.GUARDIAN)
        await book.drop_browser(story.GUARDIAN, browser(1).endpoint)
        gone = await book.find(story.GUARDIAN)
        await client.post(page, json=said)
        await client.post(f"{page}/off", json=said)
        off = await book.find(story.GUARDIAN)

    assert [each.status_code for each in (refused, wrong, taken)] == [404, 422, 204]
    assert "127.0.0.1" not in wrong.text
    assert on is not None
    assert [each.model_dump() for each in on.push] == [browser(1).model_dump()]
    assert gone == off == Address(email="nobody@example.invalid", phone="+70000000000")


async def test_a_wrong_token_is_not_taken_for_no_address(tmp_path: Path) -> None:
    async with served(tmp_path, sandbox=False, token=TOKEN, senders_token=SENDERS_TOKEN) as client:
        with pytest.raises(AddressesAwayError):
            await VaultAddresses("http://cabinet", "another", client).find(CHILD)


async def test_a_vault_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.cabinet.vault.store import VaultUnavailableError

    async def away(*_: object) -> None:
        raise VaultUnavailableError("away")

    monkeypatch.setattr(Vault, "read", away)
    async with served(tmp_path, sandbox=False, token=TOKEN, senders_token=SENDERS_TOKEN) as client:
        with pytest.raises(AddressesAwayError):
            await VaultAddresses("http://cabinet", SENDERS_TOKEN, client).find(CHILD)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx.Response(404, text="<html>"), id="no problem document"),
        pytest.param(httpx.Response(404, json={"detail": "There is no vault here"}), id="no vault"),
        pytest.param(httpx.Response(200, json={"email": 1}), id="another form"),
        pytest.param(httpx.Response(200, json=[]), id="no object"),
    ],
)
async def test_an_answer_that_is_none_is_waited_out_and_not_quoted(answer: httpx.Response) -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))

    with pytest.raises(AddressesAwayError) as raised:
        await VaultAddresses("http://cabinet", "token-1", client).find(CHILD)

    assert "token-1" not in repr(VaultAddresses("http://cabinet", "token-1", client))
    assert len(str(raised.value)) < 60
