"""Logs are one JSON object a line with listed fields alone, whoever writes them."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from aiokafka.errors import UnknownError  # type: ignore[import-untyped]

from streaming.telemetry import AGAIN_SECONDS, LOGGED, SAID_MAX, Telemetry, configure_logs

NAME = "Канарейкина Желтоптица"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Logs as they were before, afterwards."""
    handlers = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def written(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in captured.readouterr().err.splitlines()]
    assert all(set(line) <= LOGGED | {"event", "level", "timestamp"} for line in lines)
    return lines


def test_a_line_of_ours_has_listed_fields_alone(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()

    Telemetry().log.info("serving", service="billing", child=NAME)

    (line,) = written(capsys)
    assert (line["event"], line["level"], line["service"]) == ("serving", "info", "billing")
    assert "child" not in line


def test_an_error_of_a_library_is_a_line_that_says_where(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise UnknownError(NAME)

    configure_logs()

    try:
        fail()
    except UnknownError:
        logging.getLogger("aiokafka.producer.sender").exception("in round %d", 7)

    (line,) = written(capsys)
    assert (line["event"], line["level"]) == ("in round 7", "error")
    assert line["logger"] == "aiokafka.producer.sender"
    assert line["error"] == "aiokafka.errors.UnknownError"
    assert line["raised_at"].endswith(" fail")
    assert "test_telemetry.py:" in line["raised_at"]


async def test_values_that_a_library_has_are_not_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs()

    async def fail() -> None:
        raise ValueError(NAME)

    logging.getLogger("uvicorn.error").warning("got %s", NAME)
    task = asyncio.get_running_loop().create_task(fail(), name=NAME)
    await asyncio.sleep(0)
    del task
    gc.collect()

    answered, forgotten = written(capsys)
    assert answered["event"] == "got %s"
    assert forgotten["event"] == "Task exception was never retrieved"
    assert forgotten["error"] == "builtins.ValueError"
    assert NAME not in json.dumps([answered, forgotten], ensure_ascii=False)


def test_only_what_is_grave_enough_is_written_and_only_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs()
    configure_logs(logging.ERROR)

    logging.getLogger("aiokafka").warning("not this")
    logging.getLogger("aiokafka").error("this")
    Telemetry().log.warning("nor this")

    assert [line["event"] for line in written(capsys)] == ["this"]
    configure_logs()
    logging.getLogger("aiokafka").info("not this")
    logging.getLogger("aiokafka").warning("this")
    assert [line["event"] for line in written(capsys)] == ["this"]


def test_what_a_library_says_again_and_again_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    configure_logs(clock=lambda: now)
    library = logging.getLogger("aiokafka")

    for _ in range(30):
        library.error("no connection to node %d", 1)
    library.error("no connection to node %d", 2)
    now += AGAIN_SECONDS - 0.1
    library.error("no connection to node %d", 1)
    now += 0.1
    library.error("no connection to node %d", 1)
    now += AGAIN_SECONDS
    library.error("no connection to node %d", 1)

    told = [(line["event"], line.get("unwritten")) for line in written(capsys)]
    assert told == [
        ("no connection to node 1", None),
        ("no connection to node 2", None),
        ("no connection to node 1", 30),
        ("no connection to node 1", None),
    ]


def test_different_exceptions_are_different_things_to_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(clock=lambda: 100.0)

    for kind in (ValueError, KeyError, KeyError):
        logging.getLogger("asyncio").error("failed", exc_info=kind(NAME))

    assert [line["error"] for line in written(capsys)] == [
        "builtins.ValueError",
        "builtins.KeyError",
    ]


def test_a_line_that_cannot_be_written_is_told_without_what_it_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs()

    # Past the handler of pytest, which would raise.
    wrong = logging.makeLogRecord(
        {"name": "aiokafka", "levelno": logging.ERROR, "msg": "of %d", "args": (NAME,)}
    )
    logging.getLogger().handlers[-1].handle(wrong)

    (line,) = written(capsys)
    assert (line["event"], line["logger"], line["error"]) == (
        "cannot be written",
        "aiokafka",
        "TypeError",
    )


def test_what_is_remembered_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(clock=lambda: 100.0)

    for number in range(SAID_MAX + 1):
        logging.getLogger("asyncio").error(f"failed {number}")  # noqa: G004
    logging.getLogger("asyncio").error("failed 0")

    assert [line["event"] for line in written(capsys)][-1] == "failed 0"
