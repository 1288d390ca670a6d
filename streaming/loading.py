"""Bringing into memory what a pure decision asked for."""

from streaming.store import Store
from streaming.view import Memory, Missing


async def load_missing(
    memory: Memory, store: Store, partition: int, version: int, missing: Missing
) -> None:
    """Load what is missing, in one round trip. Raises StoreUnavailableError."""
    loaded = await store.load(partition, version, missing.keys, missing.ranges, missing.counts)
    memory.remember(missing, loaded)
