"""The ways to debit, side by side: a limit, the usual way, a peer and ours."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import fanout, figures, hops, load, measure, pages, peer
from bench.figures import ALL, ALONE, ALONE_8, ALONE_8_TWICE, LIMIT, PEER, PEER_8, USUAL
from bench.machine import about
from bench.surroundings import (
    Surroundings,
    cpu_seconds,
    installed,
    memory_mib,
    service_twice,
    services,
    started,
    surroundings,
)
from streaming.event_loop import run

PORT = 18_038
SERVICES = "enrollment,certificates,billing,notifications"
PARTITIONS = 8
RATES, HOP_RATES = (50, 200, 1000), (50, 200)
READ, USUAL_MARKS, USUAL_DEBITS = "bench-read", "bench-usual", "bench-usual.out"
WARM_RATE, WARM_RECORDS = 200, 1_000
KEEPS_UP = 0.8
"""A way is asked for no rate above this part of what it can do at most."""
Marks = Iterator[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is measured."""

    repeats: int
    children: int
    limit: int
    usual: int
    peer: int
    peer_warm: int
    ours: int
    alone: int
    warm_seconds: int
    seconds: int


FULL = Amount(
    repeats=3,
    children=300,
    limit=60_000,
    usual=3_000,
    peer=40_000,
    peer_warm=40_000,
    ours=15_000,
    alone=20_000,
    warm_seconds=30,
    seconds=15,
)
QUICK = Amount(
    repeats=1,
    children=80,
    limit=30_000,
    usual=1_000,
    peer=15_000,
    peer_warm=10_000,
    ours=2_500,
    alone=5_000,
    warm_seconds=4,
    seconds=2,
)


