"""Every type of event there must be is there, with its example, and says what it is."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import contracts
from contracts.envelope import Envelope, EventData, Part
from contracts.generate import COMMITTED
from contracts.registry import EVENTS
from contracts.vocabulary import Decision, Service

# Written down a second time, by hand, from the agreed list of events.
INPUTS = """
navigator: provider-registered group-published child-registered application-submitted
  application-accepted application-rejected application-withdrawn enrollment-terminated
  certificate-requested preferences-set
payers: period-opened enrollment-closed category-set frame-agreement-set policy-set rules-published
  certificate-freeze-set nominal-corrected invoice-paid
attendance: lesson-marked
disputes: lesson-disputed dispute-answered
calendar: day-opened
"""
PUBLISHED = """
enrollment: place-requested place-answered place-returned application-registered
  application-refused application-waitlisted place-held child-enrolled agreement-activated
  enrollment-cancelled enrollment-ended group-changed
certificates: certificate-issued certificate-queued certificate-funded certificate-refused
  certificate-frozen certificate-unfrozen nominal-changed certificate-renewed certificate-closed
billing: account-opened funds-reserved funds-refused lesson-charged lesson-not-charged
  charge-reversed month-charged month-reversed month-adjusted reserve-released nominal-applied
  period-expired invoice-issued invoice-settled dispute-opened dispute-settled
notifications: message-due message-suppressed message-sent message-failed delivery-reported
"""
DECISIONS = "duplicate refused parked forwarded dead-lettered noted"

SAMPLES = Path(__file__).with_name("samples.jsonl").read_text(encoding="utf-8").splitlines()


def listed(text: str) -> set[str]:
    found: set[str] = set()
    stream = ""
    for word in text.split():
        if word.endswith(":"):
            stream = word.removesuffix(":")
        else:
            found.add(f"{stream}.{word}.v1")
    return found


def test_every_agreed_type_has_a_model_and_no_other_has() -> None:
    decisions = {f"{s}.input-{d}.v1" for s in Service for d in DECISIONS.split()}

    assert set(EVENTS) == listed(INPUTS) | listed(PUBLISHED) | decisions


def test_every_service_has_every_decision() -> None:
    named = {f"{service}.{decision}.v1" for service in Service for decision in Decision}

    assert named <= set(EVENTS)
    assert len(named) == 24


@pytest.mark.parametrize("name", EVENTS)
def test_a_model_says_what_it_is(name: str) -> None:
    event = EVENTS[name]
    wire_names = {field.alias or key for key, field in event.model_fields.items()}

    assert event.type == name
    assert (event.__doc__ or "").strip()
    assert event.subject_field.partition(".")[0] in wire_names
    assert set(event.natural_key) <= wire_names
    assert event.revision_field is None or event.revision_field in wire_names


@pytest.mark.parametrize("name", sorted(listed(INPUTS)))
def test_an_input_has_a_natural_key_that_leaves_its_revision_out(name: str) -> None:
    event = EVENTS[name]

    assert event.natural_key
    assert "revision" not in event.natural_key
    assert ("revision" in event.model_fields) == (event.revision_field == "revision")
    assert event.keyed_by_payer == name.startswith("payers.")


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_survives_reading_and_writing_and_fits_its_schema(name: str) -> None:
    text = (COMMITTED.contracts / "examples" / f"{name}.json").read_text(encoding="utf-8")
    schema = json.loads((COMMITTED.contracts / "schemas" / f"{name}.json").read_text("utf-8"))
    record = json.loads(text)

    envelope = Envelope.model_validate(record)
    event = EVENTS[name].model_validate(envelope.data)

    assert envelope.model_dump(mode="json", exclude_defaults=True) == record
    assert event.to_data() == record["data"]
    assert event.subject == envelope.subject
    Draft202012Validator.check_schema(schema)
    assert list(Draft202012Validator(schema).iter_errors(record)) == []


@pytest.mark.parametrize("line", SAMPLES, ids=lambda line: str(json.loads(line)["id"]))
def test_a_line_of_a_play_file_is_an_event(line: str) -> None:
    record = json.loads(line)

    envelope = Envelope.model_validate(record)
    event = EVENTS[envelope.type].model_validate(envelope.data)

    assert event.subject == envelope.subject
    assert event.to_data() == record["data"]


def all_parts(base: type[BaseModel]) -> set[type[BaseModel]]:
    return {base}.union(*(all_parts(child) for child in base.__subclasses__()))


def test_only_optional_fields_have_a_default_and_it_is_none() -> None:
    parts = {part for part in all_parts(Part) if part.__module__.startswith(contracts.__name__)}

    defaults = {
        field.default
        for part in parts | {Envelope}
        for field in part.model_fields.values()
        if field.default is not PydanticUndefined
    }

    assert len(parts) > len(EVENTS)
    assert defaults == {None}


def test_natural_key_and_revision_are_read_under_the_names_of_the_wire() -> None:
    event: EventData = EVENTS["payers.rules-published.v1"].model_validate(
        {
            "table": "billing.charging",
            "from": "2020-10-01",
            "published": "2020-09-21",
            "basis": "Постановление 12",
            "rows": [],
        }
    )

    assert event.natural_key_values == ("billing.charging", "2020-10-01", "2020-09-21")
    assert event.known_revision is None
