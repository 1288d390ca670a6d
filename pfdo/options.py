"""What commands have in common: options, settings, output, exit codes."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar

import typer

Result = TypeVar("Result")
Advance: TypeAlias = Callable[[int], None]
"""Called with how much more of a long job is done."""

DONE, NO, WRONG, UNREACHABLE = 0, 1, 2, 3
"""Exit codes: done; the answer is no; wrong use or broken input; bus or store cannot be reached."""
INTERRUPTED, TERMINATED = 130, 143
"""As a shell has it: 128 and the number of the signal that ended a command."""


@dataclass(slots=True)
class Common:
    """Options given before the command; the same after it win."""

    data: Path | None = None
    bus: str | None = None
    json: bool = False


DataOption = Annotated[
    Path | None, typer.Option("--data", help="Directory of the embedded installation.")
]
BusOption = Annotated[str | None, typer.Option("--bus", help="embedded or kafka.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def common(context: typer.Context) -> Common:
    """Return the options given before the command."""
    return context.ensure_object(Common)


def settings_of(context: typer.Context, data: Path | None, bus: str | None, **more: Any) -> Any:
    """Return the settings of this call. Raises SettingError."""
    from streaming.errors import SettingError
    from streaming.settings import load_settings

    given = common(context)
    if bus == "embedded" or given.bus == "embedded":
        # The embedded bus was asked for by name: an address of Kafka in the environment is no wish.
        environment = {k: v for k, v in os.environ.items() if k != "PFDO_KAFKA_BOOTSTRAP"}
    else:
        environment = dict(os.environ)
    changes = {"data": data or given.data, "bus": bus or given.bus, **more}
    try:
        return load_settings(changes, environment)
    except SettingError as error:
        stop(str(error), WRONG)


def sources_of(settings: Any) -> Any:
    """Return who may send what on the installation; a wrong file is wrong use."""
    from contracts.sources import SHIPPED_PATH, SourcesError, load_sources

    try:
        return load_sources(settings.sources or SHIPPED_PATH)
    except SourcesError as error:
        stop(str(error), WRONG)


def run(
    coroutine: Callable[[], Awaitable[Result]],
    log_level: int = logging.WARNING,
    *,
    runs_until_told: bool = False,
) -> Result:
    """Run a command's coroutine; errors of the surroundings and of settings end the process.

    So does a signal, after everything was let go of; that is no failure if it `runs_until_told`.
    """
    from streaming.errors import (
        BusUnavailableError,
        HaltError,
        SettingError,
        StoreUnavailableError,
    )
    from streaming.event_loop import run as run_loop
    from streaming.telemetry import configure_logs

    async def called() -> Result:
        task = asyncio.current_task()
        assert task is not None
        # Leave as after Ctrl-C: whoever ends at once leaves an embedded server without users.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await coroutine()

    configure_logs(log_level)

    try:
        return run_loop(called())
    except SettingError as error:
        stop(str(error), WRONG)
    except (BusUnavailableError, StoreUnavailableError) as error:
        stop(f"{error}\nIs it running and reachable? `pfdo doctor` looks.", UNREACHABLE)
    except TimeoutError:
        stop("There was no answer in time. What is reachable: `pfdo doctor`.", UNREACHABLE)
    except HaltError as error:
        stop(str(error), NO)
    except KeyboardInterrupt:
        raise typer.Exit(DONE if runs_until_told else INTERRUPTED) from None
    except asyncio.CancelledError:
        raise typer.Exit(DONE if runs_until_told else TERMINATED) from None


def stop(message: str, code: int) -> NoReturn:
    """Say why on standard error and end with an exit code."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def day_of(text: str) -> date:
    """Return the day that was typed; what is none is wrong use."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        stop(f"{text} is no day; write YYYY-MM-DD.", WRONG)


def print_json(document: object) -> None:
    """Print one JSON document."""
    print(json.dumps(document, ensure_ascii=False, indent=1))


def print_json_line(document: object) -> None:
    """Print one JSON document on a line of its own."""
    print(json.dumps(document, ensure_ascii=False))


def is_terminal() -> bool:
    """Return whether progress may be drawn."""
    return sys.stderr.isatty()


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Draw a progress bar on a terminal; yield how to advance it."""
    if not is_terminal():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
