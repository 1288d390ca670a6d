"""The cabinet as a process of its own, on an embedded installation."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from contracts.topics import all_topics
from services.cabinet.projections import cabinet
from streaming.installation import open_installation
from streaming.settings import Settings
from tests.cabinet import story
from tests.cabinet.clients import WhoeverItIsFor
from tests.cabinet.journals import Journals
from tests.support.containers import free_port

START_SECONDS_MAX = 30


@asynccontextmanager
async def running_cabinet(data: Path, port: int) -> AsyncIterator[httpx.AsyncClient]:
    """Run the cabinet; on leaving it is told to stop and must do so in good order."""
    own = {"PFDO_DATA": str(data), "PFDO_PORT": str(port), "PFDO_SANDBOX": "1"}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PFDO_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cabinet", env=plain | own
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=10, auth=WhoeverItIsFor()) as client:
            async with asyncio.timeout(START_SECONDS_MAX):
                while not await is_ready(client):
                    assert process.returncode is None, "the cabinet did not start"
                    await asyncio.sleep(0.1)
            yield client
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def is_ready(client: httpx.AsyncClient) -> bool:
    """Return whether the cabinet says it is ready."""
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def test_a_process_follows_the_journals_serves_and_stops_cleanly(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, sandbox=True)
    async with open_installation(settings) as installation:
        store = await installation.store(cabinet.name)
        journals = Journals(installation.bus, store)
        await installation.bus.create_topics([t.name for t in all_topics(installation.sources)])
        await story.tell_all(journals)

        async with running_cabinet(tmp_path, free_port()) as client:
            async with asyncio.timeout(START_SECONDS_MAX):
                while True:
                    shown = await client.get(f"/api/v1/certificates/{story.ELDER}")
                    if shown.status_code == 200 and len(shown.json()["movements"]) == 6:
                        break
                    await asyncio.sleep(0.1)
            page = await client.get(f"/families/{story.GUARDIAN}")
            sent = await client.post(
                "/api/v1/events", content=b"{}", headers={"content-type": "text/plain"}
            )

        assert shown.json()["periods"][0]["balance_kopecks"] == 195_604
        assert "1\u00a0956,04\u00a0₽" in page.text
        assert sent.status_code == 415


async def test_a_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PFDO_")}
    own = {"PFDO_DATA": str(tmp_path), "PFDO_PROT": "8038"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cabinet",
        env=plain | own,
        stderr=asyncio.subprocess.PIPE,
    )

    _, told = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 3
    assert b"PFDO_PORT" in told
