"""The check and the lookup against a second implementation: raw data, every value, one by one.

Cells name only values between 0 and 6, so the values from -2 to 9 hold one of every kind.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from itertools import chain, combinations, product
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from rulebook.checking import check
from rulebook.errors import Defect
from rulebook.evaluate import evaluate
from rulebook.model import Table
from rulebook.parsing import read_table

DAY = date(2020, 9, 1)
ORIGIN = date(2020, 1, 1)
WORDS = ["red", "green", "blue"]
CODES = ["b01", "b02"]

TYPES: dict[str, Any] = {
    "word": WORDS,
    "number": "int",
    "bounded": {"int": {"from": 1, "below": 6}},
    "flag": "bool",
    "day": "date",
    "codes": {"collection": "words"},
}
VALUES: dict[str, list[Any]] = {
    "word": WORDS,
    "number": list(range(-2, 10)),
    "bounded": list(range(1, 6)),
    "flag": [False, True],
    "day": [ORIGIN + timedelta(days=offset) for offset in range(-2, 10)],
    "codes": [
        frozenset(some)
        for some in chain.from_iterable(combinations([*CODES, "b99"], n) for n in range(4))
    ],
}

numbers = st.integers(0, 6)
days = numbers.map(lambda offset: ORIGIN + timedelta(days=offset))


def ranges(ends: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    both = st.tuples(ends, ends).filter(lambda pair: pair[0] < pair[1])
    return st.one_of(
        both.map(lambda pair: {"from": pair[0], "below": pair[1]}),
        ends.map(lambda end: {"from": end}),
        ends.map(lambda end: {"below": end}),
    )


def scalars(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.lists(values, min_size=1, max_size=3))


codes = st.one_of(
    st.sampled_from(CODES).map(lambda code: {"has": code}),
    st.sampled_from(CODES).map(lambda code: {"lacks": code}),
    st.permutations(CODES).map(lambda pair: {"has": pair[0], "lacks": [pair[1]]}),
    st.just({"lacks": CODES}),
    st.just({"has": CODES}),
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "word": scalars(st.sampled_from(WORDS)),
    "number": st.one_of(scalars(numbers), ranges(numbers)),
    "bounded": st.one_of(scalars(st.integers(1, 5)), ranges(numbers)),
    "flag": st.booleans(),
    "day": st.one_of(scalars(days), ranges(days)),
    "codes": codes,
}


def table_data(hit: str, inputs: Iterable[str], whens: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [
        {"id": f"row-{number}", "when": when, "then": {"number": number}, "says": "Потому"}
        for number, when in enumerate(whens)
    ]
    version = {"from": DAY, "published": DAY, "basis": "A paper", "rows": rows}
    return {
        "table": "play.things",
        "meaning": "What is done with things",
        "hit": hit,
        "inputs": {name: TYPES[name] for name in inputs},
        "outputs": {"number": "int"},
        "versions": [version],
    }


@st.composite
def tables(draw: st.DrawFn, *hits: str) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), max_size=3, unique=True))
    when = st.fixed_dictionaries({}, optional={name: CELLS[name] for name in names})
    whens = draw(st.lists(when, min_size=1, max_size=5))
    return table_data(draw(st.sampled_from(hits)), names, whens)


@st.composite
def whole_tables(draw: st.DrawFn) -> dict[str, Any]:
    """Tables of unique rows without a gap, grown by splitting a row in two again and again."""
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=3, unique=True))
    boxes: list[dict[str, list[Any]]] = [{name: VALUES[name] for name in names}]
    for _ in range(draw(st.integers(0, 4))):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        name = draw(st.sampled_from(names))
        if name == "codes":
            code = draw(st.sampled_from(CODES))
            first = [some for some in VALUES[name] if code in some]
        else:
            # For numbers and days the cut is a value between 0 and 6, see above.
            low, high = (3, 7) if name in ("number", "day") else (1, len(VALUES[name]) - 1)
            first = VALUES[name][: draw(st.integers(low, high))]
        parts = (
            [value for value in box[name] if value in first],
            [value for value in box[name] if value not in first],
        )
        boxes.extend({**box, name: part} for part in parts if part)
    return table_data("unique", names, [cells_of(box) for box in boxes])


def cells_of(box: Mapping[str, list[Any]]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, part in box.items():
        whole = VALUES[name]
        if part == whole:
            continue
        if name == "word":
            cells[name] = part
        elif name == "flag":
            (cells[name],) = part
        elif name == "codes":
            has = [code for code in CODES if all(code in some for some in part)]
            lacks = [code for code in CODES if not any(code in some for some in part)]
            cells[name] = {"has": has} if has else {}
            cells[name] |= {"lacks": lacks} if lacks else {}
        else:
            low = {} if part[0] == whole[0] else {"from": part[0]}
            high = {} if part[-1] == whole[-1] else {"below": whole[whole.index(part[-1]) + 1]}
            cells[name] = {**low, **high}
    return cells


def passes(cell: Any, value: Any) -> bool:
    if isinstance(cell, dict) and ("has" in cell or "lacks" in cell):
        has, lacks = (
            {one} if isinstance(one, str) else set(one)
            for one in (cell.get("has", []), cell.get("lacks", []))
        )
        return has <= value and not (lacks & value)
    if isinstance(cell, dict):
        return not ("from" in cell and value < cell["from"]) and not (
            "below" in cell and value >= cell["below"]
        )
    return value in (cell if isinstance(cell, list) else [cell])


def hits(data: Mapping[str, Any], case: Mapping[str, Any]) -> list[str]:
    found = [
        row["id"]
        for row in data["versions"][0]["rows"]
        if all(passes(cell, case[name]) for name, cell in row["when"].items())
    ]
    return found[:1] if data["hit"] == "first" else found


def cases(data: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    names = list(data["inputs"])
    for values in product(*(VALUES[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def defects(table: Table) -> set[Defect]:
    return {problem.defect for problem in check(table)}


@given(tables("unique", "first", "collect"))
def test_the_check_finds_what_trying_every_value_finds(data: dict[str, Any]) -> None:
    counted = [hits(data, case) for case in cases(data)]
    rows = {row["id"] for row in data["versions"][0]["rows"]}

    found = defects(read_table(data, "play.yaml"))

    expected = set()
    if data["hit"] != "collect" and any(not hit for hit in counted):
        expected.add(Defect.GAP)
    if data["hit"] == "unique" and any(len(hit) > 1 for hit in counted):
        expected.add(Defect.OVERLAP)
    if rows - set(chain.from_iterable(counted)):
        expected.add(Defect.DEAD_ROW)
    assert found == expected


@given(tables("unique", "first"))
def test_dead_rows_and_overlapping_pairs_are_named_one_by_one(data: dict[str, Any]) -> None:
    counted = [hits(data, case) for case in cases(data)]
    rows = {row["id"] for row in data["versions"][0]["rows"]}

    problems = check(read_table(data, "play.yaml"))

    dead = {problem.rows[0] for problem in problems if problem.defect is Defect.DEAD_ROW}
    assert dead == rows - set(chain.from_iterable(counted))
    pairs = {problem.rows for problem in problems if problem.defect is Defect.OVERLAP}
    assert pairs == {pair for hit in counted for pair in combinations(hit, 2)}


@given(st.data(), whole_tables())
def test_taking_a_row_away_leaves_a_gap_and_doubling_one_an_overlap(
    chance: st.DataObject, data: dict[str, Any]
) -> None:
    rows = data["versions"][0]["rows"]
    number = chance.draw(st.integers(0, len(rows) - 1))
    table = read_table(data, "play.yaml")

    without = {**data["versions"][0], "rows": rows[:number] + rows[number + 1 :]}
    doubled = {**data["versions"][0], "rows": [*rows, {**rows[number], "id": "copy"}]}

    assert check(table) == []
    assert Defect.GAP in defects(read_table({**data, "versions": [without]}, "play.yaml"))
    assert Defect.OVERLAP in defects(read_table({**data, "versions": [doubled]}, "play.yaml"))


@given(st.one_of(whole_tables(), tables("collect")))
def test_evaluating_agrees_with_trying_row_by_row(data: dict[str, Any]) -> None:
    table = read_table(data, "play.yaml")
    assume(not check(table))

    for case in cases(data):
        assert list(evaluate(table, DAY, case).rows) == hits(data, case)


@given(tables("first"))
def test_the_first_row_counts(data: dict[str, Any]) -> None:
    version = data["versions"][0]
    last = {"id": "otherwise", "when": {}, "then": {"number": 99}, "says": "Во всех прочих случаях"}
    kept: list[Any] = []
    for row in [*version["rows"], last]:
        # Only rows that some value reaches: a dead one is refused.
        trial = {**data, "versions": [{**version, "rows": [*kept, row]}]}
        if any(hits(trial, case) == [row["id"]] for case in cases(data)):
            kept.append(row)
    data = {**data, "versions": [{**version, "rows": kept}]}
    table = read_table(data, "play.yaml")

    assert check(table) == []
    for case in cases(data):
        assert list(evaluate(table, DAY, case).rows) == hits(data, case)
