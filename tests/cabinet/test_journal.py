"""The providers' journal: what it shows, what a form becomes, and what is not this provider's."""

import csv
import json
import re
from collections.abc import AsyncIterator
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from services.cabinet import sending
from services.cabinet.pages.journal import (
    CHILDREN_SHOWN_MAX,
    expected_on,
    group_page,
    meets,
    money_csv,
    money_page,
    not_invoiced,
)
from services.cabinet.projections.models import LessonMark, under
from services.cabinet.provider_queries import ProviderQueries
from services.cabinet.vault.vault import Reader
from streaming.errors import StoreUnavailableError
from streaming.memory_store import MemoryStore
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals, input_of, purse
from tests.cabinet.test_vault import PERSON, open_vault

PROVIDER = f"/journal/{story.PROVIDER}"
GROUP = f"{PROVIDER}/groups/{PAYER}/grp-000"
LESSON = "les-2020-09-14"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No services run here: nobody decides, and there is nothing to wait for."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)


@pytest.fixture
async def journals() -> Journals:
    """A cabinet that knows the whole story, and another provider with a group."""
    told = await Journals().start()
    await story.tell_all(told)
    other = {"provider_id": "prov-009", "title": "Клуб «Другой»", "state": "active", "revision": 1}
    await told.noted("enrollment", "navigator.provider-registered", other)
    group = story.group("grp-900", "Чужая группа", provider_id="prov-009")
    await told.fact(
        "enrollment.group-changed",
        story.places("grp-900", 12),
        input_=input_of("navigator.group-published", group),
    )
    await told.follow()
    return told


