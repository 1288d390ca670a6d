"""Where there is no Navigator: a family withdraws an application, or ends an agreement."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from contracts.sources import Sources
from services.cabinet import sending
from services.cabinet.pages import leaving_routes
from services.cabinet.pages.family import family_page
from services.cabinet.pages.leaving import leaving_page
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.forms import beside, forms_of, typed
from tests.cabinet.journals import PAYER, Journals
from tests.cabinet.test_clubs import FAMILY, FORM, Town, sent
from tests.cabinet.test_vault import open_vault
from tests.cabinet.test_with_services import CHILD, ENROLLMENT, enrolled_world
from tests.support.world import day, event

TODAY = "2020-09-14"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No services run beside the page: there is nothing to wait for."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)


@pytest.fixture
async def client(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a cabinet that stands in for the Navigator."""
    async with client_of(app_of(journals, stand_in=True)) as opened:
        yield opened


def page_of(enrollment_id: str, guardian_id: str = story.GUARDIAN) -> str:
    return f"/families/{guardian_id}/enrollments/{PAYER}/{enrollment_id}"


def form(way: str, last_day: str | None = None) -> str:
    """Return the form of giving up a place."""
    fields = {"way": way} | ({} if last_day is None else {"last-day": last_day})
    return urlencode(fields)


# --- what is read before -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enrollment_id", "seen"),
    [
        pytest.param(story.CHESS, ["Отозвать заявление", "Место освободится"], id="held"),
        pytest.param(
            story.CLIMBING, ["потеряете место в очереди", "ничего не списано"], id="waits"
        ),
        pytest.param(
            story.ROBOTS,
            ["Расторгнуть договор", "забронировано 7\u00a0541,10\u00a0₽", "Последний день занятий"],
            id="agreed",
        ),
    ],
)
async def test_a_family_reads_first_what_becomes_of_place_and_money(
    client: httpx.AsyncClient, enrollment_id: str, seen: list[str]
) -> None:
    page = (await client.get(page_of(enrollment_id))).text

    assert [text for text in seen if text not in page] == []


async def test_what_is_over_is_not_given_up(client: httpx.AsyncClient) -> None:
    page = (await client.get(page_of(story.PAINTING))).text

    assert "Отказ" in page
    assert "<form class" not in page


def agreement(**changes: Any) -> dict[str, Any]:
    """Return an agreement in force, as queries answer it."""
    return {
        "enrollment_id": "enr-1",
        "child_id": story.ELDER,
        "payer": PAYER,
        "state": "ACTIVE",
        "group_id": "grp-001",
        "title": "Шахматы",
        "provider_title": "Кедр",
        "guardian_id": story.GUARDIAN,
        "guardian_ids": (story.GUARDIAN, "guardian-00900"),
        "starts_on": "2020-09-01",
        "ends_on": "2020-12-31",
        "ended_on": None,
        "valid_until": "2020-12-31",
        "held_until": None,
        "waiting_position": None,
        "certificate_share_kopecks": 804_396,
        "parent_share_kopecks": 0,
        "reserved_kopecks": 754_110,
        "debit_basis": "ATTENDED_LESSONS",
        "text": None,
        "reason": None,
    } | changes


@pytest.mark.parametrize(
    ("changes", "seen", "asks_for_a_day"),
    [
        pytest.param({}, "когда сдадут последние отметки", True, id="by lessons"),
        pytest.param(
            {"debit_basis": "MONTHLY_CONTRACT"}, "месяц последнего дня", True, id="monthly"
        ),
        pytest.param({"starts_on": "2020-09-15"}, "вся бронь", False, id="not begun"),
        pytest.param(
            {"debit_basis": "MONTHLY_CONTRACT", "starts_on": "2020-09-15"},
            "месяц начала занятий",
            False,
            id="monthly, begins in this month",
        ),
        pytest.param(
            {"debit_basis": "MONTHLY_CONTRACT", "starts_on": "2020-10-01"},
            "вся бронь",
            False,
            id="monthly, begins in a later one",
        ),
        pytest.param({"certificate_share_kopecks": 0}, "не платили", True, id="own money"),
        pytest.param({"parent_share_kopecks": 5}, "доплачивали сами", True, id="a share"),
    ],
)
def test_money_is_told_as_billing_will_treat_it(
    changes: dict[str, Any], seen: str, asks_for_a_day: bool
) -> None:
    shown = leaving_page(agreement(**changes), story.GUARDIAN, TODAY)

    assert seen in " ".join(shown["money"])
    assert (shown["first_day"] == TODAY) is asks_for_a_day


