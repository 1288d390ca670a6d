"""The journal's records: canonical bytes, a dense number, and a chain of hashes.

`docs/events.md`, section 1, says which attributes a published record has; `ARCHITECTURE.md` why.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from contracts.envelope import CONTENT_TYPE, GENESIS_HASH
from streaming.bus import Headers
from streaming.view import Cause

HEADERS: Headers = (("content-type", CONTENT_TYPE.encode()),)

_NO_HASH = b',"hash":""'
LATER_INDEX_STEP = 1_000
"""What follows from a cause after its first decision (a parked input decided, work that fell due)
is numbered from `journalseq` times this: unique for the cause without a counter."""


def canonical(value: object) -> bytes:
    """Return the one form of a JSON value: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def data_hash(data: Mapping[str, Any]) -> str:
    """Return the hash by which two copies of an input's data are told to be the same."""
    return sha256(canonical(data)).hexdigest()


class JournalEnd(NamedTuple):
    """The last record of a journal partition: its number and hash."""

    seq: int = 0
    hash: str = GENESIS_HASH


class Entry(NamedTuple):
    """One record to be published, before it has its number."""

    type: str
    subject: str
    payer: str | None
    business_day: str | None
    cause: Cause
    cause_index: int
    data: Mapping[str, Any]


def command(service: str, partition: int, entry: Entry, journal_seq: int) -> bytes:
    """Return the bytes of a command: an event of the service that is not part of its journal."""
    return canonical(
        _attributes(service, f"{service}:{partition}:{journal_seq}:{entry.cause_index}", entry)
    )


def append(service: str, partition: int, end: JournalEnd, entry: Entry) -> tuple[JournalEnd, bytes]:
    """Return the journal's new end and the bytes of its next record.

    `hash` is SHA-256 over the canonical form of the record without `hash` itself.
    """
    seq = end.seq + 1
    attributes = _attributes(service, f"{service}:{partition}:{seq}", entry)
    attributes["journalseq"] = seq
    attributes["prevhash"] = end.hash
    attributes["hash"] = ""
    # The last `hash` is this one: `data`, which may hold others, stands before it.
    front, _, back = canonical(attributes).rpartition(_NO_HASH)
    digest = sha256(front + back).hexdigest()
    return JournalEnd(seq, digest), b'%b,"hash":"%b"%b' % (front, digest.encode(), back)


def record_hash(envelope: Mapping[str, Any]) -> str:
    """Return what `hash` of a published record must be."""
    return sha256(canonical({k: v for k, v in envelope.items() if k != "hash"})).hexdigest()


def _attributes(service: str, id_: str, entry: Entry) -> dict[str, Any]:
    cause = entry.cause
    attributes: dict[str, Any] = {
        "causeindex": entry.cause_index,
        "causeoffset": cause.offset,
        "causepartition": cause.partition,
        "causetopic": cause.topic,
        "data": entry.data,
        "datacontenttype": "application/json",
        "id": id_,
        "source": f"/services/{service}",
        "specversion": "1.0",
        "subject": entry.subject,
        "time": cause.time,
        "type": entry.type,
    }
    if entry.business_day is not None:
        attributes["businessday"] = entry.business_day
    if entry.payer is not None:
        attributes["partitionkey"] = entry.payer
    if cause.traceparent is not None:
        attributes["traceparent"] = cause.traceparent
    return attributes
