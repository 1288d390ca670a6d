"""Whose certificates are believed: those of public authorities, and those we are told of."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from streaming.authorities import trusting
from streaming.errors import SettingError
from tests.support.containers import free_port
from tests.support.tls_proxy import tls_proxy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of an authority nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run([str(ROOT / "deploy" / "tls.sh"), str(folder)], check=True)
    return folder


@pytest.fixture
async def address(certificates: Path) -> AsyncIterator[str]:
    """A system behind TLS. Nobody answers behind it: what matters is how far one gets."""
    port = free_port()
    async with tls_proxy("localhost", port, free_port(), certificates / "tls-kafka.pem"):
        yield f"https://localhost:{port}"


async def asked(address: str, authorities: str) -> str:
    """Return why asking failed."""
    async with httpx.AsyncClient(verify=trusting(authorities), trust_env=False) as client:
        with pytest.raises(httpx.HTTPError) as failed:
            await client.get(address)
    return str(failed.value)


async def test_who_is_vouched_for_by_an_authority_we_were_told_of_is_believed(
    address: str, certificates: Path
) -> None:
    authority = (certificates / "tls-ca.pem").read_text()

    assert "CERTIFICATE_VERIFY_FAILED" in await asked(address, "")
    assert "CERTIFICATE_VERIFY_FAILED" not in await asked(address, authority)


def test_the_public_authorities_are_believed_still(certificates: Path) -> None:
    public = len(trusting("").get_ca_certs())
    authority = (certificates / "tls-ca.pem").read_text()

    assert public > 50
    assert len(trusting(f"{authority}\n{authority}").get_ca_certs()) == public + 1


@pytest.mark.parametrize("text", ["not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA"])
def test_what_is_no_certificate_stops_the_start(text: str) -> None:
    with pytest.raises(SettingError, match="PFDO_CA cannot be read"):
        trusting(text)
