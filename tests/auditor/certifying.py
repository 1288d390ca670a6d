"""Certificates: who gets one, with what money, and who waits (rules.md, section 4)."""

from tests.auditor.dates import ONE_DAY, age, birthday
from tests.auditor.money import certificate_number
from tests.auditor.play import Entry
from tests.auditor.world import (
    Category,
    Certificate,
    Child,
    Grant,
    Outcome,
    Payer,
    Period,
    Refused,
    Wait,
    World,
)

DAYS_TO_WAIT = 30
"""There is no table that says how long certificates lets something wait; the others say 30."""
ADULT_AT = 18


def for_enrolled(world: World, payer: Payer, child: Child, period: Period) -> str | None:
    """Answer a `child-enrolled`: see that there is a certificate, or return why there is none."""
    certificate = payer.certificates.get(child.child_id)
    if certificate is not None and period.period in certificate.grants:
        return None
    verdict = _verdict(world, payer, child, period)
    if verdict is not None:
        return verdict
    policy = payer.policies.get(period.period, {})
    grant = _issue(world, payer, child, period)
    if policy.get("issue_mode") != "ON_REQUEST":
        _fund_or_queue(payer, child.child_id, grant)
    move(payer.certificates[child.child_id], grant, "account-opened", grant.nominal)
    return None


def requested(world: World, entry: Entry) -> Outcome:
    """Decide `navigator.certificate-requested`."""
    payer = world.payer(entry.payer)
    child = payer.children.get(entry.data["child_id"])
    if child is None:
        return Wait(f"child:{entry.data['child_id']}", "unknown_child", DAYS_TO_WAIT)
    period = payer.periods.get(entry.data["period"])
    if period is None:
        return Wait(f"period:{entry.data['period']}", "unknown_period", DAYS_TO_WAIT)
    certificate = payer.certificates.get(child.child_id)
    grant = certificate.grants.get(period.period) if certificate is not None else None
    if certificate is not None and grant is not None:
        is_waiting = child.child_id in _queue(payer, grant)
        if grant.is_funded or is_waiting or certificate.is_closed:
            return None  # it is there already, and can become no more
    if world.today > period.ends_on:
        return Refused("period_closed")
    if _verdict(world, payer, child, period) is not None:
        return None  # answered by `certificate-refused`
    if grant is None:
        grant = _issue(world, payer, child, period)
        _fund_or_queue(payer, child.child_id, grant)
        move(payer.certificates[child.child_id], grant, "account-opened", grant.nominal)
        return None
    grant.category = _category(world, payer, child)
    _fund_or_queue(payer, child.child_id, grant)
    if grant.is_funded:
        move(payer.certificates[child.child_id], grant, "nominal-applied", grant.nominal)
    return None


def category_set(world: World, entry: Entry) -> Outcome:
    """Decide `payers.category-set`."""
    payer, said = world.payer(entry.payer), entry.data
    period = payer.periods.get(said["period"])
    if period is None:
        return Wait(f"period:{said['period']}", "unknown_period", DAYS_TO_WAIT)
    if is_closed(world, payer, period):
        return Refused("period_closed")
    name = (said["category"], said["period"])
    before, nominal = payer.categories.get(name), said["nominal_kopecks"]
    raised = []
    if before is not None and nominal > before.nominal:
        raised = [
            (certificate, grant)
            for certificate, grant in payer.grants(*name)
            if not certificate.is_closed and not grant.is_corrected and grant.nominal < nominal
        ]
    sum_after = _granted(payer, *name) + sum(nominal - grant.nominal for _, grant in raised)
    if raised and sum_after > said["budget_max_kopecks"]:
        return Refused("would_exceed_budget")
    payer.categories[name] = Category(nominal, said["places_max"], said["budget_max_kopecks"])
    for certificate, grant in raised:
        change_nominal(certificate, grant, nominal)
    world.todo.append(lambda: move_queue(world, payer, *name))
    return None


def freeze_set(world: World, entry: Entry) -> Outcome:
    """Decide `payers.certificate-freeze-set`."""
    payer, child_id = world.payer(entry.payer), entry.data["child_id"]
    certificate = payer.certificates.get(child_id)
    if certificate is None:
        return Refused("unknown_certificate")
    goes_on = any(
        enrollment.child_id == child_id and enrollment.state in {"ENROLLED", "ACTIVE"}
        for enrollment in payer.enrollments.values()
    )
    if entry.data["frozen"] and goes_on:
        return Refused("has_active_agreement")
    certificate.is_frozen = entry.data["frozen"]
    move_all_queues(world, payer)
    return None


def close_adults(world: World, payer: Payer) -> None:
    """Close the certificates of those whose 18th birthday has come."""
    for certificate in sorted(payer.certificates.values(), key=lambda it: it.number):
        close_adult(world, payer, certificate)


