"""Questions that do not wait for each other, asked in the same moment: without a task for each.

A page asks some sixty, within one another. As tasks (`asyncio.gather`) they took more turns of the
event loop, and more CPU, than their answers took to read.
"""

from asyncio import Future
from collections.abc import Coroutine, Generator
from typing import Any, TypeAlias, TypeVar, overload

First = TypeVar("First")
Second = TypeVar("Second")
Third = TypeVar("Third")
Fourth = TypeVar("Fourth")
Fifth = TypeVar("Fifth")

Question: TypeAlias = Coroutine[Any, Any, First]


@overload
async def together(first: Question[First], second: Question[Second], /) -> tuple[First, Second]: ...


@overload
async def together(
    first: Question[First], second: Question[Second], third: Question[Third], /
) -> tuple[First, Second, Third]: ...


@overload
async def together(
    first: Question[First],
    second: Question[Second],
    third: Question[Third],
    fourth: Question[Fourth],
    /,
) -> tuple[First, Second, Third, Fourth]: ...


@overload
async def together(
    first: Question[First],
    second: Question[Second],
    third: Question[Third],
    fourth: Question[Fourth],
    fifth: Question[Fifth],
    /,
) -> tuple[First, Second, Third, Fourth, Fifth]: ...


@overload
async def together(*questions: Question[First]) -> tuple[First, ...]: ...


async def together(*questions: Question[Any]) -> tuple[Any, ...]:
    """Return the answers in the order of the questions; of errors the first one is raised.

    Each question goes as far as it comes without waiting; when what the earliest waits for is
    there, all whose answers came meanwhile go on. They run in the task of who asks: what asks for
    its own task (`asyncio.timeout`) may not stand in a question.
    """
    return await _Together(questions)


class _Together:
    def __init__(self, questions: tuple[Question[Any], ...]) -> None:
        self._questions = questions
        self._answers: list[Any] = [None] * len(questions)
        self._waiting: dict[int, Future[Any] | None] = {}

    def __await__(self) -> Generator[Any, None, tuple[Any, ...]]:
        try:
            for place in range(len(self._questions)):
                self._go_on(place)
            while self._waiting:
                yield next(iter(self._waiting.values()))
                for place, each in list(self._waiting.items()):
                    if each is None or each.done():
                        self._go_on(place)
        finally:
            # After an error or a cancellation: nobody waits for these any more.
            for question in self._questions:
                question.close()
            for each in self._waiting.values():
                if each is not None and not each.cancel() and not each.cancelled():
                    each.exception()
        return tuple(self._answers)

    def _go_on(self, place: int) -> None:
        self._waiting.pop(place, None)
        try:
            self._waiting[place] = self._questions[place].send(None)
        except StopIteration as end:
            self._answers[place] = end.value
