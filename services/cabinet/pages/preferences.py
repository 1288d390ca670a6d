"""What the page of messages shows, and what its form says. Pure.

Everything stands as the journal has it: what was sent and is not decided yet is told as such. The
form carries the revision it knows, so that however often it arrives it says the same once, and one
that was filled in before somebody else's change is refused as a conflict and changes nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from contracts.vocabulary import Channel
from services.cabinet.pages import wording
from services.cabinet.pages.content_events import content_event
from services.cabinet.pages.forms import OLD, Fields, FormError, one
from services.cabinet.queries import Answer

QUIET_FROM, QUIET_UNTIL = "21:00", "08:00"
"""Quiet hours of who said nothing; `docs/rules.md`, section 9."""
NOT_QUIET = "00:00"
"""From and until the same hour: none are quiet."""
USUAL_ZONE = "+08:00"
"""Irkutsk; of who said nothing."""
FIELDS_MAX = 100
REVISION_MAX = 1_000_000_000

_HERE = Channel.CABINET.value
_OTHERS = tuple(channel.value for channel in Channel if channel is not Channel.CABINET)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_MARK = re.compile(r"([0-9]{1,10})-([0-9a-f]{16})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a guardian chose."""

    revision: int
    channels: Mapping[str, Sequence[str]]
    quiet_from: str
    quiet_until: str
    utc_offset: str
    digest: bool

    @property
    def mark(self) -> str:
        """Return what tells this choice from all others; the page that follows looks for it."""
        quiet = (self.quiet_from, self.quiet_until, self.utc_offset)
        return _mark(self.revision, self.channels, quiet, digest=self.digest)


def preferences_page(found: Answer, saved: str = "") -> dict[str, Any]:
    """Return what the page shows; `saved` is the mark of what was sent just before, if anything."""
    said = found["said"]
    now = _latest(said)
    from_, until = now["quiet_from"] or QUIET_FROM, now["quiet_until"] or QUIET_UNTIL
    is_quiet = from_ != until
    return {
        "guardian_id": found["guardian_id"],
        "revision": max(each["revision"] for each in said),
        "is_set": now["is_set"],
        "became": _became(said, saved),
        "saved": saved,
        "differs": any(_content(each) != _content(now) for each in said),
        "categories": [_category(id_, found["told"], now) for id_ in _categories(found)],
        "is_quiet": is_quiet,
        "quiet_from": from_ if is_quiet else QUIET_FROM,
        "quiet_until": until if is_quiet else QUIET_UNTIL,
        "zones": _zones(now["utc_offset"] or USUAL_ZONE),
        "digest": now["digest"],
    }


def _zones(chosen: str) -> list[tuple[str, str, bool]]:
    """Return the zones to choose from; one that another system named is among them."""
    names = dict(wording.ZONES)
    names.setdefault(chosen, f"UTC{chosen}")
    return [(offset, name, offset == chosen) for offset, name in names.items()]


def _latest(said: Sequence[Answer]) -> Answer:
    return max(said, key=lambda each: (each["is_set"], each["revision"]))


