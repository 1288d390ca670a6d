"""What a family reads and sends where there is no Navigator: groups, a child, an application. Pure.

Ids are made of who sends and of the token of a page, so a form that arrives twice is one child, one
application, and nobody can send anything under an id of another family.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from contracts.vocabulary import KOPECKS_MAX, Consent
from rulebook.wording import counted, full_date, rubles
from services.cabinet.club_queries import of_age
from services.cabinet.offer import GROWN_UP_YEARS, age_on
from services.cabinet.pages import wording
from services.cabinet.pages.content_events import content_event
from services.cabinet.pages.forms import OLD, Fields, FormError, one
from services.cabinet.pages.leaving import SOURCE
from services.cabinet.queries import Answer
from services.cabinet.vault.person import Person

GROUPS_SHOWN_MAX = 30
FIELDS_MAX = 40
CHILDREN_MAX = 20
"""So many children a guardian enters; who has more is helped by an official."""
BENEFITS_MAX = 5
"""So many benefits an event of a child may name."""
TOKEN_LENGTH = 32
_OVER = frozenset({"ENDED", "REFUSED", "CANCELLED"})

_ALWAYS = (Consent.APPLICATION, Consent.TERMS, Consent.PERSONAL_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a family looks for."""

    home: str
    direction: str = ""
    title: str = ""
    free: bool = False
    age: str = ""
    """Of whom, in years: asked for where no child is entered yet."""
    page: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A child as a family entered it; the name is for the vault alone."""

    child_id: str
    person: Person
    birth_date: date
    payer: str
    benefits: tuple[str, ...] = ()


def keys_of(children: Sequence[Answer]) -> dict[tuple[str, str], str]:
    """Return what pages name children by: where one has two payers, by both."""
    times = Counter(child["child_id"] for child in children)
    return {
        (child["payer"], child["child_id"]): child["child_id"]
        if times[child["child_id"]] == 1
        else f"{child['child_id']}.{child['payer']}"
        for child in children
    }


# --- the catalogue -----------------------------------------------------------------------------


def clubs_page(
    groups: Sequence[Answer], wanted: Wanted, child: Mapping[str, Any] | None, today: str | None
) -> dict[str, Any]:
    """Return what the catalogue shows: what is still to begin or goes on, with places first."""
    found = [each for each in groups if each["ends_on"] > (today or "")]
    if child is not None:
        found = of_age(found, child["birth_date"], today)
    elif wanted.age:
        found = [each for each in found if each["age_min"] <= int(wanted.age) <= each["age_max"]]
    if wanted.direction:
        found = [each for each in found if each["direction"] == wanted.direction]
    if wanted.free:
        found = [each for each in found if each["is_open"] and each["free"]]
    if wanted.title:
        text = wanted.title.casefold()
        found = [each for each in found if text in f"{each['title']} {each['provider']}".casefold()]
    found.sort(key=lambda each: (not _has_places(each), each["title"], each["group_id"]))
    pages = max(1, -(-len(found) // GROUPS_SHOWN_MAX))
    page = min(wanted.page, pages - 1)
    first = page * GROUPS_SHOWN_MAX
    return {
        "groups": [_group(each) for each in found[first : first + GROUPS_SHOWN_MAX]],
        "found": counted(len(found), "группа", "группы", "групп") if found else "",
        "wanted": wanted,
        "page": page,
        "pages": pages,
        "directions": list(wording.DIRECTIONS.items()),
    }


def _has_places(group: Mapping[str, Any]) -> bool:
    return bool(group["is_open"] and not group["is_suspended"] and group["free"])


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    places, tone = _places(group)
    first, last = (date.fromisoformat(group[name]) for name in ("starts_on", "ends_on"))
    return {
        "home": group["home"],
        "id": group["group_id"],
        "title": group["title"],
        "provider": group["provider"],
        "direction": wording.DIRECTIONS.get(group["direction"], ""),
        "ages": _ages(group["age_min"], group["age_max"]),
        "span": f"{full_date(first)} — {full_date(last)}",
        "lessons": counted(group["lessons_total"], "занятие", "занятия", "занятий"),
        "price": rubles(group["price_kopecks"]),
        "places": places,
        "tone": tone,
        "is_full": not group["free"],
    }


def _ages(youngest: int, oldest: int) -> str:
    ages = counted(oldest, "год", "года", "лет")
    return ages if youngest == oldest else f"{youngest}–{ages}"


def _places(group: Mapping[str, Any]) -> tuple[str, str]:
    if group["is_suspended"] or not group["is_open"]:
        return "Запись закрыта", "over"
    if group["free"]:
        return f"Свободно {group['free']} из {group['capacity']}", "good"
    waiting = group["waiting"]
    if not waiting:
        return "Мест нет", "wait"
    waits = counted(waiting, "ребёнок ждёт", "ребёнка ждут", "детей ждут")
    return f"Мест нет, {waits}", "wait"


# --- one group, and an application -------------------------------------------------------------


def club_page(
    group: Answer,
    child: Mapping[str, Any] | None,
    offered: Answer | None,
    applied: Sequence[Answer],
    today: str | None,
) -> dict[str, Any]:
    """Return what the page of a group shows for a child: its application, what it costs, or why
    there can be none.
    """
    going = [each for each in applied if not is_over(each, today)]
    over = [each for each in applied if is_over(each, today)]
    offer = None if offered is None else offered["offer"]
    reason = None if offered is None else offered["hindrance"]
    return {
        "group": _group(group),
        "going": [_state(each, today) for each in going],
        "over": [_state(each, today) for each in over],
        "hindrance": wording.HINDRANCES.get(reason, wording.NOT_NOW) if reason else "",
        "offer": None if offer is None or going else _offer(offer, offered or {}),
        "child": child,
    }


def is_over(enrollment: Answer, today: str | None) -> bool:
    """Return whether an application is one after which there may be another."""
    return enrollment["state"] in _OVER and not wording.is_ending(enrollment, today)


def _state(enrollment: Answer, today: str | None) -> dict[str, str]:
    state, tone = wording.state_of(enrollment, today)
    return {"state": state, "tone": tone, "next": wording.next_step(enrollment, today)}


def _offer(offer: Mapping[str, Any], offered: Answer) -> dict[str, Any]:
    span = offer["span"]
    parent = offer["parent_kopecks"]
    consents = [(each.value, wording.CONSENTS[each.value]) for each in _ALWAYS]
    if parent:
        share = f"Даю согласие доплатить не больше {rubles(parent)}"
        consents.append((Consent.PARENT_SHARE.value, share))
    return {
        "span": f"{full_date(span['starts_on'])} — {full_date(span['ends_on'])}",
        "lessons": counted(offer["lessons"], "занятие", "занятия", "занятий"),
        "total": rubles(offer["total_kopecks"]),
        "certificate": rubles(offer["certificate_kopecks"]),
        "parent": rubles(parent),
        "share": parent,
        "money": wording.MONEY[offered["money"]],
        "consents": consents,
    }


def application_form(
    offer: Mapping[str, Any] | None, fields: Fields, new_token: str, *, changed: bool
) -> dict[str, Any]:
    """Return what stands in the form of an application: what was ticked, if it was sent before.

    Who ticked it for another share, or for what has `changed`, reads anew first, and agrees anew.
    """
    is_typed = "share" in fields
    is_share = offer is None or not is_typed or one(fields, "share") == str(offer["share"])
    is_other = changed or not is_share
    given = [] if is_other else fields.get("consent", [])
    consents = [] if offer is None else [key for key, _ in offer["consents"]]
    return {
        "changed": is_other,
        "given": given,
        "missing": next((key for key in consents if key not in given), ""),
        "waits": "wait" in fields or not is_typed,
        "token": one(fields, "token") or new_token,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """What a family sends with an application: the share it read, and what it agreed to."""

    share_kopecks: int
    consents: tuple[str, ...]
    waitlist_ok: bool
    token: str


def read_application(fields: Fields) -> Applying:
    """Return what the form of an application says. Raises FormError."""
    share = one(fields, "share")
    if not share.isascii() or not share.isdecimal() or int(share[:14]) > KOPECKS_MAX:
        raise FormError(OLD)
    needed = [each.value for each in _ALWAYS]
    if int(share[:14]):
        needed.append(Consent.PARENT_SHARE.value)
    given = fields.get("consent", [])
    if not set(needed) <= set(given):
        raise FormError("Чтобы подать заявление, нужно отметить все согласия.", "consent")
    return Applying(
        share_kopecks=int(share[:14]),
        consents=tuple(needed),
        waitlist_ok="wait" in fields,
        token=_token(fields),
    )


def enrollment_id_of(child: Mapping[str, Any], group: Mapping[str, Any], token: str) -> str:
    """Return the id of an application, which is nobody else's."""
    return _id(
        "enr", child["guardian_id"], child["child_id"], group["home"], group["group_id"], token
    )


