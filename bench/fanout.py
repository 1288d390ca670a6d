"""From debits to mails at a real SMTP server, which runs in this process.

Each debit becomes one mail to one guardian. In `drained` all debits stand in billing's journal at
once; notifications and senders are one process on the embedded bus. In `paced` marks come at a
rate on Kafka, all services are at work, and the senders are a process of their own.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.console import Console
from rich.table import Table

from bench import load
from bench.figures import percentiles
from bench.load import PAYER
from bench.measure import (
    JOURNAL,
    Record,
    charges,
    consumer_at_end,
    records,
    send,
    sent_at_a_rate,
)
from bench.surroundings import Surroundings, cpu_seconds, memory_mib, services
from contracts.vocabulary import Channel, EventId, RecipientId
from services.notifications.domain.messages import message_id
from streaming import journal
from streaming.bus import Outgoing
from streaming.event_loop import run
from streaming.installation import open_installation
from streaming.journal import Entry, JournalEnd
from streaming.routing import partition_of
from streaming.settings import load_settings
from streaming.view import Cause

DEBITS, QUICK_DEBITS, GUARDIANS, PARTITIONS = 10_000, 1_500, 500, 4
RATE, SECONDS = 50, 20
PARTITIONS_PACED = 1
PORT, RELAY_PORT = 18_039, 18_040
GOAL_PER_MINUTE, GOAL_P99_MS, GOAL_GROWTH_PERCENT = 3_000, 5_000, 10
HOME = partition_of(PAYER.encode(), PARTITIONS)
SECONDS_MAX = 900.0


class Relay:
    """Counts what it takes, and when, by message id."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}
        self.copies = 0

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        del server, session
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        line = content.partition(b"Message-ID: <")[2].partition(b"\r\n")[0]
        id_ = line.partition(b"@")[0].decode()
        self.copies += id_ in self.taken
        self.taken.setdefault(id_, time.perf_counter())
        return "250 OK"


class Billing:
    """Writes debits as billing does."""

    def __init__(self) -> None:
        self._end = JournalEnd()
        self.written = 0

    def debits(self, count: int) -> list[Outgoing]:
        """Return the next records of the journal."""
        return [self._debit() for _ in range(count)]

    def _debit(self) -> Outgoing:
        number, self.written = self.written, self.written + 1
        guardian = number % GUARDIANS
        example = Path("contracts/examples/billing.lesson-charged.v1.json")
        data = json.loads(example.read_text(encoding="utf-8"))["data"] | {
            "child_id": f"child-{guardian:06d}",
            "enrollment_id": f"enr-{guardian:06d}",
            "lesson_id": f"les-{number:06d}",
        }
        entry = Entry(
            type="billing.lesson-charged.v1",
            subject=data["enrollment_id"],
            payer=PAYER,
            business_day="2020-09-02",
            cause=Cause(
                topic="attendance.events.v1",
                partition=HOME,
                offset=number,
                time="2020-09-02T12:00:00+08:00",
            ),
            cause_index=0,
            data=data,
        )
        self._end, value = journal.append("billing", HOME, self._end, entry)
        return Outgoing("billing.events.v1", HOME, PAYER.encode(), value)


def families() -> list[Outgoing]:
    """Return what makes guardians want mail."""
    events = [load.day("2020-09-02")]
    for number in range(GUARDIANS):
        events += [load.child(number), load.preferences(number, ["email"])]
    return [
        Outgoing(
            f"{one['source'].removeprefix('/')}.events.v1",
            HOME,
            None if "partitionkey" not in one else PAYER.encode(),
            json.dumps(one).encode(),
        )
        for one in events
    ]


@contextlib.contextmanager
def post(people: int) -> Iterator[tuple[Relay, dict[str, str]]]:
    """Run a real relay in this process; yields it, and what tells senders to use it."""
    relay = Relay()
    controller = Controller(relay, hostname="127.0.0.1", port=RELAY_PORT)
    controller.start()
    addresses = {load.guardian_id(n): {"email": f"g{n}@people.example"} for n in range(people)}
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(addresses, file)
            file.flush()
            yield (
                relay,
                {
                    "PFDO_SENDERS_SMTP_URL": f"smtp://127.0.0.1:{RELAY_PORT}",
                    "PFDO_SENDERS_ADDRESSES": file.name,
                    "PFDO_SENDERS_EMAIL_PER_MINUTE": "1000000",
                },
            )
    finally:
        controller.stop()


async def drained(data: Path, debits: int, console: Console) -> dict[str, Any]:
    """Measure how fast mails leave for debits that are all there; on the embedded bus."""
    billing = Billing()
    settings = load_settings({"data": data, "partitions": PARTITIONS, "sandbox": True}, {})
    async with open_installation(settings) as installation:
        await installation.bus.publish(families())
        await installation.bus.publish(billing.debits(debits))
        with post(GUARDIANS) as (relay, told):
            told |= {"PFDO_DATA": str(data)}
            with services("notifications,senders", PARTITIONS, PORT, told) as pid:
                result = await _drained(relay, pid, debits, console)
    return result | {"mails": len(relay.taken), "debits": debits, "copies": relay.copies}


