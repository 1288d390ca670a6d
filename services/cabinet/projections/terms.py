"""What a payer agreed and chose for a period, from the journal of enrollment.

What was refused used its revision up: under the same one another content would be a conflict
(docs/events.md, section 3).
"""

from msgspec.structs import replace

from contracts.envelope import Envelope
from contracts.payers import FrameAgreementSet, PolicySet
from contracts.vocabulary import Service
from services.cabinet.projections.models import (
    FRAME_AGREEMENTS,
    FrameAgreement,
    Policy,
    member,
    under,
)
from services.cabinet.projections.projection import accepts, payer_of, unsettled
from streaming.follower import Models


@accepts(Service.ENROLLMENT, FrameAgreementSet)
def frame_agreement_set(event: FrameAgreementSet, envelope: Envelope, models: Models) -> None:
    """Payer and provider agreed, or ended it."""
    known = _frame(event, envelope, models)
    _put_frame(
        replace(known, state=event.state.value, limit_kopecks=event.limit_kopecks),
        event,
        envelope,
        models,
    )


@unsettled(Service.ENROLLMENT, FrameAgreementSet)
def frame_agreement_not_set(
    event: FrameAgreementSet, envelope: Envelope, models: Models, trouble: str | None
) -> None:
    """The one before holds on."""
    del trouble
    _put_frame(_frame(event, envelope, models), event, envelope, models)


@accepts(Service.ENROLLMENT, PolicySet)
def policy_set(event: PolicySet, envelope: Envelope, models: Models) -> None:
    """A payer chose how it charges and when certificates are issued."""
    chosen = Policy(
        revision=max(_policy(event, envelope, models).revision, event.revision),
        debit_basis=event.debit_basis.value,
        issue_mode=event.issue_mode.value,
    )
    models.put(under(payer_of(envelope), event.period), chosen)


@unsettled(Service.ENROLLMENT, PolicySet)
def policy_not_set(
    event: PolicySet, envelope: Envelope, models: Models, trouble: str | None
) -> None:
    """The one before holds on."""
    del trouble
    known = _policy(event, envelope, models)
    revision = max(known.revision, event.revision)
    models.put(under(payer_of(envelope), event.period), replace(known, revision=revision))


def _policy(event: PolicySet, envelope: Envelope, models: Models) -> Policy:
    return models.find(Policy, under(payer_of(envelope), event.period)) or Policy()


def _frame(event: FrameAgreementSet, envelope: Envelope, models: Models) -> FrameAgreement:
    id_ = under(payer_of(envelope), event.period, event.provider_id)
    return models.find(FrameAgreement, id_) or FrameAgreement()


def _put_frame(
    agreement: FrameAgreement, event: FrameAgreementSet, envelope: Envelope, models: Models
) -> None:
    place = (payer_of(envelope), event.period, event.provider_id)
    revision = max(agreement.revision, event.revision)
    models.put(under(*place), replace(agreement, revision=revision))
    models.add(FRAME_AGREEMENTS, member(*place))