def _content(said: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("is_set", "channels", "quiet_from", "quiet_until", "digest")
    return (*(said[name] for name in names), said["utc_offset"] or USUAL_ZONE)


def _became(said: Sequence[Answer], saved: str) -> str:
    """Return what became of what was sent: saved, waits, other; empty where nothing was."""
    told = _MARK.match(saved)
    if told is None:
        return ""
    if all(
        each["is_set"]
        and saved
        == _mark(
            each["revision"],
            each["channels"],
            (each["quiet_from"], each["quiet_until"], each["utc_offset"] or USUAL_ZONE),
            digest=each["digest"],
        )
        for each in said
    ):
        return "saved"
    return "waits" if any(each["revision"] < int(told[1]) for each in said) else "other"


def _mark(
    revision: int,
    channels: Mapping[str, Sequence[str]],
    quiet: tuple[str | None, str | None, str],
    *,
    digest: bool,
) -> str:
    chosen = {category: list(chosen) for category, chosen in channels.items()}
    about = orjson.dumps([revision, chosen, quiet, digest], option=orjson.OPT_SORT_KEYS)
    return f"{revision}-{sha256(about).hexdigest()[:16]}"


def _categories(found: Answer) -> list[str]:
    return list(dict.fromkeys(each["category"] for each in found["told"]))


def _category(id_: str, told: Sequence[Answer], now: Answer) -> dict[str, Any]:
    of_it = [each for each in told if each["category"] == id_]
    channels = now["channels"].get(id_, [_HERE])
    return {
        "id": id_,
        "title": wording.CATEGORIES_OF_MESSAGES.get(id_, id_),
        "about": list(dict.fromkeys(each["says"] for each in of_it if not each["urgent"])),
        "urgent": list(dict.fromkeys(each["says"] for each in of_it if each["urgent"])),
        "is_here": _HERE in channels,
        "ways": [(way, wording.WAYS[way], way in channels) for way in _OTHERS],
    }


def typed(page: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Return the page with what was chosen in its form in place of what is known."""
    return {
        **page,
        "revision": one(fields, "revision"),
        "categories": [
            each
            | {
                "ways": [
                    (way, label, way in fields.get(f"to-{each['id']}", []))
                    for way, label, _ in each["ways"]
                ]
            }
            for each in page["categories"]
        ],
        "is_quiet": "any-time" not in fields,
        "quiet_from": one(fields, "quiet-from"),
        "quiet_until": one(fields, "quiet-until"),
        "zones": [(id_, name, id_ == one(fields, "zone")) for id_, name, _ in page["zones"]]
        if "zone" in fields
        else page["zones"],
        "digest": "digest" in fields,
    }


def read_preferences(fields: Fields, found: Answer) -> Chosen:
    """Return what a form says, on top of what is known. Raises FormError.

    What it cannot say stays as it is: categories that these payers tell nothing of.
    """
    known = _latest(found["said"])["channels"]
    categories = _categories(found)
    channels = {name: tuple(ways) for name, ways in known.items() if name not in categories}
    for category in categories:
        chosen = fields.get(f"to-{category}", [])
        if not set(chosen) <= set(_OTHERS):
            raise FormError("Не понятно, как присылать сообщения. Откройте страницу заново.")
        channels[category] = (_HERE, *(way for way in _OTHERS if way in chosen))
    is_quiet = "any-time" not in fields
    return Chosen(
        revision=_revision(fields) + 1,
        channels=channels,
        quiet_from=_clock(fields, "quiet-from") if is_quiet else NOT_QUIET,
        quiet_until=_clock(fields, "quiet-until") if is_quiet else NOT_QUIET,
        utc_offset=_zone(fields, _latest(found["said"])["utc_offset"]),
        digest="digest" in fields,
    )


def _revision(fields: Fields) -> int:
    text = one(fields, "revision")
    if not text.isascii() or not text.isdecimal() or not 0 <= int(text[:12]) < REVISION_MAX:
        raise FormError(OLD)
    return int(text[:12])


def _clock(fields: Fields, name: str) -> str:
    text = one(fields, name)
    if not _CLOCK.match(text):
        told = "Время пишется так: 21:00. Исправьте тихие часы и сохраните ещё раз."
        raise FormError(told, name)
    return text


def _zone(fields: Fields, known: str | None) -> str:
    chosen = fields.get("zone", [known or USUAL_ZONE])[0]
    if chosen != known and chosen not in wording.ZONES:
        raise FormError("Не понятно, по какому времени тихие часы. Откройте страницу заново.")
    return chosen


def preferences_events(found: Answer, chosen: Chosen, at: str) -> list[dict[str, Any]]:
    """Return the events of a choice: one for each payer of the guardian's children."""
    guardian_id = found["guardian_id"]
    data = {
        "guardian_id": guardian_id,
        "channels": {category: list(ways) for category, ways in chosen.channels.items()},
        "quiet_from": chosen.quiet_from,
        "quiet_until": chosen.quiet_until,
        "digest": chosen.digest,
        "revision": chosen.revision,
    }
    if chosen.utc_offset != USUAL_ZONE:
        data["utc_offset"] = chosen.utc_offset
    return [
        content_event(
            "navigator", "navigator.preferences-set", each["payer"], guardian_id, data, at
        )
        for each in found["said"]
    ]
