"""What a service listens to, from `contracts.topics` and the sources of the installation."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.envelope import EventData
from contracts.sources import Source, Sources
from contracts.topics import CALENDAR, Topic, TopicKind, forwarded_topic, topics_read_by
from contracts.vocabulary import PayerCode, ProviderId
from streaming.reading import Kind, Listening

_KINDS = {
    TopicKind.SOURCE: Kind.SOURCE,
    TopicKind.FORWARDED: Kind.SOURCE,
    TopicKind.CALENDAR: Kind.CALENDAR,
    TopicKind.COMMANDS: Kind.COMMANDS,
    TopicKind.REPORTS: Kind.REPORTS,
    TopicKind.JOURNAL: Kind.JOURNAL,
}

DECIDER_OF_THE_CALENDAR = "enrollment"
"""Every service decides each day for itself; one of them answers for what is no day at all."""


@dataclass(frozen=True, slots=True)
class SourceScope:
    """For whom one source may speak, as `sources.yaml` says."""

    source: Source

    def covers_provider(self, provider_id: str) -> bool:
        """Return whether the source may speak for this provider."""
        return self.source.may_speak_for_provider(ProviderId(provider_id))


def listening_of(
    service: str, sources: Sources, events: Mapping[str, type[EventData]]
) -> tuple[Listening, ...]:
    """Return the input topics of a service; `events` are all types there are."""
    return tuple(_listening(service, topic, events) for topic in topics_read_by(service, sources))


def _listening(service: str, topic: Topic, events: Mapping[str, type[EventData]]) -> Listening:
    source = topic.source
    if source is None:
        raise ValueError(f"{topic.name} has no source and cannot be read as events")
    scope = SourceScope(source)
    decider = topic.decider or (DECIDER_OF_THE_CALENDAR if topic is CALENDAR else None)
    forward_to = forwarded_topic(source).name if topic.kind is TopicKind.SOURCE else None

    def may_speak(type_: str, payer: str | None) -> SourceScope | None:
        permitted = source.may_send(type_) and (
            payer is None or source.may_speak_for_payer(PayerCode(payer))
        )
        return scope if permitted else None

    return Listening(
        topic=topic.name,
        kind=_KINDS[topic.kind],
        source=source.uri,
        decides_defects=decider == service,
        # All types: one that the source may not send is foreign, not unknown.
        events=events,
        forward_to=forward_to,
        scope=may_speak,
    )
