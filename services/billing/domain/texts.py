"""What a family reads about its money: plain Russian, with the numbers in it.

Only sentences; what is decided stands elsewhere (docs/rules.md, sections 5 to 8, 11).
"""

from collections.abc import Mapping
from datetime import date

from contracts.vocabulary import (
    AnsweredBy,
    DebitBasis,
    DisputeGround,
    Evidence,
    FundsRefusal,
    InputRefusal,
    Kopecks,
    Mark,
    Month,
    NotCharged,
)
from rulebook.evaluate import Decision
from rulebook.explain import why
from rulebook.wording import counted, day_and_month, full_date, month_and_year, rubles
from services.billing.domain.months import first_day
from services.billing.domain.shares import Shares

_MARKS: Mapping[Mark, str] = {
    Mark.PRESENT: "ребёнок был на занятии",
    Mark.ABSENT: "ребёнка не было",
    Mark.ILL: "ребёнок болел",
    Mark.EXCUSED: "ребёнок отсутствовал по уважительной причине",
    Mark.CANCELLED: "организация отменила занятие",
    Mark.MADE_UP: "занятие проведено взамен пропущенного",
}


def by_table(decision: Decision, text: str) -> Mapping[str, str]:
    """Return a `why` whose rule is a row of a table."""
    return {**why(decision), "text": text}


def by_rules(text: str) -> Mapping[str, str]:
    """Return a `why` where no table decides but the rules themselves."""
    return {"text": text}


# --- reserves ----------------------------------------------------------------------------------


def reserved(shares: Shares, basis: DebitBasis, starts_on: date, ends_on: date) -> str:
    """Return who pays how much, and how it is charged."""
    term = f"с {full_date(starts_on)} по {full_date(ends_on)}"
    share = shares.certificate_share_kopecks
    if share == 0:
        return (
            f"На сертификате нет свободных средств, поэтому обучение {term} семья оплачивает сама: "
            f"{rubles(shares.parent_share_kopecks)}."
        )
    paid = f"С сертификата забронировано {rubles(share)} за обучение {term}"
    if shares.parent_share_kopecks:
        paid += f", семья доплачивает {rubles(shares.parent_share_kopecks)}"
    if basis is DebitBasis.MONTHLY_CONTRACT:
        return f"{paid}. Деньги списываются каждый месяц."
    lessons = counted(shares.lessons, "занятие", "занятия", "занятий")
    return f"{paid}. Этого хватит на {lessons} по {rubles(shares.lesson_share_kopecks)}."


def refused_share_above_consent(shares: Shares, share_max_kopecks: Kopecks) -> str:
    """Return that the family would pay more than it agreed to, and what it can do."""
    agreed = (
        f"в заявлении указано не больше {rubles(share_max_kopecks)}"
        if share_max_kopecks
        else "в заявлении нет согласия на доплату"
    )
    return (
        f"Обучение стоит {rubles(shares.total_kopecks)}, с сертификата можно оплатить "
        f"{rubles(shares.certificate_share_kopecks)}. Семье пришлось бы доплатить "
        f"{rubles(shares.parent_share_kopecks)}, а {agreed}. "
        "Подайте новое заявление с согласием на эту доплату или выберите другую программу."
    )


def refused_frame_limit(shares: Shares) -> str:
    """Return that the provider's agreement with the municipality is used up."""
    return (
        f"Для оплаты нужно {rubles(shares.certificate_share_kopecks)}, но сумма, которую "
        "муниципалитет может оплатить этой организации, уже распределена. "
        "Деньги на сертификате сохранены: выберите программу другой организации "
        "или уточните в организации, когда сумму увеличат."
    )


REFUSED_FROZEN = (
    "Действие сертификата приостановлено, поэтому оплатить обучение с него нельзя. "
    "Обратитесь в уполномоченный орган муниципалитета и подайте заявление ещё раз, "
    "когда действие возобновят."
)
REFUSED_CLOSED = (
    "Сертификат закрыт: он действует до 18 лет. "
    "Обучение можно оплатить без сертификата по договору с организацией."
)


