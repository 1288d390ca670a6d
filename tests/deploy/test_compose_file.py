"""What the compose deployment says, without starting it."""

import hashlib
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.access import SOURCE_BYTES_PER_SECOND, principals
from contracts.sources import load_sources
from deploy.example_env import example_env
from pfdo.system import SERVICES
from services.cabinet.access.settings import load_log_in
from services.cabinet.vault.sealing import MasterKeys
from services.notifications.senders.assembly import lines_of
from services.notifications.senders.settings import load_sender_settings
from streaming.errors import SettingError
from streaming.settings import PREFIX, SENDERS_PREFIX, Settings, load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"


def _with_defaults(text: str) -> str:
    """Return a compose file with the default of each variable; one may stand in another's."""
    text = re.sub(r"\$\{\w+:\+[^{}]*\}", "", text)
    while (filled := re.sub(r"\$\{\w+:-([^{}]*)\}", r"\1", text)) != text:
        text = filled
    return text


COMPOSE: dict[str, Any] = yaml.safe_load(_with_defaults((DEPLOY / "compose.yaml").read_text()))
WATCHING: dict[str, Any] = yaml.safe_load((DEPLOY / "observability.yaml").read_text())
WATCHING["services"].pop("cabinet")
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
READERS = (*SERVICES, "cabinet")
OF_OTHERS = {"FORWARDED_ALLOW_IPS", "SQLITE_TMPDIR"}
"""Settings of what we are built on: uvicorn, SQLite."""
OURS = sorted((*READERS, "senders", "topics", "calendar", "tools"))
LONG_RUNNING = sorted(set(CONTAINERS) - {"topics", "tools"})


def test_everything_that_is_needed_is_there() -> None:
    redis = {f"{name}-redis" for name in (*READERS, "vault")}
    assert set(CONTAINERS) == {*OURS, *redis, "kafka"}
    assert {name for name, container in CONTAINERS.items() if "profiles" in container} == {
        "calendar",
        "tools",
    }


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_on_is_restarted_and_watched(name: str) -> None:
    assert CONTAINERS[name]["restart"] == "unless-stopped"
    # The calendar serves nothing that could be asked; it ends when it cannot publish.
    assert ("healthcheck" in CONTAINERS[name]) is (name != "calendar")


@pytest.mark.parametrize("name", sorted(set(LONG_RUNNING) - {"calendar"}))
def test_who_has_much_to_read_at_a_start_is_not_unhealthy_meanwhile(name: str) -> None:
    check = CONTAINERS[name]["healthcheck"]

    minutes = int(re.fullmatch(r"(\d+)m", check["start_period"])[1])  # type: ignore[index]
    # Ten million facts, by what docs/runbooks/redis-lost.md says; Redis and Kafka only read a file.
    assert minutes >= (30 if CONTAINERS[name]["image"] == "pfdo:local" else 10)
    # Docker before 25 does not look more often while it starts: what is ready soon is seen soon.
    assert check["interval"] in {"2s", "5s"}


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_no_container_may_more_than_it_needs(name: str) -> None:
    container = CONTAINERS[name]

    assert re.fullmatch(r"[a-z/]+:[\w.-]+", container["image"])
    assert not container["image"].endswith(":latest")
    assert "mem_limit" in container
    assert "cpus" in container
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid"} & set(container)
    assert all(port.startswith("127.0.0.1:") for port in container.get("ports", ()))
    assert not any("docker.sock" in volume for volume in container.get("volumes", ()))


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_read_only_and_without_rights(name: str) -> None:
    container = CONTAINERS[name]

    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["tmpfs"] == ["/tmp"]
    # What has no way out yet is written down by the senders; who folds does so on a disk.
    written = [volume for volume in container.get("volumes", ()) if not volume.endswith(":ro")]
    folds = {each: ["/var/tmp"] for each in (*SERVICES, "tools")}
    allowed = {"senders": ["messages:/var/lib/pfdo/messages"], **folds}
    assert written == allowed.get(name, [])
    assert container["environment"].get("SQLITE_TMPDIR") == ((name in folds and "/var/tmp") or None)
    assert container["image"] == "pfdo:local"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_given_settings_that_exist(name: str) -> None:
    environment = CONTAINERS[name]["environment"]

    settings = _settings(name)
    load_sender_settings(
        {k: v for k, v in environment.items() if not k.startswith(SENDERS_PREFIX + "VAULT_TOKEN")}
    )

    assert {name for name in environment if not name.startswith(PREFIX)} <= OF_OTHERS
    assert settings.uses_kafka
    assert settings.sandbox is (name in {"cabinet", "senders"})


