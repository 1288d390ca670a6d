"""The table of limits in docs/promises.md says what the code does."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from contracts.vocabulary import DeadLetterReason, InputRefusal
from streaming.settings import Settings
from streaming.telemetry import InstallationTelemetry, Telemetry

ROOT = Path(__file__).parents[2]
WHERE = ("streaming/*.py", "services/cabinet/api/*.py", "services/cabinet/access/limits.py")
SETTING = "PFDO_CACHED_MAX"
_ROW = re.compile(r"^\| `([\w.]+)` \| ([\d,]+) \| (.+?) \|(.*)\|$", re.MULTILINE)
_CONSTANT = re.compile(r"^([A-Z][A-Z_]*_MAX)(?:: [\w\[\], ]+)? = ", re.MULTILINE)


def rows() -> dict[str, tuple[int, str, str]]:
    """Return by name the value, what happens, and the metrics of each row."""
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    section = text.partition("## 7. Limits")[2]
    found = _ROW.findall(section)
    assert len({name for name, *_ in found}) == len(found)
    return {name: (int(v.replace(",", "")), what, seen) for name, v, what, seen in found}


def constants() -> Iterator[str]:
    """Yield the full names of all public limits in the code the table is about."""
    for pattern in WHERE:
        for path in sorted(ROOT.glob(pattern)):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for name in _CONSTANT.findall(path.read_text(encoding="utf-8")):
                yield f"{module}.{name}"


@pytest.mark.parametrize("name", sorted(rows()))
def test_a_limit_has_the_value_it_is_said_to_have(name: str) -> None:
    module, _, constant = name.rpartition(".")
    told = rows()[name][0]

    if name == SETTING:
        assert Settings.model_fields["cached_max"].default == told
    else:
        assert getattr(import_module(module), constant) == told


def test_every_limit_is_in_the_table() -> None:
    named = list(constants())

    assert len(named) > 40
    assert [name for name in named if name not in rows()] == []


def test_what_a_row_names_is_there() -> None:
    known = {
        f"{sample.name}{'_total' if sample.type == 'counter' else ''}"
        for telemetry in (Telemetry(), InstallationTelemetry())
        for sample in telemetry.registry.collect()
    }
    reasons = {*DeadLetterReason, *InputRefusal}

    for name, (_, what, seen) in rows().items():
        assert set(re.findall(r"`(pfdo_\w+)`", seen)) <= known, name
        said = re.findall(r"(?:dead letter|refused) `(\w+)`", what)
        assert set(said) <= reasons, name
