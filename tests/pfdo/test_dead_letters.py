"""`pfdo dead-letters` on an installation in memory: what it refuses, and what it says."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from pfdo.__main__ import app
from services.enrollment.service import enrollment
from streaming.bus import Outgoing
from streaming.installation import Installation
from streaming.processor import UndecidableError
from streaming.quarantine import wishes
from streaming.routing import partition_of
from tests.pfdo.worlds import installation_of, world
from tests.support.world import World, day, event

PAYER = "25701000"
NAVIGATOR = "navigator.events.v1"
PROVIDER = "navigator.provider-registered.v1"
HALTS = "would-halt"


class Called:
    """The command line on a world, with a defect that can be mended."""

    def __init__(self, there: World, patched: pytest.MonkeyPatch) -> None:
        self.world = there
        self.partition = partition_of(PAYER.encode(), there.partitions)
        self._patched = patched
        self._reaction = enrollment.reactions[PROVIDER]

    def breaks(self) -> None:
        """Let the service fail at providers whose name is `broken`."""

        def handler(event: Any, view: Any) -> Any:
            if event.provider_id == "broken":
                raise LookupError("a defect")
            return self._reaction.handler(event, view)

        self._patched.setitem(
            enrollment.reactions, PROVIDER, replace(self._reaction, handler=handler)
        )

    def mended(self) -> None:
        """Let the service be as it was."""
        self._patched.setitem(enrollment.reactions, PROVIDER, self._reaction)

    def send(self, *values: bytes) -> None:
        """Let records of the Navigator come, and services decide them if they can."""
        records = [Outgoing(NAVIGATOR, self.partition, PAYER.encode(), value) for value in values]

        async def sent() -> None:
            await self.world.bus.publish(records)
            await self.world.settle()

        asyncio.run(sent())

    def settle(self) -> None:
        """Let services decide what waits."""
        asyncio.run(self.world.settle())

    def kill(self) -> None:
        """Let the owner vanish."""
        self.world.kill("enrollment", self.partition)

    def __call__(self, *arguments: str) -> Result:
        """Call `pfdo dead-letters`, without what tests are told by the environment."""
        environment = {name: None for name in os.environ if name.startswith("PFDO_")}
        handlers = logging.getLogger().handlers.copy()
        try:
            return CliRunner().invoke(app, ["dead-letters", *arguments], env=environment)
        finally:
            # Logs would go on to a stream of the runner's, which is closed by now.
            structlog.reset_defaults()
            logging.getLogger().handlers[:] = handlers

    def told(self, *arguments: str) -> Any:
        """Call it and return the document it prints."""
        return json.loads(self(*arguments, "--json").stdout)

    def offset(self, provider_id: str) -> str:
        """Return where the record of a provider stands first."""
        records = self.world.log.log(NAVIGATOR, self.partition).records
        return str(next(r.offset for r in records if provider_id.encode() in (r.value or b"")))

    def count(self) -> int:
        """Return how many records of the Navigator there are."""
        return len(self.world.log.log(NAVIGATOR, self.partition).records)


@pytest.fixture
def pfdo(monkeypatch: pytest.MonkeyPatch) -> Called:
    """The command line on a world at its first day."""
    there = world()

    async def begun() -> None:
        await there.publish(day("2020-08-30"))
        await there.settle()

    asyncio.run(begun())

    @asynccontextmanager
    async def opened(settings: Any) -> AsyncIterator[Installation]:
        del settings
        yield installation_of(there)

    monkeypatch.setattr("streaming.installation.open_installation", opened)
    return Called(there, monkeypatch)


def provider(provider_id: str) -> bytes:
    data = {"provider_id": provider_id, "title": "Ладья", "state": "active", "revision": 1}
    return json.dumps(event("navigator.provider-registered", PAYER, provider_id, data)).encode()


def halted(pfdo: Called) -> None:
    """Let the partition halt at a record, with one before it and one after it."""
    pfdo.breaks()
    with pytest.raises(UndecidableError):
        pfdo.send(provider("prov-1"), provider("broken"), provider("prov-2"))
    pfdo.kill()


def at(pfdo: Called, provider_id: str) -> tuple[str, ...]:
    return ("quarantine", "enrollment", NAVIGATOR, str(pfdo.partition), pfdo.offset(provider_id))


WHY = ("--why", "Разбирается")


@pytest.mark.parametrize("provider_id", ["prov-1", "prov-2"])
def test_only_the_record_at_which_a_partition_halts_is_set_aside(
    pfdo: Called, provider_id: str
) -> None:
    halted(pfdo)
    place = f"{NAVIGATOR} {pfdo.partition}/{pfdo.offset('broken')}"

    mistyped = pfdo(*at(pfdo, provider_id), *WHY)
    assert mistyped.exit_code == 1
    assert f"halts at {place} (builtins.LookupError), not at" in mistyped.stderr
    assert pfdo.told("quarantine", "enrollment", "--list") == []

    done = pfdo(*at(pfdo, "broken"), *WHY)
    assert done.exit_code == 0, done.stderr
    pfdo.settle()
    (letter,) = pfdo.told("list")
    assert (letter["reason"], str(letter["offset"])) == (
        "operator_quarantine",
        pfdo.offset("broken"),
    )


def test_a_partition_that_does_not_halt_sets_nothing_aside_unless_it_must(pfdo: Called) -> None:
    pfdo.send(provider("prov-1"))

    refused = pfdo(*at(pfdo, "prov-1"), *WHY)
    forced = pfdo(*at(pfdo, "prov-1"), *WHY, "--force")

    assert refused.exit_code == 1
    assert "halts neither at" in refused.stderr
    assert forced.exit_code == 0


def test_what_is_to_be_set_aside_is_listed_and_taken_back(pfdo: Called) -> None:
    halted(pfdo)
    assert pfdo(*at(pfdo, "broken"), *WHY).exit_code == 0

    (wish,) = pfdo.told("quarantine", "enrollment", "--list")
    removed = pfdo(*at(pfdo, "broken"), "--remove")
    again = pfdo(*at(pfdo, "broken"), "--remove")

    assert wish == {
        "service": "enrollment",
        "topic": NAVIGATOR,
        "partition": pfdo.partition,
        "offset": int(pfdo.offset("broken")),
        "why": WHY[1],
    }
    assert (removed.exit_code, again.exit_code) == (0, 1)
    store, version = pfdo.world.stores["enrollment"], enrollment.state_version
    assert asyncio.run(wishes(store, version, pfdo.partition)) == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("cabinet", NAVIGATOR, "0", "0", *WHY), "read models", id="the cabinet"),
        pytest.param(("enrollment", NAVIGATOR, "0", *WHY), "which record", id="no offset"),
        pytest.param(("enrollment", NAVIGATOR, "0", "0"), "--why", id="no reason"),
    ],
)
def test_half_a_wish_is_wrong_use(pfdo: Called, arguments: tuple[str, ...], said: str) -> None:
    done = pfdo("quarantine", *arguments)

    assert done.exit_code == 2
    assert said in done.stderr


def test_what_was_set_aside_is_kept_back_until_it_is_mended(pfdo: Called) -> None:
    halted(pfdo)
    pfdo(*at(pfdo, "broken"), *WHY)
    pfdo.settle()
    pfdo.send(b"hello")
    broken, other = (letter["id"] for letter in pfdo.told("list"))
    before = pfdo.count()

    (dry, _) = pfdo.told("redrive", "--all", "--dry-run")
    early = pfdo("redrive", "--all", "--json")
    assert (dry["decision"], dry["reason"]) == (HALTS, "builtins.LookupError")
    assert early.exit_code == 1
    assert f"{broken} was not sent: enrollment would halt at it" in early.stderr
    assert json.loads(early.stdout) == [
        {"id": broken, "status": "open"},
        {"id": other, "status": "redriven"},
    ]
    assert pfdo.count() == before + 1

    pfdo.mended()
    assert pfdo.told("redrive", broken) == [{"id": broken, "status": "redriven"}]
    assert pfdo.count() == before + 2


def test_what_would_halt_is_sent_by_force(pfdo: Called) -> None:
    halted(pfdo)
    pfdo(*at(pfdo, "broken"), *WHY)
    pfdo.settle()
    before = pfdo.count()

    done = pfdo("redrive", "--all", "--force")

    assert done.exit_code == 0
    assert pfdo.count() == before + 1


def test_letters_that_were_done_with_are_not_sent_without_a_word(pfdo: Called) -> None:
    pfdo.send(b"first", b"second", b"third")
    first, second, third = (letter["id"] for letter in pfdo.told("list"))
    pfdo("dismiss", first, *WHY)
    pfdo("redrive", second)
    before = pfdo.count()

    done = pfdo("redrive", first, second, third, "--json")
    assert done.exit_code == 1
    assert f"{first} was not sent: it is dismissed already" in done.stderr
    assert f"{second} was not sent: it is redriven already" in done.stderr
    assert [one["status"] for one in json.loads(done.stdout)] == [
        "dismissed",
        "redriven",
        "redriven",
    ]
    assert pfdo.count() == before + 1

    assert pfdo("redrive", first, second, "--force").exit_code == 0
    assert pfdo.count() == before + 3


def test_a_letter_is_shown_with_all_its_bytes(pfdo: Called) -> None:
    pfdo.send(b"x" * 100_000)
    (letter,) = pfdo.told("list")

    assert pfdo.told("show", letter["id"])["value"] == "x" * 100_000
