"""Two states are held against each other key by key, in both directions."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pfdo.comparing import Comparison, Digests, Side

STATES = st.dictionaries(st.sampled_from(["key/a", "key/б", "index/w/1", "index/v/"]), st.binary())


def compared(folded: Mapping[str, bytes], live: Mapping[str, bytes]) -> list[str]:
    with Comparison(["index/w/"]) as states:
        states.fill(Side.FOLDED, folded)
        states.fill(Side.LIVE, live)
        return states.differences(9)


@given(folded=STATES, live=STATES)
def test_every_difference_is_named(folded: dict[str, bytes], live: dict[str, bytes]) -> None:
    keys = folded.keys() | live.keys()
    differing = {key for key in keys if folded.get(key) != live.get(key)} - {"index/w/1"}

    assert set(compared(folded, live)) == differing


@pytest.mark.parametrize(("folded", "live"), [({"key/a": b""}, {}), ({}, {"key/a": b""})])
def test_an_empty_value_is_not_a_missing_one(
    folded: dict[str, bytes], live: dict[str, bytes]
) -> None:
    assert compared(folded, live) == ["key/a"]


def test_steps_add_up_and_a_key_told_twice_counts_as_told_last() -> None:
    with Comparison() as states:
        states.fill(Side.LIVE, {"key/gone": b"1"})
        states.empty(Side.LIVE)
        states.fill(Side.LIVE, {"key/a": b"1", "key/b": b"1"})
        states.fill(Side.LIVE, {"key/b": b"2", "key/c": b"3"})
        states.fill(Side.FOLDED, {"key/a": b"1", "key/b": b"2"})
        assert states.differences(9) == ["key/c"]


def test_only_the_first_differences_are_named() -> None:
    with Comparison() as states:
        states.fill(Side.LIVE, {f"key/{number}": b"" for number in range(20)})
        assert len(states.differences(5)) == 5


def digests(folded: Mapping[str, bytes], live: Mapping[str, bytes]) -> Digests:
    states = Digests(["index/w/"])
    for side, whole in ((Side.FOLDED, folded), (Side.LIVE, live)):
        states.fill(side, {"key/of-an-earlier-look": b""})
        states.empty(side)
        for one in whole.items():
            states.fill(side, dict([one]))
    return states


@given(folded=STATES, live=STATES)
def test_digests_differ_where_keys_do(folded: dict[str, bytes], live: dict[str, bytes]) -> None:
    assert bool(digests(folded, live).differences(9)) == bool(compared(folded, live))


@given(one=st.binary(), other=st.binary())
def test_values_that_changed_places_are_a_difference(one: bytes, other: bytes) -> None:
    assume(one != other)
    keys = [f"key/{number}" for number in range(20)]
    for key in keys:
        straight = digests({"key": one, key: other}, {"key": other, key: one})
        assert straight.differences(9), key


@given(state=STATES, order=st.randoms(use_true_random=False))
def test_digests_do_not_ask_for_an_order(state: dict[str, bytes], order: random.Random) -> None:
    shuffled = list(state.items())
    order.shuffle(shuffled)

    assert digests(state, dict(shuffled)).differences(9) == []


def test_an_entry_that_came_twice_is_a_difference_to_be_looked_at() -> None:
    states = digests({"key/a": b"1"}, {"key/a": b"1"})
    states.fill(Side.LIVE, {"key/a": b"1"})

    assert states.differences(9)
