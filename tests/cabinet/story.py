"""A family's autumn, told in facts: two children, three groups, money, a refusal, a queue.

All names, sums and dates are made up.
"""

from typing import Any

from tests.cabinet.journals import PAYER, Journals, input_of, purse

GUARDIAN = "guardian-00012"
ELDER = "child-00027"
YOUNGER = "child-00028"
NUMBER = "7010000157"
WAITING_NUMBER = "7010000231"
ROBOTS = "enr-00101"
CHESS = "enr-00102"
CLIMBING = "enr-00103"
PAINTING = "enr-00104"
PROVIDER = "prov-000"


def why(text: str) -> dict[str, str]:
    """Return an explanation without a table."""
    return {"text": text}


def group(group_id: str, title: str, **changes: Any) -> dict[str, Any]:
    """Return a published group."""
    return {
        "group_id": group_id,
        "provider_id": PROVIDER,
        "programme_id": "prog-000",
        "title": title,
        "registry": "certified",
        "direction": "technical",
        "age_min": 7,
        "age_max": 14,
        "capacity": 12,
        "starts_on": "2020-09-01",
        "ends_on": "2021-05-31",
        "lessons_total": 72,
        "price_kopecks": 1_800_000,
        "normative_kopecks": 1_800_000,
        "enrollment_open": True,
        "auto_accept": False,
        "revision": 1,
    } | changes


def terms(published: dict[str, Any]) -> dict[str, Any]:
    """Return the terms of a published group."""
    left_out = {"capacity", "enrollment_open"}
    return {k: v for k, v in published.items() if k not in left_out} | {"group_home": PAYER}


def application(enrollment_id: str, child_id: str, group_id: str) -> dict[str, Any]:
    """Return an application of the family."""
    return {
        "enrollment_id": enrollment_id,
        "child_id": child_id,
        "guardian_id": GUARDIAN,
        "group_id": group_id,
        "group_home": PAYER,
        "parent_share_max_kopecks": 0,
        "consents": ["application", "terms", "personal-data"],
        "waitlist_ok": True,
    }


GROUPS = {
    "grp-000": group("grp-000", "Робототехника: первые шаги"),
    "grp-001": group("grp-001", "Шахматы для начинающих", direction="science"),
    "grp-002": group("grp-002", "Скалолазание", direction="sport", capacity=1),
    "grp-003": group("grp-003", "Акварель", direction="arts", age_min=10),
}


async def set_the_scene(journals: Journals) -> None:
    """Payer, category, provider, groups, the children of the family."""
    journals.day = "2020-08-30"
    await journals.noted(
        "enrollment",
        "payers.period-opened",
        {
            "period": "2020",
            "starts_on": "2020-01-01",
            "ends_on": "2020-12-31",
            "basis": "Постановление 1",
        },
    )
    await journals.noted("certificates", "payers.category-set", category())
    await journals.noted(
        "enrollment",
        "navigator.provider-registered",
        {
            "provider_id": PROVIDER,
            "title": "Дом творчества «Кедр»",
            "state": "active",
            "revision": 1,
        },
    )
    for published in GROUPS.values():
        await journals.fact(
            "enrollment.group-changed",
            places(published["group_id"], published["capacity"]),
            input_=input_of("navigator.group-published", published),
        )
    for child_id, born in ((ELDER, "2010-04-17"), (YOUNGER, "2013-02-03")):
        await register_child(journals, child_id, born, [GUARDIAN])


def category(**changes: Any) -> dict[str, Any]:
    """Return what the payer sets for the general category."""
    return {
        "category": "general",
        "period": "2020",
        "unit": "RUB",
        "nominal_kopecks": 1_000_000,
        "places_max": 1,
        "budget_max_kopecks": 5_000_000,
        "revision": 1,
    } | changes


def places(group_id: str, capacity: int, taken: int = 0, waiting: int = 0) -> dict[str, Any]:
    """Return the numbers of a group."""
    return {"group_id": group_id, "capacity": capacity, "taken": taken, "waiting": waiting}


async def register_child(
    journals: Journals, child_id: str, born: str, guardians: list[str], **more: Any
) -> None:
    """A child is known, or known anew."""
    data = {
        "child_id": child_id,
        "birth_date": born,
        "guardian_ids": guardians,
        "benefits": [],
        "revision": 1,
    }
    await journals.noted("enrollment", "navigator.child-registered", data, **more)


