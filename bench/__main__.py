"""`python -m bench [quick]`: the durable debit beside a limit, the usual way and a peer.

bench/README.md lists the other commands, and says what each measures and what it does not.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench import chart, fanout, guard, pages, rebuild, ways

RESULTS = Path("bench/results")


def side_by_side(arguments: list[str]) -> int:
    """Run the bench, print its tables, keep its figures; 1 if mails missed a goal."""
    console, quick, begun = Console(), is_quick(arguments), time.monotonic()
    result = ways.measured(quick, console)
    ways.shown(result, console)
    reached = True
    if not quick:
        pages.shown(result["pages"], console)
        reached = fanout.shown(result["drained_mails"], result["paced_mails"], console)
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{'quick' if quick else 'full'}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    file.write_text(json.dumps(result, indent=1))
    console.print(f"{time.monotonic() - begun:.0f} s; figures in {file}")
    return 0 if reached else 1


def pages_alone(arguments: list[str]) -> int:
    """Measure pages alone."""
    console = Console()
    pages.shown(ways.pages_alone(quick=is_quick(arguments), console=console), console)
    return 0


def rebuilding(arguments: list[str]) -> int:
    """Measure folding alone; 1 if its goal was missed."""
    return 0 if rebuild.shown(rebuild.measured(quick=is_quick(arguments)), Console()) else 1


def mails(arguments: list[str]) -> int:
    """Measure mails alone; 1 if a goal was missed."""
    return fanout.main(quick=is_quick(arguments))


def guarding(arguments: list[str]) -> int:
    """Hold ratios against those of before; 1 if one fell."""
    return guard.main(write="--write" in arguments)


def drawing(arguments: list[str]) -> int:
    """Draw the file of a run."""
    if len(arguments) != 1:
        print("Which run? python -m bench chart bench/results/FILE.json", file=sys.stderr)
        return 2
    return chart.main(Path(arguments[0]))


def is_quick(arguments: list[str]) -> bool:
    """Return whether little is to be measured."""
    return "quick" in arguments


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "chart": drawing,
    "fanout": mails,
    "guard": guarding,
    "pages": pages_alone,
    "rebuild": rebuilding,
}


def main(arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    if arguments not in ([], ["quick"]):
        print(f"There are: {', '.join(COMMANDS)}, quick, and nothing at all.", file=sys.stderr)
        return 2
    return side_by_side(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
