"""Each invariant is broken on purpose in otherwise right books, and that one is reported."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson
import pytest
import yaml
from msgspec.structs import replace

from contracts.sources import SHIPPED_PATH
from streaming.bus import Record
from tests.verification.books import Books, canonical, chained, counted, played
from verification.findings import LISTED_PER_INVARIANT_MAX

BILLING, ENROLLMENT = "billing.events.v1", "enrollment.events.v1"
CERTIFICATES, ATTENDANCE = "certificates.events.v1", "attendance.events.v1"
LETTERS = "billing.dead-letters.v1"

Planted = tuple[Books, set[str]]
"""The books with a fault in them, and the events that must be named."""


def test_a_year_is_right() -> None:
    found = counted(played())

    assert [one.to_json() for one in found.listed] == []


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(lambda r: (r.topic, r.partition, r.offset), id="topic by topic"),
        pytest.param(lambda r: (-len(r.topic), -r.partition, r.offset), id="another order"),
        pytest.param(
            lambda r: (r.topic.startswith("enroll"), r.topic, r.offset), id="enrollment last"
        ),
    ],
)
def test_it_does_not_matter_which_topic_is_read_first(order: Callable[[Record], Any]) -> None:
    assert counted(played(), order).ok


# --- I01, I03, I14: decisions ------------------------------------------------------------------


def undecided() -> Planted:
    found = played().find(BILLING, "lesson-not-charged")
    return played().without(found), {found[2]["data"]["input"]["id"]}


def decided_twice() -> Planted:
    place, _, event = played().find(BILLING, "lesson-not-charged")
    records = list(played().records[place])
    again = canonical(event | {"id": "billing:again"})
    return (
        played().with_records(place, [*records, replace(records[-1], value=again)]),
        {"billing:again"},
    )


def decided_without_an_input() -> Planted:
    found = played().find(BILLING, "lesson-not-charged")
    _, _, event = found
    place = (event["causetopic"], event["causepartition"])
    kept = [r for r in played().records[place] if r.offset != event["causeoffset"]]
    return played().with_records(place, kept), {event["id"]}


def day_not_decided_by_one() -> Planted:
    found = played().find(
        "notifications.events.v1",
        "input-noted",
        lambda e: e["causetopic"] == "calendar.events.v1" and "item" not in e["data"],
    )
    return played().without(found), {found[2]["data"]["input"]["id"]}


def forwarded_and_lost() -> Planted:
    place = next(
        place
        for place, records in played().records.items()
        if place[0] == "attendance.forwarded.v1" and records
    )
    (origin,) = (
        value.decode().split("/")
        for name, value in played().records[place][0].headers
        if name == "pfdo-forwarded-from"
    )
    _, _, forwarded = played().find(
        BILLING,
        "input-forwarded",
        lambda e: [e["causepartition"], e["causeoffset"]] == [*map(int, origin[1:])],
    )
    return played().with_records(place, list(played().records[place][1:])), {forwarded["id"]}


def forwarded_twice() -> Planted:
    place = next(
        place
        for place, records in played().records.items()
        if place[0] == "attendance.forwarded.v1" and records
    )
    records = list(played().records[place])
    copy = replace(records[0], offset=records[-1].offset + 1)
    return played().with_records(place, [*records, copy]), {"misplaced-and-parked"}


def set_aside_and_decided() -> Planted:
    """A record that was forwarded has a decision of its reader too."""
    books = played()
    place, _, event = books.find(BILLING, "input-forwarded")
    noted = event | {"id": "certificates:wrong", "type": "certificates.input-duplicate.v1"}
    noted["data"] = {
        "input": event["data"]["input"] | {"type": "navigator.certificate-requested.v1"}
    }
    there = (CERTIFICATES, place[1])
    records = [*books.records[there], replace(books.records[there][-1], value=canonical(noted))]
    return books.with_records(there, records), {"certificates:wrong"}


def applied_twice() -> Planted:
    books = played()
    applied = {
        event["data"]["input"]["natural_key"]: event
        for place, records in books.records.items()
        if place[0] == BILLING
        for event in (orjson.loads(record.value or b"") for record in records)
        if "input" in event["data"] and ".lesson-" in event["type"]
    }
    found = books.find(
        BILLING, "input-duplicate", lambda e: e["data"]["input"]["natural_key"] in applied
    )
    first = applied[found[2]["data"]["input"]["natural_key"]]

    def change(event: dict[str, Any]) -> None:
        event["type"] = "billing.input-noted.v1"
        event["data"]["input"] = first["data"]["input"]

    return books.changed(found, change), {first["id"], found[2]["id"]}


def disputed(change: Callable[[dict[str, Any]], None]) -> Planted:
    return change_in_data(BILLING, "dispute-opened", change)


def dispute_of_another_sum() -> Planted:
    return disputed(add("amount_kopecks", 1))


def dispute_on_another_ground() -> Planted:
    return disputed(to("ground", "wrong-child"))


def dispute_nobody_opened() -> Planted:
    """What was disputed is taken for a note: its end is the end of nothing."""
    books = played()
    settled = of_outcome("upheld")
    lesson = [settled[2]["data"][name] for name in ("enrollment_id", "lesson_id")]
    opened = books.find(
        BILLING,
        "dispute-opened",
        lambda e: [e["data"][name] for name in ("enrollment_id", "lesson_id")] == lesson,
    )
    noted = {"type": "billing.input-noted.v1", "data": {"input": opened[2]["data"]["input"]}}
    return books.changed(opened, lambda e: e.update(noted)), {settled[2]["id"]}


def of_outcome(outcome: str) -> Any:
    return played().find(BILLING, "dispute-settled", lambda e: e["data"]["outcome"] == outcome)


def dispute_settled_twice() -> Planted:
    place, _, event = of_outcome("upheld")
    records = list(played().records[place])
    data = {name: value for name, value in event["data"].items() if name != "input"}
    again = canonical(event | {"id": "billing:again", "data": data})
    books = played().with_records(place, [*records, replace(records[-1], value=again)])
    return books, {"billing:again"}


def dispute_upheld_by_nobody() -> Planted:
    found = of_outcome("upheld")
    return played().changed(found, lambda e: e["data"].update(by="payer")), {found[2]["id"]}


def dispute_upheld_although_the_money_went_back() -> Planted:
    found = of_outcome("corrected")
    return played().changed(found, lambda e: e["data"].update(outcome="upheld")), {found[2]["id"]}


def dispute_corrected_although_the_money_stayed() -> Planted:
    found = of_outcome("upheld")

    def change(event: dict[str, Any]) -> None:
        event["data"]["outcome"] = "corrected"

    return played().changed(found, change), {found[2]["id"]}


def dispute_that_goes_on_although_the_money_went_back() -> Planted:
    place, index, _ = found = of_outcome("corrected")
    reversed_ = orjson.loads(played().records[place][index - 1].value or b"")
    return played().without(found), {reversed_["id"]}


def waits_too_long() -> Planted:
    """Nobody gave up a mark of an enrollment that never came."""
    books = played()
    _, _, parked = books.find(
        BILLING, "input-parked", lambda e: e["data"]["waits_for"] == "reserve:enr-nobody"
    )
    given_up = books.find(
        BILLING,
        "input-refused",
        lambda e: (
            e["causeoffset"] == parked["causeoffset"]
            and (e["causetopic"], e["causepartition"])
            == (parked["causetopic"], parked["causepartition"])
        ),
    )
    return books.without(given_up), {parked["id"]}


# --- I02, I05, I15: money ----------------------------------------------------------------------


def purse_that_does_not_add_up() -> Planted:
    return change_in_data(BILLING, "lesson-charged", add("purse.balance_kopecks", 1))


def purse_below_nothing() -> Planted:
    def change(data: dict[str, Any]) -> None:
        add("purse.paid_kopecks", 10**9)(data)
        add("purse.balance_kopecks", -(10**9))(data)

    return change_in_data(BILLING, "lesson-charged", change)


def purse_that_moved_by_another_sum() -> Planted:
    def change(data: dict[str, Any]) -> None:
        add("purse.paid_kopecks", 1)(data)
        add("purse.reserved_kopecks", -1)(data)

    return change_in_data(BILLING, "lesson-charged", change)


def purse_moved_without_being_opened() -> Planted:
    books = played()
    _, _, funded = books.find(BILLING, "nominal-applied", lambda e: e["data"]["cause"] == "funded")
    number = funded["data"]["certificate_number"]
    opened = books.find(
        BILLING, "account-opened", lambda e: e["data"]["certificate_number"] == number
    )
    noted = {"type": "billing.input-noted.v1", "data": {"input": opened[2]["data"]["input"]}}
    moved = (orjson.loads(record.value or b"") for record in books.records[opened[0]])
    first = next(
        event
        for event in moved
        if event["data"].get("certificate_number") == number
        and "purse" in event["data"]
        and event["id"] != opened[2]["id"]
    )
    return books.changed(opened, lambda e: e.update(noted)), {first["id"]}


def paid_more_than_invoiced() -> Planted:
    return change_in_data(BILLING, "invoice-settled", add("amount_kopecks", 100))


def invoice_that_is_not_its_lines() -> Planted:
    return change_in_data(BILLING, "invoice-issued", add("lines.0.amount_kopecks", 1))


def paid_without_an_invoice() -> Planted:
    books = played()
    issued = books.find(BILLING, "invoice-issued")
    paid = books.find(
        BILLING,
        "invoice-settled",
        lambda e: e["data"]["invoice_id"] == issued[2]["data"]["invoice_id"],
    )
    return books.changed(issued, lambda e: e["data"].update(invoice_id="inv-other")), {
        paid[2]["id"]
    }


def paid_twice() -> Planted:
    place, _, event = played().find(BILLING, "invoice-settled")
    records = list(played().records[place])
    data = {name: value for name, value in event["data"].items() if name != "input"}
    again = canonical(event | {"id": "billing:again", "data": data})
    books = played().with_records(place, [*records, replace(records[-1], value=again)])
    return books, {"billing:again"}


def charged_beyond_the_reserve() -> Planted:
    return change_in_data(BILLING, "lesson-charged", add("amount_kopecks", 10**9))


def nominal_raised_from_another_one() -> Planted:
    return change_in_data(BILLING, "nominal-applied", add("previous_kopecks", 100))


def reserved_more_than_taken() -> Planted:
    return change_in_data(BILLING, "funds-reserved", add("total_kopecks", 1))


def money_as_text() -> Planted:
    return change_in_data(ENROLLMENT, "agreement-activated", to("parent_share_kopecks", "12"))


def money_as_a_fraction() -> Planted:
    return change_in_data(ENROLLMENT, "agreement-activated", to("parent_share_kopecks", 12.0))


def money_as_a_truth() -> Planted:
    return change_in_data(ENROLLMENT, "agreement-activated", to("parent_share_kopecks", True))


def a_fraction_deep_inside_a_command() -> Planted:
    books = played()
    found = books.find("enrollment.commands.v1", "place-answered", lambda e: "terms" in e["data"])
    broken = books.changed(found, lambda event: event["data"]["terms"].update(age_min=5.5))
    return broken, {found[2]["id"]}


def change_in_data(topic: str, kind: str, change: Callable[[dict[str, Any]], None]) -> Planted:
    found = played().find(topic, kind)
    return played().changed(found, lambda event: change(event["data"])), {found[2]["id"]}


def to(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({name: value})


def add(path: str, kopecks: int) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        *steps, last = path.split(".")
        for step in steps:
            data = data[int(step) if step.isdigit() else step]
        data[last] += kopecks

    return change


# --- I06, I07: the chain -----------------------------------------------------------------------


def raw(books: Books, place: tuple[str, int], records: list[Record]) -> Books:
    """Return the books with a journal as it is given, its chain broken."""
    return Books({**books.records, place: tuple(records)})


def content_changed() -> Planted:
    place, index, event = played().find(BILLING, "lesson-charged")
    records = list(played().records[place])
    value = records[index].value or b""
    told = event["data"]["why"]["text"].encode()
    records[index] = replace(records[index], value=value.replace(told, b"Nothing happened", 1))
    return raw(played(), place, records), {event["id"]}


def record_gone() -> Planted:
    place, index, _ = played().find(BILLING, "input-noted", lambda e: "item" in e["data"])
    records = list(played().records[place])
    after = orjson.loads(records[index + 1].value or b"")
    del records[index]
    return raw(played(), place, records), {after["id"]}


def link_changed() -> Planted:
    place, index, event = played().find(BILLING, "lesson-charged")
    records = list(played().records[place])
    records[index] = replace(records[index], value=with_own_hash(event | {"prevhash": "f" * 64}))
    following = orjson.loads(records[index + 1].value or b"")
    return raw(played(), place, records), {event["id"], following["id"]}


def record_twice() -> Planted:
    place, index, event = played().find(BILLING, "lesson-charged")
    records = list(played().records[place])
    copy = replace(records[index], offset=records[-1].offset + 1)
    return raw(played(), place, [*records, copy]), {event["id"]}


def no_event_in_a_journal() -> Planted:
    place, _, _ = played().find(BILLING, "lesson-charged")
    records = list(played().records[place])
    return raw(
        played(), place, [*records, replace(records[-1], offset=records[-1].offset + 1, value=b"?")]
    ), set()


def number_from_nowhere() -> Planted:
    place, index, event = played().find(BILLING, "lesson-charged")
    records = list(played().records[place])
    far = with_own_hash(event | {"id": "billing:far", "journalseq": 10**15})
    last = replace(records[index], offset=records[-1].offset + 1, value=far)
    return raw(played(), place, [*records, last]), {"billing:far"}


def fact_that_does_not_say_all() -> Planted:
    """The last fact about a purse is none: nothing can be counted from it, or goes on from it."""
    place, records = next(
        (place, records) for place, records in played().records.items() if place[0] == BILLING
    )
    index, event = next(
        (index, event)
        for index, event in reversed([*enumerate(orjson.loads(r.value or b"") for r in records)])
        if event["type"] == "billing.period-expired.v1"
    )
    broken = played().changed((place, index, event), lambda e: e["data"].update(purse=5))
    return broken, {event["id"]}


def number_with_two_contents() -> Planted:
    place, index, event = played().find(BILLING, "lesson-charged")
    records = list(played().records[place])
    other = with_own_hash(event | {"subject": "enr-other"})
    late = replace(records[index], offset=records[-1].offset + 1, value=other)
    return raw(played(), place, [*records, late]), {event["id"]}


def with_own_hash(event: dict[str, Any]) -> bytes:
    """Return the bytes of one record of a journal, its hash right for its content."""
    (record,) = chained([replace(any_record(), value=canonical(event))])
    own = orjson.loads(record.value or b"") | {
        "journalseq": event["journalseq"],
        "prevhash": event["prevhash"],
    }
    del own["hash"]
    return canonical(own | {"hash": sha256(canonical(own)).hexdigest()})


def any_record() -> Record:
    place, index, _ = played().find(BILLING, "lesson-charged")
    return played().records[place][index]


# --- I13: dead letters -------------------------------------------------------------------------


def letter() -> tuple[tuple[str, int], list[Record], str]:
    """Return where dead letters stand, and the decision that led to the first of them."""
    place = next(p for p, records in played().records.items() if p[0] == LETTERS and records)
    records = list(played().records[place])
    headers = {name: value.decode() for name, value in records[0].headers}
    _, _, decision = played().find(
        BILLING,
        "input-dead-lettered",
        lambda e: (
            str(e["causeoffset"]) == headers["pfdo-offset"]
            and e["causetopic"] == headers["pfdo-topic"]
        ),
    )
    return place, records, decision["id"]


def letter_with_other_bytes() -> Planted:
    place, records, id_ = letter()
    records[0] = replace(records[0], value=b"hallo")
    return played().with_records(place, records), {id_}


def letter_lost() -> Planted:
    place, records, id_ = letter()
    return played().with_records(place, records[1:]), {id_}


def letter_for_another_reason() -> Planted:
    place, records, id_ = letter()
    headers = [(n, b"too_large" if n == "pfdo-reason" else v) for n, v in records[0].headers]
    records[0] = replace(records[0], headers=tuple(headers))
    return played().with_records(place, records), {id_}


def letter_that_does_not_say_of_what() -> Planted:
    place, records, id_ = letter()
    records[0] = replace(records[0], headers=(("pfdo-reason", b"empty"),))
    books = played().with_records(place, records)
    return books, {id_, f"billing:{place[1]}:{records[0].offset}"}


def decision_without_a_hash() -> Planted:
    return change_in_data(BILLING, "input-dead-lettered", to("sha256", "none"))


def letter_of_what_was_decided() -> Planted:
    place, records, _ = letter()
    last = played().records[ATTENDANCE, place[1]][-1].offset
    headers = [(n, str(last).encode() if n == "pfdo-offset" else v) for n, v in records[0].headers]
    extra = replace(records[0], offset=records[-1].offset + 1, headers=tuple(headers))
    books = played().with_records(place, [*records, extra])
    return books, {f"billing:{place[1]}:{extra.offset}"}


def decision_of_other_bytes() -> Planted:
    return change_in_data(BILLING, "input-dead-lettered", to("sha256", "0" * 64))


def reason_that_is_none() -> Planted:
    return change_in_data(BILLING, "input-dead-lettered", to("reason", "ugly"))


# --- I17: scopes -------------------------------------------------------------------------------


def speaks_for_another_source() -> Planted:
    found = played().find(BILLING, "lesson-charged", lambda e: "input" in e["data"])
    broken = played().changed(found, lambda e: e["data"]["input"].update(source="/payers"))
    return broken, {found[2]["id"]}


def speaks_as_a_service() -> Planted:
    found = played().find(BILLING, "account-opened")
    broken = played().changed(
        found, lambda e: e["data"]["input"].update(source="/services/enrollment")
    )
    return broken, {found[2]["id"]}


def narrowed(**limits: list[str]) -> str:
    """Return the sources with the journal of attendance speaking for few."""
    content = yaml.safe_load(SHIPPED_PATH.read_text())
    content["sources"]["attendance"] |= limits
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"payers": ["25701000"]}, id="payers"),
        pytest.param({"providers": ["prov-000"]}, id="providers"),
        pytest.param({"sends": ["attendance.lesson-sung.v1"]}, id="types"),
    ],
)
def test_what_was_applied_beyond_a_scope_is_named(limits: dict[str, list[str]]) -> None:
    found = counted(played(), sources=narrowed(**limits))

    assert set(found.totals) == {"I17"}
    applied = [
        event
        for place, records in played().records.items()
        if place[0] == BILLING
        for event in (orjson.loads(record.value or b"") for record in records)
        if ".lesson-" in event["type"] and "input" in event["data"]
    ]
    providers = {
        event["data"]["enrollment_id"]: event["data"]["provider_id"]
        for place, records in played().records.items()
        if place[0] == BILLING
        for event in (orjson.loads(record.value or b"") for record in records)
        if event["type"] == "billing.funds-reserved.v1"
    }
    foreign = [
        event["id"]
        for event in applied
        if event["partitionkey"] not in limits.get("payers", [event["partitionkey"]])
        or providers[event["data"]["enrollment_id"]]
        not in limits.get("providers", providers.values())
        or "sends" in limits
    ]
    assert found.totals["I17"] >= len(foreign) > 0
    named = {event for one in found.listed for event in one.events}
    assert len(named) == min(found.totals["I17"], LISTED_PER_INVARIANT_MAX)
    assert found.totals["I17"] > len(named) or set(foreign) <= named


# --- I23: places, budgets, capacities ----------------------------------------------------------


def category() -> tuple[Any, Any]:
    """Return a category that is set, and the first grant of it."""
    books = played()
    _, _, grant = books.find(
        CERTIFICATES, "certificate-issued", lambda e: e["data"]["state"] == "FUNDED"
    )
    payer, data = grant["partitionkey"], grant["data"]
    found = books.find(
        CERTIFICATES,
        "input-noted",
        lambda e: (
            e["data"]["input"]["type"] == "payers.category-set.v1"
            and e.get("partitionkey") == payer
            and e["data"]["input"]["data"]["category"] == data["category"]
            and e["data"]["input"]["data"]["period"] == data["period"]
        ),
    )
    return found, grant


def more_holders_than_places() -> Planted:
    found, grant = category()
    return played().changed(found, lambda e: e["data"]["input"]["data"].update(places_max=0)), {
        grant["id"]
    }


def more_granted_than_the_budget() -> Planted:
    found, grant = category()
    less = grant["data"]["nominal_kopecks"] - 1
    return played().changed(
        found, lambda e: e["data"]["input"]["data"].update(budget_max_kopecks=less)
    ), {grant["id"]}


def raised_above_the_budget() -> Planted:
    found = played().find(
        CERTIFICATES,
        "nominal-changed",
        lambda e: (
            e["causetopic"] == "payers.events.v1"
            and e["data"]["nominal_kopecks"] > e["data"]["previous_kopecks"]
        ),
    )
    return played().changed(found, lambda e: e["data"].update(nominal_kopecks=10**11)), {
        found[2]["id"]
    }


def raised_without_a_grant() -> Planted:
    books = played()
    raised = books.find(CERTIFICATES, "nominal-changed")
    child, period = raised[2]["data"]["child_id"], raised[2]["data"]["period"]
    granted = books.find(
        CERTIFICATES,
        "certificate-issued",
        lambda e: (e["data"]["child_id"], e["data"]["period"]) == (child, period),
    )
    assert granted[2]["data"]["state"] == "FUNDED"
    return books.changed(granted, lambda e: e["data"].update(state="ACCOUNTING")), {raised[2]["id"]}


def granted_twice() -> Planted:
    place, index, event = played().find(CERTIFICATES, "certificate-funded")
    records = list(played().records[place])
    again = canonical(
        event
        | {
            "id": "certificates:again",
            "data": {k: v for k, v in event["data"].items() if k != "input"},
        }
    )
    records.insert(index + 1, replace(records[index], value=again))
    return played().with_records(place, records), {"certificates:again"}


def place_that_was_not_there() -> Planted:
    """The count of places taken is claimed to be less than it is."""
    found = played().find(ENROLLMENT, "group-changed", lambda e: e["data"]["taken"] > 1)
    return played().changed(found, lambda e: e["data"].update(taken=0)), {found[2]["id"]}


def more_taken_than_the_capacity() -> Planted:
    """The group has one place less than was given away, and says so all the time."""
    books = played()
    _, _, full = books.find(
        ENROLLMENT, "group-changed", lambda e: e["data"]["taken"] == e["data"]["capacity"] > 0
    )
    capacity, group = full["data"]["capacity"] - 1, full["data"]["group_id"]

    def lower(event: dict[str, Any]) -> None:
        for data in (event["data"], (event["data"].get("input") or {}).get("data") or {}):
            if data.get("group_id") == group and "capacity" in data:
                data["capacity"] = capacity

    for place in [place for place in books.records if place[0] == ENROLLMENT]:
        for index, record in enumerate(books.records[place]):
            event = orjson.loads(record.value or b"")
            if b'"capacity"' in (record.value or b"") and group in str(event["data"]):
                books = books.changed((place, index, event), lower)
    return books, {full["id"]}


def enrolled_without_a_place() -> Planted:
    found = played().find(ENROLLMENT, "child-enrolled")
    return played().changed(found, lambda e: e["data"].update(enrollment_id="enr-by-favour")), {
        found[2]["id"]
    }


FAULTS = [
    ("I01", undecided),
    ("I01", decided_twice),
    ("I01", decided_without_an_input),
    ("I01", day_not_decided_by_one),
    ("I01", forwarded_and_lost),
    ("I01", forwarded_twice),
    ("I01", set_aside_and_decided),
    ("I02", purse_that_does_not_add_up),
    ("I02", purse_below_nothing),
    ("I02", purse_that_moved_by_another_sum),
    ("I02", purse_moved_without_being_opened),
    ("I03", applied_twice),
    ("I03", dispute_of_another_sum),
    ("I03", dispute_on_another_ground),
    ("I03", dispute_nobody_opened),
    ("I03", dispute_settled_twice),
    ("I03", dispute_upheld_by_nobody),
    ("I03", dispute_upheld_although_the_money_went_back),
    ("I03", dispute_corrected_although_the_money_stayed),
    ("I03", dispute_that_goes_on_although_the_money_went_back),
    ("I05", paid_more_than_invoiced),
    ("I05", invoice_that_is_not_its_lines),
    ("I05", paid_without_an_invoice),
    ("I05", paid_twice),
    ("I05", nominal_raised_from_another_one),
    ("I02 I05", charged_beyond_the_reserve),
    ("I05", reserved_more_than_taken),
    ("I06", content_changed),
    ("I06", record_gone),
    ("I06", link_changed),
    ("I06", record_twice),
    ("I06", no_event_in_a_journal),
    ("I06", number_from_nowhere),
    ("I06", fact_that_does_not_say_all),
    ("I07", number_with_two_contents),
    ("I13", letter_with_other_bytes),
    ("I13", letter_lost),
    ("I13", letter_for_another_reason),
    ("I13", letter_that_does_not_say_of_what),
    ("I13", letter_of_what_was_decided),
    ("I13", decision_without_a_hash),
    ("I13", decision_of_other_bytes),
    ("I13", reason_that_is_none),
    ("I14", waits_too_long),
    ("I15", money_as_text),
    ("I15", money_as_a_fraction),
    ("I15", money_as_a_truth),
    ("I15", a_fraction_deep_inside_a_command),
    ("I17", speaks_for_another_source),
    ("I17", speaks_as_a_service),
    ("I23", more_holders_than_places),
    ("I23", more_granted_than_the_budget),
    ("I23", raised_above_the_budget),
    ("I23", raised_without_a_grant),
    ("I23", granted_twice),
    ("I23", place_that_was_not_there),
    ("I23", more_taken_than_the_capacity),
    ("I23", enrolled_without_a_place),
]


@pytest.mark.parametrize(
    ("invariant", "fault"), FAULTS, ids=[f"{i} {f.__name__}" for i, f in FAULTS]
)
def test_a_fault_breaks_its_invariant_and_no_other(
    invariant: str, fault: Callable[[], Planted]
) -> None:
    books, named = fault()

    found = counted(books)

    assert {one.invariant for one in found.listed} == set(invariant.split()), [
        one.to_json() for one in found.listed[:10]
    ]
    assert named <= {event for one in found.listed for event in one.events}


def test_a_record_that_was_set_aside_and_decided_is_told_whatever_is_read_first() -> None:
    books, _ = set_aside_and_decided()

    found = counted(books, lambda r: (r.topic == ATTENDANCE, r.topic, r.partition, r.offset))

    (one,) = found.listed
    assert one.invariant == "I01"
    assert "certificates:wrong" in one.events
    assert "set it aside" in one.detail


def test_what_still_waits_at_the_end_of_the_records_is_told() -> None:
    """Nothing was decided after the day on which it had to be given up."""
    books, _ = waits_too_long()
    parked = books.find(
        BILLING, "input-parked", lambda e: e["data"]["waits_for"] == "reserve:enr-nobody"
    )
    place, _, _ = parked
    last = orjson.loads(books.records[place][-1].value or b"")["businessday"]
    books = books.changed(parked, lambda e: e["data"].update(until="2021-02-07"))

    found = counted(books)

    assert last == "2021-02-08"
    assert set(found.totals) == {"I14"}
    assert parked[2]["id"] in found.listed[0].events


@pytest.mark.parametrize(
    ("gone", "missed"), [pytest.param(1, 0, id="the oldest"), pytest.param(None, 1, id="a later")]
)
def test_only_the_oldest_dead_letters_may_be_gone_by_time(gone: int | None, missed: int) -> None:
    place = next(p for p, r in played().records.items() if p[0] == LETTERS and len(r) > 2)
    records = list(played().records[place])
    kept = records[gone:] if gone else [records[1], *records[3:]]

    found = counted(
        played().with_records(place, kept), starts={(LETTERS, place[1]): records[1].offset}
    )

    assert found.totals["I13"] == missed
    assert found.totals.total() == missed
