"""I15: money is said in whole kopecks, by integers, everywhere."""

from collections.abc import Mapping
from typing import Any

from verification.findings import Findings


class Money:
    """The numbers in published records."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def published(self, event: Mapping[str, Any]) -> None:
        """Check one record: no fractions at all, and nothing but integers as kopecks."""
        wrong = _wrong(event)
        if wrong is not None:
            self._findings.report("I15", f"{event.get('id')}: {wrong}", [str(event.get("id"))])


def _wrong(event: Mapping[str, Any]) -> str | None:
    waiting: list[Any] = [event]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float):
            return f"{value!r} is no whole number"
        if isinstance(value, dict):
            for name, inner in value.items():
                if name.endswith("_kopecks") and inner is not None and type(inner) is not int:
                    return f"{name} is {inner!r}, no integer"
                if type(inner) is not str:
                    waiting.append(inner)
        elif isinstance(value, list):
            waiting.extend(value)
    return None
