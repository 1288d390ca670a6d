"""The whole system in this process, and whether one runs elsewhere on the same installation."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
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


class RunLocks:
    """Held while services run on a data directory; the kernel lets go of them when we die."""

    def __init__(self, data: Path) -> None:
        self._directory = data / "run"
        self._files: list[IO[str]] = []

    def share(self, names: Iterable[str]) -> None:
        """Say that these services run here. Several processes may: one works, others stand by."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            file = (self._directory / f"{name}.lock").open("a")
            self._files.append(file)
            fcntl.flock(file, fcntl.LOCK_SH)

    def held(self) -> frozenset[str]:
        """Return which services any process runs here."""
        return frozenset(
            path.stem for path in self._directory.glob("*.lock") if not _can_be_had(path)
        )

    def release(self) -> None:
        """Say that this process runs none any more."""
        for file in self._files:
            file.close()


def _can_be_had(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def running_now(settings: Settings, names: Collection[str] = SERVICES) -> frozenset[str]:
    """Return which services run on this installation, in any process.

    On Kafka it can be told of the cabinet and the senders too.
    """
    if not settings.uses_kafka:
        return RunLocks(settings.data).held() & set(names)
    return await _with_members(settings, names)


async def _with_members(settings: Settings, names: Collection[str]) -> frozenset[str]:
    from streaming.kafka import group_members
    from streaming.kafka_security import security_of

    groups = {f"pfdo-{name}": name for name in names}
    members = await group_members(
        str(settings.kafka_bootstrap), list(groups), security_of(settings)
    )
    return frozenset(groups[group] for group, number in members.items() if number)


@asynccontextmanager
async def system(
    installation: Installation,
    telemetry: Telemetry,
    names: Sequence[str] = SERVICES,
    *,
    cabinet: bool = True,
    senders: bool = True,
) -> AsyncIterator[tuple[Host, asyncio.Task[None]]]:
    """Run services, read models and senders while the block runs; stops cleanly."""
    from services.cabinet import projections

    locks = RunLocks(installation.settings.data)
    if not installation.settings.uses_kafka:
        locks.share(names)
    try:
        await installation.make_topics()
        models = [projections.cabinet] if cabinet else []
        others = await _senders(installation, telemetry) if senders else {}
        host = await make_host(installation, telemetry, services_of(names), models, others)
        async with AsyncExitStack() as stack:
            task = await stack.enter_async_context(running(host))
            yield host, task
    finally:
        locks.release()


async def _senders(
    installation: Installation, telemetry: Telemetry
) -> Mapping[str, Callable[[int], Owner]]:
    """Return what carries messages out, beside the services."""
    from services.notifications.senders.assembly import senders

    return await senders(installation, telemetry)


async def until_ready(host: Host, task: asyncio.Task[None]) -> None:
    """Wait until every partition stands. Raises TimeoutError, or the host's own error."""
    async with asyncio.timeout(READY_SECONDS_MAX):
        while not host.is_ready and not task.done():
            await asyncio.sleep(0.01)
    if task.done():
        with suppress(asyncio.CancelledError):
            task.result()
