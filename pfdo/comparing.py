"""Two states held against each other, however large.

First by a digest of each, which takes no room and nearly no time and tells whether they are equal;
only where they are not, in a temporary file, key by key.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol, Self

from streaming.spilled_memory import temporary_file

_DIGEST_MODULUS = 2**64


class Side(StrEnum):
    """Which of the two: what the journal gives, or what was in the store."""

    FOLDED = "folded"
    LIVE = "live"


class States(Protocol):
    """What takes in two states and tells where they differ."""

    def empty(self, side: Side) -> None:
        """Forget a side."""
        ...

    def fill(self, side: Side, step: Mapping[str, bytes]) -> None:
        """Take in what a side holds."""
        ...

    def differences(self, differences_max: int) -> list[str]:
        """Return the first keys that differ, or what there is to say of them."""
        ...


class Digests:
    """Two states as a number each: the sum of a hash of each entry, whose secret a process makes.

    Equal numbers are equal states, but once in 2^64. An entry that comes twice counts twice: then
    they differ although the states may not.
    """

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        self._ignored = tuple(ignored)
        self._digests = dict.fromkeys(Side, 0)

    def empty(self, side: Side) -> None:
        """Forget a side."""
        self._digests[side] = 0

    def fill(self, side: Side, step: Mapping[str, bytes]) -> None:
        """Take in what a side holds."""
        added = sum(_hash(*one) for one in step.items() if not one[0].startswith(self._ignored))
        self._digests[side] = (self._digests[side] + added) % _DIGEST_MODULUS

    def differences(self, differences_max: int) -> list[str]:
        """Return that they differ, where they do; not in which keys."""
        del differences_max
        equal = self._digests[Side.FOLDED] == self._digests[Side.LIVE]
        return [] if equal else ["their digests differ"]


def _hash(key: str, value: bytes) -> int:
    # Of one text, not of the pair: sums of hashes of pairs forget which value is whose.
    return hash(b"%b\0%b" % (key.encode(), value))


class Comparison:
    """What two states hold, by key; prefixes of keys that tell nothing are ignored."""

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        self._ignored = tuple(ignored)
        self._file = temporary_file()
        for side in Side:
            self.empty(side)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def empty(self, side: Side) -> None:
        """Forget a side."""
        self._file.execute(f"DROP TABLE IF EXISTS {side}")
        self._file.execute(
            f"CREATE TABLE {side} (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
        )

    def fill(self, side: Side, step: Mapping[str, bytes]) -> None:
        """Take in what a side holds; the same key twice is the same key."""
        self._file.execute("BEGIN")
        self._file.executemany(f"INSERT OR REPLACE INTO {side} VALUES (?, ?)", sorted(step.items()))  # noqa: S608
        self._file.execute("COMMIT")

    def differences(self, differences_max: int) -> list[str]:
        """Return the first keys that one side has alone or otherwise."""
        found = self._file.execute(
            """
            SELECT key FROM folded LEFT JOIN live USING (key) WHERE live.value IS NOT folded.value
            UNION ALL
            SELECT key FROM live WHERE NOT EXISTS (SELECT 1 FROM folded f WHERE f.key = live.key)
            """
        )
        differing = (key for (key,) in found if not key.startswith(self._ignored))
        return sorted(key for key, _ in zip(differing, range(differences_max), strict=False))
