"""What `pfdo doctor` looks at, each finding with its remedy."""

import platform
from typing import Any

from streaming.errors import BusUnavailableError, SettingError, StoreUnavailableError
from streaming.installation import Installation, open_installation
from streaming.settings import Settings


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
    try:
        await installation.bus.ends(installation.topics)
    except BusUnavailableError as error:
        found.append(
            _finding("topics", str(error), ok=False, remedy="make them: pfdo topics create")
        )
    else:
        number, partitions = len(installation.topics), installation.bus.partitions
        found.append(_finding("topics", f"{number}, {partitions} partitions each", ok=True))
    return found


async def _of_services(installation: Installation) -> list[dict[str, Any]]:
    from pfdo.settling import lag, readers_of
    from pfdo.system import runs_elsewhere

    try:
        is_running = await runs_elsewhere(installation.settings)
        left = await lag(installation, readers_of(installation, cabinet=False))
    except (BusUnavailableError, StoreUnavailableError, SettingError) as error:
        remedy = "start Redis, or correct its settings as the message says"
        return [_finding("stores", str(error), ok=False, remedy=remedy)]
    findings = [
        _finding(
            "services",
            "running" if is_running else "none runs",
            ok=is_running or not any(left.values()),
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
    return findings
