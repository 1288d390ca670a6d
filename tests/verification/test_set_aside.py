"""What operators do about records that cannot be decided or read is no fault of the books."""

import orjson
from msgspec.structs import replace

from pfdo.playing import play
from streaming.quarantine import set_aside
from tests.pfdo.worlds import installation_of, small_file, world
from tests.support.world import World
from tests.verification.books import Books, counted, played

PAYERS, NAVIGATOR, ATTENDANCE = "payers.events.v1", "navigator.events.v1", "attendance.events.v1"


async def small_world_without(service: str, topic: str, offset: int) -> World:
    """Return the small file as played while a service sets one record aside, in any partition."""
    made = world()
    installation = installation_of(made)
    version = made.services[service].state_version
    for partition in range(made.partitions):
        await set_aside(made.stores[service], version, partition, topic, offset, "a defect")

    async def settled() -> bool:
        await made.settle()
        return True

    await play(installation, small_file(installation), settled)
    return made


def books_of(made: World) -> Books:
    return Books(
        {
            (topic, partition): tuple(made.log.log(topic, partition).records)
            for topic in made.log._logs
            for partition in range(made.partitions)
        }
    )


async def check(service: str, topic: str, offset: int) -> Books:
    books = books_of(await small_world_without(service, topic, offset))
    _, _, decision = books.find(f"{service}.events.v1", "input-dead-lettered")
    assert decision["data"]["reason"] == "operator_quarantine"
    assert decision["causetopic"] == topic
    found = counted(books)
    assert [one.to_json() for one in found.listed] == []
    return books


async def test_by_the_service_that_decides_it() -> None:
    await check("billing", ATTENDANCE, 0)


async def test_by_one_that_only_notes_it_while_another_decides_it() -> None:
    await check("certificates", PAYERS, 0)


async def test_by_one_that_answers_for_the_topic_while_another_decides_it() -> None:
    books = books_of(await small_world_without("enrollment", PAYERS, 1))

    _, _, event = books.find(
        "enrollment.events.v1", "input-dead-lettered", lambda e: e["causetopic"] == PAYERS
    )
    (decided,) = [
        orjson.loads(record.value or b"")["type"]
        for record in books.records[PAYERS, event["causepartition"]]
        if record.offset == event["causeoffset"]
    ]
    assert decided.startswith("payers.")
    assert counted(books).ok


async def test_of_another_services_journal() -> None:
    await check("notifications", "billing.events.v1", 0)


async def test_what_was_set_aside_has_its_bytes_too() -> None:
    books = await check("billing", ATTENDANCE, 0)
    place = next(
        place
        for place, records in books.records.items()
        if place[0] == "billing.dead-letters.v1" and records
    )
    (letter,) = books.records[place]

    found = counted(books.with_records(place, [replace(letter, value=b"other bytes")]))

    assert set(found.totals) == {"I13"}


def test_a_mark_beside_a_letter_is_no_letter() -> None:
    place = next(
        place
        for place, records in played().records.items()
        if place[0] == "billing.dead-letters.v1" and records
    )
    records = list(played().records[place])
    headers = (("pfdo-mark", b"dismissed"), ("pfdo-letter", b"billing:0:0"))
    mark = replace(records[-1], offset=records[-1].offset + 1, value=b"seen", headers=headers)

    assert counted(played().with_records(place, [*records, mark])).ok
