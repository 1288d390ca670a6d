"""A category of certificates in a period: nominal, places, budget, and what of it is used."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import CertificateNumber, Kopecks, QueueReason

NOTHING = Kopecks(0)
NOBODY = CertificateNumber("")


class Limits(Struct, frozen=True, kw_only=True):
    """What the payer set: the nominal of later certificates, and caps of places and budget."""

    nominal_kopecks: Kopecks
    places_max: int
    budget_max_kopecks: Kopecks


class Category(Struct, frozen=True, kw_only=True):
    """What a category grants, and what it has granted so far.

    `holders` are funded certificates that are not closed; `granted_kopecks` is the sum of all
    nominals granted in the period, those of closed certificates included: their money is spent.
    `raised_up_to` is the last number that got the nominal in force, while a raise is under way.
    """

    limits: Limits | None = None
    holders: int = 0
    granted_kopecks: Kopecks = NOTHING
    queued: int = 0
    raised_up_to: CertificateNumber = NOBODY

    @property
    def obstacle(self) -> QueueReason | None:
        """Return why one more certificate cannot be funded; None if there is a vacancy.

        docs/rules.md, section 4; both caps may be used up to the last place and kopeck.
        """
        limits = self.limits
        if limits is None:
            return QueueReason.CATEGORY_NOT_SET
        if self.holders >= limits.places_max:
            return QueueReason.NO_VACANCY
        if self.granted_kopecks + limits.nominal_kopecks > limits.budget_max_kopecks:
            return QueueReason.NO_VACANCY
        return None

    def after_limits(self, limits: Limits) -> "Category":
        """Return the category after the payer set it anew: what was granted stays granted."""
        return replace(self, limits=limits, raised_up_to=NOBODY)

    def after_grant(self, nominal_kopecks: Kopecks) -> "Category":
        """Return the category after one more certificate was funded."""
        return replace(
            self,
            holders=self.holders + 1,
            granted_kopecks=Kopecks(self.granted_kopecks + nominal_kopecks),
        )

    def after_change(self, nominal_kopecks: Kopecks, previous_kopecks: Kopecks) -> "Category":
        """Return the category after a nominal changed, by the difference."""
        return replace(
            self,
            granted_kopecks=Kopecks(self.granted_kopecks + nominal_kopecks - previous_kopecks),
        )

    def after_raise_of(self, number: CertificateNumber) -> "Category":
        """Return the category after the holder with this number got the nominal in force."""
        return replace(self, raised_up_to=number)

    def after_leaving(self) -> "Category":
        """Return the category after a holder's certificate was closed: the place is free again."""
        return replace(self, holders=self.holders - 1)

    def after_queueing(self) -> "Category":
        """Return the category after one more certificate began to wait."""
        return replace(self, queued=self.queued + 1)

    def after_dequeueing(self) -> "Category":
        """Return the category after a certificate waits no more."""
        return replace(self, queued=self.queued - 1)


class Held(Struct, frozen=True, kw_only=True):
    """How many certificates hold one and the same nominal."""

    nominal_kopecks: Kopecks
    certificates: int


def cost_of_raise(held: Iterable[Held], nominal_kopecks: Kopecks) -> Kopecks:
    """Return what it takes to give the nominal to all who hold less."""
    return Kopecks(
        sum(
            (nominal_kopecks - one.nominal_kopecks) * one.certificates
            for one in held
            if one.nominal_kopecks < nominal_kopecks
        )
    )
