"""A pytest plugin for runs in a copy: which tests failed and how, and whose code they ran."""

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

REPORT = "PFDO_MUTATIONS_REPORT"
"""The environment variable that names the file to report to."""
ASSERTION = "assertion"
"""How a test failed that saw for itself that something is wrong."""
OURS = frozenset({"contracts", "pfdo", "rulebook", "services", "streaming", "tests"})

_failed: dict[str, str] = {}
_errors: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take note of how a test failed."""
    report = yield
    if report.failed:
        assert call.excinfo is not None
        _failed[item.nodeid] = _how(call.when, call.excinfo, item.config.rootpath)
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Take note of what could not be collected."""
    if report.failed:
        _errors.append(report.nodeid)


def pytest_sessionfinish() -> None:
    """Report."""
    found = [module for name, module in sys.modules.items() if name.partition(".")[0] in OURS]
    files = sorted({file for module in found if (file := getattr(module, "__file__", None))})
    told = {"failed": _failed, "errors": _errors, "files": files}
    Path(os.environ[REPORT]).write_text(json.dumps(told), encoding="utf-8")


def _how(when: str, excinfo: pytest.ExceptionInfo[Any], root: Path) -> str:
    """Return `ASSERTION` if the test itself asserted; an `assert` of the code is a crash."""
    ours = [entry for entry in excinfo.traceback if root in Path(entry.path).parents]
    at = Path(ours[-1].path).relative_to(root) if ours else Path()
    asserted = excinfo.errisinstance((AssertionError, pytest.fail.Exception))
    if when == "call" and asserted and at.parts[:1] == ("tests",):
        return ASSERTION
    return f"{excinfo.typename} in {at}"
