"""The billing service among its topics: a memory bus, a memory store, seeded."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, fields

from contracts.sources import Sources, load_sources
from contracts.vocabulary import (
    AnsweredBy,
    CertificateNumber,
    ChildId,
    DebitBasis,
    DisputeGround,
    DisputeOutcome,
    EnrollmentId,
    Evidence,
    FundsRefusal,
    InvoiceId,
    Kopecks,
    LessonId,
    LineReference,
    Mark,
    Month,
    NominalCause,
    NotCharged,
    PayerCode,
    PeriodId,
    ProviderId,
    Revision,
    SignedKopecks,
)
from services.billing.domain import facts, ledger
from services.billing.domain.months import goes_back, schedule
from services.billing.service import billing
from services.billing.wire import FACTS, to_booked
from streaming import journal
from streaming.bus import Outgoing
from streaming.journal import Entry, JournalEnd
from streaming.memory_store import MemoryStore
from streaming.routing import partition_of
from streaming.view import Cause
from tests.domain.billing_samples import purse
from tests.support.world import World, day, event

PAYER = "25703000"
ELSEWHERE = "25714000"
PROVIDER = "prov-1"
CHESS = "enr-chess"
MUSIC = "enr-music"
ANNA = "child-anna"
NUMBER = "7030000017"
AUGUST = "2020-08-31"


class Office:
    """A world with billing alone, and what the other services would tell it."""

    def __init__(
        self, seed: int = 0, sources: Sources | None = None, cached_max: int = 50_000
    ) -> None:
        self.world = World([billing], seed=seed, sources=sources, cached_max=cached_max)
        self._ends: dict[tuple[str, int], JournalEnd] = {}

    async def hears(self, *events: Mapping[str, Any]) -> None:
        """Take in events one after the other, each settled before the next."""
        for one in events:
            await self.gets(one)
            await self.world.settle()

    async def gets(self, *events: Mapping[str, Any]) -> None:
        """Publish without waiting."""
        for one in events:
            if one["source"].startswith("/services/"):
                await self._publish_journal(one)
            else:
                await self.world.publish(one)

    async def _publish_journal(self, one: Mapping[str, Any]) -> None:
        name = one["source"].rpartition("/")[2]
        partition = partition_of(one["partitionkey"].encode(), self.world.partitions)
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
        place = (name, partition)
        end, value = journal.append(name, partition, self._ends.get(place, JournalEnd()), entry)
        self._ends[place] = end
        key = one["partitionkey"].encode()
        await self.world.bus.publish(
            [Outgoing(f"{name}.events.v1", partition, key, value, journal.HEADERS)]
        )

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what was published, without decisions."""
        return self.world.facts("billing")

    def told(self, fact: str, *names: str) -> list[Any]:
        """Return these fields of all facts of one type, in order of the journal."""
        found = [data for name, data in self.facts() if name == fact]
        return [
            tuple(data.get(name) for name in names) if names[1:] else data.get(names[0])
            for data in found
        ]

    def days(self, fact: str) -> list[str]:
        """Return the business days on which facts of one type were published."""
        return [record["businessday"] for record in self.world.journal("billing", fact)]

    def decided(self, one: Mapping[str, Any]) -> list[str]:
        return self.world.decisions("billing").get(one["id"], [])

    def money(self, child: str = ANNA) -> tuple[int, int, int]:
        """Return balance, reserved and paid of a child, as published last."""
        for _, data in reversed(self.facts()):
            if data.get("child_id") == child and "purse" in data:
                found = data["purse"]
                return (
                    found["balance_kopecks"],
                    found["reserved_kopecks"],
                    found["paid_kopecks"],
                )
        raise AssertionError(f"no purse of {child} was published")

    async def state(self) -> dict[int, Mapping[str, bytes]]:
        return await self.world.state("billing")

    async def rebuilt(self) -> dict[int, Mapping[str, bytes]]:
        """Return the state after the store was lost and folded from the journal."""
        self.world.stores["billing"] = MemoryStore()
        for partition in range(self.world.partitions):
            self.world.kill("billing", partition)
        await self.world.settle()
        return await self.state()


# --- what is heard -----------------------------------------------------------------------------


def payer_event(
    fact: str, subject: str, data: Mapping[str, Any], payer: str = PAYER, **more: Any
) -> dict[str, Any]:
    id_ = f"{fact}-{subject}-{data.get('period', '')}-{data.get('revision', 1)}"
    return event(f"payers.{fact}", payer, subject, data, **{"id": id_, **more})


def period(name: str = "2020", payer: str = PAYER) -> dict[str, Any]:
    data = {
        "period": name,
        "starts_on": f"{name}-01-01",
        "ends_on": f"{name}-12-31",
        "basis": "Постановление",
    }
    return payer_event("period-opened", name, data, payer)


def policy(basis: str = "MONTHLY_CONTRACT", revision: int = 1) -> dict[str, Any]:
    data = {
        "period": "2020",
        "debit_basis": basis,
        "issue_mode": "ON_ENROLLMENT",
        "revision": revision,
    }
    return payer_event("policy-set", "2020", data)


def frame(limit: int | None, revision: int = 1, state: str = "signed") -> dict[str, Any]:
    data = {
        "provider_id": PROVIDER,
        "period": "2020",
        "state": state,
        "limit_kopecks": limit,
        "revision": revision,
    }
    return payer_event("frame-agreement-set", PROVIDER, data)


def corrected(nominal: int, revision: int = 1, period: str = "2020") -> dict[str, Any]:
    data = {
        "child_id": ANNA,
        "period": period,
        "nominal_kopecks": nominal,
        "reason": "Уточнение",
        "revision": revision,
    }
    return payer_event("nominal-corrected", ANNA, data)


def paid(invoice: str, reference: str = "ПП-1") -> dict[str, Any]:
    data = {"invoice_id": invoice, "paid_on": "2020-10-13", "payment_reference": reference}
    return payer_event("invoice-paid", invoice, data, id=f"paid-{invoice}-{len(reference)}")


def rules(table: str, first: str, *rows: Mapping[str, Any], published: str = "") -> dict[str, Any]:
    data = {
        "table": table,
        "from": first,
        "published": published or first,
        "basis": "Постановление 12",
        "rows": list(rows),
    }
    return payer_event("rules-published", table, data, id=f"rules-{table}-{first}-{published}")


ABSENT_IS_CHARGED = (
    {
        "id": "missed",
        "when": {"mark": ["ill", "excused", "cancelled"]},
        "then": {"charge": False},
        "says": "Уважительная причина",
    },
    {
        "id": "absent",
        "when": {"mark": ["absent"]},
        "then": {"charge": True},
        "says": "Пропуск без причины оплачивается",
    },
)


def days(parking: int = 30, grace: int = 10, invoice: int = 6) -> dict[str, Any]:
    return {
        "id": "days",
        "then": {"parking_days": parking, "grace_days": grace, "invoice_day": invoice},
        "says": "Сроки муниципалитета",
    }


def from_service(
    service: str, fact: str, subject: str, data: Mapping[str, Any], payer: str = PAYER
) -> dict[str, Any]:
    return event(f"{service}.{fact}", payer, subject, data, source=f"/services/{service}")


WHY = {"text": "Так решено."}


def issued(
    child: str = ANNA,
    number: str = NUMBER,
    nominal: int = 1_000_000,
    state: str = "FUNDED",
    payer: str = PAYER,
) -> dict[str, Any]:
    data = {
        "child_id": child,
        "certificate_number": number,
        "state": state,
        "category": "general",
        "period": "2020",
        "valid_from": "2020-08-30",
        "valid_until": "2020-12-31",
        "nominal_kopecks": nominal,
        "guardian_ids": ["guardian-1"],
        "why": WHY,
    }
    return from_service("certificates", "certificate-issued", child, data, payer)


def renewed(nominal: int = 1_200_000) -> dict[str, Any]:
    data = {
        "child_id": ANNA,
        "certificate_number": NUMBER,
        "state": "FUNDED",
        "category": "general",
        "period": "2021",
        "valid_from": "2021-01-01",
        "valid_until": "2021-12-31",
        "nominal_kopecks": nominal,
        "why": WHY,
    }
    return from_service("certificates", "certificate-renewed", ANNA, data)


def funded(nominal: int = 1_000_000) -> dict[str, Any]:
    data = {
        "child_id": ANNA,
        "certificate_number": NUMBER,
        "category": "general",
        "period": "2020",
        "nominal_kopecks": nominal,
        "why": WHY,
    }
    return from_service("certificates", "certificate-funded", ANNA, data)


def changed(previous: int, nominal: int) -> dict[str, Any]:
    data = {
        "child_id": ANNA,
        "certificate_number": NUMBER,
        "period": "2020",
        "nominal_kopecks": nominal,
        "previous_kopecks": previous,
        "reason": "Номинал изменён",
    }
    return from_service("certificates", "nominal-changed", ANNA, data)


def about_certificate(fact: str, reason: str = "Проверка") -> dict[str, Any]:
    data = {"child_id": ANNA, "certificate_number": NUMBER, "reason": reason}
    return from_service("certificates", f"certificate-{fact}", ANNA, data)


def no_certificate(
    enrollment: str | None = CHESS, child: str = ANNA, reason: str = "too_young"
) -> dict[str, Any]:
    data: dict[str, Any] = {
        "child_id": child,
        "reason": reason,
        "why": {"text": "Ребёнку ещё нет 5 лет."},
    }
    if enrollment is not None:
        data["enrollment_id"] = enrollment
    return from_service("certificates", "certificate-refused", child, data)


