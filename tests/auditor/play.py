"""The play file: CloudEvents, one a line."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

KEYS = {
    "navigator.provider-registered": ("provider_id",),
    "navigator.group-published": ("group_id",),
    "navigator.child-registered": ("child_id",),
    "navigator.application-submitted": ("enrollment_id",),
    "navigator.application-accepted": ("enrollment_id",),
    "navigator.application-rejected": ("enrollment_id",),
    "navigator.application-withdrawn": ("enrollment_id",),
    "navigator.enrollment-terminated": ("enrollment_id",),
    "navigator.certificate-requested": ("child_id", "period"),
    "navigator.preferences-set": ("guardian_id",),
    "payers.period-opened": ("period",),
    "payers.enrollment-closed": ("period", "closes_on"),
    "payers.category-set": ("category", "period"),
    "payers.frame-agreement-set": ("provider_id", "period"),
    "payers.policy-set": ("period",),
    "payers.rules-published": ("table", "from", "published"),
    "payers.certificate-freeze-set": ("child_id",),
    "payers.nominal-corrected": ("child_id", "period"),
    "payers.invoice-paid": ("invoice_id",),
    "attendance.lesson-marked": ("enrollment_id", "lesson_id"),
    "disputes.lesson-disputed": ("enrollment_id", "lesson_id"),
    "disputes.dispute-answered": ("enrollment_id", "lesson_id"),
}
"""The natural key of each type (`docs/events.md`, section 3), the revision apart."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A line of the play file."""

    line: int
    id: str
    type: str
    """Without its version."""
    payer: str
    """Empty for a calendar event."""
    data: dict[str, Any]

    @property
    def key(self) -> Key:
        """What it is about. All state is the payer's, so its payer is a part of it."""
        return (self.payer, self.type, *(str(self.data[name]) for name in KEYS[self.type]))

    @property
    def revision(self) -> int:
        """The revision, 1 for what is said once."""
        return int(self.data.get("revision", 1))


def read(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the events of a play file; an empty line only says that everything has settled."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            event = json.loads(line)
            yield Entry(
                line=number,
                id=event["id"],
                type=event["type"].rpartition(".v")[0],
                payer=event.get("partitionkey", ""),
                data=event["data"],
            )


@dataclass
class Said:
    """What was said under a natural key and revision first, and whether it was refused."""

    data: dict[str, Any]
    refused: bool = False


class Memory:
    """Everything that was said, to tell copies and contradictions."""

    def __init__(self) -> None:
        self._said: dict[Key, dict[int, Said]] = {}

    def heard_before(self, entry: Entry) -> str | None:
        """Return `duplicate` or `conflict`, or None and remember it (events.md, section 3)."""
        said = self._said.setdefault(entry.key, {})
        if any(revision > entry.revision and not it.refused for revision, it in said.items()):
            return "duplicate"
        if entry.revision in said:
            return "duplicate" if said[entry.revision].data == entry.data else "conflict"
        said[entry.revision] = Said(entry.data)
        return None

    def was_refused(self, entry: Entry) -> None:
        """Note that an entry which is not a copy was refused: it is no known revision."""
        self._said[entry.key][entry.revision].refused = True


def date(text: str) -> dt.date:
    """Return the date a text names."""
    return dt.date.fromisoformat(text)
