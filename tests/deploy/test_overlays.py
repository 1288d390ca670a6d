"""What the overlays make of the deployment, as compose itself puts it together."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pfdo.system import SERVICES
from tests.support.containers import require_docker

ROOT = Path(__file__).parents[2]
REPLICATED = (*SERVICES, "senders", "cabinet")
BROKERS = ("kafka", "kafka-2", "kafka-3")

pytestmark = pytest.mark.containers


@cache
def merged(*overlays: str) -> dict[str, Any]:
    """Return what `make up OVERLAYS=…` gives to compose, put together."""
    require_docker()
    done = subprocess.run(
        [ROOT / "deploy" / "compose.sh", "--profile=tools", "config", "--format=json"],
        env=os.environ | {"OVERLAYS": " ".join(overlays)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def test_with_three_brokers_each_has_its_own_place() -> None:
    services = merged("three-brokers")["services"]

    brokers = {name: services[name] for name in BROKERS}
    assert {b["environment"]["KAFKA_NODE_ID"] for b in brokers.values()} == {"1", "2", "3"}
    assert len({b["environment"]["KAFKA_LISTENERS"] for b in brokers.values()}) == 3
    assert len({b["ports"][0]["published"] for b in brokers.values()}) == 3
    assert [b["volumes"][0]["source"] for b in brokers.values()] == [
        "kafka-data",
        "kafka-2-data",
        "kafka-3-data",
    ]
    # Two of one name would be taken for one another.
    assert [b["networks"]["brokers"]["aliases"] for b in brokers.values()] == [
        ["broker"],
        ["broker-2"],
        ["broker-3"],
    ]


@pytest.mark.parametrize("more", [(), ("observability",), ("observability", "tls")], ids=" ".join)
def test_with_three_brokers_every_record_is_on_two_before_it_counts(more: tuple[str, ...]) -> None:
    services = merged("three-brokers", *more)["services"]

    for name in BROKERS:
        environment = services[name]["environment"]
        assert environment["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == "3"
        assert environment["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "2"
        assert environment["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == "3"
        assert environment["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"
    ours = {n: s for n, s in services.items() if s["image"] == "pfdo:local"}
    assert {s["environment"]["PFDO_KAFKA_REPLICATION_FACTOR"] for s in ours.values()} == {"3"}
    assert all(len(s["environment"]["PFDO_KAFKA_BOOTSTRAP"].split(",")) == 3 for s in ours.values())


@pytest.mark.parametrize("more", [(), ("observability", "tls")], ids=" ".join)
@pytest.mark.parametrize("name", REPLICATED)
def test_with_three_brokers_a_second_process_differs_by_its_name_alone(
    name: str, more: tuple[str, ...]
) -> None:
    services = merged("three-brokers", *more)["services"]
    first, second = services[name], services[f"{name}-2"]

    assert second["environment"] == first["environment"] | {"PFDO_INSTANCE": f"{name}-2"}
    # What differs besides: only topics is built, and two cabinets cannot share a port.
    for key in (set(first) | set(second)) - {"environment", "ports", "networks"}:
        assert first.get(key) == second.get(key), key
    assert set(first["networks"]) == set(second["networks"])
    # Prometheus, and the senders who ask the cabinet, know a service by one name.
    assert second["networks"]["default"]["aliases"] == [name]


@pytest.mark.parametrize(
    "overlays",
    [
        ("tls",),
        ("three-brokers", "tls"),
        ("observability", "tls"),
        ("three-brokers", "observability", "tls"),
    ],
    ids=" ".join,
)
def test_with_tls_nothing_travels_in_the_clear(overlays: tuple[str, ...]) -> None:
    services = merged(*overlays)["services"]

    for name, service in services.items():
        environment = service.get("environment") or {}
        assert not [v for v in environment.values() if "PLAINTEXT" in v], name
        urls = [v for k, v in environment.items() if k.endswith("REDIS_URL")]
        assert all(url.startswith("rediss://") for url in urls), name
        secrets = {secret["source"] for secret in service.get("secrets", ())}
        if service["image"] == "pfdo:local":
            assert environment["PFDO_KAFKA_CA_FILE"] == "/run/secrets/tls-ca.pem", name
            assert "tls-ca.pem" in secrets, name
            assert "tls-kafka.pem" not in secrets, name
        if name in BROKERS:
            assert {"tls-ca.pem", "tls-kafka.pem", "kafka-admin"} == secrets, name
        if name.endswith("-redis"):
            command = " ".join(service["command"])
            assert "--port 0 --tls-port 6379" in command, name
            assert "--tls --cacert" in service["healthcheck"]["test"][1], name


@pytest.mark.parametrize("overlays", [("observability",), ("observability", "three-brokers")])
def test_every_cabinet_knows_who_counts_promises(overlays: tuple[str, ...]) -> None:
    services = merged(*overlays)["services"]

    cabinets = {n: s for n, s in services.items() if n.partition("-")[0] == "cabinet"}
    cabinets.pop("cabinet-redis")
    assert len(cabinets) == len(overlays)
    for name, cabinet in cabinets.items():
        (watch,) = (v for k, v in cabinet["environment"].items() if k == "PFDO_WATCH_URL")
        assert watch == "http://watch:8038", name
        assert set(cabinet["networks"]) & set(services["watch"]["networks"]), name
    assert "PFDO_WATCH_URL" not in merged()["services"]["cabinet"]["environment"]


def test_the_authority_signs_what_is_asked_for_and_keeps_what_lasts(tmp_path: Path) -> None:
    script = str(ROOT / "deploy" / "tls.sh")
    subprocess.run([script, str(tmp_path)], check=True)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    subprocess.run([script, str(tmp_path)], check=True)

    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == made
    assert (tmp_path / ".tls-ca.key").stat().st_mode & 0o077 == 0
    for name, host in (("tls-kafka.pem", "broker-3"), ("tls-redis.pem", "billing-redis")):
        verified = subprocess.run(
            [
                "openssl",
                "verify",
                "-verify_hostname",
                host,
                "-purpose",
                "sslserver",
                "-CAfile",
                tmp_path / "tls-ca.pem",
                tmp_path / name,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stderr
