"""What comes after a decision that lacks something is rehearsed, and no trace of it is left."""

from dataclasses import replace

import pytest

from contracts.payers import CertificateFreezeSet
from streaming.ahead import Ahead
from streaming.service import Outcome
from streaming.view import View
from tests.streaming.test_processor import (
    NAME,
    P,
    check_journal,
    child,
    folded,
    home,
    request,
    told,
)
from tests.support.mini_service import Child, mini_service
from tests.support.world import World, day

CHILDREN = 40


async def lived() -> World:
    """Return a world in which every owner began with an empty memory, and much was done at once."""
    world = World([mini_service()])
    children = range(CHILDREN)
    stories = [
        [day("2020-08-30"), *(request(n) for n in children if n % 3 == 0)],
        [*(child(n) for n in children), *(request(n, 2) for n in children)],
        # The first lacks one thing after another: meanwhile the others are rehearsed to their end.
        [child("child-new"), *(request(n, 3) for n in children), *(request(n) for n in children)],
        [day("2020-09-02"), *(request(n, 4) for n in children)],
    ]
    for story in stories:
        await world.publish(*story)
        await world.settle()
        world.kill(NAME, home(world))
    return world


def journal_of(world: World) -> list[bytes | None]:
    return [record.value for record in world.log.log(f"{NAME}.events.v1", home(world)).records]


async def test_what_is_decided_is_the_same_to_the_byte_without_rehearsals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    missing = Ahead.missing

    def counted(self: Ahead, reads: object) -> object:
        nonlocal asked
        found = missing(self, reads)  # type: ignore[arg-type]
        asked += len(found)
        return found

    monkeypatch.setattr(Ahead, "missing", counted)
    rehearsed = await lived()
    monkeypatch.setattr(Ahead, "missing", lambda self, reads: [])
    plain = await lived()

    assert asked > CHILDREN
    assert journal_of(rehearsed) == journal_of(plain)
    assert await rehearsed.state(NAME) == await plain.state(NAME)
    check_journal(rehearsed)
    await folded(rehearsed)


async def test_a_decision_that_fails_only_when_it_is_rehearsed_does_no_harm() -> None:
    service = mini_service()
    reaction = service.reactions[CertificateFreezeSet.type]
    failed = 0

    def strict(event: CertificateFreezeSet, view: View) -> Outcome:
        nonlocal failed
        view.find(Child, "another")
        if view.find(Child, event.child_id) is None:
            failed += 1
            raise LookupError(event.child_id)
        return reaction.handler(event, view)

    service.reactions[CertificateFreezeSet.type] = replace(reaction, handler=strict)
    world = World([service])
    await world.publish(day("2020-08-30"))
    await world.settle()

    await world.publish(child(1), child(2), request(1), request(2))
    await world.settle()

    # As it is rehearsed, the child is not there yet.
    assert failed
    assert told(world)[-2:] == ["certificate-refused Ответ 1"] * 2
    assert (await world.state(NAME))[home(world)][f"key/child/{P}/child-1"]
    await folded(world)
