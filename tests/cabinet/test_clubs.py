"""Where there is no Navigator: a child, a group, an application; and what a place would cost."""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sources import Sources, load_sources
from contracts.vocabulary import Kopecks
from services.billing.domain.shares import Course as BillingCourse
from services.billing.domain.shares import shares
from services.cabinet import app as cabinet_app
from services.cabinet import sending
from services.cabinet.app import make_app
from services.cabinet.club_queries import ClubQueries
from services.cabinet.offer import Course, offer, span_of
from services.cabinet.pages import clubs_routes
from services.cabinet.pages.clubs import GROUPS_SHOWN_MAX, Wanted, clubs_page
from services.cabinet.projections import cabinet
from services.cabinet.region import Region
from services.cabinet.vault.vault import Reader, Vault
from services.enrollment.domain import dates
from streaming.errors import BusUnavailableError, SettingError
from streaming.follower import Follower
from streaming.host import Host
from streaming.memory_store import MemoryStore
from streaming.settings import load_settings
from streaming.telemetry import Telemetry
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.forms import beside, forms_of, typed
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals
from tests.cabinet.test_vault import open_vault
from tests.cabinet.test_with_services import enrolled_world
from tests.support.world import World, day, event

FAMILY = f"/families/{story.GUARDIAN}"
CLUBS = f"{FAMILY}/clubs"
CHESS = f"{CLUBS}/{PAYER}/grp-001"
FORM = {"content-type": "application/x-www-form-urlencoded"}
TOKEN = "0123456789abcdef0123456789abcdef"
CONSENTS = ["application", "terms", "personal-data"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No services run beside the page: there is nothing to wait for."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)


@pytest.fixture
async def journals() -> Journals:
    """A cabinet that knows the whole story, and that the payer pays its provider."""
    told = await Journals().start()
    await story.tell_all(told)
    frame = {
        "provider_id": story.PROVIDER,
        "period": "2020",
        "state": "signed",
        "limit_kopecks": None,
        "revision": 1,
    }
    await told.noted("enrollment", "payers.frame-agreement-set", frame)
    await told.follow()
    return told


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


async def sent(journals: Journals, source: str = "families") -> list[dict[str, Any]]:
    """Return the events that pages sent as a source."""
    bus: Any = journals.bus
    return [
        json.loads(record.value)
        for number in range(journals.partitions)
        for record in bus.log.log(f"{source}.events.v1", number).records
    ]


def child(**changes: Any) -> str:
    """Return the form that enters a child."""
    fields = {
        "token": TOKEN,
        "family-name": "Кедрова",
        "given-name": "Ника",
        "patronymic": "",
        "birth-date": "2012-05-06",
        "payer": PAYER,
    } | changes
    return urlencode({k: v for k, v in fields.items() if v is not None}, doseq=True)


def application(share: int = 0, **changes: Any) -> str:
    """Return the form of an application."""
    fields = {"token": TOKEN, "share": share, "consent": CONSENTS} | changes
    return urlencode({k: v for k, v in fields.items() if v is not None}, doseq=True)


# --- a child -----------------------------------------------------------------------------------


async def test_what_was_sent_while_nothing_could_be_taken_is_taken_when_it_is_sent_again(
    journals: Journals, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(events: object) -> None:
        raise BusUnavailableError("kafka:9092")

    with monkeypatch.context() as without:
        without.setattr(journals.bus, "publish", away)
        answer = await client.post(f"{FAMILY}/children", content=child(), headers=FORM)
    # What a browser does with a page that answered a form, when it is opened anew.
    again = await client.post(f"{FAMILY}/children", content=child(), headers=FORM)
    once_more = await client.post(f"{FAMILY}/children", content=child(), headers=FORM)

    assert answer.status_code == 503
    assert "согласитесь отправить ещё раз" in answer.text
    assert (again.status_code, once_more.status_code) == (303, 303)
    assert again.headers["location"].partition("&child=")[2]
    assert len({each["id"] for each in await sent(journals)}) == 1


async def test_a_childs_name_goes_to_the_vault_and_its_id_alone_to_the_bus(
    journals: Journals, vault: Vault, client: httpx.AsyncClient
) -> None:
    answer = await client.post(f"{FAMILY}/children", content=child(), headers=FORM)

    (told,) = await sent(journals)
    child_id = told["subject"]
    assert answer.headers["location"].endswith(f"&child={child_id}")
    assert (told["source"], told["type"]) == ("/families", "navigator.child-registered.v1")
    assert told["partitionkey"] == PAYER
    assert told["data"] == {
        "child_id": child_id,
        "birth_date": "2012-05-06",
        "guardian_ids": [story.GUARDIAN],
        "benefits": [],
        "revision": 1,
    }
    assert "Кедрова" not in json.dumps(told, ensure_ascii=False)
    known = await vault.read([child_id], Reader(by="x", why="support"))
    assert known[child_id].name == "Кедрова Ника"


BENEFITS = {f"b{number:02d}": f"Льгота {number}" for number in range(1, 8)}


@pytest.mark.parametrize(
    ("claimed", "told"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["b02", "b01", "b02"], ["b01", "b02"], id="two, one of them twice"),
        pytest.param(["b99"], None, id="one that nobody asked for"),
        pytest.param(sorted(BENEFITS)[:5], sorted(BENEFITS)[:5], id="five"),
        pytest.param(sorted(BENEFITS)[:6], None, id="six"),
    ],
)
async def test_benefits_a_family_claims_go_to_the_bus_as_codes(
    journals: Journals, vault: Vault, claimed: list[str], told: list[str] | None
) -> None:
    app = app_of(journals, vault=vault, stand_in=True, region=Region(benefits=BENEFITS))
    async with client_of(app) as client:
        page = await client.get(f"{FAMILY}/children/new")
        body = child() + "".join(f"&benefit={code}" for code in claimed)
        answer = await client.post(f"{FAMILY}/children", content=body, headers=FORM)

    assert "Льгота 7" in page.text
    assert answer.status_code == (422 if told is None else 303)
    found = [each["data"]["benefits"] for each in await sent(journals)]
    assert found == ([] if told is None else [told])
    assert "Льгота" not in json.dumps(await sent(journals), ensure_ascii=False)


async def test_where_the_region_names_no_benefits_none_are_asked_for(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get(f"{FAMILY}/children/new")
    answer = await client.post(f"{FAMILY}/children", content=child(benefit="b01"), headers=FORM)

    assert "Льготы" not in page.text
    assert answer.status_code == 422


async def test_a_form_that_arrives_twice_is_one_child(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    for _ in range(2):
        await client.post(f"{FAMILY}/children", content=child(), headers=FORM)
    first, second = await sent(journals)
    await journals.noted("enrollment", "navigator.child-registered", first["data"])
    await journals.follow()

    again = await client.post(f"{FAMILY}/children", content=child(), headers=FORM)

    assert again.status_code == 303
    assert {first["id"], second["id"]} == {each["id"] for each in await sent(journals)}


async def test_nobody_can_enter_a_child_under_an_id_of_another_family(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await client.post(f"{FAMILY}/children", content=child(), headers=FORM)
    other = "/families/guardian-00900/children"
    await client.post(other, content=child(child_id=story.ELDER), headers=FORM)

    ids = {each["subject"] for each in await sent(journals)}

    assert len(ids) == 2
    assert story.ELDER not in ids


async def test_a_child_that_is_there_is_not_entered_again_by_another_form(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await client.post(f"{FAMILY}/children", content=child(), headers=FORM)
    (told,) = await sent(journals)
    await journals.noted("enrollment", "navigator.child-registered", told["data"])
    await journals.follow()

    answer = await client.post(f"{FAMILY}/children", content=child(token="f" * 32), headers=FORM)

    assert beside(answer.text)[0] == "given-name"
    assert beside(answer.text)[1].startswith("Этот ребёнок уже записан.")
    assert len(await sent(journals)) == 1


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        pytest.param({"given-name": " "}, "given-name", "Напишите фамилию и имя", id="no name"),
        pytest.param({"family-name": "<b>"}, "family-name", "Напишите фамилию", id="no letters"),
        pytest.param({"patronymic": "<"}, "patronymic", "Напишите отчество", id="no patronymic"),
        pytest.param({"birth-date": "2002-09-14"}, "birth-date", "до 18 лет", id="grown up"),
        pytest.param({"birth-date": "вчера"}, "birth-date", "Укажите день", id="no day"),
        pytest.param({"payer": "99999999"}, "payer", "Выберите муниципалитет", id="no payer"),
        pytest.param(
            {"benefit": sorted(BENEFITS)[:6]}, "benefit", "не больше пяти", id="six benefits"
        ),
    ],
)
async def test_what_was_typed_of_a_child_stands_in_the_form_with_what_is_wrong_beside_its_field(
    journals: Journals, vault: Vault, changes: dict[str, Any], field: str, said: str
) -> None:
    fields = {"patronymic": "Ильинична", "benefit": ["b02", "b01"]} | changes
    body = child(**fields)
    app = app_of(journals, vault=vault, stand_in=True, region=Region(benefits=BENEFITS))
    async with client_of(app) as client:
        answer = await client.post(f"{FAMILY}/children", content=body, headers=FORM)

    (form,) = forms_of(answer.text, f"{FAMILY}/children")
    name, told = beside(answer.text)
    assert answer.status_code == 422
    # What is not on the list of municipalities cannot stand in it.
    lost = {"payer"} if field == "payer" else set()
    assert {each: set(form[each]) for each in form.keys() - lost} == {
        each: set(values) for each, values in typed(body).items() if each not in lost
    }
    assert (name, said in told) == (field, True)
    assert await sent(journals) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(child(**{"given-name": " "}), id="no name"),
        pytest.param(child(**{"family-name": "<b>"}), id="no letters"),
        pytest.param(child(**{"birth-date": "вчера"}), id="no day"),
        pytest.param(child(**{"birth-date": "2020-09-15"}), id="not born yet"),
        pytest.param(child(**{"birth-date": "2002-09-14"}), id="grown up"),
        pytest.param(child(payer="99999999"), id="a municipality that is none"),
        pytest.param(child(token="short"), id="no token"),
        pytest.param("&".join(f"a{n}=1" for n in range(200)), id="too many fields"),
    ],
)
async def test_what_is_no_child_is_not_taken_and_the_page_says_why(
    journals: Journals, client: httpx.AsyncClient, body: str
) -> None:
    answer = await client.post(f"{FAMILY}/children", content=body, headers=FORM)

    assert answer.status_code == 422
    assert "data-problem" in answer.text
    assert 'name="birth-date"' in answer.text or f'href="{FAMILY}/children/new">' in answer.text
    assert await sent(journals) == []


async def test_a_day_before_the_birthday_one_is_still_a_child(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    body = child(**{"birth-date": "2002-09-15"})

    assert (await client.post(f"{FAMILY}/children", content=body, headers=FORM)).status_code == 303


async def test_a_new_family_begins_with_its_first_child(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    start = await client.get("/families/guardian-new")
    page = await client.get(start.headers["location"])

    assert start.headers["location"] == "/families/guardian-new/children/new"
    assert 'name="birth-date"' in page.text


async def test_without_a_vault_nobody_is_entered(journals: Journals) -> None:
    async with client_of(app_of(journals, stand_in=True)) as client:
        page = await client.get(f"{FAMILY}/children/new")
        answer = await client.post(f"{FAMILY}/children", content=child(), headers=FORM)

    assert "имена хранить негде" in page.text
    assert answer.status_code == 404
    assert await sent(journals) == []


async def test_who_sends_form_after_form_is_asked_to_wait(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    answers = [
        await client.post(f"{FAMILY}/children", content=child(token=f"{n:032x}"), headers=FORM)
        for n in range(clubs_routes.FORMS_A_MINUTE + 1)
    ]

    assert answers[-1].status_code == 429
    assert len(await sent(journals)) == clubs_routes.FORMS_A_MINUTE


# --- the catalogue -----------------------------------------------------------------------------


async def test_the_catalogue_shows_groups_of_the_childs_age_with_free_places(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get(f"{CLUBS}?child={story.YOUNGER}")).text

    assert "Шахматы для начинающих" in page
    assert "Дом творчества «Кедр»" in page
    assert "Свободно 11 из 12" in page
    assert "Мест нет, 1\u00a0ребёнок ждёт" in page
    # From ten years on; the child is seven.
    assert "Акварель" not in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({}, {"grp-000", "grp-001", "grp-002", "grp-003"}, id="all"),
        pytest.param({"direction": "sport"}, {"grp-002"}, id="a direction"),
        pytest.param({"title": "ШАХ"}, {"grp-001"}, id="a part of the title, in any case"),
        pytest.param({"title": "кедр"}, {"grp-000", "grp-001", "grp-002", "grp-003"}, id="whose"),
        pytest.param({"free": True}, {"grp-000", "grp-001", "grp-003"}, id="with free places"),
        pytest.param({"title": "балет"}, set(), id="nothing"),
    ],
)
async def test_groups_are_found_by(
    journals: Journals, asked: dict[str, Any], found: set[str]
) -> None:
    queries = ClubQueries(journals.store, journals.partitions)
    groups = await queries.groups_in(PAYER)

    shown = clubs_page(groups, Wanted(home=PAYER, **asked), None, "2020-09-14")

    assert {each["id"] for each in shown["groups"]} == found


async def test_each_municipality_with_groups_is_offered_once(journals: Journals) -> None:
    for home in (OTHER_PAYER, "25702000"):
        published = story.group("grp-060", "Танцы")
        await journals.noted("enrollment", "navigator.group-published", published, payer=home)
    await journals.follow()

    homes = await ClubQueries(journals.store, journals.partitions).homes()

    assert homes == sorted([PAYER, OTHER_PAYER, "25702000"])


async def test_a_group_that_ended_is_not_offered_and_one_without_places_comes_last(
    journals: Journals,
) -> None:
    groups = await ClubQueries(journals.store, journals.partitions).groups_in(PAYER)

    during = clubs_page(groups, Wanted(home=PAYER), None, "2021-05-30")
    after = clubs_page(groups, Wanted(home=PAYER), None, "2021-05-31")

    assert during["groups"][-1]["id"] == "grp-002"
    assert after["groups"] == []


async def test_however_many_groups_there_are_the_page_finds_them_or_says_that_it_did_not(
    journals: Journals, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cabinet.parts.PAGE_MEMBERS", 2)
    queries = ClubQueries(journals.store, journals.partitions)
    every = await queries.groups_in(PAYER)
    whole = (await client.get(CLUBS)).text
    for module in ("club_queries", "pages.clubs_routes"):
        monkeypatch.setattr(f"services.cabinet.{module}.GROUPS_READ_MAX", 3)

    some = await queries.groups_in(PAYER)
    cut = (await client.get(CLUBS)).text

    assert [each["group_id"] for each in every] == ["grp-000", "grp-001", "grp-002", "grp-003"]
    assert some == every[:3]
    assert "показаны не все" in cut
    assert "показаны не все" not in whole


async def test_a_child_that_is_not_there_yet_is_awaited_and_nobody_elses_is_shown(
    client: httpx.AsyncClient,
) -> None:
    since = int(time.time())
    new = (await client.get(f"{CLUBS}?child=child-none&since={since}")).text
    others = (await client.get(f"{CLUBS}?child=child-00900&since={since}")).text
    late = (await client.get(f"{CLUBS}?child=child-none&since={since - 121}")).text
    mistyped = (await client.get(f"{CLUBS}?child=child-none")).text

    assert "Записываем ребёнка." in new
    assert f"child=child-none&amp;since={since}" in new
    assert new.replace("child-none", "child-00900") == others
    for page in (late, mistyped):
        assert "Не получилось записать." in page
        assert "Записываем ребёнка." not in page


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param(0, "Отправляем заявление.", id="just now"),
        pytest.param(121, "Не получилось отправить заявление.", id="long ago"),
    ],
)
async def test_an_application_is_awaited_so_long_and_then_may_be_sent_anew(
    client: httpx.AsyncClient, seconds: int, said: str
) -> None:
    since = int(time.time()) - seconds

    page = (await client.get(f"{CHESS}?child={story.YOUNGER}&sent=enr-none&since={since}")).text

    assert said in page
    assert ("Подать заявление" in page) is bool(seconds)


async def test_who_may_find_the_places_gone_asks_to_be_queued_then(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get(f"{CHESS}?child={story.YOUNGER}")).text

    assert "Если места закончатся, поставьте нас в лист ожидания" in page


async def test_a_child_of_two_payers_applies_as_the_one_that_was_chosen(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await story.register_child(
        journals, story.YOUNGER, "2013-05-02", [story.GUARDIAN], payer=OTHER_PAYER
    )
    await journals.follow()
    other = f"{story.YOUNGER}.{OTHER_PAYER}"

    page = (await client.get(CLUBS, params={"child": other})).text
    club = (await client.get(CHESS, params={"child": other})).text
    asked, agreed = [], application(10_000_000, consent=[*CONSENTS, "parent-share"])
    for payer in (OTHER_PAYER, PAYER):
        query = {"child": f"{story.YOUNGER}.{payer}"}
        asked.append(await client.post(CHESS, params=query, content=agreed, headers=FORM))

    assert f'<option value="{story.YOUNGER}.{PAYER}">' in page
    assert f'<option value="{other}" selected>' in page
    assert f"?child={other}" in page
    assert f'href="{CLUBS}?child={other}"' in club
    # The other payer has no period: what it says of money is not what the first one would.
    assert "условия изменились" in asked[0].text
    assert "sent=enr-" in asked[1].headers["location"]


def test_each_page_of_the_catalogue_is_reached_and_one_after_the_last_is_the_last() -> None:
    day_, end = "2020-09-01", "2021-05-31"
    found = [
        {
            "home": PAYER,
            "group_id": f"grp-{number:05}",
            "title": "Шахматы",
            "provider": "Кедр",
            "direction": "sport",
            "age_min": 7,
            "age_max": 7 + number % 2,
            "starts_on": day_,
            "ends_on": end,
            "lessons_total": 32,
            "price_kopecks": 1,
            "is_open": True,
            "is_suspended": False,
            "free": 1,
            "capacity": 2,
            "waiting": 0,
        }
        for number in range(2 * GROUPS_SHOWN_MAX + 1)
    ]

    last = clubs_page(found, Wanted(home=PAYER, page=99), None, day_)
    of_eight = clubs_page(found, Wanted(home=PAYER, age="8"), None, day_)

    assert (last["page"], last["pages"], len(last["groups"])) == (2, 3, 1)
    assert last["groups"][0]["ages"] == "7\u00a0лет"
    assert of_eight["found"].startswith(str(GROUPS_SHOWN_MAX))


async def test_the_catalogue_leads_back_and_on(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cabinet.pages.clubs.GROUPS_SHOWN_MAX", 1)

    second = await client.get(CLUBS, params={"page": 1, "age": 8, "home": PAYER})
    far = await client.get(CLUBS, params={"page": 667})

    assert "Страница 2 из" in second.text
    assert "Назад" in second.text
    assert far.status_code == 200
    assert "Попробуйте другое направление" not in far.text


# --- an application ----------------------------------------------------------------------------


async def test_an_application_carries_what_the_parent_read_and_agreed_to(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    page = (await client.get(f"{CLUBS}/{PAYER}/grp-002?child={story.ELDER}")).text
    share = int(re.findall(r'name="share" value="(\d+)"', page)[0])

    answer = await client.post(
        f"{CLUBS}/{PAYER}/grp-002?child={story.ELDER}",
        content=application(share, consent=[*CONSENTS, "parent-share"], wait="yes"),
        headers=FORM,
    )

    (told,) = await sent(journals)
    assert answer.headers["location"].endswith(f"sent={told['subject']}")
    assert told["type"] == "navigator.application-submitted.v1"
    assert told["data"] | {"enrollment_id": ""} == {
        "enrollment_id": "",
        "child_id": story.ELDER,
        "guardian_id": story.GUARDIAN,
        "group_id": "grp-002",
        "group_home": PAYER,
        "parent_share_max_kopecks": share,
        "consents": [*CONSENTS, "parent-share"],
        "waitlist_ok": True,
    }
    waits = (await client.get(answer.headers["location"])).text
    assert "Отправляем заявление." in waits


async def test_who_has_applied_reads_the_state_and_applies_no_second_time(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    page = (await client.get(f"{CHESS}?child={story.ELDER}")).text
    answer = await client.post(
        f"{CHESS}?child={story.ELDER}", content=application(10**12), headers=FORM
    )

    assert "Место держится" in page
    assert "Подать заявление" not in page
    assert answer.status_code == 422
    agreed = application(10**12, consent=[*CONSENTS, "parent-share"])
    again = await client.post(f"{CHESS}?child={story.ELDER}", content=agreed, headers=FORM)
    assert again.status_code == 303
    assert await sent(journals) == []


async def test_who_leaves_ahead_applies_anew_after_the_last_day(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    where = f"{CLUBS}/{PAYER}/grp-000?child={story.ELDER}"
    agreed = application(10**12, consent=[*CONSENTS, "parent-share"])
    await story.end(journals, "2020-09-15")
    await journals.follow()

    before = (await client.get(where)).text
    await client.post(where, content=agreed, headers=FORM)
    sent_before = await sent(journals)
    journals.day = "2020-09-16"
    await story.register_child(journals, "child-00901", "2012-01-01", ["guardian-00900"])
    await journals.follow()
    after = (await client.get(where)).text
    await client.post(where, content=agreed, headers=FORM)

    assert "Договор до 15\u00a0сентября" in before
    assert "Подать заявление" not in before
    assert sent_before == []
    assert "Договор закончен" in after
    assert "Подать заявление" in after
    assert len(await sent(journals)) == 1


@pytest.mark.parametrize("wait", ["yes", None])
async def test_who_read_a_lower_share_reads_the_new_one_first(
    journals: Journals, client: httpx.AsyncClient, wait: str | None
) -> None:
    where = f"{CLUBS}/{PAYER}/grp-002?child={story.ELDER}"
    lower = application(1, consent=[*CONSENTS, "parent-share"], wait=wait)

    answer = await client.post(where, content=lower, headers=FORM)

    (form,) = forms_of(answer.text, where)
    assert answer.status_code == 422
    assert "условия изменились" in answer.text
    assert (form.get("wait"), "consent" in form) == (wait and [wait], False)
    assert await sent(journals) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(application(consent=["application", "terms"]), id="without a consent"),
        pytest.param(application(100), id="without a consent to the share"),
        pytest.param(application(share=-1), id="no share"),
        pytest.param(application(10**13), id="a share out of reach"),
        pytest.param(application(token="x" * 32), id="no token"),
    ],
)
async def test_what_is_no_application_is_not_sent(
    journals: Journals, client: httpx.AsyncClient, body: str
) -> None:
    where = f"{CLUBS}/{PAYER}/grp-002?child={story.ELDER}"

    answer = await client.post(where, content=body, headers=FORM)

    assert answer.status_code == 422
    # The form again, or the way to a new one.
    assert f'action="{where}"' in answer.text or f'href="{where}">Открыть' in answer.text
    assert await sent(journals) == []


async def test_who_forgot_a_consent_finds_the_others_ticked(client: httpx.AsyncClient) -> None:
    where = f"{CLUBS}/{PAYER}/grp-002?child={story.ELDER}"
    (before,) = forms_of((await client.get(where)).text, where)
    ticked = {"consent": ["application", "parent-share"], "wait": None}
    body = application(int(before["share"][0]), **ticked)

    answer = await client.post(where, content=body, headers=FORM)

    (form,) = forms_of(answer.text, where)
    assert answer.status_code == 422
    assert form == typed(body)
    assert beside(answer.text)[0] == "consent"
    assert 'value="terms" required aria-invalid="true"' in answer.text
    assert "отметить все согласия" in beside(answer.text)[1]


async def test_who_agreed_to_another_share_agrees_anew(client: httpx.AsyncClient) -> None:
    where = f"{CLUBS}/{PAYER}/grp-002?child={story.ELDER}"
    body = application(1, consent=["application", "parent-share"])

    answer = await client.post(where, content=body, headers=FORM)

    (form,) = forms_of(answer.text, where)
    assert "условия изменились" in answer.text
    assert form["share"] != ["1"]
    assert "consent" not in form


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{CHESS}?child=child-00900", id="a child of others"),
        pytest.param(f"{CHESS}?child=child-none", id="no child"),
        pytest.param(f"{CLUBS}/{PAYER}/grp-999?child={story.ELDER}", id="no group"),
        pytest.param(f"{CLUBS}/{OTHER_PAYER}/grp-001?child={story.ELDER}", id="elsewhere"),
    ],
)
async def test_nobody_applies_for_what_is_not_there_or_not_theirs(
    journals: Journals, client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.post(path, content=application(), headers=FORM)

    assert answer.status_code == 404
    assert await sent(journals) == []


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        pytest.param({"registry": "general"}, "сертификатом не платят", id="registry"),
        pytest.param({"enrollment_open": False}, "Запись в эту группу закрыта", id="closed"),
        pytest.param({"provider_id": "prov-009"}, "не принимает детей", id="suspended"),
        pytest.param({"age_min": 12}, "другого возраста", id="age"),
        pytest.param({"starts_on": "2021-02-01"}, "уже не будет", id="no period"),
    ],
)
async def test_where_there_can_be_no_place_the_page_says_why(
    journals: Journals, client: httpx.AsyncClient, changes: dict[str, Any], seen: str
) -> None:
    other = {"provider_id": "prov-009", "title": "Клуб", "state": "suspended", "revision": 1}
    await journals.noted("enrollment", "navigator.provider-registered", other)
    published = story.group("grp-050", "Хор", **changes)
    await journals.noted("enrollment", "navigator.group-published", published)
    await journals.follow()

    page = (await client.get(f"{CLUBS}/{PAYER}/grp-050?child={story.ELDER}")).text

    assert seen in page
    assert "Подать заявление" not in page


async def test_where_nothing_stands_in_there_are_no_such_pages(journals: Journals) -> None:
    async with client_of(app_of(journals)) as client:
        answers = [await client.get(path) for path in (CLUBS, CHESS, f"{FAMILY}/children/new")]
        family = await client.get(FAMILY)
        nobody = await client.get("/families/guardian-new")

    assert [each.status_code for each in answers] == [404, 404, 404]
    assert "Найти кружок" not in family.text
    assert nobody.status_code == 404


@pytest.mark.parametrize(
    ("changes", "sources", "expected"),
    [
        pytest.param({"sandbox": True}, load_sources(), True, id="in the sandbox"),
        pytest.param({"sandbox": True, "stand_in": False}, load_sources(), False, id="not wanted"),
        pytest.param({}, load_sources(), False, id="elsewhere"),
        pytest.param({"stand_in": True}, load_sources(), True, id="wanted"),
        pytest.param({"sandbox": True}, Sources(by_name={}), False, id="without the source"),
    ],
)
def test_it_stands_in_where_it_is_wanted(
    changes: dict[str, Any], sources: Sources, expected: bool
) -> None:
    settings = load_settings(changes, {})

    assert cabinet_app._stands_in(settings, sources) is expected


def test_a_wish_that_no_source_carries_stops_the_start() -> None:
    with pytest.raises(SettingError, match="PFDO_SOURCES"):
        cabinet_app._stands_in(load_settings({"stand_in": True}, {}), Sources(by_name={}))


# --- what it costs -----------------------------------------------------------------------------

DAYS = st.dates(date(2020, 1, 1), date(2021, 12, 31))
SUMS = st.integers(0, 5_000_000)


@given(DAYS, st.integers(0, 400), st.integers(1, 200), SUMS, SUMS, SUMS, DAYS, st.integers(0, 12))
def test_the_share_is_billings_and_stands_for_each_day_the_place_is_held(
    starts_on: date,
    length: int,
    lessons: int,
    price: int,
    normative: int,
    balance: int,
    today: date,
    held: int,
) -> None:
    course = Course(
        starts_on=starts_on,
        ends_on=starts_on + timedelta(days=length),
        lessons_total=lessons,
        price_kopecks=price,
        normative_kopecks=normative,
    )
    periods = {"2020": (date(2020, 1, 1), date(2020, 12, 31))}
    span = span_of(course, periods, date(2010, 4, 17), today)
    if span is None:
        return
    counted = offer(course, span, balance, held)
    billing = BillingCourse(
        starts_on=course.starts_on,
        ends_on=course.ends_on,
        lessons_total=lessons,
        price_kopecks=Kopecks(price),
        normative_kopecks=Kopecks(normative),
    )

    first = shares(billing, span.starts_on, span.ends_on, Kopecks(balance))
    later = [
        shares(billing, span.starts_on + timedelta(days=n), span.ends_on, Kopecks(balance))
        for n in range(min(held, (span.ends_on - span.starts_on).days) + 1)
    ]

    assert counted.total_kopecks == first.total_kopecks
    assert counted.certificate_kopecks == first.certificate_share_kopecks
    assert counted.lessons == first.lessons
    assert counted.parent_kopecks == max(each.parent_share_kopecks for each in later)


@pytest.mark.parametrize(("held", "parent"), [(0, 1), (10, 2)])
def test_a_kopeck_that_rounding_adds_while_the_place_is_held_is_agreed_to(
    held: int, parent: int
) -> None:
    course = Course(
        starts_on=date(2020, 9, 1),
        ends_on=date(2021, 5, 31),
        lessons_total=72,
        price_kopecks=1_800_003,
        normative_kopecks=1_800_000,
    )
    periods = {"2020": (date(2020, 1, 1), date(2020, 12, 31))}
    span = span_of(course, periods, date(2010, 4, 17), date(2020, 8, 31))
    assert span is not None

    assert offer(course, span, 10_000_000, held).parent_kopecks == parent


@pytest.mark.parametrize("born", [date(2002, 12, 31), date(2004, 2, 29), date(2003, 1, 1)])
def test_an_agreement_ends_before_the_eighteenth_birthday_as_enrollment_has_it(born: date) -> None:
    course = Course(
        starts_on=date(2020, 9, 1),
        ends_on=date(2022, 5, 31),
        lessons_total=72,
        price_kopecks=1,
        normative_kopecks=1,
    )
    periods = {"all": (date(2020, 1, 1), date(2022, 12, 31))}

    span = span_of(course, periods, born, date(2020, 8, 31))

    assert span is not None
    assert span.ends_on == min(course.ends_on, dates.birthday(born, 18) - timedelta(days=1))


class Town:
    """A cabinet that stands in for the Navigator, beside the services that decide."""

    def __init__(self, world: World, vault: Vault, region: Region | None = None) -> None:
        self.world = world
        self.store = MemoryStore()
        host = Host(world.bus, {}, Telemetry())
        app = make_app(
            self.store,
            world.bus,
            load_sources(),
            host,
            Telemetry(),
            sandbox=True,
            vault=vault,
            stand_in=True,
            region=region,
        )
        self.client = client_of(app)
        self._followers = [
            Follower(cabinet, number, world.bus, self.store, Telemetry())
            for number in range(world.partitions)
        ]

    async def catch_up(self) -> None:
        """Let the services decide and the cabinet follow."""
        await self.world.settle()
        for follower in self._followers:
            await follower.take_over()
            while await follower.step(wait_seconds=0.0):
                pass

    async def publish(self, *events: dict[str, Any]) -> None:
        """Publish events of others, one after the other."""
        for each in events:
            await self.world.publish(each)
            await self.catch_up()


async def test_a_benefit_that_is_claimed_brings_the_category_and_the_page_foretells_its_sum(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(open_vault(tmp_path))
        town = Town(await enrolled_world(0), vault, region=Region(benefits=BENEFITS))
        other = story.group("grp-070", "Театр", auto_accept=True)
        special = story.category(category="special", nominal_kopecks=1_500_000)
        await town.publish(
            event("navigator.group-published", PAYER, "grp-070", other),
            event("payers.category-set", PAYER, "special", special),
        )
        family = "/families/guardian-00777"

        body = child(benefit="b01")
        entered = await town.client.post(f"{family}/children", content=body, headers=FORM)
        await town.catch_up()
        child_id = entered.headers["location"].rpartition("=")[2]
        where = f"{family}/clubs/{PAYER}/grp-070?child={child_id}"
        page = (await town.client.get(where)).text
        share = int(re.findall(r'name="share" value="(\d+)"', page)[0])
        consents = [*CONSENTS, "parent-share"] if share else CONSENTS
        body = application(share, consent=consents)
        await town.client.post(where, content=body, headers=FORM)
        await town.catch_up()

        issued = town.world.journal("certificates", "certificate-issued")[-1]["data"]
        assert (issued["category"], issued["nominal_kopecks"]) == ("special", 1_500_000)
        reserved = town.world.journal("billing", "funds-reserved")[-1]["data"]
        assert reserved["parent_share_kopecks"] == share
        assert reserved["certificate_share_kopecks"] > 0
        await town.client.aclose()


@pytest.mark.parametrize(
    ("price", "normative", "auto_accept", "accepted_on"),
    [
        # W1 and W3 of docs/rules.md, but for what the other group of the child holds already.
        pytest.param(600_000, 600_000, True, None, id="the certificate pays all"),
        pytest.param(2_100_000, 1_800_000, True, None, id="more than the balance"),
        pytest.param(700_001, 600_000, False, "2020-09-05", id="above the normative, days later"),
        pytest.param(700_001, 600_000, False, "2020-09-10", id="on the last day of the hold"),
    ],
)
async def test_from_the_first_form_to_the_agreement_nobody_pays_more_than_was_read(
    tmp_path: Path, price: int, normative: int, auto_accept: bool, accepted_on: str | None
) -> None:
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(open_vault(tmp_path))
        town = Town(await enrolled_world(0), vault)
        other = story.group(
            "grp-070",
            "Театр",
            price_kopecks=price,
            normative_kopecks=normative,
            auto_accept=auto_accept,
        )
        category = story.category(places_max=9, revision=2)
        await town.publish(
            event("navigator.group-published", PAYER, "grp-070", other),
            event("payers.category-set", PAYER, "general", category),
        )
        family = "/families/guardian-00777"

        entered = await town.client.post(f"{family}/children", content=child(), headers=FORM)
        await town.catch_up()
        child_id = entered.headers["location"].rpartition("=")[2]
        where = f"{family}/clubs/{PAYER}/grp-070?child={child_id}"
        page = (await town.client.get(where)).text
        share = int(re.findall(r'name="share" value="(\d+)"', page)[0])
        consents = [*CONSENTS, "parent-share"] if share else CONSENTS
        body = application(share, consent=consents)
        applied = await town.client.post(where, content=body, headers=FORM)
        await town.catch_up()
        state = (await town.client.get(applied.headers["location"])).text
        if accepted_on is not None:
            assert "Место держится" in state
            enrollment_id = applied.headers["location"].rpartition("=")[2]
            accepted = {"enrollment_id": enrollment_id}
            await town.publish(
                day(accepted_on),
                event("navigator.application-accepted", PAYER, enrollment_id, accepted),
            )
        page = (await town.client.get(applied.headers["location"])).text

        assert "Договор действует" in page
        paid = town.world.journal("billing", "funds-reserved")[-1]["data"]["parent_share_kopecks"]
        # One day or more that pass leave fewer lessons to pay for.
        assert paid == share if accepted_on is None else paid <= share
        assert town.world.journal("billing", "funds-refused") == []
        await town.client.aclose()
