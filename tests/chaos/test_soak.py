"""What a soak says about memory, and what it plays."""

import random
from collections import Counter

import pytest

from contracts.registry import EVENTS
from streaming.bus import Record
from streaming.decoding import Defect, decode
from tests.chaos.soak import MIB, TOWNS, Sample, Soak, flood, held, towns_beginning, towns_marks

SECONDS = 1_200.0


def samples(*of_quarters: float) -> list[Sample]:
    """Return samples of one process that holds so many MiB in each quarter."""
    return [
        (at, {"billing-1": int(of_quarters[int(at / SECONDS * 4)] * MIB)})
        for at in map(float, range(0, int(SECONDS), 5))
    ]


@pytest.mark.parametrize(
    ("quarters", "grown"),
    [
        pytest.param((80, 90, 90, 90), False, id="only the first quarter is lower"),
        pytest.param((80, 100, 120, 109.9), False, id="within five percent and five MiB"),
        pytest.param((80, 100, 100, 110.1), True, id="beyond"),
        pytest.param((80, 100, 90, 80), False, id="less"),
    ],
)
def test_a_process_has_grown_if_the_last_quarter_is_above_the_second(
    quarters: tuple[float, ...], grown: bool
) -> None:
    found = held(samples(*quarters), SECONDS)["billing-1"]

    assert found.has_grown is grown
    soak = _soak(samples(*quarters))
    soak.judge()
    assert soak.is_clean is not grown


def test_a_slow_leak_is_seen() -> None:
    leak = [(at, {"billing-1": int((100 + at / 60) * MIB)}) for at in map(float, range(0, 1200, 5))]

    found = held(leak, SECONDS)["billing-1"]

    assert found.bytes_an_hour / MIB == pytest.approx(60, abs=0.1)
    assert found.second < found.third < found.last


@pytest.mark.parametrize(
    "change",
    [
        {"backlog_at_the_end": {"billing": 1}},
        {"flooded": 0},
        {"slowed_bytes": 0},
        {"verified": {"violations": [{"invariant": "I02"}]}},
        {"faults": ["billing-1 died"]},
    ],
)
def test_whatever_else_does_not_hold_makes_it_fail(change: dict[str, object]) -> None:
    soak = _soak(samples(100, 100, 100, 100))
    soak.judge()
    assert soak.is_clean
    for name, value in change.items():
        setattr(soak, name, value)

    soak.judge()

    assert not soak.is_clean


def _soak(seen: list[Sample]) -> Soak:
    return Soak(
        command="",
        commit="",
        seconds=SECONDS,
        flooded=1,
        slowed_bytes=1,
        samples=seen,
        verified={"violations": []},
    )


def test_each_town_has_people_of_its_own() -> None:
    marks = [mark for mark, _ in zip(towns_marks(), range(2_000), strict=False)]
    [children] = [s for s in towns_beginning() if s[0]["type"] == "navigator.child-registered.v1"]

    assert len({mark["data"]["enrollment_id"] for mark in marks}) == len(children)
    assert Counter(mark["partitionkey"] for mark in marks).keys() == set(TOWNS)
    homes = {child["data"]["child_id"]: child["partitionkey"] for child in children}
    assert len(homes) == len(children)


def test_a_flood_holds_copies_unknown_references_and_what_no_schema_knows() -> None:
    told = [each for each, _ in zip(flood(random.Random(1)), range(300), strict=False)]
    seen: Counter[str] = Counter()
    for town, value in told:
        try:
            decoded = decode(Record("", 0, 0, 0, town.encode(), value), EVENTS)
        except Defect as defect:
            seen[defect.reason] += 1
        else:
            seen[decoded.envelope.type] += 1

    assert set(seen) == {
        "navigator.child-registered.v1",
        "navigator.application-submitted.v1",
        "schema",
    }
    assert min(seen.values()) > 50
