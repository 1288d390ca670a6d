"""A child as the Navigator knows it: an id without meaning, a birth date, who may act for it."""

from datetime import date

from msgspec import Struct

from contracts.vocabulary import ChildId, GuardianId


class Child(Struct, frozen=True, kw_only=True):
    """A child of the payer. Guardians are at most four (`docs/events.md`, section 3)."""

    child_id: ChildId
    birth_date: date
    guardian_ids: tuple[GuardianId, ...]
