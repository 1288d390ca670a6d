"""Makes play files: a region's autumn, invented, with everything that goes wrong in one.

    python examples/generate.py --seed 7 --children 110 --days 48 > examples/autumn.jsonl

Between two barriers (an empty line, a calendar event) stand only events that do not depend on each
other across topics or payers, so that a file has one outcome whatever the speed: what competes for
the last place of a small group stands alone. All ids are invented; there are no names of people.
Standard library only; the same arguments give the same bytes.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

FIRST_DAY = date(2020, 8, 28)
PERIOD = {"period": "2020", "starts_on": "2020-01-01", "ends_on": "2020-12-31"}
CONSENTS = ["application", "terms", "personal-data"]
BATCH_MAX = 14
"""So many events that do not depend on each other stand between two barriers."""

PAYERS = ("25701000", "25703000", "25714000", "25738000")
"""By lesson; by lesson with few funded places; by month; by lesson, certificates on request."""

PROVIDERS = (
    ("prov-raduga", "Дом творчества «Радуга»", "25701000"),
    ("prov-baikal", "Спортивная школа «Байкал»", "25701000"),
    ("prov-kvant", "Технопарк «Квант»", "25703000"),
    ("prov-lira", "Школа искусств «Лира»", "25703000"),
    ("prov-sokol", "Детский клуб «Сокол»", "25714000"),
    ("prov-tropa", "Станция туристов «Тропа»", "25714000"),
    ("prov-angara", "Центр «Ангара»", "25738000"),
    ("prov-iskra", "Студия «Искра»", "25738000"),
)
COURSES = (
    ("Шахматы", "science", 6, 14, 72, 1_800_000),
    ("Робототехника", "technical", 8, 16, 64, 2_100_000),
    ("Плавание", "sport", 5, 12, 96, 1_440_000),
    ("Театральная студия", "arts", 7, 17, 60, 1_234_567),
    ("Юный турист", "tourism", 9, 17, 40, 960_000),
    ("Краеведение", "social", 8, 15, 48, 720_000),
)
REASONS = ("Переезд", "Не подходит расписание", "Сменили кружок")


@dataclass
class Group:
    """A group as the generator remembers it."""

    id: str
    provider_id: str
    payer: str
    data: dict[str, Any]

    @property
    def is_contended(self) -> bool:
        """Return whether applications compete for its places."""
        return self.data["capacity"] < 10


@dataclass
class Child:
    """A child as the generator remembers it."""

    id: str
    payer: str
    guardian_id: str
    data: dict[str, Any]


@dataclass
class Enrollment:
    """An enrollment as the generator believes it to be."""

    id: str
    child: Child
    group: Group
    data: dict[str, Any]
    lessons: dict[str, tuple[str, int, str]] = field(default_factory=dict)


class Region:
    """Writes events of a region, day by day."""

    def __init__(self, seed: int, children: int, days: int) -> None:
        self.random = random.Random(seed)
        self.children_number = children
        self.days_number = days
        self.lines: list[str] = []
        self.today = FIRST_DAY
        self.number = 0
        self.groups: list[Group] = []
        self.children: list[Child] = []
        self.enrollments: list[Enrollment] = []

    # --- writing ---------------------------------------------------------------------------

    def event(
        self, type_: str, payer: str | None, subject: str, data: dict[str, Any]
    ) -> dict[str, Any]:
        """Return a CloudEvent of today with the next id."""
        self.number += 1
        made = {
            "specversion": "1.0",
            "id": f"e-{self.number:06d}",
            "source": f"/{type_.partition('.')[0]}",
            "type": f"{type_}.v1",
            "time": f"{self.today}T{9 + self.number % 10:02d}:{self.number % 60:02d}:00+08:00",
            "subject": subject,
        }
        if payer is not None:
            made["partitionkey"] = payer
        return made | {"datacontenttype": "application/json", "data": data}

    def write(self, *events: dict[str, Any]) -> None:
        """Write events and a barrier."""
        self.lines += [json.dumps(event, ensure_ascii=False) for event in events]
        if events:
            self.lines.append("")

    def write_batches(self, events: Iterable[dict[str, Any]]) -> None:
        """Write events that do not depend on each other, a few between two barriers."""
        waiting = list(events)
        for first in range(0, len(waiting), BATCH_MAX):
            self.write(*waiting[first : first + BATCH_MAX])

    def copy(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return the same event under a new id."""
        self.number += 1
        return event | {"id": f"e-{self.number:06d}"}

    def open_day(self, day: date) -> None:
        """Open a business day."""
        self.today = day
        made = self.event("calendar.day-opened", None, str(day), {"date": str(day)})
        self.lines.append(json.dumps(made | {"id": f"day-{day}"}, ensure_ascii=False))

    # --- the beginning ---------------------------------------------------------------------

    def begin(self) -> None:
        """Say what municipalities and providers say before an autumn."""
        self.open_day(self.today)
        self.write(*(self._period(payer) for payer in PAYERS))
        self.write(
            self._policy("25714000", "MONTHLY_CONTRACT", "ON_ENROLLMENT"),
            self._policy("25738000", "ATTENDED_LESSONS", "ON_REQUEST"),
        )
        self.write(
            self._category("25701000", "general", 1_200_050, 1_000, 10**11),
            self._category("25701000", "special", 2_417_100, 3, 7_251_300),
            self._category(
                "25703000", "general", 1_000_000, max(8, self.children_number // 9), 10**11
            ),
            self._category("25714000", "general", 1_200_050, 1_000, 10**11),
            self._category("25738000", "general", 330_000, 1_000, 10**11),
        )
        self.write(
            *(
                self.event(
                    "navigator.provider-registered",
                    payer,
                    id_,
                    {"provider_id": id_, "title": title, "state": "active", "revision": 1},
                )
                for id_, title, payer in PROVIDERS
            )
        )
        self._make_groups()
        self.write_batches(
            self.event("navigator.group-published", group.payer, group.id, group.data)
            for group in self.groups
        )
        self.write_batches(self._frames())
        self._make_children()
        self.write_batches(
            self.event("navigator.child-registered", child.payer, child.id, child.data)
            for child in self.children
        )
        self.write_batches(
            self._preferences(child) for child in self.children[::9] if child.data["guardian_ids"]
        )

    def _period(self, payer: str) -> dict[str, Any]:
        return self.event(
            "payers.period-opened", payer, "2020", PERIOD | {"basis": "Постановление 101"}
        )

    def _policy(self, payer: str, basis: str, mode: str) -> dict[str, Any]:
        data = {"period": "2020", "debit_basis": basis, "issue_mode": mode, "revision": 1}
        return self.event("payers.policy-set", payer, "2020", data)

    def _category(
        self, payer: str, category: str, nominal: int, places: int, budget: int, revision: int = 1
    ) -> dict[str, Any]:
        data = {
            "category": category,
            "period": "2020",
            "unit": "RUB",
            "nominal_kopecks": nominal,
            "places_max": places,
            "budget_max_kopecks": budget,
            "revision": revision,
        }
        return self.event("payers.category-set", payer, category, data)

    def _frames(self) -> Iterable[dict[str, Any]]:
        for payer in PAYERS:
            for place, (provider_id, _, _) in enumerate(PROVIDERS):
                if (payer, provider_id) == ("25738000", "prov-tropa"):
                    continue  # No frame agreement: an application there is refused.
                limit = 6_000_000 if (payer, place) == ("25703000", 0) else None
                data = {
                    "provider_id": provider_id,
                    "period": "2020",
                    "state": "signed",
                    "limit_kopecks": limit,
                    "revision": 1,
                }
                yield self.event("payers.frame-agreement-set", payer, provider_id, data)

    def _make_groups(self) -> None:
        for place, (provider_id, _, payer) in enumerate(PROVIDERS):
            for number in range(3):
                title, direction, age_min, age_max, lessons, price = COURSES[
                    (place + 2 * number) % len(COURSES)
                ]
                starts_on, ends_on = (
                    ("2020-09-15", "2020-11-20") if number == 2 else ("2020-09-01", "2021-05-31")
                )
                id_ = f"grp-{provider_id.removeprefix('prov-')}-{number}"
                data = {
                    "group_id": id_,
                    "provider_id": provider_id,
                    "programme_id": f"prog-{place:02d}",
                    "title": title,
                    "registry": "general" if (place, number) == (7, 1) else "certified",
                    "direction": direction,
                    "age_min": age_min,
                    "age_max": age_max,
                    "capacity": 2 if number == 0 and place % 2 == 0 else 500,
                    "starts_on": starts_on,
                    "ends_on": ends_on,
                    "lessons_total": lessons,
                    "price_kopecks": price,
                    "normative_kopecks": min(price, 1_800_000),
                    "enrollment_open": (place, number) != (4, 1),
                    "auto_accept": number == 1 or place == 6,
                    "revision": 1,
                }
                self.groups.append(Group(id_, provider_id, payer, data))

    def _make_children(self) -> None:
        for number in range(self.children_number):
            birth = date(2002, 9, 20) + timedelta(days=self.random.randrange(0, 365 * 14))
            if number % 3:
                birth = date(2006, 1, 1) + timedelta(days=self.random.randrange(0, 365 * 8))
            guardian = f"guard-{number // 2:05d}"
            data = {
                "child_id": f"child-{number:05d}",
                "birth_date": str(birth),
                "guardian_ids": [guardian],
                "benefits": ["b01"] if number % 11 == 5 else [],
                "revision": 1,
            }
            child = Child(data["child_id"], PAYERS[number % 4], guardian, data)
            self.children.append(child)

    def _preferences(self, child: Child) -> dict[str, Any]:
        channels = self.random.choice(
            [{"debit": ["email"]}, {"debit": []}, {"application": ["cabinet", "push"]}]
        )
        data = {
            "guardian_id": child.guardian_id,
            "channels": channels,
            "quiet_from": "20:30",
            "quiet_until": "08:30",
            "digest": False,
            "revision": 1,
        }
        return self.event("navigator.preferences-set", child.payer, child.guardian_id, data)

    # --- applications ----------------------------------------------------------------------

    def apply(self, children: Iterable[Child]) -> None:
        """Let children apply; what competes for a place stands alone."""
        alone: list[dict[str, Any]] = []
        together: list[dict[str, Any]] = []
        for child in children:
            group = self._group_for(child)
            made = self._application(child, group)
            (alone if group.is_contended else together).append(made)
        # Two of one child may depend on each other: never between the same barriers.
        seen: set[str] = set()
        batch: list[dict[str, Any]] = []
        for made in together:
            child_id = made["data"]["child_id"]
            if child_id in seen or len(batch) >= BATCH_MAX:
                self.write(*batch)
                batch, seen = [], set()
            batch.append(made)
            seen.add(child_id)
        self.write(*batch)
        for made in alone:
            self.write(made)
        repeated = self.random.sample(together, min(2, len(together)))
        self.write(*(self.copy(made) for made in repeated))
        if alone:
            other = self.copy(alone[0])
            self.write(
                other | {"data": other["data"] | {"waitlist_ok": not other["data"]["waitlist_ok"]}}
            )

    def _group_for(self, child: Child) -> Group:
        """Return a group, mostly one that takes children of this age."""
        age = (self.today - date.fromisoformat(child.data["birth_date"])).days // 365
        fitting = [
            group
            for group in self.groups
            if group.data["age_min"] <= age <= group.data["age_max"]
            and group.data["enrollment_open"]
        ]
        if fitting and self.random.random() < 0.85:
            return self.random.choice(fitting)
        return self.random.choice(self.groups)

    def _application(self, child: Child, group: Group) -> dict[str, Any]:
        chance = self.random.random()
        share = self.random.choice((0, 1_000_000, 5_000_000, 5_000_000))
        consents = [*CONSENTS, "parent-share"] if share else list(CONSENTS)
        if chance < 0.03:
            consents = CONSENTS[:2]
        data = {
            "enrollment_id": f"enr-{len(self.enrollments):05d}",
            "child_id": child.id,
            "guardian_id": "guard-99999" if 0.03 <= chance < 0.06 else child.guardian_id,
            "group_id": group.id,
            "group_home": group.payer,
            "parent_share_max_kopecks": share,
            "consents": consents,
            "waitlist_ok": self.random.random() < 0.6,
        }
        self.enrollments.append(Enrollment(data["enrollment_id"], child, group, data))
        return self.event(
            "navigator.application-submitted", child.payer, data["enrollment_id"], data
        )

    def answer(self) -> None:
        """Let providers accept or reject, and some guardians withdraw."""
        answers, withdrawals = [], []
        for enrollment in self.enrollments:
            chance, payer = self.random.random(), enrollment.child.payer
            data = {"enrollment_id": enrollment.id}
            if chance < 0.05:
                made = self.event("navigator.application-withdrawn", payer, enrollment.id, data)
                withdrawals.append(made)
            elif chance < 0.10:
                data = data | {"reason": REASONS[1]}
                made = self.event("navigator.application-rejected", payer, enrollment.id, data)
                withdrawals.append(made)
            elif chance < 0.90 and not enrollment.group.data["auto_accept"]:
                made = self.event("navigator.application-accepted", payer, enrollment.id, data)
                answers.append(made)
        self.write_batches(answers)
        # A place that comes back serves who waits: one at a time.
        for made in withdrawals:
            self.write(made)

    def request(self, payer: str) -> None:
        """Ask for certificates where they are issued on request."""
        self.write_batches(
            self.event(
                "navigator.certificate-requested",
                payer,
                child.id,
                {"child_id": child.id, "period": "2020", "revision": 1},
            )
            for child in self.children
            if child.payer == payer and self.random.random() < 0.8
        )

    # --- lessons ---------------------------------------------------------------------------

    def lesson(self) -> None:
        """Mark today's lessons, with copies, corrections, mistakes, early and late ones."""
        marks, later, wrong = [], [], []
        for enrollment in self.enrollments:
            is_hopeless = len(enrollment.data["consents"]) < 3
            if self.random.random() < (0.95 if is_hopeless else 0.55):
                continue
            marks.append(self._mark(enrollment, self.today))
            chance = self.random.random()
            if chance < 0.05:
                later.append(self.copy(marks[-1]))
            elif chance < 0.08:
                other = self.copy(marks[-1])
                wrong.append(other | {"data": other["data"] | {"evidence": "biometric"}})
            elif chance < 0.11:
                wrong.append(self._mark(enrollment, self.today + timedelta(days=40)))
            elif chance < 0.14:
                wrong.append(self._mark(enrollment, self.today + timedelta(days=3)))
        self.write_batches(marks)
        self.write_batches([*later, *wrong])
        self._correct()
        if self.random.random() < 0.2:
            unknown = Enrollment(f"enr-9{self.number:04d}", self.children[0], self.groups[0], {})
            self.write(self._mark(unknown, self.today))

    def _mark(self, enrollment: Enrollment, day: date) -> dict[str, Any]:
        lesson_id = f"les-{len(enrollment.lessons):03d}"
        mark = self.random.choices(
            ("present", "absent", "ill", "excused", "cancelled", "made-up"),
            (70, 10, 8, 4, 5, 3),
        )[0]
        enrollment.lessons[lesson_id] = (str(day), 1, mark)
        return self._marked(enrollment, lesson_id)

    def _marked(self, enrollment: Enrollment, lesson_id: str) -> dict[str, Any]:
        day, revision, mark = enrollment.lessons[lesson_id]
        data = {
            "enrollment_id": enrollment.id,
            "lesson_id": lesson_id,
            "lesson_date": day,
            "mark": mark,
            "evidence": "journal",
            "revision": revision,
        }
        return self.event("attendance.lesson-marked", enrollment.child.payer, enrollment.id, data)

    def _correct(self) -> None:
        corrected: list[dict[str, Any]] = []
        for enrollment in self.random.sample(self.enrollments, len(self.enrollments) // 12):
            if not enrollment.lessons:
                continue
            lesson_id = self.random.choice(sorted(enrollment.lessons))
            day, revision, mark = enrollment.lessons[lesson_id]
            other = "absent" if mark in ("present", "made-up") else "present"
            # The later word may be heard first: then the one before it is a copy of the past.
            skipped = self.random.random() < 0.3
            enrollment.lessons[lesson_id] = (day, revision + (2 if skipped else 1), other)
            corrected.append(self._marked(enrollment, lesson_id))
        self.write_batches(corrected)

    # --- what else happens -----------------------------------------------------------------

    def terminate(self) -> None:
        """End some agreements; each may free a place."""
        for enrollment in self.random.sample(self.enrollments, max(1, len(self.enrollments) // 40)):
            notice = self.today + timedelta(days=self.random.choice((-20, -3, 0, 5)))
            data = {
                "enrollment_id": enrollment.id,
                "by": self.random.choice(("guardian", "provider", "operator")),
                "notice_on": str(notice),
                "reason": REASONS[0],
            }
            self.write(
                self.event(
                    "navigator.enrollment-terminated", enrollment.child.payer, enrollment.id, data
                )
            )

    def correct_nominals(self) -> None:
        """Freeze, unfreeze and correct some certificates."""
        chosen = self.random.sample(self.children, min(10, len(self.children)))
        freezes = [self._freeze(child, frozen=True, revision=1) for child in chosen[:6]]
        self.write(*freezes)
        self.write(*(self._nominal(child) for child in chosen[4:]))
        self.write(*(self._freeze(child, frozen=False, revision=2) for child in chosen[:4]))

    def _freeze(self, child: Child, *, frozen: bool, revision: int) -> dict[str, Any]:
        data = {
            "child_id": child.id,
            "frozen": frozen,
            "reason": "Проверка" if frozen else "Проверено",
            "revision": revision,
        }
        return self.event("payers.certificate-freeze-set", child.payer, child.id, data)

    def _nominal(self, child: Child) -> dict[str, Any]:
        data = {
            "child_id": child.id,
            "period": "2020",
            "nominal_kopecks": self.random.choice((0, 500_000, 1_300_000)),
            "reason": "Уточнение",
            "revision": 1,
        }
        return self.event("payers.nominal-corrected", child.payer, child.id, data)

    def publish_rules(self) -> None:
        """Publish a whole overlay for one payer and one with a gap for another."""
        missed = {
            "id": "missed",
            "when": {"mark": ["ill", "excused", "cancelled"]},
            "then": {"charge": False},
            "says": "Уважительная причина",
        }
        absent = {
            "id": "absent",
            "when": {"mark": ["absent"]},
            "then": {"charge": True},
            "says": "Пропуск без причины оплачивается",
        }
        for payer, rows in (("25701000", [missed, absent]), ("25703000", [missed])):
            data = {
                "table": "billing.charging",
                "from": str(self.today - timedelta(days=2)),
                "published": str(self.today),
                "basis": "Постановление 112",
                "rows": rows,
            }
            self.write(self.event("payers.rules-published", payer, "billing.charging", data))

    def pay_invoices(self) -> None:
        """Pay what should be invoiced by now, once more, and what never was."""
        month = (self.today.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
        paid = []
        for provider_id, _, payer in PROVIDERS[::2]:
            invoice_id = f"inv-{payer}-{provider_id}-{month}"
            data = {
                "invoice_id": invoice_id,
                "paid_on": str(self.today),
                "payment_reference": f"ПП-{len(paid) + 1}",
            }
            paid.append(self.event("payers.invoice-paid", payer, invoice_id, data))
        self.write(*paid)
        self.write(self.copy(paid[0]))

    def change_groups(self) -> None:
        """Give a full group more places, and suspend a provider and let it on again."""
        group = next(group for group in self.groups if group.is_contended)
        data = group.data | {"capacity": 3, "revision": 2}
        self.write(self.event("navigator.group-published", group.payer, group.id, data))
        id_, title, payer = PROVIDERS[5]
        for revision, state in ((2, "suspended"), (3, "active")):
            data = {"provider_id": id_, "title": title, "state": state, "revision": revision}
            self.write(self.event("navigator.provider-registered", payer, id_, data))
            self.apply(self.random.sample(self.children, 3))

    def raise_nominals(self) -> None:
        """Raise a nominal for all who hold it, and the number of funded places of another."""
        self.write(self._category("25701000", "general", 1_300_000, 1_000, 10**11, 2))
        places = max(8, self.children_number // 9) + 2
        self.write(self._category("25703000", "general", 1_000_000, places, 10**11, 2))

    def close_enrollment(self) -> None:
        """Close the period for new applications, too late and in time."""
        for days in (1, 5):
            data = {"period": "2020", "closes_on": str(self.today + timedelta(days=days))}
            self.write(self.event("payers.enrollment-closed", "25738000", "2020", data))

    # --- all of it -------------------------------------------------------------------------

    def run(self) -> list[str]:
        """Return the lines of the file."""
        self.begin()
        day = date(2020, 8, 31)
        half = len(self.children) // 2
        lessons_begin = date(2020, 9, 1)
        for number in range(self.days_number):
            if day.weekday() == 6:
                day += timedelta(days=1)
            self.open_day(day)
            match number:
                case 0:
                    self.request("25738000")
                    self.apply(self.children)
                    self.apply(self.random.sample(self.children, half // 3))
                case 1:
                    self.answer()
                case 8:
                    self.publish_rules()
                case 12:
                    self.change_groups()
                case 15:
                    self.correct_nominals()
                case 18:
                    self.raise_nominals()
                case 22:
                    self.close_enrollment()
                case _ if number % 9 == 5:
                    self.apply(self.random.sample(self.children, max(2, half // 10)))
                    self.terminate()
            if day >= lessons_begin and number % 3 != 1:
                self.lesson()
            if day.day in (7, 8) and day.month > 9:
                self.pay_invoices()
            day += timedelta(days=1)
        return self.lines


def main() -> int:
    """Write a play file to standard output."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--children", type=int, default=110)
    parser.add_argument("--days", type=int, default=48)
    arguments = parser.parse_args()
    region = Region(arguments.seed, arguments.children, arguments.days)
    sys.stdout.write("\n".join(region.run()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
