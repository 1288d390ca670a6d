"""Who may send what, and every topic, `docs/events.md` section 2."""

from collections import Counter
from pathlib import Path

import pytest

from contracts.asyncapi import events_on
from contracts.registry import COMMAND_EVENTS, EVENTS
from contracts.sources import SourcesError, certificate_prefix, check_payers, load_sources
from contracts.topics import (
    BILLING,
    CALENDAR,
    COMMANDS,
    DEAD_LETTERS,
    ENROLLMENT,
    TopicKind,
    all_topics,
    dead_letters_of,
    forwarded_topics,
    journal_of,
    source_topics,
    topics_read_by,
)
from contracts.vocabulary import PayerCode, ProviderId

ATTENDANCE = """
  attendance:
    sends: [attendance.lesson-marked.v1]
    payers: all
    providers: all
    decider: billing
    readers: [billing, cabinet]
"""
BRATSK = """
  journal-bratsk:
    sends: ["attendance.*"]
    payers: ["25714000"]
    providers: [prov-bratsk-01]
    decider: billing
    readers: [billing, cabinet]
"""


def written(directory: Path, entries: str, head: str = "payers: all\n") -> Path:
    path = directory / "sources.yaml"
    path.write_text(f"{head}sources:{entries}", encoding="utf-8")
    return path


def test_the_shipped_sources_are_the_three_of_the_region() -> None:
    sources = load_sources()

    assert [source.name for source in sources] == [
        *("attendance", "disputes", "families", "navigator", "payers")
    ]
    assert {source.name: source.decider for source in sources} == {
        "attendance": "billing",
        "disputes": "billing",
        "families": "enrollment",
        "navigator": "enrollment",
        "payers": "enrollment",
    }
    assert sources.payers is None


def test_the_journal_of_another_municipality_is_an_entry(tmp_path: Path) -> None:
    sources = load_sources(written(tmp_path, ATTENDANCE + BRATSK))

    bratsk = sources.by_name["journal-bratsk"]

    assert bratsk.uri == "/journal-bratsk"
    assert bratsk.may_send("attendance.lesson-marked.v1")
    assert not bratsk.may_send("navigator.child-registered.v1")
    assert bratsk.may_speak_for_payer(PayerCode("25714000"))
    assert not bratsk.may_speak_for_payer(PayerCode("25701000"))
    assert bratsk.may_speak_for_provider(ProviderId("prov-bratsk-01"))
    assert not bratsk.may_speak_for_provider(ProviderId("prov-bratsk-02"))
    names = {topic.name for topic in topics_read_by("billing", sources)}
    assert {"journal-bratsk.events.v1", "journal-bratsk.forwarded.v1"} <= names


def test_a_type_named_in_full_opens_no_other(tmp_path: Path) -> None:
    source = load_sources(written(tmp_path, ATTENDANCE)).by_name["attendance"]

    assert source.may_send("attendance.lesson-marked.v1")
    assert not source.may_send("attendance.lesson-marked.v2")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param("decider: billing", "decider: cabinet", "keeps a journal", id="no journal"),
        pytest.param(
            "decider: billing", "decider: enrollment", "a reader", id="decider not reader"
        ),
        pytest.param("providers: all", "places: all", "exactly", id="an unknown key"),
        pytest.param("    providers: all\n", "", "exactly", id="a missing key"),
        pytest.param("payers: all", "payers: [25701000]", "quotes", id="a code without quotes"),
        pytest.param("payers: all", 'payers: ["2570100"]', "8 digits", id="a short code"),
        pytest.param("payers: all", "payers: []", "list", id="a scope of nobody"),
        pytest.param(
            "attendance.lesson-marked.v1", "billing.*", "outside", id="speaks as a service"
        ),
        pytest.param("attendance.lesson-marked.v1", "calendar.*", "outside", id="opens days"),
        pytest.param("  attendance:", "  billing:", "no name", id="the name of a service"),
        pytest.param("  attendance:", "  calendar:", "no name", id="the name of the calendar"),
        pytest.param("  attendance:", "  Attendance:", "no name", id="a name with a capital"),
        pytest.param("payers: all", "payers: all\n    payers: all", "twice", id="a repeated key"),
        pytest.param("[billing, cabinet]", "[billing, friend]", "none of", id="an unknown reader"),
        pytest.param("[billing, cabinet]", "[billing, billing]", "twice", id="a reader twice"),
        pytest.param("sends: [", "sends: [[", "no YAML", id="no YAML"),
    ],
)
def test_a_wrong_entry_is_refused_with_file_and_reason(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in ATTENDANCE
    path = written(tmp_path, ATTENDANCE.replace(old, new, 1))

    with pytest.raises(SourcesError, match=told) as caught:
        load_sources(path)

    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match="cannot be read"):
        load_sources(tmp_path / "none.yaml")


