"""`pfdo dead-letters`: what could not be read is looked at, sent again, dismissed or set aside."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from pfdo import options
from pfdo.looking import print_found
from pfdo.options import BusOption, DataOption, JsonOption

if TYPE_CHECKING:
    from streaming.installation import Installation
    from streaming.letters import Letter

Called: TypeAlias = Callable[["Installation"], Awaitable[Any]]

WHY_LENGTH_MAX = 200

StatusOption = Annotated[
    str | None, typer.Option("--status", help="Only open, redriven or dismissed.")
]
WHY = typer.Option("--why", help="Goes on the record: no names, no addresses of people.")
WhyOption = Annotated[str, WHY]
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

    async def called(installation: "Installation") -> tuple["Letter", bytes | None]:
        from streaming.letters import with_records

        chosen = _chosen(await _found(installation), [id_])
        ((letter, record),) = [each async for each in with_records(installation.bus, chosen)]
        return letter, record.value

    letter, value = options.run(lambda: _with_installation(settings, called))
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
    force: Annotated[
        bool,
        typer.Option("--force", help="Also those done with before, or at which it would halt."),
    ] = False,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Send dead letters again, in the order they came in: after what hindered them was mended."""
    if bool(ids) == every:
        options.stop("Name the letters, or take them --all.", options.WRONG)
    settings = options.settings_of(context, data, bus)
    kept_back: dict[str, str] = {}

    async def called(installation: "Installation") -> list[dict[str, Any]]:
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
                for letter, rehearsed in await _rehearsed(installation, chosen)
            ]
        if not force:
            kept_back.update(await _better_kept_back(installation, chosen))
        await send_again(installation.bus, [one for one in chosen if one.id not in kept_back])
        return [
            {"id": one.id, "status": one.status if one.id in kept_back else REDRIVEN}
            for one in in_order(chosen)
        ]

    told = options.run(lambda: _with_installation(settings, called))
    if json or options.common(context).json:
        options.print_json(told)
    else:
        for one in told:
            said = [one.get("status"), one.get("decision"), one.get("reason")]
            print(
                "  ".join([one["id"], *(text for text in said if text), *one.get("published", [])])
            )
        if not told:
            print("There is nothing to send again.")
        elif dry_run:
            print("Nothing was sent. The same without --dry-run sends them.")
    for id_, why in kept_back.items():
        print(f"{id_} was not sent: {why}", file=sys.stderr)
    if kept_back:
        options.stop("With --force these are sent too.", options.NO)


async def _better_kept_back(
    installation: "Installation", chosen: Sequence["Letter"]
) -> dict[str, str]:
    """Return why letters should not be sent now: done with before, or a halt would follow."""
    from contracts.decisions import DeadLetterReason
    from streaming.letters import OPEN

    why = {one.id: f"it is {one.status} already" for one in chosen if one.status != OPEN}
    left = [one for one in chosen if one.id not in why]
    quarantined = {
        (one.service, one.at[1])
        for one in left
        if one.reason == DeadLetterReason.OPERATOR_QUARANTINE
    }
    looked_at = [one for one in left if (one.service, one.at[1]) in quarantined]
    for letter, rehearsed in await _rehearsed(installation, looked_at):
        if rehearsed.halts:
            why[letter.id] = (
                f"{letter.service} would halt at it ({rehearsed.reason}). Deploy the mended version"
            )
    return why


