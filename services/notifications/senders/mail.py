"""A message as mail (RFC 5322), in plain text and as a page.

In the older form of the standard library: the newer one takes five times as long for a mail, which
is most of what a mail costs.
"""

import re
from email.header import Header
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr
from typing import Any

from services.notifications.senders.delivery import Delivery

SENDER_NAME = "Детские кружки"
UTF_8 = "utf-8"
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_ON_THE_WIRE = compat32.clone(linesep="\r\n")


def mail_of(delivery: Delivery, *, sender: str, to: str) -> bytes:
    """Return the mail of a message. Its Message-ID is the message's: the same at each attempt.

    Who gets it twice, after an attempt of which nobody knows the end, can tell. Raises ValueError
    if `sender` or `to` is no plain address.
    """
    if not (_ADDRESS.fullmatch(sender) and _ADDRESS.fullmatch(to)):
        raise ValueError("a plain address is expected")
    mail: Message[Any, Any] = MIMEMultipart("alternative")
    mail["From"] = formataddr((Header(SENDER_NAME, UTF_8).encode(), sender))
    mail["To"] = to
    mail["Subject"] = Header(delivery.letter.title, UTF_8, header_name="Subject")
    mail["Date"] = format_datetime(delivery.at)
    mail["Message-ID"] = f"<{delivery.message.message_id}@{sender.rpartition('@')[2]}>"
    mail["Content-Language"] = "ru"
    # RFC 3834: programs that answer mail leave this one alone.
    mail["Auto-Submitted"] = "auto-generated"
    mail.attach(MIMEText(delivery.letter.plain, "plain", UTF_8))
    mail.attach(MIMEText(delivery.letter.html, "html", UTF_8))
    return mail.as_bytes(policy=_ON_THE_WIRE)
