"""The books counted again, folded again and shown, on real installations and in memory."""

import asyncio
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import structlog

from contracts.vocabulary import PayerCode, PeriodId
from pfdo import rebuilding
from pfdo.bookkeeping import Chosen, balance_sheet, entries
from pfdo.playing import play, publish
from pfdo.rebuilding import Rebuilding, rebuilding_of
from pfdo.system import RunLocks
from pfdo.verifying import begin, count_books, follow_books
from services.billing.domain.ledger import Entry, trial_balances
from streaming.bus import Outgoing
from streaming.errors import BusUnavailableError, FencedError
from streaming.installation import Installation as Open
from streaming.installation import open_installation
from streaming.memory import MemoryBus
from streaming.memory_store import MemoryStore
from streaming.settings import load_settings
from tests.pfdo.worlds import SMALL, installation_of, small_file, world
from tests.support.installation import Installation
from tests.support.outcome import AUTUMN
from tests.support.world import Crash, World
from tests.verification.books import played_world
from verification.count import Count

COUNTED = ["I01", "I02", "I03", "I05", "I06", "I07", "I13", "I14", "I15", "I17", "I23"]


async def small_world(*, settle: bool = True) -> tuple[World, Open]:
    """Return a world in which the small file was played, or only published, as an installation."""
    made = world()
    installation = installation_of(made)

    async def settled() -> bool:
        await made.settle()
        return True

    if settle:
        await play(installation, small_file(installation), settled)
    else:
        await publish(installation, small_file(installation))
    return made, installation


# --- verify ------------------------------------------------------------------------------------


async def test_what_was_decided_is_counted_and_holds() -> None:
    _, installation = await small_world()

    count = await count_books(await begin(installation), wait_seconds=0)

    assert count.findings.listed == []
    checked = count.checked()
    assert checked["inputs"] == 10 + 2 * 3 + 2
    assert checked["purses"] == 1
    assert checked["parked"] == 1
    assert checked["ledger_entries"] == 3


async def test_what_nobody_decides_is_told_after_the_wait() -> None:
    _, installation = await small_world(settle=False)

    count = await count_books(await begin(installation), wait_seconds=0)

    assert set(count.findings.totals) == {"I01"}
    named = {event for one in count.findings.listed for event in one.events}
    assert {"n-5", "a-1", "a-2", "day-2020-08-31"} <= named


async def test_what_is_decided_during_the_wait_is_no_fault() -> None:
    running, installation = await small_world(settle=False)
    counting = await begin(installation)
    await counting.read_on()
    assert counting.count.pending()

    async def settle_later() -> None:
        await asyncio.sleep(0.05)
        await running.settle()

    count, _ = await asyncio.gather(count_books(counting, wait_seconds=30), settle_later())

    assert count.findings.ok


async def test_what_is_acknowledged_later_is_not_waited_for() -> None:
    _, installation = await small_world()
    counting = await begin(installation)
    await publish(installation, small_file(installation))

    count = await count_books(counting, wait_seconds=0)

    assert count.findings.ok
    later = await count_books(await begin(installation), wait_seconds=0)
    assert set(later.findings.totals) == {"I01"}


async def test_following_ends_at_the_first_violation_and_not_before() -> None:
    made, installation = await small_world()
    following = asyncio.create_task(follow_books(await begin(installation), 60, look_seconds=0.01))
    await publish(installation, small_file(installation))
    await asyncio.sleep(0.1)
    assert not following.done(), "what is not decided yet may be on its way"
    await made.settle()
    await asyncio.sleep(0.1)
    assert not following.done()
    journal = made.log.log("billing.events.v1", 0).records
    (charged,) = (each for each in journal if b"lesson-charged" in (each.value or b""))

    assert charged.value is not None
    again = Outgoing("billing.events.v1", 0, charged.key, charged.value)
    await installation.bus.publish([again])
    count = await asyncio.wait_for(following, timeout=10)

    assert set(count.findings.totals) >= {"I06"}


