"""`POST /api/v1/events`: events of sources that have no way to Kafka.

Everything is checked before anything is published; 202 is given when the bus has it for good.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count, islice
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response

from contracts.envelope import CONTENT_TYPE, NESTING_MAX, RECORD_BYTES_MAX, Envelope
from contracts.registry import EVENTS, INPUT_EVENTS
from contracts.sources import Source, Sources
from contracts.topics import source_topic
from contracts.vocabulary import DeadLetterReason as Reason
from contracts.vocabulary import PayerCode
from services.cabinet.access.gate import Visitor, needs
from services.cabinet.access.policy import Action, Owner, Resource, allows
from services.cabinet.api import shapes
from services.cabinet.api.problems import EVERYWHERE, ProblemError, problems
from streaming.bus import Appended, Bus, Outgoing, Record
from streaming.decoding import (
    Decoded,
    Defect,
    check_source,
    decode_data,
    decode_envelope,
    model_of,
)
from streaming.routing import partition_of

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
BATCH_EVENTS_MAX = 500
BATCH_BYTES_MAX = 4 * 1024 * 1024
Sender = Annotated[Visitor, needs(Resource.EVENTS, Action.SEND)]
AT_ONCE_MAX = 32
"""So many requests are taken at once; who comes then is asked to come again."""
AT_ONCE_OF_A_SENDER_MAX = 8
"""So many of one sender: who floods, or sends slowly, leaves room for others."""
BODY_SECONDS_MAX = 30
"""So long a body may take to arrive: who sends slowly holds a place that others wait for."""
ACKNOWLEDGED_SECONDS_MAX = 15

_NOT_READABLE = frozenset(
    {
        Reason.EMPTY,
        Reason.TOMBSTONE,
        Reason.NOT_UTF8,
        Reason.NOT_JSON,
        Reason.NOT_OBJECT,
        Reason.DUPLICATE_KEY,
        Reason.TOO_DEEP,
        Reason.BAD_NUMBER,
    }
)
_HEADERS = (("content-type", CONTENT_TYPE.encode()),)
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(parse_int=str)
"""Finds where an element ends; what it holds is read later, and may be no number of ours."""


class Intake:
    """Takes events for the bus: over the API, and from the pages."""

    def __init__(self, bus: Bus, sources: Sources) -> None:
        self._bus = bus
        self._sources = sources
        self._taken: Counter[str] = Counter()
        """How many requests of each sender are being taken."""

    @asynccontextmanager
    async def admitted(self, sender: str | None = None) -> AsyncIterator[None]:
        """Let a request in while the block runs. Raises ProblemError where too many are.

        `sender` tells machines apart; pages, which many people share, name none.
        """
        if sender is not None and self._taken[sender] >= AT_ONCE_OF_A_SENDER_MAX:
            raise ProblemError(429, "Too many requests of yours are being taken. Come again.")
        if self._taken.total() >= AT_ONCE_MAX:
            raise ProblemError(429, "Too many requests are being taken. Come again.")
        name = sender or ""
        self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]

    async def publish(
        self, values: list[bytes], may_speak_as: Callable[[str], bool]
    ) -> list[tuple[Decoded, Appended]]:
        """Publish events, all or none; return where each stands once the bus has it for good.

        `may_speak_as` says of which sources whoever sends them may send. Raises ProblemError,
        BusUnavailableError.
        """
        decoded = list(_decoded(values, self._sources, may_speak_as))
        outgoing = [_outgoing(value, each, self._bus, self._sources) for value, each in decoded]
        try:
            async with asyncio.timeout(ACKNOWLEDGED_SECONDS_MAX):
                appended = await self._bus.publish(outgoing)
        except TimeoutError as error:
            raise ProblemError(503, "The bus did not acknowledge in time.") from error
        return [(each, place) for (_, each), place in zip(decoded, appended, strict=True)]


def router(intake: Intake) -> APIRouter:
    """Return the path that takes events."""
    api = APIRouter(prefix="/api/v1", tags=["send"], responses=EVERYWHERE)
    refusals = problems(
        {
            400: "No readable JSON",
            408: f"The body took more than {BODY_SECONDS_MAX} seconds",
            413: f"An event above {RECORD_BYTES_MAX} bytes, or a batch above {BATCH_EVENTS_MAX} "
            f"events or {BATCH_BYTES_MAX} bytes",
            415: "Neither a structured CloudEvent nor a batch of them",
            422: "No event of a source that may send it",
        },
        shapes.RefusedEvents,
    ) | problems({503: "The bus did not acknowledge; send again, under the same ids"})
    one = {"anyOf": [{"$ref": f"#/components/schemas/{event.type}"} for event in INPUT_EVENTS]}
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": BATCH_EVENTS_MAX}
    content = {CONTENT_TYPE: {"schema": one}, BATCH_CONTENT_TYPE: {"schema": several}}

    @api.post(
        "/events",
        status_code=202,
        response_model=shapes.AcceptedEvents,
        responses=refusals,
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def events(request: Request, who: Sender) -> Response:
        """Publish one CloudEvent in structured mode, or a batch, to the topics of their sources.

        Either all events of a batch are published or, where one of them is refused, none.
        """

        def may_speak_as(source: str) -> bool:
            return allows(who.principal, Resource.EVENTS, Action.SEND, Owner(source=source))

        async with intake.admitted(who.principal.subject):
            taken = await intake.publish(await _values(request), may_speak_as)
        accepted = [_accepted(each, place) for each, place in taken]
        body = orjson.dumps({"events": accepted})
        return Response(body, 202, media_type="application/json")

    return api


async def _values(request: Request) -> list[bytes]:
    """Return the bytes of each event, as they were sent."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == CONTENT_TYPE:
        return [await _body(request, RECORD_BYTES_MAX)]
    if content_type == BATCH_CONTENT_TYPE:
        return _elements(await _body(request, BATCH_BYTES_MAX))
    raise ProblemError(
        415,
        f"Send {CONTENT_TYPE} or {BATCH_CONTENT_TYPE}.",
        reason=Reason.BAD_ENVELOPE,
    )


