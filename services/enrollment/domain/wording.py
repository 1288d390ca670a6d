"""What people read when something is refused: why, and what can be done."""

from datetime import date
from types import MappingProxyType

from contracts.vocabulary import ApplicationRefusal, InputRefusal, Kopecks, TerminatedBy
from rulebook.wording import counted, full_date, rubles
from services.enrollment.domain.terms import Terms

_BY_ANSWER = MappingProxyType(
    {
        ApplicationRefusal.GROUP_CLOSED: "Приём заявлений в эту группу не ведётся. "
        "Выберите другую группу или спросите организацию, когда приём откроется.",
        ApplicationRefusal.GROUP_FULL: "Свободных мест в группе нет. Выберите другую группу "
        "или подайте заявление ещё раз с согласием ждать место.",
        ApplicationRefusal.PROVIDER_SUSPENDED: "Организация сейчас не принимает детей "
        "по сертификату. Выберите группу другой организации.",
        ApplicationRefusal.ALREADY_ENROLLED: "По этому номеру заявления место в группе уже занято. "
        "Подайте новое заявление.",
    }
)
_OTHERWISE = "Место в группе получить не удалось. Выберите другую группу."


def no_place(reason: ApplicationRefusal) -> str:
    """Return what is said when the group's municipality refused the place."""
    return _BY_ANSWER.get(reason, _OTHERWISE)


GUARDIAN_NOT_LINKED = (
    "Заявление подал человек, который не указан как законный представитель ребёнка. "
    "Добавьте представителя в Навигаторе и подайте заявление ещё раз."
)
ALREADY_ENROLLED = (
    "У ребёнка уже есть заявление или договор в этой группе. Второе заявление не нужно."
)


def consent_missing(parent_share_max_kopecks: Kopecks) -> str:
    """Return which consents an application needs."""
    asked = "на подачу заявления, с условиями договора и на обработку персональных данных"
    if parent_share_max_kopecks > 0:
        asked += f", а также на доплату до {rubles(parent_share_max_kopecks)}"
    return f"Не хватает согласий: нужны согласия {asked}. Отметьте их и подайте заявление ещё раз."


def age_of(age_years: int) -> str:
    """Return how old the child is, as the second sentence of a refusal by age."""
    if age_years < 0:
        return "В Навигаторе указана дата рождения в будущем: проверьте её"
    return (
        f"Сейчас ребёнку {counted(age_years, 'год', 'года', 'лет')}. "
        "Если дата рождения указана с ошибкой, исправьте её в Навигаторе"
    )


def other_programme(terms: Terms) -> str:
    """Return what to do when a programme cannot be paid for by certificate."""
    return f"Группа «{terms.title}»: выберите другую программу или занимайтесь за свой счёт"


def outside_period(terms: Terms, starts_on: date) -> str:
    """Return that the dates of the agreement fall outside what the municipality pays for."""
    return (
        f"Договор с группой «{terms.title}» начался бы {full_date(starts_on)}, но на эти даты "
        "оплаты по сертификату нет: период не открыт, группа закончилась или ребёнку исполняется "
        "18 лет. Выберите группу с другими датами."
    )


def enrollment_closed(closes_on: date) -> str:
    """Return since when applications of the period are not taken."""
    return (
        f"Муниципалитет закончил зачисление на этот период {full_date(closes_on)}. "
        "Подайте заявление на следующий период."
    )


def no_frame_agreement(terms: Terms) -> str:
    """Return that the payer does not pay this provider."""
    return (
        "У муниципалитета нет договора с этой организацией, поэтому группа "
        f"«{terms.title}» по сертификату не оплачивается. Выберите другую организацию."
    )


def age_outside_group(terms: Terms, age_years: int) -> str:
    """Return which ages the group takes."""
    return (
        f"Группа «{terms.title}» принимает детей от {terms.age_min} "
        f"до {counted(terms.age_max, 'года', 'лет', 'лет')}, а ребёнку сейчас "
        f"{counted(age_years, 'год', 'года', 'лет')}. Выберите группу по возрасту."
    )


def rejected(reason: str, by: TerminatedBy) -> str:
    """Return that the child was not taken, in the words of who decided so."""
    who = "Оператор системы отклонил" if by is TerminatedBy.OPERATOR else "Организация отклонила"
    said = f": {reason.strip().rstrip('.')}" if reason.strip() else ""
    return f"{who} заявление{said}. Выберите другую группу."


WITHDRAWN = "Заявление отозвано представителем ребёнка. При желании его можно подать снова."


def hold_expired(held_until: date) -> str:
    """Return until when the place was held."""
    return (
        f"Организация не приняла заявление до {full_date(held_until)}, место больше не держится. "
        "Свяжитесь с организацией и подайте заявление ещё раз."
    )


# --- what is answered to those who asked ---------------------------------------------------------

UNKNOWN_CHILD = "Ребёнка этого муниципалитета с таким номером нет. Проверьте номер и муниципалитет."
UNKNOWN_ENROLLMENT = "Заявления с таким номером нет. Проверьте номер и муниципалитет."
REFUSED_STEPS = MappingProxyType(
    {
        InputRefusal.NOT_AWAITING_ACCEPTANCE: "Договор уже действует: принять, отклонить или "
        "отозвать заявление нельзя. Договор можно завершить.",
        InputRefusal.ALREADY_FINISHED: "Обучение завершено или заявление закрыто: изменить его "
        "нельзя. Можно подать новое заявление.",
    }
)


def closed_too_late(closes_on: date, day: date) -> str:
    """Return that families would not be told early enough that enrollment closes."""
    return (
        f"Сегодня {full_date(day)}: закрыть приём с {full_date(closes_on)} уже нельзя. "
        "Семьи должны узнать об этом хотя бы за два дня."
    )


def no_such_table(table: str, known: str) -> str:
    """Return that there is no such table of rules."""
    return f"Таблицы правил {table} нет. Есть: {known}."
