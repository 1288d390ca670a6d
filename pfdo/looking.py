"""`pfdo show`, `export`, `journal`, `inputs`, `why`, `parked`: looking, only."""

import json as json_module
from typing import Annotated, Any

import typer

from pfdo import options
from pfdo.options import BusOption, DataOption, JsonOption

KINDS = ("certificate", "enrollment", "group", "payer", "provider", "invoice")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (show, export, journal, inputs, why, parked):
        app.command()(command)


def show(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id; a certificate's number too.")],
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Show a certificate, an enrollment, a group, a payer, a provider or an invoice."""
    if kind not in KINDS:
        options.stop(f"{kind} cannot be shown; there are {', '.join(KINDS)}.", options.WRONG)
    settings = options.settings_of(context, data, bus)
    found = options.run(lambda: _show(settings, kind, id_))
    if found is None:
        options.stop(
            f"No {kind} {id_} is known. What there is: pfdo export --what {kind}s.", options.NO
        )
    if json or options.common(context).json:
        options.print_json(found)
    else:
        print_found(found)


async def _show(settings: Any, kind: str, id_: str) -> dict[str, Any] | None:
    from pfdo.fresh import fresh_queries
    from streaming.installation import open_installation

    async with open_installation(settings) as installation, fresh_queries(installation) as queries:
        found: dict[str, Any] | None = await getattr(queries, kind)(id_)
        return found


def export(
    context: typer.Context,
    what: Annotated[str | None, typer.Option(help="certificates,enrollments,… or all")] = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Print everything that `show` shows, at once, as JSON."""
    del json  # There is no other form.
    settings = options.settings_of(context, data, bus)
    kinds = None if what is None else what.split(",")
    options.print_json(options.run(lambda: _export(settings, kinds)))


async def _export(settings: Any, kinds: list[str] | None) -> dict[str, Any]:
    from pfdo.fresh import fresh_queries
    from services.cabinet.queries import EXPORTS
    from streaming.installation import open_installation

    unknown = [kind for kind in kinds or () if kind not in EXPORTS]
    if unknown:
        options.stop(f"{unknown[0]} is none of {', '.join(EXPORTS)}.", options.WRONG)
    async with open_installation(settings) as installation, fresh_queries(installation) as queries:
        return await queries.export(kinds or EXPORTS)


def journal(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="enrollment, certificates, billing, …")],
    payer: Annotated[str | None, typer.Option(help="Only of this payer.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="lesson-charged, …")] = None,
    from_: Annotated[int, typer.Option("--from", help="First journalseq.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", help="Go on for ever.")] = False,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Print the journal of a service, oldest first, one CloudEvent a line."""
    del json  # The lines are JSON.
    from contracts.topics import JOURNALS

    topics = {topic.written_by: topic.name for topic in JOURNALS}
    if service not in topics:
        options.stop(f"{service} keeps no journal; there are {', '.join(topics)}.", options.WRONG)
    settings = options.settings_of(context, data, bus)
    wanted = {f"{service}.{type_}", f"{service}.{type_}.v1", type_}

    def matches(fact: dict[str, Any]) -> bool:
        return (
            fact["journalseq"] >= from_
            and (payer is None or fact.get("partitionkey") == payer)
            and (type_ is None or fact["type"] in wanted)
        )

    options.run(lambda: _journal(settings, topics[service], matches, follow))


async def _journal(settings: Any, topic: str, matches: Any, follow: bool) -> None:
    from pfdo import records
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        if follow:
            partitions = range(installation.bus.partitions)
            async for record in records.follow(installation, topic, partitions):
                _print_line(record, matches)
        else:
            for record in await records.whole(installation, [topic]):
                _print_line(record, matches)


def _print_line(record: Any, matches: Any) -> None:
    if matches(json_module.loads(record.value)):
        print(record.value.decode(), flush=True)


def inputs(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Print all input records with the decision of the service that decides them."""
    settings = options.settings_of(context, data, bus)
    as_json = json or options.common(context).json
    for decided in options.run(lambda: _inputs(settings, source)):
        if as_json:
            options.print_json_line(decided)
        else:
            place = f"{decided['topic']}/{decided['partition']}/{decided['offset']}"
            said = decided["decision"] or "undecided"
            why_not = f" ({decided['reason']})" if decided["reason"] else ""
            print(f"{place}  {decided['id']}  {decided['type']}  {said}{why_not}")


async def _inputs(settings: Any, source: str | None) -> list[dict[str, Any]]:
    from pfdo import records
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        told = await records.story(installation, records.decision_only)
    wanted = (f"{source}.events.v1", f"{source}.forwarded.v1")
    return [
        decided
        for decided in records.decided(told, installation)
        if source is None or decided["topic"] in wanted
    ]


def why(
    context: typer.Context,
    event_id: Annotated[str, typer.Argument(help="Id of a fact or of an input.")],
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Tell the whole story of a fact or an input: cause, rule, numbers, what followed."""
    settings = options.settings_of(context, data, bus)
    told = options.run(lambda: _why(settings, event_id))
    if told is None:
        options.stop(
            f"No event {event_id}. Ids of facts: pfdo journal SERVICE; of inputs: pfdo inputs.",
            options.NO,
        )
    if json or options.common(context).json:
        options.print_json(told)
        return
    _print_story(told)


async def _why(settings: Any, event_id: str) -> dict[str, Any] | None:
    from pfdo.stories import story_of
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        return await story_of(installation, event_id)


def _print_story(told: dict[str, Any]) -> None:
    event, cause = told["event"], told["cause"]
    print(f"{event.get('id')}  {event.get('type')}  {event.get('subject')}")
    if cause is not None:
        print(f"  because of {cause.get('id')}  {cause.get('type')}  {cause.get('subject')}")
    rule = told["rule"]
    if rule:
        print(f"  rule: {rule.get('table', 'docs/rules.md')} {rule.get('row', '')}")
        print(f"  {rule['text']}")
    for followed in told["followed"]:
        indent = "  " * (followed["depth"] + 1)
        said = followed.get("reason") or followed.get("text") or ""
        print(f"{indent}→ {followed['id']}  {followed['type']}  {said}")


def parked(
    context: typer.Context,
    service: Annotated[str | None, typer.Option(help="Only of this service.")] = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Print what waits, for what, until when."""
    settings = options.settings_of(context, data, bus)
    waiting = options.run(lambda: _parked(settings, service))
    if json or options.common(context).json:
        options.print_json(waiting)
        return
    for one in waiting:
        until = one["until"] or "without a deadline"
        print(
            f"{one['service']}  {one['id']}  {one['type']}  waits for {one['waits_for']}, {until}"
        )
    if not waiting:
        print("Nothing waits.")


async def _parked(settings: Any, service: str | None) -> list[dict[str, Any]]:
    from pfdo.stories import waiting
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        return [one for one in await waiting(installation) if service in (None, one["service"])]


def print_found(found: dict[str, Any]) -> None:
    """Print a document for people: a table for each list."""
    from rich.console import Console

    console = Console()
    for name, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            console.print(f"{name}:")
            _print_rows(console, [row for each in value for row in _flat(each)])
        else:
            console.print(f"{name}: {value}", highlight=False, markup=False)


def _flat(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each of the rows in it, if it holds a list of some; else itself."""
    for name, inner in row.items():
        if isinstance(inner, list) and all(isinstance(each, dict) for each in inner):
            outer = {key: value for key, value in row.items() if key != name}
            return [outer | each for each in inner or [{}]]
    return [row]


def _print_rows(console: Any, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from rulebook.wording import rubles

    table = Table()
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        table.add_column(name.removesuffix("_kopecks").replace("_", " "))
    for row in rows:
        cells = []
        for name in names:
            value = row.get(name, "")
            is_sum = name.endswith("_kopecks") and isinstance(value, int)
            cells.append(rubles(value) if is_sum else "" if value is None else str(value))
        table.add_row(*cells)
    console.print(table)
