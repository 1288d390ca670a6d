"""The faults: each strikes, lasts, is lifted, and says how it was seen to have struck."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import RedisError

from tests.chaos import skewed
from tests.chaos.installation import EVERYBODY, Struck
from tests.chaos.processes import Replica
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Broker, RedisServer

SESSION_SECONDS = 15.0
"""After so long without a sign of life another replica is given the partitions (kafka.py)."""
HEIRS_SECONDS_MAX = 15.0
NOTICED_SECONDS_MAX = 60.0
FULL_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.2
SIGNS = frozenset(
    {
        "waiting for the surroundings",
        "no ownership",
        "fenced",
        "cannot run",
        "state folded from the journal",
    }
)
"""What an owner says that has noticed that something is wrong."""


class NotStruckError(Exception):
    """A fault was not seen to have struck: nothing was shown."""


class NotStoppedError(Exception):
    """A service that was told to stop did not."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is about to strike. `strikes` returns how it was seen."""

    kind: str
    at: frozenset[str]
    """What it strikes: two at once must not strike the same."""
    strikes: Callable[[], Awaitable[str]]


class Watch:
    """Where logs ended when a fault struck: so what was told since can be looked for."""

    def __init__(self, replicas: Iterable[Replica]) -> None:
        self._marks = [(replica, replica.log_bytes) for replica in replicas]

    async def saw(self, signs: frozenset[str] = SIGNS) -> str:
        """Return who first said one of these, and what. Raises NotStruckError."""
        deadline = time.monotonic() + NOTICED_SECONDS_MAX
        while time.monotonic() < deadline:
            for replica, mark in self._marks:
                for told in replica.told(mark):
                    if told.get("event") in signs:
                        return f"{replica.name}: {told['event']}"
            await asyncio.sleep(LOOK_SECONDS)
        raise NotStruckError("nobody noticed")


# --- services -------------------------------------------------------------------------------


async def killed(struck: Struck, replica: Replica, chance: random.Random) -> str:
    """SIGKILL; it comes back at once, or after others have taken its partitions."""
    replica.wanted = False
    replica.signal(signal.SIGKILL)
    code = await replica.ended()
    _seen(code == -signal.SIGKILL, f"{replica.name} ended with {code}")
    await asyncio.sleep(chance.choice((0.0, 0.5, 2.0, 2.0, SESSION_SECONDS + 3)))
    replica.start()
    return f"{replica.name} ended with {code}"


async def terminated(struck: Struck, replica: Replica, chance: random.Random) -> str:
    """SIGTERM in the middle of its work; it has to end by itself, with 0."""
    await _told_to_stop(replica)
    await asyncio.sleep(chance.choice((0.0, 1.0, 4.0)))
    replica.start()
    return f"{replica.name} ended with 0"


async def _told_to_stop(replica: Replica) -> None:
    replica.wanted = False
    replica.signal(signal.SIGTERM)
    code = await replica.ended()
    if code is None:
        replica.signal(signal.SIGKILL)
        await replica.ended()
        replica.start()
        raise NotStoppedError(f"{replica.name} did not stop")
    # It may have died of something else just before: then this has struck nothing.
    _seen(code == 0, f"{replica.name} ended with {code}")


async def rolled(struck: Struck, service: str, chance: random.Random) -> str:
    """One replica after the other is stopped and started, as by an upgrade."""
    for replica in struck.replicas_of(service):
        watch = Watch([replica])
        await _told_to_stop(replica)
        replica.start()
        await watch.saw(frozenset({"serving"}))
    return f"each replica of {service} was replaced"


async def stopped(struck: Struck, replica: Replica, chance: random.Random) -> str:
    """SIGSTOP for longer than its session: it wakes up as a zombie, and is told so."""
    before = _epochs(struck.redis[replica.service])
    replica.signal(signal.SIGSTOP)
    await asyncio.sleep(0.1)
    is_stopped = replica.is_stopped()
    await asyncio.sleep(SESSION_SECONDS)
    # Its heirs need a moment; if it owned nothing, or Redis is away too, there are none.
    deadline = time.monotonic() + HEIRS_SECONDS_MAX
    while (moved := _moved(before, struck.redis[replica.service])) == 0:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(chance.uniform(0.0, 3.0))
    was_stopped = is_stopped and replica.is_stopped()
    replica.signal(signal.SIGCONT)
    _seen(was_stopped, f"{replica.name} was not stopped all the time")
    return f"{replica.name} stood still, {moved} partitions were taken over meanwhile"