@pytest.fixture
async def client(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that cabinet, in the sandbox."""
    async with client_of(app_of(journals)) as opened:
        yield opened


def form(
    *marks: tuple[str, str], lesson: str = LESSON, day: str = "2020-09-14", **more: str
) -> str:
    """Return a form with these entries and marks."""
    fields = {"day": day, "lesson": lesson, "token": "a" * 32} | more
    for number, (entry, mark) in enumerate(marks):
        fields[f"e{number}"] = entry
        if mark:
            fields[f"m{number}"] = mark
    return urlencode(fields)


async def sent(journals: Journals, topic: str = "attendance.events.v1") -> list[dict[str, Any]]:
    """Return the events on a topic of a source."""
    bus: Any = journals.bus
    return [
        json.loads(record.value)
        for number in range(journals.partitions)
        for record in bus.log.log(topic, number).records
    ]


UNMARKED = f"{PAYER}|{story.ROBOTS}|0|"
MARKED = f"{PAYER}|{story.ROBOTS}|2|absent"


# --- what is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        pytest.param("/journal", "Дом творчества «Кедр»", id="providers"),
        pytest.param("/journal?q=prov-009", "Клуб «Другой»", id="a search"),
        pytest.param(PROVIDER, "Робототехника: первые шаги", id="groups"),
        pytest.param(PROVIDER, "1\u00a0ребёнок · занято 1 из 12", id="children and places"),
        pytest.param(PROVIDER, "1\u00a0ждёт место", id="who waits"),
        pytest.param(
            PROVIDER, "Место держится до 25\u00a0сентября 2020\u00a0года", id="until when"
        ),
        pytest.param(GROUP, f"<legend>{story.ELDER}</legend>", id="children of today"),
        pytest.param(GROUP, f'value="{UNMARKED}"', id="not marked yet"),
        pytest.param(f"{GROUP}?day=2020-09-09", 'value="present" checked', id="a mark of that day"),
        pytest.param(f"{GROUP}?day=2020-08-31", "нет детей с действующими", id="before it began"),
    ],
)
async def test_a_provider_sees(client: httpx.AsyncClient, path: str, seen: str) -> None:
    page = await client.get(path)

    assert page.status_code == 200
    assert seen in page.text


UNMARKED_TODAY = ("Сегодня занимаются", "отметок ещё нет")
MARKED_TODAY = ("Сегодня занимаются", "есть отметки")


@pytest.mark.parametrize(
    ("today", "marked_on", "told"),
    [
        pytest.param("2020-09-16", (), UNMARKED_TODAY, id="a day of the week as before"),
        pytest.param("2020-09-16", ("2020-09-16",), MARKED_TODAY, id="marked today"),
        pytest.param("2020-09-14", (), ("Занимаются в другие дни", ""), id="another day"),
        pytest.param("2020-09-14", ("2020-09-14",), MARKED_TODAY, id="marked on another day"),
        pytest.param("2020-10-07", (), UNMARKED_TODAY, id="the last week it is remembered"),
        pytest.param("2020-10-14", (), ("Когда занимаются, пока не видно", ""), id="forgotten"),
        pytest.param("2021-06-01", (), ("Не идут сейчас", ""), id="over"),
    ],
)
async def test_the_groups_of_today_are_those_that_met_on_this_day_of_the_week(
    journals: Journals, today: str, marked_on: tuple[str, ...], told: tuple[str, str]
) -> None:
    for day in marked_on:
        await story.charge(journals, day, 25_137, purse(195_604, 728_973, 75_423), 3)
    journals.day = today
    await story.register_child(journals, "child-00901", "2012-01-01", ["guardian-00900"])
    await journals.follow()
    async with client_of(app_of(journals)) as client:
        page = (await client.get(PROVIDER)).text

    before, found, after = page.partition("Робототехника: первые шаги")
    heading = re.findall(r"<(?:h2|summary)[^>]*>([^<]+)", before)[-1].strip()
    state = re.findall(r"<span>(отметок ещё нет|есть отметки)? ?·? ?", after)[0]
    assert found
    assert (heading, state) == told


@pytest.mark.parametrize(
    ("today", "seen"),
    [
        pytest.param("2020-09-16", "1\u00a0ребёнок", id="its last day"),
        pytest.param("2020-09-23", "0\u00a0детей", id="a week after it"),
    ],
)
async def test_a_child_that_leaves_ahead_is_there_until_its_last_day(
    journals: Journals, today: str, seen: str
) -> None:
    await story.end(journals, "2020-09-16")
    journals.day = today
    await story.register_child(journals, "child-00901", "2012-01-01", ["guardian-00900"])
    await journals.follow()
    found = await ProviderQueries(journals.store, journals.partitions).journal(story.PROVIDER)
    async with client_of(app_of(journals)) as client:
        page = (await client.get(PROVIDER)).text
    assert found is not None
    (robots,) = [each for each in found["groups"] if each["group_id"] == "grp-000"]

    assert f"{seen} · занято 1 из 12" in page
    assert bool(robots["lessons_on"]) is (robots["active"] == 1)


@pytest.mark.parametrize(
    ("lessons_on", "today", "expected"),
    [
        ((), "2020-09-14", None),
        (("2020-09-07",), "2020-09-14", True),
        (("2020-09-08", "2020-09-11"), "2020-09-14", False),
        (("2020-09-08", "2020-09-14"), "2020-09-14", True),
    ],
)
def test_a_group_meets_by_its_habit(
    lessons_on: tuple[str, ...], today: str, expected: bool | None
) -> None:
    assert meets(lessons_on, today) is expected


async def test_names_stand_in_the_journal_and_the_family_sees_who_looked(
    journals: Journals, tmp_path: Path
) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(story.ELDER, PERSON, Reader(by="navigator", why="registration"))
        async with client_of(app_of(journals, vault=vault)) as client:
            group = await client.get(GROUP)
            looks = await client.get(f"/families/{story.GUARDIAN}/looks")

    assert f"<legend>{PERSON.name}</legend>" in group.text
    assert "Дом творчества «Кедр»" in looks.text
    assert "Имя ребёнка показано в журнале группы" in looks.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/journal/prov-404"),
        ("GET", "/journal/prov-404/money"),
        ("GET", "/journal/prov-404/money.csv"),
        ("GET", f"/journal/prov-009/groups/{PAYER}/grp-000"),
        ("GET", f"{PROVIDER}/groups/{OTHER_PAYER}/grp-000"),
        ("POST", f"/journal/prov-009/groups/{PAYER}/grp-000"),
        ("POST", f"{PROVIDER}/groups/{PAYER}/grp-001"),
        ("POST", f"/journal/prov-009/applications/{PAYER}/{story.CHESS}"),
        ("POST", f"{PROVIDER}/applications/{OTHER_PAYER}/{story.CHESS}"),
        ("POST", f"{PROVIDER}/applications/{PAYER}/enr-77777"),
    ],
)
async def test_what_is_not_there_and_what_is_not_yours_answer_alike(
    journals: Journals, client: httpx.AsyncClient, method: str, path: str
) -> None:
    content = form((UNMARKED, "present"), answer="accept") if method == "POST" else None

    answer = await client.request(method, path, content=content, headers=FORM)

    assert answer.status_code == 404
    assert "Здесь ничего нет" in answer.text
    assert await sent(journals) == await sent(journals, "navigator.events.v1") == []


async def test_outside_the_sandbox_the_journal_is_closed(journals: Journals) -> None:
    async with client_of(app_of(journals, sandbox=False)) as client:
        pages = [await client.get(path) for path in ("/journal", PROVIDER, GROUP)]
        saved = await client.post(GROUP, content=form((UNMARKED, "present")), headers=FORM)

    assert [page.status_code for page in (*pages, saved)] == [403] * 4
    assert await sent(journals) == []


async def test_a_store_that_is_gone_is_told_kindly(journals: Journals) -> None:
    def gone(point: object) -> None:
        raise StoreUnavailableError("redis at 10.0.0.7")

    assert isinstance(journals.store, MemoryStore)
    journals.store.fault = gone
    async with client_of(app_of(journals)) as client:
        page = await client.get(GROUP)

    assert page.status_code == 503
    assert "10.0.0.7" not in page.text


async def test_a_large_group_is_shown_in_light_pages(journals: Journals) -> None:
    for number in range(CHILDREN_SHOWN_MAX + 5):
        enrollment_id, child_id = f"enr-5{number:04d}", f"child-5{number:04d}"
        await story.apply_for(journals, enrollment_id, child_id, "grp-000")
        enrolled = story.enrolled(enrollment_id, child_id, "grp-000")
        await journals.fact("enrollment.child-enrolled", enrolled)
        await journals.fact(
            "enrollment.agreement-activated",
            {
                "enrollment_id": enrollment_id,
                "child_id": child_id,
                "provider_id": story.PROVIDER,
                "starts_on": "2020-09-01",
                "ends_on": "2020-12-31",
                "certificate_share_kopecks": 1,
                "parent_share_kopecks": 0,
            },
        )
    await journals.follow()
    async with client_of(app_of(journals)) as client:
        first = await client.get(GROUP)
        second = await client.get(f"{GROUP}?page=1")
        after_it = await client.get(f"{GROUP}?page=9")

    assert len(first.content) < 100 * 1024
    assert first.text.count("<legend>") == CHILDREN_SHOWN_MAX
    assert second.text.count("<legend>") == after_it.text.count("<legend>") == 6
    assert "Отмечено 0 из 66" in first.text


# --- marks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marks", "more", "expected"),
    [
        pytest.param([(UNMARKED, "present")], {}, [("present", 1)], id="a first mark"),
        pytest.param([(UNMARKED, "")], {}, [], id="nothing chosen"),
        pytest.param([(UNMARKED, "")], {"rest": "present"}, [("present", 1)], id="the others were"),
        pytest.param([(UNMARKED, "ill")], {"rest": "present"}, [("ill", 1)], id="but this one"),
        pytest.param([(MARKED, "present")], {}, [("present", 3)], id="a correction"),
        pytest.param([(MARKED, "absent")], {}, [], id="the same again"),
        pytest.param([(MARKED, "")], {"rest": "present"}, [], id="what is marked stays"),
    ],
)
async def test_a_form_becomes_marks(
    journals: Journals,
    client: httpx.AsyncClient,
    marks: list[tuple[str, str]],
    more: dict[str, str],
    expected: list[tuple[str, int]],
) -> None:
    answer = await client.post(GROUP, content=form(*marks, **more), headers=FORM)

    events = await sent(journals)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{GROUP}?day=2020-09-14&lesson={LESSON}&saved=")
    assert [(each["data"]["mark"], each["data"]["revision"]) for each in events] == expected
    for each in events:
        assert each["type"] == "attendance.lesson-marked.v1"
        assert (each["source"], each["partitionkey"]) == ("/attendance", PAYER)
        assert each["data"]["evidence"] == "journal"
        assert (each["data"]["lesson_id"], each["data"]["lesson_date"]) == (LESSON, "2020-09-14")


async def test_a_form_that_is_sent_again_makes_the_same_events(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    for token in ("a", "a", "b"):
        content = form((UNMARKED, "present"), token=token)
        await client.post(GROUP, content=content, headers=FORM)

    first, again, other = await sent(journals)
    assert first["id"] == again["id"] != other["id"]
    assert first["data"] == again["data"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(form((UNMARKED, "present"), day="2020-09-15"), id="tomorrow"),
        pytest.param(form((UNMARKED, "present"), day="someday"), id="no day"),
        pytest.param(form((UNMARKED, "asleep")), id="no mark"),
        pytest.param(form((f"{PAYER}|{story.ROBOTS}|x|", "present")), id="no revision"),
        pytest.param(form((f"{PAYER}|{story.ROBOTS}|9999999|", "present")), id="too high"),
        pytest.param(form((f"{PAYER}|{story.ROBOTS}|{'9' * 5_000}|", "present")), id="endless"),
        pytest.param(form((UNMARKED, "present"), lesson="Les 1"), id="no lesson"),
        pytest.param("&&&", id="no form"),
        pytest.param("x=" + "y" * 70_000, id="too long"),
        pytest.param("&".join(f"a{n}=1" for n in range(400)), id="too many"),
    ],
)
async def test_a_form_that_cannot_be_is_refused_and_nothing_is_sent(
    journals: Journals, client: httpx.AsyncClient, content: str
) -> None:
    answer = await client.post(GROUP, content=content, headers=FORM)

    assert answer.status_code == 422
    assert "data-problem" in answer.text
    assert len(content) > 64 * 1024 or f'href="{GROUP}">Открыть страницу заново' in answer.text
    assert await sent(journals) == []


async def test_for_a_day_that_has_not_come_nobody_fills_in_marks_in_vain(
    client: httpx.AsyncClient,
) -> None:
    tomorrow = (await client.get(f"{GROUP}?day=2020-09-15")).text
    today = (await client.get(f"{GROUP}?day=2020-09-14")).text

    assert ("Этот день ещё не наступил" in tomorrow, "<fieldset>" in tomorrow) == (True, False)
    assert ("Этот день ещё не наступил" in today, "<fieldset>" in today) == (False, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_a_form_of_a_foreign_page_is_refused(
    journals: Journals, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    content = form((UNMARKED, "present"))

    refused = await client.post(GROUP, content=content, headers=FORM | headers)
    own = await client.post(
        GROUP,
        content=content,
        headers=FORM | {"sec-fetch-site": "same-origin", "origin": "http://localhost"},
    )

    assert (refused.status_code, own.status_code) == (403, 303)
    assert len(await sent(journals)) == 1


async def mark_of(
    journals: Journals, *decided: tuple[str, int, dict[str, Any] | None]
) -> LessonMark | None:
    """Return what is known of a mark after these decisions: mark, revision, refusal or wait."""
    for mark, revision, undone in decided:
        data = story.lesson("2020-09-14", mark, revision) | {"evidence": "journal"}
        told = input_of("attendance.lesson-marked", data)
        kind = "noted" if undone is None else ("parked" if "waits_for" in undone else "refused")
        await journals.fact(f"billing.input-{kind}", undone or {}, input_=told)
    await journals.follow()
    part = journals.queries._part_of(PAYER)
    return await part.find(LessonMark, under(PAYER, story.ROBOTS, LESSON))


LATE = {"reason": "too_late", "detail": "Поздно: расчёт закрыт."}
WAITS = {"waits_for": "day:2020-09-15", "until": None}


@pytest.mark.parametrize(
    ("decided", "mark", "revision", "trouble", "waits"),
    [
        pytest.param([("present", 1, None)], "present", 1, None, False, id="applied"),
        pytest.param(
            [("present", 1, None), ("ill", 2, None)], "ill", 2, None, False, id="corrected"
        ),
        pytest.param(
            [("ill", 2, None), ("present", 1, None)], "ill", 2, None, False, id="late arrival"
        ),
        pytest.param(
            [("present", 1, None), ("ill", 2, LATE)], "present", 2, LATE["detail"], False,
            id="a correction refused: the next takes another number",
        ),
        pytest.param([("present", 1, WAITS)], None, 1, None, True, id="waits"),
        pytest.param(
            [("present", 1, WAITS), ("present", 1, None)], "present", 1, None, False,
            id="waited",
        ),
        pytest.param(
            [("present", 1, LATE), ("present", 2, None)], "present", 2, None, False,
            id="refused, then accepted",
        ),
    ],
)  # fmt: skip
async def test_the_journal_knows_every_revision_that_was_sent(
    journals: Journals,
    decided: list[tuple[str, int, dict[str, Any] | None]],
    mark: str | None,
    revision: int,
    trouble: str | None,
    waits: bool,
) -> None:
    known = await mark_of(journals, *decided)

    assert known is not None
    assert (known.mark, known.revision, known.trouble, known.waits) == (
        mark,
        revision,
        trouble,
        waits,
    )


async def test_a_refusal_is_read_beside_the_child_and_the_next_revision_is_free(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await mark_of(journals, ("present", 1, None), ("ill", 2, LATE))

    page = await client.get(GROUP)

    assert LATE["detail"] in page.text
    assert f'value="{PAYER}|{story.ROBOTS}|2|present"' in page.text


async def test_two_lessons_of_a_day_are_marked_apart(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await mark_of(journals, ("present", 1, None))

    page = await client.get(GROUP)
    other = await client.get(f"{GROUP}?lesson={LESSON}-2")

    assert f"lesson={LESSON}-2" in page.text
    assert f'value="{UNMARKED}"' in other.text
    assert f'value="{PAYER}|{story.ROBOTS}|1|present"' not in other.text


# --- applications ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "type_", "reason"),
    [
        ({"answer": "accept"}, "navigator.application-accepted.v1", None),
        (
            {"answer": "reject", "reason": "schedule"},
            "navigator.application-rejected.v1",
            "Не подходит расписание",
        ),
    ],
)
async def test_an_application_is_answered_once_however_often_it_is_pressed(
    journals: Journals,
    client: httpx.AsyncClient,
    fields: dict[str, str],
    type_: str,
    reason: str | None,
) -> None:
    path = f"{PROVIDER}/applications/{PAYER}/{story.CHESS}"

    answers = [await client.post(path, content=urlencode(fields), headers=FORM) for _ in range(2)]

    first, again = await sent(journals, "navigator.events.v1")
    assert [answer.status_code for answer in answers] == [303, 303]
    assert "Ответ отправлен." in (await client.get(answers[0].headers["location"])).text
    assert (first["type"], first["data"].get("reason")) == (type_, reason)
    assert (first["id"], first["data"]) == (again["id"], again["data"])


@pytest.mark.parametrize(
    ("decision", "reason", "seen"),
    [
        pytest.param("refused", "already_finished", "семья отозвала его", id="withdrawn meanwhile"),
        pytest.param("refused", "not_awaiting_acceptance", "уже приняли", id="accepted meanwhile"),
        pytest.param("refused", "out_of_scope", "Ответ не принят", id="whatever it is"),
        pytest.param("duplicate", None, "", id="said before"),
    ],
)
async def test_an_answer_that_comes_too_late_is_told(
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    decision: str,
    reason: str | None,
    seen: str,
) -> None:
    async def decided(*_: Any) -> list[dict[str, Any]]:
        return [{"decision": decision, "reason": reason, "decided_by": "enrollment"}]

    monkeypatch.setattr(sending.Sending, "send", decided)
    path = f"{PROVIDER}/applications/{PAYER}/{story.CHESS}"

    answer = await client.post(path, content=urlencode({"answer": "accept"}), headers=FORM)

    assert answer.status_code == (422 if seen else 303)
    assert seen in answer.text
    assert "на шаг назад" not in answer.text
    assert not seen or f'<a class="button" href="{PROVIDER}">' in answer.text


@pytest.mark.parametrize(
    "fields",
    [{}, {"answer": "reject"}, {"answer": "reject", "reason": "Иванов шумит"}, {"answer": "x"}],
)
async def test_a_rejection_needs_a_reason_of_the_list(
    journals: Journals, client: httpx.AsyncClient, fields: dict[str, str]
) -> None:
    path = f"{PROVIDER}/applications/{PAYER}/{story.CHESS}"

    answer = await client.post(path, content=urlencode(fields), headers=FORM)

    assert answer.status_code == 422
    assert await sent(journals, "navigator.events.v1") == []


# --- money -------------------------------------------------------------------------------------

INVOICE = f"inv-{PAYER}-{story.PROVIDER}-2020-09"


async def invoice(journals: Journals, *, paid: bool, paid_on: str = "2020-10-20") -> None:
    """A month is invoiced, and perhaps paid."""
    lines = [
        {
            "line_reference": f"{INVOICE}/{number}",
            "enrollment_id": story.ROBOTS,
            "certificate_number": story.NUMBER,
            "lessons": lessons,
            "amount_kopecks": amount,
        }
        for number, lessons, amount in ((1, 2, 50_286), (2, -1, -5))
    ]
    await journals.fact(
        "billing.invoice-issued",
        {
            "invoice_id": INVOICE,
            "provider_id": story.PROVIDER,
            "month": "2020-09",
            "amount_kopecks": 50_281,
            "lines": lines,
        },
    )
    if paid:
        await journals.fact(
            "billing.invoice-settled",
            {
                "invoice_id": INVOICE,
                "provider_id": story.PROVIDER,
                "paid_on": paid_on,
                "payment_reference": "=1+1",
                "amount_kopecks": 50_281,
            },
        )
    await journals.follow()


@pytest.mark.parametrize("paid", [True, False])
async def test_money_is_shown_line_by_line_and_as_a_file(
    journals: Journals, client: httpx.AsyncClient, paid: bool
) -> None:
    await invoice(journals, paid=paid)

    page = await client.get(f"{PROVIDER}/money")
    file = await client.get(f"{PROVIDER}/money.csv")

    assert "сентябрь 2020\u00a0года" in page.text
    assert "502,86\u00a0₽" in page.text
    assert ("оплачен 20\u00a0октября 2020\u00a0года" in page.text) is paid
    assert file.content.startswith(b"\xef\xbb\xbf")
    head, *rows = csv.reader(StringIO(file.content.decode("utf-8-sig")), delimiter=";")
    assert all(len(head) == len(row) for row in rows)
    assert [row[6:8] for row in rows] == [["2", "502,86"], ["-1", "-0,05"], ["", "0,05"]]
    told = ["да", "2020-10-20", "'=1+1"] if paid else ["нет", "", ""]
    assert all(row[8:11] == told for row in rows[:2])
    assert {row[11] for row in rows} == {"Робототехника: первые шаги"}
    assert ("Когда заплатят, пока не предсказать" in page.text) is not paid
    # Charged are 502,86; the invoice has 502,81 of it.
    assert rows[2][4] == story.ROBOTS
    assert "0,05\u00a0₽" in page.text.partition("Ещё не в счёте")[2]


async def test_what_is_owed_line_by_line_is_what_is_owed_in_all(journals: Journals) -> None:
    queries = ProviderQueries(journals.store, journals.partitions)
    await invoice(journals, paid=False)

    owed = not_invoiced(
        await queries.charged(story.PROVIDER), await queries.invoices_of(story.PROVIDER)
    )
    provider = await queries.provider(story.PROVIDER)

    assert provider is not None
    assert sum(each["amount_kopecks"] for each in owed) == sum(
        each["charged_kopecks"] - each["invoiced_kopecks"] for each in provider["payers"]
    )


def of_month(month: str, paid_on: str | None, payer: str = PAYER) -> dict[str, Any]:
    return {"payer": payer, "month": month, "paid_on": paid_on, "settled": paid_on is not None}


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        pytest.param([], None, id="nobody paid yet"),
        pytest.param([of_month("2020-09", "2020-10-20", OTHER_PAYER)], None, id="another paid"),
        pytest.param([of_month("2020-09", "2020-10-20")], "2021-01-20", id="20 days, as once"),
        pytest.param(
            [of_month("2020-09", "2020-10-10"), of_month("2020-10", "2020-11-30")],
            "2021-01-30",
            id="the later of two",
        ),
        pytest.param(
            [
                of_month("2020-09", "2020-10-10"),
                of_month("2020-10", "2020-11-30"),
                of_month("2020-11", "2020-12-15"),
            ],
            "2021-01-15",
            id="the middle of three",
        ),
        pytest.param([of_month("2020-09", "9999-12-31")], None, id="after the calendar"),
        pytest.param([of_month("2021-01", "0001-01-01")], None, id="before it"),
        pytest.param(
            [
                *(of_month(f"2020-0{month}", "2020-12-31") for month in range(1, 6)),
                *(of_month(f"2020-0{month}", f"2020-{month + 1:02}-07") for month in range(5, 10)),
            ],
            "2021-01-07",
            id="what was long ago does not count",
        ),
    ],
)
def test_when_an_invoice_is_expected_to_be_paid(
    paid: list[dict[str, Any]], expected: str | None
) -> None:
    waits = of_month("2020-12", None)

    found = expected_on(waits, [waits, *paid])

    assert found == (None if expected is None else date.fromisoformat(expected))


async def test_whatever_day_a_payer_wrote_the_money_is_shown(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await invoice(journals, paid=True, paid_on="9999-12-31")
    issued = {
        "invoice_id": f"inv-{PAYER}-{story.PROVIDER}-2020-10",
        "provider_id": story.PROVIDER,
        "month": "2020-10",
        "amount_kopecks": 0,
        "lines": [],
    }
    await journals.fact("billing.invoice-issued", issued)
    await journals.follow()

    page = await client.get(f"{PROVIDER}/money")

    assert page.status_code == 200
    assert "Когда заплатят, пока не предсказать." in page.text


async def test_a_provider_reads_when_an_invoice_is_expected_to_be_paid(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await invoice(journals, paid=True)
    issued = {
        "invoice_id": f"inv-{PAYER}-{story.PROVIDER}-2020-10",
        "provider_id": story.PROVIDER,
        "month": "2020-10",
        "amount_kopecks": 0,
        "lines": [],
    }
    await journals.fact("billing.invoice-issued", issued)
    await journals.follow()

    page = await client.get(f"{PROVIDER}/money")

    assert page.text.count("Ждём оплаты около 20\u00a0ноября 2020\u00a0года") == 1


@pytest.mark.parametrize(
    ("today", "said"),
    [
        pytest.param("2020-12-20", "Ждём оплаты около 20\u00a0декабря", id="on the day"),
        pytest.param("2020-12-21", "Обычно к 20\u00a0декабря 2020\u00a0года уже", id="after it"),
        pytest.param(None, "Ждём оплаты около 20\u00a0декабря", id="before the first day"),
    ],
)
def test_a_payment_that_is_late_is_not_awaited_in_the_past(today: str | None, said: str) -> None:
    both = [of_month("2020-10", "2020-11-20"), of_month("2020-11", None)]
    line = {"invoice_id": "inv", "amount_kopecks": 0, "lines": []}

    shown = money_page("prov-001", "Кружок", [], [each | line for each in both], [], today)

    assert said in shown["invoices"][1]["expected"]


def test_children_stand_by_their_names() -> None:
    child = {"payer": PAYER, "marks": {}}
    found = {
        "provider_id": story.PROVIDER,
        "home": PAYER,
        "group_id": "grp-000",
        "title": "Шахматы",
        "business_day": "2020-09-14",
        "day": "2020-09-14",
        "children": [child | {"child_id": id_, "enrollment_id": id_} for id_ in ("c-1", "c-2")],
    }

    shown = group_page(found, {"c-1": "Яблоков Ян", "c-2": "Арбузова Анна"}, None, 0)

    assert [row["name"] for row in shown["rows"]] == ["Арбузова Анна", "Яблоков Ян"]


def test_a_file_without_lines_has_its_heading() -> None:
    assert money_csv([], []).count("\r\n") == 1
