"""Certificates: what each grants in a period, its place in the queue, and how its money moved."""

from collections.abc import Sequence

from services.cabinet.child_history import movements
from services.cabinet.parts import Answer, Part, Parts, last, split
from services.cabinet.projections.models import (
    APPLICATIONS_OF,
    CERTIFICATES,
    GRANTS,
    NUMBERS,
    Certificate,
    Grant,
    Period,
    Purse,
    beginning,
    queue,
    under,
)
from services.cabinet.together import together
from streaming.store import Count


class CertificateQueries(Parts):
    """Questions about certificates."""

    async def certificate(self, id_: str) -> Answer | None:
        """Return a certificate by the id of its child or by its number, or None."""
        found = await self._place(CERTIFICATES, id_)
        if found is None:
            numbered = await self._place(NUMBERS, id_)
            if numbered is None:
                return None
            part, rest = numbered
            payer, child_id = split(rest)
        else:
            part, payer = found
            child_id = id_
        return (await self._certificates(part, [(child_id, payer)])).get(child_id)

    async def in_force(self, number: str) -> tuple[bool, str | None]:
        """Return whether a certificate is in force, and on which business day that is so."""
        numbered = await self._place(NUMBERS, number)
        if numbered is None:
            return False, None
        part, rest = numbered
        payer, child_id = split(rest)
        standing, certificate, entries = await together(
            part.standing(),
            part.find(Certificate, under(payer, child_id)),
            part.members(GRANTS, *beginning(payer, child_id)),
        )
        day: str | None = standing["business_day"]
        if certificate is None or _state(certificate) != "ACTIVE" or day is None:
            return False, day
        periods = [last(entry) for entry in entries]
        grants = await part.all(Grant, [under(payer, child_id, period) for period in periods])
        return any(
            grant.valid_from.isoformat() <= day <= grant.valid_until.isoformat()
            for grant in grants
            if grant is not None
        ), day

    async def _certificates(
        self, part: Part, places: Sequence[tuple[str, str]]
    ) -> dict[str, Answer]:
        standing = await part.standing()
        certificates, moved = await together(
            certificates_on(part, places, standing["business_day"]),
            together(*(movements(part, payer, child_id) for child_id, payer in places)),
        )
        return {
            child_id: certificate | {"movements": moves}
            for (child_id, _), certificate, moves in zip(places, certificates, moved, strict=True)
            if certificate is not None
        }


def _state(certificate: Certificate) -> str:
    if certificate.closed:
        return "CLOSED"
    return "FROZEN" if certificate.frozen else "ACTIVE"


async def certificates_on(
    part: Part, places: Sequence[tuple[str, str]], day: str | None
) -> list[Answer | None]:
    """Return what certificates are on a business day, without their movements."""
    certificates, periods, enrollments = await together(
        part.all(Certificate, [under(payer, id_) for id_, payer in places]),
        together(*(_periods(part, payer, id_, day) for id_, payer in places)),
        together(*(part.members(APPLICATIONS_OF, *beginning(payer, id_)) for id_, payer in places)),
    )
    return [
        None
        if certificate is None
        else {
            "certificate_number": certificate.number,
            "child_id": child_id,
            "payer": payer,
            "state": _state(certificate),
            "periods": granted,
            "enrollments": [last(entry) for entry in enrolled],
        }
        for (child_id, payer), certificate, granted, enrolled in zip(
            places, certificates, periods, enrollments, strict=True
        )
    ]


async def _periods(part: Part, payer: str, child_id: str, day: str | None) -> list[Answer]:
    periods = [last(e) for e in await part.members(GRANTS, *beginning(payer, child_id))]
    ids = [under(payer, child_id, period) for period in periods]
    grants, purses, spans = await together(
        part.all(Grant, ids),
        part.all(Purse, ids),
        part.all(Period, [under(payer, period) for period in periods]),
    )
    answers = await together(
        *(
            _period(part, payer, period, grant, purse, ended=is_over(span, day))
            for period, grant, purse, span in zip(periods, grants, purses, spans, strict=True)
            if grant is not None
        )
    )
    return list(answers)


def is_over(period: Period | None, day: str | None) -> bool:
    """Return whether a period has ended by a business day."""
    return day is not None and period is not None and day > period.ends_on.isoformat()


def unopened(grant: Grant) -> Purse:
    """Return the purse billing has not opened yet: all that is granted is there."""
    return Purse(
        nominal_kopecks=grant.nominal_kopecks,
        balance_kopecks=grant.nominal_kopecks,
        reserved_kopecks=0,
        paid_kopecks=0,
        expired_kopecks=0,
    )


async def _period(
    part: Part, payer: str, period: str, grant: Grant, purse: Purse | None, *, ended: bool
) -> Answer:
    position = None
    # The queue ends with the period (docs/rules.md, section 4).
    if grant.turn is not None and not ended:
        asked = Count(queue(payer, period, grant.category), "", grant.turn)
        position = (await part.counts([asked]))[0] + 1
    purse = purse or unopened(grant)
    return {
        "period": period,
        "category": grant.category,
        "state": grant.state,
        "queue_position": position,
        "nominal_kopecks": purse.nominal_kopecks,
        "balance_kopecks": purse.balance_kopecks,
        "reserved_kopecks": purse.reserved_kopecks,
        "paid_kopecks": purse.paid_kopecks,
        "expired_kopecks": purse.expired_kopecks,
        "valid_from": grant.valid_from.isoformat(),
        "valid_until": grant.valid_until.isoformat(),
    }
