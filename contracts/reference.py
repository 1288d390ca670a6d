"""`docs/events.md`: its tables follow from the models, its reasons from the enums."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

from contracts.asyncapi import events_on
from contracts.decisions import DECISIONS
from contracts.envelope import (
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    NESTING_MAX,
    RECORD_BYTES_MAX,
    EventData,
)
from contracts.fields import (
    EVENT_ID_PATTERN,
    ID_PATTERN,
    INTEGER_MAX,
    OKTMO_PATTERN,
    SHA256_PATTERN,
)
from contracts.json_schemas import data_schema, envelope_schema
from contracts.registry import COMMAND_EVENTS, EVENTS, FACT_EVENTS, INPUT_EVENTS, REPORT_EVENTS
from contracts.sources import Sources
from contracts.topics import all_topics
from contracts.vocabulary import (
    KOPECKS_MAX,
    ApplicationRefusal,
    CertificateRefusal,
    DeadLetterReason,
    FundsRefusal,
    InputRefusal,
    NotCharged,
    QueueReason,
)

_INTRODUCTION = """\
# Events

<!-- Generated from contracts/ by `python -m contracts.generate`. Do not edit. -->

Every record on the bus is a CloudEvents 1.0 event in structured JSON mode, UTF-8, one event a
record, header `content-type: application/cloudevents+json`. The models in `contracts/` are the
source of this page, of `contracts/schemas/` (JSON Schema 2020-12 of whole records), of
`contracts/asyncapi.yaml`, and `contracts/examples/` holds one complete message of every type.
"""

_PLAIN_TYPES = f"""\
Plain types: *id* `{ID_PATTERN}`, opaque, never personal data · *date* `YYYY-MM-DD` · *kopecks*
integer 0…{KOPECKS_MAX}, never a float or a string · *revision* integer ≥ 1, raised by the sender
with each change · *text* ≤ 200 characters, no control characters, no personal data · *OKTMO*
`{OKTMO_PATTERN}` · *reference* ≤ 80 of `a-z 0-9 - /` · *event id* `{EVENT_ID_PATTERN}`. `?` marks
an optional field: it may be absent, null is read as absent. Unknown fields are refused: a new
field is a new schema, readers first. Dates that periods, groups, births and business days are
given by lie in the years 1900 to 2999.

