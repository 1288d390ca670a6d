"""Money and rules changed by two people: what a preview says is what the services then do."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from itertools import count
from typing import Any

import httpx
import pytest

from rulebook.overlay import NO_OVERLAYS, as_published
from services.cabinet import proposals as proposing
from services.cabinet import sending
from services.cabinet.pages.console_events import payer_event
from services.cabinet.pages.console_rules import _case, is_of, proposed, title_of
from services.cabinet.preview import (
    Child,
    Holder,
    Limits,
    category_change,
    is_closed,
    rule_changes,
    tables,
)
from services.cabinet.proposals import (
    Answer,
    MemoryKeys,
    Proposal,
    Proposals,
    RedisKeys,
    TooManyError,
)
from streaming.valkey import EmbeddedValkey
from tests.cabinet.autumn import PAYERS, PERIOD, Town, own_town, the_town
from tests.cabinet.clients import client_of, csrf_of
from tests.cabinet.forms import beside, forms_of, typed

QUEUED = PAYERS[1]
"""A payer of the autumn with more children than funded places."""
RULES = f"/console/{QUEUED}"
SEAL = b"s" * 32


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services run when they are told to: there is nothing to wait for."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)


# --- the preview ---------------------------------------------------------------------------------

N = 1_000


def holders(*nominals: int) -> list[Holder]:
    """Return who holds so much, none of it set by hand."""
    return [Holder(nominal_kopecks=each, is_corrected=False) for each in nominals]


@pytest.mark.parametrize(
    ("limits", "held", "queue", "expected"),
    [
        pytest.param((N, 2, 2 * N), (N,), (False,), (0, 0, 1, N, 0, 0), id="exactly enough"),
        pytest.param((N, 2, 2 * N - 1), (N,), (False,), (0, 0, 0, 0, 1, 0), id="a kopeck short"),
        pytest.param((N, 1, 9 * N), (N,), (False,), (0, 0, 0, 0, 1, 0), id="no place"),
        pytest.param((N, 3, 9 * N), (N,), (True, False), (0, 0, 1, N, 1, 1), id="frozen waits on"),
        pytest.param((N + 1, 1, N + 1), (N,), (), (1, 1, 0, 0, 0, 0), id="a raise that just fits"),
        pytest.param(
            (N + 1, 2, 2 * N + 2), (N,), (False,), (1, 1, 1, N + 1, 0, 0), id="raise, queue"
        ),
        pytest.param((N - 1, 1, 9 * N), (N,), (), (0, 0, 0, 0, 0, 0), id="lower is for later"),
        pytest.param((N, 1, 0), (N,), (), (0, 0, 0, 0, 0, 0), id="lower caps take nothing"),
        pytest.param((0, 3, 0), (), (False,), (0, 0, 1, 0, 0, 2), id="a nominal of nothing"),
    ],
)
def test_what_limits_do_at_once(
    limits: tuple[int, int, int],
    held: tuple[int, ...],
    queue: tuple[bool, ...],
    expected: tuple[int, ...],
) -> None:
    nominal, places, budget = limits
    wanted = Limits(nominal_kopecks=nominal, places_max=places, budget_max_kopecks=budget)

    told = category_change(wanted, holders(*held), len(held), sum(held), queue)

    assert not told.is_refused
    assert (
        told.raised,
        told.raised_kopecks,
        told.funded,
        told.funded_kopecks,
        told.still_queued,
        told.room,
    ) == expected


def test_a_raise_above_the_budget_is_refused_and_one_by_hand_is_not_raised() -> None:
    wanted = Limits(nominal_kopecks=N + 1, places_max=5, budget_max_kopecks=2 * N + 1)
    by_hand = Holder(nominal_kopecks=N, is_corrected=True)

    refused = category_change(wanted, holders(N, N), 2, 2 * N, [False])
    taken = category_change(wanted, [*holders(N), by_hand], 2, 2 * N, [])

    assert (refused.is_refused, refused.funded, refused.still_queued) == (True, 0, 1)
    assert (taken.is_refused, taken.raised, taken.raised_kopecks) == (False, 1, 1)


def test_the_last_day_of_grace_is_still_open() -> None:
    from datetime import date

    assert not is_closed(date(2020, 12, 31), 10, date(2021, 1, 10))
    assert is_closed(date(2020, 12, 31), 10, date(2021, 1, 11))


# --- two people ----------------------------------------------------------------------------------


@asynccontextmanager
async def official(town: Town, whom: str, proposals: Proposals) -> AsyncIterator[httpx.AsyncClient]:
    """Open the console as somebody, with the same proposals as others."""
    async with client_of(town.app(proposals=proposals), auth=None) as client:
        await client.post("/login/sandbox", data={"as": whom})
        client.headers["x-csrf-token"] = csrf_of((await client.get("/login")).text)
        yield client


def category(**changes: str) -> dict[str, str]:
    """Return the form of a category."""
    return {
        "fact": "category-set",
        "category": "general",
        "period": PERIOD,
        "nominal_kopecks": "11 000,00",
        "places_max": "15",
        "budget_max_kopecks": "100 000 000,00",
        "why": "Постановление 7",
    } | changes


async def keep(client: httpx.AsyncClient, payer: str, form: dict[str, str]) -> str:
    """Look at what a form changes, then propose it; return its page."""
    looked = await client.post(f"/console/{payer}/proposals", data=form)
    assert looked.status_code == 200, looked.text
    assert "Это ещё не предложено" in looked.text
    kept = await client.post(f"/console/{payer}/proposals", data=form | {"step": "keep"})
    assert kept.status_code == 303, kept.text
    return str(kept.headers["location"])


async def answer(client: httpx.AsyncClient, path: str, what: str) -> httpx.Response:
    """Press a button of a proposal's page."""
    page = await client.get(path)
    found = re.findall(r'name="seal" value="([0-9a-f]{64})"', page.text)
    seal = found[0] if found else "0" * 64
    return await client.post(path, data={"answer": what, "seal": seal})


