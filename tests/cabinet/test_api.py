"""The HTTP API: answers, errors without internals, and events that come in."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_structured_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent

from contracts.registry import INPUT_EVENTS
from contracts.vocabulary import DeadLetterReason
from services.cabinet.api import intake, shapes
from services.cabinet.api.intake import BATCH_CONTENT_TYPE, BATCH_EVENTS_MAX
from services.cabinet.api.problems import ProblemError
from services.cabinet.queries import EXPORTS
from streaming.bus import Appended, Outgoing
from streaming.errors import BusUnavailableError, StoreUnavailableError
from streaming.memory import MemoryBus
from streaming.memory_store import MemoryStore
from streaming.routing import partition_of
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import OTHER_PAYER, PAYER, Journals, input_of, purse
from tests.cabinet.test_journal import invoice
from tests.support.world import event

STRUCTURED = "application/cloudevents+json"
PROBLEM = "application/problem+json"


@pytest.fixture
async def client(journals: Journals) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that cabinet."""
    async with client_of(app_of(journals)) as opened:
        yield opened


# --- reading -----------------------------------------------------------------------------------

PATHS = [
    pytest.param(f"certificates/{story.ELDER}", shapes.CertificateAnswer, id="certificate"),
    pytest.param(f"certificates/{story.NUMBER}", shapes.CertificateAnswer, id="by number"),
    pytest.param(f"enrollments/{story.ROBOTS}", shapes.EnrollmentAnswer, id="enrollment"),
    pytest.param("groups/grp-002", shapes.GroupShape, id="group"),
    pytest.param(f"payers/{PAYER}", shapes.PayerAnswer, id="payer"),
    pytest.param(f"providers/{story.PROVIDER}", shapes.ProviderShape, id="provider"),
    pytest.param("export?what=groups,payers", shapes.ExportShape, id="export"),
]


@pytest.mark.parametrize(("path", "shape"), PATHS)
async def test_answers_have_the_shape_openapi_tells(
    client: httpx.AsyncClient, path: str, shape: type[shapes.Shape]
) -> None:
    answer = await client.get(f"/api/v1/{path}")

    assert answer.status_code == 200
    shape.model_validate_json(answer.content)


