"""What the cabinet keeps, and under which names.

Journals are read in the order of their appends, which between two journals of one moment says
little. So each model is fed by one journal alone; what belongs together is joined when it is asked
for (`*_queries.py`). Lists are indexes: no model grows with children, lessons or days.

Ids are the payer's (docs/rules.md, section 2), so everything stands under payer and id.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

LISTED_FACTS_MAX = 20
"""So many of the facts a message tells of are kept; a digest may gather more."""

LINES_PER_PAGE = 50
"""So many lines of an invoice are kept together."""

TURN_MAX = 10**15 - 1
"""Greatest number of a journal record: fifteen digits (docs/events.md, section 1)."""


# --- from the journal of enrollment ------------------------------------------------------------


class Child(Struct, frozen=True, kw_only=True):
    """A child as its payer knows it."""

    birth_date: date
    guardian_ids: tuple[str, ...]
    benefits: tuple[str, ...] = ()


class Application(Struct, frozen=True, kw_only=True):
    """An application and what became of it, its agreement included."""

    child_id: str
    guardian_id: str
    group_id: str
    group_home: str
    state: str
    since: date | None
    """The business day of the last change."""
    submitted_on: date | None
    reason: str | None = None
    text: str | None = None
    title: str | None = None
    provider_id: str | None = None
    held_until: date | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    ended_on: date | None = None
    period: str | None = None


class Group(Struct, frozen=True, kw_only=True):
    """A group with its numbers. `asking` is whom the next step is about.

    Price and normative are those of the whole course of one child.
    """

    provider_id: str
    title: str
    registry: str
    direction: str
    age_min: int
    age_max: int
    starts_on: date
    ends_on: date
    lessons_total: int
    price_kopecks: int
    normative_kopecks: int
    enrollment_open: bool
    auto_accept: bool
    capacity: int = 0
    taken: int = 0
    waiting: int = 0
    asking: str | None = None
    asking_payer: str | None = None


class Turn(Struct, frozen=True, kw_only=True):
    """An enrollment's entry in the waiting list of a group."""

    group_id: str
    member: str


class Provider(Struct, frozen=True, kw_only=True):
    """A provider in its municipality; who is suspended takes no children."""

    title: str
    suspended: bool = False


class Period(Struct, frozen=True, kw_only=True):
    """An accounting period of a payer."""

    starts_on: date
    ends_on: date


class FrameAgreement(Struct, frozen=True, kw_only=True):
    """What payer and provider agreed for a period; without a state nothing was accepted yet.

    `revision` is the last that was sent, whatever became of it: the next change takes the one
    after it. So it is with all a payer sets.
    """

    revision: int = 0
    state: str | None = None
    limit_kopecks: int | None = None


class Policy(Struct, frozen=True, kw_only=True):
    """What a payer chose for a period."""

    revision: int = 0
    debit_basis: str | None = None
    issue_mode: str | None = None


# --- from the journal of certificates ----------------------------------------------------------


class Certificate(Struct, frozen=True, kw_only=True):
    """The certificate of a child, in all periods."""

    number: str
    frozen: bool = False
    closed: bool = False


class Grant(Struct, frozen=True, kw_only=True):
    """What a certificate grants in a period. `turn` is its entry in the queue of its category."""

    category: str
    state: str
    nominal_kopecks: int
    valid_from: date
    valid_until: date
    turn: str | None = None
    since: date | None = None
    """The business day from which it has its money, or its turn."""


class Category(Struct, frozen=True, kw_only=True):
    """A category of a payer in a period; nobody set it yet where the limits lack."""

    nominal_kopecks: int | None = None
    places_max: int | None = None
    budget_max_kopecks: int | None = None
    holders: int = 0
    granted_kopecks: int = 0
    revision: int = 0


class GrantedDay(Struct, frozen=True, kw_only=True):
    """What a category of a period granted on a business day; raises and corrections move money."""

    funded: int = 0
    granted_kopecks: int = 0


# --- from the journal of billing ---------------------------------------------------------------


class Purse(Struct, frozen=True, kw_only=True):
    """The money of a certificate in a period."""

    nominal_kopecks: int
    balance_kopecks: int
    reserved_kopecks: int
    paid_kopecks: int
    expired_kopecks: int
    corrected: bool = False
    """Whether the payer once set the nominal of this certificate by hand."""


class PeriodMoney(Struct, frozen=True, kw_only=True):
    """All purses of a payer in a period; `used` are those something is paid from."""

    purses: int = 0
    used: int = 0
    nominal_kopecks: int = 0
    balance_kopecks: int = 0
    reserved_kopecks: int = 0
    paid_kopecks: int = 0
    expired_kopecks: int = 0


