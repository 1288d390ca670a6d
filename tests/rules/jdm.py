"""Rule tables as JDM decision tables, the form in which zen-engine and its editor take them."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, assert_never

from rulebook.model import Cell, Codes, Equals, Hit, Holds, OneOf, Range, Value, Version

ROW = "row"
"""The output beside those of the table: the id of the row that hit."""


def exported(version: Version) -> dict[str, Any]:
    """Return a version of a table as a JDM graph of one decision table between input and output.

    What JDM has no word for is written so that nothing is hidden: a `unique` table collects, and
    an engine then shows a second row where there is one.
    """
    schema = version.schema
    inputs = [
        # A collection is asked about by a whole expression, which names it.
        {"id": name, "name": name} | ({} if isinstance(kind, Codes) else {"field": name})
        for name, kind in schema.inputs.items()
    ]
    outputs = [{"id": name, "name": name, "field": name} for name in (*schema.outputs, ROW)]
    table = {
        "hitPolicy": "first" if schema.hit is Hit.FIRST else "collect",
        "inputs": inputs or [{"id": "any", "name": "any"}],
        "outputs": outputs,
        "rules": [
            {
                "_id": row.id,
                "_description": row.says,
                **{name: _asked(name, row.when.get(name)) for name in schema.inputs},
                **{name: _literal(value) for name, value in row.then.items()},
                ROW: _literal(row.id),
            }
            for row in version.rows
        ],
    }
    return {
        "nodes": [
            _node("request", "inputNode", {}),
            _node(schema.table, "decisionTableNode", table),
            _node("response", "outputNode", {}),
        ],
        "edges": [_edge("request", schema.table), _edge(schema.table, "response")],
    }


def _node(id_: str, type_: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id_, "name": id_, "type": type_, "content": content, "position": {"x": 0, "y": 0}}


def _edge(source: str, target: str) -> dict[str, str]:
    return {"id": f"{source}-{target}", "type": "edge", "sourceId": source, "targetId": target}


def _asked(name: str, cell: Cell | None) -> str:
    match cell:
        case None:
            return ""
        case Equals(value):
            return _literal(value)
        case OneOf(values):
            return ", ".join(map(_literal, values))
        case Range(start, None):
            return f">= {_literal(start)}"
        case Range(None, below):
            return f"< {_literal(below)}"
        case Range(start, below):
            return f"[{_literal(start)}..{_literal(below)})"
        case Holds(has, lacks):
            asked = [f"contains({name}, {_literal(code)})" for code in sorted(has)]
            asked += [f"not contains({name}, {_literal(code)})" for code in sorted(lacks)]
            return " and ".join(asked)
        case _:
            assert_never(cell)


def _literal(value: Value | None) -> str:
    if value is None or isinstance(value, date):
        raise ValueError(f"{value!r} has no literal here: no table asks for one.")
    return json.dumps(value, ensure_ascii=False)
