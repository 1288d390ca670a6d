"""`/families/{guardian}/preferences`: which messages come how and when, and a form to change it.

What is saved goes to the bus through the intake of the API, as a teacher's marks do.
"""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs, path_of
from services.cabinet.access.policy import Action, Resource
from services.cabinet.api.problems import ProblemError
from services.cabinet.pages import preferences as shown
from services.cabinet.pages.forms import NOTHING, Fields, FormError, fields_of
from services.cabinet.pages.site import Id, Site
from services.cabinet.preference_queries import PreferenceQueries
from services.cabinet.queries import Answer
from services.cabinet.sending import Sending
from streaming.errors import BusUnavailableError, StoreUnavailableError

FORM_BYTES_MAX = 8 * 1024

Saved = Annotated[str, Query(max_length=40)]
Own = Annotated[Visitor, needs(Resource.PREFERENCES, Action.READ, guardian="guardian_id")]
Choosing = Annotated[
    Visitor,
    needs(
        Resource.PREFERENCES,
        Action.WRITE,
        form_bytes_max=FORM_BYTES_MAX,
        guardian="guardian_id",
    ),
]


def router(queries: PreferenceQueries, site: Site, sending: Sending) -> APIRouter:
    """Return the page of messages and its form."""
    pages = APIRouter(include_in_schema=False)
    path = "/families/{guardian_id}/preferences"

    async def known(guardian_id: str) -> Answer:
        found = await queries.preferences(guardian_id)
        if found is None:
            raise NotHereError
        return found

    @pages.get(path)
    async def preferences(guardian_id: Id, who: Own, saved: Saved = "") -> Response:
        content = shown.preferences_page(await known(guardian_id), saved)
        return site.page("preferences.html", who=who, **content)

    @pages.post(path)
    async def choose(request: Request, guardian_id: Id, who: Choosing) -> Response:
        found = await known(guardian_id)
        fields: Fields = NOTHING
        try:
            fields = fields_of(form_of(request).decode(errors="replace"), shown.FIELDS_MAX)
            chosen = shown.read_preferences(fields, found)
            await sending.send(shown.preferences_events(found, chosen, _now()))
        except FormError as error:
            if not error.field:
                return site.problem(str(error), who=who, back=path_of(request))
            content = shown.typed(shown.preferences_page(found), fields)
            return site.page("preferences.html", 422, who=who, trouble=error, **content)
        except (ProblemError, BusUnavailableError, StoreUnavailableError):
            return site.unavailable()
        return RedirectResponse(f"{path_of(request)}?{urlencode({'saved': chosen.mark})}", 303)

    return pages


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
