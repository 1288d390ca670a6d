"""The same debit by Kafka Streams (`bench/peer/`), exactly once: a process in another language."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.surroundings import Surroundings, started

FOLDER = Path(__file__).parent / "peer"
CLASSES, LIBRARIES = FOLDER / "target" / "classes", FOLDER / "target" / "lib"
ALL_AT_ONCE = ("peer-marks", "peer-debits")
PACED = ("peer-marks-paced", "peer-debits-paced")
"""Topics of marks and debits: who begins anew with another commit interval reads other ones."""
TOPICS = (*ALL_AT_ONCE, *PACED)
COMMIT_MS_DEFAULT = 0
"""What Kafka Streams takes for exactly once: 100 ms."""
COMMIT_MS_LATENCY = 10
"""What one would set who wants debits soon."""
STORE = "rocksdb"
"""Or `memory`; both are backed by a changelog topic."""
THREADS = 2


def why_not() -> str | None:
    """Build the peer; return why it cannot run, or None if it can."""
    for program, name in (("java", "Java"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            return f"skipped: no {name}"
    sources = [FOLDER / "pom.xml", *FOLDER.glob("src/**/*.java")]
    made = CLASSES / "bench" / "Peer.class"
    newest = max(source.stat().st_mtime for source in sources)
    if LIBRARIES.is_dir() and made.exists() and made.stat().st_mtime > newest:
        return None
    done = subprocess.run(
        ["mvn", "-q", "-B", "package"], cwd=FOLDER, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        return f"skipped: mvn package failed: {done.stdout.strip()[:500]}"
    made.touch()
    return None


@contextlib.contextmanager
def running(
    around: Surroundings, topics: tuple[str, str], *, commit_ms: int, partitions: int
) -> Iterator[int]:
    """Run it from a topic of marks to one of debits; yield its pid."""
    name = f"{topics[0]}-{partitions}"
    threads = str(min(THREADS, partitions))
    with tempfile.TemporaryDirectory() as state:
        command = ["java", "-cp", f"{CLASSES}:{LIBRARIES}/*", "bench.Peer", around.bootstrap]
        command += [*topics, name, state, str(commit_ms), STORE, threads]
        with started(command, "RUNNING") as pid:
            yield pid
