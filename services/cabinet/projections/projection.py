"""The projection the modules beside this one fill, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from contracts.decisions import DECISIONS
from contracts.envelope import Envelope, EventData
from contracts.payers import RulesPublished
from contracts.registry import EVENTS
from contracts.topics import JOURNALS
from contracts.vocabulary import Decision, Service
from services.cabinet.projections.models import (
    HISTORY,
    KINDS,
    PARKED,
    Decided,
    Entry,
    Parked,
    Progress,
    member,
    numbered,
    under,
)
from streaming.follower import Models, Projection

STATE_VERSION = 9

Event = TypeVar("Event", bound=EventData)
Projector = Callable[[Event, Envelope, Models], None]

cabinet = Projection(
    name="cabinet",
    state_version=STATE_VERSION,
    kinds=KINDS,
    events=EVENTS,
    topics=tuple(topic.name for topic in JOURNALS),
)
"""What the cabinet makes of the four journals."""

Unsettled = Callable[[Event, Envelope, Models, str | None], None]
"""What an input changes that was refused, with the words for its sender, or waits: None."""

_RANKS = {service: str(rank) for rank, service in enumerate(Service)}
_DECIDERS: set[tuple[str, str]] = {(service, RulesPublished.type) for service in Service}
"""Service and type of input, for each whose decision counts."""
_UNSETTLED: dict[tuple[str, str], Unsettled[EventData]] = {}


def payer_of(envelope: Envelope) -> str:
    """Return whose fact it is. Raises LookupError for a decision about no payer's record."""
    if envelope.partitionkey is None:
        raise LookupError(f"{envelope.type} {envelope.id} names no payer")
    return envelope.partitionkey


def day_of(envelope: Envelope) -> str:
    """Return the business day of a fact as indexes have it."""
    return (envelope.businessday or date.min).isoformat()


def seq_of(envelope: Envelope) -> int:
    """Return the number of a record in its journal."""
    if envelope.journalseq is None:
        raise LookupError(f"{envelope.id} is no record of a journal")
    return envelope.journalseq


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an entry of a child's history is about, beside the record it comes from."""

    enrollment_id: str | None = None
    lesson_id: str | None = None
    lesson_date: date | None = None
    amount_kopecks: int | None = None
    balance_kopecks: int | None = None
    cause: str | None = None


NOTHING_MORE = About()


def tell(
    envelope: Envelope, models: Models, child_id: str, text: str, about: About = NOTHING_MORE
) -> None:
    """Write a fact into the history of a child, in words for the family."""
    service, _, fact = envelope.type.partition(".")
    models.put(
        envelope.id,
        Entry(
            at=envelope.time,
            day=envelope.businessday,
            kind=fact.rpartition(".")[0],
            text=text,
            child_id=child_id,
            enrollment_id=about.enrollment_id,
            lesson_id=about.lesson_id,
            lesson_date=about.lesson_date,
            amount_kopecks=about.amount_kopecks,
            balance_kopecks=about.balance_kopecks,
            cause=about.cause,
        ),
    )
    day = day_of(envelope)
    turn = f"{_RANKS[Service(service)]}{numbered(seq_of(envelope))}"
    models.add(HISTORY, member(payer_of(envelope), child_id, day, turn, envelope.id))


# --- what became of inputs ---------------------------------------------------------------------


def accepts(service: Service, event: type[Event]) -> Callable[[Projector[Event]], Projector[Event]]:
    """Register what an input changes that `service` decided and accepted."""
    _DECIDERS.add((service, event.type))

    def register(projector: Projector[Event]) -> Projector[Event]:
        def decided(accepted: Event, envelope: Envelope, models: Models) -> None:
            note_applied(envelope, models)
            projector(accepted, envelope, models)

        cabinet.of_input(service, event)(decided)
        return projector

    return register


def decides(service: Service, event: type[EventData]) -> None:
    """Say that `service` decides these inputs, which change nothing here but their own fate."""

    @accepts(service, event)
    def nothing_more(accepted: EventData, envelope: Envelope, models: Models) -> None:
        del accepted, envelope, models


def unsettled(
    service: Service, event: type[Event]
) -> Callable[[Unsettled[Event]], Unsettled[Event]]:
    """Register what an input changes that `service` refused, or parked."""

    def register(projector: Unsettled[Event]) -> Unsettled[Event]:
        def decided(
            sent: EventData, envelope: Envelope, models: Models, trouble: str | None
        ) -> None:
            assert isinstance(sent, event)
            projector(sent, envelope, models, trouble)

        _UNSETTLED[service, event.type] = decided
        return projector

    return register


def note_applied(envelope: Envelope, models: Models) -> None:
    """Keep that the input of a record was applied."""
    _note(envelope, models, "applied", None)


def _note(envelope: Envelope, models: Models, decision: str, reason: str | None) -> None:
    service = envelope.type.partition(".")[0]
    told = envelope.data.get("input")
    # Who only reads a source notes copies of its own; they are no answer to the sender.
    counts = told is None or (service, told["type"]) in _DECIDERS
    if counts and envelope.causetopic is not None and "item" not in envelope.data:
        place = (envelope.causetopic, str(envelope.causepartition), str(envelope.causeoffset))
        models.put(under(*place), Decided(service=service, decision=decision, reason=reason))
        _step(service, place, envelope, models)


def _step(service: str, place: tuple[str, str, str], envelope: Envelope, models: Models) -> None:
    """Keep how far a topic is decided, and what of it still waits."""
    topic, partition, offset = place
    here = under(service, topic, partition)
    known = models.find(Progress, here) or Progress()
    waiting = member(service, *place)
    if int(offset) >= known.next:
        models.put(here, Progress(next=int(offset) + 1))
    elif models.find(Parked, under(*place)) is not None:
        # Decided long after its turn came: it had been parked.
        models.remove(Parked, under(*place))
        models.discard(PARKED, waiting)
    if envelope.type != f"{service}.{Decision.PARKED}.v1":
        return
    told = envelope.data["input"]
    until = envelope.data.get("until")
    parked = Parked(
        service=service,
        type=told["type"],
        subject=told["subject"],
        waits_for=envelope.data["waits_for"],
        since=envelope.businessday,
        until=None if until is None else date.fromisoformat(until),
    )
    models.put(under(*place), parked)
    models.add(PARKED, waiting)


def _decision(service: Service, decision: Decision) -> None:
    told = decision.removeprefix("input-")

    @cabinet.of(DECISIONS[f"{service}.{decision}.v1"])
    def note(fact: EventData, envelope: Envelope, models: Models) -> None:
        # Of what is parked, the reason is what it waits for.
        reason = getattr(fact, "reason", None) or getattr(fact, "waits_for", None)
        _note(envelope, models, told, None if reason is None else str(reason))
        sent = envelope.data["input"] if decision in _OPEN else {}
        projector = _UNSETTLED.get((service, sent.get("type", "")))
        if projector is not None and "data" in sent:
            event = EVENTS[sent["type"]].model_validate(sent["data"])
            projector(event, envelope, models, getattr(fact, "detail", None))


_OPEN = (Decision.REFUSED, Decision.PARKED)

for _service in Service:
    for _each in Decision:
        if _each is not Decision.NOTED:
            _decision(_service, _each)
