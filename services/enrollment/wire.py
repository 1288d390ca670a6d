"""Between the contracts and the domain. Old versions are lifted here and nowhere else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from contracts import commands as command_contracts
from contracts import enrollment as contracts
from contracts.billing import FundsRefused
from contracts.enrollment import Terms as TermsContract
from contracts.envelope import EventData
from contracts.navigator import (
    ApplicationSubmitted,
    ChildRegistered,
    GroupPublished,
    ProviderRegistered,
)
from contracts.payers import EnrollmentClosed, FrameAgreementSet, PeriodOpened, RulesPublished
from contracts.vocabulary import PayerCode
from services.enrollment.domain import commands, facts
from services.enrollment.domain.application import Application
from services.enrollment.domain.child import Child
from services.enrollment.domain.payer import Closing, FrameAgreement, Period, Publication
from services.enrollment.domain.places import Group, Provider
from services.enrollment.domain.terms import Terms

FACTS: Mapping[type[Any], type[EventData]] = MappingProxyType(
    {
        facts.ApplicationRegistered: contracts.ApplicationRegistered,
        facts.ApplicationRefused: contracts.ApplicationRefused,
        facts.ApplicationWaitlisted: contracts.ApplicationWaitlisted,
        facts.PlaceHeld: contracts.PlaceHeld,
        facts.ChildEnrolled: contracts.ChildEnrolled,
        facts.AgreementActivated: contracts.AgreementActivated,
        facts.EnrollmentCancelled: contracts.EnrollmentCancelled,
        facts.EnrollmentEnded: contracts.EnrollmentEnded,
        facts.GroupChanged: contracts.GroupChanged,
    }
)
"""What each fact is published as; the names of the fields are the same."""

COMMANDS: Mapping[type[Any], type[EventData]] = MappingProxyType(
    {
        commands.PlaceRequested: command_contracts.PlaceRequested,
        commands.PlaceAnswered: command_contracts.PlaceAnswered,
        commands.PlaceReturned: command_contracts.PlaceReturned,
    }
)
"""What each command is sent as."""


def to_provider(event: ProviderRegistered) -> Provider:
    """Return a provider as it is now."""
    return Provider(provider_id=event.provider_id, state=event.state)


def to_group(event: GroupPublished, home: PayerCode) -> Group:
    """Return a group in this revision, of the municipality `home`, without its places."""
    return Group(
        terms=Terms(
            group_id=event.group_id,
            group_home=home,
            provider_id=event.provider_id,
            programme_id=event.programme_id,
            title=event.title,
            registry=event.registry,
            direction=event.direction,
            age_min=event.age_min,
            age_max=event.age_max,
            price_kopecks=event.price_kopecks,
            normative_kopecks=event.normative_kopecks,
            lessons_total=event.lessons_total,
            starts_on=event.starts_on,
            ends_on=event.ends_on,
            auto_accept=event.auto_accept,
            revision=event.revision,
        ),
        capacity=event.capacity,
        enrollment_open=event.enrollment_open,
    )


def to_child(event: ChildRegistered) -> Child:
    """Return a child as the Navigator knows it now."""
    return Child(
        child_id=event.child_id, birth_date=event.birth_date, guardian_ids=event.guardian_ids
    )


def to_application(event: ApplicationSubmitted) -> Application:
    """Return what a guardian asks for."""
    return Application(
        enrollment_id=event.enrollment_id,
        child_id=event.child_id,
        guardian_id=event.guardian_id,
        group_id=event.group_id,
        group_home=event.group_home,
        parent_share_max_kopecks=event.parent_share_max_kopecks,
        consents=event.consents,
        waitlist_ok=event.waitlist_ok,
    )


def to_period(event: PeriodOpened) -> Period:
    """Return a period of the payer."""
    return Period(period=event.period, starts_on=event.starts_on, ends_on=event.ends_on)


def to_closing(event: EnrollmentClosed) -> Closing:
    """Return from which day on no places are held for a period."""
    return Closing(period=event.period, closes_on=event.closes_on)


def to_frame_agreement(event: FrameAgreementSet) -> FrameAgreement:
    """Return how payer and provider stand in a period."""
    return FrameAgreement(provider_id=event.provider_id, period=event.period, state=event.state)


def to_publication(event: RulesPublished) -> Publication:
    """Return the rows a payer published, as the rulebook reads them."""
    return Publication(table=event.table, data=event.to_data())


def to_place_requested(event: command_contracts.PlaceRequested) -> commands.PlaceRequested:
    """Return the request for a place."""
    return commands.PlaceRequested(
        enrollment_id=event.enrollment_id,
        child_payer=event.child_payer,
        group_id=event.group_id,
        waitlist_ok=event.waitlist_ok,
    )


def to_place_answered(event: command_contracts.PlaceAnswered) -> commands.PlaceAnswered:
    """Return the answer about a place."""
    return commands.PlaceAnswered(
        enrollment_id=event.enrollment_id,
        answer=event.answer,
        reason=event.reason,
        position=event.position,
        terms=None if event.terms is None else to_terms(event.terms),
    )


def to_terms(terms: TermsContract) -> Terms:
    """Return the terms a place is held on."""
    return Terms(
        group_id=terms.group_id,
        group_home=terms.group_home,
        provider_id=terms.provider_id,
        programme_id=terms.programme_id,
        title=terms.title,
        registry=terms.registry,
        direction=terms.direction,
        age_min=terms.age_min,
        age_max=terms.age_max,
        price_kopecks=terms.price_kopecks,
        normative_kopecks=terms.normative_kopecks,
        lessons_total=terms.lessons_total,
        starts_on=terms.starts_on,
        ends_on=terms.ends_on,
        auto_accept=terms.auto_accept,
        revision=terms.revision,
    )


def to_why(event: FundsRefused) -> facts.Why:
    """Return why funds were refused, in billing's words."""
    return {name: str(value) for name, value in event.why.to_data().items()}
