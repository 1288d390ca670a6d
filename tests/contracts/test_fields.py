"""Both sides of every limit of the plain types, `docs/events.md` section 1."""

import datetime as dt
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts import fields
from contracts.attendance import LessonMarked
from contracts.billing import Purse
from contracts.calendar import DayOpened
from contracts.envelope import defect_of_data, describe
from contracts.navigator import ChildRegistered, GroupPublished, PreferencesSet
from contracts.payers import FrameAgreementSet, PeriodOpened, RulesPublished
from contracts.published import Why
from contracts.vocabulary import DeadLetterReason, Mark

MARKED: dict[str, Any] = {
    "enrollment_id": "enr-00001",
    "lesson_id": "les-00001",
    "lesson_date": "2020-09-02",
    "mark": "present",
    "evidence": "qr",
    "revision": 1,
}
GROUP: dict[str, Any] = {
    "group_id": "grp-00001",
    "provider_id": "prov-00001",
    "programme_id": "prog-00001",
    "title": "Шахматы",
    "registry": "certified",
    "direction": "sport",
    "age_min": 7,
    "age_max": 12,
    "capacity": 12,
    "starts_on": "2020-09-01",
    "ends_on": "2021-05-31",
    "lessons_total": 72,
    "price_kopecks": 1_800_000,
    "normative_kopecks": 1_800_000,
    "enrollment_open": True,
    "auto_accept": False,
    "revision": 1,
}
CHILD: dict[str, Any] = {
    "child_id": "child-00001",
    "birth_date": "2011-03-14",
    "guardian_ids": ["guard-00001"],
    "benefits": [],
    "revision": 1,
}

