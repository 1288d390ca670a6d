"""What a provider's pages show, and what a teacher's form says. Pure."""

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from io import StringIO
from itertools import islice
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from contracts.vocabulary import Mark
from rulebook.wording import counted, full_date, rubles
from services.cabinet.pages import disputes, wording
from services.cabinet.pages.forms import UNREADABLE, FormError
from services.cabinet.pages.spreadsheets import harmless, plain_rubles
from services.cabinet.queries import Answer

CHILDREN_SHOWN_MAX = 60
"""So many children stand on one page of a group: it must stay light on a phone."""
LINES_SHOWN_MAX = 200
"""So many lines of invoices stand on a page; all of them are in the file."""
PAYMENTS_ASKED = 5
"""So many of a payer's latest payments say when the next one is to be expected."""
FIELDS_MAX = 4 * CHILDREN_SHOWN_MAX + 20
REVISION_MAX = 1_000_000
NOT_YET = "Этот день ещё не наступил: отметить можно прошедшее занятие."
REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "already_finished": "Это заявление уже закрыто: семья отозвала его, или ответ уже был.",
        "not_awaiting_acceptance": "Это заявление уже приняли, договор заключён.",
    }
)
"""Why an answer to an application was not taken, by its reason."""
REFUSED = "Ответ не принят. Откройте журнал заново и посмотрите на это заявление."


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkChange:
    """A mark that is to be sent."""

    payer: str
    enrollment_id: str
    revision: int
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class MarksForm:
    """What a teacher saved: a lesson, and the marks that are new or other than before."""

    day: date
    lesson_id: str
    token: str
    changes: tuple[MarkChange, ...]


# --- a provider --------------------------------------------------------------------------------


def journal_page(
    journal: Answer, names: Mapping[str, str], asked: Sequence[Answer] = ()
) -> dict[str, Any]:
    """Return what a provider's first page shows; `asked` are the open disputes of debits."""
    today = journal["business_day"]
    day = today or ""
    running = [each for each in journal["groups"] if each["starts_on"] <= day <= each["ends_on"]]
    return {
        "provider_id": journal["provider_id"],
        "title": journal["title"],
        "today": _date(today),
        **{
            name: [_group(each, day) for each in running if meets(each["lessons_on"], day) is habit]
            for name, habit in (("meeting", True), ("resting", False), ("beginning", None))
        },
        "others": [_group(each, day) for each in journal["groups"] if each not in running],
        "applications": sorted(
            (
                _application(each, group, names, today)
                for group in journal["groups"]
                for each in group["held"]
            ),
            key=lambda each: (each["held_until"], each["enrollment_id"]),
        ),
        "reasons": list(wording.REJECTIONS.items()),
        "asked": disputes.listed(asked, today, names),
        "evidence": list(wording.EVIDENCE.items()),
    }


def meets(lessons_on: Collection[str], today: str) -> bool | None:
    """Return whether a group meets today, by the days on which it met; None if it never did.

    No event carries a timetable: a group that met on this day of the week meets on it again.
    """
    weekdays = {date.fromisoformat(day).weekday() for day in lessons_on}
    return date.fromisoformat(today).weekday() in weekdays if weekdays else None


def _group(group: Mapping[str, Any], today: str) -> dict[str, Any]:
    waiting = counted(group["waiting"], "ждёт", "ждут", "ждут") if group["waiting"] else ""
    return {
        "home": group["home"],
        "id": group["group_id"],
        "title": group["title"],
        "children": counted(group["active"], "ребёнок", "ребёнка", "детей"),
        "places": f"занято {group['taken']} из {group['capacity']}",
        "waiting": waiting,
        "is_marked": today in group["lessons_on"],
    }


def _application(
    member: Mapping[str, Any],
    group: Mapping[str, Any],
    names: Mapping[str, str],
    today: str | None,
) -> dict[str, str]:
    return {
        "payer": member["payer"],
        "enrollment_id": member["enrollment_id"],
        "name": _name(member, names),
        "age": wording.age(member["birth_date"], today),
        "group": group["title"],
        "held_until": member["held_until"] or "",
        "until": _date(member["held_until"]),
    }


# --- a group on a day --------------------------------------------------------------------------


