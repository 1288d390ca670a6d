"""A certificate as billing knows it, and its account of a period.

`docs/rules.md`, sections 4 and 8. The certificate itself is not billing's: only what a reserve or a
nominal depends on is kept.
"""

from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import (
    CertificateNumber,
    ChildId,
    EnrollmentId,
    FundsRefusal,
    InputRefusal,
    Kopecks,
    NominalCause,
    PeriodId,
)
from services.billing.domain.facts import AccountOpened, NominalApplied, PeriodExpired
from services.billing.domain.purse import EMPTY_PURSE, Purse


class Certificate(Struct, frozen=True, kw_only=True):
    """The certificate of a child: whether it may be used."""

    number: CertificateNumber
    frozen: bool = False
    closed: bool = False


class NoCertificate(Struct, frozen=True, kw_only=True):
    """Certificates answered an enrollment: the child gets none."""

    reason: FundsRefusal
    text: str


class Period(Struct, frozen=True, kw_only=True):
    """A period of the payer; both days belong to it."""

    starts_on: date
    ends_on: date


class Account(Struct, frozen=True, kw_only=True):
    """The account of a certificate in a period.

    `funded` is False for a certificate of accounting, which holds no money. `echoes` are the
    differences of nominals corrected by hand here that certificates has not repeated yet: it
    follows each of them, and what it then says must not be applied again.
    """

    certificate_number: CertificateNumber
    funded: bool
    purse: Purse = EMPTY_PURSE
    echoes: tuple[int, ...] = ()

    def hearing(self, difference: int) -> "Account":
        """Return the account after certificates said that the nominal moved by a difference."""
        if difference not in self.echoes:
            return self
        at = self.echoes.index(difference)
        return replace(self, echoes=(*self.echoes[:at], *self.echoes[at + 1 :]))

    def after(self, fact: AccountOpened | NominalApplied | PeriodExpired) -> "Account":
        """Return the account after a fact about it."""
        if not isinstance(fact, NominalApplied):
            return replace(self, purse=fact.purse)
        difference = fact.nominal_kopecks - fact.previous_kopecks
        echoes = self.echoes
        if fact.cause is NominalCause.CORRECTED and difference != 0:
            echoes = (*echoes, difference)
        funded = self.funded or fact.cause is NominalCause.FUNDED
        return replace(self, purse=fact.purse, echoes=echoes, funded=funded)


def account_id(child_id: ChildId, period: PeriodId) -> str:
    """Return the id of an account."""
    return f"{child_id}/{period}"


def open_account(
    child_id: ChildId, number: CertificateNumber, period: PeriodId, nominal_kopecks: Kopecks
) -> AccountOpened:
    """Return the fact that opens an account with its whole nominal as balance."""
    return AccountOpened(
        child_id=child_id,
        certificate_number=number,
        period=period,
        purse=EMPTY_PURSE.granting(nominal_kopecks),
    )


def move_nominal(
    child_id: ChildId, period: PeriodId, account: Account, difference: int, cause: NominalCause
) -> NominalApplied:
    """Return the fact that moves a nominal by a difference in kopecks."""
    purse = account.purse.granting(difference)
    return NominalApplied(
        child_id=child_id,
        certificate_number=account.certificate_number,
        period=period,
        previous_kopecks=account.purse.nominal_kopecks,
        nominal_kopecks=purse.nominal_kopecks,
        cause=cause,
        purse=purse,
    )


def correct_nominal(
    child_id: ChildId,
    period_id: PeriodId,
    account: Account | None,
    *,
    is_closed: bool,
    nominal_kopecks: Kopecks,
) -> NominalApplied | InputRefusal:
    """Return the nominal set by hand, or the first reason against it (section 4)."""
    if account is None:
        return InputRefusal.UNKNOWN_CERTIFICATE
    if is_closed:
        return InputRefusal.PERIOD_CLOSED
    if not account.funded:
        return InputRefusal.NOT_FUNDED
    difference = nominal_kopecks - account.purse.nominal_kopecks
    if account.purse.balance_kopecks + difference < 0:
        return InputRefusal.WOULD_GO_NEGATIVE
    return move_nominal(child_id, period_id, account, difference, NominalCause.CORRECTED)


def expire(child_id: ChildId, period: PeriodId, account: Account) -> PeriodExpired:
    """Return the fact that the balance went back to the budget."""
    return PeriodExpired(
        child_id=child_id,
        certificate_number=account.certificate_number,
        period=period,
        expired_kopecks=account.purse.balance_kopecks,
        purse=account.purse.expiring(),
    )


class NoAgreement(Struct, frozen=True, kw_only=True):
    """An application that was refused or an enrollment that was cancelled: it takes no marks."""

    enrollment_id: EnrollmentId
