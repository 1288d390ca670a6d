"""What the console calls things, in Russian for officials. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from rulebook.wording import NO_BREAK_SPACE, counted, full_date
from services.cabinet.forecast import Forecast, Outlook
from services.cabinet.pages import wording

CERTIFICATES = ("сертификат", "сертификата", "сертификатов")
CHILDREN = ("ребёнок", "ребёнка", "детей")
DAYS = ("день", "дня", "дней")

BASES: Mapping[str, str] = MappingProxyType(
    {
        "ATTENDED_LESSONS": "за посещённые занятия",
        "MONTHLY_CONTRACT": "помесячно по договору",
    }
)
MODES: Mapping[str, str] = MappingProxyType(
    {
        "ON_ENROLLMENT": "сразу при зачислении",
        "ON_REQUEST": "по запросу родителя",
    }
)


def category(id_: str) -> str:
    """Return what a category is called; one we know no word for by its id."""
    return wording.CATEGORIES[id_].capitalize() if id_ in wording.CATEGORIES else id_


def outlook(told: Forecast | None) -> tuple[str, str]:
    """Return a forecast in words, and its tone."""
    if told is None:
        return "Операционный день ещё не открыт.", "over"
    match told.outlook:
        case Outlook.NOT_SET:
            return "Номинал, места и бюджет ещё не заданы.", "wait"
        case Outlook.OVER:
            return "Период закончился.", "over"
        case Outlook.GONE:
            lacking = "Все места заняты" if told.lacks_places else "На ещё один номинал денег нет"
            return f"{lacking}: новые сертификаты ждут в очереди.", "bad"
        case Outlook.QUIET:
            room = counted(told.room, *CERTIFICATES)
            days = counted(told.days, *DAYS)
            return f"Хватит ещё на {room}. За {days} никто не получил, день не предсказать.", "good"
        case Outlook.LASTS:
            return f"{_basis(told)} Хватит до конца периода.", "good"
        case Outlook.ENDS:
            day = "" if told.day is None else full_date(told.day)
            return f"{_basis(told)} При таком темпе закончится {day}.", "wait"


def _basis(told: Forecast) -> str:
    room, given = (counted(number, *CERTIFICATES) for number in (told.room, told.funded))
    days = counted(told.days, *DAYS)
    return f"Хватит ещё на {room}. За {days} выдано {given}."


def percent(part: int, whole: int) -> str:
    """Return a share in whole per cent, rounded down: ``80 %``; a share of nothing is a dash."""
    if not whole:
        return "—"
    if part and 100 * part < whole:
        return f"меньше{NO_BREAK_SPACE}1{NO_BREAK_SPACE}%"
    return f"{100 * part // whole}{NO_BREAK_SPACE}%"
