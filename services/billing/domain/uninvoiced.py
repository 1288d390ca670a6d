"""Movements of money that are in no invoice yet, of an enrollment or of a whole provider.

An invoice takes what belongs to lessons and months up to the end of the previous month, and
nothing lies in the future. So two sums are enough: of the latest month anything moved in, and of
all before.
"""

from dataclasses import dataclass

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
    """What moved in `latest_month`, and what moved in the months from `earliest_month` before it.

    `latest_month` is None if nothing moved, `earliest_month` if nothing moved before the latest.
    """

    latest_month: Month | None = None
    latest: Sum = NOTHING
    earliest_month: Month | None = None
    earlier: Sum = NOTHING

    @property
    def since(self) -> Month | None:
        """Return the first month anything moved in, None if nothing did."""
        return self.earliest_month or self.latest_month

    def moving(self, month: Month, moved: Sum) -> "Uninvoiced":
        """Return this with one more movement, which belongs to `month`."""
        if self.latest_month is None:
            return Uninvoiced(latest_month=month, latest=moved)
        if month == self.latest_month:
            return replace(self, latest=self.latest.plus(moved))
        if month < self.latest_month:
            return replace(
                self,
                earliest_month=min(month, self.since or month),
                earlier=self.earlier.plus(moved),
            )
        return Uninvoiced(
            latest_month=month,
            latest=moved,
            earliest_month=self.since,
            earlier=self.earlier.plus(self.latest),
        )

    def up_to(self, month: Month) -> Sum:
        """Return the sum of all that belongs to `month` or one before it."""
        if self.latest_month is not None and self.latest_month <= month:
            return self.earlier.plus(self.latest)
        return self.earlier

    def without(self, month: Month) -> "Uninvoiced":
        """Return this after all up to `month` went into an invoice."""
        if self.latest_month is not None and self.latest_month <= month:
            return EMPTY
        return Uninvoiced(latest_month=self.latest_month, latest=self.latest)


EMPTY = Uninvoiced()
