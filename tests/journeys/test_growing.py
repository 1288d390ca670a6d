"""What docs/operations/scale.md says of another source, another payer: on what runs already."""

import json
from pathlib import Path
from typing import Any

from contracts.sources import SHIPPED_PATH
from tests.support.installation import Installation

SMALL = Path(__file__).parents[1] / "pfdo" / "small.jsonl"
JOURNAL = """
  journal-bratsk:
    sends: [attendance.lesson-marked.v1]
    payers: ["25701000"]
    providers: [prov-raduga]
    decider: billing
    readers: [billing, cabinet]
"""


def mark(lesson: str, enrollment: str = "enr-first", payer: str = "25701000") -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"bratsk-{lesson}-{payer}",
        "source": "/journal-bratsk",
        "type": "attendance.lesson-marked.v1",
        "time": "2020-09-01T15:00:00+08:00",
        "subject": enrollment,
        "partitionkey": payer,
        "datacontenttype": "application/json",
        "data": {
            "enrollment_id": enrollment,
            "lesson_id": lesson,
            "lesson_date": "2020-09-01",
            "mark": "present",
            "evidence": "journal",
            "revision": 1,
        },
    }


def test_a_source_joins_and_a_payer_is_known_by_its_first_event(tmp_path: Path) -> None:
    before = Installation(tmp_path / "data")
    assert before.json("play", str(SMALL))["settled"]
    sources = tmp_path / "sources.yaml"
    sources.write_text(SHIPPED_PATH.read_text() + JOURNAL)
    period = next(line for line in SMALL.read_text().splitlines() if "period-opened" in line)
    another = json.loads(period) | {"partitionkey": "25703000", "id": "angarsk-1"}
    events = [mark("les-002"), mark("les-003", payer="25703000"), another]
    file = tmp_path / "bratsk.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in events) + "\n")

    joined = Installation(tmp_path / "data", {"PFDO_SOURCES": str(sources)})
    assert joined.json("play", str(file))["settled"]

    decided = joined.decisions()
    assert decided["bratsk-les-002-25701000"] == [("applied", None)]
    assert decided["bratsk-les-003-25703000"] == [("dead-lettered", "out_of_scope")]
    assert decided["angarsk-1"] == [("applied", None)]
    assert joined.json("verify", "--against-state")["ok"]
    # What it said is part of the books: they cannot be counted without knowing who it was.
    assert before.pfdo("verify").returncode == 1
