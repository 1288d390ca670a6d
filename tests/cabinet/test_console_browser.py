"""The console in a real browser: two officials against the running system, and all its pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import BrowserContext, FilePayload, Page, async_playwright, expect

from services.cabinet.app import serving
from services.cabinet.proposals import MemoryKeys, Proposal, Proposals
from tests.cabinet import story
from tests.cabinet.autumn import PAYERS, PERIOD, own_town
from tests.cabinet.journals import PAYER
from tests.cabinet.test_browser import ARGUMENTS, CHROMIUM, DESK, PHONE
from tests.cabinet.test_journal_browser import OTHERS, open_town, pick
from tests.support.world import day, event

CONSOLE = f"/console/{PAYER}"
PAGE_BYTES_MAX = 100 * 1024

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]


async def button(page: Page, name: str) -> None:
    """Press a button and wait for the page that follows."""
    async with page.expect_navigation():
        await page.get_by_role("button", name=name).click()


async def propose_nominal(page: Page, rubles: str) -> str:
    """Propose a nominal by the form, after looking at what it does; return the page's path."""
    await page.goto(f"{CONSOLE}/rules")
    await page.locator("summary", has_text="Общая").click()
    form = page.locator("details[open] form")
    await form.get_by_label("Номинал, руб.").fill(rubles)
    await form.get_by_label("Основание").fill("Постановление 7")
    async with page.expect_navigation():
        await form.get_by_role("button", name="Посмотреть, что изменится").click()
    await page.get_by_text("Номинал вырастет: 3\u00a0сертификата").wait_for()
    await button(page, "Предложить")
    await page.get_by_text("Утвердить должен другой человек.").wait_for()
    return page.url


async def test_two_officials_raise_a_nominal_and_one_settles_what_was_paid(tmp_path: Path) -> None:
    async with open_town(tmp_path) as (running, context):
        marked = [
            event(
                "attendance.lesson-marked",
                PAYER,
                enrollment_id,
                {
                    "enrollment_id": enrollment_id,
                    "lesson_id": "les-2020-09-01",
                    "lesson_date": "2020-09-01",
                    "mark": "present",
                    "evidence": "journal",
                    "revision": 1,
                },
            )
            for enrollment_id in (story.ROBOTS, "enr-00131")
        ]
        await running.send(marked)
        await running.send([day("2020-10-06")])
        await pick(context, f"payer:{PAYER}")
        page = await context.new_page()

        path = await propose_nominal(page, "12000")
        await pick(context, "operator:")
        await page.goto(path)
        await button(page, "Утвердить")
        await page.get_by_text("утверждено", exact=True).wait_for()
        await running.settle()
        await page.goto(CONSOLE)
        assert "12\u00a0000,00\u00a0₽" in await page.locator("#main").inner_text()

        await page.goto(f"{CONSOLE}/invoices")
        link = page.get_by_text("Все строки файлом CSV")
        listed = await context.request.get(str(await link.get_attribute("href")))
        head, *rows = (await listed.text()).splitlines()
        filled = [head, *(f"{row.removesuffix(';;')};06.10.2020;п/п 17" for row in rows)]
        file = FilePayload(name="paid.csv", mimeType="text/csv", buffer="\n".join(filled).encode())
        await page.get_by_label("Файл CSV").set_input_files(file)
        await expect(page.locator("#lines")).not_to_have_value("")
        await button(page, "Сравнить со счетами")
        await page.get_by_text("Станет оплачено: 1\u00a0счёт на 502,98\u00a0₽.").wait_for()
        await button(page, "Подтвердить оплату")
        await running.settle()
        await page.goto(f"{CONSOLE}/invoices")

        assert "оплачен" in await page.locator("summary").first.inner_text()
        provider = (await running.client.get(f"/api/v1/providers/{story.PROVIDER}")).json()
        assert provider["payers"][0]["settled_kopecks"] == 50_298
        for child_id in (story.ELDER, *OTHERS[:2]):
            known = (await running.client.get(f"/api/v1/certificates/{child_id}")).json()
            assert known["periods"][0]["nominal_kopecks"] == 1_200_000


