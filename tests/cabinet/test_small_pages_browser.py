"""Pages without data, which are shown when something is not as it should be, in a real browser."""

import mimetypes
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Route, async_playwright

from services.cabinet.pages.site import FOLDER, Site
from tests.cabinet.test_browser import ARGUMENTS, CHROMIUM, SMALL

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]

LONG = "Слишком много сразу, и слово достопримечательностями в придачу. Откройте страницу заново."
PAGES: dict[str, dict[str, Any]] = {
    "behind.html": {},
    "closed.html": {},
    "defect.html": {},
    "left.html": {"server_knows": True},
    "login.html": {"then": "/families/guardian-00001"},
    "login_homes.html": {"homes": [("Журнал", "/journal/prov-001", "prov-001")]},
    "login_often.html": {"wait": "2 минуты"},
    "login_over.html": {},
    "login_refused.html": {},
    "login_unavailable.html": {},
    "missing.html": {"code": 422},
    "problem.html": {"problem": LONG, "back": "/console/25701000/rules"},
    "unavailable.html": {},
    "verify.html": {"holds": False, "number": "", "day": ""},
}


@pytest.mark.parametrize("dark", [False, True])
async def test_they_are_accessible_and_fit_a_small_phone(dark: bool) -> None:
    site = Site(sandbox=False, invented=False, papers=False)
    wrong: list[str] = []

    async def answer(route: Route) -> None:
        name = route.request.url.partition("http://cabinet/")[2]
        if name in PAGES:
            page = site.page(name, **PAGES[name])
            headers = {"content-type": "text/html; charset=utf-8"}
            await route.fulfill(body=bytes(page.body), headers=headers)
        else:
            kind = mimetypes.guess_type(name)[0]
            await route.fulfill(path=FOLDER / name, content_type=kind)

    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        context = await browser.new_context(
            viewport={"width": SMALL[0], "height": SMALL[1]},
            color_scheme="dark" if dark else "light",
        )
        await context.route("**/*", answer)
        page = await context.new_page()
        for name in PAGES:
            await page.goto(f"http://cabinet/{name}")
            found = await Axe().run(page)
            wide = await page.evaluate("document.documentElement.scrollWidth")
            if found.violations_count:
                wrong.append(f"{name}: {found.generate_report()}")
            if wide != SMALL[0]:
                wrong.append(f"{name}: {wide} pixels wide")

    assert wrong == []


def test_each_page_that_only_tells_is_among_them() -> None:
    names = {path.name for path in (FOLDER / "templates").glob("*.html")}
    telling = {
        name
        for name in names
        if 'class="notice"' in (FOLDER / "templates" / name).read_text()
        and "main" in (FOLDER / "templates" / name).read_text()
    }

    assert telling <= PAGES.keys()
