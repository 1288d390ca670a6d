"""What a payer changes: the forms, what they propose, and how a proposal is shown. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError

from contracts.registry import EVENTS
from rulebook.overlay import as_published
from rulebook.wording import counted, full_date, rubles
from services.cabinet.pages import console_words as words
from services.cabinet.pages import wording
from services.cabinet.pages.console_events import payer_event
from services.cabinet.pages.forms import UNREADABLE, WHOLE, FormError
from services.cabinet.preview import CaseChange, tables
from services.cabinet.proposal_queries import Preview
from services.cabinet.proposals import Answer as Given
from services.cabinet.proposals import Kept, Proposal
from services.cabinet.queries import Answer
from services.cabinet.settlement import kopecks_of

WHY_LENGTH_MAX = 200
FIELDS_MAX = 30

FACTS: Mapping[str, str] = MappingProxyType(
    {
        "category-set": "Категория",
        "policy-set": "Порядок списания и выдачи",
        "frame-agreement-set": "Договор с организацией",
        "rules-published": "Правила",
    }
)
STATES: Mapping[str | None, str] = MappingProxyType(
    {"signed": "подписан", "ended": "прекращён", None: "не заключён"}
)
TABLES: Mapping[str, str] = MappingProxyType(
    {
        "billing.charging": "Какие отметки списываются",
        "billing.days": "Сроки отметок, исправлений и счетов",
        "certificates.age": "Возраст для сертификата",
        "certificates.category": "Кому какая категория",
        "enrollment.age": "Возраст для зачисления",
        "enrollment.days": "Сроки ответа и ожидания",
        "enrollment.registry": "Какие программы оплачиваются",
        "notifications.routing": "Кому что сообщается",
    }
)


REGISTRIES: Mapping[str, str] = MappingProxyType(
    {
        "certified": "сертифицированные программы",
        "preprofessional": "предпрофессиональные программы",
        "significant": "значимые программы",
        "general": "общеразвивающие программы",
        "other": "иные программы",
    }
)
VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "eligible": "подходит",
        "too_young": "ещё мал",
        "too_old": "уже вырос",
        "not_certified": "не оплачивается",
    }
)
OUTPUTS: Mapping[str, str] = MappingProxyType(
    {
        "parking_days": "ждать известий, дней",
        "hold_days": "держать место, дней",
        "grace_days": "исправлять отметки, дней",
        "invoice_day": "счёт выставляется, число месяца",
        "template": "шаблон",
    }
)
RECIPIENTS: Mapping[str, str] = MappingProxyType(
    {"guardians": "семье", "provider": "организации", "payer": "муниципалитету"}
)


# --- the page ------------------------------------------------------------------------------------


def rules_page(
    settings: Answer,
    proposals: Sequence[Kept],
    titles: Mapping[str, str],
    typed: Mapping[str, str] = MappingProxyType({}),
    trouble: FormError | None = None,
) -> dict[str, Any]:
    """Return what the page of what a payer may change shows.

    `typed` is the form that was sent, if one was; it stands open, with `trouble` if there is any.
    """
    today: date | None = settings["business_day"]
    sent = typed.get("fact", "")
    name, listed = {
        "category-set": ("category", settings["categories"]),
        "frame-agreement-set": ("provider_id", settings["frames"]),
    }.get(sent, ("", []))
    # What is not listed yet was filled in where something new is.
    about = next((each[name] for each in listed if each[name] == typed.get(name)), "")

    def form(fact: str, key: str = "", **known: Any) -> dict[str, Any]:
        is_typed = (fact, key) == (sent, about)
        shown = {**known, "why": "", **(typed if is_typed else {})}
        return {**shown, "is_open": is_typed, "trouble": trouble if is_typed else None}

    return {
        "payer": settings["payer"],
        "period": settings["period"],
        "periods": settings["periods"],
        "categories": [
            {
                "id": each["category"],
                "title": words.category(each["category"]),
                "said": _limits(each),
                "form": form(
                    "category-set",
                    each["category"],
                    nominal_kopecks=_input(each["nominal_kopecks"]),
                    places_max="" if each["places_max"] is None else each["places_max"],
                    budget_max_kopecks=_input(each["budget_max_kopecks"]),
                ),
            }
            for each in settings["categories"]
        ],
        "new_category": form(
            "category-set", category="", nominal_kopecks="", places_max="", budget_max_kopecks=""
        ),
        "policy": form(
            "policy-set",
            debit_basis=settings["debit_basis"] or "ATTENDED_LESSONS",
            issue_mode=settings["issue_mode"] or "ON_ENROLLMENT",
        ),
        "bases": list(words.BASES.items()),
        "modes": list(words.MODES.items()),
        "frames": [
            {
                "provider_id": each["provider_id"],
                "title": each["title"],
                "said": STATES.get(each["state"], each["state"]),
                "limit_said": _value("limit_kopecks", each["limit_kopecks"]),
                "form": form(
                    "frame-agreement-set",
                    each["provider_id"],
                    state=each["state"],
                    limit_kopecks=_input(each["limit_kopecks"]),
                ),
            }
            for each in settings["frames"]
        ],
        "new_frame": form("frame-agreement-set", provider_id="", state="", limit_kopecks=""),
        "publishing": form(
            "rules-published",
            table="",
            **{"from": "", "published": "" if today is None else today.isoformat(), "rows": ""},
        ),
        "tables": [(name, TABLES.get(name, name), table_rows(name)) for name in sorted(tables())],
        "overlays": [
            {
                "table": TABLES.get(str(each["table"]), each["table"]),
                "from": _date(str(each["from"])),
                "basis": each["basis"],
                "rows": _json(each["rows"]),
            }
            for each in settings["overlays"]
        ],
        "proposals": [_listed(each, titles) for each in proposals],
    }


def _limits(category: Answer) -> str:
    if category["nominal_kopecks"] is None:
        return "ещё не задана"
    nominal, budget = rubles(category["nominal_kopecks"]), rubles(category["budget_max_kopecks"])
    return f"номинал {nominal} · мест {category['places_max']} · бюджет {budget}"


def table_rows(table: str) -> str:
    """Return the rows of a base table's latest version as one publishes rows, each on a line."""
    rows = (as_published(row) for row in tables()[table].versions[-1].rows)
    return "[\n" + ",\n".join(f"  {orjson.dumps(row).decode()}" for row in rows) + "\n]"


