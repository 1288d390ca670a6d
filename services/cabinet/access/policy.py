"""Who may do what with what. The one place that decides; what is not in the table is denied. Pure.

A principal is what somebody proved to be: grants, each a role and what it is for. A thing has an
owner, as far as it has one. A role reaches what is its own, or all of a kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What somebody is; below what the scope of a grant of it names."""

    GUARDIAN = "guardian"
    """A parent: a guardian's id."""
    PROVIDER = "provider"
    """A teacher or an office of a provider: its id."""
    PAYER = "payer"
    """An official of a municipality: its OKTMO code."""
    OPERATOR = "operator"
    """Who runs the system in the region: nothing."""
    AUDITOR = "auditor"
    """Who reads everything but names, and changes nothing: nothing."""
    SOURCE = "source"
    """A machine that sends events: the name of its source."""
    NAVIGATOR = "navigator"
    """The machine that enters, reads and erases persons: nothing."""
    SENDERS = "senders"
    """The machine that carries messages out: nothing."""
    LOCAL = "local"
    """Whoever asks the API where there is no log-in: nothing. No token ever says so."""


class Resource(StrEnum):
    """What may be asked for."""

    OPEN = "open"
    """What is for everybody: health, the log-in, whether a printed certificate is in force."""
    SESSION = "session"
    """The session of who asks: to end it."""
    FAMILY = "family"
    """A family's page and papers."""
    FAMILY_LOOKS = "family-looks"
    """Who looked at a family's names, with the names."""
    PREFERENCES = "preferences"
    """Which messages a guardian is sent, how and when."""
    CLUBS = "clubs"
    """Where there is no Navigator: groups to choose from, and what a family enters."""
    PUSH = "push"
    """Whether a family's browser is sent messages."""
    JOURNAL = "journal"
    """A provider's groups, marks, applications, money."""
    CONSOLE = "console"
    """A payer's budget, rules, invoices, reports."""
    DISPUTES = "disputes"
    """Debits that families do not agree with: to say so, to see those of a payer, to answer."""
    LETTERS = "letters"
    """Parked and dead letters."""
    RECORD = "record"
    """One certificate, enrollment, group, payer, provider or invoice, without names."""
    EXPORT = "export"
    """All of them at once."""
    EVENTS = "events"
    """What a source sends, and what became of it."""
    VAULT = "vault"
    """Names and addresses of a person."""
    VAULT_LOOKS = "vault-looks"
    """Who looked at them, without the names."""


class Action(StrEnum):
    """What may be done with it."""

    READ = "read"
    WRITE = "write"
    PROPOSE = "propose"
    APPROVE = "approve"
    ACT = "act"
    SEND = "send"
    ERASE = "erase"
    NOTIFY = "notify"
    """To read where somebody can be reached, for a message to them, and nothing else."""


class Reach(StrEnum):
    """How far a role gets."""

    OWN = "own"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a thing is; the names of the fields are those of the roles that own things."""

    guardian: str | None = None
    provider: str | None = None
    payer: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """A role, and what it is for; empty for roles that are for no one thing."""

    role: Role
    scope: str = ""

    def __post_init__(self) -> None:
        """Refuse a role without its scope, and a scope for a role that has none."""
        if (self.role in SCOPED) != bool(self.scope):
            raise ValueError(f"{self.role} with the scope {self.scope!r}")


SCOPED = frozenset({Role.GUARDIAN, Role.PROVIDER, Role.PAYER, Role.SOURCE})
"""Roles that are for one thing, which their grants name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """What somebody proved to be. `subject` tells people and machines apart; it is no name."""

    subject: str = ""
    grants: frozenset[Grant] = field(default_factory=frozenset)

    def scopes(self, role: Role) -> frozenset[str]:
        """Return what it is a role for."""
        return frozenset(grant.scope for grant in self.grants if grant.role is role)

    def has(self, role: Role) -> bool:
        """Return whether it has a role, for whatever it be."""
        return any(grant.role is role for grant in self.grants)


NOBODY = Principal()
"""Who proved nothing."""

_OWN, _ALL = Reach.OWN, Reach.ALL

