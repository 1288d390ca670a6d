"""Journals written by hand and the read models that follow: a cabinet without its services."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from contracts.registry import EVENTS
from contracts.sources import Sources, load_sources
from contracts.topics import all_topics
from services.cabinet.projections import cabinet
from services.cabinet.queries import Queries
from streaming.bus import Bus, Outgoing
from streaming.follower import Follower
from streaming.memory import MemoryBus
from streaming.memory_store import MemoryStore
from streaming.routing import partition_of
from streaming.store import Store
from streaming.telemetry import Telemetry

PAYER = "25701000"
OTHER_PAYER = "25703000"
PURSE = ("nominal_kopecks", "balance_kopecks", "reserved_kopecks", "paid_kopecks")


def purse(balance: int, reserved: int = 0, paid: int = 0, expired: int = 0) -> dict[str, int]:
    """Return a purse that adds up."""
    return {
        "nominal_kopecks": balance + reserved + paid + expired,
        "balance_kopecks": balance,
        "reserved_kopecks": reserved,
        "paid_kopecks": paid,
        "expired_kopecks": expired,
    }


class Journals:
    """The four journals on a bus, with their dense numbers, and a cabinet that follows them."""

    def __init__(
        self, bus: Bus | None = None, store: Store | None = None, partitions: int = 3
    ) -> None:
        self.sources: Sources = load_sources()
        self.bus: Bus = bus or MemoryBus(partitions)
        self.store: Store = store or MemoryStore()
        self.partitions = self.bus.partitions
        self.queries = Queries(self.store, self.partitions)
        self.day = "2020-09-01"
        self.time: str | None = None
        """What facts carry as their time; None: the morning of the day."""
        self._seqs: dict[tuple[str, int], int] = {}
        self._causes = 0
        self._followers: list[Follower] = []

    async def start(self) -> "Journals":
        """Make the topics."""
        await self.bus.create_topics([topic.name for topic in all_topics(self.sources)])
        return self

    async def fact(
        self,
        type_: str,
        data: Mapping[str, Any],
        *,
        payer: str = PAYER,
        input_: Mapping[str, Any] | None = None,
        cause: tuple[str, int] | None = None,
    ) -> str:
        """Append a fact (`billing.lesson-charged`), perhaps with the input it decides.

        `cause` is topic and offset of the input. Returns the fact's id.
        """
        service = type_.partition(".")[0]
        partition = partition_of(payer.encode(), self.partitions)
        seq = self._seqs[service, partition] = self._seqs.get((service, partition), 0) + 1
        body = dict(data) | ({} if input_ is None else {"input": dict(input_)})
        self._causes += 1
        topic, offset = cause or ("navigator.events.v1", 1_000 + self._causes)
        model = EVENTS[f"{type_}.v1"]
        record = {
            "specversion": "1.0",
            "id": f"{service}:{partition}:{seq}",
            "source": f"/services/{service}",
            "type": f"{type_}.v1",
            "time": self.time or f"{self.day}T10:00:00+08:00",
            "subject": model.model_validate(body).subject,
            "partitionkey": payer,
            "journalseq": seq,
            "causetopic": topic,
            "causepartition": partition,
            "causeoffset": offset,
            "causeindex": 0,
            "businessday": self.day,
            "data": body,
        }
        value = json.dumps(record, ensure_ascii=False).encode()
        await self.bus.publish([Outgoing(f"{service}.events.v1", partition, payer.encode(), value)])
        return str(record["id"])

    async def noted(
        self, service: str, type_: str, data: Mapping[str, Any], *, payer: str = PAYER
    ) -> str:
        """Append that a service accepted an input which no fact follows from."""
        return await self.fact(
            f"{service}.input-noted", {}, payer=payer, input_=input_of(type_, data)
        )

    async def follow(self, partitions: Collection[int] | None = None) -> None:
        """Let the read models catch up, those of all partitions or of some."""
        if not self._followers:
            self._followers = [
                Follower(cabinet, number, self.bus, self.store, Telemetry())
                for number in (range(self.partitions) if partitions is None else partitions)
            ]
            for follower in self._followers:
                await follower.take_over()
        for follower in self._followers:
            while await follower.step(wait_seconds=0.0):
                pass


def input_of(type_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the member `input` of a decision about an input (`navigator.group-published`)."""
    model = EVENTS[f"{type_}.v1"]
    return {
        "source": f"/{type_.partition('.')[0]}",
        "id": "id-of-the-sender",
        "type": model.type,
        "subject": model.model_validate(dict(data)).subject,
        "natural_key": "key",
        "data_sha256": "0" * 64,
        "data": dict(data),
    }
