"""Where there is no Navigator: a guardian says where messages reach him; the vault alone knows."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from services.cabinet.pages import contacts_routes
from services.cabinet.vault.looks import Deed
from services.cabinet.vault.person import Person
from services.cabinet.vault.store import VaultStore, VaultUnavailableError
from services.cabinet.vault.vault import Reader, Vault
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.forms import beside, forms_of, typed
from tests.cabinet.journals import Journals
from tests.cabinet.test_clubs import FAMILY, FORM
from tests.cabinet.test_vault import PERSON, browser, open_vault

CONTACTS = f"{FAMILY}/contacts"
SENDER = Reader(by="machine", why="notification")


def contacts(**changes: str) -> str:
    """Return the form of a guardian."""
    return urlencode(
        {
            "family-name": "Кедрова",
            "given-name": "Анна",
            "patronymic": "Ильинична",
            "email": "anna@people.example",
            "phone": "8 (900) 123-45-67",
        }
        | {name.replace("_", "-"): value for name, value in changes.items()}
    )


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[Vault]:
    """An empty vault."""
    async with open_vault(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(journals: Journals, vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a cabinet that stands in for the Navigator."""
    async with client_of(app_of(journals, vault=vault, stand_in=True)) as opened:
        yield opened


async def test_what_a_guardian_enters_is_where_messages_go(
    client: httpx.AsyncClient, vault: Vault
) -> None:
    answer = await client.post(CONTACTS, content=contacts(), headers=FORM)
    page = (await client.get(answer.headers["location"])).text

    known = (await vault.read([story.GUARDIAN], SENDER))[story.GUARDIAN]
    assert (known.email, known.phones) == ("anna@people.example", ("+79001234567",))
    assert known.full_name == "Кедрова Анна Ильинична"
    assert "Сохранено." in page
    assert 'value="+7 900 123-45-67"' in page


async def test_the_page_leads_nowhere_that_is_not_there_yet(client: httpx.AsyncClient) -> None:
    family = "/families/guardian-new"

    answer = await client.post(f"{family}/contacts", content=contacts(), headers=FORM)
    page = (await client.get(answer.headers["location"])).text
    links = set(re.findall(rf'href="({family}/[^"]+)"', page))
    answers = {link: (await client.get(link)).status_code for link in links}

    assert answers == {f"{family}/children/new": 200}


async def test_nothing_of_it_goes_to_the_bus(journals: Journals, client: httpx.AsyncClient) -> None:
    bus: Any = journals.bus

    await client.post(CONTACTS, content=contacts(), headers=FORM)

    topics = [f"{name}.events.v1" for name in journals.sources.by_name]
    records = [
        record
        for topic in topics
        for number in range(journals.partitions)
        for record in bus.log.log(topic, number).records
    ]
    assert records == []


async def test_looks_and_changes_are_on_record_and_the_family_reads_them(
    client: httpx.AsyncClient, vault: Vault
) -> None:
    await client.post(CONTACTS, content=contacts(), headers=FORM)
    await client.get(CONTACTS)

    await client.post(CONTACTS, content=contacts(email="new@people.example"), headers=FORM)
    await client.post(CONTACTS, content=contacts(email="new@people.example"), headers=FORM)

    looks = await vault.looks(story.GUARDIAN)
    told = [(look.deed, look.by, look.why) for look in looks.looks]
    mine = (story.GUARDIAN, "contacts")
    # The last form says nothing new.
    assert told == [(Deed.WRITTEN, *mine), (Deed.READ, *mine), (Deed.WRITTEN, *mine)]
    assert looks.is_whole
    assert "телефон изменены" in (await client.get(f"{FAMILY}/looks")).text


async def test_what_the_form_says_nothing_of_stays(client: httpx.AsyncClient, vault: Vault) -> None:
    await vault.put(story.GUARDIAN, PERSON, SENDER)
    await vault.add_browser(story.GUARDIAN, browser(1), SENDER)

    await client.post(CONTACTS, content=contacts(email="", phone=""), headers=FORM)

    known = (await vault.read([story.GUARDIAN], SENDER))[story.GUARDIAN]
    assert (known.email, known.phones) == (None, ())
    assert known.addresses == PERSON.addresses
    assert known.push == (browser(1),)


