"""The terms of a group at the moment of holding, frozen for the life of an agreement."""

from datetime import date

from msgspec import Struct

from contracts.vocabulary import (
    Direction,
    GroupId,
    Kopecks,
    PayerCode,
    ProgrammeId,
    ProviderId,
    Registry,
    Revision,
)


class Terms(Struct, frozen=True, kw_only=True):
    """What a family agrees to. Ages in whole years, inclusive; money in kopecks per course.

    `group_home` is the payer code of the provider's municipality, where the places are decided.
    Fields and order are those of `docs/events.md`, section 3.
    """

    group_id: GroupId
    group_home: PayerCode
    provider_id: ProviderId
    programme_id: ProgrammeId
    title: str
    registry: Registry
    direction: Direction
    age_min: int
    age_max: int
    price_kopecks: Kopecks
    normative_kopecks: Kopecks
    lessons_total: int
    starts_on: date
    ends_on: date
    auto_accept: bool
    revision: Revision
