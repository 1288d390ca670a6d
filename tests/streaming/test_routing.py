"""A key goes to the partition where Java's clients put it."""

import pytest
from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from streaming.routing import murmur2, partition_of

# The vectors of Kafka's own `UtilsTest.testMurmur2`, as signed 32-bit numbers.
JAVA = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "expected"), JAVA)
def test_the_hash_is_that_of_java(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "expected"), JAVA)
def test_the_sign_is_dropped_before_the_remainder(key: bytes, expected: int) -> None:
    assert partition_of(key, 12) == (expected & 0x7FFFFFFF) % 12


@given(st.binary(max_size=40), st.integers(min_value=1, max_value=500))
def test_the_kafka_client_agrees(key: bytes, partitions: int) -> None:
    every = list(range(partitions))

    assert partition_of(key, partitions) == DefaultPartitioner()(key, every, every)


def test_a_topic_without_partitions_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one partition"):
        partition_of(b"45301000", 0)
