"""Movements of money that are in no invoice yet, of an enrollment or of a whole provider.

An invoice takes what belongs to lessons and months up to the end of the previous month. Days may be
skipped: then later months have moved before an invoice is made, so each month has a sum of its own.
"""

from dataclasses import dataclass
from functools import reduce

from contracts.replacing import replace
from contracts.vocabulary import Month, SignedKopecks


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninvoiced:
    """What moved in each month, the earliest first."""

    months: tuple[tuple[Month, Sum], ...] = ()

    @property
    def since(self) -> Month | None:
        """Return the first month anything moved in, None if nothing did."""
        return self.months[0][0] if self.months else None

    def moving(self, month: Month, moved: Sum) -> "Uninvoiced":
        """Return this with one more movement, which belongs to `month`."""
        months = self.months
        if months and months[-1][0] == month:
            # Nearly always: the month that runs.
            return replace(self, months=(*months[:-1], (month, months[-1][1].plus(moved))))
        before = tuple(each for each in months if each[0] < month)
        after = months[len(before) :]
        if after and after[0][0] == month:
            moved, after = after[0][1].plus(moved), after[1:]
        return Uninvoiced(months=(*before, (month, moved), *after))

    def up_to(self, month: Month) -> Sum:
        """Return the sum of all that belongs to `month` or one before it."""
        return reduce(Sum.plus, (moved for each, moved in self.months if each <= month), NOTHING)

    def without(self, month: Month) -> "Uninvoiced":
        """Return this after all up to `month` went into an invoice."""
        return Uninvoiced(months=tuple(each for each in self.months if each[0] > month))


EMPTY = Uninvoiced()
