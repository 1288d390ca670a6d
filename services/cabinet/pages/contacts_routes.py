"""Where there is no Navigator: a guardian says where messages reach him, and changes it.

It goes into the vault and nowhere else; each look and each change is on its record.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs, path_of
from services.cabinet.access.limits import Limit
from services.cabinet.access.policy import Action, Resource
from services.cabinet.club_queries import ClubQueries
from services.cabinet.pages import contacts as shown
from services.cabinet.pages.forms import NOTHING, Fields, FormError, fields_of
from services.cabinet.pages.site import Id, Site
from services.cabinet.vault.store import VaultUnavailableError
from services.cabinet.vault.vault import Reader, Vault

FORM_BYTES_MAX = 8 * 1024
FORMS_A_MINUTE = 10
"""So many forms of a family are taken a minute."""
WHY = "contacts"

Word = Annotated[str, Query(max_length=20, pattern=r"^[a-z]*$")]
Own = Annotated[Visitor, needs(Resource.CLUBS, Action.READ, guardian="guardian_id")]
Entering = Annotated[
    Visitor,
    needs(Resource.CLUBS, Action.WRITE, form_bytes_max=FORM_BYTES_MAX, guardian="guardian_id"),
]


def router(queries: ClubQueries, vault: Vault | None, site: Site) -> APIRouter:
    """Return the page of a guardian's own name and addresses, and its form."""
    pages = APIRouter(include_in_schema=False)
    path = "/families/{guardian_id}/contacts"
    forms = Limit(FORMS_A_MINUTE)

    async def page(
        guardian_id: str, who: Visitor, status: int = 200, *, saved: bool = False, **content: Any
    ) -> Response:
        return site.page(
            "contacts.html",
            status,
            who=who,
            guardian_id=guardian_id,
            saved=saved,
            has_children=bool(await queries.own_children(guardian_id)),
            **content,
        )

    @pages.get(path)
    async def contacts(guardian_id: Id, who: Own, saved: Word = "") -> Response:
        if vault is None:
            raise NotHereError
        try:
            found = await vault.read([guardian_id], Reader(by=guardian_id, why=WHY))
        except VaultUnavailableError:
            return site.unavailable()
        content = shown.contacts_page(found.get(guardian_id))
        return await page(guardian_id, who, saved=bool(saved), **content)

    @pages.post(path)
    async def enter(request: Request, guardian_id: Id, who: Entering) -> Response:
        forms.take(guardian_id)
        if vault is None:
            raise NotHereError
        fields: Fields = NOTHING
        try:
            fields = fields_of(form_of(request).decode(errors="replace"), shown.FIELDS_MAX)
            person = shown.read_contacts(fields)
            await vault.amend(guardian_id, person, Reader(by=guardian_id, why=WHY))
        except FormError as error:
            if not error.field:
                return site.problem(str(error), who=who, back=path_of(request))
            # In this answer alone: what is wrong is kept nowhere.
            return await page(guardian_id, who, 422, trouble=error, **shown.typed(fields))
        except VaultUnavailableError:
            return site.unavailable()
        return RedirectResponse(f"{path_of(request)}?saved=yes", 303)

    return pages
