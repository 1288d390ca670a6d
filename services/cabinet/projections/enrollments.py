"""Children, applications and agreements, from the journal of enrollment."""

from datetime import date

from msgspec.structs import replace

from contracts.enrollment import (
    AgreementActivated,
    ApplicationRefused,
    ApplicationRegistered,
    ApplicationWaitlisted,
    ChildEnrolled,
    EnrollmentCancelled,
    EnrollmentEnded,
    PlaceHeld,
)
from contracts.envelope import Envelope
from contracts.navigator import (
    ApplicationAccepted,
    ApplicationRejected,
    ApplicationSubmitted,
    ApplicationWithdrawn,
    ChildRegistered,
    EnrollmentTerminated,
)
from contracts.vocabulary import EndCause, Service
from rulebook.wording import full_date, rubles
from services.cabinet.projections.models import (
    AGREED,
    APPLICATIONS,
    APPLICATIONS_OF,
    BORN,
    CHILDREN_OF,
    COVERED,
    ENROLLMENTS_OF,
    GUARDIANS,
    REFUSED,
    SUBMITTED,
    Application,
    Child,
    beginning,
    member,
    under,
)
from services.cabinet.projections.projection import (
    About,
    accepts,
    cabinet,
    day_of,
    decides,
    payer_of,
    tell,
)
from streaming.follower import Models

_ENDS = {
    EndCause.COMPLETED: "Срок договора закончился",
    EndCause.GUARDIAN: "Договор закончен по вашему заявлению",
    EndCause.PROVIDER: "Договор закончен организацией",
    EndCause.OPERATOR: "Договор закончен оператором системы",
}

decides(Service.ENROLLMENT, ApplicationAccepted)
decides(Service.ENROLLMENT, ApplicationRejected)
decides(Service.ENROLLMENT, ApplicationWithdrawn)
decides(Service.ENROLLMENT, EnrollmentTerminated)


@accepts(Service.ENROLLMENT, ChildRegistered)
def child_registered(event: ChildRegistered, envelope: Envelope, models: Models) -> None:
    """A child belongs to its guardians, and to no former ones."""
    payer = payer_of(envelope)
    known = models.find(Child, under(payer, event.child_id))
    for guardian_id in set(known.guardian_ids if known else ()) - set(event.guardian_ids):
        models.discard(CHILDREN_OF, member(guardian_id, payer, event.child_id))
        if not models.members(CHILDREN_OF, *beginning(guardian_id), 1):
            models.discard(GUARDIANS, guardian_id)
    for guardian_id in event.guardian_ids:
        models.add(CHILDREN_OF, member(guardian_id, payer, event.child_id))
        models.add(GUARDIANS, guardian_id)
    if known is not None:
        models.discard(BORN, member(payer, known.birth_date.isoformat(), event.child_id))
    models.add(BORN, member(payer, event.birth_date.isoformat(), event.child_id))
    models.put(
        under(payer, event.child_id),
        Child(
            birth_date=event.birth_date,
            guardian_ids=tuple(event.guardian_ids),
            benefits=tuple(event.benefits),
        ),
    )


@accepts(Service.ENROLLMENT, ApplicationSubmitted)
def application_submitted(event: ApplicationSubmitted, envelope: Envelope, models: Models) -> None:
    """An application is there; the facts of the same record say what became of it."""
    payer = payer_of(envelope)
    models.put(
        under(payer, event.enrollment_id),
        Application(
            child_id=event.child_id,
            guardian_id=event.guardian_id,
            group_id=event.group_id,
            group_home=event.group_home,
            state="REGISTERED",
            since=envelope.businessday,
            submitted_on=envelope.businessday,
        ),
    )
    models.add(APPLICATIONS, member(event.enrollment_id, payer))
    models.add(APPLICATIONS_OF, member(payer, event.child_id, event.enrollment_id))
    of_group = member(event.group_home, event.group_id, payer, event.enrollment_id)
    models.add(ENROLLMENTS_OF, of_group)
    models.add(SUBMITTED, member(payer, day_of(envelope), event.enrollment_id))


@cabinet.of(ApplicationRegistered)
def application_registered(fact: ApplicationRegistered, envelope: Envelope, models: Models) -> None:
    """A place is being asked for."""
    text = "Заявление принято. Узнаём у организации, есть ли место в группе."
    tell(envelope, models, fact.child_id, text, About(enrollment_id=fact.enrollment_id))


@cabinet.of(ApplicationRefused)
def application_refused(fact: ApplicationRefused, envelope: Envelope, models: Models) -> None:
    """The application led to no agreement."""
    _finished(fact, envelope, models, "REFUSED")


@cabinet.of(EnrollmentCancelled)
def enrollment_cancelled(fact: EnrollmentCancelled, envelope: Envelope, models: Models) -> None:
    """The enrollment came to nothing before it was active."""
    _finished(fact, envelope, models, "CANCELLED")


