"""What a partition would decide about records, without deciding anything.

The decisions are made on the state as it stands in the store and on top of each other, exactly as
the owner would make them; nothing is committed or published. Meanwhile the owner may go on: what
it decides after this looked is not seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import orjson

from streaming.bus import Record
from streaming.journal import JournalEnd
from streaming.loading import load
from streaming.partition import Partition
from streaming.positions import Position, unpack_positions
from streaming.reading import Listening, Read
from streaming.service import Service
from streaming.store import Store
from streaming.view import Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What would become of a record: decision, reason, and the types of what would be published."""

    decision: str
    reason: str
    published: tuple[str, ...]


NOTHING = Rehearsed(decision="nothing", reason="", published=())
"""The record does not concern the service."""


async def rehearse(
    service: Service,
    number: int,
    partitions: int,
    store: Store,
    listening: Iterable[Listening],
    records: Sequence[Record],
) -> list[Rehearsed]:
    """Return what a partition would decide about records, appended to their topics in this order.

    Raises StoreUnavailableError, and whatever a defective decision raises.
    """
    partition = Partition(service, number, partitions, listening)
    standing = await store.standing(number, service.state_version)
    stored = standing.fields.get("journal")
    end = JournalEnd() if stored is None else JournalEnd(*orjson.loads(stored))
    partition.resume(end, unpack_positions(standing.fields.get("positions")))
    told = []
    for record in records:
        at = partition.positions.get(record.topic, Position(0)).next
        read = partition.read(replace(record, offset=at, partition=number))
        decided, sent = len(partition.decisions), len(partition.outgoing)
        await _decide(partition, read, service, store)
        if len(partition.decisions) == decided:
            told.append(NOTHING)
            continue
        _, decision, reason = partition.decisions[-1]
        types = tuple(
            str(orjson.loads(outgoing.value or b"{}").get("type", outgoing.topic))
            for outgoing in partition.outgoing[sent:]
            if outgoing.topic == f"{service.name}.events.v1"
        )
        told.append(
            Rehearsed(decision=decision.removeprefix("input-"), reason=reason, published=types)
        )
    return told


async def _decide(partition: Partition, read: Read, service: Service, store: Store) -> None:
    while True:
        try:
            partition.decide(read)
        except Missing as missing:
            await load(
                partition.memory, store, partition.number, service.state_version, missing=[missing]
            )
        else:
            return
