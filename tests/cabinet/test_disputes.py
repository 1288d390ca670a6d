"""A debit that a family does not agree with: who sees it, what the forms become, who may not."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cabinet import sending
from services.cabinet.club_queries import ClubQueries
from services.cabinet.pages.disputes import console_page
from services.cabinet.pages.disputes_routes import FORMS_A_MINUTE
from services.cabinet.pages.family import ENTRIES_ASKED, disputable, family_page, history_page
from services.cabinet.queries import Answer
from services.cabinet.vault.vault import Reader
from streaming.errors import StoreUnavailableError
from streaming.memory_store import MemoryStore
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals, purse
from tests.cabinet.test_vault import PERSON, open_vault

FAMILY = f"/families/{story.GUARDIAN}"
PROVIDER = f"/journal/{story.PROVIDER}"
CONSOLE = f"/console/{PAYER}/disputes"
SECOND, LAST = "2020-09-09", "2020-09-12"
"""Days of the lessons whose charges stand."""
FORM = {"content-type": "application/x-www-form-urlencoded"}
OFFER = "<summary>Мы не были на занятии</summary>"
THERE = f"{FAMILY}/disputes/{PAYER}/{story.ROBOTS}/les-{LAST}"
ANSWER = f"disputes/{PAYER}/{story.ROBOTS}/les-{SECOND}"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No services run here: nobody decides, and there is nothing to wait for."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)


@pytest.fixture
async def client(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a cabinet in which the second debit is disputed."""
    await story.dispute(journals, SECOND, 25_137)
    await journals.follow()
    async with client_of(app_of(journals)) as opened:
        yield opened


async def sent(journals: Journals) -> list[dict[str, Any]]:
    bus: Any = journals.bus
    return [
        json.loads(record.value)
        for number in range(journals.partitions)
        for record in bus.log.log("disputes.events.v1", number).records
    ]


async def elder(journals: Journals) -> Answer:
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    return next(dict(each) for each in family["children"] if each["child_id"] == story.ELDER)


def days(child: Answer) -> set[str]:
    return {lesson.removeprefix("les-") for _, lesson in disputable(child)}


async def line_of(journals: Journals, day: str) -> Any:
    """Return the line of the child's history about the latest charge of a lesson."""
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    page = history_page(family, PAYER, story.ELDER, 1)
    assert page is not None
    return next(
        each
        for _, _, lines in page["months"]
        for each in lines
        if f"|lesson-charged|{story.ROBOTS}|les-{day}|" in each.key
    )


# --- the family --------------------------------------------------------------------------------


async def test_what_is_charged_may_be_disputed_once(journals: Journals) -> None:
    before = days(await elder(journals))
    await story.dispute(journals, SECOND, 25_137)

    assert before == {SECOND, LAST}
    assert days(await elder(journals)) == {LAST}


async def test_after_the_release_nothing_is_disputed_any_more(journals: Journals) -> None:
    data = story.about_money(
        enrollment_id=story.ROBOTS, amount_kopecks=0, cause="ended", purse=purse(0)
    )
    await journals.fact("billing.reserve-released", data)

    assert days(await elder(journals)) == set()


async def test_a_lesson_that_was_disputed_and_is_charged_anew_is_not_offered(
    journals: Journals,
) -> None:
    journals.day = SECOND
    await story.dispute(journals, SECOND, 25_137)
    await story.correct(journals, SECOND, 25_137)
    await story.charge(journals, SECOND, 25_137, purse(195_604, 754_110, 50_286), 2)

    assert days(await elder(journals)) == {LAST}


async def test_an_open_dispute_is_told_however_much_happens_after_it(journals: Journals) -> None:
    await story.dispute(journals, SECOND, 25_137)
    for number in range(ENTRIES_ASKED + 1):
        journals.day = f"2020-10-{number + 1:02}"
        await story.charge(journals, journals.day, 100, purse(195_604, 728_973, 75_423), 3)
    await journals.follow()

    family: Any = await journals.queries.family(story.GUARDIAN, entries_max=ENTRIES_ASKED)
    child = family_page(family)["children"][0]
    await story.uphold(journals, SECOND, 25_137)
    await journals.follow()
    settled: Any = await journals.queries.family(story.GUARDIAN, entries_max=ENTRIES_ASKED)

    (said,) = child["awaited"]
    assert said.startswith("Ждём ответа: занятие ")
    assert "списано 251,37\u00a0₽. Вы не согласны с " in said
    assert family_page(settled)["children"][0]["awaited"] == []


