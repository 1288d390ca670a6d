"""Tables from files. The only part of this package that reads any.

YAML is read strictly: what a person may take for one thing and a parser for another is refused
with its line. No unquoted yes, no, on or off; no decimal number; no key that is not text or
stands twice; no aliases, no tags.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import yaml

from rulebook.checking import check
from rulebook.errors import (
    Defect,
    InputInvalidError,
    NotInForceError,
    Problem,
    RulesInvalidError,
    UnknownTableError,
)
from rulebook.evaluate import evaluate
from rulebook.model import Hit, Table
from rulebook.overlay import NO_OVERLAYS, Overlays, PayerRules
from rulebook.parsing import LinedDict, LinedList, Place, read_day, read_table

FILE_BYTES_MAX = 256 * 1024
NESTING_MAX = 8
DIGITS_MAX = 18
EXAMPLES_SUFFIX = ".examples.yaml"
NOT_IN_FORCE = "not in force"

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TRAPS = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false", "null", "~", ""})
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq", "merge"))


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The tables of one service, by name."""

    tables: Mapping[str, Table]

    @classmethod
    def load(cls, package_or_dir: str | Path) -> "Rulebook":
        """Return the tables in `rules/` of a package (`"services.billing"`), or in a directory.

        Raises RulesInvalidError with everything wrong in any of the files, and FileNotFoundError
        if there is no such place or no table in it.
        """
        directory = _directory(package_or_dir)
        files = _tables_in(directory)
        if not files:
            raise FileNotFoundError(f"{directory} holds no tables. Put them there as NAME.yaml.")
        problems: list[Problem] = []
        tables: dict[str, Table] = {}
        for file in files:
            try:
                table = load_table(file)
            except RulesInvalidError as error:
                problems.extend(error.problems)
                continue
            if table.name in tables:
                place = Place(table=table.name, source=str(file), line=1)
                twice = place.wrong(
                    f"the table {table.name} is also in {tables[table.name].schema.file}",
                    "Keep it in one file.",
                    "таблица описана в двух файлах",
                )
                problems.extend(twice.problems)
            tables[table.name] = table
        if problems:
            raise RulesInvalidError(tuple(problems))
        return cls(tables)

    def table(self, name: str) -> Table:
        """Return the table of that name; raises UnknownTableError."""
        table = self.tables.get(name)
        if table is None:
            raise UnknownTableError(name, tuple(self.tables))
        return table

    def for_payer(self, overlays: Overlays = NO_OVERLAYS) -> PayerRules:
        """Return these tables together with what one payer published."""
        return PayerRules(self.tables, overlays)


def load_table(path: Path) -> Table:
    """Return the checked table in a file; raises RulesInvalidError with every problem found."""
    table = read_table(read_yaml(path), str(path))
    problems = check(table)
    if problems:
        raise RulesInvalidError(tuple(problems))
    return table


# --- checking files ----------------------------------------------------------------------------


def check_paths(paths: Iterable[str | Path]) -> list[str]:
    """Return what is wrong with the tables in these files and directories, a line for each.

    A directory stands for all tables in its `rules` directories, or, having none, for the tables
    directly in it. The examples beside a table are tried too. Empty means all is well.
    """
    said: list[str] = []
    for path in map(Path, paths):
        files = _tables_below(path) if path.is_dir() else [path]
        if not files:
            said.append(f"{path}: no tables here. Name a table file or a directory with some.")
        for file in files:
            said.extend(_check_file(file))
    return said


def _check_file(file: Path) -> list[str]:
    try:
        table = load_table(file)
    except RulesInvalidError as error:
        return [str(problem) for problem in error.problems]
    except OSError as error:
        return [f"{file}: cannot be read: {error.strerror}. Check the path."]
    beside = examples_path(file)
    if not beside.exists():
        return []
    try:
        examples = load_examples(beside, table)
    except RulesInvalidError as error:
        return [str(problem) for problem in error.problems]
    failures = (failure(table, example) for example in examples)
    return [str(problem) for problem in failures if problem is not None]