def _settings(name: str) -> Settings:
    """Return the settings of a container, with the name of a secret for its content."""
    given = [
        # A key that is too short would be refused.
        {"source": one.ljust(32, "."), "target": one} if isinstance(one, str) else one
        for one in CONTAINERS[name]["secrets"]
    ]
    secrets = {f"/run/secrets/{one['target']}": one["source"] for one in given}
    environment = {
        variable.removesuffix("_FILE"): secrets.get(value, value)
        for variable, value in CONTAINERS[name]["environment"].items()
    }
    return load_settings(environment=environment)


def test_all_of_ours_know_the_same_sources() -> None:
    watching = {n: c for n, c in WATCHING["services"].items() if c["image"] == "pfdo:local"}
    for name, container in {**{n: CONTAINERS[n] for n in OURS}, **watching}.items():
        (given,) = (each for each in container["configs"] if each["source"] == "sources")
        assert container["environment"]["PFDO_SOURCES"] == given["target"], name
    assert COMPOSE["configs"]["sources"] == {"file": "./sources.yaml"}


def test_the_cabinet_calls_places_as_the_deployment_does() -> None:
    (given,) = (each for each in CONTAINERS["cabinet"]["configs"] if each["source"] == "region")

    assert CONTAINERS["cabinet"]["environment"]["PFDO_REGION"] == given["target"]
    assert COMPOSE["configs"]["region"] == {"file": "./region.yaml"}


@pytest.mark.parametrize("name", OURS)
def test_each_of_ours_has_a_user_of_its_own(name: str) -> None:
    settings = _settings(name)

    user = {"topics": "admin", "tools": "operator"}.get(name, name)
    assert (settings.kafka_username, settings.kafka_password) == (user, f"kafka-{user}")
    if name not in {"topics", "calendar"}:
        assert (settings.redis_username, settings.redis_password) == (user, f"redis-{user}")


def test_a_secret_is_seen_by_whom_it_is_for_alone() -> None:
    seen: dict[str, set[str]] = {secret: set() for secret in COMPOSE["secrets"]}
    for name, container in CONTAINERS.items():
        for secret in container.get("secrets", ()):
            seen[secret if isinstance(secret, str) else secret["source"]].add(name)

    users = principals(load_sources(DEPLOY / "sources.yaml"))
    kafka = {f"kafka-{user}": {user, "topics"} & set(CONTAINERS) for user in users}
    kafka["kafka-operator"] = {"tools", "topics"}
    redis = {f"redis-{name}": {name, f"{name}-redis"} for name in READERS}
    redis["redis-cabinet"].add("vault-redis")
    lists = {f"acl-{name}": {f"{name}-redis"} for name in (*READERS, "vault")}
    assert seen == {
        **kafka,
        **redis,
        **lists,
        "kafka-admin": {"kafka", "topics"},
        "redis-senders": {"senders"},
        "redis-operator": {"tools"},
        "vault-keys": {"cabinet"},
        "vault-token": {"cabinet"},
        "vault-senders-token": {"cabinet", "senders"},
        "paper-key": {"cabinet"},
        "oidc-client-secret": {"cabinet"},
        "oidc-session-key": {"cabinet"},
        "authorities.pem": {"cabinet", "senders"},
    }


