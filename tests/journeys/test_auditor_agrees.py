"""The services and the auditor, who share nothing but the rules, count the same."""

import pytest

from tests.support.chess import (
    PAYER,
    Words,
    beginning,
    day,
    mark,
    play_file,
    rules,
    terminated,
)
from tests.support.outcome import AUTUMN, segments
from tests.support.rough_play import WIDE_JUMPS, RoughPlay
from tests.support.second_opinion import (
    audited,
    differences,
    disagreements,
    generated,
    in_memory,
    played,
)

pytestmark = pytest.mark.slow

PERIOD, CATEGORY, FRAME, PROVIDER, GROUP, CHILD, APPLICATION = beginning()
BEFORE_THE_GROUP = (PERIOD, CATEGORY, FRAME, PROVIDER)
GROUP_OF_TWO_LESSONS = GROUP._replace(data=GROUP.data | {"lessons_total": 6})
AUTUMN_PERIOD = PERIOD._replace(
    subject="2020-autumn",
    data=PERIOD.data | {"period": "2020-autumn", "starts_on": "2020-09-01"},
)
GROUP_THAT_ASKS = GROUP._replace(data=GROUP.data | {"auto_accept": False})
ACCEPTED = Words("navigator.application-accepted", PAYER, "enr-anna", {"enrollment_id": "enr-anna"})
INVOICES_EARLIER = {
    "id": "days",
    "then": {"parking_days": 30, "grace_days": 10, "invoice_day": 3},
    "says": "Счета составляются третьего числа",
}

CORRECTED_FOR_LONG = {
    "id": "days",
    "then": {"parking_days": 30, "grace_days": 40, "invoice_day": 1},
    "says": "Исправления принимаются сорок дней",
}
ABSENCE_CHARGED = [
    {
        "id": "missed",
        "when": {"mark": ["ill", "excused", "cancelled"]},
        "then": {"charge": False},
        "says": "Уважительная причина",
    },
    {
        "id": "absent",
        "when": {"mark": ["absent"]},
        "then": {"charge": True},
        "says": "Пропуск оплачивается",
    },
]
MONTHLY = Words(
    "payers.policy-set",
    PAYER,
    "2020",
    {
        "period": "2020",
        "debit_basis": "MONTHLY_CONTRACT",
        "issue_mode": "ON_ENROLLMENT",
        "revision": 1,
    },
)


def requested(revision: int) -> Words:
    data = {"child_id": "child-anna", "period": "2020", "revision": revision}
    return Words("navigator.certificate-requested", PAYER, "child-anna", data)


def grown_up(birthday: str) -> tuple[Words, ...]:
    """A certificate without money is closed, since its child was born on another day."""
    child = CHILD._replace(data=CHILD.data | {"birth_date": birthday, "revision": 2})
    return CHILD, requested(1), child


async def agreed(lines: list[str], seed: int = 0) -> None:
    told = await disagreements(lines, seed)

    assert not told, "\n".join([f"{len(told)} differences:", *told[:40]])


