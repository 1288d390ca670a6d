"""What a form of a page would send as it stands, and what is told beside its fields."""

from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import parse_qs

OURS = frozenset({"csrf"})
"""Fields of every form, which nobody fills in."""


class _Forms(HTMLParser):
    """Reads the forms of a page by their action; of two with the same one, what is open."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self.invalid: list[str] = []
        self.trouble = ""
        self._select = ""
        self._options: list[tuple[str, bool]] = []
        self._area: str | None = None
        self._is_trouble = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
        if given.get("aria-invalid") == "true":
            assert given["aria-describedby"] == "trouble"
            self.invalid.append(name)
        if given.get("id") == "trouble":
            assert (given["class"], given["role"]) == ("trouble", "alert")
            self._is_trouble = True
        if tag == "select":
            self._select, self._options = name, []
        elif tag == "option":
            self._options.append((given.get("value", ""), "selected" in given))
        elif tag == "textarea":
            self._area = name
            self._say(name, "")
        elif tag == "input" and name and "disabled" not in given:
            is_box = given.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in given:
                self._say(name, given.get("value", "on" if is_box else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            chosen = [value for value, is_chosen in self._options if is_chosen]
            usual = [value for value, _ in self._options[:1]]
            for value in chosen or usual:
                self._say(self._select, value)
        if tag == "textarea":
            self._area = None
        self._is_trouble = False

    def handle_data(self, data: str) -> None:
        if self._is_trouble:
            self.trouble += data
        if self._area is not None:
            fields = self.forms[-1][1]
            # A browser drops the first line end.
            fields[self._area][-1] += data.removeprefix("\n")

    def _say(self, name: str, value: str) -> None:
        if self.forms and name not in OURS:
            self.forms[-1][1].setdefault(name, []).append(value)


def forms_of(page: str, action: str) -> list[dict[str, list[str]]]:
    """Return what each form with an action would send; what is empty is left out."""
    return [
        {name: [each for each in values if each] for name, values in fields.items() if any(values)}
        for path, fields in _read(page).forms
        if path == action
    ]


def beside(page: str) -> tuple[str, str]:
    """Return the one field that is said to be wrong, and what is told beside it."""
    read = _read(page)
    (name,) = read.invalid
    return name, read.trouble


def typed(body: str | Mapping[str, str]) -> dict[str, list[str]]:
    """Return a form that was sent as `forms_of` returns one."""
    if isinstance(body, str):
        return parse_qs(body)
    return {name: [value] for name, value in body.items() if value}


def _read(page: str) -> _Forms:
    parser = _Forms()
    parser.feed(page)
    return parser
