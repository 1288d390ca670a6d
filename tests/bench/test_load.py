"""The load: payers in every partition, and marks that are each charged."""

from itertools import islice

import pytest

from bench import load, measure
from pfdo.system import SERVICES, services_of
from streaming.routing import partition_of
from tests.support.world import World


@pytest.mark.parametrize("partitions", [1, 2, 8, 12])
def test_each_partition_has_a_payer(partitions: int) -> None:
    payers = load.payers_of_all(partitions)

    assert [partition_of(payer.encode(), partitions) for payer in payers] == list(range(partitions))


def test_payers_differ_in_the_digits_that_certificates_tell_them_by() -> None:
    payers = load.payers(400)

    assert len({payer[2:5] for payer in payers}) == 400
    assert payers[0] == load.PAYER


def test_more_payers_than_there_are_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="1000 payers, not for 1001"):
        load.payers(1001)


def test_marks_that_are_not_there_are_not_passed_over_in_silence() -> None:
    marks = load.marks(2)
    all_of_them = 2 * (load.LESSONS_MAX - 1)

    assert len(load.taken(marks, all_of_them - 1)) == all_of_them - 1
    with pytest.raises(ValueError, match="2 marks are wanted and 1 are left"):
        load.taken(marks, 2)


def test_a_record_goes_where_its_payer_belongs_and_a_day_everywhere() -> None:
    payer = load.payers_of_all(8)[6]

    sent = measure.records([load.day("2020-09-01"), *islice(load.marks(1, [payer]), 1)], 8)

    assert [(one.topic, one.partition) for one in sent] == [
        *(("calendar.events.v1", partition) for partition in range(8)),
        ("attendance.events.v1", 6),
    ]
    assert [one.key for one in sent] == [*[None] * 8, payer.encode()]


async def test_every_mark_of_every_payer_is_charged() -> None:
    payers = load.payers_of_all(2)
    world = World(services_of(SERVICES), partitions=2)

    for segment in load.beginning(3, payers):
        await world.publish(*segment)
        await world.settle()
    await world.publish(*islice(load.marks(3, payers), 24))
    await world.settle()

    charged = world.journal("billing", "lesson-charged")
    assert {record["partitionkey"] for record in charged} == set(payers)
    assert len(charged) == 24