async def test_they_agree_on_the_autumn_of_the_examples() -> None:
    await agreed(AUTUMN.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("seed", range(1, 4))
async def test_they_agree_on_an_autumn(seed: int) -> None:
    await agreed(generated(seed, children=40, days=45), seed)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            (
                *(*BEFORE_THE_GROUP, GROUP_OF_TWO_LESSONS, CHILD, APPLICATION, day("2020-09-20")),
                *(mark(1, "2020-09-15"), mark(2, "2020-09-10")),
                *(mark(3, "2020-09-05"), mark(4, "2020-09-06")),  # exhausted
                terminated("2020-09-12"),  # takes the first back
                mark(3, "2020-09-05", "made-up", 2),  # is charged after all
                mark(2, "2020-09-10", "ill", 2),  # the fourth is charged instead
                *(mark(4, "2020-09-06", "ill", 2), mark(5, "2020-09-07")),
            ),
            id="lessons that were exhausted, before an end and after it",
        ),
        pytest.param(
            (
                AUTUMN_PERIOD,
                *(*BEFORE_THE_GROUP, GROUP, CHILD, APPLICATION),
                *(day("2020-09-20"), mark(1, "2020-09-15")),
            ),
            id="of two periods the one that began last",
        ),
        pytest.param(
            (
                *(*BEFORE_THE_GROUP, CHILD, APPLICATION, ACCEPTED),
                *(terminated("2020-09-02"), mark(1, "2020-10-25"), GROUP_THAT_ASKS),
            ),
            id="marks are decided with the reserve they waited for, before an end that waited too",
        ),
        pytest.param(
            (
                *beginning(),
                rules("billing.days", [INVOICES_EARLIER], "2020-10-02", "2020-09-01"),
                *(day("2020-09-01"), mark(1, "2020-09-01"), day("2020-10-01"), day("2020-10-03")),
            ),
            id="invoices follow the rule of their day, known before",
        ),
        pytest.param(
            (
                *(*beginning(), day("2020-09-01"), mark(1, "2020-09-01")),
                *(day("2020-10-01"), mark(2, "2020-10-01")),
                *(day("2020-10-05"), mark(3, "2020-11-02")),
                *(day("2020-11-02"), day("2020-11-10")),
            ),
            id="the day of invoices is skipped, and later months have moved",
        ),
        pytest.param(
            (
                rules("billing.days", [CORRECTED_FOR_LONG], "2020-08-31", "2020-08-31"),
                *(PERIOD, MONTHLY, CATEGORY, FRAME, PROVIDER, GROUP, CHILD, APPLICATION),
                *(day("2020-09-01"), day("2020-10-01"), mark(1, "2020-10-01", "cancelled")),
                *(day("2020-10-20"), mark(2, "2020-10-02"), day("2020-11-01"), day("2020-11-02")),
                *(terminated("2020-09-15"), day("2020-11-20"), day("2021-02-20")),
            ),
            id="an end before a month of which a part went back already",
        ),
        pytest.param(
            (
                rules("billing.days", [CORRECTED_FOR_LONG], "2020-08-31", "2020-08-31"),
                *(PERIOD, MONTHLY, CATEGORY, FRAME, PROVIDER, GROUP, CHILD, APPLICATION),
                *(day("2020-11-03"), day("2020-11-04")),
            ),
            id="first invoices after months without a business day",
        ),
        pytest.param(
            (
                rules("billing.charging", ABSENCE_CHARGED, "2020-08-31", "2020-08-31"),
                *(*beginning(), day("2020-09-01"), mark(1, "2020-09-01", "absent")),
            ),
            id="rows for marks from before there are base rows",
        ),
        pytest.param(
            (
                *(PERIOD, day("2020-12-31"), *grown_up("2002-12-31")),
                *(day("2021-01-01"), requested(2)),
            ),
            id="a closed certificate is there already, also when the period is over",
        ),
    ],
)
async def test_they_agree_on_a_small_story(words: tuple[Words, ...]) -> None:
    await agreed([*play_file((day("2020-08-31"), *words))])


@pytest.mark.parametrize("seed", range(1, 7))
async def test_they_agree_on_rough_play(seed: int) -> None:
    await agreed([*RoughPlay(seed).lines(400)], seed)


async def test_they_agree_where_months_are_skipped() -> None:
    await agreed([*RoughPlay(31, WIDE_JUMPS).lines(300)], 31)


async def test_a_difference_is_named() -> None:
    lines = [*RoughPlay(1).lines(400)]
    shown = await played(in_memory(0), segments(lines))
    counted = audited(lines)
    number, certificate = next(iter(counted["certificates"].items()))
    certificate["periods"][0]["paid_kopecks"] += 1
    line = counted["inputs"][7]
    line["decision"] = "parked"

    told = differences(counted, shown)

    assert len(told) == 2
    assert told[0].startswith(f"line {line['line']} {line['id']} {line['type']}: ")
    assert told[1].startswith(f"certificates {number} periods 1 paid_kopecks: ")
