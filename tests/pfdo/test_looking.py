"""What people are shown of documents that hold lists of lists."""

import pytest

from pfdo.looking import print_found


@pytest.mark.parametrize("full_first", [True, False])
def test_a_list_in_a_list_is_shown_row_by_row_under_its_headers(
    capsys: pytest.CaptureFixture[str], *, full_first: bool
) -> None:
    periods = [
        {"period": "2020", "categories": [{"category": "general", "granted_kopecks": 1_000}]},
        {"period": "2021", "categories": []},
    ]

    print_found({"payer": "25701000", "periods": periods if full_first else periods[::-1]})

    shown = capsys.readouterr().out
    (head,) = [line for line in shown.splitlines() if "period " in line]
    assert head.replace("┃", " ").split() == ["period", "category", "granted"]
    (row,) = [line for line in shown.splitlines() if "general" in line]
    assert row.index("general") == head.index("category")
    assert "[]" not in shown
    assert "categories" not in shown
