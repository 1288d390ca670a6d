"""Rough play: random words about a few children, whatever sense they make, in any order.

Two municipalities pay for each other's groups, dates jump, everything is said twice, corrected,
contradicted, said too early and about nobody. An empty line stands after each event, so that one
outcome exists.
"""

import datetime as dt
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

START = dt.date(2020, 8, 31)
PAYERS = ("25701000", "25714000")
BIRTHS = (
    *("2012-02-29", "2009-03-03", "2002-10-20", "2008-05-05"),
    *("2015-10-01", "2012-12-12", "2011-01-31", "2003-02-10"),
)
CHILDREN = {f"child-{n}": (PAYERS[n % 2], birth) for n, birth in enumerate(BIRTHS)}
PROVIDERS = {"prov-a": PAYERS[0], "prov-b": PAYERS[1]}
GROUPS = {"grp-a1": "prov-a", "grp-a2": "prov-a", "grp-b1": "prov-b", "grp-b2": "prov-b"}
CONSENTS = ["application", "terms", "personal-data", "parent-share"]
GROUNDS = ("was-absent", "was-absent", "lesson-cancelled", "wrong-child")
MARKS: tuple[str, ...] = ("present",) * 8 + (
    "absent",
    "ill",
    "excused",
    "cancelled",
    "cancelled",
    "made-up",
)
JUMPS = (1,) * 24 + (2, 2, 2, 3, 3, 5, 11, 17)
"""By how many days a day follows the one before."""
WIDE_JUMPS = (1,) * 20 + (3, 7, 17, 31, 45, 62)
"""A calendar that stands still for months, now and then."""
CHARGE_ABSENCE = [
    {"id": "missed", "when": {"mark": ["ill", "excused", "cancelled"]}, "then": {"charge": False}},
    {"id": "absent", "when": {"mark": "absent"}, "then": {"charge": True}},
]
BY_AGE = [
    {
        "id": "general",
        "when": {"benefits": {"lacks": "b01"}, "age_years": {"below": 8}},
        "then": {"category": "general"},
    },
    {
        "id": "older",
        "when": {"benefits": {"lacks": "b01"}, "age_years": {"from": 8}},
        "then": {"category": "special"},
    },
]
OTHERS_TOO = [
    {
        "id": "certified",
        "when": {"registry": ["certified", "other"]},
        "then": {"verdict": "eligible"},
    },
    {
        "id": "others",
        "when": {"registry": ["preprofessional", "significant", "general"]},
        "then": {"verdict": "not_certified"},
    },
]
OVERLAYS: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    ("billing.charging", CHARGE_ABSENCE),
    ("billing.charging", CHARGE_ABSENCE[1:]),
    (
        "billing.days",
        [{"id": "days", "then": {"parking_days": 7, "grace_days": 12, "invoice_day": 10}}],
    ),
    (
        "billing.days",
        [{"id": "days", "then": {"parking_days": 7, "grace_days": 3, "invoice_day": 3}}],
    ),
    (
        "billing.days",
        [{"id": "days", "then": {"parking_days": 7, "grace_days": 12, "invoice_day": 31}}],
    ),
    ("enrollment.days", [{"id": "days", "then": {"hold_days": 2, "parking_days": 4}}]),
    (
        "enrollment.age",
        [
            {"id": "young", "when": {"age_years": {"below": 7}}, "then": {"verdict": "too_young"}},
            {
                "id": "right",
                "when": {"age_years": {"from": 7, "below": 18}},
                "then": {"verdict": "eligible"},
            },
        ],
    ),
    (
        "certificates.age",
        [
            {"id": "young", "when": {"age_years": {"below": 9}}, "then": {"verdict": "too_young"}},
            {
                "id": "right",
                "when": {"age_years": {"from": 9, "below": 17}},
                "then": {"verdict": "eligible"},
            },
            {"id": "old", "when": {"age_years": {"from": 17}}, "then": {"verdict": "too_old"}},
        ],
    ),
    ("enrollment.registry", OTHERS_TOO),
    ("enrollment.registry", OTHERS_TOO[1:]),
    ("certificates.category", BY_AGE),
    ("certificates.category", BY_AGE[:1]),
    ("enrollment.luck", CHARGE_ABSENCE),
)


