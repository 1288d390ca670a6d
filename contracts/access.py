"""Who may do what on the bus, derived from topics and sources. Whatever is not here is denied.

`docs/promises.md`, section 6; `pfdo topics acls` prints it and makes Kafka match it.
"""

from dataclasses import dataclass
from enum import StrEnum

from contracts.sources import Sources
from contracts.topics import (
    CALENDAR,
    DEAD_LETTERS,
    JOURNALS,
    REPORTS,
    Topic,
    TopicKind,
    all_topics,
    journal_of,
    source_topic,
    source_topics,
    topics_read_by,
)
from contracts.vocabulary import Service

OPERATOR = "operator"
"""Who runs `pfdo` against an installation: reads everything, writes no journal."""

WATCH = "watch"
"""What tells Prometheus how the whole stands (`pfdo watch`): reads everything, writes nothing."""

SOURCE_BYTES_PER_SECOND = 1024 * 1024
"""What a broker takes from a source: some 1,500 marks a second. Who sends more is kept waiting."""

_OWNERS = (*(str(service) for service in Service), "cabinet", "senders")
"""Who shares out partitions among its replicas, by a consumer group on the calendar."""


class Resource(StrEnum):
    """What a right is about."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


class Operation(StrEnum):
    """What is done to it, as Kafka has it: reading and writing include describing."""

    READ = "read"
    WRITE = "write"
    DESCRIBE = "describe"
    DESCRIBE_CONFIGS = "describe-configs"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Right:
    """One thing that one user of Kafka may do. `is_prefix`: to all names that begin like this."""

    principal: str
    resource: Resource
    name: str
    operation: Operation
    is_prefix: bool = False


def principals(sources: Sources) -> tuple[str, ...]:
    """Return every user of Kafka but the one who administers it, in order of name."""
    return tuple(sorted({right.principal for right in rights(sources)}))


def rights(sources: Sources) -> tuple[Right, ...]:
    """Return every right there is, in order."""
    found = {*_of_operator(sources), *_of_calendar(), *_of_watch(sources)}
    for service in Service:
        found |= _on_topics(service, Operation.READ, topics_read_by(service, sources))
        found |= _on_topics(service, Operation.READ, (journal_of(service),))
        written = (topic for topic in all_topics(sources) if topic.written_by == service)
        found |= _on_topics(service, Operation.WRITE, tuple(written))
        # Its writers are called `<service>-<partition>`.
        found.add(_begins(service, Resource.TRANSACTIONAL_ID, f"{service}-", Operation.WRITE))
    found |= _on_topics("cabinet", Operation.READ, topics_read_by("cabinet", sources))
    found |= _on_topics("cabinet", Operation.WRITE, source_topics(sources))
    # The operator looks at dead letters in the console, and marks them.
    found |= _on_topics("cabinet", Operation.READ, DEAD_LETTERS)
    found |= _on_topics("cabinet", Operation.WRITE, DEAD_LETTERS)
    found |= _on_topics("senders", Operation.READ, (*JOURNALS, REPORTS, CALENDAR))
    found |= _on_topics("senders", Operation.WRITE, (REPORTS,))
    for owner in _OWNERS:
        group = f"pfdo-{owner}"
        found.add(
            Right(principal=owner, resource=Resource.GROUP, name=group, operation=Operation.READ)
        )
    for source in sources:
        found |= _of_source(source_topic(source))
    return tuple(sorted(found))


def _of_source(topic: Topic) -> set[Right]:
    """A source writes its topic and reads the public journals, nothing else."""
    name = topic.written_by
    return {
        *_on_topics(name, Operation.WRITE, (topic,)),
        *_on_topics(name, Operation.READ, JOURNALS),
        # Names of its own, which no other source's name can begin with: names have no dot.
        _begins(name, Resource.GROUP, f"{name}.", Operation.READ),
        _begins(name, Resource.TRANSACTIONAL_ID, f"{name}.", Operation.WRITE),
    }


def _of_calendar() -> set[Right]:
    return {
        *_on_topics("calendar", Operation.READ, (CALENDAR,)),
        *_on_topics("calendar", Operation.WRITE, (CALENDAR,)),
    }


def _of_operator(sources: Sources) -> set[Right]:
    """Play files, redriven records and marks on dead letters are written; journals never."""
    topics = all_topics(sources)
    written = tuple(topic for topic in topics if topic.kind is not TopicKind.JOURNAL)
    return {
        *_on_topics(OPERATOR, Operation.READ, topics),
        *_on_topics(OPERATOR, Operation.DESCRIBE_CONFIGS, topics),
        *_on_topics(OPERATOR, Operation.WRITE, written),
        _begins(OPERATOR, Resource.GROUP, "pfdo-", Operation.DESCRIBE),
    }


def _of_watch(sources: Sources) -> set[Right]:
    return {
        *_on_topics(WATCH, Operation.READ, all_topics(sources)),
        _begins(WATCH, Resource.GROUP, "pfdo-", Operation.DESCRIBE),
    }


def _on_topics(principal: str, operation: Operation, topics: tuple[Topic, ...]) -> set[Right]:
    return {
        Right(principal=principal, resource=Resource.TOPIC, name=topic.name, operation=operation)
        for topic in topics
    }


def _begins(principal: str, resource: Resource, name: str, operation: Operation) -> Right:
    return Right(
        principal=principal, resource=resource, name=name, operation=operation, is_prefix=True
    )
