"""What notifications tells because of days and thresholds: answers, money, digests."""

from collections.abc import Mapping
from datetime import date
from typing import Any, cast

import pytest

from contracts.vocabulary import Channel, EventId, MessageId, RecipientId
from services.notifications.domain.facts import MessageDue
from services.notifications.domain.messages import DIGEST_EVENTS_MAX
from services.notifications.domain.people import About, Digest, Purse
from services.notifications.domain.texts import DIGEST
from services.notifications.state import evolve_due
from streaming.view import State
from tests.support.town import (
    NOON,
    PAYER,
    Town,
    child,
    example_data,
    fact,
    group,
    lesson,
    open_town,
    preferences,
    rule,
    rules,
)
from tests.support.world import day

PROVIDER = "prov-00001"
REGISTERED = fact("enrollment.application-registered")
OVERDUE, ENDS_SOON, LOW = "application-overdue", "period-ends-soon", "balance-low"


def purse(balance: int, nominal: int = 1_000_000) -> dict[str, int]:
    return {
        "nominal_kopecks": nominal,
        "balance_kopecks": balance,
        "reserved_kopecks": nominal - balance,
        "paid_kopecks": 0,
        "expired_kopecks": 0,
    }


def of(town: Town, template: str) -> list[tuple[str, str]]:
    """Return (recipient, not before) of the messages of a template."""
    return [(m["recipient_id"], m["not_before"]) for m in town.due() if m["template"] == template]


# --- applications that wait for an answer -------------------------------------------------------


def held(*, auto_accept: bool = False, **more: Any) -> dict[str, Any]:
    terms = example_data("enrollment.place-held")["terms"] | {"auto_accept": auto_accept}
    return fact("enrollment.place-held", terms=terms, **more)


async def test_after_five_days_provider_and_payer_hear_that_an_answer_is_owed() -> None:
    town = await open_town()
    await town.hears(REGISTERED, held())

    await town.hears(day("2020-09-06"))
    before = of(town, OVERDUE)
    await town.hears(day("2020-09-07"))
    await town.hears(day("2020-09-08"))

    assert before == []
    assert of(town, OVERDUE) == [
        (PROVIDER, "2020-09-07T08:00:00+08:00"),
        (PAYER, "2020-09-07T08:00:00+08:00"),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(fact("enrollment.child-enrolled", on="2020-09-06"), id="accepted"),
        pytest.param(
            fact(
                "enrollment.application-refused",
                enrollment_id="enr-00001",
                child_id="child-00001",
                on="2020-09-06",
            ),
            id="refused",
        ),
    ],
)
async def test_who_answered_owes_nothing(answer: Mapping[str, Any]) -> None:
    town = await open_town()
    await town.hears(REGISTERED, held(), day("2020-09-06"), answer)

    await town.hears(day("2020-09-07"), day("2020-09-20"))

    assert of(town, OVERDUE) == []


async def test_a_place_that_is_accepted_by_itself_waits_for_nobody() -> None:
    town = await open_town()
    await town.hears(REGISTERED, held(auto_accept=True))
    told = town.told()[1:]

    await town.hears(day("2020-09-20"))

    assert of(town, OVERDUE) == []
    assert told == [
        ("place-held-at-once", "guard-00001", "cabinet"),
        ("place-held-at-once", PROVIDER, "cabinet"),
    ]


# --- money that is left -------------------------------------------------------------------------


def issued(**more: Any) -> dict[str, Any]:
    return fact("certificates.certificate-issued", **more)


def opened(balance: int, **more: Any) -> dict[str, Any]:
    return fact("billing.account-opened", purse=purse(balance, max(balance, 1)), **more)


