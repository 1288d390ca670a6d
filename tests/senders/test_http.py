"""Webhooks and short messages over HTTP to real endpoints: good, slow, lying, hanging ones."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.notifications.senders.addresses import Address, NoAddresses
from services.notifications.senders.delivery import (
    NoAddressesNow,
    NotNow,
    OutOfReach,
    Rejected,
    Sent,
    Trace,
)
from services.notifications.senders.http import Caller
from services.notifications.senders.sms import SmsGateway
from services.notifications.senders.webhooks import Endpoint, Webhooks, lane_of, load_endpoints
from streaming.errors import SettingError
from tests.senders.test_mail import Book, delivery
from tests.support.containers import free_port
from tests.support.endpoints import System, listening, status
from tests.support.post import Box, open_post
from tests.support.town import fact

TRACED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def hooks(url: str, seconds: float = 5.0) -> Webhooks:
    return Webhooks({"guard-1": Endpoint(url=url, secret=SECRET)}, caller=Caller(seconds))


async def test_a_webhook_is_signed_and_says_everything() -> None:
    system = System()
    async with listening(system) as url:
        webhooks = hooks(url)
        outcome = await webhooks.send(delivery())
        await webhooks.close()

    headers, body = system.requests[0]
    told = json.loads(body)
    assert outcome == Sent("webhook")
    assert headers["webhook-id"] == "msg-1"
    assert headers["webhook-timestamp"] == "1599019200"
    assert told["type"] == "notifications.message"
    assert told["data"]["event_ids"] == ["billing:0:1"]
    assert "списано 251,49" in told["data"]["text"]


@pytest.mark.parametrize("traced", [True, False])
async def test_a_system_that_is_called_may_go_on_with_the_trace(traced: bool) -> None:
    system = System()
    made = delivery()
    message = replace(made.message, trace=Trace(TRACED, 7) if traced else None)
    async with listening(system) as url:
        webhooks, sms = hooks(url), SmsGateway(url, None, Book())
        await webhooks.send(replace(made, message=message))
        await sms.send(replace(made, message=message))
        await webhooks.close()
        await sms.close()

    assert [headers.get("traceparent") for headers, _ in system.requests] == [
        TRACED if traced else None
    ] * 2


async def test_the_signature_is_that_of_the_specification() -> None:
    system = System()
    async with listening(system) as url:
        webhooks = hooks(url)
        await webhooks.send(delivery())
        await webhooks.close()
    headers, body = system.requests[0]

    def verify(content: bytes, secret: str = SECRET) -> None:
        # The library wants a fresh time: it is signed again with its own clock set aside.
        verifier = Webhook(secret)
        signature = headers["webhook-signature"]
        made = verifier.sign(headers["webhook-id"], delivery().at, content.decode())
        if signature != made:
            raise WebhookVerificationError("No matching signature found")

    verify(body)
    with pytest.raises(WebhookVerificationError):
        verify(body.replace(b"msg-1", b"msg-2"))
    with pytest.raises(WebhookVerificationError):
        verify(body, "whsec_" + "A" * 32)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(200), Sent("webhook")),
        (status(202), Sent("webhook")),
        (status(301, "location: http://127.0.0.1:1/\r\n"), Rejected("webhook: 301")),
        (status(400), Rejected("webhook: 400")),
        (status(401), Rejected("webhook: 401")),
        (status(410), Rejected("webhook: 410")),
        (status(408), NotNow("webhook: 408")),
        (status(429), NotNow("webhook: 429")),
        (status(500), NotNow("webhook: 500")),
        (status(503), OutOfReach("webhook: 503")),
    ],
)
async def test_what_a_system_answers_is_understood(answer: bytes, expected: object) -> None:
    system = System(answers=[answer])
    async with listening(system) as url:
        webhooks = hooks(url)
        outcome = await webhooks.send(delivery())
        await webhooks.close()

    assert outcome == expected
    assert len(system.requests) == 1


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(System(hangs=True), id="hangs"),
        pytest.param(System(always=b"SMTP 220 hello\r\n\r\n"), id="lies"),
        pytest.param(
            System(always=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx", hangs=False),
            id="stops in the middle",
        ),
    ],
)
async def test_a_bad_system_holds_nobody(system: System) -> None:
    async with listening(system) as url:
        webhooks = hooks(url, seconds=0.3)
        async with asyncio.timeout(5):
            outcome = await webhooks.send(delivery())
        await webhooks.close()

    assert isinstance(outcome, OutOfReach)
    assert outcome.is_doubtful


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    system = System(always=b"HTTP/1.1 200 OK\r\n\r\n", endless=True)
    async with listening(system) as url:
        webhooks = hooks(url)
        async with asyncio.timeout(5):
            outcome = await webhooks.send(delivery())
        await webhooks.close()

    assert outcome == Sent("webhook")


async def test_nobody_listens() -> None:
    webhooks = hooks(f"http://127.0.0.1:{free_port()}/")

    outcome = await webhooks.send(delivery())
    await webhooks.close()

    assert isinstance(outcome, OutOfReach)
    assert not outcome.is_doubtful


async def test_a_system_that_hangs_harms_only_itself() -> None:
    post = await open_post(lessons=0)
    hanging, whole = System(hangs=True), System()
    async with listening(hanging) as slow, listening(whole) as quick:
        webhooks = Webhooks(
            {
                "25703000": Endpoint(url=slow, secret=SECRET),
                "prov-00001": Endpoint(url=quick, secret=SECRET),
            },
            caller=Caller(0.3),
        )
        box = Box()
        line = post.line("webhook", webhooks, lane_of=lane_of, lane_slots=2)
        line.takes = lambda channel, who: channel == "cabinet" and who in webhooks.endpoints
        post.lines = {"webhook": line, "email": post.line("email", box)}
        await post.town.hears(
            *[
                fact("billing.invoice-settled", invoice_id=f"inv-25703000-prov-00001-2020-{n:02d}")
                for n in range(1, 9)
            ]
        )
        sender = await post.sender()
        async with asyncio.timeout(20):
            while len(whole.requests) < 8 or post.attempts.ended or post.attempts.tasks:
                await sender.step()
                await asyncio.sleep(0.005)
                # The good system is done long before the bad one is tried a second time.
                assert len(hanging.requests) <= 4
            await post.works(sender)
        await sender.close()
        await post.town.world.settle()
        await webhooks.close()

    sent = set(post.became())
    good = {m["message_id"] for m in post.town.due() if m["recipient_id"] == "prov-00001"}
    assert sent == good
    assert len(good) == 8


# --- the list of endpoints ------------------------------------------------------------------------


def test_endpoints_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(f"prov-00001: {{url: 'https://club.example/hook', secret: {SECRET}}}\n")

    endpoints = load_endpoints(file, allow_plain=False)

    assert endpoints["prov-00001"].url == "https://club.example/hook"
    assert SECRET not in repr(endpoints)


@pytest.mark.parametrize(
    "content",
    [
        "prov-00001: {url: 'http://club.example/hook', secret: " + SECRET + "}",
        "prov-00001: {url: 'ftp://club.example/hook', secret: " + SECRET + "}",
        "prov-00001: {url: 'https://club.example/hook', secret: short}",
        "prov-00001: {url: 'https://club.example/hook', secret: whsec_!!!}",
        "prov-00001: 1",
        "[",
    ],
)
def test_a_list_that_is_wrong_stops_the_start_without_saying_secrets(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(content)

    with pytest.raises(SettingError) as raised:
        load_endpoints(file, allow_plain=False)

    assert str(file) in str(raised.value)
    assert "whsec" not in str(raised.value)


# --- short messages -----------------------------------------------------------------------------


async def test_a_short_message_goes_to_the_adapter() -> None:
    system = System(always=status(202))
    async with listening(system) as url:
        gateway = SmsGateway(url, "token-1", Book())
        outcome = await gateway.send(delivery())
        await gateway.close()

    headers, body = system.requests[0]
    told = json.loads(body)
    assert outcome == Sent("sms")
    assert headers["authorization"] == "Bearer token-1"
    assert headers["idempotency-key"] == told["id"] == "msg-1"
    assert told["to"] == "+70000000000"
    assert told["text"].startswith("Списание за занятие. ")


async def test_short_messages_need_a_number_and_somebody_who_knows_it() -> None:
    without = SmsGateway("http://127.0.0.1:1", None, Book(**{"guard-1": Address()}))
    away = SmsGateway("http://127.0.0.1:1", None, NoAddresses())

    assert await without.send(delivery()) == Rejected("no address")
    assert await away.send(delivery()) == NoAddressesNow()
    assert "token" not in repr(SmsGateway("http://x", "token-1", Book()))
