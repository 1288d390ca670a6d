"""`/api/v1/vault/…`: the Navigator enters persons, and erases them; senders ask where they live.

Nothing of a body is ever repeated in an answer or a log.
"""

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError

from services.cabinet.access.gate import NotAllowedError, Visitor, needs
from services.cabinet.access.policy import Action, Resource, reaches_all
from services.cabinet.api import shapes
from services.cabinet.api.problems import EVERYWHERE, ProblemError, problems
from services.cabinet.vault.looks import Look
from services.cabinet.vault.person import Contact, Known, Person
from services.cabinet.vault.store import VaultUnavailableError
from services.cabinet.vault.vault import Reader, Vault

BODY_BYTES_MAX = 16 * 1024
MACHINE = "machine/"
"""Before what tells machines apart, in the record of looks."""

PersonId = Annotated[str, Path(max_length=40, pattern=r"^[a-z0-9][a-z0-9-]{2,39}$")]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Notifying = Annotated[Visitor, needs(Resource.VAULT, Action.NOTIFY)]
Writing = Annotated[Visitor, needs(Resource.VAULT, Action.WRITE)]
Erasing = Annotated[Visitor, needs(Resource.VAULT, Action.ERASE)]
Dropping = Annotated[Visitor, needs(Resource.PUSH, Action.ERASE)]
Basis = Annotated[
    str,
    Query(
        pattern=r"^[a-z0-9][a-z0-9/-]{2,79}$",
        description="What the erasure rests on: a number of a paper, nothing personal",
    ),
]
NO_BASIS = "unnamed"
"""What the act of an erasure says where nobody said what it rests on."""
PROBLEMS = EVERYWHERE | problems({404: "Nothing is known of this id, or there is no vault"})


class Purpose(StrEnum):
    """What a machine reads a person for; the family is shown it."""

    NOTIFICATION = "notification"
    SUPPORT = "support"


def router(vault: Vault | None) -> APIRouter:
    """Return the paths of the vault."""

    def opened() -> Vault:
        if vault is None:
            raise ProblemError(404, "There is no vault here: PFDO_VAULT_KEYS is not set.")
        return vault

    api = APIRouter(
        prefix="/api/v1/vault/persons",
        tags=["vault"],
        responses=PROBLEMS,
    )
    schema = {"content": {"application/json": {"schema": Person.model_json_schema()}}}

    @api.put(
        "/{id}",
        status_code=204,
        responses=problems({413: f"More than {BODY_BYTES_MAX} bytes"}),
        openapi_extra={"requestBody": {"required": True, **schema}},
    )
    async def put(
        request: Request,
        id: PersonId,  # noqa: A002 - names the path
        who: Writing,
    ) -> Response:
        """Enter a person, or enter it anew: what was known before is replaced."""
        person = _person(await _body(request))
        try:
            await opened().put(id, person, _reader(who, "registration"))
        except VaultUnavailableError as error:
            raise _away() from error
        return Response(status_code=204)

    @api.get("/{id}", response_model=Known | Contact)
    async def read(id: PersonId, why: Purpose, who: Notifying) -> Response:  # noqa: A002
        """Return a person; the look is on record, and the family is shown it.

        Senders may look for a notification alone, and are shown where the person can be reached.
        """
        may_read = reaches_all(who.principal, Resource.VAULT, Action.READ)
        if why is not Purpose.NOTIFICATION and not may_read:
            raise NotAllowedError
        try:
            found = await opened().read([id], _reader(who, why.value))
        except VaultUnavailableError as error:
            raise _away() from error
        if id not in found:
            raise _nobody()
        shown = found[id] if may_read else found[id].contact
        return _json(shown.model_dump(mode="json"))

    @api.delete("/{id}", response_model=shapes.ErasureShape)
    async def erase(
        id: PersonId,  # noqa: A002
        who: Erasing,
        basis: Basis = NO_BASIS,
    ) -> Response:
        """Destroy the key of a person: what it sealed can be read no more.

        A backup of the vault still has the key, wrapped; with the master keys of its time it can be
        unwrapped. So backups end with the master keys: rotate them, and destroy the old ones.
        """
        try:
            erasure = await opened().erase(id, _reader(who, basis))
        except VaultUnavailableError as error:
            raise _away() from error
        if erasure is None:
            raise _nobody()
        return _json({"act": asdict(erasure.act), "log_is_rewritten": erasure.log_is_rewritten})

    @api.delete("/{id}/push/{endpoint_sha256}", status_code=204)
    async def drop_browser(
        id: PersonId,  # noqa: A002
        endpoint_sha256: Digest,
        who: Dropping,
    ) -> Response:
        """Forget a browser that a push service says is gone, by the SHA-256 of its endpoint."""
        try:
            await opened().drop_browser(id, endpoint_sha256, _reader(who, "push-gone"))
        except VaultUnavailableError as error:
            raise _away() from error
        return Response(status_code=204)

    @api.get(
        "/{id}/looks",
        response_model=shapes.LooksShape,
        dependencies=[needs(Resource.VAULT_LOOKS, Action.READ)],
    )
    async def looks(id: PersonId) -> Response:  # noqa: A002
        """Return who did what with a person's data, hash-chained; for the auditor."""
        try:
            found = await opened().looks(id)
        except VaultUnavailableError as error:
            raise _away() from error
        looks: list[Look] = list(found.looks)
        return _json(
            {
                "is_whole": found.is_whole,
                "forgotten": found.forgotten,
                "looks": [asdict(look) for look in looks],
            }
        )

    return api


def _reader(who: Visitor, why: str) -> Reader:
    return Reader(by=MACHINE + who.principal.subject, why=why)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ProblemError(413, f"More than {BODY_BYTES_MAX} bytes.")
    return bytes(body)


def _person(body: bytes) -> Person:
    try:
        return Person.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        # A name that is not ours may be anything: even a name.
        name = first["loc"][0] if first["loc"] else ""
        known = name if name in Person.model_fields else "the body"
        raise ProblemError(422, f"{known}: not as the schema has it ({first['type']}).") from None


def _json(content: Any) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(content), media_type="application/json", headers=headers)


def _nobody() -> ProblemError:
    return ProblemError(404, "Nothing is known of this id.")


def _away() -> ProblemError:
    return ProblemError(503, "The vault cannot be reached. Try again later.")