def _listed(kept: Kept, titles: Mapping[str, str]) -> dict[str, str]:
    proposal = kept.proposal
    status, tone = status_of(kept)
    return {
        "id": proposal.id,
        "title": title_of(proposal, titles),
        "why": proposal.why,
        "at": wording.moment(proposal.at),
        "status": status,
        "tone": tone,
    }


def status_of(kept: Kept) -> tuple[str, str]:
    """Return how a proposal stands, and its tone."""
    if kept.answer is None:
        return "ждёт другого человека", "wait"
    if not kept.answer.is_approved:
        is_own = kept.answer.by == kept.proposal.by
        return ("отозвано", "over") if is_own else ("отклонено", "bad")
    return ("утверждено", "good") if kept.is_sent else ("утверждено, не отправлено", "wait")


def provider_of(proposal: Proposal) -> set[str]:
    """Return the provider a proposal is about, if it is about one."""
    return {proposal.subject} if proposal.fact == "frame-agreement-set" else set()


def title_of(proposal: Proposal, titles: Mapping[str, str]) -> str:
    """Return what a proposal is about: ``Категория «Общая», период 2020``.

    `titles` are those of providers, by id.
    """
    data = proposal.data
    match proposal.fact:
        case "category-set":
            return f"Категория «{words.category(data['category'])}», период {data['period']}"
        case "frame-agreement-set":
            title = titles.get(data["provider_id"], data["provider_id"])
            return f"Договор с организацией «{title}», период {data['period']}"
        case "rules-published":
            name = TABLES.get(data["table"], data["table"])
            return f"{name}: с {_date(data['from'])}"
        case _:
            return f"{FACTS[proposal.fact]}, период {data['period']}"


