"""The events that pages make for a family (docs/events.md, section 3). Pure."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson


def family_event(
    fact: str, payer: str, subject: str, data: Mapping[str, Any], at: str
) -> dict[str, Any]:
    """Return an event of a family. The same content makes the same id, however often it is sent."""
    about = orjson.dumps([fact, payer, dict(data)], option=orjson.OPT_SORT_KEYS)
    return {
        "specversion": "1.0",
        "id": f"cabinet-{sha256(about).hexdigest()[:40]}",
        "source": "/navigator",
        "type": f"navigator.{fact}.v1",
        "time": at,
        "subject": subject,
        "partitionkey": payer,
        "datacontenttype": "application/json",
        "data": dict(data),
    }
