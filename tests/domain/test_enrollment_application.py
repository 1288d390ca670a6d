"""Applications: one row per situation, each side of each boundary, the order of the checks."""

from datetime import date
from itertools import combinations
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.vocabulary import (
    ApplicationRefusal,
    ChildId,
    Consent,
    EnrollmentId,
    GuardianId,
    InputRefusal,
    PlaceAnswer,
    Registry,
    TerminatedBy,
)
from services.enrollment.domain import application
from services.enrollment.domain.application import Status, Waiting, evolve
from services.enrollment.domain.commands import (
    PlaceAnswered,
    PlaceRequested,
    PlaceReturned,
    To,
)
from services.enrollment.domain.facts import (
    ApplicationRefused,
    ApplicationRegistered,
    ApplicationWaitlisted,
    ChildEnrolled,
    EnrollmentCancelled,
    EnrollmentEnded,
    PlaceHeld,
)
from tests.domain.enrollment_samples import (
    APPLICATION,
    CHESS,
    CHILD,
    HOME,
    PAYER,
    RULES,
    TERMS,
    TODAY,
    admission,
    child,
    enrollment,
    terms,
)

ALL = (Consent.APPLICATION, Consent.TERMS, Consent.PERSONAL_DATA)


def submit(*, already: bool = False, birth: date | None = None, **changes: Any) -> Any:
    asked = replace(APPLICATION, **changes)
    applicant = CHILD if birth is None else child(birth_date=birth)
    return application.submit(
        asked, applicant, payer=PAYER, day=TODAY, rules=RULES, already_enrolled=already
    )


def reason(effects: Any) -> str | None:
    refused = [effect for effect in effects if isinstance(effect, ApplicationRefused)]
    return refused[0].reason.value if refused else None


def test_an_application_is_registered_and_a_place_is_asked_for() -> None:
    assert submit(waitlist_ok=True) == (
        ApplicationRegistered(
            enrollment_id=CHESS,
            child_id=CHILD.child_id,
            group_id=TERMS.group_id,
            guardian_id=GuardianId("guard-one"),
        ),
        To(
            HOME,
            PlaceRequested(
                enrollment_id=CHESS, child_payer=PAYER, group_id=TERMS.group_id, waitlist_ok=True
            ),
        ),
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, None, id="all is well"),
        pytest.param({"guardian_id": GuardianId("guard-two")}, None, id="another guardian"),
        pytest.param(
            {"guardian_id": GuardianId("guard-x")}, "guardian_not_linked", id="a stranger"
        ),
        pytest.param({"consents": ALL[:2]}, "consent_missing", id="personal data missing"),
        pytest.param({"consents": ALL[1:]}, "consent_missing", id="application missing"),
        pytest.param({"consents": (ALL[0], ALL[2])}, "consent_missing", id="terms missing"),
        pytest.param({"parent_share_max_kopecks": 1}, "consent_missing", id="one kopeck to pay"),
        pytest.param(
            {"parent_share_max_kopecks": 1, "consents": (*ALL, Consent.PARENT_SHARE)},
            None,
            id="the parent agreed to pay",
        ),
        pytest.param({"birth": date(2015, 9, 1)}, "too_young", id="five tomorrow"),
        pytest.param({"birth": date(2015, 8, 31)}, None, id="five today"),
        pytest.param({"birth": date(2002, 9, 1)}, None, id="eighteen tomorrow"),
        pytest.param({"birth": date(2002, 8, 31)}, "too_old", id="eighteen today"),
        pytest.param({"birth": date(2030, 1, 1)}, "too_young", id="a birth date in the future"),
        pytest.param({"already": True}, "already_enrolled", id="already in this group"),
    ],
)
def test_who_may_apply(changes: dict[str, Any], expected: str | None) -> None:
    assert reason(submit(**changes)) == expected


FAILURES: list[tuple[str, dict[str, Any]]] = [
    ("guardian_not_linked", {"guardian_id": GuardianId("guard-x")}),
    ("consent_missing", {"consents": ()}),
    ("too_young", {"birth": date(2019, 1, 1)}),
    ("already_enrolled", {"already": True}),
]


@pytest.mark.parametrize(("first", "second"), list(combinations(FAILURES, 2)))
def test_of_two_failures_the_first_is_given(first: Any, second: Any) -> None:
    assert reason(submit(**first[1], **second[1])) == first[0]


def test_a_refusal_by_a_table_says_which_rule_and_how_old_the_child_is() -> None:
    (refused,) = submit(birth=date(2016, 1, 1))

    assert refused.why["table"] == "enrollment.age"
    assert refused.why["row"] == "young"
    assert "Ребёнку ещё нет 5 лет" in refused.why["text"]
    assert "4\u00a0года" in refused.why["text"]


def held(**changes: Any) -> PlaceAnswered:
    return PlaceAnswered(enrollment_id=CHESS, answer=PlaceAnswer.HELD, terms=terms(**changes))


