"""How a process proves to Kafka who it is, and how it knows that it speaks to Kafka."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from streaming.settings import Settings

_SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """`protocol` as Kafka names it; `ca` in PEM, the authorities of the machine without it."""

    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)

    @property
    def options(self) -> Mapping[str, Any]:
        """Return what every client of aiokafka is given."""
        if not self.protocol.startswith("SASL_"):
            return {"security_protocol": self.protocol, "ssl_context": self._tls()}
        return {
            "security_protocol": self.protocol,
            "ssl_context": self._tls(),
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }

    @property
    def of_broker(self) -> BaseSecurity:
        """Return the same for FastStream."""
        tls = self._tls()
        if not self.protocol.startswith("SASL_"):
            return BaseSecurity(ssl_context=tls, use_ssl=tls is not None)
        kind = _SASL[self.mechanism]
        return kind(
            str(self.username), str(self.password), ssl_context=tls, use_ssl=tls is not None
        )

    def _tls(self) -> ssl.SSLContext | None:
        if not self.protocol.endswith("SSL"):
            return None
        return ssl.create_default_context(cadata=self.ca)


PLAIN_TEXT = KafkaSecurity()
"""No identity and no encryption: a Kafka on this machine, tests."""


def security_of(settings: Settings) -> KafkaSecurity:
    """Return what the settings say."""
    return KafkaSecurity(
        protocol=settings.kafka_security_protocol,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=settings.kafka_password,
        ca=settings.kafka_ca,
    )
