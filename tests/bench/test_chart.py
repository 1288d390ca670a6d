"""The picture of a run: it is whole XML, shows what was measured, and says the same in words."""

from typing import Any
from xml.etree import ElementTree as ET

from bench import chart
from bench.figures import ALONE, LIMIT, USUAL

SVG = "{http://www.w3.org/2000/svg}"


def result() -> dict[str, Any]:
    """Return a run of three ways, one of which had its latency measured."""

    def runs(*rates: float) -> list[dict[str, float]]:
        return [{"per_second": rate, "cpu_us": 1.0} for rate in rates]

    latency = [{"p50": 9.0, "p99": 20.0, "p999": 400.0, "cpu": 0.1}]
    return {
        "throughput": {ALONE: runs(1000, 2000, 1500), LIMIT: runs(20_000), USUAL: runs(100)},
        "latency": {USUAL: [{"rate": 50, "runs": latency}]},
        "machine": {"cores": 2, "cpu": "A <fast> CPU & more", "memory_mib": 8192},
        "versions": {"kafka": "kafka:4", "redis": "8"},
        "commit": "abc",
    }


def test_bars_are_as_long_as_their_medians() -> None:
    root = ET.fromstring(chart.svg(result()))

    long = [float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if "x" in bar.attrib]

    assert len(long) == 3
    assert long[1] / long[0] == 100 / 20_000
    assert long[2] / long[0] == 1500 / 20_000


def test_a_dot_lies_the_further_right_the_longer_it_took() -> None:
    root = ET.fromstring(chart.svg(result()))

    dots = [float(dot.attrib["cx"]) for dot in root.iter(f"{SVG}circle")][3:]

    assert len(dots) == 3
    assert dots == sorted(dots)
    assert dots[0] > chart.LEFT
    assert dots[2] < chart.WIDTH - chart.RIGHT


def test_who_does_not_see_it_is_told_the_same() -> None:
    told = ET.fromstring(chart.svg(result())).attrib["aria-label"]

    assert f"{ALONE}: 1,500" in told
    assert "usual at 50 a second: 9.0 and 20.0" in told


def test_without_latency_there_are_bars_alone() -> None:
    bars = result() | {"latency": {}}

    root = ET.fromstring(chart.svg(bars))

    assert not list(root.iter(f"{SVG}circle"))
