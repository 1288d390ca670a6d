"""I05: every movement of money as a double entry; they sum to zero per payer and period.

The accounts of docs/rules.md, section 8. Each entry's sides are read from different members
wherever a fact says a sum twice, or are counted from earlier facts, so that a sum that was
tampered with leaves the books unequal. No account that money is taken from goes below nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from verification.findings import Findings
from verification.purses import Periods
from verification.records import Fact

Posting: TypeAlias = tuple[str, int]
"""An account, `<kind>:<whose>[:<period>]`, and what comes to it in kopecks."""

_OVERDRAWABLE = ("budget", "owed")
"""A budget is negative by all that was granted; a provider may owe what goes back."""
_TO_PROVIDER = ("lesson-charged", "month-charged")
_FROM_PROVIDER = ("charge-reversed", "month-reversed")


@dataclass(slots=True)
class _Invoice:
    stated: int = 0
    lines: Counter[str] = field(default_factory=Counter)
    """What its lines sum up to, by period of their enrollments."""
    events: list[str] = field(default_factory=list)
    settled: bool = False


class Ledger:
    """The double entries of billing's journal and what they add up to."""

    def __init__(self, findings: Findings, periods: Periods) -> None:
        self._findings = findings
        self._periods = periods
        self._accounts: Counter[tuple[str, str]] = Counter()
        """By payer and account: two payers may give their enrollments the same id."""
        self._nominals: Counter[tuple[str, str, str]] = Counter()
        self._by_lessons: set[tuple[str, str]] = set()
        self._invoices: dict[tuple[str, str], _Invoice] = {}
        self.trial: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        """By payer, period and business day: what came to each kind of account."""
        self.number = 0

    def fact(self, fact: Fact) -> None:
        """Book one fact of billing."""
        match fact.kind:
            case "invoice-issued":
                self._issue(fact)
            case "invoice-settled":
                self._settle(fact)
            case _:
                sides = self._sides(fact)
                if sides is not None:
                    self._book(fact, self._periods.of(fact), sides)

    def _sides(self, fact: Fact) -> tuple[Posting, Posting] | None:
        """Return where money comes from (a negative sum) and where it goes to."""
        data, payer = fact.data, fact.payer
        if "purse" not in data:
            return None
        period = self._periods.of(fact)
        available = f"available:{data['certificate_number']}:{period}"
        budget, expired = f"budget:{payer}:{period}", f"expired:{payer}:{period}"
        certificate = (payer, str(data["certificate_number"]), period)
        match fact.kind:
            case "account-opened":
                purse = data["purse"]
                self._nominals[certificate] = _kopecks(purse, "nominal_kopecks")
                return (
                    (budget, -_kopecks(purse, "nominal_kopecks")),
                    (available, _kopecks(purse, "balance_kopecks")),
                )
            case "nominal-applied":
                nominal, known = _kopecks(data, "nominal_kopecks"), self._nominals[certificate]
                self._nominals[certificate] = nominal
                raised = nominal - _kopecks(data, "previous_kopecks")
                return (budget, -raised), (available, nominal - known)
            case "period-expired":
                left = self._accounts[payer, available]
                return (available, -left), (expired, _kopecks(data, "expired_kopecks"))
            case _:
                return self._sides_of_enrollment(fact, available)

    def _sides_of_enrollment(self, fact: Fact, available: str) -> tuple[Posting, Posting] | None:
        data = fact.data
        reserved = f"reserved:{data['enrollment_id']}"
        owed = f"owed:{data.get('provider_id')}"
        if fact.kind == "funds-reserved":
            if data["debit_basis"] == "ATTENDED_LESSONS":
                self._by_lessons.add((fact.payer, str(data["enrollment_id"])))
            rest = _kopecks(data, "total_kopecks") - _kopecks(data, "parent_share_kopecks")
            return (available, -_kopecks(data, "certificate_share_kopecks")), (reserved, rest)
        amount = _kopecks(data, "amount_kopecks")
        if fact.kind in _TO_PROVIDER:
            return (reserved, -amount), (owed, amount)
        if fact.kind in _FROM_PROVIDER:
            return (owed, -amount), (reserved, amount)
        if fact.kind == "month-adjusted":
            return (owed, -amount), (available, amount)
        if fact.kind == "reserve-released":
            # Of a reserve by lessons all that is left returns; one by months may return in parts.
            whole = (fact.payer, str(data["enrollment_id"])) in self._by_lessons
            left = self._accounts[fact.payer, reserved] if whole else amount
            return (reserved, -left), (available, amount)
        return None

    def _issue(self, fact: Fact) -> None:
        """An invoice moves nothing, but says whose sums a payment will settle."""
        data = fact.data
        invoice = self._invoices.setdefault((fact.payer, str(data["invoice_id"])), _Invoice())
        invoice.stated = _kopecks(data, "amount_kopecks")
        invoice.events.append(fact.id)
        for line in data["lines"]:
            period = self._periods.of_enrollment(fact.payer, str(line["enrollment_id"]))
            invoice.lines[period] += _kopecks(line, "amount_kopecks")
        is_whole = data.get("part") == data.get("parts")
        total = invoice.lines.total()
        if is_whole and total != invoice.stated:
            detail = f"{data['invoice_id']} is of {invoice.stated}, its lines sum to {total}"
            self._findings.report("I05", detail, invoice.events)

    def _settle(self, fact: Fact) -> None:
        data = fact.data
        key = (fact.payer, str(data["invoice_id"]))
        invoice = self._invoices.get(key)
        if invoice is None or invoice.settled:
            said = "never issued" if invoice is None else "settled before"
            self._findings.report("I05", f"{data['invoice_id']} was {said}", [fact.id])
            return
        invoice.settled = True
        owed, settled = f"owed:{data['provider_id']}", f"settled:{data['provider_id']}"
        # What was paid beyond the lines stays in the first period and leaves it unequal.
        beyond = _kopecks(data, "amount_kopecks") - invoice.stated
        for period, sum_ in sorted(invoice.lines.items()):
            self._book(fact, period, ((owed, -sum_), (settled, sum_ + beyond)))
            beyond = 0

    def _book(self, fact: Fact, period: str, sides: tuple[Posting, Posting]) -> None:
        self.number += 1
        kinds = self.trial[fact.payer, period, fact.day]
        for account, kopecks in sides:
            kind = account.partition(":")[0]
            self._accounts[fact.payer, account] += kopecks
            kinds[kind] += kopecks
            left_over = self._accounts[fact.payer, account]
            if kopecks < 0 and left_over < 0 and kind not in _OVERDRAWABLE:
                detail = f"{fact.id}: {account} is at {left_over}"
                self._findings.report("I05", detail, [fact.id])
        (source, left), (target, came) = sides
        if left + came:
            detail = (
                f"{fact.id}: {-left} leave {source}, {came} come to {target}; "
                f"the books of {fact.payer} in {period} do not sum to zero"
            )
            self._findings.report("I05", detail, [fact.id])


def _kopecks(data: Mapping[str, object], name: str) -> int:
    """Return a sum; what is no whole number is I15's to tell."""
    value = data.get(name)
    return value if type(value) is int else 0