class MoneyDay(Struct, frozen=True, kw_only=True):
    """By how much all purses of a payer in a period moved on a business day."""

    reserved_kopecks: int = 0
    paid_kopecks: int = 0


class Reserve(Struct, frozen=True, kw_only=True):
    """The money of an enrollment. Shares stand once money was set aside."""

    child_id: str
    period: str
    provider_id: str | None = None
    debit_basis: str | None = None
    total_kopecks: int | None = None
    certificate_share_kopecks: int | None = None
    parent_share_kopecks: int | None = None
    lessons: int | None = None
    lesson_share_kopecks: int | None = None
    lessons_charged: int = 0
    reserved_kopecks: int = 0
    charged_kopecks: int = 0


class LessonMark(Struct, frozen=True, kw_only=True):
    """What is known of a child at a lesson.

    `revision` is the last that was sent, whatever became of it: a correction takes the next. `mark`
    is the one that counts; `trouble` says why the last one does not, or not yet.
    """

    lesson_date: date
    revision: int
    mark: str | None = None
    trouble: str | None = None
    waits: bool = False


class Account(Struct, frozen=True, kw_only=True):
    """What a payer owes a provider, in whole."""

    charged_kopecks: int = 0
    invoiced_kopecks: int = 0
    settled_kopecks: int = 0
    agreements: int = 0
    """For which money was set aside, over or not."""
    lessons: int = 0
    """For which money was set aside; none where the month is paid."""
    lessons_charged: int = 0


class Invoice(Struct, frozen=True, kw_only=True):
    """An invoice; its lines stand apart, in so many pages."""

    provider_id: str
    month: str
    amount_kopecks: int
    settled: bool = False
    pages: int = 0
    paid_on: date | None = None
    payment_reference: str | None = None


class InvoiceLine(Struct, frozen=True, kw_only=True):
    """What one enrollment adds to an invoice."""

    line_reference: str
    enrollment_id: str
    certificate_number: str
    lessons: int
    amount_kopecks: int


class InvoicePage(Struct, frozen=True, kw_only=True):
    """Some lines of an invoice."""

    lines: tuple[InvoiceLine, ...]


