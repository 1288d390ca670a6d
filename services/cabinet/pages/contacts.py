"""What a guardian enters about himself where there is no Navigator: a name, a mail, a phone. Pure.

All of it is for the vault alone.
"""

import re
from typing import Any

from pydantic import ValidationError

from rulebook.wording import NO_BREAK_SPACE
from services.cabinet.pages.forms import Fields, FormError, one
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


def typed(fields: Fields) -> dict[str, Any]:
    """Return what the form shows: what was typed."""
    names = ("family-name", "given-name", "patronymic", "email", "phone")
    return {name.replace("-", "_"): one(fields, name) for name in names}


def read_contacts(fields: Fields) -> Person:
    """Return who a form says its guardian is. Raises FormError."""
    email, phone = _one(fields, "email"), _phone(_one(fields, "phone"))
    if not email.isascii():
        # Relays that we know of take no others.
        raise FormError(_NO_EMAIL, "email")
    try:
        return Person(
            family_name=_one(fields, "family-name"),
            given_name=_one(fields, "given-name"),
            patronymic=_one(fields, "patronymic") or None,
            email=email or None,
            phones=(phone,) if phone else (),
        )
    except ValidationError as error:
        raise _wrong(str(error.errors()[0]["loc"][0])) from error


def _wrong(part: str) -> FormError:
    match part:
        case "email":
            return FormError(_NO_EMAIL, "email")
        case "phones":
            text = f"Проверьте телефон: +7{NO_BREAK_SPACE}и{NO_BREAK_SPACE}ещё десять цифр."
            return FormError(text, "phone")
        case "patronymic":
            text = "Напишите отчество, как в паспорте; если его нет, оставьте пустым."
            return FormError(text, "patronymic")
        case _:
            return FormError("Напишите фамилию и имя, как в паспорте.", part.replace("_", "-"))


def _one(fields: Fields, name: str) -> str:
    return one(fields, name).strip()


def _phone(written: str) -> str:
    """Return a number as E.164 writes it, however a person did."""
    return _AT_HOME.sub("+7", _SPACERS.sub("", written))


def _shown(phone: str) -> str:
    if len(phone) != len("+70000000000") or not phone.startswith("+7"):
        return phone
    return f"+7 {phone[2:5]} {phone[5:8]}-{phone[8:10]}-{phone[10:]}"
