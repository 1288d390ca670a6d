"""`pfdo run`, `play`, `publish`, `settle`: what makes the system work."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pfdo import options
from pfdo.options import BusOption, DataOption, JsonOption

if TYPE_CHECKING:
    from pfdo.settling import Left

WATCH_SECONDS = 2.0

FileArgument = Annotated[Path, typer.Argument(help="A play file: CloudEvents, one a line.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (run, play, publish, settle):
        app.command()(command)


def run(
    context: typer.Context,
    services: Annotated[
        str | None, typer.Option(help="Names with commas; all of them without it.")
    ] = None,
    no_cabinet: Annotated[
        bool, typer.Option("--no-cabinet", help="No read models, no page.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Port of the cabinet (8038).")] = None,
    play_file: Annotated[
        Path | None, typer.Option("--play", help="Play this file, show what came of it, go on.")
    ] = None,
    data: DataOption = None,
    bus: BusOption = None,
) -> None:
    """Run services in this process until SIGTERM or Ctrl-C; stops cleanly."""
    from pfdo.system import SERVICES

    names = SERVICES if services is None else tuple(services.split(","))
    unknown = [name for name in names if name not in (*SERVICES, "senders", "cabinet")]
    if unknown:
        options.stop(
            f"{unknown[0]} is no service; there are {', '.join(SERVICES)}, senders and cabinet.",
            options.WRONG,
        )
    cabinet = not no_cabinet and (services is None or "cabinet" in names)
    senders = services is None or "senders" in names
    names = tuple(name for name in names if name in SERVICES)
    changes: dict[str, Any] = {"port": port}
    if play_file is not None:
        if set(names) != set(SERVICES):
            options.stop("--play needs all services: leave --services out.", options.WRONG)
        # Playing a file is for trying: its people are invented.
        changes["sandbox"] = True
    settings = options.settings_of(context, data, bus, **changes)
    level = logging.INFO if play_file is None else logging.WARNING
    health_port = settings.health_port
    if health_port is None and not cabinet:
        # The port that was asked for, where nothing else will answer there.
        health_port = port
    options.run(
        lambda: _run(settings, names, play_file, health_port, cabinet=cabinet, senders=senders),
        level,
        runs_until_told=True,
    )


async def _run(
    settings: Any,
    names: tuple[str, ...],
    play_file: Path | None,
    health_port: int | None,
    *,
    cabinet: bool,
    senders: bool,
) -> None:
    from pfdo.system import running_now, system, until_ready
    from streaming import health
    from streaming.installation import open_installation
    from streaming.process import until_signal
    from streaming.telemetry import Telemetry

    telemetry = Telemetry()
    address: str | None = None
    if play_file is not None:
        print(f"Starting the services on {settings.data}/ …", flush=True)
    async with AsyncExitStack() as stack:
        installation = await stack.enter_async_context(open_installation(settings))
        lines = []
        if play_file is not None:
            lines = _read(play_file, installation)
            if await running_now(settings):
                options.stop(
                    f"The services run here already. Play into them: pfdo play {play_file}",
                    options.WRONG,
                )
        host, task = await stack.enter_async_context(
            system(installation, telemetry, names, cabinet=cabinet, senders=senders)
        )
        if cabinet:
            from services.cabinet.app import create_app, serving

            web = await create_app(installation, host, telemetry, settings)
            port = await stack.enter_async_context(serving(web, settings.http_host, settings.port))
            address = f"http://{settings.http_host}:{port}"
            telemetry.log.info("serving", address=address)
        if health_port is not None and not (cabinet and health_port == settings.port):
            server = health.server(host, telemetry, settings.http_host, health_port)
            stack.push_async_callback(_stop_server, server, asyncio.create_task(server.serve()))
        if play_file is not None:
            await until_ready(host, task)
            await _show(installation, play_file, lines, cabinet=cabinet)
            if address is not None:
                print(f"\nThe cabinet is open at {address}")
            print("Another terminal can ask: .venv/bin/pfdo --help. Ctrl-C ends.", flush=True)
        await until_signal(task)


async def _stop_server(server: Any, task: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await asyncio.wait([task], timeout=5)


async def _show(installation: Any, file: Path, lines: list[Any], *, cabinet: bool) -> None:
    from pfdo.demonstration import ends, tell
    from pfdo.settling import readers_of

    readers = readers_of(installation, cabinet=cabinet)
    count = sum(line.event is not None for line in lines)
    print(f"Playing {count} events of {file}, day by day …", flush=True)
    before = await ends(installation)
    played = await _play(installation, lines, readers, timeout_seconds=300)
    await tell(installation, played, before)


def play(
    context: typer.Context,
    file: FileArgument,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at each barrier.")] = 120,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a play file and wait until all is settled; starts the services if none run."""
    settings = options.settings_of(context, data, bus)
    played = options.run(lambda: _play_somewhere(settings, file, timeout))
    if json or options.common(context).json:
        options.print_json(played.to_json())
    else:
        state = "settled" if played.settled else "NOT settled in time"
        print(f"{played.published} events in {played.seconds:.1f} s, {state}.")
        if not played.settled:
            print("See what is left with `pfdo settle`, and what halted with `pfdo doctor`.")
    raise typer.Exit(options.DONE if played.settled else options.NO)


