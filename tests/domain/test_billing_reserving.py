"""Whether money is set aside: the first reason against it is given."""

import pytest
from msgspec.structs import replace

from contracts.vocabulary import DebitBasis, FundsRefusal, Kopecks
from services.billing.domain.account import Account, Certificate, NoCertificate
from services.billing.domain.facts import FundsRefused, FundsReserved
from services.billing.domain.frame import Frame
from services.billing.domain.reserving import ReserveFunds, decide, refuse_without_certificate
from tests.domain.billing_samples import ASKED, CERTIFICATE, NUMBER, account, purse

FROZEN = Certificate(number=NUMBER, frozen=True)
CLOSED = Certificate(number=NUMBER, closed=True)
BOTH = Certificate(number=NUMBER, frozen=True, closed=True)
W3 = replace(ASKED, course=replace(ASKED.course, price_kopecks=Kopecks(2_100_000)))


def consenting(command: ReserveFunds, share_max: int) -> ReserveFunds:
    return replace(command, parent_share_max_kopecks=Kopecks(share_max))


@pytest.mark.parametrize(
    ("command", "certificate", "frame", "expected"),
    [
        pytest.param(ASKED, CERTIFICATE, Frame(), None, id="reserved"),
        pytest.param(ASKED, FROZEN, Frame(), FundsRefusal.CERTIFICATE_FROZEN, id="frozen"),
        pytest.param(ASKED, CLOSED, Frame(), FundsRefusal.CERTIFICATE_CLOSED, id="closed"),
        pytest.param(ASKED, BOTH, Frame(), FundsRefusal.CERTIFICATE_FROZEN, id="frozen first"),
        pytest.param(
            W3,
            CLOSED,
            Frame(limit_kopecks=Kopecks(0)),
            FundsRefusal.CERTIFICATE_CLOSED,
            id="closed before all sums",
        ),
        pytest.param(
            consenting(W3, 134_066), CERTIFICATE, Frame(), None, id="the parent agreed to all of it"
        ),
        pytest.param(
            consenting(W3, 134_065),
            CERTIFICATE,
            Frame(),
            FundsRefusal.PARENT_SHARE_ABOVE_CONSENT,
            id="the parent agreed to a kopeck less",
        ),
        pytest.param(
            ASKED,
            CERTIFICATE,
            Frame(limit_kopecks=Kopecks(804_396)),
            None,
            id="the limit is reached exactly",
        ),
        pytest.param(
            ASKED,
            CERTIFICATE,
            Frame(limit_kopecks=Kopecks(804_395)),
            FundsRefusal.FRAME_LIMIT_REACHED,
            id="a kopeck above the limit",
        ),
        pytest.param(
            ASKED,
            CERTIFICATE,
            Frame(limit_kopecks=Kopecks(900_000), bound_kopecks=Kopecks(95_605)),
            FundsRefusal.FRAME_LIMIT_REACHED,
            id="others are bound under the limit",
        ),
        pytest.param(
            W3,
            CERTIFICATE,
            Frame(limit_kopecks=Kopecks(0)),
            FundsRefusal.PARENT_SHARE_ABOVE_CONSENT,
            id="consent before the limit",
        ),
    ],
)
def test_the_first_reason_is_given(
    command: ReserveFunds,
    certificate: Certificate,
    frame: Frame,
    expected: FundsRefusal | None,
) -> None:
    fact = decide(command, certificate, account(), frame, DebitBasis.ATTENDED_LESSONS)

    assert getattr(fact, "reason", None) == expected


def test_a_refusal_tells_both_shares_and_what_to_do() -> None:
    fact = decide(W3, CERTIFICATE, account(), Frame(), DebitBasis.ATTENDED_LESSONS)

    assert isinstance(fact, FundsRefused)
    assert (fact.certificate_share_kopecks, fact.parent_share_kopecks) == (804_396, 134_066)
    assert fact.certificate_number == NUMBER
    text = fact.why["text"].replace("\u00a0", " ")
    assert "доплатить 1 340,66 ₽" in text
    assert "Подайте новое заявление" in text


def test_a_child_without_certificate_is_refused_in_the_words_of_those_who_refused_it() -> None:
    answer = NoCertificate(reason=FundsRefusal.TOO_YOUNG, text="Ребёнку ещё нет 5 лет.")

    fact = refuse_without_certificate(ASKED, answer)

    assert fact.reason is FundsRefusal.TOO_YOUNG
    assert fact.certificate_number is None
    assert fact.certificate_share_kopecks is None
    assert fact.why == {"text": "Ребёнку ещё нет 5 лет."}


def test_money_is_moved_from_balance_to_reserve() -> None:
    fact = decide(ASKED, CERTIFICATE, account(), Frame(), DebitBasis.MONTHLY_CONTRACT)

    assert isinstance(fact, FundsReserved)
    assert fact.debit_basis is DebitBasis.MONTHLY_CONTRACT
    assert fact.purse == purse(reserved=804_396)


def test_a_share_of_nothing_is_a_reserve_too() -> None:
    penniless = Account(certificate_number=NUMBER, funded=False)

    fact = decide(
        consenting(ASKED, 804_396), CERTIFICATE, penniless, Frame(), DebitBasis.ATTENDED_LESSONS
    )

    assert isinstance(fact, FundsReserved)
    assert (fact.certificate_share_kopecks, fact.parent_share_kopecks) == (0, 804_396)


def test_a_limit_may_be_lowered_below_what_is_bound() -> None:
    frame = Frame().binding(500).limited(Kopecks(400))

    assert not frame.has_room_for(0)
    assert frame.binding(-100).has_room_for(0)
