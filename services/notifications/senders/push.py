"""Web push: messages to a browser, encrypted for it alone (RFC 8291) and signed by us (RFC 8292).

Written out here since the usual library needs a part that is not published as a wheel; the test
holds it to the RFC's own example. `python -m services.notifications.senders.push` prints new keys.
"""

import asyncio
import json
import os
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.notifications.senders.addresses import (
    Addresses,
    AddressesAwayError,
    PushSubscription,
)
from services.notifications.senders.delivery import (
    Delivery,
    NoAddressesNow,
    NotNow,
    Outcome,
    OutOfReach,
    Rejected,
    Sent,
)
from services.notifications.senders.http import Caller

PUSH_SERVICES = (
    "fcm.googleapis.com",
    "push.apple.com",
    "push.services.mozilla.com",
    "notify.windows.com",
)
"""Where browsers let themselves be reached. An address comes from a browser: no other is called."""
KEPT_SECONDS = 24 * 3600
"""How long a push service keeps a message for a browser that is away."""
SIGNED_FOR = timedelta(hours=12)
RECORD_BYTES = 4096
PUBLIC_BYTES, COORDINATE_BYTES, TOPIC_CHARACTERS = 65, 32, 32
_CURVE = ec.SECP256R1()


@dataclass(slots=True)
class WebPush:
    """Posts to the push service of a recipient's browser. `contact`: an address of who runs us."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    contact: str
    addresses: Addresses
    any_service: bool = False
    name: str = "push"
    caller: Caller = field(default_factory=Caller)

    async def send(self, delivery: Delivery) -> Outcome:
        """See Provider."""
        try:
            address = await self.addresses.find(delivery.message.recipient_id)
        except AddressesAwayError:
            return NoAddressesNow()
        if address is None or not address.push:
            return Rejected("no address")
        outcomes = await asyncio.gather(*(self._to(each, delivery) for each in address.push))
        # One message to one person: it is there if one of his browsers has it. Where none took it,
        # one that may take it later is tried again.
        for kind in (Sent, NotNow, Rejected):
            for outcome in outcomes:
                if isinstance(outcome, kind):
                    return outcome
        raise AssertionError(outcomes)

    async def _to(self, browser: PushSubscription, delivery: Delivery) -> Outcome:
        endpoint = browser.endpoint
        if not (self.any_service or is_push_service(endpoint)):
            return Rejected("the address is of no known push service")
        told = {
            "id": delivery.message.message_id,
            "title": delivery.letter.title,
            "body": delivery.letter.short,
        }
        try:
            content = _for(browser, json.dumps(told, ensure_ascii=False).encode())
        except (ValueError, KeyError):
            return Rejected("the address is none")
        headers = {
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(KEPT_SECONDS),
            # A copy takes the place of a message that is still waiting for the browser.
            "topic": delivery.message.message_id[-TOPIC_CHARACTERS:],
            "authorization": vapid(self.key, endpoint, self.contact, delivery.at),
        }
        outcome = await self.caller.post(self.name, endpoint, content, headers)
        if isinstance(outcome, Rejected) and outcome.why in self._gone:
            await self.addresses.drop_browser(delivery.message.recipient_id, endpoint)
        # Browsers have different services: one that is away says nothing about the others.
        return NotNow(outcome.why) if isinstance(outcome, OutOfReach) else outcome

    @property
    def _gone(self) -> frozenset[str]:
        """How it is told that a browser is gone for good (RFC 8030, section 7.3)."""
        return frozenset({f"{self.name}: 404", f"{self.name}: 410"})

    async def close(self) -> None:
        """Let go of connections."""
        await self.caller.close()


def is_push_service(endpoint: str) -> bool:
    """Return whether an address is one of a known push service."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    return parts.scheme == "https" and any(
        host == known or host.endswith(f".{known}") for known in PUSH_SERVICES
    )


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Return a private key from its 32 bytes in base64url. Raises ValueError."""
    raw = unpadded(text)
    if len(raw) != COORDINATE_BYTES:
        raise ValueError("a key of P-256 has 32 bytes")
    return ec.derive_private_key(int.from_bytes(raw), _CURVE)


def encrypt(
    content: bytes,
    browser_key: bytes,
    secret: bytes,
    salt: bytes,
    own: ec.EllipticCurvePrivateKey,
) -> bytes:
    """Return content as only the browser can read it, RFC 8291. Raises ValueError for a bad key."""
    browser = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, browser_key)
    shared = own.exchange(ec.ECDH(), browser)
    own_key = public_bytes(own)
    material = _derived(secret, shared, b"WebPush: info\0" + browser_key + own_key, 32)
    key = _derived(salt, material, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(salt, material, b"Content-Encoding: nonce\0", 12)
    header = salt + RECORD_BYTES.to_bytes(4) + bytes([PUBLIC_BYTES]) + own_key
    # 2 marks the last record; there is one.
    return header + AESGCM(key).encrypt(nonce, content + b"\2", None)


def vapid(key: ec.EllipticCurvePrivateKey, endpoint: str, contact: str, at: datetime) -> str:
    """Return what tells a push service who we are, RFC 8292."""
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int((at + SIGNED_FOR).timestamp()),
        "sub": f"mailto:{contact}",
    }
    signed = ".".join(
        padless(json.dumps(part, separators=(",", ":")).encode())
        for part in ({"typ": "JWT", "alg": "ES256"}, claims)
    )
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(COORDINATE_BYTES) + s.to_bytes(COORDINATE_BYTES)
    return f"vapid t={signed}.{padless(signature)}, k={padless(public_bytes(key))}"


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public half of a key as browsers take it."""
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def padless(data: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unpadded(text: str) -> bytes:
    """Return what base64url, with or without padding, stands for. Raises ValueError."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _for(subscription: PushSubscription, content: bytes) -> bytes:
    keys = subscription.keys
    own = ec.generate_private_key(_CURVE)
    return encrypt(content, unpadded(keys["p256dh"]), unpadded(keys["auth"]), os.urandom(16), own)


def _derived(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(material)


def key_pair() -> tuple[str, str]:
    """Return a new private key and its public half, as the settings want them."""
    key = ec.generate_private_key(_CURVE)
    own = key.private_numbers().private_value.to_bytes(COORDINATE_BYTES)
    return padless(own), padless(public_bytes(key))


if __name__ == "__main__":
    own_, public_ = key_pair()
    sys.stdout.write(f"PFDO_SENDERS_PUSH_KEY={own_}\nPFDO_PUSH_PUBLIC_KEY={public_}\n")
