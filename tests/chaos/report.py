"""What a run has shown, in Markdown for people and JSON for machines."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.campaign import Blow, Course
from tests.chaos.processes import ROOT

SHOWN_MAX = 50
RECOVERY = (
    "Recovery: from when all faults of a round were lifted until every input was "
    "decided, every outbox empty and every reader at its end, with traffic going on."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run, as far as it is told."""

    command: str
    seed: int
    machine: str
    commit: str
    servers: str
    seconds: float
    events: int
    planned_faults: int
    course: Course
    deaths: Sequence[tuple[str, int]]
    records: dict[str, int]
    violations: Sequence[str]

    @property
    def is_void(self) -> bool:
        """Return whether there is a fault that nobody saw strike, not even the next time."""
        return bool(self.course.unseen) or (self.planned_faults > 0 and not self.course.blows)

    @property
    def is_clean(self) -> bool:
        """Return whether everything that was promised was kept, under all the faults."""
        return not self.is_void and not self.violations

    def by_kind(self) -> dict[str, list[Blow]]:
        """Return the faults that struck by kind."""
        kinds: dict[str, list[Blow]] = {}
        for blow in self.course.blows:
            kinds.setdefault(blow.kind, []).append(blow)
        return dict(sorted(kinds.items()))

    def to_json(self) -> dict[str, Any]:
        """Return everything."""
        return {
            "clean": self.is_clean,
            "void": self.is_void,
            "command": self.command,
            "seed": self.seed,
            "machine": self.machine,
            "commit": self.commit,
            "servers": self.servers,
            "seconds": round(self.seconds, 1),
            "events": self.events,
            "records": self.records,
            "planned_faults": self.planned_faults,
            "faults": [asdict(blow) for blow in self.course.blows],
            "struck_again": self.course.missed,
            "not_seen_to_strike": self.course.unseen,
            "deaths": list(self.deaths),
            "violations": list(self.violations),
        }

    def to_markdown(self) -> str:
        """Return what a person reads."""
        faults = f"{len(self.course.blows)} of {self.planned_faults} faults"
        verdict = (
            f"**{len(self.violations)} violations**"
            if self.violations
            else "**void: not every fault was seen to strike**"
            if self.is_void
            else "**0 violations**"
        )
        lines = [
            "# Chaos report",
            "",
            f"{verdict}: {self.events:,} events, {faults}, {self.seconds / 60:.0f} minutes.",
            "",
            "| | |",
            "|---|---|",
            f"| to repeat it | `{self.command}` |",
            f"| seed | {self.seed} |",
            f"| commit | {self.commit} |",
            f"| machine | {self.machine} |",
            f"| servers | {self.servers} |",
            f"| records on the bus | {sum(self.records.values()):,} |",
            f"| starts of a process that found a server away | {len(self.deaths)} |",
            f"| faults that nobody saw, struck again | {len(self.course.missed)} |",
            "",
            "| fault | struck | recovery, median | slowest |",
            "|---|---:|---:|---:|",
        ]
        for kind, blows in self.by_kind().items():
            seconds = sorted(b.recovery_seconds for b in blows if b.recovery_seconds is not None)
            median = seconds[len(seconds) // 2]
            lines.append(f"| {kind} | {len(blows)} | {median:.1f} s | {seconds[-1]:.1f} s |")
        lines += [
            "",
            RECOVERY,
            "",
        ]
        if self.violations:
            lines += ["## Violations", ""]
            lines += [f"* {violation}" for violation in self.violations[:SHOWN_MAX]]
            lines.append("")
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Write both."""
        (folder / "chaos-report.md").write_text(self.to_markdown(), encoding="utf-8")
        (folder / "chaos-report.json").write_text(
            json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )


def machine() -> str:
    """Return what this runs on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {kernel}, "
        f"Python {platform.python_version()}"
    )


def commit() -> str:
    """Return the commit of the code that ran, and whether it was changed."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed
