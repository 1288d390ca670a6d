"""Where people can be reached. Asked at the moment of sending and never kept, logged or published.

The cabinet's vault of personal data answers, over HTTP, and keeps a record of each look. In the
sandbox a file of invented people does too.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

VAULT_SECONDS_MAX = 5.0
LOOK = {"why": "notification"}
"""What the family is shown as the reason of the look."""
NOBODY = "Nothing is known of this id."
"""How the vault says that it does not know a person."""


class AddressesAwayError(Exception):
    """Nobody can say addresses now: sending waits."""


class PushSubscription(BaseModel):
    """What a browser gave the cabinet, as the Push API names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str
    keys: Mapping[str, str]


class Address(BaseModel):
    """How one recipient can be reached; what is absent is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    email: str | None = None
    phone: str | None = None
    push: tuple[PushSubscription, ...] = ()
    """The browsers that take messages."""


class Addresses(Protocol):
    """The port: who can be reached where."""

    async def find(self, recipient_id: str) -> Address | None:
        """Return how to reach a recipient; None if nobody knows. Raises AddressesAwayError."""
        ...

    async def drop_browser(self, recipient_id: str, endpoint: str) -> None:
        """Forget a browser that its push service says is gone. Never raises."""
        ...


@dataclass(slots=True)
class VaultAddresses:
    """The cabinet's vault, asked with its token. While it does not answer, sending waits."""

    url: str
    token: str | None = field(repr=False)
    client: httpx.AsyncClient

    async def find(self, recipient_id: str) -> Address | None:
        """See Addresses. Raises AddressesAwayError."""
        path, headers = self._person(recipient_id), self._headers()
        try:
            answer = await self.client.get(path, params=LOOK, headers=headers)
            said = answer.json()
            if answer.status_code == httpx.codes.NOT_FOUND and said["detail"] == NOBODY:
                return None
            if answer.status_code == httpx.codes.OK:
                phones = said["phones"]
                return Address(
                    email=said["email"], phone=phones[0] if phones else None, push=said["push"]
                )
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise AddressesAwayError(f"the vault: {type(error).__name__}") from None
        # Without a vault, or without its token, nobody is known; that is not to be taken for no.
        raise AddressesAwayError(f"the vault answers {answer.status_code}")

    async def drop_browser(self, recipient_id: str, endpoint: str) -> None:
        """See Addresses. Where the vault is away, the next message finds the browser gone too."""
        digest = sha256(endpoint.encode()).hexdigest()
        path = f"{self._person(recipient_id)}/push/{digest}"
        with contextlib.suppress(httpx.HTTPError):
            await self.client.delete(path, headers=self._headers())

    def _person(self, recipient_id: str) -> str:
        return f"{self.url.rstrip('/')}/api/v1/vault/persons/{recipient_id}"

    def _headers(self) -> Mapping[str, str]:
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}


class NoAddresses:
    """Where there is no vault: sending waits until there is."""

    async def find(self, recipient_id: str) -> Address | None:
        """Raise AddressesAwayError."""
        del recipient_id
        raise AddressesAwayError("there is no vault of addresses")

    async def drop_browser(self, recipient_id: str, endpoint: str) -> None:
        """See Addresses: there is none."""


@dataclass(slots=True)
class AddressFile:
    """Invented people in a YAML or JSON file: recipient id → address. Read again when it changes.

    While the file is absent or broken, sending waits.
    """

    path: Path
    _read_at_ns: int = -1
    _known: Mapping[str, Any] | None = None

    async def find(self, recipient_id: str) -> Address | None:
        """See Addresses. Raises AddressesAwayError."""
        try:
            changed_at_ns = self.path.stat().st_mtime_ns
            if self._known is None or changed_at_ns != self._read_at_ns:
                content = yaml.safe_load(self.path.read_text(encoding="utf-8")) or {}
                self._known = {str(id_): Address(**address) for id_, address in content.items()}
                self._read_at_ns = changed_at_ns
        except (OSError, yaml.YAMLError, ValidationError, AttributeError, TypeError) as error:
            # What stands in the file may be an address: the error names the file alone.
            raise AddressesAwayError(f"{self.path} cannot be read as addresses") from error
        address: Address | None = self._known.get(recipient_id)
        return address

    async def drop_browser(self, recipient_id: str, endpoint: str) -> None:
        """See Addresses: the file is its writer's."""
