"""Traces read off the bus: a whole tree of hops, told over HTTP, and nothing personal."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from contracts.topics import JOURNALS
from pfdo.playing import play, read_lines
from pfdo.records import whole
from pfdo.tracing import Span, Traces, otlp
from streaming.bus import Outgoing
from streaming.installation import Installation
from streaming.telemetry import InstallationTelemetry
from tests.pfdo.worlds import SMALL, installation_of, world
from tests.support.world import World

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
NAME = "Заглушкина Проверка"


class Collector:
    """Takes what OTLP over HTTP brings; says `status`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        self.port = 0

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Return all spans that were taken, each with the name of its service."""
        return [
            {**span, "service": resource["resource"]["attributes"][0]["value"]["stringValue"]}
            for body in self.bodies
            for resource in json.loads(body)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/json")
            if collector.status == 200:
                collector.bodies.append(body)
            self.send_response(collector.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tracing(installation: Installation, collector: Collector) -> Traces:
    return Traces(installation, InstallationTelemetry(), f"http://127.0.0.1:{collector.port}")


async def play_traced(made: World, installation: Installation, traceparent: str | None) -> None:
    """Play the small file; the first application, and each mark, carries a traceparent."""
    lines = []
    for line in SMALL.read_text().splitlines():
        event = json.loads(line or "{}")
        if event.get("type", "").startswith(("navigator.application", "attendance")):
            event |= {"traceparent": traceparent} if traceparent else {}
        lines.append(json.dumps(event) if event else "")

    async def settled() -> bool:
        await made.settle()
        return True

    await play(installation, read_lines(lines, installation.topics), settled)


async def test_each_record_of_a_trace_is_a_span_whose_parent_is_its_cause() -> None:
    made = world()
    installation = installation_of(made)
    with collecting() as collector:
        traces = tracing(installation, collector)
        await traces.look()
        await play_traced(made, installation, SAMPLED)
        await traces.look()

    spans = {span["spanId"]: span for span in collector.spans}
    assert len(spans) == len(collector.spans), "a record was told twice"
    assert {span["traceId"] for span in spans.values()} == {TRACE}
    roots = [span for span in spans.values() if span["parentSpanId"] == PARENT]
    assert {span["service"] for span in roots} == {"navigator", "attendance"}
    assert all(s["parentSpanId"] in spans for s in spans.values() if s not in roots)
    told = [span["name"] for span in spans.values()]
    for name in (
        "navigator.application-submitted.v1",
        "enrollment.place-requested.v1",
        "enrollment.child-enrolled.v1",
        "certificates.certificate-issued.v1",
        "billing.funds-reserved.v1",
        "enrollment.agreement-activated.v1",
        "billing.lesson-charged.v1",
        "notifications.message-due.v1",
    ):
        assert name in told, name
    records = await whole(installation, [topic.name for topic in JOURNALS])
    carried = [r for r in records if json.loads(r.value or b"{}").get("traceparent") == SAMPLED]
    ours = {topic.written_by for topic in JOURNALS}
    facts = [
        s
        for s in spans.values()
        if any(a["key"] == "cloudevents.event_id" for a in s["attributes"])
    ]
    assert len(facts) == len(carried) > 10
    assert {span["service"] for span in facts} <= ours
    for span in spans.values():
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])


@pytest.mark.parametrize(
    "traceparent",
    [None, f"00-{TRACE}-{PARENT}-00", f"00-{'0' * 32}-{PARENT}-01", "00-ab", NAME, f"{SAMPLED}\n"],
)
async def test_what_its_sender_does_not_trace_is_not_told(traceparent: str | None) -> None:
    made = world()
    installation = installation_of(made)
    with collecting() as collector:
        traces = tracing(installation, collector)
        await traces.look()
        await play_traced(made, installation, traceparent)
        await traces.look()

    assert collector.bodies == []


async def test_nothing_a_sender_writes_is_told_but_where_it_stands() -> None:
    made = world()
    installation = installation_of(made)
    named = ("id", "source", "type", "subject", "time", "dataschema", "causetopic", NAME)
    event = {**dict.fromkeys(named, NAME), "traceparent": SAMPLED, "data": {NAME: NAME}}
    with collecting() as collector:
        traces = tracing(installation, collector)
        await traces.look()
        for ascii_only in (True, False):
            value = json.dumps(event, ensure_ascii=ascii_only).encode()
            await made.bus.publish([Outgoing("navigator.events.v1", 0, NAME.encode(), value)])
        await made.settle()
        await traces.look()

    assert len(collector.spans) == 2
    assert {span["name"] for span in collector.spans} == {"unknown"}
    for body in collector.bodies:
        assert NAME not in body.decode()
        assert NAME not in json.dumps(json.loads(body), ensure_ascii=False)


async def test_a_collector_that_is_away_is_waited_for_and_one_that_refuses_is_not() -> None:
    made = world()
    installation = installation_of(made)
    with collecting() as collector:
        telemetry = InstallationTelemetry()
        traces = Traces(installation, telemetry, f"http://127.0.0.1:{collector.port}")
        await traces.look()
        await play_traced(made, installation, SAMPLED)
        for status, taken in ((503, False), (200, True)):
            collector.status = status
            await traces.look()
            assert bool(collector.bodies) is taken
        number = len(collector.spans)
        collector.status = 400
        value = json.dumps({"traceparent": SAMPLED}).encode()
        await made.bus.publish([Outgoing("navigator.events.v1", 0, b"k", value)])
        await traces.look()
        collector.status = 200
        await traces.look()

    assert len(collector.spans) == number
    told = {
        s.labels["outcome"]: s.value
        for f in telemetry.registry.collect()
        for s in f.samples
        if s.name == "pfdo_spans_total"
    }
    assert told == {"told": number, "dropped": 1}


def test_a_span_is_written_as_otlp_has_it() -> None:
    """The JSON form of opentelemetry-proto: ids in hex, 64-bit numbers as text."""
    span = Span(
        trace_id=TRACE,
        span_id="1" * 16,
        parent_id=PARENT,
        name="billing.lesson-charged.v1",
        service="billing",
        place=("billing.events.v1", 3, 17),
        started_ms=1_600_000_000_000,
        ended_ms=1_600_000_000_025,
        is_caused=True,
        journal_id="billing:3:9",
    )

    (resource,) = json.loads(otlp([span]))["resourceSpans"]
    (written,) = resource["scopeSpans"][0]["spans"]

    assert resource["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "billing"}}
    ]
    assert written["startTimeUnixNano"] == "1600000000000000000"
    assert written["endTimeUnixNano"] == "1600000000025000000"
    assert written["kind"] == 5
    assert (written["traceId"], written["parentSpanId"]) == (TRACE, PARENT)
    assert {"key": "messaging.kafka.offset", "value": {"intValue": "17"}} in written["attributes"]
