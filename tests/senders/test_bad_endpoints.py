"""What a bad way out costs the others: nothing. Each behaves badly for longer than a test lasts."""

import asyncio
import time
from functools import partial

import pytest

from services.notifications.senders.http import Caller
from services.notifications.senders.sms import SmsGateway
from services.notifications.senders.webhooks import Endpoint, Webhooks, lane_of
from tests.senders.test_http import SECRET
from tests.senders.test_mail import (
    BREAKS_OFF,
    CHATTERS,
    GOES_QUIET,
    HALF,
    HANGS,
    REFUSES,
    SAYS_NOTHING,
    Book,
    bad_relay,
    provider,
)
from tests.support.endpoints import HOST, System, listening, status
from tests.support.post import open_post
from tests.support.town import fact

PATIENCE_SECONDS = 20.0
"""So long a bad one is waited for: who had to wait for one would be late."""
LATE_SECONDS = 5.0
LESSONS, INVOICES = 20, 8
BAD_SYSTEM = System(hangs=True)


@pytest.mark.parametrize(
    ("relay", "system"),
    [
        *(
            pytest.param(way, BAD_SYSTEM, id=f"a relay that {way}")
            for way in (SAYS_NOTHING, CHATTERS, BREAKS_OFF, HALF, REFUSES, GOES_QUIET)
        ),
        pytest.param(HANGS, System(always=b"SMTP 220\r\n\r\n"), id="a system that lies"),
        pytest.param(
            HANGS,
            System(always=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx"),
            id="a system that stops in the middle",
        ),
        pytest.param(
            HANGS,
            System(always=b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", endless=True),
            id="a system that answers without end",
        ),
        pytest.param(HANGS, System(always=status(500)), id="a system that is broken"),
        pytest.param(HANGS, System(always=status(429)), id="a system that has no time"),
    ],
)
async def test_a_bad_relay_and_a_bad_system_delay_no_other(relay: str, system: System) -> None:
    await delay_no_other(relay, system)


async def test_a_relay_and_a_system_that_hang_delay_no_other() -> None:
    await delay_no_other(HANGS, BAD_SYSTEM)


async def delay_no_other(relay: str, system: System) -> None:
    """Send by four ways of which two are bad; the good ones must not be late."""
    post = await open_post(lessons=LESSONS, channels=("email", "sms"))
    await post.town.hears(
        *[
            fact("billing.invoice-settled", invoice_id=f"inv-25703000-prov-00001-2020-{n:02d}")
            for n in range(1, INVOICES + 1)
        ]
    )
    gateway, good = System(), System()
    server = await asyncio.start_server(partial(bad_relay, relay), HOST, 0)
    async with listening(system) as bad_url, listening(good) as url, listening(gateway) as sms_url:
        mail = provider(server.sockets[0].getsockname()[1], seconds=PATIENCE_SECONDS)
        sms = SmsGateway(sms_url, None, Book(), name="sms")
        endpoints = {
            "25703000": Endpoint(url=bad_url, secret=SECRET),
            "prov-00001": Endpoint(url=url, secret=SECRET),
        }
        hooks = Webhooks(endpoints, caller=Caller(PATIENCE_SECONDS))
        line = post.line("webhook", hooks, lane_of=lane_of, lane_slots=2)
        line.takes = lambda channel, who: channel == "cabinet" and who in endpoints
        post.lines = {
            "email": post.line("email", mail),
            "sms": post.line("sms", sms),
            "webhook": line,
        }
        sender = await post.sender()
        begun = time.monotonic()
        while len(gateway.requests) < LESSONS or len(good.requests) < INVOICES:
            await sender.step()
            await asyncio.sleep(0)
            assert time.monotonic() - begun < LATE_SECONDS
        post.dies()
        for each in (sms, hooks):
            await each.close()
    server.close()

    # A message once, however it went for the others.
    assert len({headers["webhook-id"] for headers, _ in good.requests}) == INVOICES
