r"""Reading Kafka records whose header names are no UTF-8.

The broker lets any bytes be a header's name. aiokafka's parser then fails, drops what it had of the
other topics, and meets the same record again for ever: one such record of a stranger would stop a
partition for good. Here the batch concerned is parsed once more, with `\xff` for what is no text.
"""

from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher  # type: ignore[import-untyped]
from aiokafka.errors import CorruptRecordException  # type: ignore[import-untyped]
from aiokafka.record.default_records import (  # type: ignore[import-untyped]
    _DefaultRecordBatchPy,
)
from aiokafka.record.memory_records import MemoryRecords  # type: ignore[import-untyped]

_LENGTH_AT = slice(8, 12)
_LOG_OVERHEAD = 12
"""A batch begins with its base offset (8 bytes) and the length of the rest (4 bytes)."""


def install() -> None:
    """Let every aiokafka consumer of this process read through `LenientRecords`."""
    fetcher.MemoryRecords = LenientRecords


class LenientRecords:
    """What a fetch returned for one partition, as aiokafka's `MemoryRecords` hands it out."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        """Return how many bytes were fetched."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Say whether another whole batch is there."""
        return bool(self._records.has_next())

    def next_batch(self) -> "LenientBatch":
        """Return the next batch, together with its bytes."""
        rest = self._data[self._at :]
        raw = rest[: _LOG_OVERHEAD + int.from_bytes(rest[_LENGTH_AT], "big")]
        self._at += len(raw)
        return LenientBatch(self._records.next_batch(), raw)


class LenientBatch:
    """A batch that is parsed a second, slower time if its first parsing fails."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException):
            return iter(_parsed_leniently(bytes(self._raw)))


class _LenientBytes(bytearray):
    """Bytes whose slices are decoded whatever they hold."""

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        found = super().__getitem__(at)
        return _LenientBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "") -> str:
        return super().decode(encoding, errors or "backslashreplace")


def _parsed_leniently(raw: bytes) -> list[Any]:
    """Return the records of a batch. Raises CorruptRecordException if more than a name is wrong."""
    batch = iter(_DefaultRecordBatchPy(raw))  # decompresses
    batch._buffer = _LenientBytes(batch._buffer)  # noqa: SLF001
    return list(batch)
