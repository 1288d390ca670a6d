"""The command line as its users have it: processes, exit codes, JSON, on the embedded bus."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from pfdo.system import SERVICES
from streaming.installation import open_installation
from streaming.settings import load_settings
from tests.pfdo.test_running import wait_for
from tests.support.containers import free_port
from tests.support.installation import OWNED, Installation, metrics_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SMALL = Path(__file__).with_name("small.jsonl")
PAYER = "25701000"
SECONDS_MAX = 90


def without_installation(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "pfdo", *arguments],
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation on which the small file was played."""
    installation = Installation(tmp_path_factory.mktemp("installation"))
    played = installation.json("play", str(SMALL))
    assert played["published"] == 12
    assert played["settled"] is True
    assert played["seconds"] > 0
    assert played["rate"] > 0
    return installation


@pytest.fixture
def fresh(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "data")


def test_the_certificate_is_shown_as_the_parent_sees_it(played: Installation) -> None:
    shown = played.json("show", "certificate", "child-first")
    by_number = played.json("show", "certificate", shown["certificate_number"])

    assert by_number == shown
    assert shown["state"] == "ACTIVE"
    assert shown["payer"] == PAYER
    assert shown["enrollments"] == ["enr-first"]
    (period,) = shown["periods"]
    assert period["nominal_kopecks"] == 1_000_000
    assert period["reserved_kopecks"] == 804_396 - 25_149
    assert period["paid_kopecks"] == 25_149
    charged = [move for move in shown["movements"] if move["lesson_id"] == "les-001"]
    assert charged[0]["amount_kopecks"] == 25_149
    assert "251,49" in charged[0]["text"]


def test_enrollment_group_provider_and_payer_are_shown(played: Installation) -> None:
    enrollment = played.json("show", "enrollment", "enr-first")
    group = played.json("show", "group", "grp-chess")
    provider = played.json("show", "provider", "prov-raduga")
    payer = played.json("show", "payer", PAYER)

    assert (enrollment["state"], enrollment["lessons"], enrollment["lessons_charged"]) == (
        "ACTIVE",
        32,
        1,
    )
    assert group == {"group_id": "grp-chess", "capacity": 1, "taken": 1, "waiting": []}
    assert provider["payers"] == [
        {"payer": PAYER, "charged_kopecks": 25_149, "invoiced_kopecks": 0, "settled_kopecks": 0}
    ]
    assert payer["periods"][0]["categories"][0]["holders"] == 1


def test_every_input_has_its_decision(played: Installation) -> None:
    decisions = played.decisions()

    assert decisions["n-5"] == [("applied", None)]
    assert decisions["a-1"] == [("applied", None)]
    assert decisions["a-2"] == [("parked", "reserve:enr-nobody")]
    assert {said for all_said in decisions.values() for said, _ in all_said} == {
        "applied",
        "parked",
    }


def test_a_wanted_message_was_sent_by_the_sender(played: Installation) -> None:
    journal = played.lines("journal", "notifications")

    sent = [fact["data"]["channel"] for fact in journal if "message-sent" in fact["type"]]
    due = [fact["data"] for fact in journal if "message-due" in fact["type"]]
    assert sent == ["email"]
    assert [one["template"] for one in due if one["channel"] == "email"] == ["lesson-charged"]


def test_why_tells_cause_rule_and_what_followed(played: Installation) -> None:
    (charged,) = played.lines("journal", "billing", "--type", "lesson-charged")
    told = played.json("why", charged["id"])

    assert told["cause"]["id"] == "a-1"
    assert told["rule"]["table"] == "billing.charging"
    assert any("message-due" in followed["type"] for followed in told["followed"])
    of_input = played.json("why", "a-1")
    assert of_input["followed"][0]["id"] == charged["id"]


def test_what_waits_is_listed_with_its_deadline(played: Installation) -> None:
    (parked,) = played.json("parked")

    assert (parked["service"], parked["waits_for"], parked["until"]) == (
        "billing",
        "reserve:enr-nobody",
        "2020-10-01",
    )


