"""Who may do what with what: every cell, asked of the real app over HTTP.

Of each thing there is a twin that does not exist. Who may not have the thing gets, byte for byte,
what he gets for its twin.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from services.cabinet import sending
from services.cabinet.access.gate import Needs, check_routes, declared, undeclared
from services.cabinet.access.limits import Limit
from services.cabinet.access.oidc import OpenIdConnect
from services.cabinet.access.policy import (
    OPEN_TO_ALL,
    RULES,
    SCOPED,
    Action,
    Grant,
    Owner,
    Principal,
    Reach,
    Resource,
    Role,
    allows,
    allows_somewhere,
)
from services.cabinet.access.recognition import Access
from services.cabinet.access.sessions import MemorySessions, Sessions
from services.cabinet.app import serving
from services.cabinet.pages.console_invoices import seal
from services.cabinet.proposals import MemoryKeys, Proposal, Proposals
from services.cabinet.settlement import Invoice as Issued
from services.cabinet.settlement import match, read
from services.cabinet.vault.vault import Reader, Vault
from streaming.bus import Outgoing
from tests.cabinet import story
from tests.cabinet.clients import app_of
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals
from tests.cabinet.test_clubs import application as form_of_application
from tests.cabinet.test_clubs import child as form_of_child
from tests.cabinet.test_contacts import contacts as form_of_contacts
from tests.cabinet.test_journal import INVOICE, LESSON, UNMARKED, form, invoice
from tests.cabinet.test_papers import CODES
from tests.cabinet.test_vault import PERSON, browser, open_vault
from tests.support.issuer import Issuer, running_issuer
from tests.support.world import event

pytestmark = pytest.mark.slow

FAMILY = f"/families/{story.GUARDIAN}"
PROVIDER = f"/journal/{story.PROVIDER}"
V1 = "/api/v1"
FORM = {"content-type": "application/x-www-form-urlencoded"}
EVENT = {"content-type": "application/cloudevents+json"}

PEOPLE = {
    "guardian": Grant(Role.GUARDIAN, story.GUARDIAN),
    "guardian2": Grant(Role.GUARDIAN, "guardian-00900"),
    "provider": Grant(Role.PROVIDER, story.PROVIDER),
    "provider2": Grant(Role.PROVIDER, "prov-009"),
    "payer": Grant(Role.PAYER, PAYER),
    "payer2": Grant(Role.PAYER, OTHER_PAYER),
    "operator": Grant(Role.OPERATOR),
    "auditor": Grant(Role.AUDITOR),
}
MACHINES = PEOPLE | {
    "source": Grant(Role.SOURCE, "navigator"),
    "source2": Grant(Role.SOURCE, "attendance"),
    "navigator": Grant(Role.NAVIGATOR),
    "senders": Grant(Role.SENDERS),
}
# + is let in; - not there, or not theirs; 0 no right of this kind, whatever there be; ? not known.
MATRIX = """
                nobody guardian guardian2 provider provider2 payer payer2 operator auditor source source2 navigator senders local