def said(town: Town, type_: str) -> list[dict[str, Any]]:
    """Return what the console sent to the payers' topic."""
    return [
        each
        for each in town.world.records("payers.events.v1")
        if each.get("id", "").startswith("console-") and each["type"] == f"payers.{type_}.v1"
    ]


async def test_a_category_is_proposed_by_one_approved_by_another_and_does_what_was_foretold() -> (
    None
):
    town, proposals = await own_town(), Proposals(MemoryKeys(), SEAL)
    async with (
        official(town, f"payer:{QUEUED}", proposals) as clerk,
        official(town, "operator:", proposals) as other,
    ):
        path = await keep(clerk, QUEUED, category())
        kept = (await proposals.of(QUEUED))[0].proposal
        told = (await town.queries.preview(QUEUED, kept.fact, kept.data)).category
        assert told is not None
        assert said(town, "category-set") == []

        own = await answer(clerk, path, "approve")
        assert own.status_code == 409
        assert "другой человек" in own.text
        assert said(town, "category-set") == []
        assert (await answer(other, path, "approve")).status_code == 303
        assert (await answer(other, path, "approve")).status_code == 409
        (sent,) = said(town, "category-set")
        before = len(town.facts("certificates.nominal-changed", payer=QUEUED))
        funded = len(town.facts("certificates.certificate-funded", payer=QUEUED))
        await town.follow()

        raised = town.facts("certificates.nominal-changed", payer=QUEUED)[before:]
        given = town.facts("certificates.certificate-funded", payer=QUEUED)[funded:]
        assert (len(raised), len(given)) == (told.raised, told.funded)
        assert told.raised > 0 < told.funded
        assert told.raised_kopecks == sum(
            each["nominal_kopecks"] - each["previous_kopecks"] for each in raised
        )
        assert told.funded_kopecks == sum(each["nominal_kopecks"] for each in given)
        budget = await town.queries.budget(QUEUED, PERIOD)
        assert budget is not None
        (general,) = [each for each in budget["categories"] if each["category"] == "general"]
        assert general["queued"] == told.still_queued
        assert general["forecast"].room == told.room
        assert general["nominal_kopecks"] == 1_100_000
        assert sent["data"]["revision"] == general["revision"]
        done = await clerk.get(path)
        assert "утверждено" in done.text
        assert "operator:" in done.text