TERMS = {
    "group_id": "grp-chess",
    "group_home": PAYER,
    "provider_id": PROVIDER,
    "programme_id": "prog-1",
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
    enrollment: str = CHESS,
    child: str = ANNA,
    *,
    share_max: int = 0,
    starts_on: str = "2020-09-01",
    ends_on: str = "2020-12-31",
    period: str = "2020",
    payer: str = PAYER,
    **terms: Any,
) -> dict[str, Any]:
    data = {
        "enrollment_id": enrollment,
        "child_id": child,
        "terms": TERMS | terms,
        "starts_on": starts_on,
        "ends_on": ends_on,
        "period": period,
        "parent_share_max_kopecks": share_max,
        "guardian_id": "guardian-1",
    }
    return from_service("enrollment", "child-enrolled", enrollment, data, payer)


def ended(on: str, enrollment: str = CHESS, cause: str = "guardian") -> dict[str, Any]:
    data = {"enrollment_id": enrollment, "child_id": ANNA, "ended_on": on, "cause": cause}
    return from_service("enrollment", "enrollment-ended", enrollment, data)


def led_to_nothing(fact: str = "application-refused", enrollment: str = CHESS) -> dict[str, Any]:
    data = {"enrollment_id": enrollment, "child_id": ANNA, "reason": "withdrawn", "why": WHY}
    return from_service("enrollment", fact, enrollment, data)


def mark(
    number: int,
    on: str,
    value: str = "present",
    revision: int = 1,
    *,
    enrollment: str = CHESS,
    source: str = "/attendance",
    payer: str = PAYER,
) -> dict[str, Any]:
    lesson = f"les-{number:03d}"
    data = {
        "enrollment_id": enrollment,
        "lesson_id": lesson,
        "lesson_date": on,
        "mark": value,
        "evidence": "journal",
        "revision": revision,
    }
    return event(
        "attendance.lesson-marked",
        payer,
        enrollment,
        data,
        id=f"mark-{enrollment}-{lesson}-{revision}-{on}-{value}",
        source=source,
    )


def disputed(
    number: int = 1, ground: str = "was-absent", *, enrollment: str = CHESS, payer: str = PAYER
) -> dict[str, Any]:
    lesson = f"les-{number:03d}"
    data = {
        "enrollment_id": enrollment,
        "lesson_id": lesson,
        "guardian_id": "guardian-1",
        "ground": ground,
    }
    id_ = f"dispute-{enrollment}-{lesson}-{ground}"
    return event("disputes.lesson-disputed", payer, enrollment, data, id=id_)


def answered(
    number: int = 1, by: str = "provider", evidence: str = "qr", *, enrollment: str = CHESS
) -> dict[str, Any]:
    lesson = f"les-{number:03d}"
    data = {
        "enrollment_id": enrollment,
        "lesson_id": lesson,
        "by": by,
        "answer": "attended",
        "evidence": evidence,
    }
    id_ = f"answer-{enrollment}-{lesson}-{by}-{evidence}"
    return event("disputes.dispute-answered", PAYER, enrollment, data, id=id_)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def open_office(office: Office) -> Office:
    """An office that knows a funded certificate, on the eve of the school year."""
    await office.hears(day(AUGUST), period(), issued())
    return office


@pytest.fixture
async def chess(open_office: Office) -> Office:
    """An office with the reserve of W1, on its first day."""
    await open_office.hears(enrolled(), day("2020-09-01"))
    return open_office


@pytest.fixture
async def monthly(open_office: Office) -> Office:
    """An office with the reserve of W6, in August."""
    await open_office.hears(policy(), enrolled())
    return open_office


# --- what is published -------------------------------------------------------------------------

_CERTIFICATE: dict[str, Any] = {
    "child_id": ChildId(ANNA),
    "certificate_number": CertificateNumber(NUMBER),
}
_ENROLLMENT: dict[str, Any] = {**_CERTIFICATE, "enrollment_id": EnrollmentId(CHESS)}
_PAID: dict[str, Any] = {
    **_ENROLLMENT,
    "provider_id": ProviderId(PROVIDER),
    "amount_kopecks": Kopecks(1),
    "purse": purse(),
    "why": {"table": "billing.charging", "from": "2020-09-01", "row": "attended", **WHY},
}
_LESSON: dict[str, Any] = {
    "lesson_id": LessonId("les-001"),
    "lesson_date": date(2020, 9, 1),
    "mark": Mark.PRESENT,
    "revision": Revision(1),
}
_DISPUTED: dict[str, Any] = {
    **_ENROLLMENT,
    "provider_id": ProviderId(PROVIDER),
    "lesson_id": LessonId("les-001"),
    "lesson_date": date(2020, 9, 1),
}
_SUM: dict[str, Any] = {"amount_kopecks": Kopecks(1), "why": WHY}
SAMPLES = [
    facts.AccountOpened(**_CERTIFICATE, period=PeriodId("2020"), purse=purse()),
    facts.NominalApplied(
        **_CERTIFICATE,
        period=PeriodId("2020"),
        previous_kopecks=Kopecks(1),
        nominal_kopecks=Kopecks(2),
        cause=NominalCause.CORRECTED,
        purse=purse(2),
    ),
    facts.PeriodExpired(
        **_CERTIFICATE,
        period=PeriodId("2020"),
        expired_kopecks=Kopecks(5),
        purse=purse(5, expired=5),
    ),
    facts.FundsReserved(
        **_ENROLLMENT,
        provider_id=ProviderId(PROVIDER),
        debit_basis=DebitBasis.ATTENDED_LESSONS,
        starts_on=date(2020, 9, 1),
        ends_on=date(2020, 12, 31),
        total_kopecks=Kopecks(3),
        certificate_share_kopecks=Kopecks(2),
        parent_share_kopecks=Kopecks(1),
        lessons=1,
        lesson_share_kopecks=Kopecks(2),
        first_lesson_extra_kopecks=Kopecks(0),
        purse=purse(),
        why=WHY,
    ),
    facts.FundsRefused(
        child_id=ChildId(ANNA),
        enrollment_id=EnrollmentId(CHESS),
        reason=FundsRefusal.TOO_YOUNG,
        parent_share_max_kopecks=Kopecks(0),
        why=WHY,
    ),
    facts.LessonCharged(**_PAID, **_LESSON, lessons_charged=1, lessons_left=31),
    facts.ChargeReversed(**_PAID, **_LESSON, lessons_charged=0, lessons_left=32),
    facts.LessonNotCharged(**_ENROLLMENT, **_LESSON, reason=NotCharged.LESSONS_EXHAUSTED, why=WHY),
    facts.MonthCharged(**_PAID, month=Month("2020-09")),
    facts.MonthReversed(**_PAID, month=Month("2020-09")),
    facts.MonthAdjusted(**_PAID, month=Month("2020-09"), marked=8, cancelled=1),
    facts.ReserveReleased(**_ENROLLMENT, amount_kopecks=Kopecks(0), cause="ended", purse=purse()),
    facts.InvoiceIssued(
        invoice_id=InvoiceId("inv-25703000-prov-1-2020-09"),
        provider_id=ProviderId(PROVIDER),
        month=Month("2020-09"),
        amount_kopecks=Kopecks(1),
        lines=(
            facts.InvoiceLine(
                line_reference=LineReference("inv-25703000-prov-1-2020-09/1"),
                enrollment_id=EnrollmentId(CHESS),
                certificate_number=CertificateNumber(NUMBER),
                lessons=-1,
                amount_kopecks=SignedKopecks(-1),
            ),
        ),
        part=1,
        parts=2,
    ),
    facts.InvoiceSettled(
        invoice_id=InvoiceId("inv-25703000-prov-1-2020-09"),
        provider_id=ProviderId(PROVIDER),
        paid_on=date(2020, 10, 13),
        payment_reference="ПП-1",
        amount_kopecks=Kopecks(1),
    ),
    facts.DisputeOpened(**_DISPUTED, ground=DisputeGround.WAS_ABSENT, **_SUM),
    facts.DisputeSettled(
        **_DISPUTED,
        outcome=DisputeOutcome.UPHELD,
        by=AnsweredBy.PAYER,
        evidence=Evidence.NONE,
        **_SUM,
    ),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_fact_is_published_as_its_contract_says(sample: Any) -> None:
    model = FACTS[type(sample)]
    told = orjson.loads(msgspec.json.encode(sample))
    said = {name: value for name, value in told.items() if value is not None}

    assert model.model_validate(said).to_data() == said
    named = [field.name for field in fields(sample)]
    assert named == [name for name in model.model_fields if name != "input"]


def test_every_fact_has_a_sample_and_a_contract() -> None:
    assert {type(sample) for sample in SAMPLES} == set(FACTS)
    assert set(billing.evolvers) == set(FACTS)


# --- accounts ----------------------------------------------------------------------------------


async def test_an_account_opens_with_a_certificate(open_office: Office) -> None:
    assert open_office.told("account-opened", "period", "certificate_number") == [("2020", NUMBER)]
    assert open_office.money() == (1_000_000, 0, 0)


async def test_a_certificate_waits_for_its_period_and_what_follows_waits_with_it(
    office: Office,
) -> None:
    await office.hears(day(AUGUST), issued(nominal=0, state="ACCOUNTING"), funded(1000))
    await office.hears(about_certificate("frozen"), changed(1000, 1500), enrolled())
    assert office.facts() == []

    await office.hears(period())

    assert [name for name, _ in office.facts()] == [
        "account-opened",
        "nominal-applied",
        "nominal-applied",
        "funds-refused",
    ]
    assert office.told("funds-refused", "reason") == ["certificate_frozen"]
    assert office.money() == (1500, 0, 0)


async def test_a_certificate_is_funded_later(office: Office) -> None:
    await office.hears(day(AUGUST), period(), issued(nominal=0, state="ACCOUNTING"))
    assert office.money() == (0, 0, 0)

    await office.hears(funded())

    assert office.told("nominal-applied", "previous_kopecks", "nominal_kopecks", "cause") == [
        (0, 1_000_000, "funded")
    ]
    assert office.money() == (1_000_000, 0, 0)


async def test_nominals_move_by_the_difference_and_an_echo_moves_nothing(
    open_office: Office,
) -> None:
    correction = corrected(1_500_000)

    await open_office.hears(correction)
    await open_office.hears(changed(1_000_000, 1_200_000), changed(1_200_000, 1_700_000))

    assert open_office.decided(correction) == ["applied"]
    assert open_office.told("nominal-applied", "nominal_kopecks", "cause") == [
        (1_500_000, "corrected"),
        (1_700_000, "changed"),
    ]
    assert open_office.money() == (1_700_000, 0, 0)


@pytest.mark.parametrize(
    ("before", "correction", "expected"),
    [
        pytest.param([], corrected(1, period="2021"), "unknown_certificate", id="no such period"),
        pytest.param([enrolled()], corrected(804_395), "would_go_negative", id="less than bound"),
        pytest.param([day("2021-01-10")], corrected(1), None, id="the last day for it"),
        pytest.param([day("2021-01-11")], corrected(1), "period_closed", id="a day too late"),
    ],
)
async def test_a_correction_may_be_refused(
    open_office: Office,
    before: list[dict[str, Any]],
    correction: dict[str, Any],
    expected: str | None,
) -> None:
    await open_office.hears(*before, correction)

    decision = "applied" if expected is None else f"refused:{expected}"
    assert open_office.decided(correction) == [decision]


async def test_a_certificate_without_money_cannot_be_corrected(office: Office) -> None:
    correction = corrected(1)

    await office.hears(day(AUGUST), period(), issued(nominal=0, state="ACCOUNTING"), correction)

    assert office.decided(correction) == ["refused:not_funded"]


@pytest.mark.parametrize(
    "payer", [pytest.param(ELSEWHERE, id="elsewhere"), pytest.param("25704000", id="next door")]
)
async def test_a_certificate_of_another_payer_is_unknown(open_office: Office, payer: str) -> None:
    """Who is next door has its state in the same partition."""
    correction = corrected(1) | {"partitionkey": payer}

    await open_office.hears(correction)

    assert open_office.decided(correction) == ["refused:unknown_certificate"]


# --- reserves ----------------------------------------------------------------------------------


async def test_w1_and_w4_are_reserved_one_after_the_other(open_office: Office) -> None:
    await open_office.hears(enrolled())
    music = enrolled(MUSIC, share_max=126_155, price_kopecks=720_000, normative_kopecks=720_000)
    await open_office.hears(music)

    assert open_office.told(
        "funds-reserved",
        "total_kopecks",
        "certificate_share_kopecks",
        "parent_share_kopecks",
        "lessons",
        "lesson_share_kopecks",
        "first_lesson_extra_kopecks",
    ) == [
        (804_396, 804_396, 0, 32, 25_137, 12),
        (321_759, 195_604, 126_155, 32, 6_112, 20),
    ]
    assert open_office.money() == (0, 1_000_000, 0)


async def test_an_enrollment_waits_for_its_certificate_without_a_deadline(office: Office) -> None:
    await office.hears(day(AUGUST), period(), enrolled(), day("2020-12-01"))
    assert office.facts() == []

    await office.hears(issued("child-boris", "7030000025"), issued())

    assert office.told("funds-reserved", "enrollment_id") == [CHESS]


async def test_an_enrollment_may_be_answered_by_no_certificate(office: Office) -> None:
    await office.hears(day(AUGUST), period(), enrolled(MUSIC), enrolled())

    await office.hears(no_certificate(None), no_certificate())

    assert office.told("funds-refused", "enrollment_id", "reason", "certificate_number") == [
        (CHESS, "too_young", None)
    ]
    assert office.told("funds-refused", "why") == [{"text": "Ребёнку ещё нет 5 лет."}]


async def test_the_answer_may_come_before_the_question(office: Office) -> None:
    await office.hears(day(AUGUST), period(), no_certificate(reason="too_old"), enrolled())

    assert office.told("funds-refused", "reason") == ["too_old"]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param([about_certificate("frozen")], "certificate_frozen", id="frozen"),
        pytest.param(
            [about_certificate("frozen"), about_certificate("unfrozen")], None, id="no more frozen"
        ),
        pytest.param([about_certificate("closed", "aged-out")], "certificate_closed", id="closed"),
        pytest.param([frame(804_395)], "frame_limit_reached", id="a kopeck above the limit"),
        pytest.param([frame(804_396)], None, id="up to the limit"),
        pytest.param([frame(1), frame(None, 2)], None, id="no limit any more"),
        pytest.param([frame(1, 2), frame(None)], "frame_limit_reached", id="an older revision"),
    ],
)
async def test_a_reserve_may_be_refused(
    open_office: Office, before: list[dict[str, Any]], expected: str | None
) -> None:
    await open_office.hears(*before, enrolled())

    assert open_office.told("funds-refused", "reason") == ([] if expected is None else [expected])