async def _drained(relay: Relay, pid: int, debits: int, console: Console) -> dict[str, Any]:
    begun, used, memory = time.perf_counter(), cpu_seconds(pid), []
    async with asyncio.timeout(SECONDS_MAX):
        while len(relay.taken) < debits:
            await asyncio.sleep(0.5)
            memory.append(memory_mib(pid))
            if len(memory) % 20 == 0:
                console.print(f"{len(relay.taken)} of {debits}, {memory[-1]:.0f} MiB")
    seconds = time.perf_counter() - begun
    return {
        "per_minute": debits / seconds * 60,
        "cpu_ms_per_mail": (cpu_seconds(pid) - used) / debits * 1000,
        # The most in each fifth of the time: flat once the caches are full.
        "memory_mib": [max(part) for part in _parts(memory, 5)],
    }


async def paced(around: Surroundings, sent: Sequence[Record], *, children: int) -> dict[str, Any]:
    """Measure from a mark on Kafka, at `RATE` a second, until a relay has the mail about its debit.

    Services run already; senders are a process of their own beside them.
    """
    wanted = [load.preferences(number, ["email"]) for number in range(children)]
    await send(around.bootstrap, records(wanted))
    with post(children) as (relay, told):
        settings = told | around.settings()
        with services("senders", PARTITIONS_PACED, PORT, settings) as pid:
            consumer = await consumer_at_end(around.bootstrap, JOURNAL)
            memory = [memory_mib(pid)]

            async def read() -> dict[str, str]:
                return {mark: debit async for mark, debit, _ in charges(consumer, len(sent))}

            reading = asyncio.create_task(read())
            try:
                sent_at = await sent_at_a_rate(around.bootstrap, sent, RATE)
                async with asyncio.timeout(SECONDS_MAX):
                    debits = await reading
                    while len(relay.taken) < len(sent):  # noqa: ASYNC110 - another thread
                        await asyncio.sleep(0.05)
            finally:
                reading.cancel()
                await consumer.stop()
            memory.append(memory_mib(pid))
    no_more = [load.preferences(number, [], revision=2) for number in range(children)]
    await send(around.bootstrap, records(no_more))
    marked = [json.loads(one.value) for one in sent]
    guardians = {mark["id"]: load.guardian_of(mark) for mark in marked}
    waits = [
        relay.taken[message_id(EventId(debits[id_]), RecipientId(guardians[id_]), Channel.EMAIL)]
        - at
        for id_, at in sent_at.items()
    ]
    return {
        **asdict(percentiles(RATE, waits)),
        "memory_mib": memory,
        "mails": len(relay.taken),
        "debits": len(sent),
        "copies": relay.copies,
    }


def _parts(values: Sequence[float], count: int) -> list[Sequence[float]]:
    cuts = [len(values) * number // count for number in range(count + 1)]
    return [values[a:b] or values[-1:] for a, b in pairwise(cuts)]


def measured(*, quick: bool, console: Console) -> dict[str, Any]:
    """Run the part that needs no Kafka and return its figures."""
    with tempfile.TemporaryDirectory() as directory:
        result = run(drained(Path(directory), QUICK_DEBITS if quick else DEBITS, console))
    assert isinstance(result, dict)
    return result


def shown(drained: Mapping[str, Any], paced: Mapping[str, Any] | None, console: Console) -> bool:
    """Print a table of goals; return whether all are reached."""
    rows = [
        (
            f"{drained['debits']:,} debits at once: mails a minute",
            f"{drained['per_minute']:,.0f}",
            f"at least {GOAL_PER_MINUTE:,}",
            drained["per_minute"] >= GOAL_PER_MINUTE,
        ),
        (
            "  memory, most in each fifth of the time, MiB",
            " ".join(f"{mib:.0f}" for mib in drained["memory_mib"]),
            f"the last {GOAL_GROWTH_PERCENT} % above the second at most",
            drained["memory_mib"][-1] <= drained["memory_mib"][1] * (1 + GOAL_GROWTH_PERCENT / 100),
        ),
        ("  a core, ms for each mail", f"{drained['cpu_ms_per_mail']:.1f}", "", True),
        _counted(drained),
    ]
    if paced is not None:
        rows += [
            (
                f"{RATE} marks a second: from mark on Kafka to mail at the relay, p50, ms",
                f"{paced['p50']:.0f}",
                "",
                True,
            ),
            (
                "  p99, ms",
                f"{paced['p99']:.0f}",
                f"{GOAL_P99_MS:,} at most",
                paced["p99"] <= GOAL_P99_MS,
            ),
            (
                "  memory of the senders before and after, MiB",
                " ".join(f"{mib:.0f}" for mib in paced["memory_mib"]),
                "",
                True,
            ),
            _counted(paced),
        ]
    table = Table(title="From debits to mails")
    for name in ("what", "measured", "goal", ""):
        table.add_column(name)
    for what, value, goal, reached in rows:
        table.add_row(what, value, goal, "" if not goal else "reached" if reached else "missed")
    console.print(table)
    return all(reached for *_, reached in rows)


def _counted(result: Mapping[str, Any]) -> tuple[str, str, str, bool]:
    return (
        "  mails, and copies among them",
        f"{result['mails']}, {result['copies']}",
        f"{result['debits']}, 0",
        (result["mails"], result["copies"]) == (result["debits"], 0),
    )


def main(*, quick: bool) -> int:
    """Run the part that needs no Kafka; 1 if a goal is missed."""
    console = Console()
    return 0 if shown(measured(quick=quick, console=console), None, console) else 1
