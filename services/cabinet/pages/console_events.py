"""The events that the console makes for a payer (docs/events.md, section 3). Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any


def payer_event(fact: str, payer: str, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of a payer. The same content makes the same id, however often it is sent."""
    about = f"{fact}|{payer}|{sorted(data.items())}"
    return {
        "specversion": "1.0",
        "id": f"console-{sha256(about.encode()).hexdigest()[:40]}",
        "source": "/payers",
        "type": f"payers.{fact}.v1",
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "subject": subject,
        "partitionkey": payer,
        "datacontenttype": "application/json",
        "data": dict(data),
    }