class RoughPlay:
    """Says random words by its seed."""

    def __init__(self, seed: int, jumps: Sequence[int] = JUMPS) -> None:
        self._random = random.Random(seed)
        self._jumps = jumps
        # Of two seeds one is kind to applications: more agreements, so more that moves money.
        self._is_kind = seed % 2 == 1
        self._day = START
        self._said: list[dict[str, Any]] = []
        self._revisions: dict[tuple[str, str], int] = {}
        self._applied: dict[str, str] = {}
        self._accepted: list[str] = []

    def lines(self, events: int) -> Iterator[str]:
        """Yield a play file of so many events after its beginning."""
        yield self._line("calendar.day-opened", None, str(self._day), {"date": str(self._day)})
        for words in self._beginning():
            if self._is_kind or self._random.random() < 0.93:
                yield from (self._line(*words), "")
        weighted: list[Callable[[], tuple[str, str | None, str, dict[str, Any]]]] = [
            *[self._open_day] * 22,
            *[self._apply] * 16,
            *[self._answer] * 28,
            *[self._mark] * (160 if self._is_kind else 60),
            *[self._dispute] * (20 if self._is_kind else 8),
            *[self._answer_dispute] * (10 if self._is_kind else 5),
            *[self._terminate] * (2 if self._is_kind else 5),
            *[self._change_group] * 4,
            *[self._request] * 4,
            *[self._freeze] * 3,
            *[self._correct] * 3,
            *[self._set_category] * 4,
            *[self._set_frame] * 4,
            *[self._publish_rules] * 3,
            *[self._pay] * 3,
            self._set_policy,
            self._register_child,
            self._register_provider,
            self._close_enrollment,
            *[self._open_period] * 3,
        ]
        for _ in range(events):
            if self._random.random() < 0.06:
                yield from (self._again(), "")
            else:
                yield from (self._line(*self._random.choice(weighted)()), "")

    def _line(
        self, type_: str, payer: str | None, subject: str, data: dict[str, Any], id_: str = ""
    ) -> str:
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": id_ or f"rough-{len(self._said):05}",
            "source": f"/{type_.partition('.')[0]}",
            "type": f"{type_}.v1",
            "time": f"{self._day}T10:00:00+08:00",
            "subject": subject,
            "data": data,
        }
        if payer is not None:
            # What is there is at home; all else may be said of the wrong municipality.
            is_at_home = type_.endswith(("-registered", "-published"))
            is_lost = not is_at_home and self._random.random() < 0.01
            event["partitionkey"] = self._random.choice(PAYERS) if is_lost else payer
        self._said.append(event)
        return json.dumps(event, ensure_ascii=False)

    def _again(self) -> str:
        """Say something again, now and then with another content."""
        event = self._random.choice(self._said)
        data = dict(event["data"])
        if self._random.random() < 0.4:
            others = {"mark": "ill", "waitlist_ok": False, "nominal_kopecks": 1}
            others |= {"ground": "wrong-child", "evidence": "none"}
            for name in (*others, "reason", "payment_reference"):
                if name in data:
                    data[name] = others.get(name, "Иначе")
        type_ = event["type"].removesuffix(".v1")
        return self._line(type_, event.get("partitionkey"), event["subject"], data)

    def _revision(self, type_: str, subject: str) -> int:
        known = self._revisions.get((type_, subject), 0)
        revision = max(1, known + self._random.choice((1, 1, 1, 1, 2, 0, -1)))
        self._revisions[type_, subject] = max(known, revision)
        return revision

    def _beginning(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        for payer in PAYERS:
            for period in ("2020", "2021"):
                yield self._period(payer, period)
                for category in ("general", "special"):
                    yield self._category(payer, category, period)
                for provider in PROVIDERS:
                    yield self._frame(payer, provider, period, "signed")
        for provider in PROVIDERS:
            yield self._provider(provider, "active")
        for group in GROUPS:
            yield self._group(group)
        for child in CHILDREN:
            yield self._child(child)

    # Words about what there is.

    def _period(self, payer: str, period: str) -> tuple[str, str, str, dict[str, Any]]:
        data = {
            "period": period,
            "starts_on": f"{period}-01-01",
            "ends_on": f"{period}-12-31",
            "basis": "Постановление",
        }
        return "payers.period-opened", payer, period, data

    def _category(
        self, payer: str, category: str, period: str
    ) -> tuple[str, str, str, dict[str, Any]]:
        chance = self._random
        data = {
            "category": category,
            "period": period,
            "unit": "RUB",
            "nominal_kopecks": chance.choice((900_000, 1_000_000, 1_000_001, 1_250_000)),
            "places_max": chance.choice((1, 2, 3, 10)),
            "budget_max_kopecks": chance.choice((2_000_000, 3_500_000, 10**9)),
            "revision": self._revision("category", payer + category + period),
        }
        return "payers.category-set", payer, category, data

    def _frame(
        self, payer: str, provider: str, period: str, state: str
    ) -> tuple[str, str, str, dict[str, Any]]:
        data = {
            "provider_id": provider,
            "period": period,
            "state": state,
            "limit_kopecks": self._random.choice((None,) * 5 + (800_000,)),
            "revision": self._revision("frame", payer + provider + period),
        }
        return "payers.frame-agreement-set", payer, provider, data

    def _provider(self, provider: str, state: str) -> tuple[str, str, str, dict[str, Any]]:
        data = {
            "provider_id": provider,
            "title": "Дом творчества",
            "state": state,
            "revision": self._revision("provider", provider),
        }
        return "navigator.provider-registered", PROVIDERS[provider], provider, data

    def _group(self, group: str) -> tuple[str, str, str, dict[str, Any]]:
        chance = self._random
        starts, ends, lessons = chance.choice(
            (
                ("2020-09-01", "2021-05-31", 72),
                ("2020-09-01", "2021-05-31", 20),
                ("2020-09-01", "2020-09-20", 3),
                ("2020-09-15", "2020-12-31", 40),
                ("2020-06-01", "2021-08-31", 90),
                ("2021-01-11", "2021-05-31", 30),
            )[: 2 if self._is_kind else None]
        )
        data = {
            "group_id": group,
            "provider_id": GROUPS[group],
            "programme_id": "prog-1",
            "title": "Шахматы",
            "registry": chance.choice(("certified",) * (99 if self._is_kind else 19) + ("other",)),
            "direction": "sport",
            "age_min": 4 if self._is_kind else chance.choice((4, 5, 5, 9)),
            "age_max": 18 if self._is_kind else chance.choice((12, 17, 18, 18)),
            "capacity": chance.choice((3, 5, 9) if self._is_kind else (1, 2, 3, 5)),
            "starts_on": starts,
            "ends_on": ends,
            "lessons_total": lessons,
            "price_kopecks": chance.choice((720_000, 1_234_567, 1_800_000)),
            "normative_kopecks": chance.choice((700_001, 1_800_000)),
            "enrollment_open": chance.random() < 0.95,
            "auto_accept": group == "grp-a2",
            "revision": self._revision("group", group),
        }
        return "navigator.group-published", PROVIDERS[GROUPS[group]], group, data

    def _child(self, child: str) -> tuple[str, str, str, dict[str, Any]]:
        payer, birth = CHILDREN[child]
        data = {
            "child_id": child,
            "birth_date": self._random.choice((birth,) * 9 + ("2002-11-11",)),
            "guardian_ids": self._random.choice(
                (["guard-1", "guard-2"],) * (99 if self._is_kind else 9) + (["guard-3"],)
            ),
            "benefits": self._random.choice(([], [], ["b01"], ["b02"])),
            "revision": self._revision("child", child),
        }
        return "navigator.child-registered", payer, child, data

    # Random words.

    def _open_day(self) -> tuple[str, str | None, str, dict[str, Any]]:
        self._day += dt.timedelta(self._random.choice(self._jumps))
        return "calendar.day-opened", None, str(self._day), {"date": str(self._day)}

    def _apply(self) -> tuple[str, str | None, str, dict[str, Any]]:
        chance = self._random
        child = chance.choice([*CHILDREN] * (30 if self._is_kind else 3) + ["child-nobody"])
        payer, _ = CHILDREN.get(child, (PAYERS[0], ""))
        group = chance.choice([*GROUPS] * 5 + ["grp-none"])
        home = PROVIDERS[GROUPS.get(group, "prov-a")]
        enrollment = f"enr-{len(self._applied):03}"
        self._applied[enrollment] = payer
        data = {
            "enrollment_id": enrollment,
            "child_id": child,
            "guardian_id": chance.choice(
                ("guard-1",) * (99 if self._is_kind else 9) + ("guard-2", "guard-3")
            ),
            "group_id": group,
            "group_home": home if chance.random() < 0.98 else chance.choice(PAYERS),
            "parent_share_max_kopecks": chance.choice((0, 100_000) + (5_000_000,) * 10),
            "consents": CONSENTS if chance.random() < 0.95 else CONSENTS[:2],
            "waitlist_ok": chance.random() < 0.7,
        }
        return "navigator.application-submitted", payer, enrollment, data

    def _enrollment(self, *, is_accepted: bool = False) -> tuple[str, str]:
        """Return an enrollment, sometimes one that is not applied for yet, and its payer."""
        chance = self._random
        if is_accepted and self._accepted and chance.random() < 0.85:
            enrollment = chance.choice(self._accepted[-12:] if self._is_kind else self._accepted)
        elif self._applied and chance.random() < 0.8:
            enrollment = chance.choice([*self._applied][-3:])
        else:
            enrollment = f"enr-{chance.randrange(len(self._applied) + 2):03}"
        return enrollment, self._applied.get(enrollment, PAYERS[0])

    def _answer(self) -> tuple[str, str | None, str, dict[str, Any]]:
        enrollment, payer = self._enrollment()
        answer = self._random.choice(("accepted",) * 11 + ("rejected", "withdrawn"))
        data = {"enrollment_id": enrollment}
        if answer == "accepted":
            self._accepted.append(enrollment)
        if answer == "rejected":
            data["reason"] = "Не подходит расписание"
        return f"navigator.application-{answer}", payer, enrollment, data

    def _terminate(self) -> tuple[str, str | None, str, dict[str, Any]]:
        enrollment, payer = self._enrollment(is_accepted=True)
        notice = self._day + dt.timedelta(self._random.choice((-20, -8, -1, 0, 0, 1, 15)))
        data = {
            "enrollment_id": enrollment,
            "by": self._random.choice(("guardian", "provider", "operator")),
            "notice_on": str(notice),
            "reason": "Переезд",
        }
        return "navigator.enrollment-terminated", payer, enrollment, data

    def _mark(self) -> tuple[str, str | None, str, dict[str, Any]]:
        enrollment, payer = self._enrollment(is_accepted=True)
        number, marks = self._random.randrange(8), MARKS
        if self._random.random() < 0.1:  # who is asked about a lesson looks again
            payer, enrollment, lesson_id = self._lesson_said("disputes.lesson-disputed")
            number, marks = int(lesson_id.removeprefix("les-")), ("present", "absent", "cancelled")
        subject = f"{enrollment} {number}"
        lesson = self._day - dt.timedelta(self._random.choice((0, 0, 1, 2, 4, 9, -1, -3, -40)))
        if self._random.random() < 0.8:  # the date it had before
            for event in self._said:
                data = event["data"]
                if "lesson_date" in data and (data["enrollment_id"], data["lesson_id"]) == (
                    enrollment,
                    f"les-{number}",
                ):
                    lesson = dt.date.fromisoformat(data["lesson_date"])
        data = {
            "enrollment_id": enrollment,
            "lesson_id": f"les-{number}",
            "lesson_date": str(lesson),
            "mark": self._random.choice(marks),
            "evidence": "journal",
            "revision": self._revision("mark", subject),
        }
        return "attendance.lesson-marked", payer, enrollment, data

    def _lesson_said(self, word: str) -> tuple[str, str, str]:
        """Return payer, enrollment and lesson of something said lately, or of a random lesson."""
        said = [
            event
            for event in self._said
            if event["type"] == f"{word}.v1" and event["data"].get("mark", "present") == "present"
        ]
        if said and self._random.random() < 0.8:
            about = self._random.choice(said[-10:])
            return about["partitionkey"], about["subject"], about["data"]["lesson_id"]
        enrollment, payer = self._enrollment(is_accepted=True)
        return payer, enrollment, f"les-{self._random.randrange(8)}"

    def _dispute(self) -> tuple[str, str | None, str, dict[str, Any]]:
        payer, enrollment, lesson = self._lesson_said("attendance.lesson-marked")
        data = {
            "enrollment_id": enrollment,
            "lesson_id": lesson,
            "guardian_id": "guard-1",
            "ground": self._random.choice(GROUNDS),
        }
        return "disputes.lesson-disputed", payer, enrollment, data

    def _answer_dispute(self) -> tuple[str, str | None, str, dict[str, Any]]:
        payer, enrollment, lesson = self._lesson_said("disputes.lesson-disputed")
        data = {
            "enrollment_id": enrollment,
            "lesson_id": lesson,
            "by": self._random.choice(("provider", "provider", "payer")),
            "answer": "attended",
            "evidence": self._random.choice(("journal", "qr", "biometric", "none")),
        }
        return "disputes.dispute-answered", payer, enrollment, data

    def _change_group(self) -> tuple[str, str | None, str, dict[str, Any]]:
        return self._group(self._random.choice([*GROUPS]))

    def _request(self) -> tuple[str, str | None, str, dict[str, Any]]:
        child = self._random.choice([*CHILDREN])
        period = self._random.choice(("2020", "2020", "2021"))
        data = {
            "child_id": child,
            "period": period,
            "revision": self._revision("request", child + period),
        }
        return "navigator.certificate-requested", CHILDREN[child][0], child, data

    def _freeze(self) -> tuple[str, str | None, str, dict[str, Any]]:
        child = self._random.choice([*CHILDREN])
        data = {
            "child_id": child,
            "frozen": self._random.random() < 0.5,
            "reason": "Проверка",
            "revision": self._revision("freeze", child),
        }
        return "payers.certificate-freeze-set", CHILDREN[child][0], child, data

    def _correct(self) -> tuple[str, str | None, str, dict[str, Any]]:
        child = self._random.choice([*CHILDREN])
        period = self._random.choice(("2020", "2020", "2021"))
        data = {
            "child_id": child,
            "period": period,
            "nominal_kopecks": self._random.choice((0, 500_000, 1_100_000, 3_000_000)),
            "reason": "Уточнение",
            "revision": self._revision("nominal", child + period),
        }
        return "payers.nominal-corrected", CHILDREN[child][0], child, data

    def _set_category(self) -> tuple[str, str | None, str, dict[str, Any]]:
        chance = self._random
        return self._category(
            chance.choice(PAYERS),
            chance.choice(("general", "special")),
            chance.choice(("2020", "2020", "2021")),
        )

    def _set_frame(self) -> tuple[str, str | None, str, dict[str, Any]]:
        chance = self._random
        return self._frame(
            chance.choice(PAYERS),
            chance.choice([*PROVIDERS]),
            chance.choice(("2020", "2021", "2021")),
            chance.choice(("signed",) * 5 + ("ended",)),
        )

    def _publish_rules(self) -> tuple[str, str | None, str, dict[str, Any]]:
        table, rows = self._random.choice(OVERLAYS)
        first_day = self._day + dt.timedelta(self._random.choice((-5, 0, 0, 3)))
        data = {
            "table": table,
            "from": str(first_day),
            "published": str(self._day),
            "basis": "Постановление",
            "rows": [{**row, "says": "Решение муниципалитета"} for row in rows],
        }
        return "payers.rules-published", self._random.choice(PAYERS), table, data

    def _pay(self) -> tuple[str, str | None, str, dict[str, Any]]:
        chance, payer = self._random, self._random.choice(PAYERS)
        provider = chance.choice([*PROVIDERS])
        month = f"{self._day.replace(day=1) - dt.timedelta(chance.choice((1, 1, 32))):%Y-%m}"
        invoice = f"inv-{payer}-{provider}-{month}"
        data = {
            "invoice_id": invoice,
            "paid_on": str(self._day),
            "payment_reference": "ПП-1",
        }
        return "payers.invoice-paid", payer, invoice, data

    def _set_policy(self) -> tuple[str, str | None, str, dict[str, Any]]:
        chance, payer = self._random, self._random.choice(PAYERS)
        period = chance.choice(("2020", "2020", "2021"))
        data = {
            "period": period,
            "debit_basis": chance.choice(("ATTENDED_LESSONS", "MONTHLY_CONTRACT")),
            "issue_mode": chance.choice(("ON_ENROLLMENT", "ON_ENROLLMENT", "ON_REQUEST")),
            "revision": self._revision("policy", payer + period),
        }
        return "payers.policy-set", payer, period, data

    def _register_child(self) -> tuple[str, str | None, str, dict[str, Any]]:
        return self._child(self._random.choice([*CHILDREN]))

    def _register_provider(self) -> tuple[str, str | None, str, dict[str, Any]]:
        provider = self._random.choice([*PROVIDERS])
        return self._provider(provider, self._random.choice(("active",) * 6 + ("suspended",)))

    def _close_enrollment(self) -> tuple[str, str | None, str, dict[str, Any]]:
        closes_on = self._day + dt.timedelta(self._random.choice((1, 2, 10)))
        period = self._random.choice(("2020", "2021", "2022"))
        data = {"period": period, "closes_on": str(closes_on)}
        return "payers.enrollment-closed", self._random.choice(PAYERS), period, data

    def _open_period(self) -> tuple[str, str | None, str, dict[str, Any]]:
        return self._period(
            self._random.choice(PAYERS), self._random.choice(("2020", "2021", "2022"))
        )