def refused_without_certificate(reason: FundsRefusal, text: str) -> str:
    """Return why there is no certificate to pay with, in the words of those who refused it."""
    if text:
        return text
    if reason is FundsRefusal.TOO_YOUNG:
        return "Ребёнок ещё мал для сертификата. Подайте заявление, когда он подрастёт."
    return "Сертификат выдают только до 18 лет."


# --- lessons -----------------------------------------------------------------------------------


def charged(
    decision: Decision, lesson_date: date, amount: Kopecks, left: int, reserved_kopecks: Kopecks
) -> str:
    """Return what a lesson cost, why, and what is left of the reserve."""
    return (
        f"Списано {rubles(amount)} за занятие {day_and_month(lesson_date)}: "
        f"{_lowered(decision.says)}. {_left(left, reserved_kopecks)}"
    )


def charged_instead(
    decision: Decision, lesson_date: date, amount: Kopecks, left: int, reserved_kopecks: Kopecks
) -> str:
    """Return that a lesson is charged since another one became free."""
    text = charged(decision, lesson_date, amount, left, reserved_kopecks)
    return f"{text} Раньше оплаченных занятий не оставалось, теперь одно освободилось."


def reversed_(
    lesson_date: date, mark: Mark, amount: Kopecks, left: int, reserved_kopecks: Kopecks
) -> str:
    """Return what came back for a lesson whose mark was corrected."""
    return (
        f"Возвращено {rubles(amount)} за занятие {day_and_month(lesson_date)}: отметку исправили, "
        f"{_MARKS[mark]}. {_left(left, reserved_kopecks)}"
    )


def reversed_after_end(
    lesson_date: date, ended_on: date, amount: Kopecks, reserved_kopecks: Kopecks
) -> str:
    """Return what came back for a lesson after the end of the agreement."""
    return (
        f"Возвращено {rubles(amount)} за занятие {day_and_month(lesson_date)}: "
        f"договор закончился {full_date(ended_on)}. В брони {rubles(reserved_kopecks)}."
    )


def not_charged(decision: Decision, lesson_date: date, mark: Mark, reason: NotCharged) -> str:
    """Return why a mark moves no money."""
    lesson = f"Занятие {day_and_month(lesson_date)}"
    match reason:
        case NotCharged.LESSONS_EXHAUSTED:
            return (
                f"{lesson} не списано: все оплаченные занятия уже использованы. "
                "Если одно из них отменят, оно зачтётся за это."
            )
        case NotCharged.NO_CERTIFICATE_SHARE:
            return f"{lesson} не списано: по этому договору с сертификата ничего не оплачивается."
        case NotCharged.MARK_UNCHANGED:
            return f"{lesson}: {_MARKS[mark]}. Новая отметка не меняет сумм."
        case _:
            return f"{lesson} не списано: {_MARKS[mark]}. {decision.says.rstrip('.')}."


def not_charged_monthly(lesson_date: date, mark: Mark) -> str:
    """Return that a mark is kept where months are charged."""
    return (
        f"Занятие {day_and_month(lesson_date)}: {_MARKS[mark]}. "
        "По этому договору списывается месяц, а не занятие."
    )


# --- months ------------------------------------------------------------------------------------


def month_charged(month: Month, amount: Kopecks, reserved_kopecks: Kopecks) -> str:
    """Return what a month cost and what is left of the reserve."""
    if amount == 0:
        return f"За {month_name(month)} с сертификата ничего не списано."
    return f"Списано {rubles(amount)} за {month_name(month)}. В брони {rubles(reserved_kopecks)}."


def month_reversed(month: Month, amount: Kopecks, ended_on: date) -> str:
    """Return what came back for a month after the end of the agreement."""
    return (
        f"Возвращено {rubles(amount)} за {month_name(month)}: "
        f"договор закончился {full_date(ended_on)}."
    )


