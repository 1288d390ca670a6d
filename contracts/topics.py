"""Every topic: who writes it, who reads it, who decides what cannot be read.

`docs/events.md`, section 2.
"""

from dataclasses import dataclass
from enum import StrEnum

from contracts.sources import READERS, Source, Sources
from contracts.vocabulary import Service

KEPT_FOR_EVER_MS = -1
DEAD_LETTERS_KEPT_MS = 400 * 24 * 60 * 60 * 1000
# Readers refuse a record above 64 KiB as `too_large`; Kafka must let it in so that the refusal is
# on the record, and what holds it again, with more around it, must be larger still.
INPUT_BYTES_MAX = 1024 * 1024
OUTPUT_BYTES_MAX = 2 * 1024 * 1024


class TopicKind(StrEnum):
    """What a topic is for."""

    SOURCE = "source"
    FORWARDED = "forwarded"
    CALENDAR = "calendar"
    COMMANDS = "commands"
    REPORTS = "reports"
    JOURNAL = "journal"
    DEAD_LETTERS = "dead_letters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic. `source` is whose events stand on it; dead letters are bytes and have none."""

    name: str
    kind: TopicKind
    written_by: str
    readers: tuple[str, ...]
    decider: str | None
    source: Source | None
    retention_ms: int = KEPT_FOR_EVER_MS
    message_bytes_max: int = INPUT_BYTES_MAX

    @property
    def config(self) -> dict[str, str]:
        """Return the settings Kafka must have for it; `docs/promises.md` section 5 says why."""
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(self.message_bytes_max),
            "message.timestamp.type": "LogAppendTime",
            "retention.bytes": "-1",
            "retention.ms": str(self.retention_ms),
            "unclean.leader.election.enable": "false",
        }


def _journal(service: Service, readers: tuple[str, ...]) -> Topic:
    return Topic(
        name=f"{service}.events.v1",
        kind=TopicKind.JOURNAL,
        written_by=service,
        readers=readers,
        decider=None,
        source=Source(name=f"services/{service}", sends=(f"{service}.*",)),
        message_bytes_max=OUTPUT_BYTES_MAX,
    )


CALENDAR = Topic(
    name="calendar.events.v1",
    kind=TopicKind.CALENDAR,
    written_by="calendar",
    readers=READERS,
    decider=None,
    source=Source(name="calendar", sends=("calendar.*",)),
)
"""Business days, each in every partition. Each service decides them for itself."""

COMMANDS = Topic(
    name="enrollment.commands.v1",
    kind=TopicKind.COMMANDS,
    written_by="enrollment",
    readers=("enrollment",),
    decider="enrollment",
    source=Source(
        name="services/enrollment",
        sends=(
            "enrollment.place-requested.v1",
            "enrollment.place-answered.v1",
            "enrollment.place-returned.v1",
        ),
    ),
    message_bytes_max=OUTPUT_BYTES_MAX,
)
"""Enrollment asking itself for places across partitions."""

REPORTS = Topic(
    name="notifications.reports.v1",
    kind=TopicKind.REPORTS,
    written_by="senders",
    readers=("notifications",),
    decider="notifications",
    source=Source(name="senders", sends=("notifications.delivery-reported.v1",)),
)
"""What senders say became of messages."""

ENROLLMENT = _journal(
    Service.ENROLLMENT, readers=("certificates", "billing", "notifications", "cabinet")
)
CERTIFICATES = _journal(Service.CERTIFICATES, readers=("billing", "notifications", "cabinet"))
BILLING = _journal(
    Service.BILLING, readers=("enrollment", "certificates", "notifications", "cabinet")
)
NOTIFICATIONS = _journal(Service.NOTIFICATIONS, readers=("cabinet",))

JOURNALS = (ENROLLMENT, CERTIFICATES, BILLING, NOTIFICATIONS)
"""The public journals, kept for ever."""

DEAD_LETTERS = tuple(
    Topic(
        name=f"{service}.dead-letters.v1",
        kind=TopicKind.DEAD_LETTERS,
        written_by=service,
        readers=(),
        decider=None,
        source=None,
        retention_ms=DEAD_LETTERS_KEPT_MS,
        message_bytes_max=OUTPUT_BYTES_MAX,
    )
    for service in Service
)
"""Raw bytes that could not be read, for operators."""


def journal_of(service: str) -> Topic:
    """Return the journal of a service. Raises KeyError for who keeps none."""
    return {topic.written_by: topic for topic in JOURNALS}[service]


def dead_letters_of(service: str) -> Topic:
    """Return the dead letters of a service. Raises KeyError for who keeps none."""
    return {topic.written_by: topic for topic in DEAD_LETTERS}[service]


def source_topic(source: Source) -> Topic:
    """Return the input topic of a source."""
    return Topic(
        name=f"{source.name}.events.v1",
        kind=TopicKind.SOURCE,
        written_by=source.name,
        readers=source.readers,
        decider=source.decider,
        source=source,
    )


def forwarded_topic(source: Source) -> Topic:
    """Return where the decider of a source puts its misplaced records, in the right partition."""
    if source.decider is None:
        raise ValueError(f"nobody decides {source.name}, so nobody forwards its records")
    return Topic(
        name=f"{source.name}.forwarded.v1",
        kind=TopicKind.FORWARDED,
        written_by=source.decider,
        readers=source.readers,
        decider=source.decider,
        source=source,
        message_bytes_max=OUTPUT_BYTES_MAX,
    )


def source_topics(sources: Sources) -> tuple[Topic, ...]:
    """Return the input topics of all sources, in order of name."""
    return tuple(source_topic(source) for source in sources)


def forwarded_topics(sources: Sources) -> tuple[Topic, ...]:
    """Return the topics of misplaced records of all sources, in order of name."""
    return tuple(forwarded_topic(source) for source in sources)


def all_topics(sources: Sources) -> tuple[Topic, ...]:
    """Return every topic of an installation."""
    return (
        *source_topics(sources),
        *forwarded_topics(sources),
        CALENDAR,
        COMMANDS,
        REPORTS,
        *JOURNALS,
        *DEAD_LETTERS,
    )


def topics_read_by(service: str, sources: Sources) -> tuple[Topic, ...]:
    """Return what a service reads, in order of name."""
    read = (topic for topic in all_topics(sources) if service in topic.readers)
    return tuple(sorted(read, key=lambda topic: topic.name))
