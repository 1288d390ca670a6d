"""The certificates service among its topics: a memory bus, a memory store, seeded."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import msgspec
import orjson
import pytest
from msgspec.structs import fields

from contracts.registry import EVENTS
from contracts.vocabulary import (
    CategoryId,
    CertificateNumber,
    CertificateRefusal,
    CertificateState,
    ChildId,
    CloseReason,
    EnrollmentId,
    GuardianId,
    Kopecks,
    PeriodId,
)
from services.certificates.domain import facts, texts
from services.certificates.service import certificates
from services.certificates.wire import FACTS
from streaming import journal
from streaming.bus import Outgoing
from streaming.journal import Entry, JournalEnd
from streaming.memory_store import MemoryStore
from streaming.routing import partition_of
from streaming.view import Cause
from tests.support.world import World, day, event

PAYER = "25703000"
FIRST_DAY = "2020-08-30"


class Town:
    """A world with certificates alone, and what the other services would tell it."""

    def __init__(self, seed: int = 0, cached_max: int = 50_000) -> None:
        self.world = World([certificates], partitions=1, seed=seed, cached_max=cached_max)
        self._ends: dict[tuple[str, int], JournalEnd] = {}

    async def hears(self, *events: Mapping[str, Any]) -> None:
        """Let the events arrive one after the other."""
        for one in events:
            await self.hears_at_once(one)

    async def hears_at_once(self, *events: Mapping[str, Any]) -> None:
        """Let the events arrive together, in this order."""
        for one in events:
            if one["source"].startswith("/services/"):
                await self._publish_journal(one)
            else:
                await self.world.publish(one)
        await self.world.settle()

    async def _publish_journal(self, one: Mapping[str, Any]) -> None:
        name = one["source"].rpartition("/")[2]
        partition = partition_of(one["partitionkey"].encode(), self.world.partitions)
        place = (name, partition)
        entry = Entry(
            type=one["type"],
            subject=one["subject"],
            payer=one["partitionkey"],
            business_day=one.get("businessday"),
            cause=Cause(
                topic="navigator.events.v1", partition=partition, offset=0, time=one["time"]
            ),
            cause_index=0,
            data=one["data"],
        )
        end, value = journal.append(name, partition, self._ends.get(place, JournalEnd()), entry)
        self._ends[place] = end
        key = one["partitionkey"].encode()
        await self.world.bus.publish(
            [Outgoing(f"{name}.events.v1", partition, key, value, journal.HEADERS)]
        )

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what was published, without decisions."""
        return self.world.facts("certificates")

    def told(self, fact: str, *fields: str) -> list[Any]:
        """Return these fields of all facts of one type, in order of the journal."""
        found = [data for name, data in self.facts() if name == fact]
        return [
            tuple(data.get(name) for name in fields) if fields[1:] else data.get(fields[0])
            for data in found
        ]

    def decided(self, event_: Mapping[str, Any]) -> list[str]:
        return self.world.decisions("certificates").get(event_["id"], [])

    async def state(self) -> dict[int, Mapping[str, bytes]]:
        return await self.world.state("certificates")

    async def rebuilt(self) -> dict[int, Mapping[str, bytes]]:
        """Return the state after the store was lost and folded from the journal."""
        self.world.stores["certificates"] = MemoryStore()
        for partition in range(self.world.partitions):
            self.world.kill("certificates", partition)
        await self.world.settle()
        return await self.state()


def period(name: str = "2020", **more: Any) -> dict[str, Any]:
    year = name[:4]
    data = {
        "period": name,
        "starts_on": f"{year}-01-01",
        "ends_on": f"{year}-12-31",
        "basis": "Order",
    }
    return payer_event("period-opened", name, data | more)


def payer_event(
    fact: str, subject: str, data: Mapping[str, Any], payer: str = PAYER
) -> dict[str, Any]:
    id_ = f"{fact}-{payer}-{subject}-{data.get('period', '')}-{data.get('revision', 1)}"
    return event(f"payers.{fact}", payer, subject, data, id=id_)


def category(
    nominal: int = 1_000_000,
    places: int = 15,
    budget: int = 100_000_000,
    revision: int = 1,
    name: str = "general",
    period: str = "2020",
) -> dict[str, Any]:
    data = {
        "category": name,
        "period": period,
        "unit": "RUB",
        "nominal_kopecks": nominal,
        "places_max": places,
        "budget_max_kopecks": budget,
        "revision": revision,
    }
    return payer_event("category-set", name, data)


def policy(mode: str, revision: int = 1, period: str = "2020") -> dict[str, Any]:
    data = {
        "period": period,
        "debit_basis": "ATTENDED_LESSONS",
        "issue_mode": mode,
        "revision": revision,
    }
    return payer_event("policy-set", period, data)


def child(
    name: str,
    born: str = "2010-05-01",
    benefits: Iterable[str] = (),
    revision: int = 1,
    payer: str = PAYER,
) -> dict[str, Any]:
    data = {
        "child_id": name,
        "birth_date": born,
        "guardian_ids": [f"guardian-{name}"],
        "benefits": list(benefits),
        "revision": revision,
    }
    return event("navigator.child-registered", payer, name, data)


def request(name: str, period: str = "2020", revision: int = 1) -> dict[str, Any]:
    data = {"child_id": name, "period": period, "revision": revision}
    return event(
        "navigator.certificate-requested", PAYER, name, data, id=f"ask-{name}-{period}-{revision}"
    )


def freeze(name: str, frozen: bool = True, revision: int = 1) -> dict[str, Any]:
    data = {"child_id": name, "frozen": frozen, "reason": "Проверка", "revision": revision}
    return payer_event("certificate-freeze-set", name, data)


