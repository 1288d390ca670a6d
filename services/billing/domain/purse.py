"""The money of a certificate in one period.

`docs/rules.md` section 1: nominal = balance + reserved + paid + expired, always.
"""

from msgspec import Struct

from contracts.vocabulary import Kopecks

NO_KOPECKS = Kopecks(0)


class Purse(Struct, frozen=True, kw_only=True):
    """Five sums in kopecks; the first is the sum of the others."""

    nominal_kopecks: Kopecks
    balance_kopecks: Kopecks
    reserved_kopecks: Kopecks
    paid_kopecks: Kopecks
    expired_kopecks: Kopecks

    def granting(self, difference: int) -> "Purse":
        """Return the purse with a nominal changed by the difference, which may be negative."""
        return self._moved(nominal=difference, balance=difference)

    def reserving(self, amount: int) -> "Purse":
        """Return the purse after a sum was set aside."""
        return self._moved(balance=-amount, reserved=amount)

    def releasing(self, amount: int) -> "Purse":
        """Return the purse after a sum that was set aside came back."""
        return self._moved(balance=amount, reserved=-amount)

    def charging(self, amount: int) -> "Purse":
        """Return the purse after a reserved sum was paid."""
        return self._moved(reserved=-amount, paid=amount)

    def reversing(self, amount: int) -> "Purse":
        """Return the purse after a paid sum went back into the reserve."""
        return self._moved(reserved=amount, paid=-amount)

    def adjusting(self, amount: int) -> "Purse":
        """Return the purse after a paid sum went back to the balance."""
        return self._moved(balance=amount, paid=-amount)

    def expiring(self) -> "Purse":
        """Return the purse after its balance went back to the budget."""
        return self._moved(balance=-self.balance_kopecks, expired=self.balance_kopecks)

    @property
    def may_expire(self) -> bool:
        """Return whether there is a balance and nothing reserved that could still return to it."""
        return self.reserved_kopecks == 0 and self.balance_kopecks > 0

    def _moved(
        self,
        *,
        nominal: int = 0,
        balance: int = 0,
        reserved: int = 0,
        paid: int = 0,
        expired: int = 0,
    ) -> "Purse":
        return Purse(
            nominal_kopecks=Kopecks(self.nominal_kopecks + nominal),
            balance_kopecks=Kopecks(self.balance_kopecks + balance),
            reserved_kopecks=Kopecks(self.reserved_kopecks + reserved),
            paid_kopecks=Kopecks(self.paid_kopecks + paid),
            expired_kopecks=Kopecks(self.expired_kopecks + expired),
        )


EMPTY_PURSE = Purse(
    nominal_kopecks=NO_KOPECKS,
    balance_kopecks=NO_KOPECKS,
    reserved_kopecks=NO_KOPECKS,
    paid_kopecks=NO_KOPECKS,
    expired_kopecks=NO_KOPECKS,
)
