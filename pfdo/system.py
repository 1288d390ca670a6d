"""The whole system in this process, and whether one runs elsewhere on the same installation."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from streaming.host import Host, Owner
from streaming.installation import Installation
from streaming.process import make_host, running
from streaming.service import Service
from streaming.settings import Settings
from streaming.telemetry import Telemetry

SERVICES = ("enrollment", "certificates", "billing", "notifications")
READY_SECONDS_MAX = 60.0
GROUP_SECONDS_MAX = 5.0


def services_of(names: Iterable[str]) -> list[Service]:
    """Return services by name. Raises KeyError for another name."""
    import services.billing.app
    import services.certificates.app
    import services.enrollment.app
    import services.notifications.app

    known = {
        "enrollment": services.enrollment.app.service,
        "certificates": services.certificates.app.service,
        "billing": services.billing.app.service,
        "notifications": services.notifications.app.service,
    }
    return [known[name]() for name in names]


class RunLock:
    """Held while services run on a data directory; the system lets go of it when we die."""

    def __init__(self, data: Path) -> None:
        self._path = data / "run.lock"
        self._file: IO[str] | None = None

    def share(self) -> None:
        """Say that services run here."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a")
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def is_held(self) -> bool:
        """Return whether any process runs services here."""
        if not self._path.exists():
            return False
        with self._path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def release(self) -> None:
        """Say that this process runs none any more."""
        if self._file is not None:
            self._file.close()


async def runs_elsewhere(settings: Settings) -> bool:
    """Return whether services run on this installation in another process."""
    if not settings.uses_kafka:
        return RunLock(settings.data).is_held()
    return await _groups_have_members(str(settings.kafka_bootstrap))


async def _groups_have_members(bootstrap: str) -> bool:
    from streaming.kafka import group_members

    groups = [f"pfdo-{name}" for name in SERVICES]
    async with asyncio.timeout(GROUP_SECONDS_MAX):
        return any((await group_members(bootstrap, groups)).values())


@asynccontextmanager
async def system(
    installation: Installation,
    telemetry: Telemetry,
    names: Sequence[str] = SERVICES,
    *,
    cabinet: bool = True,
) -> AsyncIterator[tuple[Host, asyncio.Task[None]]]:
    """Run services, with the cabinet's read models, while the block runs; stops cleanly."""
    from services.cabinet.app import PROJECTION

    lock = RunLock(installation.settings.data)
    lock.share()
    try:
        await installation.bus.create_topics(installation.topics)
        projections = [PROJECTION] if cabinet else []
        senders = await _senders(installation, telemetry) if "notifications" in names else {}
        host = await make_host(installation, telemetry, services_of(names), projections, senders)
        async with AsyncExitStack() as stack:
            task = await stack.enter_async_context(running(host))
            yield host, task
    finally:
        lock.release()


async def _senders(
    installation: Installation, telemetry: Telemetry
) -> dict[str, Callable[[int], Owner]]:
    """Return the sender that runs beside notifications."""
    from services.notifications.senders import log

    store = await installation.store(log.NAME)
    bus = installation.bus
    return {log.NAME: lambda partition: log.LogSender(partition, bus, store, telemetry)}


async def until_ready(host: Host, task: asyncio.Task[None]) -> None:
    """Wait until every partition stands. Raises TimeoutError, or the host's own error."""
    async with asyncio.timeout(READY_SECONDS_MAX):
        while not host.is_ready and not task.done():
            await asyncio.sleep(0.01)
    if task.done():
        with suppress(asyncio.CancelledError):
            task.result()