Limits: record ≤ {RECORD_BYTES_MAX // 1024} KiB, nesting ≤ {NESTING_MAX}, ≤ {HEADERS_MAX} headers,
record key and headers together ≤ {HEADERS_BYTES_MAX // 1024} KiB, integers ≤ 15 digits. Published
records are larger by what they add: `journalseq`, `businessday`, `prevhash`, `hash` and the causes
are said by services alone, a source that says one is dead-lettered (`bad_envelope`).
"""

_SOURCES = """\
One input topic per source, `<source>.events.v1`: who may write a topic is settled by Kafka's
ACLs, so the topic tells the sender. `contracts/sources.yaml`, which a deployment replaces by its
own, says for each source which types it may send and for which payers and providers. The decider
of a source answers for what cannot be read, is misplaced or foreign. It puts misplaced records
into their right partition on `<source>.forwarded.v1`, with their original bytes.
"""

_INPUTS = """\
The natural key decides what a copy is, in this order: a revision lower than the known one →
`duplicate`, whatever it says (known is the highest revision that was not refused; parked counts)
· same key, same `data` → `duplicate` · same key, other `data` → refused `conflict` (also where
the first was refused). The type is part of the key, for `payers.*` the payer too. A copy under a
new `id` is still a copy.
"""

_COMMANDS = """\
Between partitions, listed since they cross them. Their natural key is the cause of the record
(topic, partition, offset, index).
"""

_FACTS = """\
The first record of each decided or noted input carries that input in the member `input`, so the
journal alone rebuilds the state.
"""

_REASONS = """\
Closed lists; another reason is a defect. Where two hold, the first in `docs/rules.md` is given.
"""

_CHANGE = """\
A new optional field or type: same version, readers deployed first. A new meaning: a new version
of the type; the old one stays readable for ever, its example stays, and every reader must still
take it. `pfdo contracts check` compares the schemas with those of the last release
(`contracts/released/`) and says in one line per field what would break and whom.
"""

_DECISIONS = """\
Decisions that are not facts of the business, for every service `s` of enrollment, certificates,
billing and notifications. One about a business day, or about a record that could not be read, has
no `partitionkey`.
"""

_LISTS: tuple[tuple[str, type[StrEnum]], ...] = (
    ("Dead letters", DeadLetterReason),
    ("Input refused", InputRefusal),
    ("Application refused, enrollment cancelled", ApplicationRefusal),
    ("Funds refused", FundsRefusal),
    ("Lesson not charged", NotCharged),
    ("Certificate queued", QueueReason),
    ("Certificate refused", CertificateRefusal),
)

_NAMES_OF_PATTERNS = {
    ID_PATTERN: "id",
    OKTMO_PATTERN: "OKTMO",
    EVENT_ID_PATTERN: "event id",
    SHA256_PATTERN: "SHA-256, hex",
    r"^[a-z0-9/-]{1,80}$": "reference",
    r"^[0-9]{10}$": "10 digits",
    r"^[0-9]{4}-(0[1-9]|1[0-2])$": "`YYYY-MM`",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": "`HH:MM`",
}


def reference(sources: Sources) -> str:
    """Return the whole page as Markdown."""
    return "\n".join(_sections(sources))


def _sections(sources: Sources) -> Iterator[str]:
    yield _INTRODUCTION
    yield "## 1. Envelope\n"
    yield _fields(envelope_schema())
    yield _PLAIN_TYPES
    yield "## 2. Sources and topics\n"
    yield _SOURCES
    yield _topics(sources)
    yield "## 3. Input events\n"
    yield _INPUTS
    yield from _events(INPUT_EVENTS)
    yield "### Commands of enrollment\n"
    yield _COMMANDS
    yield from _events(COMMAND_EVENTS)
    yield "### Reports of senders\n"
    yield from _events(REPORT_EVENTS)
    yield "## 4. Published facts\n"
    yield _FACTS
    yield from _events(FACT_EVENTS)
    yield "### Parts\n"
    yield from _parts()
    yield "### Decisions about inputs\n"
    yield _DECISIONS
    for name in (name for name in DECISIONS if name.startswith("enrollment.")):
        yield from _event(DECISIONS[name], f"s.{name.partition('.')[2]}")
    yield "## 5. Reasons\n"
    yield _REASONS
    for title, reasons in _LISTS:
        yield f"*{title}*: {' '.join(f'`{reason}`' for reason in reasons)}\n"
    yield "## 6. Change\n"
    yield _CHANGE.rstrip("\n") + "\n"


def _events(events: Iterable[type[EventData]]) -> Iterator[str]:
    for event in events:
        yield from _event(event, event.type)


def _event(event: type[EventData], name: str) -> Iterator[str]:
    about = " ".join((event.__doc__ or "").split())
    key = [*event.natural_key, *([event.revision_field] if event.revision_field else [])]
    if event.keyed_by_payer:
        key.insert(0, "payer")
    natural = f" · natural key: {', '.join(f'`{part}`' for part in key)}" if key else ""
    yield f"#### `{name}`\n"
    yield f"{about} Subject: `{event.subject_field}`{natural}.\n"
    yield _fields(data_schema(event))


def _topics(sources: Sources) -> str:
    rows = [
        "| topic | written by | read by (**decider**) | types | kept |",
        "|---|---|---|---|---|",
    ]
    for topic in all_topics(sources):
        readers = [f"**{name}**" if name == topic.decider else name for name in topic.readers]
        types = len(events_on(topic)) or "bytes"
        days = topic.retention_ms // (24 * 60 * 60 * 1000)
        kept = "for ever" if topic.retention_ms < 0 else f"{days} days"
        rows.append(
            f"| `{topic.name}` | {topic.written_by} | {', '.join(readers) or 'operators'} "
            f"| {types} | {kept} |"
        )
    return "\n".join(rows) + "\n"


def _parts() -> Iterator[str]:
    found: dict[str, dict[str, Any]] = {}
    for event in EVENTS.values():
        for name, schema in data_schema(event).get("$defs", {}).items():
            found.setdefault(name, schema)
    for name in sorted(name for name, schema in found.items() if "properties" in schema):
        schema = found[name]
        yield f"#### {name}\n"
        yield " ".join(schema["description"].split()) + "\n"
        yield _fields({**schema, "$defs": found})


def _fields(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = ["| field | type | |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        mark = "" if name in required else "?"
        words = _words(field, schema.get("$defs", {}), optional=name not in required)
        rows.append(f"| `{name}`{mark} | {words} | {field.get('description', '')} |")
    return "\n".join(rows) + "\n"


def _words(schema: dict[str, Any], parts: dict[str, Any], *, optional: bool = False) -> str:
    """Return the type of a field in the words of section 1."""
    if "anyOf" in schema:
        named = [item for item in schema["anyOf"] if item != {"type": "null"}]
        words = " or ".join(_words(item, parts) for item in named)
        return words if optional else f"{words} or null"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = parts.get(name, {})
        return _choice(target["enum"]) if "enum" in target else f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _choice(schema["enum"])
    match schema.get("type"):
        case "string":
            return _string(schema)
        case "integer":
            return _integer(schema)
        case "array":
            items = _words(schema["items"], parts) if schema.get("items") else "value"
            return f"list of {items}{_how_many(schema)}"
        case "object":
            if inner := schema.get("additionalProperties"):
                return f"object of {_words(inner, parts)}" if isinstance(inner, dict) else "object"
            pattern = next(iter(schema.get("patternProperties", {}).values()), None)
            return f"object of {_words(pattern, parts)}" if pattern else "object"
        case "boolean":
            return "bool"
        case other:
            return str(other or "value")


def _choice(values: Iterable[Any]) -> str:
    return " \\| ".join(f"`{value}`" for value in values)


def _string(schema: dict[str, Any]) -> str:
    if schema.get("format") in ("date", "date-time"):
        return "date" if schema["format"] == "date" else "RFC 3339 with offset"
    pattern, length = schema.get("pattern"), schema.get("maxLength")
    if pattern in _NAMES_OF_PATTERNS:
        return _NAMES_OF_PATTERNS[pattern]
    if length and (pattern is None or pattern.startswith("^[^")):
        return "text" if length == 200 and pattern else f"text ≤ {length}"
    return f"`{pattern}`".replace("|", "\\|") if pattern else "text"


def _integer(schema: dict[str, Any]) -> str:
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if (lowest, highest) == (0, KOPECKS_MAX):
        return "kopecks"
    if (lowest, highest) == (-KOPECKS_MAX, KOPECKS_MAX):
        return "kopecks, may be negative"
    if (lowest, highest) == (1, INTEGER_MAX):
        return "revision"
    return f"integer ≥ {lowest}" if highest == INTEGER_MAX else f"integer {lowest}…{highest}"


def _how_many(schema: dict[str, Any]) -> str:
    if "maxItems" not in schema:
        return ""
    return f", {schema.get('minItems', 0)}…{schema['maxItems']}"