def month_adjusted(month: Month, amount: Kopecks, marked: int, cancelled: int) -> str:
    """Return what came back for lessons the provider cancelled."""
    if cancelled == 0:
        return f"За {month_name(month)} отменённых занятий нет, возвращать нечего."
    lessons = counted(marked, "занятия", "занятий", "занятий")
    return (
        f"Возвращено {rubles(amount)} за {month_name(month)}: "
        f"организация отменила {cancelled} из {lessons}."
    )


def month_name(month: Month) -> str:
    """Return a month as people write it: `сентябрь 2020 года`."""
    return month_and_year(first_day(month))


def _left(lessons: int, reserved_kopecks: Kopecks) -> str:
    left = counted(lessons, "занятие", "занятия", "занятий")
    return f"Осталось {left} и {rubles(reserved_kopecks)} в брони."


def _lowered(says: str) -> str:
    """Return the words of a row so that they go on a sentence."""
    words = says.strip().rstrip(".")
    is_abbreviation = words[1:2].isupper()
    return words if is_abbreviation else words[:1].lower() + words[1:]


# --- disputes ----------------------------------------------------------------------------------

_GROUNDS: Mapping[DisputeGround, str] = {
    DisputeGround.WAS_ABSENT: "ребёнка не было на занятии {day}",
    DisputeGround.LESSON_CANCELLED: "занятия {day} не было",
    DisputeGround.WRONG_CHILD: "на занятии {day} отметили не того ребёнка",
}
_ANSWERED: Mapping[AnsweredBy, str] = {
    AnsweredBy.PROVIDER: "Организация ответила",
    AnsweredBy.PAYER: "Уполномоченный орган ответил",
}
_EVIDENCE: Mapping[Evidence, str] = {
    Evidence.JOURNAL: "есть запись в журнале",
    Evidence.QR: "есть отметка по QR-коду",
    Evidence.BIOMETRIC: "есть биометрическая отметка",
    Evidence.NONE: "других подтверждений нет",
}


def disputed(lesson_date: date, ground: DisputeGround, amount: Kopecks) -> str:
    """Return what a family says about a debit, and what happens to the money meanwhile."""
    said = _GROUNDS[ground].format(day=day_and_month(lesson_date))
    return (
        f"Семья сообщает, что {said}. За занятие списано {rubles(amount)}: "
        "деньги остаются на месте, пока организация не исправит отметку или не ответит."
    )


def upheld(lesson_date: date, by: AnsweredBy, evidence: Evidence, amount: Kopecks) -> str:
    """Return that the child was at the lesson, who says so and what that rests on."""
    return (
        f"{_ANSWERED[by]}, что ребёнок был на занятии {day_and_month(lesson_date)}: "
        f"{_EVIDENCE[evidence]}. Списание {rubles(amount)} остаётся."
    )


def corrected(lesson_date: date, amount: Kopecks) -> str:
    """Return that the money came back."""
    return (
        f"Вопрос о занятии {day_and_month(lesson_date)} решён: "
        f"списание {rubles(amount)} отменено, деньги вернулись в бронь."
    )


# --- what is answered to providers and payers --------------------------------------------------


