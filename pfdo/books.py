"""`pfdo verify`, `rebuild`, `state`, `ledger`: the books counted again, folded again, shown."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pfdo import options
from pfdo.options import BusOption, DataOption, JsonOption

if TYPE_CHECKING:
    from pfdo.rebuilding import Rebuilt
    from streaming.installation import Installation

FOLLOW_SECONDS = 1.0
WAIT_SECONDS = 10.0
FOLLOW_WAIT_SECONDS = 120.0
"""Longer than another process takes to take over from one that is gone."""
AGAINST_STATE = "I08"
FACTS_WORTH_PROCESSES = 10_000
"""Below that starting processes takes longer than folding."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (verify, rebuild, ledger):
        app.command()(command)
    state = typer.Typer(help="What services store.", no_args_is_help=True)
    state.command("drop")(state_drop)
    app.add_typer(state, name="state")


# --- verify ------------------------------------------------------------------------------------


def verify(
    context: typer.Context,
    against_state: Annotated[
        bool, typer.Option("--against-state", help="Fold the journals and compare with the stores.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds that inputs may still take to be decided.",
            show_default=f"{WAIT_SECONDS:.0f}, with --follow {FOLLOW_WAIT_SECONDS:.0f}",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Count on until something does not hold, or Ctrl-C.")
    ] = False,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Count the books again, with code that shares nothing with the services, and compare."""
    if follow and against_state:
        told = "A state that moves cannot be compared: take --follow or --against-state, not both."
        options.stop(told, options.WRONG)
    settings = options.settings_of(context, data, bus)
    begun = time.monotonic()
    wait_seconds = wait if wait is not None else FOLLOW_WAIT_SECONDS if follow else WAIT_SECONDS
    found = options.run(
        lambda: _verify(settings, wait_seconds, against_state=against_state, follow=follow),
        runs_until_told=follow,
    )
    if json or options.common(context).json:
        options.print_json(found)
    else:
        _print_verified(found, time.monotonic() - begun)
    raise typer.Exit(options.DONE if found["ok"] else options.NO)


async def _verify(
    settings: Any, wait_seconds: float, *, against_state: bool, follow: bool
) -> dict[str, Any]:
    from pfdo.verifying import begin, count_books, follow_books
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        counting = await begin(installation)
        if follow:
            await follow_books(counting, wait_seconds, FOLLOW_SECONDS)
        total = sum(counting.count.ends.values()) - sum(counting.positions.values())
        with options.progress("Counting", total) as counting.advance:
            count = await count_books(counting, 0.0 if follow else wait_seconds)
        checked = count.checked()
        if against_state:
            checked["state_records"] = await _against_state(installation, count.findings)
            checked["invariants"] = [*count.invariants, AGAINST_STATE]
    findings = count.findings
    return {
        "ok": findings.ok,
        "checked": checked,
        "violations": [violation.to_json() for violation in findings.listed],
        "violations_in_all": findings.totals.total(),
    }


async def _against_state(installation: "Installation", findings: Any) -> int:
    """Report where a state is not what its journal gives; return how many records were folded."""
    from pfdo.system import SERVICES
    from streaming.errors import HaltError

    folded = 0
    for service in SERVICES:
        try:
            for rebuilt in await _rebuilt(installation, service, None, dry_run=True):
                folded += rebuilt.facts
                if not rebuilt.equal:
                    said = f"{service}/{rebuilt.partition}: {_difference(rebuilt)}"
                    events = [rebuilt.last_event] if rebuilt.last_event else []
                    findings.report(AGAINST_STATE, said, events)
        except HaltError as error:
            findings.report(AGAINST_STATE, f"{service}: {error}")
    return folded


def _print_verified(found: Mapping[str, Any], seconds: float) -> None:
    for name, number in found["checked"].items():
        shown = " ".join(number) or "none" if isinstance(number, list) else f"{number:,}"
        print(f"{name.replace('_', ' '):16} {shown}")
    for violation in found["violations"]:
        print(f"{violation['invariant']}  {violation['detail']}")
    hidden = found["violations_in_all"] - len(found["violations"])
    if hidden:
        print(f"and {hidden:,} more of the same invariants")
    if found["ok"]:
        print(f"All of it holds, counted again in {seconds:.1f} s.")
        return
    print("It does NOT hold. What led to a record, and what followed: pfdo why EVENT_ID")
    if any(violation["invariant"] == AGAINST_STATE for violation in found["violations"]):
        print("A state that is not what its journal gives: stop its service, pfdo rebuild SERVICE")


# --- rebuild -----------------------------------------------------------------------------------


def rebuild(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="enrollment, certificates, billing, …")],
    partition: Annotated[int | None, typer.Option(help="Only this one.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Fold in memory and compare; change nothing.")
    ] = False,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Fold a service's journal into an emptied store, or compare the fold with the live one."""
    from pfdo.system import SERVICES

    if service not in SERVICES:
        options.stop(f"{service} keeps no journal; there are {', '.join(SERVICES)}.", options.WRONG)
    settings = options.settings_of(context, data, bus)
    if partition is not None and not 0 <= partition < settings.partitions_or_default:
        last = settings.partitions_or_default - 1
        options.stop(f"There are the partitions 0 to {last}.", options.WRONG)
    begun = time.monotonic()
    done = options.run(lambda: _rebuild(settings, service, partition, dry_run=dry_run))
    seconds = time.monotonic() - begun
    if json or options.common(context).json:
        options.print_json({"partitions": [rebuilt.to_json() for rebuilt in done]})
    else:
        _print_rebuilt(service, done, seconds, dry_run=dry_run)
    is_well = all(rebuilt.equal for rebuilt in done) or not dry_run
    raise typer.Exit(options.DONE if is_well else options.NO)


async def _rebuild(
    settings: Any, service: str, partition: int | None, *, dry_run: bool
) -> "list[Rebuilt]":
    from pfdo.system import running_now
    from streaming.errors import BehindError, FencedError
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        if not dry_run and service in await running_now(settings):
            options.stop(
                f"{service} runs here: stop it first, all its processes, then rebuild. To compare "
                "only: --dry-run.",
                options.WRONG,
            )
        try:
            return await _rebuilt(installation, service, partition, dry_run=dry_run)
        except (FencedError, BehindError) as error:
            options.stop(
                f"{error}. {service} was started meanwhile and folds it by itself; to be "
                "sure stop it and rebuild again.",
                options.NO,
            )


async def _rebuilt(
    installation: "Installation", service: str, partition: int | None, *, dry_run: bool
) -> "list[Rebuilt]":
    from pfdo.rebuilding import in_processes, rebuilding_of

    rebuilding = await rebuilding_of(installation, service)
    chosen = range(installation.bus.partitions) if partition is None else [partition]
    total = sum([await rebuilding.facts(one) for one in chosen])
    with options.progress(f"Folding {service}", total) as advance:
        if total >= FACTS_WORTH_PROCESSES:
            return await in_processes(
                installation.settings, service, chosen, advance, dry_run=dry_run
            )
        return [await rebuilding.fold(one, advance, dry_run=dry_run) for one in chosen]


def _print_rebuilt(
    service: str, done: "Sequence[Rebuilt]", seconds: float, *, dry_run: bool
) -> None:
    for rebuilt in done:
        said = _difference(rebuilt)
        print(f"{service}/{rebuilt.partition}: {rebuilt.facts:,} facts, {said}")
    facts = sum(one.facts for one in done)
    if facts:
        per_million = seconds / facts * 1_000_000
        print(f"Folded in {seconds:.1f} s: {per_million:,.0f} s for a million facts.")
    if any(one.equal is False for one in done):
        print(
            f"Set it right: stop {service}, then pfdo rebuild {service}"
            if dry_run
            else "Now it is. How it came about is worth a look: was a Redis restored from a copy?"
        )


def _difference(rebuilt: "Rebuilt") -> str:
    if rebuilt.equal is None:
        return "the state does not stand still: compare when the services rest (pfdo settle)"
    if rebuilt.equal:
        return "the state is what the journal gives"
    return f"the state was not what the journal gives: {', '.join(rebuilt.differences)}"


# --- state drop --------------------------------------------------------------------------------


def state_drop(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="billing, …, senders or cabinet.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Only this one; without it all earlier ones.")
    ] = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Remove the states that other versions of a service left, when no process of them runs."""
    settings = options.settings_of(context, data, bus)
    dropped = options.run(lambda: _dropped(settings, service, version))
    if json or options.common(context).json:
        options.print_json([{"version": v, "partitions": n} for v, n in dropped.items()])
        return
    for one, partitions in dropped.items():
        if partitions:
            print(f"{service}: the state of version {one} is removed, {partitions} partitions.")
    if not any(dropped.values()):
        print(f"{service}: there is no such state.")


async def _dropped(settings: Any, service: str, version: int | None) -> Mapping[int, int]:
    from pfdo.versions import NotDroppedError, drop, reader_of
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        try:
            reader = reader_of(installation, service)
            versions = range(1, reader.version) if version is None else [version]
            return await drop(installation, reader, versions)
        except NotDroppedError as error:
            options.stop(str(error), options.WRONG)


# --- ledger ------------------------------------------------------------------------------------


def ledger(
    context: typer.Context,
    payer: Annotated[str | None, typer.Option(help="Only of this payer.")] = None,
    period: Annotated[str | None, typer.Option(help="Only of this period.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day, YYYY-MM-DD.")] = None,
    entries: Annotated[
        bool, typer.Option("--entries", help="Each posting, with the fact it comes from.")
    ] = False,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Show the books by double entry: trial balance by payer, period and day."""
    settings = options.settings_of(context, data, bus)
    day = None if until is None else options.day_of(until)
    book = options.run(lambda: _ledger(settings, payer, period, day, with_entries=entries))
    if json or options.common(context).json:
        options.print_json(book)
    elif book["books"]:
        _print_ledger(book)
    if not book["books"]:
        options.stop("There are no entries. Which payers there are: pfdo export", options.NO)
    raise typer.Exit(options.DONE if book["sums_to_zero"] else options.NO)


async def _ledger(
    settings: Any, payer: str | None, period: str | None, until: date | None, *, with_entries: bool
) -> dict[str, Any]:
    from pfdo import bookkeeping
    from services.billing.domain.ledger import TrialBalances, trial_balances
    from streaming.installation import open_installation

    chosen = bookkeeping.Chosen(payer=payer, period=period, until=until)
    rows: list[dict[str, Any]] = []
    trial: TrialBalances = {}
    async with open_installation(settings) as installation:
        total = await bookkeeping.records(installation)
        with options.progress("Reading", total) as advance:
            async for batch in bookkeeping.entries(installation, chosen, advance):
                trial = trial_balances(batch, trial)
                if with_entries:
                    rows += map(bookkeeping.posting_rows, batch)
    books = bookkeeping.balance_sheet(trial)
    document = {
        "until": None if until is None else until.isoformat(),
        "sums_to_zero": all(
            part["sum_kopecks"] == 0 for book in books for part in (book, *book["days"])
        ),
        "books": books,
    }
    return document | {"entries": rows} if with_entries else document


def _print_ledger(book: Mapping[str, Any]) -> None:
    for row in book.get("entries", ()):
        for posting in row["postings"]:
            print(
                f"{row['day']}  {row['event']:20} {_roubles(posting['kopecks'])}  "
                f"{posting['account']}"
            )
    for of_payer in book["books"]:
        print(f"\nPayer {of_payer['payer']}, period {of_payer['period']}, in roubles")
        kinds = of_payer["balances_kopecks"]
        print(f"{'':12}" + "".join(f"{kind:>16}" for kind in (*kinds, "sum")))
        for day in of_payer["days"]:
            _print_row(day["day"], [*day["moved_kopecks"].values(), day["sum_kopecks"]])
        _print_row("balance", [*kinds.values(), of_payer["sum_kopecks"]])
    if book["sums_to_zero"]:
        print("\nEach day of each payer and period sums to zero.")
    else:
        print("\nIt does NOT sum to zero: pfdo verify says at which fact.")


def _print_row(name: str, sums: Iterable[int]) -> None:
    print(f"{name:12}" + "".join(_roubles(kopecks) for kopecks in sums))


def _roubles(kopecks: int) -> str:
    sign = "-" if kopecks < 0 else ""
    shown = f"{sign}{abs(kopecks) // 100:,}.{abs(kopecks) % 100:02d}"
    return f"{shown:>16}"
