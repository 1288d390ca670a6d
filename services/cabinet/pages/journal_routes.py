"""`/journal`: a provider's groups, marks, applications and money.

What is saved goes to the bus through the same intake as events over HTTP, under the same checks.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs, path_of
from services.cabinet.access.policy import Action, Resource, Role, reaches_all
from services.cabinet.api.problems import ProblemError
from services.cabinet.dispute_queries import DisputeQueries
from services.cabinet.pages import journal as shown
from services.cabinet.pages.forms import UNREADABLE, FormError
from services.cabinet.pages.freshness import ensure_whole, said_when_behind
from services.cabinet.pages.people import People
from services.cabinet.pages.site import Id, Site, attached
from services.cabinet.sending import Sending
from services.cabinet.vault.vault import Reader
from streaming.errors import BusUnavailableError, StoreUnavailableError

Search = Annotated[str, Query(max_length=80)]
Day = Annotated[date | None, Query()]
LessonId = Annotated[str | None, Query(max_length=40, pattern=r"^[a-z0-9][a-z0-9-]{2,39}$")]
Page = Annotated[int, Query(ge=0, le=100)]
Count = Annotated[int | None, Query(ge=0, le=1000)]
Own = Annotated[Visitor, needs(Resource.JOURNAL, Action.READ, provider="provider_id")]
Marking = Annotated[Visitor, needs(Resource.JOURNAL, Action.WRITE, provider="provider_id")]


def router(queries: DisputeQueries, people: People, site: Site, sending: Sending) -> APIRouter:
    """Return the providers' pages."""
    pages = APIRouter(
        prefix="/journal", include_in_schema=False, dependencies=[said_when_behind(queries)]
    )

    async def answered(
        who: Visitor, work: Callable[[], Awaitable[Response]], back: str = "/journal"
    ) -> Response:
        """Return what the work gives, or a page that says why not and leads back."""
        try:
            return await work()
        except FormError as error:
            return site.problem(str(error), who=who, back=back)
        except ProblemError as error:
            if error.status in (429, 503):
                return site.unavailable()
            return site.problem(_REFUSED, who=who, back=back)
        except (StoreUnavailableError, BusUnavailableError):
            return site.unavailable()

    async def names(
        members: Sequence[Mapping[str, Any]], by: str, why: str, who: Visitor
    ) -> dict[str, str]:
        """Return names of children for their teacher; anybody else who may look reads ids."""
        if not members or not is_own(by, who):
            return {}
        family_of = {each["child_id"]: each["guardian_id"] for each in members}
        known = await people.find(family_of, Reader(by=by, why=why))
        return {id_: person.name for id_, person in known.items()}

    def is_own(provider_id: str, who: Visitor) -> bool:
        return provider_id in who.principal.scopes(Role.PROVIDER)

    @pages.get("")
    async def start(
        who: Annotated[Visitor, needs(Resource.JOURNAL, Action.READ)], q: Search = ""
    ) -> Response:
        async def work() -> Response:
            if reaches_all(who.principal, Resource.JOURNAL, Action.READ):
                providers = await queries.providers(q.strip().lower())
            else:
                titles = await queries.provider_titles(who.principal.scopes(Role.PROVIDER))
                providers = [{"provider_id": id_, "title": titles[id_]} for id_ in sorted(titles)]
            return site.page("journal_start.html", who=who, providers=providers, search=q.strip())

        return await answered(who, work)

    @pages.get("/{provider_id}")
    async def provider(provider_id: Id, who: Own, done: Count = None) -> Response:
        async def work() -> Response:
            found = _there(await queries.journal(provider_id))
            held = [each for group in found["groups"] for each in group["held"]]
            asked = await queries.disputes_at(provider_id)
            known = await names(held, provider_id, "application", who)
            known |= await names(asked, provider_id, "dispute", who)
            content = shown.journal_page(found, known, asked)
            content |= {"own": is_own(provider_id, who), "done": done}
            return site.page("journal.html", who=who, **content)

        return await answered(who, work)

    @pages.get("/{provider_id}/groups/{home}/{group_id}")
    async def group(
        provider_id: Id,
        home: Id,
        group_id: Id,
        who: Own,
        day: Day = None,
        lesson: LessonId = None,
        page: Page = 0,
        saved: Count = None,
    ) -> Response:
        async def work() -> Response:
            asked = None if day is None else day.isoformat()
            found = _there(await queries.lesson_day(provider_id, home, group_id, asked))
            disputed = await queries.disputes_at(provider_id)
            here = [
                each for each in disputed if (each["home"], each["group_id"]) == (home, group_id)
            ]
            known = await names(here, provider_id, "dispute", who)
            known |= await names(found["children"], provider_id, "journal", who)
            content = shown.group_page(found, known, lesson, page, here)
            content |= {"token": secrets.token_hex(16), "saved": saved}
            return site.page("journal_group.html", who=who, own=is_own(provider_id, who), **content)

        return await answered(who, work)

    @pages.post("/{provider_id}/groups/{home}/{group_id}")
    async def save(
        request: Request, provider_id: Id, home: Id, group_id: Id, who: Marking, page: Page = 0
    ) -> Response:
        async def work() -> Response:
            body = _text(form_of(request))
            found = _there(await queries.lesson_day(provider_id, home, group_id, None))
            form = shown.read_marks(body, found["business_day"])
            for change in form.changes:
                member = await queries.member(provider_id, change.payer, change.enrollment_id)
                if _there(member)["group_id"] != group_id or _there(member)["home"] != home:
                    raise NotHereError
            if form.changes:
                now = _now()
                await sending.send([shown.mark_event(form, change, now) for change in form.changes])
            asked: dict[str, Any] = {"day": form.day.isoformat(), "lesson": form.lesson_id}
            asked |= {"saved": len(form.changes)} | ({"page": page} if page else {})
            return RedirectResponse(f"{path_of(request)}?{urlencode(asked)}", 303)

        return await answered(who, work, path_of(request))

    @pages.post("/{provider_id}/applications/{payer}/{enrollment_id}")
    async def answer(
        request: Request, provider_id: Id, payer: Id, enrollment_id: Id, who: Marking
    ) -> Response:
        back = f"/journal/{provider_id}"

        async def work() -> Response:
            reason = shown.read_answer(_text(form_of(request)))
            _there(await queries.member(provider_id, payer, enrollment_id))
            event = shown.answer_event(payer, enrollment_id, reason, _now())
            (became,) = await sending.send([event])
            # The page may be older than what the family, or a colleague, did meanwhile.
            if became is not None and became["decision"] == "refused":
                why = shown.REFUSALS.get(str(became["reason"]), shown.REFUSED)
                return site.problem(why, who=who, back=back)
            return RedirectResponse(f"{back}?done=1", 303)

        return await answered(who, work, back)

    @pages.get("/{provider_id}/money")
    async def money(provider_id: Id, who: Own) -> Response:
        async def work() -> Response:
            titles = await queries.provider_titles([provider_id])
            title = _there(titles.get(provider_id))
            found = await queries.provider(provider_id)
            invoices = await queries.invoices_of(provider_id)
            charged = await queries.charged(provider_id)
            payers = found["payers"] if found else []
            today = await queries.business_day()
            content = shown.money_page(provider_id, title, payers, invoices, charged, today)
            return site.page("journal_money.html", who=who, **content)

        return await answered(who, work)

    @pages.get("/{provider_id}/money.csv")
    async def money_csv(provider_id: Id, who: Own) -> Response:
        async def work() -> Response:
            await ensure_whole(queries)
            _there((await queries.provider_titles([provider_id])).get(provider_id))
            invoices = await queries.invoices_of(provider_id)
            content = shown.money_csv(invoices, await queries.charged(provider_id))
            headers = attached(f"{provider_id}.csv")
            return Response(content, media_type="text/csv; charset=utf-8", headers=headers)

        return await answered(who, work)

    return pages


_REFUSED = "Отметки не приняты: страница устарела или испорчена. Откройте группу заново."


def _there(found: Any) -> Any:
    if found is None:
        raise NotHereError
    return found


def _text(form: bytes) -> str:
    try:
        return form.decode()
    except UnicodeDecodeError as error:
        raise FormError(UNREADABLE) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
