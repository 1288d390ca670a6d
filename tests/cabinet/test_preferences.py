"""Which messages come how and when: what stands in the log is shown, and a form changes it."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from contracts.sources import load_sources
from services.cabinet import sending
from services.cabinet.app import make_app
from services.cabinet.pages import preferences as shown
from services.cabinet.pages.forms import FormError, fields_of
from services.cabinet.pages.preferences import preferences_page
from services.cabinet.preference_queries import PreferenceQueries
from services.cabinet.projections import cabinet
from services.notifications.domain import hours
from services.notifications.domain.people import USUAL
from services.notifications.service import notifications
from streaming.follower import Follower
from streaming.host import Host
from streaming.memory_store import MemoryStore
from streaming.telemetry import Telemetry
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.forms import beside, forms_of, typed
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals, input_of
from tests.cabinet.test_with_services import ENROLLMENT, enrolled_world
from tests.support.world import World, day, event

PAGE = f"/families/{story.GUARDIAN}/preferences"
FORM = {"content-type": "application/x-www-form-urlencoded"}
SET = "navigator.preferences-set"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No services run beside the page: there is nothing to wait for."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)


def read_preferences(body: str, known: dict[str, Any]) -> shown.Chosen:
    """Return what a form says."""
    return shown.read_preferences(fields_of(body, shown.FIELDS_MAX), known)


def said(revision: int = 1, **changes: Any) -> dict[str, Any]:
    """Return what the guardian of the story says."""
    return {
        "guardian_id": story.GUARDIAN,
        "channels": {"debit": ["cabinet", "email"]},
        "digest": False,
        "revision": revision,
    } | changes


def form(revision: Any = 0, **changes: Any) -> str:
    """Return the form as a browser sends it; a box that is not ticked is not in it."""
    fields = {"revision": revision, "quiet-from": "21:00", "quiet-until": "08:00"} | changes
    return urlencode({k: v for k, v in fields.items() if v is not None}, doseq=True)


@pytest.fixture
async def client(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that cabinet, in the sandbox."""
    async with client_of(app_of(journals)) as opened:
        yield opened


async def sent(journals: Journals) -> list[dict[str, Any]]:
    """Return the events that pages sent as the Navigator."""
    bus: Any = journals.bus
    return [
        json.loads(record.value)
        for number in range(journals.partitions)
        for record in bus.log.log("navigator.events.v1", number).records
    ]


# --- the projection ----------------------------------------------------------------------------


async def known(journals: Journals) -> dict[str, Any]:
    """Return what is known of the guardian of the story."""
    await journals.follow()
    found = await PreferenceQueries(journals.store, journals.partitions).preferences(story.GUARDIAN)
    assert found is not None
    return found


async def test_what_was_accepted_last_stands_as_it_was_said(journals: Journals) -> None:
    await journals.noted("notifications", SET, said(1))
    await journals.noted(
        "notifications",
        SET,
        said(3, channels={"debit": []}, quiet_from="22:30", quiet_until="07:00", digest=True)
        | {"utc_offset": "+03:00"},
    )

    (now,) = (await known(journals))["said"]

    assert now == {
        "payer": PAYER,
        "revision": 3,
        "is_set": True,
        "channels": {"debit": []},
        "quiet_from": "22:30",
        "quiet_until": "07:00",
        "utc_offset": "+03:00",
        "digest": True,
    }


async def test_what_was_refused_uses_its_revision_up_and_changes_nothing_else(
    journals: Journals,
) -> None:
    await journals.noted("notifications", SET, said(1))
    refused = {"reason": "conflict", "detail": "Уже сказано другое."}
    await journals.fact(
        "notifications.input-refused", refused, input_=input_of(SET, said(2, digest=True))
    )

    (now,) = (await known(journals))["said"]

    assert (now["revision"], now["digest"], now["channels"]) == (2, False, said()["channels"])


async def test_what_others_note_of_it_changes_nothing(journals: Journals) -> None:
    await journals.noted("enrollment", SET, said(1))

    (now,) = (await known(journals))["said"]

    assert (now["revision"], now["is_set"]) == (0, False)


async def test_who_has_no_children_here_has_no_preferences(journals: Journals) -> None:
    queries = PreferenceQueries(journals.store, journals.partitions)

    assert await queries.preferences("guardian-99999") is None


# --- what the page shows -----------------------------------------------------------------------


def test_what_holds_for_who_said_nothing_is_what_notifications_do() -> None:
    page = preferences_page(found())

    assert (page["quiet_from"], page["quiet_until"]) == (
        hours.QUIET_FROM.isoformat("minutes"),
        hours.QUIET_UNTIL.isoformat("minutes"),
    )
    assert page["digest"] is USUAL.digest
    for each in page["categories"]:
        assert each["is_here"]
        assert [way for way, _, is_chosen in each["ways"] if is_chosen] == []
        assert [channel.value for channel in USUAL.channels_for(each["id"])] == ["cabinet"]


