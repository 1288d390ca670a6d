"""A published fact as someone may be told of it. `docs/rules.md`, section 9."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from msgspec import Struct

from contracts.vocabulary import (
    ChildId,
    EnrollmentId,
    GroupId,
    Kopecks,
    PeriodId,
    ProviderId,
)
from services.notifications.domain import thresholds
from services.notifications.domain.people import Purse

LESSONS_LEFT_LOW = 3
"""So many paid lessons left, or fewer, are worth a word."""

LESSONS_RUN_OUT = "billing.lessons-left-low"
"""What the routing table calls a charge that leaves few lessons."""

DISPUTE_UPHELD = "billing.dispute-upheld"
"""What it calls a dispute after which the debit stands; where it went back, the reversal tells."""

DEBITS = frozenset(
    {
        "billing.charge-reversed",
        "billing.dispute-settled",
        DISPUTE_UPHELD,
        "billing.lesson-charged",
        "billing.month-adjusted",
        "billing.month-charged",
        "billing.month-reversed",
    }
)
"""What a digest may gather: facts whose reason tells in one line what became of the money.

Of others it does not (a reserve gives its price, not that little is left): they are told at once,
whatever category a payer calls them.
"""

HELD_AT_ONCE = "enrollment.place-held-at-once"
"""What it calls a place in a group that answers by itself: nobody has to be waited for."""

AFTER_THE_END: Mapping[str, str] = MappingProxyType(
    {
        "billing.reserve-released": "billing.reserve-released-late",
        "enrollment.enrollment-ended": "enrollment.enrollment-ended-late",
    }
)
"""What it calls facts when the money they return has ended: it goes back to the budget."""


class Occasion(Struct, frozen=True, kw_only=True):
    """What a fact is about, as far as it decides who is told, and of what.

    `word` is what the routing table calls it, `particular` a word it is asked for before that;
    `moved_kopecks` is what a month or a release moved;
    `part` is which part of a long fact this is; of a reserve `price_kopecks` is that of a lesson.
    """

    word: str
    particular: str | None = None
    child_id: ChildId | None = None
    enrollment_id: EnrollmentId | None = None
    group_id: GroupId | None = None
    provider_id: ProviderId | None = None
    lessons_left: int | None = None
    moved_kopecks: Kopecks | None = None
    part: int = 1
    period: PeriodId | None = None
    nominal_kopecks: Kopecks | None = None
    balance_kopecks: Kopecks | None = None
    price_kopecks: Kopecks | None = None

    @property
    def is_debit(self) -> bool:
        """Return whether a digest may gather it."""
        return self.word in DEBITS

    def words(
        self, *, were_low: bool, purse: Purse | None = None, today: date | None = None
    ) -> tuple[str, ...]:
        """Return what the routing is asked about, the most particular first; maybe nothing.

        A movement of nothing is no news, and a long invoice is told of once. That lessons run out
        is said once, until more became left (`were_low`: it was said already); that money does,
        when it comes to be so. Of money that comes back it matters whether it has ended `today`.
        """
        if self.moved_kopecks == 0 or self.part > 1:
            return ()
        if self.lessons_left is not None and is_low(self.lessons_left) and not were_low:
            return (LESSONS_RUN_OUT, self.word)
        if self._runs_low(purse or Purse()):
            return (thresholds.BALANCE_LOW, self.word)
        particular = self.particular or self._after_the_end(purse or Purse(), today)
        return (self.word,) if particular is None else (particular, self.word)

    def _after_the_end(self, purse: Purse, today: date | None) -> str | None:
        if purse.valid_until is None or today is None or today <= purse.valid_until:
            return None
        return AFTER_THE_END.get(self.word)

    def _runs_low(self, before: Purse) -> bool:
        if self.nominal_kopecks is None or self.balance_kopecks is None:
            return False
        price = self.price_kopecks or before.price_kopecks
        was = thresholds.is_low(
            before.nominal_kopecks, before.balance_kopecks, before.price_kopecks
        )
        return not was and thresholds.is_low(self.nominal_kopecks, self.balance_kopecks, price)


def is_low(lessons_left: int) -> bool:
    """Return whether so few paid lessons are left that the family should know."""
    return lessons_left <= LESSONS_LEFT_LOW