ID, DATE, KOPECKS = fields.ChildId, fields.Date, fields.Kopecks


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(ID, "abc", id="the shortest id"),
        pytest.param(ID, "a" * 40, id="the longest id"),
        pytest.param(ID, "2020", id="an id of digits"),
        pytest.param(fields.PayerCode, "25701000", id="an OKTMO code"),
        pytest.param(DATE, "2020-02-29", id="a leap day"),
        pytest.param(DATE, "9999-12-31", id="the last day that can be written"),
        pytest.param(KOPECKS, 0, id="nothing"),
        pytest.param(KOPECKS, 10**12, id="the greatest sum"),
        pytest.param(fields.SignedKopecks, -(10**12), id="the least movement"),
        pytest.param(fields.Revision, 1, id="the first revision"),
        pytest.param(fields.Text, "я" * 200, id="the longest text"),
        pytest.param(fields.Text, "", id="an empty text"),
        pytest.param(fields.InvoiceId, "inv-25701000-prov-00001-2020-09/1", id="a reference"),
        pytest.param(fields.LineReference, "a" * 80, id="the longest reference"),
        pytest.param(fields.EventId, "A.z_0:-", id="all signs of an event id"),
        pytest.param(fields.EventId, "a" * 64, id="the longest event id"),
        pytest.param(fields.Month, "2020-12", id="December"),
        pytest.param(fields.ClockTime, "23:59", id="the last minute"),
        pytest.param(fields.LessonsTotal, 1000, id="the most lessons"),
        pytest.param(fields.Timestamp, "2020-09-02T17:05:00+08:00", id="a time with offset"),
        pytest.param(fields.Timestamp, "2020-09-02t17:05:60.123456789Z", id="a leap second"),
        pytest.param(fields.BenefitCode, "b01", id="a benefit code"),
    ],
)
def test_what_a_type_takes(kind: Any, value: object) -> None:
    TypeAdapter(kind).validate_python(value, strict=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(ID, "ab", id="an id too short"),
        pytest.param(ID, "a" * 41, id="an id too long"),
        pytest.param(ID, "-abc", id="an id that begins with a hyphen"),
        pytest.param(ID, "Abc", id="an id with a capital"),
        pytest.param(ID, "abc\n", id="an id with a line end"),
        pytest.param(ID, "абв", id="an id in Cyrillic"),
        pytest.param(ID, 123, id="an id that is a number"),
        pytest.param(fields.PayerCode, "2570100", id="seven digits"),
        pytest.param(fields.PayerCode, "257010000", id="nine digits"),
        pytest.param(fields.PayerCode, "2570100٠", id="a digit of another script"),
        pytest.param(fields.PayerCode, 25701000, id="a code that is a number"),
        pytest.param(DATE, "2019-02-29", id="a day that never was"),
        pytest.param(DATE, "20200902", id="a date without hyphens"),
        pytest.param(DATE, "2020-W36-3", id="a week date"),
        pytest.param(DATE, "2020-9-2", id="a date without zeros"),
        pytest.param(DATE, "2020-09-02T00:00:00", id="a date with a time"),
        pytest.param(DATE, "2020-09-02\n", id="a date with a line end"),
        pytest.param(DATE, 1_599_004_800, id="a timestamp"),
        pytest.param(DATE, dt.datetime(2020, 9, 2, tzinfo=dt.UTC), id="a datetime"),
        pytest.param(DATE, None, id="no date"),
        pytest.param(KOPECKS, -1, id="less than nothing"),
        pytest.param(KOPECKS, 10**12 + 1, id="a kopeck too much"),
        pytest.param(KOPECKS, 1.0, id="a float"),
        pytest.param(KOPECKS, "1", id="a sum that is a string"),
        pytest.param(KOPECKS, True, id="a bool"),
        pytest.param(fields.SignedKopecks, -(10**12) - 1, id="a kopeck too little"),
        pytest.param(fields.Revision, 0, id="revision zero"),
        pytest.param(fields.Revision, True, id="a revision that is a bool"),
        pytest.param(fields.Text, "я" * 201, id="a text too long"),
        pytest.param(fields.Text, "a\nb", id="a text of two lines"),
        pytest.param(fields.Text, "a\x00b", id="a text with a zero byte"),
        pytest.param(fields.Text, "a\x9fb", id="a text with a C1 control"),
        pytest.param(fields.InvoiceId, "", id="an empty reference"),
        pytest.param(fields.InvoiceId, "a" * 81, id="a reference too long"),
        pytest.param(fields.InvoiceId, "Inv", id="a reference with a capital"),
        pytest.param(fields.EventId, "", id="an empty event id"),
        pytest.param(fields.EventId, "a" * 65, id="an event id too long"),
        pytest.param(fields.EventId, "a b", id="an event id with a space"),
        pytest.param(fields.Month, "2020-13", id="a thirteenth month"),
        pytest.param(fields.Month, "2020-00", id="a month zero"),
        pytest.param(fields.ClockTime, "24:00", id="a twenty-fifth hour"),
        pytest.param(fields.ClockTime, "8:00", id="an hour without a zero"),
        pytest.param(fields.LessonsTotal, 0, id="no lesson"),
        pytest.param(fields.LessonsTotal, 1001, id="a lesson too many"),
        pytest.param(fields.Timestamp, "2020-09-02T17:05:00", id="a time without offset"),
        pytest.param(fields.Timestamp, "2020-09-02T24:00:00Z", id="a time at hour 24"),
        pytest.param(fields.Timestamp, "2020-02-30T10:00:00Z", id="a time on no day"),
        pytest.param(fields.Timestamp, "2020-09-02 17:05:00Z", id="a time with a space"),
        pytest.param(fields.Timestamp, "2020-09-02T17:05:00+08:60", id="an offset too large"),
        pytest.param(fields.BenefitCode, "b1", id="a benefit code of one digit"),
    ],
)
def test_what_a_type_refuses(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value, strict=True)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"mark": "asleep"}, id="a mark that is not listed"),
        pytest.param({"mark": 1}, id="a mark that is a number"),
        pytest.param({"mark": None}, id="no mark"),
        pytest.param({"revision": "1"}, id="a revision in quotes"),
        pytest.param({"lesson_date": None}, id="no date"),
        pytest.param({"mark": "asleep", "teacher": "x"}, id="a wrong mark and an unknown field"),
    ],
)
def test_data_that_does_not_fit_is_a_defect_of_schema(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        LessonMarked.model_validate(MARKED | change)

    assert defect_of_data(caught.value)[0] is DeadLetterReason.SCHEMA


def test_a_missing_field_is_a_defect_of_schema() -> None:
    data = {name: value for name, value in MARKED.items() if name != "evidence"}

    with pytest.raises(ValidationError) as caught:
        LessonMarked.model_validate(data)

    assert defect_of_data(caught.value) == (
        DeadLetterReason.SCHEMA,
        "evidence: Field required",
    )


def test_an_unknown_field_alone_is_told_apart() -> None:
    with pytest.raises(ValidationError) as caught:
        LessonMarked.model_validate(MARKED | {"teacher": "Имя"})

    reason, detail = defect_of_data(caught.value)
    assert reason is DeadLetterReason.UNKNOWN_FIELD
    assert "teacher" in detail


def test_a_defect_is_told_without_values_in_one_line_of_limited_length() -> None:
    secret = "Ivan-Ivanov"
    many = {f"field\n{number}" + "x" * 300: secret for number in range(20)}

    with pytest.raises(ValidationError) as caught:
        LessonMarked.model_validate(MARKED | many | {"enrollment_id": secret})

    told = describe(caught.value)
    assert secret not in told
    assert "\n" not in told
    assert len(told) <= 500


def test_enums_dates_and_lists_become_ours() -> None:
    marked = LessonMarked.model_validate(MARKED)
    child = ChildRegistered.model_validate(CHILD)

    assert marked.mark is Mark.PRESENT
    assert marked.lesson_date == dt.date(2020, 9, 2)
    assert child.guardian_ids == ("guard-00001",)


def test_an_event_cannot_be_changed() -> None:
    marked = LessonMarked.model_validate(MARKED)

    with pytest.raises(ValidationError, match="frozen"):
        marked.revision = marked.revision


@pytest.mark.parametrize(
    ("model", "base", "change", "fits"),
    [
        pytest.param(GroupPublished, GROUP, {"age_max": 7}, True, id="one year of age"),
        pytest.param(GroupPublished, GROUP, {"age_max": 6}, False, id="ages run backward"),
        pytest.param(GroupPublished, GROUP, {"ends_on": "2020-09-01"}, True, id="a day's group"),
        pytest.param(GroupPublished, GROUP, {"ends_on": "2020-08-31"}, False, id="ends before"),
        pytest.param(GroupPublished, GROUP, {"enrollment_open": 1}, False, id="1 is not true"),
        pytest.param(GroupPublished, GROUP, {"capacity": 0}, True, id="no place"),
        pytest.param(ChildRegistered, CHILD, {"guardian_ids": []}, False, id="no guardian"),
        pytest.param(
            ChildRegistered, CHILD, {"guardian_ids": ["grd"] * 4}, True, id="four guardians"
        ),
        pytest.param(
            ChildRegistered, CHILD, {"guardian_ids": ["grd"] * 5}, False, id="five guardians"
        ),
        pytest.param(
            ChildRegistered, CHILD, {"guardian_ids": "grd"}, False, id="a text is no list"
        ),
        pytest.param(ChildRegistered, CHILD, {"benefits": ["b01"] * 5}, True, id="five benefits"),
        pytest.param(ChildRegistered, CHILD, {"benefits": ["b01"] * 6}, False, id="six benefits"),
        pytest.param(ChildRegistered, CHILD, {"birth_date": "1900-01-01"}, True, id="born 1900"),
        pytest.param(ChildRegistered, CHILD, {"birth_date": "1899-12-31"}, False, id="born 1899"),
        pytest.param(DayOpened, {}, {"date": "2999-12-31"}, True, id="the last business day"),
        pytest.param(DayOpened, {}, {"date": "3000-01-01"}, False, id="a day beyond counting"),
        pytest.param(
            PeriodOpened,
            {"period": "2020", "basis": "", "starts_on": "2020-01-01"},
            {"ends_on": "2019-12-31"},
            False,
            id="a period that ends before it starts",
        ),
        pytest.param(
            FrameAgreementSet,
            {"provider_id": "prov-1", "period": "2020", "state": "signed", "revision": 1},
            {"limit_kopecks": None},
            True,
            id="no limit is said with null",
        ),
        pytest.param(
            FrameAgreementSet,
            {"provider_id": "prov-1", "period": "2020", "state": "signed", "revision": 1},
            {},
            False,
            id="no limit is not said by silence",
        ),
        pytest.param(
            PreferencesSet,
            {"guardian_id": "guard-1", "digest": True, "revision": 1},
            {"channels": {"debit": ["cabinet", "email"]}, "quiet_from": "21:00"},
            True,
            id="channels by category",
        ),
        pytest.param(
            PreferencesSet,
            {"guardian_id": "guard-1", "digest": True, "revision": 1},
            {"channels": {"debit": ["pigeon"]}},
            False,
            id="a channel that is not listed",
        ),
        *(
            pytest.param(
                PreferencesSet,
                {"guardian_id": "guard-1", "digest": True, "revision": 1, "channels": {}},
                {"utc_offset": offset},
                fits,
                id=f"a zone of {offset}",
            )
            for offset, fits in (
                ("-13:45", True),
                ("+05:30", True),
                ("+14:00", True),
                ("+14:15", False),
                ("-14:00", False),
                ("+08:01", False),
                ("08:00", False),
                ("Asia/Irkutsk", False),
            )
        ),
    ],
)
def test_what_a_model_takes_and_refuses(
    model: Any, base: dict[str, Any], change: dict[str, Any], fits: bool
) -> None:
    def reading() -> None:
        model.model_validate(base | change)

    if fits:
        reading()
    else:
        with pytest.raises(ValidationError):
            reading()


def test_a_purse_must_add_up_to_the_kopeck() -> None:
    purse = {
        "nominal_kopecks": 1_000_000,
        "balance_kopecks": 195_604,
        "reserved_kopecks": 779_247,
        "paid_kopecks": 25_149,
        "expired_kopecks": 0,
    }

    Purse.model_validate(purse)
    with pytest.raises(ValidationError, match="nominal must be"):
        Purse.model_validate(purse | {"paid_kopecks": 25_150})


def test_a_word_of_python_stays_itself_on_the_wire() -> None:
    why = Why(from_=dt.date(2020, 9, 1), text="Ребёнок был на занятии")

    assert why.to_data() == {"from": "2020-09-01", "text": "Ребёнок был на занятии"}
    assert Why.model_validate(why.to_data()) == why


def test_a_source_cannot_use_the_name_python_has_for_a_field() -> None:
    data = {"table": "billing.charging", "published": "2020-09-21", "basis": "", "rows": []}

    RulesPublished.model_validate(data | {"from": "2020-10-01"})
    with pytest.raises(ValidationError):
        RulesPublished.model_validate(data | {"from_": "2020-10-01"})
