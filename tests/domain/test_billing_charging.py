"""What a mark leads to: one row per situation, each side of each boundary."""

import dataclasses
from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.vocabulary import DebitBasis, InputRefusal, Kopecks, Mark, NotCharged, Revision
from services.billing.domain import rules, texts
from services.billing.domain.charging import (
    MarkLesson,
    NotYet,
    charge,
    decide,
    hindrance,
    reverse_after_end,
)
from services.billing.domain.facts import ChargeReversed, LessonCharged, LessonNotCharged
from services.billing.domain.lesson import Lesson, after
from services.billing.domain.reserve import Reserve, Status
from tests.domain.billing_samples import RULES, mark, purse, reserve, rule_of

MONTHLY = DebitBasis.MONTHLY_CONTRACT
TODAY = date(2020, 9, 10)
PURSE = purse(reserved=804_396)


def known(
    command: MarkLesson, charged: int | None = None, exhausted_at: int | None = None
) -> Lesson:
    """Return what a mark left behind."""
    return Lesson(
        lesson_date=command.lesson_date,
        mark=command.mark,
        revision=command.revision,
        charged_kopecks=None if charged is None else Kopecks(charged),
        exhausted_at=exhausted_at,
    )


def hindered(
    command: MarkLesson, of: Reserve, lesson: Lesson | None = None, **more: Any
) -> InputRefusal | NotYet | None:
    said = {"today": TODAY, "is_month_adjusted": False, "may_speak": True, **more}
    return hindrance(command, of, lesson, **said)


CANCELLED = reserve(status=Status.CANCELLED)
RELEASED = reserve(status=Status.RELEASED)
ENDED = reserve(ended_on=date(2020, 9, 5))


@pytest.mark.parametrize(
    ("of", "day", "more", "expected"),
    [
        pytest.param(reserve(), "2020-09-01", {}, None, id="the first day"),
        pytest.param(
            reserve(), "2020-08-31", {}, InputRefusal.OUTSIDE_AGREEMENT, id="the day before"
        ),
        pytest.param(reserve(), "2020-12-31", {"today": date(2021, 1, 5)}, None, id="the last day"),
        pytest.param(
            reserve(), "2021-01-01", {}, InputRefusal.OUTSIDE_AGREEMENT, id="the day after"
        ),
        pytest.param(ENDED, "2020-09-05", {}, None, id="the day of an early end"),
        pytest.param(
            ENDED, "2020-09-06", {}, InputRefusal.OUTSIDE_AGREEMENT, id="after an early end"
        ),
        pytest.param(
            reserve(ended_on=date(2021, 1, 5)),
            "2021-01-01",
            {"today": date(2021, 1, 5)},
            InputRefusal.OUTSIDE_AGREEMENT,
            id="an end after the last day prolongs nothing",
        ),
        pytest.param(
            reserve(ended_on=date(2020, 8, 31)),
            "2020-09-01",
            {},
            InputRefusal.OUTSIDE_AGREEMENT,
            id="an agreement that ended before it began",
        ),
        pytest.param(reserve(), "2020-09-10", {}, None, id="today"),
        pytest.param(reserve(), "2020-09-11", {}, NotYet(date(2020, 9, 11)), id="tomorrow waits"),
        pytest.param(
            reserve(), "2020-10-11", {}, NotYet(date(2020, 10, 11)), id="31 days ahead wait"
        ),
        pytest.param(
            reserve(), "2020-10-12", {}, InputRefusal.FUTURE_LESSON, id="32 days ahead do not"
        ),
        pytest.param(RELEASED, "2020-09-01", {}, InputRefusal.TOO_LATE, id="released"),
        pytest.param(
            RELEASED, "2020-09-11", {}, NotYet(date(2020, 9, 11)), id="the day before the release"
        ),
        pytest.param(
            RELEASED,
            "2020-09-01",
            {"may_speak": False},
            InputRefusal.TOO_LATE,
            id="the release before the source",
        ),
        pytest.param(
            reserve(),
            "2020-09-01",
            {"may_speak": False},
            InputRefusal.OUT_OF_SCOPE,
            id="a journal that may not speak for the provider",
        ),
        pytest.param(
            CANCELLED, "2020-08-01", {}, InputRefusal.AGREEMENT_NOT_ACTIVE, id="cancelled first"
        ),
        pytest.param(
            reserve(MONTHLY),
            "2020-09-01",
            {"is_month_adjusted": True},
            InputRefusal.TOO_LATE,
            id="an adjusted month",
        ),
        pytest.param(
            reserve(), "2020-09-01", {"is_month_adjusted": True}, None, id="months do not matter"
        ),
    ],
)
def test_the_first_hindrance_is_given(
    of: Reserve, day: str, more: dict[str, Any], expected: InputRefusal | NotYet | None
) -> None:
    assert hindered(mark(1, day), of, **more) == expected


