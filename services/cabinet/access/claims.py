"""What a token says somebody is: grants from its claims, named as an installation does. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.cabinet.access.policy import SCOPED, Grant, Principal, Role

PEOPLE = frozenset({Role.GUARDIAN, Role.PROVIDER, Role.PAYER, Role.OPERATOR, Role.AUDITOR})
"""What a person who logs in may be."""
MACHINES = PEOPLE | {Role.SOURCE, Role.NAVIGATOR, Role.SENDERS}
"""What a bearer of a token may be: an official's program, too."""
GRANTS_MAX = 50

_SCOPE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_SUBJECT_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """Under which names a token says roles, and what each role is for."""

    roles: str
    scopes: Mapping[Role, str]


def principal_of(
    claims: Mapping[str, Any], names: ClaimNames, possible: frozenset[Role]
) -> Principal:
    """Return whom claims describe. What is no role of ours, or lacks what it is for, counts not."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_MAX:
        return Principal()
    grants: set[Grant] = set()
    for role in possible & _roles(claims.get(names.roles)):
        if role in SCOPED:
            grants |= {Grant(role, scope) for scope in _scopes(claims.get(names.scopes[role]))}
        else:
            grants.add(Grant(role))
    return Principal(subject=subject, grants=frozenset(sorted(grants)[:GRANTS_MAX]))


def _roles(value: Any) -> frozenset[Role]:
    known = {role.value: role for role in Role}
    return frozenset(known[text] for text in _texts(value) if text in known)


def _scopes(value: Any) -> list[str]:
    return [text for text in _texts(value) if _SCOPE.match(text)]


def _texts(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]