# --- forms ---------------------------------------------------------------------------------------


def fields_of(form: bytes) -> dict[str, str]:
    """Return the fields of a form. Raises FormError."""
    try:
        return dict(parse_qsl(form.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError as error:
        raise FormError(UNREADABLE) from error


def proposed(payer: str, fields: Mapping[str, str], by: str, at: str) -> Proposal:
    """Return what a form proposes, checked as its event will be. Raises FormError."""
    fact, why = fields.get("fact", ""), fields.get("why", "").strip()
    if fact not in FACTS:
        raise FormError("Непонятно, что меняется.")
    if not 0 < len(why) <= WHY_LENGTH_MAX or not why.isprintable():
        text = f"Напишите основание: до {WHY_LENGTH_MAX} знаков, без имён и адресов."
        raise FormError(text, "why")
    match fact:
        case "category-set":
            subject, data = fields.get("category", ""), _category(fields)
        case "policy-set":
            subject = fields.get("period", "")
            data = {name: fields.get(name, "") for name in ("period", "debit_basis", "issue_mode")}
        case "frame-agreement-set":
            subject, data = fields.get("provider_id", ""), _frame(fields)
        case _:
            subject, data = fields.get("table", ""), _rules(fields, why)
    check(fact, data)
    return Proposal(payer=payer, fact=fact, subject=subject, data=data, why=why, by=by, at=at)


def check(fact: str, data: Mapping[str, Any]) -> None:
    """Refuse what could not be read as the event it becomes. Raises FormError."""
    revision = {} if fact == "rules-published" else {"revision": 1}
    try:
        EVENTS[f"payers.{fact}.v1"].model_validate(dict(data) | revision)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        hint = _HINTS.get(field, "")
        title = _FIELDS.get(field, _OTHERS.get(field, field))
        text = f"Проверьте поле «{title}»{': ' if hint else ''}{hint}."
        raise FormError(text, _PLACES.get(field, field)) from error


_PLACES = {"basis": "why", "period": WHOLE}
"""Beside which field of a form another one is told of."""
_ID = "латинские буквы, цифры и дефис, от 3 до 40 знаков"
_DAY = "день пишется так: 2020-10-20"
_HINTS = {"category": _ID, "provider_id": _ID, "from": _DAY, "published": _DAY}
_FIELDS = {
    "category": "Категория",
    "period": "Период",
    "nominal_kopecks": "Номинал",
    "places_max": "Мест",
    "budget_max_kopecks": "Бюджет",
    "provider_id": "Организация",
    "limit_kopecks": "Лимит",
    "state": "Состояние",
    "table": "Таблица",
    "from": "Действует с",
    "published": "Опубликовано",
    "rows": "Строки",
    "basis": "Основание",
}


def _category(fields: Mapping[str, str]) -> dict[str, Any]:
    places = fields.get("places_max", "")
    if not places.isascii() or not places.isdecimal() or len(places) > 7:
        raise FormError("Мест — целое число.", "places_max")
    return {
        "category": fields.get("category", ""),
        "period": fields.get("period", ""),
        "unit": "RUB",
        "nominal_kopecks": _kopecks(fields, "nominal_kopecks"),
        "places_max": int(places),
        "budget_max_kopecks": _kopecks(fields, "budget_max_kopecks"),
    }


def _frame(fields: Mapping[str, str]) -> dict[str, Any]:
    limit = fields.get("limit_kopecks", "").strip()
    return {
        "provider_id": fields.get("provider_id", ""),
        "period": fields.get("period", ""),
        "state": fields.get("state", ""),
        "limit_kopecks": _kopecks(fields, "limit_kopecks") if limit else None,
    }


def _rules(fields: Mapping[str, str], why: str) -> dict[str, Any]:
    if fields.get("table", "") not in tables():
        raise FormError("Такой таблицы нет.", "table")
    try:
        rows = orjson.loads(fields.get("rows", ""))
    except orjson.JSONDecodeError as error:
        raise FormError(f"Строки не читаются как JSON: знак {error.pos + 1}.", "rows") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FormError("Строки — это список: [{…}, {…}].", "rows")
    return {
        "table": fields["table"],
        "from": fields.get("from", ""),
        "published": fields.get("published", ""),
        "basis": why,
        "rows": rows,
    }


def _kopecks(fields: Mapping[str, str], name: str) -> int:
    kopecks = kopecks_of(fields.get(name, ""))
    if kopecks is None or kopecks < 0:
        raise FormError(f"«{_FIELDS[name]}» — не сумма в рублях.", name)
    return kopecks


# --- a proposal ----------------------------------------------------------------------------------


def event_data(proposal: Proposal, preview: Preview) -> dict[str, Any]:
    """Return the data of the event a proposal becomes, with the revision that is next now."""
    revision = {} if preview.revision is None else {"revision": preview.revision}
    return proposal.data | revision


def is_of(given: Given, proposal: Proposal) -> bool:
    """Return whether an approval is of somebody else, and its event what the proposal gives."""
    event = given.event or {}
    data = event.get("data", {})
    made = payer_event(proposal.fact, proposal.payer, proposal.subject, data)
    plain = {name: value for name, value in data.items() if name != "revision"}
    is_other = given.is_approved and given.by not in ("", proposal.by)
    return is_other and plain == proposal.data and event == made | {"time": event.get("time")}


def seal(proposal: Proposal, preview: Preview) -> str:
    """Return what an approval is about: what was proposed, and what it was seen to change."""
    return sha256(repr((proposal, preview)).encode()).hexdigest()


def proposal_page(
    kept: Kept, preview: Preview, reader: str, titles: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the page of a proposal shows to a reader, who may answer unless it is his."""
    proposal = kept.proposal
    status, tone = status_of(kept)
    return {
        "payer": proposal.payer,
        "id": proposal.id,
        "title": title_of(proposal, titles),
        "why": proposal.why,
        "by": proposal.by,
        "at": wording.moment(proposal.at),
        "standing": status,
        "tone": tone,
        "answered": "" if kept.answer is None else wording.moment(kept.answer.at),
        "answered_by": "" if kept.answer is None else kept.answer.by,
        "is_open": kept.answer is None,
        "is_unsent": kept.answer is not None and kept.answer.is_approved and not kept.is_sent,
        "is_own": proposal.by == reader,
        "seal": seal(proposal, preview),
        "changes": changes(proposal, preview),
        "follows": follows(proposal, preview),
        "cases": [_case(each) for each in preview.cases],
        "rows": _json(proposal.data["rows"]) if proposal.fact == "rules-published" else "",
    }


def changes(proposal: Proposal, preview: Preview) -> list[tuple[str, str, str]]:
    """Return each field with what stands and what is proposed."""
    return [
        (_FIELDS.get(name, _OTHERS.get(name, name)), _value(name, before), _value(name, after))
        for name, before in preview.before.items()
        for after in [proposal.data[name]]
    ]


_OTHERS = {"debit_basis": "Списание", "issue_mode": "Выдача"}


def _value(name: str, value: Any) -> str:
    match name:
        case "limit_kopecks":
            return "без лимита" if value is None else rubles(value)
        case "debit_basis":
            return words.BASES[value or "ATTENDED_LESSONS"]
        case "issue_mode":
            return words.MODES[value or "ON_ENROLLMENT"]
        case "state":
            return STATES.get(value, str(value))
        case _ if value is None:
            return "не задано"
        case _ if name.endswith("_kopecks"):
            return rubles(value)
        case _:
            return str(value)


def follows(proposal: Proposal, preview: Preview) -> list[tuple[str, str]]:
    """Return in words what would follow at once, with a tone."""
    if preview.is_closed:
        return [("Период закрыт: изменение будет отклонено.", "bad")]
    match proposal.fact:
        case "category-set":
            return _of_category(preview)
        case "policy-set":
            learning = counted(preview.covered, *words.CHILDREN)
            now = f"Занимаются сейчас: {learning}, их договоры не изменятся."
            return [(f"Касается только новых договоров. {now}", "good")]
        case "frame-agreement-set":
            if proposal.data["state"] == "ended":
                return [("Новых договоров не будет, действующие останутся до конца.", "wait")]
            return [("Лимит — на всё забронированное и оплаченное по договору за период.", "good")]
        case _:
            return _of_rules(preview)


_TOO_LITTLE = (
    "Будет отклонено: бюджета не хватит, чтобы поднять номинал всем владельцам. "
    "Увеличьте бюджет или укажите меньший номинал."
)


def _of_category(preview: Preview) -> list[tuple[str, str]]:
    change = preview.category
    assert change is not None
    if change.is_refused:
        return [(_TOO_LITTLE, "bad")]
    told = []
    if change.raised:
        many = counted(change.raised, *words.CERTIFICATES)
        told.append(
            (f"Номинал вырастет: {many}, всего на {rubles(change.raised_kopecks)}.", "wait")
        )
    if change.funded:
        many = counted(change.funded, *words.CHILDREN)
        told.append(
            (f"Из очереди получат деньги: {many}, {rubles(change.funded_kopecks)}.", "good")
        )
    if change.still_queued:
        told.append(
            (f"Останутся в очереди: {counted(change.still_queued, *words.CHILDREN)}.", "wait")
        )
    told.append((f"Потом хватит ещё на {counted(change.room, *words.CERTIFICATES)}.", "good"))
    return told


def _of_rules(preview: Preview) -> list[tuple[str, str]]:
    if not preview.cases:
        return [("Известные случаи решаются так же; смотрите строки.", "good")]
    children = sum(each.children or 0 for each in preview.cases)
    told = [(f"Случаев решится иначе: {len(preview.cases)}.", "wait")]
    if children:
        told.append((f"Детей этих лет у муниципалитета: {children}.", "wait"))
    return told


def _case(change: CaseChange) -> dict[str, str]:
    return {
        "case": ", ".join(_input_words(name, value) for name, value in change.case.items())
        or "всегда",
        "before": _outputs(change.before),
        "after": _outputs(change.after),
        "children": "" if change.children is None else str(change.children),
    }


def _outputs(answers: Sequence[Mapping[str, object]]) -> str:
    said = (
        ", ".join(_output_words(name, value) for name, value in outputs.items())
        for outputs in answers
    )
    return "; ".join(said) or "ничего"


def _input_words(name: str, value: Any) -> str:
    match name:
        case "age_years":
            return counted(value, "год", "года", "лет")
        case "benefits":
            return f"льготы {', '.join(value)}" if value else "без льгот"
        case "mark":
            return wording.MARKS.get(value, value)
        case "registry":
            return REGISTRIES.get(value, value)
        case _:
            return str(value)


def _output_words(name: str, value: Any) -> str:
    match name:
        case "charge":
            return "списывается" if value else "не списывается"
        case "verdict":
            return VERDICTS.get(value, value)
        case "category":
            return wording.CATEGORIES_OF_MESSAGES.get(value) or words.category(value)
        case "recipient":
            return RECIPIENTS.get(value, value)
        case "urgent":
            return "срочно" if value else "не срочно"
        case _:
            return f"{OUTPUTS.get(name, name)}: {value}"


def _input(kopecks: int | None) -> str:
    return "" if kopecks is None else f"{kopecks // 100},{kopecks % 100:02d}"


def _json(rows: object) -> str:
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode()


def _date(text: str) -> str:
    return full_date(date.fromisoformat(text))
