"""Nominals move by differences, and what only repeats a correction is not applied twice."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import InputRefusal, Kopecks, NominalCause
from services.billing.domain.account import (
    Account,
    correct_nominal,
    expire,
    move_nominal,
    open_account,
)
from services.billing.domain.facts import NominalApplied
from tests.domain.billing_samples import CHILD, NUMBER, PERIOD, account, purse

ACCOUNTING = Account(certificate_number=NUMBER, funded=False)
HALF_USED = account(purse(1000, reserved=300, paid=200))


@pytest.mark.parametrize(
    ("known", "is_closed", "nominal", "expected"),
    [
        pytest.param(None, False, 1000, InputRefusal.UNKNOWN_CERTIFICATE, id="unknown"),
        pytest.param(None, True, 1000, InputRefusal.UNKNOWN_CERTIFICATE, id="unknown first"),
        pytest.param(ACCOUNTING, False, 1000, InputRefusal.NOT_FUNDED, id="holds no money"),
        pytest.param(ACCOUNTING, True, 1000, InputRefusal.PERIOD_CLOSED, id="closed for all"),
        pytest.param(HALF_USED, True, 2000, InputRefusal.PERIOD_CLOSED, id="closed"),
        pytest.param(
            HALF_USED, False, 499, InputRefusal.WOULD_GO_NEGATIVE, id="below what is used"
        ),
        pytest.param(HALF_USED, False, 500, 0, id="all that is not used"),
        pytest.param(HALF_USED, False, 2000, 1500, id="raised"),
        pytest.param(HALF_USED, False, 1000, 500, id="the same again"),
    ],
)
def test_a_nominal_is_corrected_by_hand(
    known: Account | None, is_closed: bool, nominal: int, expected: InputRefusal | int
) -> None:
    fact = correct_nominal(
        CHILD, PERIOD, known, is_closed=is_closed, nominal_kopecks=Kopecks(nominal)
    )

    if isinstance(fact, NominalApplied):
        assert fact.purse.balance_kopecks == expected
        assert (fact.previous_kopecks, fact.nominal_kopecks) == (1000, nominal)
    else:
        assert fact == expected


def test_an_account_opens_with_its_nominal_as_balance() -> None:
    assert open_account(CHILD, NUMBER, PERIOD, Kopecks(1000)).purse == purse(1000)


def test_funding_makes_an_account_correctable() -> None:
    fact = move_nominal(CHILD, PERIOD, ACCOUNTING, 1000, NominalCause.FUNDED)

    assert ACCOUNTING.after(fact).funded


def test_only_what_is_not_used_expires() -> None:
    fact = expire(CHILD, PERIOD, account(purse(1000, paid=200)))

    assert fact.expired_kopecks == 800
    assert fact.purse == purse(1000, paid=200, expired=800)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), max_size=20), st.randoms())
def test_echoes_of_corrections_change_nothing_in_whatever_order_they_come(
    moves: list[tuple[bool, int]], chance: Random
) -> None:
    """A correction is made here and repeated by certificates later; a raise is its own."""
    known, said = account(purse(1000)), list[int]()
    expected = 1000
    for is_correction, difference in moves:
        expected += difference
        if is_correction:
            fact = move_nominal(CHILD, PERIOD, known, difference, NominalCause.CORRECTED)
            known = known.after(fact)
        if difference:
            said.append(difference)
    chance.shuffle(said)

    for difference in said:
        if difference in known.echoes:
            known = known.hearing(difference)
        else:
            fact = move_nominal(CHILD, PERIOD, known, difference, NominalCause.CHANGED)
            known = known.hearing(difference).after(fact)

    assert known.purse == purse(expected)
    assert known.echoes == ()