async def test_the_vault_tells_the_senders_over_http(journals: Journals, vault: Vault) -> None:
    async with client_of(app_of(journals, vault=vault, stand_in=True)) as client:
        await client.post(CONTACTS, content=contacts(), headers=FORM)
        path = f"/api/v1/vault/persons/{story.GUARDIAN}"
        answer = await client.get(path, params={"why": "notification"})

    assert answer.json()["email"] == "anna@people.example"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        pytest.param("+7 900 123-45-67", ("+79001234567",), id="with its country"),
        pytest.param("89001234567", ("+79001234567",), id="as it is dialled"),
        pytest.param("+7\u00a0(900)\u2013123\u201445\u201067", ("+79001234567",), id="any dashes"),
        pytest.param("+49 151 23456789", ("+4915123456789",), id="another country"),
        pytest.param("", (), id="none"),
    ],
)
async def test_a_phone_is_understood_however_it_is_written(
    client: httpx.AsyncClient, vault: Vault, written: str, kept: tuple[str, ...]
) -> None:
    await client.post(CONTACTS, content=contacts(phone=written), headers=FORM)

    assert (await vault.read([story.GUARDIAN], SENDER))[story.GUARDIAN].phones == kept


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(contacts(email="anna"), "адрес почты", id="no address"),
        pytest.param(contacts(email="анна@почта.рф"), "латинские буквы", id="not in ASCII"),
        pytest.param(contacts(phone="123"), "Проверьте телефон", id="no number"),
        pytest.param(contacts(phone="9001234567"), "Проверьте телефон", id="without its country"),
        pytest.param(contacts(given_name=" "), "фамилию и имя", id="no name"),
        pytest.param("&".join(f"a{n}=1" for n in range(99)), "не читается", id="too many fields"),
    ],
)
async def test_what_is_wrong_is_kept_nowhere(
    client: httpx.AsyncClient,
    vault: Vault,
    body: str,
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer = await client.post(CONTACTS, content=body, headers=FORM)
    anew = await client.get(CONTACTS)

    assert answer.status_code == 422
    assert said in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "Кедрова" not in anew.text
    assert "Кедрова" not in "".join(capfd.readouterr())
    assert await vault.read([story.GUARDIAN], SENDER) == {}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        pytest.param("email", "anna", "Проверьте адрес почты", id="no address"),
        pytest.param("phone", "123", "Проверьте телефон", id="no number"),
        pytest.param("family-name", "<Кедрова>", "Напишите фамилию", id="no family name"),
        pytest.param("given-name", " ", "Напишите фамилию и имя", id="no name"),
        pytest.param("patronymic", "<>", "Напишите отчество", id="no patronymic"),
    ],
)
async def test_what_was_typed_stands_in_the_form_with_what_is_wrong_beside_its_field(
    client: httpx.AsyncClient, field: str, value: str, said: str
) -> None:
    body = contacts(**{field: value})

    answer = await client.post(CONTACTS, content=body, headers=FORM)

    (form,) = forms_of(answer.text, CONTACTS)
    name, told = beside(answer.text)
    assert answer.status_code == 422
    assert form == typed(body)
    assert (name, told.partition(said)[0]) == (field, "")


async def test_while_the_vault_is_away_nothing_is_shown_that_could_be_saved_over_it(
    client: httpx.AsyncClient, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault.put(story.GUARDIAN, Person(family_name="А", given_name="Б"), SENDER)

    async def away(*_: Any, **__: Any) -> Any:
        raise VaultUnavailableError("gone")

    monkeypatch.setattr(VaultStore, "load", away)
    page = await client.get(CONTACTS)
    answer = await client.post(CONTACTS, content=contacts(), headers=FORM)

    assert [page.status_code, answer.status_code] == [503, 503]
    assert "<form class" not in page.text


async def test_without_a_vault_or_with_a_navigator_there_is_no_such_page(
    journals: Journals, vault: Vault
) -> None:
    async with client_of(app_of(journals, stand_in=True)) as client:
        without = [
            await client.get(CONTACTS),
            await client.post(CONTACTS, content=contacts(), headers=FORM),
        ]
    async with client_of(app_of(journals, vault=vault)) as client:
        elsewhere = await client.get(CONTACTS)
        preferences = (await client.get(f"{FAMILY}/preferences")).text

    assert [each.status_code for each in (*without, elsewhere)] == [404, 404, 404]
    assert "указали в Навигаторе" in preferences


async def test_who_sends_form_after_form_is_asked_to_wait(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post(CONTACTS, content="", headers=FORM)
        for _ in range(contacts_routes.FORMS_A_MINUTE + 1)
    ]

    assert answers[-1].status_code == 429