family          ?      +        -         -        -         -     -      -        +       ?      ?       ?         ?       ?
family-live     ?      +        -         -        -         -     -      -        +       ?      ?       ?         ?       ?
certificate-pdf ?      +        -         -        -         -     -      -        +       ?      ?       ?         ?       ?
statement-pdf   ?      +        -         -        -         -     -      -        +       ?      ?       ?         ?       ?
history         ?      +        -         -        -         -     -      -        +       ?      ?       ?         ?       ?
messages        ?      +        -         -        -         -     -      -        +       ?      ?       ?         ?       ?
looks           ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
preferences     ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
choose          ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
new-child       ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
enter-child     ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
clubs           ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
club            ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
apply           ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
leaving         ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
leave           ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
contacts        ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
enter-contacts  ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
dispute         ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
push-on         ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
push-off        ?      +        -         -        -         -     -      -        -       ?      ?       ?         ?       ?
journals        ?      -        -         +        +         -     -      -        +       ?      ?       ?         ?       ?
journal         ?      -        -         +        -         -     -      -        +       ?      ?       ?         ?       ?
group           ?      -        -         +        -         -     -      -        +       ?      ?       ?         ?       ?
money           ?      -        -         +        -         -     -      -        +       ?      ?       ?         ?       ?
money-csv       ?      -        -         +        -         -     -      -        +       ?      ?       ?         ?       ?
mark            ?      -        -         +        -         -     -      -        -       ?      ?       ?         ?       ?
answer          ?      -        -         +        -         -     -      -        -       ?      ?       ?         ?       ?
attended        ?      -        -         +        -         -     -      -        -       ?      ?       ?         ?       ?
consoles        ?      -        -         -        -         +     +      +        +       ?      ?       ?         ?       ?
operations      ?      -        -         -        -         -     -      +        +       ?      ?       ?         ?       ?
letters         ?      -        -         -        -         -     -      +        -       ?      ?       ?         ?       ?
console         ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
reports         ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
report-csv      ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
reports-xlsx    ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
roll            ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
roll-csv        ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
roll-xlsx       ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
disputes        ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
settle-dispute  ?      -        -         -        -         +     -      -        -       ?      ?       ?         ?       ?
settlements     ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
settlement-csv  ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
settlement      ?      -        -         -        -         +     -      +        -       ?      ?       ?         ?       ?
settle          ?      -        -         -        -         +     -      +        -       ?      ?       ?         ?       ?
rules           ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
proposal        ?      -        -         -        -         +     -      +        +       ?      ?       ?         ?       ?
propose         ?      -        -         -        -         +     -      +        -       ?      ?       ?         ?       ?
answer-proposal ?      -        -         -        -         +     -      +        -       ?      ?       ?         ?       ?
log-out         ?      +        +         +        +         +     +      +        +       ?      ?       ?         ?       ?
certificate     ?      0        0         -        -         +     -      +        +       0      0       0         0       +
enrollment      ?      0        0         +        -         +     -      +        +       0      0       0         0       +
places          ?      0        0         -        -         -     -      +        +       0      0       0         0       +
budget          ?      0        0         -        -         +     -      +        +       0      0       0         0       +
owed            ?      0        0         +        -         -     -      +        +       0      0       0         0       +
invoice         ?      0        0         +        -         +     -      +        +       0      0       0         0       +
export          ?      0        0         0        0         0     0      +        +       0      0       0         0       +
export_page     ?      0        0         0        0         0     0      +        +       0      0       0         0       +
send            ?      0        0         0        0         0     0      0        0       +      -       0         0       +
became          ?      0        0         0        0         0     0      +        +       +      -       0         0       +
person-put      ?      0        0         0        0         0     0      0        0       0      0       +         0       ?
push-gone       ?      0        0         0        0         0     0      0        0       0      0       +         +       ?
person-notify   ?      0        0         0        0         0     0      0        0       0      0       +         +       ?
person-get      ?      0        0         0        0         0     0      0        0       0      0       +         0       ?
person-erase    ?      0        0         0        0         0     0      0        0       0      0       +         0       ?
person-looks    ?      0        0         0        0         0     0      0        +       0      0       +         0       ?
"""  # noqa: E501


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request for a thing, and one for its twin that is not there."""

    what: tuple[Resource, Action]
    method: str = "GET"
    path: str
    twin: str = ""
    content: str = ""
    twin_content: str = ""
    headers: dict[str, str] | None = None

    @property
    def is_api(self) -> bool:
        """Return whether machines ask for it."""
        return self.path.startswith(V1)


def registered(source: str) -> str:
    """Return an event of the Navigator, said to come from a source."""
    data = {
        "child_id": "child-00777",
        "birth_date": "2012-01-01",
        "guardian_ids": ["guardian-00777"],
        "benefits": [],
        "revision": 1,
    }
    sent = event("navigator.child-registered", PAYER, "child-00777", data)
    return json.dumps(sent | {"source": f"/{source}"})


