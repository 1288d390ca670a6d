"""What a family reads before it gives up a place, and what it then sends. Pure.

An application is withdrawn, an agreement is ended: two events, since they cost different things.
Who applied may do it, nobody else of the family; once who applied is no guardian of the child any
more, any of its guardians. `docs/rules.md`, section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from contracts.vocabulary import ApplicationRefusal, TerminatedBy
from rulebook.wording import full_date, rubles
from services.cabinet.club_queries import is_theirs
from services.cabinet.pages import wording
from services.cabinet.pages.content_events import content_event
from services.cabinet.pages.forms import OLD, Fields, FormError, one

SOURCE = "families"
"""As whom the cabinet sends what families enter."""
SENT = ("navigator.application-withdrawn.v1", "navigator.enrollment-terminated.v1")
"""Types of what is sent here: a sources file of before may not let it."""
FIELDS_MAX = 10
MONTHLY = "MONTHLY_CONTRACT"
REASON = "Решение законного представителя"
"""Of every agreement that is ended here: what a family thinks is nobody's on the bus."""


class Way(StrEnum):
    """How a place is given up."""

    WITHDRAW = "withdraw"
    TERMINATE = "terminate"


OFFERS: Mapping[Way, str] = {
    Way.WITHDRAW: "Отозвать заявление",
    Way.TERMINATE: "Расторгнуть договор",
}
"""What the link on the family's page, and the button, say."""
_WAYS: Mapping[str, Way] = {
    "REGISTERED": Way.WITHDRAW,
    "WAITLISTED": Way.WITHDRAW,
    "PLACE_HELD": Way.WITHDRAW,
    # Between `ENROLLED` and `ACTIVE` money is being reserved: there is an answer within minutes.
    "ACTIVE": Way.TERMINATE,
}
_OVER: Mapping[str, str] = {
    "REFUSED": "По заявлению уже есть ответ.",
    "ENDED": "Договор закончен.",
    "CANCELLED": "Зачисление не состоялось.",
}
"""What came of it, whoever was faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """What a family sends: which way, and from an agreement its last day."""

    way: Way
    last_day: date | None = None


def way_of(enrollment: Mapping[str, Any], guardian_id: str) -> Way | None:
    """Return how a guardian may give up a place now; None where that cannot be."""
    return _WAYS.get(enrollment["state"]) if is_theirs(enrollment, guardian_id) else None


def leaving_page(
    enrollment: Mapping[str, Any], guardian_id: str, today: str | None
) -> dict[str, Any]:
    """Return what the page shows: the place, what becomes of it and of the money."""
    state, tone = wording.state_of(enrollment, today)
    way = way_of(enrollment, guardian_id) if today is not None else None
    return {
        "title": enrollment["title"] or f"Группа {enrollment['group_id']}",
        "provider": enrollment["provider_title"] or "",
        "child_id": enrollment["child_id"],
        "state": state,
        "tone": tone,
        "over": _over(enrollment, today),
        "next": wording.next_step(enrollment, today),
        "way": way.value if way is not None else "",
        "offer": OFFERS[way] if way is not None else "",
        "place": _place(enrollment, today),
        "money": _money(enrollment, today) if way is Way.TERMINATE else [_UNTOUCHED],
        "first_day": today if way is Way.TERMINATE and has_begun(enrollment, today) else None,
        "final_day": enrollment["ends_on"],
    }


def _over(enrollment: Mapping[str, Any], today: str | None) -> str:
    if enrollment["reason"] == ApplicationRefusal.WITHDRAWN:
        return "Заявление отозвано."
    if wording.is_ending(enrollment, today):
        return f"Договор закончится {full_date(date.fromisoformat(enrollment['ended_on']))}."
    return _OVER.get(enrollment["state"], "")


def has_begun(enrollment: Mapping[str, Any], today: str | None) -> bool:
    """Return whether lessons of an agreement may have been held."""
    return today is not None and (enrollment["starts_on"] or "") <= today


def month_is_owed(enrollment: Mapping[str, Any], today: str | None) -> bool:
    """Return whether an agreement that has not begun still lasts the month it begins in.

    Paid by the month, it ends with the month of the notice (docs/rules.md, sections 3 and 7).
    """
    starts_on = enrollment["starts_on"] or ""
    return (
        enrollment["debit_basis"] == MONTHLY
        and today is not None
        and not has_begun(enrollment, today)
        and starts_on[: len("YYYY-MM")] == today[: len("YYYY-MM")]
    )


_UNTOUCHED = "С сертификата ничего не списано и не забронировано: на балансе ничего не изменится."


def _place(enrollment: Mapping[str, Any], today: str | None) -> str:
    match enrollment["state"]:
        case "WAITLISTED":
            return (
                "Вы потеряете место в очереди. Заявление можно подать снова, "
                "но очередь начнётся с конца."
            )
        case "REGISTERED":
            return "Заявление снимем с рассмотрения."
        case "ACTIVE" if month_is_owed(enrollment, today):
            return (
                "Место освободится после этого месяца и достанется следующему. "
                "Отменить это будет нельзя: понадобится новое заявление."
            )
        case "ACTIVE" if has_begun(enrollment, today):
            return (
                "После последнего дня место освободится и достанется следующему. "
                "Отменить это будет нельзя: понадобится новое заявление."
            )
        case _:
            return (
                "Место освободится и достанется следующему. "
                "Если передумаете, подайте заявление снова: место дадут, если оно ещё будет."
            )


def _money(enrollment: Mapping[str, Any], today: str | None) -> list[str]:
    """Return what becomes of the money of an agreement, certificate's share first."""
    said = []
    reserved = rubles(enrollment["reserved_kopecks"])
    if not enrollment["certificate_share_kopecks"]:
        said.append("С сертификата за эти занятия не платили: возвращать на него нечего.")
    elif month_is_owed(enrollment, today):
        said += [
            "Оплата помесячная: месяц начала занятий оплатят целиком, и с ним кончится договор.",
            f"Сейчас забронировано {reserved}. Деньги за следующие месяцы вернутся на сертификат.",
        ]
    elif not has_begun(enrollment, today):
        said.append(f"Занятия ещё не начались: вся бронь, {reserved}, вернётся на сертификат.")
    elif enrollment["debit_basis"] == MONTHLY:
        said += [
            "Оплата помесячная: месяц последнего дня оплатят целиком, и с ним кончится договор.",
            f"Сейчас забронировано {reserved}. Деньги за следующие месяцы вернутся на сертификат.",
        ]
    else:
        said += [
            "Занятия по последний день включительно оплатит сертификат.",
            f"Сейчас забронировано {reserved}. Остаток вернётся, когда сдадут последние отметки.",
        ]
    if enrollment["certificate_share_kopecks"]:
        said.append(_spending(enrollment["valid_until"]))
    if enrollment["parent_share_kopecks"]:
        said.append("О том, что вы доплачивали сами, договоритесь с организацией.")
    return said


