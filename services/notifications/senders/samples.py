"""For each template an example of what it tells of: the facts of its rows, from the contracts."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from rulebook.loading import Rulebook
from services.notifications.domain.rules import ROUTING
from services.notifications.domain.texts import DIGEST

FACTS_OF: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "billing.balance-low": ("billing.funds-reserved",),
        "billing.dispute-upheld": ("billing.dispute-settled",),
        "billing.lessons-left-low": ("billing.lesson-charged",),
        "billing.reserve-released-late": ("billing.reserve-released",),
        "certificates.period-ends-soon": (
            "certificates.certificate-issued",
            "billing.reserve-released",
        ),
        "enrollment.application-overdue": ("enrollment.place-held",),
        "enrollment.enrollment-ended-late": ("enrollment.enrollment-ended",),
        "enrollment.place-held-at-once": ("enrollment.place-held",),
    }
)
"""Words of the routing table that are no facts of their own, and the facts they tell of."""
DIGESTED = ("billing.lesson-charged", "billing.month-charged", "billing.charge-reversed")
FEW_LESSONS_LEFT = 2
LITTLE_KOPECKS = 15_000


def samples() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return by template the data of the facts it is filled with, in order of name."""
    rulebook = Rulebook.load("services.notifications")
    newest = rulebook.table(ROUTING).versions[-1].valid_from
    found = {
        str(row.then["template"]): tuple(_example(fact) for fact in facts)
        for word, facts in _words().items()
        for row in rulebook.for_payer().decide(ROUTING, newest, {"event": word}).hits
    }
    lesson, reserve = found["lessons-left-low"][0], found["balance-low"][0]
    found["lessons-left-low"] = (lesson | {"lessons_left": FEW_LESSONS_LEFT},)
    purse = reserve["purse"] | {"balance_kopecks": LITTLE_KOPECKS}
    found["balance-low"] = (reserve | {"purse": purse},)
    found[DIGEST] = tuple(_example(fact) for fact in DIGESTED)
    return dict(sorted(found.items()))


def _words() -> Mapping[str, Sequence[str]]:
    schema = Rulebook.load("services.notifications").table(ROUTING).schema
    words: Sequence[str] = schema.inputs["event"].words  # type: ignore[union-attr]
    return {word: FACTS_OF.get(word, (word,)) for word in words}


def _example(fact: str) -> dict[str, Any]:
    file = files("contracts") / "examples" / f"{fact}.v1.json"
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["data"]
    data.pop("input", None)
    return data
