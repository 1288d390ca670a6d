"""Where reading of each input topic goes on, as kept in the position record of a partition."""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import orjson

from streaming.bus import Record


class Position(NamedTuple):
    """Where reading of a topic goes on, and how its last applied record is recognized."""

    next: int
    last: int = -1
    hash: str = ""
    journalseq: int = 0


def pack_positions(positions: Mapping[str, Position]) -> bytes:
    """Return positions as they are stored."""
    return orjson.dumps({topic: tuple(position) for topic, position in positions.items()})


def unpack_positions(stored: bytes | None) -> dict[str, Position]:
    """Return stored positions; none where nothing is stored."""
    if stored is None:
        return {}
    return {topic: Position(*row) for topic, row in orjson.loads(stored).items()}


def digest(record: Record) -> str:
    """Return by what the last applied record of a topic is recognized."""
    return sha256(record.value or b"").hexdigest()[:16]
