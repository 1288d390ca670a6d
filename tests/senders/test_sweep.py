"""What got stuck is found by the sweep, and what is late is shown."""

import asyncio

from services.notifications.senders.delivery import NoAddressesNow
from services.notifications.senders.sender import DOUBT, OVERDUE_AFTER, SWEEP_SECONDS, Sender
from tests.support.post import Post, open_post


def sweep_is_due(sender: Sender) -> None:
    sender._swept_at = -SWEEP_SECONDS


def overdue(post: Post) -> float | None:
    return post.telemetry.registry.get_sample_value(
        "pfdo_overdue_messages", {"channel": "email", "partition": "0"}
    )


async def test_what_has_begun_and_is_nobodys_is_taken_up_again_by_the_same_owner() -> None:
    post = await open_post(lessons=1, channels=("email",))
    post.box.gate = asyncio.Event()
    sender = await post.sender()
    while not post.attempts.tasks:
        await sender.step()
    await asyncio.sleep(0)
    post.dies()
    # The attempt ends where nobody looks any more.
    await asyncio.sleep(0.01)
    sender._attempts = post.attempts
    post.box.gate = None

    await post.works(sender)
    stuck = len(post.box.got)
    sweep_is_due(sender)
    await post.works(sender)
    await post.town.world.settle()

    assert (stuck, len(post.box.got)) == (1, 2)
    assert post.details() == [f"box; {DOUBT}"]
    assert post.became() == post.outward()


async def test_what_waits_past_its_time_is_shown_until_it_is_gone() -> None:
    post = await open_post(lessons=3, channels=("email",))
    post.box.always = NoAddressesNow()
    sender = await post.sender()
    shown = []
    for seconds in (0.0, OVERDUE_AFTER.total_seconds() + 60):
        post.passes(seconds=seconds)
        sweep_is_due(sender)
        await sender.step()
        shown.append(overdue(post))
        for _ in range(20):
            await sender.step()
            await asyncio.sleep(0)
    post.box.always = None
    post.passes(hours=1)
    await post.works(sender)
    sweep_is_due(sender)
    await post.works(sender)
    shown.append(overdue(post))

    assert shown[1] == 3
    assert shown[2] == 0


async def test_what_is_overdue_is_not_shown_any_more_by_who_gave_it_away() -> None:
    post = await open_post(lessons=2, channels=("email",))
    post.box.always = NoAddressesNow()
    sender = await post.sender()
    await post.works(sender)
    post.passes(seconds=OVERDUE_AFTER.total_seconds() + 60)
    sweep_is_due(sender)
    await sender.step()
    before = overdue(post)

    await sender.close()

    assert before == 2
    assert overdue(post) == 0