def group_page(
    found: Answer,
    names: Mapping[str, str],
    lesson_id: str | None,
    page: int,
    asked: Sequence[Answer] = (),
) -> dict[str, Any]:
    """Return what the page of a group's lesson shows; pages count from 0.

    After the last page it is the last one.
    """
    children = sorted(found["children"], key=lambda each: _name(each, names))
    lessons = Counter(lesson for each in children for lesson in each["marks"])
    usual = f"les-{found['day']}"
    chosen = lesson_id or (lessons.most_common(1)[0][0] if lessons else usual)
    known = sorted({*lessons, chosen})
    pages = -(-len(children) // CHILDREN_SHOWN_MAX)
    # Children may have left since a link was made.
    page = min(page, max(0, pages - 1))
    first = page * CHILDREN_SHOWN_MAX
    return {
        "provider_id": found["provider_id"],
        "home": found["home"],
        "group_id": found["group_id"],
        "title": found["title"],
        "day": found["day"],
        "day_said": _date(found["day"]),
        "today": found["business_day"],
        "not_yet": NOT_YET if (found["day"] or "") > (found["business_day"] or "") else "",
        "lesson_id": chosen,
        "lessons": list(enumerate(known, 1)) if len(known) > 1 else [],
        "another": _another(found["day"], known) if lessons and chosen in lessons else "",
        "marked": sum(each["marks"].get(chosen, {}).get("mark") is not None for each in children),
        "total": len(children),
        "rows": [
            _row(each, each["marks"].get(chosen), names)
            for each in islice(children, first, first + CHILDREN_SHOWN_MAX)
        ],
        "marks": list(wording.MARKS.items()),
        "page": page,
        "pages": pages,
        "asked": disputes.listed(asked, found["business_day"], names),
        "evidence": list(wording.EVIDENCE.items()),
    }


def _name(child: Mapping[str, Any], names: Mapping[str, str]) -> str:
    child_id = str(child["child_id"])
    return names.get(child_id, child_id)


def _another(day: str, known: Sequence[str]) -> str:
    """Return an id for one more lesson of a day."""
    number = len(known) + 1
    while (id_ := f"les-{day}-{number}") in known:
        number += 1
    return id_


def _row(
    child: Mapping[str, Any], known: Mapping[str, Any] | None, names: Mapping[str, str]
) -> dict[str, Any]:
    mark = known["mark"] if known else None
    revision = known["revision"] if known else 0
    return {
        "name": _name(child, names),
        "id": child["child_id"],
        "mark": mark,
        "entry": f"{child['payer']}|{child['enrollment_id']}|{revision}|{mark or ''}",
        "trouble": (known or {}).get("trouble") or "",
        "waits": (known or {}).get("waits", False),
    }


def read_marks(body: str, today: str | None) -> MarksForm:
    """Return what a teacher's form says. Raises FormError."""
    fields = _fields(body)
    try:
        day = date.fromisoformat(fields.get("day", ""))
    except ValueError as error:
        raise FormError("Не понятно, за какой день отметки.") from error
    if today is None or day.isoformat() > today:
        raise FormError(NOT_YET)
    others = fields.get("rest")
    changes = []
    for name, entry in fields.items():
        if name.startswith("e") and name[1:].isdecimal():
            change = _change(entry, fields.get(f"m{name[1:]}") or None, others)
            if change is not None:
                changes.append(change)
    return MarksForm(
        day=day,
        lesson_id=fields.get("lesson", ""),
        token=fields.get("token", ""),
        changes=tuple(changes),
    )


def _change(entry: str, chosen: str | None, others: str | None) -> MarkChange | None:
    payer, _, rest = entry.partition("|")
    enrollment_id, _, rest = rest.partition("|")
    revision, _, was = rest.partition("|")
    wanted = chosen or was or others
    if not wanted or wanted == was:
        return None
    # What is cut off leaves twelve digits, and those are too many already.
    if not revision.isascii() or not revision.isdecimal() or int(revision[:12]) >= REVISION_MAX:
        raise FormError("Страница устарела. Откройте группу заново.")
    try:
        mark = Mark(wanted)
    except ValueError as error:
        raise FormError("Такой отметки нет.") from error
    return MarkChange(
        payer=payer, enrollment_id=enrollment_id, revision=int(revision[:12]) + 1, mark=mark
    )


def read_answer(body: str) -> str | None:
    """Return why an application is rejected, or None if it is accepted. Raises FormError."""
    fields = _fields(body)
    if fields.get("answer") == "accept":
        return None
    if fields.get("answer") != "reject" or fields.get("reason") not in wording.REJECTIONS:
        raise FormError("Выберите, принять заявление или отказать и почему.")
    return wording.REJECTIONS[fields["reason"]]


def _fields(body: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(body, strict_parsing=bool(body), max_num_fields=FIELDS_MAX))
    except ValueError as error:
        raise FormError(UNREADABLE) from error


# --- the events a form becomes -----------------------------------------------------------------


def mark_event(form: MarksForm, change: MarkChange, at: str) -> dict[str, Any]:
    """Return the event of a mark. The same form makes the same ids, however often it is sent."""
    about = f"{form.token}|{change.payer}|{change.enrollment_id}|{form.lesson_id}"
    data = {
        "enrollment_id": change.enrollment_id,
        "lesson_id": form.lesson_id,
        "lesson_date": form.day.isoformat(),
        "mark": change.mark.value,
        "evidence": "journal",
        "revision": change.revision,
    }
    return _event("attendance", "lesson-marked", about, change.payer, at, data)


def answer_event(payer: str, enrollment_id: str, reason: str | None, at: str) -> dict[str, Any]:
    """Return the event of an answer to an application; there is one of each kind."""
    fact = "application-accepted" if reason is None else "application-rejected"
    data = {"enrollment_id": enrollment_id} | ({} if reason is None else {"reason": reason})
    return _event("navigator", fact, f"{fact}|{payer}|{enrollment_id}", payer, at, data)


def _event(
    source: str, fact: str, about: str, payer: str, at: str, data: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"journal-{sha256(about.encode()).hexdigest()[:40]}",
        "source": f"/{source}",
        "type": f"{source}.{fact}.v1",
        "time": at,
        "subject": data["enrollment_id"],
        "partitionkey": payer,
        "datacontenttype": "application/json",
        "data": dict(data),
    }


# --- money -------------------------------------------------------------------------------------


def not_invoiced(charged: Sequence[Answer], invoices: Sequence[Answer]) -> list[Answer]:
    """Return what is owed for each enrollment beyond its lines of invoices; may be negative."""
    owed = {(each["payer"], each["enrollment_id"]): each["charged_kopecks"] for each in charged}
    for invoice in invoices:
        for line in invoice["lines"]:
            place = (invoice["payer"], line["enrollment_id"])
            owed[place] = owed.get(place, 0) - line["amount_kopecks"]
    titles = titles_of(charged)
    return [
        {
            "payer": payer,
            "enrollment_id": enrollment_id,
            "title": titles.get((payer, enrollment_id), ""),
            "amount_kopecks": kopecks,
        }
        for (payer, enrollment_id), kopecks in sorted(owed.items())
        if kopecks
    ]


def titles_of(charged: Sequence[Answer]) -> dict[tuple[str, str], str]:
    """Return the titles of groups, by payer and enrollment."""
    return {(each["payer"], each["enrollment_id"]): each["title"] for each in charged}


def expected_on(invoice: Answer, invoices: Sequence[Answer]) -> date | None:
    """Return about when an invoice is paid: as long after its month as the payer took lately.

    The middle one of the payer's latest payments, the later of two; None if there was none yet, or
    what payers wrote leads out of the calendar.
    """
    paid = [each for each in invoices if each["payer"] == invoice["payer"] and each["paid_on"]]
    latest = sorted(paid, key=lambda each: str(each["month"]))[-PAYMENTS_ASKED:]
    took = sorted(
        date.fromisoformat(each["paid_on"]) - _month_end(each["month"]) for each in latest
    )
    if not took:
        return None
    try:
        return _month_end(invoice["month"]) + took[len(took) // 2]
    except OverflowError:
        return None


def _month_end(month: str) -> date:
    year, number = map(int, month.split("-"))
    return date(year + number // 12, number % 12 + 1, 1) - timedelta(days=1)


def money_page(
    provider_id: str,
    title: str,
    payers: Sequence[Answer],
    invoices: Sequence[Answer],
    charged: Sequence[Answer],
    today: str | None,
) -> dict[str, Any]:
    """Return what the page of money shows: the latest lines; the file has them all."""
    owed, titles = not_invoiced(charged, invoices), titles_of(charged)
    left = LINES_SHOWN_MAX
    open_lines = [each | {"amount": rubles(each["amount_kopecks"])} for each in owed[:left]]
    left -= len(open_lines)
    shown = []
    for invoice in invoices:
        lines = invoice["lines"][:left]
        left -= len(lines)
        shown.append(
            {
                "id": invoice["invoice_id"],
                "month": wording.month(invoice["month"]),
                "payer": invoice["payer"],
                "amount": rubles(invoice["amount_kopecks"]),
                "settled": invoice["settled"],
                "paid": _date(invoice["paid_on"]),
                "expected": _expected(invoice, invoices, today),
                "lines": [
                    {
                        "reference": line["line_reference"].rpartition("/")[2],
                        "number": wording.number(line["certificate_number"]),
                        "enrollment_id": line["enrollment_id"],
                        "title": titles.get((invoice["payer"], line["enrollment_id"]), ""),
                        "lessons": counted(line["lessons"], "занятие", "занятия", "занятий"),
                        "amount": rubles(line["amount_kopecks"]),
                    }
                    for line in lines
                ],
                "more": len(invoice["lines"]) - len(lines),
            }
        )
    return {
        "provider_id": provider_id,
        "title": title,
        "payers": [
            {
                "payer": each["payer"],
                "charged": rubles(each["charged_kopecks"]),
                "not_yet": rubles(each["charged_kopecks"] - each["invoiced_kopecks"]),
                "invoiced": rubles(each["invoiced_kopecks"]),
                "settled": rubles(each["settled_kopecks"]),
                "awaited": rubles(each["invoiced_kopecks"] - each["settled_kopecks"]),
            }
            for each in payers
        ],
        "owed": open_lines,
        "owed_more": len(owed) - len(open_lines),
        "invoices": shown,
    }


COLUMNS = (
    "Месяц",
    "Плательщик (ОКТМО)",
    "Счёт",
    "Строка счёта",
    "Зачисление",
    "Сертификат",
    "Занятий",
    "Сумма, руб.",
    "Оплачен",
    "Дата оплаты",
    "Платёжный документ",
    "Группа",
)


def _expected(invoice: Answer, invoices: Sequence[Answer], today: str | None) -> str:
    if invoice["settled"]:
        return ""
    day = expected_on(invoice, invoices)
    if day is None:
        payers = {each["payer"] for each in invoices if each["paid_on"]}
        why = "" if invoice["payer"] in payers else ": этот муниципалитет ещё ни разу не платил"
        return f"Когда заплатят, пока не предсказать{why}."
    if today is not None and day < date.fromisoformat(today):
        return f"Обычно к {full_date(day)} уже платили, но оплаты ещё нет. Спросите муниципалитет."
    return f"Ждём оплаты около {full_date(day)}: так муниципалитет платил до сих пор."


def money_csv(invoices: Sequence[Answer], charged: Sequence[Answer]) -> str:
    """Return all lines of invoices, and what is in none yet, as Russian spreadsheets take it."""
    owed, titles = not_invoiced(charged, invoices), titles_of(charged)
    output = StringIO()
    # The mark at the beginning tells spreadsheets that this is UTF-8.
    output.write("\ufeff")
    writer = csv.writer(output, delimiter=";", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for invoice in invoices:
        for line in invoice["lines"]:
            writer.writerow(
                [
                    invoice["month"],
                    invoice["payer"],
                    invoice["invoice_id"],
                    line["line_reference"],
                    line["enrollment_id"],
                    line["certificate_number"],
                    line["lessons"],
                    plain_rubles(line["amount_kopecks"]),
                    "да" if invoice["settled"] else "нет",
                    invoice["paid_on"] or "",
                    harmless(invoice["payment_reference"] or ""),
                    harmless(titles.get((invoice["payer"], line["enrollment_id"]), "")),
                ]
            )
    for line in owed:
        amount = plain_rubles(line["amount_kopecks"])
        about = ["", line["payer"], "", "", line["enrollment_id"], "", "", amount, "нет", "", ""]
        writer.writerow([*about, harmless(line["title"])])
    return output.getvalue()


def _date(text: str | None) -> str:
    return "" if text is None else full_date(date.fromisoformat(text))
