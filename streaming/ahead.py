"""What is asked of the store ahead, so that one round trip serves many decisions.

Before records are decided, what they name is loaded for all of them. Where a decision lacks
something all the same, what comes after it is rehearsed, and what that lacks is loaded along.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

from contracts.decisions import Decision
from contracts.envelope import EventData
from streaming.decoding import Decoded
from streaming.due import DAY, DEADLINE_RANK, DUE, DueCause, Queue
from streaming.natural_keys import known_key
from streaming.parking import READY
from streaming.partition import Own, Partition
from streaming.reading import Kind, Read
from streaming.service import (
    DueHandler,
    Later,
    NotToday,
    Patience,
    Reaction,
    Refuse,
    Wait,
    WaitForDay,
)
from streaming.store import Range
from streaming.view import Missing, View

WORK_AHEAD_MAX = 200
"""So many pieces of work that waits are asked at once what they lack: about a batch of them."""


class Ahead:
    """What a partition will ask for next."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._service = partition.service
        self._memory = partition.memory
        self._changes = self._memory.batch
        self._rehearsed: set[tuple[str, str]] = set()
        """Work that lacks nothing, as far as is known: index and member."""

    # --- what is named beforehand ----------------------------------------------------------

    def prefetch(self, reads: Iterable[Read]) -> list[str]:
        """Return the keys these records will surely ask for and that are not in memory."""
        wanted = dict.fromkeys((DAY, DUE))
        for read, decoded, _ in self._reacting(reads):
            payer = decoded.envelope.partitionkey or ""
            if read.listened.kind is not Kind.JOURNAL:
                wanted[known_key(payer, read.natural_key)] = None
            wanted |= self._aggregates(payer, decoded.event)
        return [key for key in wanted if not self._memory.knows(key)]

    def prefetch_next(self, reads: Iterable[Read]) -> list[str]:
        """Return the keys to which leads what `prefetch` named, and that are not in memory."""
        names = self._memory.codec.names
        wanted: dict[str, None] = {}
        for _, decoded, reaction in self._reacting(reads):
            if reaction.prefetch_next is None:
                continue
            payer = decoded.envelope.partitionkey or ""
            view = View(self._memory, payer=payer, day=decoded.envelope.day)
            with suppress(Missing):
                for kind, id_ in reaction.prefetch_next(decoded.event, view):
                    wanted[f"{names[kind]}/{payer}/{id_}"] = None
        return [key for key in wanted if not self._memory.knows(key)]

    def prefetch_own(self, owns: Iterable[Own]) -> list[str]:
        """Return the keys that records of the own journal, folded, will ask for; as `prefetch`."""
        wanted = dict.fromkeys((DAY, DUE))
        for own in owns:
            if own.event is None:
                continue
            payer = own.envelope.get("partitionkey") or ""
            key = own.envelope["data"]["input"]["natural_key"]
            if own.event.natural_key:
                wanted[known_key(payer, key)] = None
            wanted |= self._aggregates(payer, own.event)
        return [key for key in wanted if not self._memory.knows(key)]

    def _reacting(self, reads: Iterable[Read]) -> Iterator[tuple[Read, Decoded, Reaction]]:
        """Yield those records about which something will be done here."""
        for read in reads:
            if read.decoded is not None and read.misplaced is None:
                reaction = self._service.reactions.get(read.decoded.envelope.type)
                if reaction is not None:
                    yield read, read.decoded, reaction

    def _aggregates(self, payer: str, event: EventData) -> dict[str, None]:
        """Return the keys of the aggregates a decision about an event surely looks at."""
        reaction = self._service.reactions.get(event.type)
        if reaction is None or reaction.prefetch is None:
            return {}
        names = self._memory.codec.names
        return {f"{names[kind]}/{payer}/{id_}": None for kind, id_ in reaction.prefetch(event)}

    # --- what is rehearsed -----------------------------------------------------------------

    def missing(self, reads: Iterable[Read]) -> list[Missing]:
        """Return what the next pieces of work, and then records, lack; as far as can be told.

        Thousands fall due on one day: asked for one by one, each would cost a few round trips.
        They are rehearsed on what is in memory, and nothing of it stays; decisions are pure.
        """
        if self._changes is not self._memory.batch:
            # What is kept in memory of ranges and numbers goes with the batch.
            self._changes = self._memory.batch
            self._rehearsed = set()
        lacking = []
        with suppress(Missing):
            for piece, rehearse in islice(self._next(reads), WORK_AHEAD_MAX):
                if piece not in self._rehearsed:
                    lacking.append(self._lacking(piece, rehearse))
        return [missing for missing in lacking if missing is not None]

    def _next(
        self, reads: Iterable[Read]
    ) -> Iterator[tuple[tuple[str, str], Callable[[], object]]]:
        """Yield what is decided next, and how it is rehearsed."""
        woken, applying = self._partition.woken, self._partition.applying
        if applying.maybe_ready:
            for member in self._memory.range(Range(READY)):
                _, topic, offset = member.split("|")
                yield (READY, member), partial(woken, topic, int(offset), given_up=False)
        due = applying.due
        for queue in applying.queues:
            for member in queue.pending:
                rehearse: Callable[[], object]
                if queue.handler is not None:
                    rehearse = partial(self._rehearse_due, queue, queue.handler, member, due)
                else:
                    _, _, topic, offset = member.split("|")
                    given_up = queue.rank == DEADLINE_RANK
                    rehearse = partial(woken, topic, int(offset), given_up=given_up)
                yield (queue.index, member), rehearse
        for read, decoded, reaction in self._reacting(reads):
            here = (read.record.topic, str(read.record.offset))
            yield here, partial(self._rehearse_read, read, decoded, reaction)

    def _lacking(self, piece: tuple[str, str], rehearse: Callable[[], object]) -> Missing | None:
        try:
            rehearse()
        except Missing as missing:
            return missing
        except Exception:  # noqa: BLE001, S110 - it fails when its turn comes, and is told then
            pass
        finally:
            self._memory.discard()
        self._rehearsed.add(piece)
        return None

    def _rehearse_due(
        self, queue: Queue, handler: DueHandler, member: str, due: DueCause | None
    ) -> None:
        outcome, because = self._partition.said_due(queue, handler, member, due)
        if not isinstance(outcome, Later | NotToday | Patience):
            self._partition.concluding.rehearse_due(member, outcome, because)

    def _rehearse_read(self, read: Read, decoded: Decoded, reaction: Reaction) -> None:
        arrived, said, today = self._partition.said(read, decoded, reaction)
        if said and not isinstance(said, Decision | Refuse | Wait | WaitForDay):
            self._partition.concluding.rehearse(arrived, said, today)