async def test_what_is_foretold_as_refused_is_refused_and_uses_its_revision_up() -> None:
    town, proposals = await own_town(), Proposals(MemoryKeys(), SEAL)
    form = category(nominal_kopecks="90000", budget_max_kopecks="200000")
    async with (
        official(town, f"payer:{QUEUED}", proposals) as clerk,
        official(town, "operator:", proposals) as other,
    ):
        for _ in range(2):
            path = await keep(clerk, QUEUED, form)
            assert "Будет отклонено: бюджета не хватит" in (await other.get(path)).text
            assert (await answer(other, path, "approve")).status_code == 303
            await town.follow()

    first, second = said(town, "category-set")
    reasons = [
        each["reason"]
        for each in town.facts("certificates.input-refused", payer=QUEUED)
        if each["input"]["id"].startswith("console-")
    ]
    assert second["data"]["revision"] == first["data"]["revision"] + 1
    assert reasons == ["would_exceed_budget"] * 2


async def test_frames_policies_and_rules_go_the_same_way() -> None:
    town, proposals = await own_town(), Proposals(MemoryKeys(), SEAL)
    rows = [
        {
            "id": "attended",
            "when": {"mark": ["present", "made-up", "absent"]},
            "then": {"charge": True},
            "says": "Занятие списывается",
        },
        {
            "id": "missed",
            "when": {"mark": ["ill", "excused", "cancelled"]},
            "then": {"charge": False},
            "says": "Занятие не списывается",
        },
    ]
    settings = await town.queries.settings(QUEUED, PERIOD)
    assert settings is not None
    provider = settings["frames"][0]["provider_id"]
    forms = {
        "frame-agreement-set": {"provider_id": provider, "state": "ended", "limit_kopecks": ""},
        "policy-set": {"debit_basis": "MONTHLY_CONTRACT", "issue_mode": "ON_REQUEST"},
        "rules-published": {
            "table": "billing.charging",
            "from": "2020-10-20",
            "published": "2020-10-14",
            "rows": json.dumps(rows),
        },
    }
    async with (
        official(town, f"payer:{QUEUED}", proposals) as clerk,
        official(town, "operator:", proposals) as other,
    ):
        for fact, form in forms.items():
            whole = {"fact": fact, "period": PERIOD, "why": "Приказ 3"} | form
            path = await keep(clerk, QUEUED, whole)
            if fact == "rules-published":
                page = (await other.get(path)).text
                assert "<td>Нет</td><td>не списывается</td><td><b>списывается</b></td>" in page
            assert (await answer(other, path, "approve")).status_code == 303
            assert len(said(town, fact)) == 1
        await town.follow()
        page = (await clerk.get(f"{RULES}/rules?period={PERIOD}")).text

    assert "прекращён" in page
    after = await town.queries.settings(QUEUED, PERIOD)
    assert after is not None
    (frame,) = [each for each in after["frames"] if each["provider_id"] == provider]
    assert (frame["state"], frame["limit_kopecks"]) == ("ended", None)
    assert (after["debit_basis"], after["issue_mode"]) == ("MONTHLY_CONTRACT", "ON_REQUEST")
    assert {
        "table": "billing.charging",
        "from": "2020-10-20",
        "published": "2020-10-14",
        "basis": "Приказ 3",
        "rows": rows,
    } in after["overlays"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"why": ""}, "Напишите основание", id="no reason"),
        pytest.param({"nominal_kopecks": "-1"}, "не сумма в рублях", id="below nothing"),
        pytest.param({"nominal_kopecks": "x"}, "не сумма в рублях", id="no sum"),
        pytest.param({"places_max": "1.5"}, "целое число", id="half a place"),
        pytest.param({"places_max": "²"}, "целое число", id="a digit that is none"),
        pytest.param({"category": "Общая"}, "Проверьте поле «Категория»", id="no id"),
        pytest.param({"period": "1999"}, "Такого периода", id="no period"),
        pytest.param({"fact": "invoice-paid"}, "Непонятно, что меняется", id="not proposed here"),
        pytest.param(
            {"fact": "rules-published", "table": "billing.charging", "rows": "{"},
            "не читаются как JSON",
            id="no JSON",
        ),
        pytest.param(
            {"fact": "rules-published", "table": "none.such", "rows": "[]"},
            "Такой таблицы нет",
            id="no table",
        ),
        pytest.param(
            {
                "fact": "rules-published",
                "table": "billing.charging",
                "from": "2020-10-20",
                "published": "2020-10-14",
                "rows": '[{"id": "attended", "when": {"mark": ["present"]}, "then": '
                '{"charge": true}, "says": "Был"}]',
            },
            "Таблица billing.charging",
            id="rows that leave a gap",
        ),
    ],
)
async def test_what_cannot_be_is_said_and_not_kept(changes: dict[str, str], told: str) -> None:
    town, proposals = await the_town(), Proposals(MemoryKeys(), SEAL)
    async with official(town, f"payer:{QUEUED}", proposals) as clerk:
        for step in ({}, {"step": "keep"}):
            given = await clerk.post(f"{RULES}/proposals", data=category(**changes) | step)

            assert given.status_code == 422
            assert told in given.text
    assert await proposals.of(QUEUED) == []