async def held_up(struck: Struck, replica: Replica, chance: random.Random) -> str:
    """SIGSTOP for some seconds: it goes on in the middle of what it did."""
    replica.signal(signal.SIGSTOP)
    await asyncio.sleep(0.1)
    is_stopped = replica.is_stopped()
    await asyncio.sleep(chance.uniform(1.0, 9.0))
    replica.signal(signal.SIGCONT)
    _seen(is_stopped, f"{replica.name} was not stopped")
    return f"{replica.name} stood still"


async def clock_wrong(struck: Struck, replica: Replica, chance: random.Random) -> str:
    """Its wall clock jumps, by a second or by a year, and back."""
    off = chance.choice((-1, 1)) * chance.choice((1, 3, 60, 3_600, 86_400, 400 * 86_400))
    skewed.set_clock(replica.clock, off)
    try:
        deadline = time.monotonic() + NOTICED_SECONDS_MAX
        since = time.time()
        while True:
            told = skewed.told_seconds(replica.clock) - off
            if since - 0.1 <= told <= time.time() + 0.1:
                break
            _seen(time.monotonic() < deadline, f"{replica.name} never asked for the time")
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(chance.uniform(1.0, 8.0))
    finally:
        skewed.set_clock(replica.clock, 0)
    return f"{replica.name} told a time {off} s off"


# --- Redis ----------------------------------------------------------------------------------


async def redis_killed(struck: Struck, services: Sequence[str], chance: random.Random) -> str:
    """SIGKILL: it comes back with what it acknowledged."""
    return await _while_dead(struck, services, chance, lambda _server: None)


async def redis_wiped(struck: Struck, services: Sequence[str], chance: random.Random) -> str:
    """It comes back empty: the disk was lost."""

    def wipe(server: RedisServer) -> None:
        server.forget_everything()

    signs = frozenset({"state folded from the journal", "fenced", *SIGNS})
    return await _while_dead(struck, services, chance, wipe, signs, forgets=True)


async def redis_gone_back(struck: Struck, services: Sequence[str], chance: random.Random) -> str:
    """It comes back as an older copy of itself."""

    def go_back(server: RedisServer) -> None:
        server.go_back()

    return await _while_dead(struck, services, chance, go_back, forgets=True)


async def redis_cut(struck: Struck, services: Sequence[str], chance: random.Random) -> str:
    """The end of its file is lost, in the middle of an entry."""

    def cut(server: RedisServer) -> None:
        _seen(server.cut_file(chance.uniform(0.001, 0.3)) > 0, "nothing was cut")

    return await _while_dead(struck, services, chance, cut, forgets=True)


async def _while_dead(
    struck: Struck,
    services: Sequence[str],
    chance: random.Random,
    what: Callable[[RedisServer], None],
    signs: frozenset[str] = SIGNS,
    *,
    forgets: bool = False,
) -> str:
    servers = [struck.redis[name] for name in services]
    watch = Watch(r for r in struck.replicas if r.service in services)
    remembered = [server.commits() for server in servers] if forgets else []
    dead = await asyncio.gather(*(server.kill() for server in servers))
    try:
        for server in servers:
            what(server)
        await asyncio.sleep(chance.choice((0.0, 0.0, 1.0, 4.0)))
    finally:
        await asyncio.gather(*(server.start() for server in servers))
    _seen(all(dead), f"Redis of {services} did not die")
    told = await watch.saw(signs)
    if not forgets:
        return f"killed; {told}"
    # Owners may have healed it by now: what they said is what counts.
    return f"killed, {sum(remembered)} commits remembered before; {told}"


async def redis_stopped(struck: Struck, services: Sequence[str], chance: random.Random) -> str:
    """It stands still for longer than anybody waits for an answer."""
    watch = Watch(r for r in struck.replicas if r.service in services)
    servers = [struck.redis[name] for name in services]
    silent = await asyncio.gather(*(server.pause() for server in servers))
    await asyncio.sleep(chance.uniform(6.0, 9.0))
    await asyncio.gather(*(server.resume() for server in servers))
    _seen(all(silent), f"Redis of {services} went on answering")
    return f"no answer; {await watch.saw()}"


