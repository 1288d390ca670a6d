"""I01, I03, I14, I17: each input one decision, in time, of the right service, for whom it may be.

What a service reads of a topic it decides in order, so the last offset tells decided from new;
kept are only inputs not decided yet, what waits, and the natural keys that have had their effect.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

from verification.dead_letters import QUARANTINE, DeadLetters, digest
from verification.findings import Findings, Missing
from verification.records import (
    CALENDAR,
    DEAD_LETTERED,
    FORWARDED,
    PARKED,
    Fact,
    Place,
    Record,
    headers_of,
    parsed,
    place_of,
    shown,
)
from verification.sources import Sources, natural_key

PARTITIONS_MAX = 1000


@dataclass(slots=True)
class _Open:
    """An input until all its decisions are there; `deciders` is empty before it was read."""

    id: str = ""
    deciders: tuple[str, ...] = ()
    digest: bytes = b""
    decided: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By service: the kind of its decision, and the id."""


@dataclass(frozen=True, slots=True)
class _Parked:
    overdue_on: str | None
    id: str


class Decisions:
    """What was decided about each input. `starts` are the first offsets that topics still hold."""

    def __init__(
        self,
        findings: Findings,
        sources: Sources,
        dead_letters: DeadLetters,
        starts: Mapping[tuple[str, int], int],
    ) -> None:
        self._findings = findings
        self._sources = sources
        self._dead_letters = dead_letters
        self._starts = starts
        self._open: dict[Place, _Open] = {}
        self._last: dict[tuple[str, str, int], int] = {}
        self._parked: dict[tuple[str, Place], _Parked] = {}
        self._deadlines: dict[tuple[str, int], list[tuple[str, Place]]] = {}
        self._days: dict[tuple[str, int], str] = {}
        self._effects: dict[int, int] = {}
        self._forwards: dict[Place, tuple[str, Place]] = {}
        """By origin: the decision and the origin, or nothing and where the forwarded record is."""
        self._quarantined: set[tuple[str, Place]] = set()
        self._providers: dict[tuple[str, str], str] = {}
        self.inputs = 0
        self.number = 0

    @property
    def parked(self) -> int:
        """Return how many inputs wait."""
        return len(self._parked)

    @property
    def natural_keys(self) -> int:
        """Return how many natural keys have had an effect."""
        return len(self._effects)

    # --- reading ---------------------------------------------------------------------------

    def input(self, record: Record) -> None:
        """Note an input."""
        if record.topic.endswith(".forwarded.v1"):
            self._arrived(record)
        self.inputs += 1
        place = place_of(record)
        open_ = self._open.setdefault(place, _Open())
        event = parsed(record.value) or {}
        open_.id = str(event.get("id", shown(place)))
        open_.deciders = self._sources.deciders(record.topic, event)
        open_.digest = digest(record.value)
        self._close(place, open_)

    def _arrived(self, record: Record) -> None:
        topic, partition, offset = (
            *headers_of(record).get("pfdo-forwarded-from", "").split("/"),
            *("", "", ""),
        )[:3]
        if partition.isdigit() and offset.isdigit():
            self._pair((topic, int(partition), int(offset)), "", place_of(record))

    def _pair(self, origin: Place, id_: str, place: Place) -> None:
        """Match a forwarded record with the decision to forward it, whichever is read first."""
        waiting = self._forwards.pop(origin, None)
        if waiting is None or bool(waiting[0]) == bool(id_):
            self._forwards[origin] = (id_, place)

    def fact(self, fact: Fact) -> None:
        """Note a record of a journal."""
        told = fact.input
        if fact.kind == "funds-reserved":
            enrollment = (fact.payer, str(fact.data["enrollment_id"]))
            self._providers[enrollment] = str(fact.data["provider_id"])
        if told is None and fact.kind != DEAD_LETTERED:
            return
        self.number += 1
        has_waited = (fact.service, fact.cause) in self._parked
        if not self._is_decided_once(fact):
            return
        if told is not None:
            self._open_day(fact, told)
            self._check_effect(fact, told)
            self._check_scope(fact, told)
        if fact.kind == FORWARDED:
            self._pair(fact.cause, fact.id, fact.cause)
        if fact.kind == DEAD_LETTERED and fact.data.get("reason") == QUARANTINE:
            self._set_aside(fact)
            return
        is_followed = not has_waited and self._answers(fact, told)
        if fact.kind == DEAD_LETTERED:
            self._dead_letters.decided(fact, expects_input=is_followed)
        if is_followed:
            open_ = self._open.setdefault(fact.cause, _Open())
            open_.decided.setdefault(fact.service, (fact.kind, fact.id))
            self._close(fact.cause, open_)

    def _set_aside(self, fact: Fact) -> None:
        """Note what a person set aside for one service; it says nothing about the others."""
        place, service = fact.cause, fact.service
        open_ = self._open.get(place)
        is_read = open_ is not None and bool(open_.deciders)
        self._dead_letters.decided(fact, expects_input=is_read)
        self._quarantined.add((service, place))
        if open_ is not None and is_read:
            self._dead_letters.input(service, place, open_.digest)
            self._close(place, open_)

    def _answers(self, fact: Fact, told: Mapping[str, Any] | None) -> bool:
        """Return whether a decision is one that its input must have; others only note it."""
        topic = fact.cause[0]
        answers_for = self._sources.answers_for.get(topic)
        if answers_for is None:
            return False
        if fact.service == answers_for and fact.kind in (DEAD_LETTERED, FORWARDED):
            return True
        return told is not None and fact.service in self._sources.deciders(topic, told)

    def _close(self, place: Place, open_: _Open) -> None:
        """Forget an input that has all its decisions."""
        if not open_.deciders:
            return
        defects = self._sources.answers_for[place[0]]
        kind, id_ = open_.decided.get(defects, ("", ""))
        is_defect = kind in (DEAD_LETTERED, FORWARDED)
        if not is_defect and self._silent(place, open_):
            return
        others = [other for service, (_, other) in open_.decided.items() if service != defects]
        if is_defect and others:
            detail = f"{shown(place)} was decided although {defects} set it aside"
            self._findings.report("I01", detail, [id_, *others])
        if kind == DEAD_LETTERED:
            self._dead_letters.input(defects, place, open_.digest)
        del self._open[place]

    def _silent(self, place: Place, open_: _Open) -> list[str]:
        """Return who still has to decide an input."""
        return [
            service
            for service in open_.deciders
            if service not in open_.decided and (service, place) not in self._quarantined
        ]

    # --- I01 and I14: once, and in time ----------------------------------------------------

    def _is_decided_once(self, fact: Fact) -> bool:
        """Note a decision, and return whether it may be one."""
        place = fact.cause
        waiting = (fact.service, place)
        reader = (fact.service, place[0], place[1])
        if waiting in self._parked:
            del self._parked[waiting]
        elif place[2] <= self._last.get(reader, -1):
            detail = f"{shown(place)} has a further decision of {fact.service}"
            self._findings.report("I01", detail, [fact.id])
            return False
        else:
            self._last[reader] = place[2]
            self._check_deadlines(fact)
        if fact.kind == PARKED:
            overdue_on = _overdue_on(fact.data)
            self._parked[waiting] = _Parked(overdue_on, fact.id)
            if overdue_on is not None:
                deadlines = self._deadlines.setdefault((fact.service, fact.partition), [])
                heapq.heappush(deadlines, (overdue_on, place))
        return True

    def _check_deadlines(self, fact: Fact) -> None:
        """Before a new input is decided, all that was due on the day is done."""
        deadlines = self._deadlines.get((fact.service, fact.partition), [])
        day = self._days.get((fact.service, fact.partition), "")
        while deadlines and deadlines[0][0] <= day:
            overdue_on, place = heapq.heappop(deadlines)
            parked = self._parked.get((fact.service, place))
            if parked is not None and parked.overdue_on == overdue_on:
                detail = f"{parked.id} still waited when {fact.id} was decided"
                self._findings.report("I14", detail, [parked.id, fact.id])
                self._parked[fact.service, place] = _Parked(None, parked.id)

    def _open_day(self, fact: Fact, told: Mapping[str, Any]) -> None:
        if fact.is_applied and fact.cause[0] == CALENDAR:
            self._days[fact.service, fact.partition] = str((told.get("data") or {}).get("date", ""))

    # --- I03: one effect per natural key ---------------------------------------------------

    def _check_effect(self, fact: Fact, told: Mapping[str, Any]) -> None:
        topic, partition, _ = fact.cause
        # A journal's record is known by its place in the journal: I01 and I07 are about that.
        if not fact.is_applied or topic not in self._sources.answers_for:
            return
        whose = fact.payer or str(partition)
        key = f"{fact.service}|{whose}|{natural_key(told)}"
        hashed = int.from_bytes(blake2b(key.encode(), digest_size=8).digest())
        before = self._effects.setdefault(hashed, fact.seq * PARTITIONS_MAX + fact.partition)
        seq, first_partition = divmod(before, PARTITIONS_MAX)
        if (seq, first_partition) != (fact.seq, fact.partition):
            first = f"{fact.service}:{first_partition}:{seq}"
            detail = f"{told['natural_key']} of {whose} was applied twice"
            self._findings.report("I03", detail, [first, fact.id])

    # --- I17: for whom it may be -----------------------------------------------------------

    def _check_scope(self, fact: Fact, told: Mapping[str, Any]) -> None:
        topic = fact.cause[0]
        if not fact.is_applied:
            return
        source, type_ = str(told["source"]), str(told["type"])
        scope = self._sources.scopes.get(topic)
        if scope is None:
            uri = f"/services/{topic.removesuffix('.events.v1')}"
            wrong = "" if source == uri else f"{topic} is not of {source}"
        elif source != scope.uri:
            wrong = f"{topic} is not of {source}"
        elif not scope.allows(type_, fact.payer):
            wrong = f"{source} may not send {type_} for {fact.payer or 'nobody'}"
        else:
            data = told.get("data") or {}
            provider = self._providers.get((fact.payer, str(data.get("enrollment_id"))))
            is_lesson = type_.startswith(("attendance.", "disputes."))
            wrong = ""
            if is_lesson and provider is not None and not scope.covers(provider):
                wrong = f"{source} may not speak for {provider}"
        if wrong:
            self._findings.report("I17", f"{fact.id}: {wrong}", [fact.id])

    # --- what is still to come -------------------------------------------------------------

    def undecided(self, is_awaited: Callable[[Place], bool]) -> list[Missing]:
        """Return what is not as it must be once all is at rest, about records that are awaited."""
        found: list[Missing] = []
        for place, open_ in self._open.items():
            if not is_awaited(place) or place[2] < self._starts.get(place[:2], 0):
                continue
            ids = tuple(id_ for _, id_ in open_.decided.values())
            if open_.deciders:
                silent = ", ".join(self._silent(place, open_))
                detail = f"{shown(place)} has no decision of {silent}"
                found.append(("I01", detail, (open_.id, *ids)))
            else:
                detail = f"{shown(place)} has a decision too many, or is no record at all"
                found.append(("I01", detail, ids))
        for origin, (id_, place) in self._forwards.items():
            if id_ and is_awaited(place):
                detail = f"{shown(origin)} was forwarded and is not on the forwarded topic"
                found.append(("I01", detail, (id_,)))
            elif is_awaited(place):
                detail = f"{shown(place)} was forwarded once more than was decided"
                found.append(("I01", detail, ()))
        for (service, place), parked in self._parked.items():
            day = self._days.get((service, place[1]), "")
            if parked.overdue_on is not None and parked.overdue_on <= day:
                found.append(("I14", f"{parked.id} waits past its deadline", (parked.id,)))
        return found


def _overdue_on(data: Mapping[str, Any]) -> str | None:
    """Return the first business day on which it must not wait any more, None if there is none."""
    kind, _, day = str(data["waits_for"]).partition(":")
    if kind == "day":
        return day
    if data["until"] is None:
        return None
    return (date.fromisoformat(data["until"]) + timedelta(days=1)).isoformat()
