"""Plant the faults of a list one by one in a copy of the project, and tell which test caught each.

Exits with 1 if a fault survives, or if its old text does not stand exactly once in its file; with 2
if the tests do not pass without any fault.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.mutations.listing import LIST, Mutation, read
from tests.mutations.replaying import BaselineFailedError, Outcome, Verdict, replay


def main(arguments: list[str] | None = None) -> int:
    """Replay what the command line asks for; return the exit status."""
    asked = _parsed(arguments)
    mutations = read(asked.list)
    if asked.only:
        unknown = set(asked.only) - {mutation.id for mutation in mutations}
        if unknown:
            print(f"mutations: not in {asked.list}: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
        mutations = tuple(mutation for mutation in mutations if mutation.id in asked.only)
    outcomes: list[Outcome] = []
    try:
        for mutation, outcome in replay(mutations, jobs=asked.jobs):
            outcomes.append(outcome)
            print(_line(mutation, outcome), flush=True)
    except BaselineFailedError as error:
        print(f"mutations: without any fault the tests do not pass:\n{error}", file=sys.stderr)
        return 2
    caught = sum(outcome.verdict is Verdict.CAUGHT for outcome in outcomes)
    print(f"{caught} of {len(outcomes)} planted faults were caught")
    return 0 if caught == len(outcomes) else 1


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", metavar="ID", action="append", help="replay this one; repeatable")
    parser.add_argument(
        "--jobs",
        type=int,
        choices=range(1, 65),
        metavar="N",
        default=os.cpu_count() or 1,
        help="so many at a time",
    )
    parser.add_argument("--list", type=Path, metavar="FILE", default=LIST, help="another list")
    return parser.parse_args(arguments)


def _line(mutation: Mutation, outcome: Outcome) -> str:
    told = ", ".join(outcome.caught_by) if outcome.verdict is Verdict.CAUGHT else outcome.told
    verdict = "" if outcome.verdict is Verdict.CAUGHT else f"{outcome.verdict.value.upper()}: "
    return f"{mutation.id:<44} {outcome.seconds:6.1f} s  {verdict}{told}"


if __name__ == "__main__":
    sys.exit(main())
