"""The count: takes every record of an installation, in any order that keeps that of each partition.

What it must find is settled by `ends`: inputs acknowledged before them must have their decisions.
Later records are counted too, nothing is missed about them yet, so a running installation can be
counted, and counted on: set `ends` anew and go on.
"""

from collections.abc import Mapping

from verification.chain import Chain
from verification.dead_letters import DeadLetters
from verification.decisions import Decisions
from verification.disputes import Disputes
from verification.findings import Findings, Missing
from verification.grants import Grants
from verification.ledger import Ledger
from verification.money import Money
from verification.places import Places
from verification.purses import Periods, Purses
from verification.records import COMMANDS, Fact, Place, Record, fact_of, parsed, place_of, shown
from verification.sequences import Sequences
from verification.sources import SERVICES, Sources

INVARIANTS = ("I01", "I02", "I03", "I05", "I06", "I07", "I13", "I14", "I15", "I17", "I23")
"""What is counted from the records alone; docs/promises.md, section 4."""

GAPS_LISTED_MAX = 100
"""Of more only so many are named; what a source leaves out is its own to look for."""

JOURNALS = {f"{service}.events.v1": service for service in SERVICES}
DEAD_LETTERS = {f"{service}.dead-letters.v1": service for service in SERVICES}

Offsets = Mapping[tuple[str, int], int]
"""By topic and partition."""


class Count:
    """Counts the books of an installation again.

    `starts` and `ends` are the first offsets kept and those after the last records, of all topics.
    """

    def __init__(self, sources: Sources, starts: Offsets, ends: Offsets) -> None:
        self.findings = Findings()
        self.ends = ends
        self._sources = sources
        self._starts = starts
        periods = Periods()
        self._periods = periods
        self._chain = Chain(self.findings)
        self._money = Money(self.findings)
        self._dead_letters = DeadLetters(self.findings)
        self._decisions = Decisions(self.findings, sources, self._dead_letters, starts)
        self._purses = Purses(self.findings, periods)
        self.ledger = Ledger(self.findings, periods)
        self._disputes = Disputes(self.findings)
        self._places = Places(self.findings)
        self._grants = Grants(self.findings)
        self._sequences = Sequences()
        self._facts = 0

    @property
    def invariants(self) -> tuple[str, ...]:
        """Return what is counted."""
        return INVARIANTS

    @property
    def topics(self) -> tuple[str, ...]:
        """Return all topics that are to be read."""
        return (*self._sources.answers_for, *JOURNALS, *DEAD_LETTERS)

    def record(self, record: Record) -> None:
        """Count one record."""
        topic = record.topic
        if topic in JOURNALS:
            fact = fact_of(JOURNALS[topic], record)
            if fact is None:
                detail = f"{shown(place_of(record))} is no record of a journal"
                self.findings.report("I06", detail)
            elif self._chain.follows(fact):
                self._counted(fact)
        elif topic in DEAD_LETTERS:
            self._dead_letters.letter(DEAD_LETTERS[topic], record)
        else:
            if topic == COMMANDS:
                self._money.published(parsed(record.value) or {})
            else:
                self._sequences.input(topic, parsed(record.value) or {})
            self._decisions.input(record)

    def _is_awaited(self, place: Place) -> bool:
        return place[2] < self.ends.get(place[:2], 0)

    def _counted(self, fact: Fact) -> None:
        """Count a fact; one that lacks what it must say is told, the others are counted on."""
        self._facts += 1
        try:
            self._fact(fact)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            detail = f"{fact.id} does not say what its contract says it does: {error!r}"
            self.findings.report("I06", detail, [fact.id])

    def _fact(self, fact: Fact) -> None:
        self._money.published(fact.event)
        self._decisions.fact(fact)
        if fact.service == "billing":
            self._periods.fact(fact)
            self._purses.fact(fact)
            self.ledger.fact(fact)
            self._disputes.fact(fact)
        elif fact.service == "certificates":
            self._grants.fact(fact)
        elif fact.service == "enrollment":
            self._places.fact(fact)

    def pending(self) -> list[Missing]:
        """Return what does not hold yet and may still come to hold.

        With everything at rest and read to its end, these are violations.
        """
        trimmed = frozenset(
            (service, partition)
            for (topic, partition), start in self._starts.items()
            if start > 0 and (service := DEAD_LETTERS.get(topic)) is not None
        )
        missing = self._dead_letters.missing(trimmed=trimmed)
        unexplained = self._dead_letters.unexplained()
        return [
            *self._decisions.undecided(self._is_awaited),
            *self._places.unplaced(self._is_awaited),
            *self._disputes.unsettled(),
            *(
                ("I13", f"{shown(place)} was dead-lettered, and there is no dead letter", (id_,))
                for place, id_ in missing.items()
                if self._is_awaited(place)
            ),
            *(
                ("I13", f"{shown(place)} has a dead letter, and no decision says so", (id_,))
                for place, id_ in unexplained.items()
                if self._is_awaited(place)
            ),
        ]

    def conclude(self) -> Findings:
        """Return all that does not hold, now that everything is at rest."""
        for invariant, detail, events in self.pending():
            self.findings.report(invariant, detail, events)
        return self.findings

    def checked(self) -> dict[str, object]:
        """Return what was counted, as `pfdo verify --json` prints it."""
        return {
            "invariants": list(INVARIANTS),
            "inputs": self._decisions.inputs,
            "journal_records": self._facts,
            "decisions": self._decisions.number,
            "natural_keys": self._decisions.natural_keys,
            "parked": self._decisions.parked,
            "dead_letters": self._dead_letters.number,
            "purses": len(self._purses),
            "ledger_entries": self.ledger.number,
            "disputes": len(self._disputes),
            "categories": len(self._grants),
            "groups": len(self._places),
            "sequence_gaps": [str(gap) for gap in self._sequences.gaps()][:GAPS_LISTED_MAX],
        }