async def test_the_limit_counts_what_is_reserved_and_paid(chess: Office) -> None:
    await chess.hears(frame(900_000), mark(1, "2020-09-01"))
    await chess.hears(enrolled(MUSIC, share_max=10**9))
    assert chess.told("funds-refused", "reason") == ["frame_limit_reached"]

    await chess.hears(day("2020-09-10"), ended("2020-09-01"), day("2020-09-12"))
    await chess.hears(enrolled("enr-dance", share_max=10**9, price_kopecks=720_000))

    assert chess.told("reserve-released", "amount_kopecks") == [779_247]
    assert chess.told("funds-reserved", "enrollment_id") == [CHESS, "enr-dance"]


async def test_the_basis_is_that_of_the_moment(open_office: Office) -> None:
    await open_office.hears(enrolled(), policy())
    await open_office.hears(enrolled(MUSIC, share_max=10**9), policy("ATTENDED_LESSONS", 2))
    await open_office.hears(enrolled("enr-dance", share_max=10**9))

    assert open_office.told("funds-reserved", "debit_basis") == [
        "ATTENDED_LESSONS",
        "MONTHLY_CONTRACT",
        "ATTENDED_LESSONS",
    ]


async def test_an_enrollment_cancelled_before_it_is_active_is_released_at_once(
    chess: Office,
) -> None:
    late = mark(2, "2020-09-01")

    await chess.hears(mark(1, "2020-09-01"), led_to_nothing("enrollment-cancelled"), late)

    assert chess.told("charge-reversed", "amount_kopecks") == [25_149]
    assert chess.told("reserve-released", "amount_kopecks", "cause") == [(804_396, "cancelled")]
    assert chess.money() == (1_000_000, 0, 0)
    assert chess.decided(late) == ["refused:agreement_not_active"]


async def test_a_monthly_enrollment_cancelled_gives_its_months_back(monthly: Office) -> None:
    await monthly.hears(day("2020-09-01"), led_to_nothing("enrollment-cancelled"))
    await monthly.hears(day("2020-10-06"), day("2020-11-06"))

    assert monthly.told("month-reversed", "month", "amount_kopecks") == [("2020-09", 197_805)]
    assert monthly.money() == (1_000_000, 0, 0)
    assert monthly.told("month-adjusted", "month") == []


async def test_a_cancelled_enrollment_is_never_reserved(office: Office) -> None:
    await office.hears(day(AUGUST), period(), enrolled())
    await office.hears(led_to_nothing("enrollment-cancelled"), issued())

    assert office.told("funds-reserved", "enrollment_id") == []


# --- marks: when they are not decided ----------------------------------------------------------


async def test_a_mark_waits_for_its_reserve(open_office: Office) -> None:
    marked = mark(1, "2020-09-01")

    await open_office.hears(day("2020-09-01"), marked, enrolled())

    assert open_office.decided(marked) == [f"parked:reserve:{CHESS}", "applied"]
    assert open_office.told("lesson-charged", "lesson_id") == ["les-001"]


@pytest.mark.parametrize(
    ("last", "decided"),
    [
        pytest.param("2020-09-30", [], id="the thirtieth day"),
        pytest.param("2020-10-01", ["refused:unknown_enrollment"], id="a day more"),
        pytest.param("2020-12-01", ["refused:unknown_enrollment"], id="days were skipped"),
    ],
)
async def test_a_mark_waits_thirty_days(open_office: Office, last: str, decided: list[str]) -> None:
    marked = mark(1, "2020-08-31")

    await open_office.hears(marked, day(last))

    assert open_office.decided(marked) == [f"parked:reserve:{CHESS}", *decided]


@pytest.mark.parametrize("fact", ["application-refused", "enrollment-cancelled"])
async def test_an_enrollment_that_led_to_nothing_takes_no_marks(
    open_office: Office, fact: str
) -> None:
    early, late = mark(1, "2020-08-31"), mark(2, "2020-08-31")

    await open_office.hears(early, led_to_nothing(fact), late)

    assert open_office.decided(early) == [
        f"parked:reserve:{CHESS}",
        "refused:agreement_not_active",
    ]
    assert open_office.decided(late) == ["refused:agreement_not_active"]


