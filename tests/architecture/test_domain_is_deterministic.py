"""Time and identity reach the domain as values, so that a replay gives the same answer.

Import rules keep `time`, `random` and `uuid` out of the domain. `datetime` is allowed there, so its
clocks are looked for here.
"""

import ast
from pathlib import Path

import pytest

from tests.architecture import ROOT

CLOCKS = {"now", "today", "utcnow"}
# Their answers differ from one process to the next.
UNSTABLE = {"hash", "id", "open", "input", "print"}


def breaches(source: str) -> list[str]:
    """Return what a pure module must not call, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCKS:
                found.append(f"line {node.lineno}: .{name}()")
            case ast.Call(func=ast.Name(id=name)) if name in UNSTABLE:
                found.append(f"line {node.lineno}: {name}()")
    return found


PURE = sorted(ROOT.glob("services/*/domain/**/*.py"))


def test_there_is_a_domain_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[1] for path in PURE} >= {
        "enrollment",
        "certificates",
        "billing",
        "notifications",
    }


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_domain_asks_no_clock(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "call",
    ["datetime.now(UTC)", "date.today()", "datetime.datetime.utcnow()", "hash(key)", "open(path)"],
)
def test_a_clock_would_be_found(call: str) -> None:
    assert breaches(f"def decide():\n    return {call}\n") != []
