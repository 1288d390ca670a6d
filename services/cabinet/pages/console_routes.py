"""`/console`: a payer's budget, lists of certificates, reports; for the operator those of all."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.cabinet.access.gate import NotHereError, Visitor, needs
from services.cabinet.access.policy import Action, Owner, Resource, allows, allows_somewhere
from services.cabinet.holder_queries import Roll
from services.cabinet.pages import console as shown
from services.cabinet.pages import console_reports as reports
from services.cabinet.pages import console_rolls as rolls
from services.cabinet.pages.console_rolls import Sort
from services.cabinet.pages.freshness import ensure_whole, said_when_behind
from services.cabinet.pages.site import Id, Site, attached
from services.cabinet.pages.spreadsheets import CSV, XLSX, csv_of, xlsx_of
from services.cabinet.queries import Answer
from services.cabinet.report_queries import ReportQueries

PeriodId = Annotated[str | None, Query(max_length=40, pattern=r"^[a-z0-9][a-z0-9-]{2,39}$")]
CategoryId = Annotated[str | None, Query(max_length=40, pattern=r"^[a-z0-9-]+$")]
Page = Annotated[int, Query(ge=1, le=100_000)]
Anywhere = Annotated[Visitor, needs(Resource.CONSOLE, Action.READ)]
OWN = needs(Resource.CONSOLE, Action.READ, payer="payer")
Own = Annotated[Visitor, OWN]


ELSEWHERE = (
    ("/operations", "Работа системы: очереди и письма", Resource.LETTERS),
    ("/journal", "Организации", Resource.JOURNAL),
)
"""What else there is for those who may read it."""


def router(queries: ReportQueries, site: Site) -> APIRouter:
    """Return the pages of budgets."""
    pages = APIRouter(
        prefix="/console", include_in_schema=False, dependencies=[said_when_behind(queries)]
    )

    @pages.get("")
    async def start(who: Anywhere) -> Response:
        codes = [
            code
            for code in await queries.payer_codes()
            if allows(who.principal, Resource.CONSOLE, Action.READ, Owner(payer=code))
        ]
        found = await asyncio.gather(*(queries.budget(code) for code in codes))
        told = shown.list_page([each for each in found if each is not None])
        links = [
            (path, title)
            for path, title, resource in ELSEWHERE
            if allows_somewhere(who.principal, resource, Action.READ)
        ]
        return site.page("console_start.html", who=who, links=links, **told)

    @pages.get("/{payer}")
    async def budget(payer: Id, who: Own, period: PeriodId = None) -> Response:
        found = await queries.budget(payer, period)
        if found is None:
            raise NotHereError
        return site.page("console_budget.html", who=who, **shown.budget_page(found))

    async def report_of(payer: str, period: str | None) -> Answer:
        found = await queries.report(payer, period)
        if found is None:
            raise NotHereError
        return found

    async def roll_of(payer: str, roll: Roll, period: str | None, category: str | None) -> Answer:
        found = await queries.roll(roll, payer, period, category)
        if found is None:
            raise NotHereError
        return found

    @pages.get("/{payer}/lists/{roll}.csv", dependencies=[OWN])
    async def lines(
        payer: Id, roll: Roll, period: PeriodId = None, category: CategoryId = None
    ) -> Response:
        await ensure_whole(queries)
        found = await roll_of(payer, roll, period, category)
        # A large municipality has thousands of lines: others are answered meanwhile.
        content = await asyncio.to_thread(csv_of, rolls.table(found))
        return _file(content, CSV, f"{rolls.file_name(found)}.csv")

    @pages.get("/{payer}/lists/{roll}.xlsx", dependencies=[OWN])
    async def sheet(
        payer: Id, roll: Roll, period: PeriodId = None, category: CategoryId = None
    ) -> Response:
        await ensure_whole(queries)
        found = await roll_of(payer, roll, period, category)
        content = await asyncio.to_thread(
            xlsx_of, reports.about(found), [rolls.table(found)], found["business_day"]
        )
        return _file(content, XLSX, f"{rolls.file_name(found)}.xlsx")

    @pages.get("/{payer}/lists/{roll}")
    async def listed(
        payer: Id,
        roll: Roll,
        who: Own,
        period: PeriodId = None,
        category: CategoryId = None,
        sort: Sort = Sort.NUMBER,
        page: Page = 1,
    ) -> Response:
        found = await roll_of(payer, roll, period, category)
        return site.page("console_roll.html", who=who, **rolls.roll_page(found, sort, page))

    @pages.get("/{payer}/reports")
    async def told(payer: Id, who: Own, period: PeriodId = None) -> Response:
        report = await report_of(payer, period)
        return site.page("console_reports.html", who=who, **reports.reports_page(report))

    @pages.get("/{payer}/reports.xlsx", dependencies=[OWN])
    async def workbook(payer: Id, period: PeriodId = None) -> Response:
        await ensure_whole(queries)
        report = await report_of(payer, period)
        content = xlsx_of(reports.about(report), reports.tables(report), report["business_day"])
        return _file(content, XLSX, f"{payer}-{report['period']}.xlsx")

    @pages.get("/{payer}/reports/{name}.csv", dependencies=[OWN])
    async def one(payer: Id, name: Id, period: PeriodId = None) -> Response:
        if name not in reports.NAMES:
            raise NotHereError
        await ensure_whole(queries)
        report = await report_of(payer, period)
        (table,) = [each for each in reports.tables(report) if each.name == name]
        return _file(csv_of(table), CSV, f"{payer}-{report['period']}-{name}.csv")

    return pages


def _file(content: bytes | str, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers=attached(name))