def test_played_twice_nothing_changes_and_state_may_be_deleted(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    installation.json("play", str(SMALL))
    before = installation.json("export")
    installation.json("play", str(SMALL))

    assert installation.json("export") == before
    decisions = installation.decisions()
    assert all(said[1:] == [("duplicate", None)] for said in decisions.values())
    shutil.rmtree(installation.data / "state")
    assert installation.json("export") == before
    installation.json("play", str(SMALL))
    assert installation.json("export") == before


async def decided_so_far(installation: Installation) -> int:
    """Return how many records stand in the journals, while others write them."""
    settings = load_settings({"data": installation.data}, environment={})
    async with open_installation(settings) as opened:
        ends = await opened.bus.ends([f"{name}.events.v1" for name in SERVICES])
    return sum(ends.values())


async def test_killed_in_the_middle_and_played_again_gives_the_same(
    played: Installation, fresh: Installation
) -> None:
    whole = await decided_so_far(played)
    for records in (1, 15):
        process = fresh.start("play", str(SMALL))
        async with asyncio.timeout(SECONDS_MAX):
            while (decided := await decided_so_far(fresh)) < records:
                assert process.poll() is None, "it ended before it was killed"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert decided < whole
    fresh.json("play", str(SMALL))

    assert fresh.json("export") == played.json("export")


BROKEN = [
    pytest.param(b"\xff\xfe", "dead-lettered", "not_utf8", id="not UTF-8"),
    pytest.param(b"hello", "dead-lettered", "not_json", id="not JSON"),
    pytest.param(b'{"a":1,"a":2}', "dead-lettered", "duplicate_key", id="a key twice"),
    pytest.param(b'{"a":NaN}', "dead-lettered", "bad_number", id="NaN"),
    pytest.param(b'{"a":' + b"9" * 20 + b"}", "dead-lettered", "bad_number", id="a big number"),
    pytest.param(b"[" * 5000, "dead-lettered", "too_deep", id="deep"),
    pytest.param(b'"' + b"x" * 100_000 + b'"', "dead-lettered", "too_large", id="100 KiB"),
    pytest.param(b"{}", "dead-lettered", "bad_envelope", id="an empty object"),
]


def test_broken_input_has_one_decision_each_and_harms_nothing(played: Installation) -> None:
    good = json.loads(SMALL.read_text().splitlines()[-2]) | {"id": "good"}
    good["data"] = good["data"] | {"lesson_id": "les-999"}
    other = json.dumps(good | {"id": "foreign", "source": "/payers"}).encode()
    unknown = json.dumps(good | {"id": "unknown", "type": "attendance.lesson-sung.v1"}).encode()
    misplaced = json.dumps(good | {"id": "misplaced", "partitionkey": "25714000"}).encode()
    values: list[Any] = [*(parameter.values[0] for parameter in BROKEN), other, unknown, misplaced]
    done = played.pfdo(
        "publish", "-", "--raw", "attendance.events.v1", "--key", PAYER, stdin=b"\n".join(values)
    )
    assert done.returncode == 0, done.stderr.decode()
    published = played.pfdo("publish", "-", stdin=json.dumps(good).encode())
    assert published.returncode == 0, published.stderr.decode()
    played.json("play", os.devnull)

    ends = played.lines("inputs", "--source", "attendance")[-len(values) - 2 :]
    said = [(line["decision"], line["reason"]) for line in ends if "forwarded" not in line["topic"]]
    expected = [parameter.values[1:] for parameter in BROKEN]
    assert said[-len(values) - 1 :] == [
        *expected,
        ("dead-lettered", "source_mismatch"),
        ("dead-lettered", "unknown_type"),
        ("forwarded", None),
        ("applied", None),
    ]
    letters = played.json("dead-letters", "list")
    assert [letter["reason"] for letter in letters] == [
        *(reason for _, reason in expected),
        "source_mismatch",
        "unknown_type",
    ]
    shown = played.json("dead-letters", "show", letters[1]["id"])
    assert shown["value"] == "hello"

    ids = [letter["id"] for letter in letters]
    rehearsed = played.json("dead-letters", "redrive", ids[1], ids[0], "--dry-run")
    assert [(one["id"], one["decision"], one["reason"]) for one in rehearsed] == [
        (ids[0], "dead-lettered", "not_utf8"),
        (ids[1], "dead-lettered", "not_json"),
    ]
    assert played.json("dead-letters", "redrive", ids[1]) == [{"id": ids[1], "status": "redriven"}]
    put_away = played.json("dead-letters", "dismiss", *ids[2:], "--why", "Проба связи")
    assert [one["status"] for one in put_away] == ["dismissed"] * len(ids[2:])
    played.json("play", os.devnull)
    left = played.json("dead-letters", "list", "--status", "open")
    assert [(one["reason"], one["owner"]) for one in left] == [
        ("not_utf8", "attendance"),
        ("not_json", "attendance"),
    ]
    assert left[1]["id"] not in ids


def test_a_record_is_set_aside_by_an_operator(fresh: Installation) -> None:
    first = SMALL.read_bytes().splitlines()[0]
    done = fresh.pfdo("publish", "-", stdin=first)
    assert done.returncode == 0, done.stderr.decode()
    where = ("calendar.events.v1", "0", "0")

    unknown = fresh.pfdo(
        "dead-letters", "quarantine", "billing", where[0], "0", "99", "--why", "Сбой"
    )
    # The service has not even begun: nobody can tell whether it halts there.
    untold = fresh.pfdo("dead-letters", "quarantine", "billing", *where, "--why", "Сбой")
    done = fresh.pfdo("dead-letters", "quarantine", "billing", *where, "--why", "Сбой", "--force")
    fresh.json("play", os.devnull)

    assert (unknown.returncode, done.returncode) == (1, 0), done.stderr.decode()
    assert untold.returncode == 1
    assert b"--force" in untold.stderr
    letters = fresh.json("dead-letters", "list")
    assert [(one["service"], one["reason"], one["detail"]) for one in letters] == [
        ("billing", "operator_quarantine", "Сбой")
    ]
    assert (letters[0]["topic"], letters[0]["partition"], letters[0]["offset"]) == (
        *where[:1],
        0,
        0,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("show", "certificate", "nobody"), 1, "pfdo export", id="not found"),
        pytest.param(("show", "castle", "x"), 2, "cannot be shown", id="no such kind"),
        pytest.param(("journal", "castle"), 2, "keeps no journal", id="no such journal"),
        pytest.param(("why", "nothing"), 1, "No event nothing", id="no such event"),
        pytest.param(("play", "/nowhere"), 2, "cannot be read", id="no such file"),
        pytest.param(("run", "--services", "castle"), 2, "is no service", id="no such service"),
        pytest.param(("rules", "explain", "castle.walls"), 2, "is no table", id="no such table"),
        pytest.param(("rules", "check", "/nowhere"), 2, "is not there", id="no such rules"),
        pytest.param(("contracts", "export", "/dev/null/x"), 2, "cannot be written", id="no place"),
    ],
)
def test_what_cannot_be_done_says_why_and_what_next(
    played: Installation, arguments: tuple[str, ...], code: int, said: str
) -> None:
    if arguments[:2] == ("rules", "explain"):
        done = without_installation(*arguments, "a=b")
    elif arguments[0] in {"rules", "contracts"}:
        done = without_installation(*arguments)
    else:
        done = played.pfdo(*arguments)

    assert done.returncode == code
    assert said in done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(b"hello", "line 2 is no JSON", id="no JSON"),
        pytest.param(b"[" * 200_000, "line 2 is no JSON", id="nested without end"),
        pytest.param(b"[]", "line 2 is no CloudEvent", id="no object"),
        pytest.param(
            b'{"specversion":"1.0","id":"x","source":"/payers","type":"a.b.v1",'
            rb'"partitionkey":"\ud800"}',
            "line 2 is no CloudEvent of ours: no partitionkey",
            id="a payer of half a character",
        ),
        pytest.param(b'{"id":"x"}', "'specversion' is missing", id="no envelope"),
        pytest.param(
            b'{"specversion":"1.0","id":"x","source":"/castle","type":"a.b.v1"}',
            "is no source of this installation",
            id="no source",
        ),
        pytest.param(
            b'{"specversion":"1.0","id":"x","source":"/billing","type":"a.b.v1","partitionkey":"1"}',
            "is no source of this installation",
            id="the journal of a service",
        ),
    ],
)
def test_nothing_is_published_if_a_line_is_no_event(
    fresh: Installation, line: bytes, said: str
) -> None:
    good = SMALL.read_bytes().splitlines()[1]
    done = fresh.pfdo("publish", "-", stdin=good + b"\n" + line)

    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert fresh.lines("inputs") == []


