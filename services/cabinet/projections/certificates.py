"""Certificates, categories and their queues, from the journal of certificates; periods too."""

from msgspec.structs import replace

from contracts.certificates import (
    CertificateClosed,
    CertificateFrozen,
    CertificateFunded,
    CertificateIssued,
    CertificateQueued,
    CertificateRefused,
    CertificateRenewed,
    CertificateUnfrozen,
    NominalChanged,
)
from contracts.envelope import Envelope
from contracts.navigator import CertificateRequested
from contracts.payers import CategorySet, CertificateFreezeSet, PeriodOpened
from contracts.vocabulary import CertificateState, Service
from rulebook.wording import rubles
from services.cabinet.projections.models import (
    CATEGORIES,
    CERTIFICATES,
    GRANTED_DAYS,
    GRANTS,
    HOLDERS,
    NUMBERS,
    PAYERS,
    PERIODS,
    Category,
    Certificate,
    Grant,
    GrantedDay,
    Period,
    beginning,
    member,
    numbered,
    queue,
    under,
)
from services.cabinet.projections.projection import (
    About,
    accepts,
    cabinet,
    day_of,
    decides,
    payer_of,
    seq_of,
    tell,
    unsettled,
)
from streaming.follower import Models

decides(Service.CERTIFICATES, CertificateRequested)
decides(Service.CERTIFICATES, CertificateFreezeSet)


@accepts(Service.ENROLLMENT, PeriodOpened)
def period_opened(event: PeriodOpened, envelope: Envelope, models: Models) -> None:
    """A payer has a period."""
    payer = payer_of(envelope)
    models.put(under(payer, event.period), Period(starts_on=event.starts_on, ends_on=event.ends_on))
    models.add(PAYERS, payer)
    models.add(PERIODS, member(payer, event.period))


@accepts(Service.CERTIFICATES, CategorySet)
def category_set(event: CategorySet, envelope: Envelope, models: Models) -> None:
    """A payer set nominal, places and budget of a category."""
    payer = payer_of(envelope)
    known = _category(models, payer, event.period, event.category)
    _put_category(
        models,
        payer,
        event.period,
        event.category,
        replace(
            known,
            nominal_kopecks=event.nominal_kopecks,
            places_max=event.places_max,
            budget_max_kopecks=event.budget_max_kopecks,
            revision=max(known.revision, event.revision),
        ),
    )


@unsettled(Service.CERTIFICATES, CategorySet)
def category_not_set(
    event: CategorySet, envelope: Envelope, models: Models, trouble: str | None
) -> None:
    """What was refused, or waits, used its revision up; of a category nobody knows nothing is."""
    del trouble
    id_ = under(payer_of(envelope), event.period, event.category)
    known = models.find(Category, id_)
    if known is not None:
        models.put(id_, replace(known, revision=max(known.revision, event.revision)))


@cabinet.of(CertificateIssued)
def certificate_issued(fact: CertificateIssued, envelope: Envelope, models: Models) -> None:
    """A child has its first certificate."""
    payer = payer_of(envelope)
    models.put(under(payer, fact.child_id), Certificate(number=fact.certificate_number))
    models.add(CERTIFICATES, member(fact.child_id, payer))
    models.add(NUMBERS, member(fact.certificate_number, payer, fact.child_id))
    _granted(fact, envelope, models)


@cabinet.of(CertificateRenewed)
def certificate_renewed(fact: CertificateRenewed, envelope: Envelope, models: Models) -> None:
    """The certificate holds in one more period."""
    _granted(fact, envelope, models)


def _granted(
    fact: CertificateIssued | CertificateRenewed, envelope: Envelope, models: Models
) -> None:
    payer = payer_of(envelope)
    models.put(
        under(payer, fact.child_id, fact.period),
        Grant(
            category=fact.category,
            state=fact.state.value,
            nominal_kopecks=fact.nominal_kopecks,
            valid_from=fact.valid_from,
            valid_until=fact.valid_until,
            since=envelope.businessday,
        ),
    )
    models.add(GRANTS, member(payer, fact.child_id, fact.period))
    if fact.state is CertificateState.FUNDED:
        _hold(fact, envelope, models)
    tell(envelope, models, fact.child_id, fact.why.text)


@cabinet.of(CertificateQueued)
def certificate_queued(fact: CertificateQueued, envelope: Envelope, models: Models) -> None:
    """The certificate waits for money of its category."""
    payer = payer_of(envelope)
    grant, id_ = _grant(fact.child_id, fact.period, envelope, models)
    turn = member(numbered(seq_of(envelope)), fact.child_id)
    waits = replace(grant, category=fact.category, turn=turn, since=envelope.businessday)
    models.put(id_, waits)
    models.add(queue(payer, fact.period, fact.category), turn)
    _put_category(
        models,
        payer,
        fact.period,
        fact.category,
        _category(models, payer, fact.period, fact.category),
    )
    tell(envelope, models, fact.child_id, fact.why.text)


@cabinet.of(CertificateFunded)
def certificate_funded(fact: CertificateFunded, envelope: Envelope, models: Models) -> None:
    """The certificate has money now."""
    payer = payer_of(envelope)
    grant, id_ = _grant(fact.child_id, fact.period, envelope, models)
    _off_queue(models, payer, fact.period, grant)
    models.put(
        id_,
        replace(
            grant,
            category=fact.category,
            state=CertificateState.FUNDED.value,
            nominal_kopecks=fact.nominal_kopecks,
            turn=None,
            since=envelope.businessday,
        ),
    )
    _hold(fact, envelope, models)
    tell(envelope, models, fact.child_id, fact.why.text)


