"""What `deploy/backup.sh` does when something goes wrong, with a `docker` that is played here."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

BACKUP = Path(__file__).parents[2] / "deploy" / "backup.sh"

DOCKER = """#!/bin/sh
# Volumes are folders, a running container is a file; what was called stands in a file beside them.
cd "$WORLD"
echo "$*" >>calls
command=$1
shift
case $command in
  ps)
    case "$*" in *ancestor=*) only=kafka ;; *) only='' ;; esac
    ls "running/$only" 2>/dev/null | sed 's|.*/||'
    ;;
  volume)
    command=$1
    shift
    case $command in
      ls) ls volumes ;;
      inspect) [ -d "volumes/$1" ] ;;
      create) for last in "$@"; do :; done; mkdir "volumes/$last" ;;
      rm) rm -r "volumes/$1" ;;
    esac
    ;;
  image) ;;
  stop)
    [ $# -gt 2 ] || exit 1
    shift 2
    for name in "$@"; do rm "running/$name"; done
    ;;
  start) for name in "$@"; do : >"running/$name"; done ;;
  run)
    while [ "$1" != -C ]; do
      case $1 in *:/volume) volume=${1%:/volume} ;; esac
      shift
    done
    shift 2
    if [ "$BROKEN" = "$volume" ]; then
      tar -C "volumes/$volume" "$@" | head -c 100
      exit 1
    fi
    tar -C "volumes/$volume" "$@"
    ;;
esac
"""


@dataclass(frozen=True)
class World:
    """Where docker plays; `said` is what the script wrote."""

    folder: Path

    @property
    def copy(self) -> Path:
        return self.folder / "copy"

    @property
    def running(self) -> list[str]:
        return sorted(file.name for file in (self.folder / "running").iterdir())

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()

    def volume(self, name: str) -> Path:
        return self.folder / "volumes" / f"pfdo_{name}-data"

    def backup(
        self, command: str, *, broken: str = "", to: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "WORLD": str(self.folder),
            "BROKEN": broken,
        }
        environment.pop("PROJECT", None)
        return subprocess.run(
            [BACKUP, command, to or self.copy],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def make_down(self) -> None:
        for name in ("kafka", "vault", "billing"):
            subprocess.run(["rm", "-rf", self.volume(name)], check=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    for name in ("bin", "running", "volumes"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    (tmp_path / "calls").touch()
    for name in ("kafka", "billing", "vault-redis"):
        (tmp_path / "running" / name).touch()
    for name in ("kafka", "vault", "billing"):
        made.volume(name).mkdir()
        (made.volume(name) / "file").write_bytes(os.urandom(1000) + name.encode())
    return made


def test_a_copy_is_put_back_as_it_was(world: World) -> None:
    content = world.volume("kafka").joinpath("file").read_bytes()

    copied = world.backup("copy")

    assert (copied.returncode, copied.stderr) == (0, "")
    # Kafka is stopped last and started first.
    stopped = [line for line in world.calls.splitlines() if line.startswith("stop")]
    assert stopped == ["stop -t 60 billing vault-redis", "stop -t 60 kafka"]
    assert "\nstart kafka billing vault-redis\n" in world.calls
    assert world.running == ["billing", "kafka", "vault-redis"]
    assert {f.name for f in world.copy.iterdir()} == {
        "kafka-data.tar.gz",
        "vault-data.tar.gz",
        "SHA256SUMS",
    }
    assert world.backup("check").returncode == 0
    assert "First: make down" in world.backup("restore").stderr

    world.make_down()
    restored = world.backup("restore")

    assert restored.returncode == 0, restored.stderr
    assert world.volume("kafka").joinpath("file").read_bytes() == content
    assert world.volume("vault").is_dir()


@pytest.mark.parametrize("broken", ["pfdo_kafka-data", "pfdo_vault-data"])
def test_a_stream_that_breaks_is_no_copy_and_all_runs_again(world: World, broken: str) -> None:
    assert world.backup("copy").returncode == 0
    before = {file.name: file.read_bytes() for file in world.copy.iterdir()}

    failed = world.backup("copy", broken=broken)

    assert failed.returncode != 0
    assert "no new copy" in failed.stderr
    assert world.running == ["billing", "kafka", "vault-redis"]
    assert {file.name: file.read_bytes() for file in world.copy.iterdir()} == before


def test_what_cannot_be_written_to_stops_nothing(world: World) -> None:
    taken = world.folder / "taken"
    taken.touch()

    assert world.backup("copy", to=taken).returncode != 0
    (world.folder / "blocked" / "SHA256SUMS.new").mkdir(parents=True)
    assert world.backup("copy", to=world.folder / "blocked").returncode != 0

    assert "stop" not in world.calls
    assert world.running == ["billing", "kafka", "vault-redis"]


def test_what_rests_already_is_copied_and_goes_on_resting(world: World) -> None:
    for file in (world.folder / "running").iterdir():
        file.unlink()

    copied = world.backup("copy")

    assert (copied.returncode, copied.stderr) == (0, "")
    assert world.running == []


def test_without_data_there_is_nothing_to_copy(world: World) -> None:
    world.make_down()

    copied = world.backup("copy")

    assert copied.returncode != 0
    assert "no data of pfdo" in copied.stderr


@pytest.mark.parametrize("way", ["other", "short", "unlisted", "gone"])
def test_what_is_not_what_was_copied_is_not_put_back(world: World, way: str) -> None:
    assert world.backup("copy").returncode == 0
    file, sums = world.copy / "vault-data.tar.gz", world.copy / "SHA256SUMS"
    match way:
        case "other":
            file.write_bytes((world.copy / "kafka-data.tar.gz").read_bytes())
        case "short":
            file.write_bytes(file.read_bytes()[:-20])
            sums.unlink()
        case "unlisted":
            lines = sums.read_text().splitlines(keepends=True)
            sums.write_text("".join(line for line in lines if "vault" not in line))
        case _:
            file.unlink()
    world.make_down()

    refused = world.backup("restore-vault")

    assert refused.returncode != 0
    assert refused.stderr
    assert not world.volume("vault").exists()
    if way != "unlisted":
        assert world.backup("restore").returncode != 0
        assert not world.volume("kafka").exists()


def test_a_copy_of_an_earlier_version_has_no_list(world: World) -> None:
    assert world.backup("copy").returncode == 0
    (world.copy / "SHA256SUMS").unlink()
    world.make_down()

    restored = world.backup("restore")

    assert restored.returncode == 0, restored.stderr
    assert "has no SHA256SUMS" in restored.stderr
    assert world.volume("vault").is_dir()


def test_what_cannot_be_put_back_leaves_no_half_of_a_volume(world: World) -> None:
    assert world.backup("copy").returncode == 0
    world.make_down()

    failed = world.backup("restore", broken="pfdo_vault-data")

    assert failed.returncode != 0
    assert world.volume("kafka").is_dir()
    assert not world.volume("vault").exists()
