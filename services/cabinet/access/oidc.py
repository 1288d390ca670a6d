"""OpenID Connect: people log in by authorization code with PKCE, machines show JWTs.

Specifications: OpenID Connect Core 1.0 (3.1), RFC 7636 (PKCE, S256), RFC 9207 (issuer in the
answer), RFC 9068 (JWT access tokens), RP-Initiated Logout 1.0. Tokens of people are read once, when
they log in, and kept nowhere.
"""

import asyncio
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.cabinet.access.claims import MACHINES, PEOPLE, principal_of
from services.cabinet.access.policy import Principal
from services.cabinet.access.settings import LogIn
from streaming.errors import StreamingError

BACK = "/login/back"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by keys that only the server has: never one that we could make ourselves."""
TOKEN_CHARACTERS_MAX = 16_000
ANSWER_BYTES_MAX = 1024 * 1024
ASK_SECONDS_MAX = 10.0
LEEWAY_SECONDS = 30
"""So far the clocks of two machines may be apart."""
KNOWN_SECONDS_MAX = 60 * 60
KEYS_AGAIN_SECONDS = 60
"""A token with a key we do not know makes us ask for the keys no more often than this."""
AGE_SECONDS_MAX = 10 * 60
"""What a server says of a log-in is for this log-in: an older answer is none."""


class ServerUnavailableError(StreamingError):
    """The server that people log in at does not answer, or not as it should."""


class RefusedError(Exception):
    """A token, or the answer to a log-in, is not to be trusted; the text is for a developer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A log-in that was begun: what the answer to it must fit."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "Attempt":
        """Return an attempt that nobody can guess."""
        return cls(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
        )

    @property
    def challenge(self) -> str:
        """Return what the server is told of the verifier before it gets it."""
        digest = sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """What the server says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None
    says_issuer: bool
    takes_basic: bool


class OpenIdConnect:
    """The server that people log in at and machines get their tokens from."""

    def __init__(self, log_in: LogIn, clock: Callable[[], float] = time.time) -> None:
        self._log_in = log_in
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._server: tuple[float, _Server] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._asking = asyncio.Lock()

    @property
    def configuration_url(self) -> str:
        """Return where the server says what it offers (discovery)."""
        return f"{self._log_in.issuer.rstrip('/')}/.well-known/openid-configuration"

    async def start(self) -> None:
        """Make ready. Nothing is asked yet: the server may start after us."""
        self._client = httpx.AsyncClient(
            verify=self._log_in.trust, timeout=ASK_SECONDS_MAX, follow_redirects=False
        )

    async def stop(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.aclose()

    async def address(self, attempt: Attempt) -> str:
        """Return where a person logs in. Raises ServerUnavailableError."""
        server = await self._known_server()
        asked = {
            "response_type": "code",
            "client_id": self._log_in.client_id,
            "redirect_uri": self._log_in.public_url + BACK,
            "scope": "openid",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _asking(server.authorization_endpoint, asked)

    async def leaving_address(self) -> str | None:
        """Return where a person leaves the server too; None if it does not offer that.

        It asks the person, since we show no identity token: we keep none. Raises
        ServerUnavailableError.
        """
        server = await self._known_server()
        if server.end_session_endpoint is None:
            return None
        asked = {
            "client_id": self._log_in.client_id,
            "post_logout_redirect_uri": f"{self._log_in.public_url}/",
        }
        return _asking(server.end_session_endpoint, asked)

    async def person(self, attempt: Attempt, answer: Mapping[str, str]) -> Principal:
        """Return who logged in, by what the server sent back with the person.

        Raises RefusedError, ServerUnavailableError.
        """
        server = await self._known_server()
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise RefusedError("the answer is to another log-in")
        if answer.get("iss", None if server.says_issuer else self._log_in.issuer) != (
            self._log_in.issuer
        ):
            raise RefusedError("the answer comes from another server")
        if "code" not in answer:
            raise RefusedError(f"the server says {answer.get('error', 'nothing')!r}")
        token = await self._exchanged(server, answer["code"], attempt.verifier)
        claims = await self._claims(token, self._log_in.client_id)
        if not hmac.compare_digest(str(claims.get("nonce", "")), attempt.nonce):
            raise RefusedError("the token is of another log-in")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else self._log_in.client_id) != self._log_in.client_id:
            raise RefusedError("the token was given to another program")
        if self._clock() - float(claims["iat"]) > AGE_SECONDS_MAX:
            raise RefusedError("the token is old")
        return principal_of(claims, self._log_in.names, PEOPLE)

    async def bearer(self, token: str) -> Principal:
        """Return whom an access token describes. Raises RefusedError, ServerUnavailableError."""
        claims = await self._claims(token, self._log_in.audience)
        return principal_of(claims, self._log_in.names, MACHINES)

    async def _exchanged(self, server: _Server, code: str, verifier: str) -> str:
        """Return the identity token for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._log_in.public_url + BACK,
            "code_verifier": verifier,
        }
        id_, secret = self._log_in.client_id, self._log_in.client_secret
        # RFC 6749, 2.3.1: both are form-urlencoded first.
        auth = httpx.BasicAuth(quote(id_, safe=""), quote(secret, safe=""))
        if not server.takes_basic:
            form |= {"client_id": id_, "client_secret": secret}
        status, told = await self._asked(
            "POST", server.token_endpoint, data=form, auth=auth if server.takes_basic else None
        )
        if 400 <= status < 500:
            raise RefusedError(f"the server does not take the code: {told.get('error')!r}")
        if status != 200 or not isinstance(told.get("id_token"), str):
            raise ServerUnavailableError(f"the server gives no identity token (status {status})")
        return str(told["id_token"])

    async def _claims(self, token: str, audience: str) -> Mapping[str, Any]:
        """Return what a token says, if the server signed it for this audience and it holds yet."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise RefusedError("the token is too long")
        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
            keys = await self._known_keys(kid)
            read = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
            jwt.JWTClaimsRegistry(
                now=lambda: int(self._clock()),
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self._log_in.issuer},
                aud={"essential": True, "value": audience},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
            ).validate(read.claims)
        except (JoseError, ValueError) as error:
            raise RefusedError(f"the token is not to be trusted: {error}") from error
        return read.claims

    async def _known_server(self) -> _Server:
        async with self._asking:
            if self._server is None or self._is_old(self._server[0]):
                self._server = (self._clock(), await self._discovered())
            return self._server[1]

    async def _discovered(self) -> _Server:
        issuer = self._log_in.issuer
        status, told = await self._asked("GET", self.configuration_url)
        if status != 200 or told.get("issuer") != issuer:
            raise ServerUnavailableError(
                f"PFDO_OIDC_ISSUER: what is at {issuer} calls itself {told.get('issuer')!r} "
                f"(status {status}). Set the name it gives itself."
            )
        endpoints = [told.get(name) for name in _ENDPOINTS]
        for name, url in zip(_ENDPOINTS, endpoints, strict=True):
            if not self._is_usable(url):
                raise ServerUnavailableError(f"{issuer}: its {name} cannot be used")
        leaving = told.get("end_session_endpoint")
        methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return _Server(
            authorization_endpoint=str(endpoints[0]),
            token_endpoint=str(endpoints[1]),
            jwks_uri=str(endpoints[2]),
            end_session_endpoint=str(leaving) if self._is_usable(leaving) else None,
            says_issuer=told.get("authorization_response_iss_parameter_supported") is True,
            takes_basic="client_secret_basic" in methods,
        )

    def _is_usable(self, url: object) -> bool:
        secure = self._log_in.issuer.startswith("https:")
        return isinstance(url, str) and url.startswith("https:" if secure else ("http:", "https:"))

    async def _known_keys(self, kid: Any) -> KeySet:
        """Return the server's keys; they are asked for again if one is new to us."""
        server = await self._known_server()
        async with self._asking:
            if self._keys is not None:
                asked_at, keys = self._keys
                is_known = kid is None or any(key.kid == kid for key in keys)
                rests = self._clock() - asked_at < KEYS_AGAIN_SECONDS
                if (is_known or rests) and not self._is_old(asked_at):
                    return keys
            status, told = await self._asked("GET", server.jwks_uri)
            if status != 200 or not isinstance(told.get("keys"), list):
                raise ServerUnavailableError(f"the server gives no keys (status {status})")
            try:
                keys = KeySet.import_key_set({"keys": told["keys"]})
            except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise ServerUnavailableError(f"its keys cannot be read: {error}") from error
            self._keys = (self._clock(), keys)
            return keys

    def _is_old(self, asked_at: float) -> bool:
        return self._clock() - asked_at > KNOWN_SECONDS_MAX

    async def _asked(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Return status and JSON object of an answer. Raises ServerUnavailableError."""
        if self._client is None:
            raise ServerUnavailableError("the log-in is not started, or stopped")
        try:
            async with self._client.stream(
                method, url, headers={"accept": "application/json"}, **more
            ) as answer:
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise ServerUnavailableError(f"{url}: the answer is too long")
                told = httpx.Response(answer.status_code, content=bytes(body)).json()
        except (httpx.HTTPError, ValueError) as error:
            raise ServerUnavailableError(f"{url}: {type(error).__name__}") from error
        if not isinstance(told, dict):
            raise ServerUnavailableError(f"{url}: the answer is no JSON object")
        return answer.status_code, told


def _asking(endpoint: str, asked: Mapping[str, str]) -> str:
    """Return the address of an endpoint, which may have a query of its own, with ours."""
    joined = "&" if urlsplit(endpoint).query else "?"
    return f"{endpoint}{joined}{urlencode(asked)}"


_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
