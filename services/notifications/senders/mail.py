"""A message as mail (RFC 5322), in plain text and as a page."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from services.notifications.senders.delivery import Delivery


def mail_of(delivery: Delivery, *, sender: str, to: str) -> EmailMessage:
    """Return the mail of a message. Its Message-ID is the message's: the same at each attempt.

    Who gets it twice, after an attempt of which nobody knows the end, can tell. Raises ValueError
    if `sender` or `to` is no address.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address("Детские кружки", addr_spec=sender)
    mail["To"] = Address(addr_spec=to)
    mail["Subject"] = delivery.letter.title
    mail["Date"] = format_datetime(delivery.at)
    mail["Message-ID"] = f"<{delivery.message.message_id}@{sender.rpartition('@')[2]}>"
    mail["Content-Language"] = "ru"
    # RFC 3834: programs that answer mail leave this one alone.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(delivery.letter.plain)
    mail.add_alternative(delivery.letter.html, subtype="html")
    return mail
