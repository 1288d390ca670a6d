"""What a mark costs, and what memory is held, as certificates and payers become more.

`python -m bench scaling [quick|million]`. Billing alone, one partition, a process of its own, with
a real Kafka and its state in Redis. Of what others decide it is given what it needs of each
certificate: that it was issued, and that the child is enrolled, in their words, as they say it in
memory for one child. The cache is kept so small that no number of certificates fits into it: else
few would be answered from memory, many from Redis, and the two could not be compared.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import load, measure
from bench.figures import spread
from bench.machine import about
from bench.surroundings import (
    Surroundings,
    cpu_seconds,
    installed,
    memory_mib,
    services,
    surroundings,
)
from pfdo.system import services_of
from streaming import journal
from streaming.event_loop import run
from streaming.journal import Entry, JournalEnd
from streaming.telemetry import configure_logs
from streaming.view import Cause

CERTIFICATES: tuple[int, ...] = (1_000, 10_000, 100_000)
CERTIFICATES_QUICK: tuple[int, ...] = (1_000, 3_000)
CERTIFICATES_MILLION = (*CERTIFICATES, 1_000_000)
PAYERS: tuple[int, ...] = (1, 40, 400)
PAYERS_QUICK: tuple[int, ...] = (1, 40)
CERTIFICATES_OF_PAYERS, CERTIFICATES_OF_PAYERS_QUICK = 10_000, 1_000
"""Shared out among all payers."""
MARKS, MARKS_QUICK = 10_000, 2_000
REPEATS, REPEATS_QUICK = 3, 1
BILLING = "billing"
CACHED = 3_000
"""Aggregates that billing keeps in memory: enough for a batch, too few for any row."""
PORT = 18_043
CHUNK = 5_000
WITHIN = 0.1
"""Figures are flat if none is further from the first than this part."""
TOLD = {
    "certificates": "certificates.certificate-issued.v1",
    "enrollment": "enrollment.child-enrolled.v1",
}
"""What billing needs of each child, and whose word it is."""


class Words:
    """Says of any number of children what the services say of one."""

    def __init__(self, examples: Mapping[str, Mapping[str, Any]]) -> None:
        self._examples = examples
        self._ends = {service: JournalEnd() for service in TOLD}

    def of(self, service: str, number: int, payer: str) -> measure.Record:
        """Return the next record of a journal: a service's word about a child."""
        example = self._examples[service]
        data = _other(example["data"], number, payer)
        cause = Cause(
            topic=example["causetopic"],
            partition=0,
            offset=self._ends[service].seq,
            time=example["time"],
        )
        entry = Entry(
            type=example["type"],
            subject=_other(example["subject"], number, payer),
            payer=payer,
            business_day=example["businessday"],
            cause=cause,
            cause_index=0,
            data=data,
        )
        self._ends[service], value = journal.append(service, 0, self._ends[service], entry)
        return measure.Record(f"{service}.events.v1", 0, payer.encode(), value)


def _other(value: Any, number: int, payer: str) -> Any:
    """Return what is said of the first child as said of another one."""
    match value:
        case dict():
            said = {name: _other(each, number, payer) for name, each in value.items()}
            if "certificate_number" in said:
                said["certificate_number"] = f"{payer[2:5]}{number:07d}"
            return said
        case list():
            return [_other(each, number, payer) for each in value]
        case str():
            return value.replace("-000000", f"-{number:06d}").replace(load.PAYER, payer)
        case _:
            return value


async def examples() -> dict[str, dict[str, Any]]:
    """Let the services decide in memory about one child; return what they say of it."""
    from tests.support.world import World

    world = World(services_of(["enrollment", "certificates", "billing"]), partitions=1)
    for segment in load.beginning(1):
        await world.publish(*segment)
        await world.settle()
    said = {}
    for service, type_ in TOLD.items():
        (said[service],) = (record for record in world.journal(service) if record["type"] == type_)
        # The input it was decided on is not this child's.
        said[service]["data"].pop("input", None)
    return said


def payers_records(payers: Sequence[str]) -> Iterator[measure.Record]:
    """Yield what payers say, and the first day."""
    for segment in load.beginning(0, payers)[:2]:
        yield from (
            one
            for one in measure.records(segment)
            if one.topic in ("calendar.events.v1", "payers.events.v1")
        )


