"""Questions asked in the same moment: their answers, errors, and who stops waiting."""

import asyncio
import gc
from typing import Any

import pytest

from services.cabinet.together import together


class Store:
    """Answers all that was asked up to a moment at once, as the store does."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []
        self._asked: list[tuple[str, asyncio.Future[str]]] = []

    async def ask(self, question: str) -> str:
        """Return the answer of the next trip."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        self._asked.append((question, future))
        if len(self._asked) == 1:
            loop.call_soon(self._travel)
        return await future

    def _travel(self) -> None:
        asked, self._asked = self._asked, []
        self.trips.append([question for question, _ in asked])
        for question, future in asked:
            if future.done():
                continue
            if question.startswith("bad"):
                future.set_exception(ValueError(question))
            else:
                future.set_result(question.upper())


async def test_what_is_asked_within_what_is_asked_shares_its_trips() -> None:
    store = Store()

    async def chain(name: str, steps: int) -> list[str]:
        return [await store.ask(f"{name}{step}") for step in range(steps)]

    async def two() -> tuple[list[str], list[str]]:
        return await together(chain("a", 1), chain("b", 2))

    async def known() -> int:
        return 7

    found = await together(two(), chain("c", 3), known())

    assert found == ((["A0"], ["B0", "B1"]), ["C0", "C1", "C2"], 7)
    assert [sorted(trip) for trip in store.trips] == [["a0", "b0", "c0"], ["b1", "c1"], ["c2"]]


async def test_nothing_asked_is_nothing_answered() -> None:
    assert await together() == ()


async def test_who_yields_to_others_goes_on() -> None:
    async def patient() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await together(patient(), patient()) == ("done", "done")


@pytest.mark.parametrize("others", [["other"], ["bad-too"]])
async def test_an_error_ends_all_and_nothing_is_left_behind(others: list[str]) -> None:
    store, ended, left = Store(), [], []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: left.append(context))

    async def ask(question: str) -> Any:
        try:
            return await store.ask(question)
        finally:
            ended.append(question)

    async def within() -> Any:
        return await together(*(ask(each) for each in others))

    with pytest.raises(ValueError, match="bad-first"):
        await together(ask("bad-first"), within())
    gc.collect()

    assert sorted(ended) == sorted(["bad-first", *others])
    assert not left


@pytest.mark.filterwarnings("error")
async def test_what_comes_after_an_error_at_once_is_not_even_begun() -> None:
    begun = []

    async def fail() -> None:
        raise ValueError("at once")

    async def begin() -> None:
        begun.append(True)

    with pytest.raises(ValueError, match="at once"):
        await together(fail(), begin())
    gc.collect()

    assert not begun


async def test_who_is_cancelled_waits_for_nothing_any_more() -> None:
    ended = []
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    also: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(name: str, future: asyncio.Future[None]) -> None:
        try:
            await future
        finally:
            ended.append(name)

    asking = asyncio.create_task(together(wait("first", never), wait("second", also)))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert sorted(ended) == ["first", "second"]
    assert never.cancelled()
    assert also.cancelled()
