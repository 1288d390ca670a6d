"""The services as processes, two replicas each, and who starts them again when they die."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streaming.settings import PREFIX
from tests.chaos.skewed import make_clock

ROOT = Path(__file__).parents[2]
STOP_SECONDS_MAX = 45.0
RESTART_SECONDS = 1.0
LOOK_SECONDS = 0.1


class Replica:
    """One process of one service."""

    def __init__(self, service: str, number: int, home: Path, settings: Mapping[str, str]) -> None:
        self.service, self.number = service, number
        self.name = f"{service}-{number}"
        self.clock = home / f"{self.name}.clock"
        self.log = home / f"{self.name}.log"
        self._settings = {**settings, "PFDO_INSTANCE": self.name}
        self._process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        """Whether it is started again when it is found dead."""
        self.starts = 0
        self.is_paused = False
        make_clock(self.clock)
        self.log.touch()

    def start(self) -> None:
        """Start it, and from now on again whenever it dies."""
        self.wanted = True
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        module = f"services.{self.service}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.skewed", str(self.clock), module],
                cwd=ROOT,
                env={**inherited, **self._settings},
                stdout=log,
                stderr=log,
            )
        self.starts += 1

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return how it ended; None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended: another fault may have been faster."""
        assert self._process is not None
        self._process.send_signal(number)
        self.is_paused = number == signal.SIGSTOP and self.exit_code is None

    def is_stopped(self) -> bool:
        """Return whether the kernel has stopped it."""
        if self.exit_code is not None:
            return False
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] == "T"

    async def ended(self, seconds_max: float = STOP_SECONDS_MAX) -> int | None:
        """Wait until it has ended; return how, or None if it did not in time."""
        deadline = time.monotonic() + seconds_max
        while self.exit_code is None and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
        return self.exit_code

    def memory_bytes(self) -> int:
        """Return how much memory it holds; 0 if it does not run."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except OSError:
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def told(self, since_bytes: int = 0) -> Iterator[dict[str, Any]]:
        """Yield what it logged; a line that is no JSON as `{"raw": …}`."""
        with self.log.open("rb") as log:
            log.seek(since_bytes)
            for line in log:
                try:
                    yield json.loads(line)
                except ValueError:
                    yield {"raw": line.decode(errors="replace")}

    @property
    def log_bytes(self) -> int:
        """Return where its log ends now."""
        return self.log.stat().st_size


class Supervisor:
    """Starts what died and was not meant to stay dead, as a container's restart policy does."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = replicas
        self.deaths: list[tuple[str, int]] = []
        """Who ended without having been told to, and with which code."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start everybody, and keep everybody running."""
        for replica in self.replicas:
            replica.start()
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(RESTART_SECONDS)
            for replica in self.replicas:
                if replica.wanted and replica.exit_code is not None:
                    self.deaths.append((replica.name, replica.exit_code))
                    replica.start()

    async def stop(self) -> list[str]:
        """Stop everybody; return who had to be killed."""
        if self._task is not None:
            self._task.cancel()
        for replica in self.replicas:
            replica.wanted = False
            if replica.starts and replica.exit_code is None:
                if replica.is_paused:
                    replica.signal(signal.SIGCONT)
                replica.signal(signal.SIGTERM)
        stubborn = []
        for replica in self.replicas:
            if replica.starts and await replica.ended() is None:
                stubborn.append(replica.name)
                replica.signal(signal.SIGKILL)
                await replica.ended()
        return stubborn
