"""AsyncAPI 3.0 of the shipped topics: which event stands where, who sends and who reads it."""

from collections.abc import Iterable
from typing import Any

from contracts.envelope import CONTENT_TYPE, EventData
from contracts.registry import COMMAND_EVENTS, EVENTS, REPORT_EVENTS
from contracts.sources import Sources
from contracts.topics import Topic, all_topics

VERSION = "1.0.0"
_SCHEMA_FORMAT = "application/schema+json;version=2020-12"
# Named like facts of a service, but on topics of their own.
_APART = frozenset(COMMAND_EVENTS + REPORT_EVENTS)


def asyncapi(sources: Sources) -> dict[str, Any]:
    """Return the document; it refers to schemas and examples beside it."""
    topics = [topic for topic in all_topics(sources) if topic.source is not None]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Certificates of children's supplementary education",
            "version": VERSION,
            "description": "CloudEvents 1.0 in structured JSON mode, one event a record. Its "
            "key is the OKTMO code of the payer, which is also `partitionkey`.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": dict(_operations(topics)),
        "components": {"messages": {name: _message(event) for name, event in EVENTS.items()}},
    }


def events_on(topic: Topic) -> tuple[type[EventData], ...]:
    """Return the types that may stand on a topic, in the order of `EVENTS`."""
    source = topic.source
    if source is None:
        return ()
    return tuple(
        event
        for name, event in EVENTS.items()
        if name in source.sends or (source.may_send(name) and event not in _APART)
    )


def _channel(topic: Topic) -> dict[str, Any]:
    messages = {
        event.type: {"$ref": f"#/components/messages/{event.type}"} for event in events_on(topic)
    }
    return {
        "address": topic.name,
        "description": f"Written by {topic.written_by}; read by {', '.join(topic.readers)}.",
        "messages": messages,
        "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": _configuration(topic)}},
    }


def _configuration(topic: Topic) -> dict[str, Any]:
    return {
        "cleanup.policy": ["delete"],
        "retention.ms": topic.retention_ms,
        "max.message.bytes": topic.message_bytes_max,
    }


def _operations(topics: Iterable[Topic]) -> Iterable[tuple[str, dict[str, Any]]]:
    for topic in topics:
        channel = {"$ref": f"#/channels/{topic.name}"}
        yield f"{topic.written_by}-sends-{topic.name}", {"action": "send", "channel": channel}
        for reader in topic.readers:
            yield f"{reader}-receives-{topic.name}", {"action": "receive", "channel": channel}


def _message(event: type[EventData]) -> dict[str, Any]:
    return {
        "name": event.type,
        "summary": (event.__doc__ or "").partition("\n")[0],
        "contentType": CONTENT_TYPE,
        "payload": {
            "schemaFormat": _SCHEMA_FORMAT,
            "schema": {"$ref": f"./schemas/{event.type}.json"},
        },
        "examples": [{"payload": {"$ref": f"./examples/{event.type}.json"}}],
    }