async def test_refused_funds_are_an_answer_to_marks_too(open_office: Office) -> None:
    marked = mark(1, "2020-08-31")

    await open_office.hears(about_certificate("frozen"), marked, enrolled())

    assert open_office.decided(marked)[-1] == "refused:agreement_not_active"


@pytest.mark.parametrize(
    ("on", "decided"),
    [
        pytest.param("2020-08-31", "refused:outside_agreement", id="before it begins"),
        pytest.param("2021-01-01", "refused:outside_agreement", id="after it ends"),
        pytest.param("2020-09-02", "parked:day:2020-09-02", id="tomorrow"),
        pytest.param("2020-10-02", "parked:day:2020-10-02", id="31 days ahead"),
        pytest.param("2020-10-03", "refused:future_lesson", id="32 days ahead"),
    ],
)
async def test_a_mark_outside_its_days(chess: Office, on: str, decided: str) -> None:
    marked = mark(1, on)

    await chess.hears(marked)

    assert chess.decided(marked) == [decided]


async def test_a_lesson_ahead_is_charged_on_its_day(chess: Office) -> None:
    await chess.hears(mark(1, "2020-09-04"), day("2020-09-03"))
    assert chess.told("lesson-charged", "lesson_id") == []

    await chess.hears(day("2020-09-05"))

    assert chess.told("lesson-charged", "lesson_id") == ["les-001"]
    assert chess.days("lesson-charged") == ["2020-09-05"]


async def test_a_lesson_stays_on_its_day_and_the_refusal_is_sticky(chess: Office) -> None:
    moved = mark(1, "2020-09-02", revision=2)

    await chess.hears(mark(1, "2020-09-01"), day("2020-09-02"), moved, moved)

    assert chess.decided(moved) == ["refused:conflict", "duplicate"]
    assert chess.money() == (195_604, 779_247, 25_149)


async def test_the_highest_revision_counts_in_whatever_order_they_come(chess: Office) -> None:
    first, third = mark(1, "2020-09-01"), mark(1, "2020-09-01", "absent", 3)
    second = mark(1, "2020-09-01", "present", 2)

    await chess.hears(third, first, second)

    assert chess.decided(first) == ["duplicate"]
    assert chess.decided(second) == ["duplicate"]
    assert chess.told("lesson-not-charged", "reason", "revision") == [("absent", 3)]
    assert chess.money() == (195_604, 804_396, 0)


def sources_limited_to(source: str, *providers: str) -> Sources:
    """Return sources of which one may speak for some providers alone."""
    known = load_sources()
    limited = frozenset(map(ProviderId, providers))
    speaker = dataclasses.replace(known.by_name[source], providers=limited)
    return dataclasses.replace(known, by_name={**known.by_name, source: speaker})


@pytest.mark.parametrize(
    ("providers", "decided"),
    [((PROVIDER, "prov-2"), ["applied"]), (("prov-2",), ["refused:out_of_scope"])],
)
async def test_a_journal_speaks_for_its_own_providers_alone(
    providers: tuple[str, ...], decided: list[str]
) -> None:
    office = Office(sources=sources_limited_to("attendance", *providers))
    marked = mark(1, "2020-09-01")

    await office.hears(day(AUGUST), period(), issued(), enrolled(), day("2020-09-01"), marked)

    assert office.decided(marked) == decided


# --- marks: what they cost ---------------------------------------------------------------------


async def test_w5_the_life_of_w1(chess: Office) -> None:
    seen = [chess.money()]

    async def then(*events: dict[str, Any]) -> None:
        await chess.hears(*events)
        seen.append(chess.money())

    await then(mark(1, "2020-09-01"))
    await then(day("2020-09-02"), mark(2, "2020-09-02", "ill"))
    await then(day("2020-09-03"), mark(3, "2020-09-03"))
    await then(mark(1, "2020-09-01", "absent", 2))
    await then(day("2020-09-04"), mark(4, "2020-09-04"))
    await then(day("2020-10-15"), ended("2020-10-15"), day("2020-10-25"))
    await then(day("2020-10-26"))
    await then(day("2021-01-10"))
    await then(day("2021-01-11"))

    assert seen == [
        (195_604, 804_396, 0),
        (195_604, 779_247, 25_149),
        (195_604, 779_247, 25_149),
        (195_604, 754_110, 50_286),
        (195_604, 779_259, 25_137),
        (195_604, 754_110, 50_286),
        (195_604, 754_110, 50_286),
        (949_714, 0, 50_286),
        (949_714, 0, 50_286),
        (0, 0, 50_286),
    ]
    assert chess.told("period-expired", "expired_kopecks") == [949_714]


# --- disputes ----------------------------------------------------------------------------------


def settlements(office: Office) -> list[Any]:
    return office.told("dispute-settled", "lesson_id", "outcome", "by")


async def test_a_dispute_moves_no_money_and_an_answer_neither(chess: Office) -> None:
    await chess.hears(mark(1, "2020-09-01"))
    before = chess.money()

    await chess.hears(disputed(), answered())

    told = chess.told("dispute-opened", "lesson_id", "ground", "amount_kopecks", "provider_id")
    assert told == [("les-001", "was-absent", 25_149, PROVIDER)]
    assert settlements(chess) == [("les-001", "upheld", "provider")]
    assert chess.money() == before == (195_604, 779_247, 25_149)
    assert [name for name, _ in chess.facts()][-3:] == [
        *("lesson-charged", "dispute-opened", "dispute-settled")
    ]


async def test_a_corrected_mark_settles_the_dispute_in_its_own_decision(chess: Office) -> None:
    corrected_ = mark(1, "2020-09-01", "absent", 2)
    await chess.hears(mark(1, "2020-09-01"), disputed(), corrected_)

    reversed_, settled = chess.world.journal("billing")[-2:]
    places = [
        tuple(record[name] for name in ("causetopic", "causepartition", "causeoffset"))
        for record in (reversed_, settled)
    ]
    assert reversed_["type"] == "billing.charge-reversed.v1"
    assert settled["type"] == "billing.dispute-settled.v1"
    assert places[0] == places[1]
    assert "input" not in settled["data"]
    assert settlements(chess) == [("les-001", "corrected", None)]
    assert chess.money() == (195_604, 804_396, 0)


async def test_a_lesson_is_disputed_once_also_if_it_is_charged_anew(chess: Office) -> None:
    again = disputed(ground="wrong-child")
    await chess.hears(mark(1, "2020-09-01"), disputed(), mark(1, "2020-09-01", "absent", 2))
    await chess.hears(mark(1, "2020-09-01", "present", 3), disputed() | {"id": "copy"}, again)

    assert chess.decided(disputed() | {"id": "copy"}) == ["duplicate"]
    assert chess.decided(again) == ["refused:conflict"]
    assert chess.told("dispute-opened", "lesson_id") == ["les-001"]
    assert len(chess.told("lesson-charged", "lesson_id")) == 2


async def test_what_is_not_charged_is_not_disputed_and_the_refusal_is_sticky(
    chess: Office,
) -> None:
    unknown = disputed(enrollment="enr-nobody")
    elsewhere = disputed(payer=ELSEWHERE) | {"id": "elsewhere"}
    early = disputed(1)
    await chess.hears(mark(2, "2020-09-01", "absent"), unknown, elsewhere, early, disputed(2))
    await chess.hears(mark(1, "2020-09-01"), early | {"id": "later"})

    assert chess.decided(unknown) == ["refused:unknown_enrollment"]
    assert chess.decided(elsewhere) == ["refused:unknown_enrollment"]
    assert chess.decided(early) == ["refused:already_finished"]
    assert chess.decided(disputed(2)) == ["refused:already_finished"]
    assert chess.decided(early | {"id": "later"}) == ["duplicate"]
    assert chess.told("dispute-opened", "lesson_id") == []


async def test_a_dispute_of_an_enrollment_that_led_to_nothing_is_refused(office: Office) -> None:
    await office.hears(day(AUGUST), period(), led_to_nothing(), disputed(), answered())

    assert office.decided(disputed()) == ["refused:agreement_not_active"]
    assert office.decided(answered()) == ["refused:agreement_not_active"]


async def test_the_first_answer_counts(chess: Office) -> None:
    early, second, late = answered(2), answered(1, "payer"), answered(3)
    await chess.hears(*[mark(number, "2020-09-01") for number in (1, 2, 3)], early)
    await chess.hears(*map(disputed, (1, 2, 3)), answered(), answered() | {"id": "copy"}, second)
    await chess.hears(mark(3, "2020-09-01", "ill", 2), late, answered(4, enrollment="enr-nobody"))

    assert chess.decided(early) == ["refused:not_awaiting_acceptance"]
    assert chess.decided(answered() | {"id": "copy"}) == ["duplicate"]
    assert chess.decided(second) == ["refused:conflict"]
    assert chess.decided(late) == ["refused:already_finished"]
    assert settlements(chess) == [
        ("les-001", "upheld", "provider"),
        ("les-003", "corrected", None),
    ]


async def test_an_end_settles_what_it_takes_back(chess: Office) -> None:
    await chess.hears(day("2020-09-10"), mark(1, "2020-09-02"), mark(2, "2020-09-08"))
    await chess.hears(disputed(1), disputed(2), ended("2020-09-05"))

    assert settlements(chess) == [("les-002", "corrected", None)]


async def test_a_place_that_became_free_is_taken_after_the_dispute_was_settled(
    open_office: Office,
) -> None:
    await open_office.hears(used_up(1), day("2020-09-05"))
    await open_office.hears(mark(1, "2020-09-01"), mark(2, "2020-09-02"), disputed(1))
    await open_office.hears(mark(1, "2020-09-01", "absent", 2))

    assert [name for name, _ in open_office.facts()][-3:] == [
        *("charge-reversed", "dispute-settled", "lesson-charged")
    ]


