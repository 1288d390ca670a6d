"""What an owner has in memory is what its store holds, with its running changes on top."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import view
from streaming.store import Count, Loaded, Range
from streaming.view import Codec, Memory, Missing
from tests.streaming.test_spilled_memory import DECISIONS, KEYS, MEMBERS, Model, Purse

Answer = TypeVar("Answer")
THEN = st.sampled_from(["keep", "discard", "commit", "forget"])


class Owner:
    """A memory and the store it was loaded from; how often it had to ask."""

    def __init__(self, small: Sequence[str], cached_max: int = 100) -> None:
        self.memory = Memory(Codec({"purse": Purse}), cached_max, small)
        self.stored, self.kept, self.now = Model(), Model(), Model()
        self.questions = 0

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return an answer of the memory, loading from the store whatever it lacks."""
        while True:
            try:
                return question()
            except Missing as missing:
                self.questions += 1
                values = self.stored.dump()
                self.memory.remember(
                    missing.keys,
                    missing.ranges,
                    missing.counts,
                    Loaded(
                        values=[values.get(f"key/{key}") for key in missing.keys],
                        ranges=[self.stored.range(asked) for asked in missing.ranges],
                        counts=[
                            len(self.stored.range(Range(each.index, each.start, each.end, 99)))
                            for each in missing.counts
                        ],
                        epoch=1,
                        seq=1,
                    ),
                )

    def change(self, kind: str, name: str, value: Any) -> None:
        """Change one thing, as part of the current decision."""
        self.now.change(kind, name, value)
        match kind:
            case "put":
                self.memory.put(name, Purse(kopecks=value))
            case "remove":
                self.memory.put(name, None)
            case _:
                self.memory.index(name, value, present=kind == "add")

    def then(self, what: str) -> None:
        """End a decision; perhaps commit the batch, or lose everything that is not committed."""
        if what in ("keep", "commit"):
            self.memory.keep()
            self.kept = self.now.copy()
        if what == "discard":
            self.memory.discard()
        if what == "commit":
            self.memory.committed()
            self.stored = self.kept.copy()
        if what == "forget":
            self.memory.forget()
            self.kept = self.stored.copy()
        self.now = self.kept.copy()


@given(
    steps=st.lists(st.tuples(DECISIONS, THEN), max_size=8),
    small=st.sampled_from([(), ("p",), ("p", "p/q")]),
    whole_max=st.sampled_from([2, 1_000]),
    cached_max=st.sampled_from([1, 100]),
    keys=st.lists(KEYS, max_size=2),
    start=MEMBERS,
    end=st.none() | MEMBERS,
    members_max=st.integers(1, 7),
)
def test_it_answers_as_the_store_would_with_the_changes_in_it(
    steps: list[tuple[list[tuple[list[tuple[str, str, Any]], bool]], str]],
    small: tuple[str, ...],
    whole_max: int,
    cached_max: int,
    keys: list[str],
    start: str,
    end: str | None,
    members_max: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "WHOLE_MEMBERS_MAX", whole_max)
        owner = Owner(small, cached_max)
        for decisions, then in steps:
            for each in (change for changes, _ in decisions for change in changes):
                owner.change(*each)
            for key in keys:
                found = owner.ask(lambda key=key: owner.memory.get(key))  # type: ignore[misc]
                assert (None if found is None else found.kopecks) == owner.now.values.get(key)
            for name in ("p", "p/q"):
                asked = Range(name, start, end, members_max)
                whole = Range(name, start, end, 99)
                told = owner.ask(lambda asked=asked: owner.memory.range(asked))  # type: ignore[misc]
                counted = owner.ask(
                    lambda name=name: owner.memory.count(Count(name, start, end))  # type: ignore[misc]
                )
                assert told == owner.now.range(asked)
                assert counted == len(owner.now.range(whole))
            owner.then(then)


def members_of(owner: Owner, start: str) -> list[str]:
    """Return what stands in a small index under a beginning, as `wake` asks."""
    return owner.ask(lambda: owner.memory.range(Range("p", start, f"{start}~", 500)))


def test_a_small_index_is_asked_for_once_whatever_is_done_to_it() -> None:
    owner = Owner(small=["p"])

    for number in range(20):
        assert members_of(owner, f"{number}|") == []
        owner.change("add", "p", f"{number}|a")
        owner.then("commit" if number % 3 else "keep")
        assert members_of(owner, f"{number}|") == [f"{number}|a"]
        owner.change("discard", "p", f"{number}|a")
        owner.then("commit")

    assert owner.questions == 1
    owner.then("forget")
    assert members_of(owner, "1|") == []
    assert owner.questions == 2


@pytest.mark.parametrize(("members", "questions"), [(4, 1), (5, 21)])
def test_an_index_that_is_not_small_is_asked_for_in_parts(
    monkeypatch: pytest.MonkeyPatch, members: int, questions: int
) -> None:
    monkeypatch.setattr(view, "WHOLE_MEMBERS_MAX", 5)
    owner = Owner(small=["p"])
    for number in range(members):
        owner.stored.change("add", "p", f"{number}|a")

    for number in range(20):
        assert members_of(owner, f"{number}|") == ([f"{number}|a"] if number < members else [])

    assert owner.questions == questions


def test_an_index_that_grows_is_kept_as_a_whole_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "WHOLE_MEMBERS_MAX", 5)
    owner = Owner(small=["p"])
    for number in range(5):
        assert members_of(owner, f"{number}|") == []
        owner.change("add", "p", f"{number}|a")
        owner.then("commit")
    before = owner.questions

    assert [members_of(owner, f"{number}|") for number in (0, 4)] == [["0|a"], ["4|a"]]
    assert (before, owner.questions) == (1, 3)


def test_a_number_with_many_changes_is_asked_for_in_a_few_questions() -> None:
    owner = Owner(small=())
    for number in range(450):
        owner.change("add", "idx", f"m{number:03d}")

    counted = owner.ask(lambda: owner.memory.count(Count("idx", "", None)))

    assert counted == 450
    assert owner.questions == 1 + 3
