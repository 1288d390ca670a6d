"""What a family's page shows, made of the answer of `Queries.family`. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby, islice
from types import MappingProxyType
from typing import Any, TypeAlias

from contracts.vocabulary import NominalCause
from rulebook.wording import counted, day_and_month, full_date, month_and_year, rubles
from services.cabinet.monthly import months_left, months_of
from services.cabinet.pages import wording
from services.cabinet.pages.leaving import OFFERS, way_of

ENTRIES_SHOWN = 8
MESSAGES_SHOWN = 4
ENTRIES_ASKED = 3 * ENTRIES_SHOWN
"""Of a child's history for a family's page: what is told by others takes no line of its own."""
MESSAGES_ASKED = 5 * MESSAGES_SHOWN
"""One text may have gone by each of four channels; one more tells that there are others."""
ALL_MESSAGES_MAX = 500
"""Of the page with all messages, one for each channel; it says that there are more."""
LINES_A_PAGE = 50
"""Of the page with the whole history of a child."""
RECENT = timedelta(days=14)
"""So long a refusal or an end stands among what goes on, not among what is over."""

BAR_WIDTH = 1000
"""Of the picture of a purse; every part that holds money is seen, however small."""
BAR_PART_MIN = 16
BAR_GAP = 6

MONTHLY = "MONTHLY_CONTRACT"

_OVER = frozenset({"ENDED", "REFUSED", "CANCELLED"})
_ORDER = ("PLACE_HELD", "ENROLLED", "REGISTERED", "WAITLISTED", "ACTIVE")
# Told twice: the certificate's fact and billing's answer, or the step before the one that matters.
_TOLD_BY_OTHERS = {
    "account-opened": ("certificate-issued", "certificate-renewed", "certificate-funded"),
    "nominal-applied": ("certificate-funded", "certificate-renewed"),
    "nominal-changed": ("nominal-applied",),
    "funds-refused": ("enrollment-cancelled",),
    "application-registered": ("application-waitlisted", "place-held", "application-refused"),
    "place-held": ("child-enrolled",),
    "child-enrolled": ("agreement-activated", "enrollment-cancelled"),
    "funds-reserved": ("agreement-activated",),
}
# What a payer did to a nominal on the day it was funded is told by nobody else.
_OWN_CAUSES = frozenset({NominalCause.CORRECTED.value, NominalCause.CHANGED.value})
_SIGNS = {
    "lesson-charged": "−",
    "month-charged": "−",
    "period-expired": "−",
    "charge-reversed": "+",
    "month-reversed": "+",
    "month-adjusted": "+",
    "account-opened": "+",
    "nominal-applied": "+",
}
_TONES = {
    "lesson-charged": "out",
    "month-charged": "out",
    "period-expired": "out",
    "charge-reversed": "in",
    "month-reversed": "in",
    "month-adjusted": "in",
    "account-opened": "in",
    "certificate-issued": "in",
    "certificate-funded": "in",
    "certificate-renewed": "in",
    "reserve-released": "in",
    "application-refused": "bad",
    "enrollment-cancelled": "bad",
    "certificate-refused": "bad",
    "certificate-frozen": "bad",
    "funds-refused": "bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of the picture of a purse: where it stands, of `BAR_WIDTH`, and what it says."""

    name: str
    label: str
    kopecks: int
    x: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a child's history."""

    key: str
    month: str
    title: str
    text: str
    group: str
    when: str
    amount: str
    free: str
    told: str
    tone: str
    dispute: Mapping[str, str] | None = None
    """Of a debit the family did not agree with: in what state that is, and since when."""
    offer: Mapping[str, str] | None = None
    """Of a debit that stands: which enrollment and lesson to say so about."""


Lesson: TypeAlias = tuple[str, str]
"""Enrollment and lesson."""


