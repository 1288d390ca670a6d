"""The smallest story: one child in one chess group, W1 of the rules, as words of a play file."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

PAYER = "25701000"


class Words(NamedTuple):
    """An event in short: its type without version, its payer (None for a day), subject and data."""

    type: str
    payer: str | None
    subject: str
    data: dict[str, Any]


def play_file(words: Iterable[Words]) -> Iterator[str]:
    """Yield the play file of these words; everything settles after each of them."""
    for number, (type_, payer, subject, data) in enumerate(words):
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"event-{number}",
            "source": f"/{type_.partition('.')[0]}",
            "type": f"{type_}.v1",
            "time": "2020-08-31T10:00:00+08:00",
            "subject": subject,
            "data": data,
        }
        yield json.dumps(event if payer is None else event | {"partitionkey": payer})
        yield ""


def day(date: str) -> Words:
    """Return the calendar event that opens a day."""
    return Words("calendar.day-opened", None, date, {"date": date})


def beginning(payer: str = PAYER, child: str = "anna") -> tuple[Words, ...]:
    """Return what makes W1 on 2020-08-31: a period, a nominal, a group and an application."""
    provider, group, enrollment = f"prov-{payer}", f"grp-{payer}", f"enr-{child}"
    return (
        Words(
            "payers.period-opened",
            payer,
            "2020",
            {
                "period": "2020",
                "starts_on": "2020-01-01",
                "ends_on": "2020-12-31",
                "basis": "Постановление",
            },
        ),
        Words(
            "payers.category-set",
            payer,
            "general",
            {
                "category": "general",
                "period": "2020",
                "unit": "RUB",
                "nominal_kopecks": 1_000_000,
                "places_max": 1,
                "budget_max_kopecks": 1_000_000,
                "revision": 1,
            },
        ),
        Words(
            "payers.frame-agreement-set",
            payer,
            provider,
            {
                "provider_id": provider,
                "period": "2020",
                "state": "signed",
                "limit_kopecks": None,
                "revision": 1,
            },
        ),
        Words(
            "navigator.provider-registered",
            payer,
            provider,
            {"provider_id": provider, "title": "Ладья", "state": "active", "revision": 1},
        ),
        Words(
            "navigator.group-published",
            payer,
            group,
            {
                "group_id": group,
                "provider_id": provider,
                "programme_id": "prog-chess",
                "title": "Шахматы",
                "registry": "certified",
                "direction": "science",
                "age_min": 5,
                "age_max": 17,
                "capacity": 1,
                "starts_on": "2020-09-01",
                "ends_on": "2021-05-31",
                "lessons_total": 72,
                "price_kopecks": 1_800_000,
                "normative_kopecks": 1_800_000,
                "enrollment_open": True,
                "auto_accept": True,
                "revision": 1,
            },
        ),
        *family(payer, child, group, enrollment),
    )


def family(payer: str, child: str, group: str, enrollment: str) -> tuple[Words, Words]:
    """Return a child and its application."""
    return (
        Words(
            "navigator.child-registered",
            payer,
            f"child-{child}",
            {
                "child_id": f"child-{child}",
                "birth_date": "2010-05-05",
                "guardian_ids": [f"guard-{child}"],
                "benefits": [],
                "revision": 1,
            },
        ),
        Words(
            "navigator.application-submitted",
            payer,
            enrollment,
            {
                "enrollment_id": enrollment,
                "child_id": f"child-{child}",
                "guardian_id": f"guard-{child}",
                "group_id": group,
                "group_home": payer,
                "parent_share_max_kopecks": 0,
                "consents": ["application", "terms", "personal-data"],
                "waitlist_ok": False,
            },
        ),
    )


def mark(
    lesson: int,
    on: str,
    how: str = "present",
    revision: int = 1,
    *,
    payer: str = PAYER,
    child: str = "anna",
) -> Words:
    """Return the mark of a lesson of the child."""
    data = {
        "enrollment_id": f"enr-{child}",
        "lesson_id": f"les-{lesson}",
        "lesson_date": on,
        "mark": how,
        "evidence": "journal",
        "revision": revision,
    }
    return Words("attendance.lesson-marked", payer, f"enr-{child}", data)


def terminated(notice_on: str) -> Words:
    """Return the notice of the child's guardian."""
    data = {
        "enrollment_id": "enr-anna",
        "by": "guardian",
        "notice_on": notice_on,
        "reason": "Переезд",
    }
    return Words("navigator.enrollment-terminated", PAYER, "enr-anna", data)


def rules(
    table: str, rows: list[dict[str, Any]], first_day: str, published: str, payer: str = PAYER
) -> Words:
    """Return an overlay of a payer."""
    data = {
        "table": table,
        "from": first_day,
        "published": published,
        "basis": "Постановление",
        "rows": rows,
    }
    return Words("payers.rules-published", payer, table, data)
