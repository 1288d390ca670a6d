"""YAML is read strictly, and a refusal names the line."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from rulebook.errors import RulesInvalidError, UnknownTableError
from rulebook.loading import Rulebook, check_paths, load_table, read_yaml
from tests.rules.tables import FIRST_ROW_LINE, row, written

ROOT = Path(__file__).parents[2]
ANY = row("any", "{}")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param("a: 1\non: 2\n", 2, "'on' without quotes", id="on as a key"),
        pytest.param("a: [yes]\n", 1, "'yes' without quotes", id="yes as a value"),
        pytest.param("a: 1\nb: No\n", 2, "'No' without quotes", id="no as a value"),
        pytest.param("a: True\n", 1, "'True' without quotes", id="another true"),
        pytest.param("a:\n  - 1\n  - 0.5\n", 3, "'0.5' is neither", id="a decimal number"),
        pytest.param("a: 1e3\n", 1, "'1e3' is neither", id="an exponent"),
        pytest.param("a: 010\n", 1, "'010' is neither", id="a leading zero"),
        pytest.param("a: 1_000\n", 1, "'1_000' is neither", id="an underscore"),
        pytest.param("a: 12:30\n", 1, "'12:30' is neither", id="a time read as seconds"),
        pytest.param("a: " + "9" * 5000 + "\n", 1, "is neither", id="a number without end"),
        pytest.param("a: 0x10\n", 1, "'0x10' is neither", id="a hexadecimal number"),
        pytest.param("a: .inf\n", 1, "'.inf' is neither", id="infinity"),
        pytest.param("a:\n", 1, "'' without quotes", id="nothing"),
        pytest.param("a: 2020-02-30\n", 1, "is no date", id="a day that never was"),
        pytest.param("a: 2020-09-01 10:00:00\n", 1, "is neither", id="a moment"),
        pytest.param("x: 0\n7: 1\n", 2, "this key is not text", id="a number as a key"),
        pytest.param("2020-09-01: 1\n", 1, "this key is not text", id="a date as a key"),
        pytest.param("? [a]\n: 1\n", 1, "this key is not text", id="a list as a key"),
        pytest.param("a: 1\nb: 2\na: 3\n", 3, "'a' stands here twice", id="a key twice"),
        pytest.param("a: &x 1\n<<: *x\n", 2, "this key is not text", id="a merge"),
        pytest.param("a: &x [*x]\n", 1, "an alias", id="a list in itself"),
        pytest.param("a: " + "[" * 20 + "]" * 20 + "\n", 1, "deeper", id="too deep"),
        pytest.param("a: !!python/name:os.system x\n", 1, "is neither", id="a tag"),
        pytest.param("a: !!int '5'\n", 1, "the tag", id="a tag before quotes"),
        pytest.param("a: !!set {b, c}\n", 1, "the tag", id="a tag before a mapping"),
        pytest.param("a: &x [1]\nb: *x\n", 1, "an alias", id="an alias"),
        pytest.param("a: [1\nb: 2\n", 2, "this is not YAML", id="broken"),
        pytest.param("--- {a: 1}\n--- {b: 1}\n", 2, "this is not YAML", id="two documents"),
    ],
)
def test_what_can_be_misread_is_refused(tmp_path: Path, text: str, line: int, said: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(RulesInvalidError) as caught:
        read_yaml(file)

    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"a: \xff\n", b"a: \x00\n"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)

    with pytest.raises(RulesInvalidError):
        read_yaml(file)


def test_quotes_make_text_of_anything(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("'on': [\"yes\", '0.5', 2020-09-01, -3, true]\n", encoding="utf-8")

    assert read_yaml(file) == {"on": ["yes", "0.5", date(2020, 9, 1), -3, True]}


@pytest.mark.parametrize(
    ("before", "after", "line", "said"),
    [
        ("hit: unique", "hit: any", 3, "no hit policy"),
        ("meaning:", "remark:", 2, "'remark' is not known here"),
        ("    basis: Order 7\n", "", 10, "'basis' is missing"),
        ("age_years: int", "age_years: float", 5, "no type of an input"),
        ("age_years: int", "Age: int", 5, "not a name"),
        ("published: 2020-08-14", "published: soon", 11, "no date"),
        ("[yes-please, no-thanks]", "[one, one]", 8, "repeats a word"),
        ("table: play.age", "table: age", 1, "not a name"),
    ],
)
def test_a_malformed_head_is_named_with_its_line(
    tmp_path: Path, before: str, after: str, line: int, said: str
) -> None:
    file = written(tmp_path, ANY)
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")

    with pytest.raises(RulesInvalidError) as caught:
        load_table(file)

    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "cell",
    [
        "{age_years: true}",
        "{age_years: '5'}",
        "{age_years: {from: 5, until: 8}}",
        "{age_years: {}}",
        "{benefits: b01}",
        "{benefits: {}}",
        "{benefits: {has: 'no such code'}}",
        "[]",
    ],
)
def test_a_cell_of_another_type_is_refused(tmp_path: Path, cell: str) -> None:
    file = written(tmp_path, ANY, row("odd", cell))

    with pytest.raises(RulesInvalidError) as caught:
        load_table(file)

    assert str(caught.value).startswith(f"{file}:{FIRST_ROW_LINE + 1}: ")


def test_a_service_brings_its_tables() -> None:
    book = Rulebook.load("services.billing")

    assert book.table("billing.days").versions[0].rows[0].then == {
        "parking_days": 30,
        "grace_days": 10,
        "invoice_day": 6,
    }
    with pytest.raises(UnknownTableError, match=r"billing\.charging, billing\.days"):
        book.table("billing.discounts")


def test_one_table_in_two_files_is_refused(tmp_path: Path) -> None:
    copy = written(tmp_path, ANY).read_text(encoding="utf-8")
    (tmp_path / "copy.yaml").write_text(copy, encoding="utf-8")

    with pytest.raises(RulesInvalidError, match=r"is also in .*age\.yaml"):
        Rulebook.load(tmp_path)


def test_a_place_without_tables_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Rulebook.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        Rulebook.load("services.nobody")

    assert check_paths([tmp_path]) == [
        f"{tmp_path}: no tables here. Name a table file or a directory with some."
    ]
    assert check_paths([tmp_path / "x.yaml"]) == [
        f"{tmp_path / 'x.yaml'}: cannot be read: No such file or directory. Check the path."
    ]


@pytest.mark.parametrize(
    ("day", "given", "expect", "said"),
    [
        ("2020-09-01", "{age_years: 1, benefits: []}", "{verdict: no-thanks}", "but gets"),
        (
            "2020-08-31",
            "{age_years: 1, benefits: []}",
            "{verdict: yes-please}",
            "gets not in force",
        ),
        ("2020-09-01", "{age_years: 1, benefits: []}", "not in force", "expects not in force"),
        ("2020-09-01", "{age_years: 1}", "{verdict: yes-please}", "is missing"),
        ("2020-09-01", "{}, remark: x", "not in force", "exactly title, day, given and expect"),
    ],
)
def test_an_example_that_does_not_hold_is_named(
    tmp_path: Path, day: str, given: str, expect: str, said: str
) -> None:
    written(tmp_path, ANY)
    beside = tmp_path / "age.examples.yaml"
    beside.write_text(
        "- {title: good, day: 2020-09-01, given: {age_years: 1, benefits: [b01]}, "
        "expect: {verdict: yes-please}}\n"
        f"- {{title: odd, day: {day}, given: {given}, expect: {expect}}}\n",
        encoding="utf-8",
    )

    (problem,) = check_paths([tmp_path])

    assert problem.startswith(f"{beside}:2: ")
    assert said in problem


def test_the_command_checks_and_says(tmp_path: Path) -> None:
    def ran(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "rulebook", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    broken = written(tmp_path, row("young", "{age_years: {below: 5}}"))

    assert ran("check") == (0, "All tables are whole, and their examples hold.\n")
    code, said = ran("check", str(broken))
    assert code == 1
    assert "no row covers age_years 5 and above" in said
    assert ran("chek")[0] == 2
