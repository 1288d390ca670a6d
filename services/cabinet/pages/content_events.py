"""Events of forms: the same content is the same event (docs/events.md, section 3). Pure."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson


def content_event(
    source: str, what: str, payer: str, subject: str, data: Mapping[str, Any], at: str
) -> dict[str, Any]:
    """Return an event of a source; `what` is stream and fact, `navigator.preferences-set`."""
    about = orjson.dumps([what.partition(".")[2], payer, dict(data)], option=orjson.OPT_SORT_KEYS)
    return {
        "specversion": "1.0",
        "id": f"cabinet-{sha256(about).hexdigest()[:40]}",
        "source": f"/{source}",
        "type": f"{what}.v1",
        "time": at,
        "subject": subject,
        "partitionkey": payer,
        "datacontenttype": "application/json",
        "data": dict(data),
    }
