"""The enrollment service in a seeded world: what waits, what wakes, what falls due."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from datetime import date
from itertools import count
from typing import Any, get_args

import msgspec
import orjson
import pytest
from msgspec.structs import replace

from contracts.vocabulary import (
    ApplicationRefusal,
    EndCause,
    EnrollmentId,
    Kopecks,
    PeriodId,
    PlaceAnswer,
)
from rulebook.explain import why
from services.enrollment import state as kept
from services.enrollment import wire
from services.enrollment.domain import commands, facts, rules
from services.enrollment.service import enrollment
from streaming.bus import Outgoing
from streaming.memory_store import MemoryStore
from streaming.routing import partition_of
from tests.domain.enrollment_samples import RULES, TERMS
from tests.support.world import World, day, event

PAYER, OTHER, HOME = "25701000", "25714000", "25703000"
ALL = ["application", "terms", "personal-data"]


class Town:
    """A payer with a period and a frame agreement, a provider, and whoever applies."""

    def __init__(self, seed: int = 0) -> None:
        self.world = World([enrollment], seed=seed)
        self._billing: Counter[int] = Counter()
        self._sent = 0

    async def open(self, today: str = "2020-08-31", **group: Any) -> "Town":
        """Open a day, with everything in place that an enrollment needs."""
        await self.tell(day(today))
        for payer in (PAYER, OTHER):
            await self.tell(
                event(
                    "payers.period-opened",
                    payer,
                    "2020",
                    {
                        "period": "2020",
                        "starts_on": "2020-01-01",
                        "ends_on": "2020-12-31",
                        "basis": "Постановление",
                    },
                ),
                self.frame(payer),
            )
        await self.tell(self.provider(), self.group(**group))
        return self

    async def tell(self, *events: Mapping[str, Any]) -> None:
        """Publish events, each under an id of its own, and let all of it be decided."""
        for one in events:
            self._sent += 1
            await self.world.publish({**one, "id": f"{self._sent:04d}-{one['id']}"})
        await self.world.settle()

    async def bill(self, fact: str, payer: str, data: Mapping[str, Any]) -> None:
        """Publish a fact in billing's journal, as billing would."""
        number = partition_of(payer.encode(), self.world.partitions)
        self._billing[number] += 1
        seq = self._billing[number]
        made = event(
            f"billing.{fact}",
            payer,
            data["enrollment_id"],
            data,
            id=f"billing:{number}:{seq}",
            source="/services/billing",
            journalseq=seq,
        )
        value = json.dumps(made).encode()
        record = Outgoing("billing.events.v1", number, payer.encode(), value)
        await self.world.bus.publish([record])
        await self.world.settle()

    async def reserve(self, id_: str, payer: str = PAYER, basis: str = "ATTENDED_LESSONS") -> None:
        """Let billing set funds aside for an enrollment."""
        purse = dict.fromkeys(("nominal", "balance", "reserved", "paid", "expired"), 0)
        enrolled = self.last(id_, "child-enrolled")
        await self.bill(
            "funds-reserved",
            payer,
            {
                "child_id": enrolled["child_id"],
                "certificate_number": "7010000017",
                "enrollment_id": id_,
                "provider_id": "prov-rook",
                "debit_basis": basis,
                "starts_on": enrolled["starts_on"],
                "ends_on": enrolled["ends_on"],
                "total_kopecks": 804_396,
                "certificate_share_kopecks": 800_000,
                "parent_share_kopecks": 4_396,
                "lessons": 32,
                "lesson_share_kopecks": 25_000,
                "first_lesson_extra_kopecks": 0,
                "purse": {f"{name}_kopecks": amount for name, amount in purse.items()},
                "why": {"text": "Деньги забронированы."},
            },
        )

    def provider(self, state: str = "active", revision: int = 1) -> dict[str, Any]:
        """Return the event that registers the provider."""
        data = {
            "provider_id": "prov-rook",
            "title": "Клуб «Ладья»",
            "state": state,
            "revision": revision,
        }
        return event("navigator.provider-registered", HOME, "prov-rook", data)

    def group(self, **changes: Any) -> dict[str, Any]:
        """Return the event that publishes the chess group, with changes."""
        data: dict[str, Any] = {
            "group_id": "grp-chess",
            "provider_id": "prov-rook",
            "programme_id": "prg-chess",
            "title": "Шахматы для начинающих",
            "registry": "certified",
            "direction": "science",
            "age_min": 7,
            "age_max": 12,
            "capacity": 1,
            "starts_on": "2020-09-01",
            "ends_on": "2021-05-31",
            "lessons_total": 72,
            "price_kopecks": 1_800_000,
            "normative_kopecks": 1_800_000,
            "enrollment_open": True,
            "auto_accept": False,
            "revision": 1,
        } | changes
        return event("navigator.group-published", HOME, data["group_id"], data)

    def frame(self, payer: str, state: str = "signed", revision: int = 1) -> dict[str, Any]:
        """Return the event that signs or ends the frame agreement."""
        data = {
            "provider_id": "prov-rook",
            "period": "2020",
            "state": state,
            "limit_kopecks": None,
            "revision": revision,
        }
        return event("payers.frame-agreement-set", payer, "prov-rook", data)

    def child(self, id_: str, payer: str = PAYER, **changes: Any) -> dict[str, Any]:
        """Return the event that registers the child of an enrollment."""
        data: dict[str, Any] = {
            "child_id": f"child-{id_}",
            "birth_date": "2010-03-04",
            "guardian_ids": ["guard-one"],
            "benefits": [],
            "revision": 1,
        } | changes
        return event("navigator.child-registered", payer, data["child_id"], data)

    def application(self, id_: str, payer: str = PAYER, **changes: Any) -> dict[str, Any]:
        """Return the event that applies for a place in the chess group."""
        data = {
            "enrollment_id": id_,
            "child_id": f"child-{id_}",
            "guardian_id": "guard-one",
            "group_id": "grp-chess",
            "group_home": HOME,
            "parent_share_max_kopecks": 0,
            "consents": ALL,
            "waitlist_ok": True,
        } | changes
        return event("navigator.application-submitted", payer, id_, data)

    async def apply(self, id_: str, payer: str = PAYER, **changes: Any) -> None:
        """Register a child and apply for it."""
        await self.tell(self.child(id_, payer), self.application(id_, payer, **changes))

    def about(self, what: str, id_: str, payer: str = PAYER, **data: Any) -> dict[str, Any]:
        """Return an event about an application: accepted, rejected, withdrawn."""
        return event(f"navigator.{what}", payer, id_, {"enrollment_id": id_, **data})

    def terminated(self, id_: str, notice_on: str, payer: str = PAYER) -> dict[str, Any]:
        """Return the event by which a guardian gives up an agreement."""
        return self.about(
            "enrollment-terminated",
            id_,
            payer,
            by="guardian",
            notice_on=notice_on,
            reason="Переезд",
        )

    async def activate(self, id_: str, payer: str = PAYER, basis: str = "ATTENDED_LESSONS") -> None:
        """Bring an application into force."""
        await self.apply(id_, payer)
        await self.tell(self.about("application-accepted", id_, payer))
        await self.reserve(id_, payer, basis)

    def life(self, id_: str) -> list[str]:
        """Return what happened to an enrollment, oldest first, refusals with their reason."""
        return [
            f"{fact}:{data['reason']}" if "reason" in data else fact
            for fact, data in self.world.facts("enrollment")
            if data.get("enrollment_id") == id_
        ]

    def last(self, id_: str, fact: str) -> dict[str, Any]:
        """Return the data of the last fact of a kind about an enrollment."""
        found = [
            data
            for name, data in self.world.facts("enrollment")
            if name == fact and data.get("enrollment_id") == id_
        ]
        return found[-1]

    def seats(self) -> list[tuple[int, int, int]]:
        """Return capacity, taken and waiting of the chess group, step by step."""
        return [
            (data["capacity"], data["taken"], data["waiting"])
            for fact, data in self.world.facts("enrollment")
            if fact == "group-changed"
        ]

    def seats_of(self, group_id: str) -> list[tuple[int, int, int]]:
        """Return the same of one group among several."""
        return [
            (data["capacity"], data["taken"], data["waiting"])
            for fact, data in self.world.facts("enrollment")
            if fact == "group-changed" and data["group_id"] == group_id
        ]

    def decided(self, word: str) -> list[list[str]]:
        """Return how the inputs were decided whose id contains a word."""
        decisions = self.world.decisions("enrollment")
        return [said for id_, said in decisions.items() if word in id_]


