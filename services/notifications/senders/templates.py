"""The texts of messages, read from `templates/`: one file a template, its title in the first line.

For senders that carry a text. The log carries none, and the cabinet has headings of its own.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from services.notifications.domain.texts import Text, parse

SUFFIX = ".txt"


@cache
def load_templates() -> Mapping[str, Text]:
    """Return all templates by name."""
    return {
        file.name.removesuffix(SUFFIX): parse(file.read_text(encoding="utf-8"))
        for file in (files("services.notifications") / "templates").iterdir()
        if file.name.endswith(SUFFIX)
    }
