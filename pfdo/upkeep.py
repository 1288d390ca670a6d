"""What keeps an installation well: `pfdo rules`, `contracts`, `topics`, `calendar`, `doctor`…"""

import json as json_module
import logging
from collections.abc import Collection
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pfdo import options
from pfdo.options import BusOption, DataOption, JsonOption


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
    topics.command("acls")(topics_acls)
    app.add_typer(topics, name="topics")
    app.command()(calendar)
    app.command()(watch)
    app.command()(canary)
    app.command()(doctor)


def rules_check(
    path: Annotated[list[Path] | None, typer.Argument(help="Files or folders.")] = None,
) -> None:
    """Check rule tables and their examples for gaps, overlaps, dead rows and wrong words."""
    import services
    from rulebook.loading import check_paths

    paths = path or [Path(services.__file__).parent]
    for missing in (each for each in paths if not each.exists()):
        options.stop(f"{missing} is not there: name a table or a folder of them.", options.WRONG)
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
    case: Annotated[list[str] | None, typer.Argument(help="input=value …")] = None,
    payer: PayerOption = None,
    day: DayOption = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate one case and say why."""
    from rulebook.errors import NotInForceError, RulebookError
    from rulebook.explain import explain, inputs_from_text

    found = _table(table)
    overlays = _overlays(context, payer, table, data, bus)
    try:
        told = explain(found, _day(day), inputs_from_text(found, case or ()), overlays)
    except NotInForceError as error:
        options.stop(str(error), options.NO)
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
    from pfdo.days import ZONE

    if text is None:
        return datetime.now(ZONE).date()
    return options.day_of(text)


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

    try:
        files = export(directory)
    except OSError as error:
        options.stop(
            f"{directory} cannot be written ({error.strerror}): name another.", options.WRONG
        )
    print(f"{files} files in {directory}")


def topics_create(
    context: typer.Context,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Make the topics that are not there yet, and set right what is set otherwise."""
    settings = options.settings_of(context, data, bus)
    made, corrected = options.run(lambda: _create(settings))
    if json or options.common(context).json:
        options.print_json({"created": sorted(made), "corrected": sorted(corrected)})
        return
    print(f"{len(made)} topics made." if made else "All topics are there.")
    for topic in sorted(corrected):
        print(f"  {topic}: its settings were corrected")


async def _create(settings: Any) -> tuple[Collection[str], Collection[str]]:
    from streaming.installation import open_installation
    from streaming.kafka import KafkaBus

    async with open_installation(settings) as installation:
        bus, topics = installation.bus, installation.topics
        made = await bus.create_topics(topics)
        corrected = await bus.correct_settings(topics) if isinstance(bus, KafkaBus) else ()
        return made, corrected


