"""Dead letters of an installation, as the commands need them; they stand in `streaming.letters`."""

from collections.abc import Sequence

from contracts.registry import EVENTS
from pfdo.system import services_of
from streaming import letters as kept
from streaming.installation import Installation
from streaming.letters import (
    DISMISSED,
    OPEN,
    REDRIVEN,
    STATUSES,
    Letter,
    as_record,
    can_be_redriven,
    in_order,
)
from streaming.listening import listening_of
from streaming.rehearsal import Rehearsed, rehearse

__all__ = [
    "DISMISSED",
    "OPEN",
    "REDRIVEN",
    "STATUSES",
    "Letter",
    "can_be_redriven",
    "dismiss",
    "in_order",
    "letters",
    "redrive",
    "would_become",
]


async def letters(installation: Installation) -> list[Letter]:
    """Return all dead letters, oldest first, with what was done about them."""
    return await kept.letters(installation.bus, installation.sources)


async def redrive(installation: Installation, chosen: Sequence[Letter]) -> None:
    """Send the bytes of letters again, to where they came in, and mark them."""
    await kept.redrive(installation.bus, chosen)


async def dismiss(installation: Installation, letter: Letter, why: str) -> None:
    """Mark a letter as nothing to be done about, and why."""
    await kept.dismiss(installation.bus, letter, why)


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
