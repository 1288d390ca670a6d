"""What was counted, in the words of `pfdo export` and `pfdo inputs` (`docs/interfaces.md`)."""

from collections.abc import Sequence
from typing import Any

from tests.auditor.play import Entry
from tests.auditor.world import Certificate, Enrollment, Grant, Invoice, Payer, World


def report(world: World, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return everything that was counted."""
    payers = [payer for _, payer in sorted(world.payers.items())]
    providers: dict[str, list[dict[str, Any]]] = {}
    for payer in payers:
        for provider_id in sorted(payer.movements):
            providers.setdefault(provider_id, []).append(_owed(payer, provider_id))
    return {
        "certificates": {
            certificate.child_id: _certificate(world, payer, certificate)
            for payer in payers
            for certificate in payer.certificates.values()
        },
        "enrollments": {
            enrollment.enrollment_id: _enrollment(world, payer, enrollment)
            for payer in payers
            for enrollment in payer.enrollments.values()
        },
        "groups": {
            group_id: {
                "group_id": group_id,
                "capacity": group.terms["capacity"],
                "taken": len(group.taken),
                "waiting": [enrollment_id for _, enrollment_id in group.waiting],
            }
            for payer in payers
            for group_id, group in payer.groups.items()
        },
        "providers": {
            provider_id: {"provider_id": provider_id, "payers": owed}
            for provider_id, owed in sorted(providers.items())
        },
        "payers": {payer.code: _payer(world, payer) for payer in payers if payer.periods},
        "invoices": {
            invoice.invoice_id: _invoice(payer, invoice)
            for payer in payers
            for invoice in payer.invoices.values()
        },
        "inputs": [
            {
                "line": entry.line,
                "id": entry.id,
                "type": entry.type,
                "payer": entry.payer or None,
                "decision": world.decisions[entry.line][0],
                "reason": world.decisions[entry.line][1],
            }
            for entry in entries
        ],
    }


def _certificate(world: World, payer: Payer, certificate: Certificate) -> dict[str, Any]:
    return {
        "certificate_number": certificate.number,
        "child_id": certificate.child_id,
        "payer": payer.code,
        "state": certificate.state,
        "periods": [
            _period(world, payer, certificate, grant)
            for _, grant in sorted(certificate.grants.items())
        ],
        "enrollments": sorted(
            enrollment.enrollment_id
            for enrollment in payer.enrollments.values()
            if enrollment.child_id == certificate.child_id
        ),
        "movements": certificate.movements,
    }


def _period(world: World, payer: Payer, certificate: Certificate, grant: Grant) -> dict[str, Any]:
    queue = _queue(world, payer, grant.category, grant.period)
    is_waiting = certificate.child_id in queue
    return {
        "period": grant.period,
        "category": grant.category,
        "state": "FUNDED" if grant.is_funded else "ACCOUNTING",
        "queue_position": queue.index(certificate.child_id) + 1 if is_waiting else None,
        "nominal_kopecks": grant.nominal,
        "balance_kopecks": grant.balance,
        "reserved_kopecks": grant.reserved,
        "paid_kopecks": grant.paid,
        "expired_kopecks": grant.expired,
        "valid_from": str(grant.valid_from),
        "valid_until": str(grant.valid_until),
    }


def _enrollment(world: World, payer: Payer, enrollment: Enrollment) -> dict[str, Any]:
    its = payer.reserves.get(enrollment.enrollment_id)
    group = world.payer(enrollment.group_home).groups.get(enrollment.group_id)
    terms = enrollment.terms or (group.terms if group else {})
    return {
        "enrollment_id": enrollment.enrollment_id,
        "child_id": enrollment.child_id,
        "payer": payer.code,
        "state": enrollment.state,
        "group_id": enrollment.group_id,
        "provider_id": terms.get("provider_id"),
        "starts_on": str(enrollment.starts_on) if enrollment.starts_on else None,
        "ends_on": str(enrollment.ends_on) if enrollment.ends_on else None,
        "ended_on": str(enrollment.ended_on) if enrollment.ended_on else None,
        "certificate_share_kopecks": its.certificate_share if its else None,
        "parent_share_kopecks": its.parent_share if its else None,
        "lessons": its.lessons if its else None,
        "lessons_charged": its.lessons_charged if its else 0,
        "reserved_kopecks": its.reserved if its else 0,
        "charged_kopecks": its.paid if its else 0,
        "reason": enrollment.reason,
    }


def _owed(payer: Payer, provider_id: str) -> dict[str, Any]:
    invoices = [it for it in payer.invoices.values() if it.provider_id == provider_id]
    return {
        "payer": payer.code,
        "charged_kopecks": sum(it.amount for it in payer.movements[provider_id]),
        "invoiced_kopecks": sum(it.amount for it in invoices),
        "settled_kopecks": sum(it.amount for it in invoices if it.is_settled),
    }


def _queue(world: World, payer: Payer, category: str, period: str) -> list[str]:
    """Return who waits; the queue ends with the period."""
    is_over = world.today > payer.periods[period].ends_on
    return [] if is_over else payer.queues.get((category, period), [])


def _payer(world: World, payer: Payer) -> dict[str, Any]:
    names = {*payer.categories, *payer.queues}
    return {
        "payer": payer.code,
        "periods": [
            {
                "period": period,
                "categories": [
                    _category(world, payer, name, period)
                    for name, its_period in sorted(names)
                    if its_period == period
                ],
            }
            for period in sorted(payer.periods)
        ],
    }


def _category(world: World, payer: Payer, name: str, period: str) -> dict[str, Any]:
    grants, terms = payer.grants(name, period), payer.categories.get((name, period))
    return {
        "category": name,
        "nominal_kopecks": terms.nominal if terms else None,
        "places_max": terms.places_max if terms else None,
        "holders": sum(not it.is_closed for it, _ in grants),
        "budget_max_kopecks": terms.budget_max if terms else None,
        "granted_kopecks": sum(grant.nominal for _, grant in grants),
        "queued": len(_queue(world, payer, name, period)),
    }


def _invoice(payer: Payer, invoice: Invoice) -> dict[str, Any]:
    return {
        "invoice_id": invoice.invoice_id,
        "payer": payer.code,
        "provider_id": invoice.provider_id,
        "month": invoice.month,
        "amount_kopecks": invoice.amount,
        "settled": invoice.is_settled,
        "lines": [
            {
                "line_reference": f"{invoice.invoice_id}/{number}",
                "enrollment_id": enrollment_id,
                "amount_kopecks": amount,
            }
            for number, (enrollment_id, amount) in enumerate(invoice.lines.items(), start=1)
        ],
    }
