"""What followed from what, and what waits: told from the journals."""

from collections.abc import Mapping
from typing import Any

from contracts.topics import COMMANDS
from pfdo.records import Place, Story, event_in, place_of, service_of, story, text_of
from streaming.installation import Installation

FOLLOWED_MAX = 500


async def story_of(installation: Installation, event_id: str) -> dict[str, Any] | None:
    """Return cause, rule and everything that followed, across services; None for no such event."""
    told = await story(installation, [COMMANDS.name])
    inputs = {text_of(event_in(one.value), "id"): one for one in reversed(told.inputs)}
    fact = next((fact for fact in told.facts if fact["id"] == event_id), None)
    if fact is not None:
        place = told.at[event_id]
        cause = _cause(fact, told)
        rule = fact["data"].get("why")
        return _told(fact, cause, rule, _followed(told, place))
    record = inputs.get(event_id)
    if record is None:
        return None
    return _told(event_in(record.value), None, None, _followed(told, place_of(record)))


def _told(
    event: Mapping[str, Any],
    cause: Mapping[str, Any] | None,
    rule: Mapping[str, Any] | None,
    followed: list[dict[str, Any]],
) -> dict[str, Any]:
    return {"event": event, "cause": cause, "rule": rule, "followed": followed}


def _cause(fact: Mapping[str, Any], told: Story) -> Mapping[str, Any] | None:
    wanted = (fact["causetopic"], fact["causepartition"], fact["causeoffset"])
    for record in told.inputs:
        if place_of(record) == wanted:
            return event_in(record.value) or None
    for id_, place in told.at.items():
        if place == wanted:
            return next(other for other in told.facts if other["id"] == id_)
    return None


def _followed(told: Story, place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    waiting = [(place, 1)]
    while waiting and len(found) < FOLLOWED_MAX:
        here, depth = waiting.pop()
        followed = told.followed(here)
        for fact in followed:
            data = fact["data"]
            found.append(
                {
                    "depth": depth,
                    "id": fact["id"],
                    "type": fact["type"],
                    "subject": fact["subject"],
                    "businessday": fact.get("businessday"),
                    "reason": data.get("reason"),
                    "text": (data.get("why") or {}).get("text"),
                }
            )
        waiting.extend((told.at[fact["id"]], depth + 1) for fact in reversed(followed))
    return found


async def waiting(installation: Installation) -> list[dict[str, Any]]:
    """Return what is parked now: the last word about it is that it waits."""
    told = await story(installation)
    found: dict[tuple[str, Place], dict[str, Any]] = {}
    for fact in told.facts:
        data = fact["data"]
        if "input" not in data or "item" in data:
            continue
        place = (fact["causetopic"], fact["causepartition"], fact["causeoffset"])
        key = (service_of(fact), place)
        if fact["type"].endswith(".input-parked.v1"):
            found[key] = {
                "service": key[0],
                "id": data["input"]["id"],
                "type": data["input"]["type"],
                "subject": data["input"]["subject"],
                "waits_for": data["waits_for"],
                "until": data["until"],
                "since": fact.get("businessday"),
            }
        else:
            found.pop(key, None)
    return list(found.values())
