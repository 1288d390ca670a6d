"""`python -m rulebook check [PATH ...]`: are these tables whole?"""

import sys
from collections.abc import Sequence

from rulebook.loading import check_paths

USAGE = "usage: python -m rulebook check [PATH ...]   (default: services)"


def main(arguments: Sequence[str]) -> int:
    """Check tables and say what is wrong; returns 0 if all is well, 1 if not, 2 for misuse."""
    if not arguments or arguments[0] != "check":
        print(USAGE, file=sys.stderr)
        return 2
    problems = check_paths(arguments[1:] or ["services"])
    for problem in problems:
        print(problem)
    if not problems:
        print("All tables are whole, and their examples hold.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
