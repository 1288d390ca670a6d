"""Records that an operator sets aside because a partition halts at them.

`docs/promises.md`, section 3: an unknown exception is a defect, so the partition halts and says at
which record. Set aside, that record is decided as a dead letter, `operator_quarantine`, with its
bytes kept; the decision stands in the journal like any other. Until it is made, the wish stands in
the store, in an index that the decision empties: a fold of the journal knows nothing of it.
"""

from collections.abc import Mapping, Sequence

from streaming.errors import BehindError, FencedError
from streaming.store import Behind, Commit, Committed, Fenced, Range, Store

QUARANTINE = "_quarantine"
SET_ASIDE_MAX = 1_000
"""So many records of a partition may be set aside at a time."""


async def set_aside(
    store: Store, version: int, partition: int, topic: str, offset: int, why: str
) -> None:
    """Let the next owner of a partition set a record aside, and fence the present one.

    `why` goes on the record. Raises FencedError or BehindError if another owner came in between,
    StoreUnavailableError.
    """
    await _change(store, version, partition, adds=[(QUARANTINE, wish_of(topic, offset, why))])


async def take_back(store: Store, version: int, partition: int, topic: str, offset: int) -> bool:
    """Let a record not be set aside after all; return whether it was to be. Raises as above."""
    begin = wish_of(topic, offset, "")
    found = [each for each in await _members(store, version, partition) if each.startswith(begin)]
    if found:
        await _change(store, version, partition, removes=[(QUARANTINE, each) for each in found])
    return bool(found)


async def _change(
    store: Store,
    version: int,
    partition: int,
    *,
    adds: Sequence[tuple[str, str]] = (),
    removes: Sequence[tuple[str, str]] = (),
) -> None:
    standing = await store.take_over(partition, version)
    wish = Commit(expected_seq=standing.seq, index_adds=adds, index_removes=removes)
    match await store.commit(partition, version, standing.epoch, wish):
        case Behind():
            raise BehindError(f"partition {partition}: the store moved in between")
        case Fenced():
            raise FencedError(f"partition {partition}: an owner came in between")
        case Committed():
            return


async def wishes(store: Store, version: int, partition: int) -> Mapping[tuple[str, int], str]:
    """Return which records are to be set aside, by (topic, offset), and why."""
    return dict(_split(member) for member in await _members(store, version, partition))


async def _members(store: Store, version: int, partition: int) -> Sequence[str]:
    asked = Range(QUARANTINE, members_max=SET_ASIDE_MAX)
    loaded = await store.load(partition, version, ranges=[asked])
    return loaded.ranges[0]


def wish_of(topic: str, offset: int, why: str) -> str:
    """Return the member of the index that stands for a wish."""
    return f"{topic}|{offset}|{why}"


def _split(member: str) -> tuple[tuple[str, int], str]:
    topic, offset, why = member.split("|", 2)
    return (topic, int(offset)), why
