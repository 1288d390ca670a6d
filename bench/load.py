"""The load: municipalities with active agreements, and marks of lessons to charge."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from streaming.routing import partition_of

PAYER = "25701000"
PAYERS_MAX = 1_000
"""Payers of one installation differ in digits 3 to 5 of their codes."""
LESSONS_MAX = 1_000
"""Lessons of a group; a child's lessons are charged as long as they last."""


def event(
    type_: str, subject: str, data: dict[str, Any], payer: str | None = PAYER
) -> dict[str, Any]:
    """Return a CloudEvent of a source."""
    made = {
        "specversion": "1.0",
        "id": f"{type_}:{subject}:{data.get('lesson_id', data.get('revision', 0))}",
        "source": f"/{type_.partition('.')[0]}",
        "type": f"{type_}.v1",
        "time": "2020-09-01T10:00:00+08:00",
        "subject": subject,
        "data": data,
    }
    return made if payer is None else made | {"partitionkey": payer}


def day(date: str) -> dict[str, Any]:
    """Return the event that opens a business day."""
    return event("calendar.day-opened", date, {"date": date}, None) | {"id": f"day-{date}"}


def payers(count: int) -> list[str]:
    """Return codes of so many payers, `PAYER` first."""
    if count > PAYERS_MAX:
        raise ValueError(f"there are codes for {PAYERS_MAX} payers, not for {count}")
    return [f"25{(701 + number) % PAYERS_MAX:03d}000" for number in range(count)]


def payers_of_all(partitions: int) -> list[str]:
    """Return a payer of each partition, in the order of partitions."""
    found: dict[int, str] = {}
    for payer in payers(PAYERS_MAX):
        found.setdefault(partition_of(payer.encode(), partitions), payer)
    return [found[partition] for partition in range(partitions)]


def moved(event: dict[str, Any], payer: str) -> dict[str, Any]:
    """Return an event of `PAYER` as one of another payer."""
    if payer == PAYER:
        return event
    other: dict[str, Any] = json.loads(json.dumps(event).replace(PAYER, payer))
    return other


def beginning(
    children: int, payers: Sequence[str] = (PAYER,), *, providers: int = 1
) -> list[list[dict[str, Any]]]:
    """Return segments after which `children` agreements of each payer are active on 2020-12-31.

    Each payer has so many providers, each with one group, and children go to them in turn. The last
    segment is that day alone.
    """
    return [
        [
            moved(one, payer)
            for one in segment
            for payer in (payers if "partitionkey" in one else (PAYER,))
        ]
        for segment in _beginning(children, providers)
    ]


def _beginning(children: int, providers: int) -> list[list[dict[str, Any]]]:
    period = {
        "period": "2020",
        "starts_on": "2020-01-01",
        "ends_on": "2020-12-31",
        "basis": "Benchmark",
    }
    category = {
        "category": "general",
        "period": "2020",
        "unit": "RUB",
        "nominal_kopecks": 10_000_000,
        "places_max": 1_000_000,
        "budget_max_kopecks": 10**12,
        "revision": 1,
    }
    return [
        [day("2020-08-31")],
        [
            event("payers.period-opened", "2020", period),
            event("payers.category-set", "general", category),
            *(one for number in range(providers) for one in _provider(number, children)),
        ],
        [child(number) for number in range(children)],
        [application(number, group_id(number % providers)) for number in range(children)],
        [day("2020-12-31")],
    ]


def group_id(number: int) -> str:
    """Return the group of a provider."""
    return f"grp-{number + 1}"


def _provider(number: int, capacity: int) -> list[dict[str, Any]]:
    """Return the events after which a provider has a frame agreement and an open group."""
    provider_id = f"prov-{number + 1}"
    provider = {"provider_id": provider_id, "title": "Кружок", "state": "active", "revision": 1}
    group = {
        "group_id": group_id(number),
        "provider_id": provider_id,
        "programme_id": "prog-1",
        "title": "Шахматы",
        "registry": "certified",
        "direction": "science",
        "age_min": 5,
        "age_max": 17,
        "capacity": capacity,
        "starts_on": "2020-09-01",
        "ends_on": "2020-12-31",
        "lessons_total": LESSONS_MAX,
        "price_kopecks": 9_000_000,
        "normative_kopecks": 9_000_000,
        "enrollment_open": True,
        "auto_accept": True,
        "revision": 1,
    }
    frame = {
        "provider_id": provider_id,
        "period": "2020",
        "state": "signed",
        "limit_kopecks": None,
        "revision": 1,
    }
    return [
        event("payers.frame-agreement-set", provider_id, frame),
        event("navigator.provider-registered", provider_id, provider),
        event("navigator.group-published", group_id(number), group),
    ]


def guardian_id(number: int) -> str:
    """Return who acts for a child."""
    return f"guard-{number:06d}"


def guardian_of(mark: dict[str, Any]) -> str:
    """Return who acts for the child of a mark."""
    return guardian_id(int(mark["data"]["enrollment_id"].partition("-")[2]))


def child(number: int) -> dict[str, Any]:
    """Return the event that registers a child."""
    child_id = f"child-{number:06d}"
    data = {
        "child_id": child_id,
        "birth_date": "2010-01-01",
        "guardian_ids": [guardian_id(number)],
        "benefits": [],
        "revision": 1,
    }
    return event("navigator.child-registered", child_id, data)


def preferences(number: int, channels: list[str], revision: int = 1) -> dict[str, Any]:
    """Return the event by which a guardian wants to be told of debits by these channels."""
    data = {
        "guardian_id": guardian_id(number),
        "channels": {"debit": channels},
        "digest": False,
        "revision": revision,
    }
    return event("navigator.preferences-set", guardian_id(number), data)


def enrollment_id(number: int) -> str:
    """Return what a child applies for."""
    return f"enr-{number:06d}"


def application(number: int, group_id: str, *, waitlist_ok: bool = False) -> dict[str, Any]:
    """Return the event by which a child applies for a group."""
    data = {
        "enrollment_id": enrollment_id(number),
        "child_id": f"child-{number:06d}",
        "guardian_id": f"guard-{number:06d}",
        "group_id": group_id,
        "group_home": PAYER,
        "parent_share_max_kopecks": 0,
        "consents": ["application", "terms", "personal-data"],
        "waitlist_ok": waitlist_ok,
    }
    return event("navigator.application-submitted", enrollment_id(number), data)


def marks(children: int, payers: Sequence[str] = (PAYER,)) -> Iterator[dict[str, Any]]:
    """Yield marks that are each charged: lesson after lesson, all children of all payers in turn.

    There are `LESSONS_MAX` - 1 for each child.
    """
    for lesson in range(1, LESSONS_MAX):
        for number in range(children):
            for payer in payers:
                yield mark(number, lesson, payer)


def taken(marks: Iterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return the next marks; raise ValueError if there are not so many left."""
    next_ones = list(islice(marks, count))
    if len(next_ones) < count:
        raise ValueError(f"{count} marks are wanted and {len(next_ones)} are left")
    return next_ones


def mark(number: int, lesson: int, payer: str = PAYER) -> dict[str, Any]:
    """Return the event that a child was at a lesson."""
    data = {
        "enrollment_id": enrollment_id(number),
        "lesson_id": f"les-{lesson:04d}",
        "lesson_date": f"2020-{9 + lesson % 4:02d}-{1 + lesson % 28:02d}",
        "mark": "present",
        "evidence": "journal",
        "revision": 1,
    }
    return event("attendance.lesson-marked", enrollment_id(number), data, payer)
