"""A child's certificate, and what it grants in one period."""

from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import CategoryId, CertificateNumber, CertificateState, Kopecks


class Certificate(Struct, frozen=True, kw_only=True):
    """A certificate, once in a life. It is closed with `closes_on`, the 18th birthday."""

    number: CertificateNumber
    closes_on: date
    frozen: bool = False
    closed: bool = False

    def closing_on(self, day: date) -> "Certificate":
        """Return the certificate after the birth date was corrected."""
        return replace(self, closes_on=day)

    def after_freeze(self, *, frozen: bool) -> "Certificate":
        """Return the certificate after it was frozen or freed."""
        return replace(self, frozen=frozen)

    def after_closing(self) -> "Certificate":
        """Return the certificate after its end."""
        return replace(self, closed=True)


class Grant(Struct, frozen=True, kw_only=True):
    """What a certificate grants in a period. `turn` is its place in the queue, while it waits.

    `corrected` says that the payer set the nominal by hand: no raise of the category touches it.
    """

    category: CategoryId
    state: CertificateState
    nominal_kopecks: Kopecks
    corrected: bool = False
    turn: str | None = None

    @property
    def is_funded(self) -> bool:
        """Return whether there is money on the certificate in this period."""
        return self.state is CertificateState.FUNDED

    @property
    def is_settled(self) -> bool:
        """Return whether asking for money again changes nothing: it is there, or waited for."""
        return self.is_funded or self.turn is not None

    def after_queueing(self, category: CategoryId, turn: str) -> "Grant":
        """Return the grant after it began to wait."""
        return replace(self, category=category, turn=turn)

    def after_funding(self, category: CategoryId, nominal_kopecks: Kopecks) -> "Grant":
        """Return the grant after it got its nominal."""
        return replace(
            self,
            category=category,
            state=CertificateState.FUNDED,
            nominal_kopecks=nominal_kopecks,
            turn=None,
        )

    def after_change(self, nominal_kopecks: Kopecks) -> "Grant":
        """Return the grant with another nominal."""
        return replace(self, nominal_kopecks=nominal_kopecks)

    def after_correction(self) -> "Grant":
        """Return the grant after the payer set its nominal by hand."""
        return replace(self, corrected=True)

    def after_leaving_queue(self) -> "Grant":
        """Return the grant after its certificate was closed while it waited."""
        return replace(self, turn=None)
