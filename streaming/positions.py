"""Where reading of each input topic goes on, as kept in the position record of a partition."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import orjson

from streaming.bus import Record
from streaming.errors import HaltError


class Position(NamedTuple):
    """Where reading of a topic goes on, and how its last applied record is recognized.

    Of a journal `journalseq` is the last number that was seen, and `set_aside` how many numbers
    after it records may have had that an operator set aside.
    """

    next: int
    last: int = -1
    hash: str = ""
    journalseq: int = 0
    set_aside: int = 0

    def check_follows(self, record: Record, seq: int) -> None:
        """Check that no number is missing before that of a journal's record. Raises HaltError.

        The number before it must have been seen, or may have been that of a record which was set
        aside.
        """
        if self.journalseq and seq > self.journalseq + 1 + self.set_aside:
            raise HaltError(
                f"{record.place}: number {seq} follows {self.journalseq}; records are missing. "
                "Restore the topic."
            )


def pack_positions(positions: Mapping[str, Position]) -> bytes:
    """Return positions as they are stored."""
    return orjson.dumps({topic: _row(position) for topic, position in positions.items()})


def _row(position: Position) -> Sequence[object]:
    # A version that knows nothing of the last member can read what is without it.
    return tuple(position) if position.set_aside else position[:-1]


def unpack_positions(stored: bytes | None) -> dict[str, Position]:
    """Return stored positions; none where nothing is stored."""
    if stored is None:
        return {}
    return {topic: Position(*row) for topic, row in orjson.loads(stored).items()}


def digest(record: Record) -> str:
    """Return by what the last applied record of a topic is recognized."""
    return sha256(record.value or b"").hexdigest()[:16]
