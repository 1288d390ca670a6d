"""Settings: a wrong or unknown variable stops the start with its name and the remedy."""

from pathlib import Path

import pytest

from streaming.errors import SettingError
from streaming.settings import EMBEDDED_PARTITIONS, KAFKA_PARTITIONS, load_settings


def test_without_any_the_bus_is_embedded() -> None:
    settings = load_settings(environment={"HOME": "/root"})

    assert not settings.uses_kafka
    assert settings.partitions_or_default == EMBEDDED_PARTITIONS
    assert settings.redis_url_of("billing") is None


def test_kafka_is_chosen_by_its_address_alone() -> None:
    settings = load_settings(environment={"PFDO_KAFKA_BOOTSTRAP": "kafka:9092"})

    assert settings.uses_kafka
    assert settings.partitions_or_default == KAFKA_PARTITIONS


def test_the_command_line_wins_over_the_environment() -> None:
    environment = {"PFDO_KAFKA_BOOTSTRAP": "kafka:9092", "PFDO_PORT": "1"}

    settings = load_settings({"bus": "embedded", "port": 2, "data": None}, environment)

    assert (settings.uses_kafka, settings.port, settings.data) == (False, 2, Path("data"))


def test_a_service_may_have_a_redis_of_its_own() -> None:
    environment = {"PFDO_REDIS_URL": "redis://all", "PFDO_BILLING_REDIS_URL": "redis://billing"}

    settings = load_settings(environment=environment)

    assert settings.redis_url_of("billing") == "redis://billing"
    assert settings.redis_url_of("enrollment") == "redis://all"


def test_a_secret_comes_as_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://:secret@redis\n")

    settings = load_settings(environment={"PFDO_REDIS_URL_FILE": str(secret)})

    assert settings.redis_url == "redis://:secret@redis"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        pytest.param({"PFDO_PARTITION": "3"}, "did you mean PFDO_PARTITIONS", id="nearly right"),
        pytest.param({"PFDO_COLOUR": "red"}, "PFDO_COLOUR is no setting", id="unknown"),
        pytest.param({"PFDO_PARTITIONS": "0"}, "PFDO_PARTITIONS: ", id="out of bounds"),
        pytest.param({"PFDO_PARTITIONS": "many"}, "PFDO_PARTITIONS: ", id="no number"),
        pytest.param({"PFDO_BUS": "rabbit"}, "PFDO_BUS: ", id="no such bus"),
        pytest.param({"PFDO_BUS": "kafka"}, "PFDO_KAFKA_BOOTSTRAP is missing", id="where is it"),
        pytest.param({"PFDO_REDIS_URL_FILE": "/nowhere"}, "cannot be read", id="no such file"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        load_settings(environment=environment)
