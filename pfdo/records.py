"""Reading topics from beginning to end, and what the journals say about each input."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.calendar import DayOpened
from contracts.topics import (
    CALENDAR,
    JOURNALS,
    all_topics,
    forwarded_topics,
    source_topics,
)
from streaming.bus import Record
from streaming.installation import Installation
from streaming.listening import DECIDER_OF_THE_CALENDAR
from streaming.service import never
from streaming.whole import POLL_SECONDS, READ_RECORDS_MAX, all_records, up_to

Place = tuple[str, int, int]
"""(topic, partition, offset) of a record."""


async def whole(installation: Installation, topics: Sequence[str]) -> list[Record]:
    """Return all records of topics up to their present ends, by time of append."""
    return await all_records(installation.bus, topics)


async def each_record(installation: Installation, topics: Sequence[str]) -> AsyncIterator[Record]:
    """Yield all records of topics up to their present ends, one partition after the other."""
    bus = installation.bus
    starts, ends = await bus.starts(topics), await bus.ends(topics)
    for partition in range(bus.partitions):
        here = {topic: starts[topic, partition] for topic in topics}
        async for polled in up_to(bus, partition, here, ends):
            for records in polled.records.values():
                for record in records:
                    yield record


async def follow(
    installation: Installation, topic: str, partitions: Sequence[int]
) -> AsyncIterator[Record]:
    """Yield the records of a topic for ever, from the beginning."""
    starts = await installation.bus.starts([topic])
    readers = [await installation.bus.reader(p, {topic: starts[(topic, p)]}) for p in partitions]
    try:
        while True:
            polls = (reader.poll([topic], READ_RECORDS_MAX, POLL_SECONDS) for reader in readers)
            batches = [polled.records.get(topic, ()) for polled in await asyncio.gather(*polls)]
            for record in sorted(
                (record for batch in batches for record in batch),
                key=lambda r: (r.appended_at_ms, r.partition, r.offset),
            ):
                yield record
    finally:
        for reader in readers:
            await reader.close()


@dataclass(slots=True)
class Story:
    """All records of an installation, and what followed from which."""

    inputs: list[Record]
    facts: list[dict[str, Any]]
    caused_by: dict[Place, list[dict[str, Any]]] = field(default_factory=dict)
    at: dict[str, Place] = field(default_factory=dict)

    def followed(self, place: Place) -> list[dict[str, Any]]:
        """Return what followed from a record at once, in order."""
        return self.caused_by.get(place, [])


def input_topics(installation: Installation) -> list[str]:
    """Return the topics that inputs arrive on."""
    topics = [*source_topics(installation.sources), *forwarded_topics(installation.sources)]
    return [*(topic.name for topic in topics), CALENDAR.name]


def _whole_fact(fact: dict[str, Any]) -> dict[str, Any]:
    return fact


def decision_only(fact: dict[str, Any]) -> dict[str, Any]:
    """Return what of a fact says how an input was decided: a tenth of it."""
    data = fact["data"]
    said = {name: data[name] for name in ("reason", "waits_for", "item") if name in data}
    if "input" in data:
        said["input"] = True
    return {"id": fact["id"], "type": fact["type"], "source": fact["source"], "data": said}


async def story(
    installation: Installation,
    kept: Callable[[dict[str, Any]], dict[str, Any]] = _whole_fact,
) -> Story:
    """Read everything; of facts is kept what is asked for."""
    told = Story(await whole(installation, input_topics(installation)), [])
    found: list[tuple[int, Place, Place, dict[str, Any]]] = []
    async for record in each_record(installation, [topic.name for topic in JOURNALS]):
        fact = json.loads(record.value or b"{}")
        cause = (fact["causetopic"], fact["causepartition"], fact["causeoffset"])
        found.append((record.appended_at_ms, place_of(record), cause, kept(fact)))
    for _, place, cause, fact in sorted(found, key=lambda one: one[:2]):
        told.facts.append(fact)
        told.at[fact["id"]] = place
        told.caused_by.setdefault(cause, []).append(fact)
    return told


def place_of(record: Record) -> Place:
    """Return where a record stands."""
    return record.topic, record.partition, record.offset


def service_of(fact: Mapping[str, Any]) -> str:
    """Return who published a fact."""
    return str(fact["source"]).removeprefix("/services/")


def decided(told: Story, installation: Installation) -> list[dict[str, Any]]:
    """Return all inputs with the decision of the service that decides them, as they arrived."""
    unreadable = {
        topic.name: topic.decider or DECIDER_OF_THE_CALENDAR
        for topic in all_topics(installation.sources)
        if topic.source is not None
    }
    decides = _decides()
    return [decision_of(record, told, unreadable, decides) for record in told.inputs]


def _decides() -> Mapping[str, str]:
    """Return by type of input which service decides it; of several, the first in order."""
    from pfdo.system import SERVICES, services_of

    found = {DayOpened.type: DECIDER_OF_THE_CALENDAR}
    for service in services_of(SERVICES):
        for type_, reaction in service.reactions.items():
            if reaction.decides is not never:
                found.setdefault(type_, service.name)
    return found


def decision_of(
    record: Record, told: Story, unreadable: Mapping[str, str], decides: Mapping[str, str]
) -> dict[str, Any]:
    """Return an input as `pfdo inputs` prints it, with the last word of the one that decides it.

    `unreadable`: by topic, who answers for what cannot be read there. `decides`: by type.
    """
    event = event_in(record.value)
    id_, type_ = text_of(event, "id"), text_of(event, "type")
    facts = told.followed(place_of(record))
    decider = decides.get(str(type_), unreadable[record.topic])
    if type_ == "payers.rules-published.v1":
        data = event.get("data")
        table = str(data.get("table", "") if isinstance(data, dict) else "").partition(".")[0]
        decider = table if any(service_of(fact) == table for fact in facts) else "enrollment"
    decision: str | None = None
    reason: str | None = None
    for fact in facts:
        if service_of(fact) not in (decider, unreadable[record.topic]):
            continue
        said = _decision(fact)
        if said is not None and (service_of(fact) == decider or said[0] in _OF_DEFECTS):
            decision, reason = said
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "id": id_,
        "type": type_,
        "decision": decision,
        "reason": reason,
    }


_OF_DEFECTS = ("dead-lettered", "forwarded")


def _decision(fact: Mapping[str, Any]) -> tuple[str, str | None] | None:
    kind = str(fact["type"]).partition(".")[2].rpartition(".")[0]
    data = fact["data"]
    if kind == "input-dead-lettered":
        return "dead-lettered", data["reason"]
    if "input" not in data or "item" in data:
        return None
    if not kind.startswith("input-") or kind == "input-noted":
        return "applied", None
    return kind.removeprefix("input-"), data.get("reason") or data.get("waits_for")


def event_in(value: bytes | None) -> dict[str, Any]:
    """Return the JSON object in a record, whoever wrote it; an empty one if there is none."""
    try:
        # What is no JSON and is read as such, as NaN, is shown as text.
        event = json.loads(value or b"{}", parse_constant=str)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def text_of(event: Mapping[str, Any], name: str) -> str | None:
    """Return an attribute of an event of anybody, None if it is no text."""
    found = event.get(name)
    return found if isinstance(found, str) else None