@pytest.mark.parametrize(
    ("last", "decided"),
    [
        pytest.param("2020-09-15", "applied", id="marks may still be corrected"),
        pytest.param("2020-09-16", "refused:too_late", id="a day more"),
    ],
)
async def test_disputes_are_taken_until_the_release(chess: Office, last: str, decided: str) -> None:
    await chess.hears(mark(1, "2020-09-01"), mark(2, "2020-09-01"), disputed(2))
    await chess.hears(ended("2020-09-05"), day(last), disputed(1), answered(2))

    assert chess.decided(disputed(1)) == [decided]
    # What was asked in time may be answered at any time.
    assert settlements(chess) == [("les-002", "upheld", "provider")]


@pytest.mark.parametrize(
    ("providers", "decided"),
    [((PROVIDER, "prov-2"), ["applied"]), (("prov-2",), ["refused:out_of_scope"])],
)
async def test_a_source_disputes_for_its_own_providers_alone(
    providers: tuple[str, ...], decided: list[str]
) -> None:
    office = Office(sources=sources_limited_to("disputes", *providers))
    await office.hears(day(AUGUST), period(), issued(), enrolled(), day("2020-09-01"))

    await office.hears(mark(1, "2020-09-01"), disputed())

    assert office.decided(disputed()) == decided


