"""The catalogue over HTTP, between good marks: what the bus would leave as a dead letter is refused
with the same reason before it gets there, all else is decided as it is from the bus.
"""

import json
from typing import Any

import httpx

from contracts.envelope import CONTENT_TYPE
from pfdo.records import decided, story
from services.cabinet.app import make_app
from streaming.bus import Appended
from streaming.host import Host
from streaming.memory_store import MemoryStore
from streaming.telemetry import Telemetry
from tests.cabinet.clients import client_of
from tests.hostile.catalogue import CATALOGUE, DEAD, PAYER, Hostile
from tests.hostile.test_catalogue import begun, books, differences, good_mark
from tests.pfdo.worlds import installation_of
from tests.support.outcome import check_folds, check_journals
from tests.support.world import World

SENT = tuple(
    one
    for one in CATALOGUE
    # A request has a body, and neither key, headers of a record nor a partition.
    if one.value is not None and one.key == PAYER.encode() and not one.headers and not one.away
)


async def post(client: httpx.AsyncClient, value: bytes) -> httpx.Response:
    """Send an event."""
    return await client.post(
        "/api/v1/events", content=value, headers={"content-type": CONTENT_TYPE}
    )


def place_of(answer: httpx.Response) -> Appended:
    """Return where an accepted event came to stand."""
    (event,) = answer.json()["events"]
    return Appended(event["topic"], event["partition"], event["offset"])


def said_by(answer: httpx.Response) -> str | None:
    """Return the reason of a refusal, None of none."""
    reason: str | None = answer.json().get("reason")
    return reason


def goes_elsewhere(hostile: Hostile) -> bool:
    """Does the event name another source than its topic's? Here nobody names a topic."""
    try:
        return bool(json.loads(hostile.value or b"")["source"] != f"/{hostile.source}")
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


async def sent_over_http(
    there: World,
) -> tuple[list[tuple[Hostile | None, Appended]], list[str]]:
    """Send it all; return what stands where, and in words what was answered wrongly."""
    host = Host(there.bus, {}, Telemetry())
    app = make_app(MemoryStore(), there.bus, there.sources, host, Telemetry(), sandbox=True)
    standing: list[tuple[Hostile | None, Appended]] = []
    wrong: list[str] = []
    async with client_of(app) as client:
        for number, hostile in enumerate(SENT):
            if number % 5 == 0:
                good = await post(client, good_mark(100 + number))
                assert good.status_code == 202
                standing.append((None, place_of(good)))
            answer = await post(client, hostile.value or b"")
            decision, reason = hostile.expected
            is_refused = decision == DEAD
            if goes_elsewhere(hostile):
                continue
            if answer.status_code == 202 and not is_refused:
                standing.append((hostile, place_of(answer)))
            elif answer.status_code == 202 or (said_by(answer) != reason) or not is_refused:
                told = f"{answer.status_code} {answer.text[:120]}"
                wrong.append(f"{hostile.kind}: {hostile.name}: {told}, expected {hostile.expected}")
    return standing, wrong


async def test_http_and_bus_say_the_same() -> None:
    there = await begun()

    standing, wrong = await sent_over_http(there)
    await there.settle()

    assert not wrong, "\n".join(wrong)
    installation = installation_of(there)
    inputs = decided(await story(installation), installation)
    assert not differences(standing, inputs)
    assert {decision for _, decision in _decisions(inputs)} >= {"applied", "refused", "duplicate"}
    assert not any(decision == DEAD for _, decision in _decisions(inputs))
    check_journals(there)
    await check_folds(there)


async def test_no_book_changes() -> None:
    clean, there = await begun(), await begun()
    for number in range(0, len(SENT), 5):
        await clean.publish(json.loads(good_mark(100 + number)))
    await clean.settle()

    await sent_over_http(there)
    await there.settle()

    assert await books(there) == await books(clean)


def test_most_of_the_catalogue_can_be_sent() -> None:
    assert len(SENT) > len(CATALOGUE) * 0.8
    assert {one.kind for one in CATALOGUE} - {one.kind for one in SENT} <= {"place", "headers"}


def _decisions(inputs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["topic"], one["decision"]) for one in inputs]
