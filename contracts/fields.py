"""The plain types of `docs/events.md` section 1 with their limits, as pydantic field types.

Models validate strictly, from a parsed JSON object: a number is never a string, a string never a
number, a bool never an integer. Enums, tuples and dates are the exception, since JSON has none of
them: they are read from strings and arrays, and only from those.
"""

import datetime as dt
import re
from functools import lru_cache
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

from contracts import vocabulary as words

_T = TypeVar("_T")

_AS_WRITTEN = Strict(strict=False)
"""Lets a tuple be read from an array and an enum from its value."""

ID_PATTERN = r"^[a-z0-9][a-z0-9-]{2,39}$"
EVENT_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,64}$"
OKTMO_PATTERN = r"^[0-9]{8}$"
REFERENCE_PATTERN = r"^[a-z0-9/-]{1,80}$"
WORD_PATTERN = r"^[a-z][a-z0-9_-]{1,39}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
# Without the control characters of Unicode, category Cc.
_TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"
TEXT_LENGTH_MAX = 200
EXPLANATION_LENGTH_MAX = 1000

INTEGER_MAX = 999_999_999_999_999
"""Fifteen digits: exact in every store and every reader, JavaScript and Lua included."""
COUNT_MAX = 1_000_000

YEAR_MIN = 1900
YEAR_MAX = 2999

DATE_LENGTH = len("YYYY-MM-DD")
DATES_KEPT_MAX = 4_096

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_HOUR_AND_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
# RFC 3339 allows second 60, a leap second.
_TIMESTAMP = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt]{_HOUR_AND_MINUTE}:(?:[0-5][0-9]|60)(?:\.[0-9]{{1,9}})?"
    rf"(?:[Zz]|[+-]{_HOUR_AND_MINUTE})\Z"
)
_TIMESTAMP_SCHEMA = {"type": "string", "format": "date-time"}
_DATE_SCHEMA = {"type": "string", "format": "date", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}


@lru_cache(maxsize=DATES_KEPT_MAX)
def _read_date(text: str) -> dt.date:
    """Return the date; the same few days come again and again."""
    if _DATE.match(text) is None:
        raise ValueError("must be a date written YYYY-MM-DD")
    return dt.date.fromisoformat(text)


def _to_date(value: Any) -> dt.date:
    """Return the date of a `YYYY-MM-DD` string; ISO 8601's other forms are refused."""
    if isinstance(value, str) and len(value) == DATE_LENGTH:
        return _read_date(value)
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    raise ValueError("must be a date written YYYY-MM-DD")


def _within_the_calendar(value: dt.date) -> dt.date:
    if not YEAR_MIN <= value.year <= YEAR_MAX:
        raise ValueError(f"must lie in the years {YEAR_MIN} to {YEAR_MAX}")
    return value


def _check_timestamp(value: str) -> str:
    """Return the timestamp as it was written, if RFC 3339 allows it and it has an offset."""
    if _TIMESTAMP.match(value) is None:
        raise ValueError("must be an RFC 3339 time with an offset")
    dt.date.fromisoformat(value[:10])
    return value


_Id = StringConstraints(pattern=ID_PATTERN)
_Reference = StringConstraints(pattern=REFERENCE_PATTERN)
_EventId = StringConstraints(pattern=EVENT_ID_PATTERN)

PayerCode: TypeAlias = Annotated[words.PayerCode, StringConstraints(pattern=OKTMO_PATTERN)]
ChildId: TypeAlias = Annotated[words.ChildId, _Id]
GuardianId: TypeAlias = Annotated[words.GuardianId, _Id]
ProviderId: TypeAlias = Annotated[words.ProviderId, _Id]
GroupId: TypeAlias = Annotated[words.GroupId, _Id]
ProgrammeId: TypeAlias = Annotated[words.ProgrammeId, _Id]
EnrollmentId: TypeAlias = Annotated[words.EnrollmentId, _Id]
LessonId: TypeAlias = Annotated[words.LessonId, _Id]
PeriodId: TypeAlias = Annotated[words.PeriodId, _Id]
CategoryId: TypeAlias = Annotated[words.CategoryId, _Id]
RecipientId: TypeAlias = Annotated[words.RecipientId, _Id]
BenefitCode: TypeAlias = Annotated[words.BenefitCode, StringConstraints(pattern=r"^b[0-9]{2}$")]
CertificateNumber: TypeAlias = Annotated[
    words.CertificateNumber, StringConstraints(pattern=r"^[0-9]{10}$")
]
InvoiceId: TypeAlias = Annotated[words.InvoiceId, _Reference]
LineReference: TypeAlias = Annotated[words.LineReference, _Reference]
MessageId: TypeAlias = Annotated[words.MessageId, _EventId]
EventId: TypeAlias = Annotated[words.EventId, _EventId]
TableName: TypeAlias = Annotated[
    words.TableName, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")
]
Month: TypeAlias = Annotated[words.Month, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
ClockTime: TypeAlias = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
UtcOffset: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[+-](0[0-9]|1[0-3]):(00|15|30|45)$|^\+14:00$")
]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
Word: TypeAlias = Annotated[str, StringConstraints(pattern=WORD_PATTERN)]
Text: TypeAlias = Annotated[
    str, StringConstraints(max_length=TEXT_LENGTH_MAX, pattern=_TEXT_PATTERN)
]
Explanation: TypeAlias = Annotated[
    str, StringConstraints(max_length=EXPLANATION_LENGTH_MAX, pattern=_TEXT_PATTERN)
]