@dataclass(slots=True)
class _Debit:
    """What became of the debit of a lesson."""

    lesson: Lesson
    was_disputed: bool
    stands: bool = True
    dispute: Mapping[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the family may say that it does not agree."""
        return self.stands and not self.was_disputed


def family_page(
    family: Mapping[str, Any], names: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what the template of a family shows. Where there is no name, its id stands."""
    today = family["business_day"]
    guardian_id = str(family["guardian_id"])
    times = Counter(child["child_id"] for child in family["children"])
    children = [
        _child(child, today, names, guardian_id)
        | {
            "anchor": _anchor(child, is_alone=times[child["child_id"]] == 1),
            "is_twice": times[child["child_id"]] > 1,
        }
        for child in family["children"]
    ]
    messages = _messages(family, today, names)
    now = wording.day(today)
    return {
        "guardian_id": family["guardian_id"],
        "guardian": names.get(family["guardian_id"]),
        "grounds": list(wording.GROUNDS.items()),
        "today": full_date(now) if now is not None else "",
        "children": children,
        "has_many": len(times) > 1,
        "messages": messages[:MESSAGES_SHOWN],
        "is_behind": family["is_behind"],
        "has_older_messages": len(messages) > MESSAGES_SHOWN,
    }


def history_page(
    family: Mapping[str, Any],
    payer: str,
    child_id: str,
    page: int,
    names: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """Return what the template of a child's whole history shows; None if there is no such child.

    `page` counts from 1, the latest lines first; after the last one it is the last one.
    """
    place = (payer, child_id)
    child = next(
        (one for one in family["children"] if (one["payer"], one["child_id"]) == place), None
    )
    if child is None:
        return None
    lines = list(_history(child, family["business_day"]))
    pages = max(1, -(-len(lines) // LINES_A_PAGE))
    page = min(page, pages)
    first_line = {line.month: number for number, line in reversed(list(enumerate(lines)))}
    shown = lines[(page - 1) * LINES_A_PAGE : page * LINES_A_PAGE]
    return {
        "guardian_id": family["guardian_id"],
        "is_behind": family["is_behind"],
        "grounds": list(wording.GROUNDS.items()),
        "child": {"id": child_id, "name": names.get(child_id), "payer": payer},
        "months": [
            (month, _month_name(month), list(of_month))
            for month, of_month in groupby(shown, key=lambda line: line.month)
        ],
        "begins": [
            (month, _month_name(month), number // LINES_A_PAGE + 1)
            for month, number in sorted(first_line.items(), reverse=True)
        ],
        "page": page,
        "pages": pages,
    }


def _month_name(month: str) -> str:
    """Return the name of a month; what happened before the first business day has none."""
    return wording.month(month).capitalize() if month else "Ранее"


def messages_page(
    family: Mapping[str, Any], names: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what the template of a family's messages shows."""
    return {
        "guardian_id": family["guardian_id"],
        "is_behind": family["is_behind"],
        "messages": _messages(family, family["business_day"], names),
        "are_all": len(family["messages"]) < ALL_MESSAGES_MAX,
    }


def _anchor(child: Mapping[str, Any], *, is_alone: bool) -> str:
    """Return where a child stands on the page; two payers may know the same one."""
    return str(child["child_id"]) if is_alone else f"{child['child_id']}-{child['payer']}"


def _child(
    child: Mapping[str, Any], today: str | None, names: Mapping[str, str], guardian_id: str
) -> dict[str, Any]:
    enrollments = sorted(child["enrollments"], key=lambda each: _place_in_list(each, today))
    going = [each for each in enrollments if _goes_on(each, today)]
    over = [each for each in enrollments if not _goes_on(each, today)]
    history = list(islice(_history(child, today), ENTRIES_SHOWN + 1))
    return {
        "id": child["child_id"],
        "name": names.get(child["child_id"]),
        "payer": child["payer"],
        "age": wording.age(child["birth_date"], today),
        "certificate": _certificate(child["certificate"], today),
        "no_certificate": _why_none(child),
        "enrollments": [_enrollment(each, today, guardian_id) for each in going],
        "over": [_enrollment(each, today, guardian_id) for each in over],
        "history": history[:ENTRIES_SHOWN],
        # Of a history that was cut off lines may be hidden, however few of these are told here.
        "has_older": len(history) > ENTRIES_SHOWN or len(child["history"]) >= ENTRIES_ASKED,
        "awaited": [
            _awaited(each, today) for each in sorted(child["disputes"], key=_since_and_lesson)
        ],
    }


def _since_and_lesson(dispute: Mapping[str, Any]) -> tuple[str, str]:
    return dispute["opened_on"], dispute["lesson_date"]


def _awaited(dispute: Mapping[str, Any], today: str | None) -> str:
    """Return what an open dispute is about, and since when it waits for an answer."""
    return (
        f"Ждём ответа: занятие {wording.short_date(dispute['lesson_date'], today)}, "
        f"списано {rubles(dispute['amount_kopecks'])}. "
        f"Вы не согласны с {wording.short_date(dispute['opened_on'], today)}."
    )


# --- the certificate ---------------------------------------------------------------------------


def _certificate(certificate: Mapping[str, Any] | None, today: str | None) -> dict[str, Any] | None:
    if certificate is None:
        return None
    periods = certificate["periods"]
    current = current_period(periods, today)
    words, tone = state_of(certificate, current, today)
    return {
        "number": wording.number(certificate["certificate_number"]),
        "state": words,
        "tone": tone,
        "current": _period(current, certificate["state"], today) if current else None,
        "others": [
            _period(each, certificate["state"], today) for each in periods if each is not current
        ],
    }


def current_period(
    periods: Sequence[Mapping[str, Any]], today: str | None
) -> Mapping[str, Any] | None:
    """Return the period of the day, else the next one, else the last."""
    day = today or ""
    running = [each for each in periods if each["valid_until"] >= day]
    if running:
        return min(running, key=lambda each: str(each["valid_from"]))
    return max(periods, key=lambda each: str(each["valid_until"]), default=None)


def _is_over(period: Mapping[str, Any], today: str | None) -> bool:
    return today is not None and bool(period["valid_until"] < today)


def _period(period: Mapping[str, Any], state: str, today: str | None) -> dict[str, Any]:
    category = period["category"]
    valid_from, valid_until = map(date.fromisoformat, (period["valid_from"], period["valid_until"]))
    return {
        "period": period["period"],
        "category": wording.CATEGORIES.get(category, category),
        "funded": period["state"] == "FUNDED",
        "from": full_date(valid_from),
        "until": full_date(valid_until),
        "nominal": rubles(period["nominal_kopecks"]),
        "free": rubles(period["balance_kopecks"]),
        "spendable": is_spendable(period, state, today),
        "unspendable": unspendable(period, state, today),
        "slices": purse_picture(period),
        "said": said(period),
        "queue": _queue(period, state, is_over=_is_over(period, today)),
    }


def is_spendable(period: Mapping[str, Any], state: str, today: str | None) -> bool:
    """Return whether what is free may still pay for something."""
    return state != "CLOSED" and not _is_over(period, today)


def unspendable(period: Mapping[str, Any], state: str, today: str | None) -> str:
    """Return why no new agreement takes what is free; empty where one may, or nothing is."""
    if not is_spendable(period, state, today):
        left = period["balance_kopecks"]
        return (
            "Потратить эти деньги уже нельзя: они вернутся в бюджет муниципалитета." if left else ""
        )
    if state == "FROZEN":
        return "Пока сертификат приостановлен, новые договоры по нему не заключаются."
    return ""


def state_of(
    certificate: Mapping[str, Any], period: Mapping[str, Any] | None, today: str | None
) -> tuple[str, str]:
    """Return how a certificate stands with its current period: words and tone."""
    if certificate["state"] == "ACTIVE" and period:
        if _is_over(period, today):
            return wording.RUN_OUT
        if period["state"] == "ACCOUNTING":
            return wording.WITHOUT_MONEY
    return wording.CERTIFICATE_STATES[certificate["state"]]


def _queue(period: Mapping[str, Any], state: str, *, is_over: bool) -> str:
    position = period["queue_position"]
    if is_over:
        return "Срок закончился, а денег на сертификате не было."
    if state == "CLOSED":
        return "Сертификат закрыт, записаться по нему нельзя. Денег на нём не было."
    if position is None and state == "FROZEN":
        return (
            "Сертификат пока без денег. Пока он приостановлен, новые договоры по нему "
            "не заключаются."
        )
    if position is None:
        return (
            "Сертификат пока без денег: на кружок по нему записаться можно, "
            "но платить за занятия придётся самим."
        )
    turn = "Ваша очередь следующая." if position == 1 else f"Место в очереди: {position}."
    if state == "FROZEN":
        return f"{turn} Пока сертификат приостановлен, очередь его пропускает, место сохраняется."
    return f"{turn} Как только у муниципалитета появится возможность, деньги поступят сами."


def said(period: Mapping[str, Any]) -> str:
    """Return the picture of the purse in words, for those who do not see it."""
    parts = [
        f"{label}: {rubles(period[name])}"
        for name, label in (
            ("balance_kopecks", "свободно"),
            ("reserved_kopecks", "забронировано"),
            ("paid_kopecks", "потрачено"),
            ("expired_kopecks", "сгорело"),
        )
        if period[name] or name != "expired_kopecks"
    ]
    return f"Номинал {rubles(period['nominal_kopecks'])}; " + "; ".join(parts)


def purse_picture(period: Mapping[str, Any]) -> list[Slice]:
    """Return the parts of a purse beside each other: spent, reserved, free, expired."""
    parts = [
        ("paid", "потрачено", period["paid_kopecks"]),
        ("reserved", "забронировано", period["reserved_kopecks"]),
        ("free", "свободно", period["balance_kopecks"]),
        ("expired", "сгорело", period["expired_kopecks"]),
    ]
    shown = [part for part in parts if part[2] > 0]
    nominal = sum(kopecks for _, _, kopecks in shown)
    widths = [max(BAR_PART_MIN, kopecks * BAR_WIDTH // nominal) for _, _, kopecks in shown]
    if widths:
        # What small parts took more, or rounding left, is the widest part's.
        widest = widths.index(max(widths))
        widths[widest] += BAR_WIDTH - sum(widths)
    slices, x = [], 0
    for (name, label, kopecks), width in zip(shown, widths, strict=True):
        slices.append(Slice(name=name, label=label, kopecks=kopecks, x=x, width=width))
        x += width
    return slices


def _why_none(child: Mapping[str, Any]) -> str:
    if child["certificate"] is not None:
        return ""
    for entry in child["history"]:
        if entry["kind"] == "certificate-refused":
            return str(entry["text"])
    return (
        "Сертификата пока нет. Он оформится сам, когда организация примет заявление "
        "в кружок, или по заявлению в Навигаторе."
    )


# --- enrollments -------------------------------------------------------------------------------


def _place_in_list(enrollment: Mapping[str, Any], today: str | None) -> tuple[int, str]:
    state = "ACTIVE" if wording.is_ending(enrollment, today) else enrollment["state"]
    place = _ORDER.index(state) if state in _ORDER else len(_ORDER)
    return place, enrollment["enrollment_id"]


def _goes_on(enrollment: Mapping[str, Any], today: str | None) -> bool:
    if enrollment["state"] not in _OVER or wording.is_ending(enrollment, today):
        return True
    since, now = wording.day(enrollment["since"]), wording.day(today)
    starts, ended = wording.day(enrollment["starts_on"]), wording.day(enrollment["ended_on"])
    if since is not None and starts is not None and ended is not None and starts <= ended:
        # The end may have become known long before it came.
        since = max(since, ended)
    return since is not None and now is not None and now - since <= RECENT


def _enrollment(
    enrollment: Mapping[str, Any], today: str | None, guardian_id: str
) -> dict[str, Any]:
    state, tone = wording.state_of(enrollment, today)
    lessons, charged = enrollment["lessons"], enrollment["lessons_charged"]
    by_month = enrollment["debit_basis"] == MONTHLY
    has_money = enrollment["certificate_share_kopecks"] is not None
    is_active = enrollment["state"] == "ACTIVE" or wording.is_ending(enrollment, today)
    own_money = is_active and enrollment["certificate_share_kopecks"] == 0
    shown = is_active and has_money and lessons and not by_month and not own_money
    paid_by_month = by_month and is_active and not own_money
    ahead = _months_ahead if by_month else _lessons_ahead
    way = way_of(enrollment, guardian_id)
    return {
        "id": enrollment["enrollment_id"],
        "payer": enrollment["payer"],
        "leave": OFFERS[way] if way is not None else "",
        "title": enrollment["title"] or f"Группа {enrollment['group_id']}",
        "provider": enrollment["provider_title"] or "",
        "state": state,
        "tone": tone,
        "next": wording.next_step(enrollment, today),
        "span": _span(enrollment, today),
        "left": counted(lessons - charged, "занятие", "занятия", "занятий") if shown else "",
        "of": str(lessons) if shown else "",
        "left_share": round(100 * (lessons - charged) / lessons) if shown else 0,
        "outlook": ahead(enrollment, today) if shown or paid_by_month else [],
        "by_month": paid_by_month,
        "own_money": own_money,
        "money": _money(enrollment) if has_money else [],
    }


def _lessons_ahead(enrollment: Mapping[str, Any], today: str | None) -> list[str]:
    """Return what the next lesson takes off, and how long the money lasts."""
    left = enrollment["lessons"] - enrollment["lessons_charged"]
    if not left:
        return ["Все занятия, на которые были деньги, прошли: дальше за занятия платит семья."]
    told = [f"Следующее занятие: спишется {rubles(next_debit_kopecks(enrollment))}."]
    now, ends = wording.day(today), wording.day(enrollment["ended_on"] or enrollment["ends_on"])
    last = money_lasts_until(enrollment, now)
    if last is not None and ends is not None:
        told.append(
            f"Денег хватит до конца договора, {full_date(ends)}."
            if last >= ends
            else f"Если не пропускать, денег хватит примерно до {full_date(last)}: "
            "дальше за занятия платит семья."
        )
    return told


def _months_ahead(enrollment: Mapping[str, Any], today: str | None) -> list[str]:
    """Return what the next month takes off, and how long the money lasts."""
    starts, ends = wording.day(enrollment["starts_on"]), wording.day(enrollment["ends_on"])
    now, share = wording.day(today), enrollment["certificate_share_kopecks"]
    if starts is None or ends is None or now is None or share is None:
        return []
    last = wording.day(enrollment["ended_on"]) or ends
    left = months_left(months_of(starts, ends, share), last, enrollment["reserved_kopecks"])
    if left is None:
        return []
    if not left:
        return ["За все месяцы договора деньги уже списаны."]
    month = left[0]
    waits = f", не раньше {day_and_month(month.opens_on)}" if month.opens_on > now else ""
    return [
        f"За {month_and_year(month.opens_on)} спишется {rubles(month.amount_kopecks)}{waits}.",
        f"Денег хватит до конца договора, {full_date(last)}.",
    ]


def next_debit_kopecks(enrollment: Mapping[str, Any]) -> int:
    """Return what the next lesson takes off a reserve that has lessons left.

    All but the next take a lesson's share; the next one takes what is above that too, if no charge
    holds it yet (docs/rules.md, section 5).
    """
    left = enrollment["lessons"] - enrollment["lessons_charged"]
    return int(enrollment["reserved_kopecks"] - enrollment["lesson_share_kopecks"] * (left - 1))


def money_lasts_until(enrollment: Mapping[str, Any], today: date | None) -> date | None:
    """Return the last day for which there is money, if lessons are spread evenly; None if unknown.

    Of an agreement of 100 days and 20 lessons, 3 lessons that are left last 15 days.
    """
    starts, ends = wording.day(enrollment["starts_on"]), wording.day(enrollment["ends_on"])
    if today is None or starts is None or ends is None:
        return None
    left = enrollment["lessons"] - enrollment["lessons_charged"]
    days = (ends - starts).days + 1
    return max(today, starts) + timedelta(days=-(-left * days // enrollment["lessons"]) - 1)


def _span(enrollment: Mapping[str, Any], today: str | None) -> str:
    if enrollment["starts_on"] is None:
        return ""
    ends = enrollment["ended_on"] or enrollment["ends_on"]
    return (
        f"{wording.short_date(enrollment['starts_on'], today)} — {wording.short_date(ends, today)}"
    )


def _money(enrollment: Mapping[str, Any]) -> list[tuple[str, str]]:
    parts = [
        ("по сертификату", enrollment["certificate_share_kopecks"]),
        ("доплата семьи", enrollment["parent_share_kopecks"]),
        ("уже списано", enrollment["charged_kopecks"]),
        ("забронировано", enrollment["reserved_kopecks"]),
    ]
    return [(label, rubles(kopecks)) for label, kopecks in parts if kopecks]


# --- history and messages ----------------------------------------------------------------------


def _history(child: Mapping[str, Any], today: str | None) -> Iterator[Line]:
    """Yield the lines of a child's history, the latest first."""
    entries, enrollments = child["history"], _enrollments_of(child)
    debits = _debits(entries)
    moved = _moves_of_balance(entries)
    for _, of_day in groupby(entries, key=lambda entry: entry["day"]):
        found = list(of_day)
        told = {(entry["kind"], entry["enrollment_id"]) for entry in found}
        for entry in found:
            is_own = entry["cause"] in _OWN_CAUSES
            others = () if is_own else _TOLD_BY_OTHERS.get(entry["kind"], ())
            if not any((kind, entry["enrollment_id"]) in told for kind in others):
                yield _line(
                    entry,
                    enrollments.get(entry["enrollment_id"] or "", {}),
                    today,
                    is_balance_told=id(entry) in moved,
                    debit=debits.get(id(entry)),
                )


def _enrollments_of(child: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return {each["enrollment_id"]: each for each in child["enrollments"]}


def disputable(child: Mapping[str, Any]) -> set[Lesson]:
    """Return enrollment and lesson of the debits that a family may say it does not agree with."""
    return {debit.lesson for debit in _debits(child["history"]).values() if debit.is_open}


def _debits(entries: Sequence[Mapping[str, Any]]) -> dict[int, _Debit]:
    """Return the debits of lessons in a history, the latest first, by the identity of the entry.

    A lesson is disputed once; what was released is not corrected any more. The history may be cut
    off: what became of a debit comes after it.
    """
    found: dict[int, _Debit] = {}
    latest: dict[Lesson, _Debit] = {}
    released = set()
    for entry in reversed(entries):
        lesson = (str(entry["enrollment_id"]), str(entry["lesson_id"]))
        before = latest.get(lesson)
        match entry["kind"]:
            case "lesson-charged":
                was_disputed = entry["dispute"] is not None
                latest[lesson] = found[id(entry)] = _Debit(lesson, was_disputed)
            case "charge-reversed" if before is not None:
                before.stands = False
            case "dispute-opened" if before is not None:
                before.dispute = entry["dispute"]
            case "reserve-released":
                released.add(lesson[0])
            case _:
                pass
    for debit in found.values():
        debit.stands = debit.stands and debit.lesson[0] not in released
    return found


def money_moved(child: Mapping[str, Any], today: str | None) -> list[Line]:
    """Return the lines of a child's history that moved money, the oldest first."""
    known = _enrollments_of(child)
    entries = [each for each in reversed(child["history"]) if each["amount_kopecks"]]
    return [
        _line(
            each,
            known.get(each["enrollment_id"] or "", {}),
            today,
            is_balance_told=each["balance_kopecks"] is not None,
        )
        for each in entries
    ]


def _moves_of_balance(entries: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return which entries, the latest first, left another balance than the one before."""
    moved, before = set(), None
    for entry in reversed(entries):
        after = entry["balance_kopecks"]
        if after is not None and after != before:
            moved.add(id(entry))
            before = after
    return moved


def _line(
    entry: Mapping[str, Any],
    enrollment: Mapping[str, Any],
    today: str | None,
    *,
    is_balance_told: bool,
    debit: _Debit | None = None,
) -> Line:
    kind, amount, free = entry["kind"], entry["amount_kopecks"], entry["balance_kopecks"]
    return Line(
        month=(entry["day"] or "")[:7],
        key=f"{entry['at']}|{kind}|{entry['enrollment_id']}|{entry['lesson_id']}|{amount}|{free}",
        title=_title(entry, enrollment, today),
        text=entry["text"],
        group=enrollment.get("title") or "",
        when=wording.short_date(entry["day"], today),
        amount=_amount(kind, amount) if amount else "",
        free=rubles(free) if is_balance_told else "",
        told=wording.told(entry.get("told", {}), today),
        tone=_TONES.get(kind, "still"),
        dispute=None if debit is None else _dispute(debit.dispute, today),
        offer=_offer(debit) if debit is not None and debit.is_open else None,
    )


def _dispute(dispute: Mapping[str, Any] | None, today: str | None) -> Mapping[str, str] | None:
    if dispute is None:
        return None
    state, tone, since = wording.DISPUTES[dispute["outcome"] or "open"]
    day = dispute["opened_on"] if dispute["outcome"] is None else dispute["settled_on"]
    return {"state": state, "tone": tone, "since": since.format(day=wording.short_date(day, today))}


def _offer(debit: _Debit) -> Mapping[str, str]:
    enrollment_id, lesson_id = debit.lesson
    return {"enrollment_id": enrollment_id, "lesson_id": lesson_id}


def _title(entry: Mapping[str, Any], enrollment: Mapping[str, Any], today: str | None) -> str:
    kind = str(entry["kind"])
    title = wording.KINDS.get(kind, kind)
    if kind == "lesson-not-charged" and enrollment.get("debit_basis") == MONTHLY:
        title = wording.MARK
    if kind == "month-adjusted" and not entry["amount_kopecks"]:
        title = wording.NOTHING_BACK
    lesson = wording.short_date(entry["lesson_date"], today)
    if not lesson:
        return title
    return f"{title} {lesson}" if kind == "lesson-charged" else f"{title}: занятие {lesson}"


def _amount(kind: str, kopecks: int) -> str:
    # A nominal that went down is negative already.
    return f"{'' if kopecks < 0 else _SIGNS.get(kind, '')}{rubles(kopecks)}"


def _messages(
    family: Mapping[str, Any], today: str | None, names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return messages; one text that went by several channels is shown once.

    Where there are more children, the heading says whom a message is about.
    """
    children = {(child["payer"], child["child_id"]): child for child in family["children"]}
    shown: dict[tuple[str, ...], dict[str, Any]] = {}
    for message in family["messages"]:
        # The same facts may be named again on a later day: money that is left, in other words.
        key = (message["template"], message["day"] or "", *message["event_ids"])
        known = shown.setdefault(key, _message(message, children, today, names))
        how = wording.CHANNELS.get(message["channel"])
        if how is not None:
            known[message["state"]].append(how)
    ways = ("sent", "due", "failed")
    return [
        each | {state: ", ".join(sorted(each[state])) for state in ways} for each in shown.values()
    ]


def _message(
    message: Mapping[str, Any],
    children: Mapping[tuple[str, str], Mapping[str, Any]],
    today: str | None,
    names: Mapping[str, str],
) -> dict[str, Any]:
    entries = message["entries"]
    said = _said_of_money(message, children)
    title = wording.message_title(message["template"], message["category"])
    about = {each["child_id"] for each in entries} if len({id_ for _, id_ in children}) > 1 else ()
    named = sorted(names.get(id_, id_) for id_ in about)
    return {
        "title": f"{', '.join(named)} · {title}" if named else title,
        "texts": said or list(dict.fromkeys(entry["text"] for entry in entries)),
        "more": 0 if said else max(0, message["facts"] - len(entries)),
        "when": wording.short_date(message["day"], today),
        "sent": [],
        "due": [],
        "failed": [],
    }


def _said_of_money(
    message: Mapping[str, Any], children: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    """Return what a message says that names facts for their sums and days alone, not to tell them.

    Empty for all others: they say what their facts say.
    """
    balances = [each["balance_kopecks"] for each in message["entries"]]
    balance = next((each for each in reversed(balances) if each is not None), None)
    match message["template"]:
        case "balance-low":
            return [wording.little_left(balance)]
        case "period-ends-soon":
            about = {(message["payer"], each["child_id"]) for each in message["entries"]}
            found = [children[place] for place in about if place in children]
            certificate = found[0]["certificate"] if len(found) == 1 else None
            # The period that went on when the message was written.
            period = current_period(certificate["periods"], message["day"]) if certificate else None
            return [wording.money_left(balance, period["valid_until"] if period else None)]
        case _:
            return []
