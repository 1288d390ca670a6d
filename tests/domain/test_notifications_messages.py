"""Which messages follow from a fact, row by row; then counted again over everything at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import Channel, EventId, RecipientId
from rulebook.model import Row, Value
from services.notifications.domain.facts import Fact, MessageDue, MessageSuppressed
from services.notifications.domain.hours import REGION
from services.notifications.domain.messages import Told, message_id, messages
from services.notifications.domain.people import USUAL, Preferences

NOON = datetime(2020, 9, 2, 12, 0, tzinfo=REGION)
NIGHT = datetime(2020, 9, 2, 23, 0, tzinfo=REGION)
FACT = EventId("billing:7:4")
MOTHER, FATHER = RecipientId("guard-001"), RecipientId("guard-002")
SCHOOL, PAYER = RecipientId("prov-001"), RecipientId("25703000")

Recipients = Mapping[str, Sequence[tuple[RecipientId, Preferences]]]


def row(
    recipient: str = "guardians",
    category: str = "debit",
    template: str = "lesson-charged",
    urgent: bool = False,
) -> Row:
    then: dict[str, Value] = {
        "recipient": recipient,
        "category": category,
        "template": template,
        "urgent": urgent,
    }
    return Row(id=f"{template}-to-{recipient}", when={}, then=then, says="")


def by(*channels: Channel, category: str = "debit") -> Preferences:
    return Preferences(channels={category: channels})


def people(*guardians: tuple[RecipientId, Preferences]) -> Recipients:
    return {
        "guardians": guardians,
        "provider": [(SCHOOL, USUAL)],
        "payer": [(PAYER, USUAL)],
    }


def shown(facts: Sequence[Fact]) -> list[tuple[str, ...]]:
    return [
        (fact.recipient_id, fact.channel, fact.template)
        if isinstance(fact, MessageDue)
        else (fact.recipient_id, fact.category, fact.reason)
        for fact in facts
        if isinstance(fact, MessageDue | MessageSuppressed)
    ]


@pytest.mark.parametrize(
    ("rows", "guardians", "expected"),
    [
        pytest.param([], [(MOTHER, USUAL)], [], id="no row, nobody is told"),
        pytest.param(
            [row()],
            [(MOTHER, USUAL), (FATHER, USUAL)],
            [(MOTHER, "cabinet", "lesson-charged"), (FATHER, "cabinet", "lesson-charged")],
            id="each guardian in the cabinet, where nothing else was said",
        ),
        pytest.param(
            [row()],
            [(MOTHER, by(Channel.EMAIL, Channel.PUSH))],
            [(MOTHER, "email", "lesson-charged"), (MOTHER, "push", "lesson-charged")],
            id="by each channel the guardian wants, and by no other",
        ),
        pytest.param(
            [row()],
            [(MOTHER, by(Channel.SMS, category="certificate"))],
            [(MOTHER, "cabinet", "lesson-charged")],
            id="what is wanted of one category says nothing about another",
        ),
        pytest.param(
            [row()],
            [(MOTHER, by()), (FATHER, USUAL)],
            [(FATHER, "cabinet", "lesson-charged"), (MOTHER, "debit", "unwanted")],
            id="who wants none of a category is not told, on the record",
        ),
        pytest.param(
            [row("guardians"), row("provider"), row("payer")],
            [(MOTHER, USUAL)],
            [(who, "cabinet", "lesson-charged") for who in (MOTHER, SCHOOL, PAYER)],
            id="provider and payer in the cabinet",
        ),
        pytest.param(
            [row(template="lessons-left-low"), row(template="lesson-charged")],
            [(MOTHER, USUAL)],
            [(MOTHER, "cabinet", "lessons-left-low")],
            id="of two rows for one person and channel the first speaks",
        ),
        pytest.param(
            [row(category="certificate", template="first"), row(template="second")],
            [(MOTHER, by(Channel.EMAIL))],
            [(MOTHER, "cabinet", "first"), (MOTHER, "email", "second")],
            id="two rows may reach one person by two channels",
        ),
        pytest.param(
            [row(template="first"), row(template="second")],
            [(MOTHER, by())],
            [(MOTHER, "debit", "unwanted")],
            id="one suppression for a category",
        ),
        pytest.param(
            [row()],
            [(MOTHER, by(Channel.SMS, Channel.SMS)), (MOTHER, by(Channel.SMS))],
            [(MOTHER, "sms", "lesson-charged")],
            id="a channel or a person named twice is told once",
        ),
    ],
)
def test_who_is_told(
    rows: list[Row],
    guardians: list[tuple[RecipientId, Preferences]],
    expected: list[tuple[str, ...]],
) -> None:
    facts = messages(Told(event_ids=(FACT,), at=NOON), rows, people(*guardians))

    assert shown(facts) == expected


def test_what_a_message_carries() -> None:
    (fact,) = messages(Told(event_ids=(FACT,), at=NOON), [row()], people((MOTHER, by(Channel.SMS))))

    assert fact == MessageDue(
        message_id=message_id(FACT, MOTHER, Channel.SMS),
        recipient_id=MOTHER,
        channel=Channel.SMS,
        category="debit",
        template="lesson-charged",
        template_version=5,
        not_before="2020-09-02T12:00:00+08:00",
        event_ids=(FACT,),
    )


@pytest.mark.parametrize(
    ("urgent", "not_before"),
    [
        pytest.param(False, "2020-09-03T08:00:00+08:00", id="the night is quiet"),
        pytest.param(True, "2020-09-02T23:00:00+08:00", id="what is urgent comes at night"),
    ],
)
def test_at_night(urgent: bool, not_before: str) -> None:
    told = Told(event_ids=(FACT,), at=NIGHT)

    (fact,) = messages(told, [row(urgent=urgent)], people((MOTHER, USUAL)))

    assert isinstance(fact, MessageDue)
    assert fact.not_before == not_before


def test_the_id_of_a_message_is_the_same_for_ever() -> None:
    # Written down: another id would be another message to all who keep the old one.
    assert message_id(FACT, MOTHER, Channel.EMAIL) == "msg-9d928df9172c8c419bf0f92dafc6bb9a"


rows_of_any_table = st.lists(
    st.builds(
        row,
        st.sampled_from(["guardians", "provider", "payer"]),
        st.sampled_from(["debit", "certificate"]),
        st.sampled_from(["lesson-charged", "lessons-left-low"]),
        st.booleans(),
    ),
    max_size=6,
)
channels = st.lists(st.sampled_from(Channel), max_size=4).map(tuple)
wishes = st.builds(
    Preferences, channels=st.dictionaries(st.sampled_from(["debit", "certificate"]), channels)
)


@given(rows_of_any_table, st.lists(st.tuples(st.sampled_from([MOTHER, FATHER]), wishes)))
def test_one_message_for_each_person_and_channel(
    rows: list[Row], guardians: list[tuple[RecipientId, Preferences]]
) -> None:
    told = Told(event_ids=(FACT,), at=NOON)
    recipients = people(*guardians)

    facts = messages(told, rows, recipients)

    due = [fact for fact in facts if isinstance(fact, MessageDue)]
    wanted = {
        (who, channel)
        for each in rows
        for who, preferences in recipients[str(each.then["recipient"])]
        for channel in preferences.channels.get(str(each.then["category"]), (Channel.CABINET,))
    }
    assert Counter((fact.recipient_id, fact.channel) for fact in due) == Counter(wanted)
    assert len({fact.message_id for fact in due}) == len(due)
    assert messages(told, rows, recipients) == facts