READ, WRITE = Action.READ, Action.WRITE
FAMILY_READ, JOURNAL_READ = (Resource.FAMILY, READ), (Resource.JOURNAL, READ)
CONSOLE_READ = (Resource.CONSOLE, READ)
CLUBS_READ, CLUBS_WRITE = (Resource.CLUBS, READ), (Resource.CLUBS, WRITE)
JOURNAL_WRITE, RECORD_READ = (Resource.JOURNAL, WRITE), (Resource.RECORD, READ)
GROUPS = f"{PROVIDER}/groups/{PAYER}"
MARKS = form((UNMARKED, "present"), lesson=LESSON)
PROPOSED = Proposal(
    payer=PAYER,
    fact="policy-set",
    subject="2020",
    data={"period": "2020", "debit_basis": "ATTENDED_LESSONS", "issue_mode": "ON_REQUEST"},
    why="Приказ 1",
    by="somebody",
    at="2020-09-14T10:00:00.000+00:00",
)
CONSOLE, NO_CONSOLE = f"/console/{PAYER}", "/console/99999999"
PAYMENT = (
    "Строка счёта;Сумма, руб.;Дата оплаты;Платёжный документ\n"
    f"{INVOICE}/1;502,86;2020-09-14;17\n{INVOICE}/2;-0,05;2020-09-14;17\n"
)
SEAL = seal(
    match(
        read(PAYMENT),
        {
            INVOICE: Issued(
                lines={f"{INVOICE}/1": 50_286, f"{INVOICE}/2": -5},
                is_settled=False,
                month="2020-09",
            )
        },
        date(2020, 9, 14),
    )
)
BECAME = f"{V1}/events/navigator.events.v1"
PERSON_PATH = f"{V1}/vault/persons/{story.ELDER}"
NO_PERSON = f"{V1}/vault/persons/child-99999"
ASKED = {
    "family": Asked(what=FAMILY_READ, path=FAMILY, twin="/families/guardian-99999"),
    "family-live": Asked(
        what=FAMILY_READ, path=f"{FAMILY}/live", twin="/families/guardian-99999/live"
    ),
    "certificate-pdf": Asked(
        what=FAMILY_READ,
        path=f"{FAMILY}/{story.ELDER}/certificate.pdf",
        twin=f"{FAMILY}/child-99999/certificate.pdf",
    ),
    "statement-pdf": Asked(
        what=FAMILY_READ,
        path=f"{FAMILY}/{story.ELDER}/statement.pdf",
        twin=f"{FAMILY}/child-99999/statement.pdf",
    ),
    "history": Asked(
        what=FAMILY_READ,
        path=f"{FAMILY}/history/{PAYER}/{story.ELDER}",
        twin=f"{FAMILY}/history/{PAYER}/child-99999",
    ),
    "messages": Asked(
        what=FAMILY_READ, path=f"{FAMILY}/messages", twin="/families/guardian-99999/messages"
    ),
    "looks": Asked(
        what=(Resource.FAMILY_LOOKS, READ),
        path=f"{FAMILY}/looks",
        twin="/families/guardian-99999/looks",
    ),
    "preferences": Asked(
        what=(Resource.PREFERENCES, READ),
        path=f"{FAMILY}/preferences",
        twin="/families/guardian-99999/preferences",
    ),
    "choose": Asked(
        what=(Resource.PREFERENCES, WRITE),
        method="POST",
        path=f"{FAMILY}/preferences",
        twin="/families/guardian-99999/preferences",
        content="revision=0&to-debit=email&quiet-from=21:00&quiet-until=08:00",
        headers=FORM,
    ),
    "new-child": Asked(
        what=CLUBS_READ,
        path=f"{FAMILY}/children/new",
        twin="/families/guardian-99999/children/new",
    ),
    "enter-child": Asked(
        what=CLUBS_WRITE,
        method="POST",
        path=f"{FAMILY}/children",
        twin="/families/guardian-99999/children",
        content=form_of_child(),
        headers=FORM,
    ),
    "clubs": Asked(what=CLUBS_READ, path=f"{FAMILY}/clubs", twin="/families/guardian-99999/clubs"),
    "club": Asked(
        what=CLUBS_READ,
        path=f"{FAMILY}/clubs/{PAYER}/grp-002",
        twin=f"{FAMILY}/clubs/{PAYER}/grp-999",
    ),
    "apply": Asked(
        what=CLUBS_WRITE,
        method="POST",
        path=f"{FAMILY}/clubs/{PAYER}/grp-002?child={story.YOUNGER}",
        twin=f"{FAMILY}/clubs/{PAYER}/grp-002?child=child-00900",
        content=form_of_application(),
        headers=FORM,
    ),
    "leaving": Asked(
        what=CLUBS_READ,
        path=f"{FAMILY}/enrollments/{PAYER}/{story.CHESS}",
        twin=f"{FAMILY}/enrollments/{PAYER}/enr-99999",
    ),
    "leave": Asked(
        what=CLUBS_WRITE,
        method="POST",
        path=f"{FAMILY}/enrollments/{PAYER}/{story.CHESS}",
        twin=f"{FAMILY}/enrollments/{PAYER}/enr-99999",
        content="way=withdraw",
        headers=FORM,
    ),
    "contacts": Asked(
        what=CLUBS_READ, path=f"{FAMILY}/contacts", twin="/families/guardian-99999/contacts"
    ),
    "enter-contacts": Asked(
        what=CLUBS_WRITE,
        method="POST",
        path=f"{FAMILY}/contacts",
        twin="/families/guardian-99999/contacts",
        content=form_of_contacts(),
        headers=FORM,
    ),
    "dispute": Asked(
        what=(Resource.DISPUTES, WRITE),
        method="POST",
        path=f"{FAMILY}/disputes/{PAYER}/{story.ROBOTS}/les-2020-09-12",
        twin=f"{FAMILY}/disputes/{PAYER}/enr-99999/les-2020-09-12",
        content="ground=was-absent",
        headers=FORM,
    ),
    "push-on": Asked(
        what=(Resource.PUSH, WRITE),
        method="POST",
        path=f"{FAMILY}/push",
        twin="/families/guardian-99999/push",
        content=browser(1).model_dump_json(),
    ),
    "push-off": Asked(
        what=(Resource.PUSH, WRITE),
        method="POST",
        path=f"{FAMILY}/push/off",
        twin="/families/guardian-99999/push/off",
        content=browser(1).model_dump_json(),
    ),
    "journals": Asked(what=JOURNAL_READ, path="/journal", twin="/families/guardian-99999"),
    "journal": Asked(what=JOURNAL_READ, path=PROVIDER, twin="/journal/prov-404"),
    "group": Asked(what=JOURNAL_READ, path=f"{GROUPS}/grp-000", twin=f"{GROUPS}/grp-999"),
    "money": Asked(what=JOURNAL_READ, path=f"{PROVIDER}/money", twin="/journal/prov-404/money"),
    "money-csv": Asked(
        what=JOURNAL_READ, path=f"{PROVIDER}/money.csv", twin="/journal/prov-404/money.csv"
    ),
    "mark": Asked(
        what=JOURNAL_WRITE,
        method="POST",
        path=f"{GROUPS}/grp-000",
        twin=f"{GROUPS}/grp-999",
        content=MARKS,
        headers=FORM,
    ),
    "answer": Asked(
        what=JOURNAL_WRITE,
        method="POST",
        path=f"{PROVIDER}/applications/{PAYER}/{story.CHESS}",
        twin=f"{PROVIDER}/applications/{PAYER}/enr-99999",
        content="answer=accept",
        headers=FORM,
    ),
    "attended": Asked(
        what=(Resource.DISPUTES, Action.ACT),
        method="POST",
        path=f"{PROVIDER}/disputes/{PAYER}/{story.ROBOTS}/les-2020-09-09",
        twin=f"{PROVIDER}/disputes/{PAYER}/{story.ROBOTS}/les-2020-09-99",
        content="evidence=qr",
        headers=FORM,
    ),
    "consoles": Asked(what=CONSOLE_READ, path="/console", twin="/families/guardian-99999"),
    "operations": Asked(
        what=(Resource.LETTERS, READ), path="/operations", twin="/families/guardian-99999"
    ),
    "letters": Asked(
        what=(Resource.LETTERS, Action.ACT),
        method="POST",
        path="/operations/letters",
        content="letter=enrollment:0:0&what=look",
        headers=FORM,
    ),
    "console": Asked(what=CONSOLE_READ, path=f"/console/{PAYER}", twin="/console/99999999"),
    "reports": Asked(what=CONSOLE_READ, path=f"{CONSOLE}/reports", twin=f"{NO_CONSOLE}/reports"),
    "report-csv": Asked(
        what=CONSOLE_READ,
        path=f"{CONSOLE}/reports/coverage.csv",
        twin=f"{NO_CONSOLE}/reports/coverage.csv",
    ),
    "reports-xlsx": Asked(
        what=CONSOLE_READ, path=f"{CONSOLE}/reports.xlsx", twin=f"{NO_CONSOLE}/reports.xlsx"
    ),
    "roll": Asked(
        what=CONSOLE_READ,
        path=f"{CONSOLE}/lists/holders",
        twin=f"{NO_CONSOLE}/lists/holders",
    ),
    "roll-csv": Asked(
        what=CONSOLE_READ,
        path=f"{CONSOLE}/lists/queue.csv",
        twin=f"{NO_CONSOLE}/lists/queue.csv",
    ),
    "roll-xlsx": Asked(
        what=CONSOLE_READ,
        path=f"{CONSOLE}/lists/queue.xlsx",
        twin=f"{NO_CONSOLE}/lists/queue.xlsx",
    ),
    "disputes": Asked(
        what=(Resource.DISPUTES, READ), path=f"{CONSOLE}/disputes", twin=f"{NO_CONSOLE}/disputes"
    ),
    "settle-dispute": Asked(
        what=(Resource.DISPUTES, Action.ACT),
        method="POST",
        path=f"{CONSOLE}/disputes/{story.ROBOTS}/les-2020-09-09",
        twin=f"{CONSOLE}/disputes/{story.ROBOTS}/les-2020-09-99",
        content="evidence=qr",
        headers=FORM,
    ),
    "settlements": Asked(
        what=CONSOLE_READ, path=f"{CONSOLE}/invoices", twin=f"{NO_CONSOLE}/invoices"
    ),
    "settlement-csv": Asked(
        what=CONSOLE_READ, path=f"{CONSOLE}/invoices.csv", twin=f"{NO_CONSOLE}/invoices.csv"
    ),
    "settlement": Asked(
        what=(Resource.CONSOLE, Action.PROPOSE),
        method="POST",
        path=f"{CONSOLE}/settlement",
        twin=f"{NO_CONSOLE}/settlement",
        content=urlencode({"lines": PAYMENT}),
        headers=FORM,
    ),
    "settle": Asked(
        what=(Resource.CONSOLE, Action.APPROVE),
        method="POST",
        path=f"{CONSOLE}/settlement/confirm",
        twin=f"{NO_CONSOLE}/settlement/confirm",
        content=urlencode({"lines": PAYMENT, "seal": SEAL}),
        headers=FORM,
    ),
    "rules": Asked(what=CONSOLE_READ, path=f"{CONSOLE}/rules", twin=f"{NO_CONSOLE}/rules"),
    "proposal": Asked(
        what=CONSOLE_READ,
        path=f"{CONSOLE}/proposals/{PROPOSED.id}",
        twin=f"{CONSOLE}/proposals/none",
    ),
    "propose": Asked(
        what=(Resource.CONSOLE, Action.PROPOSE),
        method="POST",
        path=f"{CONSOLE}/proposals",
        twin=f"{NO_CONSOLE}/proposals",
        content=urlencode(PROPOSED.data | {"fact": PROPOSED.fact, "why": "Приказ 1"}),
        headers=FORM,
    ),
    "answer-proposal": Asked(
        what=(Resource.CONSOLE, Action.APPROVE),
        method="POST",
        path=f"{CONSOLE}/proposals/{PROPOSED.id}",
        twin=f"{CONSOLE}/proposals/none",
        content="answer=reject",
        headers=FORM,
    ),
    "log-out": Asked(what=(Resource.SESSION, Action.ACT), method="POST", path="/logout"),
    "certificate": Asked(
        what=RECORD_READ,
        path=f"{V1}/certificates/{story.NUMBER}",
        twin=f"{V1}/certificates/7019999999",
    ),
    "enrollment": Asked(
        what=RECORD_READ,
        path=f"{V1}/enrollments/{story.ROBOTS}",
        twin=f"{V1}/enrollments/enr-99999",
    ),
    "places": Asked(what=RECORD_READ, path=f"{V1}/groups/grp-000", twin=f"{V1}/groups/grp-999"),
    "budget": Asked(what=RECORD_READ, path=f"{V1}/payers/{PAYER}", twin=f"{V1}/payers/99999999"),
    "owed": Asked(
        what=RECORD_READ, path=f"{V1}/providers/{story.PROVIDER}", twin=f"{V1}/providers/prov-404"
    ),
    "invoice": Asked(
        what=RECORD_READ, path=f"{V1}/invoices/{INVOICE}", twin=f"{V1}/invoices/inv-none"
    ),
    "export": Asked(what=(Resource.EXPORT, READ), path=f"{V1}/export"),
    "export_page": Asked(what=(Resource.EXPORT, READ), path=f"{V1}/export/groups"),
    "send": Asked(
        what=(Resource.EVENTS, Action.SEND),
        method="POST",
        path=f"{V1}/events",
        twin=f"{V1}/events",
        content=registered("navigator"),
        twin_content=registered("nowhere"),
        headers=EVENT,
    ),
    "became": Asked(
        what=(Resource.EVENTS, READ), path=f"{BECAME}/PARTITION/1003", twin=f"{BECAME}/PARTITION/9"
    ),
    "person-put": Asked(
        what=(Resource.VAULT, WRITE),
        method="PUT",
        path=PERSON_PATH,
        content=PERSON.model_dump_json(),
    ),
    "push-gone": Asked(
        what=(Resource.PUSH, Action.ERASE),
        method="DELETE",
        path=f"{PERSON_PATH}/push/{'0' * 64}",
    ),
    "person-notify": Asked(
        what=(Resource.VAULT, Action.NOTIFY),
        path=f"{PERSON_PATH}?why=notification",
        twin=f"{NO_PERSON}?why=notification",
    ),
    # The same route: for any other reason than a notification it asks for more.
    "person-get": Asked(
        what=(Resource.VAULT, Action.NOTIFY),
        path=f"{PERSON_PATH}?why=support",
        twin=f"{NO_PERSON}?why=support",
    ),
    "person-erase": Asked(
        what=(Resource.VAULT, Action.ERASE), method="DELETE", path=f"{PERSON_PATH}?basis=act-1"
    ),
    "person-looks": Asked(what=(Resource.VAULT_LOOKS, READ), path=f"{PERSON_PATH}/looks"),
}


