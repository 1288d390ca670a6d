"""States that other versions left: removed when nobody lives by them, and never the present one."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest

from pfdo.playing import play
from pfdo.settling import Reader
from pfdo.versions import NotDroppedError, drop, reader_of
from streaming.installation import Installation as Open
from streaming.installation import open_installation
from streaming.memory_store import MemoryStore
from streaming.positions import pack_positions, unpack_positions
from streaming.settings import load_settings
from streaming.store import Commit, Committed
from tests.pfdo.worlds import SMALL, installation_of, small_file, world
from tests.support.dumped import dumped
from tests.support.installation import Installation
from tests.support.world import World

BEFORE, AFTER = 1, 99


@dataclass
class Upgraded:
    """An installation whose billing has the states of other versions beside its own."""

    world: World
    installation: Open
    reader: Reader

    @property
    def store(self) -> MemoryStore:
        return self.world.stores["billing"]

    def leave(self, version: int) -> None:
        kept = self.store._now.kept
        for partition in range(self.world.partitions):
            kept[partition, version] = deepcopy(kept[partition, self.reader.version])

    def partitions_with(self, version: int) -> int:
        return sum(each == version for _, each in self.store._now.kept)

    async def present(self) -> Mapping[int, Mapping[str, bytes]]:
        version = self.reader.version
        return {p: await dumped(self.store, p, version) for p in range(self.world.partitions)}


@pytest.fixture
async def upgraded() -> Upgraded:
    made = world()
    installation = installation_of(made)

    async def settled() -> bool:
        await made.settle()
        return True

    await play(installation, small_file(installation), settled)
    found = Upgraded(made, installation, reader_of(installation, "billing"))
    found.leave(BEFORE)
    found.leave(AFTER)
    return found


async def test_what_another_version_left_is_removed_and_the_present_state_stays(
    upgraded: Upgraded,
) -> None:
    present, version = await upgraded.present(), upgraded.reader.version
    partitions = upgraded.world.partitions

    dropped = await drop(upgraded.installation, upgraded.reader, range(1, version))

    assert dropped == {BEFORE: partitions, **dict.fromkeys(range(2, version), 0)}
    assert upgraded.partitions_with(BEFORE) == 0
    assert upgraded.partitions_with(AFTER) == partitions
    assert await upgraded.present() == present
    # Who owns the partitions goes on: it was not fenced.
    await upgraded.world.settle()
    # After going back it is the later one that nobody needs.
    assert await drop(upgraded.installation, upgraded.reader, [AFTER]) == {AFTER: partitions}
    assert await drop(upgraded.installation, upgraded.reader, [AFTER]) == {AFTER: 0}


async def test_the_present_state_is_never_dropped(upgraded: Upgraded) -> None:
    present = await upgraded.present()

    with pytest.raises(NotDroppedError, match="that runs"):
        await drop(upgraded.installation, upgraded.reader, [BEFORE, upgraded.reader.version])

    assert await upgraded.present() == present
    assert upgraded.partitions_with(BEFORE) == upgraded.world.partitions


@pytest.mark.parametrize("present", ["not folded yet", "behind"])
async def test_what_somebody_may_still_live_by_stays_everywhere(
    upgraded: Upgraded, present: str
) -> None:
    kept, version = upgraded.store._now.kept, upgraded.reader.version
    last = max(p for p in range(upgraded.world.partitions) if kept[p, version].fields)
    if present == "behind":
        fields = kept[last, BEFORE].fields
        further = {
            topic: position._replace(next=position.next + 1)
            for topic, position in unpack_positions(fields["positions"]).items()
        }
        kept[last, BEFORE].fields = {**fields, "positions": pack_positions(further)}
    else:
        del kept[last, version]

    with pytest.raises(NotDroppedError, match=f"billing/{last}: version {BEFORE} has read more"):
        await drop(upgraded.installation, upgraded.reader, [BEFORE])

    assert upgraded.partitions_with(BEFORE) == upgraded.world.partitions


async def test_on_a_server_it_is_removed_by_the_command_line(tmp_path: Path) -> None:
    played = Installation(tmp_path / "data")
    assert played.json("play", str(SMALL))["settled"] is True
    exported = played.json("export")
    settings = load_settings({"data": played.data}, environment={})
    async with open_installation(settings) as installation:
        store = await installation.store("billing")
        standing = await store.standing(0, BEFORE)
        left = Commit(expected_seq=0, writes={"a": b"1"}, index_adds=[("i", "m")], outbox=[b"o"])
        assert await store.commit(0, BEFORE, standing.epoch, left) == Committed(1)

    dropped = played.json("state", "drop", "billing")
    again = played.pfdo("state", "drop", "billing")
    refused = played.pfdo("state", "drop", "nobody")

    assert dropped[0] == {"version": BEFORE, "partitions": 1}
    assert b"there is no such state" in again.stdout
    assert refused.returncode == 2
    async with open_installation(settings) as installation:
        assert await dumped(await installation.store("billing"), 0, BEFORE) == {}
    assert played.json("export") == exported
    assert all(row["equal"] for row in played.json("rebuild", "billing", "--dry-run")["partitions"])
