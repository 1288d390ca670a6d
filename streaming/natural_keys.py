"""What a copy is: the natural key of an input, and what is remembered of it (docs/events.md)."""

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from contracts.decisions import Decision
from contracts.envelope import Envelope, EventData

REFUSED_REVISIONS_MAX = 100
HASH_LENGTH = 32
"""Digits of a hash that are remembered: 128 bits tell copies from conflicts well enough."""


class Known(Struct, frozen=True, kw_only=True):
    """What is remembered of a natural key: revisions with a hash of the data they came with."""

    accepted: int | None = None
    accepted_hash: str = ""
    parked: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def highest(self) -> int | None:
        """Return the highest revision that was not refused; parked ones count."""
        revisions = [int(revision) for revision in self.parked]
        if self.accepted is not None:
            revisions.append(self.accepted)
        return max(revisions, default=None)

    def answer(self, revision: int, hash_: str) -> Decision | None:
        """Return DUPLICATE, REFUSED (a conflict), or None for what must be decided."""
        if self.accepted is None and not self.parked and not self.refused:
            # Nearly always.
            return None
        highest = self.highest
        if highest is not None and revision < highest:
            return Decision.DUPLICATE
        seen = {**self.refused, **self.parked}
        if self.accepted is not None:
            seen[str(self.accepted)] = self.accepted_hash
        before = seen.get(str(revision))
        if before is None:
            return None
        return Decision.DUPLICATE if before == hash_ else Decision.REFUSED

    def after(self, decision: Decision | None, revision: int, hash_: str) -> "Known":
        """Return what is known after a decision; None stands for facts."""
        if decision is None and not self.parked and not self.refused and self.accepted is None:
            # Nearly always.
            return Known(accepted=revision, accepted_hash=hash_)
        number = str(revision)
        parked = {key: value for key, value in self.parked.items() if key != number}
        match decision:
            case Decision.PARKED:
                return replace(self, parked={**parked, number: hash_})
            case Decision.REFUSED:
                refused = {**self.refused, number: hash_}
                for oldest in list(refused)[:-REFUSED_REVISIONS_MAX]:
                    del refused[oldest]
                return replace(self, parked=parked, refused=refused)
            case _:
                if self.accepted is not None and revision < self.accepted:
                    return replace(self, parked=parked)
                kept = {key: value for key, value in self.refused.items() if int(key) > revision}
                return Known(accepted=revision, accepted_hash=hash_, parked=parked, refused=kept)


def natural_key(envelope: Envelope, event: EventData) -> str:
    """Return the natural key of an input of a source: type, values, `#` and the revision if any."""
    key = f"{_stem(envelope)}:{':'.join(event.natural_key_values)}"
    revision = event.known_revision
    return key if revision is None else f"{key}#{revision}"


def command_key(envelope: Envelope) -> str:
    """Return the natural key of a command: its cause."""
    cause = (
        envelope.causetopic,
        envelope.causepartition,
        envelope.causeoffset,
        envelope.causeindex,
    )
    return f"{_stem(envelope)}:{':'.join(map(str, cause))}"


def split_key(key: str) -> tuple[str, int]:
    """Return a natural key without its revision, and the revision (0 where there is none)."""
    base, _, revision = key.partition("#")
    return base, int(revision or 0)


def known_key(payer: str, key: str) -> str:
    """Return where it is remembered what came under a natural key."""
    return f"_known/{payer}/{split_key(key)[0]}"


def short(data_sha256: str) -> str:
    """Return as much of a hash as is remembered."""
    return data_sha256[:HASH_LENGTH]


def _stem(envelope: Envelope) -> str:
    # Without the version: version 2 of a fact is a copy of its version 1.
    return envelope.type.rpartition(".")[0]
