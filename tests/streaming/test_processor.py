"""The loop from a record to its effects, once: seen through a small service in a seeded world."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.enrollment import GroupChanged
from services.enrollment.app import service as enrollment
from streaming import processor
from streaming.bus import Outgoing
from streaming.errors import (
    BehindError,
    BusUnavailableError,
    FencedError,
    HaltError,
    StoreUnavailableError,
)
from streaming.journal import record_hash
from streaming.memory_store import Point, Snapshot
from streaming.parking import PARKED_PER_KEY_MAX
from streaming.positions import unpack_positions
from streaming.processor import BATCH_RECORDS_MAX, Processor, UndecidableError, _is_one_decision
from streaming.routing import partition_of
from streaming.service import Outcome, Service, Wait
from streaming.view import AGGREGATE_BYTES_MAX, State, View
from tests.support.mini_service import Answered, Child, mini_service
from tests.support.world import Crash, World, day, event

P = "25701000"
NAME = "certificates"
ANOTHER = "enrollment.events.v1"


def child(number: int | str, revision: int = 1, born: str = "2010-01-01") -> dict[str, Any]:
    child_id = f"child-{number}" if isinstance(number, int) else number
    return event(
        "navigator.child-registered",
        P,
        child_id,
        {
            "child_id": child_id,
            "birth_date": born,
            "guardian_ids": ["guard-1"],
            "benefits": [],
            "revision": revision,
        },
    )


def request(
    number: int | str, revision: int = 1, reason: str = "usual", **more: Any
) -> dict[str, Any]:
    child_id = f"child-{number}"
    return event(
        "payers.certificate-freeze-set",
        P,
        child_id,
        {"child_id": child_id, "frozen": True, "reason": reason, "revision": revision},
        **more,
    )


def home(world: World) -> int:
    return partition_of(P.encode(), world.partitions)


async def step_on(owner: Processor) -> None:
    """Let an owner do a few batches."""
    for _ in range(5):
        await owner.step(0.0)


async def taken_over_and_read(owner: Processor) -> None:
    await owner.take_over()
    await step_on(owner)


def told(world: World) -> list[str]:
    """What the journal says, shortly: the fact or decision, and its reason."""
    found = []
    for record in world.journal(NAME):
        if record.get("partitionkey") != P:
            continue
        kind = record["type"].removeprefix(f"{NAME}.").removesuffix(".v1")
        data = record["data"]
        said = data.get("waits_for") or data.get("why", {}).get("text") or data.get("reason")
        found.append(f"{kind} {said}" if said else kind)
    return found


def check_journal(world: World) -> None:
    """Dense numbers, a valid chain, each input decided once, state = fold of the journal."""
    for partition in range(world.partitions):
        previous = "0" * 64
        records = world.log.log(f"{NAME}.events.v1", partition).records
        for seq, record in enumerate(records, start=1):
            envelope = json.loads(record.value or b"")
            assert envelope["journalseq"] == seq
            assert envelope["prevhash"] == previous
            assert envelope["hash"] == record_hash(envelope)
            previous = envelope["hash"]


async def folded(world: World) -> None:
    """Wipe the store, heal it from the journal, and compare byte for byte."""
    before = await world.state(NAME)
    world.stores[NAME].wipe()
    for partition in range(world.partitions):
        world.kill(NAME, partition)
    await world.settle()

    assert await world.state(NAME) == before


async def started(*events: dict[str, Any], **options: Any) -> World:
    world = World([mini_service()], **options)
    await world.publish(day("2020-08-30"))
    await world.settle()
    await world.publish(*events)
    await world.settle()
    return world


# --- decisions -----------------------------------------------------------------------------


async def test_an_input_is_applied_and_its_copy_under_another_id_is_a_duplicate() -> None:
    world = await started(child(1), request(1), request(1, id="another-id"))

    assert told(world) == [
        "input-noted",
        "certificate-refused Ответ 1",
        "input-duplicate",
    ]
    check_journal(world)
    await folded(world)


async def test_other_data_under_the_same_key_is_a_conflict_and_the_first_answer_stands() -> None:
    other = request(1, 1, "other", id="other")
    world = await started(child(1), request(1), other, other | {"id": "copy"}, request(1, id="1"))

    found = world.decisions(NAME)
    assert found["other"] == found["copy"] == ["refused:conflict"]
    assert found["1"] == ["duplicate"]
    assert told(world).count("certificate-refused Ответ 1") == 1
    await folded(world)


async def test_a_reader_that_does_not_decide_ignores_copies_and_conflicts() -> None:
    world = await started(child(1), child(1, born="2011-01-01"), request(1))

    assert told(world) == ["input-noted", "certificate-refused Ответ 1"]
    state = (await world.state(NAME))[home(world)]
    assert b"2010-01-01" in state[f"key/child/{P}/child-1"]


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        pytest.param([1, 2], ["applied", "applied"], id="a higher one is new"),
        pytest.param([2, 1], ["applied", "duplicate"], id="a lower one is a copy"),
        pytest.param([2, 2], ["applied", "duplicate"], id="the same one is a copy"),
    ],
)
async def test_revisions(revisions: list[int], expected: list[str]) -> None:
    events = [request(1, revision, id=f"r{at}") for at, revision in enumerate(revisions)]
    world = await started(child(1), *events)

    found = world.decisions(NAME)
    assert [found[f"r{at}"][-1] for at in range(len(revisions))] == expected


async def test_a_refusal_is_sticky_and_does_not_hide_lower_revisions() -> None:
    refused = request(1, 3, "closed", id="r3")
    world = await started(
        child(1),
        refused,
        refused | {"id": "copy"},
        request(1, 3, id="conflict"),
        refused | {"id": "copy-again"},
        request(1, 2, id="r2"),
        request(1, 4, id="r4"),
        refused | {"id": "late"},
    )

    found = world.decisions(NAME)
    assert found["r3"] == ["refused:unknown_period"]
    assert found["copy"] == found["copy-again"] == ["duplicate"]
    assert found["conflict"] == ["refused:conflict"]
    assert found["r2"] == found["r4"] == ["applied"]
    assert found["late"] == ["duplicate"]
    await folded(world)


async def test_a_parked_revision_counts_until_it_is_refused() -> None:
    world = await started(
        request(1, 2, id="parked"),
        request(1, 1, id="lower"),
        request(1, 2, id="copy"),
        request(1, 2, "other", id="other"),
    )
    await world.publish(day("2020-09-30"))
    await world.settle()
    await world.publish(request(1, 1, id="lower-again"))
    await world.settle()
    await world.publish(child(1))
    await world.settle()

    found = world.decisions(NAME)
    assert found["parked"] == ["parked:child:child-1", "refused:unknown_child"]
    assert found["lower"] == found["copy"] == ["duplicate"]
    assert found["other"] == ["refused:conflict"]
    assert found["lower-again"] == ["parked:child:child-1", "applied"]
    await folded(world)


async def test_what_came_too_early_is_decided_in_order_of_arrival_right_after_its_key() -> None:
    world = await started(request(1, 1), request(1, 2), request(2, 1))
    await world.publish(child(1), request(1, 3))
    await world.settle()

    assert told(world) == [
        "input-parked child:child-1",
        "input-parked child:child-1",
        "input-parked child:child-2",
        "input-noted",
        "certificate-refused Ответ 1",
        "certificate-refused Ответ 2",
        "certificate-refused Ответ 3",
    ]
    await folded(world)


@pytest.mark.parametrize(
    ("opened", "given_up"),
    [pytest.param("2020-09-29", False, id="the last day"), pytest.param("2020-09-30", True)],
)
async def test_what_waits_is_given_up_on_the_first_day_after_its_deadline(
    opened: str, given_up: bool
) -> None:
    world = await started(request(1))
    await world.publish(day(opened))
    await world.settle()

    expected = ["input-refused unknown_child"] if given_up else []
    assert told(world) == ["input-parked child:child-1", *expected]
    await world.publish(child(1))
    await world.settle()
    answered = [] if given_up else ["certificate-refused Ответ 1"]
    assert told(world)[-1:] == (answered or ["input-noted"])
    await folded(world)


async def test_no_more_than_a_limit_waits_for_one_key() -> None:
    events = [request(1, revision) for revision in range(1, PARKED_PER_KEY_MAX + 2)]
    world = await started(*events)

    said = told(world)
    assert said.count("input-parked child:child-1") == PARKED_PER_KEY_MAX
    assert said[-1] == "input-refused park_limit"
    await world.publish(child(1))
    await world.settle()
    assert told(world)[-1] == f"certificate-refused Ответ {PARKED_PER_KEY_MAX}"


async def test_what_other_services_say_waits_without_limit_and_is_all_decided_in_order() -> None:
    service = mini_service()

    @service.notes(GroupChanged)
    def group_changed(event: GroupChanged, view: View) -> Outcome:
        if view.find(Child, "child-1") is None:
            return Wait("child:child-1")
        return Wait("child:child-2") if event.capacity == 7 else ()

    world = World([service])
    many = 2 * PARKED_PER_KEY_MAX + 50
    await world.publish(day("2020-08-30"))
    await another_says(world, *range(1, many + 1))
    await world.settle()
    assert told(world) == ["input-parked child:child-1"] * many

    await world.publish(child(1), request(1))
    await world.settle()

    of_payer = [one for one in world.journal(NAME) if one.get("partitionkey") == P]
    ids = [one["data"]["input"]["id"] for one in of_payer[many + 1 : -1]]
    numbers = [int(each.rpartition(":")[2]) for each in ids]
    assert numbers == list(range(1, many + 1))
    assert told(world)[many + 1 :].count("input-parked child:child-2") == 1
    # The request that came after the child is decided after all that waited for it.
    assert told(world)[-1] == "certificate-refused Ответ 1"
    state = (await world.state(NAME))[home(world)]
    assert not [key for key in state if "_waking" in key or "_ready" in key]
    await folded(world)


async def test_an_input_about_tomorrow_waits_for_its_day() -> None:
    world = await started(child(1), request(1, reason="tomorrow"))
    await world.publish(day("2020-08-31"))
    await world.settle()
    waiting = told(world)
    await world.publish(day("2020-09-05"))
    await world.settle()

    assert waiting[-1] == "input-parked day:2020-09-01"
    assert told(world)[-1] == "certificate-refused Ответ 1"
    await folded(world)


async def test_days_never_go_back() -> None:
    world = await started(child(1))
    await world.publish(day("2020-08-29"), day("2020-08-30") | {"id": "again"})
    await world.settle()

    found = world.decisions(NAME)
    assert found["day-2020-08-29"] == ["duplicate"] * world.partitions
    assert found["again"] == ["duplicate"] * world.partitions


async def test_due_work_is_done_once_on_the_first_day_that_is_late_enough() -> None:
    world = await started(child(1), child(2), request(2), request(1))
    await world.publish(day("2020-09-02"))
    await world.publish(day("2020-09-03"))
    await world.settle()

    reminders = world.journal(NAME, "certificate-frozen")
    assert [r["data"]["child_id"] for r in reminders] == ["child-1", "child-2"]
    assert {r["businessday"] for r in reminders} == {"2020-09-02"}
    assert {r["causetopic"] for r in reminders} == {"calendar.events.v1"}
    await folded(world)


async def test_due_work_may_be_put_off_or_settled_in_silence() -> None:
    silent = child("child-silent"), request("silent")
    late = child("child-later"), request("later")
    world = await started(*silent, *late)
    await world.publish(day("2020-09-02"))
    await world.settle()
    quiet = [r["data"] for r in world.journal(NAME, "input-noted") if "item" in r["data"]]
    await world.publish(day("2020-09-10"))
    await world.settle()

    assert [data.get("later") for data in quiet] == ["2020-09-10", None]
    reminders = world.journal(NAME, "certificate-frozen")
    assert [(r["data"]["child_id"], r["businessday"]) for r in reminders] == [
        ("child-later", "2020-09-10")
    ]
    await folded(world)


# --- records that are no events ------------------------------------------------------------


async def test_another_reader_leaves_what_it_cannot_read_to_its_decider() -> None:
    world = await started(child(1))
    await world.publish_raw("navigator.events.v1", home(world), b"no event")
    await world.publish(request(1))
    await world.settle()

    assert told(world) == ["input-noted", "certificate-refused Ответ 1"]


async def another_says(world: World, *numbers: int) -> None:
    """Append facts to another service's journal that the one here has nothing to do with."""
    record = event(
        "enrollment.group-changed",
        P,
        "grp-1",
        {"group_id": "grp-1", "capacity": 1, "taken": 0, "waiting": 0},
    )
    for seq in numbers:
        numbered = {"journalseq": seq, "id": f"e:0:{seq}", "source": "/services/enrollment"}
        record["data"]["capacity"] = seq
        value = json.dumps(record | numbered).encode()
        await world.bus.publish([Outgoing(ANOTHER, home(world), P.encode(), value)])


