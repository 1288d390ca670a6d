"""The cabinet behind the real services: from a mark in a journal to what the parent reads."""

import pytest

from services.billing.service import billing
from services.cabinet import sending
from services.cabinet.app import make_app
from services.cabinet.projections import cabinet
from services.cabinet.queries import Queries
from services.certificates.service import certificates
from services.enrollment.service import enrollment
from streaming.follower import Follower
from streaming.host import Host
from streaming.memory_store import MemoryStore
from streaming.service import Service
from streaming.telemetry import Telemetry
from tests.cabinet import story
from tests.cabinet.clients import client_of
from tests.cabinet.journals import PAYER
from tests.support.world import World, day, event

CHILD = story.ELDER
ENROLLMENT = story.ROBOTS


async def followed(world: World, store: MemoryStore | None = None) -> Queries:
    """Return a cabinet that has read everything in this world."""
    store = MemoryStore() if store is None else store
    for number in range(world.partitions):
        follower = Follower(cabinet, number, world.bus, store, Telemetry())
        await follower.take_over()
        while await follower.step(wait_seconds=0.0):
            pass
    return Queries(store, world.partitions)


async def enrolled_world(seed: int, *more: Service) -> World:
    """Return a world with one child in one group, its money set aside (docs/rules.md, W1)."""
    world = World([enrollment, certificates, billing, *more], seed=seed)
    await world.publish(day("2020-08-31"))
    await world.settle()
    period = {
        "period": "2020",
        "starts_on": "2020-01-01",
        "ends_on": "2020-12-31",
        "basis": "Постановление 1",
    }
    frame = {
        "provider_id": story.PROVIDER,
        "period": "2020",
        "state": "signed",
        "limit_kopecks": None,
        "revision": 1,
    }
    provider = {
        "provider_id": story.PROVIDER,
        "title": "Дом творчества «Кедр»",
        "state": "active",
        "revision": 1,
    }
    child = {
        "child_id": CHILD,
        "birth_date": "2010-04-17",
        "guardian_ids": [story.GUARDIAN],
        "benefits": [],
        "revision": 1,
    }
    group = story.GROUPS["grp-000"] | {"auto_accept": True}
    await world.publish(
        event("payers.period-opened", PAYER, "2020", period),
        event("payers.category-set", PAYER, "general", story.category()),
        event("payers.frame-agreement-set", PAYER, story.PROVIDER, frame),
        event("navigator.provider-registered", PAYER, story.PROVIDER, provider),
        event("navigator.group-published", PAYER, "grp-000", group),
        event("navigator.child-registered", PAYER, CHILD, child),
    )
    await world.settle()
    application = story.application(ENROLLMENT, CHILD, "grp-000")
    await world.publish(event("navigator.application-submitted", PAYER, ENROLLMENT, application))
    await world.settle()
    await world.publish(day("2020-09-01"))
    await world.settle()
    return world


async def mark(world: World, date: str, mark: str, revision: int = 1) -> None:
    """Mark a lesson on its day."""
    data = story.lesson(date, mark, revision) | {"evidence": "journal"}
    more = {"id": f"mark-{date}-{revision}"}
    await world.publish(event("attendance.lesson-marked", PAYER, ENROLLMENT, data, **more))
    await world.settle()


async def test_what_the_parent_reads_is_what_the_services_decided() -> None:
    for seed in range(3):
        world = await enrolled_world(seed)
        await mark(world, "2020-09-01", "present")
        await mark(world, "2020-09-01", "absent", 2)
        await world.publish(day("2020-09-02"))
        await world.settle()
        await mark(world, "2020-09-02", "ill")

        queries = await followed(world)
        certificate = await queries.certificate(CHILD)
        shown = await queries.enrollment(ENROLLMENT)

        assert certificate is not None
        assert shown is not None
        (period,) = certificate["periods"]
        assert (shown["state"], shown["lessons"], shown["lessons_charged"]) == ("ACTIVE", 32, 0)
        assert (period["balance_kopecks"], period["reserved_kopecks"]) == (195_604, 804_396)
        assert [(each["kind"], each["amount_kopecks"]) for each in certificate["movements"]] == [
            ("account-opened", 1_000_000),
            ("funds-reserved", 804_396),
            ("lesson-charged", 25_149),
            ("charge-reversed", 25_149),
        ]


async def test_what_is_charged_is_the_sum_of_the_journal() -> None:
    world = await enrolled_world(0)
    for number in range(1, 8):
        date = f"2020-09-{number:02d}"
        await world.publish(day(date))
        await world.settle()
        await mark(world, date, "present" if number % 3 else "excused")

    queries = await followed(world)
    shown = await queries.enrollment(ENROLLMENT)
    provider = await queries.provider(story.PROVIDER)

    charged = sum(
        record["data"]["amount_kopecks"] for record in world.journal("billing", "lesson-charged")
    )
    assert charged > 0
    assert shown is not None
    assert provider is not None
    assert shown["charged_kopecks"] == charged
    assert [payer["charged_kopecks"] for payer in provider["payers"]] == [charged]
    family = await queries.family(story.GUARDIAN)
    assert family is not None
    told = [entry["kind"] for entry in family["children"][0]["history"]]
    assert told.count("lesson-not-charged") == len(world.journal("billing", "lesson-not-charged"))


async def test_a_disputed_debit_goes_from_the_family_to_the_provider_and_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nothing runs while a form waits here: it is decided afterwards.
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)
    world = await enrolled_world(0)
    await mark(world, "2020-09-01", "present")
    lesson = f"{PAYER}/{ENROLLMENT}/les-2020-09-01"
    family, journal = f"/families/{story.GUARDIAN}", f"/journal/{story.PROVIDER}"
    store = MemoryStore()
    host = Host(world.bus, {}, Telemetry())
    app = make_app(store, world.bus, world.sources, host, Telemetry(), sandbox=True)

    async with client_of(app) as client:
        await followed(world, store)
        said = await client.post(f"{family}/disputes/{lesson}", data={"ground": "was-absent"})
        await world.settle()
        await followed(world, store)
        seen = [(await client.get(path)).text for path in (family, journal)]
        paid = (await client.get(f"/console/{PAYER}/disputes")).text
        await mark(world, "2020-09-01", "absent", 2)
        await followed(world, store)
        after = [(await client.get(path)).text for path in (family, journal)]

    assert said.status_code == 303
    assert "вы не согласны с" in seen[0]
    assert "Семьи не согласны со списанием" in seen[1]
    assert "Ждут ответа: 1" in paid
    assert "вы были правы" in after[0]
    assert "Семьи не согласны" not in after[1]
    assert [fact for fact, _ in world.facts("billing")][-4:] == [
        *("lesson-charged", "dispute-opened", "charge-reversed", "dispute-settled")
    ]
