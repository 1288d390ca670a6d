"""What the auditor knows, all in one place, and what waits for something."""

import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.auditor.play import Entry, Memory, date
from tests.auditor.tables import Rulebook


@dataclass(frozen=True)
class Refused:
    """The answer to an input is no."""

    reason: str


@dataclass(frozen=True)
class Wait:
    """An input waits for a key; so many days from its arrival, then it is refused."""

    key: str
    refusal: str = ""
    days: int | None = None


Outcome = Refused | Wait | None
"""None: it was applied."""


@dataclass
class Waiting:
    """An input that waits."""

    entry: Entry
    order: int
    arrived: dt.date
    key: str = ""
    refusal: str = ""
    until: dt.date | None = None


@dataclass
class Child:
    """A child as its last revision says."""

    child_id: str
    birth: dt.date
    guardians: list[str]
    benefits: list[str]


@dataclass
class Period:
    """An accounting period."""

    period: str
    starts_on: dt.date
    ends_on: dt.date


Terms = Mapping[str, Any]
"""A group as one of its revisions says."""


@dataclass
class Group:
    """A group and its places. Enrollments are known by payer and id."""

    terms: Terms
    taken: list[tuple[str, str]] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Enrollment:
    """One child in one group, from application to end."""

    enrollment_id: str
    payer: str
    child_id: str
    guardian_id: str
    group_id: str
    group_home: str
    parent_share_max: int
    waitlist_ok: bool
    state: str = "REGISTERED"
    reason: str | None = None
    terms: Terms | None = None
    held_until: dt.date | None = None
    starts_on: dt.date | None = None
    ends_on: dt.date | None = None
    ended_on: dt.date | None = None
    period: str = ""
    has_place: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether nothing can be said about it any more."""
        return self.state in {"ENDED", "REFUSED", "CANCELLED"}


@dataclass
class Grant:
    """A certificate in one period, with its purse."""

    period: str
    category: str
    is_funded: bool
    valid_from: dt.date
    valid_until: dt.date
    nominal: int = 0
    balance: int = 0
    reserved: int = 0
    paid: int = 0
    expired: int = 0
    is_corrected: bool = False


@dataclass
class Certificate:
    """The certificate of a child."""

    number: str
    child_id: str
    is_frozen: bool = False
    is_closed: bool = False
    grants: dict[str, Grant] = field(default_factory=dict)
    movements: list[dict[str, Any]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The state in the words of `pfdo show`."""
        return "CLOSED" if self.is_closed else "FROZEN" if self.is_frozen else "ACTIVE"


@dataclass
class Category:
    """What a payer grants in a category and period, as its last revision says."""

    nominal: int
    places_max: int
    budget_max: int


@dataclass
class Lesson:
    """A lesson of an agreement under its revisions."""

    date: dt.date
    marks: dict[int, str] = field(default_factory=dict)
    charged: int | None = None
    has_extra: bool = False

    @property
    def mark(self) -> str:
        """The mark of the highest revision."""
        return self.marks[max(self.marks)]


@dataclass
class Month:
    """A month of an agreement under MONTHLY_CONTRACT."""

    amount: int
    opens_on: dt.date
    is_charged: bool = False
    is_over: bool = False
    """Reversed, or given back before it was charged."""
    is_adjusted: bool = False
    adjusted: int = 0
    """What went back of it."""


@dataclass
class Reserve:
    """The money of an agreement."""

    enrollment_id: str
    child_id: str
    provider_id: str
    period: str
    basis: str
    starts_on: dt.date
    ends_on: dt.date
    certificate_share: int
    parent_share: int
    lessons: int
    lesson_share: int
    extra: int
    reserved_on: dt.date
    reserved: int
    paid: int = 0
    ended_on: dt.date | None = None
    is_released: bool = False
    marked: dict[str, Lesson] = field(default_factory=dict)
    exhausted: list[str] = field(default_factory=list)
    """Lessons that count and came when all were used up, in their order."""
    disputes: dict[str, str] = field(default_factory=dict)
    """Lessons whose debit was disputed: open, corrected or upheld."""
    months: dict[str, Month] = field(default_factory=dict)

    @property
    def last_day(self) -> dt.date:
        """The last day of the agreement, as far as it is known."""
        return self.ends_on if self.ended_on is None else self.ended_on

    @property
    def lessons_charged(self) -> int:
        """How many lessons have a standing charge."""
        return sum(lesson.charged is not None for lesson in self.marked.values())


@dataclass
class Movement:
    """Money owed to a provider, or no longer owed."""

    enrollment_id: str
    month: str
    amount: int
    is_invoiced: bool = False


@dataclass
class Invoice:
    """An invoice of a provider to a payer."""

    invoice_id: str
    provider_id: str
    month: str
    lines: dict[str, int]
    is_settled: bool = False

    @property
    def amount(self) -> int:
        """Its sum."""
        return sum(self.lines.values())