def answered(answer: PlaceAnswered, status: Status = Status.REQUESTED, **looked: Any) -> Any:
    return application.answered(enrollment(status), answer, lambda _: admission(**looked))


def returned(effects: Any) -> list[To]:
    return [e for e in effects if isinstance(e, To) and isinstance(e.command, PlaceReturned)]


@pytest.mark.parametrize("status", [Status.REQUESTED, Status.WAITLISTED])
def test_a_place_is_held_for_ten_days(status: Status) -> None:
    assert answered(held(), status) == (
        PlaceHeld(
            enrollment_id=CHESS, child_id=CHILD.child_id, terms=TERMS, held_until=date(2020, 9, 10)
        ),
    )


@pytest.mark.parametrize(
    ("group", "looked", "expected"),
    [
        pytest.param({}, {}, None, id="all is well"),
        pytest.param({"registry": Registry.GENERAL}, {}, "not_certified", id="not certified"),
        pytest.param({}, {"period": None}, "outside_period", id="no period"),
        pytest.param(
            {"starts_on": date(2020, 8, 1), "ends_on": date(2020, 8, 31)},
            {},
            "outside_period",
            id="the group ends today, an agreement begins tomorrow",
        ),
        pytest.param(
            {"starts_on": date(2020, 8, 1), "ends_on": date(2020, 9, 1)},
            {},
            None,
            id="one day is left",
        ),
        pytest.param(
            {"age_max": 17},
            {"child": child(birth_date=date(2002, 9, 1))},
            "outside_period",
            id="grown up on the first day",
        ),
        pytest.param(
            {"age_max": 17},
            {"child": child(birth_date=date(2002, 9, 2))},
            None,
            id="grown up on the second day",
        ),
        pytest.param({}, {"closes_on": TODAY}, "enrollment_closed", id="closed since today"),
        pytest.param({}, {"closes_on": date(2020, 9, 1)}, None, id="closed from tomorrow"),
        pytest.param({}, {"frame_signed": False}, "no_frame_agreement", id="no frame agreement"),
        pytest.param({"age_min": 11}, {}, "age_outside_group", id="a year too young"),
        pytest.param({"age_min": 10}, {}, None, id="just old enough"),
        pytest.param({"age_max": 10}, {}, None, id="just young enough"),
        pytest.param({"age_max": 9, "age_min": 5}, {}, "age_outside_group", id="a year too old"),
    ],
)
def test_who_gets_a_held_place(
    group: dict[str, Any], looked: dict[str, Any], expected: str | None
) -> None:
    effects = answered(held(**group), **looked)

    assert reason(effects) == expected
    assert len(returned(effects)) == (expected is not None)


HELD_FAILURES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("not_certified", {"registry": Registry.OTHER}, {}),
    ("outside_period", {}, {"period": None}),
    ("enrollment_closed", {}, {"closes_on": TODAY}),
    ("no_frame_agreement", {}, {"frame_signed": False}),
    ("age_outside_group", {"age_min": 11}, {}),
]


@pytest.mark.parametrize(("first", "second"), list(combinations(HELD_FAILURES, 2)))
def test_of_two_reasons_against_a_place_the_first_is_given(first: Any, second: Any) -> None:
    effects = answered(held(**{**second[1], **first[1]}), **{**second[2], **first[2]})

    assert reason(effects) == first[0]


@pytest.mark.parametrize("refusal", ["group_full", "group_closed", "provider_suspended"])
def test_a_refused_place_refuses_the_application_and_gives_nothing_back(refusal: str) -> None:
    answer = PlaceAnswered(
        enrollment_id=CHESS, answer=PlaceAnswer.REFUSED, reason=ApplicationRefusal(refusal)
    )

    effects = answered(answer)

    assert reason(effects) == refusal
    assert returned(effects) == []
    assert effects[0].why["text"].endswith(".")


def test_a_full_group_lets_wait() -> None:
    answer = PlaceAnswered(enrollment_id=CHESS, answer=PlaceAnswer.WAITLISTED, position=3)

    assert answered(answer) == (
        ApplicationWaitlisted(enrollment_id=CHESS, child_id=CHILD.child_id, position=3),
    )


@pytest.mark.parametrize("status", [Status.REFUSED, Status.CANCELLED])
def test_a_place_that_comes_too_late_is_given_back(status: Status) -> None:
    effects = answered(held(), status)

    assert reason(effects) is None
    assert len(returned(effects)) == len(effects) == 1


def test_acceptance_enrolls_the_child() -> None:
    effects = application.accept(enrollment(Status.HELD), admission(closes_on=TODAY))

    assert effects == (
        ChildEnrolled(
            enrollment_id=CHESS,
            child_id=CHILD.child_id,
            terms=TERMS,
            starts_on=date(2020, 9, 1),
            ends_on=date(2020, 12, 31),
            period=effects[0].period,  # type: ignore[union-attr]
            parent_share_max_kopecks=APPLICATION.parent_share_max_kopecks,
            guardian_id=APPLICATION.guardian_id,
        ),
    )
    assert effects[0].period == "2020"


