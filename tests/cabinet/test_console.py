"""The console's budgets: what they say, to whom, and whether the sums are those of the journals."""

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulebook.wording import counted, full_date
from services.cabinet.forecast import WINDOW_DAYS, Forecast, Limits, Outlook, forecast, room_of
from services.cabinet.pages.console_charts import HEIGHT, PART_MIN, WIDTH, growth, stacked, weeks
from services.cabinet.pages.console_words import CHILDREN, category
from tests.cabinet.autumn import PAYERS, PERIOD, the_town
from tests.cabinet.clients import client_of

TODAY = date(2020, 10, 1)
ENDS = date(2020, 12, 31)
NOMINAL = 1_000_000


def limits(**changes: int) -> Limits:
    """Return a category with room for ten certificates, by places and by money."""
    usual = {
        "nominal_kopecks": NOMINAL,
        "places_max": 30,
        "budget_max_kopecks": 30 * NOMINAL,
        "holders": 20,
        "granted_kopecks": 20 * NOMINAL,
    }
    return Limits(**(usual | changes))


# --- the forecast --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "room"),
    [
        pytest.param({}, 10, id="places and money alike"),
        pytest.param({"holders": 29}, 1, id="one place left"),
        pytest.param({"holders": 30}, 0, id="no place left"),
        pytest.param({"holders": 31}, 0, id="lower caps take nothing away"),
        pytest.param({"granted_kopecks": 29 * NOMINAL}, 1, id="money for exactly one"),
        pytest.param({"granted_kopecks": 29 * NOMINAL + 1}, 0, id="one kopeck short of one"),
        pytest.param({"granted_kopecks": 31 * NOMINAL}, 0, id="more granted than the budget"),
        pytest.param({"nominal_kopecks": 0}, 10, id="a nominal of nothing takes places alone"),
    ],
)
def test_room_is_the_lesser_of_places_and_money(changes: dict[str, int], room: int) -> None:
    assert room_of(limits(**changes)) == room


@pytest.mark.parametrize(
    ("told", "funded_on", "today", "outlook", "day"),
    [
        pytest.param(limits(), {TODAY: 5}, TODAY, Outlook.ENDS, date(2020, 10, 3), id="two days"),
        pytest.param(
            limits(),
            {TODAY - timedelta(days=1): 3},
            TODAY,
            Outlook.ENDS,
            date(2020, 10, 8),
            id="a part of a day is a whole one: 6.67 days are 7",
        ),
        pytest.param(
            limits(),
            {TODAY - timedelta(days=10): 0, TODAY: 1},
            TODAY,
            Outlook.ENDS,
            date(2020, 10, 11),
            id="a day on which nobody got any begins nothing",
        ),
        pytest.param(
            limits(places_max=111),
            {TODAY: 1},
            TODAY,
            Outlook.ENDS,
            TODAY + timedelta(days=10),
            id="money decides where there are places",
        ),
        pytest.param(
            limits(places_max=111, budget_max_kopecks=111 * NOMINAL),
            {TODAY: 1},
            TODAY,
            Outlook.ENDS,
            ENDS,
            id="91 of 91 days: on the last day of the period",
        ),
        pytest.param(
            limits(places_max=112, budget_max_kopecks=112 * NOMINAL),
            {TODAY: 1},
            TODAY,
            Outlook.LASTS,
            None,
            id="92 of 91 days: it lasts",
        ),
        pytest.param(
            limits(),
            {TODAY - timedelta(days=WINDOW_DAYS - 1): 28},
            TODAY,
            Outlook.ENDS,
            date(2020, 10, 11),
            id="the first day of the window counts",
        ),
        pytest.param(
            limits(),
            {TODAY - timedelta(days=WINDOW_DAYS): 28},
            TODAY,
            Outlook.QUIET,
            None,
            id="the day before the window does not",
        ),
        pytest.param(limits(), {}, TODAY, Outlook.QUIET, None, id="nobody took any"),
        pytest.param(
            limits(),
            {TODAY + timedelta(days=1): 9},
            TODAY,
            Outlook.QUIET,
            None,
            id="what is granted tomorrow says nothing today",
        ),
        pytest.param(limits(holders=30), {TODAY: 1}, TODAY, Outlook.GONE, None, id="gone"),
        pytest.param(None, {}, TODAY, Outlook.NOT_SET, None, id="not set"),
        pytest.param(
            limits(holders=29),
            {ENDS: 1},
            ENDS,
            Outlook.LASTS,
            None,
            id="on the last day there is no day left to run out",
        ),
        pytest.param(
            limits(),
            {ENDS: 1},
            ENDS + timedelta(days=1),
            Outlook.OVER,
            None,
            id="the day after the period",
        ),
    ],
)
def test_the_day_the_money_is_gone(
    told: Limits | None, funded_on: dict[date, int], today: date, outlook: Outlook, day: date | None
) -> None:
    said = forecast(told, funded_on, today, ENDS)

    assert (said.outlook, said.day) == (outlook, day)