@pytest.mark.parametrize(
    ("may_speak", "day", "expected"),
    [
        (True, "2020-09-02", InputRefusal.CONFLICT),
        (False, "2020-09-02", InputRefusal.CONFLICT),
        (True, "2020-09-01", None),
    ],
)
def test_a_lesson_stays_on_its_day(
    may_speak: bool, day: str, expected: InputRefusal | None
) -> None:
    before = known(mark(1, "2020-09-01"))

    assert hindered(mark(1, day, revision=2), reserve(), before, may_speak=may_speak) == expected


PRESENT = mark(1, "2020-09-01")
ABSENT = mark(1, "2020-09-01", Mark.ABSENT, 2)
USED_UP = reserve(lessons_charged=32, extra_lesson="les-900", reserved_kopecks=Kopecks(0))
NOTHING = reserve(money=purse(0))


@pytest.mark.parametrize(
    ("command", "of", "lesson", "expected"),
    [
        pytest.param(PRESENT, reserve(), None, 25_149, id="the first charge takes the extra"),
        pytest.param(
            PRESENT,
            reserve(lessons_charged=1, extra_lesson="les-900"),
            None,
            25_137,
            id="the second does not",
        ),
        pytest.param(
            PRESENT, reserve(lessons_charged=1), None, 25_149, id="no standing charge holds it"
        ),
        pytest.param(
            mark(1, "2020-09-01", Mark.MADE_UP), reserve(), None, 25_149, id="made up counts"
        ),
        pytest.param(PRESENT, NOTHING, None, NotCharged.NO_CERTIFICATE_SHARE, id="C = 0"),
        pytest.param(PRESENT, USED_UP, None, NotCharged.LESSONS_EXHAUSTED, id="all used up"),
        pytest.param(
            PRESENT,
            reserve(lessons_charged=31, extra_lesson="les-900"),
            None,
            25_137,
            id="the last one",
        ),
        pytest.param(ABSENT, reserve(), None, NotCharged.ABSENT, id="absent"),
        pytest.param(mark(1, "2020-09-01", Mark.ILL), reserve(), None, NotCharged.ILL, id="ill"),
        pytest.param(
            mark(1, "2020-09-01", Mark.EXCUSED), NOTHING, None, NotCharged.EXCUSED, id="excused"
        ),
        pytest.param(
            mark(1, "2020-09-01", Mark.CANCELLED),
            USED_UP,
            None,
            NotCharged.CANCELLED,
            id="cancelled",
        ),
        pytest.param(
            ABSENT,
            reserve(lessons_charged=1, extra_lesson="les-001"),
            known(PRESENT, 25_149),
            -25_149,
            id="a charge is taken back with its extra",
        ),
        pytest.param(
            ABSENT,
            reserve(lessons_charged=2, extra_lesson="les-900"),
            known(PRESENT, 25_137),
            -25_137,
            id="a charge is taken back by the very amount",
        ),
        pytest.param(
            mark(1, "2020-09-01", Mark.MADE_UP, 2),
            reserve(lessons_charged=1, extra_lesson="les-001"),
            known(PRESENT, 25_149),
            NotCharged.MARK_UNCHANGED,
            id="still counts",
        ),
        pytest.param(
            mark(1, "2020-09-01", Mark.ILL, 3),
            reserve(),
            known(ABSENT),
            NotCharged.ILL,
            id="still does not count",
        ),
        pytest.param(
            mark(1, "2020-09-01", Mark.PRESENT, 3),
            reserve(),
            known(ABSENT),
            25_149,
            id="now it does",
        ),
        pytest.param(
            mark(1, "2020-09-01", Mark.PRESENT, 2),
            USED_UP,
            known(PRESENT, exhausted_at=7),
            NotCharged.LESSONS_EXHAUSTED,
            id="still waits for one to become free",
        ),
        pytest.param(
            PRESENT, reserve(MONTHLY), None, NotCharged.MARK_UNCHANGED, id="months are charged"
        ),
        pytest.param(
            ABSENT, reserve(MONTHLY), None, NotCharged.ABSENT, id="absent where months are charged"
        ),
    ],
)
def test_what_a_mark_leads_to(
    command: MarkLesson, of: Reserve, lesson: Lesson | None, expected: int | NotCharged
) -> None:
    fact = decide(command, of, lesson, PURSE, rule_of(command))

    match fact:
        case LessonCharged():
            assert fact.amount_kopecks == expected
            assert fact.purse == PURSE.charging(fact.amount_kopecks)
        case ChargeReversed():
            assert -fact.amount_kopecks == expected
            assert fact.purse == PURSE.reversing(fact.amount_kopecks)
        case LessonNotCharged():
            assert fact.reason == expected


