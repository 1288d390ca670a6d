"""What was done with the data of a person: each entry carries the hash of the one before.

Nothing personal stands in it: who, when, what for. Pure.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

import orjson

FIRST_HASH = "0" * 64
FOLDED_HOURS = 24
"""So long a look stands for others of the same reader for the same reason: it goes on record once,
at the time of the first. Who looks again and again cannot push older entries out so."""
FOLDED_AMONG_MAX = 10
"""It is looked for among so many of the latest."""
KEPT_MAX = 500
"""So many entries of a person are kept; the oldest go. The first that is kept carries its number
and the hash of the one before it, so what went is counted and what is left can be checked."""


class Deed(StrEnum):
    """What was done."""

    READ = "read"
    WRITTEN = "written"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One entry. `why` of an erasure is its basis."""

    number: int
    at: str
    deed: Deed
    by: str
    why: str
    prevhash: str
    hash: str

    def to_json(self) -> bytes:
        """Return the entry as it is kept."""
        return orjson.dumps(asdict(self))


def next_look(
    person_id: str, number: int, head: str, *, at: str, deed: Deed, by: str, why: str
) -> Look:
    """Return the entry after `number` entries, of which the last has the hash `head`."""
    digest = _digest(person_id, number + 1, head, at, deed, by, why)
    return Look(number=number + 1, at=at, deed=deed, by=by, why=why, prevhash=head, hash=digest)


def stands_for(look: Look, *, at: str, by: str, why: str) -> bool:
    """Return whether an entry says that somebody looks now: it says it of a little before."""
    if (look.deed, look.by, look.why) != (Deed.READ, by, why):
        return False
    passed = datetime.fromisoformat(at) - datetime.fromisoformat(look.at)
    return timedelta(0) <= passed < timedelta(hours=FOLDED_HOURS)


def look_of(kept: bytes) -> Look:
    """Return an entry from the form it is kept in."""
    fields = orjson.loads(kept)
    return Look(**{**fields, "deed": Deed(fields["deed"])})


def is_whole(person_id: str, looks: Sequence[Look], number: int, head: str) -> bool:
    """Return whether entries follow one another without a gap, up to `number` and `head`."""
    if not looks:
        return number == 0
    before = looks[0].prevhash
    if looks[0].number == 1 and before != FIRST_HASH:
        return False
    for place, look in enumerate(looks, looks[0].number):
        told = _digest(person_id, place, before, look.at, look.deed, look.by, look.why)
        if (look.number, look.prevhash, look.hash) != (place, before, told):
            return False
        before = look.hash
    return (looks[-1].number, before) == (number, head)


def _digest(
    person_id: str, number: int, prevhash: str, at: str, deed: Deed, by: str, why: str
) -> str:
    return sha256(orjson.dumps([prevhash, person_id, number, at, deed.value, by, why])).hexdigest()
