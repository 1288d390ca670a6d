"""A family without a Navigator, on a phone, against the running system."""

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import BrowserContext, Page

from tests.cabinet import story
from tests.cabinet.journals import PAYER
from tests.cabinet.test_browser import CHROMIUM, PHONE, SMALL
from tests.cabinet.test_journal_browser import FAMILY, open_town, pick

CHESS = f"{FAMILY}/clubs/{PAYER}/grp-001?child={story.ELDER}"

NARROW = "all => all.filter(each => each.clientWidth < 100).map(each => each.textContent)"
"""Labels that have not even room for a word."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]


async def settled(page: Page) -> None:
    """Reload as the page offers it, until nothing is under way any more."""
    while await page.get_by_role("link", name="Обновить").count():
        await page.get_by_role("link", name="Обновить").click()


async def new_family(context: BrowserContext) -> Page:
    """Become a family that has entered nobody yet."""
    page = await context.new_page()
    await page.goto("/login")
    await page.get_by_role("button", name="Новая семья").click()
    await page.get_by_role("heading", name="Записать ребёнка").wait_for()
    return page


async def test_a_new_family_without_javascript_enters_a_child_applies_and_changes_its_mind(
    tmp_path: Path,
) -> None:
    async with open_town(tmp_path, scripts=False) as (running, context):
        page = await new_family(context)
        await page.get_by_label("Фамилия").fill("Кедрова")
        await page.get_by_label("Имя", exact=True).fill("Ника")
        await page.get_by_label("День рождения").fill("2012-05-06")
        await page.get_by_role("button", name="Записать").click()
        await settled(page)

        await page.get_by_label("Направление").select_option(label="Наука и природа")
        await page.get_by_role("button", name="Показать").click()
        found = await page.get_by_role("article").count()
        await page.get_by_role("link", name="Шахматы для начинающих").click()
        share = await page.locator("[data-share]").inner_text()
        for consent in await page.get_by_role("checkbox").all():
            await consent.check()
        await page.get_by_role("button", name="Подать заявление").click()
        await settled(page)
        await running.settle()
        await page.reload()
        state = await page.get_by_role("article").filter(has_text="Ваше заявление").inner_text()
        await page.get_by_role("link", name="На страницу семьи").click()
        family = await page.locator("main").inner_text()
        await page.get_by_role("link", name="Отозвать заявление").click()
        warned = await page.locator("main").inner_text()
        await page.get_by_role("button", name="Отозвать заявление").click()
        await settled(page)
        left = await page.get_by_role("status").first.inner_text()
        await running.settle()
        await page.get_by_role("link", name="На страницу семьи").click()

        own = page.url.rpartition("/")[2]
        told = await running.client.get("/api/v1/groups/grp-001")
        assert found == 1
        assert share == "0,00\u00a0₽"
        assert "Место держится" in state
        assert "Организация должна принять заявление" in state
        assert "Кедрова Ника" in family
        assert "Место держится" in family
        assert own.startswith("guardian-")
        assert "Место освободится" in warned
        assert "на балансе ничего не изменится" in warned
        assert "Заявление отозвано." in left
        assert told.json()["taken"] == 1


@pytest.mark.parametrize("dark", [False, True])
async def test_pages_are_accessible_fit_a_phone_and_are_light(tmp_path: Path, dark: bool) -> None:
    async with open_town(tmp_path, dark=dark) as (_, context):
        new = await new_family(context)
        wrong = await looked_at(new, f"{new.url.partition('/children')[0]}/clubs?child=child-none")
        await pick(context, f"guardian:{story.GUARDIAN}")
        page = await context.new_page()
        for path in (
            f"{FAMILY}/children/new",
            f"{FAMILY}/clubs",
            f"{FAMILY}/clubs?q=нет",
            CHESS,
            f"{CHESS}&sent=enr-none",
            f"{FAMILY}/clubs/{PAYER}/grp-000?child={story.ELDER}",
            f"{FAMILY}/contacts",
            f"{FAMILY}/contacts?saved=yes",
            f"{FAMILY}/preferences",
            f"{FAMILY}/enrollments/{PAYER}/{story.ROBOTS}",
            f"{FAMILY}/enrollments/{PAYER}/{story.ROBOTS}?became=other",
            f"{FAMILY}/enrollments/{PAYER}/{story.ROBOTS}?became=sent",
        ):
            wrong += await looked_at(page, path)
        await page.goto(f"{FAMILY}/contacts")
        await page.get_by_label("Фамилия").fill("Кедрова")
        await page.get_by_label("Имя").fill("Анна")
        await page.get_by_label("Телефон").fill("123")
        await page.get_by_role("button", name="Сохранить").click()
        await page.get_by_role("alert").wait_for()
        found = await Axe().run(page)
        focused = await page.evaluate("document.activeElement.id")
        wide = await page.evaluate("document.documentElement.scrollWidth")
        wrong += [found.generate_report()] if found.violations_count else []
        assert (focused, wide, wrong) == ("phone", SMALL[0], [])


async def looked_at(page: Page, path: str) -> list[str]:
    """Return what is wrong with a page, on a phone and on a narrow one."""
    wrong: list[str] = []
    for width, height in (PHONE, SMALL):
        await page.set_viewport_size({"width": width, "height": height})
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200
        found = await Axe().run(page)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        if found.violations_count:
            wrong.append(f"{path}: {found.generate_report()}")
        narrow = await page.locator(".field label").evaluate_all(NARROW)
        if narrow:
            wrong.append(f"{path}: {narrow} stand letter below letter")
        if wide != width:
            wrong.append(f"{path}: {wide} pixels wide instead of {width}")
        if len(await answer.body()) > 30 * 1024:
            wrong.append(f"{path}: too heavy")
    return wrong
