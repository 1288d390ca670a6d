"""`pfdo notifications`: what messages say, and what became of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pfdo import options
from pfdo.options import BusOption, DataOption, JsonOption


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    notifications = typer.Typer(help="Messages: their texts, their delivery.", no_args_is_help=True)
    notifications.command("preview")(preview)
    notifications.command("ledger")(ledger)
    app.add_typer(notifications, name="notifications")


def preview(
    context: typer.Context,
    template: Annotated[
        str | None, typer.Option("--template", help="This one only, e.g. lesson-charged.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the pages and texts.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what each template says about an example; with --out also as pages to look at."""
    from services.notifications.senders.samples import samples
    from services.notifications.senders.templates import letter

    known = samples()
    if template is not None and template not in known:
        options.stop(f"There is no template {template}. There are: {', '.join(known)}", options.NO)
    chosen = {name: facts for name, facts in known.items() if template in (None, name)}
    letters = {name: letter(name, facts) for name, facts in chosen.items()}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, shown in letters.items():
            (out / f"{name}.html").write_text(shown.html, encoding="utf-8")
            (out / f"{name}.txt").write_text(f"{shown.title}\n\n{shown.plain}", encoding="utf-8")
    if json or options.common(context).json:
        told = {
            name: {"title": shown.title, "text": shown.plain, "short": shown.short}
            for name, shown in letters.items()
        }
        options.print_json(told)
        return
    for name, shown in letters.items():
        print(f"── {name}\n{shown.title}\n\n{shown.plain}")
    if out is not None:
        print(f"As pages: {out}/*.html")


def ledger(
    context: typer.Context,
    payer: Annotated[str | None, typer.Option(help="Only debits of this payer.")] = None,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    """Show for each debit what was due about it, by which channel, and what became of it."""
    settings = options.settings_of(context, data, bus)
    document = options.run(lambda: _ledger(settings, payer))
    if json or options.common(context).json:
        options.print_json(document)
        return
    for debit in document["debits"]:
        print(f"{debit['event_id']}  {debit['at']}  {debit['type']}  {debit['state']}")
        for told in debit["told"]:
            when = told["at"] or f"not before {told['not_before']}"
            detail = f" ({told['detail']})" if told["detail"] else ""
            print(f"    {told['state']}  {told['channel']}  {told['recipient_id']}  {when}{detail}")
        for untold in debit["untold"]:
            print(f"    untold  {untold['recipient_id']}  {untold['reason']}")
    counted = document["totals"]
    print(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counted.items()))


async def _ledger(settings: Any, payer: str | None) -> dict[str, Any]:
    import json as json_module
    from dataclasses import asdict

    from contracts.topics import BILLING, NOTIFICATIONS
    from pfdo import deliveries, records
    from streaming.installation import open_installation

    async with open_installation(settings) as installation:
        journals: dict[str, list[dict[str, Any]]] = {BILLING.name: [], NOTIFICATIONS.name: []}
        for record in await records.whole(installation, list(journals)):
            journals[record.topic].append(json_module.loads(record.value or b"{}"))
    debits = [
        debit
        for debit in deliveries.ledger(journals[BILLING.name], journals[NOTIFICATIONS.name])
        if payer in (None, debit.payer)
    ]
    shown = [
        asdict(debit)
        | {
            "state": debit.state,
            "untold": [{"recipient_id": who, "reason": why} for who, why in debit.untold],
        }
        for debit in debits
    ]
    return {"debits": shown, "totals": deliveries.totals(debits)}