async def test_a_balance_says_as_of_which_journal_records(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    shown = (await client.get(f"/api/v1/certificates/{story.ELDER}")).json()

    as_of = shown.pop("as_of")
    assert shown == await journals.queries.certificate(story.ELDER)
    assert as_of["business_day"] == "2020-09-14"
    assert as_of["journals"]["billing.events.v1"] == 7


async def test_what_has_not_changed_is_not_sent_again(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    path = f"/api/v1/certificates/{story.ELDER}"
    first = await client.get(path)

    again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
    await story.charge(journals, "2020-09-16", 25_137, purse(195_604, 728_973, 75_423), 3)
    await journals.follow()
    changed = await client.get(path, headers={"if-none-match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_etags_are_compared_weakly(client: httpx.AsyncClient) -> None:
    path = f"/api/v1/certificates/{story.ELDER}"
    etag = (await client.get(path)).headers["etag"]

    strong = await client.get(path, headers={"if-none-match": etag.removeprefix("W/")})

    assert etag.startswith("W/")
    assert strong.status_code == 304


@pytest.mark.parametrize(
    "path", ["/health/live", "/login", f"/api/v1/certificates/{story.ELDER}", "/api/v1/nothing"]
)
async def test_who_asks_for_the_head_is_told_what_is_there_without_it(
    client: httpx.AsyncClient, path: str
) -> None:
    whole, head = await client.get(path), await client.head(path)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("certificates/child-99999", 404),
        ("invoices/inv-none", 404),
        ("nothing", 404),
        ("groups/%20", 422),
        ("export?what=secrets", 422),
        ("events/attendance.events.v1/x/1", 422),
    ],
)
async def test_errors_are_problems(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(f"/api/v1/{path}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    shapes.Problem.model_validate_json(answer.content)
    assert answer.json()["status"] == status


async def test_a_store_that_is_gone_is_told_without_internals(journals: Journals) -> None:
    def gone(point: object) -> None:
        raise StoreUnavailableError("redis at 10.0.0.7:6379 with password hunter2")

    assert isinstance(journals.store, MemoryStore)
    journals.store.fault = gone
    async with client_of(app_of(journals)) as client:
        answer = await client.get(f"/api/v1/certificates/{story.ELDER}")

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "10.0.0.7" not in answer.text


async def test_a_defect_is_told_without_internals(journals: Journals) -> None:
    def broken(point: object) -> None:
        raise ValueError("child-00027 of guardian-00012")

    assert isinstance(journals.store, MemoryStore)
    journals.store.fault = broken
    async with client_of(app_of(journals)) as client:
        answer = await client.get(f"/api/v1/certificates/{story.ELDER}")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert "guardian" not in answer.text


@pytest.mark.parametrize("path", ["/", "/journal", "/console"])
@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        pytest.param(ValueError("child-00027"), 500, "Что-то сломалось у нас", id="a defect"),
        pytest.param(BusUnavailableError("kafka:9092"), 503, "ничего не потеряно", id="no bus"),
        pytest.param(ProblemError(429, "Too much"), 503, "через минуту", id="too much at once"),
    ],
)
async def test_whatever_goes_wrong_people_are_told_on_a_page(
    journals: Journals, path: str, error: Exception, status: int, said: str
) -> None:
    def broken(point: object) -> None:
        raise error

    assert isinstance(journals.store, MemoryStore)
    async with client_of(app_of(journals)) as client:
        await client.get(path)
        journals.store.fault = broken
        answer = await client.get(path)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert said in answer.text
    assert str(error) not in answer.text


async def test_openapi_tells_all_paths(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/openapi.json")).json()

    assert set(told["paths"]) == {
        "/api/v1/certificates/{id}",
        "/api/v1/enrollments/{id}",
        "/api/v1/groups/{id}",
        "/api/v1/payers/{code}",
        "/api/v1/providers/{id}",
        "/api/v1/invoices/{id}",
        "/api/v1/export",
        "/api/v1/export/{kind}",
        "/api/v1/openapi.json",
        "/api/v1/vault/persons/{id}",
        "/api/v1/vault/persons/{id}/looks",
        "/api/v1/vault/persons/{id}/push/{endpoint_sha256}",
        "/api/v1/events",
        "/api/v1/events/{topic}/{partition}/{offset}",
    }
    taken = told["paths"]["/api/v1/events"]["post"]
    assert set(taken["requestBody"]["content"]) == {STRUCTURED, BATCH_CONTENT_TYPE}
    assert {"202", "400", "413", "415", "422", "429", "503"} <= set(taken["responses"])


async def test_health_and_metrics_answer(client: httpx.AsyncClient) -> None:
    live = await client.get("/health/live")
    ready = await client.get("/health/ready")
    metrics = await client.get("/metrics")

    assert (live.status_code, ready.status_code) == (200, 200)
    assert "pfdo_decisions" in metrics.text


async def pages_of(client: httpx.AsyncClient, kind: str, limit: int) -> list[dict[str, Any]]:
    """Return all pages of a kind, following the links."""
    pages, path = [], f"/api/v1/export/{kind}?limit={limit}"
    while path:
        answer = await client.get(path)
        assert answer.status_code == 200
        pages.append(answer.json()[kind])
        following = answer.links.get("next")
        path = following["url"] if following else ""
    return pages


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("limit", [1, 2, 3, 1_000])
async def test_pages_are_together_what_is_exported(
    client: httpx.AsyncClient, journals: Journals, kind: str, limit: int
) -> None:
    # An id may be the beginning of another, and stand in another partition, and in two.
    for number, id_ in enumerate(("grp-7", "grp-7-1", "grp-70", "grp-7-10", "grp-8")):
        for payer in (PAYER, OTHER_PAYER)[number % 2 :]:
            published = story.group(id_, "Танцы")
            await journals.noted("enrollment", "navigator.group-published", published, payer=payer)
    await invoice(journals, paid=False)

    pages = await pages_of(client, kind, limit)
    whole = (await client.get(f"/api/v1/export?what={kind}")).json()[kind]

    assert {id_: item for page in pages for id_, item in page.items()} == whole
    assert sum(map(len, pages)) == len(whole) > 0
    assert all(0 < len(page) <= limit for page in pages)
    assert all(len(page) == limit for page in pages[:-1]) or kind == "groups"


async def test_a_page_has_an_etag_and_wrong_pages_are_refused(client: httpx.AsyncClient) -> None:
    path = "/api/v1/export/groups?limit=1"
    page = await client.get(path)
    again = await client.get(path, headers={"if-none-match": page.headers["etag"]})
    beyond = await client.get("/api/v1/export/groups?after=zzz")

    assert again.status_code == 304
    assert (beyond.json(), "link" in beyond.headers) == ({"groups": {}}, False)
    for wrong in ("cats", "groups?limit=0", "groups?limit=1001", "groups?after=a|b"):
        refused = await client.get(f"/api/v1/export/{wrong}")
        assert (refused.status_code, refused.headers["content-type"]) == (422, PROBLEM)


# --- who is answered ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sandbox", "address", "headers", "status"),
    [
        pytest.param(True, "10.0.0.9", {}, 200, id="sandbox: everybody"),
        pytest.param(False, "127.0.0.1", {}, 200, id="this machine"),
        pytest.param(False, "::1", {}, 200, id="this machine, IPv6"),
        pytest.param(False, "10.0.0.9", {}, 401, id="another machine"),
        pytest.param(False, "127.0.0.1", {"x-forwarded-for": "10.0.0.9"}, 401, id="a proxy"),
        pytest.param(False, "not an address", {}, 401, id="who knows"),
    ],
)
async def test_without_log_in_only_this_machine_is_answered(
    journals: Journals, sandbox: bool, address: str, headers: dict[str, str], status: int
) -> None:
    async with client_of(app_of(journals, sandbox=sandbox), address) as client:
        read = await client.get(f"/api/v1/certificates/{story.ELDER}", headers=headers)
        sent = await client.post(
            "/api/v1/events", content=body(CHILD), headers=headers | {"content-type": STRUCTURED}
        )

    assert read.status_code == status
    assert sent.status_code == (202 if status == 200 else 401)


# --- events coming in --------------------------------------------------------------------------

CHILD = event(
    "navigator.child-registered",
    PAYER,
    "child-00777",
    {
        "child_id": "child-00777",
        "birth_date": "2012-03-04",
        "guardian_ids": ["guardian-00777"],
        "benefits": [],
        "revision": 1,
    },
)


def body(sent: object) -> bytes:
    """Return JSON as a sender writes it: with spaces, not in order."""
    return json.dumps(sent, ensure_ascii=False, indent=1).encode()


async def post(
    client: httpx.AsyncClient, content: bytes, content_type: str = STRUCTURED
) -> httpx.Response:
    """Send events."""
    return await client.post(
        "/api/v1/events", content=content, headers={"content-type": content_type}
    )


async def test_an_event_is_published_as_it_was_sent_and_told_where_it_stands(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    answer = await post(client, body(CHILD), f"{STRUCTURED}; charset=utf-8")

    assert answer.status_code == 202
    (accepted,) = answer.json()["events"]
    partition = partition_of(PAYER.encode(), journals.partitions)
    assert accepted == {
        "id": CHILD["id"],
        "topic": "navigator.events.v1",
        "partition": partition,
        "offset": 0,
        "status": f"/api/v1/events/navigator.events.v1/{partition}/0",
    }
    assert isinstance(journals.bus, MemoryBus)
    (record,) = journals.bus.log.log("navigator.events.v1", partition).records
    assert (record.value, record.key) == (body(CHILD), PAYER.encode())
    assert record.headers == (("content-type", STRUCTURED.encode()),)


def of_the_sdk(subject: str) -> CloudEvent:
    """Return an event as the CloudEvents SDK makes it."""
    data = CHILD["data"] | {"child_id": subject}
    attributes = CHILD | {"id": f"sdk-{subject}", "subject": subject}
    attributes["time"] = datetime.fromisoformat(CHILD["time"])
    del attributes["data"]
    return CloudEvent(attributes, data)


async def test_the_cloudevents_sdk_sends_one_event(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    message = to_structured_event(of_the_sdk("child-00778"))

    answer = await client.post("/api/v1/events", content=message.body, headers=message.headers)

    assert answer.status_code == 202
    (accepted,) = answer.json()["events"]
    assert isinstance(journals.bus, MemoryBus)
    log = journals.bus.log.log("navigator.events.v1", accepted["partition"])
    (record,) = log.records
    headers = {name: value.decode() for name, value in record.headers}
    told = from_structured_event(HTTPMessage(headers=headers, body=record.value or b""))
    assert (told.get_subject(), told.get_data()) == (
        "child-00778",
        CHILD["data"] | {"child_id": "child-00778"},
    )


async def test_the_cloudevents_sdk_sends_many_events(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    subjects = [f"child-{number:05}" for number in range(800, 805)]
    bodies = [to_structured_event(of_the_sdk(subject)).body for subject in subjects]

    answer = await post(client, b"[" + b",".join(bodies) + b"]", BATCH_CONTENT_TYPE)

    assert answer.status_code == 202
    assert [each["id"] for each in answer.json()["events"]] == [f"sdk-{each}" for each in subjects]


async def test_the_binary_mode_of_the_cloudevents_sdk_is_refused_by_name(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    message = to_binary_event(of_the_sdk("child-00779"))

    answer = await client.post("/api/v1/events", content=message.body, headers=message.headers)

    assert answer.status_code == 415
    assert STRUCTURED in answer.json()["detail"]
    assert isinstance(journals.bus, MemoryBus)
    assert not any(journals.bus.log.log("navigator.events.v1", p).records for p in range(3))


async def test_the_status_of_an_event_is_undecided_until_a_service_decides(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    accepted = (await post(client, body(CHILD))).json()["events"][0]

    before = (await client.get(accepted["status"])).json()
    await journals.fact(
        "enrollment.input-noted",
        {},
        input_=input_of("navigator.child-registered", CHILD["data"]),
        cause=(accepted["topic"], accepted["offset"]),
    )
    journals_partition = partition_of(PAYER.encode(), journals.partitions)
    assert journals_partition == 0, "the hand-written journal names partition 0 as cause's"
    await journals.follow()
    after = (await client.get(accepted["status"])).json()

    assert before["decision"] == "undecided"
    assert (after["decision"], after["decided_by"]) == ("applied", "enrollment")


async def test_a_batch_keeps_the_bytes_of_each_event(
    client: httpx.AsyncClient, journals: Journals
) -> None:
    second = json.dumps(CHILD | {"id": "another"}).encode()
    content = b" [ " + body(CHILD) + b" ,\n" + second + b"]\n"

    answer = await post(client, content, BATCH_CONTENT_TYPE)

    assert answer.status_code == 202
    assert [each["offset"] for each in answer.json()["events"]] == [0, 1]
    assert isinstance(journals.bus, MemoryBus)
    partition = partition_of(PAYER.encode(), journals.partitions)
    records = journals.bus.log.log("navigator.events.v1", partition).records
    assert [record.value for record in records] == [body(CHILD), second]


def changed(**changes: Any) -> bytes:
    """Return the event with other attributes."""
    return body(CHILD | changes)


def with_data(**changes: Any) -> bytes:
    """Return the event with other data."""
    return body(CHILD | {"data": CHILD["data"] | changes})


DEEP = b'{"a":' * 20 + b"1" + b"}" * 20
REFUSED = [
    pytest.param(b"", 400, "empty", id="nothing"),
    pytest.param(b"\xff\xfe", 400, "not_utf8", id="not UTF-8"),
    pytest.param(b"{", 400, "not_json", id="no JSON"),
    pytest.param(b"[]", 400, "not_object", id="no object"),
    pytest.param(b'{"id":1,"id":2}', 400, "duplicate_key", id="a key twice"),
    pytest.param(DEEP, 400, "too_deep", id="too deep"),
    pytest.param(with_data(revision=1.5), 400, "bad_number", id="a fraction"),
    pytest.param(b" " * (64 * 1024 + 1), 413, "too_large", id="too large"),
    pytest.param(changed(specversion="0.3"), 422, "bad_envelope", id="another CloudEvents"),
    pytest.param(changed(partitionkey=None), 422, "bad_envelope", id="no payer"),
    pytest.param(with_data(revision=0), 422, "schema", id="out of bounds"),
    pytest.param(with_data(name="x"), 422, "unknown_field", id="a field nobody knows"),
    pytest.param(changed(type="navigator.cat-seen.v1"), 422, "unknown_type", id="unknown type"),
    pytest.param(
        changed(type="navigator.child-registered.v9"), 422, "unknown_version", id="new version"
    ),
    pytest.param(changed(subject="child-00001"), 422, "subject_mismatch", id="another subject"),
    pytest.param(changed(source="/nobody"), 422, "source_mismatch", id="unknown source"),
    pytest.param(
        changed(source="/services/billing"), 422, "source_mismatch", id="a service of ours"
    ),
    pytest.param(changed(source="/attendance"), 422, "out_of_scope", id="not its business"),
]


@pytest.mark.parametrize(("content", "status", "reason"), REFUSED)
async def test_what_is_no_event_of_its_source_is_refused_and_nothing_published(
    client: httpx.AsyncClient, journals: Journals, content: bytes, status: int, reason: str
) -> None:
    answer = await post(client, content)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == PROBLEM
    assert reason in tuple(DeadLetterReason)
    assert nothing_is_published(journals)


BATCHES = [
    pytest.param(b"{}", 400, "not_json", id="no array"),
    pytest.param(b"[1 2]", 400, "not_json", id="no comma"),
    pytest.param(b"[{},]", 400, "not_json", id="comma at the end"),
    pytest.param(b"[{}", 400, "not_json", id="no end"),
    pytest.param(b"[] x", 400, "not_json", id="more behind"),
    pytest.param(b"\xff", 400, "not_utf8", id="not UTF-8"),
    pytest.param(b"[" * 100_000, 400, "too_deep", id="a pit"),
    pytest.param(b"[" + DEEP + b"]", 400, "too_deep", id="an event that is too deep"),
    pytest.param(b'[{"a":' + b"[" * 3_000 + b"]" * 3_000 + b"}]", 400, "too_deep", id="a shaft"),
    pytest.param(b'[{"a":' + b"9" * 5_000 + b"}]", 400, "bad_number", id="digits without end"),
    pytest.param(b" [ ] ", 400, "empty", id="no events"),
    pytest.param(
        b"[" + b",".join([b"{}"] * (BATCH_EVENTS_MAX + 1)) + b"]", 413, "too_large", id="too many"
    ),
    pytest.param(
        b"[" + body(CHILD) + b"," + with_data(name="x") + b"]", 422, "unknown_field", id="one bad"
    ),
]


def test_a_batch_of_millions_is_refused_without_reading_them() -> None:
    began = time.process_time()

    with pytest.raises(ProblemError, match="More than 500 events") as refused:
        intake._elements(b"[" + b"1," * 2_000_000 + b"1]")

    assert refused.value.status == 413
    assert time.process_time() - began < 0.5


async def test_a_body_that_comes_too_slowly_is_not_waited_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS_MAX", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.sleep(5)
        yield b"]"

    headers = {"content-type": BATCH_CONTENT_TYPE}
    answer = await client.post("/api/v1/events", content=slow(), headers=headers)

    assert answer.status_code == 408


@pytest.mark.parametrize(("content", "status", "reason"), BATCHES)
async def test_a_batch_is_taken_as_a_whole_or_not_at_all(
    client: httpx.AsyncClient, journals: Journals, content: bytes, status: int, reason: str
) -> None:
    answer = await post(client, content, BATCH_CONTENT_TYPE)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert nothing_is_published(journals)


async def test_the_event_of_a_batch_that_is_wrong_is_named(client: httpx.AsyncClient) -> None:
    answer = await post(
        client, b"[" + body(CHILD) + b"," + with_data(name="x") + b"]", BATCH_CONTENT_TYPE
    )

    assert answer.json()["index"] == 1


async def test_an_event_too_deep_to_be_cut_out_of_a_batch_is_named(
    client: httpx.AsyncClient,
) -> None:
    shaft = b'{"a":' + b"[" * 3_000 + b"]" * 3_000 + b"}"

    answer = await post(client, b"[" + body(CHILD) + b"," + shaft + b"]", BATCH_CONTENT_TYPE)

    assert (answer.json()["reason"], answer.json()["index"]) == ("too_deep", 1)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_another_content_type_is_not_taken(
    client: httpx.AsyncClient, content_type: str
) -> None:
    answer = await post(client, body(CHILD), content_type)

    assert answer.status_code == 415
    assert answer.json()["reason"] == "bad_envelope"


class DeafBus(MemoryBus):
    """A bus that does not acknowledge."""

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Appended]:
        """Fail as a broker does that is gone."""
        raise BusUnavailableError("broker 10.0.0.7:9092 is gone")


async def test_without_acknowledgement_there_is_no_202() -> None:
    journals = Journals(DeafBus(3))
    async with client_of(app_of(journals)) as client:
        answer = await post(client, body(CHILD))

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "10.0.0.7" not in answer.text


async def test_who_comes_when_all_hands_are_full_is_asked_to_come_again(
    journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cabinet.api.intake.AT_ONCE_MAX", 0)
    async with client_of(app_of(journals)) as client:
        answer = await post(client, body(CHILD))

    assert answer.status_code == 429
    assert answer.headers["retry-after"]


async def test_every_type_a_source_may_send_has_a_topic(journals: Journals) -> None:
    sending = {
        source.name
        for source in journals.sources
        for model in INPUT_EVENTS
        if source.may_send(model.type)
    }

    assert sending == {"navigator", "payers", "attendance", "families", "disputes"}


def nothing_is_published(journals: Journals) -> bool:
    """Return whether the topics of all sources are empty."""
    assert isinstance(journals.bus, MemoryBus)
    return not any(
        journals.bus.log.log(f"{source.name}.events.v1", partition).records
        for source in journals.sources
        for partition in range(journals.partitions)
    )
