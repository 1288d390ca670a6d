"""What was found not to hold."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

LISTED_PER_INVARIANT_MAX = 100
"""More of one kind are counted, not listed: one cause breaks many records, memory stays bounded."""

Missing: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Invariant, detail and events of what does not hold yet and may still come to hold."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant of docs/promises.md that does not hold, and the records that show it."""

    invariant: str
    detail: str
    events: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return it as `pfdo verify --json` prints it."""
        return {"invariant": self.invariant, "detail": self.detail, "events": list(self.events)}


class Findings:
    """Violations in the order they were found."""

    def __init__(self) -> None:
        self.listed: list[Violation] = []
        self.totals: Counter[str] = Counter()

    def report(self, invariant: str, detail: str, events: Iterable[str] = ()) -> None:
        """Note that an invariant does not hold."""
        self.totals[invariant] += 1
        if self.totals[invariant] <= LISTED_PER_INVARIANT_MAX:
            self.listed.append(Violation(invariant, detail, tuple(events)))

    @property
    def ok(self) -> bool:
        """Return whether everything holds."""
        return not self.totals