@given(
    st.dictionaries(st.integers(0, 60), st.integers(0, 5), max_size=20),
    st.integers(1, 200),
    st.integers(1, 90),
)
def test_a_forecast_is_the_first_day_on_which_the_rate_has_used_the_room(
    ago: dict[int, int], room: int, left_days: int
) -> None:
    funded_on = {TODAY - timedelta(days=days): number for days, number in ago.items()}
    holds = limits(holders=0, granted_kopecks=0, places_max=room, budget_max_kopecks=10**11)
    ends = TODAY + timedelta(days=left_days)

    said = forecast(holds, funded_on, TODAY, ends)

    if said.outlook is Outlook.ENDS:
        assert said.day is not None
        after = (said.day - TODAY).days
        assert said.funded * after >= room * said.days > said.funded * (after - 1)
        assert said.day <= ends
    elif said.outlook is Outlook.LASTS:
        assert said.funded * left_days < room * said.days
    else:
        assert said == Forecast(outlook=Outlook.QUIET, room=room, days=said.days)


# --- pictures ------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**12), max_size=6))
def test_a_bar_is_filled_exactly_and_shows_whatever_holds_anything(sums: list[int]) -> None:
    parts = stacked([(str(number), "", kopecks) for number, kopecks in enumerate(sums)])

    assert [each.kopecks for each in parts] == [kopecks for kopecks in sums if kopecks]
    assert all(each.width >= PART_MIN for each in parts)
    assert sum(each.width for each in parts) == (WIDTH if parts else 0)
    assert [each.x for each in parts] == [
        sum(other.width for other in parts[:number]) for number in range(len(parts))
    ]


@given(st.dictionaries(st.integers(-9, 400), st.integers(-(10**9), 10**9), max_size=30))
def test_weeks_lose_no_day_and_stay_inside_the_picture(spent: dict[int, int]) -> None:
    begins, ends = date(2020, 1, 1), date(2020, 12, 31)
    days = {begins + timedelta(days=number): kopecks for number, kopecks in spent.items()}

    bars = weeks(days, begins, ends)

    assert sum(each.kopecks for each in bars) == sum(days.values())
    assert all(0 <= each.y <= HEIGHT and each.y + each.height == HEIGHT for each in bars)
    assert all(each.x >= 0 and each.x + each.width <= WIDTH for each in bars)
    assert all(bool(each.height) == (each.kopecks > 0) for each in bars)


def test_a_growth_stands_on_the_ground_and_ends_today() -> None:
    steps = {date(2020, 3, 1): 2, date(2020, 6, 1): 1, date(2020, 8, 1): 9}

    drawn = growth(steps, date(2020, 1, 1), ENDS, date(2020, 7, 1), 10, (date(2020, 10, 1), 10))

    line = [tuple(map(int, each.split(","))) for each in drawn.line.split()]
    assert line[0] == (0, HEIGHT)
    assert line[-1][0] == drawn.today_x
    assert drawn.ahead.split()[0] == "{},{}".format(*line[-1])
    assert int(drawn.ahead.split()[1].split(",")[1]) == drawn.ceiling_y
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)


# --- what is said is what the journals say -------------------------------------------------------


@pytest.mark.parametrize("payer", PAYERS)
async def test_the_money_of_a_period_is_that_of_the_last_purses_in_the_journal(payer: str) -> None:
    town = await the_town()
    last: dict[tuple[str, str], dict[str, int]] = {}
    periods = {
        each["enrollment_id"]: each["period"]
        for each in town.facts("enrollment.child-enrolled", payer=payer)
    }
    for record in town.world.journal("billing"):
        data = record["data"]
        if "purse" in data and record["partitionkey"] == payer:
            # A purse is one certificate's in one period; facts of an enrollment name none.
            period = data.get("period") or periods[data["enrollment_id"]]
            last[data["child_id"], period] = data["purse"]
    sums: Counter[str] = Counter()
    for (_, period), purse in last.items():
        if period == PERIOD:
            sums.update(purse)
            sums["purses"] += 1
            sums["used"] += purse["paid_kopecks"] > 0

    budget = await town.queries.budget(payer, PERIOD)

    assert budget is not None
    money = budget["money"]
    told = {name: getattr(money, name) for name in (*sums, "purses", "used")}
    assert told == {name: sums[name] for name in told}
    assert sums["paid_kopecks"] > 0
    assert sums["paid_kopecks"] == sum(each.paid_kopecks for _, each in budget["spent"])


