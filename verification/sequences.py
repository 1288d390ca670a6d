"""I20: which numbers are missing from the `sequence` of each source and partition key.

A gap is the source's, or still on its way: it is told, and breaks nothing by itself.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that did not come, both ends included."""

    source: str
    key: str
    first: int
    last: int

    def __str__(self) -> str:
        """Return it as people write it."""
        numbers = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.source}/{self.key}:{numbers}"


class Sequences:
    """The numbers that came, as spans: memory grows with the gaps, not with the records."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], list[tuple[int, int]]] = {}

    def input(self, topic: str, event: Mapping[str, Any]) -> None:
        """Note the number of an input; in any order, copies count once."""
        number, key = event.get("sequence"), event.get("partitionkey") or ""
        if not isinstance(number, str) or not isinstance(key, str) or len(number) > DIGITS_MAX:
            return
        if number.isascii() and number.isdigit():
            # What was forwarded counts where it came from.
            source = topic.partition(".")[0]
            _add(self._spans.setdefault((source, key), []), int(number))

    def gaps(self) -> Iterator[Gap]:
        """Yield what is missing between the smallest and the greatest number of each."""
        for (source, key), spans in sorted(self._spans.items()):
            for nth in range(1, len(spans)):
                yield Gap(source, key, spans[nth - 1][1] + 1, spans[nth][0] - 1)


def _add(spans: list[tuple[int, int]], number: int) -> None:
    at = bisect_right(spans, number, key=lambda span: span[0])
    first = last = number
    if at and spans[at - 1][1] >= number - 1:
        at -= 1
        first, last = spans[at][0], max(number, spans[at][1])
        del spans[at]
    if at < len(spans) and spans[at][0] == last + 1:
        last = spans[at][1]
        del spans[at]
    spans.insert(at, (first, last))