# --- the main path -----------------------------------------------------------------------------


async def test_an_application_becomes_an_agreement() -> None:
    town = await Town().open()

    await town.activate("enr-one")

    assert town.life("enr-one") == [
        "application-registered",
        "place-held",
        "child-enrolled",
        "agreement-activated",
    ]
    held, enrolled = town.last("enr-one", "place-held"), town.last("enr-one", "child-enrolled")
    assert held["held_until"] == "2020-09-10"
    assert held["terms"] == enrolled["terms"]
    assert (enrolled["starts_on"], enrolled["ends_on"]) == ("2020-09-01", "2020-12-31")
    assert town.last("enr-one", "agreement-activated")["certificate_share_kopecks"] == 800_000
    assert town.seats() == [(1, 0, 0), (1, 1, 0)]


async def test_two_children_and_one_place() -> None:
    town = await Town().open()

    await town.apply("enr-one", waitlist_ok=False)
    await town.apply("enr-two", OTHER, waitlist_ok=False)

    assert town.life("enr-one") == ["application-registered", "place-held"]
    assert town.life("enr-two") == ["application-registered", "application-refused:group_full"]


async def test_a_held_place_may_accept_itself() -> None:
    town = await Town().open(auto_accept=True)

    await town.apply("enr-one")

    assert town.life("enr-one")[-1] == "child-enrolled"


async def with_a_request_that_nobody_answers() -> Town:
    """Return a town where a child has asked for a group nobody knows, another is to ask."""
    town = await Town().open(auto_accept=True)
    await town.apply("enr-lost", group_id="grp-unknown")
    assert town.life("enr-lost") == ["application-registered"]
    await town.tell(town.child("enr-one"))
    return town


async def all_step(town: Town) -> None:
    for partition in range(town.world.partitions):
        await town.world.step("enrollment", partition)


