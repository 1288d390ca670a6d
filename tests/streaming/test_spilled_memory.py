"""What was spilled into the file is found again, whatever was kept back, dropped or changed."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import spilled_memory, view
from streaming.spilled_memory import SpilledMemory
from streaming.store import Count, Range
from streaming.view import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """An aggregate."""

    kopecks: int


KEYS = st.sampled_from(["purse/p/1", "purse/p/2", "purse/p/а", "purse/p/я"])
NAMES = st.sampled_from(["p", "p/q"])
MEMBERS = st.sampled_from(["2020", "2020-01", "2021", "а", "я", "🙂"])
CHANGES = st.one_of(
    st.tuples(st.just("put"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("remove"), KEYS, st.none()),
    st.tuples(st.just("add"), NAMES, MEMBERS),
    st.tuples(st.just("discard"), NAMES, MEMBERS),
)
DECISIONS = st.lists(st.tuples(st.lists(CHANGES, max_size=4), st.booleans()), max_size=12)


class Model:
    """The same in plain Python."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.members: set[tuple[str, str]] = set()

    def copy(self) -> "Model":
        made = Model()
        made.values, made.members = dict(self.values), set(self.members)
        return made

    def change(self, kind: str, name: str, value: Any) -> None:
        match kind:
            case "put":
                self.values[name] = value
            case "remove":
                self.values.pop(name, None)
            case "add":
                self.members.add((name, value))
            case _:
                self.members.discard((name, value))

    def range(self, asked: Range) -> list[str]:
        start, end = asked.start.encode(), None if asked.end is None else asked.end.encode()
        found = sorted(
            (m for n, m in self.members if n == asked.index), key=lambda member: member.encode()
        )
        return [m for m in found if start <= m.encode() and (end is None or m.encode() < end)][
            : asked.members_max
        ]

    def dump(self) -> dict[str, bytes]:
        values = {f"key/{k}": b'{"kopecks":%d}' % v for k, v in self.values.items()}
        return values | {f"index/{name}/{member}": b"" for name, member in self.members}


def change(memory: SpilledMemory, kind: str, name: str, value: Any) -> None:
    match kind:
        case "put":
            memory.put(name, Purse(kopecks=value))
        case "remove":
            memory.put(name, None)
        case _:
            memory.index(name, value, present=kind == "add")


@pytest.mark.parametrize("changes_max", [1, 3, 10_000])
@given(
    decisions=DECISIONS,
    cached_max=st.sampled_from([1, 100]),
    keys=st.lists(KEYS, max_size=2),
    start=MEMBERS,
    end=st.none() | MEMBERS,
    members_max=st.integers(1, 7),
    small=st.sampled_from([(), ("p",), ("p", "p/q")]),
    whole_max=st.sampled_from([2, 1_000]),
)
def test_it_holds_what_was_kept(
    changes_max: int,
    decisions: list[tuple[list[tuple[str, str, Any]], bool]],
    cached_max: int,
    keys: list[str],
    start: str,
    end: str | None,
    members_max: int,
    small: tuple[str, ...],
    whole_max: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spilled_memory, "CHANGES_MAX", changes_max)
        patch.setattr(view, "WHOLE_MEMBERS_MAX", whole_max)
        memory, kept = SpilledMemory(Codec({"purse": Purse}), cached_max, small), Model()
        for changes, stands in decisions:
            now = kept.copy()
            for each in changes:
                change(memory, *each)
                now.change(*each)
            for key in keys:
                found = memory.get(key)
                assert (None if found is None else found.kopecks) == now.values.get(key)
            for name in ("p", "p/q"):
                asked = Range(name, start, end, members_max)
                assert memory.range(asked) == now.range(asked)
                counted = Count(name, start, end)
                assert memory.count(counted) == len(now.range(Range(name, start, end, 99)))
            if stands:
                memory.keep()
                kept = now
            else:
                memory.discard()

        dumped: dict[str, bytes] = {}
        for step in memory.dump():
            assert not dumped.keys() & step.keys()
            dumped |= step
        assert dumped == kept.dump()
        memory.close()


def test_the_cache_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilled_memory, "CHANGES_MAX", 50)
    memory = SpilledMemory(Codec({"purse": Purse}), cached_max=10)
    for number in range(1_000):
        memory.put(f"purse/p/{number}", Purse(kopecks=number))
        memory.keep()
        assert len(memory._cache) <= 10 + 50

    assert memory.get("purse/p/3") == Purse(kopecks=3)
    assert sum(len(step) for step in memory.dump()) == 1_000