def cells() -> list[tuple[str, str, str]]:
    """Return thing, principal and what is expected, as the matrix has it."""
    head, *rows = [line.split() for line in MATRIX.strip().splitlines()]
    assert all(len(row) == len(head) + 1 for row in rows)
    return [(row[0], who, sign) for row in rows for who, sign in zip(head, row[1:], strict=True)]


@dataclass(frozen=True, kw_only=True)
class Town:
    """A cabinet with a log-in, one of the sandbox, and whoever there is."""

    journals: Journals
    vault: Vault
    issuer: Issuer
    app: FastAPI
    client: httpx.AsyncClient
    sandbox: httpx.AsyncClient

    async def answer(
        self, asked: Asked, who: str, proof: dict[str, str], *, twin: bool = False
    ) -> tuple[int, bytes]:
        """Return status and body of what somebody is answered."""
        path = (asked.twin or asked.path) if twin else asked.path
        path = path.replace("PARTITION", str(self.journals.queries.partition_of(PAYER)))
        content = asked.twin_content if twin and asked.twin_content else asked.content
        client = self.sandbox if who == "local" else self.client
        headers = dict(asked.headers or {}) | proof
        async with client.stream(asked.method, path, content=content, headers=headers) as given:
            if given.headers.get("content-type", "").startswith("text/event-stream"):
                return given.status_code, f"stream of {path}".encode()
            return given.status_code, await given.aread()

    async def proof(self, asked: Asked, who: str) -> dict[str, str]:
        """Return the headers by which somebody shows who it is."""
        if who in ("nobody", "local"):
            return {}
        grant = MACHINES[who]
        if asked.is_api or who not in PEOPLE:
            told: dict[str, Any] = {"roles": [grant.role.value]}
            if grant.scope:
                told[self.issuer.log_in().names.scopes[grant.role]] = grant.scope
            return {"authorization": f"Bearer {self.issuer.token(**told)}"}
        access: Access = self.app.state.access
        principal = Principal(subject=who, grants=frozenset({grant}))
        session = await access.sessions.begin(principal)
        visitor = await access.sessions.find(session)
        assert visitor is not None
        return {"cookie": f"{access.cookie}={session}", "x-csrf-token": visitor.csrf}

    async def sent(self) -> int:
        """Return how many events stand on the topics of sources."""
        bus: Any = self.journals.bus
        return sum(
            len(bus.log.log(f"{source}.events.v1", number).records)
            for source in ("attendance", "disputes", "families", "navigator", "payers")
            for number in range(self.journals.partitions)
        )