FRAME = {"fact": "frame-agreement-set", "period": PERIOD, "state": "ended", "why": "Приказ 3"}
ROWS = {
    "fact": "rules-published",
    "period": PERIOD,
    "table": "billing.days",
    "from": "2020-10-20",
    "published": "2020-10-14",
    "rows": '[{"id": "<b>"}]',
    "why": "Приказ 3",
}


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        pytest.param(category(why=" "), "why", "Напишите основание", id="no reason"),
        pytest.param(category(nominal_kopecks="x"), "nominal_kopecks", "не сумма", id="no sum"),
        pytest.param(category(places_max="1.5"), "places_max", "целое число", id="half a place"),
        pytest.param(
            category(category="Общая"), "category", "латинские буквы", id="a new category, no id"
        ),
        pytest.param(
            FRAME | {"provider_id": "Ладья", "limit_kopecks": "5"},
            "provider_id",
            "латинские буквы",
            id="a new frame agreement, no id",
        ),
        pytest.param(
            FRAME | {"provider_id": "prov-000", "limit_kopecks": "-5"},
            "limit_kopecks",
            "не сумма",
            id="a limit below nothing",
        ),
        pytest.param(ROWS | {"rows": "{"}, "rows", "не читаются как JSON", id="no JSON"),
        pytest.param(ROWS, "rows", "Таблица billing.days", id="rows that are none"),
        pytest.param(ROWS | {"from": "завтра"}, "from", "2020-10-20", id="no day"),
        pytest.param(
            {
                "fact": "policy-set",
                "period": PERIOD,
                "debit_basis": "MONTHLY_CONTRACT",
                "issue_mode": "ON_REQUEST",
                "why": "п" * 201,
            },
            "why",
            "до 200 знаков",
            id="a reason that is too long",
        ),
    ],
)
async def test_what_was_typed_stands_in_its_form_with_what_is_wrong_beside_its_field(
    form: dict[str, str], field: str, said: str
) -> None:
    town, proposals = await the_town(), Proposals(MemoryKeys(), SEAL)
    async with official(town, f"payer:{QUEUED}", proposals) as clerk:
        answer = await clerk.post(f"{RULES}/proposals", data=form)
        before = await clerk.get(f"{RULES}/rules?period={PERIOD}")

    others = forms_of(before.text, f"{RULES}/proposals")
    (again,) = [each for each in forms_of(answer.text, f"{RULES}/proposals") if each not in others]
    name, told = beside(answer.text)
    assert answer.status_code == 422
    assert again == typed(form)
    assert (name, said in told) == (field, True)
    assert answer.text.count('<details class="fold" open>') == (form["fact"] != "policy-set")


async def test_what_is_wrong_with_no_field_alone_is_told_at_the_beginning_of_its_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proposing, "OPEN_OF_ONE_MAX", 0)
    town, proposals = await the_town(), Proposals(MemoryKeys(), SEAL)
    async with official(town, f"payer:{QUEUED}", proposals) as clerk:
        answer = await clerk.post(f"{RULES}/proposals", data=category(step="keep"))

    form, _, rest = answer.text.partition('id="trouble"')
    assert answer.status_code == 422
    assert rest.partition("</p>")[0].endswith("Ответьте на них или отзовите свои.")
    assert form.rpartition("<form")[2].count("<input") == 3
    assert 'value="11 000,00"' in rest


