"""The parents' pages: what they show, to whom, and that nothing strange gets in."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import Kopecks
from services.billing.domain.months import schedule as billing_months
from services.cabinet.app import make_app, serving
from services.cabinet.monthly import PaidMonth, months_left, months_of
from services.cabinet.pages import routes, wording
from services.cabinet.pages.family import (
    BAR_PART_MIN,
    BAR_WIDTH,
    family_page,
    history_page,
    messages_page,
    money_lasts_until,
    next_debit_kopecks,
    purse_picture,
)
from services.cabinet.pages.pulse import LISTENING_OF_ONE_MAX
from services.cabinet.pages.site import Site
from services.cabinet.papers.codes import Codes
from services.cabinet.region import Region
from streaming.errors import SettingError, StoreUnavailableError
from streaming.host import Host
from streaming.memory_store import MemoryStore
from streaming.telemetry import Telemetry
from tests.cabinet import story
from tests.cabinet.clients import WhoeverItIsFor, app_of, client_of
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals, input_of, purse

FAMILY = f"/families/{story.GUARDIAN}"


@pytest.fixture
async def client(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that cabinet, in the sandbox."""
    async with client_of(app_of(journals)) as opened:
        yield opened


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param("1\u00a0956,04\u00a0₽", id="the balance"),
        pytest.param("701\u00a0000015\u00a07", id="the number"),
        pytest.param("по 31\u00a0декабря 2020\u00a0года", id="the term"),
        pytest.param("Следующее занятие: спишется 251,37\u00a0₽.", id="the next lesson's money"),
        pytest.param("Денег хватит до конца договора", id="how long the money lasts"),
        pytest.param("10\u00a0000,00\u00a0₽", id="the nominal"),
        pytest.param("Осталось <b>30\u00a0занятий</b> из 32", id="lessons left"),
        pytest.param("Ребёнок болел, занятие не посещено. Деньги не списаны.", id="no debit, why"),
        pytest.param("Организация исправила отметку", id="a reversal, why"),
        pytest.param("+251,49\u00a0₽", id="what came back"),
        pytest.param("принять заявление до 25\u00a0сентября 2020\u00a0года", id="next, by when"),
        pytest.param("Вы следующие в очереди.", id="place in the waiting list"),
        pytest.param("Ваша очередь следующая.", id="place in the queue for money"),
        pytest.param("принимает детей от 10 до 14 лет", id="a refusal, why"),
        pytest.param("Ещё в пути: по электронной почте", id="a message"),
        pytest.param("Учебный режим", id="that people are invented"),
    ],
)
async def test_a_family_sees(client: httpx.AsyncClient, seen: str) -> None:
    page = await client.get(FAMILY)

    assert page.status_code == 200
    assert seen in page.text


async def test_a_step_is_not_told_beside_the_one_that_followed_it(journals: Journals) -> None:
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    page = history_page(family, PAYER, story.ELDER, 1)

    assert page is not None
    titles = [line.title for _, _, lines in page["months"] for line in lines]
    assert "Договор заключён" in titles
    assert "Забронировано" not in titles
    assert "Заявление одобрено" not in titles
    assert "Заявление принято" not in titles


@pytest.mark.parametrize("path", ["/", FAMILY, "/families/guardian-99999"])
async def test_pages_take_nothing_from_elsewhere_and_run_no_script_of_strangers(
    client: httpx.AsyncClient, path: str
) -> None:
    page = await client.get(path)

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in page.text
    assert "https:" not in page.text
    assert " style=" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "Учебный режим" in page.text


async def test_what_others_wrote_is_text_not_markup(journals: Journals) -> None:
    published = story.group("grp-666", "<script>alert(1)</script>")
    await journals.fact(
        "enrollment.group-changed",
        story.places("grp-666", 12),
        input_=input_of("navigator.group-published", published),
    )
    await story.apply_for(journals, "enr-00666", story.ELDER, "grp-666")
    await journals.follow()
    async with client_of(app_of(journals)) as client:
        page = await client.get(FAMILY)
        search = await client.get("/", params={"q": '"><script>alert(2)</script>'})

    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script>alert" not in page.text + search.text


async def test_families_are_found_by_the_beginning_of_their_id(client: httpx.AsyncClient) -> None:
    everybody = await client.get("/")
    nobody = await client.get("/", params={"q": "guardian-9"})

    assert f'value="guardian:{story.GUARDIAN}"' in everybody.text
    assert "2\u00a0ребёнка" in everybody.text
    assert story.GUARDIAN not in nobody.text.partition("</form>")[2]
    assert "Никого с номером" in nobody.text


async def test_a_family_that_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    page = await client.get("/families/guardian-99999")

    assert page.status_code == 404
    assert "Здесь ничего нет" in page.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/familes", 404, id="no page"),
        pytest.param("GET", f"{FAMILY}/history/{PAYER}/{story.ELDER}?page=x", 422, id="no number"),
        pytest.param("GET", f"{FAMILY}/history/{PAYER}/{story.ELDER}?page=0", 422, id="no page 0"),
        pytest.param("GET", "/families/Гость", 422, id="no id"),
        pytest.param("DELETE", FAMILY, 405, id="no method"),
    ],
)
async def test_what_is_mistyped_is_told_in_russian(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    page = await client.request(method, path)

    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    told = {422: "В адресе что-то не так", 405: "Так эту страницу не открыть"}
    assert f"<h1>{told.get(status, 'Здесь ничего нет')}</h1>" in page.text
    assert page.headers.get("allow") == ("GET" if status == 405 else None)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/static/nothing.js", "/health/nothing"])
async def test_machines_and_parts_of_pages_are_told_in_short(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "status"), [("/", 200), (FAMILY, 403), (f"{FAMILY}/live", 403)])
async def test_outside_the_sandbox_no_family_is_shown(
    journals: Journals, path: str, status: int
) -> None:
    async with client_of(app_of(journals, sandbox=False)) as client:
        page = await client.get(path)

    assert page.status_code == status
    assert "Вход ещё не настроен" in page.text
    assert "guardian" not in page.text
    assert "Учебный режим" not in page.text


