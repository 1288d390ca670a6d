"""What pages show of disputes of debits, what their forms say, and what becomes of it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from contracts.vocabulary import AnsweredBy, DisputeAnswer, DisputeGround, Evidence
from rulebook.wording import counted, rubles
from services.cabinet.pages import wording
from services.cabinet.pages.content_events import content_event
from services.cabinet.pages.forms import OLD, FormError
from services.cabinet.queries import Answer

SOURCE = "disputes"
"""As whom the cabinet sends what families say about debits, and what they are answered."""
FIELDS_MAX = 10

REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "already_finished": "Списания за это занятие уже нет: возвращать нечего.",
        "too_late": (
            "Срок исправления отметок прошёл, деньги уже рассчитаны. "
            "Обратитесь в организацию или в уполномоченный орган муниципалитета."
        ),
    }
)
"""Why a dispute was not taken, by its reason."""
REFUSED = "Сообщение не принято. Откройте страницу семьи заново и посмотрите на это списание."


# --- the lists of who can answer ---------------------------------------------------------------


def listed(
    disputes: Sequence[Answer], today: str | None, names: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Return disputes as a list shows them. Where there is no name, the child's id stands."""
    return [
        {
            "payer": each["payer"],
            "enrollment_id": each["enrollment_id"],
            "lesson_id": each["lesson_id"],
            "name": names.get(each["child_id"], each["child_id"]),
            "child_id": each["child_id"],
            "provider_id": each["provider_id"],
            "home": each["home"],
            "group_id": each["group_id"],
            "group": each["title"] or each["group_id"],
            "day": each["lesson_date"],
            "lesson": wording.short_date(each["lesson_date"], today),
            "ground": wording.GROUNDS[each["ground"]],
            "amount": rubles(each["amount_kopecks"]),
            "since": wording.short_date(each["opened_on"], today),
            "age": _age(each["opened_on"], today),
            "text": each["text"] or "",
            "settled": wording.short_date(each["settled_on"], today),
        }
        for each in disputes
    ]


def _age(since: str, today: str | None) -> str:
    days = 0
    if today is not None:
        days = (date.fromisoformat(today) - date.fromisoformat(since)).days
    return counted(days, "день", "дня", "дней") if days > 0 else "сегодня"


def console_page(found: Answer, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return what the payer's page of disputes shows."""
    today = found["business_day"]
    return {
        "payer": found["payer"],
        "open": _with_titles(listed(found["open"], today), titles),
        "open_in_all": found["open_in_all"],
        "upheld": _with_titles(listed(found["upheld"], today), titles),
        "upheld_in_all": found["upheld_in_all"],
        "evidence": list(wording.EVIDENCE.items()),
    }


def _with_titles(disputes: list[dict[str, Any]], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        each | {"provider": titles.get(each["provider_id"], each["provider_id"])}
        for each in disputes
    ]


# --- forms, and the events they become ---------------------------------------------------------


def read_ground(body: bytes) -> DisputeGround:
    """Return what a family's form says. Raises FormError."""
    try:
        return DisputeGround(_field(body, "ground"))
    except ValueError as error:
        raise FormError("Выберите, что произошло.") from error


def read_evidence(body: bytes) -> Evidence:
    """Return what an answer rests on. Raises FormError."""
    try:
        return Evidence(_field(body, "evidence"))
    except ValueError as error:
        raise FormError("Выберите, чем подтверждается, что ребёнок был.") from error


def _field(body: bytes, name: str) -> str:
    try:
        return parse_qs(body.decode(), max_num_fields=FIELDS_MAX).get(name, [""])[0]
    except ValueError as error:
        raise FormError(OLD) from error


def dispute_event(
    payer: str,
    enrollment_id: str,
    lesson_id: str,
    guardian_id: str,
    ground: DisputeGround,
    at: str,
) -> dict[str, Any]:
    """Return the event of a dispute. Sent twice it is one."""
    data = {
        "enrollment_id": enrollment_id,
        "lesson_id": lesson_id,
        "guardian_id": guardian_id,
        "ground": ground.value,
    }
    return content_event(SOURCE, "disputes.lesson-disputed", payer, enrollment_id, data, at)


def answer_event(
    payer: str, enrollment_id: str, lesson_id: str, by: AnsweredBy, evidence: Evidence, at: str
) -> dict[str, Any]:
    """Return the event of an answer: the child was there."""
    data = {
        "enrollment_id": enrollment_id,
        "lesson_id": lesson_id,
        "by": by.value,
        "answer": DisputeAnswer.ATTENDED.value,
        "evidence": evidence.value,
    }
    return content_event(SOURCE, "disputes.dispute-answered", payer, enrollment_id, data, at)