def used_up(lessons: int) -> dict[str, Any]:
    """Return an enrollment of so many lessons."""
    return enrolled(lessons_total=lessons * 273 // 122 + 1)


async def test_lessons_are_used_up_and_the_first_that_waits_takes_a_free_one(
    open_office: Office,
) -> None:
    await open_office.hears(used_up(2), day("2020-09-05"))
    await open_office.hears(*[mark(number, f"2020-09-0{6 - number}") for number in range(1, 6)])
    assert open_office.told("lesson-not-charged", "lesson_id", "reason") == [
        ("les-003", "lessons_exhausted"),
        ("les-004", "lessons_exhausted"),
        ("les-005", "lessons_exhausted"),
    ]

    await open_office.hears(mark(3, "2020-09-03", "ill", 2), mark(1, "2020-09-05", "ill", 2))

    assert open_office.told("charge-reversed", "lesson_id") == ["les-001"]
    charged = open_office.told("lesson-charged", "lesson_id", "amount_kopecks", "lessons_left")
    assert charged == [
        ("les-001", 402_198, 1),
        ("les-002", 402_198, 0),
        ("les-004", 402_198, 0),
    ]
    assert "одно освободилось" in open_office.told("lesson-charged", "why")[-1]["text"]


async def test_who_waits_for_a_free_lesson_must_still_be_in_the_agreement(
    open_office: Office,
) -> None:
    await open_office.hears(used_up(1), day("2020-09-10"))
    await open_office.hears(mark(1, "2020-09-01"), mark(2, "2020-09-09"), mark(3, "2020-09-02"))
    await open_office.hears(ended("2020-09-05"), mark(1, "2020-09-01", "absent", 2))

    assert open_office.told("lesson-charged", "lesson_id") == ["les-001", "les-003"]


async def test_an_end_takes_back_what_lies_after_it_and_charges_nothing_instead(
    open_office: Office,
) -> None:
    await open_office.hears(used_up(2), day("2020-09-10"))
    await open_office.hears(*[mark(number, f"2020-09-0{number}") for number in (6, 7, 3)])

    await open_office.hears(ended("2020-09-05"))

    assert open_office.told("charge-reversed", "lesson_id") == ["les-006", "les-007"]
    assert open_office.money() == (195_604, 804_396, 0)
    late = mark(8, "2020-09-06")
    await open_office.hears(late)
    assert open_office.decided(late) == ["refused:outside_agreement"]


async def test_a_lesson_on_the_day_of_the_end_is_paid_and_may_take_a_free_place(
    open_office: Office,
) -> None:
    await open_office.hears(used_up(2), day("2020-09-10"))
    await open_office.hears(mark(1, "2020-09-05"), mark(2, "2020-09-06"), mark(3, "2020-09-05"))

    await open_office.hears(ended("2020-09-05"))
    assert open_office.told("charge-reversed", "lesson_id") == ["les-002"]

    await open_office.hears(mark(1, "2020-09-05", "ill", 2))
    assert open_office.told("charge-reversed", "lesson_id") == ["les-002", "les-001"]
    assert open_office.told("lesson-charged", "lesson_id") == ["les-001", "les-002", "les-003"]


async def test_what_is_said_on_a_day_to_come_waits_for_that_day(office: Office) -> None:
    await office.hears(day(AUGUST), period())
    today, tomorrow = issued() | {"businessday": AUGUST}, enrolled() | {"businessday": "2020-09-01"}

    await office.hears(today, tomorrow)
    before = [name for name, _ in office.facts()]
    await office.hears(day("2020-09-01"))

    assert before == ["account-opened"]
    assert [name for name, _ in office.facts()] == ["account-opened", "funds-reserved"]
    assert office.days("funds-reserved") == ["2020-09-01"]


async def test_the_end_and_the_mark_may_be_heard_in_any_order(open_office: Office) -> None:
    other = Office()
    await other.hears(day(AUGUST), period(), issued())
    for one, last in [
        (open_office, [mark(1, "2020-09-03"), mark(2, "2020-09-06"), ended("2020-09-05")]),
        (other, [ended("2020-09-05"), mark(1, "2020-09-03"), mark(2, "2020-09-06")]),
    ]:
        await one.hears(enrolled(), day("2020-09-10"), *last)
        await one.hears(day("2020-09-16"))

    assert open_office.money() == other.money()
    for one in (open_office, other):
        assert one.told("reserve-released", "amount_kopecks") == [779_247]


async def test_many_lessons_after_an_end_are_taken_back_in_portions(open_office: Office) -> None:
    await open_office.hears(enrolled(lessons_total=1000), day("2020-09-10"))
    await open_office.gets(*[mark(number, "2020-09-08") for number in range(1, 251)])
    await open_office.world.settle()

    await open_office.hears(ended("2020-09-05"))

    assert len(open_office.told("charge-reversed", "lesson_id")) == 250
    assert open_office.money() == (195_604, 804_396, 0)
    assert await open_office.state() == await open_office.rebuilt()


@pytest.mark.parametrize(
    ("last", "decided"),
    [
        pytest.param("2020-09-15", "applied", id="the tenth day after the end"),
        pytest.param("2020-09-16", "refused:too_late", id="a day more"),
    ],
)
async def test_marks_are_taken_until_the_release(chess: Office, last: str, decided: str) -> None:
    marked = mark(1, "2020-09-05")

    await chess.hears(day("2020-09-06"), ended("2020-09-05"), day(last), marked)

    assert chess.decided(marked) == [decided]


async def test_a_natural_end_is_not_waited_for(chess: Office) -> None:
    await chess.hears(day("2021-01-10"))
    assert chess.told("reserve-released", "cause") == []

    await chess.hears(day("2021-01-11"), ended("2020-12-31", cause="completed"))

    assert chess.told("reserve-released", "amount_kopecks", "cause") == [(804_396, "ended")]
    assert chess.told("period-expired", "expired_kopecks") == [1_000_000]


async def test_agreements_are_released_in_order_of_their_ids(open_office: Office) -> None:
    names = ["enr-c", "enr-a", "enr-b"]
    for name in names:
        await open_office.hears(
            enrolled(name, share_max=10**9, ends_on="2020-09-20", price_kopecks=1000)
        )
    await open_office.hears(day("2020-10-20"))

    assert open_office.told("reserve-released", "enrollment_id") == sorted(names)


# --- rules of the payer ------------------------------------------------------------------------


async def test_a_payers_rules_hold_from_their_day_by_the_day_of_the_lesson(chess: Office) -> None:
    published = rules("billing.charging", "2020-09-03", *ABSENT_IS_CHARGED)

    await chess.hears(day("2020-09-05"), published)
    await chess.hears(mark(1, "2020-09-02", "absent"), mark(2, "2020-09-03", "absent"))
    await chess.hears(mark(3, "2020-09-04", "ill"))

    assert chess.decided(published) == ["noted"]
    assert chess.told("lesson-charged", "lesson_id") == ["les-002"]
    why = chess.told("lesson-charged", "why")[0]
    assert (why["row"], why["from"], why["basis"]) == (
        "absent",
        "2020-09-03",
        "Постановление 12",
    )
    assert chess.told("lesson-not-charged", "reason") == ["absent", "ill"]


async def test_rules_hold_for_their_payer_alone(chess: Office) -> None:
    foreign = rules("billing.charging", "2020-09-01", *ABSENT_IS_CHARGED)

    await chess.hears(foreign | {"partitionkey": ELSEWHERE}, mark(1, "2020-09-01", "absent"))

    assert chess.told("lesson-charged", "lesson_id") == []


@pytest.mark.parametrize(
    ("table", "rows", "decided"),
    [
        pytest.param(
            "billing.charging", ABSENT_IS_CHARGED[1:], ["refused:rules_invalid"], id="an overlap"
        ),
        pytest.param("billing.charging", ABSENT_IS_CHARGED, ["noted"], id="whole"),
        pytest.param("billing.days", [days(grace=366)], ["refused:rules_invalid"], id="too long"),
        pytest.param("billing.other", [days()], [], id="nobody's: enrollment refuses it"),
        pytest.param("enrollment.age", [], [], id="another service's"),
    ],
)
async def test_who_decides_about_rules(
    open_office: Office, table: str, rows: Sequence[Mapping[str, Any]], decided: list[str]
) -> None:
    published = rules(table, "2020-09-01", *rows)

    await open_office.hears(published)

    assert open_office.decided(published) == decided


async def test_a_refusal_of_rules_says_what_is_wrong(open_office: Office) -> None:
    await open_office.hears(rules("billing.charging", "2020-09-01", ABSENT_IS_CHARGED[1]))

    (refused,) = open_office.world.journal("billing", "input-refused")
    assert "absent" in refused["data"]["detail"]


async def test_a_payer_may_publish_many_versions_but_not_without_end(open_office: Office) -> None:
    first = date(2020, 9, 1)
    every = [
        rules("billing.days", str(first + timedelta(days=number)), days()) for number in range(201)
    ]
    await open_office.gets(*every)
    await open_office.world.settle()

    assert open_office.decided(every[199]) == ["noted"]
    assert open_office.decided(every[200]) == ["refused:rules_invalid"]


async def test_a_payers_days_are_those_of_the_business_day(chess: Office) -> None:
    shorter = rules("billing.days", "2020-09-12", days(grace=3, parking=5))

    await chess.hears(shorter, ended("2020-09-05"), day("2020-09-11"))
    assert chess.told("reserve-released", "cause") == []
    early = mark(1, "2020-09-11", enrollment=MUSIC)
    await chess.hears(early, day("2020-09-12"))
    late = mark(2, "2020-09-11", enrollment=MUSIC)
    await chess.hears(late, day("2020-09-18"))

    assert chess.days("reserve-released") == ["2020-09-12"]
    assert chess.decided(early) == [f"parked:reserve:{MUSIC}"]
    assert chess.decided(late) == [f"parked:reserve:{MUSIC}", "refused:unknown_enrollment"]


# --- months ------------------------------------------------------------------------------------


async def test_w6_the_life_of_a_monthly_contract(monthly: Office) -> None:
    await monthly.hears(day("2020-09-01"))
    assert monthly.money() == (195_604, 606_591, 197_805)
    await monthly.hears(day("2020-10-02"), day("2020-10-15"), ended("2020-10-31"))

    assert monthly.told("reserve-released", "amount_kopecks") == [404_394]
    assert monthly.money() == (599_998, 0, 400_002)
    assert monthly.days("month-charged") == ["2020-09-01", "2020-10-02"]
    await monthly.hears(*[day(f"2020-{month}-01") for month in (11, 12)], day("2021-01-20"))
    assert monthly.told("month-charged", "month") == ["2020-09", "2020-10"]
    assert monthly.told("period-expired", "expired_kopecks") == [599_998]


async def test_a_month_is_charged_at_once_where_the_reserve_came_late(office: Office) -> None:
    await office.hears(day("2020-10-08"), period(), policy(), enrolled(), issued())
    assert office.told("month-charged", "month") == ["2020-09", "2020-10"]

    marked = mark(1, "2020-09-02", "cancelled")
    await office.hears(marked, day("2020-11-05"), day("2020-11-06"))

    assert office.decided(marked) == ["applied"]
    assert office.told("month-adjusted", "month", "amount_kopecks") == [
        ("2020-09", 197_805),
        ("2020-10", 0),
    ]
    assert set(office.days("month-adjusted")) == {"2020-11-06"}
    assert office.told("invoice-issued", "month", "amount_kopecks") == [("2020-10", 202_197)]


async def test_an_end_gives_charged_months_after_it_back(monthly: Office) -> None:
    await monthly.hears(day("2020-09-01"), day("2020-10-01"), day("2020-10-05"))

    await monthly.hears(ended("2020-09-30"))

    assert monthly.told("month-reversed", "month", "amount_kopecks") == [("2020-10", 202_197)]
    assert monthly.told("reserve-released", "amount_kopecks") == [606_591]
    assert monthly.money() == (802_195, 0, 197_805)
    await monthly.hears(day("2020-10-06"), day("2020-11-06"))
    assert monthly.told("month-adjusted", "month") == ["2020-09"]
    assert monthly.told("invoice-issued", "month", "amount_kopecks") == [("2020-09", 197_805)]


async def test_a_month_that_opens_on_the_day_of_the_end_is_not_taken_back(monthly: Office) -> None:
    await monthly.hears(day("2020-09-01"), day("2020-10-01"), day("2020-11-01"))

    await monthly.hears(ended("2020-10-01"))

    assert monthly.told("month-reversed", "month", "amount_kopecks") == [("2020-11", 202_197)]
    assert monthly.told("reserve-released", "amount_kopecks") == [404_394]
    assert monthly.money() == (599_998, 0, 400_002)


async def test_an_agreement_that_ends_before_it_begins_gives_all_back(monthly: Office) -> None:
    await monthly.hears(ended("2020-08-31"), day("2020-09-01"))

    assert monthly.told("month-charged", "month") == []
    assert monthly.money() == (1_000_000, 0, 0)


async def test_what_the_provider_cancelled_goes_back_just_before_the_invoice(
    monthly: Office,
) -> None:
    await monthly.hears(day("2020-09-30"))
    await monthly.hears(*[mark(number, f"2020-09-0{number}") for number in range(1, 5)])
    await monthly.hears(mark(5, "2020-09-08", "cancelled"), mark(6, "2020-09-09", "absent"))
    await monthly.hears(mark(1, "2020-09-01", "cancelled", 2), mark(5, "2020-09-08", "ill", 2))
    await monthly.hears(day("2020-10-05"))
    assert monthly.told("month-adjusted", "month") == []

    late, october = mark(7, "2020-09-10"), mark(8, "2020-10-06")
    await monthly.hears(day("2020-10-07"), late, october)

    assert monthly.told("month-adjusted", "month", "marked", "cancelled", "amount_kopecks") == [
        ("2020-09", 6, 1, 32_967)
    ]
    assert monthly.money() == (228_571, 404_394, 367_035)
    assert monthly.told("invoice-issued", "amount_kopecks") == [164_838]
    assert monthly.decided(late) == ["refused:too_late"]
    assert monthly.decided(october) == ["applied"]


async def test_a_month_is_adjusted_once(monthly: Office) -> None:
    await monthly.hears(*[day(f"2020-{month:02d}-06") for month in range(9, 13)])
    await monthly.hears(day("2021-01-06"), day("2021-02-06"))

    assert monthly.told("month-adjusted", "month", "amount_kopecks") == [
        ("2020-09", 0),
        ("2020-10", 0),
        ("2020-11", 0),
        ("2020-12", 0),
    ]
    assert monthly.days("month-adjusted") == [
        "2020-10-06",
        "2020-11-06",
        "2020-12-06",
        "2021-01-06",
    ]


async def test_what_goes_back_after_the_period_expires_too(monthly: Office) -> None:
    await monthly.hears(rules("billing.days", "2020-09-01", days(invoice=20)))
    await monthly.hears(day("2020-12-31"), mark(1, "2020-12-30", "cancelled"))
    await monthly.hears(day("2021-01-11"))
    assert monthly.told("period-expired", "expired_kopecks") == [195_604]

    await monthly.hears(day("2021-01-20"))

    assert monthly.told("month-adjusted", "month", "amount_kopecks")[-1] == ("2020-12", 202_197)
    assert monthly.told("period-expired", "expired_kopecks") == [195_604, 202_197]


async def test_the_frame_agreement_has_room_again_for_what_goes_back(monthly: Office) -> None:
    await monthly.hears(frame(804_396), day("2020-09-30"), mark(1, "2020-09-01", "cancelled"))
    await monthly.hears(day("2020-10-06"))
    fits = enrolled(MUSIC, share_max=10**9, starts_on="2020-12-31", price_kopecks=51_000_000)
    await monthly.hears(fits)

    assert monthly.told("funds-reserved", "certificate_share_kopecks") == [804_396, 6_594]


async def test_where_all_skipped_days_are_done_at_once(monthly: Office) -> None:
    await monthly.hears(day("2020-10-08"))

    assert [name for name, _ in monthly.facts()][2:] == [
        "month-charged",
        "month-charged",
        "month-adjusted",
        "invoice-issued",
    ]
    assert monthly.told("invoice-issued", "month", "amount_kopecks") == [("2020-09", 197_805)]


# --- invoices ----------------------------------------------------------------------------------

INVOICE = f"inv-{PAYER}-{PROVIDER}-2020-09"


async def test_an_invoice_takes_the_month_before(chess: Office) -> None:
    await chess.hears(mark(1, "2020-09-01"), day("2020-09-30"), mark(2, "2020-09-30"))
    await chess.hears(day("2020-10-01"), mark(3, "2020-10-01"), day("2020-10-05"))
    assert chess.told("invoice-issued", "invoice_id") == []

    await chess.hears(day("2020-10-07"))

    (invoice,) = [data for name, data in chess.facts() if name == "invoice-issued"]
    assert invoice == {
        "invoice_id": INVOICE,
        "provider_id": PROVIDER,
        "month": "2020-09",
        "amount_kopecks": 50_286,
        "lines": [
            {
                "line_reference": f"{INVOICE}/1",
                "enrollment_id": CHESS,
                "certificate_number": NUMBER,
                "lessons": 2,
                "amount_kopecks": 50_286,
            }
        ],
    }
    await chess.hears(day("2020-10-20"), day("2020-11-06"))
    assert chess.told("invoice-issued", "month", "amount_kopecks")[1:] == [("2020-10", 25_137)]


@pytest.mark.parametrize(
    ("marked_on", "months"),
    [
        pytest.param("2020-10-05", ["2020-09"], id="before the invoices"),
        pytest.param("2020-10-06", ["2020-10"], id="after them, on their day"),
        pytest.param("2020-10-08", ["2020-10"], id="days after them"),
    ],
)
async def test_a_late_mark_goes_into_the_next_invoice(
    chess: Office, marked_on: str, months: list[str]
) -> None:
    await chess.hears(day(marked_on), mark(1, "2020-09-02"))
    await chess.hears(*[day(one) for one in ("2020-10-06", "2020-10-07", "2020-11-06")])

    assert chess.told("invoice-issued", "month") == months


async def test_a_lesson_that_waited_for_its_day_is_invoiced_with_its_month(chess: Office) -> None:
    await chess.hears(day("2020-09-20"), mark(1, "2020-09-30"))

    await chess.hears(day("2020-10-07"))

    assert chess.told("invoice-issued", "month", "amount_kopecks") == [("2020-09", 25_149)]


async def test_a_sum_of_nothing_or_less_is_carried_on(chess: Office) -> None:
    await chess.hears(mark(1, "2020-09-01"), day("2020-09-02"), mark(2, "2020-09-02"))
    await chess.hears(day("2020-10-06"))
    await chess.hears(mark(1, "2020-09-01", "ill", 2), mark(2, "2020-09-02", "ill", 2))
    await chess.hears(day("2020-11-06"), mark(3, "2020-11-05"))
    await chess.hears(day("2020-12-06"), mark(4, "2020-11-10"), mark(5, "2020-11-11"))
    await chess.hears(day("2021-01-06"))

    assert chess.told("invoice-issued", "month", "amount_kopecks") == [
        ("2020-09", 50_286),
        ("2020-12", 25_137),
    ]
    assert chess.told("invoice-issued", "lines")[1][0]["lessons"] == 1


async def test_lines_are_sorted_and_those_of_nothing_are_there(open_office: Office) -> None:
    names = ["enr-c", "enr-a", "enr-b"]
    for name in names:
        await open_office.hears(enrolled(name, share_max=10**9, price_kopecks=100_000))
    await open_office.hears(day("2020-09-02"))
    await open_office.hears(*[mark(1, "2020-09-02", enrollment=name) for name in names])
    await open_office.hears(mark(1, "2020-09-02", "ill", 2, enrollment="enr-b"))
    await open_office.hears(day("2020-10-06"))

    (lines,) = open_office.told("invoice-issued", "lines")
    assert [(line["enrollment_id"], line["lessons"]) for line in lines] == [
        ("enr-a", 1),
        ("enr-b", 0),
        ("enr-c", 1),
    ]


async def test_a_long_invoice_comes_in_parts(open_office: Office) -> None:
    names = [f"enr-{number:03d}" for number in range(250)]
    await open_office.gets(
        *[enrolled(name, share_max=10**9, price_kopecks=5_000) for name in names]
    )
    await open_office.world.settle()
    await open_office.hears(day("2020-09-02"))
    await open_office.gets(*[mark(1, "2020-09-02", enrollment=name) for name in names])
    await open_office.world.settle()
    # Some began to move in October, some in both months: they stand in two places of the index.
    await open_office.hears(day("2020-10-03"))
    await open_office.gets(
        *[mark(2, "2020-10-02", enrollment=name) for name in names[::3]],
        *[mark(1, "2020-09-02", "ill", 2, enrollment=name) for name in names[::5]],
    )
    await open_office.world.settle()
    await open_office.hears(day("2020-10-06"), day("2020-11-06"))

    parts = [data for name, data in open_office.facts() if name == "invoice-issued"]
    september = [data for data in parts if data["month"] == "2020-09"]
    assert [(data["part"], data["parts"], len(data["lines"])) for data in september] == [
        (1, 3, 100),
        (2, 3, 100),
        (3, 3, 50),
    ]
    lines = [line for data in september for line in data["lines"]]
    assert [line["enrollment_id"] for line in lines] == names
    assert [line["line_reference"] for line in lines] == [
        f"{INVOICE}/{number}" for number in range(1, 251)
    ]
    assert {data["amount_kopecks"] for data in september} == {
        sum(line["amount_kopecks"] for line in lines)
    }
    (october,) = [data for data in parts if data["month"] == "2020-10"]
    assert [line["enrollment_id"] for line in october["lines"]] == names[::3]
    assert await open_office.state() == await open_office.rebuilt()


async def test_an_invoice_of_two_months_is_sorted_over_both(open_office: Office) -> None:
    names = [f"enr-{number:03d}" for number in range(120)]
    await open_office.gets(
        *[enrolled(name, share_max=10**9, price_kopecks=5_000) for name in names]
    )
    await open_office.world.settle()
    # After the invoices of October: what is late for September stands beside October.
    await open_office.hears(day("2020-10-06"))
    for on, some in [("2020-09-30", names[::2]), ("2020-10-05", names[1::2])]:
        await open_office.gets(*[mark(1, on, enrollment=name) for name in some])
        await open_office.world.settle()
    await open_office.hears(day("2020-11-06"))

    parts = [data for name, data in open_office.facts() if name == "invoice-issued"]
    assert [(data["month"], data["part"], len(data["lines"])) for data in parts] == [
        ("2020-10", 1, 100),
        ("2020-10", 2, 20),
    ]
    assert [line["enrollment_id"] for data in parts for line in data["lines"]] == names


async def test_an_invoice_is_settled_once(chess: Office) -> None:
    first, copy = paid(INVOICE), paid(INVOICE) | {"id": "a-copy"}
    other, unknown = paid(INVOICE, "ПП-22"), paid(f"{INVOICE}x")

    await chess.hears(mark(1, "2020-09-01"), day("2020-10-06"))
    await chess.hears(first, copy, other, unknown)

    assert chess.told("invoice-settled", "invoice_id", "amount_kopecks", "paid_on") == [
        (INVOICE, 25_149, "2020-10-13")
    ]
    assert chess.decided(copy) == ["duplicate"]
    assert chess.decided(other) == ["refused:conflict"]
    assert chess.decided(unknown) == ["refused:unknown_invoice"]


async def test_a_payers_own_day_of_invoices(chess: Office) -> None:
    await chess.hears(rules("billing.days", "2020-10-01", days(invoice=3)))
    await chess.hears(mark(1, "2020-09-01"), day("2020-10-02"), day("2020-10-03"))

    assert chess.days("invoice-issued") == ["2020-10-03"]


# --- periods -----------------------------------------------------------------------------------


async def test_certificates_expire_in_order_of_their_numbers(office: Office) -> None:
    await office.hears(day(AUGUST), period())
    numbers = ["7030000033", "7030000017", "7030000025"]
    for child, number in zip(("child-a", "child-b", "child-c"), numbers, strict=True):
        await office.hears(issued(child, number))
    await office.hears(day("2021-01-11"), day("2021-01-12"))

    assert office.told("period-expired", "certificate_number") == sorted(numbers)
    assert set(office.days("period-expired")) == {"2021-01-11"}


async def test_the_next_period_has_an_account_of_its_own(chess: Office) -> None:
    await chess.hears(mark(1, "2020-09-01"), day("2020-12-20"), period("2021"), renewed())
    await chess.hears(enrolled(MUSIC, starts_on="2021-01-01", ends_on="2021-05-31", period="2021"))
    assert chess.told("account-opened", "period") == ["2020", "2021"]
    assert chess.money() == (1_200_000 - 995_605, 995_605, 0)

    await chess.hears(day("2021-01-11"))

    assert chess.told("period-expired", "period", "expired_kopecks") == [("2020", 974_851)]


# --- the books ---------------------------------------------------------------------------------


def book(office: Office) -> list[ledger.Entry]:
    """Return the ledger of the whole journal."""
    booked = [to_booked(record) for record in office.world.journal("billing")]
    return list(ledger.entries(one for one in booked if one is not None))


def check_the_books(office: Office) -> None:
    """Compare every purse that was published with what the ledger adds up to at that moment."""
    booked = [to_booked(record) for record in office.world.journal("billing")]
    read = [one for one in booked if one is not None]
    periods: dict[str, Any] = {}
    for position, one in enumerate(read, 1):
        data = asdict(one.fact)
        if isinstance(one.fact, facts.FundsReserved):
            periods[one.fact.enrollment_id] = one.period
        if "purse" in data:
            of_period = data.get("period") or periods[data["enrollment_id"]]
            purses = ledger.purses(ledger.entries(read[:position]))
            assert purses[data["certificate_number"], of_period] == data["purse"]
    entries = list(ledger.entries(read))
    assert sum(ledger.balances(entries).values()) == 0
    assert all(sum(kinds.values()) == 0 for kinds in ledger.trial_balances(entries).values())


async def test_the_ledger_of_w5(chess: Office) -> None:
    await chess.hears(mark(1, "2020-09-01"), day("2020-09-03"), mark(3, "2020-09-03"))
    await chess.hears(mark(1, "2020-09-01", "absent", 2), day("2020-10-06"), paid(INVOICE))
    await chess.hears(ended("2020-10-03"), day("2021-01-11"))

    entries = book(chess)

    assert {name: held for name, held in ledger.balances(entries).items() if held} == {
        f"budget:{PAYER}:2020": -1_000_000,
        f"settled:{PROVIDER}": 25_137,
        f"expired:{PAYER}:2020": 974_863,
    }
    assert dict(
        ledger.trial_balances(entries)[PayerCode(PAYER), PeriodId("2020"), date(2020, 9, 3)]
    ) == {
        "reserved": 12,
        "owed": -12,
    }
    check_the_books(chess)


MARKS = ["present", "absent", "ill", "excused", "cancelled", "made-up"]

histories = st.lists(
    st.one_of(
        st.tuples(
            st.just("mark"),
            st.integers(1, 6),
            st.sampled_from(MARKS),
            st.integers(1, 4),
        ),
        st.tuples(st.just("days"), st.integers(1, 20), st.just(""), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 9), st.just(""), st.just(0)),
        st.tuples(st.just("correct"), st.integers(0, 1_300_000), st.just(""), st.just(0)),
        st.tuples(st.just("second"), st.integers(0, 1), st.just(""), st.just(0)),
        st.tuples(st.just("dispute"), st.integers(1, 6), st.just("was-absent"), st.just(0)),
        st.tuples(st.just("answer"), st.integers(1, 6), st.just("provider"), st.just(0)),
    ),
    min_size=1,
    max_size=30,
)