def patient(access: Access) -> Access:
    """Return an access that lets somebody ask and ask for what is not his."""
    return replace(access, misses=Limit(1_000_000), codes=Limit(1_000_000))


async def dead_letter(journals: Journals) -> None:
    """Something of the Navigator could not be read; its id is `enrollment:0:0`."""
    told = {
        "reason": "not_utf8",
        "detail": "no text",
        "topic": "navigator.events.v1",
        "partition": "0",
        "offset": "0",
        "received-at-ms": "1598745600000",
        "sha256": "0" * 64,
    }
    headers = tuple((f"pfdo-{name}", value.encode()) for name, value in told.items())
    await journals.bus.publish([Outgoing("enrollment.dead-letters.v1", 0, None, b"\xff", headers)])


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """The cabinet that knows the whole story, on two ports."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)
    journals = await Journals().start()
    await story.tell_all(journals)
    await invoice(journals, paid=False)
    await story.dispute(journals, "2020-09-09", 25_137)
    await story.register_child(journals, "child-00900", "2012-01-01", ["guardian-00900"])
    await journals.noted(
        "enrollment",
        "navigator.provider-registered",
        {"provider_id": "prov-009", "title": "Клуб «Другой»", "state": "active", "revision": 1},
    )
    await dead_letter(journals)
    await journals.follow()
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(open_vault(tmp_path))
        issuer = await stack.enter_async_context(running_issuer())
        sessions = Sessions(MemorySessions(), b"k" * 40)
        server = OpenIdConnect(issuer.log_in())
        access = patient(Access.new(sessions, sandbox=False, server=server))
        local_access = patient(Access.new(sessions, sandbox=True, vault_token="t" * 40))
        proposals = Proposals(MemoryKeys(), b"s" * 32)
        await proposals.put(PROPOSED)
        more: dict[str, Any] = {
            "vault": vault,
            "codes": CODES,
            "proposals": proposals,
            "stand_in": True,
        }
        app = app_of(journals, sandbox=False, access=access, **more)
        local = app_of(journals, access=local_access, **more)
        clients = []
        for each in (app, local):
            # It is open already.
            each.state.vault = None
            port = await stack.enter_async_context(serving(each, "127.0.0.1", 0))
            url = f"http://127.0.0.1:{port}"
            clients.append(
                await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20))
            )
        yield Town(
            journals=journals,
            vault=vault,
            issuer=issuer,
            app=app,
            client=clients[0],
            sandbox=clients[1],
        )


def open_things() -> list[str]:
    """Return what is for everybody, written out: whoever adds to it has thought of it."""
    return [
        "GET /",
        "GET /api/v1/openapi.json",
        "GET /health/live",
        "GET /health/ready",
        "GET /login",
        "GET /login/back",
        "GET /login/start",
        "GET /logout",
        "GET /logout/server",
        "GET /metrics",
        "GET /push-worker.js",
        "GET /verify/{code}",
        "POST /login/sandbox",
    ]


def routes_of(app: FastAPI) -> dict[str, Needs]:
    """Return what each route declares, by method and path."""
    return {
        f"{method} {route.path}": declared(route)[0]
        for route in iter_route_contexts(app.routes)
        if declared(route)
        for method in route.methods or ()
    }


async def told_otherwise(town: Town, thing: str, who: str, sign: str) -> list[str]:
    """Return in what a cell is not as the matrix says."""
    asked = ASKED[thing]
    proof, before = await town.proof(asked, who), await town.sent()
    status, body = await town.answer(asked, who, proof)
    after = await town.sent()
    twin = await town.answer(asked, who, proof, twin=True)
    # On both sides: the token of a session may hold these digits too.
    is_alike = (status, body.replace(b"1003", b"9")) == (twin[0], twin[1].replace(b"1003", b"9"))
    let_in = status in (200, 202, 204, 303) and (not is_alike or not asked.twin)
    not_known = 303 if not asked.is_api and asked.method == "GET" else 401
    fits = {
        "+": let_in,
        "-": is_alike and status in (404, 422, 200),
        "0": is_alike and status == 403,
        "?": is_alike and status == not_known,
    }[sign]
    if fits and (sign == "+" or after == before):
        return []
    return [f"{thing} for {who}: {sign} is told, {status} was answered"]


async def test_each_cell(town: Town) -> None:
    wrong: list[str] = []

    async def as_they_were() -> None:
        for person_id in (story.ELDER, story.GUARDIAN):
            await town.vault.put(person_id, PERSON, Reader(by="navigator", why="registration"))

    for thing, row in groupby(cells(), key=lambda cell: cell[0]):
        signs = {who: sign for _, who, sign in row}
        await as_they_were()
        for who in (who for who, sign in signs.items() if sign != "+"):
            wrong += await told_otherwise(town, thing, who, signs[who])
        if not await town.vault.read([story.ELDER], Reader(by="x", why="support")):
            wrong.append(f"{thing}: somebody who may not has erased a person")
        for who in (who for who, sign in signs.items() if sign == "+"):
            await as_they_were()
            wrong += await told_otherwise(town, thing, who, "+")

    assert wrong == []


async def test_what_is_allowed_happens(town: Town) -> None:
    for thing, who in (
        ("mark", "provider"),
        ("answer", "provider"),
        ("choose", "guardian"),
        ("enter-child", "guardian"),
        ("settle", "payer"),
        ("send", "source"),
    ):
        before = await town.sent()
        await town.answer(ASKED[thing], who, await town.proof(ASKED[thing], who))

        assert await town.sent() == before + 1


async def test_each_route_declares_what_it_shows_and_has_its_rows(town: Town) -> None:
    assert undeclared(town.app) == []
    routes = routes_of(town.app)
    open_ = [name for name, need in routes.items() if (need.resource, need.action) in OPEN_TO_ALL]
    others = {
        f"{method} {route.path}": route
        for route in iter_route_contexts(town.app.routes)
        for method in route.methods or ()
        if f"{method} {route.path}" in routes.keys() - set(open_)
    }

    asked = {
        name: [
            thing
            for thing, each in ASKED.items()
            if name.startswith(f"{each.method} ")
            and route.path_regex.match(each.path.replace("PARTITION", "1").partition("?")[0])
        ]
        for name, route in others.items()
    }

    assert sorted(open_) == open_things()
    assert [name for name, things in asked.items() if not things] == []
    for name, things in asked.items():
        need = routes[name]
        assert {ASKED[thing].what for thing in things} == {(need.resource, need.action)}, name
    assert {thing for thing, _, _ in cells()} == set(ASKED)


def test_a_route_that_declares_nothing_is_named_and_stops_the_start() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/secret")
    async def secret() -> None: ...

    assert undeclared(app) == ["['GET'] /secret"]
    with pytest.raises(AssertionError, match="/secret"):
        check_routes(app)


def test_a_way_in_that_is_no_route_of_ours_is_named() -> None:
    app = FastAPI(openapi_url="/openapi.json", docs_url=None, redoc_url=None)
    app.mount("/files", FastAPI(openapi_url=None))

    assert [name.rpartition(" ")[2] for name in undeclared(app)] == ["/openapi.json", "/files"]


# --- the table alone ---------------------------------------------------------------------------

TABLE = """
                  nobody guardian guardian2 provider provider2 payer payer2 operator auditor source source2 navigator senders local
