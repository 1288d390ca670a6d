"""What a message says: a template filled with the data of its facts. `docs/rules.md`, section 9.

Plain Russian with sums, dates and the `why` of the fact; nothing in it is personal data, since
facts hold none.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

from msgspec import Struct

from contracts.vocabulary import EndCause
from rulebook.wording import NO_BREAK_SPACE, counted, full_date, month_and_year, rubles
from services.notifications.domain.occasion import is_low

DIGEST = "debits-of-the-day"
"""The template of a digest: a line for each of its facts stands below it."""
BULLET = "• "
LESSONS_LEFT = ("оплаченное занятие", "оплаченных занятия", "оплаченных занятий")
LINES_MAX = 30
"""So many facts of a digest are told one by one; how many more there are is said below."""

_FIELD = re.compile(r"\{([a-z_.]+)(?:\|([^{}|]+)\|([^{}|]+)\|([^{}|]+))?\}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}\Z")
_CAUSES: Mapping[str, str] = MappingProxyType(
    {
        EndCause.COMPLETED: "обучение завершено",
        EndCause.GUARDIAN: "так решил представитель ребёнка",
        EndCause.PROVIDER: "так решила организация",
        EndCause.OPERATOR: "так решил оператор системы",
    }
)
_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "certificate_number": f"Сертификат{NO_BREAK_SPACE}№",
        "enrollment_id": "Заявление и договор",
        "invoice_id": "Счёт",
    }
)


class Text(Struct, frozen=True):
    """A message as a person reads it, or the template of one, with `{field}` in it.

    `{why}` is the reason the fact gives; `{terms.title}` is a field of a part. Sums are named
    `…_kopecks`; dates and months are told by their form. `{lessons_left|занятие|занятия|занятий}`
    is a number with its noun.
    """

    title: str
    body: str


OTHERWISE = Text("Новости о занятиях", "{why}.")
"""Where a payer's rows name a template that is not there, or one that the fact cannot fill."""
BARE = Text("Новости о занятиях", "Что произошло, видно в личном кабинете.")
"""Where such a fact gives no reason either."""


def parse(source: str) -> Text:
    """Return the template of a file: the first line is the title, the rest the body."""
    title, _, body = source.partition("\n")
    return Text(title.strip(), body.strip())


def text_of(
    templates: Mapping[str, Text], template: str, facts: Sequence[Mapping[str, object]]
) -> Text:
    """Return what a message of this template says about its facts, given as JSON data.

    Of several facts the later one speaks where two know a field; a digest has a line for each.
    """
    if template == DIGEST:
        return _digest(templates, facts)
    fact: dict[str, object] = {}
    for each in facts:
        fact.update(each)
    return _told(templates, template, fact)


def references(facts: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the numbers a reader can ask about, as they stand below a message."""
    found: dict[str, None] = {}
    for fact in facts:
        for name, words in _NUMBERS.items():
            if name in fact:
                found[f"{words} {fact[name]}"] = None
    return tuple(found)


def _digest(templates: Mapping[str, Text], facts: Sequence[Mapping[str, object]]) -> Text:
    head = templates[DIGEST]
    lines = [f"{BULLET}{_line(fact)}" for fact in facts[:LINES_MAX]]
    if len(facts) > LINES_MAX:
        more = counted(len(facts) - LINES_MAX, "запись", "записи", "записей")
        lines.append(f"{BULLET}И ещё {more} в личном кабинете.")
    return Text(head.title, "\n".join([head.body, *lines]))


def _line(fact: Mapping[str, object]) -> str:
    """Return what a digest says of a fact: its reason, and that lessons run out if they do."""
    said = _told({}, "", fact).body
    left = fact.get("lessons_left")
    if not isinstance(left, int) or not is_low(left):
        return said
    return f"{said} Осталось {counted(left, *LESSONS_LEFT)}."


def _told(templates: Mapping[str, Text], template: str, fact: Mapping[str, object]) -> Text:
    for candidate in (templates.get(template), OTHERWISE):
        if candidate is None:
            continue
        known = {name: _value(name, fact) for name in _fields(candidate)}
        if None not in known.values():
            return _filled(candidate, known)
    return BARE


def _fields(template: Text) -> set[str]:
    return {field[1] for field in _FIELD.finditer(f"{template.title} {template.body}")}


def _value(name: str, fact: Mapping[str, object]) -> object:
    value: object = fact
    for part in ("why.text" if name == "why" else name).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _filled(template: Text, known: Mapping[str, object]) -> Text:
    def said(field: re.Match[str]) -> str:
        name, one, few, many = field.groups()
        value = known[name]
        if one is not None and isinstance(value, int):
            return counted(value, one, few, many)
        return _said(name, value)

    return Text(_FIELD.sub(said, template.title), _FIELD.sub(said, template.body))


def _said(name: str, value: object) -> str:
    if isinstance(value, int) and name.endswith("_kopecks"):
        return rubles(value)
    # Some reasons end with a full stop and some do not: the template has one.
    text = str(value).rstrip(".")
    if name == "cause":
        return _CAUSES.get(text, text)
    if _DATE.match(text):
        return full_date(date.fromisoformat(text))
    if _MONTH.match(text):
        return month_and_year(date.fromisoformat(f"{text}-01"))
    return text
