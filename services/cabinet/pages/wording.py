"""What the parents' page says: states, reasons and what happens next, in plain Russian. Pure."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from contracts.moments import read_moment
from contracts.vocabulary import DebitBasis
from rulebook.wording import (
    NO_BREAK_SPACE,
    counted,
    day_and_month,
    full_date,
    month_and_year,
    rubles,
)

STATES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "REGISTERED": ("Заявление принято", "wait"),
        "WAITLISTED": ("В листе ожидания", "wait"),
        "PLACE_HELD": ("Место держится", "wait"),
        "ENROLLED": ("Одобрено", "wait"),
        "ACTIVE": ("Договор действует", "good"),
        "ENDED": ("Договор закончен", "over"),
        "REFUSED": ("Отказ", "bad"),
        "CANCELLED": ("Не состоялось", "bad"),
    }
)
"""State of an enrollment: words and tone."""

CERTIFICATE_STATES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ACTIVE": ("Действует", "good"),
        "FROZEN": ("Приостановлен", "wait"),
        "CLOSED": ("Закрыт", "over"),
    }
)

WITHOUT_MONEY = ("Пока без денег", "wait")
"""State of a certificate that holds no money in the period at hand."""
RUN_OUT = ("Срок закончился", "over")
"""State of a certificate none of whose periods goes on or is to come."""

CATEGORIES: Mapping[str, str] = MappingProxyType({"general": "общая", "special": "особая"})

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "application-refused": "Отказ по заявлению",
        "application-waitlisted": "Лист ожидания",
        "application-registered": "Заявление принято",
        "place-held": "Место держится за ребёнком",
        "child-enrolled": "Заявление одобрено",
        "agreement-activated": "Договор заключён",
        "enrollment-cancelled": "Зачисление не состоялось",
        "enrollment-ended": "Договор закончен",
        "certificate-issued": "Сертификат выдан",
        "certificate-renewed": "Сертификат продлён",
        "certificate-queued": "Очередь на деньги",
        "certificate-funded": "Деньги поступили",
        "certificate-refused": "Сертификат не выдан",
        "certificate-frozen": "Сертификат приостановлен",
        "certificate-unfrozen": "Сертификат снова действует",
        "certificate-closed": "Сертификат закрыт",
        "nominal-changed": "Номинал изменился",
        "nominal-applied": "Номинал изменился",
        "account-opened": "Деньги поступили",
        "funds-reserved": "Забронировано",
        "funds-refused": "Деньги не забронированы",
        "lesson-charged": "Списано за занятие",
        "lesson-not-charged": "Не списано",
        "charge-reversed": "Списание отменено",
        "dispute-opened": "Вы не согласны",
        "dispute-settled": "Вопрос о списании решён",
        "month-charged": "Списано за месяц",
        "month-reversed": "Списание отменено",
        "month-adjusted": "Возврат за месяц",
        "reserve-released": "Бронь снята",
        "period-expired": "Период закончился",
    }
)
"""Title of each fact of a child's history."""

DISPUTES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "open": ("Ждём ответа", "wait", "вы не согласны с {day}"),
        "corrected": ("Списание отменено", "good", "вы были правы, {day}"),
        "upheld": ("Списание остаётся", "over", "ответили {day}: ребёнок был"),
    }
)
"""How a dispute stands: words, tone and since when."""
GROUNDS: Mapping[str, str] = MappingProxyType(
    {
        "was-absent": "Ребёнка не было на занятии",
        "lesson-cancelled": "Занятия в этот день не было",
        "wrong-child": "Отметили не того ребёнка",
    }
)
"""Why a family does not agree with a debit."""
EVIDENCE: Mapping[str, str] = MappingProxyType(
    {
        "journal": "Запись в журнале",
        "qr": "Отметка по QR-коду",
        "biometric": "Биометрическая отметка",
        "none": "Других подтверждений нет",
    }
)
"""What an answer to it rests on."""

MARK = "Отметка"
"""Title of a mark of an agreement that is paid by the month."""
NOTHING_BACK = "Возвращать нечего"
"""Title of a month's adjustment that found nothing to adjust."""

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "lessons-left-low": "Осталось мало занятий",
        "balance-low": "На сертификате мало денег",
        "period-ends-soon": "Период скоро закончится",
        "dispute-upheld": "Ответ о занятии",
        "place-held-at-once": "Место держится за ребёнком",
        "enrollment-ended-late": "Договор закончился",
        "reserve-released-late": "Остаток брони вернётся в бюджет",
    }
)
"""Title of a message by its template, where that is not the name of the fact it tells of."""
CATEGORIES_OF_MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "application": "О заявлении",
        "certificate": "О сертификате",
        "agreement": "О договоре",
        "debit": "О списаниях",
        "invoice": "О счетах",
    }
)
CHANNELS: Mapping[str, str] = MappingProxyType(
    {"email": "по электронной почте", "sms": "по СМС", "push": "в браузере"}
)
"""How a message went, beside being shown here."""
WAYS: Mapping[str, str] = MappingProxyType({"email": "Почта", "sms": "СМС", "push": "Браузер"})
"""How a message may go, beside being shown here."""