def fact(
    service: str, name: str, subject: str, data: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    made = event(f"{service}.{name}", PAYER, subject, data, source=f"/services/{service}")
    return made | more


TERMS = {
    "group_id": "chess",
    "group_home": PAYER,
    "provider_id": "provider-1",
    "programme_id": "programme-1",
    "title": "Шахматы",
    "registry": "certified",
    "direction": "sport",
    "age_min": 5,
    "age_max": 17,
    "price_kopecks": 1_800_000,
    "normative_kopecks": 1_800_000,
    "lessons_total": 72,
    "starts_on": "2020-09-01",
    "ends_on": "2021-05-31",
    "auto_accept": True,
    "revision": 1,
}


def enrolled(
    name: str, enrollment: str | None = None, period: str = "2020", **more: Any
) -> dict[str, Any]:
    enrollment_id = enrollment or f"enrollment-{name}"
    data = {
        "enrollment_id": enrollment_id,
        "child_id": name,
        "terms": TERMS,
        "starts_on": f"{period[:4]}-09-01",
        "ends_on": f"{period[:4]}-12-31",
        "period": period,
        "parent_share_max_kopecks": 0,
        "guardian_id": f"guardian-{name}",
    }
    return fact("enrollment", "child-enrolled", enrollment_id, data, **more)


def ended(name: str) -> dict[str, Any]:
    enrollment = f"enrollment-{name}"
    data = {
        "enrollment_id": enrollment,
        "child_id": name,
        "ended_on": "2020-10-31",
        "cause": "guardian",
    }
    return fact("enrollment", "enrollment-ended", enrollment, data)


def cancelled(name: str) -> dict[str, Any]:
    enrollment = f"enrollment-{name}"
    data = {
        "enrollment_id": enrollment,
        "child_id": name,
        "reason": "frame_limit_reached",
        "why": {"text": "Деньги по соглашению закончились."},
    }
    return fact("enrollment", "enrollment-cancelled", enrollment, data)


def corrected(
    name: str, number: str, previous: int, nominal: int, cause: str = "corrected"
) -> dict[str, Any]:
    data = {
        "child_id": name,
        "certificate_number": number,
        "period": "2020",
        "previous_kopecks": previous,
        "nominal_kopecks": nominal,
        "cause": cause,
        "purse": {
            "nominal_kopecks": nominal,
            "balance_kopecks": nominal,
            "reserved_kopecks": 0,
            "paid_kopecks": 0,
            "expired_kopecks": 0,
        },
    }
    return fact("billing", "nominal-applied", name, data)


def rows(table: str, first: str, *rows: Mapping[str, Any], published: str = "") -> dict[str, Any]:
    data = {
        "table": table,
        "from": first,
        "published": published or first,
        "basis": "Order 12",
        "rows": list(rows),
    }
    id_ = f"rules-{table}-{first}-{published or first}"
    return event("payers.rules-published", PAYER, table, data, id=id_)


NUMBERS = {
    "anna": "7030000017",
    "boris": "7030000025",
    "vera": "7030000033",
    "gleb": "7030000041",
}


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
async def open_town(town: Town) -> Town:
    """A town with an open period and four children that nobody has enrolled yet."""
    await town.hears(day(FIRST_DAY), period(), *map(child, NUMBERS))
    return town


# --- what is published -------------------------------------------------------------------------

WHY = {
    "table": "certificates.category",
    "from": "2020-08-14",
    "row": "general",
    "basis": "Announcement of the system",
    "text": "Для ребёнка установлена общая категория сертификата.",
}
HOLDS: dict[str, Any] = {
    "child_id": ChildId("anna"),
    "certificate_number": CertificateNumber("7030000017"),
    "state": CertificateState.FUNDED,
    "category": CategoryId("general"),
    "period": PeriodId("2020"),
    "valid_from": date(2020, 8, 30),
    "valid_until": date(2020, 12, 31),
    "nominal_kopecks": Kopecks(1_000_000),
    "why": WHY,
}
NAMED: dict[str, Any] = {
    "child_id": ChildId("anna"),
    "certificate_number": CertificateNumber("7030000017"),
}
SAMPLES = [
    facts.CertificateIssued(**HOLDS, guardian_ids=(GuardianId("guardian-1"),)),
    facts.CertificateRenewed(**HOLDS),
    facts.CertificateQueued(
        **NAMED,
        category=CategoryId("general"),
        period=PeriodId("2020"),
        position=3,
        why={"row": "no_vacancy", "text": "Все места заняты."},
    ),
    facts.CertificateFunded(
        **NAMED,
        category=CategoryId("general"),
        period=PeriodId("2020"),
        nominal_kopecks=Kopecks(1),
        why={"text": "Подошла очередь."},
    ),
    facts.CertificateRefused(
        child_id=ChildId("anna"),
        enrollment_id=EnrollmentId("chess"),
        reason=CertificateRefusal.TOO_OLD,
        why=WHY,
    ),
    facts.CertificateFrozen(**NAMED, reason="Проверка"),
    facts.CertificateUnfrozen(**NAMED, reason="Проверено"),
    facts.NominalChanged(
        **NAMED,
        period=PeriodId("2020"),
        nominal_kopecks=Kopecks(2),
        previous_kopecks=Kopecks(1),
        reason=texts.NOMINAL_RAISED,
    ),
    facts.CertificateClosed(**NAMED, reason=CloseReason.AGED_OUT),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_fact_is_published_as_its_contract_says(sample: Any) -> None:
    model = FACTS[type(sample)]

    read = model.model_validate(orjson.loads(msgspec.json.encode(sample)))

    named = [name for name in model.model_fields if name != "input"]
    assert [one.name for one in fields(sample)] == named
    assert read.to_data() == orjson.loads(msgspec.json.encode(sample))


def test_every_fact_has_a_sample_and_a_contract() -> None:
    assert {type(sample) for sample in SAMPLES} == set(FACTS)
    assert {model.type for model in FACTS.values()} == {
        type_ for type_ in EVENTS if type_.startswith("certificates.") and ".input-" not in type_
    }


# --- enrolled children -------------------------------------------------------------------------


async def test_an_enrolled_child_gets_a_certificate(town: Town) -> None:
    await town.hears(day(FIRST_DAY), period(), category(), child("anna"), enrolled("anna"))

    ((name, data),) = town.facts()
    why = data.pop("why")

    assert name == "certificate-issued"
    assert data == {
        "child_id": "anna",
        "certificate_number": "7030000017",
        "state": "FUNDED",
        "category": "general",
        "period": "2020",
        "valid_from": "2020-08-30",
        "valid_until": "2020-12-31",
        "nominal_kopecks": 1_000_000,
        "guardian_ids": ["guardian-anna"],
    }
    assert (why["table"], why["row"]) == ("certificates.category", "general")
    assert "10\u00a0000,00" in why["text"]


async def test_a_second_enrollment_is_answered_by_what_is_there(open_town: Town) -> None:
    await open_town.hears(category(), enrolled("anna"), enrolled("anna", "enrollment-2"))

    assert [name for name, _ in open_town.facts()] == ["certificate-issued"]


@pytest.mark.parametrize(
    ("born", "reason"),
    [
        pytest.param("2015-08-31", "too_young", id="five tomorrow"),
        pytest.param("2002-08-30", "too_old", id="eighteen today"),
    ],
)
async def test_an_enrollment_may_be_answered_by_a_refusal(
    open_town: Town, born: str, reason: str
) -> None:
    await open_town.hears(category(), child("dasha", born), enrolled("dasha"))

    assert open_town.told("certificate-refused", "enrollment_id", "reason") == [
        ("enrollment-dasha", reason)
    ]


async def test_an_enrollment_waits_for_child_and_period_without_a_deadline(town: Town) -> None:
    await town.hears(day(FIRST_DAY), category(), enrolled("anna"), day("2020-12-30"))
    assert town.facts() == []

    await town.hears(child("anna"))
    assert town.facts() == []

    await town.hears(period(), category(revision=2))
    assert town.told("certificate-issued", "child_id") == ["anna"]


async def test_numbers_are_counted_for_each_payer(open_town: Town) -> None:
    await open_town.hears(
        *map(enrolled, NUMBERS),
        child("dasha", payer="25714000"),
        {**period(), "partitionkey": "25714000", "id": "another-period"},
        {**enrolled("dasha"), "partitionkey": "25714000"},
    )

    assert dict(open_town.told("certificate-issued", "child_id", "certificate_number")) == {
        **NUMBERS,
        "dasha": "7140000014",
    }


async def test_a_child_of_another_payer_is_unknown(open_town: Town) -> None:
    await open_town.hears(category(), child("dasha", payer="25714000"), request("dasha"))

    assert open_town.facts() == []
    assert open_town.decided(request("dasha")) == ["parked:child:dasha"]


# --- requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last_day", "decided"),
    [
        pytest.param("2020-09-29", "parked:child:dasha", id="the thirtieth day"),
        pytest.param("2020-09-30", "refused:unknown_child", id="the day after"),
    ],
)
async def test_a_request_waits_thirty_days_for_its_child(
    open_town: Town, last_day: str, decided: str
) -> None:
    await open_town.hears(request("dasha"), day(last_day))

    assert open_town.decided(request("dasha"))[-1] == decided


@pytest.mark.parametrize(
    ("last_day", "decided"),
    [
        pytest.param("2020-09-29", "parked:period:2021", id="the thirtieth day"),
        pytest.param("2020-09-30", "refused:unknown_period", id="the day after"),
    ],
)
async def test_a_request_waits_thirty_days_for_its_period(
    open_town: Town, last_day: str, decided: str
) -> None:
    await open_town.hears(request("anna", "2021"), day(last_day))

    assert open_town.decided(request("anna", "2021"))[-1] == decided


async def test_the_deadline_counts_from_the_first_arrival(open_town: Town) -> None:
    await open_town.hears(
        request("dasha", "2021"), day("2020-09-20"), child("dasha"), day("2020-09-29")
    )
    assert open_town.decided(request("dasha", "2021"))[-1] == "parked:period:2021"

    await open_town.hears(day("2020-09-30"))
    assert open_town.decided(request("dasha", "2021"))[-1] == "refused:unknown_period"


async def test_what_waited_for_a_period_is_decided_in_order_of_arrival(town: Town) -> None:
    await town.hears(
        day(FIRST_DAY),
        child("boris"),
        child("anna"),
        category(places=1),
        request("boris"),
        request("anna"),
        period(),
    )

    assert town.told("certificate-issued", "child_id", "state") == [
        ("boris", "FUNDED"),
        ("anna", "ACCOUNTING"),
    ]


async def test_what_waits_for_one_thing_after_another_keeps_its_turn(town: Town) -> None:
    await town.hears(
        day(FIRST_DAY),
        child("anna"),
        category(places=1),
        request("boris"),
        request("anna"),
        child("boris"),
    )
    assert town.decided(request("boris")) == ["parked:child:boris", "parked:period:2020"]

    await town.hears(period())

    assert town.told("certificate-issued", "child_id", "state") == [
        ("boris", "FUNDED"),
        ("anna", "ACCOUNTING"),
    ]


async def test_a_request_works_in_both_modes_and_again_changes_nothing(open_town: Town) -> None:
    await open_town.hears(category(), request("anna"), request("anna", revision=2))

    assert [name for name, _ in open_town.facts()] == ["certificate-issued"]
    assert open_town.decided(request("anna", revision=2)) == ["noted"]


async def test_on_request_only_money_is_for_those_who_ask(open_town: Town) -> None:
    await open_town.hears(
        policy("ON_REQUEST"),
        category(places=1),
        enrolled("anna"),
        enrolled("boris"),
        request("boris"),
        request("anna"),
    )

    assert open_town.told("certificate-issued", "child_id", "state") == [
        ("anna", "ACCOUNTING"),
        ("boris", "ACCOUNTING"),
    ]
    assert open_town.told("certificate-funded", "child_id") == ["boris"]
    assert open_town.told("certificate-queued", "child_id", "position") == [("anna", 1)]


async def test_a_request_is_answered_by_what_the_child_is_today(open_town: Town) -> None:
    await open_town.hears(
        policy("ON_REQUEST"),
        category(),
        category(2_000_000, name="special"),
        enrolled("anna"),
        child("anna", benefits=["b01"], revision=2),
        request("anna"),
    )

    assert open_town.told("certificate-issued", "category") == ["general"]
    assert open_town.told("certificate-funded", "category", "nominal_kopecks") == [
        ("special", 2_000_000)
    ]


@pytest.mark.parametrize(
    ("last_day", "decided"),
    [
        pytest.param("2020-12-31", "applied", id="the last day"),
        pytest.param("2021-01-01", "refused:period_closed", id="the day after"),
    ],
)
async def test_a_period_that_is_over_issues_nothing(
    open_town: Town, last_day: str, decided: str
) -> None:
    await open_town.hears(category(), day(last_day), request("anna"))

    assert open_town.decided(request("anna")) == [decided]


# --- vacancy and queue -------------------------------------------------------------------------


async def test_first_come_first_served(open_town: Town) -> None:
    await open_town.hears(category(places=1), *map(enrolled, NUMBERS))

    assert open_town.told("certificate-issued", "state") == ["FUNDED"] + ["ACCOUNTING"] * 3
    assert open_town.told("certificate-queued", "child_id", "position") == [
        ("boris", 1),
        ("vera", 2),
        ("gleb", 3),
    ]


async def test_the_queue_moves_when_places_are_added(open_town: Town) -> None:
    await open_town.hears(
        category(places=1), *map(enrolled, NUMBERS), category(places=3, revision=2)
    )

    assert open_town.told("certificate-funded", "child_id") == ["boris", "vera"]


async def test_the_queue_is_funded_when_the_category_is_set(open_town: Town) -> None:
    await open_town.hears(*map(enrolled, NUMBERS), category(places=3))

    whys = open_town.told("certificate-queued", "why")
    assert {why["row"] for why in whys} == {"category_not_set"}
    assert open_town.told("certificate-funded", "child_id") == ["anna", "boris", "vera"]


@pytest.mark.parametrize(
    ("budget", "funded"),
    [
        pytest.param(4_000_000, 4, id="to the last kopeck"),
        pytest.param(3_999_999, 3, id="one kopeck less"),
    ],
)
async def test_the_budget_holds(open_town: Town, budget: int, funded: int) -> None:
    await open_town.hears(category(budget=budget), *map(enrolled, NUMBERS))

    assert open_town.told("certificate-issued", "state").count("FUNDED") == funded


async def test_a_lower_nominal_makes_room_and_holds_for_later_ones_only(open_town: Town) -> None:
    await open_town.hears(
        category(budget=1_500_000),
        enrolled("anna"),
        enrolled("boris"),
        category(500_000, budget=1_500_000, revision=2),
    )

    assert open_town.told("certificate-funded", "child_id", "nominal_kopecks") == [
        ("boris", 500_000)
    ]
    assert open_town.told("nominal-changed", "child_id") == []


async def test_lower_caps_take_nothing_away(open_town: Town) -> None:
    lower = category(places=1, budget=1, revision=2)

    await open_town.hears(category(), enrolled("anna"), enrolled("boris"), lower, enrolled("vera"))

    assert open_town.decided(lower) == ["noted"]
    assert [name for name, _ in open_town.facts()] == [
        "certificate-issued",
        "certificate-issued",
        "certificate-issued",
        "certificate-queued",
    ]


async def test_a_frozen_certificate_keeps_its_turn_and_is_passed_over(open_town: Town) -> None:
    await open_town.hears(
        category(places=1),
        *map(enrolled, NUMBERS),
        cancelled("boris"),
        freeze("boris"),
        category(places=2, revision=2),
    )
    assert open_town.told("certificate-funded", "child_id") == ["vera"]

    await open_town.hears(freeze("boris", False, 2), category(places=3, revision=3))
    assert open_town.told("certificate-funded", "child_id") == ["vera", "boris"]


async def test_a_certificate_that_is_freed_gets_what_was_vacant_all_the_time(
    open_town: Town,
) -> None:
    await open_town.hears(
        category(places=1),
        enrolled("anna"),
        enrolled("boris"),
        cancelled("boris"),
        freeze("boris"),
        category(places=2, revision=2),
    )
    assert open_town.told("certificate-funded", "child_id") == []

    await open_town.hears(freeze("boris", False, 2))
    assert open_town.told("certificate-funded", "child_id") == ["boris"]


async def test_a_certificate_may_take_its_turn_while_it_is_frozen(open_town: Town) -> None:
    await open_town.hears(
        policy("ON_REQUEST"),
        category(places=0),
        enrolled("anna"),
        cancelled("anna"),
        freeze("anna"),
        request("anna"),
        request("boris"),
        category(places=1, revision=2),
        freeze("anna", False, 2),
        category(places=2, revision=3),
    )

    assert open_town.told("certificate-queued", "child_id", "position") == [
        ("anna", 1),
        ("boris", 2),
    ]
    assert open_town.told("certificate-funded", "child_id") == ["boris", "anna"]


async def test_the_queue_ends_with_the_period(open_town: Town) -> None:
    more = category(places=2, revision=2)

    await open_town.hears(
        category(places=1), enrolled("anna"), enrolled("boris"), day("2021-01-01"), more
    )

    assert open_town.decided(more) == ["noted"]
    assert open_town.told("certificate-funded", "child_id") == []


async def test_the_queue_still_moves_on_the_last_day(open_town: Town) -> None:
    await open_town.hears(
        category(places=1),
        enrolled("anna"),
        enrolled("boris"),
        day("2020-12-31"),
        category(places=2, revision=2),
    )

    assert open_town.told("certificate-funded", "child_id") == ["boris"]


async def test_categories_have_queues_of_their_own(open_town: Town) -> None:
    await open_town.hears(
        category(places=0),
        category(places=0, name="special"),
        child("dasha", benefits=["b01"]),
        enrolled("anna"),
        enrolled("dasha"),
        category(places=1, name="special", revision=2),
    )

    assert open_town.told("certificate-queued", "child_id", "position") == [
        ("anna", 1),
        ("dasha", 1),
    ]
    assert open_town.told("certificate-funded", "child_id") == ["dasha"]


# --- the nominal -------------------------------------------------------------------------------


async def test_a_raise_reaches_all_who_hold_less_in_order_of_number(open_town: Town) -> None:
    await open_town.hears(
        category(1_000_000),
        enrolled("vera"),
        category(800_000, revision=2),
        enrolled("anna"),
        enrolled("boris"),
        category(900_000, revision=3),
    )
    assert open_town.told("nominal-changed", "child_id", "previous_kopecks") == [
        ("anna", 800_000),
        ("boris", 800_000),
    ]

    await open_town.hears(category(1_100_000, revision=4))
    changed = ("child_id", "certificate_number", "previous_kopecks", "nominal_kopecks")
    assert open_town.told("nominal-changed", *changed)[2:] == [
        ("vera", "7030000017", 1_000_000, 1_100_000),
        ("anna", "7030000025", 900_000, 1_100_000),
        ("boris", "7030000033", 900_000, 1_100_000),
    ]


@pytest.mark.parametrize(
    ("budget", "decided", "raised"),
    [
        pytest.param(2_400_000, "noted", 2, id="to the last kopeck"),
        pytest.param(2_399_999, "refused:would_exceed_budget", 0, id="one kopeck too little"),
    ],
)
async def test_a_raise_must_fit_the_budget(
    open_town: Town, budget: int, decided: str, raised: int
) -> None:
    higher = category(1_200_000, budget=budget, revision=2)

    await open_town.hears(category(), enrolled("anna"), enrolled("boris"), higher)

    assert open_town.decided(higher) == [decided]
    assert len(open_town.told("nominal-changed", "child_id")) == raised


async def test_a_refused_raise_changes_nothing(open_town: Town) -> None:
    await open_town.hears(
        category(places=2),
        enrolled("anna"),
        category(1_200_000, places=9, budget=1_199_999, revision=2),
        enrolled("boris"),
        enrolled("vera"),
    )

    assert open_town.told("certificate-issued", "state", "nominal_kopecks") == [
        ("FUNDED", 1_000_000),
        ("FUNDED", 1_000_000),
        ("ACCOUNTING", 0),
    ]


async def test_a_raise_comes_before_the_queue(open_town: Town) -> None:
    await open_town.hears(
        category(places=2, budget=2_000_000),
        *map(enrolled, NUMBERS),
        category(1_200_000, places=4, budget=3_900_000, revision=2),
    )

    assert [name for name, _ in open_town.facts()][-3:] == [
        "nominal-changed",
        "nominal-changed",
        "certificate-funded",
    ]


async def test_a_raise_passes_over_the_corrected_and_the_closed_but_not_the_frozen(
    open_town: Town,
) -> None:
    await open_town.hears(
        category(),
        child("dasha", "2002-09-15"),
        enrolled("dasha"),
        enrolled("anna"),
        enrolled("boris"),
        ended("boris"),
        freeze("boris"),
        corrected("anna", "7030000025", 1_000_000, 700_000),
        day("2020-09-15"),
        category(1_300_000, revision=2),
    )

    assert open_town.told("nominal-changed", "child_id", "nominal_kopecks") == [
        ("anna", 700_000),
        ("boris", 1_300_000),
    ]


async def test_a_long_queue_and_a_long_raise_are_worked_through_in_portions(town: Town) -> None:
    names = [f"child-{n:03d}" for n in range(230)]
    budget = 1_000_000_000
    await town.hears(day(FIRST_DAY), period(), category(places=0))
    await town.hears_at_once(*map(child, names))
    await town.hears_at_once(*map(enrolled, names))

    await town.hears(
        category(places=225, budget=budget, revision=2),
        category(1_000_001, places=225, budget=budget, revision=3),
    )

    assert town.told("certificate-queued", "position") == list(range(1, 231))
    assert town.told("certificate-funded", "child_id") == names[:225]
    numbers = town.told("nominal-changed", "certificate_number")
    assert len(numbers) == 225
    assert numbers == sorted(numbers)
    live = await town.state()
    assert await town.rebuilt() == live


# --- corrections -------------------------------------------------------------------------------


async def test_a_correction_is_followed_and_said_once(open_town: Town) -> None:
    told = corrected("anna", "7030000017", 1_000_000, 400_000)

    await open_town.hears(category(), enrolled("anna"), told)

    assert open_town.told("nominal-changed", "previous_kopecks", "nominal_kopecks") == [
        (1_000_000, 400_000)
    ]
    (record,) = open_town.world.journal("certificates", "nominal-changed")
    assert record["data"]["input"]["type"] == "billing.nominal-applied.v1"


@pytest.mark.parametrize("cause", ["changed", "funded", "renewed"])
async def test_answers_to_our_own_facts_are_passed_over(open_town: Town, cause: str) -> None:
    answer = corrected("anna", "7030000017", 0, 1_000_000, cause)

    await open_town.hears(category(), enrolled("anna"), answer, category(1_200_000, revision=2))

    assert open_town.told("nominal-changed", "nominal_kopecks") == [1_200_000]


async def test_a_correction_moves_by_the_difference_when_a_raise_came_between(
    open_town: Town,
) -> None:
    await open_town.hears(
        category(),
        enrolled("anna"),
        category(1_300_000, revision=2),
        corrected("anna", "7030000017", 1_000_000, 400_000),
    )

    assert open_town.told("nominal-changed", "previous_kopecks", "nominal_kopecks") == [
        (1_000_000, 1_300_000),
        (1_300_000, 700_000),
    ]


async def test_a_correction_to_the_same_sum_only_marks_the_holder(open_town: Town) -> None:
    await open_town.hears(
        category(),
        enrolled("anna"),
        corrected("anna", "7030000017", 1_000_000, 1_000_000),
        category(1_300_000, revision=2),
    )

    assert open_town.told("nominal-changed", "child_id") == []


async def test_a_correction_that_frees_budget_lets_the_queue_move(open_town: Town) -> None:
    await open_town.hears(
        category(budget=1_500_000),
        enrolled("anna"),
        enrolled("boris"),
        corrected("anna", "7030000017", 1_000_000, 500_000),
    )

    assert open_town.told("certificate-funded", "child_id") == ["boris"]


async def test_a_correction_may_exceed_the_budget_and_then_counts(open_town: Town) -> None:
    await open_town.hears(
        category(budget=2_000_000),
        enrolled("anna"),
        corrected("anna", "7030000017", 1_000_000, 2_500_000),
        enrolled("boris"),
    )

    assert open_town.told("certificate-issued", "state") == ["FUNDED", "ACCOUNTING"]


# --- freezing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "decided"),
    [
        pytest.param([], "refused:unknown_certificate", id="no certificate"),
        pytest.param([request("anna")], "applied", id="a certificate on request"),
        pytest.param([enrolled("anna")], "refused:has_active_agreement", id="enrolled"),
        pytest.param(
            [request("anna"), enrolled("anna")],
            "refused:has_active_agreement",
            id="enrolled with what was there",
        ),
        pytest.param([enrolled("anna"), ended("anna")], "applied", id="ended"),
        pytest.param([enrolled("anna"), cancelled("anna")], "applied", id="cancelled"),
        pytest.param(
            [enrolled("anna"), enrolled("anna", "enrollment-2"), ended("anna")],
            "refused:has_active_agreement",
            id="another one goes on",
        ),
        pytest.param([request("anna"), freeze("anna")], "noted", id="frozen already"),
    ],
)
async def test_a_freeze(open_town: Town, before: list[dict[str, Any]], decided: str) -> None:
    asked = freeze("anna", revision=2)

    await open_town.hears(category(), *before, asked)

    assert open_town.decided(asked) == [decided]


