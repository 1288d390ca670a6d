"""The host: owns what it is given, waits out its surroundings, halts on defects, stops cleanly."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from streaming.errors import (
    BehindError,
    BusUnavailableError,
    FencedError,
    HaltError,
    StoreUnavailableError,
    UnreadableError,
    UnshownError,
)
from streaming.health import answer
from streaming.host import BACKOFF_SECONDS_MAX, FAILURES_BEFORE_HALT, Backoff, Host
from streaming.kafka import KafkaOwnership
from streaming.memory import MemoryBus, MemoryLog, MemoryOwnership
from streaming.processor import UndecidableError
from streaming.telemetry import Telemetry, configure_logs

Step = Callable[[], Coroutine[None, None, bool]]


class ScriptedOwner:
    """An owner of a partition that does what a script says, then idles."""

    def __init__(self, script: list[BaseException | bool], seen: list[str], fenced: bool) -> None:
        self._script = script
        self._seen = seen
        self._fenced = fenced

    async def take_over(self) -> None:
        self._seen.append("take over")

    async def step(self) -> bool:
        await asyncio.sleep(0.001)
        if not self._script:
            return False
        happens = self._script.pop(0)
        if isinstance(happens, BaseException):
            self._seen.append(type(happens).__name__)
            raise happens
        self._seen.append("step")
        return happens

    async def still_owner(self) -> bool:
        return True

    async def is_fenced(self) -> bool:
        return self._fenced

    async def close(self) -> None:
        self._seen.append("close")


@asynccontextmanager
async def hosted(
    *scripts: list[BaseException | bool], fenced: bool = False, bus: MemoryBus | None = None
) -> AsyncIterator[tuple[Host, list[list[str]], Telemetry]]:
    """Run a host of one service whose partitions have these scripts."""
    seen: list[list[str]] = [[] for _ in scripts]
    telemetry = Telemetry()
    host = Host(
        bus or MemoryBus(len(scripts)),
        {"billing": lambda p: ScriptedOwner(scripts[p], seen[p], fenced)},
        telemetry,
    )
    task = asyncio.create_task(host.run())
    try:
        yield host, seen, telemetry
    finally:
        host.stop()
        async with asyncio.timeout(5):
            await task


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


async def test_an_error_that_nobody_foresaw_is_told_and_waited_out() -> None:
    with structlog.testing.capture_logs() as told:
        async with hosted([AssertionError("no broker"), True]) as (_, seen, _):
            await eventually(lambda: "step" in seen[0])

    assert seen[0][:4] == ["take over", "AssertionError", "close", "take over"]
    assert [line["error"] for line in told if line["event"] == "step failed"] == [
        "AssertionError('no broker')"
    ]


class UnjoinableGroup:
    """A broker, and its subscriber, that cannot join a group, for a reason nobody foresaw."""

    consumer = None

    def subscriber(self, *_arguments: object, **_options: object) -> "UnjoinableGroup":
        return self

    def __call__(self, _handler: object) -> None:
        """Take a handler of records."""

    async def start(self) -> None:
        raise TypeError("of a client")

    async def stop(self) -> None:
        """Leave no group."""


class UnjoinableBus(MemoryBus):
    async def ownership(self, service: str) -> KafkaOwnership:  # type: ignore[override]
        group: Any = UnjoinableGroup()
        return KafkaOwnership(group, service, "calendar.events.v1", None, lambda _closed: None)


async def test_a_group_that_cannot_be_joined_for_a_reason_nobody_foresaw_ends_the_host() -> None:
    host = Host(UnjoinableBus(1), {"billing": lambda _: ScriptedOwner([], [], False)}, Telemetry())

    with pytest.RaisesGroup(pytest.RaisesExc(TypeError, match="of a client")):
        async with asyncio.timeout(5):
            await host.run()


@pytest.mark.parametrize("error", [BusUnavailableError, StoreUnavailableError, BehindError])
async def test_an_error_of_the_surroundings_is_waited_out(error: type[Exception]) -> None:
    async with hosted([True, error("away"), error("away"), True]) as (host, seen, telemetry):
        await eventually(lambda: seen[0].count("step") == 2)

    assert seen[0].count("take over") == 3
    assert seen[0][-1] == "close"
    assert telemetry.registry.get_sample_value("pfdo_retries_total", {"service": "billing"}) == 2
    assert host.halted == {}


async def test_trouble_that_is_over_is_told_no_longer() -> None:
    away: list[BaseException | bool] = [BusUnavailableError("away") for _ in range(3)]
    async with hosted([*away, True]) as (host, seen, telemetry):
        labels = {"service": "billing", "partition": "0"}
        await eventually(lambda: ("billing", 0) in host.in_trouble_since)
        await asyncio.sleep(0.01)
        answer("/metrics", host, telemetry)
        told = telemetry.registry.get_sample_value("pfdo_trouble_seconds", labels)
        await eventually(lambda: "step" in seen[0])

        assert told
        assert telemetry.registry.get_sample_value("pfdo_trouble_seconds", labels) == 0


async def test_a_halted_partition_that_was_given_away_is_told_no_longer() -> None:
    log = MemoryLog(2)
    scripts: list[list[BaseException | bool]] = [[], [HaltError("a hole")]]
    async with hosted(*scripts, bus=MemoryBus(2, log)) as (host, _, telemetry):
        labels = {"service": "billing", "partition": "1"}
        await eventually(lambda: ("billing", 1) in host.halted)
        other = MemoryOwnership(log, "billing")
        await eventually(lambda: host.owned["billing"] == {0} and not host.halted)

        assert telemetry.registry.get_sample_value("pfdo_partition_halted", labels) == 0
        await other.close()


async def test_a_defect_halts_its_partition_after_three_identical_failures_and_no_other() -> None:
    defect = [UndecidableError("attendance.events.v1 0/7") for _ in range(5)]
    async with hosted([*defect], [True] * 50) as (host, seen, _):
        await eventually(lambda: ("billing", 0) in host.halted and seen[1].count("step") == 50)

    assert seen[0].count("UndecidableError") == FAILURES_BEFORE_HALT
    assert "attendance.events.v1 0/7" in host.halted["billing", 0]
    assert set(host.halted) == {("billing", 0)}


async def test_a_defect_is_logged_with_its_kind_and_where_but_no_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def decide() -> UndecidableError:
        failed = UndecidableError("attendance.events.v1 0/7")
        try:
            raise KeyError("child-00001")  # noqa: TRY301 - it must have been raised somewhere
        except KeyError as error:
            failed.__cause__ = error
        return failed

    configure_logs()
    try:
        async with hosted([decide() for _ in range(5)], [True]) as (host, _, _):
            await eventually(lambda: ("billing", 0) in host.halted)
    finally:
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    failed = next(line for line in lines if line["event"] == "decision failed")
    (halted,) = [line for line in lines if line["event"] == "halted"]
    assert failed["error"] == "builtins.KeyError"
    assert failed["raised_at"].endswith(" decide")
    assert "builtins.KeyError" in halted["error"]
    assert halted["remedy"].startswith("pfdo dead-letters quarantine")
    assert "child-00001" not in str(lines)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        pytest.param(
            UndecidableError("attendance.events.v1 0/7"),
            "pfdo dead-letters quarantine billing attendance.events.v1 0 7 --why TEXT, or a fix",
            id="a record",
        ),
        pytest.param(
            UnreadableError("it cannot be read", "enrollment.events.v1 0/7"),
            "pfdo dead-letters quarantine billing enrollment.events.v1 0 7 --why TEXT, or a fix",
            id="a record that cannot be read",
        ),
        pytest.param(
            UndecidableError("due work of billing/0"),
            "a fix; this is no record that could be set aside",
            id="due work",
        ),
        pytest.param(
            UndecidableError("billing.events.v1 0/7"),
            "a fix; this is no record that could be set aside",
            id="its own journal",
        ),
        pytest.param(
            UnshownError("billing.events.v1 0/7"), "a fix; read models are read again", id="models"
        ),
        pytest.param(
            HaltError("it belongs to another bus"), "what the error says", id="something else"
        ),
    ],
)
async def test_the_remedy_of_a_halt_is_one_that_helps(error: Exception, remedy: str) -> None:
    with structlog.testing.capture_logs() as told:
        async with hosted([error] * 3) as (host, _, _):
            await eventually(lambda: bool(host.halted))

    (halted,) = [line for line in told if line["event"] == "halted"]
    assert halted["remedy"].startswith(remedy)
    assert "quarantine" in remedy or "docs/runbooks/partition-halted.md" in halted["remedy"]


async def test_failures_that_were_left_behind_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streaming.host.FAILURES_FORGOTTEN_SECONDS", 0.01)
    well: list[BaseException | bool] = [True] * 20
    script: list[BaseException | bool] = []
    for _ in range(4):
        script += [UndecidableError("due work of billing/0"), *well]
    async with hosted(script) as (host, seen, _):
        await eventually(lambda: bool(host.halted) or seen[0].count("step") == 80)

        assert host.halted == {}


async def test_what_a_client_of_the_store_raises_ends_no_halt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streaming.host.HALTED_CHECK_SECONDS", 0.01)
    monkeypatch.setattr("streaming.host.LEFT_PARTITION_RETRY_SECONDS", 0.02)
    asked: list[str] = []

    async def is_fenced(owner: ScriptedOwner) -> bool:
        del owner
        asked.append("fenced?")
        raise AssertionError("of a client")

    monkeypatch.setattr(ScriptedOwner, "is_fenced", is_fenced)
    async with hosted([HaltError("a hole"), True]) as (host, seen, _):
        await eventually(lambda: len(asked) >= 5)

        assert host.halted == {("billing", 0): "a hole"}
    assert seen[0].count("take over") == 1


class HangingOwner(ScriptedOwner):
    """An owner that cannot take over a second time: what it needs does not answer."""

    async def take_over(self) -> None:
        await super().take_over()
        if self._seen.count("take over") > 1:
            await asyncio.sleep(60)


async def test_an_owner_in_trouble_that_is_given_away_tells_of_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streaming.host.STOP_SECONDS_MAX", 0.3)
    monkeypatch.setattr("tests.streaming.test_host.ScriptedOwner", HangingOwner)
    log = MemoryLog(4)
    away: list[list[BaseException | bool]] = [
        [BusUnavailableError("away")] if partition % 2 else [] for partition in range(4)
    ]
    async with hosted(*away, bus=MemoryBus(4, log)) as (host, seen, telemetry):
        await eventually(
            lambda: (
                all(one.count("take over") == 2 for one in (seen[1], seen[3]))
                and set(host.in_trouble_since) == {("billing", 1), ("billing", 3)}
            )
        )
        answer("/metrics", host, telemetry)
        started = asyncio.get_running_loop().time()
        other = MemoryOwnership(log, "billing")
        await eventually(lambda: not host.in_trouble_since)
        seconds = asyncio.get_running_loop().time() - started
        answer("/metrics", host, telemetry)

        for partition in ("1", "3"):
            labels = {"service": "billing", "partition": partition}
            assert telemetry.registry.get_sample_value("pfdo_trouble_seconds", labels) == 0
            assert telemetry.registry.get_sample_value("pfdo_partition_owned", labels) == 0
        assert seen[1][-1] == seen[3][-1] == "close"
        # Both were waited for at the same time.
        assert seconds < 0.55
        await other.close()


async def test_what_a_person_must_look_at_is_not_tried_again() -> None:
    async with hosted([HaltError("a hole"), True]) as (host, seen, telemetry):
        await eventually(lambda: bool(host.halted))
        await asyncio.sleep(0.1)
        labels = {"service": "billing", "partition": "0"}
        halted = telemetry.registry.get_sample_value("pfdo_partition_halted", labels)

    assert host.halted == {("billing", 0): "a hole"}
    assert halted == 1
    assert seen[0].count("take over") == 1


async def test_a_halted_partition_that_somebody_took_over_is_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streaming.host.HALTED_CHECK_SECONDS", 0.01)
    monkeypatch.setattr("streaming.host.LEFT_PARTITION_RETRY_SECONDS", 0.05)
    async with hosted([HaltError("a hole"), True], fenced=True) as (host, seen, telemetry):
        await eventually(lambda: "step" in seen[0])
        labels = {"service": "billing", "partition": "0"}

    assert host.halted == {}
    assert telemetry.registry.get_sample_value("pfdo_partition_halted", labels) == 0
    assert seen[0].count("take over") == 2


async def test_who_was_replaced_leaves() -> None:
    async with hosted([FencedError("newer")], fenced=True) as (_, seen, _telemetry):
        await eventually(lambda: "FencedError" in seen[0])
        await asyncio.sleep(0.2)

    assert seen[0].count("take over") == 1


async def test_who_was_fenced_by_its_own_late_time_out_goes_on() -> None:
    async with hosted([FencedError("own"), True], fenced=False) as (_, seen, _telemetry):
        await eventually(lambda: "step" in seen[0])

    assert seen[0].count("take over") == 2


async def test_partitions_are_shared_and_given_back() -> None:
    log = MemoryLog(2)
    async with hosted([], [], bus=MemoryBus(2, log)) as (host, seen, telemetry):
        await eventually(lambda: host.is_ready and host.owned["billing"] == {0, 1})
        assert answer("/health/ready", host, telemetry)[0] == 200
        other = MemoryOwnership(log, "billing")
        await eventually(lambda: host.owned["billing"] == {0} and "close" in seen[1])
        await other.close()
        await eventually(lambda: host.owned["billing"] == {0, 1} and seen[1][-1] == "take over")

    assert seen[0][-1] == seen[1][-1] == "close"


async def test_it_is_not_ready_before_it_owns_anything() -> None:
    telemetry = Telemetry()
    host = Host(MemoryBus(1), {"billing": lambda p: ScriptedOwner([], [], False)}, telemetry)

    assert answer("/health/live", host, telemetry)[0] == 200
    assert answer("/health/ready", host, telemetry)[0] == 503
    assert answer("/elsewhere", host, telemetry)[0] == 404
    assert b"pfdo_decisions" in answer("/metrics", host, telemetry)[2]


def test_pauses_grow_up_to_a_limit_and_never_in_step() -> None:
    backoff = Backoff()
    pauses = [backoff.next_seconds() for _ in range(30)]

    assert pauses[0] <= 0.05
    assert all(BACKOFF_SECONDS_MAX / 2 <= pause <= BACKOFF_SECONDS_MAX for pause in pauses[10:])
    assert len(set(pauses)) == len(pauses)
