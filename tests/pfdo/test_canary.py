"""A child that does not exist: it arrives, it fills nothing, and it tells when it does not."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from contracts.sources import certificate_prefix, load_sources
from contracts.topics import JOURNALS
from pfdo.canary import APPLICATION, DONE, LATE, MARK, PAYER, UNCHANGED, WRONG, Canary, walk_on
from pfdo.days import ZONE
from pfdo.records import whole
from pfdo.system import SERVICES, services_of
from streaming.errors import SettingError
from streaming.installation import Installation
from streaming.settings import load_settings
from streaming.telemetry import CanaryTelemetry
from tests.pfdo.worlds import installation_of, world
from tests.support.world import World, day

SOURCES = load_sources(Path(__file__).parents[2] / "deploy" / "sources.yaml")
MORNING = datetime(2026, 11, 24, 9, 0, tzinfo=ZONE)


class Aviary:
    """All services in memory, working as long as a canary walks, and the canary's clock."""

    def __init__(self) -> None:
        self.world = World(services_of(SERVICES), sources=SOURCES)
        self.installation = Installation(load_settings(environment={}), SOURCES, self.world.bus)
        self.now = MORNING

    def canary(self, **more: float) -> Canary:
        return Canary(self.installation, now=lambda: self.now, **more)

    async def opens(self, date: str) -> None:
        self.now = datetime.fromisoformat(f"{date}T09:00").replace(tzinfo=ZONE)
        await self.world.publish(day(date))
        await self.world.settle()

    async def minute(self) -> None:
        self.now += timedelta(minutes=1)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async def work() -> None:
            while True:
                await self.world.settle()
                await asyncio.sleep(0.01)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def records(self) -> Counter[str]:
        found = await whole(self.installation, [topic.name for topic in JOURNALS])
        return Counter(json.loads(record.value or b"{}")["type"] for record in found)


async def test_on_the_first_day_it_applies_and_its_mark_is_rightly_refused() -> None:
    aviary = Aviary()
    await aviary.opens("2026-11-24")
    canary = aviary.canary()

    async with aviary.working():
        await canary.remember()
        applied, marked = await canary.apply(), await canary.mark()

    assert (applied.path, applied.outcome) == (APPLICATION, DONE)
    assert applied.found[-1] == "enrollment.agreement-activated.v1"
    assert (marked.path, marked.outcome) == (MARK, DONE)
    assert marked.found == ("billing.input-refused.v1",)
    assert not canary.applies_today


async def test_from_the_second_day_on_marks_are_debits_and_reversals_up_to_their_messages() -> None:
    aviary = Aviary()
    await aviary.opens("2026-11-24")
    async with aviary.working():
        await aviary.canary().apply()
        await aviary.opens("2026-11-25")
        # It was killed meanwhile: the next one finds today's agreement in the journal.
        canary = aviary.canary()
        await canary.remember()
        assert canary.applies_today
        assert (await canary.apply()).outcome == DONE
        walks = []
        for _ in range(4):
            walks.append(await canary.mark())
            await aviary.minute()

    assert {walk.outcome for walk in walks} == {DONE}
    assert [walk.found[0] for walk in walks] == [
        "billing.lesson-charged.v1",
        "billing.charge-reversed.v1",
    ] * 2
    assert {walk.found[-1] for walk in walks} == {"notifications.message-due.v1"}