async def test_a_freeze_is_lifted(open_town: Town) -> None:
    lifted = freeze("anna", False, 2)

    await open_town.hears(category(), request("anna"), freeze("anna"), enrolled("anna"), lifted)

    assert open_town.decided(lifted) == ["applied"]
    assert open_town.told("certificate-unfrozen", "certificate_number", "reason") == [
        ("7030000017", "Проверка")
    ]


# --- the end -----------------------------------------------------------------------------------


async def test_certificates_end_with_the_eighteenth_birthday_in_order_of_number(
    open_town: Town,
) -> None:
    await open_town.hears(
        category(),
        child("zoya", "2002-09-14"),
        child("dasha", "2002-09-15"),
        enrolled("zoya"),
        enrolled("dasha"),
        day("2020-09-13"),
    )
    assert open_town.told("certificate-issued", "valid_until") == ["2020-09-13", "2020-09-14"]
    assert open_town.told("certificate-closed", "child_id") == []

    await open_town.hears(day("2020-09-16"))
    assert open_town.told("certificate-closed", "child_id", "reason") == [
        ("zoya", "aged-out"),
        ("dasha", "aged-out"),
    ]


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        pytest.param("2020-09-13", [], id="the day before the birthday"),
        pytest.param("2020-09-14", ["zoya"], id="the birthday"),
        pytest.param("2020-09-15", ["zoya"], id="the first business day after it"),
    ],
)
async def test_a_certificate_is_closed_on_the_birthday(
    open_town: Town, opened: str, closed: list[str]
) -> None:
    await open_town.hears(category(), child("zoya", "2002-09-14"), enrolled("zoya"), day(opened))

    assert open_town.told("certificate-closed", "child_id") == closed


