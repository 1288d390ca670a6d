"""`python -m tests.support.relay_process FILE`: a relay as a process of its own.

It prints its port, and writes a line for each mail it takes before it says so: its Message-ID.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.containers import free_port
from tests.support.endpoints import HOST, Mailbox

PAUSE_SECONDS = 0.02
"""Between taking a mail and saying so: a sender that is killed is often killed there."""


class Booking(Mailbox):
    """Books what it takes, then takes its time to answer."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._book = file.open("a", encoding="utf-8", buffering=1)

    async def handle_DATA(self, *given: Any) -> str:
        """Take a mail."""
        reply = await super().handle_DATA(*given)
        self._book.write(f"{self.ids[-1]}\n")
        self.mails.clear()
        await asyncio.sleep(PAUSE_SECONDS)
        return reply


def main() -> None:
    """Serve until told to stop."""
    controller = Controller(Booking(Path(sys.argv[1])), hostname=HOST, port=free_port())
    controller.start()
    print(controller.port, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    controller.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
