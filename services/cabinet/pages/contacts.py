"""What a guardian enters about himself where there is no Navigator: a name, a mail, a phone. Pure.

All of it is for the vault alone.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from pydantic import ValidationError

from rulebook.wording import NO_BREAK_SPACE
from services.cabinet.pages.preferences import FormError
from services.cabinet.vault.person import Person

FIELDS_MAX = 20
_SPACERS = re.compile(r"[\s()\-.\u2010-\u2015\u00a0]")
_AT_HOME = re.compile(r"8(?=[0-9]{10}\Z)")
"""How a number begins that is dialled within the country."""

_NO_EMAIL = "Проверьте адрес почты: латинские буквы, например anna@example.ru."


def contacts_page(known: Person | None) -> dict[str, Any]:
    """Return what the form shows: what the vault knows."""
    if known is None:
        return dict.fromkeys(("family_name", "given_name", "patronymic", "email", "phone"), "")
    return {
        "family_name": known.family_name,
        "given_name": known.given_name,
        "patronymic": known.patronymic or "",
        "email": known.email or "",
        "phone": _shown(known.phones[0]) if known.phones else "",
    }


def read_contacts(body: str) -> Person:
    """Return who a form says its guardian is. Raises FormError."""
    try:
        fields = parse_qs(body, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise FormError("Форма не читается. Откройте страницу заново.") from error
    email, phone = _one(fields, "email"), _phone(_one(fields, "phone"))
    if not email.isascii():
        # Relays that we know of take no others.
        raise FormError(_NO_EMAIL)
    try:
        return Person(
            family_name=_one(fields, "family-name"),
            given_name=_one(fields, "given-name"),
            patronymic=_one(fields, "patronymic") or None,
            email=email or None,
            phones=(phone,) if phone else (),
        )
    except ValidationError as error:
        raise FormError(_wrong({str(each["loc"][0]) for each in error.errors()})) from error


def _wrong(fields: set[str]) -> str:
    if "email" in fields:
        return _NO_EMAIL
    if "phones" in fields:
        return f"Проверьте телефон: +7{NO_BREAK_SPACE}и{NO_BREAK_SPACE}ещё десять цифр."
    return "Напишите фамилию и имя, как в паспорте."


def _one(fields: Mapping[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0].strip()


def _phone(written: str) -> str:
    """Return a number as E.164 writes it, however a person did."""
    return _AT_HOME.sub("+7", _SPACERS.sub("", written))


def _shown(phone: str) -> str:
    if len(phone) != len("+70000000000") or not phone.startswith("+7"):
        return phone
    return f"+7 {phone[2:5]} {phone[5:8]}-{phone[8:10]}-{phone[10:]}"
