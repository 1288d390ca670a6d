"""`python -m bench [quick]`: the durable debit beside a limit, the usual way and a peer.

bench/README.md lists the other commands, and says what each measures and what it does not.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from bench import (
    chart,
    fanout,
    guard,
    month_end,
    night,
    pages,
    rebuild,
    region,
    scaling,
    steady,
    ways,
)

Amount = TypeVar("Amount")

RESULTS = Path("bench/results")
WIDTH_MIN = 120
"""Characters of a line; what is not a terminal is taken for narrower than the tables are."""


def side_by_side(arguments: list[str]) -> int:
    """Run the bench, print its tables, keep its figures; 1 if mails missed a goal."""
    console, quick, begun = wide(), is_quick(arguments), time.monotonic()
    result = ways.measured(quick, console)
    ways.shown(result, console)
    reached = True
    if not quick:
        pages.shown(result["pages"], console)
        reached = fanout.shown(result["drained_mails"], result["paced_mails"], console)
    keep("ways", result, quick=quick, console=console)
    console.print(f"{time.monotonic() - begun:.0f} s")
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
    return guard.main(write="--write" in arguments, memory="memory" in arguments)


def enrollment_night(arguments: list[str]) -> int:
    """Let the night of enrollment happen; 1 if a promise was broken."""
    console, quick = wide(), is_quick(arguments)
    result = night.measured(quick=quick, console=console)
    return reported("night", result, night.shown, quick=quick, console=console)


def end_of_month(arguments: list[str]) -> int:
    """Let a month end; 1 if a promise was broken."""
    console, quick = wide(), is_quick(arguments)
    amount = chosen(arguments, month_end.FULL, hour=month_end.HOUR, quick=month_end.QUICK)
    result = month_end.measured(amount, console)
    return reported("month_end", result, month_end.shown, quick=quick, console=console)


def steadily(arguments: list[str]) -> int:
    """Send a thousand marks a second for minutes; 1 if too many debits were slow."""
    console, quick = wide(), is_quick(arguments)
    seconds = chosen(
        arguments, steady.SECONDS, hour=steady.HOUR_SECONDS, quick=steady.QUICK_SECONDS
    )
    result = steady.measured(seconds, quick=quick, console=console)
    return reported("steady", result, steady.shown, quick=quick, console=console)


def whole_region(arguments: list[str]) -> int:
    """Make a whole region and let days pass; 1 if a promise was broken."""
    console, quick = wide(), is_quick(arguments)
    result = region.measured(region.QUICK if quick else region.FULL, console)
    return reported("region", result, region.shown, quick=quick, console=console)


def growing(arguments: list[str]) -> int:
    """Measure what a mark costs as certificates and payers become more; 1 if that is not flat."""
    console, quick = wide(), is_quick(arguments)
    result = scaling.measured(quick=quick, million="million" in arguments, console=console)
    return reported("scaling", result, scaling.shown, quick=quick, console=console)


def drawing(arguments: list[str]) -> int:
    """Draw the file of a run."""
    if len(arguments) != 1:
        print("Which run? python -m bench chart bench/results/FILE.json", file=sys.stderr)
        return 2
    return chart.main(Path(arguments[0]))


def wide() -> Console:
    """Return a console that shows whole tables."""
    return Console(width=max(Console().width, WIDTH_MIN))


def reported(
    name: str,
    result: dict[str, Any],
    shown: Callable[[dict[str, Any], Console], bool],
    *,
    quick: bool,
    console: Console,
) -> int:
    """Show what was measured and keep it; return the exit code, 1 if not all was as promised."""
    reached = shown(result, console)
    keep(name, result, quick=quick, console=console)
    return 0 if reached else 1


def keep(name: str, result: dict[str, Any], *, quick: bool, console: Console) -> None:
    """Write the figures of a run to a file of their own."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    amount = "quick" if quick else "full"
    file = RESULTS / f"{name}-{amount}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    file.write_text(json.dumps(result, indent=1))
    console.print(f"Figures in {file}")


def chosen(arguments: list[str], usual: Amount, *, hour: Amount, quick: Amount) -> Amount:
    """Return how much is to be measured."""
    if "hour" in arguments:
        return hour
    return quick if is_quick(arguments) else usual


def is_quick(arguments: list[str]) -> bool:
    """Return whether little is to be measured."""
    return "quick" in arguments


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "chart": drawing,
    "fanout": mails,
    "guard": guarding,
    "month_end": end_of_month,
    "night": enrollment_night,
    "pages": pages_alone,
    "rebuild": rebuilding,
    "region": whole_region,
    "scaling": growing,
    "steady": steadily,
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