async def test_what_falls_due_is_accepted_on_its_day_though_another_has_no_answer() -> None:
    """Days follow one another without a pause, as after an outage."""
    town = await with_a_request_that_nobody_answers()
    await town.world.publish(town.application("enr-one"))

    for today in ("2020-09-02", "2020-09-03", "2020-09-13"):
        for _ in range(20):
            await all_step(town)
        await town.world.publish(day(today))
    await town.world.settle()

    assert town.life("enr-one") == ["application-registered", "place-held", "child-enrolled"]
    assert town.last("enr-one", "child-enrolled")["starts_on"] == "2020-09-01"


async def test_records_that_never_pause_hold_nobody_up_who_is_accepted_by_itself() -> None:
    town = await with_a_request_that_nobody_answers()
    for partition in range(town.world.partitions):
        owner = town.world.owner("enrollment", partition)
        assert owner is not None
        owner.patience_seconds_max = 0.05
    await town.world.publish(town.application("enr-one"))

    async with asyncio.timeout(20):
        for number in count():
            await town.world.publish(town.child(f"enr-other-{number}"))
            await all_step(town)
            await asyncio.sleep(0.001)
            if town.life("enr-one")[-1:] == ["child-enrolled"]:
                break


async def test_an_id_that_two_payers_use_is_an_enrollment_of_each() -> None:
    """Both groups are of one municipality, whose partition knows both."""
    town = await Town().open(capacity=2)
    await town.tell(town.group(group_id="grp-two", capacity=2))
    await town.apply("enr-one")
    await town.apply("enr-one", OTHER, group_id="grp-two")
    assert town.life("enr-one") == ["application-registered", "place-held"] * 2

    await town.tell(town.about("application-withdrawn", "enr-one", OTHER))

    assert town.seats_of("grp-chess")[-1] == (2, 1, 0)
    assert town.seats_of("grp-two") == [(2, 0, 0), (2, 1, 0), (2, 0, 0)]


async def test_who_asked_first_is_accepted_first_though_its_group_answers_later() -> None:
    """The place of the first is in another municipality, which is slow today."""
    town = await Town().open(auto_accept=True)
    own = {"partitionkey": PAYER}
    group = town.group(
        group_id="grp-own", provider_id="prov-own", programme_id="prg-own", auto_accept=True
    )
    provider, frame = town.provider(), town.frame(PAYER)
    await town.tell(
        provider
        | own
        | {"subject": "prov-own", "data": provider["data"] | {"provider_id": "prov-own"}},
        frame | {"subject": "prov-own", "data": frame["data"] | {"provider_id": "prov-own"}},
        group | own,
        town.child("enr-one"),
        town.child("enr-two"),
    )
    near, far = (partition_of(of.encode(), town.world.partitions) for of in (PAYER, HOME))
    assert near != far

    at_home = town.application("enr-two", group_id="grp-own", group_home=PAYER)
    await town.world.publish(town.application("enr-one"), at_home)
    for _ in range(50):
        await town.world.step("enrollment", near)

    assert town.life("enr-one") == ["application-registered"]
    assert town.life("enr-two") == ["application-registered", "place-held"]
    await town.world.settle()
    enrolled = [data for fact, data in town.world.facts("enrollment") if fact == "child-enrolled"]
    assert [data["enrollment_id"] for data in enrolled] == ["enr-one", "enr-two"]


async def test_refused_funds_cancel_and_free_the_place() -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.tell(town.about("application-accepted", "enr-one"))

    await town.bill(
        "funds-refused",
        PAYER,
        {
            "child_id": "child-enr-one",
            "enrollment_id": "enr-one",
            "reason": "certificate_frozen",
            "parent_share_max_kopecks": 0,
            "why": {"text": "Сертификат приостановлен."},
        },
    )

    assert town.life("enr-one")[-1] == "enrollment-cancelled:certificate_frozen"
    assert town.last("enr-one", "enrollment-cancelled")["why"]["text"] == (
        "Сертификат приостановлен."
    )
    assert town.seats()[-1] == (1, 0, 0)


async def test_an_answer_of_billing_that_nobody_waits_for_changes_nothing() -> None:
    town = await Town().open()
    await town.activate("enr-one")
    before = len(town.world.journal("enrollment"))

    await town.reserve("enr-one")

    assert len(town.world.journal("enrollment")) == before


# --- what comes early --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        pytest.param("2020-09-30", ["parked:child:child-enr-one"], id="thirty days are not over"),
        pytest.param(
            "2020-10-01", ["parked:child:child-enr-one", "refused:unknown_child"], id="they are"
        ),
    ],
)
async def test_an_application_waits_thirty_days_for_its_child(
    today: str, expected: list[str]
) -> None:
    town = await Town().open()
    await town.tell(town.application("enr-one"))

    await town.tell(day(today))

    assert town.decided("application-submitted") == [expected]


async def test_a_child_wakes_its_applications_in_order() -> None:
    town = await Town().open()
    await town.tell(town.application("enr-one", child_id="child-late"))
    await town.tell(town.application("enr-two", child_id="child-late"))

    await town.tell(town.child("late"))

    assert town.life("enr-one")[-1] == "place-held"
    assert town.life("enr-two") == ["application-refused:already_enrolled"]


