"""`pfdo`: personified financing on the command line. `pfdo --help` lists the commands."""

import sys
from io import TextIOWrapper

import typer

from pfdo import books, dead_letters, looking, messages, options, running, upkeep
from pfdo.options import BusOption, DataOption, JsonOption

app = typer.Typer(
    help="Personified financing of children's clubs: run it, play events, look at the books.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _common(
    context: typer.Context,
    data: DataOption = None,
    bus: BusOption = None,
    json: JsonOption = False,
) -> None:
    # Half a character, which a hostile record may hold, is shown and stops nothing.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    context.obj = options.Common(data=data, bus=bus, json=json)


running.add_to(app)
looking.add_to(app)
books.add_to(app)
dead_letters.add_to(app)
messages.add_to(app)
upkeep.add_to(app)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
