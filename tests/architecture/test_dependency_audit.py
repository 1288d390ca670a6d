"""The audit of the locks: what it says about a report, and which news stops a build."""

import pytest

from tests.architecture import load_script

audit = load_script("requirements/audit.py")


def report(*packages: dict[str, object]) -> dict[str, object]:
    return {"dependencies": list(packages), "fixes": []}


CLEAN = {"name": "clean", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}
HOLE = {"name": "hole", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("packages", "good", "said"),
    [
        pytest.param([CLEAN], True, "1 of 1 locked packages were audited", id="nothing known"),
        pytest.param([CLEAN, HOLE], False, "hole 2.0: PYSEC-1; fixed in 2.1", id="a hole stops"),
        pytest.param([UNKNOWN], True, "0 of 1 locked packages were audited", id="silence is said"),
    ],
)
def test_what_the_audit_says(packages: list[dict[str, object]], good: bool, said: str) -> None:
    lines, verdict = audit.judge(report(*packages))

    assert verdict is good
    assert any(line.startswith(said) for line in lines)
