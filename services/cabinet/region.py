"""What a region calls its municipalities and benefits, which the bus knows by code alone."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from streaming.errors import SettingError

SHIPPED_PATH = Path(__file__).with_name("region.yaml")
NAMES_MAX = 1_000
NAME_LENGTH_MAX = 100

_CODES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {"municipalities": re.compile(r"[0-9]{8}\Z"), "benefits": re.compile(r"b[0-9]{2}\Z")}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Names by code. What has none is called by its code."""

    municipalities: Mapping[str, str] = field(default_factory=dict)
    benefits: Mapping[str, str] = field(default_factory=dict)

    def municipality(self, code: str) -> str:
        """Return what people call a municipality."""
        return self.municipalities.get(code, code)

    def in_order(self, codes: Iterable[str]) -> list[tuple[str, str]]:
        """Return codes with their names, in the order of names; those without one come last."""
        named = [(code, self.municipality(code)) for code in codes]
        return sorted(named, key=lambda each: (each[0] == each[1], each[1]))


def region_of(path: Path | None, *, sandbox: bool) -> Region:
    """Return the names of a deployment's file, or those that come with the cabinet.

    Benefits that come with it are made up: only the sandbox asks for them. Raises SettingError.
    """
    if path is not None:
        return load_region(path)
    shipped = load_region(SHIPPED_PATH)
    return shipped if sandbox else Region(municipalities=shipped.municipalities)


def load_region(path: Path) -> Region:
    """Return the names of a file. Raises SettingError with what is wrong and what to do."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"PFDO_REGION: {path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"PFDO_REGION: {path} is no YAML: {error}") from error
    if not isinstance(content, dict) or not set(content) <= set(_CODES):
        raise SettingError(f"PFDO_REGION: {path} may hold {' and '.join(_CODES)}, nothing else.")
    return Region(**{kind: _names(path, kind, content.get(kind) or {}) for kind in _CODES})


def _names(path: Path, kind: str, names: Any) -> Mapping[str, str]:
    if not isinstance(names, dict) or len(names) > NAMES_MAX:
        raise SettingError(f"PFDO_REGION: {path}: {kind} must be up to {NAMES_MAX} names by code.")
    for code, name in names.items():
        if not isinstance(code, str) or not _CODES[kind].match(code):
            raise SettingError(
                f"PFDO_REGION: {path}: {code!r} is no code of {kind}. Eight digits in quotes are "
                "one of a municipality, b01 to b99 of a benefit."
            )
        if not isinstance(name, str) or not 0 < len(name.strip()) <= NAME_LENGTH_MAX:
            raise SettingError(
                f"PFDO_REGION: {path}: {code} needs a name of up to {NAME_LENGTH_MAX} characters."
            )
    return {code: name.strip() for code, name in names.items()}