@pytest.mark.parametrize(
    "payer", [pytest.param(OTHER, id="elsewhere"), pytest.param("25720000", id="next door")]
)
async def test_a_child_of_another_payer_is_unknown(payer: str) -> None:
    """Who is next door has its state in the same partition."""
    town = await Town().open()
    await town.tell(town.child("enr-one", payer))

    await town.tell(town.application("enr-one", PAYER))

    assert town.decided("application-submitted") == [["parked:child:child-enr-one"]]


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        pytest.param("2020-09-30", ["application-registered"], id="thirty days are not over"),
        pytest.param(
            "2020-10-01",
            ["application-registered", "application-refused:group_closed"],
            id="they are",
        ),
    ],
)
async def test_a_request_waits_thirty_days_for_its_group(today: str, expected: list[str]) -> None:
    town = await Town().open()
    await town.apply("enr-one", group_id="grp-later")

    await town.tell(day(today))

    assert town.life("enr-one") == expected


async def test_a_group_wakes_the_requests_for_it() -> None:
    town = await Town().open()
    await town.apply("enr-one", group_id="grp-later")
    await town.apply("enr-two", OTHER, group_id="grp-later")

    await town.tell(town.group(group_id="grp-later"))

    assert town.life("enr-one")[-1] == "place-held"
    assert town.life("enr-two")[-1] == "application-waitlisted"


@pytest.mark.parametrize(
    "early",
    [
        ("application-accepted", {}),
        ("application-rejected", {"reason": "Нет мест"}),
        ("application-withdrawn", {}),
        (
            "enrollment-terminated",
            {"by": "guardian", "notice_on": "2020-09-01", "reason": "Переезд"},
        ),
    ],
)
async def test_what_is_about_an_unknown_enrollment_is_given_up(early: Any) -> None:
    what, data = early
    town = await Town().open()
    await town.tell(town.about(what, "enr-one", **data))

    await town.tell(day("2020-09-30"))
    waiting = town.decided(what)
    await town.tell(day("2020-10-01"))

    assert waiting == [["parked:enrollment:enr-one"]]
    assert town.decided(what) == [["parked:enrollment:enr-one", "refused:unknown_enrollment"]]


async def test_a_withdrawal_before_the_application_wins_over_automatic_acceptance() -> None:
    town = await Town().open(auto_accept=True)
    await town.tell(town.about("application-withdrawn", "enr-one"))

    await town.apply("enr-one")

    assert town.life("enr-one") == [
        "application-registered",
        "place-held",
        "application-refused:withdrawn",
    ]
    assert town.decided("application-withdrawn") == [
        ["parked:enrollment:enr-one", "parked:answer:enr-one", "applied"]
    ]
    assert town.seats()[-1] == (1, 0, 0)


async def test_what_arrives_while_funds_are_awaited_waits_for_them() -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.tell(town.about("application-accepted", "enr-one"))
    await town.tell(town.about("application-withdrawn", "enr-one"))
    await town.tell(town.terminated("enr-one", "2020-09-05"))

    await town.reserve("enr-one")

    assert town.life("enr-one")[-2:] == ["agreement-activated", "enrollment-ended"]
    assert town.decided("application-withdrawn") == [
        ["parked:answer:enr-one", "refused:not_awaiting_acceptance"]
    ]


async def test_what_waited_for_refused_funds_comes_too_late() -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.tell(town.about("application-accepted", "enr-one"))
    await town.tell(town.terminated("enr-one", "2020-09-05"))

    refused = {
        "child_id": "child-enr-one",
        "enrollment_id": "enr-one",
        "reason": "frame_limit_reached",
        "parent_share_max_kopecks": 0,
        "why": {"text": "Лимит исчерпан."},
    }
    await town.bill("funds-refused", PAYER, refused)

    assert town.decided("terminated") == [["parked:answer:enr-one", "refused:already_finished"]]


# --- holds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        pytest.param("2020-09-10", "place-held", id="the last day of the hold"),
        pytest.param("2020-09-11", "application-refused:hold_expired", id="the day after"),
        pytest.param("2020-09-20", "application-refused:hold_expired", id="the next business day"),
    ],
)
async def test_a_hold_expires(today: str, expected: str) -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.apply("enr-two", OTHER)

    await town.tell(day(today))

    assert town.life("enr-one")[-1] == expected
    assert (town.life("enr-two")[-1] == "place-held") == (expected != "place-held")


async def test_an_accepted_hold_does_not_expire() -> None:
    town = await Town().open()
    await town.activate("enr-one")

    await town.tell(day("2020-09-11"))

    assert town.life("enr-one")[-1] == "agreement-activated"


async def test_acceptance_takes_the_dates_of_its_day() -> None:
    town = await Town().open()
    await town.apply("enr-one")

    await town.tell(day("2020-09-08"), town.about("application-accepted", "enr-one"))

    assert town.last("enr-one", "child-enrolled")["starts_on"] == "2020-09-09"


async def test_acceptance_is_refused_when_the_frame_agreement_ended() -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.tell(town.frame(PAYER, "ended", 2))

    await town.tell(town.about("application-accepted", "enr-one"))

    assert town.life("enr-one")[-1] == "application-refused:no_frame_agreement"
    assert town.seats()[-1] == (1, 0, 0)


def closing(closes_on: str) -> dict[str, Any]:
    data = {"period": "2020", "closes_on": closes_on}
    return event("payers.enrollment-closed", PAYER, "2020", data)


