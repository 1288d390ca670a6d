"""Generate a play file: one autumn of four municipalities, from a seed, with nothing but Python.

    python examples/generate.py --seed 7 --children 120 --days 45 > examples/autumn.jsonl

A play file is CloudEvents, one a line. Days and empty lines are barriers, at which everything is
settled; between two barriers stands only what cannot depend on its order across topics and
payers, so that one outcome exists whatever the speed. `Writer` keeps that rule: an event of
another kind, or of a key that the segment holds already, begins a new segment.

All names, ids, dates and sums are invented. The same arguments make the same bytes.
"""

import argparse
import contextlib
import datetime as dt
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

START = dt.date(2020, 8, 31)
DAY = dt.timedelta(days=1)
YEAR_END = "2020-12-31"
RUBLE = 100
PLENTY = 100_000 * RUBLE
"""What a parent agrees to pay who does not want to think about it."""
ENOUGH = 1_000 * PLENTY

ANGARA, TAIGA, STEPPE, LAKE = "25701000", "25703000", "25714000", "25738000"
PAYERS = (ANGARA, TAIGA, STEPPE, LAKE)
"""By lesson; by lesson, few funded places; by month; by lesson, certificates on request."""

NOMINALS = {ANGARA: 1_200_050, TAIGA: 1_000_000, STEPPE: 1_200_050, LAKE: 930_000}
SPECIAL_NOMINAL = 2_417_100
TAIGA_SPECIALS = 2
"""How many special certificates the second municipality has money for."""
FRAME_LIMIT = 1_500_000

PROVIDERS = (
    ("prov-000", ANGARA, "Дом творчества «Радуга»"),
    ("prov-001", ANGARA, "Спортшкола «Байкал»"),
    ("prov-002", TAIGA, "Технопарк «Ангара»"),
    ("prov-003", TAIGA, "Школа искусств «Лира»"),
    ("prov-004", STEPPE, "Станция юных натуралистов «Кедр»"),
    ("prov-005", STEPPE, "Студия «Солнечный круг»"),
    ("prov-006", LAKE, "Центр «Сибирячок»"),
    ("prov-007", LAKE, "Бассейн «Нерпа»"),
    ("prov-008", LAKE, "Клуб «Вертикаль»"),
)
HOMES = {provider: home for provider, home, _title in PROVIDERS}
WITHOUT_FRAME = {(STEPPE, "prov-003"), (LAKE, "prov-008")}
LIMITED = {(ANGARA, "prov-006")}
ENDED_LATER = (LAKE, "prov-001")
SUSPENDED_LATER = "prov-008"

GROUPS = """\
0|          |Шахматы           |science  |6-15 |big|2020-09-01|2021-05-31|72 |1800000|1800000
0|auto      |Рисование         |arts     |5-12 |big|2020-09-01|2021-05-31|68 |1234500|1234500
0|small     |Театральная студия|arts     |7-16 |2  |2020-09-01|2021-05-31|66 |720000 |720000
0|next      |Зимняя школа      |science  |6-16 |big|2021-01-11|2021-05-31|40 |900000 |900000
1|          |Самбо             |sport    |7-17 |big|2020-09-01|2021-05-31|108|1620000|1800000
1|          |Лыжи              |sport    |8-17 |big|2020-09-15|2021-03-31|84 |1234567|1134567
1|pricey    |Фигурное катание  |sport    |5-14 |big|2020-09-01|2021-05-31|90 |4200000|1800000
2|          |Робототехника     |technical|8-16 |big|2020-09-01|2021-05-31|72 |2100000|1800000
2|auto-small|3D-моделирование  |technical|7-17 |2  |2020-09-10|2021-05-31|68 |900000 |900000
2|short     |Программирование  |technical|8-17 |big|2020-09-01|2020-09-30|4  |400000 |400000
3|          |Хор               |arts     |5-17 |big|2020-09-01|2021-05-31|66 |720000 |720000
3|          |Гитара            |arts     |9-17 |big|2020-09-10|2021-05-31|60 |1440000|1200000
3|other     |Английский язык   |social   |5-17 |big|2020-09-01|2021-05-31|70 |2000000|2000000
4|          |Юный эколог       |science  |6-17 |big|2020-09-01|2021-05-31|64 |810000 |810000
4|auto      |Туризм            |tourism  |9-17 |big|2020-09-05|2021-06-30|80 |1080000|1080000
4|summer    |Летняя экспедиция |tourism  |7-17 |big|2020-06-01|2020-08-31|30 |600000 |600000
5|          |Танцы             |arts     |5-16 |big|2020-09-01|2021-05-31|72 |1350000|1350000
5|closed    |Вокал             |arts     |6-17 |big|2020-09-01|2021-05-31|66 |990000 |990000
6|limited   |Керамика          |arts     |6-16 |big|2020-09-01|2021-05-31|68 |1800000|1800000
6|closing   |Мягкая игрушка    |arts     |5-14 |big|2020-09-01|2021-05-31|60 |540000 |540000
7|          |Плавание          |sport    |6-17 |big|2020-09-01|2021-05-31|72 |1980000|1800000
7|single    |Аквааэробика      |sport    |7-15 |1  |2020-09-15|2021-05-31|70 |1600000|1600000
8|suspended |Скалолазание      |sport    |7-17 |big|2020-09-01|2021-05-31|72 |1500000|1500000
8|teens     |Волонтёры         |social   |14-17|big|2020-09-01|2021-05-31|40 |300000 |300000
"""
"""Provider, role, title, direction, ages, capacity, dates, lessons, price, normative (kopecks).

A role is what a story needs the group for; groups without one, and "auto", are for everybody.
"""

MARKS = {"present": 74, "absent": 8, "ill": 7, "excused": 4, "cancelled": 4, "made-up": 3}
EVIDENCE = {"journal": 75, "qr": 18, "biometric": 4, "none": 3}
CONSENTS = ("application", "terms", "personal-data")
REASONS_TO_REJECT = ("Не подходит расписание", "Группа другого уровня", "Нужна справка врача")
REASONS_TO_PART = ("Переезд", "Изменилось расписание школы", "Ребёнок выбрал другой кружок")

RULES_OF_2021: tuple[tuple[str, str, list[dict[str, Any]]], ...] = (
    (
        STEPPE,
        "certificates.age",
        [
            {
                "id": "young",
                "when": {"age_years": {"below": 8}},
                "then": {"verdict": "too_young"},
                "says": "Ребёнку ещё нет 8 лет",
            },
            {
                "id": "right",
                "when": {"age_years": {"from": 8, "below": 18}},
                "then": {"verdict": "eligible"},
                "says": "Возраст от 8 до 17 лет",
            },
        ],
    ),
    (
        TAIGA,
        "enrollment.days",
        [
            {
                "id": "days",
                "then": {"hold_days": 3, "parking_days": 14},
                "says": "Место удерживается 3 дня",
            }
        ],
    ),
)