Kopecks: TypeAlias = Annotated[words.Kopecks, Field(ge=0, le=words.KOPECKS_MAX)]
SignedKopecks: TypeAlias = Annotated[
    words.SignedKopecks, Field(ge=-words.KOPECKS_MAX, le=words.KOPECKS_MAX)
]
Revision: TypeAlias = Annotated[words.Revision, Field(ge=1, le=INTEGER_MAX)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=COUNT_MAX)]
SignedCount: TypeAlias = Annotated[int, Field(ge=-COUNT_MAX, le=COUNT_MAX)]
Position: TypeAlias = Annotated[int, Field(ge=1, le=COUNT_MAX)]
Number: TypeAlias = Annotated[int, Field(ge=0, le=INTEGER_MAX)]
AgeYears: TypeAlias = Annotated[int, Field(ge=0, le=999)]
LessonsTotal: TypeAlias = Annotated[int, Field(ge=1, le=1000)]

Date: TypeAlias = Annotated[dt.date, BeforeValidator(_to_date), WithJsonSchema(_DATE_SCHEMA)]
# Rules add days and years to these, so they keep away from the ends of the calendar.
CountedDate: TypeAlias = Annotated[
    dt.date,
    BeforeValidator(_to_date),
    AfterValidator(_within_the_calendar),
    WithJsonSchema(_DATE_SCHEMA),
]
Timestamp: TypeAlias = Annotated[
    str, AfterValidator(_check_timestamp), WithJsonSchema(_TIMESTAMP_SCHEMA)
]

Many: TypeAlias = Annotated[tuple[_T, ...], _AS_WRITTEN]
"""A list of items; in the model it is a tuple, since events are frozen."""

ProviderState: TypeAlias = Annotated[words.ProviderState, _AS_WRITTEN]
Registry: TypeAlias = Annotated[words.Registry, _AS_WRITTEN]
Direction: TypeAlias = Annotated[words.Direction, _AS_WRITTEN]
Consent: TypeAlias = Annotated[words.Consent, _AS_WRITTEN]
TerminatedBy: TypeAlias = Annotated[words.TerminatedBy, _AS_WRITTEN]
Channel: TypeAlias = Annotated[words.Channel, _AS_WRITTEN]
DeliveryStatus: TypeAlias = Annotated[words.DeliveryStatus, _AS_WRITTEN]
FrameAgreementState: TypeAlias = Annotated[words.FrameAgreementState, _AS_WRITTEN]
DebitBasis: TypeAlias = Annotated[words.DebitBasis, _AS_WRITTEN]
IssueMode: TypeAlias = Annotated[words.IssueMode, _AS_WRITTEN]
Mark: TypeAlias = Annotated[words.Mark, _AS_WRITTEN]
Evidence: TypeAlias = Annotated[words.Evidence, _AS_WRITTEN]
DisputeGround: TypeAlias = Annotated[words.DisputeGround, _AS_WRITTEN]
AnsweredBy: TypeAlias = Annotated[words.AnsweredBy, _AS_WRITTEN]
DisputeAnswer: TypeAlias = Annotated[words.DisputeAnswer, _AS_WRITTEN]
DisputeOutcome: TypeAlias = Annotated[words.DisputeOutcome, _AS_WRITTEN]
PlaceAnswer: TypeAlias = Annotated[words.PlaceAnswer, _AS_WRITTEN]
EndCause: TypeAlias = Annotated[words.EndCause, _AS_WRITTEN]
CertificateState: TypeAlias = Annotated[words.CertificateState, _AS_WRITTEN]
CloseReason: TypeAlias = Annotated[words.CloseReason, _AS_WRITTEN]
NominalCause: TypeAlias = Annotated[words.NominalCause, _AS_WRITTEN]
DeadLetterReason: TypeAlias = Annotated[words.DeadLetterReason, _AS_WRITTEN]
InputRefusal: TypeAlias = Annotated[words.InputRefusal, _AS_WRITTEN]
ApplicationRefusal: TypeAlias = Annotated[words.ApplicationRefusal, _AS_WRITTEN]
FundsRefusal: TypeAlias = Annotated[words.FundsRefusal, _AS_WRITTEN]
NotCharged: TypeAlias = Annotated[words.NotCharged, _AS_WRITTEN]
QueueReason: TypeAlias = Annotated[words.QueueReason, _AS_WRITTEN]
CertificateRefusal: TypeAlias = Annotated[words.CertificateRefusal, _AS_WRITTEN]
