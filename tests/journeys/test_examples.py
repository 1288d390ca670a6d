"""The play files are what their makers say, and made of events the contracts know."""

import json
import subprocess
import sys
from pathlib import Path

from contracts.envelope import Envelope
from contracts.registry import EVENTS
from tests.support.outcome import AUTUMN

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
