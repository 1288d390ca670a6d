"""Mail by SMTP (RFC 5321), over a pool of connections to one relay.

An attempt has three ends: the relay took it, it said no (for now: 4xx, for good: 5xx), or nobody
answered. What breaks off after the last line of the mail was handed over may have arrived: that is
said, and the next attempt carries the same Message-ID.
"""

from dataclasses import dataclass, field
from ssl import SSLContext

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from services.notifications.senders.addresses import Addresses, AddressesAwayError
from services.notifications.senders.delivery import (
    Delivery,
    NoAddressesNow,
    NotNow,
    Outcome,
    OutOfReach,
    Rejected,
    Sent,
)
from services.notifications.senders.mail import mail_of

TIMEOUT_SECONDS = 15.0
"""For each answer of the relay."""
MAILS_PER_CONNECTION_MAX = 100
TRANSIENT = range(400, 500)
CLOSING = 421
NO_TEXT = "no address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where mail is handed over. `starttls`: TLS is asked for and required."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    starttls: bool = False


@dataclass(slots=True)
class _Connection:
    client: SMTP
    mails: int = 0


@dataclass(slots=True)
class SmtpProvider:
    """One relay. `sender` is the address mail comes from."""

    relay: Relay
    sender: str
    addresses: Addresses
    trust: SSLContext | None = None
    """Whose certificates are believed; without it, those the machine knows."""
    name: str = "smtp"
    timeout_seconds: float = TIMEOUT_SECONDS
    _idle: list[_Connection] = field(default_factory=list)

    async def send(self, delivery: Delivery) -> Outcome:
        """See Provider."""
        try:
            address = await self.addresses.find(delivery.message.recipient_id)
        except AddressesAwayError:
            return NoAddressesNow()
        if address is None or not address.email:
            return Rejected(NO_TEXT)
        try:
            content = mail_of(delivery, sender=self.sender, to=address.email)
        except ValueError:
            return Rejected("the address is none")
        return await self._hand_over(address.email, content)

    async def _hand_over(self, to: str, content: bytes) -> Outcome:
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
        except (SMTPException, OSError, TimeoutError) as error:
            return OutOfReach(self._say(error))
        handed_over = False
        try:
            try:
                await connection.client.mail(self.sender)
            except (SMTPException, OSError) as error:
                if isinstance(error, SMTPResponseException) or not connection.mails:
                    raise
                # An idle connection may have been closed by the relay long ago: once more, anew.
                connection.client.close()
                connection = await self._connect()
                await connection.client.mail(self.sender)
            await connection.client.rcpt(to)
            handed_over = True
            await connection.client.data(content)
        except SMTPResponseException as error:
            await self._keep_or_close(connection, error.code)
            return self._refusal(error)
        except (SMTPException, OSError, TimeoutError) as error:
            connection.client.close()
            return OutOfReach(self._say(error), is_doubtful=handed_over)
        except BaseException:
            connection.client.close()
            raise
        connection.mails += 1
        if connection.mails < MAILS_PER_CONNECTION_MAX:
            self._idle.append(connection)
        else:
            connection.client.close()
        return Sent(self.name)

    async def _connect(self) -> _Connection:
        relay = self.relay
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            use_tls=relay.tls,
            start_tls=relay.starttls,
            tls_context=self.trust if relay.tls or relay.starttls else None,
            timeout=self.timeout_seconds,
        )
        await client.connect()
        return _Connection(client)

    async def _keep_or_close(self, connection: _Connection, code: int) -> None:
        if code == CLOSING or not connection.client.is_connected:
            connection.client.close()
            return
        try:
            await connection.client.rset()
        except (SMTPException, OSError, TimeoutError):
            connection.client.close()
            return
        self._idle.append(connection)

    def _refusal(self, error: SMTPResponseException) -> Outcome:
        # The relay's own words may quote the address: the code is enough.
        said = f"{self.name}: {error.code}"
        if error.code == CLOSING:
            return OutOfReach(said)
        return NotNow(said) if error.code in TRANSIENT else Rejected(said)

    def _say(self, error: BaseException) -> str:
        return f"{self.name}: {type(error).__name__}"

    async def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().client.close()
