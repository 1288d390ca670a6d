"""Read models that are up to the journals, whether or not a cabinet runs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pfdo.settling import cabinet_reader, lag
from services.cabinet.projections import cabinet
from services.cabinet.queries import Queries
from streaming.errors import BehindError, FencedError
from streaming.follower import Follower
from streaming.installation import Installation
from streaming.positions import unpack_positions
from streaming.telemetry import Telemetry

NO_PROGRESS_SECONDS_MAX = 1.5
POLL_SECONDS = 0.02
IDLE_STEPS_MAX = 100


@asynccontextmanager
async def fresh_queries(installation: Installation) -> AsyncIterator[Queries]:
    """Yield the cabinet's questions; answers hold what the journals held when this was called.

    A running cabinet is given a moment; if it does not move, the journals are followed here.
    """
    reader = cabinet_reader()
    least, moved_at = None, time.monotonic()
    while left := (await lag(installation, [reader]))[reader.name]:
        if least is None or left < least:
            least, moved_at = left, time.monotonic()
        elif time.monotonic() - moved_at > NO_PROGRESS_SECONDS_MAX or not await _somebody_runs(
            installation
        ):
            await _catch_up(installation)
            break
        await asyncio.sleep(POLL_SECONDS)
    store = await installation.store(cabinet.name)
    yield Queries(store, installation.bus.partitions)


async def _somebody_runs(installation: Installation) -> bool:
    """Return whether services run here, so that somebody may be following."""
    from pfdo.system import running_now

    return bool(await running_now(installation.settings))


async def _is_at_end(installation: Installation, partition: int) -> bool:
    store = await installation.store(cabinet.name)
    standing = await store.standing(partition, cabinet.state_version)
    positions = unpack_positions(standing.fields.get("positions"))
    ends = await installation.bus.ends(cabinet.topics)
    return all(
        ends[(topic, partition)] == 0
        or (topic in positions and positions[topic].next >= ends[(topic, partition)])
        for topic in cabinet.topics
    )


async def _catch_up(installation: Installation) -> None:
    store = await installation.store(cabinet.name)
    telemetry = Telemetry()
    for partition in range(installation.bus.partitions):
        follower = Follower(cabinet, partition, installation.bus, store, telemetry)
        try:
            await follower.take_over()
            idle = 0
            while idle < IDLE_STEPS_MAX and not await _is_at_end(installation, partition):
                idle = 0 if await follower.step(POLL_SECONDS) else idle + 1
        except (BehindError, FencedError):
            # A cabinet has just been started: it is up to it now.
            continue
        finally:
            await follower.close()