# --- examples ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A case with what must follow: the outputs of each row that counts; None: not in force."""

    title: str
    day: date
    given: Mapping[str, object]
    expect: tuple[Mapping[str, object], ...] | None
    where: str


def examples_path(table_file: Path) -> Path:
    """Return where the examples of a table stand: beside it."""
    return table_file.with_name(table_file.stem + EXAMPLES_SUFFIX)


def load_examples(path: Path, table: Table) -> list[Example]:
    """Return the examples in a file; raises RulesInvalidError if one is malformed."""
    place = Place(table=table.name, source=str(path))
    data = read_yaml(path)
    if not isinstance(data, LinedList):
        raise place.wrong("examples are a list", "Begin each with `- `.", "нужен список примеров")
    return [_example(one, place.at(data, number), table) for number, one in enumerate(data)]


def failure(table: Table, example: Example) -> Problem | None:
    """Return how the table contradicts the example, None if it does not."""
    found: list[dict[str, object]] | None
    try:
        decision = evaluate(table, example.day, example.given)
        found = [dict(row.then) for row in decision.hits]
    except NotInForceError:
        found = None
    except InputInvalidError as error:
        return _example_problem(table, example, str(error))
    wanted = None if example.expect is None else [dict(one) for one in example.expect]
    if found == wanted:
        return None
    return _example_problem(table, example, f"expects {_said(wanted)} but gets {_said(found)}")


def _said(outputs: list[dict[str, object]] | None) -> str:
    return NOT_IN_FORCE if outputs is None else str(outputs)


def _example_problem(table: Table, example: Example, what: str) -> Problem:
    return Problem(
        defect=Defect.EXAMPLE,
        table=table.name,
        where=example.where,
        what=f"{example.title!r} {what}",
        remedy="Correct the table or the example, whichever contradicts the paper.",
        russian=f"пример «{example.title}» не сходится с таблицей",
    )


def _example(data: object, place: Place, table: Table) -> Example:
    if not isinstance(data, LinedDict) or set(data) != {"title", "day", "given", "expect"}:
        raise place.wrong(
            "an example has exactly title, day, given and expect",
            "The day is called `day`, not `on`.",
            "у примера должны быть ровно поля title, day, given, expect",
        )
    title, given, expect = data["title"], data["given"], data["expect"]
    if not isinstance(title, str) or not isinstance(given, LinedDict):
        raise place.wrong(
            "an example has a title in words and given inputs",
            "Write {title: ..., day: ..., given: {input: value}, expect: {output: value}}.",
            "у примера нужны название и входные значения",
        )
    results: tuple[Mapping[str, object], ...] | None
    if expect == NOT_IN_FORCE:
        results = None
    elif isinstance(expect, LinedDict) and table.schema.hit is not Hit.COLLECT:
        results = (expect,)
    elif isinstance(expect, LinedList) and table.schema.hit is Hit.COLLECT:
        results = tuple(one for one in expect if isinstance(one, LinedDict))
    else:
        raise place.wrong(
            "the expected result has the wrong form",
            "Write {output: value}, a list of those for a table that collects, "
            f"or `{NOT_IN_FORCE}`.",
            "ожидаемый результат записан неверно",
        )
    return Example(
        title=title,
        day=read_day(data["day"], place.at(data, "day")),
        given=given,
        expect=results,
        where=place.words,
    )


# --- places ------------------------------------------------------------------------------------


def _directory(package_or_dir: str | Path) -> Path:
    if isinstance(package_or_dir, Path) or "/" in package_or_dir:
        return Path(package_or_dir)
    spec = find_spec(package_or_dir)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"There is no package {package_or_dir!r} to load rules from.")
    return Path(next(iter(spec.submodule_search_locations))) / "rules"


def _tables_in(directory: Path) -> list[Path]:
    return sorted(
        file for file in directory.glob("*.yaml") if not file.name.endswith(EXAMPLES_SUFFIX)
    )


def _tables_below(directory: Path) -> list[Path]:
    named = sorted(place for place in directory.rglob("rules") if place.is_dir())
    if not named:
        return _tables_in(directory)
    return [file for place in named for file in _tables_in(place)]


# --- strict YAML -------------------------------------------------------------------------------


