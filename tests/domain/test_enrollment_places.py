"""Places: one row per situation; then an auditor counts the seats and the queue again."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.vocabulary import EnrollmentId, PlaceAnswer, ProviderId, ProviderState
from services.enrollment.domain import places
from services.enrollment.domain.commands import PlaceAnswered, PlaceRequested, To
from services.enrollment.domain.facts import GroupChanged
from services.enrollment.domain.places import Group, Place, Provider, Standing, Step
from tests.domain.enrollment_samples import CHESS, PAYER, TERMS

ACTIVE = Provider(provider_id=ProviderId("prov-rook"), state=ProviderState.ACTIVE)
SUSPENDED = replace(ACTIVE, state=ProviderState.SUSPENDED)
GROUP = Group(terms=TERMS, capacity=2, enrollment_open=True)


def asked(enrollment_id: EnrollmentId = CHESS, waitlist_ok: bool = False) -> PlaceRequested:
    return PlaceRequested(
        enrollment_id=enrollment_id,
        child_payer=PAYER,
        group_id=TERMS.group_id,
        waitlist_ok=waitlist_ok,
    )


def place(standing: Standing, enrollment_id: EnrollmentId = CHESS, ticket: int = 1) -> Place:
    return Place(
        enrollment_id=enrollment_id,
        child_payer=PAYER,
        group_id=TERMS.group_id,
        standing=standing,
        ticket=ticket,
    )


def answer(**said: Any) -> To:
    return To(PAYER, PlaceAnswered(enrollment_id=CHESS, **said))


def changed(capacity: int, taken: int, waiting: int) -> GroupChanged:
    return GroupChanged(group_id=TERMS.group_id, capacity=capacity, taken=taken, waiting=waiting)


@pytest.mark.parametrize(
    ("group", "provider", "known", "waits", "expected"),
    [
        pytest.param(None, None, None, True, "group_closed", id="a group nobody ever published"),
        pytest.param(GROUP, None, None, True, "provider_suspended", id="an unknown provider"),
        pytest.param(GROUP, SUSPENDED, None, True, "provider_suspended", id="a suspended one"),
        pytest.param(
            replace(GROUP, enrollment_open=False), ACTIVE, None, True, "group_closed", id="closed"
        ),
        pytest.param(
            replace(GROUP, enrollment_open=False),
            SUSPENDED,
            None,
            True,
            "provider_suspended",
            id="closed and suspended",
        ),
        pytest.param(replace(GROUP, taken=2), ACTIVE, None, False, "group_full", id="full"),
        pytest.param(replace(GROUP, taken=3), ACTIVE, None, False, "group_full", id="overfull"),
        pytest.param(replace(GROUP, capacity=0), ACTIVE, None, False, "group_full", id="no place"),
        pytest.param(
            GROUP, ACTIVE, place(Standing.TAKEN), True, "already_enrolled", id="an id that is taken"
        ),
    ],
)
def test_a_place_is_refused(
    group: Group | None, provider: Provider | None, known: Place | None, waits: bool, expected: str
) -> None:
    effects = places.request(group, provider, known, asked(waitlist_ok=waits))

    assert effects == (answer(answer=PlaceAnswer.REFUSED, reason=expected),)


def test_the_last_place_is_held() -> None:
    effects = places.request(replace(GROUP, taken=1), ACTIVE, None, asked())

    assert effects == (changed(2, 2, 0), answer(answer=PlaceAnswer.HELD, terms=TERMS))


def test_after_the_last_place_one_may_wait() -> None:
    effects = places.request(replace(GROUP, taken=2, waiting=4), ACTIVE, None, asked(CHESS, True))

    assert effects == (changed(2, 2, 5), answer(answer=PlaceAnswer.WAITLISTED, position=5))


def test_a_returned_place_goes_to_the_first_who_waits() -> None:
    group = replace(GROUP, taken=2, waiting=2)
    gone = place(Standing.TAKEN, EnrollmentId("enr-gone"))

    effects = places.give_back(group, ACTIVE, gone, place(Standing.WAITING))

    assert effects == (
        changed(2, 1, 2),
        changed(2, 2, 1),
        answer(answer=PlaceAnswer.HELD, terms=TERMS),
    )


@pytest.mark.parametrize(
    ("group", "provider"),
    [
        pytest.param(replace(GROUP, taken=2, waiting=1), SUSPENDED, id="the provider is suspended"),
        pytest.param(
            replace(GROUP, taken=2, waiting=1, enrollment_open=False), ACTIVE, id="closed"
        ),
        pytest.param(
            replace(GROUP, taken=3, waiting=1), ACTIVE, id="the capacity was lowered meanwhile"
        ),
    ],
)
def test_a_returned_place_is_kept_where_nobody_may_be_served(
    group: Group, provider: Provider
) -> None:
    gone = place(Standing.TAKEN, EnrollmentId("enr-gone"))

    effects = places.give_back(group, provider, gone, place(Standing.WAITING))

    assert effects == (changed(2, group.taken - 1, 1),)


def test_a_returned_turn_shortens_the_waiting_list() -> None:
    group = replace(GROUP, taken=2, waiting=2)
    other = place(Standing.WAITING, EnrollmentId("enr-other"), 2)

    assert places.give_back(group, ACTIVE, place(Standing.WAITING), other) == (changed(2, 2, 1),)


@pytest.mark.parametrize(
    ("known", "capacity", "expected"),
    [
        pytest.param(None, 2, (changed(2, 0, 0),), id="a new group"),
        pytest.param(replace(GROUP, taken=2, waiting=1), 2, (), id="as many places as before"),
        pytest.param(replace(GROUP, taken=2, waiting=1), 3, (changed(3, 2, 1),), id="one more"),
        pytest.param(replace(GROUP, taken=2), 1, (changed(1, 2, 0),), id="fewer take none away"),
    ],
)
def test_a_revision_says_how_many_places_there_are(
    known: Group | None, capacity: int, expected: tuple[GroupChanged, ...]
) -> None:
    new = places.revised(known, replace(GROUP, capacity=capacity))

    assert places.publish(known, new) == expected


@pytest.mark.parametrize(
    ("taken", "waiting", "expected"),
    [
        (2, 2, Step.CAPACITY),
        (3, 2, Step.TOOK),
        (2, 3, Step.JOINED),
        (1, 2, Step.GAVE_BACK),
        (2, 1, Step.LEFT),
        (3, 1, Step.MOVED_UP),
    ],
)
def test_the_numbers_tell_the_step(taken: int, waiting: int, expected: Step) -> None:
    known = replace(GROUP, capacity=9, taken=2, waiting=2)

    assert places.step(known, changed(9, taken, waiting)) is expected


# --- the auditor -------------------------------------------------------------------------------


@dataclass
class Desk:
    """A group run by the decisions, and the same group counted by hand beside it."""

    group: Group = field(default=replace(GROUP, capacity=0))
    provider: Provider = ACTIVE
    line: list[Place] = field(default_factory=list)
    seated: dict[EnrollmentId, Place] = field(default_factory=dict)
    # By hand, from the answers alone:
    holds: list[EnrollmentId] = field(default_factory=list)
    queue: list[EnrollmentId] = field(default_factory=list)

    def take(self, effects: tuple[Any, ...], about: Place | None) -> None:
        for effect in effects:
            if isinstance(effect, GroupChanged):
                self._step(effect, about)
            elif effect.command.answer is PlaceAnswer.HELD:
                self.holds.append(effect.command.enrollment_id)
                if effect.command.enrollment_id in self.queue:
                    assert self.queue.pop(0) == effect.command.enrollment_id
            elif effect.command.answer is PlaceAnswer.WAITLISTED:
                self.queue.append(effect.command.enrollment_id)
                assert effect.command.position == len(self.queue)

    def _step(self, fact: GroupChanged, about: Place | None) -> None:
        match places.step(self.group, fact):
            case Step.TOOK:
                assert about is not None
                self.seated[about.enrollment_id] = replace(about, standing=Standing.TAKEN)
            case Step.JOINED:
                assert about is not None
                self.line.append(replace(about, standing=Standing.WAITING))
            case Step.GAVE_BACK:
                assert about is not None
                del self.seated[about.enrollment_id]
            case Step.LEFT:
                assert about is not None
                self.line = [one for one in self.line if one.enrollment_id != about.enrollment_id]
            case Step.MOVED_UP:
                first = self.line.pop(0)
                self.seated[first.enrollment_id] = places.moved_up(first)
            case Step.CAPACITY:
                pass
        self.group = places.evolve(self.group, fact)

    def find(self, enrollment_id: EnrollmentId) -> Place | None:
        waiting = [one for one in self.line if one.enrollment_id == enrollment_id]
        return self.seated.get(enrollment_id) or (waiting[0] if waiting else None)


NAMES = st.integers(0, 9).map(lambda number: EnrollmentId(f"enr-{number}"))
MOVES = st.one_of(
    st.tuples(st.just("ask"), NAMES, st.booleans()),
    st.tuples(st.just("return"), NAMES, st.none()),
    st.tuples(st.just("capacity"), st.integers(0, 4), st.booleans()),
    st.tuples(st.just("provider"), st.sampled_from(ProviderState), st.none()),
)


@given(st.lists(MOVES, max_size=40))
def test_places_agree_with_who_was_answered_what(moves: list[tuple[str, Any, Any]]) -> None:
    desk, highest = Desk(), 0
    for what, value, flag in moves:
        match what:
            case "ask":
                effects = places.request(
                    desk.group, desk.provider, desk.find(value), asked(value, flag)
                )
                desk.take(effects, place(Standing.TAKEN, value))
            case "return" if (known := desk.find(value)) is not None:
                if value in desk.holds:
                    desk.holds.remove(value)
                else:
                    desk.queue.remove(value)
                first = desk.line[0] if desk.line else None
                desk.take(places.give_back(desk.group, desk.provider, known, first), known)
            case "capacity":
                new = replace(desk.group, capacity=value, enrollment_open=flag)
                facts = places.publish(desk.group, new)
                desk.group = replace(new, capacity=desk.group.capacity)
                desk.take(facts, None)
                desk.group = new
                desk.take(places.serve(desk.group, desk.provider, tuple(desk.line)), None)
            case "provider":
                desk.provider = replace(ACTIVE, state=value)
                desk.take(places.serve(desk.group, desk.provider, tuple(desk.line)), None)
            case _:
                assert what == "return", "there was nothing to return"

        highest = max(desk.group.capacity, min(highest, desk.group.taken))
        assert sorted(desk.holds) == sorted(desk.seated)
        assert desk.queue == [one.enrollment_id for one in desk.line]
        assert (desk.group.taken, desk.group.waiting) == (len(desk.holds), len(desk.queue))
        assert desk.group.taken <= highest
        servable = desk.group.enrollment_open and places.is_active(desk.provider)
        assert not (servable and desk.queue and desk.group.taken < desk.group.capacity)
