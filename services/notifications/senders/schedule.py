"""When a message is tried again, and when not any more. Pure."""

from datetime import datetime, timedelta
from hashlib import sha256

ATTEMPTS_MAX = 16
AGE_MAX = timedelta(days=3)
"""After so many attempts, or so long after a message was first known here, it has failed."""

PAUSE_MIN = timedelta(seconds=10)
PAUSE_MAX = timedelta(hours=6)
PAUSE_GROWTH = 4
JITTER_PERCENT = 20

LANE_PAUSE_MIN_SECONDS = 1.0
LANE_PAUSE_MAX_SECONDS = 60.0
"""How long nobody is tried on a way where nobody answered."""


def pause_after(attempts: int, message_id: str) -> timedelta:
    """Return how long to wait after the attempt of this number: growing, up to a limit.

    Messages that failed together come back apart: each is given a little more of its own.
    """
    pause = min(PAUSE_MIN * float(PAUSE_GROWTH ** min(attempts - 1, 20)), PAUSE_MAX)
    percent = sha256(message_id.encode()).digest()[0] % (JITTER_PERCENT + 1)
    return pause * (100 + percent) / 100


def is_given_up(attempts: int, since: datetime, now: datetime) -> bool:
    """Return whether a message that was not taken has come to its end."""
    return attempts >= ATTEMPTS_MAX or now - since >= AGE_MAX


def lane_pause_seconds(failures: int) -> float:
    """Return how long a way rests after so many attempts in a row that nobody answered."""
    return min(LANE_PAUSE_MIN_SECONDS * 2.0 ** min(failures - 1, 20), LANE_PAUSE_MAX_SECONDS)
