"""What people are shown of documents that hold lists of lists."""

import subprocess
import sys

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


def test_what_the_cabinet_alone_needs_is_not_loaded_to_play_and_to_look() -> None:
    script = (
        "import sys, pfdo.__main__, pfdo.demonstration, pfdo.fresh, pfdo.settling, pfdo.system; "
        "from services.notifications.senders import assembly; "
        "print([m for m in ('fastapi', 'reportlab', 'services.cabinet.app') if m in sys.modules])"
    )

    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    assert told.stdout.strip() == b"[]"
