"""What a running Kafka lets a user do with a topic, by its own word."""

from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.protocol.api import (  # type: ignore[import-untyped]
    Request,
    RequestStruct,
    Response,
)
from aiokafka.protocol.types import (  # type: ignore[import-untyped]
    Array,
    Boolean,
    Int16,
    Int32,
    Schema,
    String,
)

from streaming.kafka_security import KafkaSecurity

_OPERATIONS = {3: "r", 4: "w"}


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("in_sync", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("with_cluster_operations", Boolean),
        ("with_topic_operations", Boolean),
    )


class _Rights(Request[_MetadataRequest]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._topics, False, True, True)


async def rights_of(
    bootstrap: str, security: KafkaSecurity, topics: Collection[str]
) -> tuple[Mapping[str, str], int]:
    """Return by topic which of `rw` the user may do, and the bits of what it may do to Kafka."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **security.options)
    await admin.start()
    try:
        answer = await admin._send_request(_Rights(topics))
    finally:
        await admin.close()
    rights = {
        name: "".join(letter for bit, letter in _OPERATIONS.items() if not code and bits >> bit & 1)
        for code, name, _internal, _partitions, bits in answer.topics
    }
    return rights, answer.cluster_operations
