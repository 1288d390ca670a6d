"""What a result was measured on: machine, versions, commit."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench.surroundings import Surroundings
from streaming.event_loop import run

LIBRARIES = ("aiokafka", "faststream", "pydantic", "redis")


def about(around: Surroundings) -> dict[str, Any]:
    """Return where, with what and of which commit."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "cpu": _after("/proc/cpuinfo", "model name") or platform.processor(),
            "memory_mib": int((_after("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) // 1024,
            "system": f"{platform.system()} {_release()} {platform.machine()}",
        },
        "versions": {
            "kafka": around.kafka,
            "redis": run(_redis_version(around.redis_url)),
            "python": platform.python_version(),
            "java": _java(),
            **{name: version(name) for name in LIBRARIES},
        },
        "commit": commit(),
    }


def _release() -> str:
    """Return the kernel's number without what whoever built it added."""
    return ".".join(platform.release().split(".")[:2])


def commit() -> str:
    """Return the commit that is checked out, with a plus if files differ from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def _after(file: str, name: str) -> str | None:
    path = Path(file)
    for line in path.read_text().splitlines() if path.exists() else ():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


async def _redis_version(url: str) -> str:
    redis = Redis.from_url(url)
    told = await redis.info("server")
    await redis.aclose()
    return str(told["redis_version"])


def _java() -> str | None:
    if shutil.which("java") is None:
        return None
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    return told.stderr.partition('"')[2].partition('"')[0]