async def _body(request: Request, bytes_max: int) -> bytes:
    """Return the body, of which never more is read than allowed."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    detail = f"More than {bytes_max} bytes."
                    raise ProblemError(413, detail, reason=Reason.TOO_LARGE)
    except TimeoutError as error:
        detail = f"The body took more than {BODY_SECONDS_MAX} seconds."
        raise ProblemError(408, detail) from error
    return bytes(body)


def _elements(body: bytes) -> list[bytes]:
    """Return the bytes of each element of a JSON array; what is in them is read later."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError(400, "The batch is not UTF-8.", reason=Reason.NOT_UTF8) from error
    try:
        # No further than it takes to refuse: a batch may hold millions of elements.
        found = list(islice(_cut(text), BATCH_EVENTS_MAX + 1))
    except json.JSONDecodeError as error:
        raise ProblemError(400, "The batch is no JSON array.", reason=Reason.NOT_JSON) from error
    if not found:
        raise ProblemError(400, "The batch is empty.", reason=Reason.EMPTY)
    if len(found) > BATCH_EVENTS_MAX:
        detail = f"More than {BATCH_EVENTS_MAX} events."
        raise ProblemError(413, detail, reason=Reason.TOO_LARGE)
    return found


def _cut(text: str) -> Iterator[bytes]:
    at = _over_space(text, 0)
    if text[at : at + 1] != "[":
        raise json.JSONDecodeError("no array", text, at)
    at = _over_space(text, at + 1)
    for index in count():
        if text[at : at + 1] == "]":
            break
        try:
            _, end = _DECODER.raw_decode(text, at)
        except RecursionError as error:
            detail = f"nested deeper than {NESTING_MAX}"
            raise ProblemError(400, detail, reason=Reason.TOO_DEEP, index=index) from error
        yield text[at:end].encode()
        at = _over_space(text, end)
        if text[at : at + 1] == ",":
            at = _over_space(text, at + 1)
            if text[at : at + 1] != "]":
                continue
        elif text[at : at + 1] == "]":
            continue
        raise json.JSONDecodeError("no end of the array", text, at)
    if _over_space(text, at + 1) != len(text):
        raise json.JSONDecodeError("more after the array", text, at)


def _over_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space is not None else at


def _decoded(
    values: list[bytes], sources: Sources, may_speak_as: Callable[[str], bool]
) -> Iterator[tuple[bytes, Decoded]]:
    for index, value in enumerate(values):
        record = Record("", 0, 0, 0, None, value)
        try:
            envelope = decode_envelope(record)
            check_source(envelope)
            # In the order of the bus: whose it is, whether there is such an event, whether it is
            # theirs to send, and only then what it says.
            source = _source_of(envelope, sources, may_speak_as)
            model = model_of(envelope, EVENTS)
            _check_scope(envelope, source)
            decoded = Decoded(envelope, decode_data(envelope, model))
        except Defect as defect:
            raise ProblemError(
                _status(defect.reason), defect.detail, reason=defect.reason, index=index
            ) from defect
        yield value, decoded


def _status(reason: Reason) -> int:
    if reason is Reason.TOO_LARGE:
        return 413
    return 400 if reason in _NOT_READABLE else 422


def _source_of(envelope: Envelope, sources: Sources, may_speak_as: Callable[[str], bool]) -> Source:
    source = sources.by_name.get(envelope.source.removeprefix("/"))
    # A source of somebody else is no more to be found than one that is not there.
    if source is None or not may_speak_as(source.name):
        raise Defect(Reason.SOURCE_MISMATCH, "source is none that may send events here")
    return source


def _check_scope(envelope: Envelope, source: Source) -> None:
    payer = envelope.partitionkey
    if not source.may_send(envelope.type) or (
        payer is not None and not source.may_speak_for_payer(PayerCode(payer))
    ):
        raise Defect(Reason.OUT_OF_SCOPE, f"{envelope.source} may not send this")


def _outgoing(value: bytes, decoded: Decoded, bus: Bus, sources: Sources) -> Outgoing:
    envelope = decoded.envelope
    key = (envelope.partitionkey or "").encode()
    topic = source_topic(sources.by_name[envelope.source.removeprefix("/")]).name
    return Outgoing(topic, partition_of(key, bus.partitions), key, value, _HEADERS)


def _accepted(decoded: Decoded, place: Appended) -> dict[str, Any]:
    return {
        "id": decoded.envelope.id,
        "topic": place.topic,
        "partition": place.partition,
        "offset": place.offset,
        "status": f"/api/v1/events/{place.topic}/{place.partition}/{place.offset}",
    }
