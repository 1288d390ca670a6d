"""While read models are being read again: pages say so, and no file is made of what lacks a part.

`Queries.is_behind` knows. A page that is asked for then shows a line about it (`layout.html`).
"""

from contextlib import suppress
from contextvars import ContextVar

from fastapi.params import Depends

from services.cabinet.queries import Queries
from streaming.errors import StoreUnavailableError

_IS_BEHIND: ContextVar[bool] = ContextVar("is_behind", default=False)
"""Of the request that is being answered."""


class ComesYetError(Exception):
    """What was asked for would lack what is being read: it can be had in some minutes."""


def said_when_behind(queries: Queries) -> Depends:
    """Return what lets the pages of a router say it."""

    async def look() -> None:
        with suppress(StoreUnavailableError):
            _IS_BEHIND.set(await queries.is_behind())

    return Depends(look)


def is_said() -> bool:
    """Return whether the page that is being made has to say it."""
    return _IS_BEHIND.get()


async def ensure_whole(queries: Queries) -> None:
    """Raise ComesYetError while something may be missing, StoreUnavailableError."""
    if await queries.is_behind():
        raise ComesYetError