# --- from several, each record by itself -------------------------------------------------------


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that happened to a child, as the family reads it. Its id is that of the fact."""

    at: str
    day: date | None
    kind: str
    text: str
    child_id: str
    enrollment_id: str | None = None
    lesson_id: str | None = None
    lesson_date: date | None = None
    amount_kopecks: int | None = None
    balance_kopecks: int | None = None
    cause: str | None = None
    """What moved a nominal."""


class Dispute(Struct, frozen=True, kw_only=True):
    """The debit of a lesson that a family does not agree with; without an outcome it is open."""

    child_id: str
    provider_id: str
    lesson_date: date
    ground: str
    amount_kopecks: int
    opened_on: date
    outcome: str | None = None
    settled_on: date | None = None
    by: str | None = None
    evidence: str | None = None
    text: str | None = None
    """How it was settled, in words for the family."""


class Message(Struct, frozen=True, kw_only=True):
    """A message to someone by one channel."""

    recipient_id: str
    channel: str
    category: str
    template: str
    not_before: str
    at: str
    day: date | None
    event_ids: tuple[str, ...]
    facts: int
    state: str = "due"
    became_at: str | None = None
    """When it was sent, or failed."""


class Told(Struct, frozen=True, kw_only=True):
    """By which messages a person is told of a fact of billing; `untold` says why by none."""

    message_ids: tuple[str, ...] = ()
    untold: str | None = None


class Preferences(Struct, frozen=True, kw_only=True):
    """How a guardian wants to be told, as a payer's services heard it.

    `revision` is the last that was sent, whatever became of it. `channels` are by category.
    """

    revision: int = 0
    is_set: bool = False
    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    quiet_from: str | None = None
    quiet_until: str | None = None
    utc_offset: str | None = None
    digest: bool = False


class Decided(Struct, frozen=True, kw_only=True):
    """What became of one input record."""

    service: str
    decision: str
    reason: str | None = None


class Parked(Struct, frozen=True, kw_only=True):
    """An input that came too early and waits."""

    service: str
    type: str
    subject: str
    waits_for: str
    since: date | None
    until: date | None


class Progress(Struct, frozen=True, kw_only=True):
    """How far the decider of a topic is: the next record it is to decide."""

    next: int = 0


class OwnRules(Struct, frozen=True, kw_only=True):
    """Rows of a rule table that a payer published and that were accepted."""

    basis: str
    rows: tuple[dict[str, Any], ...]


KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "child": Child,
        "application": Application,
        "group": Group,
        "turn": Turn,
        "provider": Provider,
        "period": Period,
        "certificate": Certificate,
        "grant": Grant,
        "category": Category,
        "purse": Purse,
        "reserve": Reserve,
        "lesson-mark": LessonMark,
        "account": Account,
        "invoice": Invoice,
        "invoice-page": InvoicePage,
        "entry": Entry,
        "dispute": Dispute,
        "message": Message,
        "told": Told,
        "preferences": Preferences,
        "decided": Decided,
        "parked": Parked,
        "progress": Progress,
        "own-rules": OwnRules,
        "frame-agreement": FrameAgreement,
        "policy": Policy,
        "granted-day": GrantedDay,
        "period-money": PeriodMoney,
        "money-day": MoneyDay,
    }
)
"""Read models by the name they are stored under; ids are made by `under`."""


# --- names -------------------------------------------------------------------------------------

CHILDREN_OF = "children-of"
"""guardian | payer | child"""
GUARDIANS = "guardians"
"""guardian"""
APPLICATIONS = "applications"
"""enrollment | payer"""
APPLICATIONS_OF = "applications-of"
"""payer | child | enrollment"""
ENROLLMENTS_OF = "enrollments-of"
"""payer of the group's home | group | payer | enrollment; in the partition of the child"""
GROUPS_OF = "groups-of"
"""provider | payer of its home | group"""
MARKS = "marks"
"""payer | enrollment | day of the lesson | lesson"""
INVOICES_OF = "invoices-of"
"""provider | month | payer | invoice"""
GROUPS = "groups"
"""group | payer of its home"""
PROVIDERS = "providers"
"""provider | payer of its home"""
PAYERS = "payers"
"""payer"""
PERIODS = "periods"
"""payer | period"""
CATEGORIES = "categories"
"""payer | period | category"""
CERTIFICATES = "certificates"
"""child | payer"""
NUMBERS = "numbers"
"""number | payer | child"""
GRANTS = "grants"
"""payer | child | period"""
ACCOUNTS = "accounts"
"""provider | payer"""
INVOICES = "invoices"
"""invoice | payer"""
BORN = "born"
"""payer | day of birth | child"""
SUBMITTED = "submitted"
"""payer | day | enrollment"""
AGREED = "agreed"
"""payer | period | days since the application | enrollment"""
COVERED = "covered"
"""payer | period | child: once, however many agreements it has"""
REFUSED = "refused"
"""payer | reason | day | enrollment"""
GROUPS_IN = "groups-in"
"""payer of their home | group"""
FRAME_AGREEMENTS = "frame-agreements"
"""payer | period | provider"""
OWN_RULES = "own-rules"
"""payer | table | first day | day of publication"""
GRANTED_DAYS = "granted-days"
"""payer | period | category | day"""
HOLDERS = "holders"
"""payer | period | category | child: who has a certificate with money, not closed"""
MONEY_DAYS = "money-days"
"""payer | period | day"""
PROVIDERS_OF = "providers-of"
"""payer | provider that is owed something, or was"""
INVOICES_BY = "invoices-by"
"""payer | month | invoice"""
DISPUTES_AT = "disputes-at"
"""provider | day it was disputed | payer | enrollment | lesson: open ones"""
DISPUTES_BY = "disputes-by"
"""payer | day it was disputed | enrollment | lesson: open ones"""
DISPUTES_OF = "disputes-of"
"""payer | child | day it was disputed | enrollment | lesson: open ones"""
UPHELD_BY = "upheld-by"
"""payer | number in the journal, backwards | enrollment | lesson: those whose debit stands"""
PARKED = "parked"
"""service | topic | partition | offset"""
HISTORY = "history"
"""payer | child | day | rank of the journal and number in it | id of the fact"""
MESSAGES = "messages"
"""recipient | number in the journal, backwards | message"""


def waiting_list(payer: str, group_id: str) -> str:
    """Return the index of who waits for a group: number in the journal | child's payer | id."""
    return f"waiting/{payer}/{group_id}"


def queue(payer: str, period: str, category: str) -> str:
    """Return the index of who waits for money of a category: number in the journal | child."""
    return f"queue/{payer}/{period}/{category}"


def under(*names: str) -> str:
    """Return the id a model stands under."""
    return "/".join(names)


def member(*parts: str) -> str:
    """Return an entry of an index. Ids hold no bar (docs/events.md, section 1)."""
    return "|".join(parts)


def beginning(*parts: str) -> tuple[str, str]:
    """Return start and end of the entries that begin with these parts, and have more."""
    start = member(*parts)
    # "}" is the letter after "|".
    return f"{start}|", f"{start}}}"


def numbered(seq: int) -> str:
    """Return the number of a record so that text sorts as numbers do."""
    return f"{seq:015d}"


def numbered_backwards(seq: int) -> str:
    """Return the number of a record so that the latest sorts first."""
    return f"{TURN_MAX - seq:015d}"
