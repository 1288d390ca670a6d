"""A TCP proxy between services and a server: cuts, slows down or swallows what passes."""

import asyncio
import random
from contextlib import suppress

CHUNK_BYTES = 1 << 16


class Proxy:
    """Listens on a port of this host and passes bytes on to another, until it is told otherwise."""

    def __init__(self, port: int, to_port: int) -> None:
        self.port = port
        self._to_port = to_port
        self._listener: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._refuses = False
        self._delay_seconds = 0.0
        self._passes = asyncio.Event()
        self._passes.set()
        self.delayed_bytes = 0
        self.swallowed_reads = 0

    async def start(self) -> None:
        """Begin to listen."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close everything."""
        if self._listener is not None:
            self._listener.close()
        self._passes.set()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def cut(self, share: float, chance: random.Random) -> int:
        """Break open connections, each with this probability. Return how many were broken."""
        struck = 0
        for task, writers in list(self._open.items()):
            if chance.random() < share:
                for writer in writers:
                    # A reset, as from a firewall that forgot the connection.
                    writer.transport.abort()
                task.cancel()
                struck += 1
        return struck

    def refuse(self, refuses: bool) -> None:
        """Refuse connections from now on, or take them again."""
        self._refuses = refuses

    def slow_down(self, delay_seconds: float) -> None:
        """Hold every chunk back by so much; 0 passes it on at once."""
        self._delay_seconds = delay_seconds

    def swallow(self, swallows: bool) -> None:
        """Pass nothing on while connections stay open, as on a dead line."""
        if swallows:
            self._passes.clear()
        else:
            self._passes.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = (writer,)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._open[task] = (writer, to_writer)
            directions = {
                asyncio.create_task(self._pass_on(reader, to_writer)),
                asyncio.create_task(self._pass_on(to_reader, writer)),
            }
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                to_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            del self._open[task]

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while received := await reader.read(CHUNK_BYTES):
                if self._delay_seconds:
                    self.delayed_bytes += len(received)
                    await asyncio.sleep(self._delay_seconds)
                if not self._passes.is_set():
                    self.swallowed_reads += 1
                    await self._passes.wait()
                writer.write(received)
                await writer.drain()