async def apply_for(journals: Journals, enrollment_id: str, child_id: str, group_id: str) -> None:
    """An application is registered."""
    await journals.fact(
        "enrollment.application-registered",
        {
            "enrollment_id": enrollment_id,
            "child_id": child_id,
            "group_id": group_id,
            "guardian_id": GUARDIAN,
        },
        input_=input_of(
            "navigator.application-submitted", application(enrollment_id, child_id, group_id)
        ),
    )


async def ask_for_place(
    journals: Journals, enrollment_id: str, group_id: str, taken: int, waiting: int = 0
) -> None:
    """The group's municipality gives a place or a turn."""
    await journals.fact(
        "enrollment.group-changed",
        places(group_id, GROUPS[group_id]["capacity"], taken, waiting),
        input_=input_of(
            "enrollment.place-requested",
            {
                "enrollment_id": enrollment_id,
                "child_payer": PAYER,
                "group_id": group_id,
                "waitlist_ok": True,
            },
        ),
    )


async def hold(journals: Journals, enrollment_id: str, child_id: str, group_id: str) -> None:
    """A place is held until the provider accepts."""
    await journals.fact(
        "enrollment.place-held",
        {
            "enrollment_id": enrollment_id,
            "child_id": child_id,
            "terms": terms(GROUPS[group_id]),
            "held_until": "2020-09-25",
        },
    )


def enrolled(enrollment_id: str, child_id: str, group_id: str) -> dict[str, Any]:
    """Return that a child is enrolled."""
    return {
        "enrollment_id": enrollment_id,
        "child_id": child_id,
        "terms": terms(GROUPS[group_id]),
        "starts_on": "2020-09-01",
        "ends_on": "2020-12-31",
        "period": "2020",
        "parent_share_max_kopecks": 0,
        "guardian_id": GUARDIAN,
    }


async def issue(journals: Journals) -> None:
    """The elder child gets a certificate of 10,000.00."""
    await journals.fact(
        "certificates.certificate-issued",
        {
            "child_id": ELDER,
            "certificate_number": NUMBER,
            "state": "FUNDED",
            "category": "general",
            "period": "2020",
            "valid_from": "2020-08-31",
            "valid_until": "2020-12-31",
            "nominal_kopecks": 1_000_000,
            "guardian_ids": [GUARDIAN],
            "why": why(
                "Возраст от 5 до 17 лет: сертификат общей категории. "
                "Его номинал 10 000,00 ₽, действует по 31 декабря 2020 года."
            ),
        },
    )
    await journals.fact(
        "billing.account-opened",
        about_money(period="2020", purse=purse(1_000_000)),
    )


def about_money(**data: Any) -> dict[str, Any]:
    """Return a fact of billing about the elder child's certificate."""
    return {"child_id": ELDER, "certificate_number": NUMBER} | data


async def reserve(journals: Journals) -> None:
    """Money is set aside for robots (docs/rules.md, W1), the agreement comes into force."""
    data = enrolled(ROBOTS, ELDER, "grp-000")
    await journals.fact("enrollment.child-enrolled", data)
    await journals.fact(
        "billing.funds-reserved",
        about_money(
            enrollment_id=ROBOTS,
            provider_id=PROVIDER,
            debit_basis="ATTENDED_LESSONS",
            starts_on="2020-09-01",
            ends_on="2020-12-31",
            total_kopecks=804_396,
            certificate_share_kopecks=804_396,
            parent_share_kopecks=0,
            lessons=32,
            lesson_share_kopecks=25_137,
            first_lesson_extra_kopecks=12,
            purse=purse(195_604, 804_396),
            why=why(
                "До 31 декабря 32 занятия по 251,37 ₽. По сертификату 8 043,96 ₽, доплаты нет."
            ),
        ),
        input_=input_of("enrollment.child-enrolled", data),
    )
    await journals.fact(
        "enrollment.agreement-activated",
        {
            "enrollment_id": ROBOTS,
            "child_id": ELDER,
            "provider_id": PROVIDER,
            "starts_on": "2020-09-01",
            "ends_on": "2020-12-31",
            "certificate_share_kopecks": 804_396,
            "parent_share_kopecks": 0,
        },
    )