@pytest.mark.parametrize("path", ["/", FAMILY])
async def test_a_store_that_is_gone_is_told_kindly(journals: Journals, path: str) -> None:
    def gone(point: object) -> None:
        raise StoreUnavailableError("redis at 10.0.0.7")

    assert isinstance(journals.store, MemoryStore)
    journals.store.fault = gone
    async with client_of(app_of(journals)) as client:
        page = await client.get(path)

    assert page.status_code == 503
    assert "ничего не потеряно" in page.text
    assert "10.0.0.7" not in page.text


def entry(kind: str, amount: int | None = None, **more: object) -> dict[str, object]:
    """Return an entry of a history."""
    return {
        "at": "2020-10-07T10:00:00+08:00",
        "day": "2020-10-07",
        "kind": kind,
        "text": "Почему.",
        "enrollment_id": "enr-1",
        "lesson_id": None,
        "lesson_date": None,
        "amount_kopecks": amount,
        "balance_kopecks": None,
        "cause": None,
        "dispute": None,
    } | more


async def test_two_messages_about_one_fact_are_two_and_one_by_two_channels_is_one(
    journals: Journals,
) -> None:
    journals.day = "2020-09-16"
    charged = await story.charge(journals, "2020-09-16", 25_137, purse(195_604, 728_973, 75_423), 3)
    for number, (channel, template) in enumerate(
        [
            ("cabinet", "lesson-charged"),
            ("email", "lesson-charged"),
            ("sms", "lesson-charged"),
            ("cabinet", "lessons-left-low"),
            ("push", "lesson-charged"),
        ]
    ):
        await story.message(journals, f"msg-1{number}", channel, "debit", template, [charged])
    about = {"message_id": "msg-12", "channel": "sms", "attempts": 3, "detail": "нет связи"}
    await journals.fact("notifications.message-failed", about)
    left = {"message_id": "msg-11", "channel": "email", "attempts": 1}
    await journals.fact("notifications.message-sent", left)
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    shown = family_page(family)["messages"][:2]

    said = {each["title"]: (each["sent"], each["due"], each["failed"]) for each in shown}
    assert said == {
        f"{story.ELDER} · Осталось мало занятий": ("", "", ""),
        f"{story.ELDER} · Списано за занятие": ("по электронной почте", "в браузере", "по СМС"),
    }


async def test_two_reminders_of_the_same_money_are_two(journals: Journals) -> None:
    charged = await story.charge(journals, "2020-09-16", 25_137, purse(195_604, 728_973, 75_423), 3)
    for number, journals.day in enumerate(("2020-12-01", "2020-12-24")):
        for channel in ("cabinet", "email"):
            id_ = f"msg-{channel}-{number}"
            await story.message(
                journals, id_, channel, "certificate", "period-ends-soon", [charged]
            )
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    shown = family_page(family)["messages"]

    assert [each["when"] for each in shown][:2] == ["24\u00a0декабря", "1\u00a0декабря"]


@pytest.mark.parametrize(
    ("template", "facts", "text"),
    [
        pytest.param(
            "period-ends-soon",
            ("issued", "charged"),
            "На сертификате осталось 1\u00a0956,04\u00a0₽. "
            "Срок этих денег: до 31\u00a0декабря 2020\u00a0года. " + wording.SPEND_IT,
            id="money is left",
        ),
        pytest.param(
            "period-ends-soon",
            (),
            "На сертификате остались деньги, а его срок скоро закончится. " + wording.SPEND_IT,
            id="money is left, its facts are not known here",
        ),
        pytest.param(
            "balance-low",
            ("charged",),
            "На сертификате осталось 1\u00a0956,04\u00a0₽ свободных денег. " + wording.LITTLE_LEFT,
            id="money runs low",
        ),
        pytest.param(
            "lessons-left-low",
            ("charged",),
            "Ребёнок был на занятии. Списано 251,37 ₽.",
            id="what tells its fact",
        ),
    ],
)
async def test_a_message_says_here_what_it_says_elsewhere(
    journals: Journals, template: str, facts: tuple[str, ...], text: str
) -> None:
    charged = await story.charge(journals, "2020-12-01", 25_137, purse(195_604, 728_973, 75_423), 3)
    # The first is about the category, the second about the elder child.
    issued = f"certificates:{journals.queries.partition_of(PAYER)}:2"
    ids = {"issued": issued, "charged": charged}
    named = [ids[fact] for fact in facts] or ["billing:9:999"]
    await story.message(journals, "msg-21", "cabinet", "certificate", template, named)
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    shown = family_page(family)["messages"][0]

    assert shown["texts"] == [text]