def children_records(
    words: Words, certificates: int, payers: Sequence[str]
) -> Iterator[measure.Record]:
    """Yield what the services say of all children, payers in turn."""
    for number in range(certificates):
        for service in TOLD:
            yield words.of(service, number, payers[number % len(payers)])


def marks(certificates: int, payers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield marks that are each charged, all children in turn."""
    return (
        load.mark(number, lesson, payers[number % len(payers)])
        for lesson in range(1, load.LESSONS_MAX)
        for number in range(certificates)
    )


def row(
    around: Surroundings, certificates: int, payer_count: int, *, marked: int, repeats: int
) -> dict[str, Any]:
    """Measure one number of certificates and payers, on an installation of its own."""
    payers = load.payers(payer_count)
    told = around.settings() | {"PFDO_CACHED_MAX": str(CACHED)}
    with installed(around, 1):
        with services(BILLING, 1, PORT, told):
            run(measure.send(around.bootstrap, payers_records(payers)))
            run(measure.at_rest(around, 1, [BILLING]))
            children = children_records(Words(run(examples())), certificates, payers)
            while chunk := list(islice(children, CHUNK)):
                run(measure.send(around.bootstrap, chunk))
            run(measure.send(around.bootstrap, measure.records([load.day("2020-12-31")])))
            run(measure.at_rest(around, 1, [BILLING]))
        # A process that has not seen so many children pass: what it holds is for its marks.
        with services(BILLING, 1, PORT, told) as pid:
            coming = marks(certificates, payers)
            warm = measure.records(islice(coming, marked))
            run(measure.drained(around.bootstrap, warm, pids=[pid]))
            used, seconds = [], time.monotonic()
            for _ in range(repeats):
                sent = measure.records(islice(coming, marked))
                used.append(run(measure.drained(around.bootstrap, sent, pids=[pid]))["cpu_us"])
            return {
                "certificates": certificates,
                "payers": payer_count,
                "cpu_us": used,
                "memory_mib": memory_mib(pid),
                "cpu_seconds_in_all": cpu_seconds(pid),
                "seconds": time.monotonic() - seconds,
            }


def measured(*, quick: bool, million: bool, console: Console) -> dict[str, Any]:
    """Measure all numbers of certificates, then all numbers of payers."""
    configure_logs(logging.WARNING)
    certificates = CERTIFICATES_MILLION if million else CERTIFICATES
    payers = PAYERS
    of_payers, marked, repeats = CERTIFICATES_OF_PAYERS, MARKS, REPEATS
    if quick:
        certificates, payers = CERTIFICATES_QUICK, PAYERS_QUICK
        of_payers, marked, repeats = CERTIFICATES_OF_PAYERS_QUICK, MARKS_QUICK, REPEATS_QUICK
    with surroundings() as around:
        result = about(around) | {"cached": CACHED, "certificates": [], "payers": []}
        pairs: list[tuple[int, int]]
        for name, pairs in (
            ("certificates", [(count, 1) for count in certificates]),
            ("payers", [(of_payers, count) for count in payers]),
        ):
            for count, payer_count in pairs:
                console.print(f"{count:,} certificates of {payer_count} payers …")
                made = row(around, count, payer_count, marked=marked, repeats=repeats)
                result[name].append(made)
    return result


def is_flat(values: Sequence[float]) -> bool:
    """Return whether no value is more than `WITHIN` above or below the first."""
    return all(abs(value - values[0]) <= values[0] * WITHIN for value in values)


def shown(result: Mapping[str, Any], console: Console) -> bool:
    """Print the tables; return whether all is flat."""
    flat = True
    for name in ("certificates", "payers"):
        rows = result[name]
        table = Table(title=f"As {name} become more")
        for column in ("certificates", "payers", "CPU µs a mark", "memory, MiB"):
            table.add_column(column, justify="right")
        for one in rows:
            table.add_row(
                f"{one['certificates']:,}",
                str(one["payers"]),
                spread(one["cpu_us"]).shown(),
                f"{one['memory_mib']:.0f}",
            )
        console.print(table)
        for what, values in (
            ("CPU", [spread(one["cpu_us"]).median for one in rows]),
            ("memory", [one["memory_mib"] for one in rows]),
        ):
            is_so = is_flat(values)
            flat = flat and is_so
            console.print(f"{what} is {'' if is_so else 'not '}flat within {WITHIN:.0%}")
    return flat