def _finished(
    fact: ApplicationRefused | EnrollmentCancelled, envelope: Envelope, models: Models, state: str
) -> None:
    known, id_ = _application(fact.enrollment_id, envelope, models)
    models.put(
        id_,
        replace(
            known,
            state=state,
            since=envelope.businessday,
            reason=fact.reason.value,
            text=fact.why.text,
        ),
    )
    reason, day = fact.reason.value, day_of(envelope)
    models.add(REFUSED, member(payer_of(envelope), reason, day, fact.enrollment_id))
    about = About(enrollment_id=fact.enrollment_id)
    tell(envelope, models, fact.child_id, fact.why.text, about)


@cabinet.of(ApplicationWaitlisted)
def application_waitlisted(fact: ApplicationWaitlisted, envelope: Envelope, models: Models) -> None:
    """The group is full; the child waits."""
    known, id_ = _application(fact.enrollment_id, envelope, models)
    models.put(id_, replace(known, state="WAITLISTED", since=envelope.businessday))
    text = f"Свободных мест в группе нет. Ребёнок в листе ожидания, место {fact.position}."
    tell(envelope, models, fact.child_id, text, About(enrollment_id=fact.enrollment_id))


@cabinet.of(PlaceHeld)
def place_held(fact: PlaceHeld, envelope: Envelope, models: Models) -> None:
    """A place is kept until the provider accepts."""
    known, id_ = _application(fact.enrollment_id, envelope, models)
    models.put(
        id_,
        replace(
            known,
            state="PLACE_HELD",
            since=envelope.businessday,
            held_until=fact.held_until,
            title=fact.terms.title,
            provider_id=fact.terms.provider_id,
        ),
    )
    text = (
        f"Место в группе «{fact.terms.title}» держится за ребёнком до {full_date(fact.held_until)}."
    )
    tell(envelope, models, fact.child_id, text, About(enrollment_id=fact.enrollment_id))


@cabinet.of(ChildEnrolled)
def child_enrolled(fact: ChildEnrolled, envelope: Envelope, models: Models) -> None:
    """The application was accepted; money is being set aside."""
    known, id_ = _application(fact.enrollment_id, envelope, models)
    models.put(
        id_,
        replace(
            known,
            state="ENROLLED",
            since=envelope.businessday,
            title=fact.terms.title,
            provider_id=fact.terms.provider_id,
            starts_on=fact.starts_on,
            ends_on=fact.ends_on,
            period=fact.period,
        ),
    )
    text = f"Заявление в группу «{fact.terms.title}» одобрено. Бронируем деньги на сертификате."
    tell(envelope, models, fact.child_id, text, About(enrollment_id=fact.enrollment_id))


@cabinet.of(AgreementActivated)
def agreement_activated(fact: AgreementActivated, envelope: Envelope, models: Models) -> None:
    """The agreement is in force."""
    known, id_ = _application(fact.enrollment_id, envelope, models)
    models.put(id_, replace(known, state="ACTIVE", since=envelope.businessday))
    payer, period, agreed_on = payer_of(envelope), known.period or "", envelope.businessday
    models.add(COVERED, member(payer, period, fact.child_id))
    if known.submitted_on is not None and agreed_on is not None:
        days = f"{(agreed_on - known.submitted_on).days:04d}"
        models.add(AGREED, member(payer, period, days, fact.enrollment_id))
    text = (
        f"Договор действует с {_span(fact.starts_on, fact.ends_on)}. "
        f"По сертификату — {rubles(fact.certificate_share_kopecks)}"
    )
    share = fact.parent_share_kopecks
    text += f", доплата — {rubles(share)}." if share else ", доплаты нет."
    tell(envelope, models, fact.child_id, text, About(enrollment_id=fact.enrollment_id))


@cabinet.of(EnrollmentEnded)
def enrollment_ended(fact: EnrollmentEnded, envelope: Envelope, models: Models) -> None:
    """The agreement came to its end."""
    known, id_ = _application(fact.enrollment_id, envelope, models)
    models.put(
        id_, replace(known, state="ENDED", since=envelope.businessday, ended_on=fact.ended_on)
    )
    text = f"{_ENDS[fact.cause]}. Последний день — {full_date(fact.ended_on)}."
    tell(envelope, models, fact.child_id, text, About(enrollment_id=fact.enrollment_id))


def _application(enrollment_id: str, envelope: Envelope, models: Models) -> tuple[Application, str]:
    id_ = under(payer_of(envelope), enrollment_id)
    known = models.find(Application, id_)
    if known is None:
        raise LookupError(f"{envelope.type} {envelope.id}: nobody applied for {enrollment_id}")
    return known, id_


def _span(starts_on: date, ends_on: date) -> str:
    return f"{full_date(starts_on)} по {full_date(ends_on)}"
