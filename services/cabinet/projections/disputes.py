"""Disputes of debits, from the journal of billing: for the family, the provider and the payer."""

from datetime import date

from msgspec.structs import replace

from contracts import billing
from contracts.disputes import DisputeAnswered, LessonDisputed
from contracts.envelope import Envelope
from contracts.vocabulary import DisputeOutcome, Service
from services.cabinet.projections.models import (
    DISPUTES_AT,
    DISPUTES_BY,
    DISPUTES_OF,
    UPHELD_BY,
    Dispute,
    member,
    numbered_backwards,
    under,
)
from services.cabinet.projections.projection import (
    About,
    cabinet,
    decides,
    payer_of,
    seq_of,
    tell,
)
from streaming.follower import Models

decides(Service.BILLING, LessonDisputed)
decides(Service.BILLING, DisputeAnswered)


@cabinet.of(billing.DisputeOpened)
def dispute_opened(fact: billing.DisputeOpened, envelope: Envelope, models: Models) -> None:
    """A family disputes a debit; who can answer finds it in a list, the oldest first."""
    dispute = Dispute(
        child_id=fact.child_id,
        provider_id=fact.provider_id,
        lesson_date=fact.lesson_date,
        ground=fact.ground.value,
        amount_kopecks=fact.amount_kopecks,
        opened_on=envelope.businessday or date.min,
    )
    models.put(_id(fact, envelope), dispute)
    for index, entry in _entries(fact, dispute, envelope):
        models.add(index, entry)
    _tell(fact, envelope, models)


@cabinet.of(billing.DisputeSettled)
def dispute_settled(fact: billing.DisputeSettled, envelope: Envelope, models: Models) -> None:
    """It is over; of those in which the debit stands the payer keeps a list."""
    known = models.find(Dispute, _id(fact, envelope))
    if known is None:
        raise LookupError(f"{envelope.id}: nobody disputed {fact.lesson_id}")
    for index, entry in _entries(fact, known, envelope):
        models.discard(index, entry)
    settled = replace(
        known,
        outcome=fact.outcome.value,
        settled_on=envelope.businessday,
        by=None if fact.by is None else fact.by.value,
        evidence=None if fact.evidence is None else fact.evidence.value,
        text=fact.why.text,
    )
    models.put(_id(fact, envelope), settled)
    if fact.outcome is DisputeOutcome.UPHELD:
        turn = numbered_backwards(seq_of(envelope))
        place = (payer_of(envelope), turn, fact.enrollment_id, fact.lesson_id)
        models.add(UPHELD_BY, member(*place))
    _tell(fact, envelope, models)


_Fact = billing.DisputeOpened | billing.DisputeSettled


def _id(fact: _Fact, envelope: Envelope) -> str:
    return under(payer_of(envelope), fact.enrollment_id, fact.lesson_id)


def _entries(fact: _Fact, dispute: Dispute, envelope: Envelope) -> tuple[tuple[str, str], ...]:
    """Return where an open dispute stands: with the provider, the payer and the child."""
    payer, day = payer_of(envelope), dispute.opened_on.isoformat()
    lesson = (fact.enrollment_id, fact.lesson_id)
    return (
        (DISPUTES_AT, member(dispute.provider_id, day, payer, *lesson)),
        (DISPUTES_BY, member(payer, day, *lesson)),
        (DISPUTES_OF, member(payer, dispute.child_id, day, *lesson)),
    )


def _tell(fact: _Fact, envelope: Envelope, models: Models) -> None:
    """It moves no money, so its line names no sum."""
    about = About(
        enrollment_id=fact.enrollment_id, lesson_id=fact.lesson_id, lesson_date=fact.lesson_date
    )
    tell(envelope, models, fact.child_id, fact.why.text, about)