def test_more_lessons_than_kopecks_are_charged_by_nothing() -> None:
    poor = reserve(money=purse(5))

    first = decide(PRESENT, poor, None, purse(5, reserved=5), rule_of(PRESENT))

    assert isinstance(first, LessonCharged)
    assert first.amount_kopecks == 5
    moved = poor.moving(first)
    second = decide(mark(2, "2020-09-02"), moved, None, first.purse, rule_of(PRESENT))
    assert isinstance(second, LessonCharged)
    assert (second.amount_kopecks, second.lessons_charged) == (0, 2)
    assert moved.moving(second).extra_lesson == "les-001"


def test_a_payer_may_charge_what_the_base_table_does_not_and_the_other_way_round() -> None:
    base = rule_of(ABSENT)
    (hit,) = base.hits
    strict, generous = (
        dataclasses.replace(base, hits=(dataclasses.replace(hit, then={"charge": charged}),))
        for charged in (True, False)
    )

    charged = decide(ABSENT, reserve(), None, PURSE, strict)
    spared = decide(PRESENT, reserve(), None, PURSE, generous)

    assert isinstance(charged, LessonCharged)
    assert isinstance(spared, LessonNotCharged)
    assert spared.reason is NotCharged.MARK_UNCHANGED


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_parent_reads_what_was_charged_why_and_what_is_left() -> None:
    first = charge(PRESENT, reserve(), PURSE, rule_of(PRESENT))
    third = mark(3, "2020-09-03")
    of = reserve().moving(first)

    fact = charge(third, of, first.purse, rule_of(third))

    assert plain(fact.why["text"]) == (
        "Списано 251,37 ₽ за занятие 3 сентября: ребёнок был на занятии. "
        "Осталось 30 занятий и 7 541,10 ₽ в брони."
    )
    assert {key: fact.why[key] for key in ("table", "row", "from")} == {
        "table": "billing.charging",
        "row": "attended",
        "from": "2020-09-01",
    }


def test_a_parent_reads_what_came_back() -> None:
    of = reserve(lessons_charged=1, extra_lesson="les-001", reserved_kopecks=Kopecks(779_247))
    lesson = known(PRESENT, 25_149)

    corrected = decide(ABSENT, of, lesson, PURSE, rule_of(ABSENT))
    ended = reverse_after_end(PRESENT, of, lesson, PURSE, date(2020, 8, 31))

    assert plain(corrected.why["text"]) == (
        "Возвращено 251,49 ₽ за занятие 1 сентября: отметку исправили, ребёнка не было. "
        "Осталось 32 занятия и 8 043,96 ₽ в брони."
    )
    assert plain(ended.why["text"]) == (
        "Возвращено 251,49 ₽ за занятие 1 сентября: договор закончился 31 августа 2020 года. "
        "В брони 8 043,96 ₽."
    )


@pytest.mark.parametrize("reason", list(NotCharged))
@pytest.mark.parametrize("value", list(Mark))
def test_every_reason_is_told_within_a_line(reason: NotCharged, value: Mark) -> None:
    text = texts.not_charged(rule_of(PRESENT), date(2020, 9, 1), value, reason)

    assert text.startswith("Занятие")
    assert text.endswith(".")
    assert len(text) < 250


def test_the_lesson_keeps_its_first_arrival_among_the_exhausted() -> None:
    first = decide(PRESENT, USED_UP, None, PURSE, rule_of(PRESENT))
    again = mark(1, "2020-09-01", Mark.MADE_UP, 2)
    absent = mark(1, "2020-09-01", Mark.ABSENT, 3)

    lesson = after(None, first, 7)
    lesson = after(lesson, decide(again, USED_UP, lesson, PURSE, rule_of(again)), 9)
    assert lesson.exhausted_at == 7
    lesson = after(lesson, decide(absent, USED_UP, lesson, PURSE, rule_of(absent)), 11)

    assert lesson.exhausted_at is None


def test_an_unchanged_mark_keeps_the_charge() -> None:
    again = mark(1, "2020-09-01", Mark.MADE_UP, 2)
    lesson = known(PRESENT, 25_149)

    fact = decide(again, reserve(lessons_charged=1), lesson, PURSE, rule_of(again))

    assert after(lesson, fact, 5) == replace(lesson, mark=Mark.MADE_UP, revision=Revision(2))


@pytest.mark.parametrize(
    ("end", "today", "is_after"),
    [
        pytest.param("2020-10-15", "2020-10-16", False, id="the day after"),
        pytest.param("2020-10-15", "2020-10-25", False, id="ten days later"),
        pytest.param("2020-10-15", "2020-10-26", True, id="eleven days later"),
        pytest.param("2020-10-15", "2020-12-01", True, id="days were skipped"),
    ],
)
def test_the_days_for_corrections(end: str, today: str, *, is_after: bool) -> None:
    found = rules.is_after_grace(RULES, date.fromisoformat(end), date.fromisoformat(today))

    assert found is is_after