@pytest.mark.parametrize(
    ("settle", "seen"),
    [
        pytest.param(None, "Ждём ответа", id="open"),
        pytest.param(story.uphold, "Списание остаётся", id="upheld"),
        pytest.param(story.correct, "Списание отменено", id="corrected"),
    ],
)
async def test_a_debit_says_how_its_dispute_stands(
    journals: Journals, settle: Any, seen: str
) -> None:
    await story.dispute(journals, SECOND, 25_137)
    if settle is not None:
        await settle(journals, SECOND, 25_137)

    line = await line_of(journals, SECOND)

    assert line.dispute["state"] == seen
    assert "14\u00a0сентября" in line.dispute["since"]
    assert line.offer is None


async def test_the_page_has_a_form_at_each_debit_that_stands(client: httpx.AsyncClient) -> None:
    page = await client.get(FAMILY)

    assert page.text.count(OFFER) == 1
    assert f'action="{THERE}"' in page.text
    assert "вы не согласны с 14\u00a0сентября" in page.text
    assert "Семья сообщает, что ребёнка не было" in page.text


async def test_an_auditor_sees_how_it_stands_and_no_form(journals: Journals) -> None:
    async with client_of(app_of(journals), auth=None) as client:
        picked = await client.post("/login/sandbox", data={"as": "auditor:"})
        assert picked.status_code == 303
        page = await client.get(FAMILY)

    assert page.status_code == 200
    assert OFFER not in page.text


async def test_a_dispute_becomes_an_event_once(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    for _ in range(2):
        answer = await client.post(THERE, content="ground=lesson-cancelled", headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, FAMILY)

    events = await sent(journals)
    assert len({event["id"] for event in events}) == 1
    assert (events[0]["source"], events[0]["type"]) == ("/disputes", "disputes.lesson-disputed.v1")
    assert events[0]["partitionkey"] == PAYER
    assert events[0]["data"] == {
        "enrollment_id": story.ROBOTS,
        "lesson_id": f"les-{LAST}",
        "guardian_id": story.GUARDIAN,
        "ground": "lesson-cancelled",
    }


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        pytest.param(THERE, "ground=boredom", 422, id="no ground of ours"),
        pytest.param(THERE, "", 422, id="no ground"),
        pytest.param(
            f"{FAMILY}/disputes/{PAYER}/{story.ROBOTS}/les-{SECOND}",
            "ground=was-absent",
            303,
            id="disputed already",
        ),
        pytest.param(
            f"{FAMILY}/disputes/{PAYER}/{story.ROBOTS}/les-2020-09-02",
            "ground=was-absent",
            303,
            id="taken back",
        ),
        pytest.param(
            f"{FAMILY}/disputes/{PAYER}/{story.ROBOTS}/les-none",
            "ground=was-absent",
            303,
            id="never marked",
        ),
        pytest.param(
            f"{FAMILY}/disputes/{PAYER}/enr-99999/les-{LAST}",
            "ground=was-absent",
            404,
            id="somebody else's",
        ),
        pytest.param(
            f"{FAMILY}/disputes/{OTHER_PAYER}/{story.ROBOTS}/les-{LAST}",
            "ground=was-absent",
            404,
            id="of another municipality",
        ),
        pytest.param(
            f"/families/guardian-00900/disputes/{PAYER}/{story.ROBOTS}/les-{LAST}",
            "ground=was-absent",
            404,
            id="a family that is not there",
        ),
    ],
)
async def test_what_cannot_be_disputed_is_not_sent(
    client: httpx.AsyncClient, journals: Journals, path: str, content: str, status: int
) -> None:
    answer = await client.post(path, content=content, headers=FORM)

    assert answer.status_code == status
    assert await sent(journals) == []


async def test_a_family_disputes_so_often_a_minute(client: httpx.AsyncClient) -> None:
    for _ in range(FORMS_A_MINUTE):
        await client.post(THERE, content="ground=boredom", headers=FORM)

    answer = await client.post(THERE, content="ground=was-absent", headers=FORM)

    assert answer.status_code == 429


