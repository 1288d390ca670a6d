"""The delivery ledger: for each debit, what was due about it, and what became of that.

Made from two journals, billing's and that of notifications, and from nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEBITS = frozenset(
    {
        "billing.lesson-charged.v1",
        "billing.charge-reversed.v1",
        "billing.month-charged.v1",
        "billing.month-reversed.v1",
        "billing.month-adjusted.v1",
    }
)
IN_DIGEST = "in_digest"
PERHAPS_TWICE = "perhaps twice"
"""How a report says that an earlier attempt may have arrived too."""


@dataclass(slots=True)
class Delivery:
    """One message, as the journal tells of it.

    `state`: due; then sent or failed. What is for the cabinet is shown there as soon as it is due.
    """

    message_id: str
    recipient_id: str
    channel: str
    template: str
    not_before: str
    state: str
    at: str | None = None
    attempts: int | None = None
    detail: str | None = None


@dataclass(slots=True)
class Debit:
    """A movement of a family's money, and who was told of it. `untold`: recipient and reason."""

    event_id: str
    type: str
    payer: str
    at: str
    enrollment_id: str
    amount_kopecks: int
    told: list[Delivery] = field(default_factory=list)
    untold: list[tuple[str, str]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Return the whole in a word: told, failed, due, gathered, unwanted or nobody."""
        states = {delivery.state for delivery in self.told}
        for state, word in (
            ("sent", "told"),
            ("shown", "told"),
            ("due", "due"),
            ("failed", "failed"),
        ):
            if state in states:
                return word
        reasons = {reason for _, reason in self.untold}
        if IN_DIGEST in reasons:
            return "gathered"
        return "unwanted" if reasons else "nobody"


def ledger(
    billing: Iterable[Mapping[str, Any]], notifications: Iterable[Mapping[str, Any]]
) -> Sequence[Debit]:
    """Return the debits of billing with what the journal of notifications says of them."""
    debits = {
        fact["id"]: Debit(
            event_id=fact["id"],
            type=fact["type"].split(".")[1],
            payer=fact["partitionkey"],
            at=fact["time"],
            enrollment_id=fact["data"]["enrollment_id"],
            amount_kopecks=fact["data"]["amount_kopecks"],
        )
        for fact in billing
        # A movement of nothing is no news: nobody is to be told.
        if fact["type"] in DEBITS and fact["data"]["amount_kopecks"] > 0
    }
    deliveries: dict[str, Delivery] = {}
    for fact in notifications:
        data = fact["data"]
        match fact["type"]:
            case "notifications.message-due.v1":
                delivery = _due(data)
                deliveries[delivery.message_id] = delivery
                for event_id in data["event_ids"]:
                    if event_id in debits:
                        debits[event_id].told.append(delivery)
            case "notifications.message-suppressed.v1":
                for event_id in data["event_ids"]:
                    if event_id in debits:
                        debits[event_id].untold.append((data["recipient_id"], data["reason"]))
            case "notifications.message-sent.v1" | "notifications.message-failed.v1":
                _became(deliveries.get(data["message_id"]), fact)
            case _:
                pass
    return list(debits.values())


def _due(data: Mapping[str, Any]) -> Delivery:
    return Delivery(
        message_id=data["message_id"],
        recipient_id=data["recipient_id"],
        channel=data["channel"],
        template=data["template"],
        not_before=data["not_before"],
        state="shown" if data["channel"] == "cabinet" else "due",
    )


def _became(delivery: Delivery | None, fact: Mapping[str, Any]) -> None:
    if delivery is not None:
        delivery.state = "sent" if fact["type"].endswith("message-sent.v1") else "failed"
        delivery.at = fact["time"]
        delivery.attempts = fact["data"]["attempts"]
        delivery.detail = fact["data"].get("detail")


def totals(debits: Iterable[Debit]) -> Mapping[str, int]:
    """Return how many debits are in each state, and how many messages may have come twice."""
    counted = dict.fromkeys(
        ("debits", "told", "due", "failed", "gathered", "unwanted", "nobody"), 0
    )
    twice: set[str] = set()
    for debit in debits:
        counted["debits"] += 1
        counted[debit.state] += 1
        for delivery in debit.told:
            if delivery.detail is not None and PERHAPS_TWICE in delivery.detail:
                twice.add(delivery.message_id)
    return counted | {"perhaps_twice": len(twice)}
