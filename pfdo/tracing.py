"""Traces, read off the bus: a part of `pfdo watch`, if `PFDO_OTLP_ENDPOINT` is set.

What follows from an input carries its `traceparent`, unchanged, so that journals stay what they
are. A record with one is a span: from the time its cause was appended to the time it was itself, by
the broker's clock. Its id follows from where it stands, its parent is the record it names as its
cause; the first one's is the span of its sender. So nothing is measured where money is decided, a
copy of a span is the same span, and a trace shows each hop, with all the waiting in it.

The sender decides: without `traceparent`, or with one that says "not sampled", nothing is told.
OTLP/HTTP with JSON, as https://opentelemetry.io/docs/specs/otlp/ has it. Traces are a help, not a
book: what no collector takes is dropped, and counted.
"""

import json
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx

from contracts.registry import EVENTS
from contracts.topics import Topic, TopicKind, all_topics
from pfdo.records import Place, place_of
from streaming.authorities import trusting
from streaming.bus import Record
from streaming.installation import Installation
from streaming.telemetry import InstallationTelemetry
from streaming.whole import up_to

REMEMBERED_MAX = 100_000
"""So many traced records are remembered: what follows from an older one begins where it ends."""
SPANS_MAX = 512
WAITING_MAX = 10_000
ANSWER_SECONDS_MAX = 5.0
MARK = b'"traceparent"'
"""Records without it are not even parsed."""

_TRACEPARENT = re.compile(
    r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
)
_SAMPLED = 1
# Of OTLP, enum SpanKind.
_PRODUCER, _CONSUMER = 4, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A record of a trace. Times in milliseconds since 1970; `journal_id` opens `pfdo why`."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    place: Place
    started_ms: int
    ended_ms: int
    is_caused: bool
    journal_id: str | None


class Reading:
    """Makes spans of records."""

    def __init__(self, topics: Iterable[Topic]) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._appended: OrderedDict[Place, int] = OrderedDict()

    def spans(self, records: Iterable[Record]) -> list[Span]:
        """Return the spans of records; of a trace, or one to be told, is not every record."""
        traced = [(record, *found) for record in records if (found := _traced(record)) is not None]
        # All of them first: of one millisecond a cause may stand after what follows from it.
        for record, _, _ in traced:
            self._appended[place_of(record)] = record.appended_at_ms
            if len(self._appended) > REMEMBERED_MAX:
                self._appended.popitem(last=False)
        return [self._span(*each) for each in traced]

    def _span(self, record: Record, envelope: Mapping[str, Any], trace: re.Match[str]) -> Span:
        topic = self._topics[record.topic]
        is_ours = topic.kind not in {TopicKind.SOURCE, TopicKind.FORWARDED}
        cause = _cause(envelope) if is_ours else None
        place = place_of(record)
        type_ = str(envelope.get("type"))
        return Span(
            trace_id=trace[1],
            span_id=_id(place),
            parent_id=trace[2] if cause is None else _id(cause),
            # What a source calls its event may be anything: even a name.
            name=type_ if type_ in EVENTS else "unknown",
            service=topic.written_by,
            place=place,
            started_ms=self._appended.get(cause or place, record.appended_at_ms),
            ended_ms=record.appended_at_ms,
            is_caused=cause is not None,
            journal_id=str(envelope["id"]) if topic.kind is TopicKind.JOURNAL else None,
        )


