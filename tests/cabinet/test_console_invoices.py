"""What a treasury paid, held against the invoices: what differs is shown and settles nothing."""

import csv
import io
import re
from datetime import date
from html import unescape
from typing import Any

import httpx
import pytest

from services.cabinet import sending, settlement
from services.cabinet.pages import console_invoices as shown
from services.cabinet.pages.console_invoice_routes import FILE_BYTES_MAX
from services.cabinet.pages.spreadsheets import csv_of
from services.cabinet.settlement import Difference, Invoice, PaidLine, UnreadableError, match, read
from tests.cabinet.autumn import PAYERS, Town, own_town, the_town
from tests.cabinet.clients import client_of
from tests.cabinet.forms import forms_of

TODAY = date(2020, 10, 7)
INVOICE = "inv-25701000-prov-000-2020-09"
ISSUED = {
    INVOICE: Invoice(
        lines={f"{INVOICE}/1": 25_149, f"{INVOICE}/2": -300}, is_settled=False, month="2020-09"
    )
}
HEAD = "Строка счёта;Сумма, руб.;Дата оплаты;Платёжный документ\n"


def paid(line: int, amount: int, **changes: Any) -> PaidLine:
    """Return a line of a file about a line of the invoice."""
    usual: dict[str, Any] = {
        "number": line + 1,
        "line_reference": f"{INVOICE}/{line}",
        "amount_kopecks": amount,
        "paid_on": TODAY,
        "document": "п/п 17",
    }
    return PaidLine(**(usual | changes))


WHOLE = (paid(1, 25_149), paid(2, -300))


def paid_whole(on: date) -> tuple[PaidLine, ...]:
    """Return all lines of the invoice, paid on a day."""
    return tuple(paid(each.number - 1, each.amount_kopecks, paid_on=on) for each in WHOLE)


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kopecks"),
    [
        ("251,49", 25_149),
        ("251.49", 25_149),
        ("251", 25_100),
        ("251,4", 25_140),
        ("1\u00a0251,49", 125_149),
        ("1 251,49", 125_149),
        ("-3,00", -300),
        ("−3,00", -300),
        ("0,01", 1),
    ],
)
def test_a_sum_is_read_to_the_kopeck(text: str, kopecks: int) -> None:
    (line,) = read(f'{HEAD}{INVOICE}/1;"{text}";07.10.2020;п/п 17\n')

    assert line == paid(1, kopecks, number=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "нет столбца «Строка счёта»", id="nothing"),
        pytest.param("a;b;c\n1;2;3\n", "нет столбца «Строка счёта»", id="another table"),
        pytest.param(HEAD, "оплачивать нечего", id="no line"),
        pytest.param(f"{HEAD}x/1;1,00;;\n", "оплачивать нечего", id="nothing is filled in"),
        pytest.param(f"{HEAD}x/1;1,00;07.10.2020;\n", "Строка 2: нужны и дата", id="no document"),
        pytest.param(f"{HEAD}x/1;1,00;;п/п\n", "Строка 2: нужны и дата", id="no day"),
        pytest.param(f"{HEAD}x/1;1,005;07.10.2020;п\n", "не сумма в рублях", id="half a kopeck"),
        pytest.param(f"{HEAD}x/1;1e3;07.10.2020;п\n", "не сумма в рублях", id="an exponent"),
        pytest.param(f"{HEAD}x/1;;07.10.2020;п\n", "не сумма в рублях", id="no sum"),
        pytest.param(f"{HEAD}x/1;1,00;31.09.2020;п\n", "не дата", id="no such day"),
        pytest.param(f"{HEAD}x/1;1,00;7.10.20;п\n", "не дата", id="another form of day"),
        pytest.param(f"{HEAD}x/1;1,00\n", "Строка 2: не хватает столбцов", id="too short"),
        pytest.param(f"{HEAD}x/1;1,00;07.10.2020;{'п' * 201}\n", "до 200 знаков", id="too long"),
    ],
)
def test_what_cannot_be_read_says_which_line_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(UnreadableError, match=re.escape(said)):
        read(text)


