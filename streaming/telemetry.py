"""Metrics and logs of the runtime, from one list: a name that is not here is not written.

Logs are JSON lines on standard error with fields from `LOGGED` alone: these are children's
records, nothing is logged because it happened to be there (docs/promises.md).
"""

import logging
import math
import sys
import time
import traceback
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from shutil import disk_usage
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LOGGED = frozenset(
    {
        "service",
        "partition",
        "topic",
        "offset",
        "epoch",
        "seq",
        "facts",
        "records",
        "reason",
        "error",
        "seconds",
        "attempt",
        "place",
        "port",
        "address",
        "message_id",
        "channel",
        "template",
        "category",
        "logger",
        "raised_at",
        "remedy",
        "unwritten",
    }
)
SAYS_NO_DATA = "aiokafka"
"""The library whose messages are written whole: they name topics, groups and brokers alone."""
AGAIN_SECONDS = 10.0
SAID_MAX = 1_000
"""How many different messages of libraries are remembered."""


def _only_listed(
    logger: object, method: str, fields: "structlog.typing.EventDict"
) -> Mapping[str, Any]:
    del logger, method
    own = {"event", "level", "timestamp"}
    return {name: value for name, value in fields.items() if name in LOGGED or name in own}


def raised(error: BaseException) -> dict[str, str]:
    """Return the kind of an error, or of what caused it, and where that was raised: no values."""
    while error.__cause__ is not None:
        error = error.__cause__
    told = {"error": _kind(error)}
    for last in traceback.extract_tb(error.__traceback__)[-1:]:
        told["raised_at"] = f"{last.filename}:{last.lineno} {last.name}"
    return told