async def test_the_twenty_ninth_of_february_ends_on_the_first_of_march(town: Town) -> None:
    await town.hears(
        day("2022-02-01"),
        period("2022"),
        child("dasha", "2004-02-29"),
        enrolled("dasha", period="2022"),
        day("2022-02-28"),
    )
    assert town.told("certificate-issued", "valid_until") == ["2022-02-28"]
    assert town.told("certificate-closed", "child_id") == []

    await town.hears(day("2022-03-01"))
    assert town.told("certificate-closed", "child_id") == ["dasha"]


@pytest.mark.parametrize(
    ("budget", "funded"),
    [
        pytest.param(2_000_000, ["anna"], id="its place is free"),
        pytest.param(1_999_999, [], id="its money is spent"),
    ],
)
async def test_who_turns_eighteen_leaves_a_place_but_no_money(
    open_town: Town, budget: int, funded: list[str]
) -> None:
    await open_town.hears(
        category(places=1, budget=budget),
        child("dasha", "2002-09-15"),
        enrolled("dasha"),
        enrolled("anna"),
        day("2020-09-15"),
    )

    assert open_town.told("certificate-funded", "child_id") == funded


async def test_who_turns_eighteen_leaves_the_queue(open_town: Town) -> None:
    await open_town.hears(
        category(places=0),
        child("dasha", "2002-09-15"),
        enrolled("dasha"),
        enrolled("anna"),
        day("2020-09-15"),
        enrolled("boris"),
        category(places=1, revision=2),
    )

    assert open_town.told("certificate-queued", "child_id", "position") == [
        ("dasha", 1),
        ("anna", 2),
        ("boris", 2),
    ]
    assert open_town.told("certificate-funded", "child_id") == ["anna"]


