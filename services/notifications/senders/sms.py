"""Short messages, over an adapter that speaks HTTP; `README.md` of the service documents it.

Gateways differ, so each gets a small adapter of its own; this is what it must understand.
"""

import json
from dataclasses import dataclass, field

from services.notifications.senders.addresses import Addresses, AddressesAwayError
from services.notifications.senders.delivery import (
    Delivery,
    NoAddressesNow,
    Outcome,
    Rejected,
)
from services.notifications.senders.http import Caller


@dataclass(slots=True)
class SmsGateway:
    """One adapter: its address, and the token it knows us by."""

    url: str
    token: str | None = field(repr=False)
    addresses: Addresses
    name: str = "sms"
    caller: Caller = field(default_factory=Caller)

    async def send(self, delivery: Delivery) -> Outcome:
        """See Provider."""
        try:
            address = await self.addresses.find(delivery.message.recipient_id)
        except AddressesAwayError:
            return NoAddressesNow()
        if address is None or not address.phone:
            return Rejected("no address")
        message_id = delivery.message.message_id
        told = {"id": message_id, "to": address.phone, "text": delivery.letter.short}
        headers = {"content-type": "application/json", "idempotency-key": message_id}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        if delivery.message.trace is not None:
            headers["traceparent"] = delivery.message.trace.traceparent
        content = json.dumps(told, ensure_ascii=False).encode()
        return await self.caller.post(self.name, self.url, content, headers)

    async def close(self) -> None:
        """Let go of connections."""
        await self.caller.close()
