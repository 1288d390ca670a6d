"""A state that is folded without a store: what is not in memory lies in a temporary file.

Memory is bounded however long the journal is, and nothing is asked twice: what a fold looks for is
here, or was never there. The file is SQLite's, whose order of text is that of its bytes, as the
store's is.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from streaming.store import Count, Range
from streaming.view import CACHED_MAX, Codec, Memory, Missing

CHANGES_MAX = 30_000
"""How many changes are kept back until they are written, what changes often is written once,
and keys are names without order, so that fewer of them would share a page."""
DUMP_STEP = 5_000
FILTER_BYTES = 16 * 1024 * 1024
"""A byte for each key that was written, by its hash: of a new key the file need not be asked. With
a million keys one new key in sixteen is asked for in vain."""

_LOST_WHEN_CLOSED = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
PRAGMA temp_store = FILE;
"""
_SCHEMA = """
CREATE TABLE aggregate (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE member (name TEXT, member TEXT, PRIMARY KEY (name, member)) WITHOUT ROWID;
"""


def temporary_file() -> sqlite3.Connection:
    """Open an unnamed database: a file of its own, with a small cache, that goes when closed."""
    file = sqlite3.connect("", isolation_level=None)
    file.executescript(_LOST_WHEN_CLOSED)
    return file


class SpilledMemory(Memory):
    """All that a fold knows: a bounded cache, changes kept back, and a file under both."""

    def __init__(
        self, codec: Codec, cached_max: int = CACHED_MAX, small: Collection[str] = ()
    ) -> None:
        super().__init__(codec, cached_max, small)
        # Two generations: what is not looked at while one fills is forgotten with the other.
        self._recent: dict[str, Any] = {}
        self._before: dict[str, Any] = {}
        self._changed_keys: set[str] = set()
        self._changed_members: dict[tuple[str, str], bool] = {}
        self._filter = bytearray(FILTER_BYTES)
        self._file = temporary_file()
        self._file.executescript(_SCHEMA)

    def close(self) -> None:
        """Drop everything."""
        self._file.close()

    def get(self, key: str) -> Any:
        """Return the value under `key` or None."""
        for known in (self.current.values, self._recent):
            if key in known:
                return known[key]
        if key in self._before:
            value = self._before[key]
        elif self._filter[hash(key) % FILTER_BYTES]:
            row = self._file.execute("SELECT data FROM aggregate WHERE key = ?", (key,)).fetchone()
            value = None if row is None else self.codec.decode(key, row[0])
        else:
            return None
        self._recent[key] = value
        return value

    def knows(self, key: str) -> bool:
        """Return True: nothing has to be loaded before."""
        del key
        return True

    def range(self, asked: Range) -> list[str]:
        """Return members of an index with the running changes."""
        while True:
            try:
                return super().range(asked)
            except Missing as missing:
                self._look(missing)

    def count(self, asked: Count) -> int:
        """Return how many members an index has, with the running changes."""
        while True:
            try:
                return super().count(asked)
            except Missing as missing:
                self._look(missing)

    def keep(self) -> None:
        """The current decision stands."""
        values, members = self.current.values, self.current.members
        self._recent.update(values)
        self._changed_keys.update(values)
        if members:
            self._follow(members)
            self._ranges.clear()
            self._counts.clear()
            for name, changed in members.items():
                for member, present in changed.items():
                    self._changed_members[name, member] = present
        self.discard()
        if len(self._changed_keys) + len(self._changed_members) >= CHANGES_MAX:
            self._spill()

    def dump(self) -> Iterator[Mapping[str, bytes]]:
        """Yield everything in steps, named as the store's dump names it."""
        for aggregates in self.aggregates():
            yield {f"key/{key}": data for key, data in aggregates}
        for members in self.members():
            yield {f"index/{name}/{member}": b"" for name, member in members}

    def aggregates(self) -> Iterator[Sequence[tuple[str, bytes]]]:
        """Yield all aggregates as they are stored, by key, in steps."""
        self._spill()
        yield from _steps(self._file.execute("SELECT key, data FROM aggregate"))

    def members(self) -> Iterator[Sequence[tuple[str, str]]]:
        """Yield all members of indexes, each with the name of its index, in steps."""
        self._spill()
        yield from _steps(self._file.execute("SELECT name, member FROM member"))

    def _look(self, missing: Missing) -> None:
        self._spill()
        for range_ in missing.ranges:
            self._answered(range_, self._between(range_, range_.members_max))
        for count in missing.counts:
            self._counts[count] = len(self._between(count, -1))

    def _between(self, asked: Range | Count, members_max: int) -> list[str]:
        rows = self._file.execute(
            "SELECT member FROM member WHERE name = ?1 AND member >= ?2"
            " AND (?3 IS NULL OR member < ?3) ORDER BY member LIMIT ?4",
            (asked.index, asked.start, asked.end, members_max),
        )
        return [member for (member,) in rows]

    def _spill(self) -> None:
        """Write what was kept back, and drop from memory what was not looked at for long."""
        write = self._file.executemany
        keys, values, encode = sorted(self._changed_keys), self._recent, self.codec.encode
        for key in keys:
            self._filter[hash(key) % FILTER_BYTES] = 1
        self._file.execute("BEGIN")
        write(
            "INSERT OR REPLACE INTO aggregate VALUES (?, ?)",
            ((key, encode(key, values[key])) for key in keys if values[key] is not None),
        )
        write(
            "DELETE FROM aggregate WHERE key = ?",
            ((key,) for key in keys if values[key] is None),
        )
        members = sorted(self._changed_members.items())
        write("INSERT OR IGNORE INTO member VALUES (?, ?)", (at for at, here in members if here))
        write(
            "DELETE FROM member WHERE name = ? AND member = ?",
            (at for at, here in members if not here),
        )
        self._file.execute("COMMIT")
        self._changed_keys.clear()
        self._changed_members.clear()
        if len(self._recent) > self._cached_max // 2:
            self._before, self._recent = self._recent, {}


def _steps(rows: sqlite3.Cursor) -> Iterator[Sequence[Any]]:
    while step := rows.fetchmany(DUMP_STEP):
        yield step