def lesson(date: str, mark: str, revision: int = 1) -> dict[str, Any]:
    """Return what facts about a lesson of robots have in common."""
    return {
        "enrollment_id": ROBOTS,
        "lesson_id": f"les-{date}",
        "lesson_date": date,
        "mark": mark,
        "revision": revision,
    }


async def charge(
    journals: Journals,
    date: str,
    amount: int,
    after: dict[str, int],
    charged: int,
    on: str | None = None,
) -> str:
    """A lesson is charged, on its own day or another one. Returns the id of the fact."""
    journals.day = on or date
    text = f"Ребёнок был на занятии. Списано {amount // 100},{amount % 100:02d} ₽."
    return await journals.fact(
        "billing.lesson-charged",
        about_money(
            **lesson(date, "present"),
            provider_id=PROVIDER,
            amount_kopecks=amount,
            lessons_charged=charged,
            lessons_left=32 - charged,
            purse=after,
            why=why(text),
        ),
        cause=("attendance.events.v1", charged),
        input_=input_of(
            "attendance.lesson-marked", lesson(date, "present") | {"evidence": "journal"}
        ),
    )


async def message(
    journals: Journals,
    id_: str,
    channel: str,
    category: str,
    template: str,
    event_ids: list[str],
) -> None:
    """The guardian is to be told."""
    await journals.fact(
        "notifications.message-due",
        {
            "message_id": id_,
            "recipient_id": GUARDIAN,
            "channel": channel,
            "category": category,
            "template": template,
            "template_version": 1,
            "not_before": f"{journals.day}T10:00:00+08:00",
            "event_ids": event_ids,
        },
    )


async def lessons(journals: Journals) -> None:
    """Three lessons of robots: one attended, one missed, one attended (docs/rules.md, W5)."""
    first = await charge(journals, "2020-09-02", 25_149, purse(195_604, 779_247, 25_149), 1)
    await message(journals, "msg-1", "cabinet", "debit", "lesson-charged", [first])
    await message(journals, "msg-2", "email", "debit", "lesson-charged", [first])
    journals.day = "2020-09-05"
    await journals.fact(
        "billing.lesson-not-charged",
        about_money(
            **lesson("2020-09-05", "ill"),
            reason="ill",
            why=why("Ребёнок болел, занятие не посещено. Деньги не списаны."),
        ),
    )
    await charge(journals, "2020-09-09", 25_137, purse(195_604, 754_110, 50_286), 2)


async def reverse_first(journals: Journals) -> None:
    """The provider corrects the first mark, and the very amount goes back."""
    journals.day = "2020-09-11"
    await journals.fact(
        "billing.charge-reversed",
        about_money(
            **lesson("2020-09-02", "absent", 2),
            provider_id=PROVIDER,
            amount_kopecks=25_149,
            lessons_charged=1,
            lessons_left=31,
            purse=purse(195_604, 779_259, 25_137),
            why=why("Организация исправила отметку: ребёнка не было. Вернули 251,49 ₽."),
        ),
    )


async def end(journals: Journals, ended_on: str, cause: str = "guardian") -> None:
    """The agreement about robots ends with a day, which may be still to come."""
    await journals.fact(
        "enrollment.enrollment-ended",
        {"enrollment_id": ROBOTS, "child_id": ELDER, "ended_on": ended_on, "cause": cause},
    )


