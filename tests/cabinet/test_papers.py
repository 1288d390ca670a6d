"""Papers: what is printed, that a phone reads the code on it, and what the code answers."""

import re
from collections import Counter
from pathlib import Path

import httpx
import pypdfium2  # type: ignore[import-untyped]
import pytest
import zxingcpp

from services.cabinet.papers.codes import Codes
from services.cabinet.papers.statement import (
    MOVEMENTS_MAX,
    Movement,
    StatementPaper,
    statement_pdf,
)
from services.cabinet.vault.vault import Reader
from streaming.memory_store import MemoryStore
from tests.cabinet import story
from tests.cabinet.clients import app_of, client_of
from tests.cabinet.journals import PAYER, Journals
from tests.cabinet.test_vault import PERSON, open_vault

CODES = Codes("k" * 32)
FOLDER = f"/families/{story.GUARDIAN}/{story.ELDER}"
URL = "https://cabinet.example"
GOOD = CODES.code_of(story.NUMBER)


def client_for(journals: Journals, sandbox: bool = True) -> httpx.AsyncClient:
    """Return a client of a cabinet that prints."""
    return client_of(app_of(journals, sandbox=sandbox, codes=CODES, public_url=URL))


def text_of(pdf: bytes) -> str:
    """Return the text of a PDF as a reader copies it, with spaces as they come."""
    pages = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(pdf)]
    return " ".join(" ".join(pages).replace("\u00a0", " ").split())


def scanned(pdf: bytes) -> list[str]:
    """Return what a scanner reads off the first page."""
    image = pypdfium2.PdfDocument(pdf)[0].render(scale=2).to_pil()
    return [found.text for found in zxingcpp.read_barcodes(image)]


async def test_the_certificate_says_what_the_page_says_and_its_code_leads_to_yes(
    journals: Journals,
) -> None:
    async with client_for(journals) as client:
        answer = await client.get(f"{FOLDER}/certificate.pdf")
        again = await client.get(f"{FOLDER}/certificate.pdf")
        (address,) = scanned(answer.content)
        confirmed = await client.get(address.removeprefix(URL))

    text = text_of(answer.content)
    assert answer.headers["content-type"] == "application/pdf"
    for said in (
        "Сертификат № 701 000015 7",
        "общая",
        "Состояние Действует",
        "по 31 декабря 2020 года",
        "10 000,00 ₽",
        GOOD,
        "Учебный образец",
    ):
        assert said in text
    assert address == f"{URL}/verify/{GOOD}"
    assert confirmed.status_code == 200
    assert "Да, сертификат действует" in confirmed.text
    assert story.ELDER not in text + confirmed.text
    assert story.GUARDIAN not in text + confirmed.text
    assert answer.content == again.content


async def test_a_certificate_without_money_says_so(journals: Journals) -> None:
    async with client_for(journals) as client:
        answer = await client.get(f"/families/{story.GUARDIAN}/{story.YOUNGER}/certificate.pdf")

    assert "пока без денег" in text_of(answer.content)


async def test_of_a_child_that_two_payers_know_each_certificate_is_printed(
    journals: Journals,
) -> None:
    lower = "25700001"
    data = {
        "child_id": story.ELDER,
        "birth_date": "2010-04-17",
        "guardian_ids": [story.GUARDIAN],
        "benefits": [],
        "revision": 1,
    }
    await journals.noted("enrollment", "navigator.child-registered", data, payer=lower)
    await journals.follow()
    async with client_for(journals) as client:
        page = (await client.get(f"/families/{story.GUARDIAN}")).text
        papers = {
            f"{name}{payer}": (await client.get(f"{FOLDER}/{name}.pdf{payer}")).status_code
            for name in ("certificate", "statement")
            for payer in ("", f"?payer={PAYER}", f"?payer={lower}")
        }

    ids = re.findall(r' id="([^"]+)"', page)
    assert papers == {
        f"{name}{payer}": 404 if payer.endswith(lower) else 200
        for name in ("certificate", "statement")
        for payer in ("", f"?payer={PAYER}", f"?payer={lower}")
    }
    assert f"{FOLDER}/certificate.pdf?payer={PAYER}" in page
    assert f"{story.ELDER}-{lower}" in ids
    assert [each for each, times in Counter(ids).items() if times > 1] == []


async def test_the_name_is_printed_and_that_is_on_record(
    journals: Journals, tmp_path: Path
) -> None:
    async with open_vault(tmp_path) as vault:
        await vault.put(story.ELDER, PERSON, Reader(by="navigator", why="registration"))
        async with client_of(app_of(journals, codes=CODES, vault=vault)) as client:
            papers = [
                await client.get(f"{FOLDER}/{name}.pdf") for name in ("certificate", "statement")
            ]
        record = await vault.looks(story.ELDER)

    assert all(PERSON.full_name in text_of(paper.content) for paper in papers)
    assert [look.why for look in record.looks] == ["registration", "certificate", "statement"]