async def test_following_ends_at_an_input_that_stays_undecided() -> None:
    _, installation = await small_world()
    following = asyncio.create_task(follow_books(await begin(installation), 0.3, look_seconds=0.01))
    await publish(installation, small_file(installation))
    await asyncio.sleep(0.1)
    assert not following.done()

    count = await asyncio.wait_for(following, timeout=10)

    assert {invariant for invariant, _, _ in count.pending()} == {"I01"}
    assert set(count.conclude().totals) == {"I01"}


async def test_a_bus_that_is_away_is_told_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, installation = await small_world()
    counting = await begin(installation)
    await publish(installation, small_file(installation))
    ends = MemoryBus.ends

    async def away(bus: MemoryBus, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        raise BusUnavailableError("away")

    with structlog.testing.capture_logs() as told:
        following = asyncio.create_task(follow_books(counting, 0.2, look_seconds=0.01))
        await asyncio.sleep(0.05)
        monkeypatch.setattr(MemoryBus, "ends", away)
        await asyncio.sleep(0.4)
        assert not following.done(), "nobody can decide while the bus is away"
        monkeypatch.setattr(MemoryBus, "ends", ends)
        back = time.monotonic()
        await asyncio.wait_for(following, timeout=10)

    # The time that it was away is not counted.
    assert time.monotonic() - back >= 0.2
    said = [line["event"] for line in told]
    assert said == ["the bus is away, it is waited for", "the bus is there again"]


async def test_it_can_be_counted_on_while_more_and_more_comes() -> None:
    made = world()
    installation = installation_of(made)
    counting = await begin(installation)
    count = counting.count

    async def look() -> int:
        await counting.read_on()
        return len(count.pending())

    await publish(installation, small_file(installation))
    assert await look() == 0  # Read, and not awaited yet.
    count.ends = await installation.bus.ends(count.topics)
    undecided = await look()
    assert undecided >= 12
    await made.step("enrollment", 0)
    await made.step("enrollment", 0)
    assert 0 < await look() < undecided
    for _ in range(3):
        await made.settle()
        count.ends = await installation.bus.ends(count.topics)
        assert await look() == 0
        await publish(installation, small_file(installation))
        await look()
    await made.settle()

    assert await look() == 0
    assert count.findings.ok


# --- rebuild -----------------------------------------------------------------------------------


@dataclass
class Kept:
    """A partition of billing that holds a purse: its store, and how it is folded."""

    world: World
    store: MemoryStore
    rebuilding: Rebuilding
    partition: int
    version: int

    @property
    def values(self) -> dict[str, bytes]:
        return self.store._now.kept[self.partition, self.version].values


@pytest.fixture
async def kept() -> Kept:
    made, installation = await small_world()
    states = await made.state("billing")
    (partition,) = (p for p, state in states.items() if any("account" in key for key in state))
    return Kept(
        world=made,
        store=made.stores["billing"],
        rebuilding=await rebuilding_of(installation, "billing"),
        partition=partition,
        version=made.services["billing"].state_version,
    )


async def test_the_fold_of_a_journal_is_the_live_state(kept: Kept) -> None:
    told: list[int] = []
    compared = await kept.rebuilding.compare(kept.partition, told.append)

    journal = kept.world.log.log("billing.events.v1", kept.partition).records
    assert compared.to_json() == {
        "partition": kept.partition,
        "facts": len(journal),
        "equal": True,
    }
    assert sum(told) == len(journal)


async def test_a_state_that_was_tampered_with_is_told_and_set_right(kept: Kept) -> None:
    key = next(key for key in kept.values if key.startswith("account/"))
    right = kept.values[key]
    kept.values[key] = right.replace(b"1000000", b"2000000")

    compared = await kept.rebuilding.compare(kept.partition)
    replaced = await kept.rebuilding.replace(kept.partition)

    assert compared.equal is False
    assert compared.differences == (f"key/{key}",)
    assert compared.last_event.startswith(f"billing:{kept.partition}:")
    assert replaced.equal is False
    assert kept.values[key] == right
    assert (await kept.rebuilding.compare(kept.partition)).equal is True
    assert (await kept.rebuilding.replace(kept.partition)).equal is True


@pytest.mark.parametrize("what", ["wiped", "gone back"])
async def test_a_state_behind_its_journal_is_told(what: str) -> None:
    made, installation = await small_world(settle=False)
    rebuilding = await rebuilding_of(installation, "billing")
    for _ in range(4):
        await made.step("billing", 0)
    copy = made.stores["billing"].snapshot()
    await made.settle()
    if what == "wiped":
        made.stores["billing"].wipe()
    else:
        made.stores["billing"].restore(copy)

    compared = [await rebuilding.compare(partition) for partition in range(made.partitions)]

    (behind, *_) = [one for one in compared if not one.equal]
    assert "the journal at" in behind.differences[0]


async def test_what_is_decided_and_not_published_yet_belongs_to_the_fold(kept: Kept) -> None:
    def crash(point: str, subject: str) -> None:
        if point == "append:before" and subject.startswith("billing"):
            raise Crash

    kept.world.kill("billing", kept.partition)
    kept.world.bus_fault = crash
    installation = installation_of(kept.world)
    before = len(kept.world.log.log("billing.events.v1", kept.partition).records)
    await publish(installation, small_file(installation))
    await kept.world.step("billing", kept.partition)
    await kept.world.step("billing", kept.partition)
    assert (await kept.store.outbox(kept.partition, kept.version, 10)).entries

    compared = await kept.rebuilding.compare(kept.partition)

    assert compared.equal is True
    assert compared.facts > before


async def test_a_state_that_moves_cannot_be_compared(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "LOOK_PAUSE_SECONDS", 0)
    epochs = kept.store._now.epochs

    def move(point: str) -> None:
        if point == "dump":
            epochs[kept.partition] += 1

    kept.store.fault = move

    assert (await kept.rebuilding.compare(kept.partition)).equal is None


async def test_an_owner_that_comes_in_between_is_left_the_state(kept: Kept) -> None:
    async def take_over(point: str) -> None:
        if point == "clear.before":
            kept.store.fault = None
            await kept.store.take_over(kept.partition, kept.version)

    kept.store.fault = take_over
    before = dict(kept.values)

    with pytest.raises(FencedError):
        await kept.rebuilding.replace(kept.partition)

    assert kept.values == before


async def test_replacing_fences_the_owner_that_was(kept: Kept) -> None:
    owner = kept.world.owner("billing", kept.partition)
    assert owner is not None
    await kept.rebuilding.replace(kept.partition)

    assert await owner.is_fenced()
    await kept.world.settle()
    assert (await kept.rebuilding.compare(kept.partition)).equal is True


@pytest.mark.parametrize(
    ("limit", "workers"),
    [("max", 8), ("9223372036854771712", 8), (str(600 * 1024 * 1024), 2), ("1000", 1), (None, 8)],
)
def test_there_are_no_more_workers_than_a_container_has_memory_for(
    limit: str | None, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(f"{limit}\n")
    monkeypatch.setattr(rebuilding, "MEMORY_LIMITS", (tmp_path / "another", file))
    monkeypatch.setattr("os.cpu_count", lambda: 8)

    assert rebuilding._workers_max() == workers


# --- ledger ------------------------------------------------------------------------------------


async def read(installation: Open, chosen: Chosen) -> list[Entry]:
    return [entry async for batch in entries(installation, chosen) for entry in batch]


def test_the_ledger_and_the_count_have_the_same_trial_balances() -> None:
    """Both are counted from the same journal, by code that shares nothing."""
    installation = installation_of(played_world())

    async def both() -> tuple[Count, list[Entry]]:
        count = await count_books(await begin(installation), wait_seconds=0)
        return count, await read(installation, Chosen())

    count, book = asyncio.run(both())

    assert count.findings.ok
    counted = {
        (PayerCode(payer), PeriodId(period), date.fromisoformat(day)): dict(kinds)
        for (payer, period, day), kinds in count.ledger.trial.items()
    }
    assert counted == {key: dict(kinds) for key, kinds in trial_balances(book).items()}
    kinds = {kind for moved in counted.values() for kind, sum_ in moved.items() if sum_}
    assert kinds == {"budget", "available", "reserved", "owed", "settled", "expired"}
    assert len(counted) > 100


async def test_entries_are_chosen_by_payer_period_and_day() -> None:
    _, installation = await small_world()

    book = await read(installation, Chosen())
    assert len(book) == 3

    assert await read(installation, Chosen(payer="25701000", period="2020")) == book
    assert await read(installation, Chosen(payer="25714000")) == []
    assert await read(installation, Chosen(period="2021")) == []
    last = max(entry.day for entry in book)
    assert await read(installation, Chosen(until=last)) == book
    before = await read(installation, Chosen(until=min(entry.day for entry in book)))
    assert 0 < len(before) < 3
    assert balance_sheet(trial_balances([])) == []


# --- the commands ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The small file on the embedded bus."""
    installation = Installation(tmp_path_factory.mktemp("small"))
    assert installation.json("play", str(SMALL))["settled"] is True
    return installation


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_autumn_verifies_and_is_what_its_journals_give(tmp_path: Path) -> None:
    autumn = Installation(tmp_path / "data")
    assert autumn.json("play", str(AUTUMN))["settled"] is True

    found = autumn.json("verify", "--against-state")

    assert (found["ok"], found["violations"], found["violations_in_all"]) == (True, [], 0)
    assert found["checked"]["state_records"] == found["checked"]["journal_records"] > 4_000
    assert found["checked"]["inputs"] > 1_391
    book = autumn.json("ledger")
    assert book["sums_to_zero"] is True
    exported = autumn.json("export", "--what", "certificates")["certificates"].values()
    for sheet in book["books"]:
        purses = [
            held
            for certificate in exported
            for held in certificate["periods"]
            if (certificate["payer"], held["period"]) == (sheet["payer"], sheet["period"])
        ]
        balances = sheet["balances_kopecks"]
        assert sheet["sum_kopecks"] == 0
        assert balances["budget"] == -sum(purse["nominal_kopecks"] for purse in purses)
        assert balances["available"] == sum(purse["balance_kopecks"] for purse in purses)
        assert balances["reserved"] == sum(purse["reserved_kopecks"] for purse in purses)
        paid = sum(purse["paid_kopecks"] for purse in purses)
        assert balances["owed"] + balances["settled"] == paid


def test_what_was_played_verifies(played: Installation) -> None:
    found = played.json("verify", "--against-state")
    told = played.pfdo("verify").stdout.decode()

    assert found["ok"] is True
    assert found["violations"] == []
    assert found["checked"]["invariants"] == [*COUNTED, "I08"]
    assert found["checked"]["state_records"] == found["checked"]["journal_records"] > 50
    assert "All of it holds" in told
    assert f"invariants       {' '.join(COUNTED)}" in told


def test_the_ledger_shows_each_fact_and_sums_to_zero(played: Installation) -> None:
    book = played.json("ledger", "--entries")
    (charged,) = played.lines("journal", "billing", "--type", "lesson-charged")
    told = played.pfdo("ledger", "--payer", "25701000", "--entries").stdout.decode()

    assert (book["until"], book["sums_to_zero"]) == (None, True)
    assert [len(row["postings"]) for row in book["entries"]] == [2, 2, 2]
    assert book["entries"][-1] == {
        "event": charged["id"],
        "payer": "25701000",
        "period": "2020",
        "day": charged["businessday"],
        "postings": [
            {"account": "reserved:enr-first", "kopecks": -25_149},
            {"account": "owed:prov-raduga", "kopecks": 25_149},
        ],
    }
    (sheet,) = book["books"]
    assert sheet["balances_kopecks"] == {
        "budget": -1_000_000,
        "available": 1_000_000 - 804_396,
        "reserved": 804_396 - 25_149,
        "owed": 25_149,
        "settled": 0,
        "expired": 0,
    }
    assert sheet["days"][-1]["moved_kopecks"]["owed"] == 25_149
    assert f"{charged['id']:20}           251.49  owed:prov-raduga" in told
    assert "Payer 25701000, period 2020, in roubles" in told
    assert "Each day of each payer and period sums to zero." in told


def test_until_a_day_the_ledger_is_what_it_was_then(played: Installation) -> None:
    then = played.json("ledger", "--until", "2020-08-31")

    (sheet,) = then["books"]
    assert then["until"] == "2020-08-31"
    assert [day["day"] for day in sheet["days"]] == ["2020-08-31"]
    assert sheet["balances_kopecks"]["owed"] == 0
    assert sheet["balances_kopecks"]["reserved"] == 804_396


def test_rebuilding_compares_and_replaces(played: Installation) -> None:
    compared = played.json("rebuild", "billing", "--dry-run")
    replaced = played.json("rebuild", "billing")
    one = played.json("rebuild", "billing", "--partition", "1")
    told = played.pfdo("rebuild", "billing", "--dry-run").stdout.decode()

    assert compared == replaced
    assert [row["partition"] for row in compared["partitions"]] == [0, 1, 2, 3]
    assert all(row["equal"] for row in compared["partitions"])
    assert one["partitions"] == [compared["partitions"][1]]
    assert "s for a million facts" in told


async def test_many_processes_fold_the_same_as_one(played: Installation) -> None:
    compared = played.json("rebuild", "billing", "--dry-run")
    settings = load_settings({"data": played.data}, environment={})
    told: list[int] = []

    async with open_installation(settings):
        done = await rebuilding.in_processes(
            settings, "billing", range(4), told.append, dry_run=True
        )

    assert [rebuilt.to_json() for rebuilt in done] == compared["partitions"]
    assert sum(told) == sum(rebuilt.facts for rebuilt in done) > 0


def test_a_service_that_runs_is_not_rebuilt(played: Installation) -> None:
    running = RunLocks(played.data)
    running.share(["billing"])
    try:
        refused = played.pfdo("rebuild", "billing")
        compared = played.pfdo("rebuild", "billing", "--dry-run")
    finally:
        running.release()

    assert refused.returncode == 2
    assert b"stop it first" in refused.stderr
    assert compared.returncode == 0, compared.stdout.decode()


def test_a_foreign_record_in_a_journal_is_told(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    assert installation.json("play", str(SMALL))["settled"] is True
    (charged,) = installation.lines("journal", "billing", "--type", "lesson-charged")
    done = installation.pfdo(
        *("publish", "-", "--raw", "billing.events.v1", "--key", charged["partitionkey"]),
        stdin=json.dumps(charged | {"hash": "0" * 64}).encode(),
    )
    assert done.returncode == 0

    found = installation.pfdo("verify", "--json")
    against = installation.pfdo("verify", "--against-state")

    assert found.returncode == 1
    told = json.loads(found.stdout)
    assert told["ok"] is False
    assert {one["invariant"] for one in told["violations"]} == {"I06", "I07"}
    assert {event for one in told["violations"] for event in one["events"]} == {charged["id"]}
    following = installation.pfdo("verify", "--follow", "--wait", "0")
    assert following.returncode == 1
    assert b"I07" in following.stdout
    assert against.returncode == 1
    assert b"I08  billing: billing.events.v1" in against.stdout
    assert b"pfdo why" in against.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("rebuild", "castle"), 2, "keeps no journal", id="no such service"),
        pytest.param(("rebuild", "billing", "--partition", "9"), 2, "0 to 3", id="no partition"),
        pytest.param(
            ("verify", "--follow", "--against-state"), 2, "not both", id="what moves, compared"
        ),
        pytest.param(("ledger", "--until", "today"), 2, "write YYYY-MM-DD", id="no day"),
        pytest.param(("ledger", "--payer", "25799000"), 1, "no entries", id="no entries"),
    ],
)
def test_what_cannot_be_done_says_why(
    played: Installation, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = played.pfdo(*arguments)

    assert done.returncode == code
    assert said in done.stderr.decode()


@pytest.mark.containers
@pytest.mark.timeout(300)
def test_on_kafka_and_redis_it_is_the_same(on_kafka: Installation) -> None:
    assert on_kafka.json("play", str(SMALL))["settled"] is True

    found: Any = on_kafka.json("verify", "--against-state")
    assert found["violations"] == []
    assert found["checked"]["parked"] == 1
    compared = on_kafka.json("rebuild", "billing", "--dry-run")
    assert on_kafka.json("rebuild", "billing") == compared
    assert all(row["equal"] for row in compared["partitions"])
    assert on_kafka.json("play", str(SMALL))["settled"] is True
    assert on_kafka.json("verify", "--against-state")["ok"] is True
    assert on_kafka.json("ledger")["sums_to_zero"] is True
