"""What people read: every template over the real example of its fact."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from contracts.vocabulary import Month
from rulebook.wording import NO_BREAK_SPACE
from services.billing.domain.texts import month_name
from services.cabinet.pages import wording
from services.notifications.domain.occasion import DEBITS, DISPUTE_UPHELD
from services.notifications.domain.texts import BARE, DIGEST, LINES_MAX, Text, parse, text_of
from services.notifications.senders.samples import samples
from services.notifications.senders.templates import (
    SHORT_CHARACTERS_MAX,
    letter,
    load_templates,
)

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
TITLE_CHARACTERS_MAX = 45
BODY_CHARACTERS_MAX = 320
SENTENCE_WORDS_MAX = 16
READING_EASE_MIN = 40
"""Flesch's scale as I. Oborneva fitted it to Russian: 40 is understood at 14 to 15 years of age."""
OFFICIALESE = re.compile(
    r"осуществ|в соответствии|посредств|надлежащ|вышеуказ|данн(ый|ого|ом) |является|произвед"
)

BREAKABLE = re.compile(
    r"\d (?:\d{3},|₽|года|январ|феврал|март|апрел|ма[йя]|июн|июл|август|сентябр|октябр|ноябр|дек)"
)
"""A space at which a line may end within a sum, a date or a number with its noun."""


def example(fact: str) -> Mapping[str, object]:
    file = EXAMPLES / f"{fact}.v1.json"
    data: Mapping[str, object] = json.loads(file.read_text(encoding="utf-8"))["data"]
    return data


def plain(text: Text) -> tuple[str, str]:
    return text.title, text.body.replace(NO_BREAK_SPACE, " ")


@pytest.mark.parametrize("template", samples())
def test_every_template_is_filled_by_the_facts_of_its_rows(template: str) -> None:
    text = text_of(load_templates(), template, samples()[template])

    assert text.title != BARE.title
    assert text.body.endswith(".")
    assert ".." not in text.body
    assert "{" not in f"{text.title}{text.body}"


def test_there_is_a_template_for_each_row_and_no_other() -> None:
    assert set(load_templates()) == set(samples())


@pytest.mark.parametrize("template", samples())
def test_no_text_is_long(template: str) -> None:
    text = text_of(load_templates(), template, samples()[template])

    assert len(text.title) <= TITLE_CHARACTERS_MAX
    assert len(text.body) <= BODY_CHARACTERS_MAX
    assert len(letter(template, samples()[template]).short) <= SHORT_CHARACTERS_MAX


@pytest.mark.parametrize("template", samples())
def test_texts_are_plain(template: str) -> None:
    text = text_of(load_templates(), template, samples()[template])

    assert max(len(words) for words in sentences(text.body)) <= SENTENCE_WORDS_MAX
    assert not OFFICIALESE.search(text.body.lower())


@pytest.mark.parametrize("template", samples())
def test_a_number_stands_on_one_line_with_what_it_counts(template: str) -> None:
    text = text_of(load_templates(), template, samples()[template])

    assert not BREAKABLE.findall(f"{text.title}\n{text.body}")


def test_what_could_break_is_found() -> None:
    assert BREAKABLE.findall("1 978,05 ₽ до 2 сентября 2020 года") != []


@pytest.mark.parametrize("template", samples())
def test_a_letter_sends_nobody_where_there_may_be_nothing(template: str) -> None:
    assert "Навигатор" not in letter(template, samples()[template]).plain


def test_all_texts_together_read_easily() -> None:
    bodies = [text_of(load_templates(), name, facts).body for name, facts in samples().items()]

    assert reading_ease("\n".join(bodies)) >= READING_EASE_MIN


def test_what_officials_write_would_not_pass() -> None:
    body = (
        "Настоящим уведомляем, что в соответствии с действующим законодательством осуществлено "
        "списание денежных средств, предназначенных для предоставления дополнительного образования."
    )

    assert reading_ease(body) < READING_EASE_MIN
    assert OFFICIALESE.search(body)
    assert len(sentences(body)[0]) > SENTENCE_WORDS_MAX


def sentences(text: str) -> list[list[str]]:
    """Return the words of each sentence; numbers, sums and dates are one word each."""
    flat = re.sub(r"(\d)[\d\u00a0,]*(\u00a0(₽|[а-я]+))?( \d{4}\u00a0года)?", r"\1", text)
    parts = re.split(r"[.!?:;\n•]+", flat)
    return [words for part in parts if (words := re.findall(r"[а-яёА-ЯЁ]+|\d+", part))]


def reading_ease(text: str) -> float:
    """Return Flesch's reading ease with Oborneva's factors for Russian."""
    said = sentences(text)
    words = [word.lower() for sentence in said for word in sentence if not word.isdigit()]
    syllables = sum(len(re.findall(r"[аеёиоуыэюя]", word)) for word in words)
    return 206.835 - 1.3 * len(words) / len(said) - 60.1 * syllables / len(words)


@pytest.mark.parametrize(
    ("template", "fact", "expected"),
    [
        pytest.param(
            "place-held",
            "enrollment.place-held",
            (
                "Место ждёт ребёнка",
                (
                    "Место в группе «Шахматы, первый год» держится до 10 сентября 2020 года.\n"
                    "До этого дня организация должна принять заявление. Потом место освободится."
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
                    "Ребёнок зачислен. "
                    "Договор действует с 1 сентября 2020 года по 31 декабря 2020 года.\n"
                    "С сертификата на занятия забронировано 8 043,96 ₽. Доплата семьи: 0,00 ₽."
                ),
            ),
            id="dates and sums",
        ),
        pytest.param(
            "enrollment-ended",
            "enrollment.enrollment-ended",
            (
                "Договор закончился",
                (
                    "Последний день договора: 15 октября 2020 года. "
                    "Причина: так решил представитель ребёнка.\n"
                    "Если в брони остались деньги, они вернутся на сертификат. "
                    "Об этом мы напишем.\n"
                    "Потратить их можно до конца срока сертификата. "
                    "Потом остаток вернётся в бюджет."
                ),
            ),
            id="a cause in words",
        ),
        pytest.param(
            "reserve-released-late",
            "billing.reserve-released",
            (
                "Остаток брони вернётся в бюджет",
                (
                    "Бронь по договору снята, в ней оставалось 7 541,10 ₽.\n"
                    "Срок этих денег закончился, потратить их уже нельзя. Они вернутся в бюджет."
                ),
            ),
            id="what came back too late",
        ),
        pytest.param(
            "invoice-issued",
            "billing.invoice-issued",
            ("Счёт составлен", "Счёт за сентябрь 2020 года: 502,86 ₽."),
            id="a month",
        ),
        pytest.param(
            "nominal-changed",
            "certificates.nominal-changed",
            (
                "Сумма сертификата изменилась",
                "Было 10 000,00 ₽, стало 12 000,00 ₽. Причина: Номинал категории повышен.",
            ),
            id="a reason gets its full stop",
        ),
        pytest.param(
            "of-the-town",
            "billing.lesson-charged",
            (BARE.title, "Ребёнок был на занятии 2 сентября: списано 251,49 ₽."),
            id="a template nobody wrote gives the reason",
        ),
        pytest.param(
            "lesson-charged",
            "billing.period-expired",
            (BARE.title, "Что произошло, видно в личном кабинете."),
            id="a template the fact cannot fill, and no reason",
        ),
    ],
)
def test_texts(template: str, fact: str, expected: tuple[str, str]) -> None:
    assert plain(text_of(load_templates(), template, [example(fact)])) == expected


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (0, "Осталось 0 оплаченных занятий"),
        (1, "Осталось 1 оплаченное занятие"),
        (2, "Осталось 2 оплаченных занятия"),
        (5, "Осталось 5 оплаченных занятий"),
        (11, "Осталось 11 оплаченных занятий"),
        (21, "Осталось 21 оплаченное занятие"),
        (112, "Осталось 112 оплаченных занятий"),
    ],
)
def test_numbers_take_their_noun_with_them(left: int, expected: str) -> None:
    fact = {**example("billing.lesson-charged"), "lessons_left": left}

    text = text_of(load_templates(), "lessons-left-low", [fact])

    assert text.title.replace(NO_BREAK_SPACE, " ") == expected


