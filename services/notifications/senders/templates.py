"""The texts of messages, read from `templates/`, and how they are laid out for a channel.

One file a template, its title in the first line; `layout.html` is the page of a letter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby

from jinja2 import Environment, Template

from services.notifications.domain.texts import BULLET, Text, parse, references, text_of

SUFFIX = ".txt"
LAYOUT = "layout.html"
FAREWELL = "О чём сообщать и куда, семья выбирает в личном кабинете."
"""True of whoever reads it: what is for organizations cannot be chosen."""
SHORT_CHARACTERS_MAX = 300
"""So long a short message may be; the rest stands in the cabinet."""
CUT = "… Подробнее в личном кабинете."


@dataclass(frozen=True, slots=True)
class Letter:
    """A message laid out: a title, its text with numbers to ask about, the same as a page."""

    title: str
    plain: str
    html: str
    short: str


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph, or the lines of a list."""

    lines: Sequence[str]
    is_list: bool


@cache
def load_templates() -> Mapping[str, Text]:
    """Return all templates by name."""
    return {
        file.name.removesuffix(SUFFIX): parse(file.read_text(encoding="utf-8"))
        for file in (files("services.notifications") / "templates").iterdir()
        if file.name.endswith(SUFFIX)
    }


def letter(template: str, facts: Sequence[Mapping[str, object]]) -> Letter:
    """Return what a message of this template says about its facts (JSON data), laid out."""
    text = text_of(load_templates(), template, facts)
    footer = [*references(facts), FAREWELL]
    blocks = [
        _Block([line.removeprefix(BULLET) for line in lines], is_list)
        for is_list, lines in _blocks(text.body.split("\n"))
    ]
    return Letter(
        title=text.title,
        plain="\n".join([text.body, "", *footer, ""]),
        html=_layout().render(title=text.title, blocks=blocks, footer=footer),
        short=_short(f"{text.title}. {text.body}".replace("\n", " ")),
    )


def _blocks(lines: Sequence[str]) -> list[tuple[bool, list[str]]]:
    blocks: list[tuple[bool, list[str]]] = []
    for is_list, grouped in groupby(lines, key=lambda line: line.startswith(BULLET)):
        if is_list:
            blocks.append((True, list(grouped)))
        else:
            blocks.extend((False, [line]) for line in grouped)
    return blocks


def _short(text: str) -> str:
    if len(text) <= SHORT_CHARACTERS_MAX:
        return text
    return text[: SHORT_CHARACTERS_MAX - len(CUT)].rpartition(" ")[0].rstrip(".,:;") + CUT


@cache
def _layout() -> Template:
    source = (files("services.notifications") / "templates" / LAYOUT).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)
