"""Messages as files in a folder: nobody gets them, everybody can look. The default.

In the sandbox, and on the embedded default, a file counts as sent. In a deployment for real people
it has failed: who reads below a debit that he was told of it must have been.

Mail becomes `.eml`, which mail programs open; short messages become `.txt`. A message is one file
under its id, so that writing it again changes nothing. No address is asked for.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from services.notifications.senders.delivery import (
    Delivery,
    Outcome,
    OutOfReach,
    Rejected,
    Sent,
)
from services.notifications.senders.mail import mail_of

NOBODY = "example.invalid"
SENDER = f"pfdo@{NOBODY}"
NO_WAY_OUT = "folder: the channel has no way out"


@dataclass(slots=True)
class Folder:
    """The files of one channel."""

    directory: Path
    name: str = "folder"
    counts_as_sent: bool = True

    async def send(self, delivery: Delivery) -> Outcome:
        """Write the file."""
        try:
            await asyncio.to_thread(self._write, delivery)
        except OSError as error:
            return OutOfReach(f"folder: {error.strerror}")
        return Sent(self.name) if self.counts_as_sent else Rejected(NO_WAY_OUT)

    def _write(self, delivery: Delivery) -> None:
        message = delivery.message
        self.directory.mkdir(parents=True, exist_ok=True)
        if message.channel == "email":
            to = f"{message.recipient_id}@{NOBODY}"
            suffix, content = ".eml", mail_of(delivery, sender=SENDER, to=to)
        else:
            suffix = ".txt"
            content = f"{message.recipient_id}\n{delivery.letter.short}\n".encode()
        whole = self.directory / f"{message.message_id}{suffix}"
        partial = whole.with_suffix(f"{suffix}.partial")
        partial.write_bytes(content)
        partial.replace(whole)

    async def close(self) -> None:
        """There is nothing to let go of."""
