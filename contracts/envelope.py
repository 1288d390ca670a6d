"""The CloudEvents 1.0 envelope, and what every event's data has in common.

`docs/events.md` section 1. Reading takes an object that was parsed once, elsewhere, with duplicate
keys refused; nothing here looks at bytes.
"""

import datetime as dt
import keyword
import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from contracts.fields import (
    DATE_LENGTH,
    YEAR_MAX,
    YEAR_MIN,
    Date,
    EventId,
    Number,
    PayerCode,
    Sha256,
    Timestamp,
)
from contracts.vocabulary import DeadLetterReason

CONTENT_TYPE = "application/cloudevents+json"
"""Value of the Kafka header `content-type` of every record."""

RECORD_BYTES_MAX = 64 * 1024
NESTING_MAX = 16
HEADERS_MAX = 32
HEADERS_BYTES_MAX = 64 * 1024
"""Of the record key and all headers, names and values, together."""
DEFECT_LENGTH_MAX = 500

GENESIS_HASH = "0" * 64
"""`prevhash` of the first record of a journal partition."""
PUBLISHED_ATTRIBUTES = frozenset(
    {
        "journalseq",
        "causetopic",
        "causepartition",
        "causeoffset",
        "causeindex",
        "businessday",
        "prevhash",
        "hash",
    }
)
"""What only services say of their records."""

_STRICT = ConfigDict(
    frozen=True, strict=True, extra="forbid", serialize_by_alias=True, validate_by_alias=True
)
# Days belong to every payer of a partition, and a decision about one, or about a record that
# could not be read, names no payer.
_WITHOUT_PARTITION_KEY = re.compile(r"calendar\.|[a-z]+\.input-")


class Part(BaseModel):
    """A part of an event's data: frozen, strict, closed to unknown fields.

    Only optional fields have a default, and that is None: an absent field is not written.
    """

    model_config = _STRICT

    def to_data(self) -> dict[str, Any]:
        """Return the JSON object of this part: names of the wire, absent fields left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


class EventData(Part):
    """The data of one type of event; a subclass is one type in one version.

    The names in `subject_field`, `natural_key` and `revision_field` are those of the wire.
    """

    type: ClassVar[str]
    """Full type name, `<stream>.<fact>.v<n>`."""
    subject_field: ClassVar[str]
    """The field that the envelope's `subject` repeats; a dot leads into a part."""
    natural_key: ClassVar[tuple[str, ...]] = ()
    """The fields that say what a copy is, the revision apart; empty for what services publish."""
    revision_field: ClassVar[str | None] = None
    """The field whose higher value replaces a lower one under the same natural key."""
    keyed_by_payer: ClassVar[bool] = False
    """Whether the payer (`partitionkey`) is part of the natural key."""

    @property
    def subject(self) -> str:
        """Return what the envelope's `subject` must be."""
        value: Any = self
        for name in self.subject_field.split("."):
            value = _field(value, name)
        return str(value)

    @property
    def natural_key_values(self) -> tuple[str, ...]:
        """Return the values of the natural key as text, without type, payer and revision."""
        return tuple(str(_field(self, name)) for name in self.natural_key)

    @property
    def known_revision(self) -> int | None:
        """Return the revision, or None where the type has none."""
        return None if self.revision_field is None else int(_field(self, self.revision_field))


def _field(part: Any, name: str) -> Any:
    # A field of the wire named by a word of Python, `from`, has an underscore in the model.
    return getattr(part, f"{name}_" if keyword.iskeyword(name) else name)


class Envelope(BaseModel):
    """One event on the bus: the attributes of CloudEvents 1.0 in structured JSON mode.

    Attributes that are not listed are refused: an extension nobody agreed on is a defect.
    What a service publishes says where it comes from, in a journal also its number and its hash.
    """

    model_config = _STRICT

    specversion: Literal["1.0"]
    id: EventId = Field(description="Made and kept by the sender before it sends")
    source: Annotated[
        str, StringConstraints(max_length=100, pattern=r"^/[a-z0-9-]+(/[a-z0-9-]+)*$")
    ] = Field(description="`/` and the name of the source, `/services/billing` for a service")
    type: Annotated[
        str,
        StringConstraints(
            max_length=100, pattern=r"^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+\.v[1-9][0-9]{0,3}$"
        ),
    ] = Field(description="`<stream>.<fact>.v<n>`")
    time: Timestamp = Field(description="Informative; of a published record that of its cause")
    subject: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="The id the event is about, equal to the field its type names"
    )
    partitionkey: PayerCode | None = Field(
        default=None, description="OKTMO code; also the Kafka record key. Absent for calendar days"
    )
    datacontenttype: Literal["application/json"] | None = None
    dataschema: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = Field(
        default=None, description="Passed on as it is"
    )
    traceparent: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, description="Passed on as it is"
    )
    sequence: Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,18})$")] | None = Field(
        default=None, description="Gap-free per source and partition key; gaps are reported"
    )
    journalseq: Number | None = Field(
        default=None, description="Dense per partition of the journal"
    )
    causetopic: Annotated[str, StringConstraints(min_length=1, max_length=249)] | None = Field(
        default=None, description="Topic of the record this one follows from"
    )
    causepartition: Number | None = None
    causeoffset: Number | None = None
    causeindex: Number | None = Field(
        default=None, description="Tells apart what follows from one cause"
    )
    businessday: Date | None = Field(
        default=None, description="The operating day it was decided on; absent before the first"
    )
    prevhash: Sha256 | None = Field(
        default=None, description="`hash` of the record before; 64 zeros for the first"
    )
    hash: Sha256 | None = None
    data: dict[str, Any] = Field(description="The fields of the type; unknown ones are refused")

    @model_validator(mode="after")
    def _has_its_key(self) -> Self:
        if self.partitionkey is None and needs_partition_key(self.type):
            raise ValueError("partitionkey is required")
        return self

    @property
    def day(self) -> dt.date:
        """Return the calendar day of `time`, in the offset the sender wrote it with."""
        return day_of(self.time)


def day_of(written: str) -> dt.date:
    """Return the calendar day of a time, in the offset it was written with.

    A time may lie at the ends of the calendar, where nothing can be counted: then it is the first
    or the last day that dates may have.
    """
    day = dt.date.fromisoformat(written[:DATE_LENGTH])
    return min(max(day, dt.date(YEAR_MIN, 1, 1)), dt.date(YEAR_MAX, 12, 31))


def needs_partition_key(type_name: str) -> bool:
    """Return whether an event of a type must name a payer."""
    return _WITHOUT_PARTITION_KEY.match(type_name) is None


def defect_of_data(error: ValidationError) -> tuple[DeadLetterReason, str]:
    """Return why data does not fit its model: `unknown_field` if that is all, else `schema`."""
    unknown = all(item["type"] == "extra_forbidden" for item in error.errors(include_input=False))
    reason = DeadLetterReason.UNKNOWN_FIELD if unknown else DeadLetterReason.SCHEMA
    return reason, describe(error)


def describe(error: ValidationError) -> str:
    """Return in one line which fields are wrong and why; no values, they may be a child's."""
    found = [
        f"{'.'.join(str(step) for step in item['loc']) or 'event'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    # The name of an unknown field is the sender's text too.
    line = "".join(
        letter if letter.isprintable() else "?" for letter in "; ".join(found[:5]) + more
    )
    return line[:DEFECT_LENGTH_MAX]
