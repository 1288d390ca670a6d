"""One process of the system: some services, perhaps followers, on one installation, until told."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from uvicorn import Server

from contracts.registry import EVENTS
from streaming import health
from streaming.errors import StreamingError
from streaming.event_loop import run
from streaming.follower import Follower, Projection
from streaming.host import Host, Owner
from streaming.installation import Installation, open_installation
from streaming.listening import listening_of
from streaming.processor import Processor
from streaming.service import Service
from streaming.settings import Settings, load_settings
from streaming.telemetry import Telemetry, configure_logs

COLLECTIONS = (700, 10, 100)
"""After how many new objects, and how many passes over younger ones, garbage is looked for."""


async def make_host(
    installation: Installation,
    telemetry: Telemetry,
    services: Iterable[Service],
    projections: Iterable[Projection] = (),
    others: Mapping[str, Callable[[int], Owner]] | None = None,
) -> Host:
    """Return a host of these services and projections, with their stores open.

    `others` make owners of something else that is shared out by partition, by its name.
    """
    owners: dict[str, Callable[[int], Owner]] = dict(others or {})
    # Folding a whole journal takes a core and a hundred megabytes: one after the other.
    folding = asyncio.Lock()
    for service in services:
        owners[service.name] = await _processors(installation, telemetry, service, folding)
    for projection in projections:
        owners[projection.name] = await _followers(installation, telemetry, projection)
    return Host(installation.bus, owners, telemetry)


async def _processors(
    installation: Installation, telemetry: Telemetry, service: Service, folding: asyncio.Lock
) -> Callable[[int], Owner]:
    store = await installation.store(service.name)
    listening = listening_of(service.name, installation.sources, EVENTS)
    cached_max = installation.settings.cached_max

    def owner(partition: int) -> Owner:
        return Processor(
            service,
            partition,
            installation.bus,
            store,
            listening,
            telemetry,
            cached_max=cached_max,
            folding=folding,
        )

    return owner


async def _followers(
    installation: Installation, telemetry: Telemetry, projection: Projection
) -> Callable[[int], Owner]:
    store = await installation.store(projection.name)
    cached_max = installation.settings.cached_max

    def owner(partition: int) -> Owner:
        return Follower(
            projection, partition, installation.bus, store, telemetry, cached_max=cached_max
        )

    return owner


@asynccontextmanager
async def running(host: Host) -> AsyncIterator[asyncio.Task[None]]:
    """Run a host while the block runs; on leaving every partition finishes its batch."""
    task = asyncio.create_task(host.run())
    try:
        yield task
    finally:
        host.stop()
        await asyncio.wait([task])


def spare_collections() -> None:
    """Keep the garbage collector from what is loaded by now, and from looking at everything often.

    A full pass stops every partition of the process: 100 to 160 ms over what the code itself takes,
    several times a minute under load. What decisions leave behind holds no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


async def until_signal(task: asyncio.Task[None]) -> None:
    """Wait for SIGTERM, SIGINT or the end of the task, whose error is raised."""
    spare_collections()
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    if task.done():
        task.result()


async def serve_service(service: Service, settings: Settings) -> None:
    """Run one service until SIGTERM or SIGINT; stops cleanly: nothing is half done."""
    telemetry = Telemetry()
    async with open_installation(settings) as installation:
        host = await make_host(installation, telemetry, [service])
        async with contextlib.AsyncExitStack() as stack:
            task = await stack.enter_async_context(running(host))
            if settings.health_port is not None:
                server = health.server(host, telemetry, settings.http_host, settings.health_port)
                stack.push_async_callback(_stop, server, asyncio.create_task(server.serve()))
            telemetry.log.info("serving", service=service.name)
            await until_signal(task)
        telemetry.log.info("stopped", service=service.name)


async def _stop(server: Server, task: asyncio.Task[None]) -> None:
    server.should_exit = True
    await asyncio.wait([task], timeout=5)


def main(service: Service) -> int:
    """Run one service as a process of its own. Return its exit code."""
    configure_logs()
    try:
        run(serve_service(service, load_settings()))
    except StreamingError as error:
        Telemetry().log.error("cannot run", service=service.name, error=str(error))
        return 3
    return 0
