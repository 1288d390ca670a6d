"""What services would decide about dead letters now."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from contracts.registry import EVENTS
from pfdo.system import services_of
from streaming.bus import Record
from streaming.installation import Installation
from streaming.letters import Letter, as_record, in_order, with_records
from streaming.listening import listening_of
from streaming.rehearsal import Rehearsed, Stage, rehearse


async def would_become(
    installation: Installation, chosen: Sequence[Letter]
) -> list[tuple[Letter, Rehearsed]]:
    """Return what the service that could not read a letter would decide now, in the order sent.

    Raises NotRehearsedError if that cannot be told.
    """
    ordered = in_order(chosen)
    told: dict[str, Rehearsed] = {}
    for name, partition in dict.fromkeys((one.service, one.at[1]) for one in ordered):
        these = [one for one in ordered if (one.service, one.at[1]) == (name, partition)]

        async def records(these: Sequence[Letter] = these) -> AsyncIterator[Record]:
            async with aclosing(with_records(installation.bus, these)) as found:
                async for letter, record in found:
                    yield as_record(letter, record)

        rehearsed = await rehearse(await stage_of(installation, name, partition), records)
        told |= {one.id: what for one, what in zip(these, rehearsed, strict=True)}
    return [(letter, told[letter.id]) for letter in ordered]


async def stage_of(installation: Installation, name: str, partition: int) -> Stage:
    """Return a partition of a service to rehearse on."""
    (service,) = services_of([name])
    return Stage(
        service,
        partition,
        installation.bus.partitions,
        await installation.store(name),
        listening_of(name, installation.sources, EVENTS),
    )
