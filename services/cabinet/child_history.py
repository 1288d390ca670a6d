"""What happened to a child, with the words of each fact, how its family was told, and disputes."""

from collections.abc import Iterable, Mapping
from datetime import UTC

from contracts.moments import read_moment
from services.cabinet.parts import Answer, Part, iso, last
from services.cabinet.projections.models import (
    DISPUTES_OF,
    HISTORY,
    Dispute,
    Entry,
    Message,
    Told,
    beginning,
    under,
)
from services.cabinet.together import together

_MONEY_MOVED = frozenset(
    {
        "account-opened",
        "charge-reversed",
        "funds-reserved",
        "lesson-charged",
        "month-adjusted",
        "month-charged",
        "month-reversed",
        "nominal-applied",
        "period-expired",
        "reserve-released",
    }
)
"""Facts that move money on a certificate; a child's history has others beside them."""

_DEBITS = frozenset(
    {"charge-reversed", "lesson-charged", "month-adjusted", "month-charged", "month-reversed"}
)
"""Facts a family is told of one by one, or in the digest of the day."""

_NO_REASONS = frozenset({"balance-low", "period-ends-soon"})
"""Templates that say what is left. They name facts for their numbers, and tell of none."""

_UNKNOWN = Told()


async def _facts_of(
    part: Part, payer: str, child_id: str, entries_max: int | None = None
) -> list[str]:
    """Return the ids of what happened to a child lately, the oldest first."""
    ids = [last(entry) for entry in await part.members(HISTORY, *beginning(payer, child_id))]
    return ids if entries_max is None else ids[max(0, len(ids) - entries_max) :]


async def movements(part: Part, payer: str, child_id: str) -> list[Answer]:
    """Return what moved the money of a child, the oldest first."""
    history = await part.found(Entry, await _facts_of(part, payer, child_id))
    return [_movement(entry) for entry in history.values() if entry.kind in _MONEY_MOVED]


async def family_history(
    part: Part, payer: str, child_id: str, guardian_id: str, entries_max: int | None
) -> list[Answer]:
    """Return the history of a child, the latest first; of each debit, how the guardian was told."""
    ids = await _facts_of(part, payer, child_id, entries_max)
    # Which of them are debits is not known yet; to wait for that would be a round trip more.
    history, known = await together(
        part.found(Entry, ids),
        part.found(Told, [under(payer, guardian_id, id_) for id_ in ids]),
    )
    told = {
        id_: known.get(under(payer, guardian_id, id_), _UNKNOWN)
        for id_, entry in history.items()
        if entry.kind in _DEBITS
    }
    messages, disputes = await together(
        _messages_of(part, payer, told.values()), _disputes_of(part, payer, history.values())
    )
    return [
        entry_answer(entry)
        | {
            "told": _told(told.get(id_, _UNKNOWN), messages),
            "dispute": disputes.get(_lesson_of(payer, entry)),
        }
        for id_, entry in reversed(history.items())
    ]


async def _messages_of(part: Part, payer: str, told: Iterable[Told]) -> dict[str, Message]:
    """Return the messages by which a guardian was told of debits, by their ids."""
    ids = {under(payer, id_): id_ for each in told for id_ in each.message_ids}
    messages = await part.found(Message, list(ids))
    return {ids[id_]: message for id_, message in messages.items()}


async def _disputes_of(part: Part, payer: str, entries: Iterable[Entry]) -> dict[str, Answer]:
    """Return the disputes about lessons of a history, by what they stand under.

    Asked for by the lessons: the history may be cut off after the beginning of a dispute.
    """
    asked = {_lesson_of(payer, entry) for entry in entries if entry.lesson_id is not None}
    found = await part.found(Dispute, sorted(asked))
    return {id_: dispute_answer(dispute) for id_, dispute in found.items()}


async def open_disputes(part: Part, payer: str, child_id: str) -> list[Answer]:
    """Return the disputes of a child that wait for an answer, the oldest first."""
    entries = await part.members(DISPUTES_OF, *beginning(payer, child_id))
    ids = [under(payer, *entry.split("|")[3:]) for entry in entries]
    found = await part.found(Dispute, ids)
    return [dispute_answer(dispute) for dispute in found.values()]


def _lesson_of(payer: str, entry: Entry) -> str:
    return under(payer, entry.enrollment_id or "", entry.lesson_id or "")


def dispute_answer(dispute: Dispute) -> Answer:
    """Return a dispute as pages take it."""
    return {
        "child_id": dispute.child_id,
        "provider_id": dispute.provider_id,
        "lesson_date": dispute.lesson_date.isoformat(),
        "ground": dispute.ground,
        "amount_kopecks": dispute.amount_kopecks,
        "opened_on": dispute.opened_on.isoformat(),
        "outcome": dispute.outcome,
        "settled_on": iso(dispute.settled_on),
        "by": dispute.by,
        "evidence": dispute.evidence,
        "text": dispute.text,
    }


def _is_put_off(message: Message) -> bool:
    """Return whether a message is to come later than what it tells of happened."""
    begins, at = read_moment(message.not_before, UTC), read_moment(message.at, UTC)
    return begins is not None and at is not None and begins > at


def _told(told: Told, messages: Mapping[str, Message]) -> Answer:
    known = [messages[id_] for id_ in told.message_ids if id_ in messages]
    found = [message for message in known if message.template not in _NO_REASONS]
    return {
        "untold": told.untold,
        "messages": [
            {
                "channel": message.channel,
                "state": message.state,
                "is_put_off": _is_put_off(message),
                "not_before": message.not_before,
                "became_at": message.became_at,
            }
            for message in found
        ],
    }


def _movement(entry: Entry) -> Answer:
    return {
        "at": entry.at,
        "kind": entry.kind,
        "amount_kopecks": entry.amount_kopecks,
        "enrollment_id": entry.enrollment_id,
        "lesson_id": entry.lesson_id,
        "balance_kopecks": entry.balance_kopecks,
        "text": entry.text,
    }


def entry_answer(entry: Entry) -> Answer:
    """Return an entry of a history as pages take it."""
    return _movement(entry) | {
        "day": iso(entry.day),
        "lesson_date": iso(entry.lesson_date),
        "cause": entry.cause,
    }