ZONES: Mapping[str, str] = MappingProxyType(
    {
        "+02:00": "Калининград (UTC+2)",
        "+03:00": "Москва (UTC+3)",
        "+04:00": "Самара (UTC+4)",
        "+05:00": "Екатеринбург (UTC+5)",
        "+06:00": "Омск (UTC+6)",
        "+07:00": "Красноярск (UTC+7)",
        "+08:00": "Иркутск (UTC+8)",
        "+09:00": "Чита (UTC+9)",
        "+10:00": "Владивосток (UTC+10)",
        "+11:00": "Магадан (UTC+11)",
        "+12:00": "Камчатка (UTC+12)",
    }
)
"""By whose clock hours are quiet."""

LITTLE_LEFT = "Это меньше цены одного занятия. Деньги, забронированные по договору, на месте."
"""What a message says that money runs low, …"""
SPEND_IT = (
    "Потом остаток вернётся в бюджет. "
    "Новые занятия можно выбрать, если запись открыта и сертификат не приостановлен."
)
"""… and one that a period ends with money left."""
UNTOLD: Mapping[str, str] = MappingProxyType(
    {
        "unwanted": "Сообщения о списаниях вы отключили.",
        "in_digest": "Сообщение придёт в сводке за день.",
    }
)
"""Why there is no message of its own about a debit."""


def told(how: Mapping[str, Any], today: str | None) -> str:
    """Return by which channels a guardian was told of a debit, and when; empty where by none."""
    ways = [_way(message, today) for message in how.get("messages", ())]
    if ways:
        return f"Сообщение: {', '.join(ways)}"
    return UNTOLD.get(how.get("untold") or "", "")


def _way(message: Mapping[str, Any], today: str | None) -> str:
    channel = CHANNELS.get(message["channel"])
    match channel, message["state"]:
        case None, _:
            return "здесь"
        case _, "sent":
            when = _short_moment(message["became_at"], today)
            return f"{channel} {when}" if when else str(channel)
        case _, "failed":
            return f"{channel} не дошло"
        case _:
            later = _short_moment(message["not_before"], today)
            return (
                f"{channel} уйдёт после {later}" if message["is_put_off"] else f"{channel} в пути"
            )


def _short_moment(at: str, today: str | None) -> str:
    then = read_moment(at, _ZONE)
    if then is None:
        return ""
    return f"{short_date(then.date().isoformat(), today)} в{NO_BREAK_SPACE}{then:%H:%M}"


def little_left(balance_kopecks: int | None) -> str:
    """Return what a message says of a certificate on which money runs low."""
    left = "мало" if balance_kopecks is None else rubles(balance_kopecks)
    return f"На сертификате осталось {left} свободных денег. {LITTLE_LEFT}"


def money_left(balance_kopecks: int | None, valid_until: str | None) -> str:
    """Return what a message says of money that can be spent until a day."""
    if balance_kopecks is None or valid_until is None:
        return f"На сертификате остались деньги, а его срок скоро закончится. {SPEND_IT}"
    return (
        f"На сертификате осталось {rubles(balance_kopecks)}. "
        f"Срок этих денег: до {_when(valid_until)}. {SPEND_IT}"
    )


def message_title(template: str, category: str) -> str:
    """Return what a message is headed by."""
    about = CATEGORIES_OF_MESSAGES.get(category, "Сообщение")
    return MESSAGES.get(template) or KINDS.get(template) or about


def day(text: str | None) -> date | None:
    """Return the date of its ISO form."""
    return None if text is None else date.fromisoformat(text)


def short_date(text: str | None, today: str | None) -> str:
    """Return a date, with its year where that is not the present one."""
    then, now = day(text), day(today)
    if then is None:
        return ""
    return day_and_month(then) if now is not None and then.year == now.year else full_date(then)


def age(birth_date: str | None, today: str | None) -> str:
    """Return how old a child is: ``9 лет``."""
    born, now = day(birth_date), day(today)
    if born is None or now is None:
        return ""
    years = now.year - born.year - ((now.month, now.day) < (born.month, born.day))
    return counted(max(years, 0), "год", "года", "лет")