@pytest.mark.parametrize("template", ["period-ends-soon", "balance-low"])
async def test_a_debit_is_not_told_by_what_names_it_for_its_balance_alone(
    journals: Journals, template: str
) -> None:
    charged = await story.charge(journals, "2020-09-16", 25_137, purse(195_604, 728_973, 75_423), 3)
    for channel, name in (("cabinet", template), ("email", "lesson-charged")):
        await story.message(journals, f"msg-{channel}", channel, "debit", name, [charged])
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    line = family_page(family)["children"][0]["history"][0]

    assert line.told == "Сообщение: по электронной почте в пути"


@pytest.mark.parametrize(
    ("cause", "titles"),
    [
        pytest.param("funded", ["Деньги поступили"], id="what funding did"),
        pytest.param(
            "corrected", ["Номинал изменился", "Деньги поступили"], id="what the payer did then"
        ),
    ],
)
async def test_a_nominal_that_is_corrected_on_the_day_of_funding_is_told(
    journals: Journals, cause: str, titles: list[str]
) -> None:
    journals.day = "2020-10-01"
    about = {"child_id": story.YOUNGER, "certificate_number": story.WAITING_NUMBER}
    funded = about | {"category": "general", "period": "2020", "nominal_kopecks": 900_000}
    await journals.fact("certificates.certificate-funded", funded | {"why": story.why("Очередь.")})
    moved = about | {
        "period": "2020",
        "previous_kopecks": 900_000,
        "nominal_kopecks": 950_000,
        "cause": cause,
        "purse": purse(950_000),
    }
    await journals.fact("billing.nominal-applied", moved)
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    child = family_page(family)["children"][1]

    assert [line.title for line in child["history"] if line.when == "1\u00a0октября"] == titles


SENT_TEXT = "Сообщение: по электронной почте 16\u00a0сентября в\u00a010:00"
SENT = "notifications.message-sent"
FAILED = "notifications.message-failed"
UNTOLD = {"recipient_id": story.GUARDIAN, "category": "debit"}


@pytest.mark.parametrize(
    ("channels", "became", "untold", "seen"),
    [
        pytest.param((), None, None, "", id="nobody was to be told"),
        pytest.param(("cabinet",), None, None, "Сообщение: здесь", id="here"),
        pytest.param(
            ("cabinet", "email"),
            None,
            None,
            "Сообщение: здесь, по электронной почте в пути",
            id="on its way",
        ),
        pytest.param(
            ("cabinet", "email"),
            SENT,
            None,
            "Сообщение: здесь, по электронной почте 16\u00a0сентября в\u00a010:00",
            id="sent, and when",
        ),
        pytest.param(
            ("email",), FAILED, None, "Сообщение: по электронной почте не дошло", id="failed"
        ),
        pytest.param(("email",), SENT, "in_digest", SENT_TEXT, id="in a digest that was sent"),
        pytest.param(
            (), None, "in_digest", "Сообщение придёт в сводке за день.", id="in a digest to come"
        ),
        pytest.param((), None, "unwanted", "Сообщения о списаниях вы отключили.", id="not wanted"),
    ],
)
async def test_a_parent_sees_of_each_debit_how_it_was_told(
    journals: Journals,
    channels: tuple[str, ...],
    became: str | None,
    untold: str | None,
    seen: str,
) -> None:
    journals.day = "2020-09-16"
    charged = await story.charge(journals, "2020-09-16", 25_137, purse(195_604, 728_973, 75_423), 3)
    if untold is not None:
        about = UNTOLD | {"reason": untold, "event_ids": [charged]}
        await journals.fact("notifications.message-suppressed", about)
    for channel in channels:
        id_ = {"cabinet": "msg-10", "email": "msg-11"}[channel]
        await story.message(journals, id_, channel, "debit", "lesson-charged", [charged])
    if became is not None:
        result = {"message_id": "msg-11", "channel": "email", "attempts": 1}
        await journals.fact(became, result)
    await journals.follow()

    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    line = family_page(family)["children"][0]["history"][0]
    async with client_of(app_of(journals)) as client:
        page = await client.get(FAMILY)

    assert line.title == "Списано за занятие 16\u00a0сентября"
    assert line.told == seen
    assert seen in page.text


@pytest.mark.parametrize(
    ("time", "seen"),
    [
        pytest.param("2020-09-16t02:05:00z", " 16\u00a0сентября в\u00a010:05", id="small letters"),
        pytest.param("2020-09-16T02:05:60Z", " 16\u00a0сентября в\u00a010:05", id="a leap second"),
        pytest.param("9999-12-31T23:59:59-08:00", "", id="the end of the calendar"),
        pytest.param("0001-01-01T00:00:00+23:00", "", id="its beginning"),
    ],
)
async def test_whatever_time_a_source_may_write_a_family_sees_its_page(
    journals: Journals, time: str, seen: str
) -> None:
    journals.day, journals.time = "2020-09-16", time
    charged = await story.charge(journals, "2020-09-16", 25_137, purse(195_604, 728_973, 75_423), 3)
    await story.message(journals, "msg-11", "email", "debit", "lesson-charged", [charged])
    await journals.fact(SENT, {"message_id": "msg-11", "channel": "email", "attempts": 1})
    await journals.follow()
    async with client_of(app_of(journals)) as client:
        page = await client.get(FAMILY)

    assert page.status_code == 200
    assert f"Сообщение: по электронной почте{seen}</p>" in page.text


