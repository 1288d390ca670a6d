"""What a message says: a template filled with the data of its fact. `docs/rules.md`, section 9.

Plain Russian with sums, dates and the `why` of the fact; nothing in it is personal data, since
facts hold none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from contracts.vocabulary import EndCause
from rulebook.wording import full_date, rubles

_FIELD = re.compile(r"\{([a-z_.]+)\}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}\Z")
_MONTHS = (
    "январь",
    "февраль",
    "март",
    "апрель",
    "май",
    "июнь",
    "июль",
    "август",
    "сентябрь",
    "октябрь",
    "ноябрь",
    "декабрь",
)
_CAUSES: Mapping[str, str] = MappingProxyType(
    {
        EndCause.COMPLETED: "обучение завершено",
        EndCause.GUARDIAN: "так решил представитель ребёнка",
        EndCause.PROVIDER: "так решила организация",
        EndCause.OPERATOR: "так решил оператор системы",
    }
)


@dataclass(frozen=True, slots=True)
class Text:
    """A message as a person reads it, or the template of one, with `{field}` in it.

    `{why}` is the reason the fact gives; `{terms.title}` is a field of a part. Sums are named
    `…_kopecks`; dates and months are told by their form.
    """

    title: str
    body: str


OTHERWISE = Text("Новое сообщение", "{why}.")
"""Where a payer's rows name a template that is not there, or one that the fact cannot fill."""
BARE = Text("Новое сообщение", "Что произошло, видно в личном кабинете.")
"""Where such a fact gives no reason either."""


def parse(source: str) -> Text:
    """Return the template of a file: the first line is the title, the rest the body."""
    title, _, body = source.partition("\n")
    return Text(title.strip(), body.strip())


def text_of(templates: Mapping[str, Text], template: str, fact: Mapping[str, object]) -> Text:
    """Return what a message of this template says about a fact, given as JSON data."""
    for candidate in (templates.get(template), OTHERWISE):
        if candidate is not None and _fields(candidate) <= _known(candidate, fact).keys():
            return _filled(candidate, _known(candidate, fact))
    return BARE


def _fields(template: Text) -> set[str]:
    return set(_FIELD.findall(f"{template.title} {template.body}"))


def _known(template: Text, fact: Mapping[str, object]) -> Mapping[str, str]:
    """Return those fields of the template that the fact has, as they are read."""
    found = {name: _value(name, fact) for name in _fields(template)}
    return {name: _said(name, value) for name, value in found.items() if value is not None}


def _value(name: str, fact: Mapping[str, object]) -> object:
    value: object = fact
    for part in ("why.text" if name == "why" else name).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _filled(template: Text, known: Mapping[str, str]) -> Text:
    def fill(text: str) -> str:
        return _FIELD.sub(lambda field: known[field[1]], text)

    return Text(fill(template.title), fill(template.body))


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
        return f"{_MONTHS[int(text[5:]) - 1]} {text[:4]} года"
    return text