def test_a_record_of_half_a_character_is_listed_and_hinders_nobody(fresh: Installation) -> None:
    hostile = rb'{"id":"\ud800","data":NaN}'
    raw = ("publish", "--raw", "navigator.events.v1", "--key", "25701000", "-")
    assert fresh.pfdo(*raw, stdin=hostile).returncode == 0
    assert fresh.pfdo("play", str(SMALL)).returncode == 0

    for arguments in (("inputs",), ("inputs", "--json")):
        done = fresh.pfdo(*arguments)
        assert done.returncode == 0, done.stderr.decode()
    (listed,) = [one for one in fresh.lines("inputs") if one["decision"] == "dead-lettered"]
    assert (listed["id"], listed["reason"]) == ("\ud800", "bad_number")


def test_settle_says_no_when_nobody_decides(fresh: Installation) -> None:
    done = fresh.pfdo("publish", "-", stdin=SMALL.read_bytes())
    assert done.returncode == 0, done.stderr.decode()
    done = fresh.pfdo("settle", "--timeout", "0.3", "--json")

    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["settled"] is False
    assert answer["lag"]["enrollment"] > 0


def test_where_nothing_was_ever_said_nothing_is_left_to_do(fresh: Installation) -> None:
    assert fresh.json("settle", "--timeout", "2") == {
        "settled": True,
        "lag": {"enrollment": 0, "certificates": 0, "billing": 0, "notifications": 0},
    }


