"""The settings of the senders: environment variables `PFDO_SENDERS_…`, in `deploy/example.env`."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.notifications.senders.smtp import Relay
from streaming.errors import SettingError
from streaming.settings import SENDERS_PREFIX, read_settings

SMTP_PORT, SUBMISSION_PORT, SMTPS_PORT = 25, 587, 465


class SenderSettings(BaseSettings):
    """What can be set from outside. Values in files: `…_FILE` names a file that holds the value."""

    model_config = SettingsConfigDict(
        env_prefix=SENDERS_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True
    )

    folder: Path | None = Field(
        default=None,
        description="Folder for messages of channels without a way out: nobody gets them, "
        "everybody can look; messages/ in PFDO_DATA without it",
    )
    email_from: str = Field(
        default="pfdo@example.invalid",
        pattern=r"^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$",
        description="Address mail comes from",
    )
    smtp_url: str | None = Field(
        default=None,
        repr=False,
        description="Relay for mail: smtps://user:password@host:465, or smtp+starttls://host:587; "
        "smtp:// without TLS needs PFDO_SANDBOX=1. Without it mail goes to the folder",
    )
    smtp_url_2: str | None = Field(
        default=None, repr=False, description="Relay to use while the first one does not answer"
    )
    sms_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="Adapter of a gateway for short messages "
        "(services/notifications/README.md); without it they go to the folder",
    )
    sms_token: str | None = Field(
        default=None, repr=False, description="Token that adapter knows us by"
    )
    sms_url_2: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="Adapter to use while the first one does not answer",
    )
    sms_token_2: str | None = Field(
        default=None, repr=False, description="Token that adapter knows us by"
    )
    push_key: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^[A-Za-z0-9_-]{43}=?$",
        description="Private key for web push (VAPID, P-256): 32 bytes, base64url; "
        "without it pushes go to the folder",
    )
    webhooks: Path | None = Field(
        default=None,
        description="YAML file with the systems of providers and payers: recipient id, url, secret",
    )
    vault_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="Cabinet whose vault knows where people can be reached; without it nobody can",
    )
    vault_token: str | None = Field(
        default=None,
        repr=False,
        description="Token of that vault for senders: its PFDO_VAULT_SENDERS_TOKEN",
    )
    addresses: Path | None = Field(
        default=None,
        description="YAML file with addresses of invented people; needs PFDO_SANDBOX=1",
    )
    email_per_minute: int = Field(
        default=6_000, ge=1, le=1_000_000, description="Mails a minute at most, in this process"
    )
    sms_per_minute: int = Field(
        default=600, ge=1, le=1_000_000, description="Short messages a minute at most"
    )
    push_per_minute: int = Field(
        default=6_000, ge=1, le=1_000_000, description="Web pushes a minute at most"
    )
    webhooks_per_minute: int = Field(
        default=6_000, ge=1, le=1_000_000, description="Webhooks a minute at most"
    )


def load_sender_settings(environment: Mapping[str, str] | None = None) -> SenderSettings:
    """Return the settings of the senders. Raises SettingError naming variable and remedy."""
    return read_settings(SenderSettings, SENDERS_PREFIX, {}, environment)


def relay_of(url: str, *, allow_plain: bool) -> Relay:
    """Return the relay of a URL. Raises SettingError, without the URL: it holds a password."""
    parts = urlsplit(url)
    ports = {"smtp": SMTP_PORT, "smtp+starttls": SUBMISSION_PORT, "smtps": SMTPS_PORT}
    if parts.scheme not in ports or not parts.hostname:
        raise SettingError(
            f"{SENDERS_PREFIX}SMTP_URL: smtps://…, smtp+starttls://… or smtp://… is expected."
        )
    if parts.scheme == "smtp" and not allow_plain:
        raise SettingError(
            f"{SENDERS_PREFIX}SMTP_URL: mail would travel unprotected; use smtp+starttls:// or "
            "smtps://, or set PFDO_SANDBOX=1 if nobody real gets it."
        )
    return Relay(
        host=parts.hostname,
        port=parts.port or ports[parts.scheme],
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp+starttls",
    )