def test_payers_whose_certificates_would_be_numbered_alike_are_refused(tmp_path: Path) -> None:
    head = 'payers: ["25701000", "25701001"]\n'

    with pytest.raises(SourcesError, match="25701000 and 25701001 share"):
        load_sources(written(tmp_path, ATTENDANCE, head))


def test_payers_are_told_apart_by_digits_three_to_five() -> None:
    assert certificate_prefix(PayerCode("25738000")) == "738"
    check_payers([PayerCode("25701000"), PayerCode("25702000"), PayerCode("25701000")])
    with pytest.raises(SourcesError):
        check_payers([PayerCode("25701000"), PayerCode("26701999")])


def test_payers_of_two_entries_are_compared_too(tmp_path: Path) -> None:
    other = BRATSK.replace("journal-bratsk", "journal-other").replace("25714000", "25714001")

    with pytest.raises(SourcesError, match="share the digits"):
        load_sources(written(tmp_path, BRATSK + other))


def test_a_source_speaks_only_for_listed_payers(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match="25714000 is not among"):
        load_sources(written(tmp_path, BRATSK, 'payers: ["25701000"]\n'))

    load_sources(written(tmp_path, BRATSK, 'payers: ["25701000", "25714000"]\n'))


def test_there_is_one_topic_of_each_name() -> None:
    names = [topic.name for topic in all_topics(load_sources())]

    assert len(names) == len(set(names)) == 21


def test_every_type_stands_on_a_topic_and_commands_on_theirs_alone() -> None:
    topics = [t for t in all_topics(load_sources()) if t.kind is not TopicKind.FORWARDED]

    placed = [event.type for topic in topics for event in events_on(topic)]

    twice = {type_ for type_, times in Counter(placed).items() if times > 1}
    assert set(placed) == set(EVENTS)
    assert twice == set(load_sources().by_name["families"].sends)
    assert events_on(COMMANDS) == COMMAND_EVENTS


@pytest.mark.parametrize(
    ("service", "read"),
    [
        ("enrollment", "navigator families payers calendar billing enrollment.commands"),
        ("certificates", "enrollment navigator families payers billing calendar"),
        ("billing", "certificates enrollment attendance disputes payers calendar"),
        (
            "notifications",
            "enrollment certificates billing families navigator payers calendar "  # noqa: ISC004
            "notifications.reports",
        ),
    ],
)
def test_a_service_listens_to_what_the_architecture_says(service: str, read: str) -> None:
    topics = topics_read_by(service, load_sources())

    names = {topic.name for topic in topics if topic.kind is not TopicKind.FORWARDED}

    expected = {f"{n}.v1" if "." in n else f"{n}.events.v1" for n in read.split()}
    assert names == expected


def test_a_forwarded_topic_is_read_as_its_source_and_written_by_its_decider() -> None:
    sources = load_sources()

    assert forwarded_topics(sources)
    for source, forwarded in zip(source_topics(sources), forwarded_topics(sources), strict=True):
        assert forwarded.readers == source.readers
        assert forwarded.written_by == source.decider == forwarded.decider


def test_nothing_is_lost_by_a_setting_of_kafka() -> None:
    topics = all_topics(load_sources())

    assert set(DEAD_LETTERS) < set(topics)
    for topic in topics:
        assert topic.config["message.timestamp.type"] == "LogAppendTime"
        assert topic.config["cleanup.policy"] == "delete"
        days = 400 * 86_400_000 if topic in DEAD_LETTERS else -1
        assert topic.config["retention.ms"] == str(days)


def test_a_dead_letter_holds_any_record_a_source_could_write() -> None:
    largest = max(topic.message_bytes_max for topic in source_topics(load_sources()))

    assert DEAD_LETTERS
    assert all(topic.message_bytes_max > largest for topic in DEAD_LETTERS)


def test_journals_and_dead_letters_are_found_by_service() -> None:
    assert journal_of("billing") is BILLING
    assert journal_of("enrollment") is ENROLLMENT
    assert dead_letters_of("billing").name == "billing.dead-letters.v1"
    with pytest.raises(KeyError):
        journal_of("cabinet")


def test_the_calendar_is_everybodys() -> None:
    assert CALENDAR.decider is None
    assert len(CALENDAR.readers) == 5
