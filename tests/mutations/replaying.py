"""Planting faults in copies of the project and running the tests that must catch them there."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue

from tests.mutations.listing import ROOT, Mutation, stale
from tests.mutations.witness import ASSERTION, REPORT

RUN_SECONDS_MAX = 300
"""A fault that lets the code run for ever is not caught by an assertion."""
BASELINE_SECONDS_MAX = 1_200
"""All named tests of the list, one after the other."""
TEST_SECONDS_MAX = 60
LINES_TOLD_MAX = 30


class Verdict(StrEnum):
    """What became of a planted fault."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    STALE = "stale"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`caught_by` are the tests that failed by their own assertion, one case of each."""

    verdict: Verdict
    caught_by: tuple[str, ...] = ()
    told: str = ""
    seconds: float = 0.0


class BaselineFailedError(Exception):
    """The tests do not pass without any fault: what they say of faults says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    status: int
    failed: dict[str, str]
    errors: Sequence[str]
    files: Sequence[str]
    printed: str


def replay(mutations: Sequence[Mutation], *, jobs: int) -> Iterator[tuple[Mutation, Outcome]]:
    """Yield what becomes of each mutation, in order. Raises BaselineFailedError before the first.

    The working tree is only read. Each of the `jobs`, at least one, has a copy of its own.
    """
    with tempfile.TemporaryDirectory(prefix="pfdo-mutations-") as directory:
        # What pytest calls a path must be what the modules call it.
        first = Path(directory).resolve() / "0"
        shutil.copytree(ROOT, first, ignore=_left_out)
        reasons = {mutation.id: stale(mutation, first) for mutation in mutations}
        fresh = [mutation for mutation in mutations if reasons[mutation.id] is None]
        copies: SimpleQueue[Path] = SimpleQueue()
        copies.put(first)
        for number in range(1, min(jobs, len(fresh))):
            copies.put(shutil.copytree(first, first.with_name(str(number))))
        if fresh:
            _check_baseline(first, fresh)
        with ThreadPoolExecutor(jobs) as pool:
            running = {mutation.id: pool.submit(_plant, mutation, copies) for mutation in fresh}
            for mutation in mutations:
                reason = reasons[mutation.id]
                if reason is not None:
                    yield mutation, Outcome(verdict=Verdict.STALE, told=reason)
                else:
                    yield mutation, running[mutation.id].result()


def _left_out(directory: str, names: Iterable[str]) -> list[str]:
    top = Path(directory) == ROOT
    return [
        name
        for name in names
        if name == "__pycache__" or (top and (name.startswith(".") or name == "data"))
    ]


def _check_baseline(copy: Path, mutations: Iterable[Mutation]) -> None:
    named = dict.fromkeys(test for mutation in mutations for test in mutation.tests)
    try:
        run = _run(copy, named, BASELINE_SECONDS_MAX)
    except subprocess.TimeoutExpired as error:
        told = f"they did not end within {BASELINE_SECONDS_MAX} s"
        raise BaselineFailedError(told) from error
    if run.status != 0 or run.errors:
        raise BaselineFailedError(run.printed)


def _plant(mutation: Mutation, copies: "SimpleQueue[Path]") -> Outcome:
    began = time.monotonic()
    copy = copies.get()
    file = copy / mutation.file
    text = file.read_text(encoding="utf-8")
    try:
        _write(file, text.replace(mutation.old, mutation.new))
        run = _run(copy, mutation.tests, RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        told = f"the tests did not end within {RUN_SECONDS_MAX} s"
        return Outcome(verdict=Verdict.BROKEN, told=told, seconds=time.monotonic() - began)
    finally:
        _write(file, text)
        copies.put(copy)
    return _judged(mutation, file, run, time.monotonic() - began)


def _judged(mutation: Mutation, file: Path, run: _Run, seconds: float) -> Outcome:
    if run.errors or run.status not in (0, 1):
        told = f"pytest ended with {run.status}:\n{run.printed}"
        return Outcome(verdict=Verdict.BROKEN, told=told, seconds=seconds)
    if file.suffix == ".py" and str(file) not in run.files:
        told = f"{mutation.file} is not what these tests import"
        return Outcome(verdict=Verdict.BROKEN, told=told, seconds=seconds)
    caught_by = []
    for test in mutation.tests:
        failed = {id_: how for id_, how in run.failed.items() if _belongs(id_, test)}
        asserted = [id_ for id_, how in failed.items() if how == ASSERTION]
        if not failed:
            told = f"{test} passed: {mutation.breaks} ({mutation.rule})"
            return Outcome(verdict=Verdict.SURVIVED, told=told, seconds=seconds)
        if not asserted:
            told = f"{test} broke by {', '.join(sorted(set(failed.values())))}"
            return Outcome(verdict=Verdict.BROKEN, told=told, seconds=seconds)
        caught_by.append(asserted[0].removeprefix("tests/"))
    return Outcome(verdict=Verdict.CAUGHT, caught_by=tuple(caught_by), seconds=seconds)


def _belongs(id_: str, test: str) -> bool:
    """Return whether a case is of a named file, class or function."""
    return id_ == test or id_.startswith((f"{test}::", f"{test}["))


def _write(file: Path, text: str) -> None:
    """Write a file; what Python compiled of it may look as if it were of the same moment."""
    file.write_text(text, encoding="utf-8")
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def _run(copy: Path, tests: Iterable[str], seconds_max: float) -> _Run:
    """Run tests of a copy on the code of the copy. Raises subprocess.TimeoutExpired."""
    report = copy / "mutations-report.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "--quiet", "--no-header", "--tb=short"]
    plugins = ["-p", "no:cacheprovider", "-p", "tests.mutations.witness"]
    done = subprocess.run(
        [*command, *plugins, f"--timeout={TEST_SECONDS_MAX}", *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": "", REPORT: str(report)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    printed = "\n".join(done.stdout.splitlines()[-LINES_TOLD_MAX:])
    if not report.is_file():
        errors = ("pytest did not begin",)
        return _Run(status=done.returncode, failed={}, errors=errors, files=(), printed=printed)
    told = json.loads(report.read_text(encoding="utf-8"))
    strangers = [file for file in told["files"] if copy not in Path(file).parents]
    assert not strangers, f"not the code of the copy: {strangers}"
    return _Run(status=done.returncode, printed=printed, **told)