@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_other_columns_separators_and_line_ends_do_no_harm(separator: str) -> None:
    titles = ["Прочее", *settlement.COLUMNS]
    rows = [titles, ["=1+1", f"{INVOICE}/1", "251,49", "2020-10-07", "п/п 17"], [""] * 5]
    text = "\r\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows)

    assert read(f"\ufeff{text}") == [paid(1, 25_149, number=2)]


# --- matching ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        pytest.param(WHOLE, [], id="line by line to the kopeck"),
        pytest.param(tuple(reversed(WHOLE)), [], id="in another order"),
        pytest.param(WHOLE[:1], [Difference.MISSING_LINE], id="a line is missing"),
        pytest.param((paid(1, 25_150), WHOLE[1]), [Difference.OTHER_AMOUNT], id="a kopeck more"),
        pytest.param((paid(1, 25_148), WHOLE[1]), [Difference.OTHER_AMOUNT], id="a kopeck less"),
        pytest.param((*WHOLE, WHOLE[0]), [Difference.TWICE], id="a line twice"),
        pytest.param((*WHOLE, paid(3, 1)), [Difference.UNKNOWN_LINE], id="a line too many"),
        pytest.param(
            (WHOLE[0], paid(2, -300, document="п/п 18")),
            [Difference.SEVERAL_PAYMENTS],
            id="by two documents",
        ),
        pytest.param(
            (WHOLE[0], paid(2, -300, paid_on=date(2020, 10, 6))),
            [Difference.SEVERAL_PAYMENTS],
            id="on two days",
        ),
        pytest.param(
            paid_whole(date(2020, 10, 8)), [Difference.NOT_YET, Difference.NOT_YET], id="tomorrow"
        ),
        pytest.param(
            paid_whole(date(2020, 8, 31)),
            [Difference.TOO_EARLY, Difference.TOO_EARLY],
            id="the day before its month",
        ),
        pytest.param(paid_whole(date(2020, 9, 1)), [], id="the first day of its month"),
    ],
)
def test_an_invoice_is_paid_as_a_whole_or_not(
    lines: tuple[PaidLine, ...], kinds: list[Difference]
) -> None:
    (matched,) = match(lines, ISSUED, TODAY)

    assert [found.kind for found in matched.differences] == kinds
    assert shown.settled_by([matched]) == ([] if kinds else [matched])
    assert len(shown.events(PAYERS[0], [matched])) == (0 if kinds else 1)


def test_another_payers_invoice_is_as_unknown_as_one_that_is_not_there() -> None:
    (matched,) = match(WHOLE, {}, TODAY)

    assert [found.kind for found in matched.differences] == [Difference.UNKNOWN_INVOICE]