def number(certificate_number: str) -> str:
    """Return a certificate number as it is read aloud: ``703 000015 7``."""
    digits = certificate_number
    return NO_BREAK_SPACE.join((digits[:3], digits[3:9], digits[9:]))


def is_ending(enrollment: Mapping[str, Any], today: str | None) -> bool:
    """Return whether an agreement that was ended ahead still has its last day before it.

    One that ended before it began has none: its last day is before its first.
    """
    starts_on, ended_on = enrollment["starts_on"], enrollment["ended_on"]
    if enrollment["state"] != "ENDED" or today is None or starts_on is None or ended_on is None:
        return False
    return bool(starts_on <= ended_on and today <= ended_on)


def state_of(enrollment: Mapping[str, Any], today: str | None) -> tuple[str, str]:
    """Return how an enrollment stands: words and tone."""
    if is_ending(enrollment, today):
        return f"Договор до {short_date(enrollment['ended_on'], today)}", "good"
    return STATES[enrollment["state"]]


def next_step(enrollment: Mapping[str, Any], today: str | None) -> str:
    """Return what happens next with an enrollment, and by when."""
    starts = _when(enrollment["starts_on"])
    ends = _when(enrollment["ends_on"])
    match enrollment["state"]:
        case "REGISTERED":
            return "Узнаём, есть ли место в группе. Делать ничего не нужно, ответ появится здесь."
        case "WAITLISTED":
            return _waiting(enrollment["waiting_position"])
        case "PLACE_HELD":
            return (
                f"Организация должна принять заявление до {_when(enrollment['held_until'])}. "
                "Если ответа не будет, место освободится и заявление нужно будет подать снова."
            )
        case "ENROLLED":
            return "Место есть. Бронируем деньги на сертификате — обычно это занимает минуты."
        case "ACTIVE":
            begun = today is not None and (enrollment["starts_on"] or "") <= today
            if not begun:
                # By the month it is paid otherwise, and own money is no debit at all.
                by_lessons = enrollment["debit_basis"] != DebitBasis.MONTHLY_CONTRACT
                is_told = by_lessons and enrollment["certificate_share_kopecks"] != 0
                only = " Деньги спишутся только за занятия." if is_told else ""
                return f"Занятия с {starts} по {ends}.{only}"
            return f"Договор действует до {ends}."
        case "ENDED":
            is_last = is_ending(enrollment, today)
            return _ending(enrollment) if is_last else _ended(enrollment, today)
        case _:
            return str(enrollment["text"] or "")


def _waiting(position: int | None) -> str:
    where = "Мест пока нет." if position is None else f"Ваше место в очереди: {position}."
    if position == 1:
        where = "Вы следующие в очереди."
    return f"{where} Как только место освободится, оно достанется вам — мы сообщим."


def _ended(enrollment: Mapping[str, Any], today: str | None) -> str:
    text = f"Последний день — {_when(enrollment['ended_on'])}."
    left = enrollment["reserved_kopecks"]
    if left:
        text += (
            f" Ещё забронировано {rubles(left)}: когда организация сдаст последние отметки, "
            f"{_returns(enrollment, today or '')}"
        )
    return text


def _returns(enrollment: Mapping[str, Any], day: str) -> str:
    """Return where money goes that is released after a day (docs/rules.md, sections 6 and 8)."""
    until = enrollment["valid_until"]
    if until is None:
        return "остаток вернётся на баланс."
    if day >= until:
        over = " — срок этих денег закончился" if day > until else ""
        return f"остаток вернётся в бюджет муниципалитета{over}."
    return (
        f"остаток вернётся на баланс. Потратить его можно до {_when(until)}, "
        "потом он уйдёт в бюджет муниципалитета."
    )


def _ending(enrollment: Mapping[str, Any]) -> str:
    text = f"Договор действует до {_when(enrollment['ended_on'])}, это последний день."
    left = enrollment["reserved_kopecks"]
    if left:
        text += (
            f" Забронировано {rubles(left)}: когда организация сдаст последние отметки, "
            f"{_returns(enrollment, enrollment['ended_on'])}"
        )
    return text


def _when(text: str | None) -> str:
    then = day(text)
    return "" if then is None else full_date(then)


# --- who looked at personal data ---------------------------------------------------------------