def test_a_folder_that_cannot_be_made_is_told() -> None:
    done = Installation(Path("/dev/null/data")).pfdo("settle")

    assert done.returncode == 2
    assert "choose another folder" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_an_unknown_setting_stops_the_start(fresh: Installation) -> None:
    fresh.environment["PFDO_PARTITION"] = "3"
    done = fresh.pfdo("settle")

    assert done.returncode == 2
    assert "did you mean PFDO_PARTITIONS" in done.stderr.decode()


def test_a_bus_that_cannot_be_reached_is_told_apart(fresh: Installation) -> None:
    fresh.environment["PFDO_KAFKA_BOOTSTRAP"] = f"127.0.0.1:{free_port()}"
    done = fresh.pfdo("settle")

    assert done.returncode == 3
    assert "pfdo doctor" in done.stderr.decode()
    assert fresh.pfdo("doctor").returncode == 3


def test_run_serves_until_it_is_told_to_stop_and_stops_cleanly(played: Installation) -> None:
    port = free_port()
    process = played.start("run", "--port", str(port))
    try:
        deadline = time.monotonic() + 30
        while played.pfdo("doctor").stdout.find(b"services: running") < 0:
            assert time.monotonic() < deadline
        done = played.pfdo("play", str(SMALL), "--json")
        assert json.loads(done.stdout)["settled"] is True
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 0, output.decode()
    assert b"Traceback" not in output
    assert played.json("settle")["settled"] is True


def test_a_service_alone_tells_its_health_on_the_port_it_is_given(fresh: Installation) -> None:
    port = free_port()
    process = fresh.start("run", "--services", "billing", "--port", str(port))
    try:
        deadline = time.monotonic() + 30
        while health_at(port) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 0, output.decode()


def health_at(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_a_paused_owner_that_wakes_up_after_another_took_over_leaves(fresh: Installation) -> None:
    port = free_port()
    first = fresh.start("run", "--no-cabinet", PFDO_HEALTH_PORT=str(port))

    def owned() -> int:
        return len(metrics_of(first, port, OWNED))

    try:
        wait_for(lambda: owned() == 4 * len(SERVICES), "owning")
        fresh.json("play", str(SMALL))
        before = fresh.json("export")
        first.send_signal(signal.SIGSTOP)
        second = fresh.start("run", "--no-cabinet")
        try:
            # The lease of the paused one runs out; then the other takes over and decides.
            played = fresh.json("play", str(SMALL), "--timeout", "60")
            assert played["settled"] is True
            first.send_signal(signal.SIGCONT)
            wait_for(lambda: owned() == 0, "leaving")
            assert first.poll() is None
            assert fresh.json("export") == before
        finally:
            second.send_signal(signal.SIGTERM)
            second.communicate(timeout=30)
    finally:
        first.send_signal(signal.SIGCONT)
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)

    decisions = fresh.decisions()
    assert all(said[1:] == [("duplicate", None)] for said in decisions.values())


def test_rules_contracts_and_topics_are_looked_after(fresh: Installation) -> None:
    for arguments in (("rules", "check"), ("contracts", "check")):
        done = without_installation(*arguments)
        assert done.returncode == 0, done.stdout.decode()
    day = ("--day", "2020-09-03")
    shown = without_installation("rules", "explain", "billing.charging", "mark=ill", *day)
    assert json.loads(shown.stdout)["hits"][0]["then"] == {"charge": False}
    without_inputs = without_installation("rules", "explain", "billing.days", *day)
    assert json.loads(without_inputs.stdout)["hits"][0]["then"]["invoice_day"] == 6
    assert fresh.json("topics", "create") == {"created": [], "corrected": []}


def test_the_calendar_opens_days_in_every_partition(fresh: Installation) -> None:
    done = fresh.pfdo("calendar", "--from", "2020-09-01", "--until", "2020-09-03")
    assert done.returncode == 0, done.stderr.decode()

    found = fresh.lines("inputs")
    for partition in range(4):
        days = [line["id"] for line in found if line["partition"] == partition]
        assert days == [f"day-2020-09-0{n}" for n in (1, 2, 3)]