async def test_what_is_stepped_over_is_kept_once_it_is_quiet_or_much() -> None:
    world = await started(child(1))
    commits = 0

    def count(point: Point) -> None:
        nonlocal commits
        commits += point == "commit.before"

    owner = world.owner(NAME, home(world))
    assert owner is not None
    world.stores[NAME].fault = count
    for number in range(1, 6):
        await another_says(world, number)
        assert await owner.step(0.0)
    assert commits == 0

    assert not await owner.step(0.0)
    assert commits == 1
    standing = await world.stores[NAME].standing(home(world), 1)
    assert unpack_positions(standing.fields["positions"])[ANOTHER].journalseq == 5

    await another_says(world, *range(6, 6 + BATCH_RECORDS_MAX))
    await owner.step(0.0)
    assert commits == 2
    # What was not kept is read again, and changes nothing.
    await another_says(world, 6 + BATCH_RECORDS_MAX)
    await owner.step(0.0)
    world.kill(NAME, home(world))
    await world.publish(request(1))
    await world.settle()
    assert told(world) == ["input-noted", "certificate-refused Ответ 1"]
    check_journal(world)


async def test_a_journal_with_a_hole_stops_its_reader() -> None:
    world = await started(child(1))
    partition = home(world)
    await another_says(world, 1, 3)

    owner = world.start_owner(NAME, partition)
    await owner.take_over()
    with pytest.raises(HaltError, match="number 3 follows 1"):
        await step_on(owner)


