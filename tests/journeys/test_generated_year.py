"""A generated play that lasts into the next year has everything in it, and is counted alike."""

import asyncio
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest

from contracts.registry import EVENTS
from contracts.vocabulary import (
    ApplicationRefusal,
    CertificateRefusal,
    CloseReason,
    EndCause,
    FundsRefusal,
    InputRefusal,
    NominalCause,
    NotCharged,
)
from tests.support.outcome import check_journals, segments
from tests.support.second_opinion import audited, differences, generated, in_memory, played
from tests.support.world import World

SAID_BY_SOURCES = ("attendance.", "calendar.", "navigator.", "payers.")
DECIDED = ("enrollment.", "certificates.", "billing.")

NOT_OF_A_PLAY_FILE = {
    *(
        f"{service}input-{what}.v1"
        for service in DECIDED
        for what in ("forwarded", "dead-lettered")
    ),
    # Commands stand on a topic of their own; only navigator and payers say things twice here.
    *(f"enrollment.place-{what}.v1" for what in ("requested", "answered", "returned")),
    "certificates.input-duplicate.v1",
    # Families say these in the cabinet; `tests/support/rough_play.py` says them too.
    *(f"billing.dispute-{what}.v1" for what in ("opened", "settled")),
}
REASONS: dict[type[StrEnum], tuple[tuple[str, ...], set[str]]] = {
    # Facts that carry the reason, and what cannot be here: more that waits than there is room for,
    # a journal out of its scope, a group nobody knows (the answer is `group_closed`).
    InputRefusal: (("input-refused",), {"park_limit", "out_of_scope", "unknown_group"}),
    # A closed certificate is of a child too old already.
    ApplicationRefusal: (("application-refused", "enrollment-cancelled"), {"certificate_closed"}),
    FundsRefusal: (("funds-refused",), {"too_old", "certificate_closed"}),
    CertificateRefusal: (("certificate-refused",), set()),
    NotCharged: (("lesson-not-charged",), set()),
    CloseReason: (("certificate-closed",), set()),
    EndCause: (("enrollment-ended",), set()),
    # A renewed certificate has a new account, opened with its nominal.
    NominalCause: (("nominal-applied",), {"renewed"}),
}


@pytest.fixture(scope="module")
def year() -> tuple[list[str], World, dict[str, Any]]:
    """A play file of half a year, the world that played it, and its books."""
    lines, world = generated(1, children=110, days=170), in_memory(1)
    return lines, world, asyncio.run(played(world, segments(lines)))


def test_they_agree_on_a_year_its_end_and_the_next(
    year: tuple[list[str], World, dict[str, Any]],
) -> None:
    lines, world, shown = year

    told = differences(audited(lines), shown)

    assert not told, "\n".join(told[:40])
    check_journals(world)


def test_everything_that_can_be_said_is_said_and_everything_that_can_follow_follows(
    year: tuple[list[str], World, dict[str, Any]],
) -> None:
    _, world, shown = year

    said = {type_ for _, type_, *_ in shown["inputs"]}
    decided = {record["type"] for name in world.services for record in world.journal(name)}

    assert {type_ for type_ in EVENTS if type_.startswith(SAID_BY_SOURCES)} == said
    expected = {type_ for type_ in EVENTS if type_.startswith(DECIDED)} - NOT_OF_A_PLAY_FILE
    assert expected - decided == set()
    assert {decision for _, _, decision, _ in shown["inputs"]} >= {
        "applied",
        "duplicate",
        "refused",
    }


@pytest.mark.parametrize("reasons", REASONS, ids=lambda it: it.__name__)
def test_every_reason_occurs(
    year: tuple[list[str], World, dict[str, Any]], reasons: type[StrEnum]
) -> None:
    _, world, _ = year
    carriers, not_here = REASONS[reasons]

    given = set(_given(world, carriers))

    assert {reason.value for reason in reasons} - given == not_here


def _given(world: World, carriers: tuple[str, ...]) -> Iterator[str]:
    for name in world.services:
        for record in world.journal(name):
            if record["type"].partition(".")[2].removesuffix(".v1") in carriers:
                data = record["data"]
                yield data.get("reason") or data.get("cause")
