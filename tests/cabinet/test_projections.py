"""What the read models say after some facts."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.cabinet.projections import cabinet
from streaming.bus import Outgoing
from streaming.follower import Follower
from streaming.memory import MemoryBus, MemoryLog
from streaming.memory_store import MemoryStore
from streaming.telemetry import Telemetry
from tests.cabinet import story
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals, input_of, purse
from tests.cabinet.story import CLIMBING, ELDER, GUARDIAN, PROVIDER, ROBOTS, YOUNGER, why
from tests.support.dumped import dumped

Tell = Callable[[Journals], Awaitable[Any]]


async def told(*parts: Tell) -> Journals:
    """Return a cabinet that has followed these parts of a story."""
    journals = await Journals().start()
    for part in parts:
        await part(journals)
    await journals.follow()
    return journals


async def applied(journals: Journals) -> None:
    await story.apply_for(journals, ROBOTS, ELDER, "grp-000")


async def held(journals: Journals) -> None:
    await story.hold(journals, ROBOTS, ELDER, "grp-000")


async def waitlisted(journals: Journals) -> None:
    await journals.fact(
        "enrollment.application-waitlisted",
        {"enrollment_id": ROBOTS, "child_id": ELDER, "position": 3},
    )


async def refused(journals: Journals) -> None:
    about = {"enrollment_id": ROBOTS, "child_id": ELDER, "reason": "hold_expired"}
    await journals.fact("enrollment.application-refused", about | {"why": why("Поздно.")})


async def enrolled(journals: Journals) -> None:
    await journals.fact("enrollment.child-enrolled", story.enrolled(ROBOTS, ELDER, "grp-000"))


async def cancelled(journals: Journals) -> None:
    about = {"enrollment_id": ROBOTS, "child_id": ELDER, "reason": "frame_limit_reached"}
    await journals.fact("enrollment.enrollment-cancelled", about | {"why": why("Нет денег.")})


async def ended(journals: Journals) -> None:
    about = {"enrollment_id": ROBOTS, "child_id": ELDER}
    await journals.fact(
        "enrollment.enrollment-ended", about | {"ended_on": "2020-10-15", "cause": "guardian"}
    )


async def released(journals: Journals) -> None:
    await journals.fact(
        "billing.reserve-released",
        story.about_money(
            enrollment_id=ROBOTS,
            amount_kopecks=754_110,
            cause="ended",
            purse=purse(949_714, 0, 50_286),
        ),
    )


async def expired(journals: Journals) -> None:
    await journals.fact(
        "billing.period-expired",
        story.about_money(
            period="2020", expired_kopecks=949_714, purse=purse(0, 0, 50_286, 949_714)
        ),
    )


STATES = [
    pytest.param((applied,), {"state": "REGISTERED", "starts_on": None}, id="registered"),
    pytest.param((applied, waitlisted), {"state": "WAITLISTED"}, id="waitlisted"),
    pytest.param(
        (applied, held), {"state": "PLACE_HELD", "starts_on": None, "lessons": None}, id="held"
    ),
    pytest.param(
        (applied, held, refused), {"state": "REFUSED", "reason": "hold_expired"}, id="refused"
    ),
    pytest.param(
        (applied, held, enrolled),
        {"state": "ENROLLED", "starts_on": "2020-09-01", "certificate_share_kopecks": None},
        id="enrolled, money not settled",
    ),
    pytest.param(
        (applied, held, enrolled, cancelled),
        {"state": "CANCELLED", "reason": "frame_limit_reached", "starts_on": "2020-09-01"},
        id="cancelled keeps its dates",
    ),
    pytest.param(
        (applied, held, story.issue, story.reserve),
        {"state": "ACTIVE", "certificate_share_kopecks": 804_396, "lessons": 32, "reason": None},
        id="active",
    ),
    pytest.param(
        (applied, held, story.issue, story.reserve, ended),
        {"state": "ENDED", "ended_on": "2020-10-15", "ends_on": "2020-12-31", "reason": None},
        id="ended",
    ),
]


@pytest.mark.parametrize(("parts", "expected"), STATES)
async def test_an_enrollment_is_where_its_facts_left_it(
    parts: tuple[Tell, ...], expected: dict[str, Any]
) -> None:
    journals = await told(story.set_the_scene, *parts)

    shown = await journals.queries.enrollment(ROBOTS)

    assert shown is not None
    assert {name: shown[name] for name in expected} == expected


MONEY = [
    # Balance, reserved, paid, expired of the certificate; reserved, charged, lessons of the
    # enrollment; charged of the provider: W5 of docs/rules.md.
    pytest.param((), (195_604, 804_396, 0, 0), (804_396, 0, 0), 0, id="reserved"),
    pytest.param(
        (story.lessons,), (195_604, 754_110, 50_286, 0), (754_110, 50_286, 2), 50_286, id="charged"
    ),
    pytest.param(
        (story.lessons, story.reverse_first),
        (195_604, 779_259, 25_137, 0),
        (779_259, 25_137, 1),
        25_137,
        id="one reversed",
    ),
    pytest.param(
        (story.lessons, released),
        (949_714, 0, 50_286, 0),
        (0, 50_286, 2),
        50_286,
        id="the rest released",
    ),
    pytest.param(
        (story.lessons, released, expired),
        (0, 0, 50_286, 949_714),
        (0, 50_286, 2),
        50_286,
        id="the rest expired",
    ),
]


@pytest.mark.parametrize(("parts", "of_certificate", "of_enrollment", "owed"), MONEY)
async def test_money_stands_where_the_facts_put_it(
    parts: tuple[Tell, ...],
    of_certificate: tuple[int, ...],
    of_enrollment: tuple[int, ...],
    owed: int,
) -> None:
    journals = await told(story.set_the_scene, applied, held, story.issue, story.reserve, *parts)

    certificate = await journals.queries.certificate(ELDER)
    enrollment = await journals.queries.enrollment(ROBOTS)
    provider = await journals.queries.provider(PROVIDER)

    assert certificate is not None
    assert enrollment is not None
    assert provider is not None
    (period,) = certificate["periods"]
    names = ("balance", "reserved", "paid", "expired")
    assert tuple(period[f"{name}_kopecks"] for name in names) == of_certificate
    assert (
        enrollment["reserved_kopecks"],
        enrollment["charged_kopecks"],
        enrollment["lessons_charged"],
    ) == of_enrollment
    assert sum(payer["charged_kopecks"] for payer in provider["payers"]) == owed


async def month(journals: Journals, fact: str, amount: int, after: dict[str, int]) -> None:
    more = {"marked": 8, "cancelled": 2} if fact == "month-adjusted" else {}
    await journals.fact(
        f"billing.{fact}",
        story.about_money(
            enrollment_id=ROBOTS,
            provider_id=PROVIDER,
            month="2020-09",
            amount_kopecks=amount,
            purse=after,
            why=why("За сентябрь."),
            **more,
        ),
    )


async def test_months_are_charged_adjusted_and_reversed_net() -> None:
    async def months(journals: Journals) -> None:
        await month(journals, "month-charged", 197_805, purse(195_604, 606_591, 197_805))
        await month(journals, "month-adjusted", 49_451, purse(245_055, 606_591, 148_354))
        await month(journals, "month-charged", 202_197, purse(245_055, 404_394, 350_551))
        await month(journals, "month-reversed", 202_197, purse(245_055, 606_591, 148_354))

    journals = await told(story.set_the_scene, applied, held, story.issue, story.reserve, months)

    enrollment = await journals.queries.enrollment(ROBOTS)

    assert enrollment is not None
    assert enrollment["charged_kopecks"] == 197_805 - 49_451
    assert enrollment["reserved_kopecks"] == 606_591


async def test_movements_tell_every_kopeck_that_moved_and_why() -> None:
    journals = await told(story.tell_all)

    certificate = await journals.queries.certificate(story.NUMBER)

    assert certificate is not None
    assert [(each["kind"], each["amount_kopecks"]) for each in certificate["movements"]] == [
        ("account-opened", 1_000_000),
        ("funds-reserved", 804_396),
        ("lesson-charged", 25_149),
        ("lesson-charged", 25_137),
        ("charge-reversed", 25_149),
        ("lesson-charged", 25_149),
    ]
    assert all(each["text"] and each["at"] for each in certificate["movements"])


async def test_the_waiting_list_is_in_order_and_moves_up() -> None:
    async def waiting(journals: Journals) -> None:
        for number, enrollment_id in enumerate(("enr-1", "enr-2", "enr-3", "enr-4")):
            await story.ask_for_place(journals, enrollment_id, "grp-002", 1, number)

    async def second_leaves_and_a_place_comes_back(journals: Journals) -> None:
        leaving = {"enrollment_id": "enr-3", "group_id": "grp-002", "reason": "withdrawn"}
        await journals.fact(
            "enrollment.group-changed",
            story.places("grp-002", 1, 1, 2),
            input_=input_of("enrollment.place-returned", leaving),
        )
        returned = {"enrollment_id": "enr-1", "group_id": "grp-002", "reason": "ended"}
        await journals.fact(
            "enrollment.group-changed",
            story.places("grp-002", 1, 0, 2),
            input_=input_of("enrollment.place-returned", returned),
        )
        await journals.fact("enrollment.group-changed", story.places("grp-002", 1, 1, 1))

    before = await told(story.set_the_scene, waiting)
    after = await told(story.set_the_scene, waiting, second_leaves_and_a_place_comes_back)

    assert await before.queries.group("grp-002") == {
        "group_id": "grp-002",
        "capacity": 1,
        "taken": 1,
        "waiting": ["enr-2", "enr-3", "enr-4"],
    }
    assert await after.queries.group("grp-002") == {
        "group_id": "grp-002",
        "capacity": 1,
        "taken": 1,
        "waiting": ["enr-4"],
    }


async def test_a_higher_capacity_is_shown_and_keeps_who_has_a_place() -> None:
    async def revised(journals: Journals) -> None:
        published = story.GROUPS["grp-002"] | {"capacity": 5, "revision": 2}
        await journals.fact(
            "enrollment.group-changed",
            story.places("grp-002", 5, 1, 0),
            input_=input_of("navigator.group-published", published),
        )

    async def taken(journals: Journals) -> None:
        await story.ask_for_place(journals, "enr-1", "grp-002", 1)

    journals = await told(story.set_the_scene, taken, revised)

    shown = await journals.queries.group("grp-002")
    assert shown == {"group_id": "grp-002", "capacity": 5, "taken": 1, "waiting": []}


def certificate_fact(fact: str, **data: Any) -> Tell:
    async def tell(journals: Journals) -> None:
        about = {"child_id": YOUNGER, "certificate_number": story.WAITING_NUMBER}
        await journals.fact(f"certificates.{fact}", about | data)

    return tell


FUNDED = certificate_fact(
    "certificate-funded",
    category="general",
    period="2020",
    nominal_kopecks=900_000,
    why=why("Подошла очередь."),
)
RAISED = certificate_fact(
    "nominal-changed",
    period="2020",
    nominal_kopecks=950_000,
    previous_kopecks=900_000,
    reason="Повышение",
)
FROZEN = certificate_fact("certificate-frozen", reason="Переезд")
UNFROZEN = certificate_fact("certificate-unfrozen", reason="Вернулись")
CLOSED = certificate_fact("certificate-closed", reason="aged-out")

CERTIFICATES = [
    # State, state in the period, place in the queue, nominal; holders, granted, queued of the
    # category, which has another holder of 1,000,000.
    pytest.param((), "ACTIVE", ("ACCOUNTING", 1, 0), (1, 1_000_000, 1), id="waits"),
    pytest.param((FUNDED,), "ACTIVE", ("FUNDED", None, 900_000), (2, 1_900_000, 0), id="funded"),
    pytest.param(
        (FUNDED, RAISED), "ACTIVE", ("FUNDED", None, 950_000), (2, 1_950_000, 0), id="raised"
    ),
    pytest.param(
        (FROZEN,), "FROZEN", ("ACCOUNTING", 1, 0), (1, 1_000_000, 1), id="frozen keeps its turn"
    ),
    pytest.param(
        (FROZEN, UNFROZEN), "ACTIVE", ("ACCOUNTING", 1, 0), (1, 1_000_000, 1), id="unfrozen"
    ),
    pytest.param(
        (CLOSED,), "CLOSED", ("ACCOUNTING", None, 0), (1, 1_000_000, 0), id="closed leaves queue"
    ),
    pytest.param(
        (FUNDED, CLOSED),
        "CLOSED",
        ("FUNDED", None, 900_000),
        (1, 1_900_000, 0),
        id="closed frees a place, not the money",
    ),
]


@pytest.mark.parametrize(("parts", "state", "in_period", "in_category"), CERTIFICATES)
async def test_certificates_and_their_category_agree(
    parts: tuple[Tell, ...],
    state: str,
    in_period: tuple[str, int | None, int],
    in_category: tuple[int, int, int],
) -> None:
    journals = await told(story.set_the_scene, story.issue, story.queue_younger, *parts)

    certificate = await journals.queries.certificate(YOUNGER)
    payer = await journals.queries.payer(PAYER)

    assert certificate is not None
    assert payer is not None
    (period,) = certificate["periods"]
    assert certificate["state"] == state
    assert (
        period["state"],
        period["queue_position"],
        period["nominal_kopecks"],
    ) == in_period
    (category,) = payer["periods"][0]["categories"]
    assert (category["holders"], category["granted_kopecks"], category["queued"]) == in_category


async def test_a_queue_ends_with_its_period() -> None:
    async def a_year_later(journals: Journals) -> None:
        journals.day = "2021-01-11"
        await story.register_child(journals, "child-00099", "2012-01-01", ["guardian-00099"])

    journals = await told(story.set_the_scene, story.queue_younger, a_year_later)

    certificate = await journals.queries.certificate(YOUNGER)

    assert certificate is not None
    assert certificate["periods"][0]["queue_position"] is None


async def test_a_long_invoice_comes_in_parts_and_is_counted_once() -> None:
    invoice_id = f"inv-{PAYER}-{PROVIDER}-2020-09"

    async def invoiced(journals: Journals) -> None:
        for part in (1, 2):
            lines = [
                {
                    "line_reference": f"{invoice_id}/{number}",
                    "enrollment_id": f"enr-{number:05d}",
                    "certificate_number": story.NUMBER,
                    "lessons": 1,
                    "amount_kopecks": 100,
                }
                for number in range(70 * part - 69, 70 * part + 1)
            ]
            data = {
                "invoice_id": invoice_id,
                "provider_id": PROVIDER,
                "month": "2020-09",
                "amount_kopecks": 14_000,
                "lines": lines,
            }
            await journals.fact("billing.invoice-issued", data | {"part": part, "parts": 2})

    async def settled(journals: Journals) -> None:
        await journals.fact(
            "billing.invoice-settled",
            {
                "invoice_id": invoice_id,
                "provider_id": PROVIDER,
                "paid_on": "2020-10-10",
                "payment_reference": "п/п 7",
                "amount_kopecks": 14_000,
            },
        )

    journals = await told(invoiced)
    paid = await told(invoiced, settled)

    shown = await journals.queries.invoice(invoice_id)
    assert shown is not None
    assert (shown["amount_kopecks"], shown["settled"]) == (14_000, False)
    assert [line["enrollment_id"] for line in shown["lines"]] == [
        f"enr-{number:05d}" for number in range(1, 141)
    ]
    assert await journals.queries.provider(PROVIDER) == {
        "provider_id": PROVIDER,
        "payers": [
            {
                "payer": PAYER,
                "charged_kopecks": 0,
                "invoiced_kopecks": 14_000,
                "settled_kopecks": 0,
            }
        ],
    }
    after = await paid.queries.provider(PROVIDER)
    assert after is not None
    assert after["payers"][0]["settled_kopecks"] == 14_000
    settled_invoice = await paid.queries.invoice(invoice_id)
    assert settled_invoice is not None
    assert settled_invoice["settled"] is True


async def test_a_guardian_who_is_none_any_more_sees_the_child_no_longer() -> None:
    async def another_guardian(journals: Journals) -> None:
        await story.register_child(journals, ELDER, "2010-04-17", ["guardian-00077"])

    journals = await told(story.set_the_scene, another_guardian)

    before = await journals.queries.family(GUARDIAN)
    after = await journals.queries.family("guardian-00077")

    assert before is not None
    assert after is not None
    assert [child["child_id"] for child in before["children"]] == [YOUNGER]
    assert [child["child_id"] for child in after["children"]] == [ELDER]


async def test_one_id_under_two_payers_is_two_things() -> None:
    async def elsewhere(journals: Journals) -> None:
        data = {**story.application(ROBOTS, "child-00500", "grp-000"), "group_home": OTHER_PAYER}
        await journals.fact(
            "enrollment.application-refused",
            {
                "enrollment_id": ROBOTS,
                "child_id": "child-00500",
                "reason": "too_old",
                "why": why("Ребёнку 18 лет."),
            },
            payer=OTHER_PAYER,
            input_=input_of("navigator.application-submitted", data),
        )

    journals = await told(story.set_the_scene, applied, held, elsewhere)

    shown = await journals.queries.enrollment(ROBOTS)
    exported = await journals.queries.export(["enrollments"])

    assert shown is not None
    assert (shown["payer"], shown["state"]) == (PAYER, "PLACE_HELD")
    assert exported["enrollments"][ROBOTS] == shown


# --- what became of an input -------------------------------------------------------------------


async def decision(service: str, kind: str, reason: dict[str, Any]) -> dict[str, Any] | None:
    """Return what is told of a mark a service decided so."""
    journals = await Journals().start()
    mark = story.lesson("2020-09-02", "present") | {"evidence": "journal"}
    told_input = input_of("attendance.lesson-marked", mark)
    await journals.fact(
        f"{service}.input-{kind}", reason, input_=told_input, cause=("attendance.events.v1", 5)
    )
    await journals.follow()
    decided = [await journals.queries.decided("attendance.events.v1", p, 5) for p in range(3)]
    return next((each for each in decided if each is not None), None)


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        ("refused", {"reason": "too_late", "detail": "too late"}, "too_late"),
        ("duplicate", {}, None),
        ("parked", {"waits_for": f"reserve:{ROBOTS}", "until": None}, f"reserve:{ROBOTS}"),
        ("forwarded", {"to_partition": 1}, None),
    ],
)
async def test_the_sender_can_ask_what_became_of_an_event(
    kind: str, more: dict[str, Any], reason: str | None
) -> None:
    decided = await decision("billing", kind, more)

    assert decided == {"decision": kind, "reason": reason, "decided_by": "billing"}


async def test_only_the_decider_answers_the_sender() -> None:
    assert await decision("notifications", "duplicate", {}) is None


# --- order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
async def test_the_order_between_journals_changes_nothing(seed: int) -> None:
    journals = await told(story.tell_all)
    chance = random.Random(seed)
    by_topic = {topic: await records_of(journals.bus, topic) for topic in cabinet.topics}
    now = iter(range(1, 10_000))
    shuffled = MemoryBus(3, MemoryLog(3, clock_ms=lambda: next(now)))
    await shuffled.create_topics(cabinet.topics)

    while any(by_topic.values()):
        topic = chance.choice([topic for topic, records in by_topic.items() if records])
        await shuffled.publish([by_topic[topic].pop(0)])
    store = MemoryStore()
    for number in range(3):
        follower = Follower(cabinet, number, shuffled, store, Telemetry())
        await follower.take_over()
        while await follower.step(wait_seconds=0.0):
            pass

    for number in range(3):
        expected = await dumped(journals.store, number, cabinet.state_version)
        assert await dumped(store, number, cabinet.state_version) == expected
    assert await journals.queries.group("grp-002") == {
        "group_id": "grp-002",
        "capacity": 1,
        "taken": 1,
        "waiting": [CLIMBING],
    }


async def records_of(bus: Any, topic: str) -> list[Outgoing]:
    """Return the records of a topic, to be appended elsewhere."""
    return [
        Outgoing(topic, partition, record.key, record.value, record.headers)
        for partition in range(3)
        for record in bus.log.log(topic, partition).records
    ]