def _kind(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _with_what_was_raised(
    logger: object, method: str, fields: "structlog.typing.EventDict"
) -> "structlog.typing.EventDict":
    del logger, method
    error = sys.exception() if fields.pop("exc_info", None) else None
    return fields if error is None else {**raised(error), **fields}


def configure_logs(level: int = logging.INFO, clock: Callable[[], float] = time.monotonic) -> None:
    """Write logs of this level and above as JSON lines on standard error, listed fields alone.

    So are warnings and errors of libraries, which otherwise write as they like, and as often.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_what_was_raised,
            _only_listed,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _OfLibraries)]:
        root.removeHandler(handler)
    root.addHandler(_OfLibraries(max(level, logging.WARNING), clock))


class _OfLibraries(logging.Handler):
    """Writes what a library logs as a line of ours: no values and no traceback, both can hold data.

    The message is a library's own first line, with values filled in only for `SAYS_NO_DATA`. What
    is said again soon is not written again, but counted: a broker that is away is said to be so
    some dozens of times a second.
    """

    def __init__(self, level: int, clock: Callable[[], float]) -> None:
        super().__init__(level)
        self._clock = clock
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(record)
        except Exception as error:  # noqa: BLE001  (a log line must not end what wrote it)
            kind = type(error).__qualname__
            structlog.get_logger().error("cannot be written", logger=record.name, error=kind)

    def _write(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        error = record.exc_info[1] if record.exc_info else None
        kind = "" if error is None else _kind(error)
        known = record.name.partition(".")[0] == SAYS_NO_DATA
        lines = (record.getMessage() if known else str(record.msg)).splitlines()
        said = lines[0] if lines else ""
        what = (record.name, said, kind)
        now = self._clock()
        at, unwritten = self._said.get(what, (-math.inf, 0))
        if now - at < AGAIN_SECONDS:
            self._said[what] = (at, unwritten + 1)
            return
        if len(self._said) >= SAID_MAX:
            self._said.clear()
        self._said[what] = (now, 0)
        if unwritten:
            fields["unwritten"] = unwritten
        if error is not None:
            # Only for what is written: it reads files.
            fields |= raised(error) | {"error": kind}
        structlog.get_logger().log(record.levelno, said, **fields)


class Telemetry:
    """What the runtime tells about itself."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.log: Any = structlog.get_logger()
        self.decisions = Counter(
            "pfdo_decisions",
            "Decisions about inputs, by what was decided",
            ["service", "topic", "decision", "reason"],
            registry=self.registry,
        )
        self.takeovers = Counter(
            "pfdo_takeovers", "Partitions taken over", ["service"], registry=self.registry
        )
        self.folded_facts = Counter(
            "pfdo_folded_facts",
            "Journal records folded into a store",
            ["service"],
            registry=self.registry,
        )
        self.halted = Gauge(
            "pfdo_partition_halted",
            "1 while a partition waits for a person to look",
            ["service", "partition"],
            registry=self.registry,
        )
        self.owned = Gauge(
            "pfdo_partition_owned",
            "1 while this process owns the partition",
            ["service", "partition"],
            registry=self.registry,
        )
        self.retries = Counter(
            "pfdo_retries",
            "Times a partition had to be taken over again after an error of its surroundings",
            ["service"],
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "pfdo_step_seconds",
            "One batch: deciding, committing and publishing",
            ["service"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=self.registry,
        )
        self.unsettled_seconds = Gauge(
            "pfdo_trouble_seconds",
            "How long a partition (or the cabinet, for its vault) waits for what it needs",
            ["service", "partition"],
            registry=self.registry,
        )
        self.http_responses = Counter(
            "pfdo_http_responses",
            "Answers of the cabinet; 429: asked to come again, 503: store or bus are away",
            ["surface", "status"],
            registry=self.registry,
        )
        self.http_seconds = Histogram(
            "pfdo_http_seconds",
            "From a request to the cabinet until its answer begins",
            ["surface"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=self.registry,
        )
        self.attempts = Counter(
            "pfdo_delivery_attempts",
            "Attempts to deliver a message, by what came of them",
            ["channel", "outcome"],
            registry=self.registry,
        )
        self.perhaps_twice = Counter(
            "pfdo_perhaps_twice",
            "Messages sent again although an earlier attempt may have arrived",
            ["channel"],
            registry=self.registry,
        )
        self.overdue_messages = Gauge(
            "pfdo_overdue_messages",
            "Messages that wait ten minutes or more past their time",
            ["channel", "partition"],
            registry=self.registry,
        )

        self.disk_free = Gauge(
            "pfdo_disk_free_bytes",
            "Room left on the disk of this process, in a container that of Docker with its volumes",
            registry=self.registry,
        )
        self.disk_free.set_function(lambda: disk_usage("/").free)
        self.disk = Gauge("pfdo_disk_bytes", "How large that disk is", registry=self.registry)
        self.disk.set_function(lambda: disk_usage("/").total)
        self.vault_memory = Gauge(
            "pfdo_vault_memory_bytes",
            "Memory the Redis of the vault uses; 0 where there is no cabinet",
            registry=self.registry,
        )
        self.vault_memory_max = Gauge(
            "pfdo_vault_memory_max_bytes",
            "At how much that Redis takes no more writes; 0: it has no limit",
            registry=self.registry,
        )
        self.vault_records = Gauge(
            "pfdo_vault_records",
            "Records in the vault of names, as the cabinet sees it; 0 where there is no cabinet",
            registry=self.registry,
        )

    def decided(self, service: str, decisions: Sequence[tuple[str, str, str]]) -> None:
        """Count decisions given as (topic, decision, reason)."""
        for (topic, decision, reason), number in Tally(decisions).items():
            shown = "" if decision == "input-parked" else reason
            self.decisions.labels(service, topic, decision, shown).inc(number)

    def took_over(self, service: str, partition: int, epoch: int) -> None:
        """Tell that this process owns a partition."""
        self.takeovers.labels(service).inc()
        self.owned.labels(service, str(partition)).set(1)
        self.log.debug("took over", service=service, partition=partition, epoch=epoch)

    def folded(self, service: str, partition: int, facts: int) -> None:
        """Tell that state was rebuilt from the journal."""
        self.folded_facts.labels(service).inc(facts)
        if facts:
            self.log.info(
                "state folded from the journal", service=service, partition=partition, facts=facts
            )


class InstallationTelemetry:
    """What one process tells about all of them: `pfdo watch`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lag = Gauge(
            "pfdo_lag",
            "What a reader has still to do: records unread or unpublished, due work",
            ["service"],
            registry=self.registry,
        )
        self.outbox = Gauge(
            "pfdo_outbox_entries",
            "Records decided and not yet published",
            ["service"],
            registry=self.registry,
        )
        self.store_memory = Gauge(
            "pfdo_store_memory_bytes",
            "Memory the Redis of a service uses",
            ["service"],
            registry=self.registry,
        )
        self.store_memory_max = Gauge(
            "pfdo_store_memory_max_bytes",
            "At how much that Redis takes no more writes; 0: it has no limit",
            ["service"],
            registry=self.registry,
        )
        self.missing_copies = Gauge(
            "pfdo_missing_copies",
            "Copies of partitions that are not in step: a broker is away or behind",
            registry=self.registry,
        )
        self.processes = Gauge(
            "pfdo_processes", "Processes that run a service", ["service"], registry=self.registry
        )
        self.business_day = Gauge(
            "pfdo_business_day_timestamp_seconds",
            "Beginning of the last business day that is open in every partition, Unix time",
            registry=self.registry,
        )
        self.dead_letters = Gauge(
            "pfdo_dead_letters_open",
            "Dead letters about which nothing was done yet",
            ["service", "owner", "reason"],
            registry=self.registry,
        )
        self.parked = Gauge(
            "pfdo_parked_inputs", "Inputs that came too early and wait", registry=self.registry
        )
        self.undecided = Gauge(
            "pfdo_undecided_inputs",
            "Acknowledged inputs, requests and dead letters whose counterpart is still missing",
            registry=self.registry,
        )
        self.violations = Gauge(
            "pfdo_violations",
            "Times an invariant of docs/promises.md was found broken in the journals",
            ["invariant"],
            registry=self.registry,
        )
        self.money = Gauge(
            "pfdo_money_kopecks",
            "Balance of all accounts of a kind, counted from the journals; budget counts down",
            ["payer", "period", "account"],
            registry=self.registry,
        )
        self.budget = Gauge(
            "pfdo_category_budget_kopecks",
            "What a category may give and has given: kind is max or granted",
            ["payer", "period", "category", "kind"],
            registry=self.registry,
        )
        self.queued = Gauge(
            "pfdo_queued_children",
            "Children who wait for a funded certificate",
            ["payer", "period", "category"],
            registry=self.registry,
        )
        self.spans = Counter(
            "pfdo_spans",
            "Spans of traces: told to the collector, or dropped since it did not take them",
            ["outcome"],
            registry=self.registry,
        )
        self.looked = Gauge(
            "pfdo_looked_timestamp_seconds",
            "When that was looked at last, Unix time: what is flow, books or traces",
            ["what"],
            registry=self.registry,
        )


class CanaryTelemetry:
    """What the child that does not exist tells: `pfdo canary`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.walks = Counter(
            "pfdo_canary_walks",
            "Walks of the main path by a child that does not exist: done, late, wrong or unchanged "
            "(a copy, or no debit: a minute was missed)",
            ["path", "outcome"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "pfdo_canary_seconds",
            "From an event on the bus to the last fact that follows from it; path is mark (a debit "
            "and its message) or application (to an active agreement)",
            ["path"],
            buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
            registry=self.registry,
        )
        self.done = Gauge(
            "pfdo_canary_done_timestamp_seconds",
            "When a walk was last done, Unix time",
            ["path"],
            registry=self.registry,
        )