@asynccontextmanager
async def console(size: tuple[int, int], *, dark: bool) -> AsyncIterator[BrowserContext]:
    """Open the console of the autumn, with a proposal, in a browser that must not complain."""
    complaints: list[str] = []
    proposals = Proposals(MemoryKeys(), b"s" * 32)
    data = {
        "category": "general",
        "period": PERIOD,
        "unit": "RUB",
        "nominal_kopecks": 1_100_000,
        "places_max": 15,
        "budget_max_kopecks": 10_000_000_000,
    }
    await proposals.put(
        Proposal(
            payer=PAYERS[1],
            fact="category-set",
            subject="general",
            data=data,
            why="Постановление 7",
            by="payer:clerk",
            at="2020-10-14T02:00:00.000+00:00",
        )
    )
    # A reader of its topics waits on the loop of its test: the shared town would be another's.
    town = await own_town()
    async with (
        serving(town.app(proposals=proposals), "127.0.0.1", 0) as port,
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        context = await browser.new_context(
            base_url=f"http://127.0.0.1:{port}",
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
        )
        context.on("console", lambda message: complaints.append(message.text))
        await pick(context, "operator:")
        yield context
        # A form that is not taken is an answer of its own, which browsers note.
        assert [each for each in complaints if "status of 422" not in each] == []


async def complaints_about(page: Page, name: str, width: int) -> list[str]:
    """Open all that is folded on a page; return what is not accessible or does not fit."""
    for summary in await page.locator("summary").all():
        await summary.click()
    found = await Axe().run(page)
    wide = await page.evaluate("document.documentElement.scrollWidth")
    told = [f"{name}: {found.generate_report()}"] if found.violations_count else []
    return told + ([f"{name}: {wide} pixels wide"] if wide != width else [])


@pytest.mark.parametrize(("size", "dark"), [(PHONE, False), (PHONE, True), (DESK, False)])
async def test_pages_are_accessible_fit_and_are_light(size: tuple[int, int], dark: bool) -> None:
    async with console(size, dark=dark) as context:
        page = await context.new_page()
        wrong: list[str] = []
        base = f"/console/{PAYERS[1]}"
        await page.goto(f"{base}/rules")
        proposal = await page.locator(f"a[href^='{base}/proposals/']").first.get_attribute("href")
        assert proposal is not None
        for path in (
            "/console",
            base,
            f"{base}/reports",
            f"{base}/lists/holders",
            f"{base}/lists/queue",
            f"{base}/invoices",
            f"{base}/rules",
            proposal,
            f"{base}/disputes",
            "/operations",
        ):
            answer = await page.goto(path)
            assert answer is not None
            wrong += await complaints_about(page, path, size[0])
            if len(await answer.body()) > PAGE_BYTES_MAX:
                wrong.append(f"{path}: too heavy")
        await page.goto(f"{base}/invoices")
        lines = await (await context.request.get(f"{base}/invoices.csv")).text()
        await page.get_by_label("Или вставьте строки").fill(lines)
        await button(page, "Сравнить со счетами")
        wrong += await complaints_about(page, "a settlement that is looked at", size[0])
        await page.goto(f"{base}/rules")
        await page.get_by_text("Новая категория").click()
        form = page.locator("details[open] form")
        await form.get_by_label("Категория").fill("large-family")
        await form.get_by_label("Номинал").fill("много")
        await form.get_by_label("Мест").fill("5")
        await form.get_by_label("Бюджет").fill("100")
        await form.get_by_label("Основание").fill("Постановление 7")
        async with page.expect_navigation():
            await form.get_by_role("button", name="Посмотреть, что изменится").click()
        wide = await page.evaluate("document.documentElement.scrollWidth")
        found = await Axe().run(page)
        wrong += [found.generate_report()] if found.violations_count else []
        assert await page.evaluate("document.activeElement.name") == "nominal_kopecks"
        assert (wide, wrong) == (size[0], [])


async def test_the_keyboard_is_enough_to_answer_a_proposal() -> None:
    async with console(DESK, dark=False) as context:
        page = await context.new_page()
        await page.goto(f"/console/{PAYERS[1]}/rules")
        link = page.locator("a[href*='/proposals/']").first
        await link.focus()
        await page.keyboard.press("Enter")
        await page.get_by_text("Что изменится").wait_for()
        await page.get_by_role("button", name="Отклонить").focus()
        await page.keyboard.press("Enter")

        await page.get_by_text("отклонено").wait_for()
