"""No protection of the runtime is optional: each, taken out, lets runs go wrong."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from streaming.telemetry import configure_logs
from tests.chaos.protections import NOTHING, REMOVED, wrong_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SEEDS_OF_THE_WHOLE = range(12)
SEEDS_MAX = range(200)
KNOWN = {
    "compare-and-set on the position": 18,
    "comparing the store's position while idle": 5,
    "epoch in the store": 64,
    "an answer of the store says where it stands": 15,
}
"""A seed that was wrong when it was looked for last. If the runtime has changed so much that it is
not any more, others are tried."""


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    configure_logs(logging.CRITICAL)
    yield
    structlog.reset_defaults()


def test_the_whole_design_is_never_wrong() -> None:
    assert dict(wrong_runs(NOTHING, SEEDS_OF_THE_WHOLE)) == {}


@pytest.mark.parametrize("removed", [removed for removed in REMOVED if removed != NOTHING])
def test_a_protection_that_is_taken_out_is_missed(removed: str) -> None:
    seeds = [KNOWN.get(removed, 0), *SEEDS_MAX]

    assert next(wrong_runs(removed, seeds), None) is not None