async def test_a_corrected_birth_date_moves_the_end(open_town: Town) -> None:
    await open_town.hears(
        category(),
        child("dasha", "2002-09-15"),
        child("zoya", "2010-01-01"),
        enrolled("dasha"),
        enrolled("zoya"),
        child("dasha", "2012-09-15", revision=2),
        child("zoya", "2002-10-01", revision=2),
        day("2020-09-30"),
    )
    assert open_town.told("certificate-closed", "child_id") == []

    await open_town.hears(day("2020-10-01"))
    assert open_town.told("certificate-closed", "child_id") == ["zoya"]


async def test_a_birth_date_that_was_long_ago_closes_at_once_and_for_good(
    open_town: Town,
) -> None:
    await open_town.hears(
        category(),
        enrolled("anna"),
        child("anna", "2001-01-01", revision=2),
        child("anna", "2010-05-01", revision=3),
        period("2021"),
        day("2021-01-01"),
        enrolled("anna", "enrollment-2", period="2021"),
    )

    assert open_town.told("certificate-closed", "child_id") == ["anna"]
    assert open_town.told("certificate-refused", "enrollment_id", "reason") == [
        ("enrollment-2", "too_old")
    ]


# --- a second period ---------------------------------------------------------------------------


async def test_the_next_period_renews_under_the_same_number(open_town: Town) -> None:
    await open_town.hears(
        category(),
        enrolled("anna"),
        corrected("anna", "7030000017", 1_000_000, 100),
        period("2021"),
        category(1_200_000, period="2021", places=1),
        day("2021-01-11"),
        enrolled("anna", "enrollment-2", period="2021"),
        enrolled("boris", "enrollment-3", period="2021"),
        category(1_300_000, period="2021", places=1, revision=2),
    )

    assert open_town.told(
        "certificate-renewed", "certificate_number", "valid_from", "nominal_kopecks"
    ) == [("7030000017", "2021-01-11", 1_200_000)]
    assert open_town.told("certificate-queued", "child_id", "period") == [("boris", "2021")]
    assert open_town.told("nominal-changed", "period", "nominal_kopecks") == [
        ("2020", 100),
        ("2021", 1_300_000),
    ]


