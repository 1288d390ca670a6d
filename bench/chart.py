"""`python -m bench chart FILE`: what a run gave as a picture, docs/images/bench.svg.

Debits a second as bars, the time a debit takes as dots on a scale of powers of ten. The picture
has a ground of its own, so it can be read on light pages and dark ones.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from bench import figures

PICTURE = Path("docs/images/bench.svg")
WIDTH, LEFT, RIGHT = 980, 380, 120
LINE, TOP = 30, 46
MARKS = (("p50", "#2b6cb0"), ("p99", "#b58a1b"), ("p999", "#b03a2b"))
TITLES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
STYLE = (
    ".bg{fill:#fbfcfe}.title{font-weight:600;fill:#16324f}.small{font-size:12.5px;fill:#44566a}"
    ".label{fill:#16324f}.ours{fill:#2b6cb0}.other{fill:#8ba3bd}"
    ".grid{stroke:#d5dee8}.range{stroke:#16324f;stroke-width:1.5}"
)


def svg(result: dict[str, Any]) -> str:
    """Return the picture of a run."""
    bars = _in_order(result["throughput"])
    rows = [(way, row) for way in _in_order(result["latency"]) for row in result["latency"][way]]
    middle = TOP + LINE * len(bars) + 50
    height = middle + LINE * len(rows) + 50
    told = quoteattr(text(result))
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
                ' font-family="system-ui, \'Segoe UI\', Roboto, sans-serif" font-size="14"'
                f' role="img" aria-label={told}>'
            ),
            f"<style>{STYLE}</style>",
            f'<rect class="bg" width="{WIDTH}" height="{height}" rx="10"/>',
            *_bars(result, bars),
            *_dots(rows, middle),
            _text("small", 20, height - 14, where(result)),
            "</svg>\n",
        ]
    )


def text(result: dict[str, Any]) -> str:
    """Return in words what the picture shows."""
    rates = {way: figures.of(runs, "per_second") for way, runs in result["throughput"].items()}
    said = [f"{way}: {rates[way].median:,.0f}" for way in _in_order(rates)]
    took = [
        f"{way} at {row['rate']} a second: {figures.of(row['runs'], 'p50').median:.1f}"
        f" and {figures.of(row['runs'], 'p99').median:.1f}"
        for way in _in_order(result["latency"])
        for row in result["latency"][way]
    ]
    return (
        f"Durable debits a second. {'; '.join(said)}."
        f" From a mark to its debit, p50 and p99 in milliseconds. {'; '.join(took)}."
    )


def where(result: dict[str, Any]) -> str:
    """Return what it was measured on."""
    machine, versions = result["machine"], result["versions"]
    return (
        f"{machine['cores']} cores, {machine['cpu']}, {machine['memory_mib'] // 1024} GiB, shared"
        f" with {versions['kafka']} and Redis {versions['redis']}; commit {result['commit']}"
    )


def _in_order(ways: Any) -> list[str]:
    return [way for way in figures.WAYS if way in ways]


def _bars(result: dict[str, Any], ways: Sequence[str]) -> Iterator[str]:
    rates = {way: figures.of(result["throughput"][way], "per_second") for way in ways}
    most = max(rate.most for rate in rates.values())
    yield _text("title", 20, 28, "Durable debits a second (bar: median; line: least to most)")
    for number, (way, rate) in enumerate(rates.items()):
        y = TOP + LINE * number
        long, least, longest = (
            _across(value / most) for value in (rate.median, rate.least, rate.most)
        )
        kind = "ours" if way.startswith("ours") else "other"
        yield _text("label", 20, y + 16, way)
        yield f'<rect class="{kind}" x="{LEFT}" y="{y + 3}" width="{long:.1f}" height="18"/>'
        yield _line("range", LEFT + least, y + 12, LEFT + longest, y + 12)
        yield _text("label", LEFT + longest + 8, y + 17, f"{rate.median:,.0f}")


def _dots(rows: Sequence[tuple[str, dict[str, Any]]], top: float) -> Iterator[str]:
    if not rows:
        return
    values = [figures.of(row["runs"], name).median for _, row in rows for name, _ in MARKS]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    yield _text("title", 20, top - 14, "From a mark to its debit readable, ms")
    for number, (name, colour) in enumerate(MARKS):
        beside = LEFT + 70 * number
        yield f'<circle cx="{beside}" cy="{top - 19}" r="5" fill="{colour}"/>'
        yield _text("small", beside + 9, top - 14, TITLES[name])
    bottom = top + LINE * len(rows)
    for power in range(low, high + 1):
        x = LEFT + _across((power - low) / (high - low))
        yield _line("grid", x, top, x, bottom)
        yield _text("small", x - 8, bottom + 14, f"{10.0**power:g}")
    for number, (way, row) in enumerate(rows):
        y = top + LINE * number + 14
        yield _text("label", 20, y + 4, f"{way}, {row['rate']} a second")
        for name, colour in MARKS:
            value = figures.of(row["runs"], name).median
            x = LEFT + _across((math.log10(value) - low) / (high - low))
            yield f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}"/>'


def _across(part: float) -> float:
    return part * (WIDTH - LEFT - RIGHT)


def _text(kind: str, x: float, y: float, words: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def main(file: Path) -> int:
    """Draw a run's file."""
    PICTURE.write_text(svg(json.loads(file.read_text())))
    print(f"{PICTURE} shows {file}")
    return 0
