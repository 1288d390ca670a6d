"""The settings of a process: environment variables `PFDO_…`, listed in `deploy/example.env`.

A wrong or unknown one stops the start with its name and the remedy.
"""

import difflib
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streaming.errors import SettingError

PREFIX = "PFDO_"
SENDERS_PREFIX = "PFDO_SENDERS_"
"""Settings of what carries messages out: read, and checked, where that runs."""
OIDC_PREFIX = "PFDO_OIDC_"
"""Settings of the cabinet's log-in: the same."""
APART = (SENDERS_PREFIX, OIDC_PREFIX)
OF_TESTS = frozenset({"PFDO_REQUIRE_CONTAINERS", "PFDO_CHAOS", "PFDO_MUTATIONS_REPORT"})
"""Said to tests, which start processes of ours: no settings, and no mistakes."""
EMBEDDED_PARTITIONS = 4
KAFKA_PARTITIONS = 12

Model = TypeVar("Model", bound=BaseSettings)


class Settings(BaseSettings):
    """What can be set from outside. Values in files: `PFDO_X_FILE` names a file that holds X."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True
    )

    bus: Literal["embedded", "kafka"] | None = Field(
        default=None, description="Which bus; kafka if PFDO_KAFKA_BOOTSTRAP is set, else embedded"
    )
    data: Path = Field(
        default=Path("data"), description="Directory of the embedded installation: bus/ and state/"
    )
    kafka_bootstrap: str | None = Field(default=None, description="host:port[,host:port] of Kafka")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="How Kafka is spoken to; SASL_… says who we are, …SSL encrypts. Without SASL "
        "only a Kafka on this machine is taken, unless PFDO_SANDBOX=1",
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="How SASL proves the password"
    )
    kafka_username: str | None = Field(default=None, description="Our user in Kafka, for SASL_…")
    kafka_password: str | None = Field(
        default=None, repr=False, description="Its password; better from a file, see above"
    )
    kafka_ca: str | None = Field(
        default=None,
        repr=False,
        description="Authorities that Kafka's certificate may come from, PEM (better from a file, "
        "see above); those of the machine without it",
    )
    kafka_replication_factor: int = Field(
        default=1, ge=1, le=7, description="Copies of each topic that `pfdo topics create` makes"
    )
    partitions: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Partitions of every topic, fixed for the life of an installation: "
        f"{KAFKA_PARTITIONS} on Kafka, {EMBEDDED_PARTITIONS} on the embedded bus",
    )
    instance: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
        description="Name this replica keeps over restarts: a quick restart moves no partition",
    )
    redis_url: str | None = Field(
        default=None, description="Redis of all services; without any, an embedded Valkey is used"
    )
    enrollment_redis_url: str | None = Field(default=None, description="Redis of enrollment")
    certificates_redis_url: str | None = Field(default=None, description="Redis of certificates")
    billing_redis_url: str | None = Field(default=None, description="Redis of billing")
    notifications_redis_url: str | None = Field(default=None, description="Redis of notifications")
    cabinet_redis_url: str | None = Field(default=None, description="Redis of the cabinet")
    redis_username: str | None = Field(
        default=None, description="Our user in Redis, where the address names none"
    )
    redis_password: str | None = Field(
        default=None,
        repr=False,
        description="Its password; better from a file, see above. Without any only a Redis on this "
        "machine is taken, unless PFDO_SANDBOX=1",
    )
    redis_ca: str | None = Field(
        default=None,
        repr=False,
        description="Authorities that the certificate of a rediss:// address may come from, PEM "
        "(better from a file, see above); those of the machine without it",
    )
    vault_redis_url: str | None = Field(
        default=None,
        description="Redis of personal data, its own and backed up; without it an embedded Valkey, "
        "vault/ in PFDO_DATA, where the bus is embedded too",
    )
    vault_keys: SecretStr | None = Field(
        default=None,
        description="Master keys of personal data, as a file: a name and 32 bytes in base64 a "
        "line, the newest last; earlier ones are needed until the next start. Without it there "
        "are no names, only ids",
    )
    vault_token: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Token by which the Navigator enters persons; without it nobody does",
    )
    vault_senders_token: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Token by which senders ask where people can be reached, and may nothing "
        "else: their PFDO_SENDERS_VAULT_TOKEN. Without it they need PFDO_VAULT_TOKEN, and may all "
        "that the Navigator may",
    )
    paper_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Key of the check on printed certificates, at least 32 characters; another "
        "one makes all that were printed invalid",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+$",
        description="Address of the cabinet as people reach it: stands in the QR code of printed "
        "certificates, and is where the log-in sends people back to",
    )
    cabinet_url: str | None = Field(
        default=None,
        pattern=r"^http://[^/?#\s]+$",
        description="Where `pfdo doctor` asks the cabinet how it is, beside the processes of this "
        "machine",
    )
    watch_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+$",
        description="Where `pfdo watch` answers: the console shows the operator what it counts",
    )
    push_public_key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{87}$",
        description="Public half of PFDO_SENDERS_PUSH_KEY (VAPID, P-256, base64url without "
        "padding): lets parents turn on messages in their browser",
    )
    stand_in: bool | None = Field(
        default=None,
        description="1: in the cabinet families register children, look for groups and apply, as "
        "the source `families`, where there is no Navigator; without it only in the sandbox",
    )
    region: Path | None = Field(
        default=None,
        description="File that replaces services/cabinet/region.yaml: names of municipalities and "
        "benefits, by code",
    )
    sources: Path | None = Field(
        default=None, description="File that replaces contracts/sources.yaml"
    )
    cached_max: int = Field(
        default=20_000, ge=100, description="Aggregates a partition keeps in memory"
    )
    http_host: str = Field(default="127.0.0.1", description="Where HTTP listens")
    port: int = Field(default=8038, ge=0, le=65535, description="Port of the cabinet")
    health_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of /health and /metrics of a service"
    )
    ca: str = Field(
        default="",
        repr=False,
        description="Authorities, beside the public ones, that certificates of other systems may "
        "come from: log-in server, cabinet, relays, gateways, collector; PEM (better from a file, "
        "see above)",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^?#\s]+$",
        description="Collector that `pfdo watch` tells traces to (OTLP over HTTP, without "
        "/v1/traces); without it nobody is told",
    )
    sandbox: bool = Field(
        default=False, description="1: invented people only; unsafe settings are let through"
    )

    @property
    def uses_kafka(self) -> bool:
        """Return whether the bus is Kafka."""
        return self.bus == "kafka" or (self.bus is None and self.kafka_bootstrap is not None)

    @property
    def partitions_or_default(self) -> int:
        """Return the number of partitions of every topic."""
        return self.partitions or (KAFKA_PARTITIONS if self.uses_kafka else EMBEDDED_PARTITIONS)

    def redis_url_of(self, service: str) -> str | None:
        """Return the address of a service's Redis; None is the embedded Valkey."""
        # What runs beside a service shares its Redis.
        owner = "notifications" if service == "senders" else service
        own: str | None = getattr(self, f"{owner}_redis_url", None)
        return own or self.redis_url


