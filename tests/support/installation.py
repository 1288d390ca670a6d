"""An installation as its users have it: through `pfdo` alone, in processes of its own."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS_MAX = 200
OWNED = r"^pfdo_partition_owned\{[^}]*\} 1"


def metrics_of(process: "subprocess.Popen[bytes]", port: int, pattern: str) -> list[str]:
    """Return what is found of a pattern in the metrics; nothing while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            return re.findall(pattern, page.read().decode(), re.MULTILINE)
    except OSError:
        assert process.poll() is None, "it ended"
        return []


class Installation:
    """An installation in a data directory; `environment` may name a Kafka and a Redis."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PFDO_")}
        self.environment = clean | dict(environment or {})

    def pfdo(
        self, *arguments: str, stdin: bytes | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "pfdo", *arguments, "--data", str(self.data)],
            input=stdin,
            capture_output=True,
            timeout=SECONDS_MAX,
            env=self.environment,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Return the one document a command prints."""
        done = self.pfdo(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the documents a command prints, one a line."""
        done = self.pfdo(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, *arguments: str, **settings: str) -> "subprocess.Popen[bytes]":
        """Start a command, with settings of its own, and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "pfdo", *arguments, "--data", str(self.data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment | settings,
        )

    def decisions(self) -> dict[str, list[tuple[str, str | None]]]:
        """Return by id what was decided about each input, days apart."""
        found: dict[str, list[tuple[str, str | None]]] = {}
        for line in self.lines("inputs"):
            if line["topic"] != "calendar.events.v1":
                found.setdefault(line["id"], []).append((line["decision"], line["reason"]))
        return found