@cabinet.of(CertificateRefused)
def certificate_refused(fact: CertificateRefused, envelope: Envelope, models: Models) -> None:
    """The child gets no certificate; the family reads why."""
    about = About(enrollment_id=fact.enrollment_id)
    tell(envelope, models, fact.child_id, fact.why.text, about)


@cabinet.of(CertificateFrozen)
def certificate_frozen(fact: CertificateFrozen, envelope: Envelope, models: Models) -> None:
    """The certificate gets no reserve from now on."""
    _freeze(fact.child_id, envelope, models, frozen=True)
    text = f"Новые договоры по сертификату пока не заключаются. Причина: {fact.reason.rstrip('.')}."
    tell(envelope, models, fact.child_id, text)


@cabinet.of(CertificateUnfrozen)
def certificate_unfrozen(fact: CertificateUnfrozen, envelope: Envelope, models: Models) -> None:
    """The freeze was lifted."""
    _freeze(fact.child_id, envelope, models, frozen=False)
    text = f"Договоры снова можно заключать. Причина: {fact.reason.rstrip('.')}."
    tell(envelope, models, fact.child_id, text)


def _freeze(child_id: str, envelope: Envelope, models: Models, *, frozen: bool) -> None:
    known, id_ = _certificate(child_id, envelope, models)
    models.put(id_, replace(known, frozen=frozen))


@cabinet.of(NominalChanged)
def nominal_changed(fact: NominalChanged, envelope: Envelope, models: Models) -> None:
    """The nominal moved by a difference; what the category granted moves with it."""
    payer = payer_of(envelope)
    grant, id_ = _grant(fact.child_id, fact.period, envelope, models)
    models.put(id_, replace(grant, nominal_kopecks=fact.nominal_kopecks))
    category = _category(models, payer, fact.period, grant.category)
    moved = category.granted_kopecks + fact.nominal_kopecks - fact.previous_kopecks
    changed = replace(category, granted_kopecks=moved)
    _put_category(models, payer, fact.period, grant.category, changed)
    more = fact.nominal_kopecks - fact.previous_kopecks
    _grant_more(fact.period, grant.category, more, envelope, models)
    text = (
        f"Номинал сертификата был {rubles(fact.previous_kopecks)}, стал "
        f"{rubles(fact.nominal_kopecks)}. {fact.reason.rstrip('.')}."
    )
    tell(envelope, models, fact.child_id, text)


@cabinet.of(CertificateClosed)
def certificate_closed(fact: CertificateClosed, envelope: Envelope, models: Models) -> None:
    """The certificate came to its end: places are free again, what was granted is not."""
    payer = payer_of(envelope)
    known, id_ = _certificate(fact.child_id, envelope, models)
    models.put(id_, replace(known, closed=True))
    for entry in models.members(GRANTS, *beginning(payer, fact.child_id)):
        period = entry.rpartition("|")[2]
        grant, grant_id = _grant(fact.child_id, period, envelope, models)
        if grant.turn is not None:
            _off_queue(models, payer, period, grant)
            models.put(grant_id, replace(grant, turn=None))
        elif grant.state == CertificateState.FUNDED:
            category = _category(models, payer, period, grant.category)
            freed = replace(category, holders=category.holders - 1)
            _put_category(models, payer, period, grant.category, freed)
            models.discard(HOLDERS, member(payer, period, grant.category, fact.child_id))
    text = "Сертификат закрыт: ребёнку исполнилось 18 лет."
    tell(envelope, models, fact.child_id, text)


def _certificate(child_id: str, envelope: Envelope, models: Models) -> tuple[Certificate, str]:
    id_ = under(payer_of(envelope), child_id)
    known = models.find(Certificate, id_)
    if known is None:
        raise LookupError(f"{envelope.type} {envelope.id}: {child_id} has no certificate")
    return known, id_


def _grant(child_id: str, period: str, envelope: Envelope, models: Models) -> tuple[Grant, str]:
    id_ = under(payer_of(envelope), child_id, period)
    grant = models.find(Grant, id_)
    if grant is None:
        raise LookupError(f"{envelope.type} {envelope.id}: {child_id} has nothing in {period}")
    return grant, id_


def _category(models: Models, payer: str, period: str, category: str) -> Category:
    return models.find(Category, under(payer, period, category)) or Category()


def _put_category(models: Models, payer: str, period: str, category: str, value: Category) -> None:
    models.put(under(payer, period, category), value)
    models.add(CATEGORIES, member(payer, period, category))


def _hold(
    fact: CertificateIssued | CertificateRenewed | CertificateFunded,
    envelope: Envelope,
    models: Models,
) -> None:
    payer, period, category = payer_of(envelope), fact.period, fact.category
    known = _category(models, payer, period, category)
    granted = known.granted_kopecks + fact.nominal_kopecks
    held = replace(known, holders=known.holders + 1, granted_kopecks=granted)
    _put_category(models, payer, period, category, held)
    models.add(HOLDERS, member(payer, period, category, fact.child_id))
    _grant_more(period, category, fact.nominal_kopecks, envelope, models, funded=1)


def _grant_more(
    period: str,
    category: str,
    kopecks: int,
    envelope: Envelope,
    models: Models,
    *,
    funded: int = 0,
) -> None:
    payer, day = payer_of(envelope), day_of(envelope)
    id_ = under(payer, period, category, day)
    known = models.find(GrantedDay, id_) or GrantedDay()
    more = GrantedDay(funded=known.funded + funded, granted_kopecks=known.granted_kopecks + kopecks)
    models.put(id_, more)
    models.add(GRANTED_DAYS, member(payer, period, category, day))


def _off_queue(models: Models, payer: str, period: str, grant: Grant) -> None:
    if grant.turn is not None:
        models.discard(queue(payer, period, grant.category), grant.turn)
