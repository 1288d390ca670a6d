"""What the operator sees and does: parked inputs, dead letters, how far everybody is."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from contracts.sources import load_sources
from contracts.topics import all_topics, source_topics
from pfdo import watching
from services.cabinet.operations_queries import OperationsQueries
from services.cabinet.pages.console_operations import INVARIANTS, watched_part
from services.cabinet.watched import Watched, look
from services.enrollment.service import enrollment
from streaming import letters as kept
from streaming.bus import Outgoing
from streaming.letters import DISMISSED, OPEN, REDRIVEN
from streaming.memory_store import MemoryStore
from streaming.routing import partition_of
from streaming.telemetry import InstallationTelemetry
from tests.cabinet.autumn import PAYERS, Town, the_town
from tests.cabinet.clients import client_of, csrf_of
from tests.cabinet.forms import beside, forms_of
from tests.support.world import World, day, event

PAYER = PAYERS[0]
PAGE = "/operations"
NAVIGATOR = "navigator.events.v1"

OF_ANOTHER = """
payers: all
sources:
  navigator:
    sends: ["navigator.*"]
    payers: ["25703000"]
    providers: all
    decider: enrollment
    readers: [enrollment, certificates, notifications, cabinet]
"""


@pytest.fixture
async def town(tmp_path: Path) -> Town:
    """A town in which three records of the Navigator could not be read, and one waits.

    The Navigator was not yet let speak for this payer when its first record came; now it is.
    """
    (tmp_path / "sources.yaml").write_text(OF_ANOTHER)
    world = World([enrollment], sources=load_sources(tmp_path / "sources.yaml"), gaps=False)
    there = Town(world=world, store=MemoryStore())
    await world.publish(day("2020-08-31"))
    await world.settle()
    partition = partition_of(PAYER.encode(), world.partitions)
    provider = {"provider_id": "prov-1", "title": "Ладья", "state": "active", "revision": 1}
    early = json.dumps(event("navigator.provider-registered", PAYER, "prov-1", provider)).encode()
    values = (early, b"\xff\xfe", b'{"half":')
    await world.bus.publish([Outgoing(NAVIGATOR, partition, PAYER.encode(), v) for v in values])
    await world.settle()
    application = {
        "enrollment_id": "enr-00001",
        "child_id": "child-00001",
        "guardian_id": "guardian-00001",
        "group_id": "grp-000",
        "group_home": "25703000",
        "parent_share_max_kopecks": 0,
        "consents": ["application", "terms", "personal-data"],
        "waitlist_ok": True,
    }
    await world.publish(
        event("navigator.application-submitted", "25703000", "enr-00001", application)
    )
    await there.follow()
    world.sources = load_sources()
    world.log.create([topic.name for topic in all_topics(world.sources)])
    return there


@pytest.fixture
async def client(town: Town) -> AsyncIterator[httpx.AsyncClient]:
    """The operator at work."""
    async with client_of(town.app(), auth=None) as opened:
        await become(opened, "operator:")
        yield opened


async def become(client: httpx.AsyncClient, whom: str) -> None:
    """Log in, and send the token of forms from then on."""
    await client.post("/login/sandbox", data={"as": whom})
    client.headers["x-csrf-token"] = csrf_of((await client.get("/login")).text)


async def letters_of(town: Town) -> dict[str, kept.Letter]:
    """Return the letters by the reason they could not be read for."""
    found = await kept.letters(town.world.bus, town.world.sources)
    return {each.reason: each for each in found}


def arrived(town: Town) -> int:
    """Return how many records stand on the Navigator's topic."""
    partitions = range(town.world.partitions)
    return sum(len(town.world.log.log(NAVIGATOR, number).records) for number in partitions)


async def act(client: httpx.AsyncClient, what: str, *ids: str, **more: str) -> httpx.Response:
    """Press a button of the page."""
    return await client.post(f"{PAGE}/letters", data={"letter": list(ids), "what": what, **more})


async def test_the_page_shows_what_waits_and_what_could_not_be_read(
    town: Town, client: httpx.AsyncClient
) -> None:
    page = await client.get(PAGE)

    assert page.status_code == 200
    assert "ребёнок child-00001" in page.text
    assert "30\u00a0сентября 2020\u00a0года" in page.text
    assert page.text.count('type="checkbox"') == len(await letters_of(town)) == 3
    assert "out_of_scope" in page.text
    assert "\\xff\\xfe" in page.text
    assert "Всё решено" in page.text