# --- moments to get right ------------------------------------------------------------------

STORY = [child(1), request(1), request(2), child(2), request(1, 2), request(3)]
STORE_POINTS: list[Point] = ["take_over", "load", "outbox", "commit.before", "commit.after"]
BUS_POINTS = [
    "append:before",
    "append:inside",
    "append:markers",
    "append:after",
    "writer:after",
    "poll",
    "ends",
]


async def told_by(world: World) -> list[str]:
    """Tell the story one event at a time; what follows from it has one order."""
    await world.publish(day("2020-08-30"))
    await world.settle()
    for happened in STORY:
        await world.publish(happened)
        await world.settle()
    await world.publish(day("2020-08-31"))
    await world.settle()
    return told(world)


class Strikes:
    """Raises at the first visit, then after 2 more, 3 more, …: every moment is met in the end."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error
        self.struck = 0
        self._left = 1

    def visit(self, where: str) -> None:
        self._left -= 1
        if self._left == 0:
            self.struck += 1
            self._left = self.struck + 1
            raise self.error(where)


class TroubleOnce:
    """The bus is unavailable at these points, at the first visit of each, in this order."""

    def __init__(self, *points: str) -> None:
        self.left = list(points)

    def __call__(self, point: str, subject: str) -> None:
        if self.left and point == self.left[0]:
            del self.left[0]
            raise BusUnavailableError(subject)


@pytest.mark.parametrize("point", STORE_POINTS)
@pytest.mark.parametrize("error", [StoreUnavailableError, Crash])
async def test_a_crash_around_the_store_changes_nothing(
    point: Point, error: type[BaseException]
) -> None:
    world = World([mini_service()], seed=1)
    strikes = Strikes(error)
    store = world.stores[NAME]
    store.fault = lambda at: strikes.visit(at) if at == point else None

    said = await told_by(world)

    store.fault = None
    assert said == await told_by(World([mini_service()]))
    assert strikes.struck
    check_journal(world)
    await folded(world)


@pytest.mark.parametrize("point", BUS_POINTS)
@pytest.mark.parametrize("error", [BusUnavailableError, Crash])
async def test_a_crash_around_the_bus_changes_nothing(
    point: str, error: type[BaseException]
) -> None:
    world = World([mini_service()], seed=2)
    strikes = Strikes(error)
    world.bus_fault = lambda at, subject: strikes.visit(subject) if at == point else None

    said = await told_by(world)

    world.bus_fault = None
    assert said == await told_by(World([mini_service()]))
    assert strikes.struck
    check_journal(world)
    await folded(world)


async def test_a_reply_that_was_lost_is_no_second_effect() -> None:
    world = await started(child(1))
    store = world.stores[NAME]

    def lose(point: Point) -> None:
        if point == "commit.after":
            store.fault = None
            raise StoreUnavailableError("the reply is lost")

    store.fault = lose
    await world.publish(request(1))
    await world.settle()

    assert told(world) == ["input-noted", "certificate-refused Ответ 1"]
    check_journal(world)


async def test_a_paused_owner_that_wakes_up_changes_nothing_and_is_told_to_leave() -> None:
    world = await started(child(1))
    partition = home(world)
    paused = world.owner(NAME, partition)
    assert paused is not None
    world.kill(NAME, partition)
    await world.publish(request(1))
    await world.settle()
    before = told(world)

    await world.publish(request(1, 2))
    with pytest.raises(FencedError):
        await step_on(paused)

    assert await paused.is_fenced()
    assert told(world) == before
    await world.settle()
    assert told(world) == [*before, "certificate-refused Ответ 2"]
    check_journal(world)


async def test_a_late_append_of_a_paused_owner_is_fenced() -> None:
    world = await started(child(1))
    partition = home(world)
    paused = world.owner(NAME, partition)
    assert paused is not None
    newer = world.start_owner(NAME, partition)
    await newer.take_over()

    end = paused.partition.batch.end
    late = json.dumps({"journalseq": end.seq + 1, "prevhash": end.hash}).encode()
    stale = [Outgoing(f"{NAME}.events.v1", partition, P.encode(), late)]
    with pytest.raises(FencedError):
        await paused._publish(stale)


async def test_a_round_that_stands_in_the_journal_is_not_appended_again() -> None:
    world = await started(child(1), request(1))
    owner, partition = world.owner(NAME, home(world)), home(world)
    assert owner is not None
    topic = f"{NAME}.events.v1"
    *_, last = world.log.log(topic, partition).records

    with pytest.raises(BehindError, match="does not follow"):
        await owner._publish([Outgoing(topic, partition, last.key, last.value, last.headers)])

    check_journal(world)


async def test_an_owner_who_rests_ends_what_nobody_could_read() -> None:
    world = await started(child(1))
    world.bus_fault = trouble = TroubleOnce("append:markers")
    log = world.log.log(f"{NAME}.events.v1", home(world))
    before = log.end

    await world.publish(request(1))
    while trouble.left:
        await world.step(NAME, home(world))
    assert log.stable == before < log.end
    await world.settle()

    assert log.stable == log.end
    assert told(world) == ["input-noted", "certificate-refused Ответ 1"]
    check_journal(world)


async def test_what_stands_of_a_round_that_was_given_up_is_made_whole() -> None:
    world = World([enrollment()])
    world.bus_fault = trouble = TroubleOnce("append:inside", "append:markers")

    await world.publish_raw("navigator.events.v1", 0, b"not an event")
    await world.settle()

    assert trouble.left == []
    letters = world.log.log("enrollment.dead-letters.v1", 0).records
    assert [letter.value for letter in letters] == [b"not an event"]
    assert len(world.journal("enrollment", "input-dead-lettered")) == 1


async def test_a_fold_waits_for_what_stands_and_cannot_be_read_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "HEAD_SECONDS_MAX", 0.05)
    world = await started(child(1), request(1))
    partition = home(world)
    log = world.log.log(f"{NAME}.events.v1", partition)
    said = told(world)
    world.stores[NAME].wipe()
    world.kill(NAME, partition)
    log.hanging["somebody else"] = log.records[-1].offset

    with pytest.raises(BusUnavailableError, match="cannot be read up to there"):
        await world.start_owner(NAME, partition).take_over()

    assert told(world) == said
    del log.hanging["somebody else"]
    await world.settle()
    assert told(world) == said
    check_journal(world)


@pytest.mark.parametrize(
    ("later", "is_one"),
    [
        pytest.param({"causeindex": 1}, True, id="the next fact of the decision"),
        pytest.param({"causeindex": 5_000}, False, id="what was decided later about the input"),
        pytest.param({"causeoffset": 8}, False, id="the next input"),
        pytest.param({"causetopic": "payers.events.v1"}, False, id="an input of another topic"),
    ],
)
def test_where_a_round_may_end_is_where_a_decision_ends(
    later: dict[str, Any], is_one: bool
) -> None:
    first = {"causetopic": "navigator.events.v1", "causeoffset": 7, "causeindex": 0}

    assert (
        _is_one_decision(json.dumps(first).encode(), json.dumps(first | later).encode()) is is_one
    )


async def test_a_store_that_goes_back_in_the_middle_of_a_taking_over_doubles_no_number() -> None:
    world = await started(child(1))
    store = world.stores[NAME]
    partition = home(world)
    copies: list[Snapshot] = []

    def keep(point: Point) -> None:
        copy = store.snapshot()
        if point == "commit.after" and any(kept.outbox for kept in copy.kept.values()):
            copies.append(copy)

    store.fault = keep
    await world.publish(request(1))
    await world.settle()
    assert copies, "no copy with a round in its outbox"
    before = told(world)
    world.kill(NAME, partition)
    owner = world.start_owner(NAME, partition)

    def go_back(point: Point) -> None:
        if point == "outbox":
            store.fault = None
            store.restore(copies[-1])

    store.fault = go_back
    with pytest.raises(BehindError, match="answered from"):
        await owner.take_over()

    await world.settle()
    assert told(world) == before
    check_journal(world)
    await folded(world)


async def test_a_store_that_is_wiped_in_the_middle_of_a_taking_over_halts_nothing() -> None:
    world = await started(child(1))
    store, partition, known = world.stores[NAME], home(world), told(world)

    def stop_before_trimming(point: Point) -> None:
        if point == "commit.before" and told(world) != known:
            raise StoreUnavailableError("away")

    store.fault = stop_before_trimming
    await world.publish(request(1))
    owner = world.owner(NAME, partition)
    assert owner is not None
    with pytest.raises(StoreUnavailableError):
        await step_on(owner)
    before = told(world)
    assert before != known

    def wipe(point: Point) -> None:
        if point == "outbox":
            store.fault = None
            store.wipe()

    store.fault = wipe
    world.kill(NAME, partition)
    with pytest.raises(BehindError, match="answered from"):
        await world.start_owner(NAME, partition).take_over()

    await world.settle()
    assert told(world) == before
    check_journal(world)


async def test_a_store_that_went_back_to_an_old_copy_is_healed_without_traffic() -> None:
    world = await started(child(1))
    copy = world.stores[NAME].snapshot()
    await world.publish(request(1), request(1, 2))
    await world.settle()
    before = await world.state(NAME)
    owner = world.owner(NAME, home(world))
    assert owner is not None
    assert await owner.still_owner()

    world.stores[NAME].restore(copy)

    assert not await owner.still_owner()
    world.kill(NAME, home(world))
    await world.settle()
    assert await world.state(NAME) == before
    assert told(world)[-1] == "certificate-refused Ответ 2"


async def test_a_commit_on_a_store_that_went_back_is_refused() -> None:
    world = await started(child(1))
    copy = world.stores[NAME].snapshot()
    await world.publish(request(1))
    await world.settle()
    world.stores[NAME].restore(copy)
    await world.publish(request(1, 2))
    owner = world.owner(NAME, home(world))
    assert owner is not None

    with pytest.raises(BehindError):
        await step_on(owner)

    world.kill(NAME, home(world))
    await world.settle()
    assert told(world)[-2:] == ["certificate-refused Ответ 1", "certificate-refused Ответ 2"]
    check_journal(world)


async def test_an_old_copy_whose_outbox_was_decided_otherwise_since_is_folded_anew() -> None:
    world = await started(child(1))
    store, partition = world.stores[NAME], home(world)

    def die(at: str, subject: str) -> None:
        if at == "append:before":
            raise Crash(subject)

    world.bus_fault = die
    await world.publish(request(1))
    for _ in range(3):
        await world.step(NAME, partition)
    copy = store.snapshot()
    world.bus_fault = None
    store.wipe()
    world.kill(NAME, partition)
    await world.publish(request(1, 2))
    await world.settle()
    store.restore(copy)
    world.kill(NAME, partition)
    await world.settle()

    check_journal(world)
    await folded(world)
    answers = [said for said in told(world) if said.startswith("certificate-refused")]
    assert answers == ["certificate-refused Ответ 1", "certificate-refused Ответ 2"]


async def test_a_store_of_another_installation_halts_the_partition() -> None:
    world = await started(child(1))
    world.log.identity = "another"

    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match="belongs to bus"):
        await owner.take_over()


@pytest.mark.parametrize("records", [0, 1, 3])
async def test_a_topic_made_anew_halts_the_partition(records: int) -> None:
    world = await started(child(1), request(1))
    fresh = World([mini_service()])
    await fresh.publish(*[child(number) for number in range(7, 7 + records)])
    world.log._logs["navigator.events.v1"] = fresh.log._logs["navigator.events.v1"]

    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match="made anew"):
        await taken_over_and_read(owner)


async def test_a_journal_that_was_cut_halts_the_partition() -> None:
    world = await started(child(1), request(1))
    log = world.log.log(f"{NAME}.events.v1", home(world))
    del log.records[-1]
    log.end = log.records[-1].offset + 1

    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match="cut or made anew"):
        await owner.take_over()


async def test_a_journal_that_was_edited_halts_the_fold() -> None:
    world = await started(child(1), request(1))
    world.stores[NAME].wipe()
    log = world.log.log(f"{NAME}.events.v1", home(world))
    del log.records[1]

    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match="damaged"):
        await owner.take_over()


async def test_inputs_gone_by_retention_are_no_alarm_once_the_journal_holds_them() -> None:
    world = await started(child(1), request(1))
    topic = "navigator.events.v1"
    world.log.trim(topic, home(world), world.log.log(topic, home(world)).end)
    world.stores[NAME].wipe()
    world.kill(NAME, home(world))
    await world.publish(request(1, 2))
    await world.settle()

    assert told(world)[-1] == "certificate-refused Ответ 2"


async def test_a_first_start_on_topics_that_were_cut_is_refused() -> None:
    world = World([mini_service()])
    await world.publish(child(1), child(2))
    world.log.trim("navigator.events.v1", home(world), 1)

    owner = world.start_owner(NAME, home(world))
    with pytest.raises(HaltError, match="records before it are gone"):
        await owner.take_over()


async def test_a_defect_is_named_by_its_record_and_what_came_before_it_stands() -> None:
    world = await started(child(1))
    await world.publish(request(1), request(1, 2, "broken"), request(1, 3))
    owner = world.owner(NAME, home(world))
    assert owner is not None

    with pytest.raises(UndecidableError, match=r"payers\.events\.v1 \d/1"):
        await step_on(owner)


async def test_what_is_too_much_for_the_store_is_a_defect_that_is_named_by_its_record() -> None:
    world = World([with_notes(AGGREGATE_BYTES_MAX + 1, of="child-2")])
    await world.publish(child(1), child(2), request(1), request(2), request(1, 2))
    owner = world.owner(NAME, home(world)) or world.start_owner(NAME, home(world))
    await owner.take_over()

    with pytest.raises(UndecidableError, match=r"payers\.events\.v1 \d/1 is more than the store"):
        await step_on(owner)

    # What came before it stands.
    assert told(world) == ["input-noted", "input-noted", "certificate-refused Ответ 1"]
    check_journal(world)


async def test_what_is_too_much_only_together_is_committed_one_by_one() -> None:
    children = [f"child-{number}" for number in range(60)]
    world = World([with_notes(AGGREGATE_BYTES_MAX - 200, copies=5)])
    await world.publish(*(child(each) for each in children))
    await world.settle()
    await world.publish(*(request(each.removeprefix("child-")) for each in children))
    await world.settle()

    assert told(world).count("certificate-refused Ответ 1") == len(children)
    check_journal(world)
    await folded(world)


async def test_a_journal_that_is_folded_in_other_batches_may_be_too_much_together() -> None:
    world = World([with_notes(AGGREGATE_BYTES_MAX - 200, copies=5)])
    store = world.stores[NAME]
    await world.publish(child(1))
    await world.settle()
    early = store.snapshot()
    for number in range(60):
        await world.publish(request(1, number + 1, id=f"r-{number}"))
        await world.settle()
    state = await world.state(NAME)

    store.restore(early)
    world.kill(NAME, home(world))
    await world.settle()

    assert await world.state(NAME) == state


def with_notes(size: int, of: str = "", copies: int = 0) -> Service:
    """Return a service that writes a long note with each answer, in one or more aggregates."""
    service = mini_service()
    evolve = service.evolvers[Answered]

    def evolve_with_note(fact: Answered, state: State) -> None:
        evolve(fact, state)
        if of in fact.child_id:
            known = state.get(Child, fact.child_id)
            noted = replace(known, note="x" * size)
            for number in range(copies):
                state.put(f"{fact.child_id}-{known.answers}-{number}", noted)
            if not copies:
                state.put(fact.child_id, noted)

    service.evolvers[Answered] = evolve_with_note
    return service


async def test_a_tiny_cache_changes_nothing() -> None:
    events = [e for n in range(30) for e in (child(n), request(n), request((n * 7) % 30, 2 + n))]
    small = await started(*events, cached_max=3)
    large = await started(*events)

    assert told(small) == told(large)
    assert await small.state(NAME) == await large.state(NAME)


async def test_a_big_day_is_done_in_portions_and_a_crash_in_between_resumes() -> None:
    events = [e for n in range(700) for e in (child(n), request(n))]
    world = await started(*events)
    appends = [0]

    def die(at: str, subject: str) -> None:
        appends[0] += at == "append:after"
        if at == "append:after" and appends[0] in (2, 3):
            raise Crash(subject)

    world.bus_fault = die
    await world.publish(day("2020-08-31"))
    await world.settle()

    reminders = [r["data"]["child_id"] for r in world.journal(NAME, "certificate-frozen")]
    assert reminders == sorted(f"child-{n}" for n in range(700))
    assert appends[0] > 3
    check_journal(world)
    await folded(world)
