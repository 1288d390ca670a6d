"""How a service says what it does about each event: tables of handlers, no loop and no I/O.

The loop that calls them is `processor.py`. A decision reads a `View` and answers with an `Outcome`;
what it answered becomes journal records; `learns` and `evolves` alone change state, from those
records, when they are written and again whenever the journal is folded.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeAlias, TypeVar

from contracts.envelope import EventData
from streaming.view import State, View

Event = TypeVar("Event", bound=EventData)
FactType = TypeVar("FactType")


@dataclass(frozen=True, slots=True)
class Send:
    """A command to be sent to the partition of `payer`, in the same round as the facts."""

    payer: str
    command: object


@dataclass(frozen=True, slots=True)
class Refuse:
    """The input is refused for a reason of the closed list; the answer is final for its key.

    `detail` tells the sender, in English, what to look at.
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """The input came too early: decide it again right after `key` appears (`State.wake`).

    After the last day `until` it is decided once more with `view.given_up`; None waits for ever.
    """

    key: str
    until: date | None = None


@dataclass(frozen=True, slots=True)
class WaitForDay:
    """The input is about a day that has not come: decide it again when that day opens."""

    day: date


@dataclass(frozen=True, slots=True)
class Later:
    """Work that fell due is put off until `day`, a later one; that is all that happens.

    For work whose day only a rule table knows: what puts it off first may not look at rules.
    """

    day: date


@dataclass(frozen=True, slots=True)
class Patience:
    """What should come before this due work may still be on its way from another partition.

    It is asked for again after each further record, until it answers otherwise or, when nothing
    came for a while, `view.is_patient` is False: an order worth keeping must not become a wait.
    """


@dataclass(frozen=True, slots=True)
class NotToday:
    """It is too early for this due work: it is asked for again on the next business day.

    Nothing is written. For work whose day depends on rules that may be other ones tomorrow.
    """


Effects: TypeAlias = Sequence[object]
"""Facts (structs the service publishes) and `Send`s, in order. Empty: noted, nothing else."""

Outcome: TypeAlias = Effects | Refuse | Wait | WaitForDay | None
"""None: it does not concern this service; nothing is written."""

Handler: TypeAlias = Callable[[Any, View], Outcome]
DueHandler: TypeAlias = Callable[[str, View], Effects | Later | NotToday | Patience]
Prefetch: TypeAlias = Callable[[Any], Iterable[tuple[type[Any], str]]]
PrefetchNext: TypeAlias = Callable[[Any, View], Iterable[tuple[type[Any], str]]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a service does about one type of event."""

    decides: Callable[[Any], bool]
    handler: Handler
    prefetch: Prefetch | None
    prefetch_next: PrefetchNext | None


@dataclass(frozen=True, slots=True)
class DueWork:
    """Work that falls due by day. Lower ranks come first within a day."""

    name: str
    rank: int
    handler: DueHandler


@dataclass(slots=True, kw_only=True)
class Service:
    """One service: what it owns, what it listens to, what it decides.

    `state_version` is raised when the form of its state changes (the journal is folded anew).
    `kinds` names the structs its state is made of. `facts` and `commands` map the structs
    it answers with to the contracts they are published as. `calendar` is the event that opens a
    day and `opened_day` reads the day from it.
    """

    name: str
    state_version: int
    kinds: Mapping[str, type[Any]]
    facts: Mapping[type[Any], type[EventData]]
    calendar: type[EventData]
    opened_day: Callable[[Any], date]
    commands: Mapping[type[Any], type[EventData]] = field(default_factory=dict)
    reactions: dict[str, Reaction] = field(default_factory=dict)
    events: dict[str, type[EventData]] = field(default_factory=dict)
    learners: dict[str, Callable[[Any, State], None]] = field(default_factory=dict)
    evolvers: dict[type[Any], Callable[[Any, State], None]] = field(default_factory=dict)
    due_work: dict[str, DueWork] = field(default_factory=dict)

    def decides(
        self,
        event: type[Event],
        prefetch: Prefetch | None = None,
        prefetch_next: PrefetchNext | None = None,
        when: Callable[[Event], bool] | None = None,
    ) -> Callable[[Callable[[Event, View], Outcome]], Callable[[Event, View], Outcome]]:
        """Register who decides `event`: every record of it gets exactly one decision here.

        With `when`, only those for which it holds are decided here; the others are noted.
        `prefetch` names aggregates that the event tells of, `prefetch_next` those that these lead
        to: both are loaded for a whole batch at once. What they do not name is loaded when it is
        asked for, one record at a time.
        """
        return self._react(event, when or _always, prefetch, prefetch_next)

    def notes(
        self,
        event: type[Event],
        prefetch: Prefetch | None = None,
        prefetch_next: PrefetchNext | None = None,
    ) -> Callable[[Callable[[Event, View], Outcome]], Callable[[Event, View], Outcome]]:
        """Register what is done about an event that another service decides or publishes."""
        return self._react(event, never, prefetch, prefetch_next)

    def _react(
        self,
        event: type[Event],
        decides: Callable[[Any], bool],
        prefetch: Prefetch | None,
        prefetch_next: PrefetchNext | None,
    ) -> Callable[[Callable[[Event, View], Outcome]], Callable[[Event, View], Outcome]]:
        def register(handler: Callable[[Event, View], Outcome]) -> Callable[[Event, View], Outcome]:
            if event.type in self.reactions:
                raise ValueError(f"{self.name} reacts to {event.type} twice")
            self.reactions[event.type] = Reaction(decides, handler, prefetch, prefetch_next)
            self.events[event.type] = event
            return handler

        return register

    def learns(
        self, event: type[Event]
    ) -> Callable[[Callable[[Event, State], None]], Callable[[Event, State], None]]:
        """Register what state keeps of an accepted input. Runs before the facts of its decision."""

        def register(learner: Callable[[Event, State], None]) -> Callable[[Event, State], None]:
            if event.type in self.learners:
                raise ValueError(f"{self.name} learns {event.type} twice")
            self.learners[event.type] = learner
            self.events[event.type] = event
            return learner

        return register

    def evolves(
        self, fact: type[FactType]
    ) -> Callable[[Callable[[FactType, State], None]], Callable[[FactType, State], None]]:
        """Register what a fact changes. Never refuses: the fact has happened."""

        def register(
            evolver: Callable[[FactType, State], None],
        ) -> Callable[[FactType, State], None]:
            if fact in self.evolvers:
                raise ValueError(f"{self.name} evolves {fact.__name__} twice")
            self.evolvers[fact] = evolver
            return evolver

        return register

    def due(self, name: str, rank: int) -> Callable[[DueHandler], DueHandler]:
        """Register work that was put off with `State.due_on(name, …)`; `rank` 2 to 8.

        Rank 0 are inputs that waited for the day, 1 deadlines of parked inputs, 9 records of other
        services that were a day ahead. A handler that returns no effects settles the item, one that
        returns `Later` moves it.
        """

        def register(handler: DueHandler) -> DueHandler:
            if name in self.due_work or not 2 <= rank <= 8:
                raise ValueError(f"due work {name!r} of {self.name}: unique name, rank 2 to 8")
            self.due_work[name] = DueWork(name, rank, handler)
            return handler

        return register


def _always(_event: object) -> bool:
    return True


def never(_event: object) -> bool:
    """Return False: what a service only notes is decided by another one."""
    return False
