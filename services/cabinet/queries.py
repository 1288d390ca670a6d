"""What the cabinet knows, as plain dictionaries: for the HTTP API, the pages and `pfdo show`.

The shapes are those of `docs/interfaces.md`; what is not there answers None. Sums are kopecks.
Questions stand by what they are about, each class beside those before it:

* `parts.py`: the read models of a partition, and of all
* `certificate_queries.py`, `enrollment_queries.py` (groups too), `money_queries.py` (payers, what
  providers are owed, invoices), `family_queries.py`, with `child_history.py`
* here: all there is of a kind, and what became of an input
* `provider_queries.py` and on from there: what each of the pages asks besides
"""

from collections.abc import Iterable

from services.cabinet.family_queries import FamilyQueries
from services.cabinet.parts import Answer
from services.cabinet.projections.models import (
    ACCOUNTS,
    APPLICATIONS,
    CERTIFICATES,
    GROUPS,
    INVOICES,
    PAYERS,
    Decided,
    beginning,
    under,
)
from services.cabinet.together import together

__all__ = ["EXPORTS", "Answer", "Queries"]

EXPORTED_AT_ONCE = 50
EXPORTS = ("certificates", "enrollments", "groups", "providers", "payers", "invoices")


class Queries(FamilyQueries):
    """Questions about one installation."""

    async def export(self, what: Iterable[str] = EXPORTS) -> dict[str, dict[str, Answer]]:
        """Return everything that can be shown, by kind and id. Raises KeyError for other kinds.

        Providers are those a payer owed something. Of an id that two payers use, the one of the
        lower code is shown, as `show` does.
        """
        return {kind: await self._export(kind) for kind in what}

    async def _export(self, kind: str) -> dict[str, Answer]:
        items, last = await self.page(kind, "", EXPORTED_AT_ONCE)
        while last is not None:
            more, last = await self.page(kind, last, EXPORTED_AT_ONCE)
            items |= more
        return dict(sorted(items.items()))

    async def page(
        self, kind: str, after: str, items_max: int
    ) -> tuple[dict[str, Answer], str | None]:
        """Return those of a kind of `EXPORTS` that come after an id, by their ids, in some order.

        At most so many; with the id to go on after, None at the end. Together pages are what
        `export` says of the kind.
        """
        index, load = {
            "certificates": (CERTIFICATES, self._certificates),
            "enrollments": (APPLICATIONS, self._enrollments),
            "groups": (GROUPS, self._groups),
            "providers": (ACCOUNTS, self._providers),
            "payers": (PAYERS, self._payers_at),
            "invoices": (INVOICES, self._invoices),
        }[kind]
        places, goes_on = await self._places_after(index, after, items_max)
        by_part = [
            [(id_, rest) for id_, (rest, number) in places.items() if number == part.number]
            for part in self._parts
        ]
        found = await together(
            *(load(part, some) for part, some in zip(self._parts, by_part, strict=True) if some)
        )
        items = {id_: answer for answers in found for id_, answer in answers.items()}
        in_order = {id_: items[id_] for id_ in places if id_ in items}
        return in_order, list(places)[-1] if goes_on else None

    async def _places_after(
        self, index: str, after: str, ids_max: int
    ) -> tuple[dict[str, tuple[str, int]], bool]:
        """Return where the next ids stand, those of the lowest payer; and whether there are more.

        Where a partition has more to tell, what comes after its last word is left for next time.
        """
        start = beginning(after)[1] if after else ""
        entries_max = ids_max + 1
        found = await self._everywhere(lambda part: part.first(index, start, None, entries_max))
        told: dict[str, tuple[str, int]] = {}
        for part, entries in zip(self._parts, found, strict=True):
            for id_, _, rest in (entry.partition("|") for entry in entries):
                told[id_] = min(told.get(id_, (rest, part.number)), (rest, part.number))
        # The order of the index: `a-b|` comes before `a|`.
        unfinished = [
            beginning(each[-1].partition("|")[0])[0] for each in found if len(each) == entries_max
        ]
        horizon = min(unfinished, default=None)
        known = sorted(told, key=lambda id_: beginning(id_)[0])
        ids = [id_ for id_ in known if horizon is None or beginning(id_)[0] <= horizon][:ids_max]
        return {id_: told[id_] for id_ in ids}, len(ids) < len(told)

    async def decided(self, topic: str, partition: int, offset: int) -> Answer | None:
        """Return what became of an input record, or None as long as it is not decided."""
        if not 0 <= partition < len(self._parts):
            return None
        id_ = under(topic, str(partition), str(offset))
        known = await self._parts[partition].find(Decided, id_)
        if known is None:
            return None
        return {"decision": known.decision, "reason": known.reason, "decided_by": known.service}
