"""Movements of money that are in no invoice yet, of an enrollment or of a whole provider.

An invoice takes what belongs to lessons and months up to the end of the previous month. Days may be
skipped: then later months have moved before an invoice is made, so each month has a sum of its own.
"""

from bisect import bisect_left
from functools import reduce
from operator import itemgetter

from msgspec import Struct

from contracts.vocabulary import Month, SignedKopecks


class Sum(Struct, frozen=True, kw_only=True):
    """A number of lessons and an amount; both may be negative."""

    lessons: int
    kopecks: SignedKopecks

    def plus(self, other: "Sum") -> "Sum":
        """Return both together."""
        return Sum(
            lessons=self.lessons + other.lessons,
            kopecks=SignedKopecks(self.kopecks + other.kopecks),
        )


NOTHING = Sum(lessons=0, kopecks=SignedKopecks(0))


class Uninvoiced(Struct, frozen=True, kw_only=True):
    """What moved in each month, the earliest first."""

    months: tuple[tuple[Month, Sum], ...] = ()

    @property
    def since(self) -> Month | None:
        """Return the first month anything moved in, None if nothing did."""
        return self.months[0][0] if self.months else None

    def moving(self, month: Month, moved: Sum) -> "Uninvoiced":
        """Return this with one more movement, which belongs to `month`."""
        months = self.months
        at = bisect_left(months, month, key=itemgetter(0))
        later = months[at:]
        if later and later[0][0] == month:
            moved, later = later[0][1].plus(moved), later[1:]
        return Uninvoiced(months=(*months[:at], (month, moved), *later))

    def up_to(self, month: Month) -> Sum:
        """Return the sum of all that belongs to `month` or one before it."""
        return reduce(Sum.plus, (moved for each, moved in self.months if each <= month), NOTHING)

    def without(self, month: Month) -> "Uninvoiced":
        """Return this after all up to `month` went into an invoice."""
        return Uninvoiced(months=tuple(each for each in self.months if each[0] > month))


EMPTY = Uninvoiced()
