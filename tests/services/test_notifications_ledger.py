"""The delivery ledger: for each debit what was due about it, and what became of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from pfdo.deliveries import Debit, ledger, totals
from services.notifications.senders.delivery import NotNow, OutOfReach, Rejected
from services.notifications.senders.schedule import PAUSE_MIN
from tests.support.post import Post, open_post
from tests.support.town import fact, lesson, open_town, preferences
from tests.support.world import day


def made(post: Post) -> dict[str, Debit]:
    """Return the debits of a town by their lesson."""
    world = post.town.world
    billing = world.records("billing.events.v1")
    lessons = {one["id"]: str(one["data"].get("lesson_id")) for one in billing}
    debits = ledger(billing, world.journal("notifications"))
    return {lessons[debit.event_id]: debit for debit in debits}


def told(debit: Debit) -> list[tuple[str, str]]:
    return [(delivery.channel, delivery.state) for delivery in debit.told]


async def test_what_was_sent_is_told_with_channel_and_time() -> None:
    post = await open_post(lessons=1)
    await post.runs()

    (debit,) = made(post).values()

    assert debit.state == "told"
    assert told(debit) == [("cabinet", "shown"), ("sms", "sent"), ("email", "sent")]
    assert debit.told[2].at == post.now.isoformat()
    assert (debit.told[2].attempts, debit.told[2].detail) == (1, "box")
    assert totals([debit])["told"] == 1


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        pytest.param(None, "told", id="sent"),
        pytest.param(Rejected("smtp: 550"), "failed", id="refused for good"),
        pytest.param(NotNow("smtp: 451"), "due", id="refused for now"),
    ],
)
async def test_states(answer: Any, state: str) -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.always = answer
    await post.runs()

    (debit,) = made(post).values()

    assert debit.state == state


async def test_what_may_have_come_twice_is_counted() -> None:
    post = await open_post(lessons=2, channels=("email",))
    post.box.answers = [OutOfReach("cut", is_doubtful=True)]
    for _ in range(3):
        await post.runs()
        post.passes(seconds=PAUSE_MIN.total_seconds() * 2)

    counted = totals(made(post).values())

    assert counted["told"] == counted["debits"] == 2
    assert counted["perhaps_twice"] == 1


async def test_gathered_unwanted_and_told_to_nobody() -> None:
    town = await open_town()
    await town.hears(preferences({"debit": ["email"]}, digest=True))
    post = Post(town)
    await town.hears(lesson(1, 20))
    gathered = made(post)["les-00001"].state
    await town.hears(day("2020-09-03"))
    post.passes(days=1)
    await post.runs()
    await town.hears(preferences({"debit": []}, revision=2))
    await town.hears(lesson(2, 19, on="2020-09-03"))
    # Its guardians are not known yet: it waits, and is told to nobody so far.
    await town.hears(lesson(3, 18, on="2020-09-03", child_id="child-99999"))

    debits = made(post)

    assert gathered == "gathered"
    assert debits["les-00001"].state == "told"
    assert told(debits["les-00001"]) == [("email", "sent")]
    assert debits["les-00002"].untold == [("guard-00001", "unwanted")]
    assert debits["les-00002"].state == "unwanted"
    assert debits["les-00003"].state == "nobody"


async def test_only_debits_are_listed() -> None:
    post = await open_post(lessons=1)
    await post.town.hears(
        fact("billing.invoice-issued"),
        fact("billing.account-opened"),
        fact("billing.month-adjusted", amount_kopecks=0),
    )

    types: Mapping[str, Debit] = made(post)

    assert {debit.type for debit in types.values()} == {"lesson-charged"}