def test_secrets_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    script = (str(DEPLOY / "secrets.sh"), str(folder), "journal-bratsk")
    subprocess.run(script, check=True)
    made = {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}
    subprocess.run(script, check=True)

    assert {f.name: f.read_text() for f in folder.iterdir() if f.is_file()} == made
    # Mounted for the senders' user; what an operator puts there stays.
    assert stat.S_IMODE((folder / "senders").stat().st_mode) == 0o755
    assert set(made) == {*COMPOSE["secrets"], *WATCHING["secrets"], "kafka-journal-bratsk"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    MasterKeys.parse(made["vault-keys"])
    assert made.pop("authorities.pem") == ""
    passwords = {
        name: text for name, text in made.items() if not name.startswith(("acl-", "vault-keys"))
    }
    assert all(re.fullmatch(r"[A-Za-z0-9]{43}", text) for text in passwords.values())
    assert len(set(passwords.values())) == len(passwords)
    for name in READERS:
        off, *users = made[f"acl-{name}"].splitlines()
        # As this user, whom nobody can be, Redis reads what it has written.
        assert off == "user default off resetpass ~* &* +@all"
        shared = ["senders"] if name == "notifications" else []
        assert [line.split()[1] for line in users] == [name, *shared, "operator", "watch"]
        for line in users:
            user = line.split()[1]
            digest = hashlib.sha256(passwords[f"redis-{user}"].encode()).hexdigest()
            keys = "~pfdo:*" if user in {"operator", "watch"} else f"~pfdo:{{{user}:*"
            if (name, user) == ("cabinet", "operator"):
                # Read models, of which each has a number: neither sessions nor proposals.
                keys = "~pfdo:{cabinet:[0-9]*"
            assert {f"#{digest}", keys, "-@all"} < set(line.split())
            assert ("+set" in line.split()) is (user != "watch")


@pytest.mark.parametrize("name", ["kafka-billing", "vault-senders-token"])
def test_a_password_that_was_removed_or_is_new_is_made_and_no_other(
    tmp_path: Path, name: str
) -> None:
    script = (str(DEPLOY / "secrets.sh"), str(tmp_path))
    subprocess.run(script, check=True)
    before = (tmp_path / name).read_text()
    navigators = (tmp_path / "vault-token").read_text()
    (tmp_path / name).unlink()
    subprocess.run(script, check=True)

    assert (tmp_path / name).read_text() not in {before, ""}
    assert (tmp_path / "vault-token").read_text() == navigators


def test_kafka_denies_what_no_list_allows() -> None:
    environment = CONTAINERS["kafka"]["environment"]
    protocols = environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")

    assert "StandardAuthorizer" in environment["KAFKA_AUTHORIZER_CLASS_NAME"]
    assert environment["KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND"] == "false"
    assert environment["KAFKA_SUPER_USERS"] == "User:admin"
    assert {protocol.partition(":")[2] for protocol in protocols} == {"SASL_PLAINTEXT"}
    assert CONTAINERS["kafka"]["ports"] == ["127.0.0.1:9092:9092"]
    assert COMPOSE["networks"]["brokers"] == {"internal": True}
    with_brokers = {n for n, c in CONTAINERS.items() if "brokers" in c.get("networks", ())}
    assert with_brokers == {"kafka", "topics"}


@pytest.mark.parametrize("file", ["compose.yaml", "three-brokers.yaml"])
def test_every_broker_is_opened_to_other_machines_by_the_same_two_words(file: str) -> None:
    text = (DEPLOY / file).read_text().replace("!override", "").replace("!reset", "")
    text = text.replace("${KAFKA_HOST:-localhost}", "kafka.region.example")
    text = text.replace("${KAFKA_BIND:-127.0.0.1}", "10.0.0.5")
    containers = yaml.safe_load(_with_defaults(text))["services"]
    brokers = {
        name: container
        for name, container in containers.items()
        if "KAFKA_ADVERTISED_LISTENERS" in container.get("environment", {})
    }

    assert len(brokers) == {"compose.yaml": 1, "three-brokers.yaml": 2}[file]
    for broker in brokers.values():
        (port,) = broker["ports"]
        sources = broker["environment"]["KAFKA_ADVERTISED_LISTENERS"].rpartition(",")[2]
        address, outside, inside = port.split(":")
        assert (address, inside) == ("10.0.0.5", "9092")
        assert sources == f"SOURCES://kafka.region.example:{outside}"


def test_all_of_it_fits_on_a_laptop() -> None:
    units = {"m": 1, "g": 1024}
    # Topics are made before anything else of ours starts.
    limits = [c["mem_limit"] for name, c in CONTAINERS.items() if name != "topics"]

    assert sum(int(limit[:-1]) * units[limit[-1]] for limit in limits) <= 6 * 1024


def test_a_source_is_held_to_what_the_contracts_say() -> None:
    command = " ".join(CONTAINERS["topics"]["command"][0].split())

    assert command.endswith(f"--source-bytes-per-second {SOURCE_BYTES_PER_SECOND}")


@pytest.mark.parametrize("name", READERS)
def test_a_service_reaches_its_own_redis_only(name: str) -> None:
    container, redis = CONTAINERS[name], CONTAINERS[f"{name}-redis"]
    urls = {k: v for k, v in container["environment"].items() if k.endswith("_REDIS_URL")}

    own = (name, "vault") if name == "cabinet" else (name,)
    assert urls == {f"PFDO_{one.upper()}_REDIS_URL": f"redis://{one}-redis:6379/0" for one in own}
    assert container["command"] == ["run", "--services", name]
    assert container["environment"]["PFDO_INSTANCE"] == f"{name}-1"
    assert set(container["depends_on"]) == {"topics", *(f"{one}-redis" for one in own)}
    assert set(container["networks"]) - {"vault", "addresses"} == {"default", f"{name}-state"}
    assert redis["networks"] == [f"{name}-state"]
    assert COMPOSE["networks"][f"{name}-state"] == {"internal": True}
    assert f"{name}-data:/data" in redis["volumes"]
    assert f"{name}-data" in COMPOSE["volumes"]


def test_the_senders_share_the_redis_of_notifications() -> None:
    senders, notifications = CONTAINERS["senders"], CONTAINERS["notifications"]
    own = {
        "PFDO_INSTANCE": "senders-1",
        "PFDO_KAFKA_USERNAME": "senders",
        "PFDO_REDIS_USERNAME": "senders",
        "PFDO_SENDERS_FOLDER": "/var/lib/pfdo/messages",
        "PFDO_SENDERS_VAULT_URL": "http://cabinet:8038",
        "PFDO_SENDERS_VAULT_TOKEN_FILE": "/run/secrets/vault-senders-token",
        "PFDO_CA_FILE": "/run/secrets/authorities.pem",
        "PFDO_SANDBOX": "1",
    }

    assert senders["command"] == ["run", "--services", "senders"]
    # They fold nothing.
    shared = {k: v for k, v in notifications["environment"].items() if k != "SQLITE_TMPDIR"}
    assert senders["environment"] == shared | own
    assert senders["depends_on"] == notifications["depends_on"]
    assert senders["networks"] == [*notifications["networks"], "addresses"]
    assert "messages" in COMPOSE["volumes"]
    cabinet = CONTAINERS["cabinet"]["environment"]
    its_own = senders["environment"]["PFDO_SENDERS_VAULT_TOKEN_FILE"]
    assert cabinet["PFDO_VAULT_SENDERS_TOKEN_FILE"] == its_own != cabinet["PFDO_VAULT_TOKEN_FILE"]


def test_a_log_in_server_is_named_by_three_variables_and_two_secrets(tmp_path: Path) -> None:
    subprocess.run((str(DEPLOY / "secrets.sh"), str(tmp_path)), check=True)
    told = {"PFDO_OIDC_ISSUER": "https://id.example", "PFDO_OIDC_CLIENT_ID": "cabinet"}
    told |= {"PFDO_OIDC_AUDIENCE": "pfdo", "PFDO_PUBLIC_URL": "https://clubs.example"}
    text = (DEPLOY / "compose.yaml").read_text()
    for name, value in told.items():
        text = re.sub(rf"\$\{{{name}:-.*\}}", value, text)
    text = re.sub(r"\$\{PFDO_OIDC_ISSUER:\+([^}]*)\}", r"\1", text)
    text = text.replace("/run/secrets/oidc-", f"{tmp_path}/oidc-")
    environment = yaml.safe_load(_with_defaults(text))["services"]["cabinet"]["environment"]
    environment["PFDO_SANDBOX"] = "0"

    log_in = load_log_in(
        Settings(sandbox=False, public_url=environment["PFDO_PUBLIC_URL"]), environment
    )

    assert log_in is not None
    assert (log_in.issuer, log_in.client_id) == ("https://id.example", "cabinet")
    assert log_in.client_secret == (tmp_path / "oidc-client-secret").read_text()


def test_names_lie_in_a_redis_that_the_cabinet_alone_reaches() -> None:
    settings = _settings("cabinet")

    assert settings.vault_redis_url == "redis://vault-redis:6379/0"
    assert settings.vault_keys is not None
    assert settings.vault_keys.get_secret_value().startswith("vault-keys.")
    assert settings.public_url == "http://127.0.0.1:8038"
    on_its_network = {n for n, c in CONTAINERS.items() if "vault" in c.get("networks", ())}
    assert on_its_network == {"cabinet", "vault-redis"}
    assert {n for n, c in CONTAINERS.items() if "addresses" in c.get("networks", ())} == {
        "cabinet",
        "senders",
    }
    for name in ("vault", "addresses"):
        assert COMPOSE["networks"][name] == {"internal": True}
    assert "vault-data:/data" in CONTAINERS["vault-redis"]["volumes"]
    assert "vault-data" in COMPOSE["volumes"]
    # Careful as the others are; only smaller.
    conf = (DEPLOY / "vault-redis.conf").read_text().splitlines()
    assert [line for line in conf if line and not line.startswith("#")] == [
        "include /etc/redis/redis.conf",
        "maxmemory 96mb",
    ]


def test_without_the_sandbox_addresses_are_asked_for_over_tls_alone(tmp_path: Path) -> None:
    environment = CONTAINERS["senders"]["environment"]
    settings = load_sender_settings(
        {"PFDO_SENDERS_VAULT_URL": environment["PFDO_SENDERS_VAULT_URL"]}
    )

    lines_of(settings, data=tmp_path, sandbox=True)
    with pytest.raises(SettingError, match="unprotected"):
        lines_of(settings, data=tmp_path, sandbox=False)


def test_kafka_keeps_what_it_acknowledged_on_its_volume() -> None:
    environment = CONTAINERS["kafka"]["environment"]

    assert environment["KAFKA_LOG_FLUSH_INTERVAL_MESSAGES"] == 1
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert f"kafka-data:{environment['KAFKA_LOG_DIRS']}" in CONTAINERS["kafka"]["volumes"]


def test_redis_loses_nothing_it_acknowledged() -> None:
    lines = (DEPLOY / "redis.conf").read_text().splitlines()
    conf = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))

    assert conf["appendonly"] == "yes"
    assert conf["appendfsync"] == "always"
    assert conf["no-appendfsync-on-rewrite"] == "no"
    assert conf["maxmemory-policy"] == "noeviction"
    assert conf["dir"] == "/data"


def test_the_image_runs_as_nobody_in_particular() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    final = dockerfile.rpartition("\nFROM ")[2]

    assert "\nUSER 10001" in final
    assert "--require-hashes" in dockerfile
    assert "COPY . " not in final


def test_the_example_lists_every_setting() -> None:
    made = example_env()

    assert (DEPLOY / "example.env").read_text() == made, "python -m deploy.example_env makes it"
