"""What runs, what is started beside it, and what is left when it is told to stop."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pfdo.system import SERVICES, RunLocks
from tests.pfdo.worlds import SMALL
from tests.support.containers import free_port
from tests.support.installation import OWNED, Installation, metrics_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

AUTUMN = Path(__file__).parents[2] / "examples" / "autumn.jsonl"
SECONDS_MAX = 60


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, f"{what} took too long"
        time.sleep(0.02)


def servers_of(installation: Installation) -> list[Path]:
    """Return the processes of embedded servers that work in the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            directory = (process / "cwd").resolve()
            name = (process / "comm").read_text()
        except OSError:
            continue
        if "server" in name and directory.is_relative_to(installation.data.resolve()):
            found.append(process)
    return found


@pytest.fixture
def fresh(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "data")


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to look for processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_play_that_is_told_to_stop_leaves_no_server_and_nothing_half_done(
    fresh: Installation, number: signal.Signals
) -> None:
    process = fresh.start("play", str(AUTUMN))
    wait_for(lambda: "enrollment" in RunLocks(fresh.data).held(), "starting services")
    wait_for(lambda: len(servers_of(fresh)) == 2, "starting servers")
    process.send_signal(number)
    output, _ = process.communicate(timeout=SECONDS_MAX)

    assert process.returncode == 128 + number, output.decode()
    assert b"Traceback" not in output
    assert servers_of(fresh) == []
    assert RunLocks(fresh.data).held() == frozenset()
    assert fresh.pfdo("export").returncode == 0


def test_play_starts_the_services_that_do_not_run(fresh: Installation) -> None:
    process = fresh.start("run", "--services", "enrollment,billing", "--no-cabinet")
    try:
        wait_for(
            lambda: RunLocks(fresh.data).held() == {"enrollment", "billing"}, "starting services"
        )
        found = fresh.pfdo("doctor")
        assert found.returncode == 1
        assert b"certificates, notifications: none runs" in found.stdout

        played = fresh.json("play", str(SMALL), "--timeout", "60")
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=SECONDS_MAX)

    assert played["settled"] is True
    assert process.returncode == 0, output.decode()
    assert fresh.json("show", "enrollment", "enr-first")["lessons_charged"] == 1
    assert fresh.json("settle")["settled"] is True


@pytest.mark.containers
def test_doctor_names_who_does_not_run_beside_the_services(on_kafka: Installation) -> None:
    port = free_port()
    process = on_kafka.start("run", "--services", ",".join(SERVICES), PFDO_HEALTH_PORT=str(port))

    def found() -> dict[str, str]:
        findings = json.loads(on_kafka.pfdo("doctor", "--json").stdout)
        return {each["what"]: each["found"] for each in findings}

    try:
        # Cheaper to ask than doctor, which is a process of its own each time.
        wait_for(lambda: len(metrics_of(process, port, OWNED)) == 3 * len(SERVICES), "owning")
        wait_for(
            lambda: found().get("services") == "senders, cabinet: none runs", "naming who is away"
        )
        redis_url = on_kafka.environment.pop("PFDO_REDIS_URL")
        for name in SERVICES:
            on_kafka.environment[f"PFDO_{name.upper()}_REDIS_URL"] = redis_url
        assert "lag of cabinet" not in found()
        assert found()["services"] == "running"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS_MAX)


def test_run_plays_a_file_tells_what_happened_and_a_second_time_that_nothing_did(
    fresh: Installation,
) -> None:
    told: list[str] = []
    for _ in range(2):
        process = fresh.start("run", "--play", str(SMALL), "--port", str(free_port()))
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.decode())
            if "Ctrl-C ends" in lines[-1]:
                break
        if not told:
            again = fresh.pfdo("run", "--play", str(SMALL), "--port", str(free_port()))
            assert again.returncode == 2
            assert b"pfdo play" in again.stderr
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS_MAX)
        assert process.returncode == 0
        told.append("".join(lines))

    first, second = told
    assert "each has its decision: 11 applied, 1 waiting for what they name." in first
    assert "Certificates: 1" in first
    assert "Debits for lessons: 1, 251,49" in first.replace("\u00a0", " ")
    assert "The cabinet is open at http://127.0.0.1:" in first
    assert "nothing changed" not in first
    assert "each has its decision: 12 duplicates." in second
    assert "nothing changed, nothing was charged twice" in second


def test_a_file_can_only_be_played_by_all_services(fresh: Installation) -> None:
    done = fresh.pfdo("run", "--services", "billing", "--play", str(SMALL))

    assert done.returncode == 2
    assert b"leave --services out" in done.stderr
