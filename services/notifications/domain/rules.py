"""What the routing table says, for the payer whose fact is told. `docs/rules.md`, section 2."""

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec import Struct

from rulebook.model import Row
from rulebook.overlay import PayerRules

ROUTING = "notifications.routing"


class Publication(Struct, frozen=True, kw_only=True):
    """Rows of the routing table that a payer published, as they came, after they were found valid.

    The table is named in the data.
    """

    data: Mapping[str, object]


def routing(rules: PayerRules, day: date, words: Iterable[str]) -> tuple[Row, ...]:
    """Return the rows that say who is told, in the order of the words and of the table."""
    # Before the first version the base version holds too: there is no other (section 2).
    asked_on = max(day, rules.tables[ROUTING].versions[0].valid_from)
    return tuple(
        row for word in words for row in rules.decide(ROUTING, asked_on, {"event": word}).hits
    )
