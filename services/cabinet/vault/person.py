"""What the vault knows of a person. The only place where names and addresses have a shape."""

from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_Text = StringConstraints(
    strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f<>]+$"
)
Name = Annotated[str, _Text]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Phone = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="E.164")]
BROWSERS_MAX = 5
"""So many browsers of one person take messages."""
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s]{1,64}@[^@\s]+\.[^@\s]+$")]


class Person(BaseModel):
    """A child or a guardian. What is absent is not known."""

    # Errors must not repeat what was sent.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    family_name: Name
    given_name: Name
    patronymic: Name | None = None
    addresses: tuple[Line, ...] = Field(default=(), max_length=5)
    phones: tuple[Phone, ...] = Field(default=(), max_length=5)
    email: Email | None = None

    @property
    def name(self) -> str:
        """Return the name as it stands on a list: family name first."""
        return f"{self.family_name} {self.given_name}"

    @property
    def full_name(self) -> str:
        """Return the name as it stands on a paper."""
        return " ".join(part for part in (self.name, self.patronymic) if part)


class PushKeys(BaseModel):
    """What a message to a browser is encrypted with (RFC 8291)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    p256dh: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{87}=?$")]
    auth: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{22}={0,2}$")]


class PushSubscription(BaseModel):
    """Where a browser lets itself be reached, as the Push API names it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint: Annotated[str, Field(max_length=1000, pattern=r"^https://[!-~]+$")]
    keys: PushKeys

    @property
    def endpoint_sha256(self) -> str:
        """Return what tells one browser from another without saying where it is."""
        return sha256(self.endpoint.encode()).hexdigest()


class Contact(BaseModel):
    """Where a person can be reached: what a sender is shown, who needs no name."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    phones: tuple[Phone, ...]
    email: Email | None
    push: tuple[PushSubscription, ...]


class Known(Person):
    """A person as the vault keeps it: who was entered, and browsers that take messages."""

    push: tuple[PushSubscription, ...] = Field(default=(), max_length=BROWSERS_MAX)

    @property
    def contact(self) -> Contact:
        """Return where the person can be reached."""
        return Contact(phones=self.phones, email=self.email, push=self.push)

    def with_browser(self, browser: PushSubscription) -> "Known":
        """Return the person with one browser more; of too many the oldest goes."""
        others = (each for each in self.push if each.endpoint != browser.endpoint)
        return self.model_copy(update={"push": (*others, browser)[-BROWSERS_MAX:]})

    def without_browser(self, endpoint_sha256: str) -> "Known":
        """Return the person without the browser of an endpoint."""
        kept = tuple(each for each in self.push if each.endpoint_sha256 != endpoint_sha256)
        return self.model_copy(update={"push": kept})
