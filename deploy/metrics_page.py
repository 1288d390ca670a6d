"""Prints `docs/metrics.md`: every metric, its labels, what it tells.

python -m deploy.metrics_page > docs/metrics.md
"""

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from streaming.telemetry import CanaryTelemetry, InstallationTelemetry, Telemetry

HEAD = """\
# Metrics

<!-- Generated from streaming/telemetry.py by `python -m deploy.metrics_page`. Do not edit. -->

A process answers `/metrics` in Prometheus's text form, beside `/health/live` and `/health/ready`,
on `PFDO_HEALTH_PORT`; a service without it answers nothing. The cabinet, and without that port
`pfdo watch` and `pfdo canary`, answer on `PFDO_PORT`. What is here is promised as the command line
is: names and labels are changed with a word in the changelog. No metric carries a
person's id.

A counter is shown with `_total`; of a histogram there are `_bucket`, `_sum` and `_count`. Processes
that serve tell the first table, `pfdo watch` and `pfdo canary`, one of each, the others.
[deploy/observability/](../deploy/observability/) holds dashboards and alerts on them. Its
Prometheus gives each process the label `process`, the name of its container, which outlasts its
address; alerts need it: a Prometheus of your own must give it too.
"""
TABLE = """
## {title}

| metric | kind | labels | tells |
|---|---|---|---|
{rows}
"""


def metrics(telemetry: object) -> Iterator[MetricWrapperBase]:
    """Yield the metrics that a telemetry holds, in the order they are declared."""
    for value in vars(telemetry).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def series(metric: MetricWrapperBase) -> list[str]:
    """Return the names of the series that Prometheus gets of a metric."""
    name = metric._name  # noqa: SLF001 - the library has no other way to it
    match metric._type:  # noqa: SLF001
        case "counter":
            return [f"{name}_total"]
        case "histogram":
            return [f"{name}_bucket", f"{name}_sum", f"{name}_count"]
        case _:
            return [name]


def labels(metric: MetricWrapperBase) -> tuple[str, ...]:
    """Return the labels of a metric."""
    return tuple(metric._labelnames)  # noqa: SLF001


def page() -> str:
    """Return the content of `docs/metrics.md`."""
    return HEAD + "".join(
        TABLE.format(title=title, rows="\n".join(map(_row, metrics(telemetry))))
        for title, telemetry in (
            ("Of a process that serves", Telemetry()),
            ("Of an installation: `pfdo watch`", InstallationTelemetry()),
            ("Of the child that does not exist: `pfdo canary`", CanaryTelemetry()),
        )
    )


def _row(metric: MetricWrapperBase) -> str:
    name = series(metric)[0].removesuffix("_bucket")
    kind = metric._type  # noqa: SLF001
    listed = " ".join(f"`{label}`" for label in labels(metric))
    return f"| `{name}` | {kind} | {listed} | {metric._documentation} |"  # noqa: SLF001


if __name__ == "__main__":
    print(page(), end="")
