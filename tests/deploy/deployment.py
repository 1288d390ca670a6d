"""The compose deployment under a name and on ports of its own, as who operates it has it."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaming.kafka_security import KafkaSecurity
from streaming.settings import PREFIX
from tests.support.containers import free_port

ROOT = Path(__file__).parents[2]
BACKUP = str(ROOT / "deploy" / "backup.sh")
COMPOSE_FILE = str(ROOT / "deploy" / "compose.yaml")
PARTITIONS = 12
CALL_SECONDS_MAX = 240
LOOKING_SECONDS_MAX = 60
LOOK_SECONDS = 0.2
HAUNTED = "has active endpoints"
Inputs = list[tuple[str, str, str]]

ASK_THE_VAULT = """
import asyncio
from services.notifications.senders.assembly import addresses_of
from services.notifications.senders.settings import load_sender_settings
from streaming.authorities import trusting
from streaming.settings import load_settings
settings = load_settings()
senders = load_sender_settings()
book = addresses_of(senders, trusting(settings.ca), sandbox=settings.sandbox)
address = asyncio.run(book.find("{person}"))
print(address and address.email)
"""


def call(*command: str, environment: dict[str, str]) -> str:
    """Run a command to its good end; return what it printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment of this process without settings of whoever runs the tests."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "COMPOSE_"))}
    return {**inherited, "PFDO_PARTITIONS": str(PARTITIONS), **more}


def decided(lines: str) -> Inputs:
    """Return what `pfdo inputs --json` printed: id, decision and reason of each, sorted."""
    records = (json.loads(line) for line in lines.splitlines())
    return sorted((str(r["id"]), str(r["decision"]), str(r["reason"])) for r in records)


def autumn_of(*size: str) -> list[str]:
    """Return the lines of a play file of that size, as options of examples/generate.py."""
    made = call(sys.executable, "examples/generate.py", *size, environment=clean_environment())
    return made.splitlines()


def write_play(file: Path, lines: Sequence[str]) -> None:
    """Write a play file that the tools may read."""
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file.chmod(0o644)


def by_one_process(file: Path, data: Path) -> tuple[Any, Inputs]:
    """Return what comes of a play file without Kafka and Redis: the export and the inputs."""

    def pfdo(*arguments: str) -> str:
        command = (sys.executable, "-m", "pfdo", "--data", str(data), *arguments)
        return call(*command, environment=clean_environment())

    assert json.loads(pfdo("play", str(file), "--json"))["settled"]
    exported, inputs = json.loads(pfdo("export")), decided(pfdo("inputs", "--json"))
    assert exported["certificates"]
    assert {decision for _, decision, _ in inputs} > {"applied", "refused"}
    return exported, inputs


def until(
    look: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = LOOKING_SECONDS_MAX
) -> Any:
    """Look until it holds, at most so many seconds; return what was seen last."""
    give_up = time.monotonic() + seconds
    seen = look()
    while not holds(seen) and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
        seen = look()
    return seen


