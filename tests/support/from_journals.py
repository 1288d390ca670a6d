"""What the services decided, read from their journals by the place of each input."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.world import World

Place = tuple[str, int, int]
"""Topic, partition and offset."""

Decision = tuple[str, str | None]
"""As `pfdo inputs` says it: the decision and its reason."""

DECIDED_BY_BILLING = (
    *("attendance.", "disputes."),
    *("payers.nominal-corrected.", "payers.invoice-paid."),
)
DECIDED_BY_CERTIFICATES = (
    "navigator.certificate-requested.",
    "payers.category-set.",
    "payers.certificate-freeze-set.",
)
DECIDED_BY_NOTIFICATIONS = ("navigator.preferences-set.",)


Decisions = Mapping[str, Mapping[Place, Decision]]
"""By service and place."""


def decisions(world: World) -> Decisions:
    """Return what each service last said about each input it decided or noted."""
    return {name: _decisions_of(world, name) for name in world.services}


def decided(said: Decisions, event: Mapping[str, Any], place: Place) -> Decision:
    """Return the decision of the service that decides an input (`docs/events.md`, section 3)."""
    type_ = str(event["type"])
    decider = "enrollment"
    if type_.startswith("payers.rules-published."):
        named = str(event["data"]["table"]).partition(".")[0]
        # A table that nobody has is enrollment's to refuse, whatever stands before its dot.
        decider = named if place in said.get(named, {}) else "enrollment"
    elif type_.startswith(DECIDED_BY_BILLING):
        decider = "billing"
    elif type_.startswith(DECIDED_BY_CERTIFICATES):
        decider = "certificates"
    elif type_.startswith(DECIDED_BY_NOTIFICATIONS):
        decider = "notifications"
    return said[decider][place]


def _decisions_of(world: World, name: str) -> dict[Place, Decision]:
    found: dict[Place, Decision] = {}
    for partition in range(world.partitions):
        for record in world.log.log(f"{name}.events.v1", partition).records:
            fact = json.loads(record.value or b"{}")
            # What an item of a list led to is no decision about the input itself.
            if "input" in fact["data"] and "item" not in fact["data"]:
                place = (fact["causetopic"], fact["causepartition"], fact["causeoffset"])
                found[place] = _decision(fact)
    return found


def _decision(fact: Mapping[str, Any]) -> Decision:
    kind = str(fact["type"]).partition(".")[2].rpartition(".")[0]
    if not kind.startswith("input-") or kind == "input-noted":
        return "applied", None
    data = fact["data"]
    return kind.removeprefix("input-"), data.get("reason") or data.get("waits_for")
