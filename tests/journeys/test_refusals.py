"""Whoever asked for something that cannot be reads why, in Russian, with what to do next."""

import re

import pytest

from pfdo.system import SERVICES, services_of
from tests.support.outcome import AUTUMN, segments
from tests.support.rough_play import RoughPlay
from tests.support.world import World

CYRILLIC = re.compile("[а-яё]")
BARE_CODE = re.compile("[a-z]+(_[a-z]+)+")


async def refused(lines: list[str]) -> dict[str, set[str]]:
    """Return all details of refused inputs by reason."""
    world = World(services_of(SERVICES))
    for segment in segments(lines):
        await world.publish(*segment)
        await world.settle()
    found: dict[str, set[str]] = {}
    for service in SERVICES:
        for record in world.journal(service, "input-refused"):
            found.setdefault(record["data"]["reason"], set()).add(record["data"]["detail"])
    return found


@pytest.mark.parametrize("play", ["autumn", "rough"])
async def test_every_refusal_is_told_in_plain_russian(play: str) -> None:
    lines = AUTUMN.read_text(encoding="utf-8").splitlines()
    found = await refused(lines if play == "autumn" else [*RoughPlay(3).lines(400)])

    assert len(found) >= 5
    for reason, details in found.items():
        for detail in details:
            assert CYRILLIC.search(detail), f"{reason}: {detail}"
            assert detail.endswith("."), f"{reason}: {detail}"
            if reason not in {"conflict", "rules_invalid"}:
                assert not BARE_CODE.search(detail), f"{reason}: {detail}"
