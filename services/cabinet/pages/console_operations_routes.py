"""`/operations`: parked and dead letters, and how far everybody is, for the operator.

Before anything is sent again a dry run says whether it could be read now.
"""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from contracts.sources import Sources
from contracts.topics import source_topics
from services.cabinet.access.gate import Visitor, form_of, needs
from services.cabinet.access.policy import Action, Resource, allows_somewhere
from services.cabinet.operations_queries import OperationsQueries
from services.cabinet.pages import console_operations as shown
from services.cabinet.pages.console_operations import NO_CHOICE, Choice
from services.cabinet.pages.forms import FormError
from services.cabinet.pages.site import Site
from services.cabinet.watched import look
from streaming import letters as kept
from streaming.bus import Bus
from streaming.errors import BusUnavailableError

Reading = Annotated[Visitor, needs(Resource.LETTERS, Action.READ)]
Acting = Annotated[Visitor, needs(Resource.LETTERS, Action.ACT)]


def router(
    queries: OperationsQueries, site: Site, bus: Bus, sources: Sources, watch_url: str | None
) -> APIRouter:
    """Return the operator's page and its forms."""
    pages = APIRouter(prefix="/operations", include_in_schema=False)
    # Where the cabinet may write (contracts/access.py); the rest is for `pfdo dead-letters`.
    ours = {topic.name for topic in source_topics(sources)}

    async def page(
        who: Visitor, told: str = "", choice: Choice = NO_CHOICE, trouble: FormError | None = None
    ) -> Response:
        try:
            flow = await queries.flow(bus, sources)
            parked, total = await queries.parked()
            letters = await kept.letters(bus, sources, shown.LETTERS_LATEST_MAX)
            older = await kept.not_looked_at(bus, shown.LETTERS_LATEST_MAX)
        except BusUnavailableError:
            return site.unavailable()
        watched = None if watch_url is None else await look(watch_url)
        content = shown.operations_page(flow, parked, total, letters, older, choice)
        content |= shown.watched_part(watched, is_set=watch_url is not None)
        content |= {"told": told, "trouble": trouble}
        content["may_act"] = allows_somewhere(who.principal, Resource.LETTERS, Action.ACT)
        return site.page(
            "console_operations.html", 200 if trouble is None else 422, who=who, **content
        )

    @pages.get("")
    async def operations(who: Reading, done: str = "") -> Response:
        return await page(who, _DONE.get(done, ""))

    @pages.post("/letters")
    async def act(request: Request, who: Acting) -> Response:
        choice = NO_CHOICE
        try:
            choice = shown.read_choice(form_of(request))
            if choice.what == "change":
                return await page(who, choice=choice)
            letters = await kept.letters(bus, sources, shown.LETTERS_LATEST_MAX)
            chosen = shown.chosen(choice, letters)
            if choice.what == "redrive":
                shown.check_all(chosen, ours)
                await kept.redrive(bus, chosen)
                return RedirectResponse("/operations?done=redriven", 303)
            if choice.what == "dismiss":
                shown.check_why(choice.why)
                for each in chosen:
                    await kept.dismiss(bus, each, choice.why)
                return RedirectResponse("/operations?done=dismissed", 303)
            told = await _rehearsed(bus, chosen, sources, ours)
        except FormError as error:
            if not error.field:
                return site.problem(str(error), who=who, back="/operations")
            return await page(who, choice=choice, trouble=error)
        except BusUnavailableError:
            return site.unavailable()
        return site.page("console_rehearsal.html", who=who, **shown.rehearsal_page(told, choice))

    return pages


_DONE = {
    "redriven": "Отправлено снова. Решение появится в журнале через мгновение.",
    "dismissed": "Закрыто. Письмо и причина остаются на месте.",
}


async def _rehearsed(
    bus: Bus, chosen: Sequence[kept.Letter], sources: Sources, ours: set[str]
) -> list[tuple[kept.Letter, tuple[str, str] | None]]:
    """Return letters in order, each with why it could not be read now either."""
    troubles: dict[str, tuple[str, str] | None] = {}
    async with aclosing(kept.with_records(bus, chosen)) as found:
        async for letter, record in found:
            troubles[letter.id] = (
                kept.still_unreadable(letter, record, sources, bus.partitions)
                if letter.at[0] in ours
                else ("not_from_here", shown.NOT_OURS)
            )
    return [(letter, troubles[letter.id]) for letter in kept.in_order(chosen)]
