"""What services would decide about dead letters now."""

from collections.abc import Sequence

from contracts.registry import EVENTS
from pfdo.system import services_of
from streaming.installation import Installation
from streaming.letters import Letter, as_record, in_order
from streaming.listening import listening_of
from streaming.rehearsal import Rehearsed, rehearse


async def would_become(
    installation: Installation, chosen: Sequence[Letter]
) -> list[tuple[Letter, Rehearsed]]:
    """Return what the service that could not read a letter would decide now, in the order sent."""
    ordered = in_order(chosen)
    told: dict[str, Rehearsed] = {}
    for name, partition in dict.fromkeys((one.service, one.at[1]) for one in ordered):
        these = [one for one in ordered if (one.service, one.at[1]) == (name, partition)]
        (service,) = services_of([name])
        rehearsed = await rehearse(
            service,
            partition,
            installation.bus.partitions,
            await installation.store(name),
            listening_of(name, installation.sources, EVENTS),
            [as_record(one) for one in these],
        )
        told |= {one.id: what for one, what in zip(these, rehearsed, strict=True)}
    return [(letter, told[letter.id]) for letter in ordered]
