"""Words in any order, all at once: whatever is decided, the books are right."""

import pytest

from contracts.topics import all_topics
from tests.support.hasty_world import HastyWorld
from tests.support.outcome import check_folds, segments
from tests.support.rough_play import RoughPlay
from tests.support.second_opinion import PARTITIONS, SERVICES
from tests.verification.books import Books, counted


@pytest.mark.parametrize("seed", range(1, 5))
async def test_days_of_rough_words_all_at_once_leave_right_books(seed: int) -> None:
    partitions = PARTITIONS[seed % len(PARTITIONS)]
    world = HastyWorld([make() for make in SERVICES], seed=seed, partitions=partitions)
    # Without empty lines nothing settles within a day: there are many outcomes, all of them right.
    lines = [line for line in RoughPlay(seed).lines(400) if line]

    for segment in segments(lines):
        await world.publish(*segment)
        await world.settle()

    found = counted(
        Books(
            {
                (topic.name, partition): tuple(world.log.log(topic.name, partition).records)
                for topic in all_topics(world.sources)
                for partition in range(partitions)
            }
        )
    )
    assert [one.to_json() for one in found.listed] == []
    await check_folds(world)
