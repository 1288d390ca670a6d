"""Two sums are enough to know what an invoice takes: checked against a list of all movements."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import Month, SignedKopecks
from services.billing.domain.months import following
from services.billing.domain.uninvoiced import EMPTY, Sum

MONTHS = ["2020-09", "2020-10", "2020-11", "2020-12", "2021-01"]

moved = st.builds(
    Sum, lessons=st.integers(-1, 1), kopecks=st.integers(-100, 100).map(SignedKopecks)
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(0, 2), moved),
        st.tuples(st.just("invoice"), st.just(0), moved),
        st.tuples(st.just("month"), st.just(0), moved),
    ),
    max_size=40,
)


@given(steps)
def test_an_invoice_takes_all_up_to_the_previous_month(
    script: list[tuple[str, int, Sum]],
) -> None:
    """`month` begins a month; what moves lies in it or before it, `invoice` takes what is over."""
    uninvoiced, listed = EMPTY, list[tuple[str, Sum]]()
    today = 1
    for what, back, one in script:
        last = Month(MONTHS[today - 1])
        match what:
            case "month":
                today = min(today + 1, len(MONTHS) - 1)
            case "move":
                month = MONTHS[max(0, today - back)]
                uninvoiced = uninvoiced.moving(Month(month), one)
                listed.append((month, one))
            case _:
                taken = [one for month, one in listed if month <= last]
                assert uninvoiced.up_to(last).kopecks == sum(one.kopecks for one in taken)
                assert uninvoiced.up_to(last).lessons == sum(one.lessons for one in taken)
                uninvoiced = uninvoiced.without(last)
                listed = [(month, one) for month, one in listed if month > last]
        assert uninvoiced.since == min((month for month, _ in listed), default=None)


def test_what_moved_this_month_is_left_for_the_next_invoice() -> None:
    september, october = Month("2020-09"), Month("2020-10")
    one = Sum(lessons=1, kopecks=SignedKopecks(100))

    uninvoiced = EMPTY.moving(september, one).moving(october, one).moving(september, one)

    assert uninvoiced.up_to(september) == Sum(lessons=2, kopecks=SignedKopecks(200))
    assert uninvoiced.without(september).up_to(october) == one
    assert uninvoiced.without(september).without(following(september)) == EMPTY
