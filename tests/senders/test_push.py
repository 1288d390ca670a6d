"""Web push: the RFC's own example, a browser that reads it, a service that checks who we are."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.notifications.senders.addresses import Address, NoAddresses, PushSubscription
from services.notifications.senders.delivery import (
    NoAddressesNow,
    NotNow,
    Outcome,
    Rejected,
    Sent,
)
from services.notifications.senders.push import (
    WebPush,
    encrypt,
    is_push_service,
    key_pair,
    padless,
    private_key,
    public_bytes,
    unpadded,
)
from services.notifications.senders.settings import load_sender_settings
from streaming.settings import load_settings
from tests.senders.test_mail import Book, delivery
from tests.support.containers import free_port
from tests.support.endpoints import System, listening, status

OURS = ec.generate_private_key(ec.SECP256R1())
BROWSER = ec.generate_private_key(ec.SECP256R1())
SECRET = b"0123456789abcdef"


def subscription(endpoint: str) -> Address:
    keys = {"p256dh": padless(public_bytes(BROWSER)), "auth": padless(SECRET)}
    return Address(push=(PushSubscription(endpoint=endpoint, keys=keys),))


def push(endpoint: str, *, any_service: bool = True) -> WebPush:
    book = Book(**{"guard-1": subscription(endpoint)})
    return WebPush(OURS, "pfdo@region.example", book, any_service=any_service)


def test_the_example_of_rfc_8291() -> None:
    encrypted = encrypt(
        b"When I grow up, I want to be a watermelon",
        unpadded(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx"
            "aOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
        ),
        unpadded("BTBZMqHH6r4Tts7J_aSIgg"),
        unpadded("DGv6ra1nlYgDCS1FRnbzlw"),
        private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
    )

    assert padless(encrypted) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def read_by_the_browser(content: bytes) -> bytes:
    """Decrypt as RFC 8188 and RFC 8291 tell a browser to."""
    salt, size = content[:16], content[20]
    sender, sealed = content[21 : 21 + size], content[21 + size :]
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)

    def derived(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
        return HKDF(hashes.SHA256(), length, salt, info).derive(material)

    info = b"WebPush: info\0" + public_bytes(BROWSER) + sender
    material = derived(SECRET, BROWSER.exchange(ec.ECDH(), theirs), info, 32)
    key = derived(salt, material, b"Content-Encoding: aes128gcm\0", 16)
    nonce = derived(salt, material, b"Content-Encoding: nonce\0", 12)
    return AESGCM(key).decrypt(nonce, sealed, None)


async def test_the_browser_reads_it_and_nobody_else() -> None:
    system = System(always=status(201))
    async with listening(system) as url:
        provider = push(url)
        outcome = await provider.send(delivery())
        await provider.close()

    headers, content = system.requests[0]
    told = json.loads(read_by_the_browser(content).removesuffix(b"\2"))
    assert outcome == Sent("push")
    assert headers["content-encoding"] == "aes128gcm"
    assert headers["topic"] == "msg-1"
    assert told["title"] == "Списание за занятие"
    assert "251,49" in told["body"]
    assert b"251,49" not in content


async def test_the_push_service_can_tell_who_we_are() -> None:
    system = System(always=status(201))
    async with listening(system) as url:
        provider = push(url)
        await provider.send(delivery())
        await provider.close()

    token, key = system.requests[0][0]["authorization"].removeprefix("vapid t=").split(", k=")
    signed, _, signature = token.rpartition(".")
    claims = json.loads(unpadded(signed.partition(".")[2]))
    raw = unpadded(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unpadded(key))
    sender.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        sender.verify(der, f"{signed}x".encode(), ec.ECDSA(hashes.SHA256()))
    assert claims["aud"] == url.removesuffix("/hook")
    assert claims["sub"] == "mailto:pfdo@region.example"
    until = datetime.fromtimestamp(claims["exp"], UTC)
    assert timedelta(0) < until - delivery().at <= timedelta(hours=24)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(201), Sent("push")),
        (status(410), Rejected("push: 410")),
        (status(429), NotNow("push: 429")),
        (status(503), NotNow("push: 503")),
    ],
)
async def test_what_the_service_answers(answer: bytes, expected: Outcome) -> None:
    system = System(always=answer)
    async with listening(system) as url:
        provider = push(url)
        outcome = await provider.send(delivery())
        await provider.close()

    assert outcome == expected


@pytest.mark.parametrize(
    ("answer", "dropped"),
    [(status(404), True), (status(410), True), (status(403), False), (status(503), False)],
)
async def test_a_browser_that_is_gone_is_forgotten(answer: bytes, dropped: bool) -> None:
    async with listening(System(always=answer)) as url:
        provider = push(url)
        await provider.send(delivery())
        await provider.close()

    assert isinstance(provider.addresses, Book)
    assert provider.addresses.dropped == ([("guard-1", url)] if dropped else [])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((410, 201), Sent("push")),
        ((201, 410), Sent("push")),
        ((410, 503), NotNow("push: 503")),
        ((410, 404), Rejected("push: 410")),
    ],
)
async def test_a_message_is_there_if_one_of_a_persons_browsers_has_it(
    answers: tuple[int, int], expected: Outcome
) -> None:
    first, second = (System(always=status(answer)) for answer in answers)
    async with listening(first) as one, listening(second) as other:
        browsers = subscription(one).push + subscription(other).push
        provider = WebPush(
            OURS, "a@b.example", Book(**{"guard-1": Address(push=browsers)}), any_service=True
        )
        outcome = await provider.send(delivery())
        await provider.close()

    assert outcome == expected
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_service_that_is_away_says_nothing_about_the_others() -> None:
    provider = push(f"http://127.0.0.1:{free_port()}/")

    assert await provider.send(delivery()) == NotNow("push: ConnectError")
    await provider.close()


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/abc", True),
        ("https://web.push.apple.com/abc", True),
        ("http://fcm.googleapis.com/fcm/send/abc", False),
        ("https://fcm.googleapis.com.evil.example/abc", False),
        ("https://evilpush.apple.com.example/abc", False),
        ("https://notpush.apple.com/abc", False),
        ("https://127.0.0.1/abc", False),
        ("https://fcm.googleapis.com@127.0.0.1/abc", False),
    ],
)
async def test_only_push_services_are_called(endpoint: str, expected: bool) -> None:
    assert is_push_service(endpoint) is expected
    if not expected:
        outcome = await push(endpoint, any_service=False).send(delivery())
        assert outcome == Rejected("the address is of no known push service")


@pytest.mark.parametrize(
    "keys", [{}, {"p256dh": "AAAA", "auth": "AAAA"}, {"p256dh": "я", "auth": "AAAA"}]
)
async def test_a_subscription_that_is_none(keys: dict[str, str]) -> None:
    browser = PushSubscription(endpoint="https://x.push.apple.com/", keys=keys)
    address = Address(push=(browser,))
    provider = WebPush(OURS, "a@b.example", Book(**{"guard-1": address}))

    assert await provider.send(delivery()) == Rejected("the address is none")


async def test_who_has_no_browser_and_nobody_who_knows() -> None:
    without = WebPush(OURS, "a@b.example", Book(**{"guard-1": Address()}))
    away = WebPush(OURS, "a@b.example", NoAddresses())

    assert await without.send(delivery()) == Rejected("no address")
    assert await away.send(delivery()) == NoAddressesNow()


def test_a_new_pair_of_keys_is_one_that_the_settings_take() -> None:
    own, public = key_pair()

    assert padless(public_bytes(private_key(own))) == public
    assert load_sender_settings({"PFDO_SENDERS_PUSH_KEY": own}).push_key == own
    assert load_settings({}, {"PFDO_PUSH_PUBLIC_KEY": public}).push_public_key == public