def test_until_when_money_that_comes_back_is_spent_is_told() -> None:
    money = leaving_page(agreement(), story.GUARDIAN, TODAY)["money"]

    assert (
        "Вернувшиеся деньги можно потратить на другой кружок до 31\u00a0декабря 2020\u00a0года. "
        "Что вернётся позже или останется, уйдёт в бюджет муниципалитета."
    ) in money


def test_what_has_no_place_yet_frees_none() -> None:
    place = leaving_page(agreement(state="REGISTERED"), story.GUARDIAN, TODAY)["place"]

    assert place == "Заявление снимем с рассмотрения."


@pytest.mark.parametrize(
    ("starts_on", "seen"),
    [
        pytest.param("2020-09-01", "После последнего дня", id="begun"),
        pytest.param("2020-09-15", "после этого месяца", id="begins in this month"),
        pytest.param("2020-10-01", "место дадут, если оно ещё будет", id="begins in a later one"),
    ],
)
def test_a_place_paid_by_the_month_is_kept_to_the_month_s_end(starts_on: str, seen: str) -> None:
    by_month = agreement(debit_basis="MONTHLY_CONTRACT", starts_on=starts_on)

    assert seen in leaving_page(by_month, story.GUARDIAN, TODAY)["place"]


@pytest.mark.parametrize(
    ("state", "guardian_id", "way"),
    [
        pytest.param("REGISTERED", story.GUARDIAN, "withdraw", id="asked"),
        pytest.param("WAITLISTED", story.GUARDIAN, "withdraw", id="waits"),
        pytest.param("PLACE_HELD", story.GUARDIAN, "withdraw", id="held"),
        pytest.param("ENROLLED", story.GUARDIAN, "", id="money is being reserved"),
        pytest.param("ACTIVE", story.GUARDIAN, "terminate", id="agreed"),
        pytest.param("ENDED", story.GUARDIAN, "", id="over"),
        pytest.param("ACTIVE", "guardian-00900", "", id="the other parent's"),
    ],
)
def test_who_applied_may_give_up_what_goes_on(state: str, guardian_id: str, way: str) -> None:
    assert leaving_page(agreement(state=state), guardian_id, TODAY)["way"] == way


async def test_a_former_guardian_gives_up_nothing_and_those_there_are_may(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    now = ["guardian-00900", "guardian-00901"]
    await story.register_child(journals, story.ELDER, "2010-04-17", now)
    await journals.follow()
    body = form("terminate", "2020-10-15")

    seen = {each: await client.get(page_of(story.ROBOTS, each)) for each in (story.GUARDIAN, *now)}
    refused = await client.post(page_of(story.ROBOTS), content=body, headers=FORM)
    before = await sent(journals)
    await client.post(page_of(story.ROBOTS, now[1]), content=body, headers=FORM)
    family = (await client.get(f"/families/{now[1]}")).text

    assert [answer.status_code for answer in seen.values()] == [404, 200, 200]
    assert refused.status_code == 404
    assert before == []
    assert [each["data"]["enrollment_id"] for each in await sent(journals)] == [story.ROBOTS]
    assert page_of(story.ROBOTS, now[1]) in family


async def test_beside_who_applied_no_other_guardian_gives_up(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    other = "guardian-00900"
    await story.register_child(journals, story.ELDER, "2010-04-17", [story.GUARDIAN, other])
    await journals.follow()

    answers = [await client.get(page_of(story.ROBOTS, each)) for each in (story.GUARDIAN, other)]

    assert [answer.status_code for answer in answers] == [200, 404]


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        pytest.param("REFUSED", "withdrawn", "Заявление отозвано.", id="by the family"),
        pytest.param("REFUSED", "rejected_by_provider", "уже есть ответ", id="the provider first"),
        pytest.param("CANCELLED", "certificate_frozen", "не состоялось", id="no money"),
        pytest.param("ENDED", None, "Договор закончится 14\u00a0сентября", id="ended, by whomever"),
        pytest.param("ACTIVE", None, "", id="goes on"),
    ],
)
def test_what_came_of_it_is_told_as_it_was(state: str, reason: str | None, said: str) -> None:
    enrollment = agreement(state=state, reason=reason, ended_on="2020-09-14")

    over = leaving_page(enrollment, story.GUARDIAN, TODAY)["over"]

    assert said in over
    assert bool(over) is bool(said)


