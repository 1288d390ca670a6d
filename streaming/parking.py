"""Inputs that came too early: what is kept of them, and under which indexes they wait."""

from datetime import date
from typing import Any

from msgspec import Struct

PARKED_PER_KEY_MAX = 200
PARKED_PER_SOURCE_MAX = 100_000

WAITING = "_waiting"
WAKING = "_waking"
"""Of those that wait for a key, while they are woken: which was woken last."""
READY = "_ready"
DEADLINE = "_deadline"
OWN_DAY = "_day-own"
FOREIGN_DAY = "_day-foreign"
BY_SOURCE = "_by-source"


class Parked(Struct, frozen=True, kw_only=True):
    """An input that waits, with all that is needed to decide it later."""

    topic: str
    offset: int
    seq: int
    first_day: date
    waits_for: str
    until: date | None
    foreign: bool
    payer: str
    source: str
    id: str
    type: str
    subject: str
    natural_key: str
    data_sha256: str
    time: str
    traceparent: str | None
    data: dict[str, Any]


def parked_key(topic: str, offset: int) -> str:
    """Return where the input parked from a record is kept."""
    return f"_parked/{topic}/{offset}"


def place(seq: int, topic: str, offset: int) -> str:
    """Return the end of a member of each index: it sorts by arrival."""
    return f"{seq:015d}|{topic}|{offset}"


def waiting_bounds(payer: str, key: str) -> tuple[str, str]:
    """Return between which members of `WAITING` the inputs lie that wait for `key`."""
    # "}" is the character after "|".
    return f"{payer}|{key}|", f"{payer}|{key}}}"


def source_bounds(source: str) -> tuple[str, str]:
    """Return between which members of `BY_SOURCE` the inputs of a source lie."""
    return f"{source}|", f"{source}}}"


def members_of(parked: Parked) -> list[tuple[str, str]]:
    """Return (index, member) of all indexes a parked input stands in."""
    here = place(parked.seq, parked.topic, parked.offset)
    members = [(BY_SOURCE, f"{parked.source}|{here}")]
    if parked.waits_for.startswith("day:"):
        index = FOREIGN_DAY if parked.foreign else OWN_DAY
        members.append((index, f"{parked.waits_for.removeprefix('day:')}|{here}"))
    else:
        members.append((WAITING, f"{parked.payer}|{parked.waits_for}|{here}"))
    if parked.until is not None:
        members.append((DEADLINE, f"{parked.until}|{here}"))
    return members
