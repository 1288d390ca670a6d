"""The count: what a real SMTP server gets, beside the journal, while everything is sent twice and
the sender is stopped or killed.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bench import load
from services.billing.app import service as billing
from services.certificates.app import service as certificates
from services.enrollment.app import service as enrollment
from services.notifications.app import service as notifications
from services.notifications.senders.assembly import EMAIL_SLOTS
from services.notifications.senders.sender import DOUBT
from streaming.bus import Outgoing
from streaming.installation import Installation, open_installation
from streaming.process import make_host, running
from streaming.settings import load_settings
from streaming.telemetry import Telemetry
from tests.support.endpoints import HOST

GUARDIANS = 8
LESSONS = 25
SECONDS_MAX = 100
SENT = "notifications.message-sent"


def twice(events: Iterable[Mapping[str, Any]]) -> list[Outgoing]:
    """Return each event, and a copy of it right after."""
    return [outgoing(event) for event in events for _ in range(2)]


def outgoing(event: Mapping[str, Any]) -> Outgoing:
    key = event.get("partitionkey")
    topic = f"{event['source'].removeprefix('/')}.events.v1"
    return Outgoing(topic, 0, key and key.encode(), json.dumps(event).encode())


@asynccontextmanager
async def town(data: Path) -> AsyncIterator[Installation]:
    """Run the services in this process, embedded: all agreements active, all want mail."""
    settings = load_settings({"data": data, "partitions": 1, "sandbox": True}, {})
    async with open_installation(settings) as installation:
        services = [enrollment(), certificates(), billing(), notifications()]
        host = await make_host(installation, Telemetry(), services)
        async with running(host):
            *before, last_day = load.beginning(GUARDIANS)
            wanted = [load.preferences(number, ["email"]) for number in range(GUARDIANS)]
            for segment in (*before, wanted):
                await installation.bus.publish(twice(segment))
            await reached(installation, "enrollment", "agreement-activated", GUARDIANS)
            await installation.bus.publish(twice(last_day))
            yield installation


async def reached(installation: Installation, service: str, fact: str, count: int) -> None:
    """Wait until a journal has so many facts."""
    async with asyncio.timeout(SECONDS_MAX):
        while len(of(await facts(installation, service), f"{service}.{fact}")) < count:
            await asyncio.sleep(0.1)


async def facts(installation: Installation, service: str = "notifications") -> list[dict[str, Any]]:
    """Return the journal of a service."""
    topic = f"{service}.events.v1"
    reader = await installation.bus.reader(0, {topic: 0})
    found: list[dict[str, Any]] = []
    try:
        while True:
            polled = await reader.poll([topic], 1_000, 0.2)
            records = polled.records.get(topic, ())
            if not records:
                return found
            found += [json.loads(record.value or b"{}") for record in records]
    finally:
        await reader.close()


async def start_sender(data: Path, port: int, people: Path) -> asyncio.subprocess.Process:
    """Start the senders as a process of their own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PFDO_")},
        "PFDO_SANDBOX": "1",
        "PFDO_PARTITIONS": "1",
        "PFDO_SENDERS_SMTP_URL": f"smtp://{HOST}:{port}",
        "PFDO_SENDERS_ADDRESSES": str(people),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pfdo", "--data", str(data), "run", "--services", "senders"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


@asynccontextmanager
async def relay(book: Path) -> AsyncIterator[int]:
    """Run a real SMTP server as a process of its own; yields its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.relay_process", str(book)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


def taken(book: Path) -> Sequence[str]:
    """Return the message ids of what the relay took, in order."""
    return [line.strip("<>").partition("@")[0] for line in book.read_text().split()]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX * 2)
@pytest.mark.parametrize(
    ("with_what", "times", "seed"),
    [
        pytest.param(signal.SIGTERM, 2, 1, id="restarts"),
        pytest.param(signal.SIGKILL, 3, 1, id="kills"),
        pytest.param(signal.SIGKILL, 6, 2, id="many kills"),
    ],
)
async def test_each_debit_is_one_mail(
    tmp_path: Path, with_what: signal.Signals, times: int, seed: int
) -> None:
    chance = random.Random(seed)
    people, book = tmp_path / "people.yaml", tmp_path / "book"
    people.write_text(
        json.dumps(
            {load.guardian_id(n): {"email": f"g{n}@people.example"} for n in range(GUARDIANS)}
        )
    )
    book.touch()
    async with relay(book) as port, town(tmp_path / "data") as installation:
        marks = list(islice(load.marks(GUARDIANS), GUARDIANS * LESSONS))
        await installation.bus.publish(twice(marks))
        sender = await start_sender(tmp_path / "data", port, people)
        moments = sorted(chance.sample(range(GUARDIANS * LESSONS - EMAIL_SLOTS), times))
        for moment in moments:
            await until(lambda moment=moment: len(taken(book)) >= moment)
            await asyncio.sleep(chance.uniform(0.0, 0.05))
            sender.send_signal(with_what)
            await sender.wait()
            sender = await start_sender(tmp_path / "data", port, people)
        due: list[dict[str, Any]] = []
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            told = await facts(installation)
            due = mails_due(told)
            if len(of(told, SENT)) >= len(due) == GUARDIANS * LESSONS:
                break
            await asyncio.sleep(0.2)
        sender.terminate()
        await sender.wait()
        sent = of(await facts(installation), SENT)
        debits = of(await facts(installation, "billing"), "billing.lesson-charged")

    got = Counter(taken(book))
    doubted = {fact["message_id"] for fact in sent if DOUBT in fact["detail"]}
    more_than_once = {id_ for id_, number in got.items() if number > 1}
    print(f"mails {got.total()}, messages {len(got)}, of which nobody knew {len(doubted)}")
    assert len(debits) == len(due) == GUARDIANS * LESSONS
    assert set(got) == {message["message_id"] for message in due}
    assert Counter(fact["message_id"] for fact in sent) == Counter(set(got))
    assert more_than_once <= doubted
    # No more than were under way, or had just ended, at a kill.
    assert len(doubted) <= times * 2 * EMAIL_SLOTS
    if with_what is signal.SIGTERM:
        assert doubted == set()


def mails_due(journal: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages that are due by mail."""
    due = of(journal, "notifications.message-due")
    return [message for message in due if message["channel"] == "email"]


def of(journal: Iterable[Mapping[str, Any]], fact: str) -> list[dict[str, Any]]:
    """Return the data of the facts of a type."""
    return [one["data"] for one in journal if one["type"] == f"{fact}.v1"]


async def until(condition: Any) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0.005)
