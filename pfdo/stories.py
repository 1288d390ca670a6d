"""What followed from what, and what waits: told from the journals."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import orjson

from contracts.topics import COMMANDS, JOURNALS, forwarded_topics
from pfdo.records import (
    Place,
    each_record,
    event_in,
    input_topics,
    place_of,
    service_of,
    story,
    text_of,
)
from streaming.bus import Record
from streaming.installation import Installation
from streaming.reading import FORWARDED_FROM
from streaming.whole import POLL_SECONDS

FOLLOWED_MAX = 500
ORIGIN_PARTS = 3
"""Topic, partition and offset."""
PUBLISHED = (*(topic.name for topic in JOURNALS), COMMANDS.name)


class Followed(NamedTuple):
    """A record of a service; sorts by its time of append."""

    appended_at_ms: int
    place: Place
    fact: dict[str, Any]
    cause: Place


async def story_of(installation: Installation, event_id: str) -> dict[str, Any] | None:
    """Return cause, rule and everything that followed, across services; None for no such event.

    Topics are read once for each step from cause to effect, and what has no part in the story is
    not kept: they may be larger than the memory.
    """
    fact = await _fact(installation, event_id)
    if fact is not None:
        cause = await _event_at(installation, fact.cause)
        followed = await _followed(installation, fact.place)
        return _told(fact.fact, cause, fact.fact["data"].get("why"), followed)
    record = await _input(installation, event_id)
    if record is None:
        return None
    followed = await _followed(installation, place_of(record))
    return _told(event_in(record.value), None, None, followed)


def _told(
    event: Mapping[str, Any],
    cause: Mapping[str, Any] | None,
    rule: Mapping[str, Any] | None,
    followed: list[dict[str, Any]],
) -> dict[str, Any]:
    return {"event": event, "cause": cause, "rule": rule, "followed": followed}


async def _fact(installation: Installation, event_id: str) -> Followed | None:
    needle = event_id.encode()
    async for record in each_record(installation, PUBLISHED):
        # Services write one canonical form: what does not hold the letters is not it.
        if needle in (record.value or b""):
            found = _published(record)
            if found.fact["id"] == event_id:
                return found
    return None


async def _input(installation: Installation, event_id: str) -> Record | None:
    """Return the first input with an id."""
    found: Record | None = None
    async for record in each_record(installation, input_topics(installation)):
        is_first = found is None or _order(record) < _order(found)
        if is_first and text_of(event_in(record.value), "id") == event_id:
            found = record
    return found


def _order(record: Record) -> tuple[int, Place]:
    return record.appended_at_ms, place_of(record)


def _published(record: Record) -> Followed:
    fact = orjson.loads(record.value or b"{}")
    cause = (fact["causetopic"], fact["causepartition"], fact["causeoffset"])
    return Followed(record.appended_at_ms, place_of(record), fact, cause)


def _forwarded(record: Record) -> Followed | None:
    """Return a record that came to a wrong partition, where it stands now; None if it is none."""
    origin = dict(record.headers).get(FORWARDED_FROM, b"").decode(errors="replace").split("/")
    event = event_in(record.value)
    if len(origin) != ORIGIN_PARTS or not {"id", "type", "subject", "data"} <= event.keys():
        return None
    cause = (origin[0], int(origin[1]), int(origin[2]))
    return Followed(record.appended_at_ms, place_of(record), event, cause)


async def _event_at(installation: Installation, place: Place) -> Mapping[str, Any] | None:
    """Return the event at a place; None if it is gone, or was none."""
    topic, partition, offset = place
    reader = await installation.bus.reader(partition, {topic: offset})
    try:
        while True:
            polled = await reader.poll([topic], 1, POLL_SECONDS)
            for record in polled.records.get(topic, ()):
                return event_in(record.value) or None if record.offset == offset else None
            if topic in polled.ended:
                return None
    finally:
        await reader.close()


async def _followed(installation: Installation, place: Place) -> list[dict[str, Any]]:
    caused_by: dict[Place, list[Followed]] = {}
    steps: Collection[Place] = {place}
    number = 0
    while steps and number < FOLLOWED_MAX:
        found = await _caused_by(installation, steps)
        for one in found:
            caused_by.setdefault(one.cause, []).append(one)
        number += len(found)
        steps = {one.place for one in found}
    told: list[dict[str, Any]] = []
    waiting = [(place, 1)]
    while waiting and len(told) < FOLLOWED_MAX:
        here, depth = waiting.pop()
        followed = caused_by.get(here, [])
        told += [_line(one.fact, depth) for one in followed]
        waiting.extend((one.place, depth + 1) for one in reversed(followed))
    return told


async def _caused_by(installation: Installation, causes: Collection[Place]) -> list[Followed]:
    """Return what followed at once, the earliest first, and no more than is shown."""
    found: list[Followed] = []
    forwarded = [topic.name for topic in forwarded_topics(installation.sources)]
    async for record in each_record(installation, (*PUBLISHED, *forwarded)):
        one = _forwarded(record) if record.topic in forwarded else _published(record)
        if one is not None and one.cause in causes:
            found.append(one)
            if len(found) > 2 * FOLLOWED_MAX:
                found = _earliest(found)
    return _earliest(found)


def _earliest(found: list[Followed]) -> list[Followed]:
    return sorted(found, key=lambda one: (one.appended_at_ms, one.place))[:FOLLOWED_MAX]


def _line(fact: Mapping[str, Any], depth: int) -> dict[str, Any]:
    data = fact["data"]
    return {
        "depth": depth,
        "id": fact["id"],
        "type": fact["type"],
        "subject": fact["subject"],
        "businessday": fact.get("businessday"),
        "reason": data.get("reason"),
        "text": (data.get("why") or {}).get("text"),
    }


async def waiting(installation: Installation) -> list[dict[str, Any]]:
    """Return what is parked now: the last word about it is that it waits."""
    told = await story(installation)
    found: dict[tuple[str, Place], dict[str, Any]] = {}
    for fact in told.facts:
        data = fact["data"]
        if "input" not in data or "item" in data:
            continue
        place = (fact["causetopic"], fact["causepartition"], fact["causeoffset"])
        key = (service_of(fact), place)
        if fact["type"].endswith(".input-parked.v1"):
            found[key] = {
                "service": key[0],
                "id": data["input"]["id"],
                "type": data["input"]["type"],
                "subject": data["input"]["subject"],
                "waits_for": data["waits_for"],
                "until": data["until"],
                "since": fact.get("businessday"),
            }
        else:
            found.pop(key, None)
    return list(found.values())
