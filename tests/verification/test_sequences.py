"""I20: the gaps that are told are the gaps that were sent."""

import random
from typing import Any

import orjson
import pytest

from contracts.sources import SHIPPED_PATH
from streaming.bus import Record
from verification.count import Count
from verification.sequences import Gap, Sequences
from verification.sources import sources_of

KEYS = ("25701000", "25714000")


def event(key: str, number: object) -> dict[str, Any]:
    return {"partitionkey": key, "sequence": number}


@pytest.mark.parametrize("seed", range(20))
def test_gaps_told_are_gaps_sent_in_any_order_and_with_copies(seed: int) -> None:
    chance = random.Random(seed)
    sent, expected = [], []
    for key in KEYS:
        number = chance.choice((0, 1, 1_000_000))
        for nth in range(200):
            if nth and chance.random() < 0.1:
                missing = chance.choice((1, 1, 2, 10**12))
                expected.append(Gap("attendance", key, number, number + missing - 1))
                number += missing
            sent.append(("attendance.events.v1", event(key, str(number))))
            number += 1
    sent += [("attendance.forwarded.v1", told) for _, told in chance.sample(sent, 50)]
    chance.shuffle(sent)
    sequences = Sequences()

    for topic, told in sent:
        sequences.input(topic, told)

    assert expected
    assert list(sequences.gaps()) == expected


@pytest.mark.parametrize("number", [None, 3, "", "3a", "٣", "9" * 400, ["3"]])
def test_what_is_no_number_is_no_gap(number: object) -> None:
    sequences = Sequences()
    for each in ("1", number, "2"):
        sequences.input("attendance.events.v1", event(KEYS[0], each))

    assert list(sequences.gaps()) == []


def test_pfdo_verify_tells_them_and_calls_them_no_violation() -> None:
    sources = sources_of(SHIPPED_PATH.read_text(encoding="utf-8"))
    count = Count(sources, {}, {})
    for offset, number in enumerate(("7", "9", "12", "8")):
        value = orjson.dumps(event(KEYS[0], number))
        count.record(Record("navigator.events.v1", 0, offset, 0, None, value))

    assert count.checked()["sequence_gaps"] == ["navigator/25701000:10-11"]
    assert count.findings.ok