def refused_mark(
    reason: InputRefusal, lesson_date: date, first_day: date, last_day: date, today: date
) -> str:
    """Return why a mark changes nothing, and what the provider can do."""
    lesson = f"Занятие {full_date(lesson_date)}"
    match reason:
        case InputRefusal.AGREEMENT_NOT_ACTIVE:
            return "Договора по этому зачислению нет: отметки по нему не оплачиваются."
        case InputRefusal.OUTSIDE_AGREEMENT:
            return (
                f"{lesson} не входит в срок договора: с {full_date(first_day)}"
                f" по {full_date(last_day)}. Проверьте дату занятия."
            )
        case InputRefusal.FUTURE_LESSON:
            return f"{lesson} ещё далеко, сегодня {full_date(today)}. Пришлите отметку после него."
        case InputRefusal.TOO_LATE:
            return f"{lesson}: срок исправления отметок прошёл, деньги уже рассчитаны."
        case InputRefusal.CONFLICT:
            return (
                f"{lesson}: у этого занятия раньше была другая дата. Дата занятия не меняется:"
                " для занятия в другой день нужен новый номер."
            )
        case InputRefusal.OUT_OF_SCOPE:
            return "Этот журнал не может ставить отметки за организацию, с которой договор."
        case _:
            raise ValueError(f"{reason} is no reason against a mark")


def refused_dispute(reason: InputRefusal) -> str:
    """Return why the debit of a lesson cannot be disputed, and what the family can do."""
    match reason:
        case InputRefusal.AGREEMENT_NOT_ACTIVE:
            return "Договора по этому зачислению нет: за занятия по нему не списывали."
        case InputRefusal.UNKNOWN_ENROLLMENT:
            return "Такого зачисления в этом муниципалитете нет. Откройте страницу заново."
        case InputRefusal.TOO_LATE:
            return (
                "Срок исправления отметок прошёл, деньги уже рассчитаны. "
                "Обратитесь в организацию или в уполномоченный орган муниципалитета."
            )
        case InputRefusal.ALREADY_FINISHED:
            return "Списания за это занятие нет или оно уже отменено: возвращать нечего."
        case InputRefusal.OUT_OF_SCOPE:
            return "Этот источник не может говорить о занятиях организации, с которой договор."
        case _:
            raise ValueError(f"{reason} is no reason against a dispute")


def refused_answer(reason: InputRefusal) -> str:
    """Return why an answer settles nothing."""
    match reason:
        case InputRefusal.NOT_AWAITING_ACCEPTANCE:
            return "Об этом занятии семья не спрашивала: отвечать не на что."
        case InputRefusal.ALREADY_FINISHED:
            return "Вопрос об этом занятии уже решён."
        case _:
            return refused_dispute(reason)


def refused_unknown_enrollment(enrollment_id: str) -> str:
    """Return that no agreement came for a mark."""
    return f"Зачисление {enrollment_id} так и не появилось. Проверьте его номер и муниципалитет."


def refused_without_agreement(enrollment_id: str) -> str:
    """Return that an enrollment never became active."""
    return f"Зачисление {enrollment_id} не состоялось: отметки по нему не оплачиваются."


def refused_nominal(
    reason: InputRefusal, nominal_kopecks: Kopecks, spent_kopecks: Kopecks | None
) -> str:
    """Return why a nominal is not set by hand, and what the payer can do."""
    match reason:
        case InputRefusal.UNKNOWN_CERTIFICATE:
            return "У ребёнка нет сертификата этого муниципалитета на этот период."
        case InputRefusal.PERIOD_CLOSED:
            return "Период закрыт: номинал больше не меняется."
        case InputRefusal.NOT_FUNDED:
            return "Сертификат без денег (учётный): номинала у него нет."
        case InputRefusal.WOULD_GO_NEGATIVE if spent_kopecks is not None:
            return (
                f"Уже потрачено и забронировано {rubles(spent_kopecks)}: номинал"
                f" {rubles(nominal_kopecks)} меньше. Укажите не меньше этой суммы."
            )
        case _:
            raise ValueError(f"{reason} is no reason against a nominal")


def refused_unknown_invoice(invoice_id: str) -> str:
    """Return that an invoice does not exist."""
    return f"Счёта {invoice_id} этому муниципалитету не выставляли. Проверьте номер счёта."


def refused_versions(table: str, versions_max: int) -> str:
    """Return that a table has too many versions."""
    return f"У таблицы {table} уже {versions_max} версий, больше хранить нельзя."