async def _rehearsed(installation: "Installation", chosen: Sequence["Letter"]) -> Any:
    from pfdo.letters import would_become
    from streaming.rehearsal import NotRehearsedError

    try:
        return await would_become(installation, chosen)
    except NotRehearsedError as error:
        options.stop(str(error), options.NO)


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
    topic: Annotated[
        str | None, typer.Argument(help="As its log says: TOPIC PARTITION/OFFSET.")
    ] = None,
    partition: Annotated[int | None, typer.Argument(min=0)] = None,
    offset: Annotated[int | None, typer.Argument(min=0)] = None,
    why: Annotated[str | None, WHY] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also a record at which it does not halt now.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="What is to be set aside.")] = False,
    removed: Annotated[
        bool, typer.Option("--remove", help="Do not set it aside after all.")
    ] = False,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Set a record aside at which a partition halts: it becomes a dead letter, with its bytes."""
    from pfdo.system import SERVICES, services_of

    if service not in SERVICES:
        told = f"There is {', '.join(SERVICES)}; read models set nothing aside, they need a fix."
        options.stop(told, options.WRONG)
    settings = options.settings_of(context, data, bus)
    version = services_of([service])[0].state_version
    if listed:
        found = options.run(lambda: _with_installation(settings, _wishes(service, version)))
        if json or options.common(context).json:
            options.print_json(found)
            return
        for one in found:
            print("{topic} {partition}/{offset}  {why}".format(**one))
        if not found:
            print("There are none.")
        return
    if topic is None or partition is None or offset is None:
        options.stop("Say which record: SERVICE TOPIC PARTITION OFFSET.", options.WRONG)
    at = (topic, partition, offset)
    if removed:
        options.run(lambda: _with_installation(settings, _take_back(service, version, at)))
        print(f"{service} does not set {topic} {partition}/{offset} aside.")
        return
    if why is None:
        options.stop("Say --why.", options.WRONG)
    _check_why(why)
    options.run(
        lambda: _with_installation(settings, _set_aside(service, version, at, why, force=force))
    )
    print(
        f"{service} takes partition {partition} over again within half a minute and sets the"
        " record aside. See: pfdo dead-letters list"
    )


def _wishes(service: str, version: int) -> Called:
    async def called(installation: "Installation") -> list[dict[str, Any]]:
        from streaming.quarantine import wishes

        store = await installation.store(service)
        return [
            {"service": service, "topic": topic, "partition": p, "offset": offset, "why": why}
            for p in range(installation.bus.partitions)
            for (topic, offset), why in (await wishes(store, version, p)).items()
        ]

    return called


def _take_back(service: str, version: int, at: tuple[str, int, int]) -> Called:
    async def called(installation: "Installation") -> None:
        from streaming.quarantine import take_back

        topic, partition, offset = at
        store = await installation.store(service)
        async with _undisturbed():
            if not await take_back(store, version, partition, topic, offset):
                told = f"{topic} {partition}/{offset} is not to be set aside. See: --list"
                options.stop(told, options.NO)

    return called


def _set_aside(
    service: str, version: int, at: tuple[str, int, int], why: str, *, force: bool
) -> Called:
    async def called(installation: "Installation") -> None:
        from contracts.topics import topics_read_by
        from streaming.quarantine import set_aside

        topic, partition, offset = at
        read = [one.name for one in topics_read_by(service, installation.sources)]
        if topic not in read:
            options.stop(f"{service} reads {', '.join(read)}.", options.WRONG)
        ends = await installation.bus.ends([topic])
        if offset >= ends.get((topic, partition), 0):
            options.stop(f"{topic} {partition}/{offset}: no such record is there.", options.NO)
        if not force:
            await _check_halts_at(installation, service, at)
        store = await installation.store(service)
        async with _undisturbed():
            await set_aside(store, version, partition, topic, offset, why)

    return called


async def _check_halts_at(
    installation: "Installation", service: str, at: tuple[str, int, int]
) -> None:
    """Refuse a record at which the partition does not halt: the offset may be mistyped."""
    from pfdo.letters import stage_of
    from streaming.rehearsal import NotRehearsedError, where_it_halts

    topic, partition, offset = at
    try:
        stage = await stage_of(installation, service, partition)
        halts = await where_it_halts(stage, installation.bus)
    except NotRehearsedError as error:
        options.stop(f"{error} Or set it aside unlooked at: --force", options.NO)
    place = f"{topic} {partition}/{offset}"
    if halts is None:
        options.stop(
            f"{service} halts neither at {place} nor at another record that waits there, as far as"
            " this version tells. Its log says where: look for `halted`. Set it aside all the"
            " same: --force",
            options.NO,
        )
    if halts[0] != place:
        options.stop(
            f"{service} halts at {halts[0]} ({halts[1]}), not at {place}. Set that aside all the"
            " same: --force",
            options.NO,
        )


@asynccontextmanager
async def _undisturbed() -> AsyncIterator[None]:
    from streaming.errors import BehindError, FencedError

    try:
        yield
    except (BehindError, FencedError) as error:
        options.stop(f"{error}. Nothing was changed: ask again.", options.NO)


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


async def _with_installation(settings: Any, called: Called) -> Any:
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        return await called(installation)
