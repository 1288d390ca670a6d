"""A month of an enrollment under MONTHLY_CONTRACT: its charge and its marks.

`docs/rules.md`, section 7.
"""

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import EnrollmentId, Kopecks, Mark, Month
from services.billing.domain.purse import NO_KOPECKS


class MonthBook(Struct, frozen=True, kw_only=True):
    """`charged_kopecks` is what stands of the charge; `marked` and `cancelled` count lessons.

    An adjusted month takes no more marks.
    """

    charged_kopecks: Kopecks = NO_KOPECKS
    marked: int = 0
    cancelled: int = 0
    adjusted: bool = False

    def charging(self, amount: int) -> "MonthBook":
        """Return the month after a charge, or after it was taken back if negative."""
        return replace(self, charged_kopecks=Kopecks(self.charged_kopecks + amount))

    def marking(self, before: Mark | None, mark: Mark) -> "MonthBook":
        """Return the month after a lesson got a mark; `before` is the one it had."""
        return replace(
            self,
            marked=self.marked + (before is None),
            cancelled=self.cancelled + (mark is Mark.CANCELLED) - (before is Mark.CANCELLED),
        )

    def adjusting(self, goes_back: int) -> "MonthBook":
        """Return the month after what the provider cancelled went back."""
        return replace(self.charging(-goes_back), adjusted=True)


def book_id(enrollment_id: EnrollmentId, month: Month) -> str:
    """Return the id of a month of an enrollment."""
    return f"{enrollment_id}/{month}"
