"""`pfdo dead-letters`: what could not be read is looked at, sent again, dismissed or set aside."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pfdo import options
from pfdo.looking import print_found
from pfdo.options import BusOption, DataOption, JsonOption

if TYPE_CHECKING:
    from streaming.installation import Installation
    from streaming.letters import Letter

WHY_LENGTH_MAX = 200

StatusOption = Annotated[
    str | None, typer.Option("--status", help="Only open, redriven or dismissed.")
]
WhyOption = Annotated[
    str, typer.Option("--why", help="Goes on the record: no names, no addresses of people.")
]
IdArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="As `list` prints them.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="What could not be read: cause, age, owner.", no_args_is_help=True)
    group.command("list")(list_)
    for command in (show, redrive, dismiss, quarantine):
        group.command()(command)
    app.add_typer(group, name="dead-letters")


def list_(
    context: typer.Context,
    status: StatusOption = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """List what could not be read, oldest first."""
    from streaming.letters import STATUSES

    if status is not None and status not in STATUSES:
        options.stop(f"There is {', '.join(STATUSES)}.", options.WRONG)
    settings = options.settings_of(context, data, bus)
    found = options.run(lambda: _letters(settings))
    chosen = [letter for letter in found if status in (None, letter.status)]
    if json or options.common(context).json:
        options.print_json([letter.to_data() for letter in chosen])
        return
    for letter in chosen:
        print(
            f"{letter.id}  {letter.status}  {letter.age_days} days  from {letter.owner}  "
            f"{letter.reason}: {letter.detail}"
        )
    if not chosen:
        print("There are none.")


def show(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it.")],
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Show one dead letter with the bytes that came, as text where they are text."""
    settings = options.settings_of(context, data, bus)
    (letter,) = _chosen(options.run(lambda: _letters(settings)), [id_])
    value = letter.record.value
    shown = letter.to_data() | {
        "value": None if value is None else value.decode("utf-8", "backslashreplace")
    }
    if json or options.common(context).json:
        options.print_json(shown)
    else:
        print_found(shown)


def redrive(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    reason: Annotated[str | None, typer.Option(help="With --all: only of this reason.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be decided.")] = False,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Send dead letters again, in the order they came in: after what hindered them was mended."""
    if bool(ids) == every:
        options.stop("Name the letters, or take them --all.", options.WRONG)
    settings = options.settings_of(context, data, bus)

    async def called(installation: "Installation") -> list[dict[str, Any]]:
        from pfdo.letters import would_become
        from streaming.letters import OPEN, REDRIVEN, in_order
        from streaming.letters import redrive as send_again

        found = await _found(installation)
        chosen = (
            [one for one in found if one.status == OPEN and reason in (None, one.reason)]
            if every
            else _chosen(found, ids or [])
        )
        _check_not_of_a_service(chosen)
        if dry_run:
            return [
                {
                    "id": letter.id,
                    "decision": rehearsed.decision,
                    "reason": rehearsed.reason,
                    "published": list(rehearsed.published),
                }
                for letter, rehearsed in await would_become(installation, chosen)
            ]
        await send_again(installation.bus, chosen)
        return [{"id": letter.id, "status": REDRIVEN} for letter in in_order(chosen)]

    told = options.run(lambda: _with_installation(settings, called))
    if json or options.common(context).json:
        options.print_json(told)
        return
    for one in told:
        said = [one.get("status"), one.get("decision"), one.get("reason")]
        print("  ".join([one["id"], *(text for text in said if text), *one.get("published", [])]))
    if not told:
        print("There is nothing to send again.")
    elif dry_run:
        print("Nothing was sent. The same without --dry-run sends them.")


def dismiss(
    context: typer.Context,
    ids: IdArgument,
    why: WhyOption,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Say that nothing is to be done about dead letters, and why. They stay where they are."""
    _check_why(why)
    settings = options.settings_of(context, data, bus)

    async def called(installation: "Installation") -> list[dict[str, Any]]:
        from streaming.letters import DISMISSED
        from streaming.letters import dismiss as put_away

        chosen = _chosen(await _found(installation), ids)
        for letter in chosen:
            await put_away(installation.bus, letter, why)
        return [{"id": letter.id, "status": DISMISSED} for letter in chosen]

    told = options.run(lambda: _with_installation(settings, called))
    if json or options.common(context).json:
        options.print_json(told)
        return
    for one in told:
        print(f"{one['id']}  {one['status']}")


def quarantine(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="The service that halts at the record.")],
    topic: Annotated[str, typer.Argument(help="As its log says: TOPIC PARTITION/OFFSET.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    why: WhyOption,
    data: DataOption = None,
    bus: BusOption = None,
) -> None:
    """Set a record aside at which a partition halts: it becomes a dead letter, with its bytes."""
    from pfdo.system import SERVICES, services_of

    _check_why(why)
    if service not in SERVICES:
        options.stop(f"There is {', '.join(SERVICES)}.", options.WRONG)
    settings = options.settings_of(context, data, bus)
    (its,) = services_of([service])

    async def called(installation: "Installation") -> None:
        from contracts.topics import topics_read_by
        from streaming.quarantine import set_aside

        read = [one.name for one in topics_read_by(service, installation.sources)]
        if topic not in read:
            options.stop(f"{service} reads {', '.join(read)}.", options.WRONG)
        ends = await installation.bus.ends([topic])
        if offset >= ends.get((topic, partition), 0):
            options.stop(f"{topic} {partition}/{offset}: no such record is there.", options.NO)
        store = await installation.store(service)
        await set_aside(store, its.state_version, partition, topic, offset, why)

    options.run(lambda: _with_installation(settings, called))
    print(
        f"{service} takes partition {partition} over again within half a minute and sets the"
        " record aside. See: pfdo dead-letters list"
    )


def _check_why(why: str) -> None:
    if not 0 < len(why) <= WHY_LENGTH_MAX or not why.isprintable() or "|" in why:
        options.stop(
            f"--why must be 1 to {WHY_LENGTH_MAX} printable characters, without |.", options.WRONG
        )


def _check_not_of_a_service(chosen: Sequence["Letter"]) -> None:
    from streaming.letters import can_be_redriven

    for letter in chosen:
        if not can_be_redriven(letter):
            options.stop(
                f"{letter.id} came in {letter.at[0]}, which a service alone writes: it cannot be"
                " sent again. Mend the service and rebuild the state of its reader.",
                options.NO,
            )


def _chosen(found: Sequence["Letter"], ids: Sequence[str]) -> list["Letter"]:
    by_id = {letter.id: letter for letter in found}
    for id_ in ids:
        if id_ not in by_id:
            options.stop(f"No dead letter {id_}. See: pfdo dead-letters list", options.NO)
    return [by_id[id_] for id_ in dict.fromkeys(ids)]


async def _letters(settings: Any) -> list["Letter"]:
    found: list[Letter] = await _with_installation(settings, _found)
    return found


async def _found(installation: "Installation") -> list["Letter"]:
    from streaming.letters import letters

    return await letters(installation.bus, installation.sources)


async def _with_installation(
    settings: Any, called: Callable[["Installation"], Awaitable[Any]]
) -> Any:
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        return await called(installation)
