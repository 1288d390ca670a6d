"""What stands on a family's papers, made of the answer of `Queries.family`. Pure."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from rulebook.wording import full_date, rubles
from services.cabinet.pages import wording
from services.cabinet.pages.family import current_period, money_moved, said, state_of
from services.cabinet.papers.certificate import CertificatePaper
from services.cabinet.papers.codes import Codes
from services.cabinet.papers.statement import Movement, StatementPaper


def certificate_paper(
    child: Mapping[str, Any],
    today: str | None,
    holder: str | None,
    codes: Codes,
    base_url: str,
    *,
    is_sample: bool,
) -> CertificatePaper | None:
    """Return the certificate of a child; None if it has none with a term."""
    certificate = child["certificate"]
    period = current_period(certificate["periods"], today) if certificate else None
    if certificate is None or period is None:
        return None
    code = codes.code_of(certificate["certificate_number"])
    category = period["category"]
    return CertificatePaper(
        number=wording.number(certificate["certificate_number"]),
        holder=holder,
        state=state_of(certificate, period, today)[0],
        category=wording.CATEGORIES.get(category, category),
        term=f"с {_date(period['valid_from'])} по {_date(period['valid_until'])}",
        nominal=rubles(period["nominal_kopecks"])
        if period["state"] == "FUNDED"
        else "пока без денег",
        as_of=_date(today),
        code=code,
        address=f"{base_url}/verify/{code}",
        is_sample=is_sample,
    )


def statement_paper(
    child: Mapping[str, Any], today: str | None, holder: str | None, *, is_sample: bool
) -> StatementPaper | None:
    """Return the statement of a child; None if it has no certificate."""
    certificate = child["certificate"]
    if certificate is None:
        return None
    return StatementPaper(
        number=wording.number(certificate["certificate_number"]),
        holder=holder,
        purses=[_purse(each) for each in certificate["periods"]],
        movements=[
            Movement(
                day=each.when,
                title=each.title,
                text=f"{each.group}. {each.text}" if each.group else each.text,
                amount=each.amount,
                free=each.free,
            )
            # Without a day at hand each date says its year: papers are kept.
            for each in money_moved(child, None)
        ],
        as_of=_date(today),
        is_sample=is_sample,
    )


def _purse(period: Mapping[str, Any]) -> str:
    text = said(period)
    return f"Период {period['period']}: {text[:1].lower()}{text[1:]}."


def _date(text: str | None) -> str:
    return "" if text is None else full_date(date.fromisoformat(text))
