"""A child as the Navigator knows it: an id without meaning, a birth date, who may act for it."""

from dataclasses import dataclass
from datetime import date

from contracts.vocabulary import ChildId, GuardianId


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A child of the payer. Guardians are at most four (`docs/events.md`, section 3)."""

    child_id: ChildId
    birth_date: date
    guardian_ids: tuple[GuardianId, ...]
