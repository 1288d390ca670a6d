"""A proxy in front of a real server that loses a request or a reply when it is told to."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Literal

Side = Literal["request", "reply"]


class CuttingProxy:
    """Listens at a unix socket and passes bytes on to a server at a socket or at host and port."""

    def __init__(self, listens_at: Path, server: Path | tuple[str, int]) -> None:
        self.listens_at = listens_at
        self._to = server
        self._loses: Side | None = None
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen."""
        self._listener = await asyncio.start_unix_server(self._serve, str(self.listens_at))

    async def stop(self) -> None:
        """Close everything."""
        if self._listener is not None:
            self._listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def lose_next(self, what: Side) -> None:
        """Close the connection on which the next request or reply comes, and drop it."""
        self._loses = what

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if isinstance(self._to, Path):
                to_reader, to_writer = await asyncio.open_unix_connection(str(self._to))
            else:
                to_reader, to_writer = await asyncio.open_connection(*self._to)
            directions = {
                asyncio.create_task(self._pass_on("request", reader, to_writer)),
                asyncio.create_task(self._pass_on("reply", to_reader, writer)),
            }
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                to_writer.close()
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()
            self._connections.discard(task)

    async def _pass_on(
        self, what: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while received := await reader.read(1 << 16):
                if self._loses == what:
                    self._loses = None
                    return
                writer.write(received)
                await writer.drain()
