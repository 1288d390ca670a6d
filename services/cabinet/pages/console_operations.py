"""The operator's page: what waits, what could not be read, how far everybody is. Pure."""

from codecs import getincrementaldecoder
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from rulebook.wording import counted, full_date
from services.cabinet.pages import wording
from services.cabinet.pages.console_words import DAYS
from services.cabinet.pages.forms import Fields, FormError, fields_of, one
from services.cabinet.queries import Answer
from services.cabinet.watched import Watched
from streaming.letters import DISMISSED, OPEN, REDRIVEN, Letter

LETTERS_SHOWN_MAX = 200
LETTERS_LATEST_MAX = 500
"""So many records of what each partition of a service could not read are looked at, the latest."""
CHOSEN_MAX = 200
WHY_LENGTH_MAX = 200
BYTES = ("байт", "байта", "байт")

SERVICES: Mapping[str, str] = MappingProxyType(
    {
        "enrollment": "Зачисление",
        "certificates": "Сертификаты",
        "billing": "Расчёты",
        "notifications": "Сообщения",
        "cabinet": "Кабинет",
    }
)
INVARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "I01": "У каждой принятой записи ровно одно решение",
        "I02": "Остаток сертификата сходится на каждой записи журнала",
        "I03": "Одно и то же действует один раз",
        "I04": "Решения и суммы совпадают с независимым пересчётом",
        "I05": "Счета плательщика за период сходятся в ноль",
        "I06": "Записи журнала идут подряд, цепочка цела",
        "I07": "Под одним номером записано одно и то же",
        "I08": "Состояние служб совпадает с журналом",
        "I09": "Журнал получается из входящих записей снова таким же",
        "I10": "Кабинет показывает то, что записано в журналах",
        "I11": "Исходящие записи отправлены",
        "I12": "Входящие записи решены",
        "I13": "Непрочитанные записи сохранены как пришли, с причиной из списка",
        "I14": "Никто не ждёт дольше своего срока",
        "I15": "Деньги считаются в целых копейках",
        "I16": "Имён и контактов нет нигде, кроме хранилища",
        "I17": "Источник решает только за свои муниципалитеты и организации",
        "I18": "Данный ответ потом не меняется",
        "I19": "О событии сообщается человеку один раз по каждому каналу",
        "I20": "О пропусках в номерах источника сообщено",
        "I21": "Ни одна ошибка не осталась без решения или тревоги",
        "I22": "Память служб не растёт без предела",
        "I23": "Мест, бюджета и вместимости не выдано больше, чем есть",
        "I24": "Остановка одной части не останавливает другие",
    }
)
"""The promises of docs/promises.md, section 4, in words for an operator."""
STATUSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        OPEN: ("ждёт", "wait"),
        REDRIVEN: ("отправлено снова", "good"),
        DISMISSED: ("закрыто", "over"),
    }
)
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "child": "ребёнок",
        "group": "группа",
        "enrollment": "зачисление",
        "period": "период",
        "day": "день",
        "certificate": "сертификат",
        "account": "счёт сертификата",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a form says: which letters, what to do with them, and why."""

    ids: tuple[str, ...] = ()
    what: str = ""
    why: str = ""


NO_CHOICE = Choice()


def operations_page(
    flow: Sequence[Answer],
    parked: Sequence[Answer],
    parked_total: int,
    letters: Sequence[Letter],
    letters_older: int = 0,
    choice: Choice = NO_CHOICE,
) -> dict[str, Any]:
    """Return what the page shows; of letters the open ones first, then the latest.

    `letters_older` are so many that they were not looked at; `choice` is what was ticked before.
    """
    waiting = [each for each in letters if each.status == OPEN]
    others = [each for each in letters if each.status != OPEN]
    shown = (waiting + list(reversed(others)))[:LETTERS_SHOWN_MAX]
    return {
        "inputs": [each for each in flow if each["kind"] == "input"],
        "journals": [each for each in flow if each["kind"] == "journal"],
        "left": sum(each["left"] or 0 for each in flow),
        "parked": [_parked(each) for each in parked],
        "parked_total": parked_total,
        "open": len(waiting),
        "letters": [_letter(each) for each in shown],
        "letters_more": len(letters) - len(shown),
        "letters_older": letters_older,
        "ticked": choice.ids,
        "why_closed": choice.why,
    }


def watched_part(watched: Watched | None, *, is_set: bool) -> dict[str, Any]:
    """Return what the page shows of promises: who counts them, and how often each was broken."""
    if watched is None:
        return {"watch": "silent" if is_set else "none", "violations": [], "lag": [], "counted": ""}
    at = datetime.fromtimestamp(watched.books_at, UTC).isoformat() if watched.books_at else None
    return {
        "watch": "counts",
        "violations": [
            (f"{INVARIANTS[id_]} ({id_})" if id_ in INVARIANTS else id_, number)
            for id_, number in watched.violations.items()
        ],
        "broken": sum(number > 0 for number in watched.violations.values()),
        "lag": [(SERVICES.get(name, name), number) for name, number in watched.lag.items()],
        "counted": "" if at is None else wording.moment(at),
    }


def _parked(parked: Answer) -> dict[str, str]:
    kind, _, id_ = parked["waits_for"].partition(":")
    until = parked["until"]
    return {
        "service": SERVICES.get(parked["service"], parked["service"]),
        "type": parked["type"],
        "subject": parked["subject"],
        "waits": f"{KINDS.get(kind, kind)} {id_}".strip(),
        "since": _date(parked["since"]),
        "until": _date(until) or "без срока",
    }


def _letter(letter: Letter) -> dict[str, Any]:
    status, tone = STATUSES[letter.status]
    # What the cut left of a character is not shown.
    decoder = getincrementaldecoder("utf-8")("backslashreplace")
    text = decoder.decode(letter.head or b"", final=not letter.is_cut)
    return {
        "id": letter.id,
        "status": status,
        "tone": tone,
        "is_open": letter.status == OPEN,
        "reason": letter.reason,
        "detail": letter.detail,
        "remark": letter.remark,
        "owner": letter.owner,
        "at": "{} {}/{}".format(*letter.at),
        "age": counted(letter.age_days, *DAYS),
        "received": wording.moment(letter.received_at.isoformat()),
        "text": text,
        "is_cut": letter.is_cut,
        "length": counted(letter.length, *BYTES),
    }


def _date(text: str | None) -> str:
    return "" if text is None else full_date(date.fromisoformat(text))


# --- forms ---------------------------------------------------------------------------------------


def read_choice(form: bytes) -> Choice:
    """Return what a form says. Raises FormError."""
    fields: Fields = fields_of(form.decode(errors="replace"), CHOSEN_MAX + 10)
    return Choice(
        ids=tuple(dict.fromkeys(fields.get("letter", []))),
        what=one(fields, "what"),
        why=one(fields, "why").strip(),
    )


def chosen(choice: Choice, letters: Sequence[Letter]) -> list[Letter]:
    """Return the letters that were chosen. Raises FormError.

    Only open ones can be chosen: what was done about a letter stands.
    """
    by_id = {letter.id: letter for letter in letters}
    if not choice.ids:
        raise FormError("Выберите хотя бы одно письмо.", "letter")
    missing = [id_ for id_ in choice.ids if id_ not in by_id or by_id[id_].status != OPEN]
    if missing:
        text = "Что-то из выбранного уже обработано. Остальное отмечено: проверьте и повторите."
        raise FormError(text, "letter")
    return [by_id[id_] for id_ in choice.ids]


def check_all(chosen: Sequence[Letter], ours: Collection[str]) -> None:
    """Refuse letters that came in topics which the cabinet may not write. Raises FormError."""
    if any(each.at[0] not in ours for each in chosen):
        raise FormError(NOT_OURS, "letter")


NOT_OURS = (
    "Среди выбранного есть записи самих служб: снова их отправляет только "
    "`pfdo dead-letters redrive`."
)


def check_why(why: str) -> None:
    """Refuse a reason that could not stand on the record. Raises FormError."""
    if not 0 < len(why) <= WHY_LENGTH_MAX or not why.isprintable() or "|" in why:
        text = (
            f"Напишите, почему письмо закрывается: до {WHY_LENGTH_MAX} знаков, "
            "без имён, адресов и черты «|»."
        )
        raise FormError(text, "why")


def rehearsal_page(
    told: Sequence[tuple[Letter, tuple[str, str] | None]], choice: Choice
) -> dict[str, Any]:
    """Return what a dry run shows: who could be read now, and why others could not."""
    return {
        "rows": [
            {
                "id": letter.id,
                "at": "{} {}/{}".format(*letter.at),
                "can": trouble is None,
                "reason": "" if trouble is None else trouble[0],
                "detail": "" if trouble is None else trouble[1],
            }
            for letter, trouble in told
        ],
        "ids": [letter.id for letter, _ in told],
        "why_closed": choice.why,
        "readable": sum(trouble is None for _, trouble in told),
    }
