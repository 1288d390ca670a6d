"""States of other versions, which a release left beside the present one: `pfdo state drop`.

Each version of a service folds a state of its own out of the journal, so that the one before finds
its own as it left it. Nobody removes that again, and in its Redis it takes as much as the present
one.
"""

from collections.abc import Collection, Mapping

from pfdo.settling import Reader, readers_of
from streaming.installation import Installation
from streaming.positions import unpack_positions
from streaming.store import Committed, Standing


class NotDroppedError(Exception):
    """Why a state is still needed, or might be."""


def reader_of(installation: Installation, name: str) -> Reader:
    """Return a service, the senders or the cabinet by name. Raises NotDroppedError."""
    readers = {reader.name: reader for reader in readers_of(installation, cabinet=True)}
    if name not in readers:
        raise NotDroppedError(f"{name} stores nothing. One of: {', '.join(sorted(readers))}.")
    return readers[name]


async def drop(
    installation: Installation, reader: Reader, versions: Collection[int]
) -> Mapping[int, int]:
    """Remove the states of these versions; return of how many partitions there was one.

    Raises NotDroppedError, before anything is removed, for the present version, and where the
    present state has not come as far as the one that would go: then somebody still lives by it.
    """
    if reader.version in versions:
        raise NotDroppedError(
            f"{reader.version} is the version of {reader.name} that runs. Its state is emptied by"
            f" pfdo rebuild {reader.name}."
        )
    store = await installation.store(reader.name)
    found: list[tuple[int, int]] = []
    for partition in range(installation.bus.partitions):
        present = await store.standing(partition, reader.version)
        for version in versions:
            other = await store.standing(partition, version)
            if not _is_kept(other):
                continue
            if not _has_come_as_far(present, other):
                raise NotDroppedError(
                    f"{reader.name}/{partition}: version {version} has read more than the present"
                    f" one, {reader.version}. Does a process of it still run? Else wait until"
                    " pfdo settle finds nothing left, and drop again."
                )
            found.append((partition, version))
    for partition, version in found:
        # Who owns the partition keeps it: the epoch is shared by all versions.
        present = await store.standing(partition, reader.version)
        answer = await store.clear(partition, version, present.epoch)
        if not isinstance(answer, Committed):
            raise NotDroppedError(
                f"{reader.name}/{partition} was taken over at this moment: drop again."
            )
    return {version: sum(one == version for _, one in found) for version in versions}


def _is_kept(standing: Standing) -> bool:
    return bool(standing.seq or standing.fields or standing.outbox or not standing.is_whole)


def _has_come_as_far(present: Standing, other: Standing) -> bool:
    at = unpack_positions(present.fields.get("positions"))
    return present.is_whole and all(
        topic in at and at[topic].next >= position.next
        for topic, position in unpack_positions(other.fields.get("positions")).items()
    )
