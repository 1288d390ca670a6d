"""`/console`: a payer's budget, certificates and queues; for the operator those of all."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.cabinet.access.gate import NotHereError, Visitor, needs
from services.cabinet.access.policy import Action, Owner, Resource, allows
from services.cabinet.console_queries import ConsoleQueries
from services.cabinet.pages import console as shown
from services.cabinet.pages.site import Id, Site

PeriodId = Annotated[str | None, Query(max_length=40, pattern=r"^[a-z0-9][a-z0-9-]{2,39}$")]
Anywhere = Annotated[Visitor, needs(Resource.CONSOLE, Action.READ)]
Own = Annotated[Visitor, needs(Resource.CONSOLE, Action.READ, payer="payer")]


def router(queries: ConsoleQueries, site: Site) -> APIRouter:
    """Return the pages of budgets."""
    pages = APIRouter(prefix="/console", include_in_schema=False)

    @pages.get("")
    async def start(who: Anywhere) -> Response:
        codes = [
            code
            for code in await queries.payer_codes()
            if allows(who.principal, Resource.CONSOLE, Action.READ, Owner(payer=code))
        ]
        found = [await queries.budget(code) for code in codes]
        told = shown.list_page([each for each in found if each is not None])
        return site.page("console_start.html", who=who, **told)

    @pages.get("/{payer}")
    async def budget(payer: Id, who: Own, period: PeriodId = None) -> Response:
        found = await queries.budget(payer, period)
        if found is None:
            raise NotHereError
        return site.page("console_budget.html", who=who, **shown.budget_page(found))

    return pages
