"""`dataclasses.replace`, for frozen dataclasses and in a quarter of its time.

Each debit makes new aggregates out of old ones five times, and a state that is folded anew does
nothing but that. The function for a class and the fields that change is written once, as
`dataclasses` writes `__init__`.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

Value = TypeVar("Value")

_MAKERS: dict[tuple[Any, ...], Callable[..., Any]] = {}


def replace(value: Value, **changes: Any) -> Value:
    """Return a copy with some fields changed. Raises TypeError if it has no such field."""
    asked = (type(value), *changes)
    maker = _MAKERS.get(asked)
    if maker is None:
        maker = _MAKERS[asked] = _maker(type(value), frozenset(changes))
    made: Value = maker(value, **changes)
    return made


def _maker(kind: type[Any], changed: frozenset[str]) -> Callable[..., Any]:
    if hasattr(kind, "__post_init__") or "__slots__" not in kind.__dict__:
        raise TypeError(f"{kind.__name__}: only dataclasses with slots that check nothing")
    names = [each.name for each in fields(kind)]
    if unknown := sorted(changed.difference(names)):
        raise TypeError(f"{kind.__name__} has no {unknown}")
    known: dict[str, Any] = {f"set_{name}": getattr(kind, name).__set__ for name in names}
    known |= {"_new": object.__new__, "_kind": kind}
    lines = [
        f"def _made({', '.join(['_value', *sorted(changed)])}):",
        "  _copy = _new(_kind)",
        *(f"  set_{name}(_copy, {'' if name in changed else '_value.'}{name})" for name in names),
        "  return _copy",
    ]
    exec("\n".join(lines), known)  # noqa: S102 - names of fields are Python names
    made: Callable[..., Any] = known["_made"]
    return made