async def test_what_another_guardian_was_told_is_not_shown(journals: Journals) -> None:
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    other = "guardian-77777"
    await story.register_child(journals, story.ELDER, "2012-05-11", [story.GUARDIAN, other])
    await journals.follow()

    of_other = await journals.queries.family(other)

    assert of_other is not None
    assert any(each["told"]["messages"] for each in family["children"][0]["history"])
    assert not any(each["told"]["messages"] for each in of_other["children"][0]["history"])


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        pytest.param({}, ("30\u00a0занятий", False, False), id="by lessons"),
        pytest.param({"debit_basis": "MONTHLY_CONTRACT"}, ("", True, False), id="by the month"),
        pytest.param({"certificate_share_kopecks": 0}, ("", False, True), id="own money"),
        pytest.param({"state": "ENDED", "ended_on": "2020-09-12"}, ("", False, False), id="over"),
    ],
)
async def test_lessons_left_are_told_where_lessons_are_paid_for(
    journals: Journals, changes: dict[str, Any], seen: tuple[str, bool, bool]
) -> None:
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    child = family["children"][0]
    (robots,) = [e for e in child["enrollments"] if e["enrollment_id"] == story.ROBOTS]

    shown = family_page(
        family | {"children": [child | {"enrollments": [robots | changes]}], "messages": []}
    )

    (enrollment,) = shown["children"][0]["enrollments"]
    assert (enrollment["left"], enrollment["by_month"], enrollment["own_money"]) == seen


@pytest.mark.parametrize(
    ("today", "state", "next_", "place", "left"),
    [
        pytest.param(
            "2020-10-10",
            "Договор до 20\u00a0декабря",
            "Договор действует до 20\u00a0декабря 2020\u00a0года, это последний день.",
            "enrollments",
            "30\u00a0занятий",
            id="long before the last day",
        ),
        pytest.param(
            "2020-12-20",
            "Договор до 20\u00a0декабря",
            "это последний день",
            "enrollments",
            "30\u00a0занятий",
            id="on it",
        ),
        pytest.param(
            "2020-12-21", "Договор закончен", "Последний день —", "enrollments", "", id="after it"
        ),
        pytest.param(
            "2021-01-04", "Договор закончен", "Последний день —", "over", "", id="long after it"
        ),
    ],
)
async def test_an_agreement_that_was_ended_ahead_goes_on_to_its_last_day(
    journals: Journals, today: str, state: str, next_: str, place: str, left: str
) -> None:
    await story.end(journals, "2020-12-20")
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    child = family_page(family | {"business_day": today})["children"][0]

    (robots,) = [each for each in child[place] if each["id"] == story.ROBOTS]
    assert (robots["state"], robots["left"]) == (state, left)
    assert next_ in robots["next"]
    assert bool(robots["outlook"]) is bool(left)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({}, " Деньги спишутся только за занятия.", id="by lessons"),
        pytest.param({"debit_basis": "MONTHLY_CONTRACT"}, "", id="by the month"),
        pytest.param({"certificate_share_kopecks": 0}, "", id="own money"),
    ],
)
async def test_what_is_debited_is_promised_where_lessons_are_paid_for(
    journals: Journals, changes: dict[str, Any], told: str
) -> None:
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    (robots,) = [
        each
        for each in family["children"][0]["enrollments"]
        if each["enrollment_id"] == story.ROBOTS
    ]

    said = wording.next_step(robots | changes, "2020-08-31")

    assert said == (
        f"Занятия с 1\u00a0сентября 2020\u00a0года по 31\u00a0декабря 2020\u00a0года.{told}"
    )


@pytest.mark.parametrize(
    ("child", "state", "today", "said", "queue"),
    [
        pytest.param(0, "ACTIVE", "2020-12-31", "Действует", "", id="on its last day"),
        pytest.param(0, "ACTIVE", "2021-01-01", "Срок закончился", "", id="after it"),
        pytest.param(0, "FROZEN", "2021-01-01", "Приостановлен", "", id="frozen says more"),
        pytest.param(
            1, "ACTIVE", "2021-01-01", "Срок закончился", "денег на сертификате не было", id="empty"
        ),
        pytest.param(
            1, "CLOSED", "2020-10-01", "Закрыт", "записаться по нему нельзя", id="closed, empty"
        ),
        pytest.param(
            1, "FROZEN", "2020-10-01", "Приостановлен", "не заключаются", id="frozen, empty"
        ),
        pytest.param(
            1, "ACTIVE", "2020-10-01", "Пока без денег", "записаться можно", id="empty, in force"
        ),
    ],
)
async def test_a_certificate_says_whether_one_may_enroll_with_it(
    journals: Journals, child: int, state: str, today: str, said: str, queue: str
) -> None:
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    of_child = family["children"][child]
    (period,) = of_child["certificate"]["periods"]
    changes = {"state": state, "periods": [period | {"queue_position": None}]}
    of_child = of_child | {"certificate": of_child["certificate"] | changes}

    shown = family_page(family | {"business_day": today, "children": [of_child]})

    certificate = shown["children"][0]["certificate"]
    assert certificate["state"] == said
    assert certificate["current"]["funded"] is not bool(queue)
    assert queue in certificate["current"]["queue"]


