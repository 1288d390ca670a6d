"""What the console's first pages show, made of the answers of `ConsoleQueries`. Pure."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from rulebook.wording import counted, full_date, rubles
from services.cabinet.forecast import Outlook
from services.cabinet.pages import console_words as words
from services.cabinet.pages.console_charts import growth, stacked, weeks
from services.cabinet.queries import Answer

_URGENT = (Outlook.GONE, Outlook.ENDS)


def list_page(budgets: Sequence[Answer]) -> dict[str, Any]:
    """Return what the list of payers shows."""
    return {"payers": [_listed(each) for each in budgets]}


def _listed(budget: Answer) -> dict[str, Any]:
    categories = budget["categories"]
    queued = sum(each["queued"] for each in categories)
    worst = _worst(categories)
    return {
        "payer": budget["payer"],
        "period": budget["period"],
        "budget": rubles(_sum(categories, "budget_max_kopecks")),
        "granted": rubles(_sum(categories, "granted_kopecks")),
        "holders": counted(_sum(categories, "holders"), *words.CERTIFICATES),
        "queued": counted(queued, *words.CHILDREN) if queued else "",
        "parts": _parts(budget),
        "said": _said(budget),
        "worst": f"{words.category(worst['category'])}: {_short(worst)}" if worst else "",
        "tone": words.outlook(worst["forecast"])[1] if worst else "good",
    }


def _worst(categories: Sequence[Answer]) -> Answer | None:
    """Return the category whose money is gone first, or is gone."""
    ending = [
        each
        for each in categories
        if each["forecast"] is not None and each["forecast"].outlook in _URGENT
    ]
    return min(ending, key=lambda each: each["forecast"].day or date.min, default=None)


def _short(category: Answer) -> str:
    day = category["forecast"].day
    return "свободных нет" if day is None else f"закончится {full_date(day)}"


def _sum(categories: Sequence[Answer], field: str) -> int:
    return sum(each[field] or 0 for each in categories)


def budget_page(budget: Answer) -> dict[str, Any]:
    """Return what the page of a payer's period shows."""
    money, categories = budget["money"], budget["categories"]
    today: date | None = budget["business_day"]
    spent = {day: each.paid_kopecks for day, each in budget["spent"]}
    bars = weeks(spent, budget["starts_on"], budget["ends_on"])
    ceiling = _sum(categories, "budget_max_kopecks")
    granted = _sum(categories, "granted_kopecks")
    return {
        "payer": budget["payer"],
        "period": budget["period"],
        "periods": budget["periods"],
        "span": f"{full_date(budget['starts_on'])} — {full_date(budget['ends_on'])}",
        "today": "" if today is None else full_date(today),
        "begins": full_date(budget["starts_on"]),
        "ends": full_date(budget["ends_on"]),
        "basis": words.BASES.get(budget["debit_basis"] or "ATTENDED_LESSONS", ""),
        "mode": words.MODES.get(budget["issue_mode"] or "ON_ENROLLMENT", ""),
        "parts_of_money": _parts(budget),
        "said": _said(budget),
        "budget": rubles(ceiling),
        "granted": rubles(granted),
        "granted_share": words.percent(granted, ceiling),
        "reserved": rubles(money.reserved_kopecks),
        "paid": rubles(money.paid_kopecks),
        "free": rubles(money.balance_kopecks),
        "is_free": money.balance_kopecks > 0,
        "expired": rubles(money.expired_kopecks),
        "holders": counted(_sum(categories, "holders"), *words.CERTIFICATES),
        "used": money.used,
        "queued": counted(_sum(categories, "queued"), *words.CHILDREN),
        "is_over": today is not None and today > budget["ends_on"],
        "categories": [_category(each, budget) for each in categories],
        "weeks": bars,
        "weeks_said": _weeks_said(spent),
        "spent_weeks": [
            {"week": full_date(each.monday), "sum": rubles(each.kopecks)}
            for each in bars
            if each.kopecks
        ],
    }


def _parts(budget: Answer) -> list[Any]:
    money = budget["money"]
    return stacked(
        [
            ("paid", "потрачено", money.paid_kopecks),
            ("reserved", "забронировано", money.reserved_kopecks),
            ("free", "свободно", money.balance_kopecks),
            ("expired", "сгорело", money.expired_kopecks),
        ]
    )


def _said(budget: Answer) -> str:
    parts = ", ".join(f"{each.label} {rubles(each.kopecks)}" for each in _parts(budget))
    return f"На сертификатах: {parts or 'денег пока нет'}"


def _weeks_said(spent: dict[date, int]) -> str:
    total = sum(spent.values())
    if not spent:
        return "Пока ничего не потрачено."
    first, last = full_date(min(spent)), full_date(max(spent))
    return f"Потрачено по неделям, с {first} по {last}, всего {rubles(total)}"


def _category(category: Answer, budget: Answer) -> dict[str, Any]:
    told = category["forecast"]
    text, tone = words.outlook(told)
    is_set = category["nominal_kopecks"] is not None
    picture = None
    if is_set and told is not None and told.outlook is not Outlook.NOT_SET:
        given = {day: each.funded for day, each in category["days"]}
        total = sum(given.values())
        ahead = (told.day, total + told.room) if told.day is not None else None
        today = min(budget["business_day"], budget["ends_on"])
        picture = growth(
            given, budget["starts_on"], budget["ends_on"], today, total + told.room, ahead
        )
    queued = category["queued"]
    return {
        "id": category["category"],
        "title": words.category(category["category"]),
        "nominal": rubles(category["nominal_kopecks"]) if is_set else "не задан",
        "holders": category["holders"],
        "places": category["places_max"] if is_set else "—",
        "budget": rubles(category["budget_max_kopecks"]) if is_set else "не задан",
        "granted": rubles(category["granted_kopecks"]),
        "queued": queued,
        "needed": rubles(queued * (category["nominal_kopecks"] or 0)) if queued else "",
        "forecast": text,
        "tone": tone,
        "picture": picture,
        "picture_said": f"Выдано сертификатов по дням. {text}",
    }
