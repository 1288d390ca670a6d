"""What people read: every template over the real example of its fact."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from rulebook.loading import Rulebook
from rulebook.wording import NO_BREAK_SPACE
from services.notifications.domain.rules import ROUTING
from services.notifications.domain.texts import BARE, Text, parse, text_of
from services.notifications.senders.templates import load_templates

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
TABLE = Rulebook.load("services.notifications").table(ROUTING)
# Words that follow from facts and days; nothing makes them yet but the first.
OF_FACTS = {"billing.lessons-left-low": "billing.lesson-charged"}
NOT_MADE_YET = {"enrollment.application-overdue", "certificates.period-ends-soon"} | {
    "billing.balance-low"
}


def routed() -> list[tuple[str, str]]:
    """Return (fact, template) of all rows of the table."""
    return sorted(
        {
            (fact, str(hit.then["template"]))
            for fact in TABLE.schema.inputs["event"].words  # type: ignore[union-attr]
            if fact not in NOT_MADE_YET
            for hit in Rulebook.load("services.notifications")
            .for_payer()
            .decide(ROUTING, date(2020, 9, 1), {"event": fact})
            .hits
        }
    )


def example(fact: str) -> Mapping[str, object]:
    file = EXAMPLES / f"{OF_FACTS.get(fact, fact)}.v1.json"
    data: Mapping[str, object] = json.loads(file.read_text(encoding="utf-8"))["data"]
    return data


def plain(text: Text) -> tuple[str, str]:
    return text.title, text.body.replace(NO_BREAK_SPACE, " ")


@pytest.mark.parametrize(("fact", "template"), routed())
def test_every_routed_fact_fills_its_template(fact: str, template: str) -> None:
    text = text_of(load_templates(), template, example(fact))

    assert text.title != BARE.title
    assert text.body.endswith(".")
    assert not text.body.endswith("..")
    assert "{" not in f"{text.title}{text.body}"


def test_there_is_a_template_for_each_row_and_no_other() -> None:
    assert set(load_templates()) == {template for _, template in routed()}


@pytest.mark.parametrize(
    ("template", "fact", "expected"),
    [
        pytest.param(
            "place-held",
            "enrollment.place-held",
            (
                "Место держится за ребёнком",
                (
                    "Место в группе «Шахматы, первый год» держится до 10 сентября 2020 года. "
                    "До этого дня организация должна принять заявление."
                ),
            ),
            id="a field of a part",
        ),
        pytest.param(
            "agreement-activated",
            "enrollment.agreement-activated",
            (
                "Договор заключён",
                (
                    "Договор действует с 1 сентября 2020 года по 31 декабря 2020 года. "
                    "С сертификата оплачивается 8 043,96 ₽, доплата семьи 0,00 ₽."
                ),
            ),
            id="dates and sums",
        ),
        pytest.param(
            "enrollment-ended",
            "enrollment.enrollment-ended",
            (
                "Договор закончен",
                (
                    "Последний день договора — 15 октября 2020 года: "
                    "так решил представитель ребёнка. Если что-то осталось в брони, "
                    "после последних отметок оно вернётся на баланс сертификата."
                ),
            ),
            id="a cause in words",
        ),
        pytest.param(
            "lessons-left-low",
            "billing.lessons-left-low",
            (
                "Осталось оплаченных занятий: 31",
                "Ребёнок был на занятии 2 сентября: списано 251,49 ₽.",
            ),
            id="a number in the title, the reason of the fact",
        ),
        pytest.param(
            "invoice-issued",
            "billing.invoice-issued",
            (
                "Счёт составлен",
                "Счёт inv-25701000-prov-00001-2020-09 за сентябрь 2020 года на 502,86 ₽.",
            ),
            id="a month",
        ),
        pytest.param(
            "nominal-changed",
            "certificates.nominal-changed",
            (
                "Номинал изменился",
                (
                    "Номинал сертификата № 7010000011 был 10 000,00 ₽, стал 12 000,00 ₽. "
                    "Номинал категории повышен."
                ),
            ),
            id="a number stays a number, a reason gets its full stop",
        ),
        pytest.param(
            "of-the-town",
            "billing.lesson-charged",
            ("Новое сообщение", "Ребёнок был на занятии 2 сентября: списано 251,49 ₽."),
            id="a template nobody wrote gives the reason",
        ),
        pytest.param(
            "lesson-charged",
            "billing.period-expired",
            ("Новое сообщение", "Что произошло, видно в личном кабинете."),
            id="a template the fact cannot fill, and no reason",
        ),
    ],
)
def test_texts(template: str, fact: str, expected: tuple[str, str]) -> None:
    assert plain(text_of(load_templates(), template, example(fact))) == expected


def test_what_a_fact_says_is_not_filled_again() -> None:
    templates = {"one": parse("Заголовок\n{reason}.\n")}

    text = text_of(templates, "one", {"reason": "Сумма {amount_kopecks}", "amount_kopecks": 1})

    assert text == Text("Заголовок", "Сумма {amount_kopecks}.")