async def test_thirty_and_seven_days_before_its_end_a_family_hears_of_money_left() -> None:
    town = await open_town()
    await town.hears(issued(), opened(1_000_000))

    told = []
    for one in ("2020-11-30", "2020-12-01", "2020-12-02", "2020-12-23", "2020-12-24", "2020-12-31"):
        before = len(of(town, ENDS_SOON))
        await town.hears(day(one))
        told += [one] * (len(of(town, ENDS_SOON)) - before)

    assert told == ["2020-12-01", "2020-12-24"]
    assert {recipient for recipient, _ in of(town, ENDS_SOON)} == {"guard-00001"}
    assert len({m["message_id"] for m in town.due()}) == len(town.due())


async def test_who_has_nothing_left_is_not_reminded() -> None:
    town = await open_town()
    await town.hears(issued(), opened(1_000_000))
    await town.hears(
        fact("enrollment.child-enrolled"),
        fact("billing.funds-reserved", purse=purse(0), total_kopecks=1_000_000),
    )

    await town.hears(day("2020-12-01"), day("2020-12-24"))

    assert of(town, ENDS_SOON) == []


async def test_what_comes_back_is_money_left() -> None:
    town = await open_town()
    await town.hears(issued(), opened(1_000_000))
    await town.hears(
        fact("enrollment.child-enrolled"),
        fact("billing.funds-reserved", purse=purse(0), total_kopecks=1_000_000),
        day("2020-12-20"),
        fact("billing.reserve-released", purse=purse(1), on="2020-12-20"),
    )

    await town.hears(day("2020-12-24"))

    assert len(of(town, ENDS_SOON)) == 1


async def test_of_days_that_were_passed_over_the_last_reminder_speaks() -> None:
    town = await open_town()
    await town.hears(issued(), opened(1_000_000))

    await town.hears(day("2020-12-26"))

    assert len(of(town, ENDS_SOON)) == 1


async def test_each_child_has_money_of_its_own() -> None:
    town = await open_town()
    await town.hears(child("child-00002"))
    await town.hears(
        issued(),
        issued(child_id="child-00002"),
        opened(1_000_000),
        opened(500_000, child_id="child-00002"),
    )

    await town.hears(day("2020-12-24"))

    assert len(of(town, ENDS_SOON)) == 2
    assert len({m["message_id"] for m in town.due()}) == len(town.due())


@pytest.mark.parametrize(
    ("on", "released", "ended"),
    [
        pytest.param("2020-12-31", "reserve-released", "enrollment-ended", id="on the last day"),
        pytest.param(
            "2021-01-01", "reserve-released-late", "enrollment-ended-late", id="a day after it"
        ),
    ],
)
async def test_what_comes_back_after_the_end_is_not_said_to_be_there(
    on: str, released: str, ended: str
) -> None:
    town = await open_town()
    await town.hears(issued(), fact("enrollment.child-enrolled"), day(on))
    before = len(town.told())

    await town.hears(
        fact("enrollment.enrollment-ended", on=on), fact("billing.reserve-released", on=on)
    )

    assert sorted(town.told()[before:]) == sorted(
        [
            (ended, "guard-00001", "cabinet"),
            ("enrollment-ended", PROVIDER, "cabinet"),
            (released, "guard-00001", "cabinet"),
        ]
    )


# --- money that runs low ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        pytest.param(25_137, [], id="one lesson more"),
        pytest.param(25_136, ["guard-00001"], id="one kopeck less than a lesson"),
    ],
)
async def test_money_for_less_than_one_lesson(balance: int, expected: list[str]) -> None:
    town = await open_town()
    await town.hears(fact("enrollment.child-enrolled"))

    await town.hears(fact("billing.funds-reserved", purse=purse(balance)))
    await town.hears(fact("billing.funds-reserved", purse=purse(balance), ends_on="2020-12-30"))

    assert [recipient for recipient, _ in of(town, LOW)] == expected


# --- digests ------------------------------------------------------------------------------------


async def family(**more: Any) -> Town:
    town = await open_town()
    await town.hears(child("child-00002"))
    wanted = {"debit": ["cabinet", "email", "sms"]}
    await town.hears(preferences(wanted, digest=True, **more))
    return town