def application_event(
    child: Mapping[str, Any], group: Mapping[str, Any], applying: Applying, at: str
) -> dict[str, Any]:
    """Return the event of an application."""
    enrollment_id = enrollment_id_of(child, group, applying.token)
    data = {
        "enrollment_id": enrollment_id,
        "child_id": child["child_id"],
        "guardian_id": child["guardian_id"],
        "group_id": group["group_id"],
        "group_home": group["home"],
        "parent_share_max_kopecks": applying.share_kopecks,
        "consents": list(applying.consents),
        "waitlist_ok": applying.waitlist_ok,
    }
    what = "navigator.application-submitted"
    return content_event(SOURCE, what, child["payer"], enrollment_id, data, at)


# --- a child -----------------------------------------------------------------------------------


def child_form(fields: Fields, new_token: str) -> dict[str, Any]:
    """Return what stands in the form of a child: what was typed, if anything was."""
    names = ("family-name", "given-name", "patronymic", "birth-date", "payer")
    return {
        **{name.replace("-", "_"): one(fields, name) for name in names},
        "claimed": fields.get("benefit", []),
        # The same form sent again is the same child.
        "token": one(fields, "token") or new_token,
    }


def read_child(
    fields: Fields,
    guardian_id: str,
    payers: Sequence[str],
    benefits: Container[str],
    today: str | None,
) -> Entered:
    """Return the child that a form enters; it may claim `benefits` alone. Raises FormError."""
    try:
        birth_date = date.fromisoformat(one(fields, "birth-date"))
    except ValueError as error:
        raise FormError("Укажите день рождения ребёнка.", "birth-date") from error
    if today is None or not (0 <= age_on(birth_date, date.fromisoformat(today)) < GROWN_UP_YEARS):
        text = "Проверьте день рождения: сертификат бывает только у детей до 18 лет."
        raise FormError(text, "birth-date")
    payer = one(fields, "payer")
    if payer not in payers:
        raise FormError("Выберите муниципалитет, где живёт ребёнок.", "payer")
    claimed = sorted(set(fields.get("benefit", [])))
    if any(code not in benefits for code in claimed):
        raise FormError(OLD)
    if len(claimed) > BENEFITS_MAX:
        raise FormError("Отметьте не больше пяти льгот.", "benefit")
    try:
        person = Person(
            family_name=one(fields, "family-name"),
            given_name=one(fields, "given-name"),
            patronymic=one(fields, "patronymic").strip() or None,
        )
    except ValidationError as error:
        raise _no_name(str(error.errors()[0]["loc"][0])) from error
    child_id = _id("child", guardian_id, _token(fields))
    return Entered(
        child_id=child_id,
        person=person,
        birth_date=birth_date,
        payer=payer,
        benefits=tuple(claimed),
    )


def _no_name(part: str) -> FormError:
    if part == "patronymic":
        text = "Напишите отчество ребёнка, как в свидетельстве; если его нет, оставьте пустым."
    else:
        text = "Напишите фамилию и имя ребёнка, как в свидетельстве."
    return FormError(text, part.replace("_", "-"))


def child_event(entered: Entered, guardian_id: str, at: str) -> dict[str, Any]:
    """Return the event of a child: its name stays with the vault."""
    data = {
        "child_id": entered.child_id,
        "birth_date": entered.birth_date.isoformat(),
        "guardian_ids": [guardian_id],
        "benefits": list(entered.benefits),
        "revision": 1,
    }
    what = "navigator.child-registered"
    return content_event(SOURCE, what, entered.payer, entered.child_id, data, at)


# --- forms -------------------------------------------------------------------------------------


def _token(fields: Fields) -> str:
    token = one(fields, "token")
    if len(token) != TOKEN_LENGTH or not set(token) <= set("0123456789abcdef"):
        raise FormError(OLD)
    return token


def _id(kind: str, *of: str) -> str:
    return f"{kind}-{sha256('|'.join(of).encode()).hexdigest()[:24]}"