async def tell_all(journals: Journals) -> None:
    """The whole story, up to the middle of September."""
    await set_the_scene(journals)
    journals.day = "2020-08-31"
    await apply_for(journals, ROBOTS, ELDER, "grp-000")
    await ask_for_place(journals, ROBOTS, "grp-000", 1)
    await hold(journals, ROBOTS, ELDER, "grp-000")
    await issue(journals)
    await reserve(journals)
    await lessons(journals)
    await reverse_first(journals)
    await charge(journals, "2020-09-12", 25_149, purse(195_604, 754_110, 50_286), 2)
    journals.day = "2020-09-14"
    await apply_for(journals, CHESS, ELDER, "grp-001")
    await ask_for_place(journals, CHESS, "grp-001", 1)
    await hold(journals, CHESS, ELDER, "grp-001")
    await ask_for_place(journals, "enr-09999", "grp-002", 1)
    await apply_for(journals, CLIMBING, YOUNGER, "grp-002")
    await ask_for_place(journals, CLIMBING, "grp-002", 1, 1)
    await journals.fact(
        "enrollment.application-waitlisted",
        {"enrollment_id": CLIMBING, "child_id": YOUNGER, "position": 1},
    )
    refused = await journals.fact(
        "enrollment.application-refused",
        {
            "enrollment_id": PAINTING,
            "child_id": YOUNGER,
            "reason": "age_outside_group",
            "why": why(
                "Группа «Акварель» принимает детей от 10 до 14 лет, а ребёнку сейчас 7 лет. "
                "Выберите группу по возрасту."
            ),
        },
        input_=input_of(
            "navigator.application-submitted", application(PAINTING, YOUNGER, "grp-003")
        ),
    )
    await message(journals, "msg-3", "cabinet", "application", "application-refused", [refused])
    await queue_younger(journals)


async def queue_younger(journals: Journals) -> None:
    """The younger child has a certificate without money and waits for some."""
    about = {
        "child_id": YOUNGER,
        "certificate_number": WAITING_NUMBER,
        "category": "general",
        "period": "2020",
    }
    await journals.fact(
        "certificates.certificate-issued",
        about
        | {
            "state": "ACCOUNTING",
            "valid_from": "2020-09-14",
            "valid_until": "2020-12-31",
            "nominal_kopecks": 0,
            "guardian_ids": [GUARDIAN],
            "why": why("Сертификат № 7010000231 пока без денег: все места категории заняты."),
        },
    )
    queued = await journals.fact(
        "certificates.certificate-queued",
        about
        | {
            "position": 1,
            "why": why(
                "Сертификат стоит в очереди на деньги, место 1: все места категории заняты. "
                "Когда очередь подойдёт, деньги поступят сами."
            ),
        },
    )
    await message(journals, "msg-4", "cabinet", "certificate", "certificate-queued", [queued])


def about_dispute(date: str, amount: int, **data: Any) -> dict[str, Any]:
    """Return what facts about a dispute of a lesson of robots have in common."""
    return about_money(
        enrollment_id=ROBOTS,
        provider_id=PROVIDER,
        lesson_id=f"les-{date}",
        lesson_date=date,
        amount_kopecks=amount,
        **data,
    )


async def dispute(journals: Journals, date: str, amount: int) -> None:
    """The family says that the child was not there."""
    said = {
        "enrollment_id": ROBOTS,
        "lesson_id": f"les-{date}",
        "guardian_id": GUARDIAN,
        "ground": "was-absent",
    }
    told = why("Семья сообщает, что ребёнка не было на занятии.")
    await journals.fact(
        "billing.dispute-opened",
        about_dispute(date, amount, ground="was-absent", why=told),
        input_=input_of("disputes.lesson-disputed", said),
    )


async def uphold(journals: Journals, date: str, amount: int) -> None:
    """The provider answers that it was."""
    said = {
        "enrollment_id": ROBOTS,
        "lesson_id": f"les-{date}",
        "by": "provider",
        "answer": "attended",
        "evidence": "qr",
    }
    told = why("Организация ответила, что ребёнок был на занятии. Списание остаётся.")
    await journals.fact(
        "billing.dispute-settled",
        about_dispute(date, amount, outcome="upheld", by="provider", evidence="qr", why=told),
        input_=input_of("disputes.dispute-answered", said),
    )


async def correct(journals: Journals, date: str, amount: int) -> None:
    """The mark is corrected: the debit goes back, and the dispute with it."""
    await journals.fact(
        "billing.charge-reversed",
        about_money(
            **lesson(date, "absent", 2),
            provider_id=PROVIDER,
            amount_kopecks=amount,
            lessons_charged=1,
            lessons_left=31,
            purse=purse(195_604, 754_110 + amount, 50_286 - amount),
            why=why("Организация исправила отметку: ребёнка не было."),
        ),
    )
    told = why("Вопрос о занятии решён: списание отменено.")
    await journals.fact(
        "billing.dispute-settled", about_dispute(date, amount, outcome="corrected", why=told)
    )