async def redis_memory_full(struck: Struck, services: Sequence[str], chance: random.Random) -> str:
    """`maxmemory` is reached: it reads and does not write."""
    (service,) = services
    client = struck.redis[service].direct
    before = _refused_writes(client)
    client.config_set("maxmemory", 1)
    try:
        deadline = time.monotonic() + FULL_SECONDS_MAX
        while _refused_writes(client) == before:
            _seen(time.monotonic() < deadline, f"nobody wrote to Redis of {service}")
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(chance.uniform(0.0, 5.0))
        refused = _refused_writes(client) - before
    finally:
        client.config_set("maxmemory", 0)
    return f"{refused} writes refused"


def _refused_writes(client: Any) -> int:
    return int(client.info("errorstats").get("errorstat_OOM", {}).get("count", 0))


async def redis_disk_full(struck: Struck, services: Sequence[str], chance: random.Random) -> str:
    """Its file cannot grow: it dies in the middle of the write that would not fit."""
    (service,) = services
    server = struck.redis[service]
    watch = Watch(struck.replicas_of(service))
    server.limit_file(chance.choice((0, 1, 100, 3_000, 20_000)))
    died = await server.has_died(FULL_SECONDS_MAX)
    if not died:
        await server.kill()
    await asyncio.sleep(chance.choice((0.0, 1.0, 3.0)))
    await server.start()
    _seen(died, f"nobody wrote to Redis of {service}")
    return f"died while writing; {await watch.saw()}"


# --- Kafka and lines ------------------------------------------------------------------------


async def broker_killed(struck: Struck, broker: Broker, chance: random.Random) -> str:
    """SIGKILL of a broker, which comes back."""
    is_dead = await broker.kill()
    await asyncio.sleep(chance.choice((0.0, 2.0, 8.0)))
    await broker.start()
    _seen(is_dead, "the broker did not die")
    return f"broker {broker.number} was killed"


async def broker_stopped(struck: Struck, broker: Broker, chance: random.Random) -> str:
    """A broker stands still."""
    is_paused = await broker.pause()
    await asyncio.sleep(chance.uniform(3.0, 14.0))
    await broker.resume()
    _seen(is_paused, "the broker was not paused")
    return f"broker {broker.number} stood still"


async def line_cut(struck: Struck, lines: Sequence[Proxy], chance: random.Random) -> str:
    """Connections are reset, some or all; perhaps no new ones are taken for a while."""
    share = chance.choice((0.3, 1.0))
    refused_seconds = chance.choice((0.0, 0.0, 2.0, 7.0))
    for line in lines:
        line.refuse(refused_seconds > 0)
    broken = sum(line.cut(share, chance) for line in lines) or sum(
        line.cut(1.0, chance) for line in lines
    )
    await asyncio.sleep(refused_seconds)
    for line in lines:
        line.refuse(False)
    _seen(broken > 0, "there were no connections")
    return f"{broken} connections were broken"


async def line_slow(struck: Struck, lines: Sequence[Proxy], chance: random.Random) -> str:
    """Everything arrives late."""
    before = sum(line.delayed_bytes for line in lines)
    delay_seconds = chance.choice((0.01, 0.05, 0.3))
    for line in lines:
        line.slow_down(delay_seconds)
    await asyncio.sleep(chance.uniform(4.0, 9.0))
    for line in lines:
        line.slow_down(0.0)
    late = sum(line.delayed_bytes for line in lines) - before
    _seen(late > 0, "nothing passed")
    return f"{late} bytes came {delay_seconds} s late"


async def line_dead(struck: Struck, lines: Sequence[Proxy], chance: random.Random) -> str:
    """Connections stay open and nothing passes; then everything arrives at once."""
    before = sum(line.swallowed_reads for line in lines)
    for line in lines:
        line.swallow(True)
    await asyncio.sleep(chance.uniform(3.0, 14.0))
    for line in lines:
        line.swallow(False)
    held = sum(line.swallowed_reads for line in lines) - before
    _seen(held > 0, "nobody sent anything")
    return f"{held} messages were held"


# --- drawing --------------------------------------------------------------------------------


def _one_replica(struck: Struck, chance: random.Random) -> tuple[frozenset[str], Any]:
    replica = chance.choice(struck.replicas)
    return frozenset({replica.name}), replica


def _one_service(struck: Struck, chance: random.Random) -> tuple[frozenset[str], Any]:
    service = chance.choice(EVERYBODY)
    return frozenset(replica.name for replica in struck.replicas_of(service)), service


def _one_redis(struck: Struck, chance: random.Random) -> tuple[frozenset[str], Any]:
    service = chance.choice(EVERYBODY)
    return frozenset({f"redis of {service}"}), (service,)


