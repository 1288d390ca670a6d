"""Publishes the event of a file to Kafka, as its source: python publish.py event.json

Needs aiokafka. KAFKA says where, KAFKA_USER and KAFKA_PASSWORD_FILE who; KAFKA_CA, where Kafka
encrypts, the file of its authority.
"""

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer


async def publish(event: dict, password: str) -> None:
    """Return when the event is on the disks of Kafka; raise if that cannot be known."""
    ca = os.environ.get("KAFKA_CA")
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA"],
        security_protocol="SASL_SSL" if ca else "SASL_PLAINTEXT",
        ssl_context=ssl.create_default_context(cafile=ca) if ca else None,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=os.environ["KAFKA_USER"],
        sasl_plain_password=password,
        # All copies have it before it counts, and a retry of the client is no second record.
        acks="all",
        enable_idempotence=True,
    )
    await producer.start()
    try:
        done = await producer.send_and_wait(
            event["source"].removeprefix("/") + ".events.v1",
            json.dumps(event, ensure_ascii=False).encode(),
            # The key settles the partition: by the client's default, which is that of Java.
            key=event["partitionkey"].encode(),
            headers=[("content-type", b"application/cloudevents+json")],
        )
        print(f"{done.topic} {done.partition} {done.offset}")
    finally:
        await producer.stop()


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(publish(told, Path(os.environ["KAFKA_PASSWORD_FILE"]).read_text().strip()))
