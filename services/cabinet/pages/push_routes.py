"""Messages in a parent's browser: turned on and off on the family's page."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from services.cabinet.access.gate import OPEN, NotHereError, Visitor, form_of, needs
from services.cabinet.access.policy import Action, Resource
from services.cabinet.pages.site import FOLDER, Id, Site
from services.cabinet.vault.person import PushKeys, PushSubscription
from services.cabinet.vault.store import VaultUnavailableError
from services.cabinet.vault.vault import Reader, Vault

SUBSCRIPTION_BYTES_MAX = 4_096
WORKER = "push-worker.js"

Family = Annotated[
    Visitor,
    needs(
        Resource.PUSH,
        Action.WRITE,
        form_bytes_max=SUBSCRIPTION_BYTES_MAX,
        guardian="guardian_id",
    ),
]


class Subscribed(BaseModel):
    """A subscription as a browser says it; when it ends nobody relies on, so it is not read."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    endpoint: str
    keys: PushKeys


def router(vault: Vault | None, site: Site) -> APIRouter:
    """Return what the family's page and its worker ask for."""
    pages = APIRouter(include_in_schema=False)

    @pages.get(f"/{WORKER}", dependencies=[OPEN])
    async def worker() -> Response:
        # It stands at the root: a worker looks after the paths below its own.
        headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
        return FileResponse(
            FOLDER / "static" / WORKER, media_type="text/javascript", headers=headers
        )

    @pages.post("/families/{guardian_id}/push")
    async def turn_on(request: Request, guardian_id: Id, who: Family) -> Response:
        return await change(request, guardian_id, who, is_on=True)

    @pages.post("/families/{guardian_id}/push/off")
    async def turn_off(request: Request, guardian_id: Id, who: Family) -> Response:
        return await change(request, guardian_id, who, is_on=False)

    async def change(request: Request, guardian_id: str, who: Visitor, *, is_on: bool) -> Response:
        browser = _browser(form_of(request))
        if browser is None:
            return site.problem("Браузер не сообщил, куда присылать сообщения.", who=who)
        if vault is None:
            raise NotHereError
        reader = Reader(by=guardian_id, why="push-on" if is_on else "push-off")
        try:
            if is_on:
                is_known = await vault.add_browser(guardian_id, browser, reader)
            else:
                digest = browser.endpoint_sha256
                is_known = await vault.drop_browser(guardian_id, digest, reader)
        except VaultUnavailableError:
            return site.unavailable()
        if not is_known:
            raise NotHereError
        return Response(status_code=204)

    return pages


def _browser(body: bytes) -> PushSubscription | None:
    try:
        said = Subscribed.model_validate_json(body)
        return PushSubscription(endpoint=said.endpoint, keys=said.keys)
    except ValidationError:
        return None
