"""The settings of the senders, and the lines they make."""

from pathlib import Path

import pytest

from services.notifications.senders.assembly import lines_of
from services.notifications.senders.delivery import Outcome, Rejected, Sent
from services.notifications.senders.folder import NO_WAY_OUT, Folder
from services.notifications.senders.lines import Failover
from services.notifications.senders.push import WebPush
from services.notifications.senders.settings import SenderSettings, load_sender_settings, relay_of
from services.notifications.senders.sms import SmsGateway
from services.notifications.senders.smtp import Relay, SmtpProvider
from services.notifications.senders.webhooks import Webhooks
from streaming.errors import SettingError
from streaming.settings import load_settings
from tests.senders.test_mail import delivery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_without_settings_all_messages_become_files(tmp_path: Path) -> None:
    lines = lines_of(load_sender_settings({}), data=tmp_path, sandbox=False)

    assert set(lines) == {"email", "sms", "push"}
    providers = [line.provider for line in lines.values()]
    assert all(isinstance(provider, Folder) for provider in providers)
    assert [p.directory for p in providers if isinstance(p, Folder)] == [
        tmp_path / "messages" / name for name in ("email", "sms", "push")
    ]


@pytest.mark.parametrize(
    ("files_count", "expected"),
    [
        pytest.param(True, Sent("folder"), id="invented people"),
        pytest.param(False, Rejected(NO_WAY_OUT), id="real ones"),
    ],
)
async def test_without_a_way_out_nobody_real_is_said_to_be_told(
    tmp_path: Path, files_count: bool, expected: Outcome
) -> None:
    lines = lines_of(
        load_sender_settings({}), data=tmp_path, sandbox=False, files_count=files_count
    )

    outcomes = [await line.provider.send(delivery(channel=name)) for name, line in lines.items()]

    assert outcomes == [expected] * 3
    assert len(list((tmp_path / "messages").glob("*/msg-1.*"))) == 3


def test_with_settings_there_are_ways_out(tmp_path: Path) -> None:
    hooks = tmp_path / "webhooks.yaml"
    hooks.write_text(f"prov-00001: {{url: 'https://club.example/hook', secret: {SECRET}}}\n")
    environment = {
        "PFDO_SENDERS_SMTP_URL": "smtps://user:pass%20word@mail.example",
        "PFDO_SENDERS_SMTP_URL_2": "smtp+starttls://mail2.example",
        "PFDO_SENDERS_SMS_URL": "https://sms.example/send",
        "PFDO_SENDERS_WEBHOOKS": str(hooks),
        "PFDO_SENDERS_SMS_PER_MINUTE": "60",
        "PFDO_SENDERS_PUSH_KEY": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
    }

    lines = lines_of(load_sender_settings(environment), data=tmp_path, sandbox=False)

    assert isinstance(lines["email"].provider, Failover)
    assert isinstance(lines["sms"].provider, SmsGateway)
    assert isinstance(lines["webhook"].provider, Webhooks)
    assert isinstance(lines["push"].provider, WebPush)
    assert lines["sms"].rate.take(100) == 1
    assert lines["webhook"].takes("cabinet", "prov-00001")
    assert not lines["webhook"].takes("cabinet", "guard-00001")
    assert not lines["webhook"].takes("email", "prov-00001")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "smtps://user:pass%20word@mail.example",
            Relay(host="mail.example", port=465, username="user", password="pass word", tls=True),
        ),
        ("smtp+starttls://mail.example", Relay(host="mail.example", port=587, starttls=True)),
        ("smtp://127.0.0.1:2525", Relay(host="127.0.0.1", port=2525)),
    ],
)
def test_relays(url: str, expected: Relay) -> None:
    assert relay_of(url, allow_plain=True) == expected


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    settings = SenderSettings(smtp_url="smtps://user:hunter2@mail.example", sms_token="hunter3")
    provider = lines_of(settings, data=tmp_path, sandbox=False)["email"].provider

    assert isinstance(provider, SmtpProvider)
    assert "hunter" not in f"{settings!r}{provider!r}"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PFDO_SENDERS_PUSH_KEY": "A" * 43}, "PFDO_SENDERS_PUSH_KEY"),
        ({"PFDO_SENDERS_SMTP_UR": "smtps://mail.example"}, "PFDO_SENDERS_SMTP_URL"),
        ({"PFDO_SENDERS_SMS_URL": "mail"}, "PFDO_SENDERS_SMS_URL"),
        ({"PFDO_SENDERS_EMAIL_PER_MINUTE": "0"}, "PFDO_SENDERS_EMAIL_PER_MINUTE"),
        ({"PFDO_SENDERS_SMTP_URL": "http://user:hunter2@mail.example"}, "smtps://"),
        ({"PFDO_SENDERS_SMTP_URL": "smtp://user:hunter2@mail.example"}, "PFDO_SANDBOX=1"),
        ({"PFDO_SENDERS_SMS_URL": "http://sms.example"}, "PFDO_SANDBOX=1"),
        ({"PFDO_SENDERS_ADDRESSES": "people.yaml"}, "PFDO_SANDBOX=1"),
        ({"PFDO_SENDERS_VAULT_URL": "http://cabinet:8038"}, "PFDO_SANDBOX=1"),
    ],
)
def test_a_wrong_or_unsafe_setting_stops_the_start(
    tmp_path: Path, environment: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingError) as raised:
        lines_of(load_sender_settings(environment), data=tmp_path, sandbox=False)

    assert says in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_other_processes_leave_these_settings_to_the_senders() -> None:
    assert load_settings(environment={"PFDO_SENDERS_SMTP_URL": "anything"}).data == Path("data")
    with pytest.raises(SettingError):
        load_settings(environment={"PFDO_SENDER": "anything"})


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token-1\n")

    settings = load_sender_settings({"PFDO_SENDERS_SMS_TOKEN_FILE": str(file)})

    assert settings.sms_token == "token-1"