def sent(town: Town, channel: str) -> list[tuple[str, int]]:
    """Return (template, number of facts) of the messages of a channel."""
    return [(m["template"], len(m["event_ids"])) for m in town.due() if m["channel"] == channel]


async def test_a_family_hears_of_a_day_at_once_on_the_next() -> None:
    town = await family()

    await town.hears(
        lesson(1, 30), lesson(2, 29), lesson(3, 20, child_id="child-00002", enrollment_id="enr-2")
    )
    during_the_day = sent(town, "email")
    await town.hears(day("2020-09-03"))
    await town.hears(day("2020-09-04"))

    assert during_the_day == []
    assert sent(town, "email") == sent(town, "sms") == [(DIGEST, 3)]
    assert sent(town, "cabinet") == [("lesson-charged", 1)] * 3
    assert of(town, DIGEST) == [("guard-00001", "2020-09-03T08:00:00+08:00")] * 2


async def test_each_day_has_a_digest_of_its_own() -> None:
    town = await family()

    await town.hears(lesson(1, 30))
    await town.hears(day("2020-09-03"))
    await town.hears(lesson(2, 29, on="2020-09-03"), lesson(3, 28, on="2020-09-03"))
    await town.hears(day("2020-09-07"))

    told = [m for m in town.due() if m["template"] == DIGEST and m["channel"] == "email"]
    assert [len(message["event_ids"]) for message in told] == [1, 2]
    assert len({message["message_id"] for message in told}) == 2


async def test_what_is_gathered_is_on_the_record() -> None:
    town = await family()

    await town.hears(lesson(1, 30))

    suppressed = [
        d for kind, d in town.world.facts("notifications") if kind == "message-suppressed"
    ]
    assert [(d["recipient_id"], d["reason"]) for d in suppressed] == [("guard-00001", "in_digest")]


async def test_only_debits_are_gathered() -> None:
    town = await family()
    await town.hears(
        preferences({"debit": ["email"], "certificate": ["email"]}, digest=True, revision=2)
    )

    await town.hears(fact("certificates.nominal-changed"))

    assert sent(town, "email") == [("nominal-changed", 1)]


@pytest.mark.parametrize(
    "reserve",
    [
        pytest.param(fact("billing.funds-reserved", purse=purse(10)), id="a reserve"),
        pytest.param(
            fact("billing.nominal-applied", purse=purse(10), child_id="child-00001"),
            id="a correction",
        ),
    ],
)
async def test_that_money_runs_low_is_said_at_once_and_by_its_own_text(
    reserve: Mapping[str, Any],
) -> None:
    town = await family()
    await town.hears(
        fact("enrollment.child-enrolled"),
        fact("billing.funds-reserved", purse=purse(900_000)),
    )

    await town.hears(reserve)
    at_once = sent(town, "email")
    await town.hears(day("2020-09-03"))

    assert at_once == sent(town, "email") == [(LOW, 1)]


async def test_a_digest_gathers_debits_by_what_they_are_not_by_what_a_payer_calls_them() -> None:
    town = await family()
    await town.hears(
        rules(
            rule("certificate-issued-to-guardians", "certificates.certificate-issued", "issued"),
            rule("period-ends-soon-to-guardians", "certificates.period-ends-soon", ENDS_SOON),
        )
    )

    await town.hears(issued(), opened(1_000_000), lesson(1, 30))
    await town.hears(day("2020-12-24"))

    assert sorted(sent(town, "email")) == [(DIGEST, 1), ("issued", 1), (ENDS_SOON, 2)]


async def test_the_other_guardian_is_told_as_that_one_wants() -> None:
    town = await family()
    await town.hears(child(guardians=("guard-00001", "guard-00002"), revision=2))
    await town.hears(preferences({"debit": ["email"]}, guardian="guard-00002"))

    await town.hears(lesson(1, 30))
    at_once = [m["recipient_id"] for m in town.due() if m["channel"] == "email"]
    await town.hears(day("2020-09-03"))

    assert at_once == ["guard-00002"]
    assert [r for r, _ in of(town, DIGEST)] == ["guard-00001"] * 2