@pytest.mark.parametrize(
    ("last_day", "decided"),
    [
        pytest.param("2021-01-10", "noted", id="the last day of grace"),
        pytest.param("2021-01-11", "refused:period_closed", id="the day after"),
    ],
)
async def test_the_books_of_a_period_are_closed_after_the_grace(
    open_town: Town, last_day: str, decided: str
) -> None:
    late = category(1_100_000, revision=2)

    await open_town.hears(category(), enrolled("anna"), day(last_day), late)

    assert open_town.decided(late) == [decided]
    assert len(open_town.told("nominal-changed", "child_id")) == (decided == "noted")


async def test_a_category_waits_for_its_period(town: Town) -> None:
    asked = category()

    await town.hears(day(FIRST_DAY), asked, day("2020-09-30"))

    assert town.decided(asked) == ["parked:period:2020", "refused:unknown_period"]


# --- rules of the payer ------------------------------------------------------------------------

SIX = (
    {
        "id": "young",
        "when": {"age_years": {"below": 6}},
        "then": {"verdict": "too_young"},
        "says": "Ребёнку ещё нет 6 лет",
    },
    {
        "id": "right",
        "when": {"age_years": {"from": 6, "below": 18}},
        "then": {"verdict": "eligible"},
        "says": "Возраст от 6 до 17 лет",
    },
)


async def test_rules_of_the_payer_hold_from_their_day_and_for_this_payer(open_town: Town) -> None:
    published = rows("certificates.age", "2020-09-10", *SIX)

    await open_town.hears(
        category(),
        published,
        child("dasha", "2015-01-01"),
        child("zoya", "2015-01-01"),
        day("2020-09-09"),
        enrolled("dasha"),
        day("2020-09-10"),
        enrolled("zoya"),
    )

    assert open_town.decided(published) == ["noted"]
    assert open_town.told("certificate-issued", "child_id") == ["dasha"]
    ((enrollment_id, why),) = open_town.told("certificate-refused", "enrollment_id", "why")
    assert (enrollment_id, why["from"], why["row"]) == ("enrollment-zoya", "2020-09-10", "young")
    assert why["text"].startswith("Ребёнку ещё нет 6 лет. ")


