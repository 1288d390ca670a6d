"""From the bytes of a record to a typed event, strictly; every defect has a reason.

The bytes are parsed once, here, in Python: duplicate keys are refused since every parser takes the
last one and a signature may have been made over the first (docs/promises.md, section 5).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Never

import orjson
from msgspec import Struct
from pydantic import ValidationError

from contracts.decisions import DeadLetterReason
from contracts.envelope import (
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    NESTING_MAX,
    PUBLISHED_ATTRIBUTES,
    RECORD_BYTES_MAX,
    Envelope,
    EventData,
    defect_of_data,
    describe,
)
from streaming.bus import Headers, Record

INTEGER_DIGITS_MAX = 15
"""More digits are no exact number in every reader (docs/events.md, section 1)."""
HEADER_BYTES_MIN = 8
"""A header counts as much even if it is empty: a record can hold half a million of them."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Defect(Exception):  # noqa: N818 - a property of the record, not a failure of ours
    """Why a record is no event, by the closed list, and what to look at. Holds no values."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Decoded(Struct, frozen=True):
    """An event as it was read."""

    envelope: Envelope
    event: EventData


def decode(record: Record, events: Mapping[str, type[EventData]]) -> Decoded:
    """Return the event in a record; `events` are the types known by their full names.

    Raises Defect. The order of the checks is fixed: the first defect is the one that is told.
    """
    envelope = decode_envelope(record)
    return Decoded(envelope, decode_data(envelope, model_of(envelope, events)))


def model_of(envelope: Envelope, events: Mapping[str, type[EventData]]) -> type[EventData]:
    """Return the model of an event of one of these types. Raises Defect."""
    model = events.get(envelope.type)
    if model is not None:
        return model
    stem = envelope.type.rpartition(".")[0]
    if any(name.rpartition(".")[0] == stem for name in events):
        raise Defect(
            DeadLetterReason.UNKNOWN_VERSION, f"{envelope.type} is not a version known here"
        )
    raise Defect(DeadLetterReason.UNKNOWN_TYPE, f"{envelope.type} is not a type known here")


def decode_envelope(record: Record) -> Envelope:
    """Return the envelope in a record, its data still untyped. Raises Defect."""
    return envelope_of(_parse(record))


def parse_published(record: Record) -> dict[str, Any]:
    """Return the JSON object of a record that a service published. Raises Defect.

    Services write one canonical form, each its own topic alone: what senders may try needs no
    looking for here, and most readers skip most of it.
    """
    try:
        parsed = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError as error:
        raise Defect(DeadLetterReason.NOT_JSON, f"{error.msg} at character {error.pos}") from error
    if not isinstance(parsed, dict):
        raise Defect(DeadLetterReason.NOT_OBJECT, "the value is JSON, but no object")
    return parsed


def envelope_of(parsed: Mapping[str, Any]) -> Envelope:
    """Return the envelope of a parsed record. Raises Defect."""
    try:
        return Envelope.model_validate(parsed)
    except ValidationError as error:
        raise Defect(DeadLetterReason.BAD_ENVELOPE, describe(error)) from error


def decode_data(envelope: Envelope, model: type[EventData]) -> EventData:
    """Return the typed data of an envelope. Raises Defect."""
    try:
        event = model.model_validate(envelope.data)
    except ValidationError as error:
        reason, detail = defect_of_data(error)
        raise Defect(reason, detail) from error
    if event.subject != envelope.subject:
        raise Defect(
            DeadLetterReason.SUBJECT_MISMATCH,
            f"subject must equal {model.subject_field} of the data",
        )
    return event


def _parse(record: Record) -> dict[str, Any]:
    value = record.value
    if value is None:
        raise Defect(
            DeadLetterReason.TOMBSTONE, "the record has no value; journals are not deleted"
        )
    if not value:
        raise Defect(DeadLetterReason.EMPTY, "the value has no bytes")
    if len(value) > RECORD_BYTES_MAX:
        raise Defect(
            DeadLetterReason.TOO_LARGE, f"{len(value)} bytes, {RECORD_BYTES_MAX} are allowed"
        )
    if len(record.headers) > HEADERS_MAX:
        raise Defect(
            DeadLetterReason.TOO_MANY_HEADERS,
            f"{len(record.headers)} headers, {HEADERS_MAX} are allowed",
        )
    around = headers_bytes(record.headers) + len(record.key or b"")
    if around > HEADERS_BYTES_MAX:
        raise Defect(
            DeadLetterReason.TOO_LARGE,
            f"{around} bytes of key and headers, {HEADERS_BYTES_MAX} are allowed",
        )
    return parse_object(value)


def check_source(envelope: Envelope) -> None:
    """Raise Defect if an event of a source says of itself what only services' records say."""
    if envelope.model_fields_set.isdisjoint(PUBLISHED_ATTRIBUTES):
        return
    for name in sorted(PUBLISHED_ATTRIBUTES):
        if getattr(envelope, name) is not None:
            raise Defect(DeadLetterReason.BAD_ENVELOPE, f"{name} is said by services alone")


def headers_bytes(headers: Headers) -> int:
    """Return how many bytes headers take, each of them at least a few."""
    return sum(len(name) + len(value) + HEADER_BYTES_MIN for name, value in headers)


def parse_object(value: bytes) -> dict[str, Any]:
    """Return the JSON object in `value`. Raises Defect."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Defect(DeadLetterReason.NOT_UTF8, f"byte {error.start} is not UTF-8") from error
    try:
        parsed = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Defect(DeadLetterReason.NOT_JSON, f"{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise Defect(DeadLetterReason.TOO_DEEP, f"nested deeper than {NESTING_MAX}") from error
    if not isinstance(parsed, dict):
        raise Defect(DeadLetterReason.NOT_OBJECT, "the value is JSON, but no object")
    # Only a text with that many brackets can be nested that deep: usually nothing to walk.
    if value.count(b"{") + value.count(b"[") > NESTING_MAX and _depth(parsed) > NESTING_MAX:
        raise Defect(DeadLetterReason.TOO_DEEP, f"nested deeper than {NESTING_MAX}")
    if _SURROGATE.search(value):
        try:
            orjson.dumps(parsed)
        except TypeError as error:
            raise Defect(DeadLetterReason.NOT_UTF8, "a lone surrogate is no character") from error
    return parsed


def _depth(value: object) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, dict):
            waiting.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            waiting.extend((inner, depth + 1) for inner in item)
        else:
            continue
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Defect(DeadLetterReason.DUPLICATE_KEY, "a key stands twice in one object")
    return found


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS_MAX:
        raise Defect(
            DeadLetterReason.BAD_NUMBER, f"a number has more than {INTEGER_DIGITS_MAX} digits"
        )
    return int(digits)


def _no_number(text: str) -> Never:
    del text
    raise Defect(DeadLetterReason.BAD_NUMBER, "numbers are whole: no fraction, exponent or NaN")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_no_number,
    parse_int=_whole,
    parse_constant=_no_number,
)
