"""`pfdo notifications preview`: what each template says."""

import json
from pathlib import Path

from typer.testing import CliRunner

from pfdo.__main__ import app
from services.notifications.senders.templates import load_templates


def test_every_template_becomes_a_page_and_a_text(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["notifications", "preview", "--out", str(tmp_path)])

    assert result.exit_code == 0
    assert {file.stem for file in tmp_path.glob("*.html")} == set(load_templates())
    assert {file.stem for file in tmp_path.glob("*.txt")} == set(load_templates())
    page = (tmp_path / "lesson-charged.html").read_text(encoding="utf-8")
    assert "<h1" in page
    assert "списано 251,49" in page


def test_one_template_as_json() -> None:
    command = ["notifications", "preview", "--template", "lessons-left-low", "--json"]

    result = CliRunner().invoke(app, command)

    assert set(json.loads(result.stdout)) == {"lessons-left-low"}


def test_a_template_that_is_not_there() -> None:
    result = CliRunner().invoke(app, ["notifications", "preview", "--template", "no-such"])

    assert result.exit_code == 1
    assert "lesson-charged" in result.stderr
