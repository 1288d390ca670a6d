"""One HTTP request to a system that may be slow, hang, lie or answer without end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext

import httpx

from services.notifications.senders.delivery import (
    NotNow,
    Outcome,
    OutOfReach,
    Rejected,
    Sent,
)
from streaming.authorities import trusting

TIMEOUT_SECONDS = 10.0
"""For connecting, and for each part of the answer; the line sets an end to the whole."""
ANSWER_BYTES_MAX = 64 * 1024
TRY_AGAIN = frozenset({408, 409, 423, 425, 429})
UNREACHED = frozenset({502, 503, 504})


@dataclass(slots=True)
class Caller:
    """Posts to systems. Follows no redirects and asks no proxy of the environment."""

    timeout_seconds: float = TIMEOUT_SECONDS
    trust: SSLContext | None = None
    """Whose certificates are believed; without it, those of public authorities."""
    _client: httpx.AsyncClient | None = field(default=None)

    async def post(
        self, name: str, url: str, content: bytes, headers: Mapping[str, str]
    ) -> Outcome:
        """Return what came of it: 2xx is taken, 408, 409, 423, 425, 429 and 5xx may be tried again.

        What breaks off after the request was sent may have arrived: the receiver knows a copy by
        the id in it.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self.trust or trusting(""),
                timeout=self.timeout_seconds,
                follow_redirects=False,
                trust_env=False,
            )
        try:
            async with self._client.stream("POST", url, content=content, headers=headers) as answer:
                return await self._read(name, answer)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return OutOfReach(f"{name}: {type(error).__name__}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return OutOfReach(f"{name}: {type(error).__name__}", is_doubtful=True)

    async def _read(self, name: str, answer: httpx.Response) -> Outcome:
        # The status says it all; so much of an answer is read as lets the connection be used again.
        received = 0
        async for part in answer.aiter_raw():
            received += len(part)
            if received > ANSWER_BYTES_MAX:
                break
        said = f"{name}: {answer.status_code}"
        if answer.is_success:
            return Sent(name)
        if answer.status_code in UNREACHED:
            return OutOfReach(said)
        if answer.status_code in TRY_AGAIN or answer.is_server_error:
            return NotNow(said)
        return Rejected(said)

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
