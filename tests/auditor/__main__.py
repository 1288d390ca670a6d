"""Print what must come of a play file, as one JSON document."""

import argparse
import json
from pathlib import Path

from tests.auditor.count import count
from tests.auditor.report import report


def main() -> None:
    """Count the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.auditor", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="a play file")
    with parser.parse_args().file.open(encoding="utf-8") as lines:
        world, entries = count(lines)
    print(json.dumps(report(world, entries), ensure_ascii=False, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
