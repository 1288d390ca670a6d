"""A debit that a family does not agree with, in a real browser: said without scripts, answered."""

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]

from tests.cabinet import story
from tests.cabinet.journals import PAYER
from tests.cabinet.test_browser import CHROMIUM, PHONE, SMALL
from tests.cabinet.test_journal_browser import FAMILY, open_town, pick
from tests.support.world import day, event

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]
JOURNAL = f"/journal/{story.PROVIDER}"


@pytest.mark.parametrize("size", [PHONE, SMALL])
async def test_a_parent_says_so_a_teacher_answers_and_nothing_needs_scripts(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with open_town(tmp_path, scripts=size == SMALL) as (running, context):
        await running.send([day("2020-09-02")])
        mark = story.lesson("2020-09-02", "present", 1) | {"evidence": "journal"}
        await running.send(
            [event("attendance.lesson-marked", PAYER, story.ROBOTS, mark, id="mark-of-it")]
        )
        await pick(context, f"guardian:{story.GUARDIAN}")
        page = await context.new_page()
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        await page.goto(FAMILY)

        await page.get_by_text("Мы не были на занятии").click()
        await page.get_by_label("Что произошло").select_option("lesson-cancelled")
        found = await Axe().run(page) if size == SMALL else None
        wide = await page.evaluate("document.documentElement.scrollWidth")
        await page.get_by_role("button", name="Сообщить").click()
        await running.settle()
        await page.goto(FAMILY)
        waits = await page.get_by_text("вы не согласны с").count()
        await pick(context, f"provider:{story.PROVIDER}")
        await page.goto(JOURNAL)
        await page.get_by_text("Ребёнок был на занятии").click()
        await page.get_by_label("Чем подтверждается").select_option("qr")
        asked = await Axe().run(page) if size == SMALL else None
        await page.get_by_role("button", name="Ответить").click()
        await running.settle()
        await pick(context, f"guardian:{story.GUARDIAN}")
        await page.goto(FAMILY)

        assert waits == 2, "in the history, and above it until it is answered"
        assert wide == size[0]
        for report in (found, asked):
            assert report is None or not report.violations_count, report.generate_report()
        assert await page.get_by_text("ответили 2\u00a0сентября: ребёнок был").count() == 1
