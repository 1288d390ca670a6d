"""The whole system in this process, on an embedded installation, with its cabinet open."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pfdo.settling import readers_of, settled
from pfdo.system import system, until_ready
from services.cabinet.app import create_app, serving
from streaming.installation import Installation, open_installation
from streaming.settings import load_settings
from streaming.telemetry import Telemetry
from tests.cabinet.clients import WhoeverItIsFor

BATCH = "application/cloudevents-batch+json"
SETTLED_SECONDS_MAX = 60


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running system: where its cabinet answers, and what it stands on."""

    url: str
    client: httpx.AsyncClient
    installation: Installation

    async def send(self, events: Sequence[dict[str, Any]]) -> None:
        """Send events over HTTP and wait until all is settled; days go to each partition."""
        days = [each for each in events if each["type"].startswith("calendar.")]
        others = [each for each in events if each not in days]
        if others:
            headers = {"content-type": BATCH}
            sent = await self.client.post("/api/v1/events", json=others, headers=headers)
            assert sent.status_code == 202, sent.text
        for each in days:
            await publish_day(self.installation, each)
        await self.settle()

    async def settle(self) -> None:
        """Wait until every reader is at the end."""
        readers = readers_of(self.installation, cabinet=True)
        is_settled, left = await settled(self.installation, readers, SETTLED_SECONDS_MAX)
        assert is_settled, left


async def publish_day(installation: Installation, event: dict[str, Any]) -> None:
    """Publish a business day to every partition."""
    import json

    from streaming.bus import Outgoing

    value = json.dumps(event).encode()
    await installation.bus.publish(
        [
            Outgoing("calendar.events.v1", number, None, value)
            for number in range(installation.bus.partitions)
        ]
    )


@asynccontextmanager
async def running_system(data: Path, **changes: Any) -> AsyncIterator[Running]:
    """Run all services and the cabinet in the sandbox while the block runs."""
    settings = load_settings({"data": data, "sandbox": True, "partitions": 2, **changes}, {})
    telemetry = Telemetry()
    async with (
        open_installation(settings) as installation,
        system(installation, telemetry) as (host, task),
    ):
        app = await create_app(installation, host, telemetry, settings)
        async with serving(app, "127.0.0.1", 0) as port:
            await until_ready(host, task)
            url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=url, timeout=20, auth=WhoeverItIsFor()) as client:
                yield Running(url=url, client=client, installation=installation)
