"""Two states held against each other, however large: in a temporary file, key by key."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Self

from streaming.spilled_memory import temporary_file


class Side(StrEnum):
    """Which of the two: what the journal gives, or what was in the store."""

    FOLDED = "folded"
    LIVE = "live"


class Comparison:
    """What two states hold, by key."""

    def __init__(self) -> None:
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

    def differences(self, differences_max: int, ignored: Iterable[str] = ()) -> list[str]:
        """Return the first keys that one side has alone or otherwise, but for prefixes ignored."""
        found = self._file.execute(
            """
            SELECT key FROM folded LEFT JOIN live USING (key) WHERE live.value IS NOT folded.value
            UNION ALL
            SELECT key FROM live WHERE NOT EXISTS (SELECT 1 FROM folded f WHERE f.key = live.key)
            """
        )
        prefixes = tuple(ignored)
        differing = (key for (key,) in found if not key.startswith(prefixes))
        return sorted(key for key, _ in zip(differing, range(differences_max), strict=False))
