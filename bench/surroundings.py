"""A real Kafka and a real Redis for the bench: given by address, or started in containers."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

START_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the broker and the store are."""

    bootstrap: str
    redis_url: str

    def settings(self) -> dict[str, str]:
        """Return what a process has to be told to work here."""
        return {"PFDO_KAFKA_BOOTSTRAP": self.bootstrap, "PFDO_REDIS_URL": self.redis_url}


@contextlib.contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Yield a broker and a Redis with durable settings.

    BENCH_KAFKA and BENCH_REDIS name running ones; else containers are started for this run.
    """
    with contextlib.ExitStack() as stack:
        bootstrap, redis_url = os.environ.get("BENCH_KAFKA"), os.environ.get("BENCH_REDIS")
        if bootstrap is None or redis_url is None:
            from tests.support.containers import ApacheKafka, Redis

            if bootstrap is None:
                bootstrap = stack.enter_context(ApacheKafka()).bootstrap
            if redis_url is None:
                redis_url = stack.enter_context(Redis()).url
        yield Surroundings(bootstrap, redis_url)


@contextlib.contextmanager
def services(names: str, partitions: int, port: int, settings: Mapping[str, str]) -> Iterator[int]:
    """Run services as a process of their own; yield its pid when they are ready."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PFDO_")},
        "PFDO_PARTITIONS": str(partitions),
        "PFDO_HEALTH_PORT": str(port),
        "PFDO_SANDBOX": "1",
        **settings,
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pfdo", "run", "--services", names],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_ready(process, port, log)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def wait_ready(process: subprocess.Popen[bytes], port: int, log: object) -> None:
    """Wait until a process is ready; tell its last words if it is not."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.1)
    log.seek(0)  # type: ignore[attr-defined]
    sys.stderr.buffer.write(log.read()[-5000:])  # type: ignore[attr-defined]
    raise SystemExit("the services did not become ready")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2
