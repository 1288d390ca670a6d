"""Work that falls due by day: the business day, why work is done now, and what waits for it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from msgspec import Struct

from streaming.parking import DEADLINE, FOREIGN_DAY, OWN_DAY
from streaming.service import DueHandler, DueWork

DUE_LOADED_MAX = 20_000
"""Of one kind of due work, how much is sorted at a time; more than that falls due in turns."""
DUE_PORTIONS_MAX = 10_000
"""How often one piece of due work may come back for its next portion; more is a defect."""

DAY = "_day/"
DUE = "_due/day"

OWN_DAY_RANK, DEADLINE_RANK, FOREIGN_DAY_RANK = 0, 1, 9


class Day(Struct, frozen=True, kw_only=True):
    """The business day of the partition."""

    date: date


class DueCause(Struct, frozen=True, kw_only=True):
    """The record because of which due work is done now, and the day it is done on."""

    day: date
    topic: str
    offset: int
    time: str
    traceparent: str | None
    input: dict[str, Any]


class Queue:
    """One kind of due work: what is known to be due, in order, and whether there may be more.

    `bound` is the member before which all is due on a day; without it everything is due at once,
    each item because of a record of its own. Without a `handler` the members are parked inputs.
    """

    def __init__(
        self,
        index: str,
        rank: int,
        bound: Callable[[date], str] | None,
        order: Callable[[str], tuple[str, ...]],
        handler: DueHandler | None = None,
    ) -> None:
        self.index = index
        self.rank = rank
        self.bound = bound
        self.order = order
        self.handler = handler
        self.pending: dict[str, None] = {}
        self.held: dict[str, None] = {}
        """What was due and asked for patience."""
        self.not_today: dict[str, None] = {}
        """What was due and is to be asked for on the next day: until then, all that is too early
        (some 200 bytes each)."""
        self.start = ""
        """The member from which on there may be more."""
        self.maybe_more = True

    def look_again(self) -> None:
        """Let the index be read from its beginning: something may stand there that is due."""
        self.start, self.maybe_more = "", True

    def take(self, members: list[str]) -> None:
        """Take what was read from `start` on as pending, but for what was asked already."""
        waiting = [one for one in members if one not in self.held and one not in self.not_today]
        self.pending = dict.fromkeys(sorted(waiting, key=self.order))
        if not waiting:
            self.maybe_more = len(members) == DUE_LOADED_MAX
            self.start = f"{members[-1]}\0" if members else self.start


class Queues:
    """All kinds of due work of a partition, in the order of a business day (docs/rules.md)."""

    def __init__(self, due_work: Mapping[str, DueWork]) -> None:
        own = Queue(OWN_DAY, OWN_DAY_RANK, _up_to, _by_arrival)
        deadline = Queue(DEADLINE, DEADLINE_RANK, _before, _by_arrival)
        foreign = Queue(FOREIGN_DAY, FOREIGN_DAY_RANK, _up_to, _by_arrival)
        services = [
            Queue(index, work.rank, bound, _by_payer_and_ref, work.handler)
            for work in due_work.values()
            for index, bound in ((due_index(work.name), _up_to), (now_index(work.name), None))
        ]
        everything = [own, deadline, foreign, *services]
        self._in_order = sorted(everything, key=lambda queue: (queue.rank, queue.index))
        self._by_index = {queue.index: queue for queue in everything}
        self.indexes = self._by_index.keys()

    def __iter__(self) -> Iterator[Queue]:
        return iter(self._in_order)

    def changed(self, members: Mapping[str, Mapping[str, bool]], due: DueCause | None) -> None:
        """Take note of what a decision added to the indexes and removed from them."""
        for index, changes in members.items():
            queue = self._by_index.get(index)
            if queue is None:
                continue
            for member, is_there in changes.items():
                if not is_there:
                    queue.pending.pop(member, None)
                    queue.held.pop(member, None)
                    queue.not_today.pop(member, None)
                elif queue.bound is None or (due is not None and member < queue.bound(due.day)):
                    queue.look_again()

    @property
    def is_holding(self) -> bool:
        """Return whether any due work asked for patience."""
        return any(queue.held for queue in self._in_order)

    def ask_again(self) -> None:
        """Let due work that asked for patience be looked at again."""
        for queue in self._in_order:
            if queue.held:
                # Read anew: what came meanwhile may stand before what was held.
                queue.pending, queue.held = {}, {}
                queue.look_again()

    def day_opened(self) -> None:
        """Take note that anything may be due now."""
        for queue in self._in_order:
            queue.not_today = {}
            queue.look_again()


def due_index(name: str) -> str:
    """Return the index of a kind of due work; its members are `day|payer|ref`."""
    return f"_due-{name}"


def now_index(name: str) -> str:
    """Return the index of due work that fell due when it was put off."""
    return f"_now-{name}"


def because_key(index: str, member: str) -> str:
    """Return where it is kept because of which record an item fell due at once."""
    return f"_due/{index}|{member}"


def _up_to(day: date) -> str:
    return f"{day}|~"


def _before(day: date) -> str:
    return f"{day}|"


def _by_arrival(member: str) -> tuple[str, ...]:
    return (member.split("|")[1],)


def _by_payer_and_ref(member: str) -> tuple[str, ...]:
    return tuple(member.split("|", 2)[1:])
