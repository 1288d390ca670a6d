"""Which version of a table holds on a day."""

from datetime import date
from pathlib import Path

import pytest

from rulebook.errors import NotInForceError, RulesInvalidError
from rulebook.evaluate import evaluate
from rulebook.loading import load_table
from rulebook.model import Table


def dated(directory: Path, *versions: tuple[str, str, int]) -> Table:
    """Return a table whose versions, (from, published, days), stand in that order."""
    file = directory / "days.yaml"
    file.write_text(
        "table: play.days\nmeaning: How long\nhit: unique\ninputs: {}\n"
        "outputs: {days: int}\nversions:\n"
        + "".join(
            f"  - {{from: {since}, published: {known}, basis: Order of {known}, "
            f'rows: [{{id: days, then: {{days: {days}}}, says: "Срок"}}]}}\n'
            for since, known, days in versions
        ),
        encoding="utf-8",
    )
    return load_table(file)


VERSIONS = (
    ("2020-09-01", "2020-12-15", 10),
    ("2021-01-01", "2020-11-01", 20),
    ("2021-01-01", "2020-11-20", 30),
)


@pytest.mark.parametrize(
    ("day", "days"),
    [
        pytest.param(date(2020, 9, 1), 10, id="the first day"),
        pytest.param(date(2020, 12, 31), 10, id="the last day before the next"),
        pytest.param(date(2021, 1, 1), 30, id="of two from a day the one published later"),
        pytest.param(
            date(2030, 1, 1), 30, id="until another comes, however late one was published"
        ),
    ],
)
def test_the_latest_first_day_holds(tmp_path: Path, day: date, days: int) -> None:
    decision = evaluate(dated(tmp_path, *VERSIONS), day, {})

    assert decision.outputs == {"days": days}
    assert decision.basis == {10: "Order of 2020-12-15", 30: "Order of 2020-11-20"}[days]


def test_before_the_first_version_nothing_holds(tmp_path: Path) -> None:
    with pytest.raises(NotInForceError, match="not in force on 2020-08-31"):
        evaluate(dated(tmp_path, *VERSIONS), date(2020, 8, 31), {})


@pytest.mark.parametrize("versions", [VERSIONS[::-1], (VERSIONS[0], VERSIONS[0]), ()])
def test_versions_stand_in_order(
    tmp_path: Path, versions: tuple[tuple[str, str, int], ...]
) -> None:
    with pytest.raises(RulesInvalidError):
        dated(tmp_path, *versions)
