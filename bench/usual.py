"""The usual way to debit: a handler, Redis and a publish for each message, a process of its own.

Nothing ties the three together: a crash between them loses a debit or makes it twice.
`python -m bench.usual BOOTSTRAP REDIS_URL MARKS DEBITS`, until SIGTERM.
"""

import sys
import time
from typing import Any

from faststream import FastStream
from faststream.kafka import KafkaBroker
from redis.asyncio import Redis

from bench.measure import CHARGED
from contracts.attendance import LessonMarked
from streaming.event_loop import run

PRICE_KOPECKS = 9_000
READY = "ready"


async def debit(bootstrap: str, redis_url: str, marks: str, debits: str) -> None:
    """Debit until told to stop; say when it begins."""
    broker = KafkaBroker(bootstrap, logger=None)
    redis = Redis.from_url(redis_url)
    publisher = broker.publisher(debits)

    @broker.subscriber(marks, group_id=f"usual-{time.time_ns()}", auto_offset_reset="earliest")
    async def handle(body: dict[str, Any]) -> None:
        data = LessonMarked.model_validate(body["data"])
        if await redis.set(f"usual:{body['id']}", 1, nx=True, ex=3600):
            left = await redis.decrby(f"usual:purse:{data.enrollment_id}", PRICE_KOPECKS)
            told: dict[str, Any] = {
                "enrollment_id": data.enrollment_id,
                "left": left,
                "input": {"id": body["id"]},
            }
            await publisher.publish({"id": body["id"], "type": CHARGED, "data": told})

    app = FastStream(broker, logger=None)

    @app.after_startup
    async def started() -> None:
        print(READY, flush=True)

    await app.run()
    await redis.aclose()


if __name__ == "__main__":
    run(debit(*sys.argv[1:5]))