RULES: Mapping[tuple[Resource, Action], Mapping[Role, Reach]] = MappingProxyType(
    {
        (Resource.SESSION, Action.ACT): {
            Role.GUARDIAN: _ALL,
            Role.PROVIDER: _ALL,
            Role.PAYER: _ALL,
            Role.OPERATOR: _ALL,
            Role.AUDITOR: _ALL,
        },
        (Resource.FAMILY, Action.READ): {Role.GUARDIAN: _OWN, Role.AUDITOR: _ALL},
        (Resource.FAMILY_LOOKS, Action.READ): {Role.GUARDIAN: _OWN},
        (Resource.PREFERENCES, Action.READ): {Role.GUARDIAN: _OWN},
        (Resource.PREFERENCES, Action.WRITE): {Role.GUARDIAN: _OWN},
        (Resource.CLUBS, Action.READ): {Role.GUARDIAN: _OWN},
        (Resource.CLUBS, Action.WRITE): {Role.GUARDIAN: _OWN},
        (Resource.PUSH, Action.WRITE): {Role.GUARDIAN: _OWN},
        (Resource.PUSH, Action.ERASE): {Role.NAVIGATOR: _ALL, Role.SENDERS: _ALL},
        (Resource.JOURNAL, Action.READ): {Role.PROVIDER: _OWN, Role.AUDITOR: _ALL},
        (Resource.JOURNAL, Action.WRITE): {Role.PROVIDER: _OWN},
        (Resource.CONSOLE, Action.READ): {
            Role.PAYER: _OWN,
            Role.OPERATOR: _ALL,
            Role.AUDITOR: _ALL,
        },
        (Resource.CONSOLE, Action.PROPOSE): {Role.PAYER: _OWN, Role.OPERATOR: _ALL},
        (Resource.CONSOLE, Action.APPROVE): {Role.PAYER: _OWN, Role.OPERATOR: _ALL},
        (Resource.DISPUTES, Action.READ): {
            Role.PAYER: _OWN,
            Role.OPERATOR: _ALL,
            Role.AUDITOR: _ALL,
        },
        (Resource.DISPUTES, Action.WRITE): {Role.GUARDIAN: _OWN},
        (Resource.DISPUTES, Action.ACT): {Role.PROVIDER: _OWN, Role.PAYER: _OWN},
        (Resource.LETTERS, Action.READ): {Role.OPERATOR: _ALL, Role.AUDITOR: _ALL},
        (Resource.LETTERS, Action.ACT): {Role.OPERATOR: _ALL},
        (Resource.RECORD, Action.READ): {
            Role.PROVIDER: _OWN,
            Role.PAYER: _OWN,
            Role.OPERATOR: _ALL,
            Role.AUDITOR: _ALL,
            Role.LOCAL: _ALL,
        },
        (Resource.EXPORT, Action.READ): {
            Role.OPERATOR: _ALL,
            Role.AUDITOR: _ALL,
            Role.LOCAL: _ALL,
        },
        (Resource.EVENTS, Action.SEND): {Role.SOURCE: _OWN, Role.LOCAL: _ALL},
        (Resource.EVENTS, Action.READ): {
            Role.SOURCE: _OWN,
            Role.OPERATOR: _ALL,
            Role.AUDITOR: _ALL,
            Role.LOCAL: _ALL,
        },
        (Resource.VAULT, Action.READ): {Role.NAVIGATOR: _ALL},
        (Resource.VAULT, Action.NOTIFY): {Role.NAVIGATOR: _ALL, Role.SENDERS: _ALL},
        (Resource.VAULT, Action.WRITE): {Role.NAVIGATOR: _ALL},
        (Resource.VAULT, Action.ERASE): {Role.NAVIGATOR: _ALL},
        (Resource.VAULT_LOOKS, Action.READ): {Role.NAVIGATOR: _ALL, Role.AUDITOR: _ALL},
    }
)
"""What each role may; what is not here nobody may."""

OPEN_TO_ALL = frozenset({(Resource.OPEN, Action.READ)})


def allows(who: Principal, resource: Resource, action: Action, owner: Owner) -> bool:
    """Return whether somebody may do this with a thing of this owner."""
    if (resource, action) in OPEN_TO_ALL:
        return True
    reached = RULES.get((resource, action), {})
    return any(
        reached.get(grant.role) is Reach.ALL
        or (
            reached.get(grant.role) is Reach.OWN and getattr(owner, grant.role.value) == grant.scope
        )
        for grant in who.grants
    )


def allows_somewhere(who: Principal, resource: Resource, action: Action) -> bool:
    """Return whether there may be a thing somebody may do this with: a list may be asked for.

    What stands on the list is then decided for each by `allows`.
    """
    if (resource, action) in OPEN_TO_ALL:
        return True
    return any(grant.role in RULES.get((resource, action), {}) for grant in who.grants)


def reaches_all(who: Principal, resource: Resource, action: Action) -> bool:
    """Return whether somebody may do this with whatever there is of a kind."""
    return allows(who, resource, action, Owner())
