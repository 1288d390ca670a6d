"""Business days: opened in every partition, by hand or as the clock goes."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from contracts.calendar import DayOpened
from contracts.topics import CALENDAR
from pfdo.playing import HEADERS
from pfdo.records import whole
from streaming.bus import Outgoing, Record
from streaming.decoding import Defect, decode
from streaming.installation import Installation

ZONE = ZoneInfo("Asia/Irkutsk")
CAUGHT_UP_DAYS_MAX = 62
"""Further than this from the last day, a person must say that the clock is right: days never go
back, and on a day that was opened by mistake money expires."""
LOOK_SECONDS_MAX = 60.0
"""The clock may be set anew: it is looked at this often, not only at midnight."""


class Calendar:
    """The business days of an installation, and the last one opened in each partition."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._last: dict[int, date] = {}

    async def read(self) -> None:
        """Learn which days were opened before."""
        for record in await whole(self._installation, [CALENDAR.name]):
            day = _day_of(record)
            known = self._last.get(record.partition)
            if day is not None and (known is None or day > known):
                self._last[record.partition] = day

    async def open(self, day: date) -> bool:
        """Open a day where it, or a later one, is not open yet; return whether it was anywhere."""
        missing = [
            partition
            for partition in range(self._installation.bus.partitions)
            if self._last.get(partition, date.min) < day
        ]
        value = json.dumps(_event(day)).encode()
        await self._installation.bus.publish(
            [Outgoing(CALENDAR.name, partition, None, value, HEADERS) for partition in missing]
        )
        self._last.update(dict.fromkeys(missing, day))
        return bool(missing)

    def due(self, today: date) -> Sequence[date]:
        """Return what is to be opened today: the days that were missed.

        The first day of an installation is today. Nothing if `is_far`.
        """
        return () if self.is_far(today) else list(days(self._first_missed(today), today))

    def is_far(self, today: date) -> bool:
        """Return whether so many days are missing that rather the clock is wrong."""
        return (today - self._first_missed(today)).days > CAUGHT_UP_DAYS_MAX

    def _first_missed(self, today: date) -> date:
        partitions = self._installation.bus.partitions
        lasts = [
            self._last[partition] for partition in range(partitions) if partition in self._last
        ]
        return min(lasts) + timedelta(days=1) if len(lasts) == partitions else today

    async def follow(
        self, told: Callable[[date], None], doubted: Callable[[date, date], None]
    ) -> None:
        """Open each day as it begins in Irkutsk, for ever.

        `doubted` is told once of a day that is too far from those that were opened, and from when
        on days are missing. They are opened by hand.
        """
        doubts: set[date] = set()
        while True:
            today = datetime.now(ZONE).date()
            if self.is_far(today):
                await self.read()
            if self.is_far(today) and today not in doubts:
                doubts.add(today)
                doubted(today, self._first_missed(today))
            for day in self.due(today):
                if await self.open(day):
                    told(day)
            now = datetime.now(ZONE)
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), ZONE)
            left = (midnight - now).total_seconds()
            await asyncio.sleep(min(max(left, 0.1), LOOK_SECONDS_MAX))


def days(first: date, last: date) -> Iterator[date]:
    """Yield the days from first to last, both inclusive."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _day_of(record: Record) -> date | None:
    try:
        event = decode(record, {DayOpened.type: DayOpened}).event
    except Defect:
        return None
    return event.date if isinstance(event, DayOpened) else None


def _event(day: date) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"day-{day}",
        "source": "/calendar",
        "type": DayOpened.type,
        "time": datetime.combine(day, datetime.min.time(), ZONE).isoformat(),
        "subject": str(day),
        "datacontenttype": "application/json",
        "data": {"date": str(day)},
    }
