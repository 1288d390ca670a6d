"""Business days on `calendar.events.v1`, written into every partition.

`docs/events.md`, section 3.
"""

from typing import ClassVar

from contracts.envelope import EventData
from contracts.fields import CountedDate


class DayOpened(EventData):
    """A business day begins. Days may be skipped, never go back."""

    type: ClassVar[str] = "calendar.day-opened.v1"
    subject_field: ClassVar[str] = "date"
    natural_key: ClassVar[tuple[str, ...]] = ("date",)

    date: CountedDate
