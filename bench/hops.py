"""One hop and two: from a mark to its debit, and on to the word about it, in the same run."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]

from bench.figures import percentiles
from bench.measure import (
    DRAINED_SECONDS_MAX,
    JOURNAL,
    Record,
    charges,
    consumer_at_end,
    sent_at_a_rate,
)

MESSAGES = "notifications.events.v1"
DUE = "notifications.message-due.v1"


async def listen(consumer: AIOKafkaConsumer, told_at: dict[str, float]) -> None:
    """Note when the first word about each debit can be read, by the id of the debit."""
    while True:
        batches = await consumer.getmany(timeout_ms=1000)
        now = perf_counter()
        for batch in batches.values():
            for record in batch:
                envelope = orjson.loads(record.value)
                if envelope["type"] == DUE:
                    for id_ in envelope["data"]["event_ids"]:
                        told_at.setdefault(id_, now)


async def paced(bootstrap: str, sent: Sequence[Record], rate: int) -> dict[str, Any]:
    """Send marks at a rate; return percentiles until debit and until word are readable."""
    debits = await consumer_at_end(bootstrap, JOURNAL)
    words = await consumer_at_end(bootstrap, MESSAGES)

    async def charged() -> dict[str, tuple[str, float]]:
        return {mark: (id_, at) async for mark, id_, at in charges(debits, len(sent))}

    told_at: dict[str, float] = {}
    listening = asyncio.create_task(listen(words, told_at))
    reading = asyncio.create_task(charged())
    try:
        sent_at = await sent_at_a_rate(bootstrap, sent, rate)
        async with asyncio.timeout(DRAINED_SECONDS_MAX):
            charged_at = await reading
            while not all(id_ in told_at for id_, _ in charged_at.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        reading.cancel()
        listening.cancel()
        await debits.stop()
        await words.stop()
    one = [charged_at[mark][1] - at for mark, at in sent_at.items()]
    two = [told_at[charged_at[mark][0]] - at for mark, at in sent_at.items()]
    return {"one": asdict(percentiles(rate, one)), "two": asdict(percentiles(rate, two))}