async def test_a_form_without_the_token_of_its_session_is_refused(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    async with client_of(app_of(journals), auth=None) as other:
        await other.post("/login/sandbox", data={"as": f"guardian:{story.GUARDIAN}"})
        seen = await other.get(FAMILY)
        answer = await other.post(THERE, content="ground=was-absent", headers=FORM)

    assert OFFER in seen.text
    assert answer.status_code == 403
    assert await sent(journals) == []


@pytest.mark.parametrize(
    ("reason", "status", "seen"),
    [
        ("already_finished", 422, "уже нет"),
        ("too_late", 422, "Срок исправления"),
        ("unknown_enrollment", 422, "не принято"),
        ("conflict", 303, ""),
    ],
)
async def test_a_refusal_is_told(
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    status: int,
    seen: str,
) -> None:
    async def refused(*_: Any) -> Answer:
        return {"decision": "refused", "reason": reason, "decided_by": "billing"}

    monkeypatch.setattr(ClubQueries, "decided", refused)

    answer = await client.post(THERE, content="ground=was-absent", headers=FORM)

    assert answer.status_code == status
    assert seen in answer.text
    assert status == 303 or f'href="{FAMILY}">Открыть страницу заново' in answer.text


# --- the provider ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PROVIDER, f"{PROVIDER}/groups/{PAYER}/grp-000"])
async def test_a_provider_sees_what_waits_for_its_answer(
    client: httpx.AsyncClient, path: str
) -> None:
    page = await client.get(path)

    assert "Семьи не согласны со списанием" in page.text
    assert "Ребёнка не было на занятии" in page.text
    assert f'action="{PROVIDER}/{ANSWER}"' in page.text
    mended = f"{PROVIDER}/groups/{PAYER}/grp-000?day={SECOND}&amp;lesson=les-{SECOND}"
    assert f'href="{mended}"' in page.text


async def test_where_nothing_is_disputed_nothing_is_said(journals: Journals) -> None:
    async with client_of(app_of(journals)) as client:
        pages = [await client.get(PROVIDER), await client.get(f"{PROVIDER}/groups/{PAYER}/grp-000")]

    assert all("не согласны" not in page.text for page in pages)


async def test_names_stand_beside_disputes_and_the_family_sees_who_looked(
    client: httpx.AsyncClient, journals: Journals, tmp_path: Path
) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(story.ELDER, PERSON, Reader(by="navigator", why="registration"))
        async with client_of(app_of(journals, vault=vault)) as opened:
            page = await opened.get(PROVIDER)
            looks = await opened.get(f"{FAMILY}/looks")

    assert f"<h3>{PERSON.name}</h3>" in page.text
    assert "Имя ребёнка показано в вопросе о списании" in looks.text


@pytest.mark.parametrize(
    ("path", "by"),
    [(f"{PROVIDER}/{ANSWER}", "provider"), (f"{CONSOLE}/{story.ROBOTS}/les-{SECOND}", "payer")],
)
async def test_an_answer_becomes_an_event_once(
    client: httpx.AsyncClient, journals: Journals, path: str, by: str
) -> None:
    for _ in range(2):
        answer = await client.post(path, content="evidence=qr", headers=FORM)
        assert answer.status_code == 303

    events = await sent(journals)
    assert len({event["id"] for event in events}) == 1
    assert events[0]["type"] == "disputes.dispute-answered.v1"
    assert events[0]["data"] == {
        "enrollment_id": story.ROBOTS,
        "lesson_id": f"les-{SECOND}",
        "by": by,
        "answer": "attended",
        "evidence": "qr",
    }


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        pytest.param(f"{PROVIDER}/{ANSWER}", "evidence=rumour", 422, id="no evidence of ours"),
        pytest.param(
            f"{PROVIDER}/disputes/{PAYER}/{story.ROBOTS}/les-{LAST}",
            "evidence=qr",
            404,
            id="nobody asked",
        ),
        pytest.param(f"/journal/prov-404/{ANSWER}", "evidence=qr", 404, id="another provider"),
        pytest.param(
            f"/console/{OTHER_PAYER}/disputes/{story.ROBOTS}/les-{SECOND}",
            "evidence=qr",
            404,
            id="another payer",
        ),
    ],
)
async def test_what_cannot_be_answered_is_not_sent(
    client: httpx.AsyncClient, journals: Journals, path: str, content: str, status: int
) -> None:
    answer = await client.post(path, content=content, headers=FORM)

    assert answer.status_code == status
    assert await sent(journals) == []


