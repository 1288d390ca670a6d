"""What the facts that services publish have in common. `docs/events.md`, section 4."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from contracts.decisions import Input
from contracts.envelope import EventData, Part
from contracts.fields import Date, Explanation, TableName, Text


class Why(Part):
    """Which rule led here, in words a parent understands.

    Where no table decides but the rules themselves (a full group), `text` stands alone.
    """

    model_config = ConfigDict(validate_by_name=True)

    table: TableName | None = None
    from_: Annotated[
        Date | None, Field(alias="from", description="First day in force of the version")
    ] = None
    row: Annotated[str, StringConstraints(min_length=1, max_length=80)] | None = Field(
        default=None, description="Id of the row that hit"
    )
    basis: Text | None = Field(default=None, description="The paper the row rests on")
    text: Explanation = Field(description="One or two plain Russian sentences with the numbers")


class PublishedFact(EventData):
    """A fact in a journal. The first record of each decided input carries that input."""

    input: Input | None = Field(
        default=None, description="The input decided here; only in the first record of its decision"
    )