async def test_from_a_preview_one_goes_back_to_the_form_as_it_was_filled_in() -> None:
    town, proposals = await the_town(), Proposals(MemoryKeys(), SEAL)
    async with official(town, f"payer:{QUEUED}", proposals) as clerk:
        preview = await clerk.post(f"{RULES}/proposals", data=category())
        (draft,) = forms_of(preview.text, f"{RULES}/proposals")
        back = await clerk.post(f"{RULES}/proposals", data=draft | {"step": "change"})
        elsewhere = await clerk.post(
            f"{RULES}/proposals", data=category(period="none-such", step="change")
        )

    assert 'name="step" value="change">Изменить<' in preview.text
    assert (back.status_code, elsewhere.status_code) == (200, 200)
    assert typed(category()) in forms_of(back.text, f"{RULES}/proposals")
    assert typed(category()) in forms_of(elsewhere.text, f"{RULES}/proposals")
    assert await proposals.of(QUEUED) == []


async def test_an_approval_is_for_what_was_seen_and_others_neither_see_nor_answer() -> None:
    town, proposals = await the_town(), Proposals(MemoryKeys(), SEAL)
    async with (
        official(town, f"payer:{QUEUED}", proposals) as clerk,
        official(town, "operator:", proposals) as other,
        official(town, f"payer:{PAYERS[0]}", proposals) as stranger,
        official(town, "auditor:", proposals) as auditor,
    ):
        path = await keep(clerk, QUEUED, category())
        stale = await other.post(path, data={"answer": "approve", "seal": "0" * 64})
        assert stale.status_code == 409
        assert "что-то изменилось" in stale.text
        for each in (stranger, auditor):
            assert (await each.post(path, data={"answer": "reject"})).status_code == 404
            assert (await each.post(f"{RULES}/proposals", data=category())).status_code == 404
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.get(path.replace(QUEUED, PAYERS[0]))).status_code == 404
        seen = await auditor.get(path)
        assert seen.status_code == 200
        assert "<button" not in seen.text.partition("<main")[2]
        assert (await answer(clerk, path, "reject")).status_code == 303
        assert (await answer(other, path, "approve")).status_code == 409
        assert "отозвано" in (await auditor.get(path)).text


def other_rows(table: str) -> list[dict[str, Any]]:
    """Return rows under which cases of a table have another answer than by its base rows."""
    found = [as_published(row) for row in tables()[table].versions[-1].rows[:3]]
    for row in found:
        then: Any = row["then"]
        match table.partition(".")[2]:
            case "charging":
                row["then"] = {"charge": not then["charge"]}
            case "age":
                row["then"] = {"verdict": "eligible" if "too" in then["verdict"] else "too_old"}
            case "registry":
                row["then"] = {
                    "verdict": "eligible" if "not" in then["verdict"] else "not_certified"
                }
            case "category":
                row["then"] = {"category": f"{then['category']}-2"}
            case "days":
                row["then"] = {name: then[name] + 1 for name in then}
            case _:
                row["then"] = then | {"urgent": not then["urgent"]}
    return found


async def test_who_may_not_propose_reads_what_is_set_and_opens_no_empty_fold() -> None:
    town = await the_town()
    async with client_of(town.app(), auth=None) as client:
        await client.post("/login/sandbox", data={"as": "auditor:"})
        page = await client.get(f"/console/{PAYERS[0]}/rules")

    assert page.status_code == 200
    assert "номинал" in page.text
    assert not re.search(r"</summary>\s*</details>", page.text)


@pytest.mark.parametrize(
    ("titles", "said"),
    [({"prov-001": "Ракета"}, "«Ракета»"), ({}, "«prov-001»")],
    ids=["known", "unknown"],
)
def test_a_frame_is_named_after_the_organization(titles: dict[str, str], said: str) -> None:
    fields = {"fact": "frame-agreement-set", "provider_id": "prov-001", "period": PERIOD}
    fields |= {"state": "signed", "why": "Приказ 3"}
    proposal = proposed(PAYERS[0], fields, "payer:one", "2020-10-14T02:00:00.000+00:00")

    assert title_of(proposal, titles) == f"Договор с организацией {said}, период {PERIOD}"


