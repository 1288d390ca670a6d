"""The services and the auditor, who share nothing but the rules, count the same."""

import pytest

from tests.support.outcome import AUTUMN, segments
from tests.support.rough_play import RoughPlay
from tests.support.second_opinion import (
    audited,
    differences,
    disagreements,
    generated,
    in_memory,
    played,
)


async def agreed(lines: list[str], seed: int = 0) -> None:
    told = await disagreements(lines, seed)

    assert not told, "\n".join([f"{len(told)} differences:", *told[:40]])


async def test_they_agree_on_the_autumn_of_the_examples() -> None:
    await agreed(AUTUMN.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("seed", range(1, 4))
async def test_they_agree_on_an_autumn(seed: int) -> None:
    await agreed(generated(seed, children=40, days=45), seed)


@pytest.mark.slow
async def test_they_agree_on_a_year_and_its_end() -> None:
    await agreed(generated(11, children=30, days=170))


@pytest.mark.parametrize("seed", range(1, 9))
async def test_they_agree_on_rough_play(seed: int) -> None:
    await agreed([*RoughPlay(seed).lines(400)], seed)


async def test_a_difference_is_named() -> None:
    lines = [*RoughPlay(1).lines(400)]
    shown = await played(in_memory(0), segments(lines))
    counted = audited(lines)
    number, certificate = next(iter(counted["certificates"].items()))
    certificate["periods"][0]["paid_kopecks"] += 1
    line = counted["inputs"][7]
    line["decision"] = "parked"

    told = differences(counted, shown)

    assert len(told) == 2
    assert told[0].startswith(f"line {line['line']} {line['id']} {line['type']}: ")
    assert told[1].startswith(f"certificates {number} periods 1 paid_kopecks: ")
