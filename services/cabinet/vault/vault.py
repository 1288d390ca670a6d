"""The vault: who stands behind an id, given only to those whose look is on record.

A look is recorded before anything is shown. Erasing destroys the person's key; the record of what
was done stays, it says nothing about the person.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from services.cabinet.vault.looks import (
    FOLDED_AMONG_MAX,
    Deed,
    Look,
    is_whole,
    next_look,
    stands_for,
)
from services.cabinet.vault.person import Known, Person, PushSubscription
from services.cabinet.vault.sealing import (
    BrokenSealError,
    MasterKeys,
    UnknownMasterKeyError,
    seal,
    unseal,
    wrapper_of,
)
from services.cabinet.vault.store import (
    ERASED,
    Change,
    Kept,
    Sealed,
    VaultStore,
    VaultUnavailableError,
)
from streaming.errors import SettingError
from streaming.store import Room

ATTEMPTS_MAX = 20
"""So often another process may be faster with a person, then we say so."""
READ_AT_ONCE_MAX = 200

Inventor = Callable[[str, str], Person | None]
"""Makes up who stands behind an id, of the family of another id; None for what is no person."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who looks, and what for; ids and words without meaning outside."""

    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What was done with a person's data; how many entries went, and whether the rest is whole."""

    looks: tuple[Look, ...]
    forgotten: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The act of an erasure. Where the server's log was not written anew it still has the key."""

    act: Look
    log_is_rewritten: bool


