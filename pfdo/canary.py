"""A child that does not exist walks the main path, and somebody is told when it does not arrive.

Once a day it applies to a group of tomorrow: place, certificate, reserve, agreement. Once a minute
a mark of today's only lesson is sent in a higher revision, by turns `present` and `cancelled`: a
debit and its reversal, each followed to the message about it. The payer is invented (`PAYER`), so
no municipality's books or reports hold any of it; the source is `canary`, which may speak for that
payer and nobody else (`deploy/sources.yaml`).

Bounded: an agreement a day; one lesson a day, however often it is marked; the last mark of a day is
`cancelled`, so money stays where it is; a mark makes three records, some 4 KB. Idempotent: every
event follows from day and minute, so a canary that was killed, or a second one, sends copies.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from contracts.topics import BILLING, ENROLLMENT, NOTIFICATIONS
from contracts.vocabulary import PayerCode
from pfdo.days import ZONE
from pfdo.playing import HEADERS, topic_of
from pfdo.records import Place
from pfdo.watching import pages
from streaming.bus import Outgoing, Reader, Record
from streaming.errors import BusUnavailableError, SettingError
from streaming.health import quiet_server
from streaming.installation import Installation
from streaming.routing import partition_of
from streaming.telemetry import CanaryTelemetry, Telemetry
from streaming.whole import up_to

SOURCE = "canary"
PAYER = PayerCode("99999000")
"""No municipality: 99 is no region of OKTMO."""
PROVIDER, GUARDIAN = "prov-canary", "guard-canary"
PRICE_KOPECKS, NOMINAL_KOPECKS = 100, 1_000_000
WALK_SECONDS_MAX = 30.0
POLL_SECONDS = 0.2
READ_RECORDS_MAX = 500
LOOK_BACK_RECORDS = 20_000
"""So far back it is looked for whether today's agreement was made before this process began."""
MARK, APPLICATION = "mark", "application"
DONE, LATE, WRONG, UNCHANGED = "done", "late", "wrong", "unchanged"


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of one walk; `found` is what answered, in order.

    `outcome` is done, late, wrong, or unchanged: rightly answered, but by no debit and no message.
    """

    path: str
    outcome: str
    found: tuple[str, ...]
    seconds: float


class Canary:
    """Walks, on the bus alone: it writes its topic and reads the public journals."""

    def __init__(
        self,
        installation: Installation,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(ZONE),
        walk_seconds_max: float = WALK_SECONDS_MAX,
    ) -> None:
        """Raise SettingError if the installation knows no such source."""
        if SOURCE not in installation.sources.by_name:
            raise SettingError(
                "PFDO_SOURCES: `canary` is no source of this installation. deploy/sources.yaml has "
                "its entry; all processes need the same file."
            )
        self._bus = installation.bus
        self._now = now
        self._walk_seconds_max = walk_seconds_max
        self._partition = partition_of(PAYER.encode(), self._bus.partitions)
        self._applied_on: date | None = None
        self._has_agreement_of: set[date] = set()

    @property
    def applies_today(self) -> bool:
        """Return whether the application of this day is still to be made."""
        return self._applied_on != self._now().date()

    async def remember(self) -> None:
        """See whether today's agreement was made by a canary before. Raises BusUnavailableError."""
        place = (ENROLLMENT.name, self._partition)
        start = (await self._bus.starts([ENROLLMENT.name]))[place]
        ends = await self._bus.ends([ENROLLMENT.name])
        since = {ENROLLMENT.name: max(start, ends[place] - LOOK_BACK_RECORDS)}
        today = self._now().date()
        wanted = f'"subject":"{_enrollment(today)}"'.encode()
        async for polled in up_to(self._bus, self._partition, since, ends):
            for record in polled.records.get(ENROLLMENT.name, ()):
                value = record.value or b""
                if wanted in value and b"enrollment.agreement-activated." in value:
                    self._has_agreement_of.add(today)

    async def apply(self) -> Walk:
        """Apply for tomorrow; walked when the agreement stands. Raises BusUnavailableError."""
        today = self._now().date()
        tomorrow = today + timedelta(days=1)
        events = [*_surroundings(tomorrow), _application(tomorrow)]
        subject = _enrollment(tomorrow)

        def answers(record: Record, fact: Mapping[str, Any], asked: set[Place]) -> str | None:
            del record
            if fact["type"] == "enrollment.input-duplicate.v1" and _cause(fact) == max(asked):
                # Made before, by a canary that was then killed, or beside this one.
                return DONE
            if fact["subject"] != subject:
                return None
            return {
                "enrollment.agreement-activated.v1": DONE,
                "enrollment.application-refused.v1": WRONG,
                "enrollment.enrollment-cancelled.v1": WRONG,
                "enrollment.application-waitlisted.v1": WRONG,
            }.get(fact["type"])

        walk = await self._walk(APPLICATION, events, [ENROLLMENT.name], answers)
        if walk.outcome == DONE:
            self._applied_on = today
            self._has_agreement_of = {d for d in self._has_agreement_of if d >= today} | {tomorrow}
        return walk

    async def mark(self, every_seconds: float = 60) -> Walk:
        """Mark today's lesson anew; walked when the message about it is due.

        On the first day there is no agreement yet: tomorrow's is marked, and rightly refused.
        """
        now = self._now()
        today = now.date()
        begun = datetime.combine(today, datetime.min.time(), now.tzinfo)
        revision = int((now - begun).total_seconds() // every_seconds) + 1
        agreed = today in self._has_agreement_of
        day = today if agreed else today + timedelta(days=1)
        steps: list[Place] = []

        def answers(record: Record, fact: Mapping[str, Any], asked: set[Place]) -> str | None:
            if _cause(fact) in asked and record.topic == BILLING.name:
                type_, reason = fact["type"].split(".")[1], fact["data"].get("reason")
                if type_ in {"lesson-charged", "charge-reversed"} and agreed:
                    steps.append((record.topic, record.partition, record.offset))
                    return None
                if type_ == "input-refused":
                    return DONE if not agreed and reason == "outside_agreement" else WRONG
                # A copy, or the mark after a minute that was missed: it says nothing of messages.
                return UNCHANGED if type_ in {"lesson-not-charged", "input-duplicate"} else WRONG
            is_told = record.topic == NOTIFICATIONS.name and _cause(fact) in steps
            return DONE if is_told else None

        is_last = (now + timedelta(seconds=2 * every_seconds)).date() != today
        event = _mark(today, day, revision, is_last=is_last)
        return await self._walk(MARK, [event], [BILLING.name, NOTIFICATIONS.name], answers)

    async def _walk(
        self,
        path: str,
        events: list[dict[str, Any]],
        topics: list[str],
        answers: Callable[[Record, Mapping[str, Any], set[Place]], str | None],
    ) -> Walk:
        """Publish, and read journals on until one of them answers."""
        ends = await self._bus.ends(topics)
        reader = await self._bus.reader(
            self._partition, {topic: ends[topic, self._partition] for topic in topics}
        )
        try:
            begun = time.monotonic()
            appended = await self._bus.publish([self._outgoing(event) for event in events])
            asked = {(a.topic, a.partition, a.offset) for a in appended}
            found: list[str] = []
            outcome = await self._answer(reader, topics, answers, asked, found, begun)
            return Walk(path, outcome, tuple(found), time.monotonic() - begun)
        finally:
            await reader.close()

    async def _answer(
        self,
        reader: Reader,
        topics: list[str],
        answers: Callable[[Record, Mapping[str, Any], set[Place]], str | None],
        asked: set[Place],
        found: list[str],
        begun: float,
    ) -> str:
        while time.monotonic() - begun < self._walk_seconds_max:
            polled = await reader.poll(topics, READ_RECORDS_MAX, POLL_SECONDS)
            # In the order of `topics`: what billing says is known before what follows from it.
            for topic in topics:
                for record in polled.records.get(topic, ()):
                    if record.key != PAYER.encode():
                        continue
                    fact = json.loads(record.value or b"{}")
                    found.append(fact["type"])
                    answer = answers(record, fact, asked)
                    if answer is not None:
                        return answer
            await asyncio.sleep(0)
        return LATE

    def _outgoing(self, event: Mapping[str, Any]) -> Outgoing:
        value = json.dumps(event).encode()
        return Outgoing(topic_of(event), self._partition, PAYER.encode(), value, HEADERS)


async def serve(canary: Canary, host: str, port: int, *, every_seconds: float) -> None:
    """Walk for ever, and answer `/metrics`, `/health/live` and `/health/ready`.

    It is ready as soon as it has walked, whatever came of it: alerts tell the rest.
    """
    telemetry = CanaryTelemetry()
    has_walked = asyncio.Event()
    server = quiet_server(pages(telemetry.registry, has_walked.is_set), host, port)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        tasks.create_task(walk_on(canary, telemetry, every_seconds, has_walked.set))


async def walk_on(
    canary: Canary,
    telemetry: CanaryTelemetry,
    every_seconds: float,
    walked: Callable[[], None] = lambda: None,
) -> None:
    """Walk for ever: a mark each `every_seconds`, an application each day."""
    log = Telemetry().log
    remembers = False
    while True:
        begun = time.monotonic()
        try:
            if not remembers:
                await canary.remember()
                remembers = True
            walks = [await canary.apply()] if canary.applies_today else []
            walks.append(await canary.mark(every_seconds))
        except (BusUnavailableError, TimeoutError) as error:
            log.warning("could not walk", error=str(error))
            telemetry.walks.labels(MARK, LATE).inc()
        else:
            for walk in walks:
                _tell(telemetry, log, walk)
        walked()
        await asyncio.sleep(max(0.0, every_seconds - (time.monotonic() - begun)))


def _tell(telemetry: CanaryTelemetry, log: Any, walk: Walk) -> None:
    telemetry.walks.labels(walk.path, walk.outcome).inc()
    if walk.outcome == DONE:
        telemetry.seconds.labels(walk.path).observe(walk.seconds)
        telemetry.done.labels(walk.path).set(time.time())
    if walk.outcome in {DONE, UNCHANGED}:
        return
    seen = ", ".join(walk.found) or "nothing"
    log.warning(
        "canary did not arrive",
        place=f"{walk.path}: {walk.outcome}",
        seconds=round(walk.seconds, 3),
        reason=seen,
    )


# --- what it says, all of it following from the day ---------------------------------------------


def _enrollment(day: date) -> str:
    return f"enr-canary-{day}"


def _event(type_: str, subject: str, on: date, data: Mapping[str, Any], id_: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"canary-{id_}",
        "source": f"/{SOURCE}",
        "type": type_,
        "time": datetime.combine(on, datetime.min.time(), ZONE).isoformat(),
        "subject": subject,
        "partitionkey": PAYER,
        "datacontenttype": "application/json",
        "data": data,
    }


def _surroundings(day: date) -> list[dict[str, Any]]:
    """Return payer, provider, group and child, as they must be known for an agreement of a day."""
    year, on = str(day.year), day - timedelta(days=1)
    child, group = f"child-canary-{year}", f"grp-canary-{day}"
    told: list[tuple[str, str, dict[str, Any]]] = [
        (
            "payers.period-opened.v1",
            year,
            {
                "period": year,
                "starts_on": f"{year}-01-01",
                "ends_on": f"{year}-12-31",
                "basis": "canary",
            },
        ),
        (
            "payers.category-set.v1",
            "general",
            {
                "category": "general",
                "period": year,
                "unit": "RUB",
                "nominal_kopecks": NOMINAL_KOPECKS,
                "places_max": 1,
                "budget_max_kopecks": NOMINAL_KOPECKS,
                "revision": 1,
            },
        ),
        (
            "payers.frame-agreement-set.v1",
            PROVIDER,
            {
                "provider_id": PROVIDER,
                "period": year,
                "state": "signed",
                "limit_kopecks": None,
                "revision": 1,
            },
        ),
        (
            "navigator.provider-registered.v1",
            PROVIDER,
            {"provider_id": PROVIDER, "title": "Canary", "state": "active", "revision": 1},
        ),
        (
            "navigator.child-registered.v1",
            child,
            {
                "child_id": child,
                "birth_date": f"{day.year - 10}-01-01",
                "guardian_ids": [GUARDIAN],
                "benefits": [],
                "revision": 1,
            },
        ),
        (
            "navigator.group-published.v1",
            group,
            {
                "group_id": group,
                "provider_id": PROVIDER,
                "programme_id": "prog-canary",
                "title": "Canary",
                "registry": "certified",
                "direction": "science",
                "age_min": 5,
                "age_max": 17,
                "capacity": 1,
                "starts_on": day.isoformat(),
                "ends_on": day.isoformat(),
                "lessons_total": 1,
                "price_kopecks": PRICE_KOPECKS,
                "normative_kopecks": PRICE_KOPECKS,
                "enrollment_open": True,
                "auto_accept": True,
                "revision": 1,
            },
        ),
    ]
    return [_event(t, subject, on, data, f"{day}-{n}") for n, (t, subject, data) in enumerate(told)]


def _application(day: date) -> dict[str, Any]:
    data = {
        "enrollment_id": _enrollment(day),
        "child_id": f"child-canary-{day.year}",
        "guardian_id": GUARDIAN,
        "group_id": f"grp-canary-{day}",
        "group_home": PAYER,
        "parent_share_max_kopecks": 0,
        "consents": ["application", "terms", "personal-data"],
        "waitlist_ok": False,
    }
    on = day - timedelta(days=1)
    return _event("navigator.application-submitted.v1", _enrollment(day), on, data, f"{day}-apply")


def _mark(today: date, day: date, revision: int, *, is_last: bool) -> dict[str, Any]:
    """Return the mark of today's lesson, in the agreement of `day`."""
    data = {
        "enrollment_id": _enrollment(day),
        "lesson_id": f"les-{today}",
        "lesson_date": today.isoformat(),
        "mark": "cancelled" if is_last or revision % 2 == 0 else "present",
        "evidence": "journal",
        "revision": revision,
    }
    return _event(
        "attendance.lesson-marked.v1", _enrollment(day), today, data, f"{day}-m{revision}"
    )


def _cause(fact: Mapping[str, Any]) -> Place:
    return fact["causetopic"], fact["causepartition"], fact["causeoffset"]
