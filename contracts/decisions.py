"""Decisions about inputs that are not facts of the business, one set of types for every service.

`docs/events.md`, end of section 4. The closed lists of reasons stand in `contracts/vocabulary.py`,
where the domain may read them, and are named here again for those who read journals.
"""

from collections.abc import Mapping
from types import MappingProxyType, new_class
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from contracts.envelope import EventData, Part
from contracts.fields import Date, Explanation, Number, Sha256
from contracts.fields import DeadLetterReason as DeadLetterReasonField
from contracts.fields import InputRefusal as InputRefusalField
from contracts.vocabulary import (
    ApplicationRefusal,
    CertificateRefusal,
    DeadLetterReason,
    Decision,
    FundsRefusal,
    InputRefusal,
    NotCharged,
    QueueReason,
    Service,
)

__all__ = [
    "DECISIONS",
    "ApplicationRefusal",
    "CertificateRefusal",
    "DeadLetterReason",
    "Decision",
    "FundsRefusal",
    "Input",
    "InputDeadLettered",
    "InputDuplicate",
    "InputForwarded",
    "InputNoted",
    "InputParked",
    "InputRefusal",
    "InputRefused",
    "NotCharged",
    "QueueReason",
    "Service",
    "decision_type",
]


class Input(Part):
    """The input that was decided, so that state can be rebuilt from the journal alone."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    type: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    subject: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    natural_key: Annotated[str, StringConstraints(max_length=500)] = Field(
        description="What the input is a copy by; empty where it was not read that far"
    )
    data_sha256: Sha256 = Field(description="Of the data in canonical JSON")
    data: dict[str, Any] | None = Field(
        default=None, description="The input's data; absent from a duplicate"
    )


class _AboutInput(EventData):
    subject_field: ClassVar[str] = "input.subject"

    input: Input


class InputDuplicate(_AboutInput):
    """A copy of what was decided before, or older than it; nothing changed."""


class InputRefused(_AboutInput):
    """The input was read and refused; the same natural key gets this answer for ever."""

    reason: InputRefusalField
    detail: Explanation


class InputParked(_AboutInput):
    """The input came too early and waits."""

    waits_for: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Kind and id of what is missing, e.g. `child:child-00001`"
    )
    until: Date | None = Field(description="The last day it waits; null is without a deadline")


class InputForwarded(_AboutInput):
    """The record arrived in a wrong partition and was sent on to the right one."""

    to_partition: Number


class InputDeadLettered(EventData):
    """The record could not be read as an event; its bytes are kept with the dead letters."""

    subject_field: ClassVar[str] = "topic"

    topic: Annotated[str, StringConstraints(min_length=1, max_length=249)]
    reason: DeadLetterReasonField
    detail: Explanation
    sha256: Sha256 = Field(description="Of the bytes of the record")


class InputNoted(_AboutInput):
    """The input was accepted and changes only what the service knows.

    With `item`: work that fell due because of the input was settled without a fact; with `later`
    it was put off until that day.
    """

    item: Annotated[str, StringConstraints(min_length=1, max_length=400)] | None = Field(
        default=None, description="The due work that was settled, if it was not the input itself"
    )
    later: Date | None = Field(default=None, description="The day the due work was put off to")


_BASES: Mapping[Decision, type[EventData]] = {
    Decision.DUPLICATE: InputDuplicate,
    Decision.REFUSED: InputRefused,
    Decision.PARKED: InputParked,
    Decision.FORWARDED: InputForwarded,
    Decision.DEAD_LETTERED: InputDeadLettered,
    Decision.NOTED: InputNoted,
}


def decision_type(service: str, decision: Decision) -> str:
    """Return the full type name under which a service publishes a decision."""
    return f"{service}.{decision}.v1"


def _of_service(service: Service, decision: Decision) -> type[EventData]:
    base = _BASES[decision]
    body = {"type": decision_type(service, decision), "__doc__": base.__doc__}
    return new_class(
        f"{service.title()}{base.__name__}",
        (base,),
        exec_body=lambda namespace: namespace.update(body, __module__=__name__),
    )


DECISIONS: Mapping[str, type[EventData]] = MappingProxyType(
    {
        decision_type(service, decision): _of_service(service, decision)
        for service in Service
        for decision in Decision
    }
)
"""The decision types of all services by full type name."""
