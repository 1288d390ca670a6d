"""The senders, assembled by their settings: a line for each channel, an owner for a partition."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from ssl import SSLContext

import httpx

from contracts.vocabulary import Channel
from services.notifications.senders.addresses import (
    VAULT_SECONDS_MAX,
    Addresses,
    AddressFile,
    NoAddresses,
    VaultAddresses,
)
from services.notifications.senders.delivery import Provider
from services.notifications.senders.facts import JournalFacts
from services.notifications.senders.folder import Folder
from services.notifications.senders.http import Caller
from services.notifications.senders.lines import Failover, Line, RateLimit
from services.notifications.senders.push import WebPush, private_key
from services.notifications.senders.sender import NAME, Attempts, Sender
from services.notifications.senders.settings import (
    SenderSettings,
    load_sender_settings,
    relay_of,
)
from services.notifications.senders.sms import SmsGateway
from services.notifications.senders.smtp import SmtpProvider
from services.notifications.senders.webhooks import Webhooks, lane_of, load_endpoints
from streaming.authorities import trusting
from streaming.errors import SettingError
from streaming.installation import Installation
from streaming.telemetry import Telemetry

WEBHOOK = "webhook"
EMAIL_SLOTS, SMS_SLOTS, PUSH_SLOTS, WEBHOOK_SLOTS = 16, 8, 16, 2


def now() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)


async def senders(
    installation: Installation, telemetry: Telemetry
) -> Mapping[str, Callable[[int], Sender]]:
    """Return what makes the owner of a partition, by name. Raises SettingError."""
    settings = load_sender_settings()
    store = await installation.store(NAME)
    common = installation.settings
    lines = lines_of(
        settings,
        data=common.data,
        sandbox=common.sandbox,
        # On the embedded default, too, nobody waits for mail: it is for trying things out.
        files_count=common.sandbox or not common.uses_kafka,
        ca=common.ca,
    )
    facts = JournalFacts(installation.bus)
    attempts: defaultdict[int, Attempts] = defaultdict(Attempts)

    def owner(partition: int) -> Sender:
        return Sender(
            partition,
            installation.bus,
            store,
            telemetry,
            lines=lines,
            facts=facts,
            attempts=attempts[partition],
            now=now,
        )

    return {NAME: owner}


def lines_of(
    settings: SenderSettings, *, data: Path, sandbox: bool, files_count: bool = True, ca: str = ""
) -> Mapping[str, Line]:
    """Return the lines of a process by name; `ca`: authorities of the others' certificates (PEM).

    `files_count`: what becomes a file, having no way out, counts as sent.

    Raises SettingError.
    """
    folder = settings.folder or data / "messages"

    def files(channel: Channel) -> tuple[Provider, ...]:
        return (Folder(folder / channel.value, counts_as_sent=files_count),)

    trust = trusting(ca)
    addresses = addresses_of(settings, trust, sandbox=sandbox)
    lines = [
        _line(
            Channel.EMAIL,
            _mail(settings, addresses, trust, sandbox=sandbox) or files(Channel.EMAIL),
            settings.email_per_minute,
            EMAIL_SLOTS,
        ),
        _line(
            Channel.SMS,
            _sms(settings, addresses, trust, sandbox=sandbox) or files(Channel.SMS),
            settings.sms_per_minute,
            SMS_SLOTS,
        ),
        _line(
            Channel.PUSH,
            _push(settings, addresses, trust, sandbox=sandbox) or files(Channel.PUSH),
            settings.push_per_minute,
            PUSH_SLOTS,
        ),
    ]
    if settings.webhooks is not None:
        endpoints = load_endpoints(settings.webhooks, allow_plain=sandbox)
        lines.append(
            Line(
                name=WEBHOOK,
                provider=Webhooks(endpoints, caller=Caller(trust=trust)),
                takes=partial(_is_in_cabinet_of, frozenset(endpoints)),
                lane_of=lane_of,
                lane_slots=WEBHOOK_SLOTS,
                rate=RateLimit(settings.webhooks_per_minute),
            )
        )
    return {line.name: line for line in lines}


def _line(channel: Channel, providers: tuple[Provider, ...], per_minute: int, slots: int) -> Line:
    return Line(
        name=channel.value,
        provider=providers[0] if len(providers) == 1 else Failover(providers),
        takes=partial(_is_of, channel.value),
        lane_slots=slots,
        rate=RateLimit(per_minute),
    )


def _is_of(wanted: str, channel: str, recipient_id: str) -> bool:
    del recipient_id
    return channel == wanted


def _is_in_cabinet_of(recipients: frozenset[str], channel: str, recipient_id: str) -> bool:
    return channel == Channel.CABINET and recipient_id in recipients


def addresses_of(settings: SenderSettings, trust: SSLContext, *, sandbox: bool) -> Addresses:
    """Return who is asked where people can be reached. Raises SettingError."""
    if settings.vault_url is not None:
        if not (sandbox or settings.vault_url.startswith("https:")):
            raise SettingError(
                "PFDO_SENDERS_VAULT_URL: addresses would travel unprotected; use https://, "
                "or set PFDO_SANDBOX=1 if nobody is real."
            )
        client = httpx.AsyncClient(verify=trust, timeout=VAULT_SECONDS_MAX, trust_env=False)
        return VaultAddresses(settings.vault_url, settings.vault_token, client)
    if settings.addresses is None:
        return NoAddresses()
    if not sandbox:
        raise SettingError(
            "PFDO_SENDERS_ADDRESSES: a file of addresses is for invented people. "
            "Set PFDO_SANDBOX=1 if they are, else remove it."
        )
    return AddressFile(settings.addresses)


def _mail(
    settings: SenderSettings, addresses: Addresses, trust: SSLContext, *, sandbox: bool
) -> tuple[Provider, ...]:
    urls = [url for url in (settings.smtp_url, settings.smtp_url_2) if url is not None]
    return tuple(
        SmtpProvider(
            relay_of(url, allow_plain=sandbox),
            settings.email_from,
            addresses,
            trust=trust,
            name=f"smtp-{number}",
        )
        for number, url in enumerate(urls, start=1)
    )


def _sms(
    settings: SenderSettings, addresses: Addresses, trust: SSLContext, *, sandbox: bool
) -> tuple[Provider, ...]:
    adapters = ((settings.sms_url, settings.sms_token), (settings.sms_url_2, settings.sms_token_2))
    gateways: list[Provider] = []
    for number, (url, token) in enumerate(adapters, start=1):
        if url is None:
            continue
        if not (sandbox or url.startswith("https:")):
            raise SettingError(
                "PFDO_SENDERS_SMS_URL: telephone numbers would travel unprotected; use https://, "
                "or set PFDO_SANDBOX=1 if nobody real gets them."
            )
        caller = Caller(trust=trust)
        gateways.append(SmsGateway(url, token, addresses, name=f"sms-{number}", caller=caller))
    return tuple(gateways)


def _push(
    settings: SenderSettings, addresses: Addresses, trust: SSLContext, *, sandbox: bool
) -> tuple[Provider, ...]:
    if settings.push_key is None:
        return ()
    try:
        key = private_key(settings.push_key.rstrip("="))
    except ValueError:
        raise SettingError("PFDO_SENDERS_PUSH_KEY is no key of P-256.") from None
    caller = Caller(trust=trust)
    return (WebPush(key, settings.email_from, addresses, any_service=sandbox, caller=caller),)
