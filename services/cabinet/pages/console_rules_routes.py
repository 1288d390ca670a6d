"""`/console/{payer}/rules`, `/proposals/…`: money and rules, changed by two people.

One proposes, with a preview; another approves what the preview says at that moment. Only then the
payer's event goes out through the intake of the API.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from rulebook.errors import RulesInvalidError
from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs
from services.cabinet.access.policy import Action, Owner, Resource, allows
from services.cabinet.api.problems import ProblemError
from services.cabinet.pages import console_rules as shown
from services.cabinet.pages.console_events import payer_event
from services.cabinet.pages.forms import WHOLE, FormError
from services.cabinet.pages.freshness import said_when_behind
from services.cabinet.pages.site import Id, Site
from services.cabinet.proposal_queries import Preview, ProposalQueries, UnknownPeriodError
from services.cabinet.proposals import Answer, Kept, Proposal, Proposals, TooManyError, now
from services.cabinet.queries import Answer as Settings
from services.cabinet.sending import Sending
from streaming.errors import BusUnavailableError

PeriodId = Annotated[str | None, Query(max_length=40, pattern=r"^[a-z0-9][a-z0-9-]{2,39}$")]
Own = Annotated[Visitor, needs(Resource.CONSOLE, Action.READ, payer="payer")]
Proposing = Annotated[Visitor, needs(Resource.CONSOLE, Action.PROPOSE, payer="payer")]
_TOO_MANY = "Слишком много предложений ждут ответа. Ответьте на них или отзовите свои."
Approving = Annotated[Visitor, needs(Resource.CONSOLE, Action.APPROVE, payer="payer")]


def router(
    queries: ProposalQueries, site: Site, sending: Sending, proposals: Proposals
) -> APIRouter:
    """Return the pages of what a payer may change."""
    pages = APIRouter(
        prefix="/console/{payer}", include_in_schema=False, dependencies=[said_when_behind(queries)]
    )

    async def previewed(proposal: Proposal) -> Preview:
        try:
            return await queries.preview(proposal.payer, proposal.fact, proposal.data)
        except UnknownPeriodError as error:
            raise FormError("Такого периода муниципалитет не открыл.", WHOLE) from error
        except RulesInvalidError as error:
            raise FormError(error.russian, "rows") from error

    async def page(
        who: Visitor, kept: Kept, preview: Preview, status: int = 200, **more: Any
    ) -> Response:
        titles = await queries.provider_titles(shown.provider_of(kept.proposal))
        content = shown.proposal_page(kept, preview, who.principal.subject, titles)
        owner = Owner(payer=kept.proposal.payer)
        content["may_answer"] = allows(who.principal, Resource.CONSOLE, Action.APPROVE, owner)
        return site.page("console_proposal.html", status, who=who, **(content | more))

    async def send(kept: Kept, event: dict[str, Any]) -> None:
        await sending.send([event])
        await proposals.sent(kept.proposal.payer, kept.proposal.id)

    async def rules_page(
        payer: str,
        who: Visitor,
        settings: Settings | None,
        typed: Mapping[str, str] = MappingProxyType({}),
        trouble: FormError | None = None,
    ) -> Response:
        if settings is None:
            raise NotHereError
        kept = await proposals.of(payer)
        about = {id_ for each in kept for id_ in shown.provider_of(each.proposal)}
        titles = await queries.provider_titles(about)
        content = shown.rules_page(settings, kept, titles, typed, trouble)
        owner = Owner(payer=payer)
        may_propose = allows(who.principal, Resource.CONSOLE, Action.PROPOSE, owner)
        status = 200 if trouble is None else 422
        return site.page("console_rules.html", status, who=who, may_propose=may_propose, **content)

    async def filled_in(
        payer: str, who: Visitor, typed: Mapping[str, str], trouble: FormError | None = None
    ) -> Response:
        """Return the page of a form as it was filled in, with what is wrong with it."""
        found = await queries.settings(payer, typed.get("period"))
        if found is None:
            found = await queries.settings(payer)
        return await rules_page(payer, who, found, typed, trouble)

    @pages.get("/rules")
    async def rules(payer: Id, who: Own, period: PeriodId = None) -> Response:
        return await rules_page(payer, who, await queries.settings(payer, period))

    @pages.post("/proposals")
    async def propose(request: Request, payer: Id, who: Proposing) -> Response:
        if payer not in await queries.payer_codes():
            raise NotHereError
        fields: dict[str, str] = {}
        try:
            fields = shown.fields_of(form_of(request))
            if fields.get("step") == "change":
                return await filled_in(payer, who, fields)
            proposal = shown.proposed(payer, fields, who.principal.subject, now())
            preview = await previewed(proposal)
            if fields.get("step") != "keep":
                kept = Kept(proposal=proposal)
                return await page(who, kept, preview, draft=fields)
            id_ = await proposals.put(proposal)
        except FormError as error:
            if not error.field:
                return site.problem(str(error), who=who, back=f"/console/{payer}/rules")
            return await filled_in(payer, who, fields, error)
        except TooManyError:
            return await filled_in(payer, who, fields, FormError(_TOO_MANY, WHOLE))
        return RedirectResponse(f"/console/{payer}/proposals/{id_}", 303)

    @pages.get("/proposals/{id_}")
    async def proposal(payer: Id, id_: Id, who: Own) -> Response:
        kept = await proposals.find(payer, id_)
        if kept is None:
            raise NotHereError
        try:
            preview = await previewed(kept.proposal)
        except FormError as error:
            return await page(who, kept, Preview(before={}), trouble=error)
        return await page(who, kept, preview)

    @pages.post("/proposals/{id_}")
    async def answer(request: Request, payer: Id, id_: Id, who: Approving) -> Response:
        kept = await proposals.find(payer, id_)
        if kept is None:
            raise NotHereError
        here = f"/console/{payer}/proposals/{id_}"
        try:
            fields = shown.fields_of(form_of(request))
            await _answer(who, kept, fields)
        except FormError as error:
            return site.problem(str(error), 409, who=who, back=here)
        except ProblemError as error:
            return site.problem(f"Событие не принято: {error.detail}", who=who, back=here)
        except BusUnavailableError:
            return site.unavailable()
        return RedirectResponse(here, 303)

    async def _answer(who: Visitor, kept: Kept, fields: dict[str, str]) -> None:
        proposal, by = kept.proposal, who.principal.subject
        approved = fields.get("answer") == "approve"
        if kept.answer is not None:
            # Approved, and the bus was away: the same event once more.
            if approved and kept.answer.event is not None and not kept.is_sent:
                if not shown.is_of(kept.answer, proposal):
                    raise FormError("Ответ не сходится с предложением. Предложите ещё раз.")
                await send(kept, kept.answer.event)
                return
            if not approved and not kept.answer.is_approved:
                return
            raise FormError("На это предложение уже ответили.")
        if not approved:
            # Who proposed may take it back: nothing is sent.
            given = Answer(is_approved=False, by=by, at=now())
            if not await proposals.answer(proposal.payer, proposal.id, given):
                raise FormError("На это предложение уже ответили.")
            return
        if not by or by == proposal.by:
            raise FormError("Утвердить должен другой человек: не тот, кто предложил.")
        preview = await previewed(proposal)
        if fields.get("seal") != shown.seal(proposal, preview):
            raise FormError("С тех пор что-то изменилось. Посмотрите предложение ещё раз.")
        data = shown.event_data(proposal, preview)
        event = payer_event(proposal.fact, proposal.payer, proposal.subject, data)
        given = Answer(is_approved=True, by=by, at=now(), event=event)
        if not await proposals.answer(proposal.payer, proposal.id, given):
            raise FormError("На это предложение уже ответили.")
        await send(kept, event)

    return pages
