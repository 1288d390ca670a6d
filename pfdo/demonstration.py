"""What `make run` shows at the end: certificates, debits, balances, messages, in short tables."""

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from contracts.topics import CALENDAR, JOURNALS
from pfdo.fresh import fresh_queries
from pfdo.playing import Played
from pfdo.records import decided, input_topics, service_of, story
from rulebook.wording import rubles
from streaming.installation import Installation

ROWS_SHOWN = 8
WORDS = {
    "duplicate": "duplicates",
    "parked": "waiting for what they name",
    "None": "not decided yet",
}
WIDTH_OF_FILES = 120


async def ends(installation: Installation) -> Mapping[tuple[str, int], int]:
    """Return where the inputs end now, so that those to come can be told apart."""
    return await installation.bus.ends(input_topics(installation))


async def tell(
    installation: Installation, played: Played, before: Mapping[tuple[str, int], int]
) -> None:
    """Print what came of a play file; `before` is where the inputs ended before it."""
    # What is written to a file is read later, on a wider page than eighty characters.
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)
    told = await story(installation)
    async with fresh_queries(installation) as queries:
        shown = await queries.export(["certificates", "enrollments"])
    came = [
        one
        for one in decided(told, installation)
        if one["offset"] >= before[(one["topic"], one["partition"])]
        # A day stands in every partition, and is counted once.
        and (one["topic"] != CALENDAR.name or one["partition"] == 0)
    ]
    console.print(f"\n{summary(played, Counter(str(one['decision']) for one in came))}")
    facts = told.facts
    _decisions(console, facts)
    _certificates(console, shown["certificates"])
    _debits(console, facts)
    _messages(console, facts)


def summary(played: Played, decisions: Mapping[str, int]) -> str:
    """Return in a few sentences what was decided about the events of a play file."""
    counted = ", ".join(
        f"{number} {WORDS.get(decision, decision)}"
        for decision, number in sorted(decisions.items(), key=lambda item: (-item[1], item[0]))
    )
    events = f"[bold]{played.published} events[/bold] were published in {played.seconds:.1f} s"
    if not played.settled:
        return (
            f"{events}, then the services did not come to rest in time: {counted}.\n"
            "What is left: pfdo settle. What is wrong: pfdo doctor."
        )
    again = (
        "\nThey had been played before: nothing changed, nothing was charged twice."
        if played.published and not decisions.get("applied")
        else ""
    )
    return f"{events}; each has its decision: {counted or 'none'}.{again}"


def _decisions(console: Console, facts: list[dict[str, Any]]) -> None:
    table = Table(title="What followed, by service", title_justify="left")
    table.add_column("service")
    table.add_column("facts of the journal, the most frequent first")
    for topic in JOURNALS:
        name = topic.written_by
        kinds = Counter(
            str(fact["type"]).partition(".")[2].rpartition(".")[0]
            for fact in facts
            if service_of(fact) == name
        )
        told = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(6))
        table.add_row(name, told or "nothing yet")
    console.print(table)


def _certificates(console: Console, certificates: dict[str, Any]) -> None:
    table = Table(title=f"Certificates: {len(certificates)}", title_justify="left")
    for column in ("child", "number", "state", "nominal", "balance", "reserved", "spent"):
        justify: Literal["left", "right"] = "left" if column in {"child", "state"} else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    for child_id, certificate in sorted(certificates.items())[:ROWS_SHOWN]:
        for period in certificate["periods"]:
            sums = ("nominal_kopecks", "balance_kopecks", "reserved_kopecks", "paid_kopecks")
            table.add_row(
                child_id,
                certificate["certificate_number"],
                f"{certificate['state']}, {period['state']}",
                *(rubles(period[name]) for name in sums),
            )
    console.print(table)
    console.print("  pfdo show certificate CHILD · pfdo export --json\n", style="dim")


def _debits(console: Console, facts: list[dict[str, Any]]) -> None:
    charged = [fact for fact in facts if fact["type"] == "billing.lesson-charged.v1"]
    total = sum(fact["data"]["amount_kopecks"] for fact in charged)
    table = Table(
        title=f"Debits for lessons: {len(charged)}, {rubles(total)} in all; the latest",
        title_justify="left",
    )
    table.add_column("fact")
    table.add_column("why, as the parent reads it")
    for fact in charged[-ROWS_SHOWN:]:
        table.add_row(fact["id"], fact["data"]["why"]["text"])
    console.print(table)
    console.print("  pfdo why FACT · pfdo journal billing --type lesson-charged\n", style="dim")


def _messages(console: Console, facts: list[dict[str, Any]]) -> None:
    due = [fact for fact in facts if fact["type"] == "notifications.message-due.v1"]
    kinds = Counter((fact["data"]["category"], fact["data"]["template"]) for fact in due)
    table = Table(title=f"Messages to families and providers: {len(due)}", title_justify="left")
    table.add_column("category")
    table.add_column("template")
    table.add_column("messages", justify="right")
    for (category, template), count in kinds.most_common(ROWS_SHOWN):
        table.add_row(category, template, str(count))
    console.print(table)