def load_settings(
    changes: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of this process; `changes` (from a command line) win.

    Raises SettingError naming the variable and the remedy.
    """
    settings = read_settings(Settings, PREFIX, changes or {}, environment, APART)
    if settings.uses_kafka and settings.kafka_bootstrap is None:
        raise SettingError("PFDO_KAFKA_BOOTSTRAP is missing: the bus is kafka, say where it is.")
    _check_kafka(settings)
    _check_redis(settings)
    _check_vault(settings)
    return settings


def _check_kafka(settings: Settings) -> None:
    """Raise SettingError if Kafka would not know us, or anybody, on a network."""
    if not settings.uses_kafka:
        return
    protocol = settings.kafka_security_protocol
    for name in ("kafka_username", "kafka_password"):
        if protocol.startswith("SASL_") and getattr(settings, name) is None:
            raise SettingError(
                f"{PREFIX}{name.upper()} is missing: {PREFIX}KAFKA_SECURITY_PROTOCOL is {protocol}."
            )
    places = str(settings.kafka_bootstrap).split(",")
    away = [place for place in places if not _is_this_machine(urlsplit(f"//{place}").hostname)]
    if away and not protocol.startswith("SASL_") and not settings.sandbox:
        raise SettingError(
            f"{PREFIX}KAFKA_SECURITY_PROTOCOL is {protocol}: whoever reaches {away[0]} could write "
            f"anything. Take SASL_SSL with {PREFIX}KAFKA_USERNAME and {PREFIX}KAFKA_PASSWORD_FILE, "
            f"or set {PREFIX}SANDBOX=1 if nothing real runs there."
        )


def _check_redis(settings: Settings) -> None:
    """Raise SettingError if a Redis on a network would take anybody. It does not say the URL."""
    for name in Settings.model_fields:
        url = getattr(settings, name) if name.endswith("redis_url") else None
        parts = urlsplit(url or "")
        if parts.scheme not in {"redis", "rediss"} or _is_this_machine(parts.hostname):
            continue
        if not (parts.password or settings.redis_password or settings.sandbox):
            raise SettingError(
                f"{PREFIX}{name.upper()}: whoever reaches {parts.hostname} could change the books. "
                f"Give that Redis a user and {PREFIX}REDIS_USERNAME and "
                f"{PREFIX}REDIS_PASSWORD_FILE, or set {PREFIX}SANDBOX=1 if nothing real is kept "
                "there."
            )


def _check_vault(settings: Settings) -> None:
    """Raise SettingError if senders could come as the Navigator."""
    if settings.vault_senders_token is not None and (
        settings.vault_senders_token == settings.vault_token
    ):
        raise SettingError(
            f"{PREFIX}VAULT_SENDERS_TOKEN is {PREFIX}VAULT_TOKEN: senders would be taken for the "
            "Navigator. Give them one of their own."
        )


def _is_this_machine(host: str | None) -> bool:
    try:
        return host is None or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def read_settings(
    model: type[Model],
    prefix: str,
    changes: Mapping[str, Any],
    environment: Mapping[str, str] | None,
    apart: tuple[str, ...] = (),
) -> Model:
    """Return settings from the variables with a prefix, but for those with a prefix of `apart`.

    Raises SettingError naming the variable and the remedy.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(prefix) or name.startswith(apart) or name in OF_TESTS:
            continue
        field = name.removeprefix(prefix).lower()
        is_file = field.endswith("_file") and field.removesuffix("_file") in model.model_fields
        if is_file:
            field = field.removesuffix("_file")
        if field not in model.model_fields:
            near = difflib.get_close_matches(field, model.model_fields, n=1)
            remedy = f"did you mean {prefix}{near[0].upper()}?" if near else "remove it."
            raise SettingError(f"{name} is no setting: {remedy} deploy/example.env lists them all.")
        # A variable without a value is one that is not set.
        if text:
            values[field] = _content(name, text) if is_file else text
    values.update({k: v for k, v in changes.items() if v is not None})
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = f"{prefix}{'_'.join(str(step) for step in first['loc']).upper()}"
        raise SettingError(
            f"{name}: {first['msg']}. deploy/example.env says what it takes."
        ) from error


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingError(f"{name}: {path} cannot be read ({error.strerror}).") from error