@pytest.mark.parametrize("path", [f"{PROVIDER}/{ANSWER}", f"{CONSOLE}/{story.ROBOTS}/les-{SECOND}"])
async def test_what_was_settled_meanwhile_is_shown_and_not_answered(
    client: httpx.AsyncClient, journals: Journals, path: str
) -> None:
    await story.correct(journals, SECOND, 25_137)
    await journals.follow()

    answer = await client.post(path, content="evidence=qr", headers=FORM)

    assert answer.status_code == 303
    assert await sent(journals) == []


# --- the payer ---------------------------------------------------------------------------------


async def test_a_payer_sees_open_disputes_with_their_age_and_those_upheld(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    await story.dispute(journals, LAST, 25_149)
    await story.uphold(journals, LAST, 25_149)
    journals.day = "2020-09-20"
    day = {"date": "2020-09-20"}
    for service in ("enrollment", "certificates", "billing", "notifications"):
        await journals.noted(service, "calendar.day-opened", day)
    await journals.follow()

    page = await client.get(CONSOLE)

    assert "Ждут ответа: 1 · отвечено, что ребёнок был: 1" in page.text
    assert "6\u00a0дней" in page.text
    assert "Дом творчества «Кедр»" in page.text
    assert "Организация ответила, что ребёнок был" in page.text
    assert f'action="{CONSOLE}/{story.ROBOTS}/les-{SECOND}"' in page.text


async def test_an_operator_sees_them_and_answers_nothing(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    async with client_of(app_of(journals), auth=None) as operator:
        await operator.post("/login/sandbox", data={"as": "operator:"})
        page = await operator.get(CONSOLE)

    assert page.status_code == 200
    assert "Ждут ответа: 1" in page.text
    assert 'name="evidence"' not in page.text


async def test_of_many_the_oldest_are_listed_and_all_are_counted(journals: Journals) -> None:
    queries = ClubQueries(journals.store, journals.partitions)
    for number in range(205):
        data = story.about_dispute("2020-09-09", 1, ground="was-absent", why=story.why("Так."))
        await journals.fact("billing.dispute-opened", data | {"lesson_id": f"les-{number:03d}"})
    await journals.follow()

    found = await queries.disputes_by(PAYER)

    assert (len(found["open"]), found["open_in_all"]) == (200, 205)
    assert len(await queries.disputes_at(story.PROVIDER)) == 200
    assert console_page(found, {})["open"][0]["lesson_id"] == "les-000"


# --- where there is no such source, or no store ------------------------------------------------


async def test_without_the_source_nothing_is_offered(journals: Journals) -> None:
    known = journals.sources
    journals.sources = replace(
        known, by_name={name: each for name, each in known.by_name.items() if name != "disputes"}
    )
    async with client_of(app_of(journals)) as client:
        page = await client.get(FAMILY)
        answer = await client.post(THERE, content="ground=was-absent", headers=FORM)
        console = await client.get(CONSOLE)

    assert OFFER not in page.text
    assert (answer.status_code, console.status_code) == (404, 404)


@pytest.mark.parametrize(
    ("method", "path", "before"),
    [
        ("POST", THERE, FAMILY),
        ("POST", f"{PROVIDER}/{ANSWER}", PROVIDER),
        ("POST", f"{CONSOLE}/{story.ROBOTS}/les-{SECOND}", CONSOLE),
        ("GET", CONSOLE, CONSOLE),
    ],
)
async def test_a_store_that_does_not_answer_is_told(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, before: str
) -> None:
    assert (await client.get(before)).status_code == 200

    async def gone(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(MemoryStore, "look", gone)
    said = "ground=was-absent&evidence=qr"
    answer = await client.request(method, path, content=said, headers=FORM)

    assert answer.status_code == 503
