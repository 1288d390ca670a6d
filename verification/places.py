"""I23, places in groups: counted by who asked, who got one and who gave it back.

Kept is who has a place or waits, and, to the end, which enrollments were ever given one.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from verification.findings import Findings, Missing
from verification.records import Fact, Place


@dataclass(slots=True)
class _Group:
    capacity: int = 0
    taken: set[str] = field(default_factory=set)
    waiting: "deque[str]" = field(default_factory=deque)
    is_told: bool = False
    """Whether it was reported: from then on the count and the claim go different ways."""


class Places:
    """The groups of all municipalities."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._groups: dict[tuple[str, str], _Group] = {}
        self._had: set[tuple[str, str, str]] = set()
        self._enrolled: dict[tuple[str, str, str], tuple[str, Place]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def fact(self, fact: Fact) -> None:
        """Note a fact of enrollment."""
        told = fact.input
        if told is not None and fact.is_applied and told["type"] == "navigator.group-published.v1":
            data = told["data"]
            self._group(fact.payer, data["group_id"]).capacity = int(data["capacity"])
        if fact.kind == "group-changed":
            self._changed(fact, told)
        elif fact.kind == "child-enrolled":
            terms = fact.data["terms"]
            child = (terms["group_home"], terms["group_id"], fact.data["enrollment_id"])
            if child not in self._had:
                self._enrolled[child] = (fact.id, fact.place)

    def _group(self, payer: str, group_id: str) -> _Group:
        return self._groups.setdefault((payer, str(group_id)), _Group())

    def _changed(self, fact: Fact, told: Mapping[str, Any] | None) -> None:
        group_id = str(fact.data["group_id"])
        group = self._group(fact.payer, group_id)
        if group.is_told:
            return
        claimed = (fact.data["capacity"], fact.data["taken"], fact.data["waiting"])
        given = self._apply(group, told, claimed)
        counted = (group.capacity, len(group.taken), len(group.waiting))
        wrong = ""
        if counted != claimed:
            wrong = _told(claimed) + ", counted were " + _told(counted)
        elif given is not None and len(group.taken) > group.capacity:
            wrong = f"{_told(counted)}: {given} got a place that was not there"
        if wrong:
            group.is_told = True
            self._findings.report("I23", f"{fact.id}: group {group_id}: {wrong}", [fact.id])
        if given is not None:
            child = (fact.payer, group_id, given)
            self._had.add(child)
            self._enrolled.pop(child, None)

    def _apply(
        self, group: _Group, told: Mapping[str, Any] | None, claimed: tuple[int, int, int]
    ) -> str | None:
        """Change who has a place and who waits; return who got a place, if somebody did."""
        type_ = "" if told is None else str(told["type"])
        about = "" if told is None else str((told.get("data") or {}).get("enrollment_id", ""))
        if type_ == "enrollment.place-requested.v1":
            if claimed[2] > len(group.waiting):
                group.waiting.append(about)
                return None
            group.taken.add(about)
            return about
        if type_ == "enrollment.place-returned.v1":
            if about in group.waiting:
                group.waiting.remove(about)
            group.taken.discard(about)
            return None
        if type_ == "navigator.group-published.v1" or not group.waiting:
            return None
        first = group.waiting.popleft()
        group.taken.add(first)
        return first

    def unplaced(self, is_awaited: Callable[[Place], bool]) -> list[Missing]:
        """Return who was enrolled and had no place so far, of facts that are awaited."""
        return [
            ("I23", f"{id_}: {enrollment} was never given a place in {group}", (id_,))
            for (_, group, enrollment), (id_, place) in self._enrolled.items()
            if is_awaited(place)
        ]


def _told(numbers: tuple[int, int, int]) -> str:
    capacity, taken, waiting = numbers
    return f"{taken} of {capacity} places taken, {waiting} waiting"
