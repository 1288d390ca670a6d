"""What any store must do. Subclass, say how to open one and how to hurt it, inherit the tests."""

from abc import ABC, abstractmethod
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from streaming.errors import StoreUnavailableError
from streaming.store import (
    COMMIT_BYTES_MAX,
    WRITES_MAX,
    Behind,
    Commit,
    Committed,
    Count,
    Fenced,
    Looked,
    Range,
    Store,
)
from tests.support.dumped import dumped

P = 7
V = 1
EVERY_BYTE = bytes(range(256))


class StoreBehaviour(ABC):
    """The promises of a store, whatever it is made of. A subclass has a fixture `store`."""

    @abstractmethod
    async def wipe(self) -> None:
        """Make the store forget everything, behind its owner's back."""

    @abstractmethod
    def lose(self, what: Literal["request", "reply"]) -> None:
        """Let the next call fail: before it reaches the store, or on the way back."""

    async def commits(self, store: Store, *commits: Commit) -> int:
        """Take partition 7 over, apply the commits one after the other, return the epoch."""
        standing = await store.take_over(P, V)
        for seq, commit in enumerate(commits, start=standing.seq):
            answer = await store.commit(P, V, standing.epoch, replace(commit, expected_seq=seq))
            assert answer == Committed(seq + 1)
        return standing.epoch

    async def members(self, store: Store, asked: Range) -> list[str]:
        loaded = await store.load(P, V, ranges=[asked])
        counted = await store.load(P, V, counts=[Count(asked.index, asked.start, asked.end)])
        members = list(loaded.ranges[0])
        assert len(members) == min(counted.counts[0], asked.members_max)
        return members

    async def test_who_only_looks_sees_what_an_owner_loads(self, store: Store) -> None:
        added = [("i", "a"), ("i", "b"), ("j", "c")]
        await self.commits(store, Commit(expected_seq=0, writes={"k": b"1"}, index_adds=added))
        questions: Any = (["k", "gone"], [Range("i"), Range("j", "d")], [Count("i", "b")])

        looked, loaded = await store.look(P, V, *questions), await store.load(P, V, *questions)

        assert looked == Looked([b"1", None], [["a", "b"], []], [1])
        assert (loaded.values, loaded.ranges, loaded.counts) == (
            looked.values,
            looked.ranges,
            looked.counts,
        )

    async def test_a_new_partition_has_nothing(self, store: Store) -> None:
        standing = await store.standing(P, V)
        loaded = await store.load(P, V, ["a"], [Range("due")], [Count("due")])

        assert (standing.epoch, standing.seq, standing.fields, standing.outbox) == (0, 0, {}, 0)
        assert (loaded.values, loaded.ranges, loaded.counts) == ([None], [[]], [0])
        assert (await store.outbox(P, V, 10)).entries == []
        assert await dumped(store, P, V) == {}

    async def test_a_commit_is_seen_as_a_whole(self, store: Store) -> None:
        epoch = await self.commits(
            store,
            Commit(
                expected_seq=0,
                fields={"positions": b"{}", "fingerprint": EVERY_BYTE},
                writes={"a": b"1", "б/2": EVERY_BYTE, "empty": b""},
                index_adds=[("due", "2026-09-01"), ("names", "Ёж")],
                outbox=[b"first", EVERY_BYTE, b""],
            ),
        )

        standing = await store.standing(P, V)
        assert (standing.epoch, standing.seq, standing.outbox) == (epoch, 1, 3)
        assert standing.fields == {"positions": b"{}", "fingerprint": EVERY_BYTE}
        loaded = await store.load(
            P, V, ["empty", "nothing", "б/2", "a"], [Range("names"), Range("due")], [Count("due")]
        )
        assert loaded.values == [b"", None, EVERY_BYTE, b"1"]
        assert loaded.ranges == [["Ёж"], ["2026-09-01"]]
        assert loaded.counts == [1]
        assert (await store.outbox(P, V, 10)).entries == [b"first", EVERY_BYTE, b""]
        assert (await store.outbox(P, V, 1)).entries == [b"first"]

    async def test_a_second_commit_from_the_same_position_is_behind(self, store: Store) -> None:
        epoch = await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))

        again = await store.commit(P, V, epoch, Commit(expected_seq=0, writes={"a": b"2"}))
        ahead = await store.commit(P, V, epoch, Commit(expected_seq=2, writes={"a": b"3"}))

        assert again == ahead == Behind(1)
        assert await dumped(store, P, V) == {"key/a": b"1"}

    async def test_an_older_owner_is_fenced_and_changes_nothing(self, store: Store) -> None:
        old = await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))
        new = (await store.take_over(P, V)).epoch

        answer = await store.commit(
            P,
            V,
            old,
            Commit(
                expected_seq=1,
                fields={"f": b"2"},
                writes={"a": b"2"},
                deletes=["a"],
                index_adds=[("i", "m")],
                outbox=[b"2"],
            ),
        )
        cleared = await store.clear(P, V, old)

        assert new > old
        assert answer == cleared == Fenced(new)
        standing = await store.standing(P, V)
        assert (standing.seq, standing.fields, standing.outbox) == (1, {}, 0)
        assert await dumped(store, P, V) == {"key/a": b"1"}

    async def test_taking_over_keeps_what_is_there(self, store: Store) -> None:
        await self.commits(store, Commit(expected_seq=0, fields={"f": b"1"}, outbox=[b"o"]))

        standing = await store.take_over(P, V)

        assert (standing.seq, standing.fields, standing.outbox) == (1, {"f": b"1"}, 1)

    async def test_a_lost_reply_then_a_repeat_is_behind(self, store: Store) -> None:
        epoch = await self.commits(store, Commit(expected_seq=0))
        commit = Commit(expected_seq=1, writes={"a": b"1"}, outbox=[b"once"])

        self.lose("reply")
        with pytest.raises(StoreUnavailableError):
            await store.commit(P, V, epoch, commit)

        assert await store.commit(P, V, epoch, commit) == Behind(2)
        assert (await store.outbox(P, V, 10)).entries == [b"once"]

    async def test_a_lost_request_then_a_repeat_stands(self, store: Store) -> None:
        epoch = await self.commits(store, Commit(expected_seq=0))
        commit = Commit(expected_seq=1, writes={"a": b"1"}, outbox=[b"once"])

        self.lose("request")
        with pytest.raises(StoreUnavailableError):
            await store.commit(P, V, epoch, commit)

        assert (await store.standing(P, V)).seq == 1
        assert await store.commit(P, V, epoch, commit) == Committed(2)
        assert (await store.outbox(P, V, 10)).entries == [b"once"]

    async def test_reading_says_when_there_is_no_answer(self, store: Store) -> None:
        self.lose("reply")
        with pytest.raises(StoreUnavailableError):
            await store.load(P, V, ["a"])

        self.lose("request")
        with pytest.raises(StoreUnavailableError):
            await store.standing(P, V)

        assert (await store.load(P, V, ["a"])).values == [None]

    async def test_how_full_it_is_grows_with_what_it_holds(self, store: Store) -> None:
        before = await store.room()
        value = b"x" * 1_000_000
        await self.commits(store, Commit(expected_seq=0, writes={"k": value}))

        after = await store.room()

        assert after.used_bytes - before.used_bytes > 900_000
        assert after.max_bytes == before.max_bytes
        self.lose("request")
        with pytest.raises(StoreUnavailableError):
            await store.room()

    async def test_trimming_takes_from_the_front_before_appending(self, store: Store) -> None:
        epoch = await self.commits(
            store,
            Commit(expected_seq=0, outbox=[b"1", b"2"]),
            Commit(expected_seq=0, outbox=[b"3"]),
            Commit(expected_seq=0, trim=2, outbox=[b"4", b"5"]),
        )

        assert (await store.outbox(P, V, 10)).entries == [b"3", b"4", b"5"]
        await store.commit(P, V, epoch, Commit(expected_seq=3, trim=3))
        assert (await store.outbox(P, V, 10)).entries == []
        assert (await store.outbox(P, V, 0)).entries == []

    async def test_nothing_is_written_when_more_is_trimmed_than_there_is(
        self, store: Store
    ) -> None:
        epoch = await self.commits(store, Commit(expected_seq=0, outbox=[b"1"]))

        for trim in (2, -1):
            with pytest.raises(ValueError, match="trim"):
                await store.commit(
                    P, V, epoch, Commit(expected_seq=1, trim=trim, writes={"a": b"1"})
                )

        assert (await store.outbox(P, V, 10)).entries == [b"1"]
        assert await dumped(store, P, V) == {}

    async def test_ranges_stand_on_both_sides_of_their_bounds(self, store: Store) -> None:
        await self.commits(
            store, Commit(expected_seq=0, index_adds=[("i", m) for m in ("c", "a", "b", "b\0")])
        )

        assert await self.members(store, Range("i")) == ["a", "b", "b\0", "c"]
        assert await self.members(store, Range("i", "b")) == ["b", "b\0", "c"]
        assert await self.members(store, Range("i", "b", "c")) == ["b", "b\0"]
        assert await self.members(store, Range("i", "b", "b")) == []
        assert await self.members(store, Range("i", "c", "a")) == []
        assert await self.members(store, Range("i", "", "a")) == []
        assert await self.members(store, Range("i", "d")) == []
        assert await self.members(store, Range("i", members_max=2)) == ["a", "b"]
        assert await self.members(store, Range("i", members_max=0)) == []
        assert await self.members(store, Range("nothing")) == []

    async def test_members_sort_by_their_bytes(self, store: Store) -> None:
        members = ["", "+", "-", "(a", "[a", "Z", "a", "Ё", "А", "я", "\uffff", "\U0001f600"]
        await self.commits(
            store, Commit(expected_seq=0, index_adds=[("и", member) for member in members])
        )

        by_bytes = sorted(members, key=str.encode)
        assert await self.members(store, Range("и")) == by_bytes
        for member in members:
            at = by_bytes.index(member)
            assert await self.members(store, Range("и", member)) == by_bytes[at:]
            assert await self.members(store, Range("и", "", member)) == by_bytes[:at]

    @pytest.mark.parametrize("number", [1, 1_997, 1_998, 20_000])
    async def test_any_number_of_keys_is_loaded_in_their_order(
        self, store: Store, number: int
    ) -> None:
        names = [f"k{at}" for at in range(number)]
        await self.commits(
            store,
            *(
                Commit(expected_seq=0, writes={name: name.encode() for name in some})
                for some in (names[first : first + 2_000] for first in range(0, number, 2_000))
            ),
        )

        loaded = await store.load(P, V, [*reversed(names), "not there"])

        assert loaded.values == [*(name.encode() for name in reversed(names)), None]

    @pytest.mark.parametrize("name", ["\0", "ключ", '"', "\\", "\U0010ffff", "a\u2028b", "{}"])
    async def test_keys_and_members_may_be_any_text(self, store: Store, name: str) -> None:
        await self.commits(
            store, Commit(expected_seq=0, writes={name: b"1"}, index_adds=[("i", name)])
        )

        assert (await store.load(P, V, [name])).values == [b"1"]
        assert await self.members(store, Range("i", name, None, 10)) == [name]

    async def test_what_is_deleted_is_gone(self, store: Store) -> None:
        await self.commits(
            store,
            Commit(expected_seq=0, writes={"a": b"1", "b": b"1"}, index_adds=[("i", "m")]),
            Commit(
                expected_seq=0,
                deletes=["a", "never there"],
                index_removes=[("i", "m"), ("i", "never there"), ("j", "m")],
            ),
        )

        assert await dumped(store, P, V) == {"key/b": b"1"}
        assert await self.members(store, Range("i")) == []

    async def test_what_is_both_removed_and_added_is_there(self, store: Store) -> None:
        await self.commits(
            store,
            Commit(expected_seq=0, writes={"a": b"1"}, index_adds=[("i", "m")]),
            Commit(
                expected_seq=0,
                writes={"a": b"2"},
                deletes=["a"],
                index_adds=[("i", "m"), ("i", "m")],
                index_removes=[("i", "m")],
            ),
        )

        assert await dumped(store, P, V) == {"key/a": b"2", "index/i/m": b""}

    async def test_partitions_and_versions_are_apart_but_the_epoch_is_one(
        self, store: Store
    ) -> None:
        epoch = await self.commits(
            store,
            Commit(expected_seq=0, writes={"a": b"1"}, index_adds=[("i", "m")], outbox=[b"o"]),
        )

        other_version = await store.take_over(P, V + 1)
        other_partition = await store.take_over(P + 1, V)

        assert (other_version.seq, other_version.fields, other_version.outbox) == (0, {}, 0)
        assert (other_partition.seq, other_partition.outbox) == (0, 0)
        assert await dumped(store, P, V + 1) == await dumped(store, P + 1, V) == {}
        assert await store.commit(P, V, epoch, Commit(expected_seq=1)) == Fenced(
            other_version.epoch
        )
        assert (await store.standing(P, V)).epoch == other_version.epoch

    async def test_clearing_takes_one_version_and_keeps_the_epoch(self, store: Store) -> None:
        full = Commit(
            expected_seq=0,
            fields={"f": b"1"},
            writes={"a": b"1"},
            index_adds=[("i", "m"), ("j", "m")],
            outbox=[b"o"],
        )
        epoch = await self.commits(store, full)
        assert await store.commit(P, V + 1, epoch, full) == Committed(1)

        assert await store.clear(P, V, epoch) == Committed(0)

        standing = await store.standing(P, V)
        assert (standing.epoch, standing.seq, standing.fields) == (epoch, 0, {})
        assert await dumped(store, P, V) == {}
        assert (await store.outbox(P, V, 10)).entries == []
        assert await self.members(store, Range("i")) == []
        assert len(await dumped(store, P, V + 1)) == 3
        assert await store.commit(P, V, epoch, full) == Committed(1)

    async def test_two_ways_to_the_same_state_dump_the_same(self, store: Store) -> None:
        epoch = await self.commits(
            store,
            Commit(expected_seq=0, writes={"a": b"1", "b": b"1"}, index_adds=[("i", "x")]),
            Commit(expected_seq=0, writes={"a": b"2"}, deletes=["b"], index_removes=[("i", "x")]),
            Commit(expected_seq=0, index_adds=[("i", "y")], outbox=[b"o"]),
        )
        straight = Commit(expected_seq=0, writes={"a": b"2"}, index_adds=[("i", "y")])
        assert await store.commit(P, V + 1, epoch, straight) == Committed(1)

        assert await dumped(store, P, V) == await dumped(store, P, V + 1)
        assert await dumped(store, P, V) == {"key/a": b"2", "index/i/y": b""}

    async def test_a_commit_may_be_as_big_as_the_limits(self, store: Store) -> None:
        half = WRITES_MAX // 2
        value = bytes(1_000)
        epoch = await self.commits(
            store,
            Commit(
                expected_seq=0,
                writes={f"k{n}": value for n in range(half)},
                index_adds=[("i", f"{n:05}") for n in range(half)],
                outbox=[bytes(1_200)] * 500,
            ),
            Commit(
                expected_seq=0,
                deletes=[f"k{n}" for n in range(half)],
                index_removes=[("i", f"{n:05}") for n in range(1, half + 1)],
            ),
            Commit(expected_seq=0, outbox=[bytes(COMMIT_BYTES_MAX)]),
        )

        assert await dumped(store, P, V) == {"index/i/00000": b""}
        assert (await store.standing(P, V)).outbox == 501
        assert (await store.standing(P, V)).epoch == epoch

    @pytest.mark.parametrize(
        "commit",
        [
            pytest.param(
                Commit(expected_seq=0, writes={f"k{n}": b"" for n in range(WRITES_MAX + 1)}),
                id="writes",
            ),
            pytest.param(
                Commit(
                    expected_seq=0,
                    writes={"a": b""},
                    deletes=["b"],
                    index_adds=[("i", str(n)) for n in range(WRITES_MAX - 2)],
                    index_removes=[("i", "m")],
                ),
                id="changes of every kind",
            ),
            pytest.param(
                Commit(expected_seq=0, writes={"a": bytes(COMMIT_BYTES_MAX)}), id="bytes of a value"
            ),
            pytest.param(
                Commit(expected_seq=0, outbox=[bytes(COMMIT_BYTES_MAX), b"1"]),
                id="bytes of the outbox",
            ),
        ],
    )
    async def test_nothing_is_written_of_a_commit_above_the_limits(
        self, store: Store, commit: Commit
    ) -> None:
        epoch = await self.commits(store)

        with pytest.raises(ValueError, match="above"):
            await store.commit(P, V, epoch, commit)

        assert (await store.standing(P, V)).seq == 0
        assert (await store.standing(P, V)).outbox == 0
        assert await dumped(store, P, V) == {}

    async def test_an_owner_is_behind_after_a_wipe_and_no_epoch_comes_back(
        self, store: Store
    ) -> None:
        old = await self.commits(store, Commit(expected_seq=0, writes={"a": b"1"}))

        await self.wipe()

        assert await store.commit(P, V, old, Commit(expected_seq=0)) == Behind(0)
        assert await store.clear(P, V, old) == Behind(0)
        standing = await store.take_over(P, V)
        assert standing.seq == 0
        assert standing.epoch > old
        assert await store.commit(P, V, old, Commit(expected_seq=0)) == Fenced(standing.epoch)

    async def test_big_state_is_dumped_in_full(self, store: Store) -> None:
        thousands = [
            Commit(
                expected_seq=0,
                writes={f"k{n}": str(n).encode() for n in range(first, first + 1_000)},
                index_adds=[("i", f"m{n}") for n in range(first, first + 1_000)],
            )
            for first in range(0, 3_000, 1_000)
        ]
        await self.commits(store, *thousands)

        expected = {f"key/k{n}": str(n).encode() for n in range(3_000)}
        expected |= {f"index/i/m{n}": b"" for n in range(3_000)}
        assert await dumped(store, P, V) == expected
