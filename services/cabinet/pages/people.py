"""Names for pages: from the vault, each look written down. Where it is away, ids stand instead."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.cabinet.pages import wording
from services.cabinet.vault.looks import Deed, Look
from services.cabinet.vault.person import Person
from services.cabinet.vault.store import VaultUnavailableError
from services.cabinet.vault.vault import Reader, Vault


class People:
    """Who stands behind ids, if there is a vault."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault

    @property
    def are_invented(self) -> bool:
        """Return whether names are made up: pages say so."""
        return self._vault is not None and self._vault.people_are_invented

    @property
    def can_enter(self) -> bool:
        """Return whether there is anywhere to keep a name."""
        return self._vault is not None

    async def enter(self, person_id: str, person: Person, reader: Reader) -> None:
        """Keep a person. Raises VaultUnavailableError; only where somebody can be entered."""
        assert self._vault is not None
        await self._vault.put(person_id, person, reader)

    async def of_family(self, family: Mapping[str, Any], why: str) -> Mapping[str, Person]:
        """Return guardian and children, for the guardian."""
        ids = [family["guardian_id"], *(child["child_id"] for child in family["children"])]
        guardian_id = str(family["guardian_id"])
        return await self.find(dict.fromkeys(ids, guardian_id), Reader(by=guardian_id, why=why))

    async def find(self, family_of: Mapping[str, str], reader: Reader) -> Mapping[str, Person]:
        """Return whom the vault knows; each id comes with one of its family."""
        if self._vault is None:
            return {}
        try:
            return await self._vault.read_families(family_of, reader)
        except VaultUnavailableError:
            return {}

    async def looks(self, ids: Iterable[str]) -> dict[str, Any] | None:
        """Return what was done with the data of persons; None where nobody can say."""
        if self._vault is None:
            return None
        try:
            return {id_: await self._vault.looks(id_) for id_ in ids}
        except VaultUnavailableError:
            return None


def looks_page(
    family: Mapping[str, Any],
    people: Mapping[str, Person],
    found: Mapping[str, Any] | None,
    providers: Mapping[str, str],
    *,
    is_kept: bool,
) -> dict[str, Any]:
    """Return what the page of looks shows. `providers` are titles by id. Pure.

    `is_kept`: there is a vault, so that there may be looks at what it keeps.
    """
    guardian_id = str(family["guardian_id"])
    return {
        "guardian_id": guardian_id,
        "known": found is not None,
        "kept": is_kept,
        "persons": [
            {
                "id": id_,
                "name": people[id_].full_name if id_ in people else id_,
                "is_whole": looks.is_whole,
                "forgotten": looks.forgotten,
                "own": sum(_is_own(look, guardian_id) for look in looks.looks),
                "looks": _lines(looks.looks, guardian_id, providers),
            }
            for id_, looks in (found or {}).items()
        ],
    }


def readers_of(found: Mapping[str, Any] | None) -> set[str]:
    """Return the ids of all who looked."""
    return {look.by for looks in (found or {}).values() for look in looks.looks}


def _is_own(look: Look, guardian_id: str) -> bool:
    return look.deed is Deed.READ and look.by == guardian_id


def _lines(
    looks: Sequence[Look], guardian_id: str, providers: Mapping[str, str]
) -> list[dict[str, str]]:
    return [
        {
            "when": wording.moment(look.at),
            "who": wording.looker(look.by, providers),
            "what": wording.LOOKS.get(look.why, wording.DEEDS[look.deed.value]),
        }
        for look in reversed(looks)
        if not _is_own(look, guardian_id)
    ]
