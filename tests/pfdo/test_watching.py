"""What `pfdo watch` sees is what the installation says of itself in other ways."""

import asyncio
from collections.abc import Mapping

import pytest

from pfdo.bookkeeping import Chosen, balance_sheet, entries
from pfdo.fresh import fresh_queries
from pfdo.playing import play
from pfdo.watching import Watch, watch
from services.billing.domain.ledger import TrialBalances, trial_balances
from services.notifications.senders.sender import NAME as SENDERS
from streaming.bus import Outgoing
from streaming.errors import StoreUnavailableError
from streaming.installation import Installation
from streaming.letters import dismiss, letters
from streaming.memory_store import MemoryStore
from streaming.store import Room, Standing
from streaming.telemetry import InstallationTelemetry
from tests.pfdo.worlds import installation_of, small_file, world
from tests.support.containers import free_port
from tests.support.world import World

Samples = Mapping[tuple[str, tuple[str, ...]], float]


async def played() -> tuple[World, Installation]:
    """Return a world in which the small file was played and the cabinet has read it."""
    made = world()
    installation = installation_of(made)
    installation._stores.update({"cabinet": MemoryStore(), SENDERS: MemoryStore()})

    async def settled() -> bool:
        await made.settle()
        return True

    await play(installation, small_file(installation), settled)
    async with fresh_queries(installation):
        return made, installation


def told(telemetry: InstallationTelemetry) -> Samples:
    """Return what is told, by name and values of labels."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in telemetry.registry.collect()
        for sample in family.samples
    }


async def test_at_rest_nobody_has_anything_to_do() -> None:
    _, installation = await played()
    telemetry = InstallationTelemetry()

    await Watch(installation, telemetry).look_at_flow()

    seen = told(telemetry)
    for name in ("enrollment", "certificates", "billing", "notifications", "cabinet"):
        assert seen["pfdo_lag", (name,)] == 0, name
        assert seen["pfdo_outbox_entries", (name,)] == 0, name
    # The days of the small file end with 1 September 2020, in Irkutsk (UTC+8).
    assert seen["pfdo_business_day_timestamp_seconds", ()] == 1_598_889_600


class Limited(MemoryStore):
    """A store that takes no more writes at some size."""

    async def room(self) -> Room:
        return Room(80, 100)


async def test_how_full_each_store_is_is_told() -> None:
    _, installation = await played()
    installation._stores["enrollment"] = Limited()
    telemetry = InstallationTelemetry()

    await Watch(installation, telemetry).look_at_flow()

    seen = told(telemetry)
    assert seen["pfdo_store_memory_bytes", ("enrollment",)] == 80
    assert seen["pfdo_store_memory_max_bytes", ("enrollment",)] == 100
    assert seen["pfdo_store_memory_bytes", ("billing",)] > 0
    assert seen["pfdo_store_memory_max_bytes", ("billing",)] == 0


async def test_what_nobody_has_read_yet_is_told() -> None:
    made, installation = await played()
    topic = "attendance.events.v1"
    await made.bus.publish([Outgoing(topic, 0, b"k", b"1"), Outgoing(topic, 0, b"k", b"2")])
    telemetry = InstallationTelemetry()

    await Watch(installation, telemetry).look_at_flow()

    seen = told(telemetry)
    assert seen["pfdo_lag", ("billing",)] == 2
    assert seen["pfdo_lag", ("certificates",)] == 0


class Away(MemoryStore):
    """A store that cannot be reached."""

    async def standing(self, partition: int, version: int) -> Standing:
        raise StoreUnavailableError("away")


async def test_a_store_that_is_away_hides_nothing_of_the_others() -> None:
    made, installation = await played()
    await made.bus.publish([Outgoing("payers.events.v1", 0, b"k", b"1")])
    telemetry = InstallationTelemetry()
    watch = Watch(installation, telemetry)
    await watch.look_at_flow()

    installation._stores["enrollment"] = Away()
    with pytest.raises(StoreUnavailableError):
        await watch.look_at_flow()

    seen = told(telemetry)
    assert ("pfdo_lag", ("enrollment",)) not in seen
    assert ("pfdo_store_memory_bytes", ("enrollment",)) not in seen
    assert seen["pfdo_lag", ("billing",)] == 1


async def test_the_money_is_that_of_the_ledger_and_every_promise_is_counted() -> None:
    _, installation = await played()
    telemetry = InstallationTelemetry()

    await Watch(installation, telemetry).look_at_books()

    trial: TrialBalances = {}
    async for batch in entries(installation, Chosen()):
        trial = trial_balances(batch, trial)
    expected = {
        (sheet["payer"], sheet["period"], account): float(kopecks)
        for sheet in balance_sheet(trial)
        for account, kopecks in sheet["balances_kopecks"].items()
        if kopecks
    }
    seen = told(telemetry)
    money = {labels: v for (name, labels), v in seen.items() if name == "pfdo_money_kopecks" and v}
    assert money == expected
    assert sum(money.values()) == 0
    broken = {labels: v for (name, labels), v in seen.items() if name == "pfdo_violations"}
    assert len(broken) > 10
    assert set(broken.values()) == {0}
    assert seen["pfdo_parked_inputs", ()] == 1
    granted = [v for (name, labels), v in seen.items() if "granted" in labels]
    assert granted
    assert sum(granted) > 0


async def test_it_counts_on_from_where_it_was() -> None:
    made, installation = await played()
    telemetry = InstallationTelemetry()
    watch = Watch(installation, telemetry)
    await watch.look_at_books()
    topic = "navigator.events.v1"

    await made.bus.publish([Outgoing(topic, 0, b"k", b"not json")])
    await watch.look_at_books()
    undecided = told(telemetry)["pfdo_undecided_inputs", ()]
    await made.settle()
    await watch.look_at_books()

    assert undecided == 1
    seen = told(telemetry)
    assert seen["pfdo_undecided_inputs", ()] == 0
    assert seen["pfdo_dead_letters_open", ("enrollment", "navigator", "not_json")] == 1
    (letter,) = await letters(installation.bus, installation.sources)
    await dismiss(installation.bus, letter, "tried out")
    await watch.look_at_books()
    assert not [key for key in told(telemetry) if key[0] == "pfdo_dead_letters_open"]


async def test_a_broken_promise_is_told() -> None:
    made, installation = await played()
    telemetry = InstallationTelemetry()
    watch = Watch(installation, telemetry)
    await watch.look_at_books()

    forged = b'{"specversion":"1.0","id":"billing:0:1","type":"billing.funds-reserved.v1"}'
    await made.bus.publish([Outgoing("billing.events.v1", 0, b"k", forged)])
    await watch.look_at_books()

    broken = {
        labels for (name, labels), v in told(telemetry).items() if name == "pfdo_violations" and v
    }
    assert broken


async def test_what_was_not_looked_at_since_the_start_is_told_as_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, installation = await played()
    telemetry = InstallationTelemetry()
    counting = asyncio.Event()
    monkeypatch.setattr(Watch, "look_at_books", lambda _: counting.wait())

    watching = asyncio.create_task(
        watch(
            installation, telemetry, "127.0.0.1", free_port(), flow_seconds=1.0, books_seconds=1.0
        )
    )
    try:
        async with asyncio.timeout(20):
            while not told(telemetry).get(("pfdo_looked_timestamp_seconds", ("flow",))):
                await asyncio.sleep(0.01)
        assert told(telemetry)["pfdo_looked_timestamp_seconds", ("books",)] == 0
    finally:
        watching.cancel()
        await asyncio.wait([watching])
