"""A proxy that takes TLS off, as the one before a cabinet does."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

PART_BYTES = 64 * 1024


@asynccontextmanager
async def tls_proxy(
    host: str, port: int, to_port: int, key_and_certificate: Path
) -> AsyncIterator[None]:
    """Pass what comes to an address over TLS on to a port of this machine, in the clear."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key_and_certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(PART_BYTES):
                writer.write(part)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(carry(reader, upstream[1]), carry(upstream[0], writer))

    server = await asyncio.start_server(connected, host, port, ssl=context)
    try:
        yield
    finally:
        server.close()
