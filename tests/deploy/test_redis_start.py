"""What `deploy/redis-start.sh` makes of a file that a power cut ended: on the image's own Redis."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis, exceptions

from tests.support.containers import REDIS_IMAGE, free_port, require_docker

SCRIPT = Path(__file__).parents[2] / "deploy" / "redis-start.sh"
CONF = "appendonly yes\nappendfsync always\nsave ''\ndir /data\nport {port}\nbind 127.0.0.1\n"
START_SECONDS_MAX = 20
CALL = "redis.call('SET', 'half', '1') redis.call('SET', 'more', '1') return 'OK'"

pytestmark = pytest.mark.containers


class Started:
    """Redis as its container of the deployment starts it, on files that can be cut meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._name = f"pfdo-test-redis-start-{self._port}"
        (folder / "redis.conf").write_text(CONF.format(port=self._port))
        self.client = Redis(port=self._port, decode_responses=True)

    @property
    def file(self) -> Path:
        (file,) = self._folder.glob("appendonlydir/*.incr.aof")
        return file

    def start(self) -> bool:
        """Return whether it came up; if not, `said` tells why."""
        command = ["docker", "run", "-d", "--name", self._name, "--network", "host"]
        command += ["--user", f"{os.getuid()}:{os.getgid()}", "-v", f"{SCRIPT}:/redis-start.sh:ro"]
        command += ["-v", f"{self._folder}:/data", "--entrypoint", "sh", REDIS_IMAGE]
        command += ["/redis-start.sh", "/data/redis.conf"]
        subprocess.run(command, check=True, capture_output=True)
        give_up = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < give_up:
            try:
                return bool(self.client.ping())
            except exceptions.RedisError:
                if self._docker("inspect", "-f", "{{.State.Running}}").strip() != "true":
                    return False
                time.sleep(0.05)
        pytest.fail(f"neither up nor ended: {self.said}")

    def kill(self) -> None:
        self._docker("rm", "-fv")

    @property
    def said(self) -> str:
        return self._docker("logs")

    def _docker(self, command: str, *options: str) -> str:
        done = subprocess.run(
            ["docker", command, *options, self._name],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.stdout


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Started]:
    require_docker()
    started = Started(tmp_path)
    assert started.start()
    yield started
    started.kill()


@pytest.mark.parametrize("share", [0.02, 0.4, 0.7, 0.95, 0.99])
def test_half_a_call_is_cut_off_and_nothing_that_was_acknowledged_later_is_lost(
    redis: Started, share: float
) -> None:
    redis.client.set("before", "1")
    whole = redis.file.stat().st_size
    redis.client.eval(CALL, 0)
    size = redis.file.stat().st_size
    redis.kill()
    os.truncate(redis.file, whole + int((size - whole) * share))

    assert redis.start()
    assert "half written" in redis.said
    assert redis.file.stat().st_size == whole
    redis.client.set("later", "1")
    redis.kill()
    assert redis.start()

    assert sorted(redis.client.keys()) == ["before", "later"]


def test_a_whole_file_is_left_alone(redis: Started) -> None:
    redis.client.eval(CALL, 0)
    before = redis.file.read_bytes()
    redis.kill()

    assert redis.start()

    assert "half written" not in redis.said
    assert redis.file.read_bytes() == before
    assert sorted(redis.client.keys()) == ["half", "more"]


def test_a_single_write_that_is_cut_is_left_to_redis(redis: Started) -> None:
    redis.client.set("before", "1")
    redis.client.set("cut", "1")
    redis.kill()
    os.truncate(redis.file, redis.file.stat().st_size - 3)

    assert redis.start()

    assert "half written" not in redis.said
    assert redis.client.keys() == ["before"]


def test_damage_with_single_writes_behind_it_throws_none_of_them_away(redis: Started) -> None:
    redis.client.set("before", "1")
    whole = redis.file.stat().st_size
    redis.client.set("behind", "1")
    redis.kill()
    damaged = bytearray(redis.file.read_bytes())
    damaged[whole - 12 : whole - 4] = bytes(8)
    redis.file.write_bytes(damaged)

    assert not redis.start()

    assert redis.file.read_bytes() == damaged


def test_damage_with_whole_calls_behind_it_is_for_a_person_to_look_at(redis: Started) -> None:
    redis.client.set("before", "1")
    whole = redis.file.stat().st_size
    redis.client.eval(CALL, 0)
    redis.kill()
    damaged = bytearray(redis.file.read_bytes())
    damaged[whole - 12 : whole - 4] = bytes(8)
    redis.file.write_bytes(damaged)

    assert not redis.start()

    assert "put the last copy back" in redis.said
    assert redis.file.read_bytes() == damaged