def _traced(record: Record) -> tuple[Mapping[str, Any], re.Match[str]] | None:
    try:
        envelope = json.loads(record.value or b"")
        found = _TRACEPARENT.fullmatch(envelope["traceparent"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if found is None or not int(found[3], 16) & _SAMPLED:
        return None
    return envelope, found


def _cause(envelope: Mapping[str, Any]) -> Place | None:
    topic, partition, offset = (
        envelope.get(name) for name in ("causetopic", "causepartition", "causeoffset")
    )
    return None if topic is None else (str(topic), int(partition or 0), int(offset or 0))


def _id(place: Place) -> str:
    topic, partition, offset = place
    return sha256(f"{topic}/{partition}/{offset}".encode()).hexdigest()[:16]


def otlp(spans: Sequence[Span]) -> bytes:
    """Return the body of one request to `/v1/traces`."""
    by_service: defaultdict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_service[span.service].append(span)
    content = {
        "resourceSpans": [
            {
                "resource": {"attributes": [_text("service.name", service)]},
                "scopeSpans": [{"scope": {"name": "pfdo"}, "spans": [_span(s) for s in told]}],
            }
            for service, told in sorted(by_service.items())
        ]
    }
    return json.dumps(content).encode()


def _span(span: Span) -> dict[str, Any]:
    topic, partition, offset = span.place
    attributes = [
        _text("messaging.system", "kafka"),
        _text("messaging.destination.name", topic),
        _text("messaging.destination.partition.id", str(partition)),
        {"key": "messaging.kafka.offset", "value": {"intValue": str(offset)}},
    ]
    if span.journal_id is not None:
        attributes.append(_text("cloudevents.event_id", span.journal_id))
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": _CONSUMER if span.is_caused else _PRODUCER,
        "startTimeUnixNano": str(span.started_ms * 1_000_000),
        "endTimeUnixNano": str(span.ended_ms * 1_000_000),
        "attributes": attributes,
    }


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


class Traces:
    """Follows all topics from now on and tells a collector what was traced."""

    def __init__(
        self, installation: Installation, telemetry: InstallationTelemetry, endpoint: str
    ) -> None:
        self._bus = installation.bus
        self._spans = telemetry.spans
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._trust = trusting(installation.settings.ca)
        topics = [
            topic
            for topic in all_topics(installation.sources)
            if topic.kind not in {TopicKind.CALENDAR, TopicKind.DEAD_LETTERS}
        ]
        self._names = [topic.name for topic in topics]
        self._reading = Reading(topics)
        self._positions: dict[tuple[str, int], int] | None = None
        self._waiting: list[Span] = []

    async def look(self) -> None:
        """Read on, and tell what was found. Raises BusUnavailableError."""
        ends = await self._bus.ends(self._names)
        if self._positions is None:
            # What was before this process began is not told.
            self._positions = dict(ends)
        found: list[Record] = []
        for partition in range(self._bus.partitions):
            found += await self._read(partition, ends, self._positions)
        self._waiting += self._reading.spans(found)
        self._drop(len(self._waiting) - WAITING_MAX)
        await self._tell()

    async def _read(
        self,
        partition: int,
        ends: Mapping[tuple[str, int], int],
        positions: dict[tuple[str, int], int],
    ) -> list[Record]:
        since = {name: positions[name, partition] for name in self._names}
        found: list[Record] = []
        async for polled in up_to(self._bus, partition, since, ends):
            for records in polled.records.values():
                found += [record for record in records if MARK in (record.value or b"")]
            for name, offset in polled.next_offsets.items():
                positions[name, partition] = offset
        return found

    async def _tell(self) -> None:
        if not self._waiting:
            return
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(
            verify=self._trust, timeout=ANSWER_SECONDS_MAX, trust_env=False
        ) as client:
            while self._waiting:
                spans = self._waiting[:SPANS_MAX]
                try:
                    answer = await client.post(self._url, content=otlp(spans), headers=headers)
                except httpx.HTTPError:
                    return
                # What may be taken later waits for it; what is refused is so for ever.
                if answer.status_code in {429, 502, 503, 504}:
                    return
                if answer.is_success:
                    self._spans.labels("told").inc(len(spans))
                    del self._waiting[: len(spans)]
                else:
                    self._drop(len(spans))

    def _drop(self, number: int) -> None:
        if number > 0:
            del self._waiting[:number]
            self._spans.labels("dropped").inc(number)
