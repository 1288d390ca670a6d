"""Parents' pages at a rate, while marks of lessons come at a rate and are decided.

The cabinet is a process of its own, all services another, Kafka and Redis are shared: as much as
two cores give. A page is what a guardian's browser asks for at home, over a connection that stays
open; it counts from when it was due, so that who waits in line is not left out.
"""

import asyncio
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from http.client import HTTPConnection
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

from bench import load, measure
from bench.figures import percentiles
from bench.surroundings import Surroundings, cpu_seconds, memory_mib, services
from streaming.event_loop import run

RATES, SECONDS, QUICK_SECONDS = (50, 100, 200), 20, 6
MARKS_RATE = 200
FAMILIES = 25
"""As many log in: the cabinet lets one address log in 30 times a minute."""
CONNECTIONS = 20
CABINET_PORT = 18_041
ANSWER_SECONDS_MAX = 30.0
GOAL_P99_MS = 100


def logged_in(number: int) -> tuple[str, str]:
    """Return the path of a family's page, and the cookie of its guardian's session."""
    guardian = load.guardian_id(number)
    connection = HTTPConnection("127.0.0.1", CABINET_PORT, timeout=ANSWER_SECONDS_MAX)
    form = urlencode({"as": f"guardian:{guardian}"})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login/sandbox", form, headers)
    answer = connection.getresponse()
    cookie = (answer.headers["set-cookie"] or "").partition(";")[0]
    connection.close()
    if answer.status != 303 or not cookie:
        raise SystemExit(f"the cabinet does not let {guardian} in: {answer.status}")
    return f"/families/{guardian}", cookie


def wait_for_enrollment(path: str, cookie: str) -> None:
    """Wait until a page shows the family's group: there is something to draw."""
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    asked = urllib.request.Request(
        f"http://127.0.0.1:{CABINET_PORT}{path}", headers={"cookie": cookie}
    )
    while time.monotonic() < deadline:
        with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS_MAX) as answer:  # noqa: S310
            if "Шахматы" in answer.read().decode():
                return
        time.sleep(0.2)
    raise SystemExit("the cabinet does not show what was decided")


async def asked_at_a_rate(
    sessions: Sequence[tuple[str, str]], rate: int, count: int
) -> tuple[list[float], int]:
    """Ask for pages at a rate; return how long each took from when it was due, and bytes of one."""
    due: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
    seconds: list[float] = []
    size = 0

    async def browser() -> None:
        nonlocal size
        reader, writer = await asyncio.open_connection("127.0.0.1", CABINET_PORT)
        try:
            while len(seconds) < count:
                number, at = await due.get()
                path, cookie = sessions[number % len(sessions)]
                writer.write(
                    f"GET {path} HTTP/1.1\r\nhost: cabinet\r\ncookie: {cookie}\r\n\r\n".encode()
                )
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                if not head.startswith(b"http/1.1 200"):
                    raise SystemExit(f"a page was answered with {head.partition(b' ')[2][:3]!r}")
                seconds.append(time.perf_counter() - at)
                size = length
        finally:
            writer.close()

    async with asyncio.timeout(count / rate + ANSWER_SECONDS_MAX):
        browsers = [asyncio.create_task(browser()) for _ in range(CONNECTIONS)]
        begun = time.perf_counter()
        for number in range(count):
            at = begun + number / rate
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            due.put_nowait((number, at))
        while len(seconds) < count:
            await asyncio.sleep(0.01)
            for each in browsers:
                if each.done() and (error := each.exception()) is not None:
                    raise error
        for each in browsers:
            each.cancel()
    return seconds, size


async def with_marks(
    around: Surroundings,
    sent: Sequence[measure.Record],
    sessions: Sequence[tuple[str, str]],
    rate: int,
    count: int,
) -> tuple[list[float], int]:
    """Ask for pages while marks are sent."""
    sending = asyncio.create_task(measure.sent_at_a_rate(around.bootstrap, sent, MARKS_RATE))
    answered = await asked_at_a_rate(sessions, rate, count)
    await sending
    return answered


def measured(
    around: Surroundings, marks: Iterator[dict[str, Any]], *, quick: bool, console: Console
) -> dict[str, Any]:
    """Return percentiles by rate; the services run already, and have agreements of children."""
    seconds = QUICK_SECONDS if quick else SECONDS
    own = around.settings() | {"PFDO_PORT": str(CABINET_PORT)}
    rows = []
    with services("cabinet", 1, CABINET_PORT, own) as pid:
        run(measure.send(around.bootstrap, measure.records(islice(marks, 1_000))))
        sessions = [logged_in(number) for number in range(FAMILIES)]
        wait_for_enrollment(*sessions[0])
        for rate in RATES:
            sent = measure.records(islice(marks, MARKS_RATE * seconds))
            before, begun = cpu_seconds(pid), time.monotonic()
            taken, size = run(with_marks(around, sent, sessions, rate, rate * seconds))
            used = (cpu_seconds(pid) - before) / (time.monotonic() - begun)
            row = {**asdict(percentiles(rate, taken)), "cpu": used, "bytes": size}
            rows.append(row)
            console.print(f"{rate} pages a second: p99 {row['p99']:.0f} ms")
        memory = memory_mib(pid)
    return {"rates": rows, "memory_mib": memory}


def shown(result: dict[str, Any], console: Console) -> None:
    """Print the table."""
    table = Table(title=f"A family's page, with {MARKS_RATE} marks a second decided beside it, ms")
    for column in ("pages a second", "p50", "p99", "p99.9", "CPU of a core", "KiB"):
        table.add_column(column, justify="right")
    for row in result["rates"]:
        table.add_row(
            str(row["rate"]),
            *(f"{row[name]:.0f}" for name in ("p50", "p99", "p999")),
            f"{row['cpu']:.0%}",
            f"{row['bytes'] / 1024:.0f}",
        )
    console.print(table)
    console.print(f"Memory of the cabinet: {result['memory_mib']:.0f} MiB")
