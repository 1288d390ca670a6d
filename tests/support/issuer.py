"""An issuer of tokens in this process, which signs whatever a test wants signed.

It has discovery and keys, and no log-in: for that there is `tests/support/oidc.py`.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import RSAKey

from services.cabinet.access.claims import ClaimNames
from services.cabinet.access.policy import Role
from services.cabinet.access.settings import LogIn
from streaming.health import quiet_server
from tests.support.containers import free_port

AUDIENCE = "https://cabinet.example.invalid/api"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
STRANGE_KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
NAMES = ClaimNames(
    roles="roles",
    scopes={
        Role.GUARDIAN: "guardian_id",
        Role.PROVIDER: "provider_id",
        Role.PAYER: "payer_code",
        Role.SOURCE: "source",
    },
)


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Signs tokens. What it says of itself, its keys, what it gives for a code may be changed."""

    url: str
    told: dict[str, Any] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)

    def log_in(self) -> LogIn:
        """Return the settings of a cabinet that trusts this issuer."""
        return LogIn(
            issuer=self.url,
            client_id="cabinet",
            client_secret="s" * 40,
            audience=AUDIENCE,
            session_key=b"k" * 40,
            public_url="http://127.0.0.1",
            names=NAMES,
        )

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token, changed; None leaves one out."""
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "x", "iat": now, "exp": now + 300}
        return {name: value for name, value in (good | changes).items() if value is not None}

    def token(
        self, *, header: Mapping[str, Any] | None = None, key: Any = KEY, **claims: Any
    ) -> str:
        """Return a signed token."""
        head = {"alg": "RS256", "kid": "one", "typ": "at+jwt"} | dict(header or {})
        return jwt.encode(head, self.claims(**claims), key, algorithms=[head["alg"]])


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    """Serve an issuer while the block runs."""
    import asyncio

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    issuer = Issuer(
        url=url,
        told={
            "issuer": url,
            "authorization_endpoint": f"{url}/auth",
            "token_endpoint": f"{url}/token",
            "jwks_uri": f"{url}/jwks",
        },
    )
    # A shared secret that is published by mistake must sign nothing.
    shared = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}
    issuer.keys.extend([KEY.as_dict(private=False), shared])
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def configuration() -> dict[str, Any]:
        return issuer.told

    @app.get("/jwks")
    async def keys() -> dict[str, Any]:
        return {"keys": issuer.keys}

    @app.post("/token")
    async def token() -> dict[str, Any]:
        return issuer.given

    server = quiet_server(app, "127.0.0.1", port)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield issuer
    finally:
        server.should_exit = True
        await task
