"""`replace` does what that of `dataclasses` does."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.replacing import replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """A value."""

    reserved_kopecks: int
    owed_kopecks: int = 0


@dataclass(frozen=True, slots=True)
class Account(Purse):
    """One with a field of its own."""

    holder: str


@given(
    changes=st.fixed_dictionaries(
        {}, optional={"reserved_kopecks": st.integers(), "owed_kopecks": st.integers()}
    ),
    holder=st.text(),
)
def test_it_is_the_replace_of_dataclasses(changes: dict[str, Any], holder: str) -> None:
    purse = Purse(reserved_kopecks=1)
    account = Account(holder, reserved_kopecks=1)

    assert replace(purse, **changes) == dataclasses.replace(purse, **changes)
    assert replace(account, **changes) == dataclasses.replace(account, **changes)
    assert type(replace(account, **changes)) is Account
    assert purse == Purse(reserved_kopecks=1)


def test_a_field_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="Purse has no"):
        replace(Purse(reserved_kopecks=1), kopecks=2)


def test_what_would_be_checked_or_has_no_slots_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            raise AssertionError

    @dataclass(frozen=True)
    class Open:
        number: int

    for kind in (Checked, Open):
        value = object.__new__(kind)
        with pytest.raises(TypeError, match="only dataclasses with slots"):
            replace(value, number=1)
