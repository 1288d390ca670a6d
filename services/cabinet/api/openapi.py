"""`GET /api/v1/openapi.json`: what the API answers, and to whom, as its gate declares it."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from contracts.envelope import EventData
from contracts.json_schemas import event_schema
from contracts.registry import INPUT_EVENTS
from services.cabinet.access.gate import OPEN, declared
from services.cabinet.access.policy import OPEN_TO_ALL, RULES, Action, Reach, Resource, Role
from services.cabinet.access.recognition import Access
from services.cabinet.api import shapes
from services.cabinet.api.problems import EVERYWHERE

PATH = "/api/v1/openapi.json"
TOKENS, VAULT_TOKEN, SENDERS_TOKEN = "accessToken", "vaultToken", "vaultSendersToken"
_REF = "#/components/schemas/{model}"


def router(app: FastAPI, access: Access) -> APIRouter:
    """Return the path of the description of an app."""
    api = APIRouter()
    told: dict[str, Any] = {}

    @api.get(PATH, tags=["read"], dependencies=[OPEN])
    async def description() -> JSONResponse:
        """Return this document."""
        if not told:
            told.update(described(app, access))
        return JSONResponse(told)

    return api


def described(app: FastAPI, access: Access) -> dict[str, Any]:
    """Return the OpenAPI document of an app where people and machines are known by `access`."""
    told: dict[str, Any] = app.openapi()
    parts = told["components"]
    parts["schemas"] |= _shapes([*INPUT_EVENTS, shapes.Problem, shapes.RefusedEvents])
    schemes = _schemes(access)
    if schemes:
        parts["securitySchemes"] = schemes
    told["security"] = []
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            operation = told["paths"].get(route.path, {}).get(method.lower())
            if operation is not None:
                (need,) = declared(route)
                _complete(operation, need.resource, need.action, schemes)
    return told


def _shapes(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """Return what routes refer to by name: of an event its whole record, envelope included."""
    found: dict[str, Any] = {}
    for model in models:
        if issubclass(model, EventData):
            name, schema = model.type, event_schema(model)
            schema = json.loads(json.dumps(schema).replace("#/$defs/", _REF.format(model="")))
        else:
            name, schema = model.__name__, model.model_json_schema(ref_template=_REF)
        parts = schema.pop("$defs", {})
        parts[name] = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
        for part, told in parts.items():
            if found.setdefault(part, told) != told:
                raise AssertionError(f"two shapes are called {part}")
    return found


def _schemes(access: Access) -> dict[str, Any]:
    schemes: dict[str, Any] = {}
    if access.server is not None:
        schemes[TOKENS] = {
            "type": "openIdConnect",
            "openIdConnectUrl": access.server.configuration_url,
            "description": "An access token (JWT) of this server, by client credentials, for the "
            "audience of this API: Authorization: Bearer …",
        }
    if access.vault_token is not None:
        schemes[VAULT_TOKEN] = {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of the vault, which the Navigator has",
        }
    if access.senders_token is not None:
        schemes[SENDERS_TOKEN] = {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of the senders: for where somebody can be reached, and for "
            "browsers that are gone",
        }
    return schemes


def _complete(
    operation: dict[str, Any], resource: Resource, action: Action, schemes: dict[str, Any]
) -> None:
    """Say of an operation who may do it, and how that is proved."""
    if (resource, action) in OPEN_TO_ALL:
        operation["security"] = []
        return
    roles = RULES[resource, action]
    own = ((VAULT_TOKEN, Role.NAVIGATOR), (SENDERS_TOKEN, Role.SENDERS))
    takes = [TOKENS, *(name for name, role in own if role in roles)]
    operation["security"] = [{name: []} for name in takes if name in schemes]
    told = ", ".join(
        role.value + " (own)" * (reach is Reach.OWN)
        for role, reach in roles.items()
        if role is not Role.LOCAL
    )
    operation["responses"]["403"]["description"] = (
        f"{EVERYWHERE[403]['description']}. Roles that have it: {told}"
    )
