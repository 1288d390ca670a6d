"""What `make run` shows at the end: certificates, debits, balances, messages, in short tables."""

import json
import sys
from collections import Counter
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from contracts.topics import JOURNALS
from pfdo.fresh import fresh_queries
from pfdo.playing import Played
from pfdo.records import service_of, whole
from rulebook.wording import rubles
from streaming.installation import Installation

ROWS_SHOWN = 8
WIDTH_OF_FILES = 120


async def tell(installation: Installation, played: Played) -> None:
    """Print what came of a play file."""
    # What is written to a file is read later, on a wider page than eighty characters.
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_FILES)
    records = await whole(installation, [topic.name for topic in JOURNALS])
    facts = [json.loads(record.value or b"{}") for record in records]
    async with fresh_queries(installation) as queries:
        shown = await queries.export(["certificates", "enrollments"])
    console.print(
        f"\n[bold]{played.published} events[/bold] were published in {played.seconds:.1f} s; "
        "each has its decision."
    )
    _decisions(console, facts)
    _certificates(console, shown["certificates"])
    _debits(console, facts)
    _messages(console, facts)


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
