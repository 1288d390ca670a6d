"""When will the money of a category be gone? Pure: counted from what was granted so far.

The method, so that everybody can count it again:

1. Look back `WINDOW_DAYS` days, today included, or to the first certificate with money, if that
   is less long ago.
2. Rate = certificates that got money in these days / days. Raises and corrections do not count:
   they come once.
3. Room = how many more certificates fit: the lesser of the free places, and what the money that
   is not granted yet gives at today's nominal.
4. The room is gone `ceil(room / rate)` days after today. On the last day of the period or before
   it: that is the day. Later: it lasts for the period.

The rate is a fraction of whole numbers; nothing is rounded before the last step. How agreements
are paid, by lessons or by the month, changes nothing: a certificate's money is granted as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

WINDOW_DAYS = 28


class Outlook(StrEnum):
    """What is to be expected."""

    NOT_SET = "not-set"
    """The payer set no nominal, places and budget."""
    OVER = "over"
    """The period has ended."""
    GONE = "gone"
    """No more certificate fits."""
    ENDS = "ends"
    """On `day` the last one is given that fits."""
    LASTS = "lasts"
    """There is room till the end of the period."""
    QUIET = "quiet"
    """There is room, and nobody took any lately: no day can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a category may grant in a period, and what it granted."""

    nominal_kopecks: int
    places_max: int
    budget_max_kopecks: int
    holders: int
    granted_kopecks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is to be expected, and the numbers it was counted from."""

    outlook: Outlook
    day: date | None = None
    room: int = 0
    funded: int = 0
    days: int = 0
    lacks_places: bool = False
    """Where nothing fits: whether all places are taken; else it is the money."""


def room_of(limits: Limits) -> int:
    """Return how many more certificates get money (docs/rules.md, section 4, vacancy)."""
    places = limits.places_max - limits.holders
    if limits.nominal_kopecks == 0:
        return max(0, places)
    left = limits.budget_max_kopecks - limits.granted_kopecks
    return max(0, min(places, left // limits.nominal_kopecks))


def forecast(
    limits: Limits | None, funded_on: Mapping[date, int], today: date, ends_on: date
) -> Forecast:
    """Return when the money of a category is gone.

    `funded_on` says how many certificates got money on which day; days after today do not count.
    """
    if today > ends_on:
        return Forecast(outlook=Outlook.OVER)
    if limits is None:
        return Forecast(outlook=Outlook.NOT_SET)
    room = room_of(limits)
    past = {day: number for day, number in funded_on.items() if day <= today and number}
    begins = max(today - timedelta(days=WINDOW_DAYS - 1), min(past, default=today))
    days = (today - begins).days + 1
    funded = sum(number for day, number in past.items() if day >= begins)
    if room == 0:
        full = limits.holders >= limits.places_max
        return Forecast(outlook=Outlook.GONE, funded=funded, days=days, lacks_places=full)
    if funded == 0:
        return Forecast(outlook=Outlook.QUIET, room=room, days=days)
    lasts_days = -(-room * days // funded)
    if lasts_days > (ends_on - today).days:
        return Forecast(outlook=Outlook.LASTS, room=room, funded=funded, days=days)
    gone = today + timedelta(days=lasts_days)
    return Forecast(outlook=Outlook.ENDS, day=gone, room=room, funded=funded, days=days)
