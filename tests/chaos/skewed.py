"""Runs a module with a wall clock that somebody else may set at any moment.

    python -m tests.chaos.skewed CLOCK MODULE [ARGUMENT…]

CLOCK is a file of two numbers of nanoseconds: how far the clock is off, which others write, and the
last time that was told here, so that it can be seen that the wrong time was told. Steady clocks
(`time.monotonic`) are left alone, as a wrong wall clock leaves them alone.
"""

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

SIZE_BYTES = 16
_OFF, _TOLD = struct.Struct("<q"), 8


def make_clock(file: Path) -> None:
    """Make the clock of a process, right at first."""
    file.write_bytes(bytes(SIZE_BYTES))


def set_clock(file: Path, off_seconds: float) -> None:
    """Put the clock wrong by so much."""
    with file.open("r+b") as opened:
        opened.write(_OFF.pack(int(off_seconds * 1e9)))


def told_seconds(file: Path) -> float:
    """Return the last time that was told, in seconds since 1970."""
    return float(_OFF.unpack(file.read_bytes()[_TOLD:])[0]) / 1e9


def main() -> None:
    """Run the module."""
    clock, module = sys.argv[1], sys.argv[2]
    with Path(clock).open("r+b") as opened:
        shared = mmap.mmap(opened.fileno(), SIZE_BYTES)
    true_ns = time.time_ns

    def time_ns() -> int:
        told = true_ns() + int(_OFF.unpack_from(shared, 0)[0])
        _OFF.pack_into(shared, _TOLD, told)
        return told

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
