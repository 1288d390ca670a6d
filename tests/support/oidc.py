"""A real OpenID Connect server for tests: `oidc-provider`, certified, in Node, by npm's lock.

It is installed once into pytest's cache. Where Node, npm or the registry is not there the test is
skipped, and says so; `PFDO_REQUIRE_CONTAINERS=1` makes that a failure.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.containers import free_port

FOLDER = Path(__file__).with_name("oidc_server")
INSTALL_SECONDS_MAX = 120
START_SECONDS_MAX = 60
START_LOOK_SECONDS = 0.05
CLIENT_ID = "cabinet"
CLIENT_SECRET = "s" * 40
AUDIENCE = "https://cabinet.example.invalid/api"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that runs, and the cabinet it lets people come back to."""

    issuer: str
    cabinet_port: int
    cabinet_host: str = "http://127.0.0.1"
    tls_file: str = ""
    """Its key and certificate, if it is spoken to over TLS."""

    @property
    def cabinet_url(self) -> str:
        """Return the address of the cabinet."""
        return f"{self.cabinet_host}:{self.cabinet_port}"

    def settings(self, folder: Path) -> dict[str, str]:
        """Return the environment of the cabinet, with its secrets as files."""
        for name, secret in (("secret", CLIENT_SECRET), ("key", "k" * 40)):
            (folder / name).write_text(f"{secret}\n")
        return {
            "PFDO_OIDC_ISSUER": self.issuer,
            "PFDO_OIDC_CLIENT_ID": CLIENT_ID,
            "PFDO_OIDC_CLIENT_SECRET_FILE": str(folder / "secret"),
            "PFDO_OIDC_AUDIENCE": AUDIENCE,
            "PFDO_OIDC_SESSION_KEY_FILE": str(folder / "key"),
        }


def installed(cache: pytest.Cache) -> Path:
    """Return the folder of the installed server. Skips the test, or fails it, without Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        _missing("there is no Node with npm on the PATH")
    lock = (FOLDER / "package-lock.json").read_bytes()
    content = lock + (FOLDER / "server.mjs").read_bytes()
    folder = cache.mkdir("oidc") / sha256(content).hexdigest()[:16]
    if folder.exists():
        return folder
    making = folder.with_name(f"{folder.name}-{os.getpid()}")
    shutil.copytree(FOLDER, making)
    command = [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=making, capture_output=True, timeout=INSTALL_SECONDS_MAX, check=False
    )
    if done.returncode != 0:
        shutil.rmtree(making)
        _missing(f"npm cannot install oidc-provider: {done.stderr.decode()[-300:]}")
    making.replace(folder)
    return folder


def _missing(reason: str) -> None:
    if os.environ.get("PFDO_REQUIRE_CONTAINERS") == "1":
        pytest.fail(f"PFDO_REQUIRE_CONTAINERS=1, but: {reason}")
    pytest.skip(reason)


@contextmanager
def running_server(
    folder: Path,
    people: Mapping[str, Mapping[str, Any]],
    machines: Mapping[str, Mapping[str, Any]],
    *,
    token_seconds: int = 300,
    like: Server | None = None,
) -> Iterator[Server]:
    """Run the server with these people and machines; `like`: in the place of another one."""
    server = like or Server(issuer=f"http://localhost:{free_port()}", cabinet_port=free_port())
    environment = {
        "PATH": os.environ["PATH"],
        "ISSUER": server.issuer,
        "AUDIENCE": AUDIENCE,
        "CALLBACK": f"{server.cabinet_url}/login/back",
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "PEOPLE": json.dumps(people),
        "MACHINES": json.dumps(machines),
        "SECONDS": str(token_seconds),
        "TLS_FILE": server.tls_file,
    }
    with subprocess.Popen(["node", "server.mjs"], cwd=folder, env=environment) as process:
        try:
            _wait_for(server, process)
            yield server
        finally:
            process.terminate()


def _wait_for(server: Server, process: subprocess.Popen[bytes]) -> None:
    address = urlsplit(server.issuer)
    assert address.hostname is not None
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        assert process.poll() is None, "the server did not start"
        with suppress(OSError), socket.create_connection((address.hostname, address.port or 0)):
            return
        time.sleep(START_LOOK_SECONDS)
    raise TimeoutError(f"the server does not listen after {START_SECONDS_MAX} s")
