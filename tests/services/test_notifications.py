"""The notifications service among its topics: memory bus, seeded."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
import pytest
from msgspec.structs import fields

from contracts.registry import EVENTS
from contracts.vocabulary import Channel, EventId, MessageId, RecipientId
from rulebook.loading import Rulebook
from services.notifications.domain import facts
from services.notifications.domain.rules import ROUTING
from services.notifications.service import TOLD
from services.notifications.wire import FACTS
from streaming.errors import BusUnavailableError
from tests.support.town import (
    EXAMPLES,
    MORNING,
    NOON,
    OTHER_PAYER,
    PAYER,
    Town,
    child,
    fact,
    group,
    lesson,
    open_town,
    preferences,
    report,
    rule,
    rules,
)
from tests.support.world import day, event

# --- contracts ---------------------------------------------------------------------------------

SAMPLES = [
    facts.MessageDue(
        message_id=MessageId("msg-1"),
        recipient_id=RecipientId("guard-00001"),
        channel=Channel.SMS,
        category="debit",
        template="lesson-charged",
        template_version=1,
        not_before=NOON,
        event_ids=(EventId("billing:7:4"),),
    ),
    facts.MessageSuppressed(
        recipient_id=RecipientId("guard-00001"),
        category="debit",
        reason="unwanted",
        event_ids=(EventId("billing:7:4"),),
    ),
    facts.MessageSent(message_id=MessageId("msg-1"), channel=Channel.SMS, attempts=1),
    facts.MessageFailed(
        message_id=MessageId("msg-1"), channel=Channel.SMS, attempts=3, detail="Нет ответа"
    ),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_fact_is_what_its_contract_says(sample: Any) -> None:
    model = FACTS[type(sample)]

    model.model_validate(
        {key: value for key, value in orjson.loads(msgspec.json.encode(sample)).items() if value}
    )

    own = [each.name for each in fields(sample)]
    assert own == [name for name in model.model_fields if name != "input"]


def test_there_is_a_fact_for_each_event_published() -> None:
    own = {type_ for type_ in EVENTS if type_.startswith("notifications.")}
    published = {type_ for type_ in own if "input-" not in type_}

    assert published == {model.type for model in FACTS.values()} | {
        "notifications.delivery-reported.v1"
    }
    assert {type(sample) for sample in SAMPLES} == set(FACTS)


def test_every_fact_the_table_names_is_listened_to() -> None:
    words = Rulebook.load("services.notifications").table(ROUTING).schema.inputs["event"].words  # type: ignore[union-attr]

    named = {word for word in words if (EXAMPLES / f"{word}.v1.json").exists()}
    assert named == {model.type.removesuffix(".v1") for model in TOLD}
    assert set(words) - named == {
        "billing.balance-low",
        "billing.dispute-upheld",
        "billing.lessons-left-low",
        "billing.reserve-released-late",
        "certificates.period-ends-soon",
        "enrollment.application-overdue",
        "enrollment.enrollment-ended-late",
        "enrollment.place-held-at-once",
    }


# --- who is told -------------------------------------------------------------------------------

GUARDIAN, PROVIDER, PAYERS = "guard-00001", "prov-00001", PAYER


@pytest.mark.parametrize(
    ("name", "recipients"),
    [
        pytest.param("enrollment.application-registered", [GUARDIAN], id="group unknown here"),
        pytest.param("enrollment.place-held", [GUARDIAN, PROVIDER], id="the place names its own"),
        pytest.param("enrollment.agreement-activated", [GUARDIAN, PROVIDER, PAYERS], id="agreed"),
        pytest.param("certificates.certificate-issued", [GUARDIAN], id="certificate"),
        pytest.param("certificates.nominal-changed", [GUARDIAN], id="nominal"),
        pytest.param("billing.lesson-charged", [GUARDIAN], id="lesson"),
        pytest.param("billing.charge-reversed", [GUARDIAN], id="reversal"),
        pytest.param("billing.reserve-released", [GUARDIAN], id="release"),
        pytest.param("billing.invoice-issued", [PROVIDER, PAYERS], id="invoice"),
        pytest.param("billing.invoice-settled", [PROVIDER, PAYERS], id="settlement"),
        pytest.param("billing.lesson-not-charged", [], id="nothing was charged"),
        pytest.param("enrollment.child-enrolled", [], id="told when it is active"),
        pytest.param("enrollment.group-changed", [], id="a group"),
    ],
)
async def test_who_is_told_of_a_fact(name: str, recipients: list[str]) -> None:
    town = await open_town()

    await town.hears(
        fact(
            name,
            **(
                {"child_id": "child-00001"} if "invoice" not in name and "group" not in name else {}
            ),
        )
    )

    template = name.partition(".")[2]
    assert town.told() == [(template, recipient, "cabinet") for recipient in recipients]


@pytest.mark.parametrize(
    "name", ["billing.month-charged", "billing.month-reversed", "billing.month-adjusted"]
)
async def test_a_family_that_pays_by_the_month_hears_of_months(name: str) -> None:
    town = await open_town()

    await town.hears(fact(name, child_id="child-00001"))
    await town.hears(fact(name, child_id="child-00001", month="2020-10", amount_kopecks=0))

    assert town.told() == [(name.partition(".")[2], GUARDIAN, "cabinet")]


async def test_the_provider_is_known_by_its_group_and_from_then_on() -> None:
    town = await open_town()

    await town.hears(group("prov-00009"))
    await town.hears(fact("enrollment.application-registered", child_id="child-00001"))
    await town.hears(
        fact(
            "enrollment.application-waitlisted",
            child_id="child-00001",
            enrollment_id="enr-00001",
        )
    )

    assert [told for told in town.told() if told[1] == "prov-00009"] == [
        ("application-registered", "prov-00009", "cabinet"),
        ("application-waitlisted", "prov-00009", "cabinet"),
    ]


async def test_each_guardian_of_today_is_told() -> None:
    town = await open_town()

    await town.hears(child(guardians=("guard-00002", "guard-00003"), revision=2), lesson(1, 30))

    assert town.told() == [
        ("lesson-charged", "guard-00002", "cabinet"),
        ("lesson-charged", "guard-00003", "cabinet"),
    ]


async def test_a_long_invoice_is_told_of_once() -> None:
    town = await open_town()

    await town.hears(
        fact("billing.invoice-issued", part=1, parts=2),
        fact("billing.invoice-issued", part=2, parts=2),
    )

    assert town.templates() == ["invoice-issued"] * 2
    assert len({event_id for message in town.due() for event_id in message["event_ids"]}) == 1


async def test_what_nobody_is_told_of_leaves_no_trace() -> None:
    town = await open_town()
    before = len(town.kinds())

    await town.hears(fact("billing.lesson-not-charged", child_id="child-00099"))

    assert len(town.kinds()) == before


async def test_a_message_tells_of_its_fact_and_names_nobody_by_name() -> None:
    town = await open_town()

    await town.hears(lesson(1, 30))

    (message,) = town.due()
    (record,) = town.world.records("billing.events.v1")
    assert message["event_ids"] == [record["id"]]
    assert set(message) == {field.name for field in fields(facts.MessageDue)}


# --- preferences -------------------------------------------------------------------------------


async def test_channels_are_those_of_the_latest_preferences() -> None:
    town = await open_town()

    await town.hears(preferences({"debit": ["email", "push"]}), lesson(1, 30))
    await town.hears(preferences({"debit": ["sms"]}, revision=2), lesson(2, 29))
    await town.hears(preferences({"debit": ["push"]}, revision=1), lesson(3, 28))

    assert [channel for _, _, channel in town.told()] == ["email", "push", "sms", "sms"]
    assert town.decided("preferences-set-guard-00001-1") == ["noted", "duplicate"]


async def test_an_unwanted_category_is_suppressed_with_its_reason() -> None:
    town = await open_town()

    await town.hears(preferences({"debit": []}), lesson(1, 30))

    ((kind, data),) = town.world.facts("notifications")
    (record,) = town.world.records("billing.events.v1")
    assert kind == "message-suppressed"
    assert data == {
        "recipient_id": "guard-00001",
        "category": "debit",
        "reason": "unwanted",
        "event_ids": [record["id"]],
    }


@pytest.mark.parametrize(
    ("name", "time", "on", "more", "not_before"),
    [
        pytest.param("billing.lesson-charged", NOON, "2020-09-02", {}, NOON, id="by day, at once"),
        pytest.param(
            "billing.lesson-charged",
            "2020-09-02T21:00:00+08:00",
            "2020-09-02",
            {},
            "2020-09-03T08:00:00+08:00",
            id="in the evening, next morning",
        ),
        pytest.param(
            "certificates.certificate-frozen",
            "2020-09-02T21:00:00+08:00",
            "2020-09-02",
            {},
            "2020-09-02T21:00:00+08:00",
            id="urgent, at once",
        ),
        pytest.param(
            "billing.lesson-charged",
            "2020-09-02T21:00:00+08:00",
            "2020-09-02",
            {"quiet_from": "22:00", "quiet_until": "07:30"},
            "2020-09-02T21:00:00+08:00",
            id="the guardian's own evening",
        ),
        pytest.param(
            "billing.lesson-charged",
            "2020-09-02T22:00:00+08:00",
            "2020-09-02",
            {"quiet_from": "22:00", "quiet_until": "07:30"},
            "2020-09-03T07:30:00+08:00",
            id="the guardian's own morning",
        ),
        pytest.param(
            "billing.lesson-charged",
            "2020-09-02T21:00:00+08:00",
            "2020-09-02",
            {"utc_offset": "+03:00"},
            "2020-09-02T21:00:00+08:00",
            id="where the guardian is it is afternoon",
        ),
        pytest.param(
            "billing.lesson-charged",
            "2020-09-02T12:00:00+08:00",
            "2020-09-02",
            {"utc_offset": "+03:00"},
            "2020-09-02T13:00:00+08:00",
            id="where the guardian is it is early morning",
        ),
        pytest.param(
            "billing.lesson-charged",
            "2020-09-02T11:00:00+08:00",
            "2020-09-02",
            {"utc_offset": "-03:30", "quiet_from": "23:00", "quiet_until": "07:15"},
            "2020-09-02T18:45:00+08:00",
            id="where the guardian is it is yesterday",
        ),
        pytest.param(
            "billing.lesson-charged",
            "2020-08-20T12:00:00+08:00",
            "2020-09-02",
            {},
            MORNING,
            id="decided days after its cause: not in the night of the day it was decided",
        ),
        pytest.param(
            "billing.lesson-charged",
            "2016-12-31T23:59:60Z",
            "2020-09-02",
            {},
            MORNING,
            id="a leap second stops nobody",
        ),
        pytest.param(
            "billing.lesson-charged",
            "9999-12-31T23:59:59z",
            "2020-09-02",
            {},
            MORNING,
            id="nor does the end of the calendar",
        ),
    ],
)
async def test_when_a_message_may_come(
    name: str, time: str, on: str, more: Mapping[str, str], not_before: str
) -> None:
    town = await open_town()
    await town.hears(preferences({}, **dict[str, Any](more)))

    await town.hears(fact(name, time=time, on=on, child_id="child-00001"))

    assert [message["not_before"] for message in town.due()] == [not_before]


async def test_a_time_at_the_end_of_the_calendar_before_the_first_business_day() -> None:
    town = Town()
    await town.hears(child())
    told = fact("billing.lesson-charged", time="9999-12-31T22:00:00+08:00")
    del told["businessday"]

    await town.hears(told)

    # The last day that can be counted with.
    assert [message["not_before"] for message in town.due()] == ["2999-12-31T08:00:00+08:00"]


# --- lessons run out ---------------------------------------------------------------------------


async def test_that_lessons_run_out_is_said_once_for_each_crossing() -> None:
    town = await open_town()
    reversed_ = fact("billing.charge-reversed", lessons_left=4)

    for one in (lesson(1, 4), lesson(2, 3), lesson(3, 2), lesson(4, 1)):
        await town.hears(one)
    await town.hears(reversed_, lesson(5, 3), lesson(6, 2))

    assert town.templates() == [
        "lesson-charged",
        "lessons-left-low",
        "lesson-charged",
        "lesson-charged",
        "charge-reversed",
        "lessons-left-low",
        "lesson-charged",
    ]


async def test_one_message_for_each_event_person_and_channel() -> None:
    town = await open_town()
    await town.hears(child(guardians=("guard-00001", "guard-00002"), revision=2))
    await town.hears(preferences({"debit": ["email", "email", "cabinet"]}))
    await town.hears(
        rules(
            rule("again", "billing.lesson-charged", "of-the-town"),
            rule("provider-too", "billing.lessons-left-low", "lessons-left-low", "provider"),
        )
    )

    for number in range(5):
        await town.hears(lesson(number, 5 - number))

    told = Counter(
        (event_id, message["recipient_id"], message["channel"])
        for message in town.due()
        for event_id in message["event_ids"]
    )
    ids = [message["message_id"] for message in town.due()]
    assert set(told.values()) == {1}
    assert len(told) == 5 * 3 + 1
    assert len(set(ids)) == len(ids)


# --- disputes ----------------------------------------------------------------------------------


async def test_a_dispute_is_told_to_who_can_answer_and_its_answer_to_the_family() -> None:
    town = await open_town()
    corrected: dict[str, Any] = {
        "outcome": "corrected",
        "by": None,
        "evidence": None,
        "lesson_id": "les-00002",
    }

    await town.hears(fact("billing.dispute-opened"), fact("billing.dispute-settled"))
    await town.hears(fact("billing.dispute-settled", **corrected))

    assert [(message["recipient_id"], message["template"]) for message in town.due()] == [
        ("prov-00001", "dispute-opened"),
        (PAYER, "dispute-opened"),
        ("guard-00001", "dispute-upheld"),
    ]


# --- waiting -----------------------------------------------------------------------------------


async def test_facts_about_an_unknown_child_wait_and_keep_their_order() -> None:
    town = Town()
    await town.hears(day("2020-09-02"))

    await town.hears(lesson(1, 30), fact("certificates.certificate-issued"), lesson(2, 3))
    waiting = town.told()
    for later in ("2020-10-02", "2020-10-03", "2021-06-01"):
        await town.hears(day(later))
    await town.hears(child())

    assert waiting == []
    assert sorted(town.templates()) == ["certificate-issued", "lesson-charged", "lessons-left-low"]
    assert town.kinds().count("input-refused") == 0
    assert {message["not_before"] for message in town.due()} == {"2021-06-01T08:00:00+08:00"}


async def test_a_child_of_another_payer_is_another_child() -> None:
    town = await open_town()

    await town.hears(fact("billing.lesson-charged", payer=OTHER_PAYER))

    assert town.told() == []
    assert town.kinds()[-1] == "input-parked"


# --- a payer's own routing ---------------------------------------------------------------------


async def test_a_payers_rows_replace_and_add_from_their_day_on() -> None:
    town = await open_town()

    await town.hears(
        rules(
            rule("lesson-charged-to-guardians", "billing.lesson-charged", "town-lesson"),
            rule("expired", "billing.period-expired", "town-expired", "payer", "certificate"),
            from_="2020-09-03",
        )
    )
    await town.hears(lesson(1, 30))
    await town.hears(day("2020-09-03"))
    await town.hears(lesson(2, 29, on="2020-09-03"))
    await town.hears(fact("billing.period-expired", on="2020-09-03"))

    assert town.told() == [
        ("lesson-charged", "guard-00001", "cabinet"),
        ("town-lesson", "guard-00001", "cabinet"),
        ("town-expired", PAYER, "cabinet"),
    ]


@pytest.mark.parametrize(
    "order", [pytest.param(1, id="in order"), pytest.param(-1, id="the later paper came first")]
)
async def test_the_latest_day_and_of_one_day_the_latest_paper_holds(order: int) -> None:
    town = await open_town()
    papers = [
        rules(rule("own", "billing.period-expired", template), from_=from_, published=published)
        for template, from_, published in (
            ("first", "2020-09-01", "2020-08-31"),
            ("second", "2020-09-02", "2020-08-20"),
            ("third", "2020-09-02", "2020-08-21"),
            ("fourth", "2020-09-03", "2020-08-15"),
        )
    ]

    for paper in papers[::order]:
        await town.hears(paper)
    await town.hears(fact("billing.period-expired"))

    assert town.templates() == ["third"]


async def test_rows_that_are_not_whole_are_refused_and_change_nothing() -> None:
    town = await open_town()
    broken = rule("lesson-charged-to-guardians", "billing.lesson-charged", "town", "neighbours")

    await town.hears(rules(broken))
    await town.hears(lesson(1, 30))

    assert town.decided("rules-2020-09-01-2020-08-20") == ["refused:rules_invalid"]
    assert town.templates() == ["lesson-charged"]


async def test_tables_of_others_are_none_of_ours() -> None:
    town = await open_town()
    before = town.kinds()
    data = {
        "table": "billing.days",
        "from": "2020-09-01",
        "published": "2020-08-20",
        "basis": "Постановление",
        "rows": [],
    }

    await town.hears(event("payers.rules-published", PAYER, "billing.days", data))

    assert town.kinds() == before


# --- what became of a message ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reports", "facts_", "decisions"),
    [
        pytest.param([("sent", 1)], ["message-sent"], ["applied"], id="sent"),
        pytest.param([("failed", 1)], ["message-failed"], ["applied"], id="failed"),
        pytest.param(
            [("failed", 1), ("sent", 2)],
            ["message-failed", "message-sent"],
            ["applied", "applied"],
            id="tried again",
        ),
        pytest.param(
            [("sent", 2), ("failed", 1)],
            ["message-sent"],
            ["applied", "duplicate"],
            id="an earlier attempt, heard of later",
        ),
        pytest.param(
            [("sent", 1), ("failed", 1)],
            ["message-sent"],
            ["applied", "refused:conflict"],
            id="two words about one attempt",
        ),
    ],
)
async def test_delivery_reports(
    reports: list[tuple[str, int]], facts_: list[str], decisions: list[str]
) -> None:
    town = await open_town()
    await town.hears(preferences({"debit": ["sms"]}), lesson(1, 30))
    (message,) = town.due()
    heard = [report(message, status, attempts) for status, attempts in reports]

    for one in heard:
        await town.hears(one)

    published = [kind for kind, _ in town.world.facts("notifications")]
    assert published == ["message-due", *facts_]
    assert [town.decided(one["id"])[0] for one in heard] == decisions


# --- replay ------------------------------------------------------------------------------------


def everything() -> list[dict[str, Any]]:
    return [
        lesson(1, 30),
        child(),
        child(guardians=("guard-00001", "guard-00002"), revision=2),
        group(),
        preferences({"debit": ["sms", "email"], "certificate": []}),
        rules(rule("own", "billing.period-expired", "town")),
        rules(rule("own", "billing.period-expired", "town", "nobody"), published="2020-08-25"),
        fact("enrollment.application-registered"),
        fact("enrollment.place-held"),
        fact("enrollment.agreement-activated"),
        fact("certificates.certificate-issued"),
        lesson(2, 3),
        fact("billing.charge-reversed", lessons_left=4),
        fact("billing.period-expired"),
        fact("billing.lesson-charged", child_id="child-00077", enrollment_id="enr-00077"),
        day("2020-09-03"),
        lesson(3, 3, on="2020-09-03"),
    ]


@pytest.mark.parametrize("cached_max", [1, 50_000])
async def test_a_lost_store_is_folded_from_the_journal_and_tells_nobody_again(
    cached_max: int,
) -> None:
    town = Town(cached_max=cached_max)
    await town.hears(day("2020-09-02"))
    for one in everything():
        await town.hears(one)
    kept, journal_before = await town.world.state("notifications"), town.kinds()

    rebuilt = await town.rebuilt()

    assert rebuilt == kept
    assert town.kinds() == journal_before
    assert town.due() != []


async def test_all_inputs_again_change_nothing() -> None:
    town = Town()
    await town.hears(day("2020-09-02"))
    for one in everything():
        await town.hears(one)
    told = town.due()

    for one in everything():
        if not one["source"].startswith("/services/"):
            await town.hears(one | {"id": f"{one['id']}-again"})

    assert town.due() == told


@pytest.mark.parametrize("point", ["append:before", "append:inside", "append:after"])
async def test_a_crash_around_publishing_tells_everybody_once(point: str) -> None:
    town = await open_town()
    struck: list[str] = []

    def strike(at: str, subject: str) -> None:
        if at == point and not struck:
            struck.append(subject)
            raise BusUnavailableError(at)

    town.world.bus_fault = strike
    await town.hears(lesson(1, 30), lesson(2, 29))

    assert struck == ["notifications-0"]
    assert [len(message["event_ids"]) for message in town.due()] == [1, 1]
    assert len({message["message_id"] for message in town.due()}) == 2