def _all_redis(struck: Struck, chance: random.Random) -> tuple[frozenset[str], Any]:
    return frozenset(f"redis of {service}" for service in EVERYBODY), EVERYBODY


def _one_broker(struck: Struck, chance: random.Random) -> tuple[frozenset[str], Any]:
    return frozenset({"kafka"}), chance.choice(struck.brokers)


def _lines_to_kafka(struck: Struck, chance: random.Random) -> tuple[frozenset[str], Any]:
    return frozenset({"kafka"}), struck.lines_to_kafka


def _line_to_redis(struck: Struck, chance: random.Random) -> tuple[frozenset[str], Any]:
    service = chance.choice(EVERYBODY)
    return frozenset({f"redis of {service}"}), [struck.lines_to_redis[service]]


KINDS: dict[str, tuple[int, Any, Any]] = {
    "service killed": (6, _one_replica, killed),
    "service terminated": (3, _one_replica, terminated),
    "service paused past its session": (4, _one_replica, stopped),
    "service held up for seconds": (2, _one_replica, held_up),
    "service restarted replica by replica": (2, _one_service, rolled),
    "clock of a service wrong": (3, _one_replica, clock_wrong),
    "Redis killed": (4, _one_redis, redis_killed),
    "Redis wiped": (4, _one_redis, redis_wiped),
    "Redis gone back to an old copy": (4, _one_redis, redis_gone_back),
    "Redis file cut": (3, _one_redis, redis_cut),
    "Redis paused": (3, _one_redis, redis_stopped),
    "Redis memory full": (3, _one_redis, redis_memory_full),
    "Redis disk full": (3, _one_redis, redis_disk_full),
    "all Redis killed": (1, _all_redis, redis_killed),
    "all Redis wiped": (1, _all_redis, redis_wiped),
    "all Redis gone back": (1, _all_redis, redis_gone_back),
    "all Redis paused": (1, _all_redis, redis_stopped),
    "broker killed": (2, _one_broker, broker_killed),
    "broker paused": (2, _one_broker, broker_stopped),
    "line to Kafka cut": (3, _lines_to_kafka, line_cut),
    "line to Kafka slow": (2, _lines_to_kafka, line_slow),
    "line to Kafka dead": (2, _lines_to_kafka, line_dead),
    "line to Redis cut": (3, _line_to_redis, line_cut),
    "line to Redis slow": (2, _line_to_redis, line_slow),
    "line to Redis dead": (2, _line_to_redis, line_dead),
}
"""How often each kind is drawn, what it strikes, how."""

NEEDS_OWN_KAFKA = frozenset(kind for kind in KINDS if "broker" in kind or "Kafka" in kind)


def drawn(struck: Struck, faults: int, together_max: int, chance: random.Random) -> list[list[str]]:
    """Return kinds of faults in rounds of one to so many that strike at about the same time.

    Every kind comes once before any comes by chance.
    """
    possible = [kind for kind in KINDS if struck.brokers or kind not in NEEDS_OWN_KAFKA]
    kinds = chance.sample(possible, len(possible))[:faults]
    weights = [KINDS[kind][0] for kind in possible]
    kinds += chance.choices(possible, weights, k=faults - len(kinds))
    chance.shuffle(kinds)
    rounds: list[list[str]] = []
    while kinds:
        size = chance.randint(1, together_max)
        rounds.append(kinds[:size])
        kinds = kinds[size:]
    return rounds


def aimed(struck: Struck, kinds: Iterable[str], chance: random.Random) -> list[Fault]:
    """Return faults of these kinds with what they strike, no two at the same.

    What finds no room any more is left out; the caller draws it again.
    """
    taken: set[str] = set()
    found: list[Fault] = []
    for kind in kinds:
        _, choose, strike = KINDS[kind]
        for _ in range(20):
            at, what = choose(struck, chance)
            if not at & taken:
                taken |= at
                own = random.Random(chance.random())
                found.append(
                    Fault(kind, at, lambda s=strike, w=what, o=own: s(struck, w, o))  # type: ignore[misc]
                )
                break
    return found


def _seen(struck: bool, otherwise: str) -> None:
    if not struck:
        raise NotStruckError(otherwise)


def _moved(before: dict[str, int], server: RedisServer) -> int:
    """Return how many partitions have a newer owner."""
    now = _epochs(server)
    return sum(now.get(place, 0) > epoch for place, epoch in before.items())


def _epochs(server: RedisServer) -> dict[str, int]:
    try:
        return server.epochs()
    except RedisError:
        return {}