async def test_a_closed_period_holds_no_places_but_lets_accept() -> None:
    town = await Town().open(capacity=2)
    await town.apply("enr-one")
    await town.tell(closing("2020-09-01"), closing("2020-09-02"))

    await town.tell(day("2020-09-02"), town.about("application-accepted", "enr-one"))
    await town.apply("enr-two")
    await town.apply("enr-three", OTHER)

    assert town.decided("enrollment-closed") == [["refused:too_late"], ["noted"]]
    assert town.life("enr-one")[-1] == "child-enrolled"
    assert town.life("enr-two")[-1] == "application-refused:enrollment_closed"
    assert town.life("enr-three")[-1] == "place-held"


# --- waiting lists -----------------------------------------------------------------------------


async def test_acceptance_of_a_waitlisted_application_waits_for_its_place() -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.apply("enr-two", OTHER)
    await town.tell(town.about("application-accepted", "enr-two", OTHER))

    await town.tell(town.about("application-withdrawn", "enr-one"))

    assert town.life("enr-two") == [
        "application-registered",
        "application-waitlisted",
        "place-held",
        "child-enrolled",
    ]
    assert town.decided("application-accepted") == [["parked:place:enr-two", "applied"]]
    assert town.seats() == [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1), (1, 1, 0)]


async def test_who_waits_moves_up_when_another_leaves_the_list() -> None:
    town = await Town().open()
    for number, payer in enumerate((PAYER, OTHER, PAYER, OTHER)):
        await town.apply(f"enr-{number}", payer)
    positions = [town.last(f"enr-{n}", "application-waitlisted")["position"] for n in (1, 2, 3)]

    await town.tell(town.about("application-withdrawn", "enr-1", OTHER))
    await town.tell(town.about("application-rejected", "enr-0", reason="Нет мест"))

    assert positions == [1, 2, 3]
    assert town.life("enr-1")[-1] == "application-refused:withdrawn"
    assert town.life("enr-2")[-1] == "place-held"
    assert town.life("enr-3")[-1] == "application-waitlisted"
    assert town.seats()[-1] == (1, 1, 1)


async def test_acceptance_of_a_waitlisted_application_ends_with_it() -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.apply("enr-two", OTHER)
    await town.tell(town.about("application-accepted", "enr-two", OTHER))

    await town.tell(town.about("application-withdrawn", "enr-two", OTHER))

    assert town.decided("application-accepted") == [
        ["parked:place:enr-two", "refused:already_finished"]
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            lambda town: town.provider("suspended", 2),
            lambda town: town.provider("active", 3),
            id="the provider was suspended",
        ),
        pytest.param(
            lambda town: town.group(enrollment_open=False, revision=2),
            lambda town: town.group(enrollment_open=True, revision=3),
            id="the group was closed",
        ),
    ],
)
async def test_the_list_goes_on_after_a_pause(before: Any, after: Any) -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.apply("enr-two", OTHER)
    await town.tell(before(town))
    await town.tell(town.about("application-withdrawn", "enr-one"))
    paused = town.life("enr-two")[-1]

    await town.tell(after(town))

    assert paused == "application-waitlisted"
    assert town.life("enr-two")[-1] == "place-held"


async def test_after_a_pause_all_groups_of_the_provider_go_on() -> None:
    town = await Town().open()
    await town.tell(town.group(group_id="grp-draughts"))
    for number, group_id in enumerate(("grp-chess", "grp-draughts")):
        await town.apply(f"enr-{number}-in", group_id=group_id)
        await town.apply(f"enr-{number}-waits", OTHER, group_id=group_id)
    await town.tell(town.provider("suspended", 2))
    for number in range(2):
        await town.tell(town.about("application-withdrawn", f"enr-{number}-in"))

    await town.tell(town.provider("active", 3))

    assert [town.life(f"enr-{number}-waits")[-1] for number in range(2)] == ["place-held"] * 2


async def test_more_places_serve_the_list_and_fewer_take_none_away() -> None:
    town = await Town().open()
    for number in range(4):
        await town.apply(f"enr-{number}", OTHER)

    await town.tell(town.group(capacity=3, revision=2))
    await town.tell(town.group(capacity=1, revision=3))
    await town.tell(town.about("application-withdrawn", "enr-0", OTHER))

    assert [town.life(f"enr-{number}")[-1] for number in range(4)] == [
        "application-refused:withdrawn",
        "place-held",
        "place-held",
        "application-waitlisted",
    ]
    assert town.seats()[-1] == (1, 2, 1)


async def test_a_long_list_is_served_in_portions_and_in_order() -> None:
    town = await Town().open()
    names = [f"enr-{number:03d}" for number in range(61)]
    for name in names:
        await town.world.publish(town.child(name), town.application(name))
    await town.world.settle()

    await town.tell(town.group(capacity=60, revision=2))

    held = [
        data["enrollment_id"]
        for fact, data in town.world.facts("enrollment")
        if fact == "place-held"
    ]
    assert held == names[:60]
    assert town.seats()[-1] == (60, 60, 1)


async def test_new_terms_are_for_those_who_come_later() -> None:
    town = await Town().open()
    await town.apply("enr-one")
    await town.apply("enr-two", OTHER)

    await town.tell(town.group(capacity=2, revision=2, price_kopecks=2_000_000))

    assert town.last("enr-one", "place-held")["terms"]["price_kopecks"] == 1_800_000
    assert town.last("enr-two", "place-held")["terms"]["price_kopecks"] == 2_000_000


