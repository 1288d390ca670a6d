"""The sender: once each, also when it dies, waits, is refused, or loses its store."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.notifications.senders.delivery import (
    NoAddressesNow,
    NotNow,
    Outcome,
    OutOfReach,
    Rejected,
    Sent,
)
from services.notifications.senders.facts import JournalFacts
from services.notifications.senders.lines import NO_ADDRESSES, Failover, RateLimit
from services.notifications.senders.schedule import (
    AGE_MAX,
    ATTEMPTS_MAX,
    PAUSE_MAX,
    PAUSE_MIN,
    is_given_up,
    pause_after,
)
from services.notifications.senders.sender import DOUBT, IN_FLIGHT_MAX, RECORDS_MAX, SWEEP_SECONDS
from streaming.errors import BehindError, BusUnavailableError, FencedError
from streaming.memory import MemoryBus
from streaming.memory_store import MemoryStore
from streaming.telemetry import LOGGED
from tests.support.post import Box, Post, open_post
from tests.support.town import fact, lesson, preferences

TRACED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NIGHT = "2020-09-02T23:00:00+08:00"


async def test_every_message_of_its_channels_is_sent_and_reported_once() -> None:
    post = await open_post()

    await post.runs()
    await post.runs()

    assert len(post.outward()) == 6
    assert sorted(post.box.ids) == sorted(post.outward())
    assert sorted(post.became()) == sorted(post.outward())
    assert post.doubts() == 0


async def test_a_letter_tells_of_its_fact() -> None:
    post = await open_post(lessons=1)

    await post.runs()

    letter = post.box.got[0].letter
    assert letter.title == "Списание за занятие"
    assert "списано 251,49" in letter.plain
    assert "Сертификат\u00a0№ 7010000011" in letter.plain


async def test_the_log_names_no_person() -> None:
    post = await open_post()

    await post.runs()

    assert len(post.log) == 6
    assert all(set(line) - {"event"} <= LOGGED for line in post.log)
    assert "guard-" not in str(post.log)


async def test_a_trace_goes_on_from_a_fact_to_its_messages_and_what_became_of_them() -> None:
    post = await open_post(lessons=0)
    await post.town.hears(lesson(1, 1) | {"traceparent": TRACED})
    await post.town.hears(lesson(2, 2) | {"traceparent": "00-ab\r\nx: y"})

    # Also through the store: the sender that reads dies before it sends.
    sender = await post.sender()
    await sender.step()
    post.dies()
    await post.runs()

    of = {d.message.event_ids[0]: d.message.trace for d in post.box.got}
    assert {trace and trace.traceparent for trace in of.values()} == {TRACED, None}
    journal = post.town.world.journal("notifications")
    due = [r for r in journal if r.get("traceparent") == TRACED and "due" in r["type"]]
    sent = [r for r in journal if r.get("traceparent") == TRACED and "sent" in r["type"]]
    assert len(due) == len(sent) + 1 == 3, "one of them is for the cabinet, nobody sends it"
    reports = post.town.world.records("notifications.reports.v1")
    causes = {r["causetopic"] for r in reports if "traceparent" in r}
    assert causes == {"notifications.events.v1"}
    assert {r["subject"] for r in reports if "traceparent" in r} == {
        r["data"]["message_id"] for r in sent
    }


async def test_many_messages_are_read_in_portions() -> None:
    post = await open_post(lessons=RECORDS_MAX)

    await post.runs()

    assert sorted(post.became()) == sorted(post.outward())
    assert len(post.outward()) == 2 * RECORDS_MAX


# --- when ---------------------------------------------------------------------------------------


async def test_quiet_hours_are_waited_for() -> None:
    post = await open_post(lessons=0)
    await post.town.hears(lesson(1, 20, time=NIGHT))

    post.now = post.now.replace(day=2, hour=23, minute=59)
    await post.runs()
    before = list(post.box.ids)
    post.now = post.now.replace(day=3, hour=0, minute=0)
    await post.runs()

    assert before == []
    assert sorted(post.box.ids) == sorted(post.outward())


@pytest.mark.parametrize("attempts", range(1, ATTEMPTS_MAX))
def test_pauses_grow_up_to_a_limit(attempts: int) -> None:
    pause, next_one = pause_after(attempts, "msg-1"), pause_after(attempts + 1, "msg-1")

    assert PAUSE_MIN <= pause <= next_one <= PAUSE_MAX * 1.2


@pytest.mark.parametrize(
    ("attempts", "age", "expected"),
    [
        (ATTEMPTS_MAX - 1, timedelta(0), False),
        (ATTEMPTS_MAX, timedelta(0), True),
        (1, AGE_MAX - timedelta(seconds=1), False),
        (1, AGE_MAX, True),
    ],
)
def test_there_is_an_end(attempts: int, age: timedelta, expected: bool) -> None:
    now = datetime(2020, 9, 2, tzinfo=UTC)

    assert is_given_up(attempts, now - age, now) is expected


# --- what came of it ----------------------------------------------------------------------------


async def test_what_is_rejected_is_not_tried_again() -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.always = Rejected("smtp: 550")

    await post.runs()
    post.passes(days=1)
    await post.runs()

    assert len(post.box.got) == 1
    assert post.became("message-failed") == post.outward()
    assert post.became() == []


async def test_what_is_not_taken_now_is_tried_again_later_and_not_before() -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.answers = [NotNow("smtp: 451")]

    await post.runs()
    post.passes(seconds=PAUSE_MIN.total_seconds() - 1)
    await post.runs()
    before = len(post.box.got)
    post.passes(seconds=PAUSE_MIN.total_seconds())
    await post.runs()

    assert before == 1
    assert len(post.box.got) == 2
    assert post.became() == post.outward()
    assert post.doubts() == 0


async def test_what_is_never_taken_fails_at_last() -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.always = NotNow("smtp: 451")

    for _ in range(2 * ATTEMPTS_MAX):
        await post.runs()
        post.passes(seconds=PAUSE_MAX.total_seconds() * 1.3)

    assert len(post.box.got) <= ATTEMPTS_MAX
    assert post.became("message-failed") == post.outward()


async def test_a_channel_nobody_answers_on_rests_and_is_tried_by_one_alone() -> None:
    post = await open_post(lessons=40, channels=("email",))
    post.box.always = OutOfReach("smtp: away")

    await post.runs()
    first = len(post.box.got)
    post.passes(seconds=2)
    await post.runs()
    second = len(post.box.got)
    post.box.always = None
    post.passes(seconds=60)
    await post.runs()
    post.passes(minutes=5)
    await post.runs()

    assert first == post.lines["email"].lane_slots
    assert second == first + 1
    assert sorted(post.became()) == sorted(post.outward())


async def test_one_channel_that_fails_leaves_the_other_alone() -> None:
    post = await open_post()
    broken, whole = Box("broken"), Box("whole")
    broken.always = OutOfReach("away")
    post.lines = {"email": post.line("email", broken), "sms": post.line("sms", whole)}

    await post.runs()

    assert len(whole.got) == len(post.became()) == 3


async def test_without_addresses_sending_waits_and_no_attempt_counts() -> None:
    post = await open_post(lessons=2, channels=("email",))
    post.box.always = NoAddressesNow()

    for _ in range(2 * ATTEMPTS_MAX):
        await post.runs()
        post.passes(hours=12)
    failed = post.became("message-failed")
    post.box.always = None
    await post.runs()
    post.passes(minutes=2)
    await post.runs()

    assert failed == []
    assert sorted(post.became()) == sorted(post.outward())


async def test_a_defect_of_a_provider_harms_its_message_only() -> None:
    post = await open_post(lessons=2, channels=("email",))

    class Defective(Box):
        async def send(self, delivery: object) -> Outcome:
            outcome = await super().send(delivery)  # type: ignore[arg-type]
            if len(self.got) == 1:
                raise ZeroDivisionError
            return outcome

    post.lines = {"email": post.line("email", Defective())}
    await post.runs()
    post.passes(minutes=1)
    await post.runs()

    assert sorted(post.became()) == sorted(post.outward())


async def test_an_attempt_without_end_is_ended() -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.gate = asyncio.Event()
    post.lines = {"email": post.line("email", post.box, seconds_max=0.05)}

    sender = await post.sender()
    for _ in range(20):
        await sender.step()
        await asyncio.sleep(0.01)
    post.box.gate.set()
    post.passes(minutes=1)
    await post.works(sender)
    await post.town.world.settle()

    assert len(post.box.got) == 2
    assert post.became() == post.outward()
    assert post.doubts() == 1
    assert post.details() == [f"box; {DOUBT}"]


# --- what is said of ways out -------------------------------------------------------------------


def said(post: Post) -> list[tuple[str, str, str]]:
    """Return (what is said, where, why) of ways out."""
    lines = [line for line in post.log if line["event"].startswith("messages ")]
    assert all(set(line) - {"event"} <= LOGGED for line in lines)
    return [(line["event"], line["place"], line.get("reason", "")) for line in lines]


TROUBLE, OVER = "messages do not get through", "messages get through again"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(OutOfReach("smtp-1: TimeoutError"), "smtp-1: TimeoutError", id="no answer"),
        pytest.param(NotNow("smtp-1: 451"), "smtp-1: 451", id="nothing is taken"),
        pytest.param(NoAddressesNow(), NO_ADDRESSES, id="no addresses"),
    ],
)
async def test_that_nothing_gets_through_is_said_once_and_once_that_it_does_again(
    answer: Outcome, why: str
) -> None:
    post = await open_post(lessons=5, channels=("email",))
    post.box.always = answer

    for _ in range(6):
        await post.runs()
        post.passes(minutes=10)
    in_trouble = said(post)
    post.box.always = None
    for _ in range(6):
        await post.runs()
        post.passes(hours=2)

    assert in_trouble == [(TROUBLE, "email/all, box", why)]
    assert said(post) == [*in_trouble, (OVER, "email/all, box", "")]


async def test_what_is_taken_or_refused_for_itself_is_no_trouble() -> None:
    post = await open_post(lessons=6, channels=("email",))
    post.box.answers = [NotNow("451"), Sent("box"), NotNow("451"), NotNow("451"), Rejected("550")]

    await post.runs()

    assert said(post) == []


async def test_a_first_provider_that_does_not_answer_is_named_although_the_second_does() -> None:
    post = await open_post(lessons=3, channels=("email",))
    first, second = Box("first"), Box("second")
    first.always = OutOfReach("away")
    way = Failover((first, second), post.clock, post.telemetry.log)
    post.lines = {"email": post.line("email", way)}

    await post.runs()
    first.always = None
    post.passes(minutes=5)
    await post.town.hears(lesson(9, 20))
    await post.runs()

    assert said(post) == [(TROUBLE, "first", "away"), (OVER, "first", "")]


# --- fail-over, rates ---------------------------------------------------------------------------


async def test_the_second_provider_is_used_while_the_first_does_not_answer() -> None:
    post = await open_post(lessons=3, channels=("email",))
    first, second = Box("first"), Box("second")
    first.always = OutOfReach("away")
    post.lines = {"email": post.line("email", Failover((first, second), post.clock))}

    await post.runs()
    tried = len(first.got)
    first.always = None
    post.passes(minutes=5)
    await post.town.hears(lesson(9, 20))
    await post.runs()

    assert tried >= 1
    assert len(second.got) == 3
    assert len(first.got) == tried + 1
    assert sorted(post.became()) == sorted(post.outward())


@pytest.mark.parametrize(
    "answer", [Rejected("550"), NotNow("451"), OutOfReach("cut", is_doubtful=True)]
)
async def test_who_answered_or_may_have_it_is_not_passed_over(answer: Outcome) -> None:
    post = await open_post(lessons=1, channels=("email",))
    first, second = Box("first"), Box("second")
    first.always = answer
    post.lines = {"email": post.line("email", Failover((first, second), post.clock))}

    await post.runs()

    assert len(first.got) == 1
    assert second.got == []


def test_a_rate_is_kept() -> None:
    seconds = [0.0]
    rate = RateLimit(120, lambda: seconds[0])

    first = rate.take(10)
    seconds[0] = 0.4
    too_soon = rate.take(10)
    seconds[0] = 1.0
    second = rate.take(10)
    seconds[0] = 100.0
    after_a_rest = rate.take(10)

    assert (first, too_soon, second, after_a_rest) == (2, 0, 2, 2)


async def test_a_slow_rate_delays_and_loses_nothing() -> None:
    post = await open_post(lessons=5, channels=("email",))
    post.lines["email"].rate = RateLimit(60, post.clock)

    sender = await post.sender()
    for _ in range(10):
        await sender.step()
        await asyncio.sleep(0)
    at_once = len(post.box.got)
    for _ in range(10):
        post.passes(seconds=1)
        await sender.step()
        await asyncio.sleep(0)
    await post.works(sender)
    await post.town.world.settle()

    assert at_once == 1
    assert sorted(post.became()) == sorted(post.outward())


# --- dying --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("publish:before", id="it is sent, the report does not stand"),
        pytest.param("publish:after", id="the report stands, its reply is lost"),
    ],
)
async def test_trouble_with_the_bus_sends_nothing_twice(point: str) -> None:
    post = await open_post()
    struck: list[str] = []

    def strike(at: str, subject: str) -> None:
        if at == point and not struck:
            struck.append(subject)
            raise BusUnavailableError(at)

    with pytest.raises(BusUnavailableError):
        await post.runs(MemoryBus(1, post.town.world.log, fault=strike))
    await post.runs()

    assert struck == ["notifications.reports.v1"]
    assert len(post.box.got) == 6
    assert sorted(post.became()) == sorted(post.outward())
    assert post.doubts() == 0


async def test_killed_between_sending_and_reporting_it_is_sent_again_and_counted() -> None:
    post = await open_post(lessons=1, channels=("email",))
    sender = await post.sender()
    while not post.attempts.ended:
        await sender.step()
        await asyncio.sleep(0)

    post.dies()
    await post.runs()

    assert len(post.box.got) == 2
    assert post.became() == post.outward()
    assert post.doubts() == 1
    assert post.details() == [f"box; {DOUBT}"]


async def test_killed_after_its_report_stands_it_is_not_sent_again() -> None:
    post = await open_post(lessons=1, channels=("email",))
    sender = await post.sender()
    while not post.town.world.records("notifications.reports.v1"):
        await sender.step()
        await asyncio.sleep(0)
        # The commit that takes the message off is the one that dies.
        if post.attempts.ended:
            post.store.fault = _dead
            with pytest.raises(ConnectionError):
                await sender.step()

    post.store.fault = None
    post.dies()
    await post.runs()

    assert len(post.box.got) == 1
    assert post.became() == post.outward()
    assert post.doubts() == 0


async def _dead(point: str) -> None:
    if point == "commit.before":
        raise ConnectionError(point)


@pytest.mark.parametrize("steps", range(12))
async def test_killed_at_any_step_nothing_is_lost(steps: int) -> None:
    post = await open_post()
    sender = await post.sender()
    for _ in range(steps):
        await sender.step()
        await asyncio.sleep(0)

    post.dies()
    await post.runs()

    assert set(post.box.ids) == set(post.outward())
    assert sorted(post.became()) == sorted(post.outward())
    assert len(post.box.got) == 6 + post.doubts()


async def test_a_sender_that_is_told_to_stop_leaves_nothing_half_done() -> None:
    post = await open_post()
    sender = await post.sender()
    while not post.attempts.tasks:
        await sender.step()

    await sender.close()
    post.dies()
    await post.runs()

    assert len(post.box.got) == 6
    assert post.doubts() == 0
    assert sorted(post.became()) == sorted(post.outward())


def lost(post: Post) -> None:
    post.store = MemoryStore()


def half_committed(post: Post) -> None:
    for kept in post.store._now.kept.values():
        kept.is_whole = False


@pytest.mark.parametrize("befalls", [lost, half_committed])
async def test_a_store_that_is_not_what_it_was_is_made_anew_from_the_journal(
    befalls: Callable[[Post], None],
) -> None:
    post = await open_post()
    await post.runs()
    await post.town.hears(lesson(7, 20), lesson(8, 19, time=NIGHT))

    befalls(post)
    await post.runs()
    at_noon = len(post.box.got)
    post.passes(days=1)
    await post.runs()

    assert at_noon == 8
    assert sorted(post.box.ids) == sorted(post.outward())
    assert post.doubts() == 0


async def test_a_store_that_was_lost_before_the_service_saw_the_reports() -> None:
    post = await open_post()
    sender = await post.sender()
    await post.works(sender)
    await sender.close()

    post.store = MemoryStore()
    await post.runs()

    assert len(post.box.got) == 6
    assert sorted(post.became()) == sorted(post.outward())


async def test_an_older_sender_steps_back() -> None:
    post = await open_post()
    older = await post.sender()
    await post.runs()

    with pytest.raises((FencedError, BehindError)):
        await older.step()

    assert await older.is_fenced()
    assert not await older.still_owner()
    assert sorted(post.became()) == sorted(post.outward())


async def test_on_another_bus_it_begins_anew() -> None:
    post = await open_post()
    await post.runs()
    # Longer than the first one: only its identity tells it apart.
    other = await open_post(lessons=9)
    other.store = post.store
    other.town.world.log.identity = "memory-made-again"

    await other.runs()

    assert sorted(other.became()) == sorted(other.outward()) != []


async def test_a_log_that_was_cut_is_read_from_its_start() -> None:
    post = await open_post()
    await post.runs()
    shorter = await open_post(lessons=1)
    shorter.store = post.store

    await shorter.runs()

    assert sorted(shorter.became()) == sorted(shorter.outward()) != []


async def test_while_a_message_is_on_its_way_the_sender_is_not_idle() -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.gate = asyncio.Event()
    sender = await post.sender()

    async def idle() -> bytes:
        return (await post.store.standing(0, 1)).fields["idle"]

    while not post.attempts.tasks:
        await sender.step()
    on_its_way = await idle()
    post.box.gate.set()
    await post.works(sender)

    assert on_its_way == b"0"
    assert await idle() == b"1"


async def test_what_was_read_and_not_yet_begun_is_something_to_do() -> None:
    post = await open_post(lessons=0)
    sender = await post.sender()
    await post.works(sender)
    await post.town.hears(lesson(1, 20))

    idle = []
    while not post.attempts.tasks:
        await sender.step()
        idle.append((await post.store.standing(0, 1)).fields["idle"])

    assert set(idle) == {b"0"}


async def test_a_line_that_was_taken_off_keeps_what_waits_for_it() -> None:
    post = await open_post(lessons=2, channels=("email",))
    post.box.always = NotNow("smtp: 451")
    lines = post.lines
    await post.runs()

    post.lines = {"sms": lines["sms"]}
    post.passes(minutes=5)
    await post.runs()
    without = len(post.box.got)
    post.lines, post.box.always = lines, None
    await post.runs()

    assert without == 2
    assert sorted(post.became()) == sorted(post.outward())


async def test_a_sweep_keeps_no_position_of_records_that_are_not_kept() -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.gate = asyncio.Event()
    sender = await post.sender()
    while not post.attempts.tasks:
        await sender.step()
    # What has begun is nobody's any more, and a message comes as the sweep is due.
    post.dies()
    sender._attempts = post.attempts
    await post.town.hears(lesson(9, 20))
    sender._swept_at = -SWEEP_SECONDS
    commits = 0

    async def second_commit_dies(point: str) -> None:
        nonlocal commits
        commits += point == "commit.before"
        if commits == 2:
            raise ConnectionError(point)

    post.store.fault = second_commit_dies
    with pytest.raises(ConnectionError):
        await post.works(sender)
    post.store.fault = None
    post.box.gate.set()
    post.dies()
    await post.runs()

    assert set(post.box.ids) == set(post.outward())
    assert sorted(post.became()) == sorted(post.outward())


# --- facts --------------------------------------------------------------------------------------


async def test_facts_are_found_in_the_journals_by_the_ids_of_their_events() -> None:
    post = await open_post(lessons=700, channels=("cabinet",))
    records = post.town.world.records("billing.events.v1")
    wanted = [records[number]["id"] for number in (650, 3, 0, 699)]

    found = await JournalFacts(post.town.world.bus).find(
        [*wanted, "billing:0:701", "x", "billing:9:0"]
    )

    assert [fact_["lesson_id"] for fact_ in found] == [
        "les-00650",
        "les-00003",
        "les-00000",
        "les-00699",
    ]


async def test_several_guardians_are_told_of_the_same_fact_across_portions() -> None:
    post = await open_post(lessons=0)
    await post.town.hears(
        preferences({"debit": ["email"]}),
        fact("certificates.certificate-frozen", reason="Проверка"),
    )

    await post.runs()

    assert post.became() == post.outward()


async def test_the_longest_facts_fit_into_one_commit() -> None:
    post = await open_post(lessons=0)
    why = {"text": "Щ" * 1_000}
    facts_of_a_day = [
        lesson(number, 900 - number, why=why) for number in range(RECORDS_MAX + IN_FLIGHT_MAX)
    ]
    await post.town.hears(*facts_of_a_day)
    post.lines["email"].lane_slots = post.lines["sms"].lane_slots = IN_FLIGHT_MAX

    await post.runs()

    assert sorted(post.became()) == sorted(post.outward())
    assert len(post.outward()) == 2 * (RECORDS_MAX + IN_FLIGHT_MAX)
