"""How an installation stands as a whole, told to Prometheus: `pfdo watch`.

One process looks at all services. Flow is looked at often and costs a few questions; the books are
counted on from where the last look ended, by the code of `pfdo verify`, from the beginning after a
start: they take the memory that `pfdo verify` takes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from pfdo.days import ZONE
from pfdo.settling import Reader, lag, readers_of
from pfdo.tracing import Traces
from pfdo.verifying import Counting, begin
from services.cabinet.projections import cabinet
from services.cabinet.queries import Queries
from streaming.errors import BusUnavailableError, StoreUnavailableError
from streaming.health import quiet_server
from streaming.installation import Installation
from streaming.kafka import copies_missing, group_members
from streaming.kafka_security import security_of
from streaming.letters import OPEN, letters
from streaming.telemetry import InstallationTelemetry, Telemetry

FLOW, BOOKS, TRACES = "flow", "books", "traces"
TRACES_SECONDS = 5.0
LATE_TIMES = 4
"""A look that is late by so many of its intervals makes the process unready."""


class Watch:
    """Looks at an installation and keeps the gauges of `InstallationTelemetry` at what it saw."""

    def __init__(self, installation: Installation, telemetry: InstallationTelemetry) -> None:
        self._installation = installation
        self._telemetry = telemetry
        self._counting: Counting | None = None

    async def look_at_flow(self) -> None:
        """See what is still to be done, by whom, and since which day.

        One store that is away hides nothing of the others; its error is raised at the end.
        """
        readers = readers_of(self._installation, cabinet=True)
        await self._look_at_kafka([reader.name for reader in readers])
        missing: StoreUnavailableError | None = None
        for reader in readers:
            try:
                await self._look_at_reader(reader)
            except StoreUnavailableError as error:
                missing = error
                # What is not known is not told.
                told = self._telemetry
                for gauge in (told.lag, told.outbox, told.store_memory, told.store_memory_max):
                    gauge.remove(reader.name)
        if missing is not None:
            raise missing

    async def _look_at_reader(self, reader: Reader) -> None:
        installation, telemetry = self._installation, self._telemetry
        left = await lag(installation, [reader])
        telemetry.lag.labels(reader.name).set(left[reader.name])
        store = await installation.store(reader.name)
        partitions = range(installation.bus.partitions)
        standings = [await store.standing(p, reader.version) for p in partitions]
        telemetry.outbox.labels(reader.name).set(sum(s.outbox for s in standings))
        room = await store.room()
        telemetry.store_memory.labels(reader.name).set(room.used_bytes)
        telemetry.store_memory_max.labels(reader.name).set(room.max_bytes)
        days = [s.fields.get("day") for s in standings]
        # Only the cabinet notes the day there; it hears the calendar as the others do.
        if reader.name == cabinet.name and all(days):
            telemetry.business_day.set(min(_unix(day) for day in days if day))

    async def _look_at_kafka(self, names: list[str]) -> None:
        """See who runs the services, and whether every partition has its copies."""
        settings = self._installation.settings
        if not settings.uses_kafka:
            return
        where, security = str(settings.kafka_bootstrap), security_of(settings)
        groups = {f"pfdo-{name}": name for name in names}
        for group, number in (await group_members(where, list(groups), security)).items():
            self._telemetry.processes.labels(groups[group]).set(number)
        missing = await copies_missing(where, self._installation.topics, security)
        self._telemetry.missing_copies.set(missing)

    async def _look_at_dead_letters(self) -> None:
        installation = self._installation
        found = Counter(
            (letter.service, letter.owner, letter.reason)
            for letter in await letters(installation.bus, installation.sources)
            if letter.status == OPEN
        )
        self._telemetry.dead_letters.clear()
        for labels, number in found.items():
            self._telemetry.dead_letters.labels(*labels).set(number)

    async def look_at_books(self) -> None:
        """Count on: whether the promises hold, and where the money is."""
        telemetry = self._telemetry
        if self._counting is None:
            self._counting = await begin(self._installation)
        counting = self._counting
        count = counting.count
        count.ends = await self._installation.bus.ends(count.topics)
        await counting.read_on()
        for invariant in count.invariants:
            telemetry.violations.labels(invariant).set(count.findings.totals[invariant])
        telemetry.undecided.set(len(count.pending()))
        telemetry.parked.set(cast(int, count.checked()["parked"]))
        sums: Counter[tuple[str, str, str]] = Counter()
        for (payer, period, _day), kinds in count.ledger.trial.items():
            for kind, kopecks in kinds.items():
                sums[payer, period, kind] += kopecks
        for labels, kopecks in sums.items():
            telemetry.money.labels(*labels).set(kopecks)
        await self._look_at_categories()
        await self._look_at_dead_letters()

    async def _look_at_categories(self) -> None:
        store = await self._installation.store(cabinet.name)
        queries = Queries(store, self._installation.bus.partitions)
        payers = (await queries.export(["payers"]))["payers"]
        for code, payer in payers.items():
            for period in payer["periods"]:
                for category in period["categories"]:
                    labels = (code, period["period"], category["category"])
                    budget = self._telemetry.budget
                    budget.labels(*labels, "max").set(category["budget_max_kopecks"])
                    budget.labels(*labels, "granted").set(category["granted_kopecks"])
                    self._telemetry.queued.labels(*labels).set(category["queued"])


async def watch(
    installation: Installation,
    telemetry: InstallationTelemetry,
    host: str,
    port: int,
    *,
    flow_seconds: float,
    books_seconds: float | None,
) -> None:
    """Look for ever, and answer `/metrics`, `/health/live` and `/health/ready`."""
    looking = Watch(installation, telemetry)
    looks = {FLOW: (looking.look_at_flow, flow_seconds)}
    if books_seconds is not None:
        looks[BOOKS] = (looking.look_at_books, books_seconds)
    endpoint = installation.settings.otlp_endpoint
    if endpoint is not None:
        looks[TRACES] = (Traces(installation, telemetry, endpoint).look, TRACES_SECONDS)
    for what in looks:
        # 0 until it was looked at: an alert cannot miss what it has never heard of.
        telemetry.looked.labels(what)
    last: dict[str, float] = {}
    log = Telemetry().log

    def is_ready() -> bool:
        now = time.monotonic()
        return all(
            what in last and now - last[what] < LATE_TIMES * seconds
            for what, (_, seconds) in looks.items()
        )

    async def again(what: str, look: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            started = time.monotonic()
            try:
                await look()
            except (BusUnavailableError, StoreUnavailableError, TimeoutError) as error:
                log.warning("could not look", reason=what, error=str(error))
            else:
                last[what] = time.monotonic()
                telemetry.looked.labels(what).set(time.time())
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - started)))

    server = quiet_server(pages(telemetry.registry, is_ready), host, port)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        for what, (look, seconds) in looks.items():
            tasks.create_task(again(what, look, seconds))


def pages(registry: CollectorRegistry, is_ready: Callable[[], bool]) -> Any:
    """Return the application that answers `/metrics`, `/health/live` and `/health/ready`."""

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        del receive
        if scope["type"] != "http":
            return
        status, kind, body = 404, b"text/plain", b"/health/live, /health/ready and /metrics\n"
        if scope["path"] == "/metrics":
            status, body = 200, generate_latest(registry)
            kind = CONTENT_TYPE_LATEST.encode()
        elif scope["path"] == "/health/live":
            status, body = 200, b"alive\n"
        elif scope["path"] == "/health/ready":
            status, body = (200, b"ready\n") if is_ready() else (503, b"not ready\n")
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", kind)],
            }
        )
        await send({"type": "http.response.body", "body": body})

    return application


def _unix(day: bytes) -> float:
    return datetime.fromisoformat(day.decode()).replace(tzinfo=ZONE).timestamp()