def _spending(valid_until: str | None) -> str:
    """Return until when money that comes back can be spent, and what becomes of it then."""
    if valid_until is None:
        return "Вернувшиеся деньги можно потратить на другой кружок, пока не закончился срок."
    return (
        "Вернувшиеся деньги можно потратить на другой кружок до "
        f"{full_date(date.fromisoformat(valid_until))}. Что вернётся позже или останется, "
        "уйдёт в бюджет муниципалитета."
    )


def read_leaving(
    fields: Fields, enrollment: Mapping[str, Any], guardian_id: str, today: str | None
) -> Leaving:
    """Return what the form says. Raises FormError; not of what its page does not offer any more."""
    try:
        way = Way(one(fields, "way"))
    except ValueError as error:
        raise FormError(OLD) from error
    now = wording.day(today)
    if way is Way.WITHDRAW or way is not way_of(enrollment, guardian_id) or now is None:
        return Leaving(way=way)
    if not has_begun(enrollment, today):
        return Leaving(way=way, last_day=now)
    try:
        last_day = date.fromisoformat(one(fields, "last-day"))
    except ValueError as error:
        raise FormError("Укажите последний день занятий.", "last-day") from error
    final = wording.day(enrollment["ends_on"])
    if last_day < now or (final is not None and last_day > final):
        until = "" if final is None else f" до {full_date(final)}"
        raise FormError(f"Последний день занятий — от сегодняшнего{until}.", "last-day")
    return Leaving(way=way, last_day=last_day)


def leaving_event(enrollment: Mapping[str, Any], leaving: Leaving, at: str) -> dict[str, Any]:
    """Return the event of giving up a place."""
    id_, payer = enrollment["enrollment_id"], enrollment["payer"]
    if leaving.way is Way.WITHDRAW or leaving.last_day is None:
        what, data = "navigator.application-withdrawn", {"enrollment_id": id_}
    else:
        what = "navigator.enrollment-terminated"
        data = {
            "enrollment_id": id_,
            "by": TerminatedBy.GUARDIAN.value,
            "notice_on": leaving.last_day.isoformat(),
            "reason": REASON,
        }
    return content_event(SOURCE, what, payer, id_, data, at)
