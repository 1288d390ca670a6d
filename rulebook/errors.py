"""What can go wrong with rules, said so that the person who must act knows what to do."""

from dataclasses import dataclass
from datetime import date
from enum import Enum


class Defect(Enum):
    """The kind of a problem; each kind has one Russian sentence in `explain.told`."""

    FORM = "form"
    GAP = "gap"
    OVERLAP = "overlap"
    DEAD_ROW = "dead row"
    REPEATED_ID = "repeated id"
    TOO_LARGE = "too large"
    NO_BASE = "no base"
    EXAMPLE = "example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a table: where it stands, what it is and what to do about it.

    `where` is `file:line`, or the words "rows published for <table>" for a payer's overlay.
    `combination` names the inputs concerned, in words; empty if the problem is one of form.
    `russian` says the same to an official: the paper is theirs, not a developer's.
    """

    defect: Defect
    table: str
    where: str
    what: str
    remedy: str
    russian: str
    combination: str = ""
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


class RulebookError(Exception):
    """Anything this package refuses."""


class RulesInvalidError(RulebookError):
    """A table, a version or an overlay does not pass the check. Nothing of it is used."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    @property
    def table(self) -> str:
        """The name of the table concerned; empty if the file does not say."""
        return self.problems[0].table

    @property
    def combination(self) -> str:
        """The first combination of inputs concerned, in words; empty for a problem of form."""
        return self.problems[0].combination

    @property
    def remedy(self) -> str:
        """What to do about the first problem."""
        return self.problems[0].remedy

    @property
    def russian(self) -> str:
        """The first problem and its remedy, for an official."""
        return f"{self.problems[0].russian.rstrip('.')}."


class NotInForceError(RulebookError):
    """The table has no version on that day."""

    def __init__(self, table: str, day: date) -> None:
        super().__init__(
            f"{table} is not in force on {day.isoformat()}. "
            "Ask for a later day, or add a version with an earlier `from`."
        )
        self.table = table
        self.day = day


class UnknownTableError(RulebookError):
    """No table of that name is loaded."""

    def __init__(self, table: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no table {table!r}. Known: {', '.join(known) or 'none'}.")
        self.table = table


class InputInvalidError(RulebookError):
    """An input is missing, unknown, of another type or outside the words and bounds listed."""

    def __init__(self, table: str, name: str, what: str) -> None:
        super().__init__(f"{table}: input {name!r} {what}.")
        self.table = table
        self.name = name