# The order of a day: what is said of one kind stands together.
CATALOGUE, FREEZES, SUMS, FRAMES, TERMS, RULES, INVOICES, TASTES, FAMILIES = range(9)
REQUESTS, ACCEPTANCES, REJECTIONS, WITHDRAWALS, PARTINGS, SEARCHES = range(10, 16)
APPLICATIONS, COPIES, BELIEFS, LESSONS, CORRECTIONS = 20, 30, 40, 50, 60


class NobodyLeftError(LookupError):
    """The cast is too small for one more story."""


@dataclass(eq=False, slots=True)
class Group:
    """A group, and the two weekdays it meets on."""

    role: str
    data: dict[str, Any]
    weekdays: tuple[int, int]
    is_big: bool

    @property
    def group_id(self) -> str:
        """Return its id."""
        return str(self.data["group_id"])

    @property
    def provider(self) -> str:
        """Return the id of its provider."""
        return str(self.data["provider_id"])

    @property
    def home(self) -> str:
        """Return the municipality of its provider."""
        return HOMES[self.provider]

    @property
    def is_automatic(self) -> bool:
        """Return whether a held place is accepted without the provider."""
        return bool(self.data["auto_accept"])

    def takes(self, age: int) -> bool:
        """Return whether an age is within its ages."""
        return bool(self.data["age_min"] <= age <= self.data["age_max"])


@dataclass(eq=False, slots=True)
class Child:
    """A child, and the groups it has applied to."""

    child_id: str
    payer: str
    birth: dt.date
    guardians: list[str]
    benefits: list[str]
    has_story: bool = False
    groups: list[Group] = field(default_factory=list)

    def age(self, day: dt.date) -> int:
        """Return full years; nobody here is born on 29 February."""
        is_before_birthday = (day.month, day.day) < (self.birth.month, self.birth.day)
        return day.year - self.birth.year - is_before_birthday


@dataclass(eq=False, slots=True)
class Enrollment:
    """An application, and where the lessons of its agreement are expected."""

    enrollment_id: str
    child: Child
    group: Group
    data: dict[str, Any]
    starts: dt.date | None = None
    ends: dt.date | None = None
    marked: dict[str, dict[str, Any]] = field(default_factory=dict)

    def runs_on(self, day: dt.date) -> bool:
        """Return whether a lesson of a day belongs to the agreement, as far as this play knows."""
        return self.starts is not None and self.ends is not None and self.starts <= day <= self.ends


class Writer:
    """Writes events and keeps apart what would depend on speed."""

    def __init__(self, out: TextIO, seed: int) -> None:
        self._out = out
        self._seed = seed
        self._written = 0
        self._segment = 0
        self._kind: str | None = None
        self._held: dict[Any, Any] = {}
        self.day = START

    def open_day(self, day: dt.date) -> None:
        """Open a business day: a barrier in itself."""
        self.day, self._segment, self._kind, self._held = day, 0, None, {}
        event = self._event("calendar.day-opened.v1", str(day), {"date": str(day)})
        self._print(event | {"id": f"day-{day}"})

    def barrier(self) -> None:
        """Let everything settle here."""
        if self._kind is not None:
            self._out.write("\n")
            self._segment += 1
        self._kind, self._held = None, {}

    def write(
        self,
        type_name: str,
        payer: str,
        subject: str,
        data: dict[str, Any],
        *keys: Any,
        agreed: dict[Any, Any] | None = None,
        kind: str = "",
        alone: bool = False,
    ) -> None:
        """Write an event into the segment of its kind, of which no other may have one of its keys.

        Events of a segment must say the same in `agreed`, where they say the same name.
        """
        agreed, kind = agreed or {}, kind or type_name
        is_apart = (
            alone
            or self._kind != kind
            or any(key in self._held for key in keys)
            or any(self._held.get(name, value) != value for name, value in agreed.items())
        )
        if is_apart:
            self.barrier()
        self._kind = kind
        self._held |= dict.fromkeys(keys) | agreed
        self._print(self._event(type_name, subject, data, payer))
        if alone:
            self.barrier()

    def _event(
        self, type_name: str, subject: str, data: dict[str, Any], payer: str | None = None
    ) -> dict[str, Any]:
        self._written += 1
        hours, minutes = divmod(self._segment % 840, 60)
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"s{self._seed}-{self._written:06}",
            "source": f"/{type_name.partition('.')[0]}",
            "type": type_name,
            "time": f"{self.day}T{9 + hours:02}:{minutes:02}:00+08:00",
            "subject": subject,
        }
        if payer is not None:
            event["partitionkey"] = payer
        return event | {"datacontenttype": "application/json", "data": data}

    def _print(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event, ensure_ascii=False) + "\n")


