"""What is committed is what the models say; the check that says so was seen to fail."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from contracts.generate import COMMITTED, Tree, check, export, release, write
from contracts.registry import EVENTS


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy of the committed files that may be broken."""
    copy = Tree(contracts=tmp_path / "contracts", page=tmp_path / "docs" / "events.md")
    for folder in ("schemas", "examples", "released"):
        shutil.copytree(COMMITTED.contracts / folder, copy.contracts / folder)
    shutil.copy(COMMITTED.contracts / "asyncapi.yaml", copy.contracts)
    copy.page.parent.mkdir()
    shutil.copy(COMMITTED.page, copy.page)
    return copy


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_committed_files_are_current_and_compatible() -> None:
    assert check() == []


def test_a_copy_of_the_committed_files_passes_as_they_do(tree: Tree) -> None:
    assert check(tree) == []


@pytest.mark.parametrize(
    "name", ["schemas/billing.lesson-charged.v1.json", "schemas/envelope.json", "asyncapi.yaml"]
)
def test_an_edited_file_is_noticed(tree: Tree, name: str) -> None:
    edited(tree.contracts / name, "\n", " \n")

    assert any("is not what the models say" in problem for problem in check(tree))


def test_an_edited_page_is_noticed_and_written_anew(tree: Tree) -> None:
    edited(tree.page, "# Events", "# Happenings")

    before = check(tree)
    write(tree)

    assert before == ["events.md: is not what the models say. Run `python -m contracts.generate`."]
    assert check(tree) == []


def test_a_missing_and_a_left_over_schema_are_noticed(tree: Tree) -> None:
    schemas = tree.contracts / "schemas"
    (schemas / "attendance.lesson-marked.v1.json").rename(schemas / "attendance.gone.v1.json")

    problems = check(tree)

    assert any("lesson-marked.v1.json: is missing" in problem for problem in problems)
    assert any("gone.v1.json: is of no type" in problem for problem in problems)
    write(tree)
    assert check(tree) == []


def test_an_installation_without_the_page_is_not_blamed_for_it(tree: Tree) -> None:
    shutil.rmtree(tree.page.parent)

    assert check(tree) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param('"present"', '"asleep"', "mark", id="a value that is not listed"),
        pytest.param('"revision": 1', '"revision": 1, "x": 1', "Extra", id="an unknown field"),
        pytest.param('"subject": "enr', '"subject": "fnr', "subject must", id="another subject"),
        pytest.param("lesson-marked.v1", "lesson-marked.v2", "name of the file", id="another type"),
        pytest.param('"data": {', '"data": [', "no JSON", id="no JSON"),
    ],
)
def test_an_example_its_model_refuses_is_noticed(tree: Tree, old: str, new: str, told: str) -> None:
    edited(tree.contracts / "examples" / "attendance.lesson-marked.v1.json", old, new)

    problems = check(tree)

    assert len(problems) == 1
    assert told in problems[0]


def test_a_type_without_an_example_is_noticed(tree: Tree) -> None:
    (tree.contracts / "examples" / "attendance.lesson-marked.v1.json").unlink()

    assert any("has no example" in problem for problem in check(tree))


def test_without_a_release_nothing_can_be_compared(tree: Tree) -> None:
    shutil.rmtree(tree.released)

    assert any("nothing can be compared" in problem for problem in check(tree))
    release(tree)
    assert check(tree) == []


def test_a_released_field_that_is_gone_breaks_its_senders(tree: Tree) -> None:
    path = tree.released / "schemas" / "attendance.lesson-marked.v1.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["properties"]["data"]["properties"]["room"] = {"type": "string"}
    path.write_text(json.dumps(schema), encoding="utf-8")

    assert check(tree) == [
        (
            "attendance.lesson-marked.v1: data.room: is gone, and unknown fields are refused; "
            "breaks senders (attendance) and the log that is read again"
        )
    ]


def test_a_released_type_that_is_gone_breaks_its_readers(tree: Tree) -> None:
    released = tree.released / "schemas"
    shutil.copy(released / "billing.lesson-charged.v1.json", released / "billing.sung.v1.json")

    assert check(tree) == [
        (
            "billing.sung.v1: the type is gone; breaks readers (cabinet, certificates, enrollment, "
            "notifications) and the log that is read again"
        )
    ]


def test_a_released_example_that_is_no_longer_taken_is_noticed(tree: Tree) -> None:
    # No schema says that ages must not run backward: only the model does.
    name = "navigator.group-published.v1"
    edited(tree.released / "examples" / f"{name}.json", '"age_min": 7', '"age_min": 13')

    problems = check(tree)

    assert len(problems) == 1
    assert "age_min must not exceed age_max; breaks senders (navigator)" in problems[0]


def test_an_export_stands_alone(tmp_path: Path) -> None:
    count = export(tmp_path)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert count == len(files) == 2 * len(EVENTS) + 3
    document = yaml.safe_load((tmp_path / "asyncapi.yaml").read_text(encoding="utf-8"))
    for message in document["components"]["messages"].values():
        assert (tmp_path / message["payload"]["schema"]["$ref"]).is_file()
        assert (tmp_path / message["examples"][0]["payload"]["$ref"]).is_file()


def test_asyncapi_refers_only_to_what_it_holds() -> None:
    document = yaml.safe_load((COMMITTED.contracts / "asyncapi.yaml").read_text(encoding="utf-8"))

    messages, channels = document["components"]["messages"], document["channels"]
    told = [ref["$ref"] for c in channels.values() for ref in c["messages"].values()]
    used = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert document["asyncapi"] == "3.0.0"
    assert {ref.removeprefix("#/components/messages/") for ref in told} == set(messages)
    assert {ref.removeprefix("#/channels/") for ref in used} == set(channels)


def test_the_generator_says_with_its_exit_code_whether_all_is_well() -> None:
    script = "from contracts.generate import check; import sys; sys.exit(bool(check()))"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_reading_events_needs_none_of_the_tools() -> None:
    script = (
        "import sys, contracts.registry; "
        "print([m for m in ('yaml', 'contracts.generate', 'orjson') if m in sys.modules])"
    )

    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    assert told.stdout.strip() == b"[]"


def test_the_vocabulary_needs_no_pydantic() -> None:
    script = "import sys, contracts.vocabulary; print('pydantic' in sys.modules)"

    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    assert told.stdout.strip() == b"False"