@dataclass
class Payer:
    """All that belongs to one municipality; as home of its providers too."""

    code: str
    known_on: dt.date | None = None
    """The business day on which it was heard of, None before the first one."""
    children: dict[str, Child] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    """The state of each."""
    groups: dict[str, Group] = field(default_factory=dict)
    requests: dict[str, list[tuple[dt.date, Enrollment]]] = field(default_factory=dict)
    """Requests for places in groups nobody knows yet, and until when they wait."""
    periods: dict[str, Period] = field(default_factory=dict)
    closings: dict[str, dt.date] = field(default_factory=dict)
    """From when on nobody is enrolled in a period."""
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    frames: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    rules: Rulebook = field(default_factory=Rulebook)
    enrollments: dict[str, Enrollment] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    """By child."""
    categories: dict[tuple[str, str], Category] = field(default_factory=dict)
    """By category and period."""
    queues: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    reserves: dict[str, Reserve] = field(default_factory=dict)
    movements: dict[str, list[Movement]] = field(default_factory=dict)
    """By provider."""
    invoices: dict[str, Invoice] = field(default_factory=dict)
    invoiced_in: str = ""
    """The last month in which the invoices were made."""

    def period_of(self, day: dt.date) -> Period | None:
        """Return the period that contains a day, of several the one that began last."""
        holding = [it for it in self.periods.values() if it.starts_on <= day <= it.ends_on]
        return max(holding, key=lambda it: (it.starts_on, it.period), default=None)

    def grants(self, category: str, period: str) -> list[tuple[Certificate, Grant]]:
        """Return who has money of a category in a period, in order of number."""
        return [
            (certificate, grant)
            for certificate in sorted(self.certificates.values(), key=lambda it: it.number)
            if (grant := certificate.grants.get(period)) is not None
            and grant.category == category
            and grant.is_funded
        ]


Handler = Callable[["World", Entry], Outcome]


class World:
    """Everything, on one business day."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.payers: dict[str, Payer] = {}
        self.decisions: dict[int, tuple[str, str | None]] = {}
        self.todo: deque[Callable[[], None]] = deque()
        """What follows, in its order; done before anything else is heard."""
        self.waiting: dict[tuple[str, str], list[Waiting]] = {}
        self._today: dt.date | None = None
        self._memory = Memory()
        self._handlers = handlers
        self._arrivals = 0

    @property
    def today(self) -> dt.date:
        """The business day."""
        if self._today is None:
            raise ValueError("The play file must begin with a calendar event.")
        return self._today

    def open_day(self, day: dt.date) -> bool:
        """Begin a business day, unless it is not later than this one."""
        if self._today is not None and day <= self._today:
            return False
        self._today = day
        return True

    def payer(self, code: str) -> Payer:
        """Return a payer."""
        return self.payers.setdefault(code, Payer(code, known_on=self._today))

    def days(self, payer: str, table: str, name: str) -> int:
        """Return a number of days from a payer's rules of this business day."""
        return int(self.payer(payer).rules.ask(table, self.today)[name])

    def hear(self, entry: Entry) -> None:
        """Decide an input and do all that follows."""
        told_before = self._memory.heard_before(entry)
        if told_before == "duplicate":
            self.decisions[entry.line] = ("duplicate", None)
        elif told_before == "conflict":
            self.decisions[entry.line] = ("refused", "conflict")
        else:
            self._arrivals += 1
            self._decide(Waiting(entry, self._arrivals, self.today))
        self.settle()

    def settle(self) -> None:
        """Do all that follows."""
        while self.todo:
            self.todo.popleft()()

    def wake(self, payer: str, key: str) -> None:
        """Decide again, after what is to follow already, what waits for a key, by arrival."""
        self.todo.extend(self._woken(payer, key))

    def wake_at_once(self, payer: str, key: str) -> None:
        """Decide again, before all else that is to follow, what waits for a key, by arrival."""
        self.todo.extendleft(reversed(self._woken(payer, key)))

    def _woken(self, payer: str, key: str) -> list[Callable[[], None]]:
        return [partial(self._decide, it) for it in self.waiting.pop((payer, key), [])]

    def wake_for_today(self) -> None:
        """Decide what waited for a day that has come, in order of arrival."""
        come = [
            (payer, key)
            for payer, key in self.waiting
            if key.startswith("day:") and date(key.removeprefix("day:")) <= self.today
        ]
        woken = [it for place in come for it in self.waiting.pop(place)]
        for it in sorted(woken, key=lambda it: it.order):
            self._decide(it)
            self.settle()

    def give_up(self) -> None:
        """Refuse what has waited past its deadline."""
        for place, waiting in list(self.waiting.items()):
            late = [it for it in waiting if it.until is not None and self.today > it.until]
            self.waiting[place] = [it for it in waiting if it not in late]
            for it in late:
                self._refuse(it.entry, it.refusal)

    def _decide(self, waiting: Waiting) -> None:
        entry = waiting.entry
        match self._handlers[entry.type](self, entry):
            case None:
                self.decisions[entry.line] = ("applied", None)
            case Refused(reason):
                self._refuse(entry, reason)
            case Wait(key, refusal, days):
                waiting.key, waiting.refusal = key, refusal
                waiting.until = waiting.arrived + dt.timedelta(days) if days is not None else None
                self.waiting.setdefault((entry.payer, key), []).append(waiting)
                self.decisions[entry.line] = ("parked", key)

    def _refuse(self, entry: Entry, reason: str) -> None:
        self.decisions[entry.line] = ("refused", reason)
        self._memory.was_refused(entry)
