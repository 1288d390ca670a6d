"""All services in a seeded world: whatever strikes, the books are those of a calm day."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from services.billing.app import service as billing
from services.certificates.app import service as certificates
from services.enrollment.app import service as enrollment
from services.notifications.app import service as notifications
from streaming.errors import BusUnavailableError, FencedError, StoreUnavailableError
from tests.support.outcome import (
    AUTUMN,
    Segment,
    check_folds,
    check_journals,
    outcome,
    segments,
)
from tests.support.world import Crash, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SEGMENTS_PLAYED = 110
SEGMENTS_IN_STORM = 45
LESSONS_DISPUTED_MIN, LESSONS_DISPUTED_MAX = 4, 6
SERVICES = (enrollment, certificates, billing, notifications)


@cache
def story() -> tuple[Segment, ...]:
    with AUTUMN.open(encoding="utf-8") as lines:
        return tuple(_disputed(tuple(segments(lines))))[:SEGMENTS_PLAYED]


def _disputed(autumn: tuple[Segment, ...]) -> Iterator[Segment]:
    """Yield the autumn with disputes after each segment of many marks, and then their ends.

    Of the lessons that were attended one is corrected, two are answered, others left open; somebody
    disputes the debit of an enrollment that nobody knows.
    """
    for number, segment in enumerate(autumn):
        yield segment
        attended = [
            event
            for event in segment
            if event["type"] == "attendance.lesson-marked.v1" and event["data"]["mark"] == "present"
        ][:LESSONS_DISPUTED_MAX]
        if len(attended) < LESSONS_DISPUTED_MIN:
            continue
        strange = attended[0] | {"id": f"strange-{number}", "subject": f"enr-strange-{number}"}
        strange["data"] = strange["data"] | {"enrollment_id": strange["subject"]}
        yield [_about(event, "lesson-disputed", _SAID) for event in (*attended, strange)]
        corrected, *others = attended
        again = {"mark": "absent", "revision": corrected["data"]["revision"] + 50}
        yield [
            corrected | {"id": f"{corrected['id']}-corrected", "data": corrected["data"] | again},
            *[_about(event, "dispute-answered", _ANSWERED) for event in (*others[:2], strange)],
        ]


_SAID = {"guardian_id": "guardian-00001", "ground": "was-absent"}
_ANSWERED = {"by": "provider", "answer": "attended", "evidence": "qr"}


def _about(mark: Mapping[str, Any], fact: str, said: Mapping[str, Any]) -> dict[str, Any]:
    lesson = {name: mark["data"][name] for name in ("enrollment_id", "lesson_id")}
    return {
        **mark,
        "id": f"{mark['id']}-{fact}",
        "source": "/disputes",
        "type": f"disputes.{fact}.v1",
        "data": {**lesson, **said},
    }


def _disputes(of_world: World) -> list[tuple[str, str, str, str]]:
    """Return how disputes were opened and settled, whatever their order between payers."""
    return sorted(
        (data["enrollment_id"], data["lesson_id"], fact, data.get("outcome", ""))
        for fact, data in of_world.facts("billing")
        if fact.startswith("dispute-")
    )


def world(seed: int, partitions: int = 3) -> World:
    return World([make() for make in SERVICES], partitions=partitions, seed=seed)


async def played(
    played_world: World,
    before: Callable[[World], Any] = lambda _world: None,
    copies: float = 0.0,
    segments_max: int = SEGMENTS_PLAYED,
) -> dict[str, Any]:
    """Play the story; `before` each segment something may strike; some events come again."""
    chance = random.Random(played_world.random.random())
    past: Segment = []
    for segment in story()[:segments_max]:
        before(played_world)
        again = [event for event in past if chance.random() < copies]
        await played_world.publish(*segment)
        await played_world.settle()
        await played_world.publish(*(event | {"id": f"{event['id']}-again"} for event in again))
        past = segment
    await played_world.settle()
    return await outcome(played_world) | {"disputes": _disputes(played_world)}


@pytest.fixture(scope="module")
def calm() -> dict[str, Any]:
    """What comes of the story when nothing strikes."""
    return asyncio.run(_played_calmly(SEGMENTS_PLAYED))


@pytest.fixture(scope="module")
def calm_before_the_storm() -> dict[str, Any]:
    """The same of its beginning. That no seed matters is seen below."""
    return asyncio.run(_played_calmly(SEGMENTS_IN_STORM))


async def _played_calmly(segments_max: int) -> dict[str, Any]:
    calm_world = world(0)
    result = await played(calm_world, segments_max=segments_max)
    check_journals(calm_world)
    await check_folds(calm_world)
    return result


def test_the_story_has_disputes_of_every_kind(calm: dict[str, Any]) -> None:
    ends = {(fact, outcome) for _, _, fact, outcome in calm["disputes"]}
    opened = sum(fact == "dispute-opened" for _, _, fact, _ in calm["disputes"])

    assert ends == {
        ("dispute-opened", ""),
        ("dispute-settled", "corrected"),
        ("dispute-settled", "upheld"),
    }
    assert opened > len(calm["disputes"]) - opened


@pytest.mark.parametrize(("seed", "partitions"), [(1, 1), (2, 3), (3, 7), (4, 7)])
async def test_the_outcome_does_not_depend_on_speed_or_on_partitions(
    calm: dict[str, Any], seed: int, partitions: int
) -> None:
    result = await played(world(seed, partitions))

    assert result == calm


@pytest.mark.parametrize("seed", range(1, 4))
async def test_copies_change_nothing(calm: dict[str, Any], seed: int) -> None:
    copied = world(seed)
    result = await played(copied, copies=0.3)

    assert result == calm
    check_journals(copied)


class Storm:
    """Strikes at random points of bus and store, by its seed."""

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self.struck: dict[str, int] = {}

    def at_store(self, point: str) -> None:
        self._strike(f"store {point}", StoreUnavailableError)

    def at_bus(self, point: str, subject: str) -> None:
        del subject
        self._strike(f"bus {point}", BusUnavailableError)

    def _strike(self, point: str, trouble: type[Exception]) -> None:
        if self._random.random() < self._rate:
            self.struck[point] = self.struck.get(point, 0) + 1
            raise self._random.choice((trouble, Crash))(point)


@pytest.mark.parametrize("seed", range(1, 4))
async def test_crashes_and_lost_replies_at_any_moment_change_nothing(
    calm_before_the_storm: dict[str, Any], seed: int
) -> None:
    stormy = world(seed)
    storm = Storm(seed, rate=0.02)
    stormy.bus_fault = storm.at_bus
    for store in stormy.stores.values():
        store.fault = storm.at_store

    result = await played(stormy, segments_max=SEGMENTS_IN_STORM)

    assert result == calm_before_the_storm
    points = set(storm.struck)
    assert {"store commit.before", "store commit.after", "bus append:after"} <= points
    for store in stormy.stores.values():
        store.fault = None
    stormy.bus_fault = None
    check_journals(stormy)
    await check_folds(stormy)


@pytest.mark.parametrize("seed", range(1, 4))
async def test_stores_wiped_or_gone_back_at_any_moment_change_nothing(
    calm: dict[str, Any], seed: int
) -> None:
    healed = world(seed)
    copies = {name: store.snapshot() for name, store in healed.stores.items()}
    struck = []

    def strike(struck_world: World) -> None:
        chance = struck_world.random
        for name, store in struck_world.stores.items():
            what = chance.random()
            if what < 0.05:
                store.wipe()
                struck.append("wiped")
            elif what < 0.10:
                store.restore(copies[name])
                struck.append("gone back")
            elif what < 0.20:
                copies[name] = store.snapshot()

    result = await played(healed, before=strike)

    assert result == calm
    assert {"wiped", "gone back"} <= set(struck)
    check_journals(healed)


@pytest.mark.parametrize("seed", range(1, 4))
async def test_paused_owners_that_wake_up_change_nothing(calm: dict[str, Any], seed: int) -> None:
    haunted = world(seed)
    paused: list[Any] = []
    fenced = 0

    def pause(struck_world: World) -> None:
        for name in struck_world.services:
            for partition in range(struck_world.partitions):
                owner = struck_world.owner(name, partition)
                if owner is not None and struck_world.random.random() < 0.05:
                    paused.append(owner)
                    struck_world.kill(name, partition)

    async def wake() -> int:
        told = 0
        for zombie in paused:
            try:
                for _ in range(3):
                    await zombie.step(0.0)
            except FencedError:
                told += 1
        return told

    chance = haunted.random
    for segment in story():
        pause(haunted)
        await haunted.publish(*segment)
        for name in haunted.services:
            await haunted.step(name, chance.randrange(haunted.partitions))
        fenced += await wake()
        await haunted.settle()

    assert await outcome(haunted) | {"disputes": _disputes(haunted)} == calm
    assert fenced
    check_journals(haunted)
