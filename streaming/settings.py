"""The settings of a process: environment variables `PFDO_…`, listed in `deploy/example.env`.

A wrong or unknown one stops the start with its name and the remedy.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streaming.errors import SettingError

PREFIX = "PFDO_"
SENDERS_PREFIX = "PFDO_SENDERS_"
"""Settings of what carries messages out: read, and checked, where that runs."""
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
    settings = read_settings(Settings, PREFIX, changes or {}, environment, apart=SENDERS_PREFIX)
    if settings.uses_kafka and settings.kafka_bootstrap is None:
        raise SettingError("PFDO_KAFKA_BOOTSTRAP is missing: the bus is kafka, say where it is.")
    return settings


def read_settings(
    model: type[Model],
    prefix: str,
    changes: Mapping[str, Any],
    environment: Mapping[str, str] | None,
    apart: str | None = None,
) -> Model:
    """Return settings from the variables with a prefix, but for those with the prefix `apart`.

    Raises SettingError naming the variable and the remedy.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(prefix) or text == "" or (apart and name.startswith(apart)):
            continue
        value, field = text, name.removeprefix(prefix).lower()
        if field.endswith("_file") and field.removesuffix("_file") in model.model_fields:
            field, value = field.removesuffix("_file"), _content(name, value)
        if field not in model.model_fields:
            near = difflib.get_close_matches(field, model.model_fields, n=1)
            remedy = f"did you mean {prefix}{near[0].upper()}?" if near else "remove it."
            raise SettingError(f"{name} is no setting: {remedy} deploy/example.env lists them all.")
        values[field] = value
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
