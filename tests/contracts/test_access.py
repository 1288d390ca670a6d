"""Who may do what on the bus: the whole matrix of users, topics and operations."""

from pathlib import Path

import pytest

from contracts.access import Operation, Resource, Right, principals, rights
from contracts.sources import SHIPPED_PATH, Sources, load_sources
from contracts.topics import JOURNALS, all_topics

SOURCES = load_sources(SHIPPED_PATH)
RIGHTS = rights(SOURCES)

# r: reads, w: writes, for each user in the order of USERS; "." is denied. Written by hand from
# docs/events.md, section 2, and docs/promises.md, section 6.
USERS = (
    "enrollment",
    "certificates",
    "billing",
    "notifications",
    "senders",
    "cabinet",
    "calendar",
    "operator",
    "watch",
    "navigator",
    "payers",
    "attendance",
    "families",
    "disputes",
)
MATRIX = """
navigator.events.v1            r  r  .  r  .  rw .  rw r  w  .  .  .  .
payers.events.v1               r  r  r  r  .  rw .  rw r  .  w  .  .  .
attendance.events.v1           .  .  r  .  .  rw .  rw r  .  .  w  .  .
families.events.v1             r  r  .  r  .  rw .  rw r  .  .  .  w  .
disputes.events.v1             .  .  r  .  .  rw .  rw r  .  .  .  .  w
navigator.forwarded.v1         rw r  .  r  .  r  .  rw r  .  .  .  .  .
payers.forwarded.v1            rw r  r  r  .  r  .  rw r  .  .  .  .  .
attendance.forwarded.v1        .  .  rw .  .  r  .  rw r  .  .  .  .  .
families.forwarded.v1          rw r  .  r  .  r  .  rw r  .  .  .  .  .
disputes.forwarded.v1          .  .  rw .  .  r  .  rw r  .  .  .  .  .
calendar.events.v1             r  r  r  r  r  r  rw rw r  .  .  .  .  .
enrollment.commands.v1         rw .  .  .  .  .  .  rw r  .  .  .  .  .
notifications.reports.v1       .  .  .  r  rw .  .  rw r  .  .  .  .  .
enrollment.events.v1           rw r  r  r  r  r  .  r  r  r  r  r  r  r
certificates.events.v1         .  rw r  r  r  r  .  r  r  r  r  r  r  r
billing.events.v1              r  r  rw r  r  r  .  r  r  r  r  r  r  r
notifications.events.v1        .  .  .  rw r  r  .  r  r  r  r  r  r  r
enrollment.dead-letters.v1     w  .  .  .  .  rw .  rw r  .  .  .  .  .
certificates.dead-letters.v1   .  w  .  .  .  rw .  rw r  .  .  .  .  .
billing.dead-letters.v1        .  .  w  .  .  rw .  rw r  .  .  .  .  .
notifications.dead-letters.v1  .  .  .  w  .  rw .  rw r  .  .  .  .  .
"""
EXPECTED = {
    (user, topic, letter)
    for topic, *cells in (line.split() for line in MATRIX.strip().splitlines())
    for user, cell in zip(USERS, cells, strict=True)
    for letter in cell.replace(".", "")
}


def test_the_matrix_of_users_topics_and_operations() -> None:
    letters = {Operation.READ: "r", Operation.WRITE: "w"}

    found = {
        (right.principal, right.name, letters[right.operation])
        for right in RIGHTS
        if right.resource is Resource.TOPIC and right.operation in letters
    }

    assert found == EXPECTED
    assert {topic for _, topic, _ in EXPECTED} == {topic.name for topic in all_topics(SOURCES)}
    assert principals(SOURCES) == tuple(sorted(USERS))


def test_only_the_operator_may_see_settings() -> None:
    seeing = [right for right in RIGHTS if right.operation is Operation.DESCRIBE_CONFIGS]

    assert {right.principal for right in seeing} == {"operator"}
    assert len(seeing) == len(all_topics(SOURCES))


def test_no_right_on_topics_is_by_a_prefix() -> None:
    assert not any(right.is_prefix for right in RIGHTS if right.resource is Resource.TOPIC)


@pytest.mark.parametrize("resource", [Resource.GROUP, Resource.TRANSACTIONAL_ID])
def test_nobody_may_use_a_name_of_somebody_else(resource: Resource) -> None:
    own = [
        right
        for right in RIGHTS
        if right.resource is resource and right.principal not in {"operator", "watch"}
    ]

    assert own
    for right in own:
        covered = [o for o in own if o.principal != right.principal and _covers(o, right.name)]
        assert covered == [], right


def _covers(right: Right, name: str) -> bool:
    return name.startswith(right.name) if right.is_prefix else name == right.name


def test_a_source_gets_its_topic_and_the_journals_alone(tmp_path: Path) -> None:
    sources = _with_another(tmp_path)

    more = set(rights(sources)) - set(RIGHTS)

    own = {right for right in more if right.principal == "journal-bratsk"}
    assert {(r.name, r.operation) for r in own if r.resource is Resource.TOPIC} == {
        ("journal-bratsk.events.v1", Operation.WRITE),
        *((journal.name, Operation.READ) for journal in JOURNALS),
    }
    # Who decides and shows its events reads its topic; nobody else got anything.
    assert {right.principal for right in more - own} == {"billing", "cabinet", "operator", "watch"}


def _with_another(folder: Path) -> Sources:
    text = SHIPPED_PATH.read_text(encoding="utf-8") + (
        "\n  journal-bratsk:\n    sends: [attendance.lesson-marked.v1]\n"
        "    payers: ['25714000']\n    providers: all\n    decider: billing\n"
        "    readers: [billing, cabinet]\n"
    )
    (folder / "sources.yaml").write_text(text, encoding="utf-8")
    return load_sources(folder / "sources.yaml")


@pytest.mark.parametrize("name", ["operator", "watch", "admin"])
def test_no_source_may_be_called_like_a_user_with_rights(tmp_path: Path, name: str) -> None:
    text = SHIPPED_PATH.read_text(encoding="utf-8").replace("  navigator:\n", f"  {name}:\n")
    (tmp_path / "sources.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match="is no name for a source"):
        load_sources(tmp_path / "sources.yaml")