def close_adult(world: World, payer: Payer, certificate: Certificate) -> None:
    """Close a certificate if the 18th birthday of its child has come; it leaves the queue."""
    comes_of_age = birthday(payer.children[certificate.child_id].birth, ADULT_AT)
    if certificate.is_closed or world.today < comes_of_age:
        return
    certificate.is_closed = True
    for queue in payer.queues.values():
        if certificate.child_id in queue:
            queue.remove(certificate.child_id)


def move_all_queues(world: World, payer: Payer) -> None:
    """Fund who waits, wherever there is a vacancy."""
    for category, period in sorted(payer.queues):
        move_queue(world, payer, category, period)


def move_queue(world: World, payer: Payer, category: str, period: str) -> None:
    """Fund who waits for a category, oldest first, while there is a vacancy."""
    if world.today > payer.periods[period].ends_on:
        return
    queue = payer.queues.get((category, period), [])
    for child_id in list(queue):
        certificate = payer.certificates[child_id]
        if not certificate.is_frozen and _is_vacant(payer, category, period):
            queue.remove(child_id)
            grant = certificate.grants[period]
            _fund(payer, grant)
            move(certificate, grant, "nominal-applied", grant.nominal)


def change_nominal(certificate: Certificate, grant: Grant, nominal: int) -> None:
    """Change a nominal by the difference."""
    difference = nominal - grant.nominal
    grant.nominal += difference
    grant.balance += difference
    move(certificate, grant, "nominal-applied", difference)


def move(
    certificate: Certificate,
    grant: Grant,
    kind: str,
    amount: int,
    enrollment_id: str | None = None,
    lesson_id: str | None = None,
) -> None:
    """Note a movement of money, in the words of `pfdo show certificate`."""
    certificate.movements.append(
        {
            "kind": kind,
            "amount_kopecks": amount,
            "enrollment_id": enrollment_id,
            "lesson_id": lesson_id,
            "balance_kopecks": grant.balance,
        }
    )


def is_closed(world: World, payer: Payer, period: Period) -> bool:
    """Return whether the books of a period are closed."""
    grace = world.days(payer.code, "billing.days", "grace_days")
    return world.today > period.ends_on + grace * ONE_DAY


def _verdict(world: World, payer: Payer, child: Child, period: Period) -> str | None:
    certificate = payer.certificates.get(child.child_id)
    is_closed_for_good = certificate is not None and certificate.is_closed
    if is_closed_for_good or birthday(child.birth, ADULT_AT) <= period.starts_on:
        return "too_old"  # also who comes of age before the period begins
    years = age(child.birth, world.today)
    verdict = payer.rules.ask("certificates.age", world.today, age_years=years)["verdict"]
    return None if verdict == "eligible" else verdict


def _category(world: World, payer: Payer, child: Child) -> str:
    case = {"age_years": age(child.birth, world.today), "benefits": child.benefits}
    return str(payer.rules.ask("certificates.category", world.today, **case)["category"])


def _issue(world: World, payer: Payer, child: Child, period: Period) -> Grant:
    certificate = payer.certificates.get(child.child_id)
    if certificate is None:
        number = certificate_number(payer.code, len(payer.certificates) + 1)
        certificate = Certificate(number, child.child_id)
        payer.certificates[child.child_id] = certificate
    grant = certificate.grants[period.period] = Grant(
        period=period.period,
        category=_category(world, payer, child),
        is_funded=False,
        valid_from=max(world.today, period.starts_on),
        valid_until=min(period.ends_on, birthday(child.birth, ADULT_AT) - ONE_DAY),
    )
    return grant


def _fund_or_queue(payer: Payer, child_id: str, grant: Grant) -> None:
    if _is_vacant(payer, grant.category, grant.period):
        _fund(payer, grant)
    else:
        payer.queues.setdefault((grant.category, grant.period), []).append(child_id)


def _fund(payer: Payer, grant: Grant) -> None:
    grant.is_funded = True
    grant.nominal = grant.balance = payer.categories[grant.category, grant.period].nominal


def _queue(payer: Payer, grant: Grant) -> list[str]:
    return payer.queues.get((grant.category, grant.period), [])


def _granted(payer: Payer, category: str, period: str) -> int:
    return sum(grant.nominal for _, grant in payer.grants(category, period))


def _is_vacant(payer: Payer, category: str, period: str) -> bool:
    granted_by = payer.categories.get((category, period))
    if granted_by is None:
        return False
    holders = [it for it, _ in payer.grants(category, period) if not it.is_closed]
    sum_after = _granted(payer, category, period) + granted_by.nominal
    return len(holders) < granted_by.places_max and sum_after <= granted_by.budget_max
