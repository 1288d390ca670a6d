"""What a family reads about its certificate: plain Russian, with the numbers in it.

Only sentences; what is decided stands in `decisions.py` (docs/rules.md, sections 4 and 9).
"""

from datetime import date

from contracts.vocabulary import CertificateNumber, Kopecks, QueueReason
from rulebook.wording import full_date, rubles
from services.certificates.domain.category import Category, Limits

NOMINAL_RAISED = "Муниципалитет повысил номинал сертификатов этой категории"
NOMINAL_CORRECTED = "Муниципалитет исправил номинал этого сертификата"

TOO_YOUNG = "Подайте заявление ещё раз, когда ребёнок подрастёт"
TOO_OLD = "Сертификат выдают только до этого возраста"


def funded(
    number: CertificateNumber, nominal_kopecks: Kopecks, valid_from: date, valid_until: date
) -> str:
    """Return what a certificate with money grants, and when."""
    return (
        f"Сертификат № {number} действует с {full_date(valid_from)} по {full_date(valid_until)}, "
        f"его номинал {rubles(nominal_kopecks)}"
    )


def without_money(number: CertificateNumber, obstacle: str) -> str:
    """Return why a certificate has no money yet."""
    return f"Сертификат № {number} пока без денег: {obstacle}"


def on_request_only(number: CertificateNumber) -> str:
    """Return what a family must do where certificates are funded on request."""
    return (
        f"Сертификат № {number} пока без денег: в вашем муниципалитете их дают по заявлению. "
        "Чтобы получить деньги, подайте в Навигаторе заявление на сертификат"
    )


def queued(number: CertificateNumber, position: int, obstacle: str) -> str:
    """Return where in the queue a certificate stands, and why it must wait."""
    return (
        f"Сертификат № {number} стоит в очереди на деньги, место {position}: {obstacle}. "
        "Когда очередь подойдёт, деньги поступят сами."
    )


def funded_at_last(number: CertificateNumber, nominal_kopecks: Kopecks) -> str:
    """Return that the queue has come to a certificate."""
    return f"Подошла очередь: на сертификат № {number} поступило {rubles(nominal_kopecks)}."


def funded_on_request(number: CertificateNumber, nominal_kopecks: Kopecks) -> str:
    """Return that a request was met."""
    return f"По вашему заявлению на сертификат № {number} поступило {rubles(nominal_kopecks)}"


def closed_for_good(number: CertificateNumber) -> str:
    """Return that a closed certificate is not renewed, and what to do about a mistake."""
    return (
        f"Сертификат № {number} закрыт: он действует до 18 лет и не возобновляется. "
        "Если дата рождения была указана с ошибкой, обратитесь в уполномоченный орган."
    )


def grown_up_before(period_start: date) -> str:
    """Return that the child is no longer entitled when the period begins."""
    return (
        f"К началу периода, {full_date(period_start)}, ребёнку уже будет 18 лет, "
        "поэтому на этот период сертификат не выдают."
    )


def obstacle(category: Category) -> str:
    """Return why the category cannot fund one more certificate."""
    limits = category.limits
    if category.obstacle is QueueReason.CATEGORY_NOT_SET or limits is None:
        return "муниципалитет ещё не установил номинал для этой категории"
    if category.holders >= limits.places_max:
        return f"все места категории заняты, их {limits.places_max}"
    return f"в бюджете категории осталось {rubles(_left(category, limits))}, а номинал " + rubles(
        limits.nominal_kopecks
    )


def _left(category: Category, limits: Limits) -> int:
    return max(0, limits.budget_max_kopecks - category.granted_kopecks)
