"""A purse expires when something is left and nothing can come back to it any more."""

import pytest

from services.billing.domain.purse import Purse
from tests.domain.billing_samples import purse


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        pytest.param(purse(1000), True, id="all is left"),
        pytest.param(purse(1000, paid=999), True, id="a kopeck is left"),
        pytest.param(purse(1000, paid=1000), False, id="nothing is left"),
        pytest.param(purse(1000, reserved=1), False, id="a kopeck may come back"),
        pytest.param(purse(1000, reserved=1000), False, id="all is reserved"),
        pytest.param(purse(1000, expired=1000), False, id="it expired already"),
    ],
)
def test_what_may_expire(money: Purse, expected: bool) -> None:
    assert money.may_expire is expected