async def test_an_id_that_is_taken_by_a_child_of_another_payer_gets_no_place() -> None:
    town = await Town().open(capacity=2)
    await town.apply("enr-one")

    await town.apply("enr-one", OTHER)

    refused = town.world.journal("enrollment", "application-refused")
    assert [(one["partitionkey"], one["data"]["reason"]) for one in refused] == [
        (OTHER, "already_enrolled")
    ]
    assert town.seats()[-1] == (2, 1, 0)


# --- ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opened",
    [pytest.param("2021-01-01", id="the day after"), pytest.param("2021-01-11", id="holidays")],
)
async def test_an_agreement_ends_after_its_last_day(opened: str) -> None:
    town = await Town().open()
    await town.activate("enr-one")

    await town.tell(day("2020-12-31"))
    last_day = town.life("enr-one")[-1]
    await town.tell(day(opened))

    assert last_day == "agreement-activated"
    assert town.life("enr-one")[-1] == "enrollment-ended"
    assert town.last("enr-one", "enrollment-ended") == {
        "enrollment_id": "enr-one",
        "child_id": "child-enr-one",
        "ended_on": "2020-12-31",
        "cause": "completed",
    }
    assert town.seats()[-1] == (1, 0, 0)


@pytest.mark.parametrize(
    ("basis", "notice_on", "ended_on", "still_taken", "free"),
    [
        pytest.param(
            "ATTENDED_LESSONS", "2020-10-20", "2020-10-20", "2020-10-20", "2020-10-21", id="ahead"
        ),
        pytest.param(
            "MONTHLY_CONTRACT", "2020-10-15", "2020-10-31", "2020-10-31", "2020-11-01", id="W6"
        ),
    ],
)
async def test_a_place_comes_back_the_day_after_the_end(
    basis: str, notice_on: str, ended_on: str, still_taken: str, free: str
) -> None:
    town = await Town().open()
    await town.activate("enr-one", basis=basis)
    await town.apply("enr-two", OTHER)
    await town.tell(day("2020-10-15"), town.terminated("enr-one", notice_on))

    await town.tell(day(still_taken))
    before = town.life("enr-two")[-1]
    await town.tell(day(free))

    assert town.last("enr-one", "enrollment-ended")["ended_on"] == ended_on
    assert before == "application-waitlisted"
    assert town.life("enr-two")[-1] == "place-held"


async def test_a_place_comes_back_at_once_when_the_end_is_past() -> None:
    town = await Town().open()
    await town.activate("enr-one")

    await town.tell(day("2020-10-15"), town.terminated("enr-one", "2020-09-20"))

    assert town.last("enr-one", "enrollment-ended")["ended_on"] == "2020-10-05"
    assert town.seats()[-1] == (1, 0, 0)


async def test_an_ended_agreement_is_not_completed_later() -> None:
    town = await Town().open()
    await town.activate("enr-one")
    await town.tell(day("2020-10-15"), town.terminated("enr-one", "2020-10-15"))

    await town.tell(day("2021-01-11"))

    assert town.life("enr-one").count("enrollment-ended") == 1
    assert town.seats()[-1] == (1, 0, 0)


async def test_two_places_that_come_back_on_one_day_both_do() -> None:
    town = await Town().open(capacity=2)
    for name in ("enr-one", "enr-two"):
        await town.activate(name)
        await town.tell(town.terminated(name, "2020-09-15"))

    await town.tell(day("2020-09-16"))

    assert town.seats()[-1] == (2, 0, 0)


async def test_after_the_end_the_child_may_apply_again() -> None:
    town = await Town().open(capacity=2)
    await town.activate("enr-one")
    await town.tell(day("2020-10-15"), town.terminated("enr-one", "2020-10-15"))

    await town.tell(town.application("enr-two", child_id="child-enr-one"))

    assert town.life("enr-two")[-1] == "place-held"


# --- rules of the payer ------------------------------------------------------------------------


