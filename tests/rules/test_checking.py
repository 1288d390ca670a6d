"""A planted fault is found, and named with its line, its combination and a remedy."""

from pathlib import Path

import pytest

from rulebook.checking import COMBINATIONS_MAX
from rulebook.errors import Defect, Problem, RulesInvalidError
from rulebook.loading import load_table
from tests.rules.tables import FIRST_ROW_LINE, VERSION_LINE, loaded, row, written

YOUNG = row("young", "{age_years: {below: 5}}")
OLD = row("old", "{age_years: {from: 5}}")


def refused(file: Path) -> tuple[Problem, ...]:
    with pytest.raises(RulesInvalidError) as caught:
        load_table(file)
    return caught.value.problems


def test_a_whole_table_passes(tmp_path: Path) -> None:
    assert [one.id for one in loaded(tmp_path, YOUNG, OLD).versions[0].rows] == ["young", "old"]


@pytest.mark.parametrize("hit", ["unique", "first"])
@pytest.mark.parametrize(
    ("rows", "combination"),
    [
        pytest.param([YOUNG], "age_years 5 and above", id="an open end"),
        pytest.param([OLD], "age_years below 5", id="an open beginning"),
        pytest.param(
            [YOUNG, row("old", "{age_years: {from: 6}}")], "age_years 5", id="one year between"
        ),
        pytest.param(
            [YOUNG, row("old", "{age_years: {from: 8}}")], "age_years 5 to 7", id="some years"
        ),
        pytest.param(
            [YOUNG, row("old", "{age_years: {from: 5}, benefits: {has: b01}}")],
            "age_years 5 and above, benefits without b01",
            id="half of one input",
        ),
        pytest.param([], "any input", id="no rows at all"),
    ],
)
def test_a_gap_is_named(tmp_path: Path, hit: str, rows: list[str], combination: str) -> None:
    file = written(tmp_path, *(rows or ["      []\n"]), hit=hit)

    (problem,) = refused(file)

    assert problem.defect is Defect.GAP
    assert problem.combination == combination
    assert str(problem) == (
        f"{file}:{VERSION_LINE}: no row covers {combination} from 2020-09-01. "
        "Add a row for it, or widen the row beside it."
    )
    assert problem.table == "play.age"


def test_collecting_may_find_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, YOUNG, hit="collect").versions[0].rows


def test_many_gaps_are_counted(tmp_path: Path) -> None:
    rows = [row(f"year-{year}", f"{{age_years: {year}}}") for year in range(0, 20, 2)]

    problems = refused(written(tmp_path, *rows))

    # Below 0, each odd year, 19 and above.
    assert len(problems) == 6
    assert problems[-1].what == "6 more combinations have no row"


def test_an_overlap_names_both_rows_and_the_line_of_the_second(tmp_path: Path) -> None:
    file = written(tmp_path, YOUNG, row("old", "{age_years: {from: 4}}"))

    (problem,) = refused(file)

    assert problem.defect is Defect.OVERLAP
    assert problem.where == f"{file}:{FIRST_ROW_LINE + 1}"
    assert problem.combination == "age_years 4"
    assert problem.rows == ("young", "old")


@pytest.mark.parametrize("hit", ["first", "collect"])
def test_an_overlap_is_meant_where_the_first_counts_or_all(tmp_path: Path, hit: str) -> None:
    assert loaded(tmp_path, YOUNG, row("any", "{}"), hit=hit).versions[0].rows


def test_a_dead_row_is_named_with_what_shadows_it(tmp_path: Path) -> None:
    file = written(tmp_path, YOUNG, OLD, row("grown", "{age_years: {from: 18}}"), hit="first")

    (problem,) = refused(file)

    assert problem.defect is Defect.DEAD_ROW
    assert problem.where == f"{file}:{FIRST_ROW_LINE + 2}"
    assert problem.rows == ("grown", "old")
    assert problem.remedy == "Put 'grown' above, or remove it."


@pytest.mark.parametrize("hit", ["unique", "first", "collect"])
@pytest.mark.parametrize(
    "cell",
    ["{age_years: {from: 9, below: 9}}", "{age_years: []}", "{benefits: {has: b01, lacks: b01}}"],
)
def test_a_row_that_no_value_passes_is_dead(tmp_path: Path, hit: str, cell: str) -> None:
    file = written(tmp_path, row("any", "{}"), row("never", cell), hit=hit)

    (problem,) = refused(file)

    assert problem.defect is Defect.DEAD_ROW
    assert problem.where == f"{file}:{FIRST_ROW_LINE + 1}"


def test_an_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, YOUNG, row("young", "{age_years: {from: 5}}"))

    (problem,) = refused(file)

    assert problem.defect is Defect.REPEATED_ID
    assert problem.where == f"{file}:{FIRST_ROW_LINE + 1}"


def test_a_table_with_too_many_combinations_is_refused_at_once(tmp_path: Path) -> None:
    codes = ", ".join(f"b{number:02d}" for number in range(99))
    file = written(tmp_path, row("all", f"{{benefits: {{lacks: [{codes}]}}}}"), row("any", "{}"))

    (problem,) = refused(file)

    assert problem.defect is Defect.TOO_LARGE
    assert str(COMBINATIONS_MAX) in problem.what


def test_all_faults_are_named_in_one_reading(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        row("one", "{age_years: ten}"),
        row("two", "{}", "{verdict: maybe}"),
        row("three", "{height: 3}"),
    )

    problems = refused(file)

    assert [problem.where for problem in problems] == [
        f"{file}:{FIRST_ROW_LINE + number}" for number in range(3)
    ]
    assert "maybe" in problems[1].what
    assert problems[1].remedy == "Use one of yes-please, no-thanks."
