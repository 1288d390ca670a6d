"""All services in memory, seen by the command line as an installation."""

from pathlib import Path

from pfdo.playing import Line, read_lines
from pfdo.system import SERVICES, services_of
from streaming.installation import Installation
from streaming.settings import load_settings
from tests.support.world import World

SMALL = Path(__file__).with_name("small.jsonl")


def world(seed: int = 0) -> World:
    """Return a world of the four services."""
    return World(services_of(SERVICES), seed=seed)


def installation_of(world: World) -> Installation:
    """Return a world as the command line sees an installation; its stores are the world's."""
    installation = Installation(load_settings(environment={}), world.sources, world.bus)
    installation._stores.update(world.stores)
    return installation


def small_file(installation: Installation) -> list[Line]:
    """Return the lines of the small play file."""
    return read_lines(SMALL.read_text().splitlines(), installation.topics)