class Vault:
    """The vault. In the sandbox `invent` answers for those whom nobody entered."""

    def __init__(
        self,
        store: VaultStore,
        keys: MasterKeys,
        *,
        invent: Inventor | None = None,
        now: Callable[[], str] = _now,
    ) -> None:
        self._store = store
        self._keys = keys
        self._invent = invent
        self._now = now
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def people_are_invented(self) -> bool:
        """Return whether names here are made up."""
        return self._invent is not None

    async def records(self) -> int | None:
        """Return how many records are kept, None if that may not be known; raises as others do."""
        return await self._store.records()

    async def room(self) -> Room:
        """Return how full its server is; raises as others do."""
        return await self._store.room()

    async def open(self) -> None:
        """Connect; wrap anew what older master keys have wrapped.

        Raises VaultUnavailableError, and SettingError where a master key is missing.
        """
        await self._store.start()
        try:
            async for person_id, wrapped in self._store.wrapped_keys():
                if wrapper_of(wrapped) != self._keys.newest:
                    again = self._keys.rewrap(wrapped, person_id)
                    await self._store.rewrap(person_id, wrapped, again)
        except UnknownMasterKeyError as error:
            await self.close()
            raise SettingError(
                f"PFDO_VAULT_KEYS lacks the master key {error.name}, which wraps keys that are in "
                "use. Put its line back, before the newest."
            ) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of everything. Never hangs."""
        await self._store.stop()

    async def put(self, person_id: str, person: Person, reader: Reader) -> None:
        """Keep a person under a new key; browsers stay. Raises VaultUnavailableError."""

        def entered(kept: Kept) -> Known:
            browsers: tuple[PushSubscription, ...] = ()
            # Who is entered anew may be one whose data can be read no more.
            with contextlib.suppress(BrokenSealError):
                if kept.data is not None:
                    browsers = self._opened(person_id, kept).push
            return Known(**person.model_dump(exclude={"push"}), push=browsers)

        await self._write(person_id, entered, reader, lambda _: True)

    async def amend(self, person_id: str, person: Person, reader: Reader) -> None:
        """Keep a name, a mail and phones in the place of those known; the rest stays as it was.

        Nothing is written, or put on record, where nothing changes. Raises VaultUnavailableError.
        """

        def amended(kept: Kept) -> Known:
            said = person.model_dump(exclude={"addresses", "push"})
            if kept.data is None:
                return Known(**said)
            return self._opened(person_id, kept).model_copy(update=said)

        def changes(kept: Kept) -> bool:
            return kept.data is None or amended(kept) != self._opened(person_id, kept)

        await self._write(person_id, amended, reader, changes)

    async def add_browser(self, person_id: str, browser: PushSubscription, reader: Reader) -> bool:
        """Keep a browser that takes messages; False if nobody knows the person.

        Raises VaultUnavailableError.
        """
        if self._invent is not None:
            await self._make_up([person_id], {person_id: person_id}, self._invent)
        return await self._rewrite(person_id, lambda known: known.with_browser(browser), reader)

    async def drop_browser(self, person_id: str, endpoint_sha256: str, reader: Reader) -> bool:
        """Forget a browser; False if nobody knows the person. Raises VaultUnavailableError."""
        return await self._rewrite(
            person_id, lambda known: known.without_browser(endpoint_sha256), reader
        )

    async def _rewrite(
        self, person_id: str, change: Callable[[Known], Known], reader: Reader
    ) -> bool:
        """Change a known person; nothing is written, or put on record, where nothing changes."""
        is_known = False

        def changes(kept: Kept) -> bool:
            nonlocal is_known
            is_known = kept.data is not None
            known = self._opened(person_id, kept) if is_known else None
            return known is not None and change(known) != known

        await self._write(
            person_id, lambda kept: change(self._opened(person_id, kept)), reader, changes
        )
        return is_known

    async def _write(
        self,
        person_id: str,
        content: Callable[[Kept], Known],
        reader: Reader,
        concerns: Callable[[Kept], bool],
    ) -> None:
        def sealed(kept: Kept) -> Sealed:
            key, wrapped = self._keys.new_key(person_id)
            text = content(kept).model_dump_json(exclude_defaults=True).encode()
            return Sealed(key=wrapped, data=seal(key, text, _about(person_id)))

        await self._change([person_id], Deed.WRITTEN, reader, concerns, sealed)

    async def read(self, ids: Iterable[str], reader: Reader) -> dict[str, Known]:
        """Return those of the persons that are known; each look is on record by then.

        The same look within a day is there once, at its first time.

        Raises VaultUnavailableError.
        """
        return await self.read_families({id_: id_ for id_ in ids}, reader)

    async def read_families(self, family_of: Mapping[str, str], reader: Reader) -> dict[str, Known]:
        """Return as `read` does; invented people get the family name of the id beside theirs."""
        ids = list(family_of)
        people: dict[str, Known] = {}
        for first in range(0, len(ids), READ_AT_ONCE_MAX):
            some = ids[first : first + READ_AT_ONCE_MAX]
            found = await self._change(some, Deed.READ, reader, lambda kept: kept.data is not None)
            unknown = [id_ for id_ in some if id_ not in found]
            if unknown and self._invent is not None:
                await self._make_up(unknown, family_of, self._invent)
                found |= await self._change(
                    unknown, Deed.READ, reader, lambda kept: kept.data is not None
                )
            people |= {id_: self._opened(id_, found[id_]) for id_ in some if id_ in found}
        return people

    async def erase(self, person_id: str, reader: Reader) -> Erasure | None:
        """Destroy a person's key, with an act; None if there is none. Raises VaultUnavailableError.

        `reader.why` is the basis. The server's own log is written anew, so that it forgets too.
        """
        deed = Deed.ERASED
        found = await self._change(
            [person_id], deed, reader, lambda kept: kept.key is not None, lambda _: ERASED
        )
        if person_id not in found:
            return None
        acts = [look for look in (await self._store.looks(person_id))[0] if look.deed is deed]
        return Erasure(act=acts[-1], log_is_rewritten=await self._store.forget_log())

    async def looks(self, person_id: str) -> Looks:
        """Return what was done with a person's data. Raises VaultUnavailableError."""
        looks, kept = await self._store.looks(person_id)
        return Looks(
            looks=tuple(looks),
            forgotten=kept.number - len(looks),
            is_whole=is_whole(person_id, looks, kept.number, kept.head),
        )

    async def _change(
        self,
        ids: list[str],
        deed: Deed,
        reader: Reader,
        concerns: Callable[[Kept], bool],
        seals: Callable[[Kept], Sealed | None] | None = None,
    ) -> dict[str, Kept]:
        """Record a deed for those it concerns; return what was kept of them at that moment.

        `seals` returns what takes the place of that; it may be asked again.
        """
        if not ids:
            return {}
        async with AsyncExitStack() as stack:
            # In one order everywhere, so that nobody waits for somebody who waits for him.
            for person_id in sorted(set(ids)):
                await stack.enter_async_context(self._turn(person_id))
            for _ in range(ATTEMPTS_MAX):
                looks_max = FOLDED_AMONG_MAX if deed is Deed.READ else 0
                kept_of = await self._store.load(ids, looks_max=looks_max)
                loaded = dict(zip(ids, kept_of, strict=True))
                found = {id_: kept for id_, kept in loaded.items() if concerns(kept)}
                at = self._now()
                changes = [
                    Change(
                        person_id=id_,
                        look=next_look(
                            id_,
                            kept.number,
                            kept.head,
                            at=at,
                            deed=deed,
                            by=reader.by,
                            why=reader.why,
                        ),
                        replaces=seals is not None,
                        sealed=ERASED if seals is None else seals(kept),
                    )
                    for id_, kept in found.items()
                    if not any(
                        stands_for(look, at=at, by=reader.by, why=reader.why)
                        for look in kept.lately
                    )
                ]
                if not changes or await self._store.change(changes):
                    return found
        raise VaultUnavailableError("others change the looks of the same person all the time")

    async def _make_up(
        self, ids: list[str], family_of: Mapping[str, str], invent: Inventor
    ) -> None:
        for person_id, kept in zip(ids, await self._store.load(ids), strict=True):
            # Who was erased stays erased.
            if kept.number == 0 and (person := invent(person_id, family_of[person_id])) is not None:
                await self.put(person_id, person, Reader(by="sandbox", why="invented"))

    def _turn(self, person_id: str) -> asyncio.Lock:
        turn = self._turns.get(person_id)
        if turn is None:
            turn = self._turns[person_id] = asyncio.Lock()
        return turn

    def _opened(self, person_id: str, kept: Kept) -> Known:
        if kept.key is None or kept.data is None:
            raise VaultUnavailableError("the key of a person is gone")
        try:
            key = self._keys.unwrap(kept.key, person_id)
        except UnknownMasterKeyError as error:
            # While master keys are rotated, a cabinet that was started before may lack the newest.
            raise VaultUnavailableError(f"{error}: start this cabinet anew") from error
        return Known.model_validate_json(unseal(key, kept.data, _about(person_id)))


def _about(person_id: str) -> str:
    return f"person/{person_id}"
