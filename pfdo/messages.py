"""`pfdo notifications`: what messages say, and what became of them."""

from pathlib import Path
from typing import Annotated

import typer

from pfdo import options
from pfdo.options import JsonOption


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    notifications = typer.Typer(help="Messages: their texts, their delivery.", no_args_is_help=True)
    notifications.command("preview")(preview)
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