async def test_the_statement_has_every_movement_of_money(journals: Journals) -> None:
    async with client_for(journals) as client:
        answer = await client.get(f"{FOLDER}/statement.pdf")
    certificate = await journals.queries.certificate(story.ELDER)

    text = text_of(answer.content)
    assert certificate is not None
    moved = [each for each in certificate["movements"] if each["amount_kopecks"]]
    kinds = [(each["kind"], each["amount_kopecks"]) for each in moved]
    assert text.count("−251,49 ₽") == kinds.count(("lesson-charged", 25_149))
    assert text.count("+251,49 ₽") == kinds.count(("charge-reversed", 25_149)) > 0
    for each in moved:
        assert each["text"].replace("\u00a0", " ") in text
    assert "свободно: 1 956,04 ₽" in text


@pytest.mark.parametrize(
    ("movements", "pages_min", "left_out"),
    [(0, 1, ""), (MOVEMENTS_MAX, 20, ""), (MOVEMENTS_MAX + 7, 20, "более ранних движений: 7")],
)
def test_a_long_statement_goes_on_and_says_what_it_leaves_out(
    movements: int, pages_min: int, left_out: str
) -> None:
    line = Movement(day="1 мая", title="Списано", text="<b>&", amount="−1", free="2")
    pdf = statement_pdf(
        StatementPaper(
            number="1",
            holder=None,
            purses=["Период"],
            movements=[line] * movements,
            as_of="2 мая",
            is_sample=False,
        )
    )

    text = text_of(pdf)
    assert len(pypdfium2.PdfDocument(pdf)) >= pages_min
    assert text.count("<b>&") == min(movements, MOVEMENTS_MAX)
    assert ("более ранних" in text) is bool(left_out)
    assert left_out in text
    assert "Учебный образец" not in text


@pytest.mark.parametrize(
    "path",
    [
        f"/families/guardian-99999/{story.ELDER}/certificate.pdf",
        f"/families/{story.GUARDIAN}/child-99999/certificate.pdf",
        f"/families/guardian-99999/{story.ELDER}/statement.pdf",
    ],
)
async def test_papers_of_others_are_not_there(journals: Journals, path: str) -> None:
    async with client_for(journals) as client:
        assert (await client.get(path)).status_code == 404
    async with client_for(journals, sandbox=False) as client:
        assert (await client.get(f"{FOLDER}/certificate.pdf")).status_code == 403


# --- the code ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "holds"),
    [
        pytest.param(GOOD, True, id="as printed"),
        pytest.param(GOOD.lower().replace("-", " "), True, id="typed by hand"),
        pytest.param(GOOD[:-1] + ("A" if GOOD[-1] != "A" else "B"), False, id="one letter off"),
        pytest.param("7010000231" + GOOD[10:], False, id="the check of another number"),
        pytest.param(story.NUMBER, False, id="the number alone"),
        pytest.param(Codes("x" * 32).code_of(story.NUMBER), False, id="another key"),
        pytest.param(CODES.code_of("7019999999"), False, id="a number nobody has"),
    ],
)
@pytest.mark.parametrize("sandbox", [True, False])
async def test_a_code_is_confirmed_by_yes_or_no(
    journals: Journals, code: str, holds: bool, sandbox: bool
) -> None:
    async with client_for(journals, sandbox) as client:
        answer = await client.get(f"/verify/{code}")

    assert answer.status_code == (200 if holds else 404)
    assert ("Да, сертификат действует" in answer.text) is holds
    assert ("701\u00a0000015\u00a07" in answer.text) is holds


async def test_all_noes_look_alike(journals: Journals) -> None:
    async with client_for(journals) as client:
        unknown = await client.get(f"/verify/{CODES.code_of('7019999999')}")
        forged = await client.get(f"/verify/{story.NUMBER}-AAAAAAAAAA")
    async with client_of(app_of(journals)) as client:
        without_key = await client.get(f"/verify/{GOOD}")

    assert unknown.text == forged.text
    assert without_key.status_code == 404


async def test_nobody_is_told_no_while_certificates_are_being_read_again(
    journals: Journals,
) -> None:
    again = Journals(journals.bus, MemoryStore(), journals.partitions)
    async with client_for(again) as client:
        asked = [await client.get(f"/verify/{code}") for code in (GOOD, GOOD[:-1])]
        await again.follow()
        later = await client.get(f"/verify/{GOOD}")

    assert [answer.status_code for answer in (*asked, later)] == [503, 404, 200]


@pytest.mark.parametrize(
    ("day", "frozen", "holds"),
    [
        ("2020-12-31", False, True),
        ("2021-01-01", False, False),
        ("2020-12-31", True, False),
    ],
)
async def test_a_code_holds_as_long_as_the_certificate(
    journals: Journals, day: str, frozen: bool, holds: bool
) -> None:
    journals.day = day
    if frozen:
        fact = {"child_id": story.ELDER, "certificate_number": story.NUMBER, "reason": "Проверка"}
        await journals.fact("certificates.certificate-frozen", fact)
    for child_id in ("child-00901",):
        await story.register_child(journals, child_id, "2012-01-01", ["guardian-00900"])
    await journals.follow()

    assert await journals.queries.in_force(story.NUMBER) == (holds, day)
