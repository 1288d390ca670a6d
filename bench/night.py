"""The night on which enrollment opens: applications all at once for far fewer places.

`python -m bench night [quick]`. One municipality, so one partition: nothing is decided beside. All
services are one process, on a real Kafka and Redis; marks of lessons go on meanwhile. Afterwards
the journal is read: whether places went in order of arrival, and never more than there are.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import orjson
from rich.console import Console

from bench import load, measure
from bench.figures import percentiles, promises
from bench.machine import about
from bench.surroundings import (
    Surroundings,
    cpu_seconds,
    installed,
    memory_mib,
    services,
    surroundings,
    verified,
)
from pfdo.settling import readers_of, settled
from streaming.event_loop import run
from streaming.installation import open_installation

JOURNAL = "enrollment.events.v1"
SERVICES = "enrollment,certificates,billing,notifications"
PORT = 18_042
MARKS_RATE, MARKED_CHILDREN = 50, 200
DAY = "2020-09-30"
"""Lessons up to this day may be marked; the groups of the night begin after it."""
WITHDRAWN_EACH, WITHDRAWN_AFTER = 20, 40
"""Each so manieth application is withdrawn, after so many others."""
ANSWERS_SECONDS_MAX, SETTLE_SECONDS_MAX = 1_800.0, 600.0
ANSWERS = {
    "enrollment.place-held.v1": "place held",
    "enrollment.application-waitlisted.v1": "waitlisted",
    "enrollment.application-refused.v1": "refused",
}

SLOWEST_MS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is asked for."""

    applications: int
    seconds: int
    groups: int
    capacity: int
    """Places of a group."""


FULL = Amount(applications=20_000, seconds=600, groups=100, capacity=30)
QUICK = Amount(applications=600, seconds=20, groups=5, capacity=20)


@dataclass(slots=True)
class Books:
    """What a journal says about places."""

    overtaken: list[str] = field(default_factory=list)
    """Who got a place before somebody of the same group who had come earlier and waited."""
    above_capacity: list[str] = field(default_factory=list)
    """Groups that had more taken than there were places, once for each fact that says so."""
    held: int = 0


def counted(journal: Iterable[Mapping[str, Any]]) -> Books:
    """Count a journal of enrollment, one partition, oldest first.

    Who comes first is who stands first in the source topic (`causeoffset` of the registration).
    """
    books = Books()
    waiting: dict[str, dict[str, int]] = {}
    group_of: dict[str, str] = {}
    for record in journal:
        data = record["data"]
        match record["type"].removeprefix("enrollment."):
            case "application-registered.v1":
                group_of[data["enrollment_id"]] = data["group_id"]
                line = waiting.setdefault(data["group_id"], {})
                line[data["enrollment_id"]] = record["causeoffset"]
            case "place-held.v1":
                line = waiting[group_of[data["enrollment_id"]]]
                came = line.pop(data["enrollment_id"])
                books.held += 1
                if any(other < came for other in line.values()):
                    books.overtaken.append(data["enrollment_id"])
            case "application-refused.v1" | "enrollment-cancelled.v1":
                line = waiting.get(group_of.get(data["enrollment_id"], ""), {})
                line.pop(data["enrollment_id"], None)
            case "group-changed.v1" if data["taken"] > data["capacity"]:
                books.above_capacity.append(data["group_id"])
            case _:
                pass
    return books


def setting(amount: Amount) -> list[list[dict[str, Any]]]:
    """Return segments after which the groups are open and all who will apply are known."""
    *before, _ = load.beginning(MARKED_CHILDREN)
    published = next(one for one in before[1] if one["type"] == "navigator.group-published.v1")
    groups = []
    for number in range(amount.groups):
        data = published["data"] | {
            "group_id": group_id(number),
            "capacity": amount.capacity,
            "starts_on": "2020-10-01",
            "auto_accept": False,
        }
        groups.append(load.event("navigator.group-published", group_id(number), data))
    children = [load.child(MARKED_CHILDREN + number) for number in range(amount.applications)]
    return [*before, [load.day(DAY)], groups, children]


def applications(amount: Amount) -> Iterator[dict[str, Any]]:
    """Yield applications, some groups being wanted more than others, and withdrawals of a few."""
    chosen = random.Random(1)
    popularity = [1 / (1 + number / amount.groups) for number in range(amount.groups)]
    for number in range(amount.applications):
        group = chosen.choices(range(amount.groups), popularity)[0]
        yield load.application(MARKED_CHILDREN + number, group_id(group), waitlist_ok=True)
        earlier = number - WITHDRAWN_AFTER
        if earlier >= 0 and earlier % WITHDRAWN_EACH == 0:
            id_ = load.enrollment_id(MARKED_CHILDREN + earlier)
            yield load.event("navigator.application-withdrawn", id_, {"enrollment_id": id_})


def marks() -> Iterator[dict[str, Any]]:
    """Yield marks of lessons that were before the night."""
    return (one for one in load.marks(MARKED_CHILDREN) if one["data"]["lesson_date"] <= DAY)


def group_id(number: int) -> str:
    """Return a group of the night."""
    return f"night-{number:03d}"