class Autumn:
    """The play: its cast, what happens to everybody, and what happens to a few."""

    def __init__(self, out: TextIO, *, seed: int, children: int, days: int) -> None:
        self._random = random.Random(seed)
        self._writer = Writer(out, seed)
        self._days = days
        self._places = max(200, 2 * children)
        self._groups = [self._group(*row) for row in enumerate(GROUPS.splitlines())]
        self._by_title = {group.data["title"]: group for group in self._groups}
        self._by_role = {group.role: group for group in self._groups}
        self._usual = [group for group in self._groups if group.role in {"", "auto"}]
        self._children = self._cast(children)
        general = sum(child.payer == TAIGA and not child.benefits for child in self._children)
        self._taiga_places = max(4, general * 45 // 100)
        self._taiga_enrolled = 0
        self._drafts = 0
        self._active: list[Enrollment] = []
        self._revisions: dict[Any, int] = {}
        self._planned: dict[dt.date, list[tuple[int, int, Callable[[], None]]]] = {}
        self._plans = 0
        self._owed: dict[str, set[tuple[str, str]]] = {}
        self._last_day = START - DAY

    # What there is.

    def _group(self, number: int, row: str) -> Group:
        provider, role, title, direction, ages, capacity, *rest = map(str.strip, row.split("|"))
        starts, ends, lessons, price, normative = rest
        low, high = map(int, ages.split("-"))
        is_big = capacity == "big"  # more places than this play has applications
        data = {
            "group_id": f"grp-{number:03}",
            "provider_id": f"prov-{provider:>03}",
            "programme_id": f"prog-{number:03}",
            "title": title,
            "registry": "other" if role == "other" else "certified",
            "direction": direction,
            "age_min": low,
            "age_max": high,
            "capacity": self._places if is_big else int(capacity),
            "starts_on": starts,
            "ends_on": ends,
            "lessons_total": int(lessons),
            "price_kopecks": int(price),
            "normative_kopecks": int(normative),
            "enrollment_open": role != "closed",
            "auto_accept": role.startswith("auto"),
            "revision": 1,
        }
        first = self._random.randrange(4)
        return Group(role, data, (first, first + 2), is_big)

    def _cast(self, number: int) -> list[Child]:
        chance, cast, guardians = self._random, list[Child](), 0
        for n in range(number):
            sibling = chance.choice(cast[-6:]) if cast and chance.random() < 0.2 else None
            if sibling is not None:
                payer, own = sibling.payer, list(sibling.guardians)
            else:
                payer = PAYERS[n % 4] if n < 40 else chance.choice(PAYERS)
                own = [f"guard-{guardians:05}"]
                if chance.random() < 0.15:
                    own.append(f"guard-{guardians + 1:05}")
                guardians += len(own)
            roll = chance.random()
            age = 4 if roll < 0.05 else 18 if roll > 0.97 else chance.randint(6, 16)
            birth = dt.date(START.year - age, chance.randint(1, 8), chance.randint(1, 28))
            benefits = ["b01"] if chance.random() < 0.12 else []
            cast.append(Child(f"child-{n:05}", payer, birth, own, benefits))
        if cast:  # one comes of age while the play runs
            cast[0].birth = dt.date(2002, 9, 15)
        return cast

    def _taken(
        self, payer: str, low: int = 8, high: int = 15, *, benefits: bool | None = False
    ) -> Child:
        """Take a child for a story, one to whom nothing has happened. Raises NobodyLeftError."""
        for child in self._children:
            is_of_age = low <= child.age(START) <= high
            is_entitled = benefits is None or bool(child.benefits) == benefits
            if child.payer == payer and is_of_age and is_entitled and not child.has_story:
                child.has_story = True
                return child
        raise NobodyLeftError

    # When it happens.

    def play(self) -> None:
        """Write all days."""
        self._plan_stories()
        self._plan_everybody()
        for day in self._business_days():
            self._writer.open_day(day)
            if day == START:
                self._set_up()
            self._do_what_is_planned(day)
            self._mark_lessons()
            self._part()
            self._last_day = day

    def _business_days(self) -> Iterator[dt.date]:
        for number in range(self._days):
            day = START + number * DAY
            is_skipped = day.weekday() == 6 or (day.weekday() == 5 and day.day % 3 == 0)
            if not is_skipped:
                yield day

    def _do_what_is_planned(self, day: dt.date) -> None:
        tasks = [
            task for when in list(self._planned) if when <= day for task in self._planned.pop(when)
        ]
        while tasks:
            # What is done may plan for the same day, for a later place in its order.
            for _order, _number, task in sorted(tasks, key=lambda planned: planned[:2]):
                task()
            tasks = self._planned.pop(day, [])

    def _at(self, offset: int, order: int, task: Callable[[], None]) -> None:
        """Plan a task for the first business day at or after an offset from the start."""
        self._plans += 1
        self._planned.setdefault(START + offset * DAY, []).append((order, self._plans, task))

    def _in(self, days: int, order: int, task: Callable[[], None]) -> None:
        """Plan a task for the first business day so many days from now."""
        self._at((self._day - START).days + days, order, task)

    @property
    def _day(self) -> dt.date:
        return self._writer.day

    # What is said.

    def _set_up(self) -> None:
        for payer in PAYERS:
            self._open_period(payer, "2020", "2020-01-01", YEAR_END)
            self._set_category(payer, "general", "2020")
            if payer != STEPPE:
                self._set_category(payer, "special", "2020")
        for payer, basis, mode in (
            (STEPPE, "MONTHLY_CONTRACT", "ON_ENROLLMENT"),
            (LAKE, "ATTENDED_LESSONS", "ON_REQUEST"),
        ):
            self._set_policy(payer, "2020", basis, mode)
        for provider, home, title in PROVIDERS:
            self._register_provider(provider, home, title, "active")
        for group in self._groups:
            self._publish_group(group)
        for payer in PAYERS:
            for provider in HOMES:
                if (payer, provider) not in WITHOUT_FRAME:
                    limit = FRAME_LIMIT if (payer, provider) in LIMITED else None
                    self._set_frame(payer, provider, "2020", limit=limit)
        for child in self._children:
            self._register_child(child)

    def _payers(
        self, name: str, payer: str, subject: str, data: Any, *keys: Any, **how: Any
    ) -> None:
        self._writer.write(f"payers.{name}.v1", payer, subject, data, *keys, **how)

    def _navigator(
        self, name: str, payer: str, subject: str, data: Any, *keys: Any, **how: Any
    ) -> None:
        self._writer.write(f"navigator.{name}.v1", payer, subject, data, *keys, **how)

    def _revision(self, *key: Any) -> int:
        self._revisions[key] = self._revisions.get(key, 0) + 1
        return self._revisions[key]

    def _open_period(self, payer: str, period: str, starts: str, ends: str) -> None:
        data = {
            "period": period,
            "starts_on": starts,
            "ends_on": ends,
            "basis": f"Постановление о программе на {period} год",
        }
        self._payers("period-opened", payer, period, data, kind="set-up")

    def _set_policy(self, payer: str, period: str, basis: str, mode: str) -> None:
        policy = {"period": period, "debit_basis": basis, "issue_mode": mode, "revision": 1}
        self._payers("policy-set", payer, period, policy, kind="set-up")

    def _set_category(
        self,
        payer: str,
        category: str,
        period: str,
        *,
        nominal: int | None = None,
        places: int | None = None,
        is_raise: bool = False,
    ) -> None:
        is_scarce, is_general = payer == TAIGA, category == "general"
        usual = NOMINALS[payer] if is_general else SPECIAL_NOMINAL
        capacity = self._taiga_places if is_scarce and is_general else self._places
        budget = TAIGA_SPECIALS * SPECIAL_NOMINAL if is_scarce and not is_general else ENOUGH
        data = {
            "category": category,
            "period": period,
            "unit": "RUB",
            "nominal_kopecks": usual if nominal is None else nominal,
            "places_max": capacity if places is None else places,
            "budget_max_kopecks": budget,
            "revision": self._revision("category", payer, category, period),
        }
        self._payers("category-set", payer, category, data, kind="set-up", alone=is_raise)

    def _set_frame(
        self,
        payer: str,
        provider: str,
        period: str,
        *,
        limit: int | None = None,
        state: str = "signed",
    ) -> None:
        data = {
            "provider_id": provider,
            "period": period,
            "state": state,
            "limit_kopecks": limit,
            "revision": self._revision("frame", payer, provider, period),
        }
        self._payers("frame-agreement-set", payer, provider, data)

    def _register_provider(self, provider: str, home: str, title: str, state: str) -> None:
        data = {
            "provider_id": provider,
            "title": title,
            "state": state,
            "revision": self._revision("provider", provider),
        }
        self._navigator("provider-registered", home, provider, data, kind="catalogue")

    def _publish_group(self, group: Group, **changes: Any) -> None:
        group.data = group.data | changes | {"revision": self._revision("group", group.group_id)}
        self._navigator(
            "group-published",
            group.home,
            group.group_id,
            group.data,
            kind="catalogue",
            alone=bool(changes),
        )

    def _register_child(self, child: Child, **changes: Any) -> None:
        data = {
            "child_id": child.child_id,
            "birth_date": str(child.birth),
            "guardian_ids": child.guardians,
            "benefits": child.benefits,
            "revision": 1,
        }
        self._navigator(
            "child-registered", child.payer, child.child_id, data | changes, child.child_id
        )

    def _draft(self, child: Child, group: Group, **changes: Any) -> Enrollment:
        """Return an application that is not sent yet."""
        self._drafts += 1
        data = {
            "enrollment_id": f"enr-{self._drafts:05}",
            "child_id": child.child_id,
            "guardian_id": child.guardians[0],
            "group_id": group.group_id,
            "group_home": group.home,
            "parent_share_max_kopecks": PLENTY,
            "consents": [*CONSENTS, "parent-share"],
            "waitlist_ok": False,
        }
        child.groups.append(group)
        return Enrollment(f"enr-{self._drafts:05}", child, group, data | changes)

    def _submit(
        self, enrollment: Enrollment, *, again: bool = False, hopeless: bool = False
    ) -> None:
        """Send an application."""
        child, group = enrollment.child, enrollment.group
        self._navigator(
            "application-submitted",
            child.payer,
            enrollment.enrollment_id,
            enrollment.data,
            child.child_id,
            *(self._scarcities(enrollment) if group.is_automatic else ()),
            # Answers of two municipalities to a third have no order, and certificates are numbered.
            agreed={("home", child.payer): group.home} if group.is_automatic else None,
            alone=not group.is_big,
        )
        if group.is_automatic and group.is_big and not (again or hopeless):
            self._believe_in(enrollment)

    def _scarcities(self, enrollment: Enrollment) -> Iterator[Any]:
        """Yield what accepted enrollments compete for: the last of it must be somebody's alone."""
        payer, provider = enrollment.child.payer, enrollment.group.provider
        if (payer, provider) in LIMITED:
            yield "frame", payer, provider
        if payer == TAIGA:
            is_near_the_last = abs(self._taiga_enrolled - self._taiga_places) <= 6
            if is_near_the_last or enrollment.child.benefits:
                yield "places", payer

    def _believe_in(self, enrollment: Enrollment) -> None:
        """Expect an agreement: lessons from tomorrow as long as the group goes on."""
        data = enrollment.group.data
        enrollment.starts = max(dt.date.fromisoformat(data["starts_on"]), self._day + DAY)
        year_end = f"{enrollment.starts.year}-12-31"
        enrollment.ends = dt.date.fromisoformat(min(data["ends_on"], year_end))
        self._active.append(enrollment)
        self._taiga_enrolled += enrollment.child.payer == TAIGA

    def _accept(self, enrollment: Enrollment, *, in_vain: bool = False) -> None:
        self._answer(enrollment, "application-accepted", *self._scarcities(enrollment))
        if not in_vain:
            self._believe_in(enrollment)

    def _reject(self, enrollment: Enrollment) -> None:
        self._answer(
            enrollment, "application-rejected", reason=self._random.choice(REASONS_TO_REJECT)
        )

    def _withdraw(self, enrollment: Enrollment) -> None:
        reason = {"reason": "Передумали"} if self._random.random() < 0.5 else {}
        self._answer(enrollment, "application-withdrawn", **reason)

    def _terminate(self, enrollment: Enrollment, by: str, notice: int = 0) -> None:
        """Give an agreement up; the notice lies so many days from now."""
        day = self._day + notice * DAY
        reason = self._random.choice(REASONS_TO_PART)
        self._answer(enrollment, "enrollment-terminated", by=by, notice_on=str(day), reason=reason)
        if enrollment.ends is not None:
            enrollment.ends = min(enrollment.ends, max(day, self._day - 10 * DAY))

    def _answer(self, enrollment: Enrollment, name: str, *keys: Any, **more: Any) -> None:
        self._navigator(
            name,
            enrollment.child.payer,
            enrollment.enrollment_id,
            {"enrollment_id": enrollment.enrollment_id} | more,
            enrollment.child.child_id,
            *keys,
            alone=not enrollment.group.is_big,
        )

    def _request_certificate(self, child: Child, period: str = "2020") -> None:
        revision = self._revision("request", child.child_id, period)
        data = {"child_id": child.child_id, "period": period, "revision": revision}
        scarce = ("places", TAIGA) if child.payer == TAIGA else child.child_id
        self._navigator(
            "certificate-requested", child.payer, child.child_id, data, child.child_id, scarce
        )

    def _freeze(self, child: Child, *, frozen: bool) -> None:
        data = {
            "child_id": child.child_id,
            "frozen": frozen,
            "reason": "Проверка сведений" if frozen else "Проверка завершена",
            "revision": self._revision("freeze", child.child_id),
        }
        self._payers("certificate-freeze-set", child.payer, child.child_id, data, child.child_id)

    def _correct(self, child: Child, nominal: int) -> None:
        data = {
            "child_id": child.child_id,
            "period": "2020",
            "nominal_kopecks": nominal,
            "reason": "Уточнение номинала",
            "revision": self._revision("nominal", child.child_id),
        }
        self._payers("nominal-corrected", child.payer, child.child_id, data, child.child_id)

    def _prefer(self, child: Child, **changes: Any) -> None:
        guardian, chance = child.guardians[0], self._random
        channels = chance.choice(
            (
                {"debit": ["cabinet"], "agreement": ["cabinet", "email"]},
                {"application": ["cabinet", "sms"], "debit": ["push"]},
                {"certificate": ["email"], "debit": []},
            )
        )
        data: dict[str, Any] = {"guardian_id": guardian, "channels": channels}
        if chance.random() < 0.6:
            data |= {"quiet_from": "20:00", "quiet_until": "09:00"}
        data["digest"] = chance.random() < 0.5
        if "revision" not in changes:
            data["revision"] = self._revision("taste", guardian)
        self._navigator("preferences-set", child.payer, guardian, data | changes, guardian)

    def _publish_rules(self, payer: str, table: str, rows: list[dict[str, Any]]) -> None:
        data = {
            "table": table,
            "from": str(self._day),
            "published": str(self._day),
            "basis": "Постановление о пропусках занятий",
            "rows": rows,
        }
        self._payers("rules-published", payer, table, data, alone=True)

    def _close_enrollment(self, payer: str, days: int) -> None:
        data = {"period": "2020", "closes_on": str(self._day + days * DAY)}
        self._payers("enrollment-closed", payer, "2020", data, alone=True)

    def _pay(self, payer: str, invoice_id: str, paid_on: dt.date, reference: str) -> None:
        data = {
            "invoice_id": invoice_id,
            "paid_on": str(paid_on),
            "payment_reference": reference,
        }
        self._payers("invoice-paid", payer, invoice_id, data, invoice_id)

    # Lessons.

    def _send_mark(self, enrollment: Enrollment, data: dict[str, Any]) -> None:
        self._writer.write(
            "attendance.lesson-marked.v1",
            enrollment.child.payer,
            enrollment.enrollment_id,
            data,
            (enrollment.enrollment_id, data["lesson_id"]),
        )

    def _mark(self, enrollment: Enrollment, day: dt.date, mark: str = "", **changes: Any) -> None:
        """Say for the first time whether the child was there."""
        data = {
            "enrollment_id": enrollment.enrollment_id,
            "lesson_id": f"les-{day:%m%d}",
            "lesson_date": str(day),
            "mark": mark or self._pick(MARKS),
            "evidence": self._pick(EVIDENCE),
            "revision": 1,
        } | changes
        enrollment.marked[str(data["lesson_id"])] = data
        self._send_mark(enrollment, data)
        self._owed.setdefault(f"{day:%Y-%m}", set()).add(
            (enrollment.child.payer, enrollment.group.provider)
        )

    def _pick(self, weights: dict[str, int]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _mark_lessons(self) -> None:
        """Mark the lessons since the last business day; some late, some with an afterlife."""
        days = [self._last_day + n * DAY for n in range(1, (self._day - self._last_day).days + 1)]
        for enrollment in self._active:
            for day in days:
                is_lesson = day.weekday() in enrollment.group.weekdays and enrollment.runs_on(day)
                if is_lesson and f"les-{day:%m%d}" not in enrollment.marked:
                    self._mark_lesson(enrollment, day)

    def _mark_lesson(self, enrollment: Enrollment, day: dt.date) -> None:
        chance = self._random
        if chance.random() < 0.03:
            self._in(chance.randint(2, 6), LESSONS, lambda: self._mark(enrollment, day))
            return
        self._mark(enrollment, day)
        first = enrollment.marked[f"les-{day:%m%d}"]
        fate, other = chance.random(), first | {"mark": self._pick(MARKS)}
        if fate < 0.045:
            self._mark_again(enrollment, other | {"revision": 2})
        elif fate < 0.055:  # the second correction is heard before the first
            self._mark_again(enrollment, other | {"revision": 3})
            self._mark_again(enrollment, first | {"mark": "absent", "revision": 2}, later=5)
        elif fate < 0.07:  # a copy
            self._mark_again(enrollment, first)
        elif fate < 0.078:  # a contradiction
            mark = "ill" if first["mark"] != "ill" else "present"
            self._mark_again(enrollment, first | {"mark": mark})
        elif fate < 0.082:
            moved = {"lesson_date": str(day - DAY), "revision": 2}
            self._mark_again(enrollment, first | moved)

    def _mark_again(self, enrollment: Enrollment, data: dict[str, Any], later: int = 0) -> None:
        days = later + self._random.randint(1, 4)
        self._in(days, CORRECTIONS, lambda: self._send_mark(enrollment, data))

    # What happens to everybody.

    def _plan_everybody(self) -> None:
        chance = self._random
        for child in self._children:
            if child.has_story:
                continue
            offset = 0 if chance.random() < 0.5 else min(24, int(chance.expovariate(0.13)))
            if child.payer == LAKE and chance.random() < 0.85:
                is_late = chance.random() < 0.15
                asked = offset + chance.randint(6, 12) if is_late else offset
                self._at(asked, REQUESTS, self._of(child, self._request_certificate))
            self._at(offset, SEARCHES, self._of(child, self._seek))
            if chance.random() < 0.25:
                self._at(offset + chance.randint(3, 14), SEARCHES, self._of(child, self._seek))
            if chance.random() < 0.1:
                self._at(1, TASTES, self._of(child, self._prefer))

    @staticmethod
    def _of(child: Child, task: Callable[[Child], None]) -> Callable[[], None]:
        return lambda: task(child)

    def _seek(self, child: Child) -> None:
        """Choose a group, mostly one that fits and is near, and apply."""
        chance, changes = self._random, dict[str, Any]()
        age, roll = child.age(self._day), chance.random()
        is_hopeless = roll < 0.08 or not 5 <= age <= 17
        groups = [
            group
            for group in self._usual
            if group not in child.groups
            and (group.takes(age) or is_hopeless or roll < 0.1)
            and (child.payer, group.provider) not in WITHOUT_FRAME
        ]
        if roll < 0.02:
            changes["guardian_id"] = "guard-stranger"
        elif roll < 0.04:
            changes["consents"] = ["application", "terms"]
        elif roll < 0.08:
            groups = [self._by_role["other" if roll < 0.06 else "closed"]]
        elif roll > 0.97:
            changes |= {"parent_share_max_kopecks": 0, "consents": list(CONSENTS)}
        near = [group for group in groups if group.home == child.payer]
        if not groups:
            return
        group = chance.choice(near if near and chance.random() < 0.6 else groups)
        enrollment = self._draft(child, group, **changes)
        is_hopeless = is_hopeless or not group.takes(age)
        self._in(
            0,
            self._place_in_the_day(group),
            lambda: self._submit(enrollment, hopeless=is_hopeless),
        )
        if not (group.is_automatic or is_hopeless):
            self._await_answer(enrollment)

    @staticmethod
    def _place_in_the_day(group: Group) -> int:
        """Return when to apply: for automatic groups by their home, so that they stand together."""
        return APPLICATIONS + (1 + PAYERS.index(group.home) if group.is_automatic else 0)

    def _await_answer(self, enrollment: Enrollment) -> None:
        days, roll = self._random.choice((1, 1, 2, 3)), self._random.random()
        if roll < 0.82:
            self._in(days, ACCEPTANCES, lambda: self._accept(enrollment))
        elif roll < 0.87:
            self._in(days, REJECTIONS, lambda: self._reject(enrollment))
        elif roll < 0.92:
            self._in(days, WITHDRAWALS, lambda: self._withdraw(enrollment))

    def _part(self) -> None:
        """Some give up; agreements that are over are forgotten."""
        chance, day = self._random, self._day
        for enrollment in self._active:
            may_part = not enrollment.child.has_story and enrollment.runs_on(day)
            if may_part and chance.random() < 0.004:
                by = chance.choice(("guardian", "guardian", "provider", "operator"))
                self._terminate(enrollment, by, chance.choice((-15, -3, 0, 0, 7)))
        self._active = [
            enrollment
            for enrollment in self._active
            if enrollment.ends is not None and enrollment.ends > day
        ]

    # What happens to a few.

    def _plan_stories(self) -> None:
        for story in (
            self._story_of_age,
            self._story_of_refusals,
            self._story_of_a_waiting_list,
            self._story_of_automatic_places,
            self._story_of_a_single_place,
            self._story_of_a_frame_limit,
            self._story_of_a_frozen_certificate,
            self._story_of_a_suspended_provider,
            self._story_of_early_words,
            self._story_of_strangers,
            self._story_of_wrong_answers,
            self._story_of_wrong_marks,
            self._story_of_a_short_course,
            self._story_of_late_marks,
            self._story_of_an_october_termination,
            self._story_of_corrected_nominals,
            self._story_of_raises,
            self._story_of_rules,
            self._story_of_requests,
            self._story_of_contradictions,
            self._story_of_next_year,
            self._story_of_closing,
            self._story_of_invoices,
            self._story_of_a_new_year,
        ):
            with contextlib.suppress(NobodyLeftError):
                story()

    def _applying(self, offset: int, child: Child, group: Group, **changes: Any) -> Enrollment:
        """Plan an application of a story."""
        enrollment = self._draft(child, group, **changes)
        self._at(offset, self._place_in_the_day(group), lambda: self._submit(enrollment))
        return enrollment

    def _accepting(self, offset: int, enrollment: Enrollment, *, in_vain: bool = False) -> None:
        self._at(offset, ACCEPTANCES, lambda: self._accept(enrollment, in_vain=in_vain))

    def _enrolling(self, offset: int, child: Child, group: Group) -> Enrollment:
        """Plan an application and, a day later, its acceptance."""
        enrollment = self._applying(offset, child, group)
        self._accepting(offset + 1, enrollment)
        return enrollment

    def _believing(self, offset: int, enrollment: Enrollment) -> None:
        self._at(offset, BELIEFS, lambda: self._believe_in(enrollment))

    def _rejecting(self, offset: int, enrollment: Enrollment) -> None:
        self._at(offset, REJECTIONS, lambda: self._reject(enrollment))

    def _withdrawing(self, offset: int, enrollment: Enrollment) -> None:
        self._at(offset, WITHDRAWALS, lambda: self._withdraw(enrollment))

    def _terminating(self, offset: int, enrollment: Enrollment, by: str, notice: int = 0) -> None:
        self._at(offset, PARTINGS, lambda: self._terminate(enrollment, by, notice))

    def _freezing(self, offset: int, child: Child, *, frozen: bool) -> None:
        self._at(offset, FREEZES, lambda: self._freeze(child, frozen=frozen))

    def _correcting(self, offset: int, child: Child, nominal: int) -> None:
        self._at(offset, SUMS, lambda: self._correct(child, nominal))

    def _marking(self, offset: int, enrollment: Enrollment, lesson: int, **changes: Any) -> None:
        """Plan a mark of a lesson, both given by their offset from the start."""
        day = START + lesson * DAY
        self._at(offset, LESSONS, lambda: self._mark(enrollment, day, "present", **changes))

    def _story_of_age(self) -> None:
        """Somebody comes of age: the agreement ends the day before, the certificate closes."""
        child = self._children[0]
        child.has_story = True
        self._enrolling(1, child, self._by_title["Программирование"])
        self._applying(18, child, self._by_role["teens"])

    def _story_of_refusals(self) -> None:
        """Two families try everything that cannot be; the very young and the grown try a choir."""
        chess, choir = self._by_title["Шахматы"], self._by_title["Хор"]
        for payer, last in ((ANGARA, self._by_role["teens"]), (STEPPE, choir)):
            child = self._taken(payer, benefits=None)
            for offset, role in enumerate(("other", "summer", "next", "closed"), start=1):
                self._applying(offset, child, self._by_role[role])
            self._applying(5, child, last)
            self._applying(7, child, chess, guardian_id="guard-stranger")
            self._applying(8, child, chess, consents=list(CONSENTS))
            self._applying(9, child, chess)
            self._applying(10, child, chess)
        for payer in PAYERS:
            for age in (4, 18):
                with contextlib.suppress(NobodyLeftError):
                    self._applying(1, self._taken(payer, age, age, benefits=None), choir)

    def _story_of_a_waiting_list(self) -> None:
        """Two places and six families: one refused at once, four served or gone in their turn."""
        group = self._by_role["small"]
        payers = (TAIGA, STEPPE, ANGARA, LAKE, ANGARA, LAKE)
        # The provider never answers the second family; the third does not want to wait.
        first, _, _, patient, eager, fickle = (
            self._applying(2, self._taken(payer, benefits=None), group, waitlist_ok=number != 2)
            for number, payer in enumerate(payers)
        )
        self._accepting(3, first)
        self._accepting(4, eager, in_vain=True)  # waits for its place
        self._withdrawing(7, fickle)
        self._terminating(10, first, "guardian")
        self._accepting(11, patient)
        self._believing(15, eager)  # when the hold of the second expires
        late = self._applying(17, self._taken(STEPPE), group, waitlist_ok=True)
        self._at(18, CATALOGUE, lambda: self._publish_group(group, capacity=3))
        self._accepting(19, late)
        self._applying(20, self._taken(STEPPE), group, waitlist_ok=True)

    def _story_of_automatic_places(self) -> None:
        """Whoever waits is enrolled as soon as there is a place."""
        group = self._by_role["auto-small"]
        first, second, third, fourth = (
            self._applying(3, self._taken(payer, benefits=None), group, waitlist_ok=True)
            for payer in (TAIGA, ANGARA, LAKE, TAIGA)
        )
        self._believing(3, first)
        self._believing(3, second)
        self._terminating(16, second, "provider")
        self._believing(16, third)
        self._at(22, CATALOGUE, lambda: self._publish_group(group, capacity=3))
        self._believing(22, fourth)

    def _story_of_a_single_place(self) -> None:
        """One place goes from hand to hand."""
        one, two, three, _refused = (
            self._applying(
                4, self._taken(payer, benefits=None), self._by_role["single"], waitlist_ok=n < 3
            )
            for n, payer in enumerate((LAKE, STEPPE, ANGARA, LAKE))
        )
        self._withdrawing(7, one)
        self._rejecting(8, two)
        self._accepting(9, three)
        self._applying(
            12, self._taken(LAKE, benefits=None), self._by_role["single"], waitlist_ok=True
        )

    def _story_of_a_frame_limit(self) -> None:
        """The municipality agreed to pay for one course and a half."""
        for number in range(3):
            enrollment = self._applying(5, self._taken(ANGARA), self._by_role["limited"])
            self._accepting(7, enrollment, in_vain=number > 0)

    def _story_of_a_frozen_certificate(self) -> None:
        """A certificate is issued, its enrollment costs more than agreed; then it is frozen."""
        child, sambo, chess = (
            self._taken(ANGARA),
            self._by_title["Самбо"],
            self._by_title["Шахматы"],
        )
        dear = self._by_role["pricey"]
        costly = self._applying(3, child, dear, parent_share_max_kopecks=100 * RUBLE)
        self._accepting(4, costly, in_vain=True)
        self._freezing(8, child, frozen=True)
        self._accepting(10, self._applying(9, child, sambo), in_vain=True)
        self._freezing(14, child, frozen=False)
        self._enrolling(15, child, chess)
        busy = self._taken(STEPPE)
        self._enrolling(1, busy, chess)
        self._freezing(8, busy, frozen=True)

    def _story_of_a_suspended_provider(self) -> None:
        group = self._by_role["suspended"]
        title = next(title for provider, _home, title in PROVIDERS if provider == SUSPENDED_LATER)

        def turn(state: str) -> None:
            self._register_provider(SUSPENDED_LATER, group.home, title, state)

        self._enrolling(2, self._taken(TAIGA, benefits=None), group)
        self._at(7, CATALOGUE, lambda: turn("suspended"))
        self._applying(8, self._taken(STEPPE, benefits=None), group)
        self._at(26, CATALOGUE, lambda: turn("active"))
        self._enrolling(28, self._taken(STEPPE, benefits=None), group)

    def _story_of_early_words(self) -> None:
        """Marks are heard before their application, an application before its child."""
        enrollment = self._enrolling(9, self._taken(ANGARA), self._by_title["Шахматы"])
        self._marking(4, enrollment, 7)
        self._marking(5, enrollment, 11)
        child = Child("child-newcomer", ANGARA, dt.date(2010, 4, 12), ["guard-newcomer"], [])
        sambo = self._by_title["Самбо"]
        self._accepting(8, self._applying(4, child, sambo))
        self._at(7, FAMILIES, lambda: self._register_child(child))

    def _story_of_strangers(self) -> None:
        """Words about what nobody knows: they wait 30 days and are given up."""
        chess = self._by_title["Шахматы"]
        nobody = Child("child-unknown", TAIGA, dt.date(2010, 1, 1), ["guard-unknown"], [])
        self._applying(2, nobody, chess)
        unheard = Group("", chess.data | {"group_id": "grp-unknown"}, (0, 2), is_big=True)
        self._applying(2, self._taken(STEPPE, benefits=None), unheard)
        never_sent = self._draft(nobody, chess)
        self._accepting(3, never_sent, in_vain=True)
        self._withdrawing(3, never_sent)
        self._marking(3, never_sent, 3)
        self._correcting(9, nobody, 5_000 * RUBLE)
        self._freezing(9, nobody, frozen=True)

    def _story_of_wrong_answers(self) -> None:
        """Answers to what is decided, agreements given up before they begin, a frame that ended."""
        chess, swimming = self._by_title["Шахматы"], self._by_title["Плавание"]
        enrolled = self._enrolling(0, self._taken(TAIGA), chess)
        rejected = self._applying(0, self._taken(STEPPE), chess)
        self._rejecting(1, rejected)
        self._rejecting(4, enrolled)
        self._accepting(4, rejected, in_vain=True)
        for by in ("guardian", "provider"):
            held = self._applying(2, self._taken(LAKE, benefits=None), swimming)
            self._terminating(4, held, by)
        hesitant = self._applying(17, self._taken(LAKE), self._by_title["Лыжи"])
        self._at(19, FRAMES, lambda: self._set_frame(*ENDED_LATER, "2020", state="ended"))
        self._accepting(21, hesitant, in_vain=True)

    def _story_of_wrong_marks(self) -> None:
        """Lessons before the agreement, far ahead, and one that was moved."""
        enrollment = self._enrolling(0, self._taken(ANGARA), self._by_title["Хор"])
        self._marking(2, enrollment, 0, lesson_id="les-before")
        self._marking(3, enrollment, 20, lesson_id="les-soon")
        self._marking(3, enrollment, 50, lesson_id="les-far")
        self._marking(14, enrollment, 11, lesson_id="les-moved")
        self._marking(16, enrollment, 12, lesson_id="les-moved", revision=2)

    def _story_of_a_short_course(self) -> None:
        """A month with more lessons held than paid; a correction makes room for one of them."""
        group = self._by_title["Программирование"]
        first = 3 + (group.weekdays[0] - 3) % 7
        lessons = [first + days for days in (0, 2, 7, 9, 14, 16)]
        for payer in (ANGARA, TAIGA):
            enrollment = self._enrolling(0, self._taken(payer), group)
            for lesson in lessons:
                self._marking(lesson, enrollment, lesson)
            self._at(25, CORRECTIONS, self._unmarking(enrollment, START + lessons[1] * DAY))

    def _unmarking(self, enrollment: Enrollment, day: dt.date) -> Callable[[], None]:
        def unmark() -> None:
            data = enrollment.marked[f"les-{day:%m%d}"]
            self._send_mark(enrollment, data | {"mark": "absent", "revision": 2})

        return unmark

    def _story_of_late_marks(self) -> None:
        """An agreement ends; a lesson before its end is remembered when its money is back."""
        enrollment = self._enrolling(0, self._taken(TAIGA), self._by_title["Хор"])
        self._terminating(12, enrollment, "guardian")
        self._marking(16, enrollment, 15, lesson_id="les-after")
        self._marking(26, enrollment, 8, lesson_id="les-forgotten")

    def _story_of_an_october_termination(self) -> None:
        """Under a monthly contract an end in September gives October back."""
        enrollment = self._enrolling(1, self._taken(STEPPE), self._by_title["Юный эколог"])
        self._terminating(32, enrollment, "operator", -2)

    def _story_of_corrected_nominals(self) -> None:
        chess, swimming = self._by_title["Шахматы"], self._by_title["Плавание"]
        lucky, spent = self._taken(STEPPE), self._taken(TAIGA)
        for child in (lucky, spent):
            self._enrolling(0, child, chess)
        counted = self._taken(LAKE)
        self._enrolling(2, counted, swimming)
        self._correcting(14, lucky, 15_000 * RUBLE)
        self._correcting(14, spent, 0)  # more is reserved already
        self._correcting(14, counted, 5_000 * RUBLE)  # an accounting certificate
        self._correcting(20, lucky, 13_000 * RUBLE)

    def _story_of_raises(self) -> None:
        """A higher nominal, more funded places, and a nominal there is no money for."""
        more = self._taiga_places + max(3, len(self._children) // 30)

        def raising(offset: int, payer: str, category: str, nominal: int, **how: Any) -> None:
            self._at(
                offset,
                TERMS,
                lambda: self._set_category(
                    payer, category, "2020", nominal=nominal, is_raise=True, **how
                ),
            )

        raising(17, ANGARA, "general", 13_000 * RUBLE)
        raising(21, TAIGA, "general", 10_500 * RUBLE, places=more)
        raising(23, TAIGA, "special", 30_000 * RUBLE)

    def _story_of_rules(self) -> None:
        """One payer charges absences without a reason; two publish what cannot be."""
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
        for payer, table, rows in (
            (ANGARA, "billing.charging", [missed, absent]),
            (TAIGA, "billing.charging", [missed]),
            (LAKE, "billing.weather", [missed, absent]),
        ):
            self._at(21, RULES, self._publishing(payer, table, rows))

    def _publishing(self, payer: str, table: str, rows: list[dict[str, Any]]) -> Callable[[], None]:
        return lambda: self._publish_rules(payer, table, rows)

    def _story_of_requests(self) -> None:
        """Certificates without an enrollment: one of them frozen, one of a period nobody opened."""
        child = self._taken(LAKE)
        self._at(2, REQUESTS, lambda: self._request_certificate(child))
        self._at(5, REQUESTS, lambda: self._request_certificate(child, "2022"))
        self._at(9, REQUESTS, lambda: self._request_certificate(child))
        self._freezing(12, child, frozen=True)
        self._freezing(21, child, frozen=False)
        for number in range(TAIGA_SPECIALS + 1):
            with contextlib.suppress(NobodyLeftError):
                entitled = self._taken(TAIGA, 5, 17, benefits=True)
                self._at(3 + number, REQUESTS, self._of(entitled, self._request_certificate))
        for payer in PAYERS:
            with contextlib.suppress(NobodyLeftError):
                young = self._taken(payer, 4, 4, benefits=None)
                self._at(5, REQUESTS, self._of(young, self._request_certificate))

    def _story_of_contradictions(self) -> None:
        """What was said is said again: the same, the same with a difference, and the older word."""
        child = self._taken(STEPPE)
        enrollment = self._enrolling(1, child, self._by_title["Танцы"])

        def contradict() -> None:
            enrollment.data = enrollment.data | {"waitlist_ok": True}
            self._submit(enrollment, again=True)

        self._at(3, COPIES, lambda: self._submit(enrollment, again=True))
        self._at(4, COPIES, contradict)
        self._accepting(10, enrollment, in_vain=True)
        two = [*child.guardians, "guard-second"]
        families: dict[int, dict[str, Any]] = {
            7: {},
            8: {"benefits": ["b01"]},
            9: {"guardian_ids": two, "revision": 3},
            10: {"guardian_ids": two, "revision": 2},
        }
        for offset, changes in families.items():
            self._at(offset, FAMILIES, self._registering(child, changes))
        tastes: dict[int, dict[str, Any]] = {
            1: {},
            16: {},
            22: {"revision": 1},
            23: {"revision": 2, "channels": {"debit": ["sms"]}},
        }
        for offset, changes in tastes.items():
            self._at(offset, TASTES, self._preferring(child, changes))

    def _registering(self, child: Child, changes: dict[str, Any]) -> Callable[[], None]:
        return lambda: self._register_child(child, **changes)

    def _preferring(self, child: Child, changes: dict[str, Any]) -> Callable[[], None]:
        return lambda: self._prefer(child, **changes)

    def _story_of_next_year(self) -> None:
        """One municipality opens 2021 in autumn: a certificate is renewed for the winter school."""

        def open_next_year() -> None:
            self._open_period(ANGARA, "2021", "2021-01-01", "2021-12-31")
            self._set_category(ANGARA, "general", "2021", nominal=13_500 * RUBLE)
            self._set_frame(ANGARA, "prov-000", "2021")

        winter = self._by_role["next"]
        child = self._taken(ANGARA)
        self._enrolling(3, child, self._by_title["Самбо"])
        self._at(24, TERMS, open_next_year)
        self._accepting(26, self._applying(25, child, winter), in_vain=True)
        self._applying(26, self._taken(STEPPE), winter)

    def _story_of_closing(self) -> None:
        """A group takes nobody any more, then a municipality."""
        group = self._by_role["closing"]
        self._enrolling(3, self._taken(STEPPE), group)
        self._at(23, CATALOGUE, lambda: self._publish_group(group, enrollment_open=False))
        self._applying(24, self._taken(STEPPE), group)
        self._at(30, TERMS, lambda: self._close_enrollment(LAKE, 1))
        self._at(30, TERMS, lambda: self._close_enrollment(LAKE, 4))
        self._applying(35, self._taken(LAKE, benefits=None), self._by_title["Плавание"])

    def _story_of_invoices(self) -> None:
        """The invoices of the 6th are paid on the 7th, mostly; some twice, one too early."""
        early = f"inv-{ANGARA}-prov-000-2020-12"
        self._at(20, INVOICES, lambda: self._pay(ANGARA, early, self._day, "ПП 1"))
        for offset in range(self._days):
            day = START + offset * DAY
            if day.day == 7 and day.month > START.month:
                self._at(offset, INVOICES, self._paying(f"{day.replace(day=1) - DAY:%Y-%m}"))

    def _story_of_a_new_year(self) -> None:
        """All municipalities open 2021, two with another policy; most children seek again.

        It happens only in a play that lasts so long, and chance is asked only then.
        """
        self._at(119, TERMS, self._open_new_year)
        self._at(119, SEARCHES, self._seek_again)
        self._at(136, TERMS, self._come_too_late)

    def _open_new_year(self) -> None:
        self._taiga_enrolled = 0
        for payer in PAYERS:
            if payer != ANGARA:  # which has done it in autumn
                self._open_period(payer, "2021", "2021-01-01", "2021-12-31")
                self._set_category(payer, "general", "2021")
            self._set_category(payer, "special", "2021")
        self._set_policy(ANGARA, "2021", "MONTHLY_CONTRACT", "ON_REQUEST")
        self._set_policy(LAKE, "2021", "MONTHLY_CONTRACT", "ON_ENROLLMENT")
        for payer in PAYERS:
            for provider in HOMES:
                if (payer, provider) not in WITHOUT_FRAME:
                    limit = FRAME_LIMIT if (payer, provider) in LIMITED else None
                    self._set_frame(payer, provider, "2021", limit=limit)

        for payer, table, rows in RULES_OF_2021:
            self._publish_rules(payer, table, rows)

    def _seek_again(self) -> None:
        chance = self._random
        for child in self._children:
            if chance.random() < 0.7:
                offset = chance.randint(0, 30)
                self._in(offset, SEARCHES, self._of(child, self._seek))
                if child.payer == ANGARA:
                    task = self._of(child, self._request_next_certificate)
                    self._in(max(0, offset + chance.randint(-2, 4)), REQUESTS, task)

    def _request_next_certificate(self, child: Child) -> None:
        self._request_certificate(child, "2021")

    def _come_too_late(self) -> None:
        """The books of 2020 are closed."""
        self._correct(self._children[1], 20_000 * RUBLE)
        self._set_category(TAIGA, "general", "2020", nominal=20_000 * RUBLE, is_raise=True)

    def _paying(self, month: str) -> Callable[[], None]:
        def pay() -> None:
            for number, (payer, provider) in enumerate(sorted(self._owed.get(month, ()))):
                invoice_id, reference = f"inv-{payer}-{provider}-{month}", f"ПП {number + 1}"
                if number % 4 != 3:
                    self._pay(payer, invoice_id, self._day, reference)
                if number < 2:
                    self._in(1, INVOICES, self._paying_again(payer, invoice_id, "ПП 1"))

        return pay

    def _paying_again(self, payer: str, invoice_id: str, reference: str) -> Callable[[], None]:
        paid_on = self._day
        return lambda: self._pay(payer, invoice_id, paid_on, reference)


def main() -> None:
    """Write a play file to standard output."""
    parser = argparse.ArgumentParser(description="Generate a play file.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--children", type=int, default=120)
    parser.add_argument("--days", type=int, default=45, help="calendar days; some are skipped")
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    Autumn(sys.stdout, seed=options.seed, children=options.children, days=options.days).play()


if __name__ == "__main__":
    main()
