"""A debit that a family does not agree with: said, seen and answered.

What is sent goes through the intake of the API as the source `disputes`. Whoever agrees with the
family corrects the mark in the journal; there is no form for that here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from contracts.vocabulary import AnsweredBy
from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs
from services.cabinet.access.limits import Limit
from services.cabinet.access.policy import Action, Owner, Resource, allows
from services.cabinet.api.problems import ProblemError
from services.cabinet.club_queries import ClubQueries
from services.cabinet.pages import disputes as shown
from services.cabinet.pages import family
from services.cabinet.pages.forms import OLD, FormError
from services.cabinet.pages.freshness import said_when_behind
from services.cabinet.pages.site import Id, Site
from services.cabinet.queries import Answer
from services.cabinet.sending import Sending
from streaming.errors import BusUnavailableError, StoreUnavailableError

FORM_BYTES_MAX = 4 * 1024
FORMS_A_MINUTE = 30
"""So many disputes of a family are taken a minute."""

Disputing = Annotated[
    Visitor,
    needs(Resource.DISPUTES, Action.WRITE, form_bytes_max=FORM_BYTES_MAX, guardian="guardian_id"),
]
Teaching = Annotated[
    Visitor,
    needs(Resource.DISPUTES, Action.ACT, form_bytes_max=FORM_BYTES_MAX, provider="provider_id"),
]
Looking = Annotated[Visitor, needs(Resource.DISPUTES, Action.READ, payer="payer")]
Paying = Annotated[
    Visitor, needs(Resource.DISPUTES, Action.ACT, form_bytes_max=FORM_BYTES_MAX, payer="payer")
]


def router(queries: ClubQueries, site: Site, sending: Sending) -> APIRouter:
    """Return the forms of disputes, and the payer's page of them."""
    pages = APIRouter(include_in_schema=False)
    forms = Limit(FORMS_A_MINUTE)

    async def send(event: Mapping[str, Any], then: str, who: Visitor) -> Response:
        try:
            (became,) = await sending.send([event])
        except ProblemError as error:
            if error.status in (429, 503):
                return site.unavailable()
            return site.problem(OLD, who=who, back=then)
        except (BusUnavailableError, StoreUnavailableError):
            return site.unavailable()
        # A conflict is another word about what was said already: the page shows how that stands.
        if became is not None and became["decision"] == "refused":
            reason = str(became["reason"])
            if reason != "conflict":
                why = shown.REFUSALS.get(reason, shown.REFUSED)
                return site.problem(why, who=who, back=then)
        return RedirectResponse(then, 303)

    async def answered(
        request: Request, place: tuple[str, str, str], by: AnsweredBy, then: str, who: Visitor
    ) -> Response:
        try:
            evidence = shown.read_evidence(form_of(request))
        except FormError as error:
            return site.problem(str(error), who=who, back=then)
        return await send(shown.answer_event(*place, by, evidence, _now()), then, who)

    @pages.post("/families/{guardian_id}/disputes/{payer}/{enrollment_id}/{lesson_id}")
    async def dispute(
        request: Request,
        guardian_id: Id,
        payer: Id,
        enrollment_id: Id,
        lesson_id: Id,
        who: Disputing,
    ) -> Response:
        forms.take(guardian_id)
        then = f"/families/{guardian_id}"
        try:
            ground = shown.read_ground(form_of(request))
            found = await queries.family(guardian_id)
        except FormError as error:
            return site.problem(str(error), who=who, back=then)
        except StoreUnavailableError:
            return site.unavailable()
        child = None if found is None else _child_with(found, payer, enrollment_id)
        if child is None:
            raise NotHereError
        # A refusal is for ever: what cannot be disputed now is not sent.
        if (enrollment_id, lesson_id) not in family.disputable(child):
            return RedirectResponse(then, 303)
        event = shown.dispute_event(payer, enrollment_id, lesson_id, guardian_id, ground, _now())
        return await send(event, then, who)

    @pages.post("/journal/{provider_id}/disputes/{payer}/{enrollment_id}/{lesson_id}")
    async def teach(
        request: Request,
        provider_id: Id,
        payer: Id,
        enrollment_id: Id,
        lesson_id: Id,
        who: Teaching,
    ) -> Response:
        then = f"/journal/{provider_id}"
        try:
            found = await queries.dispute(payer, enrollment_id, lesson_id)
        except StoreUnavailableError:
            return site.unavailable()
        if found is None or found["provider_id"] != provider_id:
            raise NotHereError
        if found["outcome"] is not None:
            return RedirectResponse(then, 303)
        place = (payer, enrollment_id, lesson_id)
        return await answered(request, place, AnsweredBy.PROVIDER, then, who)

    @pages.get("/console/{payer}/disputes", dependencies=[said_when_behind(queries)])
    async def look(payer: Id, who: Looking) -> Response:
        try:
            if payer not in await queries.payer_codes():
                raise NotHereError
            found = await queries.disputes_by(payer)
            ids = {each["provider_id"] for each in (*found["open"], *found["upheld"])}
            titles = await queries.provider_titles(sorted(ids))
        except StoreUnavailableError:
            return site.unavailable()
        may_answer = allows(who.principal, Resource.DISPUTES, Action.ACT, Owner(payer=payer))
        content = shown.console_page(found, titles)
        return site.page("console_disputes.html", who=who, may_answer=may_answer, **content)

    @pages.post("/console/{payer}/disputes/{enrollment_id}/{lesson_id}")
    async def settle(
        request: Request, payer: Id, enrollment_id: Id, lesson_id: Id, who: Paying
    ) -> Response:
        then = f"/console/{payer}/disputes"
        try:
            found = await queries.dispute(payer, enrollment_id, lesson_id)
        except StoreUnavailableError:
            return site.unavailable()
        if found is None:
            raise NotHereError
        if found["outcome"] is not None:
            return RedirectResponse(then, 303)
        place = (payer, enrollment_id, lesson_id)
        return await answered(request, place, AnsweredBy.PAYER, then, who)

    return pages


def _child_with(found: Answer, payer: str, enrollment_id: str) -> Answer | None:
    """Return the child of a family whose enrollment this is."""
    for child in found["children"]:
        ids = {each["enrollment_id"] for each in child["enrollments"]}
        if child["payer"] == payer and enrollment_id in ids:
            return dict(child)
    return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
