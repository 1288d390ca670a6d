"""What a dispute of a debit leads to: one row per situation."""

from datetime import date

import pytest
from msgspec.structs import replace

from contracts.vocabulary import (
    AnsweredBy,
    DebitBasis,
    DisputeGround,
    DisputeOutcome,
    Evidence,
    InputRefusal,
    Kopecks,
    LessonId,
    Mark,
)
from rulebook.wording import NO_BREAK_SPACE
from services.billing.domain.charging import reverse
from services.billing.domain.dispute import (
    AnswerDispute,
    Dispute,
    DisputeLesson,
    answer,
    correct,
    open_,
    opened,
    settled,
)
from services.billing.domain.facts import ChargeReversed, DisputeOpened, DisputeSettled
from services.billing.domain.lesson import Lesson
from services.billing.domain.reserve import Reserve, Status
from tests.domain.billing_samples import CHESS, mark, purse, reserve, rule_of

LESSON_ID = LessonId("les-001")
CHARGED = Lesson(
    lesson_date=date(2020, 9, 1),
    mark=Mark.PRESENT,
    revision=mark(1, "2020-09-01").revision,
    charged_kopecks=Kopecks(25_149),
)
FREE = replace(CHARGED, charged_kopecks=Kopecks(0))
ABSENT = replace(CHARGED, mark=Mark.ABSENT, charged_kopecks=None)
DISPUTED = DisputeLesson(enrollment_id=CHESS, lesson_id=LESSON_ID, ground=DisputeGround.WAS_ABSENT)
ANSWERED = AnswerDispute(
    enrollment_id=CHESS, lesson_id=LESSON_ID, by=AnsweredBy.PROVIDER, evidence=Evidence.QR
)
OPEN = Dispute(lesson_date=date(2020, 9, 1), amount_kopecks=Kopecks(25_149))
CORRECTED = replace(OPEN, outcome=DisputeOutcome.CORRECTED)
UPHELD = replace(OPEN, outcome=DisputeOutcome.UPHELD)
RELEASED = reserve(status=Status.RELEASED)
CANCELLED = reserve(status=Status.CANCELLED)


@pytest.mark.parametrize(
    ("of", "lesson", "may_speak", "expected"),
    [
        pytest.param(reserve(), CHARGED, True, None, id="a lesson that is charged"),
        pytest.param(reserve(), FREE, True, None, id="a charge of nothing stands too"),
        pytest.param(
            reserve(ended_on=date(2020, 9, 1)), CHARGED, True, None, id="after the end, in grace"
        ),
        pytest.param(
            reserve(), None, True, InputRefusal.ALREADY_FINISHED, id="a lesson nobody marked"
        ),
        pytest.param(
            reserve(), ABSENT, True, InputRefusal.ALREADY_FINISHED, id="one that is not charged"
        ),
        pytest.param(
            reserve(DebitBasis.MONTHLY_CONTRACT),
            ABSENT,
            True,
            InputRefusal.ALREADY_FINISHED,
            id="where months are charged no lesson is",
        ),
        pytest.param(RELEASED, CHARGED, True, InputRefusal.TOO_LATE, id="marks are closed"),
        pytest.param(RELEASED, ABSENT, True, InputRefusal.TOO_LATE, id="closed before charged"),
        pytest.param(
            CANCELLED, None, True, InputRefusal.AGREEMENT_NOT_ACTIVE, id="cancelled first"
        ),
        pytest.param(
            reserve(), CHARGED, False, InputRefusal.OUT_OF_SCOPE, id="not for this provider"
        ),
        pytest.param(
            reserve(), None, False, InputRefusal.ALREADY_FINISHED, id="the lesson before the source"
        ),
    ],
)
def test_disputing_a_lesson(
    of: Reserve, lesson: Lesson | None, *, may_speak: bool, expected: InputRefusal | None
) -> None:
    found = open_(DISPUTED, of, lesson, may_speak=may_speak)

    assert (found if isinstance(found, InputRefusal) else None) is expected


@pytest.mark.parametrize(
    ("ground", "said"),
    [
        (DisputeGround.WAS_ABSENT, "ребёнка не было на занятии 1 сентября"),
        (DisputeGround.LESSON_CANCELLED, "занятия 1 сентября не было"),
        (DisputeGround.WRONG_CHILD, "на занятии 1 сентября отметили не того ребёнка"),
    ],
)
def test_what_is_disputed_is_told_with_the_sum(ground: DisputeGround, said: str) -> None:
    fact = open_(replace(DISPUTED, ground=ground), reserve(), CHARGED, may_speak=True)

    assert isinstance(fact, DisputeOpened)
    assert (fact.ground, fact.amount_kopecks, fact.provider_id) == (ground, 25_149, "prov-1")
    assert said.replace("1 сент", f"1{NO_BREAK_SPACE}сент") in fact.why["text"]
    assert "251,49" in fact.why["text"]
    assert opened(fact) == OPEN


@pytest.mark.parametrize(
    ("known", "may_speak", "expected"),
    [
        pytest.param(OPEN, True, None, id="an open dispute"),
        pytest.param(
            None, True, InputRefusal.NOT_AWAITING_ACCEPTANCE, id="the answer before the dispute"
        ),
        pytest.param(CORRECTED, True, InputRefusal.ALREADY_FINISHED, id="the debit was taken back"),
        pytest.param(UPHELD, True, InputRefusal.ALREADY_FINISHED, id="it was answered"),
        pytest.param(OPEN, False, InputRefusal.OUT_OF_SCOPE, id="not for this provider"),
    ],
)
def test_answering(
    known: Dispute | None, *, may_speak: bool, expected: InputRefusal | None
) -> None:
    found = answer(ANSWERED, RELEASED, known, may_speak=may_speak)

    assert (found if isinstance(found, InputRefusal) else None) is expected


@pytest.mark.parametrize("by", AnsweredBy)
@pytest.mark.parametrize("evidence", Evidence)
def test_an_answer_lets_the_debit_stand_and_says_who_and_why(
    by: AnsweredBy, evidence: Evidence
) -> None:
    command = replace(ANSWERED, by=by, evidence=evidence)

    fact = answer(command, reserve(), OPEN, may_speak=True)

    assert isinstance(fact, DisputeSettled)
    assert (fact.outcome, fact.by, fact.evidence) == (DisputeOutcome.UPHELD, by, evidence)
    assert ("Организация" if by is AnsweredBy.PROVIDER else "орган") in fact.why["text"]
    assert f"251,49{NO_BREAK_SPACE}₽ остаётся." in fact.why["text"]
    assert settled(OPEN, fact) == UPHELD


def reversal() -> ChargeReversed:
    absent = mark(1, "2020-09-01", Mark.ABSENT, 2)
    money = purse(reserved=779_247, paid=25_149)
    return reverse(absent, reserve(lessons_charged=1), CHARGED, money, rule_of(absent))


def test_a_debit_that_goes_back_settles_its_dispute() -> None:
    (fact,) = correct(reversal(), OPEN)

    assert (fact.outcome, fact.by, fact.evidence) == (DisputeOutcome.CORRECTED, None, None)
    assert (fact.lesson_id, fact.amount_kopecks) == (LESSON_ID, 25_149)
    assert "отменено" in fact.why["text"]
    assert settled(OPEN, fact) == CORRECTED


@pytest.mark.parametrize("known", [None, CORRECTED, UPHELD])
def test_a_debit_that_goes_back_settles_nothing_else(known: Dispute | None) -> None:
    assert correct(reversal(), known) == ()