async def test_of_two_with_the_same_first_day_the_later_published_holds(open_town: Town) -> None:
    to_five = {**SIX[0], "when": {"age_years": {"below": 5}}}
    from_five = {**SIX[1], "when": {"age_years": {"from": 5, "below": 18}}}

    await open_town.hears(
        category(),
        rows("certificates.age", "2020-09-10", to_five, from_five, published="2020-09-02"),
        rows("certificates.age", "2020-09-10", *SIX, published="2020-09-01"),
        rows("certificates.age", "2020-09-09", *SIX, published="2020-09-03"),
        child("dasha", "2015-01-01"),
        day("2020-09-10"),
        enrolled("dasha"),
    )

    assert open_town.told("certificate-issued", "child_id") == ["dasha"]


async def test_rules_may_name_a_category_of_the_payers_own(open_town: Town) -> None:
    large = {
        "id": "special",
        "when": {"benefits": {"has": "b01"}},
        "then": {"category": "large-family"},
        "says": "Многодетная семья",
    }
    await open_town.hears(
        category(3_000_000, name="large-family"),
        rows("certificates.category", "2020-08-30", large),
        child("dasha", benefits=["b01"]),
        enrolled("dasha"),
    )

    assert open_town.told("certificate-issued", "category", "nominal_kopecks") == [
        ("large-family", 3_000_000)
    ]


@pytest.mark.parametrize(
    ("published", "decided"),
    [
        pytest.param(
            rows("certificates.age", "2020-09-10", SIX[0]), "refused:rules_invalid", id="overlap"
        ),
        pytest.param(
            rows("certificates.age", "2020-08-13", *SIX),
            "refused:rules_invalid",
            id="before the base",
        ),
        pytest.param(rows("billing.charging", "2020-09-10", *SIX), None, id="billing decides it"),
        pytest.param(
            rows("certificates.luck", "2020-09-10", *SIX), None, id="enrollment decides it"
        ),
        pytest.param(rows("billing.days", "2020-09-10", *SIX), "noted", id="billing refuses it"),
    ],
)
async def test_who_decides_about_rules(
    open_town: Town, published: dict[str, Any], decided: str | None
) -> None:
    await open_town.hears(published)

    assert open_town.decided(published) == ([decided] if decided else [])


async def test_the_grace_is_that_of_billing(open_town: Town) -> None:
    row = {
        "id": "days",
        "when": {},
        "then": {"parking_days": 30, "grace_days": 20, "invoice_day": 6},
        "says": "Сроки",
    }
    on_the_last_day, too_late = category(revision=1), category(revision=2)

    await open_town.hears(
        rows("billing.days", "2020-09-01", row),
        day("2021-01-20"),
        on_the_last_day,
        day("2021-01-21"),
        too_late,
    )

    assert open_town.decided(on_the_last_day) == ["noted"]
    assert open_town.decided(too_late) == ["refused:period_closed"]


async def test_what_billing_refused_does_not_hold_and_its_words_are_taken(open_town: Town) -> None:
    longer = {
        "id": "days",
        "when": {},
        "then": {"parking_days": 30, "grace_days": 40, "invoice_day": 6},
        "says": "Сроки",
    }
    first = rows("billing.days", "2020-09-01", *SIX)
    corrected = rows("billing.days", "2020-09-01", longer) | {"id": "rules-corrected"}
    on_the_last_day, too_late = category(revision=1), category(revision=2)

    await open_town.hears(
        *(first, corrected, day("2021-01-10"), on_the_last_day, day("2021-01-11"), too_late)
    )

    # In billing it is a conflict with what was refused; here it is another word of what is known.
    assert open_town.decided(corrected) == []
    assert open_town.decided(on_the_last_day) == ["noted"]
    assert open_town.decided(too_late) == ["refused:period_closed"]


async def test_before_the_first_rules_the_first_rules_hold(town: Town) -> None:
    await town.hears(
        day("2019-09-01"),
        period("2019"),
        category(period="2019"),
        child("anna"),
        enrolled("anna", period="2019"),
    )

    assert town.told("certificate-issued", "state") == ["FUNDED"]


# --- the same after everything -----------------------------------------------------------------

LIFE = [
    day(FIRST_DAY),
    period(),
    category(places=2, budget=4_000_000),
    *map(child, NUMBERS),
    child("dasha", "2002-10-01"),
    enrolled("dasha"),
    enrolled("anna"),
    enrolled("boris"),
    enrolled("vera"),
    request("gleb"),
    cancelled("boris"),
    freeze("boris"),
    day("2020-09-20"),
    corrected("anna", "7030000025", 1_000_000, 900_000),
    category(1_100_000, places=3, budget=4_000_000, revision=2),
    day("2020-10-01"),
    ended("anna"),
    freeze("boris", False, 2),
    category(1_200_000, places=9, budget=9_000_000, revision=3),
    rows("certificates.age", "2020-09-10", *SIX),
    period("2021"),
    category(1_000_000, period="2021"),
    request("anna", "2021"),
    day("2021-02-01"),
    request("boris", "2021"),
]