class Bench:
    """One run: what was measured so far, and where."""

    def __init__(self, around: Surroundings, amount: Amount, console: Console) -> None:
        self.around = around
        self.amount = amount
        self.console = console
        self.throughput: dict[str, list[dict[str, float]]] = {}
        self.latency: dict[str, list[dict[str, Any]]] = {}
        self.skipped: dict[str, str] = {}

    def send(self, sent: Sequence[measure.Record]) -> None:
        """Append records."""
        run(measure.send(self.around.bootstrap, sent))

    def repeat(self, way: str, once: Callable[[], dict[str, float]]) -> None:
        """Measure a throughput as often as wanted."""
        runs = self.throughput[way] = []
        for _ in range(self.amount.repeats):
            runs.append(once())
            self.console.print(f"{way}: {runs[-1]['per_second']:,.0f} a second")

    def drain(
        self,
        way: str,
        marks: Marks,
        count: int,
        pids: Sequence[int],
        *,
        partitions: int = 1,
        topics: tuple[str, str] = (measure.MARKS, measure.JOURNAL),
    ) -> None:
        """Measure how many debits a second a way makes of marks that come all at once."""

        def once() -> dict[str, float]:
            sent = measure.records(load.taken(marks, count), partitions, topics[0])
            told = measure.drained(
                self.around.bootstrap, sent, pids=pids, answers=topics[1], partitions=partitions
            )
            return run(told)

        self.repeat(way, once)

    def pace(
        self,
        way: str,
        marks: Marks,
        pid: int,
        topics: tuple[str, str] = (measure.MARKS, measure.JOURNAL),
    ) -> None:
        """Measure how long a debit takes at each rate, if the way can keep up with it."""
        able = figures.of(self.throughput[way], "per_second").median
        for rate in RATES:
            if rate > able * KEEPS_UP:
                self.skipped[f"{way}, {rate} a second"] = f"cannot keep up: {able:,.0f} at most"
                continue
            self.pace_at(way, marks, pid, rate, topics)

    def pace_at(self, way: str, marks: Marks, pid: int, rate: int, topics: tuple[str, str]) -> None:
        """Measure how long a debit takes at a rate."""
        runs = []
        for _ in range(self.amount.repeats):
            sent = measure.records(load.taken(marks, rate * self.amount.seconds), topic=topics[0])
            used, begun = cpu_seconds(pid), time.monotonic()
            latency = run(measure.paced(self.around.bootstrap, sent, rate, topics[1]))
            cpu = (cpu_seconds(pid) - used) / (time.monotonic() - begun)
            runs.append({**asdict(latency), "cpu": cpu})
        self.latency.setdefault(way, []).append({"rate": rate, "runs": runs})
        self.console.print(f"{way} at {rate} a second: p99 {runs[-1]['p99']:.1f} ms")

    # --- the ways --------------------------------------------------------------------------

    def limit(self) -> None:
        """Read and decode, and nothing else."""
        bootstrap, count = self.around.bootstrap, self.amount.limit
        self.send(measure.records(load.taken(load.marks(self.amount.children), count), topic=READ))
        self.repeat(LIMIT, lambda: run(measure.limit(bootstrap, READ, count)))

    def usual(self, *, latency: bool = True) -> None:
        """Debit as one usually does."""
        marks, topics = load.marks(self.amount.children), (USUAL_MARKS, USUAL_DEBITS)
        command = [sys.executable, "-m", "bench.usual", self.around.bootstrap]
        with started([*command, self.around.redis_url, *topics], "ready") as pid:
            warm = measure.records(load.taken(marks, 200), topic=USUAL_MARKS)
            run(measure.paced(self.around.bootstrap, warm, WARM_RATE, USUAL_DEBITS))
            self.drain(USUAL, marks, self.amount.usual, [pid], topics=topics)
            if latency:
                self.pace(USUAL, marks, pid, topics)

    def peer(self, partitions: int) -> None:
        """Debit with Kafka Streams."""
        way = PEER if partitions == 1 else PEER_8
        reason = peer.why_not()
        if reason is not None:
            self.skipped[way] = reason
            return
        marks = load.marks(self.amount.children, load.payers_of_all(partitions))
        commit_ms, topics = peer.COMMIT_MS_DEFAULT, peer.ALL_AT_ONCE
        told = peer.running(self.around, topics, commit_ms=commit_ms, partitions=partitions)
        with told as pid:
            self._warm_peer(marks, partitions, topics)
            self.drain(way, marks, self.amount.peer, [pid], partitions=partitions, topics=topics)
        if partitions > 1:
            return
        commit_ms, topics = peer.COMMIT_MS_LATENCY, peer.PACED
        with peer.running(self.around, topics, commit_ms=commit_ms, partitions=1) as pid:
            self._warm_peer(marks, 1, topics)
            for rate in RATES:
                self.pace_at(PEER, marks, pid, rate, topics)

    def _warm_peer(self, marks: Marks, partitions: int, topics: tuple[str, str]) -> None:
        warm = measure.records(load.taken(marks, self.amount.peer_warm), partitions, topics[0])
        told = measure.drained(
            self.around.bootstrap, warm, pids=(), answers=topics[1], partitions=partitions
        )
        run(told)

    def agree(self, payers: Sequence[str], partitions: int) -> Marks:
        """Make agreements of payers active, all services being at work; return their marks."""
        self.console.print("Making the agreements …")
        children = self.amount.children // len(payers)
        segments = [measure.records(one, partitions) for one in load.beginning(children, payers)]
        run(measure.play(self.around, segments, partitions))
        return load.marks(children, payers)

    def alone(self, marks: Marks, *, latency: bool = True) -> None:
        """Debit with billing alone, in one partition; nothing else of ours runs."""
        with services("billing", 1, PORT, self.around.settings()) as pid:
            warm = measure.records(load.taken(marks, WARM_RECORDS))
            run(measure.drained(self.around.bootstrap, warm, pids=()))
            self.drain(ALONE, marks, self.amount.alone, [pid])
            if latency:
                self.pace(ALONE, marks, pid)

    def alone_in_partitions(self) -> None:
        """Debit with billing alone in many partitions, by one process and by two."""
        settings, payers = self.around.settings(), load.payers_of_all(PARTITIONS)
        with services(SERVICES, PARTITIONS, PORT, settings):
            marks = self.agree(payers, PARTITIONS)
        with services("billing", PARTITIONS, PORT, settings) as pid:
            self._drain_partitions(ALONE_8, marks, [pid])
        twice = service_twice("billing", PARTITIONS, PORT, settings, self.around.bootstrap)
        with twice as pids:
            self._drain_partitions(ALONE_8_TWICE, marks, pids)

    def _drain_partitions(self, way: str, marks: Marks, pids: Sequence[int]) -> None:
        warm = measure.records(load.taken(marks, WARM_RECORDS), PARTITIONS)
        run(measure.drained(self.around.bootstrap, warm, pids=(), partitions=PARTITIONS))
        self.drain(way, marks, self.amount.alone, pids, partitions=PARTITIONS)


def measured(quick: bool, console: Console) -> dict[str, Any]:
    """Run everything and return the figures."""
    with surroundings() as around:
        bench = Bench(around, QUICK if quick else FULL, console)
        console.print(f"Kafka at {around.bootstrap}, Redis at {around.redis_url}")
        more = [READ, USUAL_MARKS, USUAL_DEBITS, *peer.TOPICS]
        result = about(around) | {"quick": quick}
        with installed(around, 1, more):
            result |= _as_they_run(bench, quick=quick)
            bench.limit()
            bench.usual()
            bench.peer(1)
        with installed(around, PARTITIONS, peer.ALL_AT_ONCE):
            bench.alone_in_partitions()
            bench.peer(PARTITIONS)
    result |= {
        "throughput": bench.throughput,
        "latency": bench.latency,
        "skipped": bench.skipped,
    }
    if not quick:
        result["drained_mails"] = fanout.measured(quick=quick, console=console)
    return result


