"""The deployment with real people: a log-in server and a cabinet behind TLS, no sandbox.

As docs/operations/secure.md says, with `oidc-provider` for the region's server, and an authority
that no public list names.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.deploy.deployment import ROOT, Deployment
from tests.support.containers import free_port
from tests.support.oidc import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Server, running_server
from tests.support.tls_proxy import tls_proxy

SECRETS = ROOT / "deploy" / "secrets"


@dataclass(frozen=True, kw_only=True)
class LoggedInto:
    """A deployment that people log into, the server they do it at, and who vouches for both."""

    deployment: Deployment
    server: Server
    authority: str


@asynccontextmanager
async def with_log_in(
    deployment: Deployment,
    node: Path,
    people: Mapping[str, Mapping[str, Any]],
    machines: Mapping[str, Mapping[str, Any]],
    folder: Path,
) -> AsyncIterator[LoggedInto]:
    """Offer a log-in to a deployment while the block runs; who brings it up again has it."""
    host = deployment.gateway
    environment = deployment.environment | {"SANS": f"IP:{host}"}
    command = (str(ROOT / "deploy" / "tls.sh"), str(folder))
    await asyncio.to_thread(subprocess.run, command, env=environment, check=True)
    certificate, authority = folder / "tls-kafka.pem", (folder / "tls-ca.pem").read_text()
    server = Server(
        issuer=f"https://{host}:{free_port()}",
        cabinet_port=free_port(),
        cabinet_host=f"https://{host}",
        tls_file=str(certificate),
    )
    real = replace(
        deployment,
        settings={
            "PFDO_OIDC_ISSUER": server.issuer,
            "PFDO_OIDC_CLIENT_ID": CLIENT_ID,
            "PFDO_OIDC_AUDIENCE": AUDIENCE,
            "PFDO_OIDC_GUARDIAN_CLAIM": "family",
            "PFDO_PUBLIC_URL": server.cabinet_url,
            "PFDO_SENDERS_VAULT_URL": server.cabinet_url,
            "PFDO_SANDBOX": "0",
        },
    )
    given = {"authorities.pem": authority, "oidc-client-secret": CLIENT_SECRET}
    with _secrets(given), running_server(node, people, machines, like=server):
        async with tls_proxy(host, server.cabinet_port, deployment.port, certificate):
            yield LoggedInto(deployment=real, server=server, authority=authority)


@contextmanager
def _secrets(given: Mapping[str, str]) -> Iterator[None]:
    """Put what others gave us where it goes."""
    before = {name: (SECRETS / name).read_text() for name in given}
    try:
        for name, text in given.items():
            _put(name, text)
        yield
    finally:
        for name, text in before.items():
            _put(name, text)


def _put(name: str, text: str) -> None:
    (SECRETS / name).unlink()
    (SECRETS / name).write_text(text)
    (SECRETS / name).chmod(0o444)
