"""The list of what the image holds is that of the lock."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_lists_every_locked_package_and_nothing_else() -> None:
    subprocess.run(["make", "sbom"], cwd=ROOT, check=True, capture_output=True)
    listed = json.loads((ROOT / "build" / "sbom.cdx.json").read_text())

    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", lock, re.MULTILINE))
    assert {(part["name"], part["version"]) for part in listed["components"]} == locked
    assert listed["metadata"]["component"]["name"] == "pfdo"
