"""What `pfdo doctor` looks at, each finding with its remedy."""

import asyncio
import platform
import re
from collections.abc import Collection
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from services.cabinet.access.settings import NO_PROXY, trusts_no_proxy
from streaming.errors import BusUnavailableError, SettingError, StoreUnavailableError
from streaming.installation import Installation, open_installation
from streaming.kafka import KafkaBus
from streaming.settings import Settings

METRICS_SECONDS_MAX = 2.0
METRICS_BYTES_MAX = 4 * 1024 * 1024

_HALTED = re.compile(
    r'^pfdo_partition_halted\{partition="([0-9]+)",service="([a-z-]+)"\} 1', re.MULTILINE
)

_TROUBLE = re.compile(
    r'^pfdo_trouble_seconds\{partition="([0-9]*)",service="([a-z-]+)"\} ([0-9.e+-]+)', re.MULTILINE
)


def _finding(what: str, found: str, *, ok: bool, remedy: str = "") -> dict[str, Any]:
    return {"what": what, "found": found, "ok": ok, "remedy": "" if ok else remedy}


async def examine(settings: Settings) -> list[dict[str, Any]]:
    """Return findings: {what, found, ok, remedy}."""
    bus = f"Kafka at {settings.kafka_bootstrap}" if settings.uses_kafka else "embedded"
    findings = [
        _finding("Python", platform.python_version(), ok=True),
        _finding("bus", bus, ok=True),
        _finding(
            "sandbox",
            "on: unsafe settings are let through, pages need no log-in"
            if settings.sandbox
            else "off",
            ok=not (settings.sandbox and settings.uses_kafka),
            remedy="never with real people: unset PFDO_SANDBOX",
        ),
    ]
    if trusts_no_proxy(settings):
        findings.append(
            _finding("proxy before the log-in", "none is trusted", ok=False, remedy=NO_PROXY)
        )
    try:
        async with open_installation(settings) as installation:
            findings += await _of_bus(installation)
            findings += await _of_services(installation)
    except (BusUnavailableError, SettingError) as error:
        remedy = "start it, or correct the setting the message names"
        findings.append(_finding("bus reachable", str(error), ok=False, remedy=remedy))
    return findings


async def _of_bus(installation: Installation) -> list[dict[str, Any]]:
    identity = await installation.bus.identity()
    found = [_finding("bus reachable", f"installation {identity}", ok=True)]
    make = "make them: pfdo topics create"
    try:
        await installation.bus.ends(installation.topics)
    except BusUnavailableError as error:
        return [*found, _finding("topics", str(error), ok=False, remedy=make)]
    number, partitions = len(installation.topics), installation.bus.partitions
    found.append(_finding("topics", f"{number}, {partitions} partitions each", ok=True))
    if isinstance(installation.bus, KafkaBus):
        wrong = await installation.bus.wrong_settings(installation.topics)
        found += [
            _finding(
                f"settings of {topic}",
                ", ".join(f"{name}={value}" for name, value in sorted(values.items())),
                ok=False,
                remedy="records may be lost or misordered; set them right: pfdo topics create",
            )
            for topic, values in sorted(wrong.items())
        ]
    return found


async def _of_services(installation: Installation) -> list[dict[str, Any]]:
    from pfdo.settling import lag, readers_of
    from pfdo.system import running_now

    settings = installation.settings
    # In one process the cabinet and the senders come and go with the services; elsewhere they are
    # looked at if we know where the cabinet keeps its state.
    beside = settings.uses_kafka and settings.redis_url_of("cabinet") is not None
    readers = readers_of(installation, cabinet=beside)
    names = [reader.name for reader in readers]
    try:
        running = await running_now(settings, names)
        left = await lag(installation, readers)
    except (BusUnavailableError, StoreUnavailableError, SettingError) as error:
        remedy = "start Redis, or correct its settings as the message says"
        return [_finding("stores", str(error), ok=False, remedy=remedy)]
    silent = [name for name in names if name not in running]
    findings = [
        _finding(
            "services",
            f"{', '.join(silent)}: none runs" if running and silent else _all_or_none(running),
            ok=not silent or (not running and not any(left.values())),
            remedy="start them: pfdo run",
        )
    ]
    findings += [
        _finding(
            f"lag of {name}",
            str(number),
            ok=number == 0,
            remedy="while it falls, wait; else look for `halted` in the service's log",
        )
        for name, number in left.items()
    ]
    if running:
        findings += await asyncio.to_thread(_told, settings)
    return findings


def _all_or_none(running: Collection[str]) -> str:
    return "running" if running else "none runs"


def _told(settings: Settings) -> list[dict[str, Any]]:
    """Return what processes say that wait: for a person, or for what they need."""
    host = "127.0.0.1" if settings.http_host in {"0.0.0.0", "::"} else settings.http_host  # noqa: S104
    told = [_metrics(host, port) for port in {settings.port, settings.health_port} - {None}]
    if settings.cabinet_url is not None:
        cabinet = urlsplit(settings.cabinet_url)
        told.append(_metrics(str(cabinet.hostname), cabinet.port))
    halted = {found for text in told for found in _HALTED.findall(text)}
    waiting = {found for text in told for found in _TROUBLE.findall(text)}
    return [
        *(
            _finding(
                f"{service} {partition}".strip(),
                f"waits for what it needs, {float(seconds):.0f} s",
                ok=False,
                remedy="its log says for what: look for `waiting` or `does not answer`",
            )
            for partition, service, seconds in sorted(waiting)
            if float(seconds) > 0
        ),
        *_halted(halted),
    ]


def _halted(halted: Collection[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        _finding(
            f"partition {partition} of {service}",
            "halted",
            ok=False,
            remedy="its log says at which record and why: look for `halted`; the others go on",
        )
        for partition, service in sorted(halted)
    ]


def _metrics(host: str, port: int | None) -> str:
    """Return what a process tells at `/metrics`; nothing where nobody answers."""
    connection = HTTPConnection(host, port, timeout=METRICS_SECONDS_MAX)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read(METRICS_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
