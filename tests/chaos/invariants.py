"""Counts the promises (`docs/promises.md`, section 4) once everything has settled.

What is on the bus is read here by a consumer of its own; what should be there is counted by the
auditor from the inputs alone; what the stores hold is compared with a fold of the journals.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]

from contracts.decisions import DeadLetterReason
from contracts.registry import EVENTS
from pfdo.system import SERVICES, services_of
from services.cabinet.projections import cabinet
from services.cabinet.queries import Queries
from streaming.follower import Follower
from streaming.listening import listening_of
from streaming.memory_store import MemoryStore
from streaming.processor import Processor
from streaming.settings import PREFIX
from streaming.telemetry import Telemetry
from tests.chaos.campaign import LINE_HEADER, Course, spoken
from tests.chaos.installation import Struck
from tests.chaos.processes import ROOT
from tests.chaos.story import Line, Segment
from tests.support.dumped import dumped
from tests.support.second_opinion import audited, differences

PFDO_SECONDS_MAX = 600
SHOWN_MAX = 20
PURSE = ("balance_kopecks", "reserved_kopecks", "paid_kopecks", "expired_kopecks")
DEFECTS = ("decision failed", "step failed", "halted")
EXPLAINED = ("aiokafka.errors.", "builtins.Connection", "builtins.TimeoutError")
"""Exceptions of libraries that mean: Kafka or Redis was struck."""
CAN_NOT_RUN = 3
"""The code of a process that found Kafka or Redis away when it started."""
HELD_BYTES_MAX = 288 * 1024 * 1024
"""Three quarters of what the container of a service may hold (deploy/compose.yaml). Whether memory
is flat the soak tells: here processes are young, and fill up when a state that was lost is read."""
QUIET_STEPS = 20
Place = tuple[str, int, int]


@dataclass(slots=True)
class Fact:
    """A record of a journal."""

    place: Place
    said: dict[str, Any]

    @property
    def cause(self) -> Place:
        return (self.said["causetopic"], self.said["causepartition"], self.said["causeoffset"])


class Bus:
    """Everything on the bus: records by topic, and the facts of each journal in their order."""

    def __init__(self, records: Mapping[str, Sequence[Any]]) -> None:
        self.records = records
        self.facts = {
            name: [
                Fact((r.topic, r.partition, r.offset), json.loads(r.value))
                for r in sorted(
                    records.get(f"{name}.events.v1", ()), key=lambda r: (r.partition, r.offset)
                )
            ]
            for name in SERVICES
        }


async def violations(struck: Struck, story: Sequence[Segment], course: Course) -> list[str]:
    """Return in words what was promised and is not so. The services must have been stopped."""
    bus = await _read(struck)
    return [
        *course.violations,
        *of_the_bus(bus),
        *await _outcome(struck, story, bus),
        *await _folds(struck),
        *_verified(struck),
        *_processes(struck, course),
        *_redis(struck),
    ]


def of_the_bus(bus: Bus) -> list[str]:
    """Return what can be seen to be wrong on the bus alone."""
    return [*_journals(bus), *_decided_once(bus), *_dead_letters(bus), *_messages(bus)]


# --- the bus ---------------------------------------------------------------------------------


async def _read(struck: Struck) -> Bus:
    read: dict[str, list[Any]] = defaultdict(list)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=struck.environment["PFDO_KAFKA_BOOTSTRAP"],
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        places = [
            TopicPartition(topic, partition)
            for topic in struck.installation.topics
            for partition in range(struck.partitions)
        ]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                read[place.topic] += records
    finally:
        await consumer.stop()
    return Bus(read)


def _journals(bus: Bus) -> Iterator[str]:
    """I02 purses add up, I06 numbers are dense and the chain holds, I07, I15 whole money."""
    for name, facts in bus.facts.items():
        ends: dict[int, tuple[int, str]] = {}
        for fact in facts:
            partition = fact.place[1]
            seq, hash_ = ends.get(partition, (0, "0" * 64))
            said = fact.said
            if (said["journalseq"], said["prevhash"]) != (seq + 1, hash_):
                yield f"I06 {name}: {said['id']} at {fact.place} does not follow number {seq}"
            ends[partition] = (said["journalseq"], said["hash"])
            for path, value in _money(said["data"]):
                if value is not None and type(value) is not int:
                    yield f"I15 {said['id']}: {path} is {value!r}"
            purse = said["data"].get("purse")
            if purse is not None and (
                min(purse.values()) < 0 or purse["nominal_kopecks"] != sum(purse[p] for p in PURSE)
            ):
                yield f"I02 {said['id']}: the purse does not add up: {purse}"


def _money(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for name, value in data.items():
            if name.endswith("_kopecks"):
                yield f"{path}/{name}", value
            else:
                yield from _money(value, f"{path}/{name}")
    elif isinstance(data, list):
        for value in data:
            yield from _money(value, path)


def _decided_once(bus: Bus) -> Iterator[str]:
    """I01: at most one decision of each service about each record; `_outcome` says: one."""
    for name, facts in bus.facts.items():
        decisions = Counter(fact.cause for fact in facts if _is_decision(fact.said))
        for place, times in decisions.items():
            if times > 1:
                yield f"I01 {name} decided {place} {times} times"


def _is_decision(said: Mapping[str, Any]) -> bool:
    kind = said["type"].partition(".")[2]
    if kind.startswith("input-dead-lettered"):
        return True
    return (
        "input" in said["data"]
        and "item" not in said["data"]
        and not kind.startswith("input-parked")
    )


def _dead_letters(bus: Bus) -> Iterator[str]:
    """I13: each dead letter has the bytes of its input, a listed reason, and a decision."""
    inputs = {
        (r.topic, r.partition, r.offset): r.value
        for topic, records in bus.records.items()
        if ".dead-letters." not in topic
        for r in records
    }
    listed = {reason.value for reason in DeadLetterReason}
    for name, facts in bus.facts.items():
        decided = {
            fact.cause: fact.said["data"]
            for fact in facts
            if fact.said["type"] == f"{name}.input-dead-lettered.v1"
        }
        kept: Counter[Place] = Counter()
        for record in bus.records.get(f"{name}.dead-letters.v1", ()):
            headers = {key: value.decode() for key, value in record.headers if value is not None}
            place = (
                headers["pfdo-topic"],
                int(headers["pfdo-partition"]),
                int(headers["pfdo-offset"]),
            )
            kept[place] += 1
            if record.value != inputs.get(place):
                yield f"I13 {name}: the dead letter of {place} has other bytes"
            if headers["pfdo-reason"] not in listed:
                yield f"I13 {name}: {headers['pfdo-reason']} of {place} is no listed reason"
            if place not in decided:
                yield f"I13 {name}: nothing was decided about the dead letter of {place}"
        for place, data in decided.items():
            if kept[place] != 1:
                yield f"I13 {name}: {kept[place]} dead letters of {place}"
            if data["sha256"] != sha256(inputs[place] or b"").hexdigest():
                yield f"I13 {name}: the checksum of {place} is another"


def _messages(bus: Bus) -> Iterator[str]:
    """I19: at most one message is due of the same events to the same person by a channel.

    What a day is the reason of, with the same events, is told once for each such day.
    """
    due = Counter(
        (
            tuple(data["event_ids"]),
            data["recipient_id"],
            data["channel"],
            fact.said.get("businessday") if len(data["event_ids"]) > 1 else None,
        )
        for fact in bus.facts["notifications"]
        if fact.said["type"] == "notifications.message-due.v1"
        for data in [fact.said["data"]]
    )
    yield from (
        f"I19 {message} is due {times} times" for message, times in due.items() if times > 1
    )


# --- the outcome -----------------------------------------------------------------------------


async def _outcome(struck: Struck, story: Sequence[Segment], bus: Bus) -> list[str]:
    """I01 nothing undecided, I03 and I04 as the auditor counts, I09, I10, I14."""
    inputs = [json.loads(line) for line in (await _pfdo(struck, "inputs", "--json")).splitlines()]
    decided = {(i["topic"], i["partition"], i["offset"]): i for i in inputs}
    told = [
        f"I01 nothing was decided about {place}"
        for place, said in decided.items()
        if said["decision"] is None
    ]
    lines = [line for segment in story for line in segment]
    places = _places(bus)
    if missing := [n for n in range(len(lines)) if n not in places]:
        return [*told, f"I01 lines that are on no topic: {missing[:SHOWN_MAX]}"]
    forwarded = _forwarded(bus, decided)
    heard = []
    for number, line in enumerate(lines):
        first, *copies = [
            forwarded.get(place, place) for place in _of_one_partition(line, places[number])
        ]
        said = decided[first]
        if line.event is None:
            if said["decision"] != "dead-lettered":
                told.append(f"I13 {line.value!r} at {first}: {said['decision']}")
            continue
        heard.append((line.event["id"], line.event["type"], said["decision"], said["reason"]))
        told += [
            f"I03 {copy} is a copy of {first} and was {decided[copy]['decision']}"
            for copy in copies
            if not is_answer_to_a_copy(said, decided[copy])
        ]
    shown = json.loads(await _pfdo(struck, "export"))
    shown["inputs"] = heard
    counted = await asyncio.to_thread(audited, spoken(story))
    told += [f"I04 {difference}" for difference in differences(counted, shown)]
    return told


def is_answer_to_a_copy(first: Mapping[str, Any], copy: Mapping[str, Any]) -> bool:
    """Return whether a copy was decided as it must be, which is told by what it is a copy of.

    What contradicts an earlier revision does so each time it comes.
    """
    conflict = ("refused", "conflict")
    if (first["decision"], first["reason"]) == conflict:
        return (copy["decision"], copy["reason"]) == conflict
    return bool(copy["decision"] == "duplicate")


def _places(bus: Bus) -> Mapping[int, list[Place]]:
    """Return by number of line where it stands."""
    places: dict[int, list[Place]] = {}
    for topic, records in bus.records.items():
        if topic.endswith(".events.v1"):
            places |= _by_line(topic, records)
    return places


def _of_one_partition(line: Line, places: Sequence[Place]) -> list[Place]:
    """Return one place, and its copies; a day stands in each partition."""
    return [place for place in places if place[1] == places[0][1]]


def _forwarded(bus: Bus, decided: Mapping[Place, Any]) -> Mapping[Place, Place]:
    """Return where misplaced records were forwarded to, by where they stood.

    A line that was written twice was forwarded twice, in its order.
    """
    found: dict[Place, Place] = {}
    for topic, records in bus.records.items():
        if topic.endswith(".forwarded.v1"):
            source = topic.replace(".forwarded.", ".events.")
            arrived = _by_line(topic, records)
            for number, places in _by_line(source, bus.records[source]).items():
                misplaced = [p for p in places if decided[p]["decision"] == "forwarded"]
                found.update(zip(misplaced, arrived.get(number, ()), strict=False))
    return found


def _by_line(topic: str, records: Iterable[Any]) -> Mapping[int, list[Place]]:
    """Return by number of line where it stands on a topic, in the order of each partition."""
    places: dict[int, list[Place]] = defaultdict(list)
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        for name, value in record.headers:
            if name == LINE_HEADER:
                places[int(value)].append((topic, record.partition, record.offset))
    return places


# --- the stores ------------------------------------------------------------------------------


async def _folds(struck: Struck) -> list[str]:
    """I08: each store holds what its journal folds to; I10: so do the read models."""
    installation, told = struck.installation, []
    for service in services_of(SERVICES):
        live = await installation.store(service.name)
        listening = listening_of(service.name, installation.sources, EVENTS)
        for partition in range(struck.partitions):
            folded = MemoryStore()
            owner = Processor(service, partition, installation.bus, folded, listening, Telemetry())
            await owner.take_over()
            await owner.close()
            version = service.state_version
            told += _unequal(
                f"I08 {service.name}/{partition}",
                await dumped(live, partition, version),
                await dumped(folded, partition, version),
            )
    live, folded = await installation.store(cabinet.name), MemoryStore()
    for partition in range(struck.partitions):
        follower = Follower(cabinet, partition, installation.bus, folded, Telemetry())
        await follower.take_over()
        idle = 0
        while idle < QUIET_STEPS:
            idle = 0 if await follower.step(0.05) else idle + 1
            # A store in memory never waits, and the reader needs a turn to hear from Kafka.
            await asyncio.sleep(0)
        await follower.close()
    seen = [await Queries(store, struck.partitions).export() for store in (live, folded)]
    if seen[0] != seen[1]:
        told += [f"I10 {line}" for line in _differing("read models", *seen)]
    return told


def _unequal(where: str, live: Mapping[str, bytes], folded: Mapping[str, bytes]) -> list[str]:
    keys = [key for key in sorted({*live, *folded}) if live.get(key) != folded.get(key)]
    return [
        f"{where} {key}: live {live.get(key)!r}, folded {folded.get(key)!r}"
        for key in keys[:SHOWN_MAX]
    ]


def _differing(where: str, live: Any, folded: Any) -> Iterator[str]:
    if isinstance(live, dict) and isinstance(folded, dict):
        for name in sorted({*live, *folded}):
            yield from _differing(f"{where} {name}", live.get(name), folded.get(name))
    elif live != folded:
        yield f"{where}: live {live!r}, folded {folded!r}"


def _redis(struck: Struck) -> Iterator[str]:
    """I11: nothing waits to be published."""
    for name, server in struck.redis.items():
        if waiting := server.waiting():
            yield f"I11 {waiting} records wait in the outboxes of {name}"


# --- the processes ---------------------------------------------------------------------------


def _processes(struck: Struck, course: Course) -> Iterator[str]:
    """I21 no defect was logged, I22 memory is bounded, I24 none halted; nobody died by himself."""
    yield from defects(struck)
    yield from holding(course.memory_bytes)


def defects(struck: Struck) -> Iterator[str]:
    """I21, I24: tell what processes logged that is a defect, and who died by himself."""
    for replica in struck.replicas:
        for told in replica.told():
            if is_defect(told):
                yield f"I21 {replica.name}: {json.dumps(told, ensure_ascii=False)[:1000]}"
    for name, code in struck.supervisor.deaths:
        if code != CAN_NOT_RUN:
            yield f"I21 {name} died with code {code}"


def is_defect(told: Mapping[str, Any]) -> bool:
    """Is a line of a log a defect: of ours, or an exception in a library that no fault explains?"""
    if told.get("event") in DEFECTS or "Traceback" in told.get("raw", ""):
        return True
    return "logger" in told and not told.get("error", EXPLAINED[0]).startswith(EXPLAINED)


def holding(sizes: Sequence[tuple[float, Mapping[str, float]]]) -> Iterator[str]:
    """I22: tell who held too much, at any time."""
    most: dict[str, float] = defaultdict(float)
    for _, held in sizes:
        for name, size in held.items():
            most[name] = max(most[name], size)
    for name, size in most.items():
        if size > HELD_BYTES_MAX:
            yield f"I22 {name} held {size / 2**20:.0f} MiB, more than {HELD_BYTES_MAX // 2**20}"


def _verified(struck: Struck) -> Iterator[str]:
    """What `pfdo verify` says of the journals and the stores."""
    yield from (f"pfdo verify: {json.dumps(each)[:500]}" for each in verified(struck)["violations"])


def verified(struck: Struck) -> Mapping[str, Any]:
    """Return the report of `pfdo verify`; one that is none is a violation by itself."""
    done = _call(struck, "verify", "--against-state", "--json")
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        told = f"ended with {done.returncode}: {done.stderr.decode()[-1000:]}"
        return {"violations": [{"invariant": "", "detail": told, "events": []}], "checked": {}}
    return report


def _call(struck: Struck, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    plain = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "pfdo", *arguments],
        cwd=ROOT,
        env={**plain, **struck.environment},
        capture_output=True,
        timeout=PFDO_SECONDS_MAX,
        check=False,
    )


async def _pfdo(struck: Struck, *arguments: str) -> str:
    done = await asyncio.to_thread(_call, struck, *arguments)
    if done.returncode != 0:
        raise RuntimeError(f"pfdo {arguments}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode()


async def record_counts(struck: Struck) -> dict[str, int]:
    """Return how many offsets each topic has."""
    ends = await struck.installation.bus.ends(struck.installation.topics)
    counts: Counter[str] = Counter()
    for (topic, _), end in ends.items():
        counts[topic] += end
    return dict(counts)