def published(table: str, rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    data = {
        "table": table,
        "from": "2020-08-31",
        "published": "2020-08-30",
        "basis": "Постановление 12",
        "rows": rows,
    } | changes
    return event("payers.rules-published", PAYER, table, data)


DAYS = {"id": "days", "then": {"hold_days": 3, "parking_days": 5}, "says": "Три дня и пять дней"}


async def test_a_payer_may_hold_places_for_another_time() -> None:
    town = await Town().open(capacity=2)

    await town.tell(published("enrollment.days", [DAYS]))
    await town.apply("enr-one")
    await town.apply("enr-two", OTHER)

    assert town.last("enr-one", "place-held")["held_until"] == "2020-09-03"
    assert town.last("enr-two", "place-held")["held_until"] == "2020-09-10"


async def test_rules_hold_from_their_day_and_the_latest_counts() -> None:
    town = await Town().open(capacity=9)
    later = {**DAYS, "then": {"hold_days": 1, "parking_days": 5}}

    await town.tell(published("enrollment.days", [DAYS], **{"from": "2020-09-02"}))
    await town.tell(published("enrollment.days", [later], **{"from": "2020-09-01"}))
    held = []
    for today in ("2020-08-31", "2020-09-01", "2020-09-02"):
        await town.tell(day(today))
        await town.apply(f"enr-{today}")
        held.append(town.last(f"enr-{today}", "place-held")["held_until"])

    assert held == ["2020-09-10", "2020-09-02", "2020-09-05"]


@pytest.mark.parametrize(
    ("table", "rows", "expected"),
    [
        pytest.param("enrollment.days", [DAYS], ["noted"], id="a table of ours"),
        pytest.param(
            "enrollment.days", [{**DAYS, "id": "more"}], ["refused:rules_invalid"], id="an overlap"
        ),
        pytest.param("enrollment.days", [{"id": 7}], ["refused:rules_invalid"], id="no rows"),
        pytest.param(
            "enrollment.discounts", [DAYS], ["refused:rules_invalid"], id="a table of ours missing"
        ),
        pytest.param("transport.routes", [], ["refused:rules_invalid"], id="a table of nobody"),
        pytest.param("notifications.routing", [], None, id="a table of notifications"),
        pytest.param("billing.charging", [], None, id="a table of billing"),
        pytest.param("certificates.age", [], None, id="a table of certificates"),
    ],
)
async def test_who_decides_about_published_rules(
    table: str, rows: list[dict[str, Any]], expected: list[str] | None
) -> None:
    town = await Town().open()

    await town.tell(published(table, rows))

    assert town.decided("rules-published") == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("rows", "ended_on"),
    [
        pytest.param(
            [
                {
                    "id": "days",
                    "then": {"parking_days": 30, "grace_days": 2, "invoice_day": 6},
                    "says": "Исправления принимаются два дня",
                }
            ],
            "2020-10-13",
            id="rows that hold",
        ),
        pytest.param([{"id": "days"}], "2020-10-05", id="rows that billing refuses"),
    ],
)
async def test_a_notice_reaches_back_as_far_as_billing_corrects(
    rows: list[dict[str, Any]], ended_on: str
) -> None:
    town = await Town().open()
    await town.activate("enr-one")
    await town.tell(published("billing.days", rows))

    await town.tell(day("2020-10-15"), town.terminated("enr-one", "2020-09-01"))

    assert town.last("enr-one", "enrollment-ended")["ended_on"] == ended_on


# --- copies, order, recovery -------------------------------------------------------------------


async def test_copies_change_nothing() -> None:
    town = await Town().open()
    await town.activate("enr-one")
    facts_before = town.world.facts("enrollment")

    await town.tell(
        town.child("enr-one"),
        town.application("enr-one"),
        town.about("application-accepted", "enr-one"),
        town.provider(),
        town.group(),
        town.frame(PAYER),
    )

    assert town.world.facts("enrollment") == facts_before
    assert [said for said in town.decided("-") if said == ["duplicate"]] == [["duplicate"]] * 6


NAMES = [f"enr-{number}" for number in range(6)]
DATES = ("2020-09-02", "2020-09-12", "2020-09-30", "2020-10-20", "2020-11-30", "2021-01-11")
GROUP_TOO, CHILDREN_ONLY = 7, 5


async def random_life(
    town: Town, chance: random.Random, *, moves: int = GROUP_TOO, settling: float = 0.5
) -> None:
    """Let a group be fought over: whatever may happen, in any order, over some weeks.

    `settling` is the chance that an event is decided before the next one comes.
    """
    patience = random.Random(0)
    revision = 2
    payers = {name: payer_of(name) if moves == GROUP_TOO else HOME for name in NAMES}
    for name in NAMES:
        await town.tell(town.child(name, payers[name]))
    for today in DATES:
        for _ in range(8):
            name = chance.choice(NAMES)
            payer = payers[name]
            match chance.randrange(moves):
                case 0 | 1:
                    made = town.application(name, payer)
                case 2:
                    made = town.about("application-accepted", name, payer)
                case 3:
                    made = town.about("application-withdrawn", name, payer)
                case 4:
                    made = town.terminated(name, chance.choice(DATES), payer)
                case 5:
                    made = town.group(
                        capacity=chance.randrange(4),
                        enrollment_open=chance.random() < 0.8,
                        auto_accept=chance.random() < 0.5,
                        revision=(revision := revision + 1),
                    )
                case _:
                    state = chance.choice(("active", "suspended"))
                    made = town.provider(state, (revision := revision + 1))
            await town.world.publish(made)
            if patience.random() < settling:
                await town.world.settle()
        await town.world.settle()
        for name in NAMES:
            if town.life(name)[-1:] == ["child-enrolled"]:
                await town.reserve(name, payers[name])
        await town.tell(day(today))


def payer_of(name: str) -> str:
    return (PAYER, OTHER, HOME)[int(name[-1]) % 3]


async def ready(seed: int) -> Town:
    town = await Town(seed).open()
    period = {
        "period": "2020",
        "starts_on": "2020-01-01",
        "ends_on": "2020-12-31",
        "basis": "Постановление",
    }
    await town.tell(event("payers.period-opened", HOME, "2020", period), town.frame(HOME))
    return town


HOLDING = ("place-held", "child-enrolled", "agreement-activated")


@pytest.mark.parametrize("seed", range(12))
async def test_places_are_neither_lost_nor_given_twice(seed: int) -> None:
    town = await ready(seed)

    await random_life(town, random.Random(seed))

    # The day after the year every agreement is over, and every place came back that was not held.
    lives = {name: town.life(name) for name in NAMES}
    holding = [name for name, life in lives.items() if life and life[-1] in HOLDING]
    waiting = [n for n, life in lives.items() if life and life[-1] == "application-waitlisted"]
    capacity, taken, waits = town.seats()[-1]
    assert (taken, waits) == (len(holding), len(waiting))
    highest = 0
    for capacity, taken, _ in town.seats():
        highest = max(capacity, min(highest, taken))
        assert 0 <= taken <= highest