def test_the_same_settlement_makes_the_same_event_and_another_one_another() -> None:
    (one,) = shown.events(PAYERS[0], match(WHOLE, ISSUED, TODAY))
    (again,) = shown.events(PAYERS[0], match(tuple(reversed(WHOLE)), ISSUED, TODAY))
    (other,) = shown.events(
        PAYERS[0],
        match(
            [paid(each.number - 1, each.amount_kopecks, document="п/п 18") for each in WHOLE],
            ISSUED,
            TODAY,
        ),
    )

    assert one["id"] == again["id"] != other["id"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services run when they are told to: there is nothing to wait for."""
    monkeypatch.setattr(sending, "DECIDED_SECONDS_MAX", 0.01)


# --- with billing behind it ----------------------------------------------------------------------


async def unpaid(town: Town) -> list[dict[str, Any]]:
    """Return invoices nobody paid yet, of the payer that has most of them."""
    found = []
    for payer in PAYERS:
        for month in await town.queries.months(payer):
            invoices = await town.queries.invoices_by(payer, month)
            found.append([each for each in invoices if not each["settled"]])
    return max(found, key=len)


def filled_in(invoices: list[dict[str, Any]], document: str) -> str:
    """Return the file of these invoices as a treasury fills it in."""
    told = [each | {"paid_on": "2020-10-14", "payment_reference": document} for each in invoices]
    return csv_of(shown.lines_table(told, {}))


def kopecks(rubles: str) -> int:
    """Return a sum of the file in kopecks."""
    return int(rubles.replace("\u00a0", "").replace(" ", "").replace(",", ""))


async def confirm(client: httpx.AsyncClient, payer: str, page: str) -> httpx.Response:
    """Press the button of a preview."""
    (seal,) = re.findall(r'name="seal" value="([0-9a-f]{64})"', page)
    (lines,) = re.findall(r'<textarea name="lines" hidden>(.*?)</textarea>', page, re.DOTALL)
    form = {"seal": seal, "lines": unescape(lines)}
    return await client.post(f"/console/{payer}/settlement/confirm", data=form)


async def test_a_file_is_looked_at_confirmed_once_and_settles_what_matched() -> None:
    town = await own_town()
    first, second, *_ = await unpaid(town)
    payer = first["payer"]
    second["lines"] = [dict(line) for line in second["lines"]]
    second["lines"][0]["amount_kopecks"] += 1
    path = f"/console/{payer}/settlement"
    form = {"lines": filled_in([first, second], "п/п 4711")}
    async with client_of(town.app()) as client:
        preview = await client.post(path, data=form)
        assert preview.status_code == 200
        assert town.facts("billing.invoice-settled", payer=payer) == [
            each
            for each in town.facts("billing.invoice-settled", payer=payer)
            if each["payment_reference"] != "п/п 4711"
        ]
        assert "сумма не та" in preview.text
        done = await confirm(client, payer, preview.text)
        again = await confirm(client, payer, preview.text)
        assert (done.status_code, again.status_code) == (303, 303)
        sent = await client.get(done.headers["location"])
        assert "Отправлено: 1. Уже отмечено оплаченными: 0. Остальные появятся" in sent.text
        await town.follow()

        settled = [
            each
            for each in town.facts("billing.invoice-settled", payer=payer)
            if each["payment_reference"] == "п/п 4711"
        ]
        assert [each["invoice_id"] for each in settled] == [first["invoice_id"]]
        assert settled[0]["amount_kopecks"] == sum(e["amount_kopecks"] for e in first["lines"])
        assert settled[0]["paid_on"] == "2020-10-14"
        late = await client.post(path, data=form)
        assert "Уже оплачены раньше: 1. С ними ничего не произойдёт." in late.text
        assert first["invoice_id"] not in late.text.partition("Не совпало")[2]
        stale = await confirm(client, payer, preview.text)
        assert stale.status_code == 409
        assert "С тех пор что-то изменилось" in stale.text


async def test_lines_are_listed_and_downloaded_in_the_form_they_are_uploaded_in() -> None:
    town = await the_town()
    for payer in PAYERS:
        invoices = [
            each
            for month in await town.queries.months(payer)
            for each in await town.queries.invoices_by(payer, month)
        ]
        assert invoices
        issued = town.facts("billing.invoice-issued", payer=payer)
        assert sum(each["amount_kopecks"] for each in invoices) == sum(
            line["amount_kopecks"] for each in issued for line in each["lines"]
        )
        async with client_of(town.app()) as client:
            page = await client.get(f"/console/{payer}/invoices")
            file = await client.get(f"/console/{payer}/invoices.csv")

        assert page.status_code == 200
        assert all(each["invoice_id"] in page.text for each in invoices)
        rows = list(csv.DictReader(file.text.removeprefix("\ufeff").splitlines(), delimiter=";"))
        assert [row["Строка счёта"] for row in rows] == [
            line["line_reference"] for each in invoices for line in each["lines"]
        ]
        assert {(row["Строка счёта"], kopecks(row["Сумма, руб."])) for row in rows} == {
            (line["line_reference"], line["amount_kopecks"])
            for each in issued
            for line in each["lines"]
        }
        for row in rows:
            row |= {"Дата оплаты": "14.10.2020", "Платёжный документ": "п/п 1"}
        filled = io.StringIO()
        writer = csv.DictWriter(filled, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
        async with client_of(town.app()) as client:
            form = {"lines": filled.getvalue()}
            preview = await client.post(f"/console/{payer}/settlement", data=form)
        assert preview.status_code == 200
        settled = [each for each in invoices if each["settled"]]
        open_ones = [each["invoice_id"] for each in invoices if not each["settled"]]
        assert all(f"<td>{id_}</td>" in preview.text for id_ in open_ones)
        assert (f"Уже оплачены раньше: {len(settled)}." in preview.text) == bool(settled)
        assert "сумма не та" not in preview.text


@pytest.mark.parametrize(
    ("decisions", "said"),
    [
        pytest.param(["applied", "duplicate"], "Отмечено оплаченными: 2. Организации", id="all"),
        pytest.param(
            ["applied", "refused"],
            "Отправлено: 2. Уже отмечено оплаченными: 1, не принято: 1.</p>",
            id="one was refused",
        ),
        pytest.param(
            ["applied", None],
            "Отправлено: 2. Уже отмечено оплаченными: 1. Остальные появятся через минуту.",
            id="one is not decided yet",
        ),
    ],
)
async def test_what_was_decided_is_told_and_not_what_was_sent(
    monkeypatch: pytest.MonkeyPatch, decisions: list[str | None], said: str
) -> None:
    async def sent(*_: Any) -> list[dict[str, Any] | None]:
        return [None if each is None else {"decision": each} for each in decisions]

    monkeypatch.setattr(sending.Sending, "send", sent)
    town = await the_town()
    waiting = await unpaid(town)
    payer = waiting[0]["payer"]
    form = {"lines": filled_in(waiting[:2], "п/п 4712")}
    async with client_of(town.app()) as client:
        preview = await client.post(f"/console/{payer}/settlement", data=form)
        done = await confirm(client, payer, preview.text)
        page = await client.get(done.headers["location"])

    assert said in page.text


async def test_lines_that_cannot_be_read_stay_in_the_form() -> None:
    town = await the_town()
    async with client_of(town.app()) as client:
        path = f"/console/{PAYERS[0]}/settlement"
        answer = await client.post(path, data={"lines": f"{HEAD}<x>/1;1,00;07.10.2020;\n"})

    assert answer.status_code == 422
    assert f"{HEAD}&lt;x&gt;/1;1,00;07.10.2020;" in answer.text
    assert 'aria-invalid="true" aria-describedby="trouble"' in answer.text
    assert (
        '<p class="trouble" id="trouble" role="alert" data-problem>Строка 2: нужны' in answer.text
    )


async def test_from_a_preview_one_goes_back_to_the_lines() -> None:
    town = await the_town()
    path = f"/console/{PAYERS[0]}/settlement"
    lines = f"{HEAD}inv-none/1;1,00;07.10.2020;п/п 1\n"
    async with client_of(town.app()) as client:
        preview = await client.post(path, data={"lines": lines})
        (draft,) = forms_of(preview.text, f"{path}/confirm")
        back = await client.post(path, data=draft | {"step": "change"})

    assert f'name="step" value="change" formaction="{path}">Изменить строки<' in preview.text
    assert "Подтвердить" not in preview.text
    assert back.status_code == 200
    assert forms_of(back.text, path) == [{"lines": [lines]}]


async def test_a_file_that_is_too_large_is_told_as_one() -> None:
    town = await the_town()
    async with client_of(town.app()) as client:
        path = f"/console/{PAYERS[0]}/settlement"
        answer = await client.post(path, data={"lines": "x" * FILE_BYTES_MAX})

    assert answer.status_code == 422
    assert "Загрузите его по частям: по одному месяцу." in answer.text


async def test_who_only_reads_settles_nothing_and_others_find_no_invoices() -> None:
    town = await the_town()
    async with client_of(town.app(), auth=None) as client:

        async def become(whom: str) -> str:
            await client.post("/login/sandbox", data={"as": whom})
            page = await client.get("/login")
            (csrf,) = re.findall(r'data-csrf="([^"]*)"', page.text)
            return str(csrf)

        form = {"csrf": await become("auditor:"), "lines": "x"}
        path = f"/console/{PAYERS[0]}/settlement"
        assert (await client.get(f"/console/{PAYERS[0]}/invoices")).status_code == 200
        assert (await client.post(path, data=form)).status_code == 404
        assert (await client.post(f"{path}/confirm", data=form)).status_code == 404
        form["csrf"] = await become(f"payer:{PAYERS[1]}")
        assert (await client.get(f"/console/{PAYERS[0]}/invoices")).status_code == 404
        assert (await client.get(f"/console/{PAYERS[0]}/invoices.csv")).status_code == 404
        assert (await client.post(path, data=form)).status_code == 404
        form["csrf"] = await become(f"payer:{PAYERS[0]}")
        assert (await client.post(path, data=form)).status_code == 422
        assert (await client.post(path, data={"lines": "x"})).status_code == 403
