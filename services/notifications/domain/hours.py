"""When a message may come: from times and days that are data, never from a clock.

`docs/rules.md`, section 9.
"""

from datetime import date, datetime, time, timedelta, timezone

REGION_MINUTES = 8 * 60
"""How far the region's zone is before UTC; it has no summer time, nor has any of the country's."""
REGION = timezone(timedelta(minutes=REGION_MINUTES), "Asia/Irkutsk")
"""The zone of recipients who named no other."""

QUIET_FROM = time(21, 0)
QUIET_UNTIL = time(8, 0)
"""Hours in which nobody is disturbed unless it is urgent."""

A_DAY = timedelta(days=1)


def moment(written: datetime | None, day: date) -> datetime:
    """Return when something is told, in the region's time.

    It is the time its fact carries if that lies on the business day or, where the next day was not
    opened yet, on the one after. Any other time is that of an earlier cause or of a wrong clock
    and says nothing about the hour: then it is the first minute of the business day.
    """
    if written is not None:
        local = written.astimezone(REGION)
        if timedelta(0) <= local.date() - day <= A_DAY:
            return local
    return datetime.combine(day, time.min, REGION)


def after_quiet(at: datetime, quiet_from: time, quiet_until: time) -> datetime:
    """Return `at`, or the end of the quiet hours it lies in; the same hour twice: none are quiet.

    The first quiet minute is quiet, the last one is the one before `quiet_until`.
    """
    if not _is_quiet(at.time(), quiet_from, quiet_until):
        return at
    until = datetime.combine(at.date(), quiet_until, at.tzinfo)
    return until if until > at else until + A_DAY


def _is_quiet(at: time, quiet_from: time, quiet_until: time) -> bool:
    if quiet_from <= quiet_until:
        return quiet_from <= at < quiet_until
    return at >= quiet_from or at < quiet_until
