"""In which order each service works through a business day. `docs/rules.md`, section 2."""

import pytest

from services.billing.service import billing
from services.certificates.service import certificates
from services.enrollment.service import enrollment
from streaming.service import Service


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        pytest.param(
            enrollment, [{"accept"}, {"hold"}, {"end"}, {"return", "serve"}], id="enrollment"
        ),
        pytest.param(certificates, [{"birthday"}, {"raise"}, {"queue"}], id="certificates"),
        pytest.param(
            billing,
            [{"end"}, {"month"}, {"release"}, {"expiry"}, {"adjust"}, {"invoice"}],
            id="billing",
        ),
    ],
)
def test_a_business_day_is_worked_through_in_this_order(
    service: Service, expected: list[set[str]]
) -> None:
    by_rank: dict[int, set[str]] = {}
    for work in service.due_work.values():
        by_rank.setdefault(work.rank, set()).add(work.name)

    assert [by_rank[rank] for rank in sorted(by_rank)] == expected
