"""What ends, cancellations and the passing of months do to a reserve."""

from datetime import date

import pytest
from msgspec.structs import replace

from contracts.vocabulary import DebitBasis, Kopecks, LessonId, Mark, Month, Revision
from services.billing.domain import ending
from services.billing.domain.charging import decide
from services.billing.domain.ending import Standing, StandingMonth
from services.billing.domain.facts import LessonCharged, MonthReversed, ReserveReleased
from services.billing.domain.lesson import Lesson, after
from services.billing.domain.month import MonthBook
from services.billing.domain.purse import Purse
from services.billing.domain.reserve import Reserve, Status
from tests.domain.billing_samples import CHESS, mark, purse, reserve, rule_of

MONTHLY = DebitBasis.MONTHLY_CONTRACT
PURSE = purse(reserved=804_396)


def attended(days: list[str]) -> tuple[Reserve, Purse, list[Standing]]:
    """Return reserve, purse and lessons after a child attended on these days."""
    of, money, standing = reserve(), PURSE, []
    for number, day in enumerate(days, 1):
        command = mark(number, day)
        fact = decide(command, of, None, money, rule_of(command))
        assert isinstance(fact, LessonCharged)
        of, money = of.moving(fact), fact.purse
        standing.append(Standing(lesson_id=command.lesson_id, lesson=after(None, fact, number)))
    return of, money, standing


def test_lessons_after_the_end_come_back_and_the_extra_with_them() -> None:
    of, money, standing = attended(["2020-09-01", "2020-09-08", "2020-09-15"])

    facts = ending.reverse_lessons(CHESS, of, money, date(2020, 8, 31), standing)

    assert [fact.amount_kopecks for fact in facts] == [25_149, 25_137, 25_137]
    assert [fact.lessons_charged for fact in facts] == [2, 1, 0]
    assert facts[-1].purse == PURSE
    for fact in facts:
        of = of.moving(fact)
    assert (of.reserved_kopecks, of.extra_lesson, of.lessons_charged) == (804_396, None, 0)


def charged(until: str) -> tuple[Reserve, Purse]:
    """Return a monthly reserve and its purse after its months were charged up to a day."""
    of, money = reserve(MONTHLY), PURSE
    for fact in ending.charge_months(CHESS, of, money, date.fromisoformat(until)):
        of, money = of.moving(fact), fact.purse
    return of, money


@pytest.mark.parametrize(
    ("today", "months"),
    [
        pytest.param("2020-08-31", [], id="before the first"),
        pytest.param("2020-09-01", ["2020-09"], id="the first day"),
        pytest.param("2020-09-30", ["2020-09"], id="before the second"),
        pytest.param("2020-10-07", ["2020-09", "2020-10"], id="days were skipped"),
        pytest.param("2021-02-01", ["2020-09", "2020-10", "2020-11", "2020-12"], id="all"),
    ],
)
def test_months_are_charged_when_they_open(today: str, months: list[str]) -> None:
    facts = ending.charge_months(CHESS, reserve(MONTHLY), PURSE, date.fromisoformat(today))

    assert [fact.month for fact in facts] == months


def test_a_month_is_charged_on_the_day_of_a_late_reserve() -> None:
    late = reserve(MONTHLY, reserved_on=date(2020, 10, 3))

    assert late.next_charge_on == date(2020, 10, 3)
    assert reserve(MONTHLY).next_charge_on == date(2020, 9, 1)
    assert reserve().next_charge_on is None


def test_w6_ends_in_the_middle() -> None:
    of, money = charged("2020-10-15")
    assert money == purse(reserved=404_394, paid=400_002)

    ended = of.ending(date(2020, 10, 31))
    (released,) = ending.end_months(CHESS, ended, money, date(2020, 10, 31), [])

    assert isinstance(released, ReserveReleased)
    assert released.amount_kopecks == 404_394
    assert released.purse == purse(paid=400_002)
    assert ended.releasing(released).next_month is None


def test_months_that_opened_after_the_end_are_taken_back_and_released() -> None:
    of, money = charged("2020-10-01")
    book = MonthBook(charged_kopecks=Kopecks(202_197))
    october = StandingMonth(month=Month("2020-10"), book=book)

    reversed_, released = ending.end_months(
        CHESS, of.ending(date(2020, 9, 30)), money, date(2020, 9, 30), [october]
    )

    assert isinstance(reversed_, MonthReversed)
    assert reversed_.amount_kopecks == 202_197
    assert released.amount_kopecks == 606_591
    assert released.purse == purse(paid=197_805)


