"""`python -m bench fanout [quick]`: from debits in billing's journal to mails at a relay.

Notifications and the senders run as one process on the embedded bus; a real SMTP server in this
process takes the mails. Each debit becomes one mail to one guardian. First all debits are there at
once, then they come at a rate.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.console import Console

from bench.load import PAYER, day, event
from bench.measure import Latency, percentiles
from bench.surroundings import cpu_seconds, memory_mib, run, wait_ready
from streaming import journal
from streaming.bus import Outgoing
from streaming.installation import Installation, open_installation
from streaming.journal import Entry, JournalEnd
from streaming.routing import partition_of
from streaming.settings import load_settings
from streaming.view import Cause

DEBITS, QUICK_DEBITS, GUARDIANS, PARTITIONS = 10_000, 1_500, 500, 4
RATE, SECONDS = 50, 20
PORT = 18_039
GOAL_PER_MINUTE, GOAL_P99_SECONDS = 3_000, 5.0
HOME = partition_of(PAYER.encode(), PARTITIONS)
SECONDS_MAX = 900.0


class Relay:
    """Counts what it takes, and when, by Message-ID."""

    def __init__(self) -> None:
        self.taken: dict[bytes, float] = {}
        self.copies = 0

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        del server, session
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        id_ = content.partition(b"Message-ID: ")[2].partition(b"\r\n")[0]
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
    events = [day("2020-09-02")]
    for number in range(GUARDIANS):
        child_id, guardian_id = f"child-{number:06d}", f"guard-{number:06d}"
        child = {
            "child_id": child_id,
            "birth_date": "2010-01-01",
            "guardian_ids": [guardian_id],
            "benefits": [],
            "revision": 1,
        }
        wanted = {
            "guardian_id": guardian_id,
            "channels": {"debit": ["email"]},
            "digest": False,
            "revision": 1,
        }
        events.append(event("navigator.child-registered", child_id, child))
        events.append(event("navigator.preferences-set", guardian_id, wanted))
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
def working(data: Path, smtp_port: int) -> Iterator[int]:
    """Run notifications and the senders; yields their pid."""
    people = data / "people.yaml"
    people.write_text(
        json.dumps(
            {f"guard-{n:06d}": {"email": f"guard{n}@people.example"} for n in range(GUARDIANS)}
        )
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PFDO_")},
        "PFDO_DATA": str(data),
        "PFDO_PARTITIONS": str(PARTITIONS),
        "PFDO_SANDBOX": "1",
        "PFDO_HEALTH_PORT": str(PORT),
        "PFDO_SENDERS_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "PFDO_SENDERS_ADDRESSES": str(people),
        "PFDO_SENDERS_EMAIL_PER_MINUTE": "1000000",
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pfdo", "run", "--services", "notifications,senders"],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_ready(process, PORT, log)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


async def measured(data: Path, debits: int, console: Console) -> dict[str, Any]:
    """Measure throughput, then latency at a rate."""
    relay, billing = Relay(), Billing()
    controller = Controller(relay, hostname="127.0.0.1", port=PORT + 1)
    controller.start()
    settings = load_settings({"data": data, "partitions": PARTITIONS, "sandbox": True}, {})
    try:
        async with open_installation(settings) as installation:
            await installation.bus.publish(families())
            await installation.bus.publish(billing.debits(debits))
            with working(data, PORT + 1) as pid:
                result = await _drained(relay, pid, debits, console)
                result["latency"] = await _paced(installation, billing, relay)
    finally:
        controller.stop()
    return result | {"copies": relay.copies, "mails": len(relay.taken), "debits": billing.written}


async def _drained(relay: Relay, pid: int, debits: int, console: Console) -> dict[str, Any]:
    begun, used, memory = time.perf_counter(), cpu_seconds(pid), []
    async with asyncio.timeout(SECONDS_MAX):
        while len(relay.taken) < debits:
            await asyncio.sleep(0.5)
            memory.append(memory_mib(pid))
            if len(memory) % 20 == 0:
                console.print(f"{len(relay.taken)} of {debits}, {memory[-1]:.0f} MiB")
    seconds = time.perf_counter() - begun
    half = len(memory) // 2
    return {
        "per_minute": debits / seconds * 60,
        "cpu_ms_per_mail": (cpu_seconds(pid) - used) / debits * 1000,
        "memory_mib": [max(memory[:half] or memory), max(memory[half:])],
    }


async def _paced(installation: Installation, billing: Billing, relay: Relay) -> Latency:
    before, written = set(relay.taken), []
    begun = time.perf_counter()
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        written.append(time.perf_counter())
        await installation.bus.publish(billing.debits(1))
    async with asyncio.timeout(SECONDS_MAX):
        while len(relay.taken) - len(before) < len(written):  # noqa: ASYNC110 - another thread
            await asyncio.sleep(0.05)
    # Mails of one partition may overtake one another a little: order both, and compare in order.
    taken = sorted(at for id_, at in relay.taken.items() if id_ not in before)
    return percentiles(RATE, [b - a for a, b in zip(written, taken, strict=True)])


def main(*, quick: bool) -> int:
    """Run the bench and print what came of it; 1 if a goal is missed."""
    console = Console()
    with tempfile.TemporaryDirectory() as directory:
        result: Any = run(measured(Path(directory), QUICK_DEBITS if quick else DEBITS, console))
    latency: Latency = result["latency"]
    first, second = result["memory_mib"]
    console.print(
        f"{result['per_minute']:,.0f} mails a minute (goal {GOAL_PER_MINUTE:,}), "
        f"{result['cpu_ms_per_mail']:.1f} ms of a core each; "
        f"memory {first:.0f} MiB at most in the first half, {second:.0f} MiB in the second"
    )
    console.print(
        f"At {RATE} debits a second from debit to mail: p50 {latency.p50:.0f} ms, "
        f"p99 {latency.p99:.0f} ms (goal {GOAL_P99_SECONDS * 1000:.0f} ms)"
    )
    console.print(
        f"{result['mails']} mails for {result['debits']} debits, {result['copies']} copies"
    )
    reached = (
        result["per_minute"] >= GOAL_PER_MINUTE
        and latency.p99 <= GOAL_P99_SECONDS * 1000
        and (result["mails"], result["copies"]) == (result["debits"], 0)
    )
    return 0 if reached else 1
