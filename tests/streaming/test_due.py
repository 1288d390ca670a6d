"""What is due on a business day, and in which order it is done. `docs/rules.md`, section 2."""

from datetime import date

import pytest

from streaming.due import Queue, Queues, due_index, now_index
from streaming.parking import DEADLINE, FOREIGN_DAY, OWN_DAY, place
from streaming.service import DueHandler, DueWork

DAY = date(2020, 9, 30)
EVE, MORROW = "2020-09-29", "2020-10-01"


def nothing(ref: str, view: object) -> tuple[object, ...]:
    return ()


def queues(*work: tuple[str, int], handler: DueHandler = nothing) -> Queues:
    return Queues({name: DueWork(name, rank, handler) for name, rank in work})


def queue(index: str) -> Queue:
    (found,) = [one for one in queues(("remind", 3)) if one.index == index]
    return found


@pytest.mark.parametrize(
    ("index", "day", "expected"),
    [
        pytest.param(due_index("remind"), EVE, True, id="work of a day gone by"),
        pytest.param(due_index("remind"), str(DAY), True, id="work of the day"),
        pytest.param(due_index("remind"), MORROW, False, id="work of tomorrow"),
        pytest.param(OWN_DAY, str(DAY), True, id="what waited for the day"),
        pytest.param(OWN_DAY, MORROW, False, id="what waits for tomorrow"),
        pytest.param(FOREIGN_DAY, str(DAY), True, id="a record that was a day ahead"),
        pytest.param(FOREIGN_DAY, MORROW, False, id="a record that is a day ahead"),
        pytest.param(DEADLINE, EVE, True, id="a deadline that is over"),
        pytest.param(DEADLINE, str(DAY), False, id="the last day of a deadline"),
    ],
)
def test_what_is_due_on_a_day(index: str, day: str, expected: bool) -> None:
    bound = queue(index).bound
    assert bound is not None

    assert (f"{day}|{place(1, 'a', 1)}" < bound(DAY)) is expected


def test_what_falls_due_at_once_has_no_bound() -> None:
    assert queue(now_index("remind")).bound is None


def test_a_day_is_worked_through_in_order() -> None:
    in_order = [one.index for one in queues(("late", 8), ("early", 2), ("middle", 5))]

    assert in_order == [
        OWN_DAY,
        DEADLINE,
        due_index("early"),
        now_index("early"),
        due_index("middle"),
        now_index("middle"),
        due_index("late"),
        now_index("late"),
        FOREIGN_DAY,
    ]


def test_due_work_of_skipped_days_is_done_by_payer_and_reference_not_by_day() -> None:
    members = ["2020-09-28|25703000|enr-2", "2020-09-29|25703000|enr-1", "2020-09-30|25701000|x"]

    in_order = sorted(members, key=queue(due_index("remind")).order)

    assert in_order == members[::-1]


@pytest.mark.parametrize("index", [OWN_DAY, DEADLINE, FOREIGN_DAY])
def test_what_waited_for_skipped_days_is_decided_in_order_of_arrival(index: str) -> None:
    second = f"2020-09-28|{place(10, 'a', 4)}"
    first = f"2020-09-29|{place(2, 'b', 9)}"

    assert sorted([second, first], key=queue(index).order) == [first, second]


def test_the_tenth_to_arrive_comes_after_the_second() -> None:
    assert place(2, "b", 9) < place(10, "a", 4)