async def test_the_family_page_leads_there_where_the_cabinet_stands_in(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    here = (await client.get(FAMILY)).text
    async with client_of(app_of(journals)) as elsewhere:
        there = (await elsewhere.get(FAMILY)).text
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    offers = [each["leave"] for each in family_page(family)["children"][0]["enrollments"]]

    assert page_of(story.ROBOTS) in here
    assert "Расторгнуть" not in there
    assert sorted(offers) == ["Отозвать заявление", "Расторгнуть договор"]


async def test_where_the_source_may_not_say_so_nothing_is_given_up(journals: Journals) -> None:
    source = journals.sources.by_name["families"]
    before = ("navigator.child-registered.v1", "navigator.application-submitted.v1")
    by_name = {**journals.sources.by_name, "families": replace(source, sends=before)}
    journals.sources = Sources(by_name=by_name)
    async with client_of(app_of(journals, stand_in=True)) as client:
        family = (await client.get(FAMILY)).text
        answer = await client.get(page_of(story.ROBOTS))

    assert "Найти кружок" in family
    assert "Расторгнуть" not in family
    assert answer.status_code == 404


# --- what is sent ------------------------------------------------------------------------------


async def test_an_application_is_withdrawn_once_however_often_it_is_sent(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    for _ in range(2):
        answer = await client.post(page_of(story.CLIMBING), content=form("withdraw"), headers=FORM)
    first, second = await sent(journals)
    page = (await client.get(answer.headers["location"])).text

    assert first["id"] == second["id"]
    assert first["source"] == "/families"
    assert first["type"] == "navigator.application-withdrawn.v1"
    assert first["data"] == {"enrollment_id": story.CLIMBING}
    assert "Отправили." in page
    assert "<form class" not in page


async def test_an_agreement_ends_with_the_day_the_family_chose(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    body = form("terminate", "2020-10-15")

    await client.post(page_of(story.ROBOTS), content=body, headers=FORM)

    (told,) = await sent(journals)
    assert told["type"] == "navigator.enrollment-terminated.v1"
    assert told["partitionkey"] == PAYER
    assert told["data"] == {
        "enrollment_id": story.ROBOTS,
        "by": "guardian",
        "notice_on": "2020-10-15",
        "reason": "Решение законного представителя",
    }


@pytest.mark.parametrize(
    ("last_day", "status"),
    [
        pytest.param("2020-09-13", 422, id="yesterday"),
        pytest.param("2020-09-14", 303, id="today"),
        pytest.param("2020-12-31", 303, id="the last day there is"),
        pytest.param("2021-01-01", 422, id="after it"),
        pytest.param("завтра", 422, id="no day"),
    ],
)
async def test_the_last_day_lies_between_today_and_the_end(
    journals: Journals, client: httpx.AsyncClient, last_day: str, status: int
) -> None:
    body = form("terminate", last_day)

    answer = await client.post(page_of(story.ROBOTS), content=body, headers=FORM)

    assert answer.status_code == status
    assert len(await sent(journals)) == (status == 303)
    if status == 422:
        (again,) = forms_of(answer.text, page_of(story.ROBOTS))
        assert again == typed(body)
        assert beside(answer.text)[0] == "last-day"
        assert "последний день занятий" in beside(answer.text)[1].lower()


@pytest.mark.parametrize(
    ("enrollment_id", "body", "offered"),
    [
        pytest.param(story.ROBOTS, form("withdraw"), "Расторгнуть договор", id="an application"),
        pytest.param(story.CHESS, form("terminate", ""), "Отозвать заявление", id="an agreement"),
    ],
)
async def test_who_read_of_another_state_gives_up_nothing_and_is_told(
    journals: Journals, client: httpx.AsyncClient, enrollment_id: str, body: str, offered: str
) -> None:
    answer = await client.post(page_of(enrollment_id), content=body, headers=FORM)
    page = (await client.get(answer.headers["location"])).text

    assert "заявление изменилось" in page
    assert offered in page
    assert await sent(journals) == []


async def test_what_was_refused_is_told_beside_what_is_there(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> list[dict[str, Any]]:
        return [{"decision": "refused", "reason": "already_finished", "decided_by": "enrollment"}]

    monkeypatch.setattr(sending.Sending, "send", refused)

    answer = await client.post(page_of(story.CHESS), content=form("withdraw"), headers=FORM)
    page = (await client.get(answer.headers["location"])).text

    assert "заявление изменилось" in page
    assert "Отправили." not in page


@pytest.mark.parametrize("body", ["", "way=none", "&".join(f"a{n}=1" for n in range(99))])
async def test_what_is_no_form_of_ours_is_not_sent(
    journals: Journals, client: httpx.AsyncClient, body: str
) -> None:
    answer = await client.post(page_of(story.CHESS), content=body, headers=FORM)

    assert answer.status_code == 422
    assert await sent(journals) == []


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(page_of("enr-99999"), id="nothing"),
        pytest.param(page_of(story.CHESS, "guardian-00900"), id="another family's"),
        pytest.param(page_of(story.CHESS).replace(PAYER, "25703000"), id="elsewhere"),
    ],
)
async def test_what_is_not_there_or_not_theirs_is_not_given_up(
    journals: Journals, client: httpx.AsyncClient, path: str
) -> None:
    looked = await client.get(path)
    answer = await client.post(path, content=form("withdraw"), headers=FORM)

    assert [looked.status_code, answer.status_code] == [404, 404]
    assert await sent(journals) == []


async def test_who_sends_form_after_form_is_asked_to_wait(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post(page_of(story.CHESS), content="", headers=FORM)
        for _ in range(leaving_routes.FORMS_A_MINUTE + 1)
    ]

    assert answers[-1].status_code == 429
    assert "согласитесь отправить ещё раз" in answers[-1].text


# --- with the services that decide -------------------------------------------------------------


async def test_who_withdraws_while_waiting_for_an_answer_keeps_all_money(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(open_vault(tmp_path))
        town = Town(await enrolled_world(0), vault)
        application = story.application("enr-00201", CHILD, "grp-001")
        await town.publish(
            event("navigator.group-published", PAYER, "grp-001", story.GROUPS["grp-001"]),
            event("navigator.application-submitted", PAYER, "enr-00201", application),
        )

        where = page_of("enr-00201")
        held = (await town.client.get(where)).text
        answer = await town.client.post(where, content=form("withdraw"), headers=FORM)
        await town.catch_up()
        page = (await town.client.get(answer.headers["location"])).text

        assert "Место держится" in held
        assert "Заявление отозвано." in page
        (refused,) = town.world.journal("enrollment", "application-refused")
        assert refused["data"]["reason"] == "withdrawn"
        assert len(town.world.journal("billing", "funds-reserved")) == 1
        await town.client.aclose()


async def test_an_ended_agreement_gives_back_money_and_place(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(open_vault(tmp_path))
        town = Town(await enrolled_world(0), vault)
        await town.catch_up()
        await town.publish(day("2020-09-02"))

        where = page_of(ENROLLMENT)
        before = (await town.client.get(where)).text
        answer = await town.client.post(
            where, content=form("terminate", "2020-09-02"), headers=FORM
        )
        await town.catch_up()
        page = (await town.client.get(answer.headers["location"])).text
        await town.publish(day("2020-09-20"))

        assert "забронировано 8\u00a0043,96\u00a0₽" in before
        assert "Договор закончится 2\u00a0сентября 2020\u00a0года." in page
        (ended,) = town.world.journal("enrollment", "enrollment-ended")
        assert (ended["data"]["cause"], ended["data"]["ended_on"]) == ("guardian", "2020-09-02")
        (released,) = town.world.journal("billing", "reserve-released")
        assert released["data"]["purse"]["balance_kopecks"] == 1_000_000
        await town.client.aclose()
