"""A town with notifications alone, and what the other services would tell it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from services.notifications.domain.rules import ROUTING
from services.notifications.service import notifications
from streaming import journal
from streaming.bus import Outgoing
from streaming.journal import Entry, JournalEnd
from streaming.memory_store import MemoryStore
from streaming.view import Cause
from tests.support.world import World, day, event

PAYER = "25703000"
OTHER_PAYER = "25701000"
EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
NOON = "2020-09-02T12:00:00+08:00"
MORNING = "2020-09-02T08:00:00+08:00"


class Town:
    """A world with notifications alone, and what the other services would tell it."""

    def __init__(self, seed: int = 0, cached_max: int = 50_000) -> None:
        self.world = World([notifications], partitions=1, seed=seed, cached_max=cached_max)
        self._ends: dict[str, JournalEnd] = {}

    async def hears(self, *events: Mapping[str, Any]) -> None:
        """Let the events arrive together, in this order."""
        for one in events:
            if one["source"].startswith("/services/"):
                await self._publish_journal(one)
            elif one["source"] == "/senders":
                value = json.dumps(one).encode()
                key = one["partitionkey"].encode()
                await self.world.bus.publish([Outgoing("notifications.reports.v1", 0, key, value)])
            else:
                await self.world.publish(one)
        await self.world.settle()

    async def _publish_journal(self, one: Mapping[str, Any]) -> None:
        name = one["source"].rpartition("/")[2]
        entry = Entry(
            type=one["type"],
            subject=one["subject"],
            payer=one["partitionkey"],
            business_day=one.get("businessday"),
            cause=Cause(
                topic="navigator.events.v1",
                partition=0,
                offset=0,
                time=one["time"],
                traceparent=one.get("traceparent"),
            ),
            cause_index=0,
            data=one["data"],
        )
        end, value = journal.append(name, 0, self._ends.get(name, JournalEnd()), entry)
        self._ends[name] = end
        key = one["partitionkey"].encode()
        await self.world.bus.publish([Outgoing(f"{name}.events.v1", 0, key, value)])

    def told(self) -> list[tuple[str, ...]]:
        """Return (template, recipient, channel) of all messages, in order of the journal."""
        return [
            (data["template"], data["recipient_id"], data["channel"])
            for fact, data in self.world.facts("notifications")
            if fact == "message-due"
        ]

    def templates(self) -> list[str]:
        return [template for template, _, _ in self.told()]

    def due(self) -> list[dict[str, Any]]:
        return [d for fact, d in self.world.facts("notifications") if fact == "message-due"]

    def decided(self, id_: str) -> list[str]:
        return self.world.decisions("notifications").get(id_, [])

    def kinds(self) -> list[str]:
        return [record["type"].split(".")[1] for record in self.world.journal("notifications")]

    async def rebuilt(self) -> dict[int, Mapping[str, bytes]]:
        """Return the state after the store was lost and folded from the journal."""
        self.world.stores["notifications"] = MemoryStore()
        self.world.kill("notifications", 0)
        await self.world.settle()
        return await self.world.state("notifications")


def child(
    child_id: str = "child-00001", guardians: Iterable[str] = ("guard-00001",), revision: int = 1
) -> dict[str, Any]:
    data = {
        "child_id": child_id,
        "birth_date": "2011-05-05",
        "guardian_ids": list(guardians),
        "benefits": [],
        "revision": revision,
    }
    return event("navigator.child-registered", PAYER, child_id, data)


def group(provider_id: str = "prov-00009", payer: str = PAYER) -> dict[str, Any]:
    data = example_data("navigator.group-published")
    return event(
        "navigator.group-published", payer, data["group_id"], data | {"provider_id": provider_id}
    )


def preferences(
    channels: Mapping[str, list[str]],
    guardian: str = "guard-00001",
    revision: int = 1,
    **more: Any,
) -> dict[str, Any]:
    data = {
        "guardian_id": guardian,
        "channels": dict(channels),
        "digest": False,
        "revision": revision,
    }
    return event("navigator.preferences-set", PAYER, guardian, data | more)


def rules(
    *rows: Mapping[str, Any], from_: str = "2020-09-01", published: str = "2020-08-20"
) -> dict[str, Any]:
    data = {
        "table": ROUTING,
        "from": from_,
        "published": published,
        "basis": "Постановление",
        "rows": list(rows),
    }
    id_ = f"rules-{from_}-{published}"
    return event("payers.rules-published", PAYER, ROUTING, data, id=id_)


def rule(
    id_: str, fact: str, template: str, recipient: str = "guardians", category: str = "debit"
) -> dict[str, Any]:
    then = {"recipient": recipient, "category": category, "template": template, "urgent": False}
    return {"id": id_, "when": {"event": fact}, "then": then, "says": "Как решил муниципалитет"}


def example_data(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / f"{name}.v1.json").read_text("utf-8"))["data"]
    loaded.pop("input", None)
    return loaded


def fact(
    name: str, time: str = NOON, on: str = "2020-09-02", payer: str = PAYER, **more: Any
) -> dict[str, Any]:
    """Return a fact of another service, from its example."""
    data = example_data(name) | more
    subject = data.get("enrollment_id") or data.get("invoice_id") or data.get("child_id")
    return event(
        name,
        payer,
        str(subject or data["group_id"]),
        data,
        source=f"/services/{name.partition('.')[0]}",
        time=time,
        businessday=on,
    )


def report(message: Mapping[str, Any], status: str = "sent", attempts: int = 1) -> dict[str, Any]:
    data = {
        "message_id": message["message_id"],
        "channel": message["channel"],
        "status": status,
        "attempts": attempts,
    }
    id_ = f"report-{message['message_id'][:20]}-{status}-{attempts}"
    return event(
        "notifications.delivery-reported",
        PAYER,
        message["message_id"],
        data,
        source="/senders",
        id=id_,
    )


def lesson(number: int, left: int, **more: Any) -> dict[str, Any]:
    return fact("billing.lesson-charged", lesson_id=f"les-{number:05d}", lessons_left=left, **more)


async def open_town(**more: Any) -> Town:
    town = Town(**more)
    await town.hears(day("2020-09-02"), child())
    return town
