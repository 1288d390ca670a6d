"""Whether everything is settled: each input decided, outboxes empty, all readers at the end."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.registry import EVENTS
from streaming.event_loop import heed_cancellation
from streaming.installation import Installation
from streaming.listening import listening_of
from streaming.positions import unpack_positions
from streaming.store import Standing

POLL_SECONDS = 0.004
KAFKA_POLL_SECONDS = 0.02
SLOW_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Reader:
    """A service or the cabinet, as far as its progress can be seen from outside."""

    name: str
    version: int
    topics: tuple[str, ...]


def readers_of(installation: Installation, *, cabinet: bool) -> list[Reader]:
    """Return the services and, if asked for, what runs beside them: senders, cabinet."""
    from pfdo.system import SERVICES, services_of

    readers = [
        Reader(
            service.name,
            service.state_version,
            tuple(
                listened.topic
                for listened in listening_of(service.name, installation.sources, EVENTS)
            ),
        )
        for service in services_of(SERVICES)
    ]
    return [*readers, _sender_reader(), cabinet_reader()] if cabinet else readers


def _sender_reader() -> Reader:
    from services.notifications.senders import sender

    return Reader(sender.NAME, sender.STATE_VERSION, tuple(sender.topics()))


def cabinet_reader() -> Reader:
    """Return the cabinet's read models as a reader."""
    from services.cabinet.projections import cabinet

    return Reader(cabinet.name, cabinet.state_version, tuple(cabinet.topics))


@dataclass(frozen=True, slots=True)
class Left:
    """Something a reader has still to do in a partition: `what`, and how much of it."""

    reader: str
    partition: int
    what: str
    number: int


async def lag(installation: Installation, readers: Iterable[Reader]) -> Mapping[str, int]:
    """Return by reader how much it has still to do: records unread, unpublished, or due work."""
    readers = list(readers)
    behind = dict.fromkeys((reader.name for reader in readers), 0)
    for left in await left_to_do(installation, readers):
        behind[left.reader] += left.number
    return behind


async def left_to_do(installation: Installation, readers: Iterable[Reader]) -> list[Left]:
    """Return what readers have still to do.

    Stores are looked at before the ends: what was at its end and owed nothing then cannot have
    got behind by what it had not read.
    """
    readers = list(readers)
    seen = await asyncio.gather(*(_standings(installation, reader) for reader in readers))
    topics = sorted({topic for reader in readers for topic in reader.topics})
    ends = await installation.bus.ends(topics)
    left = []
    for reader, standings in zip(readers, seen, strict=True):
        for partition, standing in enumerate(standings):
            positions = unpack_positions(standing.fields.get("positions"))
            found = {
                "rounds to publish": standing.outbox,
                "work that is due, or rest after it": int(_may_have_work(standing)),
            }
            for topic in reader.topics:
                position = positions[topic].next if topic in positions else 0
                end = ends[(topic, partition)]
                found[f"{topic} read up to {position} of {end}"] = max(0, end - position)
            left += [Left(reader.name, partition, w, n) for w, n in found.items() if n]
    return left


def _may_have_work(standing: Standing) -> bool:
    # Where nothing was ever kept there is nothing but what is unread.
    return bool(standing.fields) and standing.fields.get("idle") != b"1"


async def _standings(installation: Installation, reader: Reader) -> list[Standing]:
    store = await installation.store(reader.name)
    partitions = range(installation.bus.partitions)
    return list(await asyncio.gather(*(store.standing(p, reader.version) for p in partitions)))


async def settled(
    installation: Installation, readers: Iterable[Reader], timeout_seconds: float
) -> tuple[bool, Mapping[str, int]]:
    """Wait until everything is settled; return whether it is, and what is left to do.

    Looking at all readers takes a question per partition. While one is behind, only that one is
    asked: the last, since it reads what the others publish. Nothing is settled before all were
    looked at once more.
    """
    everybody = list(readers)
    asked = everybody
    begun = time.monotonic()
    poll_seconds = KAFKA_POLL_SECONDS if installation.settings.uses_kafka else POLL_SECONDS
    while True:
        heed_cancellation()
        left = await lag(installation, asked)
        behind = [reader for reader in asked if left[reader.name]]
        if not behind and asked is everybody:
            return True, left
        waited = time.monotonic() - begun
        if waited > timeout_seconds:
            left = await lag(installation, everybody)
            return not any(left.values()), left
        asked = behind[-1:] or everybody
        if behind:
            await asyncio.sleep(poll_seconds if waited < 1 else SLOW_POLL_SECONDS)
