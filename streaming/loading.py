"""Bringing into memory what a pure decision asked for."""

from collections.abc import Collection, Iterable

from streaming.errors import BehindError, FencedError
from streaming.store import Loaded, Outbox, Store
from streaming.view import Memory, Missing


async def load(
    memory: Memory,
    store: Store,
    partition: int,
    version: int,
    *,
    keys: Iterable[str] = (),
    missing: Collection[Missing] = (),
) -> Loaded:
    """Load keys and what is missing, in one round trip, and return the answer.

    Raises StoreUnavailableError.
    """
    keys = list(dict.fromkeys((*keys, *(key for one in missing for key in one.keys))))
    ranges = list(dict.fromkeys(range_ for one in missing for range_ in one.ranges))
    counts = list(dict.fromkeys(count for one in missing for count in one.counts))
    loaded = await store.load(partition, version, keys, ranges, counts)
    memory.remember(keys, ranges, counts, loaded)
    return loaded


def check_standing(loaded: Loaded | Outbox, epoch: int, seq: int) -> None:
    """Check that an answer comes from where its owner stands: no other is its state.

    A store that went back, or another one that was asked for a moment, would let a decision be made
    on what is not so, and come back in time for its commit. Raises BehindError, FencedError.
    """
    if loaded.epoch > epoch:
        raise FencedError(f"epoch {loaded.epoch} owns it, this was {epoch}")
    if (loaded.epoch, loaded.seq) != (epoch, seq):
        raise BehindError(f"the store answered from {loaded.seq}, this is {seq}")
