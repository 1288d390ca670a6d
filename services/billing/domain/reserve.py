"""The money set aside for one enrollment, from the reserve to its release.

`docs/rules.md`, sections 5 to 8.
"""

from datetime import date
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from contracts.vocabulary import (
    CertificateNumber,
    ChildId,
    DebitBasis,
    EnrollmentId,
    Kopecks,
    LessonId,
    Month,
    PeriodId,
    ProviderId,
    SignedKopecks,
)
from services.billing.domain.facts import (
    ChargeReversed,
    FundsReserved,
    LessonCharged,
    MonthAdjusted,
    MonthCharged,
    MonthReversed,
    Movement,
    ReserveReleased,
)
from services.billing.domain.months import PaidMonth, month_of, schedule
from services.billing.domain.uninvoiced import EMPTY, Sum, Uninvoiced

CANCELLED = "cancelled"
"""Cause of a release: the enrollment never became active."""
ENDED = "ended"
"""Cause of a release: the agreement is over, or will not reach the months it was set aside for."""


class Status(StrEnum):
    """What became of a reserve."""

    HELD = "held"
    RELEASED = "released"
    CANCELLED = "cancelled"


class Reserve(Struct, frozen=True, kw_only=True):
    """The reserve of an enrollment and all that marks of its lessons ask for.

    `ended_on` is known once enrollment said so. `months_charged` counts the months of a
    MONTHLY_CONTRACT that were charged. `extra_lesson` is the lesson whose standing charge holds the
    first lesson's extra. `exhausted` counts lessons that wait for one to become free.
    """

    child_id: ChildId
    certificate_number: CertificateNumber
    provider_id: ProviderId
    period: PeriodId
    debit_basis: DebitBasis
    reserved_on: date
    starts_on: date
    ends_on: date
    share_kopecks: Kopecks
    lessons: int
    lesson_share_kopecks: Kopecks
    first_lesson_extra_kopecks: Kopecks
    reserved_kopecks: Kopecks
    status: Status = Status.HELD
    ended_on: date | None = None
    lessons_charged: int = 0
    months_charged: int = 0
    extra_lesson: LessonId | None = None
    exhausted: int = 0
    uninvoiced: Uninvoiced = EMPTY

    @property
    def last_day(self) -> date:
        """Return the last day of the agreement, as far as it is known."""
        return self.ends_on if self.ended_on is None else min(self.ended_on, self.ends_on)

    @property
    def is_monthly(self) -> bool:
        """Return whether months are charged, whatever the attendance."""
        return self.debit_basis is DebitBasis.MONTHLY_CONTRACT

    @property
    def months(self) -> tuple[PaidMonth, ...]:
        """Return all months of a MONTHLY_CONTRACT as they were agreed."""
        return schedule(self.starts_on, self.ends_on, self.share_kopecks)

    @property
    def next_month(self) -> PaidMonth | None:
        """Return the month that is charged next, None if there is none any more."""
        if not self.is_monthly or self.status is not Status.HELD:
            return None
        months = self.months[self.months_charged :]
        return months[0] if months and months[0].opens_on <= self.last_day else None

    @property
    def next_charge_on(self) -> date | None:
        """Return the day from which the next month may be charged, None if there is none."""
        month = self.next_month
        return None if month is None else max(month.opens_on, self.reserved_on)

    def ending(self, ended_on: date) -> "Reserve":
        """Return the reserve of an agreement whose end became known."""
        return replace(self, ended_on=ended_on)

    def moving(self, fact: Movement, moved: tuple[Month, Sum] | None = None) -> "Reserve":
        """Return the reserve after a movement of money; `moved` is `moved_by` of it, if known."""
        uninvoiced = self.uninvoiced.moving(*(moved or moved_by(fact)))
        match fact:
            case LessonCharged():
                amount = fact.amount_kopecks
                has_extra = amount != self.lesson_share_kopecks
                return replace(
                    self,
                    uninvoiced=uninvoiced,
                    reserved_kopecks=Kopecks(self.reserved_kopecks - amount),
                    lessons_charged=self.lessons_charged + 1,
                    extra_lesson=fact.lesson_id if has_extra else self.extra_lesson,
                )
            case ChargeReversed():
                held_extra = self.extra_lesson == fact.lesson_id
                return replace(
                    self,
                    uninvoiced=uninvoiced,
                    reserved_kopecks=Kopecks(self.reserved_kopecks + fact.amount_kopecks),
                    lessons_charged=self.lessons_charged - 1,
                    extra_lesson=None if held_extra else self.extra_lesson,
                )
            case MonthCharged():
                return replace(
                    self,
                    uninvoiced=uninvoiced,
                    reserved_kopecks=Kopecks(self.reserved_kopecks - fact.amount_kopecks),
                    months_charged=self.months_charged + 1,
                )
            case MonthReversed():
                reserved_kopecks = Kopecks(self.reserved_kopecks + fact.amount_kopecks)
                return replace(self, uninvoiced=uninvoiced, reserved_kopecks=reserved_kopecks)
            case MonthAdjusted():
                return replace(self, uninvoiced=uninvoiced)

    def exhausting(self, difference: int) -> "Reserve":
        """Return the reserve with so many more lessons that wait for one to become free."""
        return replace(self, exhausted=self.exhausted + difference)

    def releasing(self, fact: ReserveReleased) -> "Reserve":
        """Return the reserve after money of it was released.

        Under MONTHLY_CONTRACT an end releases only what it will not reach: the rest is charged.
        """
        status = self.status
        if fact.cause == CANCELLED:
            status = Status.CANCELLED
        elif not self.is_monthly:
            status = Status.RELEASED
        return replace(
            self,
            status=status,
            reserved_kopecks=Kopecks(self.reserved_kopecks - fact.amount_kopecks),
        )

    def invoiced(self, month: Month) -> "Reserve":
        """Return the reserve after all up to a month went into an invoice."""
        return replace(self, uninvoiced=self.uninvoiced.without(month))


def opened(fact: FundsReserved, period: PeriodId, today: date) -> Reserve:
    """Return the reserve a fact opens."""
    return Reserve(
        child_id=fact.child_id,
        certificate_number=fact.certificate_number,
        provider_id=fact.provider_id,
        period=period,
        debit_basis=fact.debit_basis,
        reserved_on=today,
        starts_on=fact.starts_on,
        ends_on=fact.ends_on,
        share_kopecks=fact.certificate_share_kopecks,
        lessons=fact.lessons,
        lesson_share_kopecks=fact.lesson_share_kopecks,
        first_lesson_extra_kopecks=fact.first_lesson_extra_kopecks,
        reserved_kopecks=fact.certificate_share_kopecks,
    )


def moved_by(fact: Movement) -> tuple[Month, Sum]:
    """Return the month a movement belongs to, and what it adds to what is owed."""
    match fact:
        case LessonCharged():
            return month_of(fact.lesson_date), _sum(1, fact.amount_kopecks)
        case ChargeReversed():
            return month_of(fact.lesson_date), _sum(-1, -fact.amount_kopecks)
        case MonthCharged():
            return fact.month, _sum(0, fact.amount_kopecks)
        case MonthReversed() | MonthAdjusted():
            return fact.month, _sum(0, -fact.amount_kopecks)


def _sum(lessons: int, kopecks: int) -> Sum:
    return Sum(lessons=lessons, kopecks=SignedKopecks(kopecks))


class Asked(Struct, frozen=True, kw_only=True):
    """An enrollment whose reserve is being decided: what its answer does not repeat."""

    enrollment_id: EnrollmentId
    period: PeriodId