async def test_it_fills_no_books() -> None:
    aviary = Aviary()
    await aviary.opens("2026-11-24")
    async with aviary.working():
        canary = aviary.canary()
        await canary.apply()
        for date in ("2026-11-25", "2026-11-26"):
            await aviary.opens(date)
            await canary.apply()
            await canary.mark()
            before = await aviary.records()
            state = {n: await aviary.world.state(n) for n in SERVICES}
            for _ in range(10):
                await aviary.minute()
                assert (await canary.mark()).outcome == DONE
            after = await aviary.records()
            grown = {
                name: sum(map(len, values.values())) - sum(map(len, state[name].values()))
                for name in SERVICES
                for values in [await aviary.world.state(name)]
            }
            # A mark: one fact, one message. What services remember stays as it is.
            assert (after - before).total() == 20
            assert set(after - before) == {
                "billing.lesson-charged.v1",
                "billing.charge-reversed.v1",
                "notifications.message-due.v1",
            }
            assert grown == dict.fromkeys(SERVICES, 0)
            # Two canaries, or one that was killed in between, send copies.
            twin = aviary.canary()
            await twin.remember()
            assert (await twin.apply()).outcome == DONE
            copy = await twin.mark()
            assert (copy.outcome, copy.found) == (UNCHANGED, ("billing.input-duplicate.v1",))
            aviary.now = aviary.now.replace(hour=23, minute=59)
            assert (await canary.mark()).outcome in {DONE, UNCHANGED}

    journal = aviary.world.journal("billing")
    purse = [r["data"]["purse"] for r in journal if "purse" in r["data"]][-1]
    assert purse["paid_kopecks"] == 0
    kept = {r.get("partitionkey") for r in journal if not r["type"].endswith("input-noted.v1")}
    assert kept == {PAYER}


async def test_who_does_not_arrive_is_late_and_a_wrong_answer_is_wrong() -> None:
    aviary = Aviary()
    await aviary.opens("2026-11-24")
    canary = aviary.canary(walk_seconds_max=0.3)

    # Nobody works.
    assert (await canary.apply()).outcome == LATE
    async with aviary.working():
        await asyncio.sleep(0.1)
        assert (await canary.mark()).outcome == DONE
        # Its lesson of today is refused as it must be on the first day, but it thinks otherwise.
        canary._has_agreement_of.add(aviary.now.date())
        await aviary.minute()
        wrong = await canary.mark()

    assert wrong.outcome == WRONG


async def test_while_messages_stand_still_no_walk_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    aviary = Aviary()
    await aviary.opens("2026-11-24")
    async with aviary.working():
        await aviary.canary().apply()
        await aviary.opens("2026-11-25")
    idle = [name for name in SERVICES if name != "notifications"]
    monkeypatch.setattr(aviary.world, "services", {n: aviary.world.services[n] for n in idle})
    canary = aviary.canary(walk_seconds_max=0.5)
    await canary.remember()
    outcomes = []
    async with aviary.working():
        for minutes in (1, 2, 1, 2, 2):
            outcomes.append((await canary.mark()).outcome)
            for _ in range(minutes):
                await aviary.minute()

    # After a minute that is missed the mark is as it was: that is not to be taken for arriving.
    assert set(outcomes) == {LATE, UNCHANGED}


async def test_what_it_saw_is_told() -> None:
    aviary = Aviary()
    await aviary.opens("2026-11-24")
    telemetry = CanaryTelemetry()
    async with aviary.working():
        walked = asyncio.Event()
        task = asyncio.create_task(walk_on(aviary.canary(), telemetry, 60, walked.set))
        await asyncio.wait_for(walked.wait(), 20)
        task.cancel()
        await asyncio.wait([task])

    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in telemetry.registry.collect()
        for sample in family.samples
    }
    for path in (MARK, APPLICATION):
        assert told["pfdo_canary_walks_total", path, DONE] == 1
        assert told["pfdo_canary_seconds_count", path] == 1
        assert told["pfdo_canary_done_timestamp_seconds", path] > 0


def test_it_is_no_municipality_and_speaks_for_nobody_else() -> None:
    source = SOURCES.by_name["canary"]

    assert source.payers == frozenset({PAYER})
    assert certificate_prefix(PAYER) == "999"
    shipped = load_sources().by_name
    assert {name: s for name, s in SOURCES.by_name.items() if name != "canary"} == shipped
    with pytest.raises(SettingError, match=r"deploy/sources\.yaml"):
        Canary(installation_of(world()))
