"""A child, as far as its certificate depends on it."""

from datetime import date, timedelta

from msgspec import Struct

from contracts.vocabulary import BenefitCode, GuardianId

GROWN_UP_YEARS = 18
"""A certificate ends with this birthday (docs/rules.md, section 4)."""


class Child(Struct, frozen=True, kw_only=True):
    """What is known of a child; a new revision replaces it and counts for later decisions."""

    birth_date: date
    guardian_ids: tuple[GuardianId, ...]
    benefits: tuple[BenefitCode, ...]

    def age_on(self, day: date) -> int:
        """Return the age in full years on a day; negative before birth."""
        years = day.year - self.birth_date.year
        return years if self.birthday(years) <= day else years - 1

    def birthday(self, years: int) -> date:
        """Return the day on which the child turns `years`: 1 March for a 29 February without one.

        docs/rules.md, section 1.
        """
        year = self.birth_date.year + years
        try:
            return self.birth_date.replace(year=year)
        except ValueError:
            return date(year, 3, 1)

    @property
    def grown_up_on(self) -> date:
        """Return the 18th birthday."""
        return self.birthday(GROWN_UP_YEARS)

    @property
    def last_day(self) -> date:
        """Return the last day a certificate of this child can be valid."""
        return self.grown_up_on - timedelta(days=1)
