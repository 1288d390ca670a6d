"""Play files: which lines are events, where the barriers are, and that each is waited for."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from contracts.topics import CALENDAR
from pfdo import demonstration
from pfdo.playing import (
    BrokenInputError,
    Line,
    Played,
    play,
    publish,
    publish_raw,
    read_lines,
    segments,
)
from pfdo.records import decided, story
from pfdo.settling import lag, readers_of, settled
from streaming.errors import SettingError
from streaming.routing import partition_of
from tests.pfdo.worlds import installation_of, small_file, world
from tests.support.world import day, event

PAYER = "25701000"
TOPICS = ("payers.events.v1", "calendar.events.v1")


def opened(period: str) -> dict[str, Any]:
    data = {"period": period, "starts_on": f"{period}-01-01", "ends_on": f"{period}-12-31"}
    return event("payers.period-opened", PAYER, period, data | {"basis": "Постановление"})


def lines_of(*events: Mapping[str, Any] | None) -> list[Line]:
    texts = ("" if one is None else json.dumps(one) for one in events)
    return read_lines(texts, TOPICS)


A, B, C = opened("2020"), opened("2021"), opened("2022")
DAY = day("2020-09-01")


@pytest.mark.parametrize(
    ("events", "runs"),
    [
        pytest.param([A, B], [[A, B]], id="lines without a barrier are one run"),
        pytest.param([A, None, B], [[A], [B]], id="an empty line is a barrier"),
        pytest.param([A, DAY, B], [[A], [DAY], [B]], id="a day is a run of its own"),
        pytest.param([DAY, DAY], [[DAY], [DAY]], id="so are two days"),
        pytest.param([None, A, None, None, B, None], [[A], [B]], id="barriers without events"),
        pytest.param([A, None, DAY, None, B, C], [[A], [DAY], [B, C]], id="both kinds"),
        pytest.param([None], [], id="nothing to play"),
    ],
)
def test_a_file_is_played_in_runs_between_barriers(
    events: list[Mapping[str, Any] | None], runs: list[list[Mapping[str, Any]]]
) -> None:
    found = [[line.event for line in run] for run in segments(lines_of(*events))]

    assert found == runs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "line 2 is no JSON", id="broken JSON"),
        pytest.param('"text"', "line 2 is no CloudEvent: it is no JSON object", id="no object"),
        pytest.param(json.dumps(A | {"id": 7}), "'id' is missing", id="an id that is no text"),
        pytest.param(
            json.dumps(A | {"source": "/castle"}), "/castle is no source", id="a stranger"
        ),
        pytest.param(
            json.dumps(A | {"source": "/billing"}), "/billing is no source", id="a service's name"
        ),
        pytest.param(
            json.dumps({k: v for k, v in A.items() if k != "partitionkey"}),
            "no partitionkey",
            id="nobody's event",
        ),
    ],
)
def test_the_line_that_is_no_event_is_named(text: str, said: str) -> None:
    with pytest.raises(BrokenInputError, match="line 2") as refused:
        read_lines([json.dumps(A), text], TOPICS)

    assert said in str(refused.value)


async def test_a_day_goes_to_every_partition_and_an_event_to_that_of_its_payer() -> None:
    here = world()
    installation = installation_of(here)

    counts = await publish(installation, lines_of(DAY, A))

    assert counts == {"calendar.events.v1": 1, "payers.events.v1": 1}
    ends = await installation.bus.ends(TOPICS)
    right = partition_of(PAYER.encode(), here.partitions)
    assert all(ends[("calendar.events.v1", partition)] == 1 for partition in range(3))
    assert [ends[("payers.events.v1", p)] for p in range(3)] == [
        int(partition == right) for partition in range(here.partitions)
    ]


async def test_raw_bytes_are_published_as_they_are_and_only_to_a_topic_there_is() -> None:
    here = world()
    installation = installation_of(here)

    await publish_raw(installation, "payers.events.v1", PAYER, [b"\xff", b""])

    right = partition_of(PAYER.encode(), here.partitions)
    values = [record.value for record in here.log.log("payers.events.v1", right).records]
    assert values == [b"\xff", b""]
    with pytest.raises(SettingError, match="no topic"):
        await publish_raw(installation, "castle.events.v1", PAYER, [b"x"])


async def test_nothing_is_settled_before_every_reader_has_read_and_decided() -> None:
    here = world()
    installation = installation_of(here)
    readers = readers_of(installation, cabinet=False)
    await publish(installation, lines_of(DAY, A))

    is_settled, left = await settled(installation, readers, timeout_seconds=0)
    assert not is_settled
    # A day in each of three partitions, and a period.
    assert left["enrollment"] == 3 + 1
    for name in ("enrollment", "certificates", "billing"):
        for partition in range(here.partitions):
            while await here.step(name, partition):
                pass
    left = await lag(installation, readers)
    assert left["billing"] == 0
    assert left["notifications"] > 0
    assert not (await settled(installation, readers, timeout_seconds=0))[0]
    await here.settle()

    assert await settled(installation, readers, timeout_seconds=0) == (
        True,
        dict.fromkeys(here.services, 0),
    )


async def test_what_is_parked_for_a_day_or_due_is_told_apart_from_what_is_left_to_do() -> None:
    here = world()
    installation = installation_of(here)
    await publish(installation, small_file(installation))
    await here.settle()

    left = await lag(installation, readers_of(installation, cabinet=False))

    assert not any(left.values())


async def test_playing_waits_at_each_barrier_and_stops_when_nothing_settles() -> None:
    here = world()
    installation = installation_of(here)
    waits: list[int] = []

    async def settle() -> bool:
        await here.settle()
        waits.append(sum((await installation.bus.ends(TOPICS)).values()))
        return True

    played = await play(installation, lines_of(DAY, A, None, B), settle)
    assert (played.published, played.settled) == (3, True)
    # Before anything, after the day in three partitions, after each of the two runs.
    assert waits == [0, 3, 4, 5]

    async def give_up() -> bool:
        return False

    played = await play(installation, lines_of(C), give_up)
    assert (played.published, played.settled) == (0, False)


@pytest.mark.parametrize("seed", range(3))
async def test_every_input_has_the_last_word_of_its_decider(seed: int) -> None:
    here = world(seed)
    installation = installation_of(here)

    async def settle() -> bool:
        await here.settle()
        return True

    for _ in range(2):
        await play(installation, small_file(installation), settle)

    found: dict[str, list[str]] = {}
    for one in decided(await story(installation), installation):
        if one["topic"] != CALENDAR.name or one["partition"] == 0:
            found.setdefault(one["id"], []).append(one["decision"])
    assert found.pop("a-2") == ["parked", "duplicate"]
    assert len(found) == 11
    assert set(map(tuple, found.values())) == {("applied", "duplicate")}


@pytest.mark.parametrize(
    ("played", "decisions", "said", "unsaid"),
    [
        pytest.param(
            Played(3, settled=True, seconds=1),
            {"applied": 2, "duplicate": 1},
            "each has its decision: 2 applied, 1 duplicates.",
            "nothing changed",
            id="something new",
        ),
        pytest.param(
            Played(3, settled=True, seconds=1),
            {"duplicate": 3},
            "nothing was charged twice",
            "do not come to rest",
            id="all played before",
        ),
        pytest.param(
            Played(3, settled=False, seconds=1),
            {"applied": 2, "None": 1},
            "pfdo settle",
            "each has its decision",
            id="not settled",
        ),
    ],
)
def test_the_summary_says_what_was_decided(
    played: Played, decisions: dict[str, int], said: str, unsaid: str
) -> None:
    told = demonstration.summary(played, decisions)

    assert said in told
    assert unsaid not in told