session.act       -      +        +         +        +         +     +      +        +       -      -       -         -       -
family.read       -      +        -         -        -         -     -      -        +       -      -       -         -       -
family-looks.read -      +        -         -        -         -     -      -        -       -      -       -         -       -
preferences.read  -      +        -         -        -         -     -      -        -       -      -       -         -       -
preferences.write -      +        -         -        -         -     -      -        -       -      -       -         -       -
clubs.read        -      +        -         -        -         -     -      -        -       -      -       -         -       -
clubs.write       -      +        -         -        -         -     -      -        -       -      -       -         -       -
push.write        -      +        -         -        -         -     -      -        -       -      -       -         -       -
push.erase        -      -        -         -        -         -     -      -        -       -      -       +         +       -
journal.read      -      -        -         +        -         -     -      -        +       -      -       -         -       -
journal.write     -      -        -         +        -         -     -      -        -       -      -       -         -       -
console.read      -      -        -         -        -         +     -      +        +       -      -       -         -       -
console.propose   -      -        -         -        -         +     -      +        -       -      -       -         -       -
console.approve   -      -        -         -        -         +     -      +        -       -      -       -         -       -
disputes.read     -      -        -         -        -         +     -      +        +       -      -       -         -       -
disputes.write    -      +        -         -        -         -     -      -        -       -      -       -         -       -
disputes.act      -      -        -         +        -         +     -      -        -       -      -       -         -       -
letters.read      -      -        -         -        -         -     -      +        +       -      -       -         -       -
letters.act       -      -        -         -        -         -     -      +        -       -      -       -         -       -
record.read       -      -        -         +        -         +     -      +        +       -      -       -         -       +
export.read       -      -        -         -        -         -     -      +        +       -      -       -         -       +
events.read       -      -        -         -        -         -     -      +        +       +      -       -         -       +
events.send       -      -        -         -        -         -     -      -        -       +      -       -         -       +
vault.read        -      -        -         -        -         -     -      -        -       -      -       +         -       -
vault.write       -      -        -         -        -         -     -      -        -       -      -       +         -       -
vault.notify      -      -        -         -        -         -     -      -        -       -      -       +         +       -
vault.erase       -      -        -         -        -         -     -      -        -       -      -       +         -       -
vault-looks.read  -      -        -         -        -         -     -      -        +       -      -       +         -       -
"""  # noqa: E501
EVERYTHING = Owner(
    guardian=story.GUARDIAN, provider=story.PROVIDER, payer=PAYER, source="navigator"
)


def grants_of(who: str) -> Principal:
    """Return a principal of the tables."""
    known = MACHINES | {"local": Grant(Role.LOCAL)}
    return Principal(grants=frozenset({known[who]}) if who in known else frozenset())


@pytest.mark.parametrize("resource", list(Resource))
@pytest.mark.parametrize("action", list(Action))
def test_the_table_says_so_and_all_else_is_denied(resource: Resource, action: Action) -> None:
    head, *rows = [line.split() for line in TABLE.strip().splitlines()]
    written = {row[0]: dict(zip(head, row[1:], strict=True)) for row in rows}
    row = written.get(f"{resource}.{action}", dict.fromkeys(head, "-"))
    if (resource, action) in OPEN_TO_ALL:
        row = dict.fromkeys(head, "+")

    decided = {
        who: "+" if allows(grants_of(who), resource, action, EVERYTHING) else "-" for who in head
    }

    assert decided == row


def test_what_is_nobodys_is_for_those_alone_who_reach_all() -> None:
    for (resource, action), reached in RULES.items():
        for who in MACHINES:
            reach = reached.get(MACHINES[who].role)
            principal = grants_of(who)
            assert allows(principal, resource, action, Owner()) is (reach is Reach.ALL)
            assert allows_somewhere(principal, resource, action) is (reach is not None)


def test_only_who_is_for_something_can_have_what_is_own() -> None:
    own = {
        role for reached in RULES.values() for role, reach in reached.items() if reach is Reach.OWN
    }

    assert own <= SCOPED
    assert {role.value for role in SCOPED} == set(Owner.__dataclass_fields__)


@pytest.mark.parametrize(("role", "scope"), [(Role.GUARDIAN, ""), (Role.OPERATOR, "25701000")])
def test_a_grant_is_whole(role: Role, scope: str) -> None:
    with pytest.raises(ValueError, match=role.value):
        Grant(role, scope)


def test_whoever_is_two_things_may_what_each_may() -> None:
    both = Principal(grants=frozenset({PEOPLE["guardian"], PEOPLE["provider"]}))

    assert allows(both, Resource.FAMILY, Action.READ, Owner(guardian=story.GUARDIAN))
    assert allows(both, Resource.JOURNAL, Action.WRITE, Owner(provider=story.PROVIDER))
    # The name of one is no right of the other.
    assert not allows(both, Resource.FAMILY, Action.READ, Owner(guardian=story.PROVIDER))
    assert not allows(both, Resource.JOURNAL, Action.READ, Owner(provider=story.GUARDIAN))
