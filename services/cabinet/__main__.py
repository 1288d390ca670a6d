"""The cabinet as a process of its own: read models, pages and API."""

import sys

from services.cabinet.app import create_app, serving
from services.cabinet.projections import cabinet
from streaming.errors import StreamingError
from streaming.event_loop import run
from streaming.installation import open_installation
from streaming.process import make_host, running, until_signal
from streaming.settings import Settings, load_settings
from streaming.telemetry import Telemetry, configure_logs


async def serve(settings: Settings) -> None:
    """Run the cabinet until SIGTERM or SIGINT; stops cleanly."""
    telemetry = Telemetry()
    async with open_installation(settings) as installation:
        host = await make_host(installation, telemetry, [], [cabinet])
        app = await create_app(installation, host, telemetry, settings)
        async with running(host) as task, serving(app, settings.http_host, settings.port) as port:
            telemetry.log.info("serving", service=cabinet.name, port=port)
            await until_signal(task)
    telemetry.log.info("stopped", service=cabinet.name)


def main() -> int:
    """Run the cabinet. Return its exit code."""
    configure_logs()
    try:
        run(serve(load_settings()))
    except StreamingError as error:
        Telemetry().log.error("cannot run", service=cabinet.name, error=str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
