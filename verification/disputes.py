"""I03, disputes: each is about a charge that stands, and is settled once, as its end says.

`corrected` right after the charge was taken back, and never otherwise; `upheld` by an answer, while
the charge stands. No dispute moves money: that no purse moves by one is I02.
"""

from hashlib import blake2b

from verification.findings import Findings, Missing
from verification.records import Fact

DISPUTED, ANSWERED = "disputes.lesson-disputed.v1", "disputes.dispute-answered.v1"
OPEN, SETTLED = "open", "settled"


class Disputes:
    """The charges that stand, and what was said about them."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._charges: dict[int, int] = {}
        """By lesson: what stands charged."""
        self._disputes: dict[int, str] = {}
        self._due: dict[int, tuple[int, str]] = {}
        """By partition: the lesson whose charge went back while it was disputed, and the fact."""

    def __len__(self) -> int:
        return len(self._disputes)

    def fact(self, fact: Fact) -> None:
        """Check one fact of billing."""
        lesson = _lesson(fact)
        due = self._due.pop(fact.partition, None)
        if due is not None and (fact.kind != "dispute-settled" or lesson != due[0]):
            self._findings.report("I03", *_unsettled(due[1]))
        match fact.kind:
            case "lesson-charged":
                self._charges[lesson] = int(fact.data["amount_kopecks"])
            case "charge-reversed":
                self._charges.pop(lesson, None)
                if self._disputes.get(lesson) == OPEN:
                    self._due[fact.partition] = (lesson, fact.id)
            case "dispute-opened":
                self._tell(fact, self._wrong_opening(fact, lesson))
                self._disputes[lesson] = OPEN
            case "dispute-settled":
                self._tell(fact, self._wrong_end(fact, lesson, follows=due is not None))
                self._disputes[lesson] = SETTLED
            case _:
                pass

    def _wrong_opening(self, fact: Fact, lesson: int) -> str:
        said = fact.input
        if said is None or said["type"] != DISPUTED or not _agree(fact, ("ground",)):
            return "nobody disputed that"
        if lesson in self._disputes:
            return "it was disputed before"
        if self._charges.get(lesson) != fact.data["amount_kopecks"]:
            return "no such charge stands"
        return ""

    def _wrong_end(self, fact: Fact, lesson: int, *, follows: bool) -> str:
        if self._disputes.get(lesson) != OPEN:
            return "no dispute is open"
        said, outcome = fact.input, fact.data["outcome"]
        if outcome == "corrected":
            is_bare = said is None and "by" not in fact.data and "evidence" not in fact.data
            return "" if follows and is_bare else "its charge was not taken back just now"
        is_answered = said is not None and said["type"] == ANSWERED
        if not is_answered or not _agree(fact, ("by", "evidence")):
            return "nobody answered that"
        return "" if lesson in self._charges else "no charge stands that could be upheld"

    def _tell(self, fact: Fact, wrong: str) -> None:
        if wrong:
            self._findings.report("I03", f"{fact.id}: {wrong}", [fact.id])

    def unsettled(self) -> list[Missing]:
        """Return what was taken back last and leaves a dispute open."""
        return [("I03", *_unsettled(id_)) for _, id_ in self._due.values()]


def _unsettled(id_: str) -> tuple[str, tuple[str, ...]]:
    return f"{id_} takes back a disputed charge, and the dispute goes on", (id_,)


def _lesson(fact: Fact) -> int:
    """Return a number for the lesson a fact is about; two lessons never share one in practice."""
    about = f"{fact.payer}|{fact.data.get('enrollment_id')}|{fact.data.get('lesson_id')}"
    return int.from_bytes(blake2b(about.encode(), digest_size=8).digest())


def _agree(fact: Fact, names: tuple[str, ...]) -> bool:
    """Return whether a fact says what its input says."""
    told = (fact.input or {}).get("data") or {}
    return all(
        told.get(name) == fact.data.get(name) for name in ("enrollment_id", "lesson_id", *names)
    )
