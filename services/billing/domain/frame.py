"""The frame agreement of the payer with a provider for a period, and what is bound under it.

`docs/rules.md`, section 5: reserved and paid together may not exceed its limit.
"""

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import Kopecks, PeriodId, ProviderId
from services.billing.domain.purse import NO_KOPECKS


class Frame(Struct, frozen=True, kw_only=True):
    """`limit_kopecks` None is no limit; `bound_kopecks` is all that is reserved and paid."""

    limit_kopecks: Kopecks | None = None
    bound_kopecks: Kopecks = NO_KOPECKS

    def limited(self, limit_kopecks: Kopecks | None) -> "Frame":
        """Return the agreement with another limit; what is bound stays."""
        return replace(self, limit_kopecks=limit_kopecks)

    def binding(self, amount: int) -> "Frame":
        """Return the agreement with so much more bound, or less if it is negative."""
        return replace(self, bound_kopecks=Kopecks(self.bound_kopecks + amount))

    def has_room_for(self, amount: int) -> bool:
        """Return whether so much more may be bound."""
        return self.limit_kopecks is None or self.bound_kopecks + amount <= self.limit_kopecks


def frame_id(provider_id: ProviderId, period: PeriodId) -> str:
    """Return the id of a frame agreement."""
    return f"{provider_id}/{period}"
