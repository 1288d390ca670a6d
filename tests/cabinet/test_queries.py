"""What the cabinet answers: shapes, what is not there, and that all ways say the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from services.cabinet.api import shapes
from services.cabinet.club_queries import ClubQueries
from services.cabinet.parts import PAGE_MEMBERS, Answer, Part
from services.cabinet.queries import EXPORTS
from streaming.redis_client import Argument, RedisClient
from streaming.redis_store import RedisStore
from streaming.valkey import EmbeddedValkey
from tests.cabinet import story
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals

ROUND_TRIPS_MAX = 8
SHAPES: dict[str, type[BaseModel]] = {
    "certificates": shapes.CertificateShape,
    "enrollments": shapes.EnrollmentShape,
    "groups": shapes.GroupShape,
    "providers": shapes.ProviderShape,
    "payers": shapes.PayerShape,
    "invoices": shapes.InvoiceShape,
}


async def test_what_is_not_there_is_none(journals: Journals) -> None:
    queries = journals.queries

    assert await queries.certificate("child-99999") is None
    assert await queries.certificate("child-0002") is None, "the beginning of an id is no id"
    assert await queries.enrollment("enr-99999") is None
    assert await queries.group("grp-999") is None
    assert await queries.payer("99999999") is None
    assert await queries.provider("prov-999") is None
    assert await queries.invoice("inv-none") is None
    assert await queries.family("guardian-99999") is None
    assert await queries.decided("attendance.events.v1", 99, 0) is None


async def test_a_family_is_asked_of_each_partition_once_up_to_where_it_goes(
    journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    progress = Part.progress

    async def counted(part: Part) -> tuple[Answer, bool]:
        asked.append(part.number)
        return await progress(part)

    monkeypatch.setattr(Part, "progress", counted)

    assert await journals.queries.family(story.GUARDIAN) is not None

    assert sorted(asked) == list(range(journals.partitions))


async def test_a_certificate_is_found_by_child_and_by_number(journals: Journals) -> None:
    by_child = await journals.queries.certificate(story.ELDER)
    by_number = await journals.queries.certificate(story.NUMBER)

    assert by_child is not None
    assert by_child == by_number


async def test_export_says_what_show_says_in_the_shapes_of_the_api(journals: Journals) -> None:
    queries = journals.queries
    show = {
        "certificates": queries.certificate,
        "enrollments": queries.enrollment,
        "groups": queries.group,
        "providers": queries.provider,
        "payers": queries.payer,
        "invoices": queries.invoice,
    }

    exported = await queries.export()

    assert tuple(exported) == EXPORTS
    assert set(exported["enrollments"]) == {
        story.ROBOTS,
        story.CHESS,
        story.CLIMBING,
        story.PAINTING,
    }
    assert set(exported["groups"]) == set(story.GROUPS)
    for kind, answers in exported.items():
        for id_, answer in answers.items():
            assert await show[kind](id_) == answer
            SHAPES[kind].model_validate(answer)


async def test_a_provider_nobody_owes_is_known_but_not_exported() -> None:
    journals = await Journals().start()
    await story.set_the_scene(journals)
    await journals.follow()

    exported = await journals.queries.export(["providers"])

    assert exported == {"providers": {}}
    shown = await journals.queries.provider(story.PROVIDER)
    assert shown == {"provider_id": story.PROVIDER, "payers": []}


async def test_the_provider_of_an_application_is_known_before_a_place_is_held(
    journals: Journals,
) -> None:
    waiting = await journals.queries.enrollment(story.CLIMBING)

    assert waiting is not None
    assert waiting["provider_id"] == story.PROVIDER


async def test_a_family_sees_all_that_is_its_own(journals: Journals) -> None:
    family = await journals.queries.family(story.GUARDIAN)

    assert family is not None
    elder, younger = family["children"]
    assert family["business_day"] == "2020-09-14"
    assert (elder["child_id"], younger["child_id"]) == (story.ELDER, story.YOUNGER)
    (climbing,) = [e for e in younger["enrollments"] if e["enrollment_id"] == story.CLIMBING]
    assert climbing["waiting_position"] == 1
    assert climbing["provider_title"] == "Дом творчества «Кедр»"
    assert [entry["kind"] for entry in elder["history"]][:2] == [
        "place-held",
        "application-registered",
    ]
    days = [entry["day"] for entry in elder["history"]]
    assert days == sorted(days, reverse=True)
    assert [message["category"] for message in family["messages"]] == [
        "certificate",
        "application",
        "debit",
        "debit",
    ]
    assert all(message["entries"] for message in family["messages"])


async def test_guardians_are_listed_by_the_beginning_of_their_id(journals: Journals) -> None:
    for number in range(5):
        await story.register_child(
            journals, f"child-1000{number}", "2012-01-01", [f"guardian-1000{number}"]
        )
    await journals.follow()

    everybody = await journals.queries.guardians()
    some = await journals.queries.guardians("guardian-1", 3)
    none = await journals.queries.guardians("nobody")

    assert everybody[0] == {"guardian_id": story.GUARDIAN, "children": 2}
    assert len(everybody) == 6
    assert [each["guardian_id"] for each in some] == [f"guardian-1000{n}" for n in range(3)]
    assert none == []


async def test_as_of_names_the_last_record_of_each_journal(journals: Journals) -> None:
    standings = await journals.queries.as_of()

    partition = journals.queries.partition_of(PAYER)
    of_payer = standings[partition]
    assert of_payer["business_day"] == "2020-09-14"
    for topic, number in of_payer["journals"].items():
        records = journals.bus.log.log(topic, partition).records  # type: ignore[attr-defined]
        assert number == len(records), topic


PROVIDERS = (story.PROVIDER, "prov-100", "prov-101", "prov-102")
PAYERS = (PAYER, OTHER_PAYER, "25714000", "25738000", "25740000")


@asynccontextmanager
async def in_redis(folder: Path, partitions: int) -> AsyncIterator[Journals]:
    """Yield a cabinet that knows the whole story, on a Redis."""
    store = RedisStore(EmbeddedValkey(folder), service="cabinet")
    await store.start()
    try:
        told = await Journals(store=store, partitions=partitions).start()
        await story.tell_all(told)
        await told.follow()
        yield told
    finally:
        await store.stop()


async def tell_more(journals: Journals) -> None:
    """There are several of each thing: providers, payers with categories, groups, invoices."""
    await story.dispute(journals, "2020-09-09", 25_137)
    for number, provider_id in enumerate(PROVIDERS[1:]):
        await journals.noted(
            "enrollment",
            "navigator.provider-registered",
            {"provider_id": provider_id, "title": "Клуб", "state": "active", "revision": 1},
            payer=PAYERS[number % 2],
        )
        issued = {
            "invoice_id": f"inv-{number}",
            "provider_id": provider_id if number else story.PROVIDER,
            "month": "2020-09",
            "amount_kopecks": 100,
            "lines": [
                {
                    "line_reference": f"inv-{number}/1",
                    "enrollment_id": story.ROBOTS,
                    "certificate_number": story.NUMBER,
                    "lessons": 1,
                    "amount_kopecks": 100,
                }
            ],
        }
        await journals.fact("billing.invoice-issued", issued)
    for payer in PAYERS[1:]:
        period = {
            "period": "2020",
            "starts_on": "2020-01-01",
            "ends_on": "2020-12-31",
            "basis": "Постановление 1",
        }
        await journals.noted("enrollment", "payers.period-opened", period, payer=payer)
        for name in ("general", "reserve"):
            of_payer = story.category(category=name)
            await journals.noted("certificates", "payers.category-set", of_payer, payer=payer)
    for group_id in ("grp-001", "grp-003"):
        await story.ask_for_place(journals, f"enr-more-{group_id}", group_id, 0, waiting=1)
    await journals.follow()


def counted_trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets, for each round trip from now on, how many commands it carries."""
    trips: list[int] = []
    asked = RedisClient._asked

    async def counted(client: RedisClient, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        trips.append(len(commands))
        return await asked(client, commands)

    monkeypatch.setattr(RedisClient, "_asked", counted)
    return trips


async def test_a_family_takes_a_few_round_trips_whatever_it_is_made_of(
    journals: Journals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_redis(tmp_path, journals.partitions) as told:
        trips = counted_trips(monkeypatch)

        family = await told.queries.family(story.GUARDIAN)

    assert family == await journals.queries.family(story.GUARDIAN)
    assert len(trips) <= ROUND_TRIPS_MAX
    assert sum(trips) > 4 * ROUND_TRIPS_MAX, "there was something to ask"


QUESTIONS: dict[str, tuple[Callable[[ClubQueries], Awaitable[Any]], int]] = {
    "titles of providers": (lambda asked: asked.provider_titles((*PROVIDERS, "prov-999")), 2),
    "groups": (lambda asked: asked.page("groups", "", 50), 3),
    "payers": (lambda asked: asked.page("payers", "", 50), 3),
    "invoices": (lambda asked: asked.page("invoices", "", 50), 3),
    "certificates": (lambda asked: asked.page("certificates", "", 50), 5),
    "enrollments": (lambda asked: asked.page("enrollments", "", 50), 3),
    "providers": (lambda asked: asked.page("providers", "", 50), 3),
    "whether a certificate is in force": (lambda asked: asked.in_force(story.NUMBER), 3),
    "a budget": (lambda asked: asked.budget(PAYER), 5),
    "a report": (lambda asked: asked.report(PAYER), 9),
    "disputes of a payer": (lambda asked: asked.disputes_by(PAYER), 4),
    "invoices of a payer": (lambda asked: asked.invoices_by(PAYER, "2020-09"), 3),
    "invoices of a provider": (lambda asked: asked.invoices_of(story.PROVIDER), 3),
    "what was charged": (lambda asked: asked.charged(story.PROVIDER), 6),
    "the journal of a provider": (lambda asked: asked.journal(story.PROVIDER), 6),
    "preferences": (lambda asked: asked.preferences(story.GUARDIAN), 2),
}
"""Each with the round trips it may take, however many things it is about."""


async def test_more_things_take_no_more_round_trips(
    journals: Journals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: dict[str, int] = {}
    answers: dict[str, Any] = {}
    async with in_redis(tmp_path, journals.partitions) as told:
        await tell_more(told)
        queries = ClubQueries(told.store, told.partitions)
        counted = counted_trips(monkeypatch)
        for name, (ask, _) in QUESTIONS.items():
            counted.clear()
            answers[name] = await ask(queries)
            trips[name] = len(counted)

    assert trips == {name: number for name, (_, number) in QUESTIONS.items()}
    await tell_more(journals)
    in_memory = ClubQueries(journals.store, journals.partitions)
    for name, (ask, _) in QUESTIONS.items():
        assert answers[name] == await ask(in_memory), name


async def test_a_child_under_two_payers_of_one_partition_has_the_certificate_of_each() -> None:
    journals = await Journals(partitions=1).start()
    await story.tell_all(journals)
    await story.register_child(
        journals, story.ELDER, "2010-04-17", [story.GUARDIAN], payer=OTHER_PAYER
    )
    issued = {
        "child_id": story.ELDER,
        "certificate_number": "7030000157",
        "state": "FUNDED",
        "category": "general",
        "period": "2020",
        "valid_from": "2020-09-01",
        "valid_until": "2020-12-31",
        "nominal_kopecks": 500_000,
        "guardian_ids": [story.GUARDIAN],
        "why": story.why("Сертификат другого муниципалитета."),
    }
    await journals.fact("certificates.certificate-issued", issued, payer=OTHER_PAYER)
    await journals.follow()

    family = await journals.queries.family(story.GUARDIAN, child_id=story.ELDER)

    assert family is not None
    assert {
        child["payer"]: child["certificate"]["certificate_number"] for child in family["children"]
    } == {PAYER: story.NUMBER, OTHER_PAYER: "7030000157"}


async def test_a_guardian_may_have_more_children_than_a_page_of_an_index() -> None:
    journals = await Journals(partitions=1).start()
    for number in range(PAGE_MEMBERS + 1):
        await story.register_child(journals, f"child-{number:05}", "2012-04-17", ["guardian-home"])
    await journals.follow()

    family = await journals.queries.family("guardian-home")
    last = f"child-{PAGE_MEMBERS:05}"
    one = await journals.queries.family("guardian-home", child_id=last)

    assert family is not None
    assert one is not None
    assert len(family["children"]) == PAGE_MEMBERS + 1
    assert [child["child_id"] for child in one["children"]] == [last]