@dataclass(frozen=True)
class Deployment:
    """The deployment; what lies in the folder `files` is seen as /files by its tools."""

    project: str
    port: int
    kafka_port: int
    files: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """What an operator adds in deploy/.env."""

    @property
    def environment(self) -> dict[str, str]:
        ports = {"PFDO_PORT": str(self.port), "KAFKA_PORT": str(self.kafka_port)}
        return clean_environment(PROJECT=self.project, **ports, **self.settings)

    @property
    def gateway(self) -> str:
        """Return the address at which containers reach this machine."""
        network = f"{self.project}_default"
        template = "{{(index .IPAM.Config 0).Gateway}}"
        return self.call("docker", "network", "inspect", network, "-f", template).strip()

    @property
    def bootstrap(self) -> str:
        return f"localhost:{self.kafka_port}"

    def secret(self, name: str) -> str:
        return (ROOT / "deploy" / "secrets" / name).read_text()

    def security(self, user: str) -> KafkaSecurity:
        password = self.secret(f"kafka-{user}")
        return KafkaSecurity(protocol="SASL_PLAINTEXT", username=user, password=password)

    def call(self, *command: str) -> str:
        return call(*command, environment=self.environment)

    def compose(self, *arguments: str) -> str:
        return self.call("docker", "compose", "-f", COMPOSE_FILE, "-p", self.project, *arguments)

    def up(self, *names: str, build: bool = False) -> None:
        """Start these, or all but the calendar, and wait until they are healthy."""
        self.compose("up", *(("--build",) if build else ()), "--wait", "-d", *names)

    def open_tools(self) -> None:
        """Start a container in which `pfdo` can be called; to start one a call takes longer."""
        sleep = ("--entrypoint", "sleep", "tools", "infinity")
        self.compose(
            "run", "-d", "-T", "--name", self._tools, "-v", f"{self.files}:/files:ro", *sleep
        )

    @property
    def _tools(self) -> str:
        return f"{self.project}-tools"

    def tools(self, *arguments: str) -> list[str]:
        """Return the command that calls `pfdo` inside; one that hangs says where, and is killed."""
        limit = ("timeout", "--signal=QUIT", "--kill-after=5", str(CALL_SECONDS_MAX - 30))
        return ["docker", "exec", self._tools, *limit, "pfdo", *arguments]

    def pfdo(self, *arguments: str) -> str:
        return self.call(*self.tools(*arguments))

    def down(self) -> None:
        profiles = ("--profile", "calendar", "--profile", "tools")
        try:
            self.compose(*profiles, "down", "--volumes", "--remove-orphans", "--timeout", "10")
        except AssertionError as error:
            if HAUNTED not in str(error) or self._listed("ps", "--all"):
                raise

    def inspected(self) -> dict[str, dict[str, Any]]:
        """Return all containers but the tools by the name of their service."""
        found = json.loads(self.call("docker", "inspect", *self._listed("ps", "--all")))
        by_name = {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in found}
        by_name.pop("tools", None)
        return by_name

    def unhealthy(self) -> list[str]:
        """Return who is to be healthy and is not."""
        states = {name: container["State"] for name, container in self.inspected().items()}
        return [
            name
            for name, state in states.items()
            if "Health" in state
            and (not state["Running"] or state["Health"]["Status"] != "healthy")
        ]

    def leftovers(self) -> list[str]:
        """Return containers, volumes and networks of the deployment."""
        networks = [network for network in self._networks() if not self._is_haunted(network)]
        return [*self._listed("ps", "--all"), *self._listed("volume", "ls"), *networks]

    def _networks(self) -> list[str]:
        return self._listed("network", "ls")

    def _is_haunted(self, network: str) -> bool:
        """Return whether nobody can remove a network though there is nothing in it.

        Docker 20.10 miscounts now and then, when a container was killed, until it is restarted.
        """
        containers = self.call("docker", "network", "inspect", network, "-f", "{{len .Containers}}")
        removed = subprocess.run(
            ("docker", "network", "rm", network), capture_output=True, text=True, check=False
        )
        return containers.strip() == "0" and HAUNTED in removed.stderr

    def _listed(self, *command: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.project}"
        return self.call("docker", *command, "--quiet", "--filter", label).split()

    def shown(self) -> bytes:
        """Return what the cabinet shows to machines."""
        address = f"http://127.0.0.1:{self.port}/api/v1/export"
        with urllib.request.urlopen(address, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def crash(self, service: str) -> None:
        """Kill every process in a container but its init, as a defect would: it comes back."""
        container = self.inspected()[service]["Id"]
        kill_all = ("python", "-c", "import os; os.kill(-1, 9)")
        subprocess.run(
            ("docker", "exec", container, *kill_all),
            capture_output=True,
            timeout=CALL_SECONDS_MAX,
            check=False,
        )

    def enter(self, person: str, email: str) -> None:
        """Enter a person into the vault, as the Navigator does."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/vault/persons/{person}",
            json.dumps(
                {"family_name": "Заглушкина", "given_name": "Проверка", "email": email}
            ).encode(),
            {
                "content-type": "application/json",
                "authorization": f"Bearer {self.secret('vault-token')}",
            },
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 204

    def address_of(self, person: str) -> str:
        """Return the address that the senders' container, by its own settings, finds."""
        ask = ASK_THE_VAULT.format(person=person)
        return self.compose("exec", "-T", "senders", "python", "-c", ask).strip()

    def lose(self, losses: dict[str, tuple[str, ...]], copy: Path | None = None) -> None:
        """Lose volumes of Redis, by its name who uses it, as docs/runbooks/redis-lost.md says.

        The vault comes back out of the copy, as vault-lost.md says.
        """
        users = [user for named in losses.values() for user in named]
        self.compose("stop", *users, *losses)
        self.compose("rm", "-f", *losses)
        for redis in losses:
            # Without a word if it is lost already.
            self.call("docker", "volume", "rm", "--force", self.volume_of(redis))
        if "vault-redis" in losses:
            assert copy is not None, "no journal brings the vault back"
            self.call(BACKUP, "restore-vault", str(copy))
        self.up(*users)

    def volume_of(self, redis: str) -> str:
        """Return the volume that a Redis has its data on."""
        return f"{self.project}_{redis.removesuffix('-redis')}-data"


@contextmanager
def deployed(files: Path, name: str = "test") -> Iterator[Deployment]:
    """Start the deployment without its calendar; afterwards nothing of it may be left."""
    files.chmod(0o755)
    deployment = Deployment(f"pfdo-{name}-{os.getpid()}", free_port(), free_port(), files)
    try:
        deployment.call("make", "secrets")
        deployment.up(build=True)
        deployment.open_tools()
        yield deployment
    finally:
        deployment.down()
    assert deployment.leftovers() == []