def told(history: Iterable[tuple[str, int, str, int]]) -> list[dict[str, Any]]:
    """Return the events of a history; lesson n is on the nth of September."""
    today, events, ended_, corrections = date(2020, 9, 6), [day("2020-09-06")], False, 0
    for what, number, value, revision in history:
        match what:
            case "mark":
                events.append(mark(number, f"2020-09-0{number}", value, revision))
            case "days":
                today += timedelta(days=number)
                events.append(day(str(today)))
            case "end" if not ended_ and today < date(2020, 12, 31):
                ended_ = True
                events.append(ended(str(today - timedelta(days=number))))
            case "correct":
                corrections += 1
                events.append(corrected(number, corrections))
            case "dispute":
                events.append(disputed(number, value))
            case "answer":
                events.append(answered(number, value))
            case "second":
                events.append(
                    mark(number + 1, f"2020-09-0{number + 1}", enrollment=MUSIC, revision=1)
                )
            case _:
                pass
    return events


async def lived(office: Office, basis: str, events: Iterable[Mapping[str, Any]]) -> None:
    await office.hears(day(AUGUST), period(), policy(basis), issued())
    await office.hears(used_up(3), enrolled(MUSIC, share_max=10**9, price_kopecks=720_000))
    await office.hears(*events)


@pytest.mark.parametrize("basis", ["ATTENDED_LESSONS", "MONTHLY_CONTRACT"])
@given(history=histories, seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
async def test_the_books_agree_with_a_second_count_and_copies_change_nothing(
    basis: str, history: list[tuple[str, int, str, int]], seed: int
) -> None:
    office, events = Office(seed), told(history)
    await lived(office, basis, events)

    check_the_books(office)
    if basis == "ATTENDED_LESSONS":
        check_lessons(office)
    else:
        check_months(office)
    for _, data in office.facts():
        found = data.get("purse", {"nominal_kopecks": 0, "balance_kopecks": 0})
        assert min(found.values()) >= 0
        parts = sum(found.values()) - found["nominal_kopecks"]
        assert parts == found["nominal_kopecks"]

    before, published = business(await office.state()), office.facts()
    await office.hears(*[one | {"id": f"copy-{number}"} for number, one in enumerate(events)])
    assert office.facts() == published
    assert business(await office.state()) == before
    assert await office.rebuilt() == await office.state()


@given(history=histories, seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
async def test_disputes_change_nothing_but_themselves(
    history: list[tuple[str, int, str, int]], seed: int
) -> None:
    everything = told(history)
    disputing, calm = Office(seed), Office(seed)
    await lived(disputing, "ATTENDED_LESSONS", everything)
    await lived(calm, "ATTENDED_LESSONS", [e for e in everything if e["source"] != "/disputes"])

    others = [fact for fact in disputing.facts() if not fact[0].startswith("dispute-")]
    assert others == calm.facts()
    check_disputes(disputing)


def check_disputes(office: Office) -> None:
    """Each is about a charge that stands, and ends once: with that charge, or by an answer."""
    charges: set[str] = set()
    disputes: dict[str, str] = {}
    names = [name for name, _ in office.facts()]
    for at, (name, data) in enumerate(office.facts()):
        match name:
            case "lesson-charged":
                charges.add(data["lesson_id"])
            case "charge-reversed":
                charges.discard(data["lesson_id"])
                is_open = disputes.get(data["lesson_id"]) == "open"
                assert is_open == (names[at + 1 : at + 2] == ["dispute-settled"])
            case "dispute-opened":
                assert data["lesson_id"] in charges
                assert disputes.setdefault(data["lesson_id"], "open") == "open"
            case "dispute-settled":
                assert disputes[data["lesson_id"]] == "open"
                disputes[data["lesson_id"]] = data["outcome"]
                assert (data["lesson_id"] in charges) == (data["outcome"] == "upheld")
            case _:
                pass


def business(state: Mapping[int, Mapping[str, bytes]]) -> dict[tuple[int, str], bytes]:
    """Return what is billing's own in its store; the runtime's names begin with a line."""
    return {
        (partition, key): value
        for partition, kept in state.items()
        for key, value in kept.items()
        if not key.partition("/")[2].startswith("_")
    }


def check_lessons(office: Office) -> None:
    """Count standing charges the slow way: as many as count, up to those that were bought."""
    marks: dict[str, tuple[int, str, str]] = {}
    amounts: dict[str, int] = {}
    ended_on = "9999"
    reserve = next(data for name, data in office.facts() if name == "funds-reserved")
    for record in office.world.journal("billing"):
        data = record["data"]
        name = record["type"].split(".")[1]
        heard = data.get("input", {})
        if heard.get("type") == "enrollment.enrollment-ended.v1" and "data" in heard:
            ended_on = heard["data"]["ended_on"]
        if data.get("enrollment_id") != CHESS or "mark" not in data:
            continue
        lesson = data["lesson_id"]
        marks[lesson] = (data["revision"], data["mark"], data["lesson_date"])
        if name == "lesson-charged":
            assert lesson not in amounts
            amounts[lesson] = data["amount_kopecks"]
        if name == "charge-reversed":
            assert amounts.pop(lesson) == data["amount_kopecks"]
        counting = [
            lesson
            for lesson, (_, value, on) in marks.items()
            if value in ("present", "made-up") and on <= ended_on
        ]
        if ended_on == "9999":
            assert len(amounts) == min(reserve["lessons"], len(counting))
        share, extra = reserve["lesson_share_kopecks"], reserve["first_lesson_extra_kopecks"]
        assert sum(amounts.values()) == share * len(amounts) + (extra if amounts else 0)
    assert all(marks[lesson][2] <= ended_on for lesson in amounts)


def check_months(office: Office) -> None:
    """Count what was paid for months from their schedule and the highest marks."""
    reserve = next(data for name, data in office.facts() if name == "funds-reserved")
    months = {
        one.month: one.amount_kopecks
        for one in schedule(
            date.fromisoformat(reserve["starts_on"]),
            date.fromisoformat(reserve["ends_on"]),
            Kopecks(reserve["certificate_share_kopecks"]),
        )
    }
    marks: dict[str, tuple[str, str]] = {}
    paid_ = Counter[str]()
    for name, data in office.facts():
        if data.get("enrollment_id") != CHESS:
            continue
        if name == "lesson-not-charged":
            marks[data["lesson_id"]] = (data["lesson_date"][:7], data["mark"])
        if name == "month-charged":
            assert data["amount_kopecks"] == months[data["month"]]
            assert data["month"] not in paid_
            paid_[data["month"]] = data["amount_kopecks"]
        if name == "month-reversed":
            assert paid_.pop(data["month"]) == data["amount_kopecks"]
        if name == "month-adjusted":
            of_month = [value for month, value in marks.values() if month == data["month"]]
            back = goes_back(
                Kopecks(months[data["month"]]), len(of_month), of_month.count("cancelled")
            )
            assert data["amount_kopecks"] == back


@pytest.mark.parametrize("seed", range(4))
async def test_the_state_is_a_function_of_the_journal_with_a_small_memory_too(seed: int) -> None:
    office = Office(seed, cached_max=3)
    history = [("mark", n % 6 + 1, MARKS[(n * seed + n) % 6], n // 6 + 1) for n in range(24)]
    await lived(
        office, "ATTENDED_LESSONS", told([*history, ("end", 3, "", 0), ("days", 20, "", 0)])
    )
    state = await office.state()

    assert await office.rebuilt() == state
    days_ = [record["journalseq"] for record in office.world.journal("billing")]
    assert all(later == earlier + 1 or later == 1 for earlier, later in pairwise(days_))


# --- rules that change on the day ---------------------------------------------------------------


@pytest.mark.parametrize("is_lost", [False, True])
async def test_what_falls_due_goes_by_what_was_known_before_the_day_whoever_owns_it(
    *, is_lost: bool
) -> None:
    office = Office()
    await office.hears(
        *(day(AUGUST), period(), issued(), enrolled(), day("2020-09-01"), mark(1, "2020-09-01")),
        *(day("2020-10-06"), ended("2020-10-03"), day("2020-10-07")),
        rules("billing.days", "2020-10-07", days(grace=0)),
    )
    if is_lost:
        for partition in range(office.world.partitions):
            office.world.kill("billing", partition)
        await office.world.settle()
    absent = mark(1, "2020-09-01", "absent", 2)

    await office.hears(absent)
    reversed_on_the_day = office.told("charge-reversed", "amount_kopecks")
    released_on_the_day = office.told("reserve-released", "amount_kopecks")
    await office.hears(day("2020-10-08"))

    assert (len(reversed_on_the_day), released_on_the_day) == (1, [])
    assert len(office.told("reserve-released", "amount_kopecks")) == 1