@pytest.mark.parametrize("payer", PAYERS)
async def test_certificates_by_day_are_those_that_the_journal_funded(payer: str) -> None:
    town = await the_town()
    given_on: Counter[tuple[str, str]] = Counter()
    money: Counter[str] = Counter()
    category_of = {}
    granting = (
        "certificates.certificate-issued",
        "certificates.certificate-renewed",
        "certificates.certificate-funded",
        "certificates.nominal-changed",
    )
    for each in town.facts(*granting, payer=payer):
        if each["period"] != PERIOD:
            continue
        if "category" in each:
            category_of[each["child_id"]] = each["category"]
        category = category_of[each["child_id"]]
        money[category] += each["nominal_kopecks"] - each.get("previous_kopecks", 0)
        if each.get("state", "FUNDED") == "FUNDED" and "previous_kopecks" not in each:
            given_on[category, each["_day"]] += 1

    budget = await town.queries.budget(payer, PERIOD)

    assert budget is not None
    told = {
        (category["category"], day.isoformat()): each.funded
        for category in budget["categories"]
        for day, each in category["days"]
        if each.funded
    }
    assert told == given_on
    for category in budget["categories"]:
        by_day = sum(each.granted_kopecks for _, each in category["days"])
        assert by_day == category["granted_kopecks"] == money[category["category"]]


# --- who sees what -------------------------------------------------------------------------------


async def test_the_operator_sees_all_payers_and_a_payer_its_own() -> None:
    async with client_of((await the_town()).app(), auth=None) as client:

        async def listed(whom: str) -> str:
            await client.post("/login/sandbox", data={"as": whom})
            page = await client.get("/console")
            assert page.status_code == 200
            return page.text

        every = await listed("operator:")
        assert [payer for payer in PAYERS if f"/console/{payer}" in every] == list(PAYERS)
        own = await listed(f"payer:{PAYERS[0]}")
        assert [payer for payer in PAYERS if f"/console/{payer}" in own] == [PAYERS[0]]
        theirs = await client.get(f"/console/{PAYERS[1]}")
        nobodys = await client.get("/console/99999999")
        assert (theirs.status_code, nobodys.status_code) == (404, 404)
        assert theirs.text == nobodys.text


@pytest.mark.parametrize("whom", ["guardian:guardian-00012", "provider:prov-000"])
async def test_families_and_providers_find_no_console(whom: str) -> None:
    async with client_of((await the_town()).app(), auth=None) as client:
        await client.post("/login/sandbox", data={"as": whom})

        assert (await client.get("/console")).status_code == 404
        assert (await client.get(f"/console/{PAYERS[0]}")).status_code == 404


@pytest.mark.parametrize(
    ("id_", "title"), [("special", "Особая"), ("large-family", "large-family")]
)
def test_a_category_without_a_word_is_called_by_its_id(id_: str, title: str) -> None:
    assert category(id_) == title


async def test_the_page_says_what_the_numbers_are() -> None:
    town = await the_town()
    budget = await town.queries.budget(PAYERS[1])
    assert budget is not None
    queued = sum(each["queued"] for each in budget["categories"])
    async with client_of(town.app()) as client:
        page = await client.get(f"/console/{PAYERS[1]}")

        assert page.status_code == 200
        assert "период 2020:" in page.text
        assert queued > 0
        assert f"<dd>{counted(queued, *CHILDREN)}</dd>" in page.text
        assert "Все места заняты: новые сертификаты ждут в очереди" in page.text
        assert 'role="img" aria-label="На сертификатах' in page.text
        assert ">Общая</h3>" in page.text
        assert ">general<" not in page.text
        assert "│ сегодня" in page.text
        assert "<dt>Из них уже тратили</dt>" in page.text
        assert f" сгорит после {full_date(budget['ends_on'])}" in page.text
        assert "style=" not in page.text
        assert (await client.get(f"/console/{PAYERS[1]}?period=1999")).status_code == 404
