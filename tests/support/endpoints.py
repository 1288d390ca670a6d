"""Endpoints that are real, on this machine: relays for mail, systems that take webhooks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.containers import free_port

HOST = "127.0.0.1"
OK = "250 OK"


@dataclass
class Mailbox:
    """What a relay took, and what it says instead of taking (a reply line), by its turn."""

    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    always: str | None = None
    rcpt: Callable[[str], str | None] = lambda _address: None
    peers: set[object] = field(default_factory=set)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        del server, session, options
        refusal = self.rcpt(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return OK

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        del server
        self.peers.add(session.peer)
        reply = self.replies.pop(0) if self.replies else self.always or OK
        if reply.startswith("250"):
            assert isinstance(envelope.content, bytes)
            parsed = message_from_bytes(envelope.content, policy=default)
            assert isinstance(parsed, EmailMessage)
            self.mails.append((envelope.rcpt_tos[0], parsed))
        return reply

    @property
    def ids(self) -> list[str]:
        """Return the Message-IDs of what was taken, in order."""
        return [str(mail["Message-ID"]) for _, mail in self.mails]


@contextlib.contextmanager
def relay(mailbox: Mailbox, port: int = 0) -> Any:
    """Run a real SMTP server; yields its port."""
    controller = Controller(mailbox, hostname=HOST, port=port or free_port())
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@dataclass
class System:
    """A system that takes HTTP requests: what it got, and the bytes it answers, by its turn."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    always: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    hangs: bool = False
    endless: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
                headers = {name.lower(): value for name, _, value in lines}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append((headers, body))
                if self.hangs:
                    await asyncio.sleep(3600)
                writer.write(self.answers.pop(0) if self.answers else self.always)
                while self.endless:
                    writer.write(b"x" * 65_536)
                    await writer.drain()
                await writer.drain()


@asynccontextmanager
async def listening(system: System) -> AsyncIterator[str]:
    """Run a system; yields its URL."""
    server = await asyncio.start_server(system.serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://{HOST}:{port}/hook"
    finally:
        server.close()


def status(code: int, head: str = "") -> bytes:
    """Return an answer without a body."""
    return f"HTTP/1.1 {code} Said\r\n{head}content-length: 0\r\n\r\n".encode()
