"""A child's certificate, and what it grants in one period."""

from dataclasses import dataclass, replace
from datetime import date

from contracts.vocabulary import CategoryId, CertificateNumber, CertificateState, Kopecks


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate, once in a life. It is closed with `closes_on`, the 18th birthday."""

    number: CertificateNumber
    closes_on: date
    frozen: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
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
