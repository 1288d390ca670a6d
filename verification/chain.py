"""I06 and I07: numbers are dense, hashes chain, and a number has one content for ever."""

from array import array
from dataclasses import dataclass, field
from hashlib import sha256

from verification.findings import Findings
from verification.records import Fact

GENESIS = "0" * 64
GAP_MAX = 1_000_000
"""A number further off than this is none of the journal: nothing is counted on with it."""


@dataclass(slots=True)
class _Journal:
    seq: int = 0
    hash: str = GENESIS
    id: str = ""
    contents: "array[int]" = field(default_factory=lambda: array("Q"))
    """The first 64 bits of each record's hash, to tell a late copy from another content."""


class Chain:
    """The journals, partition by partition."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._journals: dict[tuple[str, int], _Journal] = {}

    def follows(self, fact: Fact) -> bool:
        """Check the next record of a journal. Return whether it is part of the book.

        Its hash is SHA-256 over its bytes without the member `hash`: no JSON is written anew.
        """
        journal = self._journals.setdefault((fact.service, fact.partition), _Journal())
        seq, stated = fact.seq, str(fact.event["hash"])
        content = fact.value.replace(b',"hash":"%b"' % stated.encode(), b"", 1)
        if sha256(content).hexdigest() != stated:
            self._findings.report(
                "I06", f"{fact.id}: its content does not give its hash", [fact.id]
            )
        if seq <= journal.seq:
            self._repeated(journal, fact, stated)
            return False
        before = [journal.id, fact.id] if journal.id else [fact.id]
        if seq != journal.seq + 1:
            gap = f"number {seq} follows {journal.seq}"
            self._findings.report("I06", f"{fact.service}/{fact.partition}: {gap}", before)
            if seq > journal.seq + GAP_MAX:
                return False
        elif fact.event["prevhash"] != journal.hash:
            self._findings.report(
                "I06", f"{fact.id}: prevhash is not the hash of the record before", before
            )
        journal.contents.extend(0 for _ in range(journal.seq + 1, seq))
        journal.contents.append(_short(stated))
        journal.seq, journal.hash, journal.id = seq, stated, fact.id
        return True

    def _repeated(self, journal: _Journal, fact: Fact, stated: str) -> None:
        place = f"{fact.service}/{fact.partition}"
        if fact.seq > 0 and journal.contents[fact.seq - 1] == _short(stated):
            self._findings.report("I06", f"{place}: number {fact.seq} stands twice", [fact.id])
        else:
            detail = f"{place}: number {fact.seq} has two contents"
            self._findings.report("I07", detail, [fact.id])


def _short(stated: str) -> int:
    return int.from_bytes(sha256(stated.encode()).digest()[:8])
