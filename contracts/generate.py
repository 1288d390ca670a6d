"""Writes and checks what is generated from the contracts.

`python -m contracts.generate` brings the committed files up to date; with `--release` it also keeps
the schemas and examples as those of the last release, which later ones must stay compatible with.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from contracts.asyncapi import asyncapi
from contracts.compatibility import breaking_changes
from contracts.envelope import Envelope, describe
from contracts.json_schemas import envelope_schema, event_schema
from contracts.reference import reference
from contracts.registry import EVENTS, INPUT_EVENTS, REPORT_EVENTS
from contracts.sources import load_sources
from contracts.topics import all_topics

ENVELOPE_FILE = "envelope.json"
_COMMAND = "python -m contracts.generate"
_FROM_OUTSIDE = frozenset(event.type for event in INPUT_EVENTS + REPORT_EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Where the contracts and the page about them are kept."""

    contracts: Path
    page: Path

    @property
    def released(self) -> Path:
        """Return where the last release is kept."""
        return self.contracts / "released"


COMMITTED = Tree(
    contracts=Path(__file__).parent, page=Path(__file__).parents[1] / "docs" / "events.md"
)


@cache
def generated() -> Mapping[str, str]:
    """Return what follows from the models, by path under `contracts/`."""
    files = {f"schemas/{name}.json": _json(event_schema(event)) for name, event in EVENTS.items()}
    files[f"schemas/{ENVELOPE_FILE}"] = _json(envelope_schema())
    files["asyncapi.yaml"] = yaml.safe_dump(
        asyncapi(load_sources()), sort_keys=False, allow_unicode=True, width=100
    )
    return MappingProxyType(files)


def write(tree: Tree = COMMITTED) -> None:
    """Bring the committed files up to date; files of types that are gone are removed."""
    files = generated()
    schemas = tree.contracts / "schemas"
    schemas.mkdir(parents=True, exist_ok=True)
    for path in schemas.glob("*.json"):
        if f"schemas/{path.name}" not in files:
            path.unlink()
    for name, text in files.items():
        (tree.contracts / name).write_text(text, encoding="utf-8")
    tree.page.parent.mkdir(parents=True, exist_ok=True)
    tree.page.write_text(reference(load_sources()), encoding="utf-8")


def release(tree: Tree = COMMITTED) -> None:
    """Keep schemas and examples as those of the last release; what was released before stays."""
    for folder in ("schemas", "examples"):
        kept = tree.released / folder
        kept.mkdir(parents=True, exist_ok=True)
        for path in sorted((tree.contracts / folder).glob("*.json")):
            (kept / path.name).write_bytes(path.read_bytes())


def export(directory: Path) -> int:
    """Write schemas, examples, AsyncAPI and the page about events; return how many files."""
    files = {**generated(), "events.md": reference(load_sources())}
    for path in sorted((COMMITTED.contracts / "examples").glob("*.json")):
        files[f"examples/{path.name}"] = path.read_text(encoding="utf-8")
    for name, text in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return len(files)


def check(tree: Tree = COMMITTED) -> list[str]:
    """Return what is wrong, one line each, none if all is well.

    Committed files must be current, every type must have one example that its model takes, and
    nothing may break who relies on the last release.
    """
    return [
        *_stale(tree),
        *_wrong_examples(tree.contracts / "examples"),
        *_broken_since_release(tree),
    ]


def _stale(tree: Tree) -> Iterator[str]:
    files = {tree.contracts / name: text for name, text in generated().items()}
    # The page belongs to the checkout; an installation has only the packages.
    if tree.page.parent.is_dir():
        files[tree.page] = reference(load_sources())
    for path, text in files.items():
        if not path.is_file():
            yield f"{path.name}: is missing. Run `{_COMMAND}`."
        elif path.read_text(encoding="utf-8") != text:
            yield f"{path.name}: is not what the models say. Run `{_COMMAND}`."
    for path in sorted((tree.contracts / "schemas").glob("*.json")):
        if path not in files:
            yield f"{path.name}: is of no type we have. Run `{_COMMAND}`."


def _wrong_examples(directory: Path) -> Iterator[str]:
    paths = {path.stem: path for path in sorted(directory.glob("*.json"))}
    for name in EVENTS:
        if name not in paths:
            yield f"{name}: has no example. Write {directory.name}/{name}.json."
    for name, path in paths.items():
        defect = _defect(path.read_text(encoding="utf-8"), name)
        if defect is not None:
            yield f"{directory.name}/{path.name}: {defect}. Every reader must still take it."


def _defect(text: str, name: str) -> str | None:
    """Return why an example is no complete event of its type."""
    try:
        envelope = Envelope.model_validate(json.loads(text))
        if envelope.type != name or name not in EVENTS:
            return f"is of type {envelope.type}, which is not the name of the file, or unknown"
        event = EVENTS[name].model_validate(envelope.data)
    except json.JSONDecodeError as error:
        return f"is no JSON: {error.msg}"
    except ValidationError as error:
        return describe(error)
    if event.subject != envelope.subject:
        return f"subject must equal {event.subject_field}"
    return None


def _broken_since_release(tree: Tree) -> Iterator[str]:
    schemas = tree.released / "schemas"
    if not schemas.is_dir():
        yield f"released/: is missing, so nothing can be compared. Run `{_COMMAND} --release`."
        return
    for path in sorted(schemas.glob("*.json")):
        name = path.stem
        old = json.loads(path.read_text(encoding="utf-8"))
        current = tree.contracts / "schemas" / path.name
        if not current.is_file():
            yield f"{name}: the type is gone; breaks {_whom(name)}"
            continue
        new = json.loads(current.read_text(encoding="utf-8"))
        yield from released_breaks(name, old, new)
    yield from _wrong_released_examples(tree.released / "examples")


def released_breaks(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one line per field of a type that differs from its release so that someone breaks."""
    published = name not in _FROM_OUTSIDE
    changes = breaking_changes(old, new, is_published=published)
    return [f"{name}: {change}; breaks {_whom(name)}" for change in changes]


def _whom(name: str) -> str:
    """Return who sends or reads a type, and so would break."""
    stays = "the log that is read again"
    if name == Path(ENVELOPE_FILE).stem:
        return f"every sender and reader, and {stays}"
    topics = [topic for topic in all_topics(load_sources()) if topic.source is not None]
    on = [topic for topic in topics if topic.source is not None and topic.source.may_send(name)]
    if name in _FROM_OUTSIDE:
        who = sorted({topic.source.name for topic in on if topic.source is not None})
        return f"senders ({', '.join(who) or 'unknown'}) and {stays}"
    who = sorted({reader for topic in on for reader in topic.readers})
    return f"readers ({', '.join(who) or 'unknown'}) and {stays}"


def _wrong_released_examples(directory: Path) -> Iterator[str]:
    for path in sorted(directory.glob("*.json")):
        defect = _defect(path.read_text(encoding="utf-8"), path.stem)
        if defect is not None:
            yield f"released/examples/{path.name}: {defect}; breaks {_whom(path.stem)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    write()
    if "--release" in sys.argv[1:]:
        release()
    problems = check()
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    sys.exit(1 if problems else 0)