def audited(told: list[tuple[str, dict[str, Any]]]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Count holders, money and queue of each category from the journal alone."""
    holds: dict[tuple[str, str], tuple[str, int]] = {}
    queues: dict[tuple[str, str], str] = {}
    closed: set[str] = set()
    for name, data in told:
        place = (data["child_id"], data.get("period", ""))
        if name in ("certificate-issued", "certificate-renewed") and data["state"] == "FUNDED":
            holds[place] = (data["category"], data["nominal_kopecks"])
        elif name == "certificate-queued":
            queues[place] = data["category"]
        elif name == "certificate-funded":
            queues.pop(place, None)
            holds[place] = (data["category"], data["nominal_kopecks"])
        elif name == "nominal-changed":
            assert holds[place][1] == data["previous_kopecks"]
            holds[place] = (holds[place][0], data["nominal_kopecks"])
        elif name == "certificate-closed":
            closed.add(data["child_id"])
            queues = {one: to for one, to in queues.items() if one[0] != data["child_id"]}
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for period_, category_ in {(one[1], to[0]) for one, to in holds.items()}:
        mine = [
            (who, nominal)
            for (who, when), (to, nominal) in holds.items()
            if (when, to) == (period_, category_)
        ]
        found[period_, category_] = (
            sum(who not in closed for who, _ in mine),
            sum(nominal for _, nominal in mine),
            sum((when, to) == (period_, category_) for (_, when), to in queues.items()),
        )
    return found


def kept(state: Mapping[int, Mapping[str, bytes]]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return the same from what the service keeps."""
    found = {}
    for values in state.values():
        for key, value in values.items():
            if key.startswith(f"key/category/{PAYER}/"):
                period_, category_ = key.split("/")[3:]
                data = orjson.loads(value)
                counted = (data["holders"], data["granted_kopecks"], data["queued"])
                found[period_, category_] = counted
    return found


async def test_a_whole_life_ends_as_expected(town: Town) -> None:
    await town.hears(*LIFE)

    assert [(name, data["child_id"]) for name, data in town.facts()] == [
        ("certificate-issued", "dasha"),
        ("certificate-issued", "anna"),
        ("certificate-issued", "boris"),
        ("certificate-queued", "boris"),
        ("certificate-issued", "vera"),
        ("certificate-queued", "vera"),
        ("certificate-issued", "gleb"),
        ("certificate-queued", "gleb"),
        ("certificate-frozen", "boris"),
        ("nominal-changed", "anna"),
        ("nominal-changed", "dasha"),
        ("certificate-funded", "vera"),
        ("certificate-closed", "dasha"),
        ("certificate-unfrozen", "boris"),
        ("nominal-changed", "vera"),
        ("certificate-funded", "boris"),
        ("certificate-funded", "gleb"),
        ("certificate-renewed", "anna"),
        ("certificate-renewed", "boris"),
    ]


def not_empty(
    counted: Mapping[tuple[str, str], tuple[int, int, int]],
) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return where anybody holds, is granted or waits for something."""
    return {place: numbers for place, numbers in counted.items() if any(numbers)}


async def test_the_books_agree_with_an_auditor_at_every_step(town: Town) -> None:
    most = 0
    for one in LIFE:
        await town.hears(one)
        counted = not_empty(audited(town.facts()))
        assert not_empty(kept(await town.state())) == counted
        most = max(most, len(counted))
    assert most >= 2


@pytest.mark.parametrize("seed", range(3))
async def test_the_state_is_a_function_of_the_journal(seed: int) -> None:
    town = Town(seed, cached_max=3)
    await town.hears(*LIFE)
    live = await town.state()

    assert await town.rebuilt() == live


async def test_hearing_everything_again_changes_nothing(town: Town) -> None:
    inputs = [one for one in LIFE if not one["source"].startswith("/services/")]
    await town.hears(*LIFE)
    before = town.facts()

    await town.hears_at_once(*({**one, "id": f"again-{one['id']}"} for one in inputs))

    assert town.facts() == before
    decided = {
        kind
        for id_, kinds in town.world.decisions("certificates").items()
        if id_.startswith("again-")
        for kind in kinds
    }
    assert decided == {"duplicate"}


async def test_how_fast_it_comes_does_not_matter() -> None:
    slow, fast = Town(1), Town(2)
    await slow.hears(*LIFE)

    segment: list[dict[str, Any]] = []
    for one in LIFE:
        if segment and (segment[-1]["source"] != one["source"]):
            await fast.hears_at_once(*segment)
            segment = []
        segment.append(one)
    await fast.hears_at_once(*segment)

    assert fast.facts() == slow.facts()


def random_life(chance: random.Random, length: int) -> list[dict[str, Any]]:
    """Return a life of a town in which anything may happen to ten children of two categories."""
    births = ["2002-09-10", "2002-10-05", "2015-09-15", "2010-05-01", "2012-02-29"]
    benefits = [[], ["b01"]]
    told = [day(FIRST_DAY), period()]
    revisions: Counter[str] = Counter()
    today = date.fromisoformat(FIRST_DAY)

    def revised(what: str) -> int:
        revisions[what] += 1
        return revisions[what]

    for step in range(length):
        name = f"child-{chance.randrange(10)}"
        group = chance.choice(["general", "special"])
        match chance.randrange(12):
            case 0:
                today += timedelta(days=chance.randint(1, 20))
                told.append(day(today.isoformat()))
            case 1 | 2:
                born, of = chance.choice(births), chance.choice(benefits)
                told.append(child(name, born, of, revised(f"child {name}")))
            case 3 | 4:
                told.append(enrolled(name, f"enrollment-{step}"))
            case 5 | 6:
                told.append(request(name, revision=revised(f"request {name}")))
            case 7:
                told.append(freeze(name, chance.random() < 0.5, revised(f"freeze {name}")))
            case 8:
                mode = chance.choice(["ON_ENROLLMENT", "ON_REQUEST"])
                told.append(policy(mode, revised("policy")))
            case _:
                nominal, places = chance.randint(0, 9), chance.randint(0, 6)
                budget = chance.randint(0, 40)
                set_ = category(nominal, places, budget, revised(f"category {group}"), group)
                told.append(set_)
    return told


def grants_within_limits(journal_: list[dict[str, Any]]) -> int:
    """Count the grants of a journal; each of them must have found a place and money."""
    limits: dict[str, dict[str, Any]] = {}
    holds: dict[str, tuple[str, int]] = {}
    closed: set[str] = set()
    grants = 0
    for record in journal_:
        name, data = record["type"].split(".")[1], record["data"]
        asked = data.get("input") or {}
        is_said = name == "input-noted" and "data" in asked
        if is_said and asked["type"] == "payers.category-set.v1":
            limits[asked["data"]["category"]] = asked["data"]
        if name == "certificate-closed":
            closed.add(data["child_id"])
        if name == "nominal-changed":
            holds[data["child_id"]] = (holds[data["child_id"]][0], data["nominal_kopecks"])
        if name == "certificate-funded" or data.get("state") == "FUNDED":
            holds[data["child_id"]] = (data["category"], data["nominal_kopecks"])
            grants += 1
        if name in ("certificate-funded", "certificate-issued", "nominal-changed"):
            group = data.get("category") or holds[data["child_id"]][0]
            mine = {who: sum_ for who, (to, sum_) in holds.items() if to == group}
            if data.get("state") != "ACCOUNTING":
                assert sum(mine.values()) <= limits[group]["budget_max_kopecks"]
            if name != "nominal-changed" and data.get("state") != "ACCOUNTING":
                assert len(mine.keys() - closed) <= limits[group]["places_max"]
    return grants


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_the_books_agree_and_no_grant_exceeds_its_limits(seed: int) -> None:
    town = Town(seed)
    life = random_life(random.Random(seed), 150)

    await town.hears(*life)

    counted, books = audited(town.facts()), kept(await town.state())
    assert grants_within_limits(town.world.journal("certificates")) > 0
    assert not_empty(books) == not_empty(counted) != {}
    live = await town.state()
    assert await town.rebuilt() == live
