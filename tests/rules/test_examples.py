"""Every table beside a service is whole, and every example beside a table holds."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from rulebook.evaluate import in_force
from rulebook.loading import Example, examples_path, failure, load_examples, load_table
from rulebook.model import Equals, OneOf, Range, Table, Version
from rulebook.partitions import cut

SERVICES = Path(__file__).parents[2] / "services"
FILES = sorted(
    file for file in SERVICES.glob("*/rules/*.yaml") if not file.name.endswith(".examples.yaml")
)
TABLES = {
    "billing.charging",
    "billing.days",
    "certificates.age",
    "certificates.category",
    "enrollment.age",
    "enrollment.days",
    "enrollment.registry",
    "notifications.routing",
}
SAMPLE_BEGINS = date(2020, 8, 30)
FIRST_LESSONS = date(2020, 9, 1)


def name_of(file: Path) -> str:
    return f"{file.parents[1].name}.{file.stem}"


def examples() -> Iterator[object]:
    for file in FILES:
        table = load_table(file)
        for example in load_examples(examples_path(file), table):
            yield pytest.param(table, example, id=f"{name_of(file)}: {example.title}")


@pytest.mark.parametrize(("table", "example"), list(examples()))
def test_an_example_holds(table: Table, example: Example) -> None:
    assert failure(table, example) is None


def test_the_tables_of_the_rules_are_all_there() -> None:
    assert {load_table(file).name for file in FILES} >= TABLES


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_table_is_named_after_its_place(file: Path) -> None:
    assert load_table(file).name == name_of(file)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_table_is_in_force_before_the_first_business_day(file: Path) -> None:
    asked_first = FIRST_LESSONS if name_of(file) == "billing.charging" else SAMPLE_BEGINS

    assert in_force(load_table(file).versions, asked_first) is not None


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_examples_stand_on_both_sides_of_every_first_day(file: Path) -> None:
    table = load_table(file)

    days = {example.day for example in load_examples(examples_path(file), table)}

    for version in table.versions:
        assert version.valid_from in days
        assert version.valid_from - timedelta(days=1) in days


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_examples_reach_every_part_of_every_input(file: Path) -> None:
    table = load_table(file)
    given = load_examples(examples_path(file), table)

    for version in table.versions:
        here = [one for one in given if in_force(table.versions, one.day) is version]
        for axis in cut(table.schema, version.rows):
            reached = {axis.locate(one.given[axis.name]) for one in here}
            assert reached == set(range(len(axis.parts)))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_examples_stand_on_both_sides_of_every_boundary(file: Path) -> None:
    table = load_table(file)
    given = load_examples(examples_path(file), table)

    for version in table.versions:
        here = [one for one in given if in_force(table.versions, one.day) is version]
        for name, boundary in boundaries(version):
            values = {one.given[name] for one in here}
            assert {boundary - 1, boundary} <= values


def boundaries(version: Version) -> Iterator[tuple[str, int]]:
    for row in version.rows:
        for name, cell in row.when.items():
            match cell:
                case Range(start, below):
                    yield from ((name, end) for end in (start, below) if isinstance(end, int))
                case Equals(int(value)) | OneOf((int(value), *_)) if not isinstance(value, bool):
                    yield from ((name, value), (name, value + 1))
                case _:
                    pass