async def test_who_wants_no_debits_any_more_gets_no_digest() -> None:
    town = await family()
    await town.hears(lesson(1, 30))
    await town.hears(preferences({"debit": []}, digest=True, revision=2))

    await town.hears(day("2020-09-03"))
    await town.hears(preferences({"debit": ["email"]}, digest=True, revision=3))
    await town.hears(lesson(2, 29, on="2020-09-03"), day("2020-09-04"))

    assert sent(town, "email") == [(DIGEST, 1)]


async def test_a_digest_outlives_what_is_unwanted_of_another_category() -> None:
    town = await open_town()
    await town.hears(
        preferences({"debit": ["email"], "agreement": []}, digest=True),
        rules(
            rule(
                "lesson-charged-to-guardians",
                "billing.lesson-charged",
                "lesson-charged",
                category="agreement",
            )
        ),
    )

    await town.hears(lesson(1, 2), day("2020-09-03"))

    assert sent(town, "email") == [(DIGEST, 1)]


class Kept:
    """Stands for a state: what is kept by kind and id, and a day."""

    def __init__(self, **kept: object) -> None:
        self.day = date(2020, 12, 22)
        self._kept = {(type(value), id_): value for id_, value in kept.items()}

    def find(self, kind: type[Any], id_: str) -> Any:
        return self._kept.get((kind, id_))

    def put(self, id_: str, value: object) -> None:
        self._kept[type(value), id_] = value

    def remove(self, kind: type[Any], id_: str) -> None:
        del self._kept[kind, id_]


def test_a_digest_of_two_facts_is_no_reminder() -> None:
    # A payer may have routed the certificate to the debits: journals hold such digests.
    facts_ = (EventId("certificate"), EventId("lesson"))
    gathered, purse_ = Digest(event_ids=facts_), Purse(valid_until=date(2020, 12, 31))
    state = Kept(mother=gathered, certificate=About(id="money"), money=purse_)

    for channel in (Channel.EMAIL, Channel.SMS):
        told = MessageDue(
            message_id=MessageId(f"msg-{channel}"),
            recipient_id=RecipientId("mother"),
            channel=channel,
            category="debit",
            template=DIGEST,
            template_version=1,
            not_before=NOON,
            event_ids=facts_,
        )
        evolve_due(told, cast(State, state))

    assert state.find(Digest, "mother") is None
    assert state.find(Purse, "money") == purse_


async def test_a_digest_that_is_full_gathers_no_more() -> None:
    town = await family()

    await town.hears(*[lesson(number, 900 - number) for number in range(DIGEST_EVENTS_MAX + 2)])
    await town.hears(day("2020-09-03"))

    told = sent(town, "email")
    assert told == [("lesson-charged", 1)] * 2 + [(DIGEST, DIGEST_EVENTS_MAX)]


async def test_all_of_it_is_the_same_after_the_store_was_lost() -> None:
    town = await family()
    await town.hears(group())
    await town.hears(
        REGISTERED,
        held(),
        issued(),
        opened(900_000),
        lesson(1, 30),
        fact("enrollment.child-enrolled", enrollment_id="enr-00002"),
        fact("billing.funds-reserved", purse=purse(10), enrollment_id="enr-00002", time=NOON),
    )
    live = await town.world.state("notifications")

    folded = await town.rebuilt()
    await town.hears(day("2020-09-03"), day("2020-09-07"), day("2020-12-01"), day("2020-12-24"))
    told = town.due()
    again = await town.rebuilt()

    assert folded == live
    assert town.due() == told
    assert again == await town.world.state("notifications")
    assert {DIGEST, OVERDUE, ENDS_SOON, LOW} <= {message["template"] for message in told}
