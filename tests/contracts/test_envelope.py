"""The envelope, attribute by attribute, `docs/events.md` section 1."""

import datetime as dt
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_structured_event
from pydantic import ValidationError

from contracts.envelope import CONTENT_TYPE, Envelope, needs_partition_key
from contracts.generate import COMMITTED
from contracts.registry import EVENTS

RECORD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "att-000001",
    "source": "/attendance",
    "type": "attendance.lesson-marked.v1",
    "time": "2020-09-02T17:05:00+08:00",
    "subject": "enr-00001",
    "partitionkey": "25701000",
    "data": {},
}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="nothing optional"),
        pytest.param({"datacontenttype": "application/json"}, id="a content type"),
        pytest.param({"dataschema": "urn:x", "traceparent": "00-ab"}, id="what is passed on"),
        pytest.param({"sequence": "0"}, id="sequence zero"),
        pytest.param({"sequence": "10"}, id="a sequence"),
        pytest.param({"source": "/services/billing"}, id="a service"),
        pytest.param({"type": "attendance.lesson-marked.v12"}, id="a later version"),
        pytest.param({"journalseq": 1, "causeindex": 0, "hash": "0" * 64}, id="a journal's own"),
    ],
)
def test_what_an_envelope_takes(change: dict[str, Any]) -> None:
    envelope = Envelope.model_validate(RECORD | change)

    assert envelope.model_dump(mode="json", exclude_defaults=True) == RECORD | change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"specversion": "0.3"}, id="an older specification"),
        pytest.param({"specversion": 1.0}, id="a specification that is a number"),
        pytest.param({"id": ""}, id="an empty id"),
        pytest.param({"id": "a" * 65}, id="an id too long"),
        pytest.param({"id": "ид"}, id="an id in Cyrillic"),
        pytest.param({"source": "attendance"}, id="a source without a slash"),
        pytest.param({"source": "//x"}, id="a source of another host"),
        pytest.param({"type": "lesson-marked"}, id="a type without a version"),
        pytest.param({"type": "attendance.lesson-marked.v0"}, id="a version zero"),
        pytest.param({"time": "yesterday"}, id="no time"),
        pytest.param({"time": "2020-09-02T17:05:00"}, id="a time without offset"),
        pytest.param({"subject": ""}, id="an empty subject"),
        pytest.param({"subject": None}, id="a subject that is null"),
        pytest.param({"partitionkey": "2570100"}, id="a code of seven digits"),
        pytest.param({"partitionkey": 25701000}, id="a code that is a number"),
        pytest.param({"partitionkey": None}, id="no partition key"),
        pytest.param({"datacontenttype": "text/plain"}, id="another content type"),
        pytest.param({"sequence": "01"}, id="a sequence with a leading zero"),
        pytest.param({"sequence": 1}, id="a sequence that is a number"),
        pytest.param({"sequence": "-1"}, id="a negative sequence"),
        pytest.param({"journalseq": "1"}, id="a journal number that is a string"),
        pytest.param({"causeoffset": True}, id="an offset that is a bool"),
        pytest.param({"prevhash": "0" * 63}, id="a short hash"),
        pytest.param({"businessday": "2020-9-2"}, id="a day that is not written so"),
        pytest.param({"data": []}, id="data that is no object"),
        pytest.param({"data": None}, id="data that is null"),
        pytest.param({"data_base64": "e30="}, id="data in base 64 beside it"),
        pytest.param({"tracestate": "a=b"}, id="an extension nobody agreed on"),
    ],
)
def test_what_an_envelope_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Envelope.model_validate(RECORD | change)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "time", "subject", "data"])
def test_a_required_attribute_may_not_be_absent(name: str) -> None:
    record = {key: value for key, value in RECORD.items() if key != name}

    with pytest.raises(ValidationError):
        Envelope.model_validate(record)


@pytest.mark.parametrize(
    ("type_name", "needs"),
    [
        ("attendance.lesson-marked.v1", True),
        ("billing.lesson-charged.v1", True),
        ("calendar.day-opened.v1", False),
        ("billing.input-noted.v1", False),
        ("billing.input-dead-lettered.v1", False),
    ],
)
def test_who_must_name_a_payer(type_name: str, needs: bool) -> None:
    record = {key: value for key, value in RECORD.items() if key != "partitionkey"}
    record["type"] = type_name

    assert needs_partition_key(type_name) == needs
    if needs:
        with pytest.raises(ValidationError, match="partitionkey is required"):
            Envelope.model_validate(record)
    else:
        assert Envelope.model_validate(record).partitionkey is None


def test_the_day_is_that_of_the_sender() -> None:
    late = Envelope.model_validate(RECORD | {"time": "2020-09-02T23:30:00-11:00"})

    assert late.day == dt.date(2020, 9, 2)


@pytest.mark.parametrize("name", EVENTS)
def test_the_reference_library_of_cloudevents_reads_what_we_write(name: str) -> None:
    body = (COMMITTED.contracts / "examples" / f"{name}.json").read_bytes()
    ours = Envelope.model_validate_json(body)

    event = from_structured_event(
        KafkaMessage(headers={"content-type": CONTENT_TYPE.encode()}, key=None, value=body)
    )

    assert (event.get_id(), event.get_type()) == (ours.id, ours.type)
    assert event.get_subject() == ours.subject
    assert event.get_extension("partitionkey") == ours.partitionkey
    assert event.get_data() == ours.data
