"""What the fuzzer checks holds for what it starts from, and is seen to fail."""

import pytest

from streaming.decoding import Defect
from tests.hostile import fuzzing


def test_the_promise_holds_for_what_it_starts_from() -> None:
    values = fuzzing.beginning()

    assert len(values) > 150
    for value in values:
        fuzzing.one_input(value)


@pytest.mark.parametrize("reason", ["no_such_reason", "schema"])
def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    def wrong(*_: object) -> None:
        raise Defect(reason, "a line\nbreak")  # type: ignore[arg-type]

    monkeypatch.setattr("streaming.decoding.decode", wrong)

    with pytest.raises(fuzzing.BrokenPromise):
        fuzzing.one_input(b"{}")