def read_yaml(path: Path) -> object:
    """Return the data of a file with line numbers; raises RulesInvalidError, or OSError."""
    place = Place(table="", source=str(path))
    content = path.read_bytes()
    if len(content) > FILE_BYTES_MAX:
        raise place.wrong(
            f"the file has more than {FILE_BYTES_MAX} bytes", "Split it.", "файл слишком велик"
        )
    try:
        node = yaml.compose(content.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise place.wrong("the file is not UTF-8", "Save it so.", "файл не в UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise Place(table="", source=str(path), line=line).wrong(
            f"this is not YAML: {error.problem}",
            "Look at indents, quotes and brackets here.",
            "файл записан с ошибкой",
        ) from error
    except yaml.YAMLError as error:
        raise place.wrong(
            f"this is not YAML: {error}", "Save it as plain text.", "файл записан с ошибкой"
        ) from error
    if node is None:
        raise place.wrong("the file is empty", "Write the table.", "файл пуст")
    return _Reading(place).data(node, depth=0)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One walk through the nodes of a file; `seen` shows when an alias leads back to one."""

    place: Place
    seen: set[int] = field(default_factory=set)

    def data(self, node: yaml.Node, depth: int) -> object:
        here = self._here(node)
        if depth > NESTING_MAX:
            raise here.wrong(
                f"data are nested deeper than {NESTING_MAX}", "Flatten them.", "слишком глубоко"
            )
        if id(node) in self.seen:
            raise here.wrong(
                "an alias stands here", "Write the data out.", "ссылки внутри файла недопустимы"
            )
        self.seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, here)
        if node.tag not in _PLAIN_TAGS:
            raise _tagged(node, here)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        listed = LinedList()
        listed.line = here.line
        for number, one in enumerate(node.value):
            listed.append(self.data(one, depth + 1))
            listed.lines[number] = one.start_mark.line + 1
        return listed

    def _mapping(self, node: yaml.MappingNode, depth: int) -> LinedDict:
        body = LinedDict()
        body.line = node.start_mark.line + 1
        for key_node, value_node in node.value:
            here = self._here(key_node)
            key = self.data(key_node, depth + 1)
            if not isinstance(key, str) or key == "<<":
                raise here.wrong(
                    "this key is not text",
                    "Put it in quotes if it is meant to be.",
                    "имя поля должно быть текстом",
                )
            if key in body:
                raise here.wrong(
                    f"the key {key!r} stands here twice",
                    f"Keep one; the first is in line {body.lines[key]}.",
                    f"поле «{key}» указано дважды",
                )
            body[key] = self.data(value_node, depth + 1)
            body.lines[key] = here.line
        return body

    def _here(self, node: yaml.Node) -> Place:
        line: int = node.start_mark.line + 1
        return Place(table=self.place.table, source=self.place.source, line=line)


def _scalar(node: yaml.ScalarNode, here: Place) -> object:
    text: str = node.value
    if node.style is not None:
        if node.tag not in _PLAIN_TAGS:
            raise _tagged(node, here)
        return text
    if text in ("true", "false"):
        return text == "true"
    if _WHOLE.fullmatch(text) and text != "-0" and len(text) <= DIGITS_MAX:
        return int(text)
    if _DATE.fullmatch(text):
        return read_day(text, here)
    if text.lower() in _TRAPS:
        raise here.wrong(
            f"{text!r} without quotes is not text to YAML (1.1 reads yes, no, on and off as bool)",
            "Write true or false, put it in quotes, or use another word, such as `day` for `on`.",
            f"«{text}» без кавычек читается неоднозначно",
        )
    if node.tag not in _PLAIN_TAGS or _reads_as_number(text):
        raise here.wrong(
            f"{text!r} is neither text nor a whole number",
            "No decimals, no leading zeros, no underscores, no times: money is in whole kopecks. "
            "Put it in quotes if it is text.",
            f"«{text}» — не целое число и не текст",
        )
    return text


def _tagged(node: yaml.Node, here: Place) -> RulesInvalidError:
    return here.wrong(
        f"the tag {node.tag!r} stands here", "Write the data without a tag.", "теги недопустимы"
    )


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
