"""The settings of the log-in: environment variables `PFDO_OIDC_…`, in `deploy/example.env`.

All of what a log-in takes, or nothing of it: half a log-in stops the start.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from ssl import SSLContext
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.cabinet.access.claims import ClaimNames
from services.cabinet.access.policy import Role
from streaming.authorities import trusting
from streaming.errors import SettingError
from streaming.settings import OIDC_PREFIX, Settings, read_settings

_CLAIM = r"^[!-~]{1,100}$"


class LogInSettings(BaseSettings):
    """What can be set from outside. Values in files: `…_FILE` names a file that holds the value."""

    model_config = SettingsConfigDict(
        env_prefix=OIDC_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True
    )

    issuer: str | None = Field(
        default=None,
        pattern=r"^https?://[^?#\s]+$",
        description="Address of the OpenID Connect server that people log in at and machines get "
        "tokens from, as it calls itself. Without it there is no log-in: pages and API answer in "
        "the sandbox alone. Needs all settings up to PFDO_OIDC_SESSION_KEY, and PFDO_PUBLIC_URL",
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="How that server knows the cabinet. It must let it come back to "
        "PFDO_PUBLIC_URL/login/back",
    )
    client_secret: SecretStr | None = Field(
        default=None, min_length=16, description="What the cabinet proves that by, as a file"
    )
    audience: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="The audience that tokens of machines must be for; another than the client id, "
        "so that nothing given to people opens the API",
    )
    session_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Key that seals sessions, at least 32 characters, as a file, the same for all "
        "processes of the cabinet; another one logs everybody out",
    )
    roles_claim: str = Field(
        default="roles",
        pattern=_CLAIM,
        description="Claim that lists roles: guardian, provider, payer, operator, auditor; of "
        "machines also source, navigator",
    )
    guardian_claim: str = Field(
        default="guardian_id", pattern=_CLAIM, description="Claim with the id of a guardian"
    )
    provider_claim: str = Field(
        default="provider_id", pattern=_CLAIM, description="Claim with the id, or ids, of providers"
    )
    payer_claim: str = Field(
        default="payer_code", pattern=_CLAIM, description="Claim with the OKTMO code of a payer"
    )
    source_claim: str = Field(
        default="source", pattern=_CLAIM, description="Claim with the name of a source of events"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn:
    """A whole log-in: the server, who we are to it, and how claims are named."""

    issuer: str
    client_id: str
    client_secret: str
    audience: str
    session_key: bytes
    public_url: str
    names: ClaimNames
    trust: SSLContext = field(default_factory=lambda: trusting(""), repr=False)
    """Whose certificates are believed of that server."""


def load_log_in(settings: Settings, environment: Mapping[str, str] | None = None) -> LogIn | None:
    """Return the log-in of this installation; None if none is set.

    Raises SettingError naming the variable and the remedy.
    """
    own = read_settings(LogInSettings, OIDC_PREFIX, {}, environment)
    needed: dict[str, str | None] = {
        f"{OIDC_PREFIX}ISSUER": own.issuer,
        f"{OIDC_PREFIX}CLIENT_ID": own.client_id,
        f"{OIDC_PREFIX}CLIENT_SECRET_FILE": _text(own.client_secret),
        f"{OIDC_PREFIX}AUDIENCE": own.audience,
        f"{OIDC_PREFIX}SESSION_KEY_FILE": _text(own.session_key),
    }
    if all(value is None for value in needed.values()):
        return None
    needed["PFDO_PUBLIC_URL"] = settings.public_url
    for name, value in needed.items():
        if value is None:
            raise SettingError(
                f"{name} is missing: a log-in takes {', '.join(needed)}. Set it, or none of them."
            )
    issuer, client_id, secret, audience, key, public_url = map(str, needed.values())
    if audience == client_id:
        raise SettingError(
            f"{OIDC_PREFIX}AUDIENCE is the client id: what the server gives to people would open "
            "the API. Have it give machines tokens for an audience of their own."
        )
    for name, url in ((f"{OIDC_PREFIX}ISSUER", issuer), ("PFDO_PUBLIC_URL", public_url)):
        if not (url.startswith("https:") or _is_this_machine(url)):
            raise SettingError(
                f"{name} is {url}: whoever is on the way could log in as anybody. Take https."
            )
    return LogIn(
        issuer=issuer,
        client_id=client_id,
        client_secret=secret,
        audience=audience,
        session_key=key.encode(),
        public_url=public_url,
        trust=trusting(settings.ca),
        names=ClaimNames(
            roles=own.roles_claim,
            scopes={
                Role.GUARDIAN: own.guardian_claim,
                Role.PROVIDER: own.provider_claim,
                Role.PAYER: own.payer_claim,
                Role.SOURCE: own.source_claim,
            },
        ),
    )


NO_PROXY = (
    "FORWARDED_ALLOW_IPS=<the proxy's address>: until then all who come through it share its limits"
)


def trusts_no_proxy(settings: Settings, environment: Mapping[str, str] | None = None) -> bool:
    """Return whether a log-in is set, and no proxy before it that could tell addresses apart.

    Raises SettingError.
    """
    environment = os.environ if environment is None else environment
    own = read_settings(LogInSettings, OIDC_PREFIX, {}, environment)
    # Where nothing is said, uvicorn trusts this machine, and who listens here alone has it there.
    told = environment.get("FORWARDED_ALLOW_IPS", "here" if _is_here(settings.http_host) else "")
    return own.issuer is not None and not told.strip()


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _is_this_machine(url: str) -> bool:
    return _is_here(urlsplit(url).hostname)


def _is_here(host: str | None) -> bool:
    try:
        return host == "localhost" or (host is not None and ip_address(host).is_loopback)
    except ValueError:
        return False