def topics_acls(
    context: typer.Context,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make Kafka match, as one who administers it.")
    ] = False,
    passwords: Annotated[
        Path | None,
        typer.Option(
            "--passwords", help="Also make the users: folder with a file kafka-USER each."
        ),
    ] = None,
    source_bytes_per_second: Annotated[
        int | None,
        typer.Option(min=1024, help="What a broker takes from each source; 1 MiB without it."),
    ] = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Show who may do what on the bus; all else is denied. With --apply make Kafka match."""
    from contracts.access import SOURCE_BYTES_PER_SECOND, principals, rights

    settings = options.settings_of(context, data, bus)
    if apply and not settings.uses_kafka:
        options.stop("Only Kafka has access lists: set PFDO_KAFKA_BOOTSTRAP.", options.WRONG)
    sources = options.sources_of(settings)
    wanted = rights(sources)
    done = None
    if apply:
        users = _passwords(passwords, principals(sources)) if passwords else {}
        quota = source_bytes_per_second or SOURCE_BYTES_PER_SECOND
        quotas = {source.name: quota for source in sources}
        done = options.run(lambda: _grant(settings, wanted, users, quotas))
    if json or options.common(context).json:
        options.print_json(
            [
                {
                    "principal": right.principal,
                    "resource": right.resource,
                    "name": right.name + ("*" if right.is_prefix else ""),
                    "operation": right.operation,
                }
                for right in wanted
            ]
        )
    elif done is None:
        for right in wanted:
            star = "*" if right.is_prefix else ""
            print(f"{right.principal:14} {right.operation:17} {right.resource} {right.name}{star}")
    else:
        print(f"{len(wanted)} rights: {done.added} added, {done.removed} removed.")
        print(f"{len(quotas)} sources are held to {quota} bytes a second each.")
        if done.users:
            print(f"{done.users} users have their passwords.")


def _passwords(folder: Path, names: Collection[str]) -> dict[str, str]:
    found = {}
    for name in names:
        file = folder / f"kafka-{name}"
        try:
            found[name] = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            options.stop(
                f"{file} cannot be read ({error.strerror}): the password of {name} is missing.",
                options.WRONG,
            )
        if not found[name]:
            options.stop(f"{file} is empty: the password of {name} is missing.", options.WRONG)
    return found


async def _grant(
    settings: Any, wanted: Collection[Any], users: dict[str, str], quotas: dict[str, int]
) -> Any:
    from contracts.topics import all_topics
    from streaming.kafka_access import grant, limit
    from streaming.kafka_security import security_of

    security, topics = security_of(settings), all_topics(options.sources_of(settings))
    bootstrap = settings.kafka_bootstrap
    await limit(bootstrap, security, {right.principal for right in wanted}, quotas)
    return await grant(bootstrap, security, wanted, users, [topic.name for topic in topics])


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
    options.run(lambda: _calendar(settings, first, last), logging.INFO, runs_until_told=True)


async def _calendar(settings: Any, first: date | None, last: date | None) -> None:
    from pfdo.days import ZONE, Calendar, days
    from streaming.installation import open_installation
    from streaming.telemetry import Telemetry

    log = Telemetry().log
    async with open_installation(settings) as installation:
        calendar = Calendar(installation)
        await calendar.read()
        if first is None and last is None:
            await calendar.follow(
                lambda day: log.info("day opened", reason=day.isoformat()),
                lambda today, first: log.error(
                    "no day opened: the clock is far from the last one",
                    reason=f"the clock says {today}, days are missing since {first}",
                    remedy=f"set the clock; if it is right: pfdo calendar --from {first} --until D",
                ),
            )
        today = datetime.now(ZONE).date()
        for day in days(first or last or today, last or today):
            is_new = await calendar.open(day)
            print(f"{day} {'opened' if is_new else 'was open before'}")


def watch(
    context: typer.Context,
    flow_seconds: Annotated[
        float, typer.Option(min=1, help="How often lag, outboxes and processes are looked at.")
    ] = 15,
    books_seconds: Annotated[
        float, typer.Option(min=1, help="How often the books are counted on.")
    ] = 60,
    no_books: Annotated[bool, typer.Option("--no-books", help="Flow only.")] = False,
    data: DataOption = None,
    bus: BusOption = None,
) -> None:
    """Tell Prometheus how the whole stands: flow, money, promises. /metrics on PFDO_HEALTH_PORT."""
    settings = options.settings_of(context, data, bus)
    books = None if no_books else books_seconds
    options.run(lambda: _watch(settings, flow_seconds, books), logging.INFO, runs_until_told=True)


async def _watch(settings: Any, flow_seconds: float, books_seconds: float | None) -> None:
    from pfdo.watching import watch as look
    from streaming.installation import open_installation
    from streaming.telemetry import InstallationTelemetry

    port = settings.port if settings.health_port is None else settings.health_port
    async with open_installation(settings) as installation:
        await look(
            installation,
            InstallationTelemetry(),
            settings.http_host,
            port,
            flow_seconds=flow_seconds,
            books_seconds=books_seconds,
        )


def canary(
    context: typer.Context,
    every_seconds: Annotated[
        float, typer.Option(min=5, max=3600, help="How often a mark is sent.")
    ] = 60,
    data: DataOption = None,
    bus: BusOption = None,
) -> None:
    """Let a child that does not exist walk the main path, and tell Prometheus how it went."""
    settings = options.settings_of(context, data, bus)
    options.run(lambda: _canary(settings, every_seconds), logging.INFO, runs_until_told=True)


async def _canary(settings: Any, every_seconds: float) -> None:
    from pfdo.canary import Canary, serve
    from streaming.installation import open_installation

    port = settings.port if settings.health_port is None else settings.health_port
    async with open_installation(settings) as installation:
        await serve(Canary(installation), settings.http_host, port, every_seconds=every_seconds)


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
    bad = {finding["what"] for finding in findings if not finding["ok"]}
    away = not bad.isdisjoint({"bus reachable", "stores"})
    raise typer.Exit(options.UNREACHABLE if away else options.NO if bad else options.DONE)
