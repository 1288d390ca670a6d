"""`pfdo rules`, `contracts`, `topics`, `calendar`, `doctor`: what keeps an installation well."""

import asyncio
import json as json_module
import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from pfdo import options
from pfdo.options import BusOption, DataOption, JsonOption

TIME_ZONE = "Asia/Irkutsk"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    rules = typer.Typer(help="Rule tables: check, show, explain.", no_args_is_help=True)
    for command, name in ((rules_check, "check"), (rules_show, "show"), (rules_explain, "explain")):
        rules.command(name)(command)
    app.add_typer(rules, name="rules")
    contracts = typer.Typer(help="What services say to each other.", no_args_is_help=True)
    contracts.command("check")(contracts_check)
    contracts.command("export")(contracts_export)
    app.add_typer(contracts, name="contracts")
    topics = typer.Typer(help="The topics on the bus.", no_args_is_help=True)
    topics.command("create")(topics_create)
    app.add_typer(topics, name="topics")
    app.command()(calendar)
    app.command()(doctor)


def rules_check(
    path: Annotated[list[Path] | None, typer.Argument(help="Files or folders.")] = None,
) -> None:
    """Check rule tables and their examples for gaps, overlaps, dead rows and wrong words."""
    import services
    from rulebook.loading import check_paths

    paths = path or [Path(services.__file__).parent]
    problems = check_paths(paths)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(options.NO)
    print("The rule tables are whole, and their examples hold.")


TableArgument = Annotated[str, typer.Argument(help="billing.charging, …")]
PayerOption = Annotated[str | None, typer.Option("--payer", help="With its own versions.")]
DayOption = Annotated[str | None, typer.Option("--day", help="YYYY-MM-DD; today without it.")]


