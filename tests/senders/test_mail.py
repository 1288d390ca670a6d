"""Mail over SMTP to a real server: taken, refused, cut off, hanging; and as files in a folder."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from services.notifications.senders.addresses import (
    Address,
    AddressesAwayError,
    AddressFile,
    NoAddresses,
)
from services.notifications.senders.delivery import (
    Delivery,
    Message,
    NoAddressesNow,
    NotNow,
    OutOfReach,
    Rejected,
    Sent,
)
from services.notifications.senders.folder import Folder
from services.notifications.senders.samples import samples
from services.notifications.senders.smtp import MAILS_PER_CONNECTION_MAX, Relay, SmtpProvider
from services.notifications.senders.templates import letter
from tests.support.containers import free_port
from tests.support.endpoints import HOST, Mailbox, relay

AT = datetime(2020, 9, 2, 4, 0, tzinfo=UTC)


class Book:
    """Addresses of invented people: everybody has one, but for those who are named."""

    def __init__(self, **known: Address | None) -> None:
        self.known = known
        self.dropped: list[tuple[str, str]] = []

    async def drop_browser(self, recipient_id: str, endpoint: str) -> None:
        self.dropped.append((recipient_id, endpoint))

    async def find(self, recipient_id: str) -> Address | None:
        if recipient_id in self.known:
            return self.known[recipient_id]
        return Address(email=f"{recipient_id}@people.example", phone="+70000000000")


def delivery(number: int = 1, **more: str) -> Delivery:
    message = Message(
        message_id=f"msg-{number}",
        recipient_id=f"guard-{number}",
        payer="25701000",
        channel="email",
        category="debit",
        template="lesson-charged",
        lane="email/all",
        not_before=AT,
        since=AT,
        event_ids=("billing:0:1",),
    )
    message = replace(message, **more)  # type: ignore[arg-type]
    facts = samples()["lesson-charged"]
    return Delivery(message=message, letter=letter("lesson-charged", facts), at=AT)


def provider(port: int, book: Book | None = None, seconds: float = 5.0) -> SmtpProvider:
    return SmtpProvider(
        Relay(host=HOST, port=port), "pfdo@region.example", book or Book(), timeout_seconds=seconds
    )


async def test_a_mail_arrives_whole() -> None:
    box = Mailbox()
    with relay(box) as port:
        smtp = provider(port)

        outcome = await smtp.send(delivery())
        await smtp.close()

    to, mail = box.mails[0]
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert outcome == Sent("smtp")
    assert to == mail["To"] == "guard-1@people.example"
    assert mail["Subject"] == "Списание за занятие"
    assert mail["Message-ID"] == "<msg-1@region.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == AT
    assert plain is not None
    assert "списано 251,49" in plain.get_content()
    assert page is not None
    assert "<h1" in page.get_content()


async def test_connections_are_used_again_and_not_for_ever() -> None:
    box = Mailbox()
    with relay(box) as port:
        smtp = provider(port)
        for number in range(MAILS_PER_CONNECTION_MAX + 1):
            assert isinstance(await smtp.send(delivery(number)), Sent)
        await smtp.close()

    assert len(box.peers) == 2
    assert len(box.mails) == MAILS_PER_CONNECTION_MAX + 1


async def test_a_connection_the_relay_closed_meanwhile_is_replaced() -> None:
    box = Mailbox()
    port = free_port()
    smtp = provider(port)
    with relay(box, port):
        first = await smtp.send(delivery(1))
    with relay(box, port):
        second = await smtp.send(delivery(2))
        await smtp.close()

    assert isinstance(first, Sent)
    assert isinstance(second, Sent)
    assert len(box.mails) == 2


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("250 2.0.0 Taken", Sent("smtp")),
        ("451 4.7.1 Greylisted", NotNow("smtp: 451")),
        ("552 5.2.2 Mailbox of guard-1 full", Rejected("smtp: 552")),
        ("554 5.7.1 Spam", Rejected("smtp: 554")),
        ("421 4.3.2 Closing", OutOfReach("smtp: 421")),
    ],
)
async def test_what_the_relay_says_is_understood(reply: str, expected: object) -> None:
    box = Mailbox(replies=[reply])
    with relay(box) as port:
        smtp = provider(port)

        outcome = await smtp.send(delivery(1))
        after = await smtp.send(delivery(2))
        await smtp.close()

    assert outcome == expected
    assert isinstance(after, Sent)


async def test_a_recipient_the_relay_does_not_know() -> None:
    box = Mailbox(rcpt=lambda _: "550 5.1.1 No such user")
    with relay(box) as port:
        smtp = provider(port)

        outcome = await smtp.send(delivery())
        await smtp.close()

    assert outcome == Rejected("smtp: 550")


async def test_nobody_listens() -> None:
    outcome = await provider(free_port()).send(delivery())

    assert isinstance(outcome, OutOfReach)
    assert not outcome.is_doubtful


SAYS_NOTHING, BREAKS_OFF, CHATTERS = "says nothing", "breaks off", "chatters"
HANGS, REFUSES, HALF, GOES_QUIET = "hangs at the end", "not now", "half an answer", "goes quiet"


async def bad_relay(way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Behave badly: at once, or after the whole mail was handed over."""
    try:
        if way == CHATTERS:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>")
            await writer.drain()
            return
        if way == SAYS_NOTHING:
            await asyncio.sleep(3600)
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                if way == BREAKS_OFF:
                    return
                if way == HALF:
                    writer.write(b"25")
                    await writer.drain()
                    return
                writer.write(
                    {REFUSES: b"451 not now\r\n", GOES_QUIET: b"250 taken\r\n"}.get(way, b"")
                )
                if way != REFUSES:
                    await asyncio.sleep(3600)
                continue
            writer.write(b"250 fine\r\n")
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("way", "doubtful"),
    [
        (SAYS_NOTHING, False),
        (CHATTERS, False),
        (BREAKS_OFF, True),
        (HANGS, True),
        (HALF, True),
    ],
)
async def test_a_bad_relay_holds_nobody_and_doubt_is_said(way: str, doubtful: bool) -> None:
    server = await asyncio.start_server(lambda r, w: bad_relay(way, r, w), HOST, 0)
    port = server.sockets[0].getsockname()[1]

    async with asyncio.timeout(5):
        outcome = await provider(port, seconds=0.3).send(delivery())
    server.close()

    assert isinstance(outcome, OutOfReach)
    assert outcome.is_doubtful is doubtful


