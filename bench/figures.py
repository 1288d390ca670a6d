"""What is made of measured values: percentiles, medians with their spread, ratios."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

LIMIT, USUAL = "limit", "usual"
PEER, PEER_8 = "peer", "peer, 8 partitions"
ALL = "ours, all services in one process"
ALONE = "ours, billing alone"
ALONE_8 = "ours, billing alone, 8 partitions"
ALONE_8_TWICE = "ours, billing twice, 8 partitions"
WAYS = (LIMIT, USUAL, PEER, ALONE, ALL, PEER_8, ALONE_8, ALONE_8_TWICE)
"""In the order of tables."""
PEERS = {ALL: PEER, ALONE: PEER, ALONE_8: PEER_8, ALONE_8_TWICE: PEER_8}
"""Which peer has as many partitions."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds at a rate of events a second."""

    rate: int
    count: int
    p50: float
    p99: float
    p999: float


@dataclass(frozen=True, slots=True)
class Spread:
    """What repeated runs gave."""

    median: float
    least: float
    most: float

    def shown(self, digits: int = 0) -> str:
        """Return the median, with least and most if there were several runs that differ."""
        median, least, most = (
            f"{value:,.{digits}f}" for value in (self.median, self.least, self.most)
        )
        return median if least == most else f"{median} ({least}–{most})"


def percentiles(rate: int, seconds: Sequence[float]) -> Latency:
    """Return the percentiles of latencies given in seconds."""
    cut = statistics.quantiles([value * 1000 for value in seconds], n=1000, method="inclusive")
    return Latency(rate, len(seconds), cut[499], cut[989], cut[998])


def spread(values: Sequence[float]) -> Spread:
    """Return median, least and most of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Ratios:
    """A way beside the others; None where there is nothing to compare with."""

    of_limit: float | None
    times_usual: float | None
    of_peer: float | None


def ratios(rates: Mapping[str, float]) -> dict[str, Ratios]:
    """Return for each way its debits a second, given by way, beside limit, usual way and peer."""

    def beside(way: str, other: str | None) -> float | None:
        return rates[way] / rates[other] if other is not None and other in rates else None

    return {
        way: Ratios(beside(way, LIMIT), beside(way, USUAL), beside(way, PEERS.get(way)))
        for way in rates
    }


def of(runs: Sequence[Mapping[str, Any]], name: str) -> Spread:
    """Return the spread of one value of runs."""
    return spread([float(one[name]) for one in runs])


def promises(title: str, rows: Iterable[tuple[str, str, str]]) -> Table:
    """Return a table of what was measured, beside what was promised of it, if anything."""
    table = Table(title=title)
    for column in ("what", "measured", "promised"):
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return table
