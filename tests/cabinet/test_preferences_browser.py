"""A parent at the page of messages, on a phone, against the running system."""

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


async def test_a_parent_without_javascript_changes_it_and_the_next_message_follows(
    tmp_path: Path,
) -> None:
    async with open_town(tmp_path, scripts=False) as (running, context):
        await pick(context, f"guardian:{story.GUARDIAN}")
        page = await context.new_page()

        async def lesson(date: str) -> None:
            await running.send([day(date)])
            mark = story.lesson(date, "present", 1) | {"evidence": "journal"}
            more = {"id": f"mark-{date}"}
            await running.send(
                [event("attendance.lesson-marked", PAYER, story.ROBOTS, mark, **more)]
            )
            await page.goto(FAMILY)

        await lesson("2020-09-02")
        before = await page.get_by_text("Сообщение: здесь").all_inner_texts()
        await page.get_by_role("link", name="О чём и как вам сообщать").click()
        debits = page.get_by_role("group", name="О списаниях")
        await debits.get_by_label("Почта").check()
        await page.get_by_label("Тихие часы не нужны").check()
        await page.get_by_role("button", name="Сохранить").click()
        # The decision is awaited two seconds; a busy machine may take longer, and says so.
        while await page.get_by_text("Сохраняем.").count():
            await page.get_by_role("link", name="Обновить").click()
        told = await page.get_by_role("status").inner_text()
        chosen = await debits.get_by_label("Почта").is_checked()
        quiet = await page.get_by_label("Тихие часы не нужны").is_checked()
        await lesson("2020-09-03")
        after = await page.get_by_text("Сообщение: здесь").all_inner_texts()

        assert before == ["Сообщение: здесь"]
        assert (told, chosen, quiet) == ("Сохранено. Так и будем сообщать.", True, True)
        assert len(after) == 2
        assert "по электронной почте" in after[0]
        assert after[1] == "Сообщение: здесь"


@pytest.mark.parametrize("dark", [False, True])
async def test_the_page_is_accessible_and_fits_a_phone(tmp_path: Path, dark: bool) -> None:
    async with open_town(tmp_path, dark=dark) as (_, context):
        await pick(context, f"guardian:{story.GUARDIAN}")
        page = await context.new_page()
        wrong: list[str] = []
        for path, size in (
            ("", PHONE),
            ("?saved=7-0123456789abcdef", PHONE),
            ("?saved=0-0123456789abcdef", SMALL),
        ):
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            answer = await page.goto(f"{FAMILY}/preferences{path}")
            assert answer is not None
            found = await Axe().run(page)
            wide = await page.evaluate("document.documentElement.scrollWidth")

            if found.violations_count:
                wrong.append(f"{path}: {found.generate_report()}")
            if wide != size[0]:
                wrong.append(f"{path}: {wide} pixels wide")
            if len(await answer.body()) > 30 * 1024:
                wrong.append(f"{path}: too heavy")
        assert wrong == []