@pytest.mark.parametrize("seed", range(4))
async def test_the_journal_alone_gives_the_same_state(seed: int) -> None:
    town = await ready(seed)
    await random_life(town, random.Random(seed + 100))
    live = await town.world.state("enrollment")

    for number in range(town.world.partitions):
        town.world.kill("enrollment", number)
    town.world.stores["enrollment"] = MemoryStore()
    await town.world.settle()

    assert await town.world.state("enrollment") == live


@pytest.mark.parametrize("seed", range(6))
async def test_the_outcome_does_not_hang_on_who_is_faster(seed: int) -> None:
    slow, fast = await ready(seed), await ready(seed + 50)

    await random_life(slow, random.Random(seed), moves=CHILDREN_ONLY, settling=0)
    await random_life(fast, random.Random(seed), moves=CHILDREN_ONLY, settling=1)

    assert {name: fast.life(name)[-1:] for name in NAMES} == {
        name: slow.life(name)[-1:] for name in NAMES
    }
    assert fast.seats()[-1] == slow.seats()[-1]


# --- contracts ---------------------------------------------------------------------------------

WHY = why(rules.age(RULES, date(2020, 9, 1), 3), "Сейчас ребёнку 3 года")
WHO: dict[str, Any] = {"enrollment_id": "enr-one", "child_id": "child-one"}
SAMPLES: tuple[Any, ...] = (
    facts.ApplicationRegistered(**WHO, group_id=TERMS.group_id, guardian_id="guard-one"),  # type: ignore[arg-type]
    facts.ApplicationRefused(**WHO, reason=ApplicationRefusal.TOO_YOUNG, why=WHY),
    facts.ApplicationRefused(
        **WHO, reason=ApplicationRefusal.WITHDRAWN, why={"text": "Заявление отозвано."}
    ),
    facts.ApplicationWaitlisted(**WHO, position=1),
    facts.PlaceHeld(**WHO, terms=TERMS, held_until=date(2020, 9, 10)),
    facts.ChildEnrolled(
        **WHO,
        terms=TERMS,
        starts_on=date(2020, 9, 1),
        ends_on=date(2020, 12, 31),
        period=PeriodId("2020"),
        parent_share_max_kopecks=Kopecks(1),
        guardian_id="guard-one",  # type: ignore[arg-type]
    ),
    facts.AgreementActivated(
        **WHO,
        provider_id=TERMS.provider_id,
        starts_on=date(2020, 9, 1),
        ends_on=date(2020, 12, 31),
        certificate_share_kopecks=Kopecks(1),
        parent_share_kopecks=Kopecks(0),
    ),
    facts.EnrollmentCancelled(**WHO, reason=ApplicationRefusal.CERTIFICATE_FROZEN, why=WHY),
    facts.EnrollmentEnded(**WHO, ended_on=date(2020, 12, 31), cause=EndCause.COMPLETED),
    facts.GroupChanged(group_id=TERMS.group_id, capacity=1, taken=1, waiting=0),
    commands.PlaceRequested(
        enrollment_id=EnrollmentId("enr-one"),
        child_payer=TERMS.group_home,
        group_id=TERMS.group_id,
        waitlist_ok=True,
    ),
    commands.PlaceAnswered(
        enrollment_id=EnrollmentId("enr-one"), answer=PlaceAnswer.HELD, terms=TERMS
    ),
    commands.PlaceAnswered(
        enrollment_id=EnrollmentId("enr-one"),
        answer=PlaceAnswer.REFUSED,
        reason=ApplicationRefusal.GROUP_FULL,
    ),
    commands.PlaceReturned(
        enrollment_id=EnrollmentId("enr-one"), group_id=TERMS.group_id, reason="withdrawn"
    ),
)
CONTRACTS: dict[type[Any], type[Any]] = {**wire.FACTS, **wire.COMMANDS}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_what_is_published_fits_its_contract(sample: Any) -> None:
    model = CONTRACTS[type(sample)]
    data = {k: v for k, v in orjson.loads(msgspec.json.encode(sample)).items() if v is not None}

    assert model.model_validate(data).to_data() == data


def test_facts_and_contracts_have_the_same_fields_in_the_same_order() -> None:
    for kind, model in CONTRACTS.items():
        named = [field.name for field in msgspec.structs.fields(kind)]
        assert named == [name for name in model.model_fields if name != "input"], kind


def test_every_fact_and_command_has_a_sample_a_contract_and_an_effect() -> None:
    every = set(get_args(facts.Fact)) | set(get_args(commands.Command))

    assert every == set(CONTRACTS) == {type(sample) for sample in SAMPLES}
    assert set(enrollment.evolvers) == set(get_args(facts.Fact))
    assert all(kind.__struct_config__.frozen for kind in kept.KINDS.values())


def test_terms_survive_the_wire() -> None:
    contract = CONTRACTS[facts.PlaceHeld].model_fields["terms"].annotation
    assert contract is not None

    received = contract.model_validate(orjson.loads(msgspec.json.encode(TERMS)))

    assert wire.to_terms(received) == TERMS
    assert wire.to_terms(received) != replace(TERMS, lessons_total=1)
