"""`python -m bench [quick]`: throughput beside a limit and the usual way, latency, mails.

`python -m bench fanout [quick]`: only how fast debits become mails; needs no Kafka.
`python -m bench pages [quick]`: only how fast parents get their page.
`python -m bench rebuild [quick]`: only how fast a state is folded from a long journal.
"""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import aiokafka
import pydantic
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from bench import fanout, load, measure, pages, rebuild
from bench.surroundings import cpu_seconds, memory_mib, services, surroundings
from streaming.event_loop import run
from streaming.installation import open_installation
from streaming.settings import load_settings

RESULTS = Path("bench/results")
CHILDREN = 200
WARM_RATE, WARM_SECONDS = 200, 30
PARTITIONS = 1
PORT = 18038
SERVICES = "enrollment,certificates,billing,notifications"


async def prepare(bootstrap: str, redis_url: str) -> None:
    """Make the topics."""
    settings = load_settings(
        {"kafka_bootstrap": bootstrap, "redis_url": redis_url, "partitions": PARTITIONS}, {}
    )
    async with open_installation(settings) as installation:
        await installation.bus.create_topics(installation.topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        topics = [NewTopic("bench-marks", 1, 1), NewTopic("bench-marks.out", 1, 1)]
        await admin.create_topics(topics)
    finally:
        await admin.close()


async def begin(bootstrap: str) -> None:
    """Make the agreements active, segment by segment."""
    for segment in load.beginning(CHILDREN):
        consumer = await measure.consumer_at_end(bootstrap, measure.JOURNAL, 0)
        by_topic: dict[str, list[bytes]] = {}
        for event in segment:
            topic = f"{event['source'].removeprefix('/')}.events.v1"
            by_topic.setdefault(topic, []).extend(measure.encoded([event]))
        for topic, values in by_topic.items():
            await measure.send(bootstrap, topic, 0, values)
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 1.5:
            if await consumer.getmany(timeout_ms=200):
                quiet_since = time.monotonic()
        await consumer.stop()


def measured(quick: bool, console: Console) -> dict[str, Any]:
    """Run everything and return the figures."""
    count, repeats = (20_000, 1) if quick else (60_000, 3)
    rates, seconds = ((50, 200, 1000), 12) if quick else ((50, 200, 1000), 20)
    marks = load.marks(CHILDREN)
    result: dict[str, Any] = {"latency": [], "limit": [], "usual": [], "ours": []}
    with surroundings() as around:
        console.print(f"Kafka at {around.bootstrap}, Redis at {around.redis_url}")
        run(prepare(around.bootstrap, around.redis_url))
        sample = measure.encoded(list(islice(load.marks(CHILDREN), count)))
        run(measure.send(around.bootstrap, "bench-marks", 0, sample))
        with services(SERVICES, PARTITIONS, PORT, around.settings()) as pid:
            console.print("Making the agreements …")
            run(begin(around.bootstrap))
            # A broker that has just been started compiles its code meanwhile: for half a minute
            # its answers take twice as long.
            for rate, each_seconds in ((1000, 2), (WARM_RATE, WARM_SECONDS)):
                warm = measure.encoded(list(islice(marks, rate * each_seconds)))
                run(measure.paced(around.bootstrap, 0, warm, rate))
            for rate in rates:
                values = measure.encoded(list(islice(marks, rate * seconds)))
                before, begun = cpu_seconds(pid), time.monotonic()
                latency = run(measure.paced(around.bootstrap, 0, values, rate))
                used = (cpu_seconds(pid) - before) / (time.monotonic() - begun)
                result["latency"].append({**asdict(latency), "cpu": used})
                console.print(f"{rate} a second: p99 {latency.p99:.1f} ms")
            values = measure.encoded(list(islice(marks, fanout.RATE * seconds)))
            result["paced_mails"] = run(fanout.paced(around, 0, values, children=CHILDREN))
            result["memory_mib"] = memory_mib(pid)
            if not quick:
                result["pages"] = pages.measured(around, marks, quick=quick, console=console)
            for _ in range(repeats):
                values = measure.encoded(list(islice(marks, count)))
                result["ours"].append(run(measure.ours(around.bootstrap, 0, values)))
        for _ in range(repeats):
            result["limit"].append(run(measure.limit(around.bootstrap, "bench-marks", count)))
            redis_url = around.redis_url
            result["usual"].append(
                run(measure.usual(around.bootstrap, redis_url, "bench-marks", min(count, 3_000)))
            )
    result["drained_mails"] = fanout.measured(quick=quick, console=console)
    return result


def pages_alone(*, quick: bool, console: Console) -> dict[str, Any]:
    """Run what pages need, and return the figures of pages alone."""
    with surroundings() as around:
        run(prepare(around.bootstrap, around.redis_url))
        with services(SERVICES, PARTITIONS, PORT, around.settings()):
            console.print("Making the agreements …")
            run(begin(around.bootstrap))
            marks = load.marks(CHILDREN)
            return pages.measured(around, marks, quick=quick, console=console)


def shown(result: dict[str, Any], console: Console) -> None:
    """Print ratios first, then figures."""
    median = {
        name: sorted(result[name])[len(result[name]) // 2] for name in ("limit", "usual", "ours")
    }
    table = Table(title="Durable debits a second, one partition, all services in one process")
    for column in ("way", "of the limit", "times usual", "a second"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name in ("limit", "usual", "ours"):
        rate = median[name]
        table.add_row(
            name, f"{rate / median['limit']:.3f}", f"{rate / median['usual']:.1f}", f"{rate:,.0f}"
        )
    console.print(table)
    latencies = Table(title="From attendance.lesson-marked to billing.lesson-charged, ms")
    for column in ("a second", "p50", "p99", "p99.9", "CPU of a core"):
        latencies.add_column(column, justify="right")
    for row in result["latency"]:
        latencies.add_row(
            str(row["rate"]),
            *(f"{row[name]:.1f}" for name in ("p50", "p99", "p999")),
            f"{row['cpu']:.0%}",
        )
    console.print(latencies)
    console.print(f"Memory of the services: {result['memory_mib']:.0f} MiB")


def main() -> int:
    """Run the bench, print its tables, keep its figures; 1 if mails missed a goal."""
    if sys.argv[1:2] == ["fanout"]:
        return fanout.main(quick=sys.argv[2:3] == ["quick"])
    console = Console()
    if sys.argv[1:2] == ["pages"]:
        pages.shown(pages_alone(quick=sys.argv[2:3] == ["quick"], console=console), console)
        return 0
    if sys.argv[1:2] == ["rebuild"]:
        reached = rebuild.shown(rebuild.measured(quick=sys.argv[2:3] == ["quick"]), console)
        return 0 if reached else 1
    quick = sys.argv[1:2] == ["quick"]
    begun = time.monotonic()
    result = measured(quick, console)
    result |= {
        "quick": quick,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {"aiokafka": aiokafka.__version__, "pydantic": pydantic.VERSION},
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
    }
    shown(result, console)
    if "pages" in result:
        pages.shown(result["pages"], console)
    reached = fanout.shown(result["drained_mails"], result["paced_mails"], console)
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{'quick' if quick else 'full'}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    file.write_text(json.dumps(result, indent=1))
    console.print(f"{time.monotonic() - begun:.0f} s; figures in {file}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
