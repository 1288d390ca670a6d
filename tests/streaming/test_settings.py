"""Settings: a wrong or unknown variable stops the start with its name and the remedy."""

from pathlib import Path

import pytest

from streaming.errors import SettingError
from streaming.kafka_security import security_of
from streaming.settings import EMBEDDED_PARTITIONS, KAFKA_PARTITIONS, load_settings


def test_without_any_the_bus_is_embedded() -> None:
    settings = load_settings(environment={"HOME": "/root"})

    assert not settings.uses_kafka
    assert settings.partitions_or_default == EMBEDDED_PARTITIONS
    assert settings.redis_url_of("billing") is None


def test_kafka_is_chosen_by_its_address_alone() -> None:
    settings = load_settings(environment={"PFDO_KAFKA_BOOTSTRAP": "localhost:9092"})

    assert settings.uses_kafka
    assert settings.partitions_or_default == KAFKA_PARTITIONS


def test_the_command_line_wins_over_the_environment() -> None:
    environment = {"PFDO_KAFKA_BOOTSTRAP": "localhost:9092", "PFDO_PORT": "1"}

    settings = load_settings({"bus": "embedded", "port": 2, "data": None}, environment)

    assert (settings.uses_kafka, settings.port, settings.data) == (False, 2, Path("data"))


def test_a_service_may_have_a_redis_of_its_own() -> None:
    environment = {
        "PFDO_REDIS_URL": "redis://all",
        "PFDO_BILLING_REDIS_URL": "redis://billing",
        "PFDO_REDIS_PASSWORD": "secret",
    }

    settings = load_settings(environment=environment)

    assert settings.redis_url_of("billing") == "redis://billing"
    assert settings.redis_url_of("enrollment") == "redis://all"


def test_a_secret_comes_as_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://:secret@redis\n")

    settings = load_settings(environment={"PFDO_REDIS_URL_FILE": str(secret)})

    assert settings.redis_url == "redis://:secret@redis"


KAFKA_AWAY = {"PFDO_KAFKA_BOOTSTRAP": "127.0.0.1:9092,kafka:9092"}
SASL = {
    "PFDO_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "PFDO_KAFKA_USERNAME": "billing",
    "PFDO_KAFKA_PASSWORD": "secret",
}
REDIS_AWAY = {"PFDO_BILLING_REDIS_URL": "redis://billing-redis/0"}


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"PFDO_KAFKA_BOOTSTRAP": "[::1]:9092,127.0.0.1:1"}, id="Kafka here"),
        pytest.param(KAFKA_AWAY | SASL, id="Kafka that knows us"),
        pytest.param(KAFKA_AWAY | {"PFDO_SANDBOX": "1"}, id="any Kafka, in the sandbox"),
        pytest.param({"PFDO_REDIS_URL": "redis://127.0.0.1:6379"}, id="Redis here"),
        pytest.param({"PFDO_REDIS_URL": "unix:///run/redis.sock"}, id="a socket"),
        pytest.param({"PFDO_REDIS_URL": "redis://:secret@redis"}, id="a password in the URL"),
        pytest.param(REDIS_AWAY | {"PFDO_REDIS_PASSWORD": "secret"}, id="a password beside it"),
        pytest.param(REDIS_AWAY | {"PFDO_SANDBOX": "1"}, id="any Redis, in the sandbox"),
    ],
)
def test_what_is_safe_is_taken(environment: dict[str, str]) -> None:
    assert load_settings(environment=environment).model_fields_set


def test_no_password_is_shown() -> None:
    environment = KAFKA_AWAY | SASL | REDIS_AWAY | {"PFDO_REDIS_PASSWORD": "secret"}

    settings = load_settings(environment=environment)

    assert "secret" not in repr(settings)
    assert "secret" not in repr(security_of(settings))
    assert security_of(settings).password == "secret"


def test_what_tests_are_told_is_no_setting_and_no_mistake() -> None:
    told = {"PFDO_REQUIRE_CONTAINERS": "1", "PFDO_CHAOS": "1", "PFDO_MUTATIONS_REPORT": "/x"}

    assert load_settings(environment=told) == load_settings(environment={})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        pytest.param(KAFKA_AWAY, "whoever reaches kafka:9092", id="anybody at Kafka"),
        pytest.param(
            KAFKA_AWAY | {"PFDO_KAFKA_SECURITY_PROTOCOL": "SSL"},
            "whoever reaches kafka:9092",
            id="encrypted, but for anybody",
        ),
        pytest.param(
            KAFKA_AWAY | SASL | {"PFDO_KAFKA_USERNAME": ""},
            "PFDO_KAFKA_USERNAME is missing",
            id="no user",
        ),
        pytest.param(
            KAFKA_AWAY | SASL | {"PFDO_KAFKA_PASSWORD": ""},
            "PFDO_KAFKA_PASSWORD is missing",
            id="no password",
        ),
        pytest.param(
            REDIS_AWAY, "PFDO_BILLING_REDIS_URL: whoever reaches billing-redis", id="any at Redis"
        ),
        pytest.param({"PFDO_PARTITION": "3"}, "did you mean PFDO_PARTITIONS", id="nearly right"),
        pytest.param({"PFDO_COLOUR": "red"}, "PFDO_COLOUR is no setting", id="unknown"),
        pytest.param({"PFDO_COLOUR": ""}, "PFDO_COLOUR is no setting", id="unknown and empty"),
        pytest.param({"PFDO_PARTITIONS": "0"}, "PFDO_PARTITIONS: ", id="out of bounds"),
        pytest.param({"PFDO_PARTITIONS": "many"}, "PFDO_PARTITIONS: ", id="no number"),
        pytest.param({"PFDO_BUS": "rabbit"}, "PFDO_BUS: ", id="no such bus"),
        pytest.param({"PFDO_BUS": "kafka"}, "PFDO_KAFKA_BOOTSTRAP is missing", id="where is it"),
        pytest.param({"PFDO_REDIS_URL_FILE": "/nowhere"}, "cannot be read", id="no such file"),
        pytest.param(
            {"PFDO_VAULT_TOKEN": "t" * 40, "PFDO_VAULT_SENDERS_TOKEN": "t" * 40},
            "PFDO_VAULT_SENDERS_TOKEN is PFDO_VAULT_TOKEN",
            id="senders as the Navigator",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        load_settings(environment=environment)
