"""The gate against breaking who relies on the last release: seen to fail, change by change."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from contracts.billing import LessonCharged
from contracts.compatibility import breaking_changes
from contracts.json_schemas import event_schema
from contracts.navigator import ApplicationWithdrawn, ChildRegistered, GroupPublished
from contracts.payers import FrameAgreementSet

Schema = dict[str, Any]

GROUP = event_schema(GroupPublished)
CHARGED = event_schema(LessonCharged)


def data(schema: Schema) -> Schema:
    found: Schema = schema["properties"]["data"]
    return found


def changed(schema: Schema, change: Callable[[Schema], object]) -> Schema:
    new = copy.deepcopy(schema)
    change(new)
    assert new != schema
    return new


def field(schema: Schema, name: str) -> Schema:
    found: Schema = data(schema)["properties"][name]
    return found


def without_enum_value(schema: Schema) -> None:
    listed = schema["$defs"]["Registry"]["enum"]
    listed.remove("general")


BREAKING = [
    pytest.param(
        GROUP,
        lambda s: data(s)["properties"].pop("title"),
        ["data.title: is gone, and unknown fields are refused"],
        id="a field is gone",
    ),
    pytest.param(
        GROUP,
        lambda s: (
            data(s)["properties"].update(room={"type": "string"}),
            data(s)["required"].append("room"),
        ),
        ["data.room: is new and required"],
        id="a new field is required",
    ),
    pytest.param(
        GROUP,
        without_enum_value,
        ["data.registry: 'general' is no longer allowed"],
        id="a value is taken from an enum",
    ),
    pytest.param(
        GROUP,
        lambda s: field(s, "capacity").update(maximum=10),
        ["data.capacity: maximum was 1000000, is 10"],
        id="an upper bound comes down",
    ),
    pytest.param(
        GROUP,
        lambda s: field(s, "capacity").update(minimum=1),
        ["data.capacity: minimum was 0, is 1"],
        id="a lower bound goes up",
    ),
    pytest.param(
        GROUP,
        lambda s: field(s, "title").update(minLength=1),
        ["data.title: minLength was none, is 1"],
        id="a bound where there was none",
    ),
    pytest.param(
        GROUP,
        lambda s: field(s, "group_id").update(pattern="^g"),
        ["data.group_id: pattern was ^[a-z0-9][a-z0-9-]{2,39}$, is ^g"],
        id="another pattern",
    ),
    pytest.param(
        GROUP,
        lambda s: field(s, "price_kopecks").update(type="string"),
        ["data.price_kopecks: was integer, is string"],
        id="another type",
    ),
    pytest.param(
        event_schema(ChildRegistered),
        lambda s: field(s, "guardian_ids")["items"].update(pattern="^g"),
        ["data.guardian_ids[]: pattern was ^[a-z0-9][a-z0-9-]{2,39}$, is ^g"],
        id="another pattern inside a list",
    ),
    pytest.param(
        event_schema(ChildRegistered),
        lambda s: field(s, "guardian_ids").update(maxItems=3),
        ["data.guardian_ids: maxItems was 4, is 3"],
        id="a shorter list",
    ),
    pytest.param(
        event_schema(ApplicationWithdrawn),
        lambda s: data(s)["required"].append("reason"),
        ["data.reason: is required from now on"],
        id="an optional field is required",
    ),
    pytest.param(
        event_schema(FrameAgreementSet),
        lambda s: data(s)["properties"].update(limit_kopecks={"type": "integer"}),
        ["data.limit_kopecks: null is no longer allowed"],
        id="null is no longer allowed",
    ),
    pytest.param(
        GROUP,
        lambda s: s["properties"].pop("traceparent"),
        ["traceparent: is gone, and unknown fields are refused"],
        id="an attribute of the envelope is gone",
    ),
    pytest.param(
        CHARGED,
        lambda s: s["$defs"]["Purse"]["properties"].pop("paid_kopecks"),
        ["data.purse.paid_kopecks: is gone, and unknown fields are refused"],
        id="a field of a part is gone",
    ),
]


@pytest.mark.parametrize(("old", "change", "told"), BREAKING)
def test_what_breaks_is_told_in_one_line_for_each_field(
    old: Schema, change: Callable[[Schema], object], told: list[str]
) -> None:
    assert breaking_changes(old, changed(old, change), is_published=False) == told


GROWING = [
    pytest.param(
        lambda s: data(s)["properties"].update(room={"type": "string"}), id="a new optional field"
    ),
    pytest.param(lambda s: s["$defs"]["Registry"]["enum"].append("new"), id="a new value"),
    pytest.param(lambda s: field(s, "capacity").update(maximum=10**7), id="a higher bound"),
    pytest.param(lambda s: field(s, "title").pop("maxLength"), id="a bound less"),
    pytest.param(lambda s: field(s, "title").update(description="x"), id="another description"),
    pytest.param(lambda s: data(s)["required"].remove("title"), id="a field less is required"),
]


@pytest.mark.parametrize("change", GROWING)
def test_what_only_grows_breaks_nobody_who_sends(change: Callable[[Schema], object]) -> None:
    assert breaking_changes(GROUP, changed(GROUP, change), is_published=False) == []


def test_a_field_that_readers_rely_on_may_not_become_optional() -> None:
    new = changed(CHARGED, lambda s: data(s)["required"].remove("amount_kopecks"))

    assert breaking_changes(CHARGED, new, is_published=True) == [
        "data.amount_kopecks: may be absent from now on"
    ]


def test_nothing_changed_breaks_nothing() -> None:
    assert breaking_changes(CHARGED, copy.deepcopy(CHARGED), is_published=True) == []