def rows_of(table: str) -> dict[str, Any]:
    """Return those rows as a payer publishes them."""
    return {
        "table": table,
        "from": FIRST_DAY.isoformat(),
        "published": "2020-10-14",
        "basis": "Приказ 3",
        "rows": other_rows(table),
    }


FIRST_DAY = date(2020, 10, 20)
CHILDREN_OF_THREE_KINDS: dict[Child, int] = {
    (date(2013, 10, 20), ()): 2,
    (date(2013, 10, 21), ()): 3,
    (date(2013, 10, 20), ("b01",)): 4,
}
"""Seven or six years old on the first day, one kind with a benefit."""


@pytest.mark.parametrize("table", list(tables()))
def test_a_preview_knows_cases_of_every_table(table: str) -> None:
    base = tables()[table].versions[-1]
    rows = rows_of(table)

    changes = rule_changes(table, NO_OVERLAYS, rows, CHILDREN_OF_THREE_KINDS, FIRST_DAY)

    assert changes
    assert all(set(each.case) == set(base.schema.inputs) for each in changes)
    shown = [_case(each) for each in changes]
    assert all(each["before"] != each["after"] for each in shown)
    assert not any("_" in each["before"] + each["after"] + each["case"] for each in shown)


def test_children_are_counted_by_what_the_table_asks_of_them() -> None:
    def told(table: str) -> list[tuple[dict[str, object], int | None]]:
        rows = rows_of(table)
        found = rule_changes(table, NO_OVERLAYS, rows, CHILDREN_OF_THREE_KINDS, FIRST_DAY)
        return [(dict(each.case), each.children) for each in found]

    assert told("certificates.age") == [({"age_years": 6}, 3), ({"age_years": 7}, 6)]
    assert told("certificates.category") == [
        ({"age_years": 6, "benefits": ()}, 3),
        ({"age_years": 7, "benefits": ()}, 2),
        ({"age_years": 7, "benefits": ("b01",)}, 4),
    ]


# --- where they are kept -------------------------------------------------------------------------


def proposal(why: str = "Приказ 1") -> Proposal:
    """Return a proposal."""
    return Proposal(
        payer=QUEUED,
        fact="policy-set",
        subject=PERIOD,
        data={"period": PERIOD, "debit_basis": "ATTENDED_LESSONS", "issue_mode": "ON_REQUEST"},
        why=why,
        by="a",
        at="2020-10-14T10:00:00.000+00:00",
    )


async def check_keys(proposals: Proposals) -> None:
    """The first answer stands; what is sent is known; others' proposals are not there."""
    id_ = await proposals.put(proposal())
    assert await proposals.put(proposal()) == id_
    await proposals.put(proposal("Приказ 2"))
    approved = Answer(is_approved=True, by="b", at="t", event={"id": "e"})
    rejected = Answer(is_approved=False, by="c", at="t")

    assert await proposals.answer(QUEUED, id_, approved)
    assert not await proposals.answer(QUEUED, id_, rejected)
    await proposals.sent(QUEUED, id_)

    kept = await proposals.find(QUEUED, id_)
    assert kept is not None
    assert (kept.proposal, kept.answer, kept.is_sent) == (proposal(), approved, True)
    assert len(await proposals.of(QUEUED)) == 2
    assert await proposals.find(PAYERS[0], id_) is None
    assert await proposals.of(PAYERS[0]) == []


async def test_proposals_in_memory() -> None:
    await check_keys(Proposals(MemoryKeys(), SEAL))


async def test_proposals_in_redis_outlive_who_keeps_them(tmp_path: Any) -> None:
    for run in range(2):
        store = RedisKeys(EmbeddedValkey(tmp_path))
        await store.start()
        try:
            proposals = Proposals(store, SEAL)
            if run == 0:
                await check_keys(proposals)
            assert len(await proposals.of(QUEUED)) == 2
        finally:
            await store.stop()


