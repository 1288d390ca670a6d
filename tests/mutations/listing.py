"""The list of planted faults: what each changes, where, and which tests must catch it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutations.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One planted fault: in `file`, `old` becomes `new`.

    `breaks` says in words what is decided wrongly, `rule` where it stands how it should be: a
    section of `docs/rules.md`, or another document by name. Every one of `tests` must catch it.
    """

    id: str
    breaks: str
    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read(path: Path = LIST) -> tuple[Mutation, ...]:
    """Return the mutations of a list. Raises TypeError for a field too many or too few."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
    return tuple(Mutation(**{**one, "tests": tuple(one["tests"])}) for one in listed)


def stale(mutation: Mutation, root: Path = ROOT) -> str | None:
    """Return why a mutation cannot be planted, None if its old text stands exactly once."""
    file = root / mutation.file
    if not file.is_file():
        return f"there is no {mutation.file}"
    times = file.read_text(encoding="utf-8").count(mutation.old)
    return None if times == 1 else f"the old text stands {times} times in {mutation.file}"
