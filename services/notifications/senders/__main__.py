"""The sender that writes to the log, as a process of its own."""

import asyncio
import sys

from services.notifications.senders.log import NAME, LogSender
from streaming.errors import StreamingError
from streaming.host import Owner
from streaming.installation import open_installation
from streaming.process import make_host, running, until_signal
from streaming.settings import Settings, load_settings
from streaming.telemetry import Telemetry, configure_logs


async def serve(settings: Settings) -> None:
    """Send until SIGTERM or SIGINT; stops cleanly: nothing is half done."""
    telemetry = Telemetry()
    async with open_installation(settings) as installation:
        bus, store = installation.bus, await installation.store(NAME)

        def owner(partition: int) -> Owner:
            return LogSender(partition, bus, store, telemetry)

        host = await make_host(installation, telemetry, [], others={NAME: owner})
        async with running(host) as task:
            telemetry.log.info("serving", service=NAME)
            await until_signal(task)
        telemetry.log.info("stopped", service=NAME)


def main() -> int:
    """Run the sender. Return its exit code."""
    configure_logs()
    try:
        asyncio.run(serve(load_settings()))
    except StreamingError as error:
        Telemetry().log.error("cannot run", service=NAME, error=str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
