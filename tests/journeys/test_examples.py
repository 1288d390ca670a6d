"""The play files are what their makers say, and made of events the contracts know."""

import json
import subprocess
import sys
from pathlib import Path

from contracts.envelope import Envelope
from contracts.registry import EVENTS
from tests.support.outcome import AUTUMN, segments

ROOT = Path(__file__).parents[2]
README = ROOT / "examples" / "README.md"


def test_the_autumn_is_what_its_command_makes() -> None:
    (command,) = [line for line in README.read_text().splitlines() if "> examples/autumn" in line]
    arguments = command.partition(" > ")[0].split()[1:]

    made = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True, timeout=60
    )

    assert made.stdout == AUTUMN.read_bytes()


def test_every_event_of_the_autumn_keeps_its_contract() -> None:
    seen = set()
    for line in AUTUMN.read_text(encoding="utf-8").splitlines():
        if line:
            envelope = Envelope.model_validate(json.loads(line))
            event = EVENTS[envelope.type].model_validate(envelope.data)
            assert event.subject == envelope.subject
            seen.add(envelope.type.partition(".")[0])

    assert seen == {"calendar", "payers", "navigator", "attendance"}


def test_only_one_kind_of_event_and_one_word_about_a_subject_share_a_segment() -> None:
    # What sets the scene comes in an order of one topic and one payer; the rest has no order.
    scene = ("payers.", "navigator.provider-registered.", "navigator.group-published.")
    with AUTUMN.open(encoding="utf-8") as lines:
        for segment in segments(lines):
            assert len({event["source"] for event in segment}) == 1
            if not segment[0]["type"].startswith(scene):
                assert len({event["type"] for event in segment}) == 1
                key = "lesson_id" if segment[0]["source"] == "/attendance" else "child_id"
                said = [(event["subject"], event["data"].get(key)) for event in segment]
                assert len(set(said)) == len(said)
