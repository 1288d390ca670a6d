"""The reports of a payer's period as tables, and their page. Pure."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from rulebook.wording import full_date, rubles
from services.cabinet.pages import console_words as words
from services.cabinet.pages.console_charts import WIDTH
from services.cabinet.pages.spreadsheets import Cell, Kind, Table
from services.cabinet.queries import Answer

REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "too_young": "Ребёнок младше 5 лет",
        "too_old": "Ребёнку уже есть 18 лет",
        "guardian_not_linked": "Заявитель не представитель ребёнка",
        "consent_missing": "Нет нужного согласия",
        "already_enrolled": "Ребёнок уже занимается в этой группе",
        "outside_period": "Занятия вне периода муниципалитета",
        "enrollment_closed": "Приём заявлений на период закрыт",
        "group_closed": "Группа не принимает",
        "group_full": "В группе нет мест",
        "provider_suspended": "Организация приостановлена",
        "not_certified": "Программа не сертифицирована",
        "no_frame_agreement": "Нет договора с организацией",
        "age_outside_group": "Возраст не подходит группе",
        "rejected_by_provider": "Отказала организация",
        "withdrawn": "Отозвала семья",
        "hold_expired": "Организация не ответила вовремя",
        "parent_share_above_consent": "Доплата выше согласованной",
        "frame_limit_reached": "Исчерпан лимит договора с организацией",
        "certificate_frozen": "Сертификат приостановлен",
        "certificate_closed": "Сертификат закрыт",
    }
)
"""Why an application led to nothing, in words for an official."""

_BUCKETS = ((0, 0), (1, 1), (2, 3), (4, 7), (8, 14), (15, 30), (31, None))
"""Days from application to agreement, from and to."""

TEXT, NUMBER, MONEY, DATE = Kind.TEXT, Kind.NUMBER, Kind.MONEY, Kind.DATE


def tables(report: Answer) -> list[Table]:
    """Return all reports, in the order they are shown."""
    return [
        _coverage(report),
        _certificates(report),
        _expiring(report),
        _occupancy(report),
        _refusals(report),
        _days(report),
        _delivery(report),
    ]


NAMES = ("coverage", "certificates", "expiring", "occupancy", "refusals", "days", "delivery")


def about(report: Answer) -> Table:
    """Return what a workbook says of itself: whose it is, of when, and from which records."""
    rows: list[tuple[Cell, ...]] = [
        ("Муниципалитет (ОКТМО)", report["payer"]),
        ("Период", report["period"]),
        ("Операционный день", _iso(report["business_day"])),
    ]
    rows += [(f"Записей журнала {topic}", str(seq)) for topic, seq in report["as_of"].items()]
    return Table(
        name="about",
        title="О выгрузке",
        note="",
        columns=(("Что", TEXT), ("Значение", TEXT)),
        rows=tuple(rows),
    )


def _coverage(report: Answer) -> Table:
    children, covered = report["children"], report["covered"]
    return Table(
        name="coverage",
        title="Охват",
        note="Ребёнок считается один раз, сколько бы договоров у него ни было. Занимаются — по "
        "сертификату в этом периоде; детей — тех, кому от 5 до 17 лет сегодня, а если период "
        "закончился — в его последний день.",
        columns=(("Детей", NUMBER), ("Занимаются", NUMBER), ("Охват", TEXT)),
        rows=((children, covered, words.percent(covered, children)),),
    )


def _certificates(report: Answer) -> Table:
    rows = [
        (
            words.category(each["category"]),
            each["nominal_kopecks"],
            each["holders"],
            each["places_max"],
            each["granted_kopecks"],
            each["budget_max_kopecks"],
            each["queued"],
        )
        for each in report["categories"]
    ]
    return Table(
        name="certificates",
        title="Сертификаты",
        note="Действующие сертификаты с деньгами, по категориям. Выдано — с учётом закрытых: их "
        "деньги остаются в бюджете периода.",
        columns=(
            ("Категория", TEXT),
            ("Номинал", MONEY),
            ("С деньгами", NUMBER),
            ("Мест", NUMBER),
            ("Выдано", MONEY),
            ("Бюджет", MONEY),
            ("В очереди", NUMBER),
        ),
        rows=tuple(rows),
    )


def _expiring(report: Answer) -> Table:
    money = report["money"]
    today: date | None = report["business_day"]
    left = None if today is None else max(0, (report["ends_on"] - today).days)
    return Table(
        name="expiring",
        title="Использование и сгорание",
        note="Выдавалось — с начала периода, закрытые тоже. Свободное сгорит в конце периода, если "
        "не будет новых договоров; забронированное — если занятия не состоятся.",
        columns=(
            ("Выдавалось", NUMBER),
            ("Уже тратили", NUMBER),
            ("Ещё не тратили", NUMBER),
            ("Выдано", MONEY),
            ("Потрачено", MONEY),
            ("Забронировано", MONEY),
            ("Свободно", MONEY),
            ("Сгорело", MONEY),
            ("Дней до конца", NUMBER),
        ),
        rows=(
            (
                money.purses,
                money.used,
                money.purses - money.used,
                money.nominal_kopecks,
                money.paid_kopecks,
                money.reserved_kopecks,
                money.balance_kopecks,
                money.expired_kopecks,
                left,
            ),
        ),
    )


def _occupancy(report: Answer) -> Table:
    today: date | None = report["business_day"]
    groups = sorted(report["groups"], key=lambda each: (each["title"], each["group_id"]))
    rows: list[tuple[Cell, ...]] = [
        (
            each["title"],
            report["titles"].get(each["provider_id"], each["provider_id"]),
            each["group_id"],
            each["taken"],
            each["capacity"],
            words.percent(each["taken"], each["capacity"]),
            each["waiting"],
            "занятия закончились" if today is not None and each["ends_on"] < today else "",
        )
        for each in groups
    ]
    taken, capacity = (sum(each[field] for each in groups) for field in ("taken", "capacity"))
    waiting = sum(each["waiting"] for each in groups)
    rows.append(("Всего", "", "", taken, capacity, words.percent(taken, capacity), waiting, ""))
    return Table(
        name="occupancy",
        title="Заполненность",
        note="Группы организаций этого муниципалитета, у которых в периоде есть занятия; занимают "
        "их и дети других.",
        columns=(
            ("Группа", TEXT),
            ("Организация", TEXT),
            ("Номер", TEXT),
            ("Занято", NUMBER),
            ("Мест", NUMBER),
            ("Заполнено", TEXT),
            ("Ждут", NUMBER),
            ("Примечание", TEXT),
        ),
        rows=tuple(rows),
    )


def _refusals(report: Answer) -> Table:
    told = sorted(report["refused"].items(), key=lambda each: (-each[1], each[0]))
    rows: list[tuple[Cell, ...]] = [(REFUSALS[reason], number) for reason, number in told]
    total = sum(report["refused"].values())
    rows.append((f"Всего из {report['submitted']} поданных за период", total))
    return Table(
        name="refusals",
        title="Отказы",
        note="Заявления, из которых в дни периода ничего не вышло; отзыв семьёй — тоже.",
        columns=(("Причина", TEXT), ("Заявлений", NUMBER)),
        rows=tuple(rows),
    )


def _days(report: Answer) -> Table:
    days = report["days"]
    rows: list[tuple[Cell, ...]] = []
    for first, last in _BUCKETS:
        number = sum(
            count for day, count in days.items() if day >= first and (last is None or day <= last)
        )
        rows.append((_bucket(first, last), number))
    rows.append(("Всего договоров", sum(days.values())))
    for percents, title in ((50, "Половина — за, дней"), (90, "Девять из десяти — за, дней")):
        rows.append((title, quantile(days, percents)))
    return Table(
        name="days",
        title="От заявления до договора",
        note="Операционные дни по календарю: 0 — договор заключён в день заявления.",
        columns=(("Дней", TEXT), ("Договоров", NUMBER)),
        rows=tuple(rows),
    )


def _bucket(first: int, last: int | None) -> str:
    if last is None:
        return f"{first} и больше"
    return str(first) if first == last else f"{first}–{last}"


def quantile(days: Mapping[int, int], percents: int) -> int | None:
    """Return the least number of days in which so many per cent were done; None of nothing."""
    wanted, seen = sum(days.values()) * percents, 0
    for day, number in sorted(days.items()):
        seen += number
        if seen * 100 >= wanted and seen:
            return day
    return None


def _delivery(report: Answer) -> Table:
    rows = [
        (
            report["titles"].get(each["provider_id"], each["provider_id"]),
            each["provider_id"],
            each["agreements"],
            each["lessons"],
            each["lessons_charged"],
            words.percent(each["lessons_charged"], each["lessons"]),
            each["charged_kopecks"],
            each["invoiced_kopecks"],
            each["settled_kopecks"],
            each["invoiced_kopecks"] - each["settled_kopecks"],
        )
        for each in report["delivered"]
    ]
    return Table(
        name="delivery",
        title="Работа организаций за всё время",
        note="Детям этого муниципалитета с начала работы системы, какой бы период ни был выбран. "
        "Занятия — там, где платят за посещённые; помесячные договоры видны по деньгам.",
        columns=(
            ("Организация", TEXT),
            ("Номер", TEXT),
            ("Договоров", NUMBER),
            ("Занятий обещано", NUMBER),
            ("Занятий оплачено", NUMBER),
            ("Доля", TEXT),
            ("Заработано", MONEY),
            ("В счетах", MONEY),
            ("Оплачено", MONEY),
            ("Ждёт оплаты", MONEY),
        ),
        rows=tuple(rows),
    )


def _iso(day: date | None) -> str:
    return "" if day is None else day.isoformat()


# --- the page ------------------------------------------------------------------------------------

_PICTURED = frozenset({"refusals", "days"})
"""Each row is a part of the whole; what sums up stands below them, without a bar."""
_ONE_ROW = frozenset({"coverage", "expiring"})


def reports_page(report: Answer) -> dict[str, Any]:
    """Return what the page of reports shows."""
    today: date | None = report["business_day"]
    return {
        "payer": report["payer"],
        "period": report["period"],
        "periods": report["periods"],
        "today": "" if today is None else full_date(today),
        "tables": [shown_table(each) for each in tables(report)],
    }


def shown_table(table: Table) -> dict[str, Any]:
    """Return what a page shows of a table."""
    kinds = [kind for _, kind in table.columns]
    rows = [
        [_text(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in table.rows
    ]
    bars = _bars(table)
    return {
        "name": table.name,
        "title": table.title,
        "note": table.note,
        "columns": [title for title, _ in table.columns],
        "classes": ["" if kind is Kind.TEXT else "count" for kind in kinds],
        "rows": list(zip(rows, bars, strict=True)),
        "is_pictured": table.name in _PICTURED,
        "is_list": table.name in _ONE_ROW,
    }


def _bars(table: Table) -> list[int | None]:
    """Return the width of each row's bar, if it has one."""
    numbers = [row[1] for row in table.rows if _is_part(table, row)]
    top = max((number for number in numbers if isinstance(number, int)), default=0)
    return [
        WIDTH * row[1] // top if _is_part(table, row) and isinstance(row[1], int) and top else None
        for row in table.rows
    ]


def _is_part(table: Table, row: tuple[Cell, ...]) -> bool:
    return table.name in _PICTURED and not str(row[0]).startswith(_SUMS)


_SUMS = ("Всего", "Половина", "Девять")


def _text(cell: Cell, kind: Kind) -> str:
    if cell is None:
        return "—"
    if kind is Kind.MONEY and isinstance(cell, int):
        return rubles(cell)
    return full_date(cell) if isinstance(cell, date) else str(cell)
