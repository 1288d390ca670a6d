"""What is a copy, what a conflict, and what must be decided."""

from typing import Any

import pytest

from contracts.decisions import Decision
from contracts.envelope import Envelope
from streaming.natural_keys import Known, command_key, known_key, natural_key, split_key
from tests.streaming.test_processor import child, request

COPY, CONFLICT, NEW = Decision.DUPLICATE, Decision.REFUSED, None

ACCEPTED_2 = Known(accepted=2, accepted_hash="a")
PARKED_2 = Known(parked={"2": "a"})
REFUSED_2 = Known(refused={"2": "a"})


@pytest.mark.parametrize(
    ("known", "revision", "hash_", "expected"),
    [
        pytest.param(Known(), 0, "a", NEW, id="nothing came before"),
        pytest.param(ACCEPTED_2, 1, "a", COPY, id="lower than the accepted"),
        pytest.param(ACCEPTED_2, 1, "b", COPY, id="lower, whatever it says"),
        pytest.param(ACCEPTED_2, 2, "a", COPY, id="the accepted again"),
        pytest.param(ACCEPTED_2, 2, "b", CONFLICT, id="the accepted with other data"),
        pytest.param(ACCEPTED_2, 3, "a", NEW, id="higher than the accepted"),
        pytest.param(PARKED_2, 1, "a", COPY, id="lower than the parked"),
        pytest.param(PARKED_2, 2, "a", COPY, id="the parked again"),
        pytest.param(PARKED_2, 2, "b", CONFLICT, id="the parked with other data"),
        pytest.param(PARKED_2, 3, "a", NEW, id="higher than the parked"),
        pytest.param(REFUSED_2, 1, "a", NEW, id="lower than a refused"),
        pytest.param(REFUSED_2, 2, "a", COPY, id="the refused again"),
        pytest.param(REFUSED_2, 2, "b", CONFLICT, id="the refused with other data"),
        pytest.param(REFUSED_2, 3, "a", NEW, id="higher than a refused"),
    ],
)
def test_what_comes_again(
    known: Known, revision: int, hash_: str, expected: Decision | None
) -> None:
    assert known.answer(revision, hash_) is expected


def test_accepting_a_revision_keeps_the_refusals_above_it_alone() -> None:
    known = Known(refused={"1": "a", "2": "b", "3": "c"}, parked={"2": "b", "4": "d"})

    after = known.after(None, 2, "e")

    assert after == Known(accepted=2, accepted_hash="e", parked={"4": "d"}, refused={"3": "c"})


def test_a_parked_revision_decided_after_a_higher_one_changes_nothing_but_the_waiting() -> None:
    known = Known(accepted=3, accepted_hash="c", parked={"2": "b"})

    assert known.after(None, 2, "b") == Known(accepted=3, accepted_hash="c")


def keyed(said: dict[str, Any]) -> str:
    from contracts.registry import EVENTS

    envelope = Envelope.model_validate(said)
    return natural_key(envelope, EVENTS[envelope.type].model_validate(said["data"]))


def test_a_key_names_the_fact_and_its_revision_and_not_the_version_of_its_type() -> None:
    assert keyed(request(1, 7)) == "payers.certificate-freeze-set:child-1#7"
    assert keyed(child(1)) == "navigator.child-registered:child-1#1"
    assert split_key("payers.certificate-freeze-set:child-1#7")[1] == 7
    assert known_key("25701000", keyed(request(1, 7))) == known_key("25701000", keyed(request(1)))


def test_a_command_is_known_by_its_cause() -> None:
    cause = {"causetopic": "navigator.events.v1", "causepartition": 2, "causeindex": 1}
    one, other = (
        Envelope.model_validate(request(1) | cause | {"causeoffset": offset}) for offset in (5, 6)
    )

    assert command_key(one) == "payers.certificate-freeze-set:navigator.events.v1:2:5:1"
    assert command_key(one) != command_key(other)