async def test_a_dry_run_sends_nothing_and_a_redrive_sends_the_very_bytes_once(
    town: Town, client: httpx.AsyncClient
) -> None:
    readable = (await letters_of(town))["out_of_scope"]
    before = arrived(town)

    looked = await act(client, "look", readable.id)
    assert looked.status_code == 200
    assert ">да<" in looked.text
    assert arrived(town) == before
    done = await act(client, "redrive", readable.id)
    assert done.status_code == 303

    sent = town.world.log.log(*readable.at[:2]).records[-1]
    ((_, came),) = [each async for each in kept.with_records(town.world.bus, [readable])]
    assert (sent.key, sent.value) == (came.key, came.value)
    assert readable.head == came.value
    assert arrived(town) == before + 1
    again = await act(client, "redrive", readable.id)
    assert again.status_code == 422
    assert arrived(town) == before + 1
    assert (await letters_of(town))["out_of_scope"].status == REDRIVEN


async def test_of_a_long_letter_the_beginning_is_shown_and_of_many_the_latest(
    town: Town, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = partition_of(PAYER.encode(), town.world.partitions)
    value = "ж".encode() * 4_000
    await town.world.bus.publish([Outgoing(NAVIGATOR, partition, PAYER.encode(), b" " + value)])
    await town.world.settle()

    page = await client.get(PAGE)
    monkeypatch.setattr("services.cabinet.pages.console_operations.LETTERS_LATEST_MAX", 2)
    few = await client.get(PAGE)

    # Half of the last character that was cut is not shown.
    assert "ж" * 999 + "…" in page.text
    assert "всего 8001\u00a0байт" in page.text
    assert "старше" not in page.text
    assert "Здесь только последние записи" in few.text
    assert few.text.count('type="checkbox"') < page.text.count('type="checkbox"') == 4


async def test_what_still_cannot_be_read_is_said_and_offers_no_button(
    town: Town, client: httpx.AsyncClient
) -> None:
    ids = [each.id for each in (await letters_of(town)).values()]

    looked = await act(client, "look", *ids)

    assert "not_utf8" in looked.text
    assert "not_json" in looked.text
    assert 'value="redrive"' not in looked.text


@pytest.mark.parametrize(
    ("why", "status"),
    [
        pytest.param("", 422, id="no reason"),
        pytest.param("п" * 201, 422, id="too long"),
        pytest.param("а|б", 422, id="a bar"),
        pytest.param("а\tб", 422, id="not printable"),
        pytest.param("п" * 200, 303, id="just long enough"),
    ],
)
async def test_a_letter_is_dismissed_with_a_reason_alone(
    town: Town, client: httpx.AsyncClient, why: str, status: int
) -> None:
    letter = (await letters_of(town))["not_utf8"]

    answer = await act(client, "dismiss", letter.id, why=why)

    after = (await letters_of(town))["not_utf8"]
    assert answer.status_code == status
    assert (after.status, after.remark) == ((DISMISSED, why) if status == 303 else (OPEN, ""))


async def test_what_was_ticked_and_written_stays_when_it_is_not_taken(
    town: Town, client: httpx.AsyncClient
) -> None:
    known = await letters_of(town)
    one, other, third = (known[reason].id for reason in ("not_utf8", "not_json", "out_of_scope"))

    unsaid = await act(client, "dismiss", one, other, why="а|б")
    await act(client, "dismiss", third, why="так")
    late = await act(client, "dismiss", one, third, why="так")
    nothing = await act(client, "look", why="так")

    pages = [(each.status_code, *beside(each.text)) for each in (unsaid, late, nothing)]
    (first,), (second,), (last,) = (
        forms_of(each.text, f"{PAGE}/letters") for each in (unsaid, late, nothing)
    )
    assert [(status, field) for status, field, _ in pages] == [
        (422, "why"),
        (422, "letter"),
        (422, "letter"),
    ]
    assert (set(first["letter"]), first["why"]) == ({one, other}, ["а|б"])
    assert (second["letter"], second["why"]) == ([one], ["так"])
    assert last == {"why": ["так"]}


async def test_from_a_dry_run_one_goes_back_with_all_that_was_ticked(
    town: Town, client: httpx.AsyncClient
) -> None:
    ids = {each.id for each in (await letters_of(town)).values()}
    looked = await act(client, "look", *ids, why="так")
    (form,) = forms_of(looked.text, f"{PAGE}/letters")

    back = await client.post(f"{PAGE}/letters", data=form | {"what": "change"})

    (again,) = forms_of(back.text, f"{PAGE}/letters")
    assert 'name="what" value="change"' in looked.text
    assert back.status_code == 200
    assert (set(again["letter"]), again["why"]) == (ids, ["так"])


async def test_what_is_left_is_counted_and_gone_when_it_is_decided(town: Town) -> None:
    queries, bus = town.queries, town.world.bus
    child = {
        "child_id": "child-00001",
        "birth_date": "2010-04-17",
        "guardian_ids": ["guardian-00001"],
        "benefits": [],
        "revision": 1,
    }
    await town.world.publish(event("navigator.child-registered", "25703000", "child-00001", child))

    flow = {each["topic"]: each for each in await queries.flow(bus, town.world.sources)}
    _, waiting = await queries.parked()
    await town.follow()
    after = {each["topic"]: each for each in await queries.flow(bus, town.world.sources)}
    _, waiting_after = await queries.parked()

    assert (flow[NAVIGATOR]["left"], after[NAVIGATOR]["left"]) == (1, 0)
    # The child was what it waited for.
    assert (waiting, waiting_after) == (1, 0)


async def test_after_an_autumn_nothing_is_left_and_what_waits_is_what_the_services_say() -> None:
    town = await the_town()
    parked: dict[tuple[str, str, int, int], str] = {}
    for name in town.world.services:
        for record in town.world.journal(name):
            place = (name, record["causetopic"], record["causepartition"], record["causeoffset"])
            if record["type"] == f"{name}.input-parked.v1":
                parked[place] = record["data"]["waits_for"]
            elif "input" in record["data"] and "item" not in record["data"]:
                parked.pop(place, None)
    inputs = [topic.name for topic in source_topics(town.world.sources)]

    flow = await town.queries.flow(town.world.bus, town.world.sources)
    found, total = await town.queries.parked()

    counted = {place: waits for place, waits in parked.items() if place[1] in inputs}
    assert {each["place"]: each["waits_for"] for each in found} == {
        f"{topic}/{partition}/{offset}": waits
        for (_, topic, partition, offset), waits in counted.items()
    }
    assert total == len(found)
    by_topic = {each["topic"]: each for each in flow}
    spoken = [topic for topic in inputs if by_topic[topic]["records"]]
    assert set(inputs) - set(spoken) == {"disputes.events.v1", "families.events.v1"}
    for topic in spoken:
        # The log of the world has gaps, as transactions of a source leave them.
        assert by_topic[topic]["left"] < by_topic[topic]["records"]


@pytest.mark.parametrize("whom", [f"payer:{PAYER}", "guardian:guardian-00012", "provider:prov-000"])
async def test_nobody_but_operator_and_auditor_finds_it(town: Town, whom: str) -> None:
    async with client_of(town.app(), auth=None) as client:
        await become(client, whom)

        assert (await client.get(PAGE)).status_code == 404
        assert (await act(client, "look", "x")).status_code == 404


async def test_an_auditor_looks_and_touches_nothing(town: Town) -> None:
    async with client_of(town.app(), auth=None) as client:
        await become(client, "auditor:")
        page = await client.get(PAGE)
        answer = await act(client, "dismiss", "enrollment:0:0", why="так")

        assert page.status_code == 200
        assert "checkbox" not in page.text
        assert not re.search(r'action="/operations', page.text)
        assert answer.status_code == 404
        assert isinstance(town.queries, OperationsQueries)


# --- what is watched -----------------------------------------------------------------------------


def test_each_promise_has_words() -> None:
    promises = (Path(__file__).parents[2] / "docs" / "promises.md").read_text()
    section = promises.partition("## 4. Invariants")[2].partition("`pfdo verify`")[0]

    assert set(INVARIANTS) == set(re.findall(r"\bI\d\d\b", section))


async def test_promises_are_those_that_watch_tells() -> None:
    telemetry = InstallationTelemetry()
    telemetry.violations.labels("I02").set(0)
    telemetry.violations.labels("I05").set(3)
    telemetry.lag.labels("billing").set(7)
    telemetry.looked.labels("flow").set(5)
    telemetry.looked.labels("books").set(1_598_745_600)
    transport = httpx.ASGITransport(watching.pages(telemetry.registry, lambda: True))

    watched = await look("http://watch:9", transport)

    assert watched == Watched(
        violations={"I02": 0, "I05": 3}, lag={"billing": 7}, books_at=1_598_745_600
    )
    part = watched_part(watched, is_set=True)
    assert (part["broken"], part["watch"]) == (1, "counts")
    assert part["violations"][1] == ("Счета плательщика за период сходятся в ноль (I05)", 3)
    assert part["lag"] == [("Расчёты", 7)]


@pytest.mark.parametrize("answer", [httpx.Response(500), httpx.Response(200, text="<html>")])
async def test_a_watch_that_does_not_tell_is_said_to_be_silent(answer: httpx.Response) -> None:
    assert await look("http://watch:9", httpx.MockTransport(lambda _: answer)) is None
    assert watched_part(None, is_set=True)["watch"] == "silent"
    assert watched_part(None, is_set=False)["watch"] == "none"


async def test_where_nobody_watches_the_page_is_there_all_the_same(town: Town) -> None:
    async with client_of(town.app(watch_url="http://127.0.0.1:9"), auth=None) as client:
        await become(client, "operator:")

        page = await client.get(PAGE)

    assert page.status_code == 200
    assert "не отвечает" in page.text
