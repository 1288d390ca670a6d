"""Who may say what, read from `sources.yaml`, and who has to decide it (docs/events.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from contracts.vocabulary import Service
from verification.records import CALENDAR, COMMANDS, REPORTS

SERVICES = tuple(service.value for service in Service)
RULES_PUBLISHED = "payers.rules-published.v1"

_DECIDED_BY = {
    "attendance.lesson-marked": "billing",
    "disputes.dispute-answered": "billing",
    "disputes.lesson-disputed": "billing",
    "navigator.certificate-requested": "certificates",
    "navigator.preferences-set": "notifications",
    "payers.category-set": "certificates",
    "payers.certificate-freeze-set": "certificates",
    "payers.invoice-paid": "billing",
    "payers.nominal-corrected": "billing",
}
"""Enrollment decides what else comes from navigator and payers."""
_TABLES = {
    "certificates.age": "certificates",
    "certificates.category": "certificates",
    "billing.charging": "billing",
    "billing.days": "billing",
    "notifications.routing": "notifications",
}
"""Who decides a payer's rows of a table; enrollment those of its own and of unknown ones."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "navigator.provider-registered": ("provider_id", "revision"),
    "navigator.group-published": ("group_id", "revision"),
    "navigator.child-registered": ("child_id", "revision"),
    "navigator.application-submitted": ("enrollment_id",),
    "navigator.application-accepted": ("enrollment_id",),
    "navigator.application-rejected": ("enrollment_id",),
    "navigator.application-withdrawn": ("enrollment_id",),
    "navigator.enrollment-terminated": ("enrollment_id",),
    "navigator.certificate-requested": ("child_id", "period", "revision"),
    "navigator.preferences-set": ("guardian_id", "revision"),
    "payers.period-opened": ("period",),
    "payers.enrollment-closed": ("period", "closes_on"),
    "payers.category-set": ("category", "period", "revision"),
    "payers.frame-agreement-set": ("provider_id", "period", "revision"),
    "payers.policy-set": ("period", "revision"),
    "payers.rules-published": ("table", "from", "published"),
    "payers.certificate-freeze-set": ("child_id", "revision"),
    "payers.nominal-corrected": ("child_id", "period", "revision"),
    "payers.invoice-paid": ("invoice_id",),
    "attendance.lesson-marked": ("enrollment_id", "lesson_id", "revision"),
    "disputes.lesson-disputed": ("enrollment_id", "lesson_id"),
    "disputes.dispute-answered": ("enrollment_id", "lesson_id"),
    "calendar.day-opened": ("date",),
    "notifications.delivery-reported": ("message_id", "channel", "attempts"),
}
"""Natural keys by type without version. All state is the payer's, so the payer is part of each."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one sender may say and for whom; None is everybody."""

    uri: str
    sends: frozenset[str]
    payers: frozenset[str] | None = None
    providers: frozenset[str] | None = None

    def allows(self, type_: str, payer: str) -> bool:
        """Return whether a type may be sent for a payer (empty: for nobody in particular)."""
        stream = type_.partition(".")[0]
        is_sent = type_ in self.sends or f"{stream}.*" in self.sends
        return is_sent and (not payer or self.payers is None or payer in self.payers)

    def covers(self, provider_id: str) -> bool:
        """Return whether it may speak for a provider."""
        return self.providers is None or provider_id in self.providers


class Sources:
    """The topics that inputs arrive on: whose they are and who answers for them."""

    def __init__(self, scopes: Mapping[str, Scope], deciders: Mapping[str, str]) -> None:
        self.scopes = scopes
        """By input topic."""
        self.answers_for = deciders
        """By input topic, the service that says what cannot be read or is misplaced."""

    def deciders(self, topic: str, event: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the services each of which must decide an input, as far as it can be read."""
        if topic == CALENDAR:
            return SERVICES
        type_ = event.get("type")
        if not isinstance(type_, str) or topic in (COMMANDS, REPORTS):
            return (self.answers_for[topic],)
        if type_ == RULES_PUBLISHED:
            data = event.get("data")
            # A decision that says it is a copy repeats no data; the subject is the table too.
            table = data.get("table") if isinstance(data, dict) else event.get("subject")
            return (_TABLES.get(str(table), "enrollment"),)
        stem = type_.rpartition(".")[0]
        if stem not in _KEYS:
            return (self.answers_for[topic],)
        return (_DECIDED_BY.get(stem, "enrollment"),)


def sources_of(content: str) -> Sources:
    """Return what a `sources.yaml` says, which the services have found to be one."""
    document = yaml.safe_load(content)
    scopes: dict[str, Scope] = {}
    deciders: dict[str, str] = {}
    for name, entry in document["sources"].items():
        scope = Scope(
            uri=f"/{name}",
            sends=frozenset(entry["sends"]),
            payers=_named(entry["payers"]),
            providers=_named(entry["providers"]),
        )
        for topic in (f"{name}.events.v1", f"{name}.forwarded.v1"):
            scopes[topic] = scope
            deciders[topic] = entry["decider"]
    for topic, uri, sends, decider in (
        (CALENDAR, "/calendar", "calendar.*", "enrollment"),
        (COMMANDS, "/services/enrollment", "enrollment.*", "enrollment"),
        (REPORTS, "/senders", "notifications.delivery-reported.v1", "notifications"),
    ):
        scopes[topic] = Scope(uri=uri, sends=frozenset({sends}))
        deciders[topic] = decider
    return Sources(scopes, deciders)


def _named(value: object) -> frozenset[str] | None:
    return None if value == "all" else frozenset(map(str, value))  # type: ignore[call-overload]


def natural_key(told: Mapping[str, Any]) -> str:
    """Return what an input is a copy by, counted from its data; of a command as it was published.

    A version is no part of it: version 2 of a fact is a copy of its version 1.
    """
    stem = str(told["type"]).rpartition(".")[0]
    fields = _KEYS.get(stem)
    data = told.get("data")
    if fields is None or data is None:
        return str(told["natural_key"])
    return "|".join([stem, *(str(data.get(field)) for field in fields)])
