"""Makes Kafka's access lists, users and quotas match what `contracts.access` says.

Kafka denies what no list allows (`StandardAuthorizer`, no `allow.everyone.if.no.acl.found`).
aiokafka has no calls for this, and no message for passwords and quotas: they are spelled out here.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError, for_code  # type: ignore[import-untyped]
from aiokafka.protocol.admin import (  # type: ignore[import-untyped]
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import (  # type: ignore[import-untyped]
    Request,
    RequestStruct,
    Response,
)
from aiokafka.protocol.types import (  # type: ignore[import-untyped]
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Float64,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from contracts.access import Operation, Resource, Right
from streaming.errors import BusUnavailableError
from streaming.kafka_security import KafkaSecurity
from streaming.kafka_stopping import stopped

ANSWER_SECONDS_MAX = 30.0
REQUEST_TIMEOUT_MS = 10_000
SALT_BYTES = 32
ITERATIONS = 8_192
"""Rounds of a password's hash: Kafka takes 4,096 to 16,384."""

# Numbers of Kafka's protocol.
_ANY, _ALLOW, _LITERAL, _PREFIXED, _SCRAM_SHA_512 = 1, 3, 3, 4, 2
_RESOURCES = {Resource.TOPIC: 2, Resource.GROUP: 3, Resource.TRANSACTIONAL_ID: 5}
_OPERATIONS = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}

_QUOTA = "producer_byte_rate"

Entry = tuple[int, str, int, str, str, int, int]
"""Resource type, name, pattern, principal, host, operation, permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What was changed; `users` counts those whose password was set."""

    added: int
    removed: int
    users: int


async def grant(
    bootstrap: str,
    security: KafkaSecurity,
    rights: Collection[Right],
    passwords: Mapping[str, str],
    topics: Collection[str],
) -> Granted:
    """Set the passwords, add the rights that are missing and take back those that are not ours.

    Entries of others, about other users and other topics than `topics`, are left alone. Raises
    BusUnavailableError, also if we may not do this.
    """
    async with _asking("access lists", bootstrap, security) as admin:
        if passwords:
            await _set_passwords(admin, passwords)
        return await _match(admin, rights, topics, len(passwords))


async def limit(
    bootstrap: str,
    security: KafkaSecurity,
    users: Collection[str],
    bytes_per_second: Mapping[str, int],
) -> None:
    """Let each broker take so much from a user, by an average of ten seconds, and no more.

    Who sends more is kept waiting; nothing is refused. Those of `users` that are not named in
    `bytes_per_second` have no limit. Raises BusUnavailableError, also if we may not do this.
    """
    entries: list[tuple[Any, ...]] = [
        (
            [("user", user, {})],
            [(_QUOTA, float(bytes_per_second.get(user, 0)), user not in bytes_per_second, {})],
            {},
        )
        for user in sorted({*users, *bytes_per_second})
    ]
    async with _asking("quotas", bootstrap, security) as admin:
        answer = await _asked(admin, _AlterQuotasRequest(entries, False, {}))
        for code, message, _entity, _tags in answer.entries:
            _check(code, message)


@asynccontextmanager
async def _asking(what: str, bootstrap: str, security: KafkaSecurity) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS, **security.options
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await admin.start()
            yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise BusUnavailableError(f"{what} of Kafka at {bootstrap}: {error!r}") from error
    finally:
        await stopped(admin.close())


async def _match(
    admin: Any, rights: Collection[Right], topics: Collection[str], users: int
) -> Granted:
    wanted = {_entry(right) for right in rights}
    ours = {entry[3] for entry in wanted}
    standing = {
        entry
        for entry in await _entries(admin)
        if entry[3] in ours or (entry[0] == _RESOURCES[Resource.TOPIC] and entry[1] in topics)
    }
    # First what is missing: nobody who works is locked out in between.
    added, removed = sorted(wanted - standing), sorted(standing - wanted)
    if added:
        answer = await _asked(admin, CreateAclsRequest_v1(added))
        for code, message in answer.creation_responses:
            _check(code, message)
    if removed:
        answer = await _asked(admin, DeleteAclsRequest_v1(removed))
        for code, message, _matching in answer.filter_responses:
            _check(code, message)
    return Granted(added=len(added), removed=len(removed), users=users)


def _entry(right: Right) -> Entry:
    return (
        _RESOURCES[right.resource],
        right.name,
        _PREFIXED if right.is_prefix else _LITERAL,
        f"User:{right.principal}",
        "*",
        _OPERATIONS[right.operation],
        _ALLOW,
    )


async def _entries(admin: Any) -> set[Entry]:
    answer = await _asked(admin, DescribeAclsRequest_v1(_ANY, None, _ANY, None, None, _ANY, _ANY))
    _check(answer.error_code, answer.error_message)
    return {
        (kind, name, pattern, *entry)
        for kind, name, pattern, entries in answer.resources
        for entry in entries
    }


class _AlterPasswordsResponse(Response):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterPasswordsRequest(RequestStruct):  # type: ignore[misc]
    """AlterUserScramCredentials, of KIP-554."""

    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterPasswordsResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


async def _set_passwords(admin: Any, passwords: Mapping[str, str]) -> None:
    upsertions: list[tuple[Any, ...]] = []
    for name, password in sorted(passwords.items()):
        salt = os.urandom(SALT_BYTES)
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
        upsertions.append((name, _SCRAM_SHA_512, ITERATIONS, salt, salted, {}))
    answer = await _asked(admin, _AlterPasswordsRequest([], upsertions, {}))
    for name, code, message, _tags in answer.results:
        _check(code, f"{name}: {message}")


_ENTITY = CompactArray(
    ("type", CompactString("utf-8")), ("name", CompactString("utf-8")), ("tags", TaggedFields)
)


class _AlterQuotasResponse(Response):  # type: ignore[misc]
    API_KEY = 49
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            CompactArray(
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("entity", _ENTITY),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterQuotasRequest(RequestStruct):  # type: ignore[misc]
    """AlterClientQuotas, of KIP-546."""

    FLEXIBLE_VERSION = True
    API_KEY = 49
    API_VERSION = 1
    RESPONSE_TYPE = _AlterQuotasResponse
    SCHEMA = Schema(
        (
            "entries",
            CompactArray(
                ("entity", _ENTITY),
                (
                    "ops",
                    CompactArray(
                        ("key", CompactString("utf-8")),
                        ("value", Float64),
                        ("remove", Boolean),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("validate_only", Boolean),
        ("tags", TaggedFields),
    )


async def _asked(admin: Any, request: Any) -> Any:
    class AsItIs(Request[type(request)]):  # type: ignore[misc]
        """The request in its one version; aiokafka wants to choose."""

        API_KEY = request.API_KEY

        def build(self, request_struct_class: Any) -> Any:
            del request_struct_class
            return request

    return await admin._send_request(AsItIs())  # noqa: SLF001


def _check(code: int, message: str | None) -> None:
    if code:
        raise for_code(code)(message)