async def test_a_connection_that_goes_quiet_after_a_mail_is_replaced() -> None:
    server = await asyncio.start_server(lambda r, w: bad_relay(GOES_QUIET, r, w), HOST, 0)
    mail = provider(server.sockets[0].getsockname()[1], seconds=0.3)

    async with asyncio.timeout(5):
        first, second = await mail.send(delivery(1)), await mail.send(delivery(2))
    server.close()

    assert first == second == Sent("smtp")


@pytest.mark.parametrize("way", ["tls", "starttls"])
async def test_without_tls_nothing_is_said_where_it_is_asked_for(way: str) -> None:
    box = Mailbox()
    with relay(box) as port:
        plain = Relay(host=HOST, port=port, tls=way == "tls", starttls=way == "starttls")
        mail = SmtpProvider(plain, "pfdo@region.example", Book(), timeout_seconds=1.0)
        outcome = await mail.send(delivery())

    assert isinstance(outcome, OutOfReach)
    assert not outcome.is_doubtful
    assert box.mails == []


@pytest.mark.parametrize("address", [None, Address(phone="+70000000000")])
async def test_who_has_no_address_gets_no_mail(address: Address | None) -> None:
    book = Book(**{"guard-1": address})

    assert await provider(free_port(), book).send(delivery()) == Rejected("no address")


@pytest.mark.parametrize(
    "email",
    [
        "no address",
        "a@b\r\nBcc: everybody@people.example",
        "a@b.example\n",
        "a@b.example, everybody@people.example",
        "<everybody@people.example>",
        "а@people.example",
        "",
        "@people.example",
        "a@",
    ],
)
async def test_an_address_that_is_none_is_not_tried(email: str) -> None:
    book = Book(**{"guard-1": Address(email=email)})

    outcome = await provider(free_port(), book).send(delivery())

    assert isinstance(outcome, Rejected)
    assert "people" not in outcome.why


# --- addresses ----------------------------------------------------------------------------------


async def test_a_file_of_invented_people_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    book = AddressFile(file)
    with pytest.raises(AddressesAwayError):
        await book.find("guard-1")

    file.write_text("guard-1: {email: ann@people.example}\n")
    first = await book.find("guard-1")
    nobody = await book.find("guard-2")
    file.write_text(json.dumps({"guard-1": {"email": "anna@people.example"}}))
    second = await book.find("guard-1")

    assert first == Address(email="ann@people.example")
    assert nobody is None
    assert second == Address(email="anna@people.example")


@pytest.mark.parametrize(
    "content", ["guard-1: {mail: ann@people.example}", "[", "- a", "guard-1: ann@people.example"]
)
async def test_a_broken_file_means_waiting_and_is_not_quoted(tmp_path: Path, content: str) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(content)

    with pytest.raises(AddressesAwayError) as raised:
        await AddressFile(file).find("guard-1")

    assert "ann@" not in str(raised.value)


async def test_without_a_vault_sending_waits() -> None:
    smtp = SmtpProvider(Relay(host=HOST, port=free_port()), "pfdo@region.example", NoAddresses())

    assert await smtp.send(delivery()) == NoAddressesNow()


# --- the folder ---------------------------------------------------------------------------------


async def test_the_folder_has_one_file_a_message(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "email")

    await folder.send(delivery(1))
    await folder.send(delivery(1))
    outcome = await folder.send(delivery(2))

    files = sorted((tmp_path / "email").iterdir())
    mail = message_from_bytes(files[0].read_bytes(), policy=default)
    assert outcome == Sent("folder")
    assert [file.name for file in files] == ["msg-1.eml", "msg-2.eml"]
    assert mail["To"] == "guard-1@example.invalid"
    assert mail["Subject"] == "Списание за занятие"


async def test_short_messages_become_text_files(tmp_path: Path) -> None:
    await Folder(tmp_path).send(delivery(1, channel="sms"))

    text = (tmp_path / "msg-1.txt").read_text(encoding="utf-8")
    assert text.startswith("guard-1\nСписание за занятие. Ребёнок был на занятии")


async def test_a_folder_that_cannot_be_written_is_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    outcome = await Folder(tmp_path / "file" / "email").send(delivery())

    assert isinstance(outcome, OutOfReach)


async def test_every_title_survives_the_way() -> None:
    box = Mailbox()
    with relay(box) as port:
        smtp = provider(port)
        for number, (template, facts) in enumerate(samples().items()):
            one = replace(delivery(number), letter=letter(template, facts))
            assert isinstance(await smtp.send(one), Sent)
        await smtp.close()

    titles = [letter(template, facts).title for template, facts in samples().items()]
    assert [str(mail["Subject"]) for _, mail in box.mails] == titles
    assert str(box.mails[0][1]["From"]) == "Детские кружки <pfdo@region.example>"
