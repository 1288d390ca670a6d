"""What the cabinet knows, as plain dictionaries: for the HTTP API, the pages and `pfdo show`.

The shapes are those of `docs/interfaces.md`; what is not there answers None. Sums are kopecks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, date
from itertools import groupby
from typing import Any, TypeAlias, TypeVar

import orjson

from contracts.moments import read_moment
from services.cabinet.projections import cabinet
from services.cabinet.projections.models import (
    ACCOUNTS,
    APPLICATIONS,
    APPLICATIONS_OF,
    CATEGORIES,
    CERTIFICATES,
    CHILDREN_OF,
    DISPUTES_OF,
    GRANTS,
    GROUPS,
    GUARDIANS,
    HISTORY,
    INVOICES,
    MESSAGES,
    NUMBERS,
    PAYERS,
    PERIODS,
    PROVIDERS,
    Account,
    Application,
    Category,
    Certificate,
    Child,
    Decided,
    Dispute,
    Entry,
    Grant,
    Group,
    Invoice,
    InvoicePage,
    Message,
    Period,
    Provider,
    Purse,
    Reserve,
    Told,
    Turn,
    beginning,
    queue,
    under,
    waiting_list,
)
from streaming.follower import is_behind
from streaming.routing import partition_of
from streaming.store import Count, Range, Store
from streaming.view import Codec

PAGE_MEMBERS = 1_000
EXPORTED_AT_ONCE = 50
GUARDIANS_LISTED_MAX = 60
MESSAGES_LISTED_MAX = 60
EXPORTS = ("certificates", "enrollments", "groups", "providers", "payers", "invoices")

Answer: TypeAlias = dict[str, Any]
Model = TypeVar("Model")

_MONEY_MOVED = frozenset(
    {
        "account-opened",
        "charge-reversed",
        "funds-reserved",
        "lesson-charged",
        "month-adjusted",
        "month-charged",
        "month-reversed",
        "nominal-applied",
        "period-expired",
        "reserve-released",
    }
)
"""Facts that move money on a certificate; a child's history has others beside them."""

_DEBITS = frozenset(
    {"charge-reversed", "lesson-charged", "month-adjusted", "month-charged", "month-reversed"}
)
"""Facts a family is told of one by one, or in the digest of the day."""

_NO_REASONS = frozenset({"balance-low", "period-ends-soon"})
"""Templates that say what is left. They name facts for their numbers, and tell of none."""

UNKNOWN = Told()


class Part:
    """The read models of one partition."""

    def __init__(self, store: Store, number: int, codec: Codec) -> None:
        self._store = store
        self._codec = codec
        self.number = number

    async def find(self, kind: type[Model], id_: str) -> Model | None:
        """Return one model, or None."""
        return (await self.all(kind, [id_]))[0]

    async def all(self, kind: type[Model], ids: Sequence[str]) -> list[Model | None]:
        """Return models in the order of their ids, in one round trip."""
        if not ids:
            return []
        keys = [f"{self._codec.names[kind]}/{id_}" for id_ in ids]
        loaded = await self._store.look(self.number, cabinet.state_version, keys)
        return [
            None if value is None else self._codec.decode(key, value)
            for key, value in zip(keys, loaded.values, strict=True)
        ]

    async def members(self, index: str, start: str = "", end: str | None = None) -> list[str]:
        """Return all entries of an index from `start` to before `end`."""
        return [member async for page in self.pages(index, start, end) for member in page]

    async def pages(
        self, index: str, start: str = "", end: str | None = None, members_max: int = PAGE_MEMBERS
    ) -> AsyncIterator[list[str]]:
        """Yield the entries of an index in pages."""
        while True:
            page = await self.first(index, start, end, members_max)
            if page:
                yield page
            if len(page) < members_max:
                return
            start = f"{page[-1]}\0"

    async def first(self, index: str, start: str, end: str | None, members_max: int) -> list[str]:
        """Return the first entries of an index from `start` to before `end`."""
        return (await self.ranges([Range(index, start, end, members_max)]))[0]

    async def rest(self, index: str, page: list[str], bounds: tuple[str, str | None]) -> list[str]:
        """Return a first page of an index and, if it is full, all that follows it."""
        if len(page) < PAGE_MEMBERS:
            return page
        return page + await self.members(index, f"{page[-1]}\0", bounds[1])

    async def ranges(self, asked: Sequence[Range]) -> list[list[str]]:
        """Return what stands in ranges, in one round trip."""
        loaded = await self._store.look(self.number, cabinet.state_version, (), asked)
        return [list(each) for each in loaded.ranges]

    async def counts(self, asked: Sequence[Count]) -> list[int]:
        """Return how many entries there are, in one round trip."""
        if not asked:
            return []
        loaded = await self._store.look(self.number, cabinet.state_version, (), (), asked)
        return list(loaded.counts)

    async def standing(self) -> Answer:
        """Return up to which journal records the models go: at least what is read after this."""
        return (await self.progress())[0]

    async def progress(self) -> tuple[Answer, bool]:
        """Return that, and whether they are still being read: something may be missing."""
        standing = await self._store.standing(self.number, cabinet.state_version)
        positions = orjson.loads(standing.fields.get("positions", b"{}"))
        day = standing.fields.get("day")
        as_of = {
            "partition": self.number,
            "business_day": None if day is None else day.decode(),
            "seq": standing.seq,
            "journals": {
                topic: positions[topic][3] if topic in positions else 0 for topic in cabinet.topics
            },
        }
        return as_of, is_behind(standing)


