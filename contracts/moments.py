"""How the timestamps of events are read: RFC 3339 allows more than Python does. Pure."""

from datetime import MAXYEAR, datetime, tzinfo


def read_moment(written: str, zone: tzinfo) -> datetime | None:
    """Return a timestamp of the contract in a zone; None if it is too far out to be one.

    RFC 3339 allows small letters and a leap second, which Python does not read.
    """
    plain = written.upper()
    if plain[17:19] == "60":
        plain = f"{plain[:17]}59{plain[19:]}"
    try:
        moment = datetime.fromisoformat(plain).astimezone(zone)
    except OverflowError:
        return None
    return moment if moment.year < MAXYEAR else None