@pytest.mark.parametrize(
    ("expected", "looked"),
    [
        pytest.param(
            "guardian_not_linked",
            {"child": child(guardian_ids=(GuardianId("guard-two"),))},
            id="the guardian acts for the child no longer",
        ),
        pytest.param("too_old", {"child": child(birth_date=date(2002, 1, 1))}, id="too old"),
        pytest.param(
            "too_young", {"child": child(birth_date=date(2016, 1, 1))}, id="corrected age"
        ),
        pytest.param("outside_period", {"period": None}, id="no period for the new first day"),
        pytest.param("no_frame_agreement", {"frame_signed": False}, id="frame agreement ended"),
        pytest.param(
            "age_outside_group",
            {"child": child(birth_date=date(2007, 8, 31))},
            id="grew out of the group",
        ),
    ],
)
def test_acceptance_makes_the_checks_anew(expected: str, looked: dict[str, Any]) -> None:
    effects = application.accept(enrollment(Status.HELD), admission(**looked))

    assert reason(effects) == expected
    assert len(returned(effects)) == 1


REFUSED, ANSWER = InputRefusal.ALREADY_FINISHED, Waiting.ANSWER
NOT_WAITING = InputRefusal.NOT_AWAITING_ACCEPTANCE


@pytest.mark.parametrize(
    ("status", "accepting", "giving_up", "terminating"),
    [
        pytest.param(Status.REQUESTED, ANSWER, ANSWER, ANSWER, id="a place is asked for"),
        pytest.param(Status.WAITLISTED, Waiting.PLACE, None, None, id="waitlisted"),
        pytest.param(Status.HELD, None, None, None, id="held"),
        pytest.param(Status.ENROLLED, ANSWER, ANSWER, ANSWER, id="funds are awaited"),
        pytest.param(Status.ACTIVE, NOT_WAITING, NOT_WAITING, None, id="active"),
        pytest.param(Status.ENDED, REFUSED, REFUSED, REFUSED, id="ended"),
        pytest.param(Status.REFUSED, REFUSED, REFUSED, REFUSED, id="refused"),
        pytest.param(Status.CANCELLED, REFUSED, REFUSED, REFUSED, id="cancelled"),
    ],
)
def test_what_can_be_decided_about_an_enrollment(
    status: Status, accepting: Any, giving_up: Any, terminating: Any
) -> None:
    known = enrollment(status)

    assert application.hindrance_to_accepting(known) is accepting
    assert application.hindrance_to_giving_up(known) is giving_up
    assert application.hindrance_to_terminating(known) is terminating


def test_giving_up_gives_the_place_back() -> None:
    known = enrollment(Status.HELD)

    rejected = application.reject(known, "Не подходит расписание.", TerminatedBy.PROVIDER)
    withdrawn = application.withdraw(known)
    expired = application.expire(known)

    assert [reason(one) for one in (rejected, withdrawn, expired)] == [
        "rejected_by_provider",
        "withdrawn",
        "hold_expired",
    ]
    assert all(len(returned(one)) == 1 for one in (rejected, withdrawn, expired))
    text = rejected[0].why["text"]  # type: ignore[union-attr]
    assert "Не подходит расписание. Выберите" in text
    assert "10\u00a0сентября 2020" in expired[0].why["text"]  # type: ignore[union-attr]


def test_each_fact_leads_to_its_status() -> None:
    who: Any = {"enrollment_id": EnrollmentId("enr-chess"), "child_id": ChildId("child-one")}
    refusal: Any = {"reason": ApplicationRefusal.WITHDRAWN, "why": {"text": "Отозвано."}}
    known = enrollment(Status.REQUESTED)
    place_held = answered(held())[0]

    held_now = evolve(known, place_held, TODAY)

    assert (held_now.status, held_now.held_on, held_now.terms) == (Status.HELD, TODAY, TERMS)
    refused = evolve(known, ApplicationRefused(**who, **refusal), TODAY)
    assert refused.status is Status.REFUSED
    cancelled = evolve(enrollment(Status.ENROLLED), EnrollmentCancelled(**who, **refusal), TODAY)
    assert cancelled.status is Status.CANCELLED
    waits = evolve(known, ApplicationWaitlisted(**who, position=1), TODAY)
    assert waits.status is Status.WAITLISTED
    enrolled = application.accept(held_now, admission())[0]
    assert isinstance(enrolled, ChildEnrolled)
    assert evolve(held_now, enrolled, TODAY).status is Status.ENROLLED
    end = EnrollmentEnded(**who, ended_on=TODAY, cause="provider")  # type: ignore[arg-type]
    ended = evolve(enrollment(Status.ACTIVE), end, TODAY)
    assert (ended.status, ended.ended_on) == (Status.ENDED, TODAY)
