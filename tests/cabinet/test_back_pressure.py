"""A sender that floods the intake is asked to come again; others are served meanwhile."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest

from services.cabinet.access import recognition
from services.cabinet.api.intake import AT_ONCE_MAX, AT_ONCE_OF_A_SENDER_MAX, Intake
from services.cabinet.api.problems import ProblemError
from streaming.bus import Appended, Outgoing
from streaming.memory import MemoryBus
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import PAYER, Journals
from tests.support.world import event


class HeldBus(MemoryBus):
    """A bus that acknowledges what `held` children's events say only when told to."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.waiting = 0
        self.go_on = asyncio.Event()

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Hold back what is about children whose names say so."""
        if any(b"child-held" in (record.value or b"") for record in records):
            self.waiting += 1
            await self.go_on.wait()
        return await super().publish(records)


async def send(client: httpx.AsyncClient, child: str) -> httpx.Response:
    data = {
        "child_id": child,
        "birth_date": "2012-01-01",
        "guardian_ids": ["guard-1"],
        "benefits": [],
        "revision": 1,
    }
    content = json.dumps(event("navigator.child-registered", PAYER, child, data))
    headers = {"content-type": "application/cloudevents+json"}
    return await client.post("/api/v1/events", content=content, headers=headers)


async def test_who_floods_is_asked_to_come_again_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = HeldBus(3)
    journals = Journals(bus)
    await journals.start()
    async with client_of(app_of(journals)) as client:
        flood = [
            asyncio.create_task(send(client, f"child-held-{number}"))
            for number in range(AT_ONCE_OF_A_SENDER_MAX)
        ]
        while bus.waiting < AT_ONCE_OF_A_SENDER_MAX:
            await asyncio.sleep(0.001)
        refused = await send(client, "child-one-too-many")
        another = replace(recognition._LOCAL_NAVIGATOR, subject="another")
        monkeypatch.setattr(recognition, "_LOCAL_NAVIGATOR", another)
        served = await send(client, "child-of-another")
        monkeypatch.undo()
        bus.go_on.set()
        taken = await asyncio.gather(*flood)
        again = await send(client, "child-one-too-many")
        metrics = await client.get("/metrics")

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["content-type"] == "application/problem+json"
    assert served.status_code == again.status_code == 202
    assert {answer.status_code for answer in taken} == {202}
    assert 'pfdo_http_responses_total{status="429",surface="api"} 1.0' in metrics.text


async def test_all_together_have_a_limit_and_who_leaves_makes_room() -> None:
    intake = Intake(MemoryBus(1), Journals(MemoryBus(1)).sources)
    entered = [
        intake.admitted(f"sender-{number % (AT_ONCE_MAX // AT_ONCE_OF_A_SENDER_MAX)}")
        for number in range(AT_ONCE_MAX)
    ]
    for each in entered:
        await each.__aenter__()

    for sender in ("somebody-else", None):
        with pytest.raises(ProblemError) as told:
            async with intake.admitted(sender):
                pass
        assert told.value.status == 429
    await entered.pop().__aexit__(None, None, None)
    async with intake.admitted():
        pass
