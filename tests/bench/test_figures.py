"""What is made of measured values: percentiles, medians with spread, ratios, guarded ratios."""

import json
from pathlib import Path

import pytest

from bench import figures, guard
from bench.figures import ALONE, ALONE_8, LIMIT, PEER, PEER_8, USUAL, Ratios, Spread


def test_percentiles_are_in_milliseconds_and_between_neighbours() -> None:
    latency = figures.percentiles(50, [number / 1000 for number in range(1001)])

    assert (latency.rate, latency.count) == (50, 1001)
    assert (latency.p50, latency.p99, latency.p999) == pytest.approx((500, 990, 999))


@pytest.mark.parametrize(
    ("values", "spread", "shown"),
    [
        pytest.param([7.0], Spread(7, 7, 7), "7", id="one run has no spread"),
        pytest.param([9000, 1, 2], Spread(2, 1, 9000), "2 (1–9,000)", id="the middle one of three"),
        pytest.param([1, 4], Spread(2.5, 1, 4), "2 (1–4)", id="between the two of an even number"),
    ],
)
def test_a_median_is_told_with_its_spread(values: list[float], spread: Spread, shown: str) -> None:
    made = figures.spread(values)

    assert made == spread
    assert made.shown() == shown


def test_a_way_is_held_against_the_peer_of_as_many_partitions() -> None:
    rates = {LIMIT: 1000.0, USUAL: 10.0, PEER: 500.0, PEER_8: 800.0, ALONE: 100.0, ALONE_8: 200.0}

    made = figures.ratios(rates)

    assert made[ALONE] == Ratios(0.1, 10.0, 0.2)
    assert made[ALONE_8] == Ratios(0.2, 20.0, 0.25)
    assert made[LIMIT] == Ratios(1.0, 100.0, None)


def test_without_a_peer_there_is_no_ratio_to_it() -> None:
    made = figures.ratios({LIMIT: 1000.0, USUAL: 10.0, ALONE: 100.0})

    assert made[ALONE] == Ratios(0.1, 10.0, None)


def test_every_way_has_its_place_in_tables() -> None:
    assert set(figures.PEERS) < set(figures.WAYS)
    assert len(figures.WAYS) == len(set(figures.WAYS))


def test_what_is_guarded_is_ours_beside_the_others() -> None:
    rates = {ALONE: 100.0, LIMIT: 1000.0, USUAL: 20.0}
    cpu = {ALONE: 400.0, LIMIT: 40.0, USUAL: 1600.0}

    assert guard.ratios(rates, cpu) == {
        "ours to limit": 0.1,
        "ours to usual": 5.0,
        "CPU of the limit to that of ours": 0.1,
        "CPU of usual to that of ours": 4.0,
    }


@pytest.mark.parametrize(
    ("now", "found"),
    [
        pytest.param(5.0, [], id="the same"),
        pytest.param(9.0, [], id="better"),
        pytest.param(4.0, [], id="a fifth less is the most that may be"),
        pytest.param(3.99, ["a fell by 20%: from 5 to 3.99"], id="a little more than a fifth"),
        pytest.param(1.0, ["a fell by 80%: from 5 to 1"], id="far less"),
    ],
)
def test_a_ratio_that_fell_is_told_from_what_to_what(now: float, found: list[str]) -> None:
    assert guard.fallen({"a": 5.0, "b": 1.0}, {"a": now, "b": 1.0}) == found


def test_each_ratio_that_fell_is_told() -> None:
    assert len(guard.fallen({"a": 5.0, "b": 1.0}, {"a": 1.0, "b": 0.1})) == 2


@pytest.mark.parametrize(
    ("measured", "tries", "best", "found"),
    [
        pytest.param([4.0], 1, 4.0, 0, id="held at once"),
        pytest.param([3.0, 4.5], 2, 4.5, 0, id="fell once, then held"),
        pytest.param([3.0, 3.5, 4.0], 3, 4.0, 0, id="held at last"),
        pytest.param([3.0, 3.9, 3.5], 3, 3.9, 1, id="fell each time"),
    ],
)
def test_only_what_falls_each_time_has_fallen(
    measured: list[float], tries: int, best: float, found: int
) -> None:
    left = list(measured)

    ratio, fell = guard.held({"a": 5.0}, lambda: {"a": left.pop(0), "not guarded": 0.0})

    assert (len(measured) - len(left), ratio, len(fell)) == (tries, {"a": best}, found)


@pytest.mark.parametrize(
    ("known", "code"),
    [
        pytest.param(None, 2, id="nothing is known"),
        pytest.param({"another": 1.0}, 2, id="that is not known"),
        pytest.param({guard.IN_MEMORY: 0.05}, 0, id="as it was"),
        pytest.param({guard.IN_MEMORY: 0.07}, 1, id="slower by more than a fifth"),
    ],
)
def test_the_guard_in_memory_says_whether_it_held(
    known: dict[str, float] | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measured() -> dict[str, float]:
        return {guard.IN_MEMORY: 0.05}

    monkeypatch.setattr(guard, "RATIOS", tmp_path / "ratios.json")
    monkeypatch.setattr(guard, "measured_in_memory", measured)
    if known is not None:
        guard.RATIOS.write_text(json.dumps({"commit": "abc", "ratios": known}))

    assert guard.main(write=False, memory=True) == code


async def test_in_memory_a_debit_costs_many_times_what_reading_its_mark_does() -> None:
    found = await guard.measured_in_memory()

    assert 0.005 < found[guard.IN_MEMORY] < 0.5
