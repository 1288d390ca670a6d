"""From bytes to events: each defect has its reason of the closed list; the first is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.decisions import DeadLetterReason
from contracts.registry import EVENTS
from streaming.bus import Headers, Record
from streaming.decoding import HEADER_BYTES_MIN, Decoded, Defect, decode

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "m-1",
    "source": "/attendance",
    "type": "attendance.lesson-marked.v1",
    "time": "2020-09-03T18:00:00+08:00",
    "subject": "enr-00001",
    "partitionkey": "25701000",
    "data": {
        "enrollment_id": "enr-00001",
        "lesson_id": "les-001",
        "lesson_date": "2020-09-03",
        "mark": "present",
        "evidence": "journal",
        "revision": 1,
    },
}


def record(value: bytes | None, headers: Headers = ()) -> Record:
    return Record("attendance.events.v1", 0, 0, 0, b"25701000", value, headers)


def changed(**attributes: Any) -> bytes:
    return json.dumps(GOOD | attributes).encode()


def with_data(**fields: Any) -> bytes:
    return changed(data=GOOD["data"] | fields)


def _headers(more: int) -> Headers:
    """Return headers that are as large, with the key, as may be, and `more` bytes larger."""
    return (("h", bytes(65_536 - len(b"25701000") - 1 - HEADER_BYTES_MIN + more)),)


def reason_of(value: bytes | None, headers: Headers = ()) -> DeadLetterReason | None:
    try:
        decode(record(value, headers), EVENTS)
    except Defect as defect:
        return defect.reason
    return None


def test_a_good_record_is_an_event() -> None:
    decoded = decode(record(changed()), EVENTS)

    assert isinstance(decoded, Decoded)
    assert decoded.event.to_data() == GOOD["data"]


R = DeadLetterReason
TEXT = changed().decode()
DEEP = b'{"a":' * 17 + b"1" + b"}" * 17
LONG = "я" * 40_000


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, R.TOMBSTONE, id="a tombstone"),
        pytest.param(b"", R.EMPTY, id="no bytes"),
        pytest.param(b"\xff\xfe{}", R.NOT_UTF8, id="another encoding"),
        pytest.param(changed(id="\udc80"), R.NOT_UTF8, id="a lone surrogate"),
        pytest.param(b"\xef\xbb\xbf" + changed(), R.NOT_JSON, id="a byte order mark"),
        pytest.param(b"hello", R.NOT_JSON, id="no JSON"),
        pytest.param(changed()[:-1], R.NOT_JSON, id="cut off"),
        pytest.param(changed() + b"{}", R.NOT_JSON, id="two objects"),
        pytest.param(b"[1]", R.NOT_OBJECT, id="an array"),
        pytest.param(b'"text"', R.NOT_OBJECT, id="a string"),
        pytest.param(b"null", R.NOT_OBJECT, id="null"),
        pytest.param(
            TEXT.replace('"id"', '"id": "m-2", "id"').encode(), R.DUPLICATE_KEY, id="a key twice"
        ),
        pytest.param(
            TEXT.replace('"mark"', '"mark": "absent", "mark"').encode(),
            R.DUPLICATE_KEY,
            id="a key twice in the data",
        ),
        pytest.param(
            TEXT.replace('"mark"', '"m\\u0061rk": "absent", "mark"').encode(),
            R.DUPLICATE_KEY,
            id="a key twice, once escaped",
        ),
        pytest.param(json.dumps(LONG).encode(), R.TOO_LARGE, id="more than 64 KiB"),
        pytest.param(DEEP, R.TOO_DEEP, id="seventeen levels"),
        pytest.param(b"[" * 60_000, R.TOO_DEEP, id="as deep as it gets"),
        pytest.param(TEXT.replace('"revision": 1', '"revision": NaN').encode(), R.BAD_NUMBER),
        pytest.param(TEXT.replace('"revision": 1', '"revision": Infinity').encode(), R.BAD_NUMBER),
        pytest.param(TEXT.replace('"revision": 1', '"revision": 1.0').encode(), R.BAD_NUMBER),
        pytest.param(TEXT.replace('"revision": 1', '"revision": 1e3').encode(), R.BAD_NUMBER),
        pytest.param(
            TEXT.replace('"revision": 1', f'"revision": {10**15}').encode(),
            R.BAD_NUMBER,
            id="sixteen digits",
        ),
        pytest.param(changed(specversion="0.3"), R.BAD_ENVELOPE),
        pytest.param(changed(id=""), R.BAD_ENVELOPE),
        pytest.param(changed(id="x" * 65), R.BAD_ENVELOPE),
        pytest.param(changed(id=7), R.BAD_ENVELOPE),
        pytest.param(changed(time="yesterday"), R.BAD_ENVELOPE),
        pytest.param(changed(time="2020-09-03T18:00:00"), R.BAD_ENVELOPE, id="no offset"),
        pytest.param(changed(partitionkey="2570100"), R.BAD_ENVELOPE, id="seven digits"),
        pytest.param(changed(partitionkey=25701000), R.BAD_ENVELOPE, id="a number as key"),
        pytest.param(changed(partitionkey=None), R.BAD_ENVELOPE),
        pytest.param(changed(colour="red"), R.BAD_ENVELOPE, id="an unknown attribute"),
        pytest.param(changed(sequence="01"), R.BAD_ENVELOPE),
        pytest.param(changed(data="text"), R.BAD_ENVELOPE),
        pytest.param(changed(type="attendance.lesson-forgotten.v1"), R.UNKNOWN_TYPE),
        pytest.param(changed(type="attendance.lesson-marked.v2"), R.UNKNOWN_VERSION),
        pytest.param(with_data(colour="red"), R.UNKNOWN_FIELD),
        pytest.param(with_data(mark="asleep"), R.SCHEMA),
        pytest.param(with_data(mark="asleep", colour="red"), R.SCHEMA, id="wrong and unknown"),
        pytest.param(with_data(revision=0), R.SCHEMA),
        pytest.param(with_data(revision=True), R.SCHEMA, id="true is no number"),
        pytest.param(with_data(revision="1"), R.SCHEMA, id="a number as text"),
        pytest.param(with_data(lesson_date="03.09.2020"), R.SCHEMA),
        pytest.param(with_data(lesson_date="2020-02-30"), R.SCHEMA, id="no such day"),
        pytest.param(with_data(lesson_id="L"), R.SCHEMA),
        pytest.param(with_data(enrollment_id="enr-00002"), R.SUBJECT_MISMATCH),
    ],
)
def test_each_defect_has_its_reason(value: bytes | None, reason: DeadLetterReason) -> None:
    assert reason_of(value) is reason


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        pytest.param(b"{}" + b" " * (65_536 - 2), (), R.BAD_ENVELOPE, id="64 KiB are read"),
        pytest.param(b"{}" + b" " * (65_536 - 1), (), R.TOO_LARGE, id="a byte more is not"),
        pytest.param(changed(), (("h", b"\xff"),) * 32, None, id="32 headers of any bytes"),
        pytest.param(changed(), (("h", b""),) * 33, R.TOO_MANY_HEADERS, id="33 are too many"),
        pytest.param(changed(), _headers(0), None, id="64 KiB of key and headers are read"),
        pytest.param(changed(), _headers(1), R.TOO_LARGE, id="a byte more of them is not"),
        pytest.param(b'{"a":' * 16 + b"1" + b"}" * 16, (), R.BAD_ENVELOPE, id="16 levels are read"),
        pytest.param(with_data(revision=10**15 - 1), (), None, id="fifteen digits are exact"),
    ],
)
def test_each_limit_has_two_sides(
    value: bytes, headers: Headers, reason: DeadLetterReason | None
) -> None:
    assert reason_of(value, headers) is reason


def test_a_defect_tells_no_values() -> None:
    with pytest.raises(Defect) as caught:
        decode(record(with_data(mark="Иван Петров")), EVENTS)

    assert "Иван" not in caught.value.detail


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_have_a_reason(value: bytes) -> None:
    reason = reason_of(value)

    assert reason is None or reason in DeadLetterReason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_any_attribute_may_be_anything(name: str, value: object) -> None:
    reason = reason_of(json.dumps(GOOD | {name: value}).encode())

    assert reason is None or reason in DeadLetterReason
