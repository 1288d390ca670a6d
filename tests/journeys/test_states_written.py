"""What lies in a store is read alike by another library, and written again to the very bytes."""

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streaming.applying import codec_of
from streaming.parking import Parked
from streaming.view import Codec
from tests.support.outcome import segments
from tests.support.rough_play import RoughPlay
from tests.support.second_opinion import SERVICES
from tests.support.world import World

PARKED = b"""{"topic":"t","offset":1,"seq":1,"first_day":"2020-09-01","waits_for":"w","until":null,\
"foreign":false,"payer":"p","source":"/s","id":"1","type":"x","subject":"s","natural_key":"k",\
"data_sha256":"0","time":"2020-09-01T00:00:00Z","traceparent":null,"data":{}}"""
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("seed", [1, 2])
async def test_another_library_reads_the_same(seed: int) -> None:
    world = World([make() for make in SERVICES])
    for segment in segments(RoughPlay(seed).lines(300)):
        await world.publish(*segment)
        await world.settle()

    seen: set[str] = set()
    for name, service in world.services.items():
        codec = codec_of(service)
        for state in (await world.state(name)).values():
            for entry, data in state.items():
                space, _, key = entry.partition("/")
                if space != "key":
                    continue
                value = codec.decode(key, data)
                told = orjson.dumps(msgspec.to_builtins(value))
                assert orjson.loads(told) == orjson.loads(data), key
                assert codec.encode(key, value) == data, key
                seen.add(f"{name} {key.partition('/')[0]}")
    assert len(seen) > 25, sorted(seen)


@given(data=st.dictionaries(st.text(), JSON))
def test_whatever_a_parked_input_holds_is_kept(data: dict[str, Any]) -> None:
    codec = Codec({"_parked": Parked})
    parked = replace(codec.decode("_parked/t/1", PARKED), data=data)

    assert codec.decode("_parked/t/1", codec.encode("_parked/t/1", parked)) == parked


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        PARKED[:-1],
        PARKED.replace(b'"offset":1', b'"offset":"one"'),
        PARKED.replace(b'"offset":1,', b""),
        PARKED.replace(b'"2020-09-01"', b'"2020-09-31"'),
        PARKED.replace(b'"/s"', b'"\xff"'),
    ],
)
def test_damaged_bytes_are_no_aggregate(damaged: bytes) -> None:
    with pytest.raises(ValueError):
        Codec({"_parked": Parked}).decode("_parked/t/1", damaged)
