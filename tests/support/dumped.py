"""Everything a store holds of a partition, at once: what tests compare is small."""

from streaming.store import Store


async def dumped(store: Store, partition: int, version: int) -> dict[str, bytes]:
    """Return all steps of a dump together."""
    whole: dict[str, bytes] = {}
    async for step in store.dump(partition, version):
        whole |= step
    return whole
