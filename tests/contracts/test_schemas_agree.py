"""What the schemas promise to integrators is what the decoder lets through, and nothing more."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from pydantic import ValidationError

from contracts.decisions import DeadLetterReason
from contracts.generate import COMMITTED
from contracts.registry import EVENTS
from streaming.bus import Record
from streaming.decoding import Defect, decode

INPUTS = sorted(name for name, model in EVENTS.items() if model.natural_key)
BEYOND_SCHEMA = {
    # JSON Schema takes 1.0 for a whole number; a reader may not.
    DeadLetterReason.BAD_NUMBER,
    DeadLetterReason.SUBJECT_MISMATCH,
}
"""What is refused although the schema of the type allows it."""

LOOSE = {
    # The form of a time is a `format`, which few validators check.
    ("time",),
    # As released, the schema says nothing about words that are no category.
    ("data", "channels"),
}
"""Where a released schema promises more than is let through."""

TEXTS = st.one_of(
    st.text(max_size=10),
    st.sampled_from(
        ["", "25701000", "child-00001", "2020-09-01", "2020-02-30", "present", "ё" * 201]
    ),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**16), 10**16),
        st.sampled_from([0, 1, -1, 10**12, 10**12 + 1, 10**15 - 1, 1.0, 0.5]),
        TEXTS,
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def example_of(name: str) -> dict[str, Any]:
    path = COMMITTED.contracts / "examples" / f"{name}.json"
    example: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return example


def validator_of(name: str) -> Any:
    path = COMMITTED.contracts / "schemas" / f"{name}.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    return Draft202012Validator(schema, format_checker=FormatChecker())


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every member of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, member in inner:
        yield (*here, name)
        if isinstance(member, dict | list):
            yield from places(member, (*here, name))


def changed(example: dict[str, Any], place: tuple[Any, ...], change: Any) -> dict[str, Any]:
    """Return a copy with one member replaced, taken away, or one added beside it."""
    copy: dict[str, Any] = json.loads(json.dumps(example))
    part: Any = copy
    for step in place[:-1]:
        part = part[step]
    kind, value = change
    if kind == "gone":
        del part[place[-1]]
    elif kind == "more" and isinstance(part, dict):
        part["more"] = value
    else:
        part[place[-1]] = value
    return copy


def verdict(record: dict[str, Any]) -> DeadLetterReason | None:
    value = json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        decode(Record("some.events.v1", 0, 0, 0, None, value), EVENTS)
    except Defect as defect:
        return defect.reason
    return None


def is_about_two_fields(record: dict[str, Any]) -> bool:
    """Is it refused since one field contradicts another? No schema of JSON can say so."""
    try:
        EVENTS[record["type"]].model_validate(record["data"])
    except ValidationError as error:
        return all(each["loc"] == () for each in error.errors())
    return False


def test_a_group_for_nobody_is_about_two_fields() -> None:
    example = example_of("navigator.group-published.v1")
    nobody = changed(example, ("data", "age_min"), ("other", example["data"]["age_max"] + 1))
    negative = changed(example, ("data", "age_min"), ("other", -1))

    assert is_about_two_fields(nobody)
    assert not is_about_two_fields(negative)


@pytest.mark.parametrize("name", INPUTS)
@settings(max_examples=60)
@given(data=st.data())
def test_what_is_let_through_fits_the_schema(name: str, data: st.DataObject) -> None:
    example = example_of(name)
    ways = [way for way in places(example) if way not in LOOSE]
    place = data.draw(st.sampled_from(ways))
    kinds = st.sampled_from(["other", "other", "gone", "more"])
    record = changed(example, place, data.draw(st.tuples(kinds, VALUES)))
    assume(record.get("type") == name)

    fits = validator_of(name).is_valid(record)
    reason = verdict(record)

    if reason is None:
        assert fits, record
    elif fits:
        assert reason in BEYOND_SCHEMA or is_about_two_fields(record), (reason, record)


@pytest.mark.parametrize("name", INPUTS)
def test_the_schema_and_the_decoder_both_refuse_what_is_missing_or_unknown(name: str) -> None:
    example, validator = example_of(name), validator_of(name)
    required = validator.schema["required"]

    for attribute in required:
        record = {key: value for key, value in example.items() if key != attribute}
        assert not validator.is_valid(record)
        assert verdict(record) is DeadLetterReason.BAD_ENVELOPE
    unknown = example | {"data": {**example["data"], "colour": "red"}}
    assert not validator.is_valid(unknown)
    assert verdict(unknown) is DeadLetterReason.UNKNOWN_FIELD
