"""What an invoice takes: checked against a list of all movements."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.vocabulary import Month, SignedKopecks
from services.billing.domain.months import following
from services.billing.domain.uninvoiced import EMPTY, Sum

MONTHS = [Month(each) for each in ("2020-09", "2020-10", "2020-11", "2020-12", "2021-01")]

moved = st.builds(
    Sum, lessons=st.integers(-1, 1), kopecks=st.integers(-100, 100).map(SignedKopecks)
)
steps = st.lists(
    st.tuples(st.sampled_from(["move", "move", "invoice"]), st.sampled_from(MONTHS), moved),
    max_size=40,
)


@given(steps)
def test_an_invoice_takes_all_up_to_its_month(script: list[tuple[str, Month, Sum]]) -> None:
    uninvoiced, listed = EMPTY, list[tuple[Month, Sum]]()
    for what, month, one in script:
        taken = [each for other, each in listed if other <= month]
        assert uninvoiced.up_to(month).kopecks == sum(each.kopecks for each in taken)
        assert uninvoiced.up_to(month).lessons == sum(each.lessons for each in taken)
        if what == "move":
            uninvoiced = uninvoiced.moving(month, one)
            listed.append((month, one))
        else:
            uninvoiced = uninvoiced.without(month)
            listed = [(other, each) for other, each in listed if other > month]
        assert uninvoiced.since == min((other for other, _ in listed), default=None)
        assert [month for month, _ in uninvoiced.months] == sorted({other for other, _ in listed})


def test_what_moved_this_month_is_left_for_the_next_invoice() -> None:
    september, october = Month("2020-09"), Month("2020-10")
    one = Sum(lessons=1, kopecks=SignedKopecks(100))

    uninvoiced = EMPTY.moving(september, one).moving(october, one).moving(september, one)

    assert uninvoiced.up_to(september) == Sum(lessons=2, kopecks=SignedKopecks(200))
    assert uninvoiced.without(september).up_to(october) == one
    assert uninvoiced.without(september).without(following(september)) == EMPTY
