"""Bringing into memory what a pure decision asked for."""

from collections.abc import Collection

from streaming.store import Store
from streaming.view import Memory, Missing


async def load_missing(
    memory: Memory, store: Store, partition: int, version: int, missing: Collection[Missing]
) -> None:
    """Load what is missing, in one round trip. Raises StoreUnavailableError."""
    keys = list(dict.fromkeys(key for one in missing for key in one.keys))
    ranges = list(dict.fromkeys(range_ for one in missing for range_ in one.ranges))
    counts = list(dict.fromkeys(count for one in missing for count in one.counts))
    loaded = await store.load(partition, version, keys, ranges, counts)
    memory.remember(keys, ranges, counts, loaded)