async def test_of_those_that_wait_there_are_so_many_and_answered_ones_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proposing, "OPEN_MAX", 5)
    monkeypatch.setattr(proposing, "OPEN_OF_ONE_MAX", 3)
    monkeypatch.setattr(proposing, "ANSWERED_MAX", 4)
    # Two in one millisecond have no order.
    monkeypatch.setattr(proposing, "_now_ms", count(1).__next__)
    kept = Proposals(MemoryKeys(), SEAL)
    rejected = Answer(is_approved=False, by="b", at="t")
    ids = []
    for number in range(12):
        ids.append(await kept.put(proposal(f"Приказ {number}")))
        assert await kept.answer(QUEUED, ids[-1], rejected)

    for number in range(12, 15):
        await kept.put(proposal(f"Приказ {number}"))
    with pytest.raises(TooManyError):
        await kept.put(proposal("Приказ 15"))
    for number in range(2):
        await kept.put(replace(proposal(f"Приказ {number}"), by="c"))
    with pytest.raises(TooManyError):
        await kept.put(replace(proposal("Приказ 2"), by="d"))

    answers = [each.answer for each in await kept.of(QUEUED)]
    assert (answers.count(None), answers.count(rejected)) == (5, 4)
    assert [await kept.find(QUEUED, id_) for id_ in ids[:8]] == [None] * 8


async def test_an_answer_that_was_not_put_away_is_put_away_later() -> None:
    store = MemoryKeys()
    kept = Proposals(store, SEAL)
    id_ = await kept.put(proposal())
    await kept.answer(QUEUED, id_, Answer(is_approved=False, by="b", at="t"))
    await store.add(f"{QUEUED}::open", id_, 0)

    assert [each.proposal for each in await kept.of(QUEUED)] == [proposal()]
    assert await store.names(f"{QUEUED}::open") == []


async def test_who_writes_to_the_store_neither_proposes_nor_approves() -> None:
    store = MemoryKeys()
    kept, forger = Proposals(store, SEAL), Proposals(store, b"x" * 32)
    approved = Answer(is_approved=True, by="b", at="t", event={"id": "e"})
    id_ = await kept.put(proposal())
    other = await kept.put(proposal("Приказ 2"))
    await forger.put(proposal("Приказ 3"))
    await forger.answer(QUEUED, id_, approved)
    # What is sealed for one place is nothing at another.
    await kept.answer(QUEUED, other, approved)
    (moved,) = await store.load([f"{QUEUED}:{other}:answer"])
    assert moved is not None
    await store.drop([f"{QUEUED}:{id_}:answer"])
    await store.save_first(f"{QUEUED}:{id_}:answer", moved)

    found = await kept.find(QUEUED, id_)

    assert found is not None
    assert found.answer is None
    assert len(await kept.of(QUEUED)) == 2


def approval(**changes: Any) -> Answer:
    """Return the approval of the proposal above, with other words in it."""
    given = proposal()
    data = given.data | {"revision": 4} | changes.pop("data", {})
    event = payer_event(given.fact, given.payer, given.subject, data) | changes.pop("event", {})
    return Answer(**{"is_approved": True, "by": "b", "at": "t", "event": event} | changes)


@pytest.mark.parametrize(
    ("given", "is_its"),
    [
        pytest.param(approval(), True, id="what it gives"),
        pytest.param(approval(by="a"), False, id="by who proposed it"),
        pytest.param(approval(by=""), False, id="by nobody"),
        pytest.param(approval(is_approved=False), False, id="rejected"),
        pytest.param(approval(data={"issue_mode": "ON_ENROLLMENT"}), False, id="another mode"),
        pytest.param(approval(data={"more": 1}), False, id="something more"),
        pytest.param(approval(event={"partitionkey": PAYERS[0]}), False, id="another payer"),
        pytest.param(approval(event={"id": "another"}), False, id="another id"),
    ],
)
def test_what_is_sent_again_is_what_was_proposed(given: Answer, is_its: bool) -> None:
    assert is_of(given, proposal()) is is_its


def test_every_table_of_the_rules_can_be_asked_about() -> None:
    assert {
        "billing.charging",
        "billing.days",
        "certificates.age",
        "certificates.category",
        "enrollment.age",
        "enrollment.days",
        "enrollment.registry",
    } <= set(tables())
