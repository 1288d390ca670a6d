"""Where there is no Navigator: a family gives up a place, after it read what that costs.

What is sent goes through the intake of the API as the source `families`.
"""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs, path_of
from services.cabinet.access.limits import Limit
from services.cabinet.access.policy import Action, Resource
from services.cabinet.api.problems import ProblemError
from services.cabinet.club_queries import ClubQueries
from services.cabinet.pages import leaving as shown
from services.cabinet.pages.forms import NOTHING, OLD, Fields, FormError, fields_of, one
from services.cabinet.pages.people import People
from services.cabinet.pages.site import Id, Site
from services.cabinet.queries import Answer
from services.cabinet.sending import Sending
from services.cabinet.vault.vault import Reader
from streaming.errors import BusUnavailableError, StoreUnavailableError

FORM_BYTES_MAX = 4 * 1024
FORMS_A_MINUTE = 10
"""So many forms of a family are taken a minute."""
REFUSED = "refused"
"""What the read models say of an input that changed nothing."""

Word = Annotated[str, Query(max_length=20, pattern=r"^[a-z]*$")]
Own = Annotated[Visitor, needs(Resource.CLUBS, Action.READ, guardian="guardian_id")]
Leaving = Annotated[
    Visitor,
    needs(Resource.CLUBS, Action.WRITE, form_bytes_max=FORM_BYTES_MAX, guardian="guardian_id"),
]


def router(queries: ClubQueries, people: People, site: Site, sending: Sending) -> APIRouter:
    """Return the page of giving up a place, and its form."""
    pages = APIRouter(include_in_schema=False)
    path = "/families/{guardian_id}/enrollments/{payer}/{enrollment_id}"
    forms = Limit(FORMS_A_MINUTE)

    async def known(guardian_id: str, payer: str, enrollment_id: str) -> Answer:
        found = await queries.own_enrollment(guardian_id, payer, enrollment_id)
        if found is None:
            raise NotHereError
        return found

    async def page(
        found: Answer,
        guardian_id: str,
        who: Visitor,
        became: str = "",
        trouble: FormError | None = None,
        last_day: str | None = None,
    ) -> Response:
        payer, enrollment_id = found["payer"], found["enrollment_id"]
        content = shown.leaving_page(found, guardian_id, await queries.business_day(payer))
        child_id = content["child_id"]
        names = await people.find({child_id: guardian_id}, Reader(by=guardian_id, why="clubs"))
        return site.page(
            "leaving.html",
            200 if trouble is None else 422,
            who=who,
            trouble=trouble,
            last_day=content["first_day"] if last_day is None else last_day,
            guardian_id=guardian_id,
            child=names[child_id].given_name if child_id in names else child_id,
            here=f"/families/{guardian_id}/enrollments/{payer}/{enrollment_id}",
            became=became,
            **content,
        )

    @pages.get(path)
    async def look(
        guardian_id: Id, payer: Id, enrollment_id: Id, who: Own, became: Word = ""
    ) -> Response:
        return await page(await known(guardian_id, payer, enrollment_id), guardian_id, who, became)

    @pages.post(path)
    async def leave(
        request: Request, guardian_id: Id, payer: Id, enrollment_id: Id, who: Leaving
    ) -> Response:
        forms.take(guardian_id)
        found = await known(guardian_id, payer, enrollment_id)
        here = f"{path_of(request)}?"
        fields: Fields = NOTHING
        try:
            fields = fields_of(form_of(request).decode(errors="replace"), shown.FIELDS_MAX)
            today = await queries.business_day(payer)
            leaving = shown.read_leaving(fields, found, guardian_id, today)
        except FormError as error:
            if not error.field:
                return site.problem(str(error), who=who, back=path_of(request))
            last_day = one(fields, "last-day")
            return await page(found, guardian_id, who, trouble=error, last_day=last_day)
        if shown.way_of(found, guardian_id) is not leaving.way:
            # What was read does not hold any more, or it was sent before.
            return RedirectResponse(here + urlencode({"became": "other"}), 303)
        try:
            (told,) = await sending.send([shown.leaving_event(found, leaving, _now())])
        except ProblemError as error:
            if error.status in (429, 503):
                return site.unavailable()
            return site.problem(OLD, who=who, back=path_of(request))
        except (BusUnavailableError, StoreUnavailableError):
            return site.unavailable()
        is_refused = told is not None and told["decision"] == REFUSED
        became = "other" if is_refused else "sent"
        return RedirectResponse(here + urlencode({"became": became}), 303)

    return pages


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