def _as_they_run(bench: Bench, *, quick: bool) -> dict[str, Any]:
    """Measure ours: all services in one process, then billing alone."""
    around, amount = bench.around, bench.amount
    result: dict[str, Any] = {"hops": []}
    with services(SERVICES, 1, PORT, around.settings()) as pid:
        marks = bench.agree([load.PAYER], 1)
        # A broker that has just been started compiles its code meanwhile: for half a minute
        # its answers take twice as long.
        for rate, seconds in ((1000, 2), (WARM_RATE, amount.warm_seconds)):
            warm = measure.records(load.taken(marks, rate * seconds))
            run(measure.paced(around.bootstrap, warm, rate))
        for rate in HOP_RATES:
            runs = []
            for _ in range(amount.repeats):
                sent = measure.records(load.taken(marks, rate * amount.seconds))
                runs.append(run(hops.paced(around.bootstrap, sent, rate)))
            result["hops"].append({"rate": rate, "runs": runs})
        for rate in RATES:
            bench.pace_at(ALL, marks, pid, rate, (measure.MARKS, measure.JOURNAL))
        result["memory_mib"] = memory_mib(pid)
        if not quick:
            sent = measure.records(load.taken(marks, fanout.RATE * fanout.SECONDS))
            result["paced_mails"] = run(fanout.paced(around, sent, children=amount.children))
            result["pages"] = pages.measured(around, marks, quick=quick, console=bench.console)
            # Pages are asked for while marks are decided, not until.
            run(measure.at_rest(around, 1))
        bench.drain(ALL, marks, amount.ours, [pid])
    bench.alone(marks)
    return result


def pages_alone(*, quick: bool, console: Console) -> dict[str, Any]:
    """Run what pages need, and return the figures of pages alone."""
    with surroundings() as around, installed(around, 1):
        bench = Bench(around, FULL, console)
        with services(SERVICES, 1, PORT, around.settings()):
            marks = bench.agree([load.PAYER], 1)
            return pages.measured(around, marks, quick=quick, console=console)


# --- tables ----------------------------------------------------------------------------------


def shown(result: dict[str, Any], console: Console) -> None:
    """Print ratios first, then figures."""
    console.print(throughput_table(result))
    console.print(latency_table(result))
    console.print(hops_table(result))
    for what, why in result["skipped"].items():
        console.print(f"{what}: {why}")
    console.print(f"Memory of all services in one process: {result['memory_mib']:.0f} MiB")


def throughput_table(result: dict[str, Any]) -> Table:
    """Return the table of debits a second."""
    rates = {way: figures.of(runs, "per_second") for way, runs in result["throughput"].items()}
    ratios = figures.ratios({way: rate.median for way, rate in rates.items()})
    table = Table(title="Durable debits, in one partition where no other number is said")
    for column in ("way", "of the limit", "times usual", "of the peer", "a second", "CPU µs each"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way in sorted(rates, key=list(figures.WAYS).index):
        beside = ratios[way]
        table.add_row(
            way,
            _ratio(beside.of_limit, 3),
            _ratio(beside.times_usual, 1),
            _ratio(beside.of_peer, 2),
            rates[way].shown(),
            figures.of(result["throughput"][way], "cpu_us").shown(),
        )
    return table


def latency_table(result: dict[str, Any]) -> Table:
    """Return the table of how long a debit takes."""
    table = Table(title="From a mark to its debit readable, ms")
    for column in ("way", "a second", "p50", "p99", "p99.9", "CPU of a core"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way in sorted(result["latency"], key=list(figures.WAYS).index):
        for row in result["latency"][way]:
            table.add_row(
                way,
                str(row["rate"]),
                *(figures.of(row["runs"], name).shown(1) for name in ("p50", "p99", "p999")),
                f"{figures.of(row['runs'], 'cpu').median:.0%}",
            )
    return table


def hops_table(result: dict[str, Any]) -> Table:
    """Return the table of one hop and two."""
    table = Table(title="One hop (the debit readable) and two (the word about it), ms")
    for column in ("a second", "", "two to one", "one hop", "two hops"):
        table.add_column(column, justify="right")
    for row in result["hops"]:
        for name in ("p50", "p99"):
            one, two = (figures.spread([each[n][name] for each in row["runs"]]) for n in HOPS)
            ratio = f"{two.median / one.median:.1f}"
            table.add_row(str(row["rate"]), name, ratio, one.shown(1), two.shown(1))
    return table


HOPS = ("one", "two")


def _ratio(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