async def answered(
    around: Surroundings, sent: Sequence[measure.Record], rate: float
) -> tuple[list[float], Counter[str]]:
    """Send applications at a rate; return how long each waited for its answer, and the answers."""
    wanted = {
        orjson.loads(one.value)["data"]["enrollment_id"]
        for one in sent
        if b"application-submitted" in one.value
    }
    consumer = await measure.consumer_at_end(around.bootstrap, JOURNAL)
    at: dict[str, float] = {}
    answers: Counter[str] = Counter()

    async def read() -> None:
        while len(at) < len(wanted):
            batches = await consumer.getmany(timeout_ms=1000)
            now = time.perf_counter()
            for batch in batches.values():
                for record in batch:
                    envelope = orjson.loads(record.value)
                    answer, id_ = ANSWERS.get(envelope["type"]), envelope["subject"]
                    if answer is not None and id_ in wanted and id_ not in at:
                        at[id_] = now
                        answers[answer] += 1

    reading = asyncio.create_task(read())
    try:
        sent_at = await measure.sent_at_a_rate(around.bootstrap, sent, rate)
        await asyncio.wait_for(reading, ANSWERS_SECONDS_MAX)
    finally:
        reading.cancel()
        await consumer.stop()
    left = {id_.split(":")[1]: time_ for id_, time_ in sent_at.items() if "submitted" in id_}
    return [at[id_] - left[id_] for id_ in wanted], answers


async def night(around: Surroundings, amount: Amount) -> dict[str, Any]:
    """Let it happen; the services run already, and everything was made ready."""
    sent = measure.records(applications(amount))
    rate = len(sent) / amount.seconds
    marked = measure.records(islice(marks(), MARKS_RATE * amount.seconds))
    marking = asyncio.create_task(measure.sent_at_a_rate(around.bootstrap, marked, MARKS_RATE))
    begun = time.perf_counter()
    waits, answers = await answered(around, sent, rate)
    seconds = time.perf_counter() - begun
    await marking
    async with open_installation(around.installation_settings(1)) as installation:
        readers = readers_of(installation, cabinet=False)
        done, left = await settled(installation, readers, SETTLE_SECONDS_MAX)
    journal = [one async for one in measure.published(around, JOURNAL)]
    books = counted(journal)
    return {
        "settled": done,
        "left": dict(left),
        "marks": len(marked),
        "seconds_to_last_answer": seconds,
        "answers": dict(answers),
        **asdict(percentiles(round(rate), waits)),
        "slowest": max(waits) * 1000,
        "overtaken": books.overtaken,
        "above_capacity": books.above_capacity,
        "held": books.held - MARKED_CHILDREN,
    }


def measured(*, quick: bool, console: Console) -> dict[str, Any]:
    """Make everything ready, let the night happen and count what came of it."""
    amount = QUICK if quick else FULL
    with surroundings() as around, installed(around, 1):
        told = about(around)
        with services(SERVICES, 1, PORT, around.settings()) as pid:
            console.print("Groups are opened and children registered …")
            segments = [measure.records(one) for one in setting(amount)]
            run(measure.play(around, segments, 1))
            console.print(f"{amount.applications:,} applications in {amount.seconds} s …")
            used = cpu_seconds(pid)
            result = run(night(around, amount))
            used = cpu_seconds(pid) - used
            memory = memory_mib(pid)
        result |= {"verify": verified(around, 1)}
    return told | asdict(amount) | result | {"cpu_seconds": used, "memory_mib": memory}


def shown(result: Mapping[str, Any], console: Console) -> bool:
    """Print the table; return whether all was as promised."""
    places = result["groups"] * result["capacity"]
    answers = ", ".join(f"{name} {count:,}" for name, count in sorted(result["answers"].items()))
    rows = [
        ("from application to answer, ms: p50", f"{result['p50']:,.0f}", ""),
        ("  p99", f"{result['p99']:,.0f}", ""),
        ("  slowest", f"{result['slowest']:,.0f}", f"at most {SLOWEST_MS_MAX:,}"),
        ("first answers", answers, ""),
        ("places given, withdrawn ones again", f"{result['held']:,}", ""),
        ("given before somebody who had come earlier", str(len(result["overtaken"])), "0"),
        ("above a group's capacity", str(len(result["above_capacity"])), "0"),
        ("violations found by pfdo verify", str(result["verify"]["violations"]), "0"),
        (
            "CPU seconds, memory in MiB",
            f"{result['cpu_seconds']:.0f}, {result['memory_mib']:.0f}",
            "",
        ),
    ]
    title = (
        f"{result['applications']:,} applications in {result['seconds']} s for {places:,}"
        f" places, {MARKS_RATE} marks a second beside"
    )
    console.print(promises(title, rows))
    if not result["settled"]:
        console.print(f"Not settled: {result['left']}")
    return kept(result)


def kept(result: Mapping[str, Any]) -> bool:
    """Return whether all was as promised."""
    return bool(
        result["settled"]
        and result["verify"]["ok"]
        and result["slowest"] <= SLOWEST_MS_MAX
        and not result["overtaken"]
        and not result["above_capacity"]
        and sum(result["answers"].values()) == result["applications"]
    )
