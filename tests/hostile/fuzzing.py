"""`python -m tests.hostile.fuzzing [seconds]`: coverage-guided fuzzing of the decoder.

Needs atheris (`.venv/bin/pip install atheris`; Linux), which is not among the locked tools: nothing
else needs it. Starts from the catalogue and the examples of all events; what it finds is printed
with its bytes. Promised is: any bytes are an event, or have a reason of the closed list; and what
is an event stays the same event when it is written and read again.
"""

import importlib
import sys
import tempfile
from pathlib import Path

import orjson

import contracts
from streaming.bus import Record
from tests.hostile.catalogue import CATALOGUE

SECONDS = 60


class BrokenPromise(Exception):  # noqa: N818 - what the fuzzer looks for
    """What must hold for any bytes does not."""


def one_input(value: bytes) -> None:
    """Check the promise for some bytes. Raises BrokenPromise, or whatever the decoder lets out."""
    # Imported here: the fuzzer makes its own copy of what it looks into.
    from contracts.decisions import DeadLetterReason
    from contracts.registry import EVENTS
    from streaming import decoding

    try:
        decoded = decoding.decode(_record(value), EVENTS)
    except decoding.Defect as defect:
        if str(defect.reason) not in list(map(str, DeadLetterReason)):
            raise BrokenPromise(f"{defect.reason} is not in the list") from defect
        if not defect.detail.isprintable():
            raise BrokenPromise(f"{defect.detail!r} cannot be printed") from defect
        return
    again = decoding.decode(
        _record(orjson.dumps(decoded.envelope.model_dump(mode="json", exclude_defaults=True))),
        EVENTS,
    )
    if again != decoded:
        raise BrokenPromise("written and read again it is another event")


def _record(value: bytes) -> Record:
    return Record("attendance.events.v1", 0, 0, 0, b"25701000", value)


def beginning() -> list[bytes]:
    """Return the bytes to start from."""
    examples = (Path(contracts.__file__).parent / "examples").glob("*.json")
    return [
        *(one.value for one in CATALOGUE if one.value is not None and len(one.value) < 4_096),
        *(orjson.dumps(orjson.loads(path.read_bytes())) for path in sorted(examples)),
    ]


def main() -> None:
    """Fuzz for so many seconds."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        sys.exit("atheris is not there: .venv/bin/pip install atheris")
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with atheris.instrument_imports(include=["contracts", "streaming.decoding", "json"]):
        one_input(b"{}")
    with tempfile.TemporaryDirectory() as corpus:
        for number, value in enumerate(beginning()):
            Path(corpus, f"{number:04d}").write_bytes(value)
        options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5", corpus]
        atheris.Setup([sys.argv[0], *options], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
