"""Small tables for tests, written as an official would write them."""

from pathlib import Path

from rulebook.loading import load_table
from rulebook.model import Table

HEAD = """\
table: play.age
meaning: Whether a child of this age may play
hit: {hit}
inputs:
  age_years: int
  benefits: {{collection: words}}
outputs:
  verdict: [yes-please, no-thanks]
versions:
  - from: 2020-09-01
    published: 2020-08-14
    basis: Order 7
    rows:
"""
FIRST_ROW_LINE = HEAD.count("\n") + 1
VERSION_LINE = 10


def row(row_id: str, when: str, then: str = "{verdict: yes-please}") -> str:
    """Return the line of a row."""
    return f'      - {{id: {row_id}, when: {when}, then: {then}, says: "Так решено"}}\n'


def written(directory: Path, *rows: str, hit: str = "unique") -> Path:
    """Write a table with these rows and return its file."""
    file = directory / "age.yaml"
    file.write_text(HEAD.format(hit=hit) + "".join(rows), encoding="utf-8")
    return file


def loaded(directory: Path, *rows: str, hit: str = "unique") -> Table:
    """Return the checked table with these rows."""
    return load_table(written(directory, *rows, hit=hit))