@pytest.mark.parametrize(
    ("ended_on", "today", "said"),
    [
        pytest.param(
            "2020-12-31",
            "2021-01-01",
            "остаток вернётся в бюджет муниципалитета — срок этих денег закончился.",
            id="with the term",
        ),
        pytest.param(
            "2020-12-25", "2021-01-02", "остаток вернётся в бюджет", id="before it, released after"
        ),
        pytest.param(
            "2020-10-15",
            "2020-10-20",
            "остаток вернётся на баланс. Потратить его можно до 31\u00a0декабря 2020\u00a0года",
            id="long before it",
        ),
        pytest.param(
            "2020-12-31", "2020-12-20", "остаток вернётся в бюджет муниципалитета.", id="to come"
        ),
        pytest.param("2020-12-20", "2020-12-10", "остаток вернётся на баланс.", id="ended ahead"),
    ],
)
async def test_where_what_is_left_goes_is_told_by_the_term_of_the_money(
    journals: Journals, ended_on: str, today: str, said: str
) -> None:
    await story.end(journals, ended_on)
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    child = family_page(family | {"business_day": today})["children"][0]

    (robots,) = [each for each in child["enrollments"] if each["id"] == story.ROBOTS]
    assert said in robots["next"]


@pytest.mark.parametrize(
    ("state", "today", "label", "said"),
    [
        pytest.param("ACTIVE", "2020-12-31", "Свободно", "", id="on the last day"),
        pytest.param("ACTIVE", "2021-01-01", "Осталось", "Потратить эти деньги", id="after it"),
        pytest.param("CLOSED", "2020-10-01", "Осталось", "Потратить эти деньги", id="closed"),
        pytest.param("FROZEN", "2020-10-01", "Свободно", "Пока сертификат", id="frozen"),
    ],
)
async def test_what_cannot_be_spent_any_more_is_not_called_free(
    journals: Journals, state: str, today: str, label: str, said: str
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    child = family["children"][0]
    child = child | {"certificate": child["certificate"] | {"state": state}}

    (shown,) = family_page(family | {"business_day": today, "children": [child]})["children"]

    period = shown["certificate"]["current"]
    assert period["spendable"] is (label == "Свободно")
    assert period["unspendable"].startswith(said)
    assert bool(period["unspendable"]) is bool(said)


async def test_a_child_of_two_payers_is_named_with_each(journals: Journals) -> None:
    await story.register_child(
        journals, story.YOUNGER, "2013-05-02", [story.GUARDIAN], payer=OTHER_PAYER
    )
    await journals.follow()
    region = Region(municipalities={PAYER: "Иркутск"})
    async with client_of(app_of(journals, region=region)) as client:
        page = (await client.get(FAMILY)).text

    for place in ("Иркутск", OTHER_PAYER):
        assert f"Платит {place}</p>" in page
        assert f"{story.YOUNGER} — {place}</a>" in page
    assert page.count("Платит ") == 2


async def test_where_no_names_are_kept_nobody_is_told_to_wait_for_them(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get(f"{FAMILY}/looks")).text

    assert "Имена здесь не хранятся, смотреть нечего." in page
    assert "через минуту" not in page


async def test_one_child_of_two_payers_is_one_child(journals: Journals) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    one = family["children"][0]

    twice = family_page(family | {"children": [one, one | {"payer": OTHER_PAYER}]})

    assert not twice["has_many"]
    assert family_page(family)["has_many"]


async def test_a_message_says_whom_it_is_about_where_there_are_more_children(
    journals: Journals,
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    about = family["messages"][0]["entries"][0]["child_id"]
    only = [child for child in family["children"] if child["child_id"] == about]

    many = messages_page(family, {about: "Аня"})["messages"][0]["title"]
    alone = messages_page(family | {"children": only}, {about: "Аня"})["messages"][0]["title"]

    assert many == f"Аня · {alone}"


async def test_an_agreement_that_ended_before_it_began_is_over_at_once(
    journals: Journals,
) -> None:
    await story.end(journals, "2020-08-31")
    await journals.follow()
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None

    child = family_page(family | {"business_day": "2020-08-30"})["children"][0]

    (robots,) = [each for each in child["enrollments"] if each["id"] == story.ROBOTS]
    assert robots["state"] == "Договор закончен"


MARKED: dict[str, Any] = {"lesson_id": "les-1", "lesson_date": "2020-10-05"}
LINES = [
    pytest.param(entry("lesson-charged", 100, **MARKED), "Списано за занятие 5", "−1,00", id="out"),
    pytest.param(
        entry("charge-reversed", 100, **MARKED), "Списание отменено: занятие 5", "+1,00", id="in"
    ),
    pytest.param(entry("lesson-not-charged", **MARKED), "Отметка: занятие 5", "", id="a mark"),
    pytest.param(entry("month-adjusted", 0), "Возвращать нечего", "", id="nothing back"),
    pytest.param(entry("month-adjusted", 250), "Возврат за месяц", "+2,50", id="something back"),
    pytest.param(entry("nominal-applied", 500), "Номинал изменился", "+5,00", id="raised"),
    pytest.param(entry("nominal-applied", -500), "Номинал изменился", "−5,00", id="lowered"),
]


@pytest.mark.parametrize(("happened", "title", "amount"), LINES)
async def test_a_line_says_what_happened_to_the_money(
    journals: Journals, happened: dict[str, object], title: str, amount: str
) -> None:
    family = await journals.queries.family(story.GUARDIAN)
    assert family is not None
    child = family["children"][0]
    by_month = child["enrollments"][0] | {
        "enrollment_id": "enr-1",
        "debit_basis": "MONTHLY_CONTRACT",
    }

    shown = family_page(
        family | {"children": [child | {"enrollments": [by_month], "history": [happened]}]}
    )

    (line,) = shown["children"][0]["history"]
    assert line.title.startswith(title)
    assert line.amount.removesuffix("\u00a0₽") == amount


# --- the picture of a purse --------------------------------------------------------------------

sums = st.integers(min_value=0, max_value=10**12)


@given(paid=sums, reserved=sums, balance=sums, expired=sums)
def test_every_part_of_a_purse_is_seen_and_together_they_fill_the_picture(
    paid: int, reserved: int, balance: int, expired: int
) -> None:
    slices = purse_picture(
        {
            "paid_kopecks": paid,
            "reserved_kopecks": reserved,
            "balance_kopecks": balance,
            "expired_kopecks": expired,
        }
    )

    assert sum(each.kopecks for each in slices) == paid + reserved + balance + expired
    assert all(each.width >= BAR_PART_MIN for each in slices)
    assert sum(each.width for each in slices) == (BAR_WIDTH if slices else 0)
    assert [each.x for each in slices] == [
        sum(before.width for before in slices[:at]) for at in range(len(slices))
    ]


@pytest.mark.parametrize(
    ("birth_date", "today", "expected"),
    [
        ("2010-09-14", "2020-09-13", "9\u00a0лет"),
        ("2010-09-14", "2020-09-14", "10\u00a0лет"),
        ("2012-02-29", "2021-02-28", "8\u00a0лет"),
        ("2012-02-29", "2021-03-01", "9\u00a0лет"),
        ("1999-01-01", None, ""),
    ],
)
def test_age_is_counted_in_full_years(birth_date: str, today: str | None, expected: str) -> None:
    assert wording.age(birth_date, today) == expected


# --- live --------------------------------------------------------------------------------------


async def test_a_change_is_told_within_two_seconds_and_what_is_others_is_not(
    journals: Journals,
) -> None:
    app = app_of(journals)
    async with (
        serving(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=10, auth=WhoeverItIsFor()
        ) as client,
    ):
        page = await client.get(FAMILY)
        live = page.text.partition('data-live="')[2].partition('"')[0]
        async with client.stream("GET", live) as stream:
            lines = stream.aiter_lines()
            assert stream.headers["content-type"].startswith("text/event-stream")
            await until(lines, ": listening")
            await story.register_child(journals, "child-00900", "2012-01-01", ["guardian-00900"])
            await journals.follow()
            with pytest.raises(TimeoutError):
                await until(lines, "event: changed", seconds=1.2)
        async with client.stream("GET", live) as stream:
            lines = stream.aiter_lines()
            await until(lines, ": listening")
            await asyncio.sleep(0.4)
            await story.charge(journals, "2020-09-16", 25_137, purse(195_604, 728_973, 75_423), 3)
            await journals.follow()
            await until(lines, "event: changed", seconds=2)


async def test_a_page_that_is_older_than_the_facts_is_told_at_once(journals: Journals) -> None:
    app = app_of(journals)
    async with (
        serving(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=10, auth=WhoeverItIsFor()
        ) as client,
        client.stream("GET", f"{FAMILY}/live?version=older") as stream,
    ):
        await until(stream.aiter_lines(), "event: changed", seconds=2)


async def test_one_person_listens_with_so_many_pages_and_each_for_so_long(
    journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "LISTENING_SECONDS_MAX", 5.0)
    monkeypatch.setattr(routes, "STAY_SECONDS_MAX", 0.2)
    async with (
        serving(app_of(journals), "127.0.0.1", 0) as port,
        AsyncExitStack() as opened,
    ):
        base_url = f"http://127.0.0.1:{port}"
        client = httpx.AsyncClient(base_url=base_url, timeout=10, auth=WhoeverItIsFor())
        await opened.enter_async_context(client)
        held = []
        for _ in range(LISTENING_OF_ONE_MAX):
            stream = await opened.enter_async_context(client.stream("GET", f"{FAMILY}/live"))
            held.append(stream.aiter_lines())
            await until(held[-1], ": listening")
        refused = await client.get(f"{FAMILY}/live")
        other = client.stream("GET", "/families/guardian-00901/live")
        await story.register_child(journals, "child-00900", "2012-01-01", ["guardian-00901"])
        await journals.follow()
        async with other as stream:
            assert stream.status_code == 200
        async with asyncio.timeout(10):
            for lines in held:
                async for _ in lines:
                    pass

    assert refused.status_code == 503
    assert "retry-after" in refused.headers


async def test_the_server_stops_while_somebody_listens(journals: Journals) -> None:
    app = app_of(journals)
    client = httpx.AsyncClient(timeout=10, auth=WhoeverItIsFor())
    async with asyncio.timeout(5):
        async with serving(app, "127.0.0.1", 0) as port:
            url = f"http://127.0.0.1:{port}{FAMILY}/live"
            stream = await client.send(client.build_request("GET", url), stream=True)
        await stream.aclose()
        await client.aclose()


async def test_a_port_that_is_taken_is_named_with_the_remedy(journals: Journals) -> None:
    app = make_app(
        journals.store,
        journals.bus,
        journals.sources,
        Host(journals.bus, {}, Telemetry()),
        Telemetry(),
        sandbox=True,
    )

    async with serving(app, "127.0.0.1", 0) as port:
        with pytest.raises(SettingError, match=rf"127.0.0.1:{port} .*PFDO_PORT"):
            async with serving(app, "127.0.0.1", port):
                pass


async def until(lines: AsyncIterator[str], wanted: str, seconds: float = 5) -> None:
    """Read lines until the wanted one. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        async for line in lines:
            if line == wanted:
                return
    raise AssertionError(f"the stream ended without {wanted!r}")


async def test_what_is_written_does_not_wait_for_what_was_written_before(
    journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []

    def create_server(*place: Any, **more: Any) -> socket.socket:
        made.append(create(*place, **more))
        return made[0]

    create = socket.create_server
    monkeypatch.setattr(socket, "create_server", create_server)
    async with serving(app_of(journals), "127.0.0.1", 0):
        # A connection has what its listener has (tcp(7)).
        assert made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@given(st.integers(1, 80), st.integers(0, 1_000_000), st.data())
def test_what_the_next_lesson_takes_adds_up_to_what_is_reserved(
    lessons: int, share: int, data: st.DataObject
) -> None:
    extra = data.draw(st.integers(0, lessons - 1))
    reserved = share * lessons + extra
    taken = []
    for charged in range(lessons):
        taken.append(
            next_debit_kopecks(
                {
                    "lessons": lessons,
                    "lessons_charged": charged,
                    "lesson_share_kopecks": share,
                    "reserved_kopecks": reserved,
                }
            )
        )
        reserved -= taken[-1]

    assert reserved == 0
    assert taken == [share + extra, *[share] * (lessons - 1)]


@pytest.mark.parametrize(
    ("charged", "today", "last"),
    [
        pytest.param(0, "2020-08-01", "2020-12-09", id="before it begins: to its very end"),
        pytest.param(0, "2020-09-01", "2020-12-09", id="on its first day"),
        pytest.param(0, "2020-09-02", "2020-12-10", id="a lesson missed leaves money"),
        pytest.param(17, "2020-11-25", "2020-12-09", id="3 lessons of 20 last 15 days of 100"),
        pytest.param(17, "2020-11-24", "2020-12-08", id="one day early, one day too few"),
        pytest.param(19, "2020-09-10", "2020-09-14", id="all but one in ten days"),
    ],
)
def test_how_long_the_money_lasts(charged: int, today: str, last: str) -> None:
    of_100_days = {
        "starts_on": "2020-09-01",
        "ends_on": "2020-12-09",
        "lessons": 20,
        "lessons_charged": charged,
    }

    assert money_lasts_until(of_100_days, date.fromisoformat(today)) == date.fromisoformat(last)


def test_nobody_says_how_long_the_money_lasts_before_the_first_business_day() -> None:
    agreement = {"starts_on": "2020-09-01", "ends_on": "2020-12-09"}

    assert money_lasts_until(agreement | {"lessons": 20, "lessons_charged": 0}, None) is None


@pytest.mark.parametrize(
    ("charged", "today", "told"),
    [
        (17, "2020-11-25", "Денег хватит до конца договора, 9\u00a0декабря 2020\u00a0года."),
        (17, "2020-11-24", "Если не пропускать, денег хватит примерно до 8\u00a0декабря"),
        (20, "2020-11-24", "дальше за занятия платит семья"),
    ],
)
async def test_a_family_reads_how_long_the_money_lasts(
    journals: Journals, charged: int, today: str, told: str
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    agreement = {
        "starts_on": "2020-09-01",
        "ends_on": "2020-12-09",
        "lessons": 20,
        "lessons_charged": charged,
        "lesson_share_kopecks": 10_000,
        "reserved_kopecks": 10_000 * (20 - charged),
    }
    (child,) = (each for each in family["children"] if each["child_id"] == story.ELDER)
    (robots,) = (each for each in child["enrollments"] if each["enrollment_id"] == story.ROBOTS)
    changed = family | {
        "business_day": today,
        "children": [child | {"enrollments": [robots | agreement]}],
    }

    (shown,) = family_page(changed)["children"][0]["enrollments"]

    assert told in " ".join(shown["outlook"])
    assert (f"спишется {100}" in " ".join(shown["outlook"])) is (charged < 20)


# --- agreements paid by the month ----------------------------------------------------------------


@given(
    st.integers(0, 400), st.integers(0, 400), st.integers(100_000, 10_000_000), st.integers(0, 14)
)
def test_the_months_ahead_are_those_billing_has_not_charged(
    begins: int, days: int, share: int, charged: int
) -> None:
    starts = date(2020, 1, 1) + timedelta(days=begins)
    ends = starts + timedelta(days=days)
    schedule = [
        PaidMonth(opens_on=each.opens_on, amount_kopecks=each.amount_kopecks)
        for each in billing_months(starts, ends, Kopecks(share))
    ]
    reserved = share - sum(each.amount_kopecks for each in schedule[:charged])

    months = months_of(starts, ends, share)

    assert months == schedule
    assert months_left(months, ends, reserved) == schedule[charged:]


MONTHLY = {
    "debit_basis": "MONTHLY_CONTRACT",
    "starts_on": "2020-09-01",
    "ends_on": "2020-12-31",
    "certificate_share_kopecks": 804_396,
    "reserved_kopecks": 804_396,
}
"""An agreement of 1,978.05 for September and 2,021.97 for each of three months (rules.md, W6)."""
FIRST = "За сентябрь 2020\u00a0года спишется 1\u00a0978,05\u00a0₽"
SECOND = "За октябрь 2020\u00a0года спишется 2\u00a0021,97\u00a0₽, не раньше 1\u00a0октября."
TO_THE_END = "Денег хватит до конца договора, 31\u00a0декабря 2020\u00a0года."


@pytest.mark.parametrize(
    ("changes", "today", "told"),
    [
        pytest.param(
            {},
            "2020-08-31",
            [f"{FIRST}, не раньше 1\u00a0сентября.", TO_THE_END],
            id="before it begins",
        ),
        pytest.param(
            {},
            "2020-09-01",
            [f"{FIRST}.", TO_THE_END],
            id="on its first day, not charged yet",
        ),
        pytest.param(
            {"reserved_kopecks": 606_591},
            "2020-09-30",
            [SECOND, TO_THE_END],
            id="the first is charged",
        ),
        pytest.param(
            {"reserved_kopecks": 0},
            "2020-12-01",
            ["За все месяцы договора деньги уже списаны."],
            id="the last is charged",
        ),
        pytest.param(
            {"reserved_kopecks": 202_197, "ended_on": "2020-10-31", "state": "ENDED"},
            "2020-09-20",
            [SECOND, TO_THE_END.replace("декабря", "октября")],
            id="it ends before its time",
        ),
        pytest.param({"reserved_kopecks": 1}, "2020-09-30", [], id="sums that do not say it"),
        pytest.param({}, None, [], id="before the first business day"),
        pytest.param(
            {"certificate_share_kopecks": 0, "reserved_kopecks": 0},
            "2020-09-30",
            [],
            id="own money",
        ),
    ],
)
async def test_a_family_that_pays_by_the_month_reads_what_comes_next(
    journals: Journals, changes: dict[str, Any], today: str | None, told: list[str]
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    (child,) = (each for each in family["children"] if each["child_id"] == story.ELDER)
    (robots,) = (each for each in child["enrollments"] if each["enrollment_id"] == story.ROBOTS)
    changed = family | {
        "business_day": today,
        "children": [child | {"enrollments": [robots | MONTHLY | changes]}],
    }

    shown = family_page(changed)
    (enrollment,) = shown["children"][0]["enrollments"]
    page = Site(sandbox=True, invented=False, papers=False).page(
        "family.html", version="v", own=False, **shown
    )

    assert enrollment["outlook"] == told
    assert all(said in bytes(page.body).decode() for said in told)


async def test_what_is_being_read_again_is_not_said_to_be_missing(journals: Journals) -> None:
    store = MemoryStore()
    again = Journals(journals.bus, store, journals.partitions)
    async with client_of(app_of(again), auth=None) as client:
        await client.post("/login/sandbox", data={"as": "auditor:"})
        page = await client.get(FAMILY)
        api = await client.get(f"/api/v1/certificates/{story.ELDER}")
        await again.follow()
        whole = await client.get(FAMILY)
        nobody = await client.get("/families/guardian-99999")

    assert (page.status_code, api.status_code) == (503, 503)
    assert "Данные обновляются" in page.text
    assert "согласитесь отправить ещё раз" in page.text
    assert (page.headers["retry-after"], api.headers["retry-after"]) == ("30", "30")
    assert (whole.status_code, nobody.status_code) == (200, 404)
    assert "Данные обновляются" not in whole.text


OFFICIAL_PAGES = (
    "/journal",
    f"/journal/{story.PROVIDER}",
    f"/journal/{story.PROVIDER}/money",
    "/console",
    *(f"/console/{PAYER}{path}" for path in ("", "/reports", "/invoices", "/rules", "/disputes")),
    *(f"/console/{PAYER}/lists/{roll}" for roll in ("holders", "queue")),
)
FILES = (
    f"/journal/{story.PROVIDER}/money.csv",
    f"/console/{PAYER}/invoices.csv",
    f"/console/{PAYER}/reports.xlsx",
    f"/console/{PAYER}/reports/coverage.csv",
    f"/console/{PAYER}/lists/holders.csv",
    f"/console/{PAYER}/lists/queue.xlsx",
    f"{FAMILY}/{story.ELDER}/certificate.pdf",
    f"{FAMILY}/{story.ELDER}/statement.pdf",
)
BEHIND = "Чего-то может пока не быть видно"


async def test_pages_say_that_a_part_is_being_read_again_and_files_wait_for_it(
    journals: Journals,
) -> None:
    again = Journals(journals.bus, MemoryStore(), journals.partitions)
    await again.follow([again.queries.partition_of(PAYER)])
    async with client_of(app_of(again, codes=Codes("k" * 32))) as client:
        said = {path: BEHIND in (await client.get(path)).text for path in OFFICIAL_PAGES}
        refused = {path: (await client.get(path)).status_code for path in FILES}
        family = await client.get(FAMILY)
        await Journals(again.bus, again.store, again.partitions).follow()
        said_later = [path for path in OFFICIAL_PAGES if BEHIND in (await client.get(path)).text]
        given = {path: (await client.get(path)).status_code for path in FILES}

    assert said == dict.fromkeys(OFFICIAL_PAGES, True)
    assert refused == dict.fromkeys(FILES, 503)
    assert BEHIND not in family.text, "all that concerns it has been read"
    assert said_later == []
    assert given == dict.fromkeys(FILES, 200)


@pytest.mark.parametrize("behind", [True, False])
async def test_a_family_is_told_while_something_may_be_missing(
    journals: Journals, *, behind: bool
) -> None:
    family: Any = await journals.queries.family(story.GUARDIAN)
    assert family["is_behind"] is False

    page = Site(sandbox=True, invented=False, papers=False).page(
        "family.html", version="v", own=False, **family_page(family | {"is_behind": behind})
    )

    assert (BEHIND in bytes(page.body).decode()) is behind
