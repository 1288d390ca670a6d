"""Which partition a key belongs to: the same answer as Kafka's default partitioner in Java.

`ARCHITECTURE.md`: the payer is the key of every record, and `partition = murmur2(key) mod N`.
"""

from functools import lru_cache

KEYS_CACHED_MAX = 65_536
"""Payers are municipalities: some thousands. The limit is there for keys that strangers invent."""

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF


@lru_cache(maxsize=KEYS_CACHED_MAX)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among `partitions`, as Java's `DefaultPartitioner` does.

    Raises ValueError if there is no partition to choose from.
    """
    if partitions < 1:
        raise ValueError(f"a topic has at least one partition, not {partitions}")
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `data`, unsigned, with the seed Kafka uses.

    Source: `org.apache.kafka.common.utils.Utils.murmur2`.
    """
    length = len(data)
    whole = length & ~3
    digest = _SEED ^ length
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        digest = digest * _MULTIPLIER & _MASK ^ word
    if whole != length:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    digest = (digest ^ digest >> 13) * _MULTIPLIER & _MASK
    return digest ^ digest >> 15