def test_months_before_the_end_are_still_charged_on_their_day() -> None:
    of, money = charged("2020-09-01")
    ended_on = date(2020, 10, 31)
    ended = of.ending(ended_on)

    (released,) = ending.end_months(CHESS, ended, money, ended_on, [])
    assert isinstance(released, ReserveReleased)
    left = ended.releasing(released)

    assert released.amount_kopecks == 404_394
    assert left.reserved_kopecks == 202_197
    assert left.status is Status.HELD
    (october,) = ending.charge_months(CHESS, left, released.purse, date(2020, 10, 2))
    assert october.purse == purse(paid=400_002)


def test_a_month_that_opens_on_the_day_of_the_end_is_still_charged() -> None:
    of, money = charged("2020-09-01")
    ended_on = date(2020, 10, 1)
    ended = of.ending(ended_on)

    (released,) = ending.end_months(CHESS, ended, money, ended_on, [])
    assert isinstance(released, ReserveReleased)
    left = ended.releasing(released)
    facts = ending.charge_months(CHESS, left, released.purse, date(2020, 12, 31))

    assert released.amount_kopecks == 404_394
    assert [(fact.month, fact.purse) for fact in facts] == [("2020-10", purse(paid=400_002))]
    assert of.ending(date(2020, 9, 30)).next_month is None


def test_an_end_on_the_last_day_releases_nothing() -> None:
    of, money = charged("2020-12-01")

    assert ending.end_months(CHESS, of, money, date(2020, 12, 31), []) == ()


def test_months_are_adjusted_one_after_the_other() -> None:
    of, money = charged("2020-10-01")
    months = [
        StandingMonth(
            month=Month("2020-09"),
            book=MonthBook(charged_kopecks=Kopecks(197_805), marked=8, cancelled=2),
        ),
        StandingMonth(month=Month("2020-10"), book=MonthBook(charged_kopecks=Kopecks(202_197))),
    ]

    september, october = ending.adjust_months(CHESS, of, money, months)

    assert (september.amount_kopecks, september.marked, september.cancelled) == (49_451, 8, 2)
    assert october.amount_kopecks == 0
    assert october.purse == purse(reserved=404_394, paid=350_551)
    text = september.why["text"].replace("\u00a0", " ")
    assert text == (
        "Возвращено 494,51 ₽ за сентябрь 2020 года: организация отменила 2 из 8 занятий."
    )


@pytest.mark.parametrize(
    ("marked", "words"), [(1, "1 из 1 занятия"), (21, "1 из 21 занятия"), (11, "1 из 11 занятий")]
)
def test_numbers_are_told_in_russian(marked: int, words: str) -> None:
    book = MonthBook(charged_kopecks=Kopecks(1000), marked=marked, cancelled=1)
    of, money = charged("2020-09-01")
    month = StandingMonth(month=Month("2020-09"), book=book)

    (fact,) = ending.adjust_months(CHESS, of, money, [month])

    assert words in fact.why["text"].replace("\u00a0", " ")


def test_the_rest_is_released() -> None:
    of, money, _ = attended(["2020-09-01"])

    fact = ending.release(CHESS, of, money)

    assert fact.purse == purse(paid=25_149)
    assert (fact.amount_kopecks, fact.cause) == (779_247, "ended")
    assert of.releasing(fact).status is Status.RELEASED


def test_a_cancelled_enrollment_gives_all_back_for_good() -> None:
    of = reserve(MONTHLY)

    fact = ending.cancel(CHESS, of, PURSE)

    assert (fact.amount_kopecks, fact.cause) == (804_396, "cancelled")
    cancelled = of.releasing(fact)
    assert cancelled.status is Status.CANCELLED
    assert cancelled.next_month is None


def test_a_charge_of_nothing_can_be_taken_back() -> None:
    of = replace(reserve(money=purse(0)), lessons_charged=1)
    lesson = Lesson(
        lesson_date=date(2020, 9, 1),
        mark=Mark.PRESENT,
        revision=Revision(1),
        charged_kopecks=Kopecks(0),
    )
    standing = Standing(lesson_id=LessonId("les-001"), lesson=lesson)

    (fact,) = ending.reverse_lessons(CHESS, of, purse(0), date(2020, 8, 31), [standing])

    assert (fact.amount_kopecks, fact.lessons_charged) == (0, 0)