def found(*said_: dict[str, Any]) -> dict[str, Any]:
    """Return an answer of the queries, by default of a guardian who said nothing."""
    nothing = {
        "payer": PAYER,
        "revision": 0,
        "is_set": False,
        "channels": {},
        "quiet_from": None,
        "quiet_until": None,
        "utc_offset": None,
        "digest": False,
    }
    told = [
        {"category": "debit", "urgent": False, "says": "За занятие списаны средства"},
        {"category": "agreement", "urgent": True, "says": "Зачисление отменено"},
    ]
    return {
        "guardian_id": story.GUARDIAN,
        "said": [nothing | each for each in said_] or [nothing],
        "told": told,
    }


async def test_the_page_says_what_is_told_and_what_cannot_be_switched_off(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get(PAGE)).text

    for seen in (
        "О списаниях",
        "О сертификате",
        "За занятие списаны средства",
        "Срочное придёт сразу, даже ночью:</b> действие сертификата приостановлено",
        "Что нельзя отключить",
        'value="+08:00" selected>Иркутск (UTC+8)',
        'value="21:00"',
        "Вы ещё ничего не меняли",
    ):
        assert seen in page, seen
    # Nobody here is told of invoices: those are for providers and payers.
    assert "О счетах" not in page


async def test_what_a_payers_own_rules_tell_is_on_the_page(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    row = {
        "id": "expired-to-guardians",
        "when": {"event": "billing.period-expired"},
        "then": {
            "recipient": "guardians",
            "category": "debit",
            "template": "period-expired",
            "urgent": True,
        },
        "says": "Период закончился",
    }
    rules = {
        "table": "notifications.routing",
        "from": "2020-09-01",
        "published": "2020-08-20",
        "basis": "Приказ 1",
        "rows": [row],
    }
    await journals.noted("notifications", "payers.rules-published", rules)
    await journals.follow()

    page = (await client.get(PAGE)).text

    assert "даже ночью:</b> период закончился." in page


async def test_a_category_that_came_nowhere_says_that_it_will_come_here(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await journals.noted("notifications", SET, said(1, channels={"debit": []}))
    await journals.follow()

    page = (await client.get(PAGE)).text

    assert page.count("Сейчас сюда, в кабинет, об этом не пишем.") == 1


# --- what a form becomes -----------------------------------------------------------------------


async def test_a_form_becomes_an_event_of_the_next_revision(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await journals.noted("notifications", SET, said(4, channels={"news": ["sms"]}))
    await journals.follow()

    answer = await client.post(
        PAGE,
        content=form(4, **{"to-debit": ["push", "email"], "digest": "on"}),
        headers=FORM,
    )

    (told,) = await sent(journals)
    assert answer.status_code == 303
    assert told["type"] == f"{SET}.v1"
    assert told["source"] == "/navigator"
    assert told["partitionkey"] == PAYER
    assert told["data"] == {
        "guardian_id": story.GUARDIAN,
        "channels": {
            # What the page does not show stays as it was.
            "news": ["sms"],
            "application": ["cabinet"],
            "certificate": ["cabinet"],
            "agreement": ["cabinet"],
            "debit": ["cabinet", "email", "push"],
        },
        "quiet_from": "21:00",
        "quiet_until": "08:00",
        "digest": True,
        "revision": 5,
    }


@pytest.mark.parametrize(
    ("known", "zone", "told"),
    [
        pytest.param(None, "+08:00", None, id="the usual one needs no word"),
        pytest.param(None, "+03:00", "+03:00", id="another"),
        pytest.param("+03:00", "+08:00", None, id="back to the usual one"),
        pytest.param("+01:00", "+01:00", "+01:00", id="one that another system named"),
        pytest.param("+03:00", None, "+03:00", id="of a page of before, it stays"),
    ],
)
async def test_quiet_hours_are_those_of_the_zone_a_guardian_chose(
    journals: Journals, client: httpx.AsyncClient, known: str | None, zone: str | None, told: str
) -> None:
    if known is not None:
        await journals.noted("notifications", SET, said(1) | {"utc_offset": known})
        await journals.follow()
    chosen = {} if zone is None else {"zone": zone}

    answer = await client.post(PAGE, content=form(1 if known else 0, **chosen), headers=FORM)

    (event,) = await sent(journals)
    await journals.noted("notifications", SET, event["data"])
    await journals.follow()
    page = (await client.get(answer.headers["location"])).text
    assert event["data"].get("utc_offset") == told
    assert f'value="{told or "+08:00"}" selected' in page
    assert "Сохранено." in page


async def test_a_zone_that_is_none_is_not_sent(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    answer = await client.post(PAGE, content=form(zone="+01:00"), headers=FORM)

    assert answer.status_code == 422
    assert await sent(journals) == []


async def test_a_form_that_arrives_twice_is_the_same_event(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    await client.post(PAGE, content=form(), headers=FORM)
    await client.post(PAGE, content=form(), headers=FORM)
    await client.post(PAGE, content=form(digest="on"), headers=FORM)

    first, second, other = await sent(journals)

    assert (first["id"], first["data"]) == (second["id"], second["data"])
    assert other["id"] != first["id"]
    assert other["data"]["revision"] == first["data"]["revision"]


async def test_each_payer_of_the_familys_children_hears_it(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    child = {
        "child_id": "child-00055",
        "birth_date": "2012-01-01",
        "guardian_ids": [story.GUARDIAN],
        "benefits": [],
        "revision": 1,
    }
    await journals.noted("enrollment", "navigator.child-registered", child, payer=OTHER_PAYER)
    await journals.noted("notifications", SET, said(2))
    await journals.follow()

    before = (await client.get(PAGE)).text
    await client.post(PAGE, content=form(2), headers=FORM)

    told = await sent(journals)
    assert "Для части детей настройки другие" in before
    assert {each["partitionkey"] for each in told} == {PAYER, OTHER_PAYER}
    assert {each["data"]["revision"] for each in told} == {3}


async def test_until_it_is_decided_the_page_shows_what_was_and_says_so(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    answer = await client.post(PAGE, content=form(**{"to-debit": "sms"}), headers=FORM)
    after = answer.headers["location"]

    waits = (await client.get(after)).text
    (told,) = await sent(journals)
    await journals.noted("notifications", SET, told["data"])
    await journals.follow()
    saved = (await client.get(after)).text

    chosen = 'value="sms" checked'
    assert ("Сохраняем." in waits, chosen in waits) == (True, False)
    assert ("Сохранено." in saved, chosen in saved) == (True, True)


async def test_who_was_overtaken_reads_so_and_sees_what_holds(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    answer = await client.post(PAGE, content=form(**{"to-debit": "sms"}), headers=FORM)
    await journals.noted("notifications", SET, said(1))
    await journals.follow()

    page = (await client.get(answer.headers["location"])).text

    assert "настройки изменили в другом месте" in page
    assert 'name="to-debit" value="email" checked' in page


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(**{"quiet-from": "25:00"}), id="no time"),
        pytest.param(form(**{"quiet-until": None}), id="half of the hours"),
        pytest.param(form(**{"to-debit": "pigeon"}), id="no channel"),
        pytest.param(form(**{"to-debit": "cabinet"}), id="what is always there cannot be chosen"),
        pytest.param(form(revision=-1), id="no revision"),
        pytest.param(form(revision=10**11), id="a revision out of reach"),
        pytest.param(form(revision=None), id="without revision"),
        pytest.param("&".join(f"a{n}=1" for n in range(200)), id="too many fields"),
    ],
)
async def test_what_is_no_form_of_ours_sends_nothing_and_says_why(
    journals: Journals, client: httpx.AsyncClient, body: str
) -> None:
    answer = await client.post(PAGE, content=body, headers=FORM)

    assert answer.status_code == 422
    assert "data-problem" in answer.text
    assert await sent(journals) == []


@pytest.mark.parametrize("field", ["quiet-from", "quiet-until"])
async def test_what_was_chosen_stands_in_the_form_with_what_is_wrong_beside_its_field(
    client: httpx.AsyncClient, field: str
) -> None:
    chosen = {"to-debit": ["sms"], "zone": "+07:00", "digest": "on", "quiet-from": "22:30"}
    body = form(**chosen | {field: "9 вечера"})

    answer = await client.post(PAGE, content=body, headers=FORM)

    (shown_again,) = forms_of(answer.text, PAGE)
    assert answer.status_code == 422
    assert shown_again == typed(body)
    assert beside(answer.text) == (
        field,
        "Время пишется так: 21:00. Исправьте тихие часы и сохраните ещё раз.",
    )


async def test_a_form_that_is_too_long_is_not_read(
    journals: Journals, client: httpx.AsyncClient
) -> None:
    answer = await client.post(PAGE, content=form(x="ы" * 2_000), headers=FORM)

    assert answer.status_code == 422
    assert await sent(journals) == []


def test_no_quiet_hours_are_hours_that_begin_when_they_end() -> None:
    chosen = read_preferences(form(**{"any-time": "on", "quiet-from": ""}), found())
    quiet = {"quiet_from": chosen.quiet_from, "quiet_until": chosen.quiet_until}
    page = preferences_page(found(quiet | {"is_set": True, "revision": 1}))

    assert chosen.quiet_from == chosen.quiet_until
    assert not page["is_quiet"]
    # Who wants some again is offered the usual ones.
    assert (page["quiet_from"], page["quiet_until"]) == (shown.QUIET_FROM, shown.QUIET_UNTIL)


def test_a_form_without_hours_is_refused() -> None:
    with pytest.raises(FormError, match="21:00"):
        read_preferences(form(**{"quiet-from": ""}), found())


# --- with the services -------------------------------------------------------------------------


class Home:
    """A family at its cabinet, beside the services that decide."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = MemoryStore()
        host = Host(world.bus, {}, Telemetry())
        app = make_app(self.store, world.bus, load_sources(), host, Telemetry(), sandbox=True)
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

    async def choose(self, body: str) -> str:
        """Send the form; return the page that follows once everything is decided."""
        answer = await self.client.post(PAGE, content=body, headers=FORM)
        assert answer.status_code == 303
        await self.catch_up()
        return (await self.client.get(answer.headers["location"])).text

    async def mark(self, date: str) -> None:
        """A child comes to a lesson, and its teacher says so in the night."""
        await self.world.publish(day(date))
        await self.world.settle()
        data = story.lesson(date, "present", 1) | {"evidence": "journal"}
        more = {"id": f"mark-{date}", "time": f"{date}T23:30:00+08:00"}
        await self.world.publish(event("attendance.lesson-marked", PAYER, ENROLLMENT, data, **more))
        await self.catch_up()

    async def end(self, date: str) -> None:
        """The agreement ends, in the night too: that is urgent."""
        data = {
            "enrollment_id": ENROLLMENT,
            "by": "provider",
            "notice_on": date,
            "reason": "Группа закрыта",
        }
        more = {"time": f"{date}T23:40:00+08:00"}
        await self.world.publish(
            event("navigator.enrollment-terminated", PAYER, ENROLLMENT, data, **more)
        )
        await self.catch_up()

    def told(self, template: str) -> list[tuple[str, str]]:
        """Return by which channels the guardian is told of something, and not before when."""
        return sorted(
            (each["data"]["channel"], each["data"]["not_before"])
            for each in self.world.journal("notifications", "message-due")
            if each["data"]["template"] == template
            and each["data"]["recipient_id"] == story.GUARDIAN
        )


async def test_a_choice_silences_mail_and_keeps_the_night_but_never_what_is_urgent() -> None:
    home = Home(await enrolled_world(0, notifications))
    await home.catch_up()
    both = {"to-debit": "email", "to-agreement": "email"}

    first = await home.choose(form(**both))
    await home.mark("2020-09-02")
    with_mail = home.told("lesson-charged")
    second = await home.choose(form(1, **{"quiet-from": "20:00", "quiet-until": "10:00"}))
    await home.mark("2020-09-03")
    await home.end("2020-09-03")

    assert "Сохранено." in first
    assert "Сохранено." in second
    assert with_mail == [
        ("cabinet", "2020-09-03T08:00:00+08:00"),
        ("email", "2020-09-03T08:00:00+08:00"),
    ]
    assert home.told("lesson-charged") == [
        ("cabinet", "2020-09-03T08:00:00+08:00"),
        ("cabinet", "2020-09-04T10:00:00+08:00"),
        ("email", "2020-09-03T08:00:00+08:00"),
    ]
    # By no mail, since none is wanted any more; here, and at once.
    assert home.told("enrollment-ended") == [("cabinet", "2020-09-03T23:40:00+08:00")]


async def test_mail_that_is_wanted_for_agreements_brings_what_is_urgent_in_the_night() -> None:
    home = Home(await enrolled_world(1, notifications))
    await home.catch_up()

    await home.choose(form(**{"to-agreement": "email", "digest": "on"}))
    await home.mark("2020-09-02")
    await home.end("2020-09-02")

    assert home.told("lesson-charged") == [("cabinet", "2020-09-03T08:00:00+08:00")]
    assert home.told("enrollment-ended") == [
        ("cabinet", "2020-09-02T23:40:00+08:00"),
        ("email", "2020-09-02T23:40:00+08:00"),
    ]


async def test_the_last_form_holds_and_one_from_an_older_page_does_not() -> None:
    home = Home(await enrolled_world(2, notifications))
    await home.catch_up()

    await home.choose(form(**{"to-debit": "email"}))
    overtaken = await home.choose(form(**{"to-debit": "sms"}))
    copied = await home.choose(form(**{"to-debit": "email"}))
    await home.mark("2020-09-02")

    assert "настройки изменили в другом месте" in overtaken
    assert "Сохранено." in copied
    assert [channel for channel, _ in home.told("lesson-charged")] == ["cabinet", "email"]
