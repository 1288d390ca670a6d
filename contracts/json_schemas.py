"""JSON Schema 2020-12 of every event as a whole record, envelope included.

An input may not carry what only a journal says of itself, so its schema leaves that out.
"""

from typing import Any

from contracts.decisions import DECISIONS
from contracts.envelope import Envelope, EventData, needs_partition_key
from contracts.registry import FACT_EVENTS, INPUT_EVENTS, REPORT_EVENTS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FROM_OUTSIDE = frozenset(event.type for event in INPUT_EVENTS + REPORT_EVENTS)
_IN_A_JOURNAL = frozenset(event.type for event in FACT_EVENTS) | frozenset(DECISIONS)
_CAUSE = ("causetopic", "causepartition", "causeoffset", "causeindex", "businessday")
_CHAIN = ("journalseq", "prevhash", "hash")


def envelope_schema() -> dict[str, Any]:
    """Return the schema of the envelope, whatever the type of its data."""
    schema = _plain(Envelope.model_json_schema())
    return {"$schema": DIALECT, "$id": "urn:pfdo:envelope", **schema}


def data_schema(event: type[EventData]) -> dict[str, Any]:
    """Return the schema of an event's data alone, with the parts it uses under `$defs`."""
    schema: dict[str, Any] = _plain(event.model_json_schema(by_alias=True))
    if "input" in schema["properties"] and "input" not in schema.get("required", []):
        # The member of the journal stands after the fields of the business.
        schema["properties"]["input"] = schema["properties"].pop("input")
    return schema


def event_schema(event: type[EventData]) -> dict[str, Any]:
    """Return the schema of a whole record of this type."""
    envelope, data = _plain(Envelope.model_json_schema()), data_schema(event)
    properties, required = envelope["properties"], set(envelope["required"])
    if needs_partition_key(event.type):
        required.add("partitionkey")
        properties["partitionkey"] = _without_null(properties["partitionkey"])
    if event.type in _FROM_OUTSIDE:
        for name in (*_CAUSE, *_CHAIN):
            del properties[name]
    else:
        for name in _CHAIN:
            if event.type in _IN_A_JOURNAL:
                properties[name] = _without_null(properties[name])
                required.add(name)
            else:
                del properties[name]
        for name in _CAUSE[:-1]:
            properties[name] = _without_null(properties[name])
            required.add(name)
    properties["type"] = {"const": event.type}
    parts = data.pop("$defs", {})
    properties["data"] = data
    schema = {
        "$schema": DIALECT,
        "$id": f"urn:pfdo:{event.type}",
        "title": event.type,
        "description": data["description"],
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": [name for name in properties if name in required],
    }
    return {**schema, "$defs": parts} if parts else schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    stay = [item for item in schema["anyOf"] if item != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**stay[0], **rest}


def _plain(schema: Any) -> Any:
    """Return a schema without pydantic's titles and without the default that means absent."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: _plain(inner) for key, inner in value.items()}
        if name in ("properties", "$defs")
        else _plain(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str)) and (name, value) != ("default", None)
    }