LOOKERS: Mapping[str, str] = MappingProxyType(
    {
        "navigator": "Навигатор",
        "machine": "Система сертификатов",
        "sandbox": "Учебный режим",
        "machine/navigator": "Навигатор или рассылка сообщений",
        "machine/senders": "Рассылка сообщений",
        "machine/local": "Программа на этом компьютере",
    }
)
LOOKS: Mapping[str, str] = MappingProxyType(
    {
        "family-page": "Открыта страница семьи",
        "certificate": "Имя напечатано на сертификате",
        "statement": "Имя напечатано в выписке",
        "looks": "Открыт список тех, кто смотрел данные",
        "journal": "Имя ребёнка показано в журнале группы",
        "dispute": "Имя ребёнка показано в вопросе о списании",
        "application": "Имя ребёнка показано в заявлении",
        "notification": "Адрес узнан, чтобы отправить сообщение",
        "push-on": "Включены сообщения в браузер",
        "push-off": "Отключены сообщения в браузер",
        "push-gone": "Браузер больше не принимает сообщения",
        "support": "Данные открыты по обращению в поддержку",
        "registration": "Данные записаны",
        "clubs": "Открыт выбор кружка",
        "contacts": "Имя, почта или телефон изменены на странице семьи",
        "invented": "Имя придумано",
    }
)
DEEDS: Mapping[str, str] = MappingProxyType(
    {"read": "Данные открыты", "written": "Данные записаны", "erased": "Данные уничтожены"}
)
_ZONE = ZoneInfo("Asia/Irkutsk")


def looker(by: str, providers: Mapping[str, str]) -> str:
    """Return who looked, of an entry of the record: a family knows its own id."""
    if by in LOOKERS:
        return LOOKERS[by]
    kind, _, machine = by.rpartition("/")
    return f"Система «{machine}»" if kind == "machine" else providers.get(by, by)


def moment(at: str) -> str:
    """Return a moment in the time of the region: ``3 сентября 2020 года, 14:05``.

    One that is too far out to be any says nothing.
    """
    then = read_moment(at, _ZONE)
    if then is None:
        return ""
    return f"{full_date(then.date())}, {then:%H:%M}"


# --- the providers' journal --------------------------------------------------------------------

MARKS: Mapping[str, str] = MappingProxyType(
    {
        "present": "Есть",
        "absent": "Нет",
        "ill": "Болеет",
        "excused": "По уваж.",
        "cancelled": "Отмена",
        "made-up": "Отработка",
    }
)
REJECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "schedule": "Не подходит расписание",
        "level": "Группа другого уровня подготовки",
        "health": "Для этих занятий нужна справка врача",
        "agreed": "Семья передумала",
        "group": "Группа не набралась",
    }
)
"""Why an application is rejected. A list, not free text: nothing personal may go on the bus."""


def month(text: str) -> str:
    """Return a month of its ISO form: ``сентябрь 2020 года``."""
    return month_and_year(date.fromisoformat(f"{text}-01"))


# --- where there is no Navigator ---------------------------------------------------------------

DIRECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "technical": "Техника",
        "science": "Наука и природа",
        "sport": "Спорт",
        "arts": "Искусство",
        "tourism": "Туризм и краеведение",
        "social": "Общество",
    }
)
HINDRANCES: Mapping[str, str] = MappingProxyType(
    {
        "too_young": "Ребёнок ещё мал для занятий по сертификату.",
        "too_old": "Сертификат бывает только до 18 лет.",
        "provider_suspended": "Организация сейчас не принимает детей.",
        "group_closed": "Запись в эту группу закрыта.",
        "not_certified": "За эту программу сертификатом не платят.",
        "outside_period": "В этом периоде занятий по сертификату уже не будет.",
        "no_frame_agreement": "У вашего муниципалитета нет договора с этой организацией.",
        "age_outside_group": "Группа для детей другого возраста.",
        "certificate_frozen": "Сертификат приостановлен: новые договоры пока не заключаются.",
        "certificate_closed": "Сертификат закрыт.",
    }
)
"""Why there is no applying for a place, in the words of enrollment's and billing's reasons."""
NOT_NOW = "Сейчас подать заявление нельзя."
CONSENTS: Mapping[str, str] = MappingProxyType(
    {
        "application": "Прошу записать ребёнка в эту группу",
        "terms": "Даю согласие на условия программы и оплаты",
        "personal-data": "Даю согласие на обработку персональных данных, моих и ребёнка",
    }
)
MONEY: Mapping[str, str] = MappingProxyType(
    {
        "certificate": "Деньги на сертификате есть.",
        "expected": "Сертификат оформится сам, когда заявление примут.",
        "spent": "Свободных денег на сертификате не осталось, поэтому за занятия платит семья.",
        "none": "Денег по сертификату пока нет, поэтому за занятия платит семья.",
    }
)
"""Where the certificate's share comes from."""
