"""What the vault knows of a person. The only place where names and addresses have a shape."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_Text = StringConstraints(
    strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f<>]+$"
)
Name = Annotated[str, _Text]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Phone = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="E.164")]
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
