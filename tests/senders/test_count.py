"""The count: what a real SMTP server gets, beside the journal, while the sender is killed."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.notifications.app import service
from services.notifications.senders.assembly import EMAIL_SLOTS
from services.notifications.senders.sender import DOUBT
from streaming import journal
from streaming.bus import Outgoing
from streaming.installation import Installation, open_installation
from streaming.journal import Entry, JournalEnd
from streaming.process import make_host, running
from streaming.settings import load_settings
from streaming.telemetry import Telemetry
from streaming.view import Cause
from tests.support.endpoints import HOST, Mailbox, relay
from tests.support.town import child, lesson, preferences
from tests.support.world import day

GUARDIANS = 8
LESSONS = 25
SECONDS_MAX = 100


class SlowBox(Mailbox):
    """A relay that takes its time, so that a kill often falls between taking and noting."""

    async def handle_DATA(self, *given: Any) -> str:
        reply = await super().handle_DATA(*given)
        await asyncio.sleep(0.02)
        return reply


def events() -> list[Mapping[str, Any]]:
    """Return what makes the guardians of as many children want mail about debits."""
    told: list[Mapping[str, Any]] = [day("2020-09-02")]
    for number in range(GUARDIANS):
        told.append(child(f"child-{number:05d}", (f"guard-{number:05d}",)))
        told.append(preferences({"debit": ["email"]}, f"guard-{number:05d}"))
    return told


def charges() -> Iterable[Mapping[str, Any]]:
    """Yield debits of all children in turn."""
    for number in range(LESSONS):
        for guardian in range(GUARDIANS):
            yield lesson(
                number * GUARDIANS + guardian,
                900 - number,
                child_id=f"child-{guardian:05d}",
                enrollment_id=f"enr-{guardian:05d}",
            )


def billing_records(facts: Iterable[Mapping[str, Any]]) -> list[Outgoing]:
    """Return debits as billing writes them into its journal."""
    end, records = JournalEnd(), []
    for fact in facts:
        entry = Entry(
            type=fact["type"],
            subject=fact["subject"],
            payer=fact["partitionkey"],
            business_day=fact["businessday"],
            cause=Cause(topic="attendance.events.v1", partition=0, offset=0, time=fact["time"]),
            cause_index=0,
            data=fact["data"],
        )
        end, value = journal.append("billing", 0, end, entry)
        records.append(Outgoing("billing.events.v1", 0, fact["partitionkey"].encode(), value))
    return records


def outgoing(event: Mapping[str, Any]) -> Outgoing:
    key = event.get("partitionkey")
    topic = f"{event['source'].removeprefix('/')}.events.v1"
    return Outgoing(topic, 0, key and key.encode(), json.dumps(event).encode())


@asynccontextmanager
async def town(data: Path) -> AsyncIterator[Installation]:
    """Run notifications in this process, on an embedded installation of one partition."""
    settings = load_settings({"data": data, "partitions": 1, "sandbox": True}, {})
    async with open_installation(settings) as installation:
        host = await make_host(installation, Telemetry(), [service()])
        async with running(host):
            await installation.bus.publish([outgoing(event) for event in events()])
            yield installation


async def facts(installation: Installation) -> list[dict[str, Any]]:
    """Return the journal of notifications."""
    reader = await installation.bus.reader(0, {"notifications.events.v1": 0})
    found: list[dict[str, Any]] = []
    try:
        while True:
            polled = await reader.poll(["notifications.events.v1"], 1_000, 0.2)
            records = polled.records.get("notifications.events.v1", ())
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


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX * 2)
@pytest.mark.parametrize(
    ("with_what", "times"), [(signal.SIGTERM, 2), (signal.SIGKILL, 3)], ids=["restarts", "kills"]
)
async def test_each_debit_is_one_mail(
    tmp_path: Path, with_what: signal.Signals, times: int
) -> None:
    chance = random.Random(1)
    people = tmp_path / "people.yaml"
    people.write_text(
        json.dumps({f"guard-{n:05d}": {"email": f"g{n}@people.example"} for n in range(GUARDIANS)})
    )
    box = SlowBox()
    with relay(box) as port:
        async with town(tmp_path / "data") as installation:
            await installation.bus.publish(billing_records(charges()))
            sender = await start_sender(tmp_path / "data", port, people)
            for number in range(times):
                wanted = (number + 1) * GUARDIANS * LESSONS // (times + 2)
                await until(lambda wanted=wanted: len(box.mails) >= wanted)
                await asyncio.sleep(chance.uniform(0.0, 0.05))
                sender.send_signal(with_what)
                await sender.wait()
                sender = await start_sender(tmp_path / "data", port, people)
            due: list[dict[str, Any]] = []
            deadline = time.monotonic() + SECONDS_MAX
            while time.monotonic() < deadline:
                told = await facts(installation)
                due = of(told, "message-due")
                if len(of(told, "message-sent")) >= len(due) == GUARDIANS * LESSONS:
                    break
                await asyncio.sleep(0.2)
            sender.terminate()
            await sender.wait()
            sent = of(await facts(installation), "message-sent")

    got = Counter(id_.strip("<>").partition("@")[0] for id_ in box.ids)
    doubted = {fact["message_id"] for fact in sent if DOUBT in fact["detail"]}
    twice = {id_ for id_, times_ in got.items() if times_ > 1}
    assert set(got) == {message["message_id"] for message in due}
    assert len(due) == GUARDIANS * LESSONS
    assert Counter(fact["message_id"] for fact in sent) == Counter(set(got))
    assert twice <= doubted
    # No more than were under way, or had just ended, at a kill.
    assert len(doubted) <= times * 2 * EMAIL_SLOTS
    if with_what is signal.SIGTERM:
        assert doubted == set()


def of(journal_: Iterable[Mapping[str, Any]], fact: str) -> list[dict[str, Any]]:
    """Return the data of the facts of a type."""
    return [one["data"] for one in journal_ if one["type"] == f"notifications.{fact}.v1"]


async def until(condition: Any) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0.005)