class Queries:
    """Questions about one installation.

    Each goes to the partition it belongs to; where the payer is not known, to all of them at once.
    """

    def __init__(self, store: Store, partitions: int) -> None:
        codec = Codec(cabinet.kinds)
        self._parts = [Part(store, number, codec) for number in range(partitions)]

    # --- what `pfdo show` shows ----------------------------------------------------------------

    async def certificate(self, id_: str) -> Answer | None:
        """Return a certificate by the id of its child or by its number, or None."""
        found = await self._place(CERTIFICATES, id_)
        if found is None:
            numbered = await self._place(NUMBERS, id_)
            if numbered is None:
                return None
            part, rest = numbered
            payer, child_id = rest.split("|")
        else:
            part, payer = found
            child_id = id_
        return (await self._certificates(part, [(child_id, payer)])).get(child_id)

    async def in_force(self, number: str) -> tuple[bool, str | None]:
        """Return whether a certificate is in force, and on which business day that is so."""
        numbered = await self._place(NUMBERS, number)
        if numbered is None:
            return False, None
        part, rest = numbered
        payer, child_id = rest.split("|")
        day = (await part.standing())["business_day"]
        certificate = await part.find(Certificate, under(payer, child_id))
        if certificate is None or _state(certificate) != "ACTIVE" or day is None:
            return False, day
        periods = [_last(e) for e in await part.members(GRANTS, *beginning(payer, child_id))]
        grants = await part.all(Grant, [under(payer, child_id, period) for period in periods])
        return any(
            grant.valid_from.isoformat() <= day <= grant.valid_until.isoformat()
            for grant in grants
            if grant is not None
        ), day

    async def enrollment(self, id_: str) -> Answer | None:
        """Return an enrollment, from application to end, or None."""
        found = await self._place(APPLICATIONS, id_)
        if found is None:
            return None
        part, payer = found
        return (await self._enrollments(part, [(id_, payer)])).get(id_)

    async def group(self, id_: str) -> Answer | None:
        """Return the places and the waiting list of a group, or None."""
        found = await self._place(GROUPS, id_)
        if found is None:
            return None
        part, home = found
        return (await self._groups(part, [(id_, home)])).get(id_)

    async def payer(self, code: str) -> Answer | None:
        """Return the categories of a payer with holders, budget and queues, or None."""
        part = self._part_of(code)
        if not await part.first(PAYERS, code, f"{code}\0", 1):
            return None
        return (await self._payers(part, [code])).get(code)

    async def provider(self, id_: str) -> Answer | None:
        """Return what is owed to a provider, invoiced and settled, payer by payer, or None."""
        home, owed = await asyncio.gather(
            self._place(PROVIDERS, id_), self._everywhere(lambda part: _accounts(part, id_))
        )
        payers = sorted(
            (account for accounts in owed for account in accounts), key=lambda each: each["payer"]
        )
        if home is None and not payers:
            return None
        return {"provider_id": id_, "payers": payers}

    async def invoice(self, id_: str) -> Answer | None:
        """Return an invoice with its lines, or None."""
        found = await self._place(INVOICES, id_)
        if found is None:
            return None
        part, payer = found
        return (await self._invoices(part, [(id_, payer)])).get(id_)

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
        found = await asyncio.gather(
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
        unfinished = [beginning(_id(each[-1]))[0] for each in found if len(each) == entries_max]
        horizon = min(unfinished, default=None)
        known = sorted(told, key=lambda id_: beginning(id_)[0])
        ids = [id_ for id_ in known if horizon is None or beginning(id_)[0] <= horizon][:ids_max]
        return {id_: told[id_] for id_ in ids}, len(ids) < len(told)

    # --- what the API and the pages need besides -----------------------------------------------

    async def as_of(self) -> list[Answer]:
        """Return for each partition up to which journal records the models go."""
        return await self._everywhere(lambda part: part.standing())

    async def is_behind(self) -> bool:
        """Return whether read models are still being read: what is not there may come yet."""
        return any(behind for _, behind in await self._everywhere(lambda part: part.progress()))

    def partition_of(self, payer: str) -> int:
        """Return the partition of a payer."""
        return self._part_of(payer).number

    async def decided(self, topic: str, partition: int, offset: int) -> Answer | None:
        """Return what became of an input record, or None as long as it is not decided."""
        if not 0 <= partition < len(self._parts):
            return None
        id_ = under(topic, str(partition), str(offset))
        known = await self._parts[partition].find(Decided, id_)
        if known is None:
            return None
        return {"decision": known.decision, "reason": known.reason, "decided_by": known.service}

    async def guardians(
        self, beginning_with: str = "", guardians_max: int = GUARDIANS_LISTED_MAX
    ) -> list[Answer]:
        """Return guardians by the beginning of their id, with how many children each has."""
        end = f"{beginning_with}\U0010ffff" if beginning_with else None
        found = await self._everywhere(
            lambda part: part.first(GUARDIANS, beginning_with, end, guardians_max)
        )
        ids = sorted({guardian_id for ids in found for guardian_id in ids})[:guardians_max]
        asked = [Count(CHILDREN_OF, *beginning(guardian_id)) for guardian_id in ids]
        counted = await self._everywhere(lambda part: part.counts(asked))
        return [
            {"guardian_id": guardian_id, "children": sum(numbers)}
            for guardian_id, numbers in zip(ids, zip(*counted, strict=True), strict=True)
        ]

    async def provider_titles(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the titles of those ids that are providers."""
        titles = {}
        for id_ in ids:
            found = await self._place(PROVIDERS, id_)
            if found is not None:
                part, home = found
                provider = await part.find(Provider, under(home, id_))
                if provider is not None:
                    titles[id_] = provider.title
        return titles

    async def family(
        self,
        guardian_id: str,
        *,
        child_id: str | None = None,
        entries_max: int | None = None,
        messages_max: int = MESSAGES_LISTED_MAX,
    ) -> Answer | None:
        """Return the children of a guardian with all a parent may know, or None if there is none.

        Beside what `certificate` and `enrollment` say, without the movements: each child's history,
        the latest first, at most `entries_max` of it, and the guardian's latest messages. With a
        `child_id`, of the children that one alone.
        """
        # What is asked in the same moment travels together, here and below.
        of_guardian = beginning(guardian_id)
        progress, entries = await asyncio.gather(
            self._everywhere(lambda part: part.progress()),
            self._everywhere(
                lambda part: part.ranges(
                    [
                        Range(CHILDREN_OF, *of_guardian, PAGE_MEMBERS),
                        Range(MESSAGES, *of_guardian, messages_max),
                    ]
                )
            ),
        )
        places_of = [
            [
                (id_, payer)
                for _, payer, id_ in map(
                    _split, await part.rest(CHILDREN_OF, children, of_guardian)
                )
                if child_id in (None, id_)
            ]
            for part, (children, _) in zip(self._parts, entries, strict=True)
        ]
        if not any(places_of):
            return None
        parts, messages = await asyncio.gather(
            asyncio.gather(
                *(
                    self._children(part, places, guardian_id, standing["business_day"], entries_max)
                    for part, places, (standing, _) in zip(
                        self._parts, places_of, progress, strict=True
                    )
                    if places
                )
            ),
            asyncio.gather(
                *(
                    _messages(part, messages)
                    for part, (_, messages) in zip(self._parts, entries, strict=True)
                    if messages
                )
            ),
        )
        children = [child for found in parts for child in found]
        partitions = sorted({self.partition_of(child["payer"]) for child in children})
        days = [progress[number][0]["business_day"] for number in partitions]
        return {
            "guardian_id": guardian_id,
            "business_day": max((day for day in days if day), default=None),
            "partitions": partitions,
            "is_behind": any(progress[number][1] for number in partitions),
            "children": sorted(children, key=lambda child: (child["child_id"], child["payer"])),
            "messages": sorted(
                (message for found in messages for message in found),
                key=lambda message: (message["day"] or "", message["not_before"]),
                reverse=True,
            )[:messages_max],
        }

    # --- certificates --------------------------------------------------------------------------

    async def _certificates(
        self, part: Part, places: Sequence[tuple[str, str]]
    ) -> dict[str, Answer]:
        standing = await part.standing()
        certificates, histories = await asyncio.gather(
            _certificates_on(part, places, standing["business_day"]),
            asyncio.gather(*(_history(part, payer, child_id) for child_id, payer in places)),
        )
        return {
            child_id: certificate
            | {"movements": [_movement(e) for e in history.values() if e.kind in _MONEY_MOVED]}
            for (child_id, _), certificate, history in zip(
                places, certificates, histories, strict=True
            )
            if certificate is not None
        }

    # --- enrollments and groups ----------------------------------------------------------------

    async def _enrollments(
        self, part: Part, places: Sequence[tuple[str, str]]
    ) -> dict[str, Answer]:
        found = await self._applications(part, places)
        return {id_: _enrollment(id_, payer, *models) for (id_, payer), models in found.items()}

    async def _applications(
        self, part: Part, places: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[Application, Reserve | None, Group | None]]:
        ids = [under(payer, id_) for id_, payer in places]
        applications, reserves = await asyncio.gather(
            part.all(Application, ids), part.all(Reserve, ids)
        )
        known = {
            place: (application, reserve)
            for place, application, reserve in zip(places, applications, reserves, strict=True)
            if application is not None
        }
        groups = await self._groups_of([application for application, _ in known.values()])
        return {
            place: (
                application,
                reserve,
                groups.get((application.group_home, application.group_id)),
            )
            for place, (application, reserve) in known.items()
        }

    async def _groups_of(
        self, applications: Iterable[Application]
    ) -> dict[tuple[str, str], Group | None]:
        wanted = sorted({(each.group_home, each.group_id) for each in applications})
        by_part = [
            (self._parts[number], list(places))
            for number, places in groupby(
                sorted(wanted, key=lambda place: self.partition_of(place[0])),
                key=lambda place: self.partition_of(place[0]),
            )
        ]
        found = await asyncio.gather(
            *(part.all(Group, [under(*place) for place in places]) for part, places in by_part)
        )
        return {
            place: group
            for (_, places), groups in zip(by_part, found, strict=True)
            for place, group in zip(places, groups, strict=True)
        }

    async def _groups(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        groups = await part.all(Group, [under(home, id_) for id_, home in places])
        answers: dict[str, Answer] = {}
        for (id_, home), group in zip(places, groups, strict=True):
            if group is not None:
                line = await part.members(waiting_list(home, id_)) if group.waiting else []
                answers[id_] = {
                    "group_id": id_,
                    "capacity": group.capacity,
                    "taken": group.taken,
                    "waiting": [_last(entry) for entry in line],
                }
        return answers

    # --- payers, providers, invoices -----------------------------------------------------------

    async def _payers(self, part: Part, codes: Sequence[str]) -> dict[str, Answer]:
        standing = await part.standing()
        return {code: await _payer(part, code, standing["business_day"]) for code in codes}

    async def _payers_at(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        return await self._payers(part, _first_of(places))

    async def _providers(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        del part  # they are owed in many
        found = await asyncio.gather(*(self.provider(id_) for id_ in _first_of(places)))
        return {answer["provider_id"]: answer for answer in found if answer is not None}

    async def _invoices(self, part: Part, places: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        ids = [under(payer, id_) for id_, payer in places]
        answers: dict[str, Answer] = {}
        for (id_, payer), invoice in zip(places, await part.all(Invoice, ids), strict=True):
            if invoice is not None:
                pages = await part.all(
                    InvoicePage, [under(payer, id_, str(page)) for page in range(invoice.pages)]
                )
                answers[id_] = {
                    "invoice_id": id_,
                    "payer": payer,
                    "provider_id": invoice.provider_id,
                    "month": invoice.month,
                    "amount_kopecks": invoice.amount_kopecks,
                    "settled": invoice.settled,
                    "lines": [
                        {
                            "line_reference": line.line_reference,
                            "enrollment_id": line.enrollment_id,
                            "amount_kopecks": line.amount_kopecks,
                        }
                        for page in pages
                        if page is not None
                        for line in page.lines
                    ],
                }
        return answers

    # --- families ------------------------------------------------------------------------------

    async def _children(
        self,
        part: Part,
        places: Sequence[tuple[str, str]],
        guardian_id: str,
        day: str | None,
        entries_max: int | None,
    ) -> list[Answer]:
        children, certificates, enrollments, histories, disputes = await asyncio.gather(
            part.all(Child, [under(payer, id_) for id_, payer in places]),
            _certificates_on(part, places, day),
            asyncio.gather(*(self._of_child(part, payer, id_) for id_, payer in places)),
            asyncio.gather(
                *(
                    _family_history(part, payer, id_, guardian_id, entries_max)
                    for id_, payer in places
                )
            ),
            asyncio.gather(*(_open_disputes(part, payer, id_) for id_, payer in places)),
        )
        return [
            {
                "child_id": child_id,
                "payer": payer,
                "birth_date": None if child is None else child.birth_date.isoformat(),
                "certificate": certificate,
                "enrollments": enrolled,
                "history": history,
                "disputes": disputed,
            }
            for (child_id, payer), child, certificate, enrolled, history, disputed in zip(
                places, children, certificates, enrollments, histories, disputes, strict=True
            )
        ]

    async def _of_child(self, part: Part, payer: str, child_id: str) -> list[Answer]:
        entries = await part.members(APPLICATIONS_OF, *beginning(payer, child_id))
        found = await self._applications(part, [(_last(entry), payer) for entry in entries])
        titles, positions, child, grants = await asyncio.gather(
            self._provider_titles(found),
            asyncio.gather(
                *(
                    self._waiting_position(id_, application)
                    for (id_, _), (application, *_) in found.items()
                )
            ),
            part.find(Child, under(payer, child_id)),
            _found(part, Grant, _grants_of(payer, child_id, found.values())),
        )
        return [
            _enrollment(id_, payer, application, reserve, group)
            | {
                "title": application.title or (group.title if group else None),
                "provider_title": titles.get(id_),
                "guardian_id": application.guardian_id,
                "guardian_ids": () if child is None else child.guardian_ids,
                "submitted_on": _iso(application.submitted_on),
                "since": _iso(application.since),
                "held_until": _iso(application.held_until),
                "text": application.text,
                "debit_basis": reserve.debit_basis if reserve else None,
                "lesson_share_kopecks": reserve.lesson_share_kopecks if reserve else None,
                "group_starts_on": _iso(group.starts_on) if group else None,
                "waiting_position": position,
                "valid_until": _iso(
                    grants[grant].valid_until
                    if (grant := under(payer, child_id, application.period or "")) in grants
                    else None
                ),
            }
            for ((id_, _), (application, reserve, group)), position in zip(
                found.items(), positions, strict=True
            )
        ]

    async def _provider_titles(
        self, found: Mapping[tuple[str, str], tuple[Application, Reserve | None, Group | None]]
    ) -> dict[str, str]:
        """Return the titles of providers, by enrollment; they are known in the group's home."""

        async def title(application: Application, group: Group | None) -> str | None:
            provider_id = application.provider_id or (group.provider_id if group else None)
            if provider_id is None:
                return None
            home = application.group_home
            provider = await self._part_of(home).find(Provider, under(home, provider_id))
            return None if provider is None else provider.title

        titles = await asyncio.gather(
            *(title(application, group) for application, _, group in found.values())
        )
        return {id_: name for (id_, _), name in zip(found, titles, strict=True) if name is not None}

    async def _waiting_position(self, id_: str, application: Application) -> int | None:
        if application.state != "WAITLISTED":
            return None
        part = self._part_of(application.group_home)
        turn = await part.find(Turn, under(application.group_home, id_))
        if turn is None:
            return None
        line = waiting_list(application.group_home, turn.group_id)
        return (await part.counts([Count(line, "", turn.member)]))[0] + 1

    # --- finding the partition -----------------------------------------------------------------

    def _part_of(self, payer: str) -> Part:
        return self._parts[partition_of(payer.encode(), len(self._parts))]

    async def _everywhere(self, ask: Callable[[Part], Awaitable[Model]]) -> list[Model]:
        return list(await asyncio.gather(*(ask(part) for part in self._parts)))

    async def _place(self, index: str, id_: str) -> tuple[Part, str] | None:
        """Return where an id stands and the rest of its entry, of the lowest payer's code."""
        found = await self._everywhere(lambda part: part.first(index, *beginning(id_), 1))
        places = [
            (entry.partition("|")[2], part.number)
            for part, entries in zip(self._parts, found, strict=True)
            for entry in entries
        ]
        if not places:
            return None
        rest, number = min(places)
        return self._parts[number], rest


# --- one model after the other -----------------------------------------------------------------


def _grants_of(
    payer: str,
    child_id: str,
    found: Iterable[tuple[Application, Reserve | None, Group | None]],
) -> list[str]:
    """Return what the periods of a child's agreements stand under."""
    periods = {application.period for application, *_ in found if application.period}
    return [under(payer, child_id, period) for period in sorted(periods)]


def _split(entry: str) -> list[str]:
    return entry.split("|")


def _id(entry: str) -> str:
    return entry.partition("|")[0]


def _last(entry: str) -> str:
    return entry.rpartition("|")[2]


def _first_of(places: Iterable[tuple[str, str]]) -> list[str]:
    return [id_ for id_, _ in places]


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _state(certificate: Certificate) -> str:
    if certificate.closed:
        return "CLOSED"
    return "FROZEN" if certificate.frozen else "ACTIVE"


async def _certificates_on(
    part: Part, places: Sequence[tuple[str, str]], day: str | None
) -> list[Answer | None]:
    """Return what certificates are on a business day, without their movements."""
    certificates, periods, enrollments = await asyncio.gather(
        part.all(Certificate, [under(payer, id_) for id_, payer in places]),
        asyncio.gather(*(_periods(part, payer, id_, day) for id_, payer in places)),
        asyncio.gather(
            *(part.members(APPLICATIONS_OF, *beginning(payer, id_)) for id_, payer in places)
        ),
    )
    return [
        None
        if certificate is None
        else {
            "certificate_number": certificate.number,
            "child_id": child_id,
            "payer": payer,
            "state": _state(certificate),
            "periods": granted,
            "enrollments": [_last(entry) for entry in enrolled],
        }
        for (child_id, payer), certificate, granted, enrolled in zip(
            places, certificates, periods, enrollments, strict=True
        )
    ]


async def _periods(part: Part, payer: str, child_id: str, day: str | None) -> list[Answer]:
    periods = [_last(e) for e in await part.members(GRANTS, *beginning(payer, child_id))]
    ids = [under(payer, child_id, period) for period in periods]
    grants, purses, over = await asyncio.gather(
        part.all(Grant, ids), part.all(Purse, ids), _periods_over(part, payer, periods, day)
    )
    return await asyncio.gather(
        *(
            _period(part, payer, period, grant, purse, is_over=period in over)
            for period, grant, purse in zip(periods, grants, purses, strict=True)
            if grant is not None
        )
    )


async def _periods_over(
    part: Part, payer: str, periods: Sequence[str], day: str | None
) -> set[str]:
    """Return those of a payer's periods that have ended by a business day."""
    known = await part.all(Period, [under(payer, period) for period in periods])
    return {
        id_
        for id_, period in zip(periods, known, strict=True)
        if day is not None and period is not None and day > period.ends_on.isoformat()
    }


async def _period(
    part: Part, payer: str, period: str, grant: Grant, purse: Purse | None, *, is_over: bool
) -> Answer:
    position = None
    # The queue ends with the period (docs/rules.md, section 4).
    if grant.turn is not None and not is_over:
        asked = Count(queue(payer, period, grant.category), "", grant.turn)
        position = (await part.counts([asked]))[0] + 1
    if purse is None:
        # Billing has not opened the account yet: all that is granted is there.
        purse = Purse(
            nominal_kopecks=grant.nominal_kopecks,
            balance_kopecks=grant.nominal_kopecks,
            reserved_kopecks=0,
            paid_kopecks=0,
            expired_kopecks=0,
        )
    return {
        "period": period,
        "category": grant.category,
        "state": grant.state,
        "queue_position": position,
        "nominal_kopecks": purse.nominal_kopecks,
        "balance_kopecks": purse.balance_kopecks,
        "reserved_kopecks": purse.reserved_kopecks,
        "paid_kopecks": purse.paid_kopecks,
        "expired_kopecks": purse.expired_kopecks,
        "valid_from": grant.valid_from.isoformat(),
        "valid_until": grant.valid_until.isoformat(),
    }


async def _history(
    part: Part, payer: str, child_id: str, entries_max: int | None = None
) -> dict[str, Entry]:
    """Return what happened to a child lately, the oldest first, by the id of the fact."""
    ids = [_last(entry) for entry in await part.members(HISTORY, *beginning(payer, child_id))]
    if entries_max is not None:
        ids = ids[max(0, len(ids) - entries_max) :]
    return await _found(part, Entry, ids)


async def _found(part: Part, kind: type[Model], ids: Sequence[str]) -> dict[str, Model]:
    """Return those that are known, however many are asked for."""
    found: dict[str, Model] = {}
    for first in range(0, len(ids), PAGE_MEMBERS):
        some = ids[first : first + PAGE_MEMBERS]
        models = zip(some, await part.all(kind, some), strict=True)
        found |= {id_: model for id_, model in models if model is not None}
    return found


async def _family_history(
    part: Part, payer: str, child_id: str, guardian_id: str, entries_max: int | None
) -> list[Answer]:
    """Return the history of a child, the latest first; of each debit, how the guardian was told."""
    history = await _history(part, payer, child_id, entries_max)
    asked = [
        under(payer, guardian_id, id_) for id_, entry in history.items() if entry.kind in _DEBITS
    ]
    (told, messages), disputes = await asyncio.gather(
        _told_of(part, payer, asked), _disputes_of(part, payer, history.values())
    )
    return [
        _entry(entry)
        | {
            "told": _told(told.get(under(payer, guardian_id, id_), UNKNOWN), messages),
            "dispute": disputes.get(_lesson_of(payer, entry)),
        }
        for id_, entry in reversed(history.items())
    ]


async def _told_of(
    part: Part, payer: str, asked: Sequence[str]
) -> tuple[dict[str, Told], dict[str, Message]]:
    """Return how a guardian was told of debits, and the messages that did it, by their ids."""
    told = await _found(part, Told, asked)
    ids = {under(payer, id_): id_ for each in told.values() for id_ in each.message_ids}
    messages = await _found(part, Message, list(ids))
    return told, {ids[id_]: message for id_, message in messages.items()}


async def _disputes_of(part: Part, payer: str, entries: Iterable[Entry]) -> dict[str, Answer]:
    """Return the disputes about lessons of a history, by what they stand under.

    Asked for by the lessons: the history may be cut off after the beginning of a dispute.
    """
    asked = {_lesson_of(payer, entry) for entry in entries if entry.lesson_id is not None}
    found = await _found(part, Dispute, sorted(asked))
    return {id_: dispute_answer(dispute) for id_, dispute in found.items()}


async def _open_disputes(part: Part, payer: str, child_id: str) -> list[Answer]:
    """Return the disputes of a child that wait for an answer, the oldest first."""
    entries = await part.members(DISPUTES_OF, *beginning(payer, child_id))
    ids = [under(payer, *entry.split("|")[3:]) for entry in entries]
    found = await _found(part, Dispute, ids)
    return [dispute_answer(dispute) for dispute in found.values()]


def _lesson_of(payer: str, entry: Entry) -> str:
    return under(payer, entry.enrollment_id or "", entry.lesson_id or "")


def dispute_answer(dispute: Dispute) -> Answer:
    """Return a dispute as pages take it."""
    return {
        "child_id": dispute.child_id,
        "provider_id": dispute.provider_id,
        "lesson_date": dispute.lesson_date.isoformat(),
        "ground": dispute.ground,
        "amount_kopecks": dispute.amount_kopecks,
        "opened_on": dispute.opened_on.isoformat(),
        "outcome": dispute.outcome,
        "settled_on": _iso(dispute.settled_on),
        "by": dispute.by,
        "evidence": dispute.evidence,
        "text": dispute.text,
    }


def _is_put_off(message: Message) -> bool:
    """Return whether a message is to come later than what it tells of happened."""
    begins, at = read_moment(message.not_before, UTC), read_moment(message.at, UTC)
    return begins is not None and at is not None and begins > at


def _told(told: Told, messages: Mapping[str, Message]) -> Answer:
    known = [messages[id_] for id_ in told.message_ids if id_ in messages]
    found = [message for message in known if message.template not in _NO_REASONS]
    return {
        "untold": told.untold,
        "messages": [
            {
                "channel": message.channel,
                "state": message.state,
                "is_put_off": _is_put_off(message),
                "not_before": message.not_before,
                "became_at": message.became_at,
            }
            for message in found
        ],
    }


def _movement(entry: Entry) -> Answer:
    return {
        "at": entry.at,
        "kind": entry.kind,
        "amount_kopecks": entry.amount_kopecks,
        "enrollment_id": entry.enrollment_id,
        "lesson_id": entry.lesson_id,
        "balance_kopecks": entry.balance_kopecks,
        "text": entry.text,
    }


def _entry(entry: Entry) -> Answer:
    return _movement(entry) | {
        "day": _iso(entry.day),
        "lesson_date": _iso(entry.lesson_date),
        "cause": entry.cause,
    }


def _enrollment(
    id_: str, payer: str, application: Application, reserve: Reserve | None, group: Group | None
) -> Answer:
    provider_id = application.provider_id or (group.provider_id if group else None)
    return {
        "enrollment_id": id_,
        "child_id": application.child_id,
        "payer": payer,
        "state": application.state,
        "group_id": application.group_id,
        "provider_id": provider_id,
        "starts_on": _iso(application.starts_on),
        "ends_on": _iso(application.ends_on),
        "ended_on": _iso(application.ended_on),
        "certificate_share_kopecks": reserve.certificate_share_kopecks if reserve else None,
        "parent_share_kopecks": reserve.parent_share_kopecks if reserve else None,
        "lessons": reserve.lessons if reserve else None,
        "lessons_charged": reserve.lessons_charged if reserve else 0,
        "reserved_kopecks": reserve.reserved_kopecks if reserve else 0,
        "charged_kopecks": reserve.charged_kopecks if reserve else 0,
        "reason": application.reason,
    }


async def _payer(part: Part, code: str, day: str | None) -> Answer:
    periods = [_last(entry) for entry in await part.members(PERIODS, *beginning(code))]
    over = await _periods_over(part, code, periods, day)
    places = [_split(entry) for entry in await part.members(CATEGORIES, *beginning(code))]
    categories = await part.all(Category, [under(*place) for place in places])
    queued = await part.counts([Count(queue(*place)) for place in places])
    of_period: dict[str, list[Answer]] = {period: [] for period in periods}
    for (_, period, name), category, waiting in zip(places, categories, queued, strict=True):
        if category is not None:
            of_period.setdefault(period, []).append(
                {
                    "category": name,
                    "nominal_kopecks": category.nominal_kopecks,
                    "places_max": category.places_max,
                    "holders": category.holders,
                    "budget_max_kopecks": category.budget_max_kopecks,
                    "granted_kopecks": category.granted_kopecks,
                    "queued": 0 if period in over else waiting,
                }
            )
    return {
        "payer": code,
        "periods": [
            {"period": period, "categories": found} for period, found in sorted(of_period.items())
        ],
    }


async def _accounts(part: Part, provider_id: str) -> list[Answer]:
    payers = [_last(e) for e in await part.members(ACCOUNTS, *beginning(provider_id))]
    accounts = await part.all(Account, [under(payer, provider_id) for payer in payers])
    return [
        {
            "payer": payer,
            "charged_kopecks": account.charged_kopecks,
            "invoiced_kopecks": account.invoiced_kopecks,
            "settled_kopecks": account.settled_kopecks,
        }
        for payer, account in zip(payers, accounts, strict=True)
        if account is not None
    ]


async def _messages(part: Part, entries: Sequence[str]) -> list[Answer]:
    places = [(payer, message_id) for _, _, payer, message_id in map(_split, entries)]
    known = await part.all(Message, [under(*place) for place in places])
    messages = [
        (payer, each) for (payer, _), each in zip(places, known, strict=True) if each is not None
    ]
    facts = sorted({id_ for _, message in messages for id_ in message.event_ids})
    told = dict(zip(facts, await part.all(Entry, facts), strict=True))
    return [
        {
            "payer": payer,
            "at": message.at,
            "day": _iso(message.day),
            "not_before": message.not_before,
            "channel": message.channel,
            "category": message.category,
            "template": message.template,
            "state": message.state,
            "facts": message.facts,
            "entries": [
                _entry(entry) | {"child_id": entry.child_id}
                for id_ in message.event_ids
                if (entry := told[id_]) is not None
            ],
            "event_ids": list(message.event_ids),
        }
        for payer, message in messages
    ]