def rules_show(
    context: typer.Context,
    table: TableArgument,
    payer: PayerOption = None,
    day: DayOption = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Show the rows in force on a day, with a payer's own versions, and since which paper."""
    from rulebook.errors import NotInForceError
    from rulebook.explain import show

    found = _table(table)
    overlays = _overlays(context, payer, table, data, bus)
    try:
        shown: Any = show(found, _day(day), overlays)
    except NotInForceError as error:
        options.stop(str(error), options.NO)
    if json or options.common(context).json:
        options.print_json(shown)
        return
    print(f"{shown['table']}, in force from {shown['from']}: {shown['basis']}")
    for row in shown["rows"]:
        told = json_module.dumps({"when": row["when"], "then": row["then"]}, ensure_ascii=False)
        print(f"  {row['id']} ({row['by']}): {told}  {row['says']}")


def rules_explain(
    context: typer.Context,
    table: TableArgument,
    case: Annotated[list[str], typer.Argument(help="input=value …")],
    payer: PayerOption = None,
    day: DayOption = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate one case and say why."""
    from rulebook.errors import RulebookError
    from rulebook.explain import explain, inputs_from_text

    found = _table(table)
    overlays = _overlays(context, payer, table, data, bus)
    try:
        told = explain(found, _day(day), inputs_from_text(found, case), overlays)
    except RulebookError as error:
        options.stop(str(error), options.WRONG)
    options.print_json(told)
    del json  # There is no shorter form that says as much.


def _table(name: str) -> Any:
    from rulebook.errors import UnknownTableError
    from rulebook.loading import Rulebook

    service = name.partition(".")[0]
    try:
        return Rulebook.load(f"services.{service}").table(name)
    except (UnknownTableError, ModuleNotFoundError, OSError):
        options.stop(f"{name} is no table. They stand in services/*/rules/.", options.WRONG)


def _day(text: str | None) -> date:
    from zoneinfo import ZoneInfo

    if text is None:
        return datetime.now(ZoneInfo(TIME_ZONE)).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        options.stop(f"{text} is no day; write YYYY-MM-DD.", options.WRONG)


def _overlays(
    context: typer.Context, payer: str | None, table: str, data: Path | None, bus: str | None
) -> Any:
    """Return what a payer has published for a table and was accepted."""
    from rulebook.overlay import NO_OVERLAYS

    if payer is None:
        return NO_OVERLAYS
    settings = options.settings_of(context, data, bus)
    return options.run(lambda: _published(settings, payer, table))


async def _published(settings: Any, payer: str, table: str) -> Any:
    from contracts.topics import journal_of
    from pfdo.records import whole
    from rulebook.overlay import Overlays
    from streaming.installation import open_installation

    accepted = []
    async with open_installation(settings) as installation:
        journal = journal_of(table.partition(".")[0]).name
        for record in await whole(installation, [journal]):
            fact = json_module.loads(record.value or b"{}")
            told = fact["data"].get("input") or {}
            if (
                fact.get("partitionkey") == payer
                and fact["type"].endswith(".input-noted.v1")
                and told.get("type") == "payers.rules-published.v1"
                and told["data"]["table"] == table
            ):
                accepted.append(told["data"])
    return Overlays.from_data(accepted)


def contracts_check() -> None:
    """Check schemas, examples and documents against the models, and with the last release."""
    from contracts.generate import check

    problems = check()
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(options.NO)
    print("The contracts are current and compatible with the last release.")


def contracts_export(
    directory: Annotated[Path, typer.Argument(help="Where to write.")],
) -> None:
    """Write JSON Schemas, AsyncAPI and examples to a directory."""
    from contracts.generate import export

    print(f"{export(directory)} files in {directory}")


def topics_create(
    context: typer.Context,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Make the topics that are not there yet."""
    settings = options.settings_of(context, data, bus)
    made = options.run(lambda: _create(settings))
    if json or options.common(context).json:
        options.print_json({"created": sorted(made)})
    else:
        print(f"{len(made)} topics made." if made else "All topics are there.")


async def _create(settings: Any) -> list[str]:
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        return list(await installation.bus.create_topics(installation.topics))


def calendar(
    context: typer.Context,
    from_: Annotated[str | None, typer.Option("--from", help="First day to publish.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Last day to publish.")] = None,
    data: DataOption = None,
    bus: BusOption = None,
) -> None:
    """Publish business days into every partition; follows the clock without options."""
    settings = options.settings_of(context, data, bus)
    first, last = (None if text is None else _day(text) for text in (from_, until))
    if first is not None and last is not None and last < first:
        options.stop(f"--until {last} lies before --from {first}.", options.WRONG)
    options.run(lambda: _calendar(settings, first, last), logging.INFO)


async def _calendar(settings: Any, first: date | None, last: date | None) -> None:
    from zoneinfo import ZoneInfo

    from streaming.installation import open_installation
    from streaming.telemetry import Telemetry

    log = Telemetry().log
    zone = ZoneInfo(TIME_ZONE)
    async with open_installation(settings) as installation:
        if first is not None or last is not None:
            today = datetime.now(zone).date()
            for day in _days(first or last or today, last or today):
                await _open_day(installation, day)
                print(f"{day} opened")
            return
        opened: date | None = None
        while True:
            today = datetime.now(zone).date()
            if opened is None or today > opened:
                await _open_day(installation, today)
                log.info("day opened", reason=today.isoformat())
                opened = today
            midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), zone)
            left = (midnight - datetime.now(zone)).total_seconds()
            await asyncio.sleep(min(max(left, 0.1), 60.0))


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


async def _open_day(installation: Any, day: date) -> None:
    from contracts.topics import CALENDAR
    from pfdo.playing import HEADERS
    from streaming.bus import Outgoing

    event = {
        "specversion": "1.0",
        "id": f"day-{day}",
        "source": "/calendar",
        "type": "calendar.day-opened.v1",
        "time": f"{day}T00:00:00+08:00",
        "subject": str(day),
        "datacontenttype": "application/json",
        "data": {"date": str(day)},
    }
    value = json_module.dumps(event).encode()
    partitions = range(installation.bus.partitions)
    await installation.bus.publish(
        [Outgoing(CALENDAR.name, partition, None, value, HEADERS) for partition in partitions]
    )


def doctor(
    context: typer.Context,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Say what is reachable, which versions, which settings are unsafe, and what to do."""
    from pfdo.examination import examine

    settings = options.settings_of(context, data, bus)
    findings = options.run(lambda: examine(settings))
    if json or options.common(context).json:
        options.print_json(findings)
    else:
        for finding in findings:
            print(f"{'ok  ' if finding['ok'] else 'BAD '} {finding['what']}: {finding['found']}")
            if finding["remedy"]:
                print(f"     → {finding['remedy']}")
    raise typer.Exit(options.DONE if all(finding["ok"] for finding in findings) else options.NO)
