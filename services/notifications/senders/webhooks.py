"""Webhooks to the systems of providers and payers, signed as standardwebhooks.com specifies.

What stands in a recipient's cabinet goes to its system too, if that is on the list of endpoints.
The list is configuration, not personal data: organizations, their addresses and secrets.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from standardwebhooks import Webhook

from services.notifications.senders.delivery import Delivery, Outcome, Rejected
from services.notifications.senders.http import Caller
from streaming.errors import SettingError

TYPE = "notifications.message"


class Endpoint(BaseModel):
    """Where a recipient's system listens, and the secret that both sides know (`whsec_…`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^\s]+$")
    secret: str = Field(pattern=r"^whsec_[A-Za-z0-9+/]{32,88}=*$", repr=False)


@dataclass(slots=True)
class Webhooks:
    """Posts to the endpoint of the recipient."""

    endpoints: Mapping[str, Endpoint]
    name: str = "webhook"
    caller: Caller = field(default_factory=Caller)

    async def send(self, delivery: Delivery) -> Outcome:
        """See Provider."""
        message = delivery.message
        endpoint = self.endpoints.get(message.recipient_id)
        if endpoint is None:
            return Rejected(f"{self.name}: no endpoint")
        body = _body(delivery)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.message_id,
            "webhook-timestamp": str(int(delivery.at.timestamp())),
            "webhook-signature": Webhook(endpoint.secret).sign(
                message.message_id, delivery.at, body
            ),
        }
        if message.trace is not None:
            headers["traceparent"] = message.trace.traceparent
        return await self.caller.post(self.name, endpoint.url, body.encode(), headers)

    async def close(self) -> None:
        """Let go of connections."""
        await self.caller.close()


def lane_of(recipient_id: str) -> str:
    """Return the lane of a recipient: each system has its own, and fails alone."""
    return recipient_id


def load_endpoints(path: Path, *, allow_plain: bool) -> Mapping[str, Endpoint]:
    """Return the endpoints of a YAML file: recipient id → url and secret.

    Without TLS only if `allow_plain`. Raises SettingError; what is wrong is said without secrets.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        endpoints = {str(id_): Endpoint(**endpoint) for id_, endpoint in content.items()}
    except ValidationError as error:
        wrong = ", ".join(str(defect["loc"][0]) for defect in error.errors(include_input=False))
        raise SettingError(f"{path}: {wrong} of an endpoint is not as README.md says.") from error
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise SettingError(
            f"{path} cannot be read as endpoints: {type(error).__name__}."
        ) from error
    plain = [id_ for id_, endpoint in endpoints.items() if not endpoint.url.startswith("https:")]
    if plain and not allow_plain:
        raise SettingError(f"{path}: {plain[0]} has no https address; that needs PFDO_SANDBOX=1.")
    return endpoints


def _body(delivery: Delivery) -> str:
    message = delivery.message
    told = {
        "type": TYPE,
        "timestamp": delivery.at.isoformat(),
        "data": {
            "message_id": message.message_id,
            "recipient_id": message.recipient_id,
            "payer": message.payer,
            "category": message.category,
            "template": message.template,
            "event_ids": list(message.event_ids),
            "title": delivery.letter.title,
            "text": delivery.letter.plain,
        },
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