def test_nobody_is_promised_what_may_not_be_so() -> None:
    facts = samples()

    ends_soon = text_of(load_templates(), "period-ends-soon", facts["period-ends-soon"])
    overdue = text_of(load_templates(), "application-overdue", facts["application-overdue"])

    # Enrollment may be closed, the certificate frozen; days may have been passed over.
    assert "если запись открыта и сертификат не приостановлен" in ends_soon.body
    assert "можно потратить" not in ends_soon.body
    assert "5 дней или дольше" in overdue.body


def test_of_several_facts_the_later_one_speaks() -> None:
    templates = {"one": parse("Заголовок\n{valid_until}, {purse.balance_kopecks}.\n")}
    facts: list[dict[str, object]] = [
        {"valid_until": "2020-12-31", "purse": {"balance_kopecks": 100}},
        {"purse": {"balance_kopecks": 250}},
    ]

    assert plain(text_of(templates, "one", facts)) == (
        "Заголовок",
        "31 декабря 2020 года, 2,50 ₽.",
    )


@pytest.mark.parametrize(
    ("facts", "lines", "last"),
    [
        (1, 1, "• Ребёнок был на занятии 2 сентября: списано 251,49 ₽."),
        (LINES_MAX, LINES_MAX, "• Ребёнок был на занятии 2 сентября: списано 251,49 ₽."),
        (LINES_MAX + 1, LINES_MAX + 1, "• И ещё 1 запись в личном кабинете."),
        (LINES_MAX + 22, LINES_MAX + 1, "• И ещё 22 записи в личном кабинете."),
    ],
)
def test_a_digest_has_a_line_for_each_fact_up_to_a_limit(facts: int, lines: int, last: str) -> None:
    text = text_of(load_templates(), DIGEST, [example("billing.lesson-charged")] * facts)

    assert plain(text)[1].split("\n")[-1] == last
    assert text.body.count("• ") == lines


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (4, "• Ребёнок был на занятии 2 сентября: списано 251,49 ₽."),
        (
            3,
            "• Ребёнок был на занятии 2 сентября: списано 251,49 ₽. Осталось 3 оплаченных занятия.",
        ),
        (
            1,
            "• Ребёнок был на занятии 2 сентября: списано 251,49 ₽. Осталось 1 оплаченное занятие.",
        ),
    ],
)
def test_a_digest_says_when_few_lessons_are_left(left: int, expected: str) -> None:
    fact = {**example("billing.lesson-charged"), "lessons_left": left}

    assert plain(text_of(load_templates(), DIGEST, [fact]))[1].split("\n")[-1] == expected


@pytest.mark.parametrize("word", sorted(DEBITS - {DISPUTE_UPHELD}))
def test_what_a_digest_gathers_tells_in_its_line_what_happened(word: str) -> None:
    text = text_of(load_templates(), DIGEST, [example(word)])

    assert BARE.body not in text.body
    assert "₽" in text.body


def test_a_page_says_what_the_text_says_and_nothing_else_can_get_in() -> None:
    fact = {**example("certificates.certificate-frozen"), "reason": "<b>Проверка</b>"}

    page = letter("certificate-frozen", [fact]).html

    assert "Причина: &lt;b&gt;Проверка&lt;/b&gt;." in page
    assert "<b>" not in page
    assert "http" not in page, "a letter loads nothing"


def test_a_short_message_that_is_too_long_is_cut_between_words() -> None:
    fact = {**example("certificates.certificate-frozen"), "reason": "очень " * 60}

    short = letter("certificate-frozen", [fact]).short

    assert len(short) <= SHORT_CHARACTERS_MAX
    assert short.endswith("очень… Подробнее в личном кабинете.")


def test_what_a_fact_says_is_not_filled_again() -> None:
    templates = {"one": parse("Заголовок\n{reason}.\n")}

    text = text_of(templates, "one", [{"reason": "Сумма {amount_kopecks}", "amount_kopecks": 1}])

    assert text == Text("Заголовок", "Сумма {amount_kopecks}.")


def test_a_month_is_written_alike_wherever_a_family_or_a_provider_reads_it() -> None:
    month = "сентябрь 2020\N{NO-BREAK SPACE}года"

    in_message = text_of(load_templates(), "invoice-issued", [example("billing.invoice-issued")])

    assert month in in_message.body
    assert month_name(Month("2020-09")) == month
    assert wording.month("2020-09") == month
