"""Forms: how one is read, and what says why it cannot be taken. Pure.

What is wrong is told on the form again, beside its field and with all that was typed
(`templates/form_parts.html`): pages are not kept by browsers, so a way back would find it empty.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

Fields = Mapping[str, Sequence[str]]

NOTHING: Fields = {}
"""What nobody filled in."""
OLD = "Форма устарела. Откройте страницу заново."
UNREADABLE = "Форма не читается. Откройте страницу заново."
WHOLE = "form"
"""In place of a field: what is wrong with the form as a whole."""


class FormError(ValueError):
    """A form says what it cannot say; the text is for the person who sent it.

    `field` is the one it is told beside. Without any the form was none of ours, or came too late:
    there is nothing in it to correct.
    """

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def fields_of(body: str, fields_max: int) -> Fields:
    """Return the fields of a form. Raises FormError."""
    try:
        return parse_qs(body, max_num_fields=fields_max)
    except ValueError as error:
        raise FormError(UNREADABLE) from error


def one(fields: Fields, name: str) -> str:
    """Return what a field says; empty where there is none."""
    return fields.get(name, [""])[0]