async def _play_somewhere(settings: Any, file: Path, timeout_seconds: float) -> Any:
    from pfdo.settling import readers_of
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        if settings.uses_kafka:
            await installation.make_topics()
        lines = _read(file, installation)
        async with _all_run(installation) as is_here:
            readers = readers_of(installation, cabinet=is_here)
            return await _play(installation, lines, readers, timeout_seconds)


@asynccontextmanager
async def _all_run(installation: Any) -> AsyncIterator[bool]:
    """Start here what does not run elsewhere, now and later; yield whether that is everything."""
    from pfdo.system import SERVICES, running_now, system, until_ready
    from streaming.errors import BusUnavailableError, StoreUnavailableError
    from streaming.telemetry import Telemetry

    telemetry = Telemetry()
    async with AsyncExitStack() as stack:

        async def start_missing(running: frozenset[str]) -> None:
            missing = [name for name in SERVICES if name not in running]
            if missing:
                host, task = await stack.enter_async_context(
                    system(
                        installation, telemetry, missing, cabinet=not running, senders=not running
                    )
                )
                await until_ready(host, task)

        is_over = asyncio.Event()

        async def watch() -> None:
            # Who was killed is a member of its group until its session is over.
            while not is_over.is_set():
                await asyncio.sleep(WATCH_SECONDS)
                with suppress(BusUnavailableError, StoreUnavailableError):
                    await start_missing(await running_now(installation.settings))

        running = await running_now(installation.settings)
        await start_missing(running)
        if not running:
            yield True
            return
        watching = asyncio.create_task(watch())
        try:
            yield False
        finally:
            # aiokafka can swallow the cancellation where it closes a client.
            is_over.set()
            watching.cancel()
            await asyncio.wait([watching])


async def _play(
    installation: Any, lines: list[Any], readers: Iterable[Any], timeout_seconds: float
) -> Any:
    from pfdo.playing import play as play_lines
    from pfdo.settling import settled

    count = sum(line.event is not None for line in lines)
    with options.progress("Playing", count) as advance:

        async def settle_all() -> bool:
            is_settled, _ = await settled(installation, readers, timeout_seconds)
            return is_settled

        return await play_lines(installation, lines, settle_all, advance)


def _read(file: Path, installation: Any) -> list[Any]:
    from pfdo.playing import BrokenInputError, read_lines
    from pfdo.records import input_topics

    try:
        with sys.stdin if str(file) == "-" else file.open(encoding="utf-8") as lines:
            return read_lines(lines, input_topics(installation))
    except OSError as error:
        options.stop(f"{file} cannot be read ({error.strerror}).", options.WRONG)
    except UnicodeDecodeError:
        options.stop(f"{file} is not UTF-8; for bytes as they are: publish --raw.", options.WRONG)
    except BrokenInputError as error:
        options.stop(f"{file}: {error}. Nothing was published.", options.WRONG)


def publish(
    context: typer.Context,
    file: FileArgument,
    raw: Annotated[str | None, typer.Option(help="Topic for each line as raw bytes.")] = None,
    key: Annotated[str | None, typer.Option(help="Record key, with --raw.")] = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Publish CloudEvents (JSON lines, - is standard input) to the topics of their sources."""
    settings = options.settings_of(context, data, bus)
    topics = options.run(lambda: _publish(settings, file, raw, key))
    total = sum(topics.values())
    if json or options.common(context).json:
        options.print_json({"published": total, "topics": topics})
    else:
        print(f"{total} published.")
        for topic, count in sorted(topics.items()):
            print(f"  {topic}: {count}")


async def _publish(
    settings: Any, file: Path, raw: str | None, key: str | None
) -> Mapping[str, int]:
    from pfdo.playing import publish as publish_lines
    from pfdo.playing import publish_raw
    from streaming.installation import open_installation

    content = _bytes_of(file) if raw is not None else b""
    async with open_installation(settings) as installation:
        if raw is not None:
            values = content.split(b"\n")
            values = values[:-1] if values[-1] == b"" else values
            return {raw: await publish_raw(installation, raw, key, values)}
        lines = _read(file, installation)
        with options.progress(
            "Publishing", sum(line.event is not None for line in lines)
        ) as advance:
            return dict(await publish_lines(installation, lines, advance))


def _bytes_of(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        options.stop(f"{file} cannot be read ({error.strerror}).", options.WRONG)


def settle(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 60,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Wait until every input is decided, all outboxes are empty and every reader is at the end."""
    settings = options.settings_of(context, data, bus)
    is_settled, lag, left = options.run(lambda: _settle(settings, timeout))
    if json or options.common(context).json:
        options.print_json({"settled": is_settled, "lag": dict(lag)})
    elif is_settled:
        print("All is settled.")
    else:
        print(f"Not settled after {timeout:.0f} s. Left to do:")
        for one in left:
            print(f"  {one.reader}/{one.partition}: {one.number} {one.what}")
        print("If no services run, start them: pfdo run. What halted: pfdo doctor.")
    raise typer.Exit(options.DONE if is_settled else options.NO)


async def _settle(
    settings: Any, timeout_seconds: float
) -> "tuple[bool, Mapping[str, int], Sequence[Left]]":
    from pfdo.settling import left_to_do, readers_of, settled
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        readers = readers_of(installation, cabinet=False)
        is_settled, lag = await settled(installation, readers, timeout_seconds)
        left = [] if is_settled else await left_to_do(installation, readers)
        return is_settled, lag, left
