"""I13: a dead letter has the bytes of its input, and a reason of the closed list."""

from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from contracts.vocabulary import DeadLetterReason
from verification.findings import Findings
from verification.records import Fact, Place, Record, headers_of, shown

_REASONS = frozenset(reason.value for reason in DeadLetterReason)


def digest(value: bytes | None) -> bytes:
    """Return what tells bytes from others; no value at all is not the same as no bytes."""
    return b"" if value is None else sha256(value).digest()


QUARANTINE = DeadLetterReason.OPERATOR_QUARANTINE.value
MARK = "pfdo-mark"
"""What an operator did about a letter stands beside it, with this header."""

Key: TypeAlias = tuple[str, Place]
"""Who set an input aside, and where it stands."""


@dataclass(frozen=True, slots=True)
class _Decided:
    id: str
    seq: int
    reason: str
    sha256: str
    partition: int


@dataclass(frozen=True, slots=True)
class _Letter:
    digest: bytes
    reason: str
    id: str


@dataclass(slots=True)
class _Case:
    """An input that was set aside: what it was, what was said of it, what was kept of it."""

    input: bytes | None = None
    decided: _Decided | None = None
    letter: _Letter | None = None
    expects_input: bool = True


class DeadLetters:
    """Inputs that could not be read, until decision and dead letter are there too."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._cases: dict[Key, _Case] = {}
        self._first_kept: dict[tuple[str, int], int] = {}
        self.number = 0

    def input(self, service: str, place: Place, input_digest: bytes) -> None:
        """Note the bytes of an input that was dead-lettered."""
        self._cases.setdefault((service, place), _Case()).input = input_digest
        self._compare(service, place)

    def decided(self, fact: Fact, *, expects_input: bool) -> None:
        """Note the decision that an input is set aside; without it, its bytes are taken as said.

        So are those of a journal's record, and of what another service than its own set aside.
        """
        self.number += 1
        reason = str(fact.data.get("reason"))
        if reason not in _REASONS:
            self._findings.report("I13", f"{fact.id}: {reason} is no reason of the list", [fact.id])
        case = self._cases.setdefault((fact.service, fact.cause), _Case())
        case.expects_input = expects_input
        case.decided = _Decided(
            fact.id, fact.seq, reason, str(fact.data.get("sha256")), fact.partition
        )
        self._compare(fact.service, fact.cause)

    def letter(self, service: str, record: Record) -> None:
        """Note a record of a service's dead letters."""
        headers = headers_of(record)
        if MARK in headers and "pfdo-reason" not in headers:
            return
        id_ = f"{service}:{record.partition}:{record.offset}"
        try:
            topic = headers["pfdo-topic"]
            place = topic, int(headers["pfdo-partition"]), int(headers["pfdo-offset"])
            reason = headers["pfdo-reason"]
        except (KeyError, ValueError):
            self._findings.report("I13", f"dead letter {id_} does not say what it is of", [id_])
            return
        case = self._cases.setdefault((service, place), _Case())
        case.letter = _Letter(digest(record.value), reason, id_)
        self._compare(service, place)

    def _compare(self, service: str, place: Place) -> None:
        case = self._cases[service, place]
        letter, decided = case.letter, case.decided
        if letter is None or decided is None:
            return
        kept = (service, decided.partition)
        self._first_kept[kept] = min(decided.seq, self._first_kept.get(kept, decided.seq))
        if case.input is None and case.expects_input:
            return
        del self._cases[service, place]
        stated = _bytes_of(decided.sha256)
        wrong = ""
        if case.input is not None and letter.digest != case.input:
            wrong = "its dead letter has other bytes"
        elif (letter.digest or _EMPTY) != stated:
            wrong = "the decision names other bytes"
        elif letter.reason != decided.reason:
            wrong = f"the decision says {decided.reason}, the dead letter {letter.reason}"
        if wrong:
            self._findings.report("I13", f"{shown(place)}: {wrong}", [decided.id])

    def missing(self, *, trimmed: frozenset[tuple[str, int]]) -> dict[Place, str]:
        """Return by input the decisions without a dead letter.

        `trimmed`: journals (service, partition) whose oldest dead letters are not kept any more.
        """
        found = {}
        for (service, place), case in self._cases.items():
            decided = case.decided
            if decided is None or case.letter is not None:
                continue
            kept = (service, decided.partition)
            first = self._first_kept.get(kept)
            if kept not in trimmed or (first is not None and decided.seq > first):
                found[place] = decided.id
        return found

    def unexplained(self) -> dict[Place, str]:
        """Return by input the dead letters that no decision led to, or one too many."""
        return {
            place: case.letter.id
            for (_, place), case in self._cases.items()
            if case.letter is not None and case.decided is None
        }


def _bytes_of(stated: str) -> bytes:
    try:
        return bytes.fromhex(stated)
    except ValueError:
        return b"no hash"


_EMPTY = sha256(b"").digest()
