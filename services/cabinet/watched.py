"""What `pfdo watch` counts of an installation: broken promises and lag, read from its metrics.

The cabinet does not count the books itself: who checks the services shares nothing with them.
"""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

SECONDS_MAX = 3.0
BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How often each invariant of docs/promises.md was found broken, and what readers have to do.

    `books_at` is when the books were counted last, as Unix time; 0 before the first time.
    """

    violations: dict[str, int]
    lag: dict[str, int]
    books_at: float


async def look(url: str, transport: httpx.AsyncBaseTransport | None = None) -> Watched | None:
    """Return what the process at a URL tells, or None if it does not answer."""
    try:
        async with httpx.AsyncClient(transport=transport, timeout=SECONDS_MAX) as client:
            answer = await client.get(f"{url}/metrics")
    except httpx.HTTPError:
        return None
    if answer.status_code != 200 or len(answer.content) > BYTES_MAX:
        return None
    try:
        return read(answer.text)
    except ValueError:
        return None


def read(text: str) -> Watched:
    """Return what the metrics say. Raises ValueError for what are none."""
    violations: dict[str, int] = {}
    lag: dict[str, int] = {}
    books_at = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            match sample.name:
                case "pfdo_violations":
                    violations[sample.labels["invariant"]] = int(sample.value)
                case "pfdo_lag":
                    lag[sample.labels["service"]] = int(sample.value)
                case "pfdo_looked_timestamp_seconds" if sample.labels["what"] == "books":
                    books_at = sample.value
                case _:
                    pass
    return Watched(
        violations=dict(sorted(violations.items())),
        lag=dict(sorted(lag.items())),
        books_at=books_at,
    )
