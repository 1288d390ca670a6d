"""Entries of the outbox: outgoing records as bytes, kept with the state that led to them."""

import orjson

from streaming.bus import Outgoing
from streaming.journal import HEADERS


def pack(outgoing: Outgoing) -> bytes:
    """Return an entry of the outbox."""
    about = [
        outgoing.topic,
        outgoing.partition,
        None if outgoing.key is None else outgoing.key.hex(),
        None if outgoing.headers == HEADERS else [(k, v.hex()) for k, v in outgoing.headers],
        outgoing.value is None,
    ]
    return orjson.dumps(about) + b"\n" + (outgoing.value or b"")


def unpack(entry: bytes) -> Outgoing:
    """Return what `pack` packed."""
    about, _, value = entry.partition(b"\n")
    topic, partition, key, headers, is_tombstone = orjson.loads(about)
    return Outgoing(
        topic,
        partition,
        None if key is None else bytes.fromhex(key),
        None if is_tombstone else value,
        HEADERS
        if headers is None
        else tuple((name, bytes.fromhex(content)) for name, content in headers),
    )
