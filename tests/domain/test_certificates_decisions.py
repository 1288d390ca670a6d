"""Decisions about certificates, one row per situation; then an auditor counts again."""

from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.vocabulary import (
    BenefitCode,
    CategoryId,
    CertificateNumber,
    CertificateRefusal,
    CertificateState,
    ChildId,
    EnrollmentId,
    GuardianId,
    InputRefusal,
    IssueMode,
    Kopecks,
    PayerCode,
    PeriodId,
    QueueReason,
)
from rulebook.loading import Rulebook
from rulebook.overlay import PayerRules
from services.certificates.domain import rules
from services.certificates.domain.category import Category, Held, Limits, cost_of_raise
from services.certificates.domain.certificate import Certificate, Grant
from services.certificates.domain.child import Child
from services.certificates.domain.decisions import (
    Answer,
    Case,
    Holder,
    Waiting,
    answer_enrollment,
    answer_request,
    category_of,
    close_grown_up,
    follow_correction,
    freeze,
    move_queue,
    raise_nominals,
    set_category,
)
from services.certificates.domain.facts import (
    CertificateClosed,
    CertificateFrozen,
    CertificateFunded,
    CertificateIssued,
    CertificateQueued,
    CertificateRefused,
    CertificateRenewed,
    CertificateUnfrozen,
    Fact,
    NominalChanged,
)
from services.certificates.domain.number import Counter
from services.certificates.domain.period import DEFAULT_POLICY, Period, Policy, parked_until

RULES = PayerRules(Rulebook.load("services.certificates").tables)
TODAY = date(2020, 8, 30)
YEAR = Period(starts_on=date(2020, 1, 1), ends_on=date(2020, 12, 31))
NEXT_YEAR = Period(starts_on=date(2021, 1, 1), ends_on=date(2021, 12, 31))
LIMITS = Limits(
    nominal_kopecks=Kopecks(1_000_000), places_max=15, budget_max_kopecks=Kopecks(100_000_000)
)
OPEN = Category(limits=LIMITS)
FULL = replace(OPEN, holders=15, granted_kopecks=Kopecks(15_000_000))
NUMBER = CertificateNumber("7030000017")
ANNA = ChildId("anna")
CHESS = EnrollmentId("chess")
GENERAL = CategoryId("general")
P2020 = PeriodId("2020")
CERTIFICATE = Certificate(number=NUMBER, closes_on=date(2028, 5, 1))
WITH_MONEY = Grant(
    category=GENERAL, state=CertificateState.FUNDED, nominal_kopecks=Kopecks(1_000_000)
)
NO_MONEY = Grant(category=GENERAL, state=CertificateState.ACCOUNTING, nominal_kopecks=Kopecks(0))
WAITING = replace(NO_MONEY, turn="1/anna/7030000017")
ON_REQUEST = Policy(issue_mode=IssueMode.ON_REQUEST)
GRACE = timedelta(days=10)


def case(
    born: str = "2010-05-01",
    day: date = TODAY,
    period: Period = YEAR,
    category: Category = OPEN,
    certificate: Certificate | None = None,
    grant: Grant | None = None,
    benefits: tuple[str, ...] = (),
    issued: int = 0,
) -> Case:
    child = Child(
        birth_date=date.fromisoformat(born),
        guardian_ids=(GuardianId("guardian-1"),),
        benefits=tuple(BenefitCode(code) for code in benefits),
    )
    return Case(
        payer=PayerCode("25703000"),
        day=day,
        child_id=ANNA,
        child=child,
        period_id=P2020,
        period=period,
        certificate=certificate,
        grant=grant,
        age=rules.age(RULES, day, child),
        kind=rules.category(RULES, day, child),
        category=category,
        counter=Counter(issued=issued),
    )


def outline(answer: Answer) -> list[tuple[str, object]] | InputRefusal:
    """Return what happened and the one word that tells it apart."""
    if isinstance(answer, InputRefusal):
        return answer
    return [_outlined(fact) for fact in answer]


def _outlined(fact: Fact) -> tuple[str, object]:
    match fact:
        case CertificateIssued() | CertificateRenewed():
            return type(fact).__name__, (fact.state.value, fact.nominal_kopecks)
        case CertificateQueued():
            return "CertificateQueued", (fact.position, fact.why["row"])
        case CertificateFunded():
            return "CertificateFunded", fact.nominal_kopecks
        case CertificateRefused():
            return "CertificateRefused", fact.reason.value
        case NominalChanged():
            return "NominalChanged", (fact.previous_kopecks, fact.nominal_kopecks)
        case CertificateClosed() | CertificateFrozen() | CertificateUnfrozen():
            return type(fact).__name__, fact.reason


ISSUED = ("CertificateIssued", ("FUNDED", 1_000_000))
WITHOUT = ("CertificateIssued", ("ACCOUNTING", 0))
FIRST_IN_LINE = ("CertificateQueued", (1, "no_vacancy"))
TOO_YOUNG = ("CertificateRefused", "too_young")
TOO_OLD = ("CertificateRefused", "too_old")


@pytest.mark.parametrize(
    ("asked", "policy", "expected"),
    [
        pytest.param(case(), DEFAULT_POLICY, [ISSUED], id="a vacancy"),
        pytest.param(
            case(category=FULL), DEFAULT_POLICY, [WITHOUT, FIRST_IN_LINE], id="all places taken"
        ),
        pytest.param(
            case(category=replace(FULL, queued=4)),
            DEFAULT_POLICY,
            [WITHOUT, ("CertificateQueued", (5, "no_vacancy"))],
            id="others wait",
        ),
        pytest.param(
            case(category=Category()),
            DEFAULT_POLICY,
            [WITHOUT, ("CertificateQueued", (1, "category_not_set"))],
            id="the payer has not spoken of the category",
        ),
        pytest.param(case(), ON_REQUEST, [WITHOUT], id="on request only: not queued"),
        pytest.param(
            case(category=FULL), ON_REQUEST, [WITHOUT], id="on request only, full: not queued"
        ),
        pytest.param(case(grant=WITH_MONEY), DEFAULT_POLICY, [], id="it has one"),
        pytest.param(case(grant=NO_MONEY), DEFAULT_POLICY, [], id="it has one without money"),
        pytest.param(case("2015-08-31"), DEFAULT_POLICY, [TOO_YOUNG], id="five tomorrow"),
        pytest.param(case("2015-08-30"), DEFAULT_POLICY, [ISSUED], id="five today"),
        pytest.param(case("2002-08-31"), DEFAULT_POLICY, [ISSUED], id="eighteen tomorrow"),
        pytest.param(case("2002-08-30"), DEFAULT_POLICY, [TOO_OLD], id="eighteen today"),
        pytest.param(
            case("2002-08-30"), ON_REQUEST, [TOO_OLD], id="eighteen today, on request only"
        ),
        pytest.param(
            case("2015-08-31", certificate=CERTIFICATE, grant=WITH_MONEY),
            DEFAULT_POLICY,
            [],
            id="what is there is not refused",
        ),
        pytest.param(
            case(certificate=CERTIFICATE, period=NEXT_YEAR, day=date(2021, 1, 10)),
            DEFAULT_POLICY,
            [("CertificateRenewed", ("FUNDED", 1_000_000))],
            id="a later period renews it",
        ),
        pytest.param(
            case(certificate=CERTIFICATE, category=FULL),
            DEFAULT_POLICY,
            [("CertificateRenewed", ("ACCOUNTING", 0)), FIRST_IN_LINE],
            id="a later period without vacancy",
        ),
        pytest.param(
            case(certificate=replace(CERTIFICATE, closed=True)),
            DEFAULT_POLICY,
            [TOO_OLD],
            id="a closed certificate is not renewed",
        ),
        pytest.param(
            case(day=date(2021, 1, 1), category=FULL),
            DEFAULT_POLICY,
            [WITHOUT],
            id="answered after the period: the queue has ended",
        ),
    ],
)
def test_an_enrolled_child(asked: Case, policy: Policy, expected: list[tuple[str, object]]) -> None:
    assert outline(answer_enrollment(asked, policy, CHESS)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(case(), [ISSUED], id="a vacancy"),
        pytest.param(case(category=FULL), [WITHOUT, FIRST_IN_LINE], id="all places taken"),
        pytest.param(case(grant=WITH_MONEY), [], id="it has money"),
        pytest.param(case(grant=WAITING, category=FULL), [], id="it waits already"),
        pytest.param(
            case(grant=NO_MONEY, certificate=CERTIFICATE),
            [("CertificateFunded", 1_000_000)],
            id="an old one is funded",
        ),
        pytest.param(
            case(grant=NO_MONEY, certificate=CERTIFICATE, category=FULL),
            [FIRST_IN_LINE],
            id="an old one is queued",
        ),
        pytest.param(
            case(grant=NO_MONEY, certificate=replace(CERTIFICATE, closed=True)),
            [],
            id="a closed one gets nothing",
        ),
        pytest.param(
            case("2015-08-31", grant=NO_MONEY, certificate=CERTIFICATE),
            [TOO_YOUNG],
            id="as if it were new: the age counts again",
        ),
        pytest.param(case("2015-08-31"), [TOO_YOUNG], id="five tomorrow"),
        pytest.param(case("2015-08-30"), [ISSUED], id="five today"),
        pytest.param(case("2002-08-31"), [ISSUED], id="eighteen tomorrow"),
        pytest.param(case("2002-08-30"), [TOO_OLD], id="eighteen today"),
        pytest.param(
            case("2003-01-01", period=NEXT_YEAR), [TOO_OLD], id="eighteen when the period begins"
        ),
        pytest.param(
            case("2003-01-02", period=NEXT_YEAR), [ISSUED], id="entitled for the first day of it"
        ),
        pytest.param(case(day=date(2020, 12, 31)), [ISSUED], id="the last day of the period"),
        pytest.param(
            case(day=date(2021, 1, 1)), InputRefusal.PERIOD_CLOSED, id="the day after the period"
        ),
        pytest.param(
            case(day=date(2021, 1, 1), grant=WITH_MONEY), [], id="after the period, it has money"
        ),
    ],
)
def test_a_request(asked: Case, expected: list[tuple[str, object]] | InputRefusal) -> None:
    assert outline(answer_request(asked)) == expected


@pytest.mark.parametrize(
    ("asked", "valid_from", "valid_until"),
    [
        pytest.param(case(), "2020-08-30", "2020-12-31", id="from the day of issue"),
        pytest.param(case(period=NEXT_YEAR), "2021-01-01", "2021-12-31", id="ahead of its period"),
        pytest.param(case("2002-09-15"), "2020-08-30", "2020-09-14", id="until the 18th birthday"),
        pytest.param(case("2002-12-31"), "2020-08-30", "2020-12-30", id="born on New Year's Eve"),
        pytest.param(case("2003-01-01"), "2020-08-30", "2020-12-31", id="born on New Year"),
        pytest.param(
            case("2004-02-29", period=NEXT_YEAR, day=date(2021, 9, 1)),
            "2021-09-01",
            "2021-12-31",
            id="29 February, a year before the end",
        ),
        pytest.param(
            case(day=date(2021, 1, 2)), "2020-12-31", "2020-12-31", id="answered after the period"
        ),
    ],
)
def test_how_long_a_certificate_is_valid(asked: Case, valid_from: str, valid_until: str) -> None:
    (issued, *_) = answer_enrollment(asked, DEFAULT_POLICY, CHESS)

    assert isinstance(issued, CertificateIssued)
    assert (issued.valid_from.isoformat(), issued.valid_until.isoformat()) == (
        valid_from,
        valid_until,
    )


def test_an_enrollment_is_refused_by_its_id_and_a_request_without() -> None:
    (by_enrollment,) = answer_enrollment(case("2015-08-31"), DEFAULT_POLICY, CHESS)
    by_request = answer_request(case("2015-08-31"))

    assert isinstance(by_enrollment, CertificateRefused)
    assert by_enrollment.enrollment_id == CHESS
    assert by_enrollment.reason is CertificateRefusal.TOO_YOUNG
    assert by_enrollment.why["table"] == "certificates.age"
    assert by_request == (replace(by_enrollment, enrollment_id=None),)


def test_a_renewal_keeps_the_number_and_a_new_certificate_takes_the_next() -> None:
    (renewed,) = answer_enrollment(case(certificate=CERTIFICATE, issued=14), DEFAULT_POLICY, CHESS)
    (issued,) = answer_enrollment(case(issued=14), DEFAULT_POLICY, CHESS)

    assert isinstance(renewed, CertificateRenewed)
    assert isinstance(issued, CertificateIssued)
    assert (renewed.certificate_number, issued.certificate_number) == ("7030000017", "7030000157")
    assert "7030000017" in renewed.why["text"]
    assert "7030000157" in issued.why["text"]


@pytest.mark.parametrize(
    ("benefits", "category"),
    [
        pytest.param((), "general", id="none"),
        pytest.param(("b02",), "general", id="another"),
        pytest.param(("b07", "b01"), "special", id="the first among others"),
    ],
)
def test_the_category_of_a_child(benefits: tuple[str, ...], category: str) -> None:
    assert category_of(case(benefits=benefits).kind) == category


@pytest.mark.parametrize(
    ("category", "words"),
    [
        pytest.param(OPEN, "его номинал 10\u00a0000,00\u00a0₽", id="money"),
        pytest.param(FULL, "все места категории заняты, их 15", id="places"),
        pytest.param(
            replace(OPEN, holders=10, granted_kopecks=Kopecks(99_600_000)),
            "осталось 4\u00a0000,00\u00a0₽, а номинал 10\u00a0000,00\u00a0₽",
            id="budget",
        ),
        pytest.param(
            replace(OPEN, granted_kopecks=Kopecks(100_000_001)),
            "осталось 0,00\u00a0₽",
            id="a budget that corrections overdrew",
        ),
        pytest.param(Category(), "ещё не установил номинал", id="not set"),
    ],
)
def test_the_family_reads_the_numbers(category: Category, words: str) -> None:
    (issued, *_) = answer_enrollment(case(category=category), DEFAULT_POLICY, CHESS)

    assert isinstance(issued, CertificateIssued)
    assert words in issued.why["text"]
    assert issued.why["text"].endswith(".")
    assert ".." not in issued.why["text"]


# --- vacancy -----------------------------------------------------------------------------------

W7 = Limits(
    nominal_kopecks=Kopecks(1_000_000), places_max=200, budget_max_kopecks=Kopecks(100_000_000)
)


@pytest.mark.parametrize(
    ("holders", "granted", "obstacle"),
    [
        pytest.param(99, 99_000_000, None, id="W7: the last kopeck is granted"),
        pytest.param(99, 99_000_001, QueueReason.NO_VACANCY, id="W7: one kopeck too much"),
        pytest.param(199, 0, None, id="the last place is given"),
        pytest.param(200, 0, QueueReason.NO_VACANCY, id="there is no further place"),
        pytest.param(201, 0, QueueReason.NO_VACANCY, id="more holders than places after a cut"),
    ],
)
def test_a_vacancy(holders: int, granted: int, obstacle: QueueReason | None) -> None:
    category = Category(limits=W7, holders=holders, granted_kopecks=Kopecks(granted))

    assert category.obstacle is obstacle


def test_a_closed_certificate_frees_its_place_and_not_its_money() -> None:
    category = replace(FULL, granted_kopecks=Kopecks(99_000_001))

    left = category.after_leaving()

    assert left.holders == 14
    assert left.obstacle is QueueReason.NO_VACANCY
    assert "в бюджете" in str(answer_enrollment(case(category=left), DEFAULT_POLICY, CHESS)[0].why)  # type: ignore[union-attr]


# --- the payer's words -------------------------------------------------------------------------


def held(*certificates: tuple[int, int]) -> list[Held]:
    return [
        Held(nominal_kopecks=Kopecks(nominal), certificates=count)
        for nominal, count in certificates
    ]


def test_a_raise_costs_the_difference_of_those_who_hold_less() -> None:
    assert cost_of_raise(held((8, 2), (9, 3), (10, 5), (11, 7)), Kopecks(10)) == 2 * 2 + 3 * 1


@pytest.mark.parametrize(
    ("granted", "held_by", "nominal", "budget", "day", "expected"),
    [
        pytest.param(100, [(10, 10)], 12, 120, "2020-09-01", (), id="to the last kopeck"),
        pytest.param(
            100,
            [(10, 10)],
            12,
            119,
            "2020-09-01",
            InputRefusal.WOULD_EXCEED_BUDGET,
            id="a kopeck too much",
        ),
        pytest.param(100, [], 12, 50, "2020-09-01", (), id="lower caps take nothing away"),
        pytest.param(
            100, [(10, 10)], 10, 50, "2020-09-01", (), id="the same nominal costs nothing"
        ),
        pytest.param(100, [(10, 10)], 9, 50, "2020-09-01", (), id="a lower nominal costs nothing"),
        pytest.param(0, [], 10, 50, "2021-01-10", (), id="the last day of grace"),
        pytest.param(
            0, [], 10, 50, "2021-01-11", InputRefusal.PERIOD_CLOSED, id="the day after the grace"
        ),
        pytest.param(
            100,
            [(10, 10)],
            12,
            50,
            "2021-01-11",
            InputRefusal.PERIOD_CLOSED,
            id="both: the books are closed",
        ),
    ],
)
def test_setting_a_category(
    granted: int,
    held_by: list[tuple[int, int]],
    nominal: int,
    budget: int,
    day: str,
    expected: Answer,
) -> None:
    limits = Limits(
        nominal_kopecks=Kopecks(nominal), places_max=99, budget_max_kopecks=Kopecks(budget)
    )

    answer = set_category(
        YEAR,
        Category(limits=LIMITS, granted_kopecks=Kopecks(granted)),
        limits,
        held(*held_by),
        day=date.fromisoformat(day),
        grace=GRACE,
    )

    assert answer == expected


@pytest.mark.parametrize(
    ("certificate", "frozen", "has_agreement", "expected"),
    [
        pytest.param(None, True, False, InputRefusal.UNKNOWN_CERTIFICATE, id="no certificate"),
        pytest.param(None, True, True, InputRefusal.UNKNOWN_CERTIFICATE, id="that comes first"),
        pytest.param(None, False, False, InputRefusal.UNKNOWN_CERTIFICATE, id="nothing to free"),
        pytest.param(
            CERTIFICATE, True, True, InputRefusal.HAS_ACTIVE_AGREEMENT, id="an agreement is active"
        ),
        pytest.param(CERTIFICATE, True, False, [("CertificateFrozen", "Проверка")], id="frozen"),
        pytest.param(replace(CERTIFICATE, frozen=True), True, False, [], id="it is frozen already"),
        pytest.param(CERTIFICATE, False, True, [], id="it is not frozen"),
        pytest.param(
            replace(CERTIFICATE, frozen=True),
            False,
            True,
            [("CertificateUnfrozen", "Проверка")],
            id="freed in spite of an agreement",
        ),
        pytest.param(
            replace(CERTIFICATE, closed=True),
            True,
            False,
            [],
            id="a closed one has nothing to lose",
        ),
    ],
)
def test_freezing(
    certificate: Certificate | None,
    frozen: bool,
    has_agreement: bool,
    expected: list[tuple[str, object]] | InputRefusal,
) -> None:
    answer = freeze(
        ANNA, certificate, frozen=frozen, reason="Проверка", has_agreement=has_agreement
    )

    assert outline(answer) == expected


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        pytest.param(-400_000, [("NominalChanged", (1_000_000, 600_000))], id="less"),
        pytest.param(1, [("NominalChanged", (1_000_000, 1_000_001))], id="more"),
        pytest.param(0, [], id="the same"),
    ],
)
def test_a_correction_is_followed_by_the_difference(
    difference: int, expected: list[tuple[str, object]]
) -> None:
    assert outline(follow_correction(ANNA, NUMBER, P2020, WITH_MONEY, difference)) == expected


# --- what falls due ----------------------------------------------------------------------------


def test_a_raise_reaches_those_who_hold_less() -> None:
    holders = [
        Holder(child_id=ChildId(f"child-{n}"), number=NUMBER, nominal_kopecks=Kopecks(nominal))
        for n, nominal in enumerate((999_999, 1_000_000, 1_000_001))
    ]

    assert outline(raise_nominals(P2020, OPEN, holders)) == [
        ("NominalChanged", (999_999, 1_000_000))
    ]


def queue(length: int) -> list[Waiting]:
    return [Waiting(child_id=ChildId(f"child-{n}"), number=NUMBER) for n in range(length)]


@pytest.mark.parametrize(
    ("category", "waiting", "funded"),
    [
        pytest.param(FULL, 1, 0, id="no vacancy"),
        pytest.param(replace(FULL, holders=13), 3, 2, id="two places"),
        pytest.param(replace(FULL, holders=13), 1, 1, id="more places than who wait"),
        pytest.param(Category(), 1, 0, id="not set yet"),
        pytest.param(
            replace(OPEN, granted_kopecks=Kopecks(98_000_000)), 3, 2, id="as far as the budget goes"
        ),
        pytest.param(
            replace(OPEN, granted_kopecks=Kopecks(98_000_001)), 3, 1, id="one kopeck is missing"
        ),
    ],
)
def test_the_queue_moves(category: Category, waiting: int, funded: int) -> None:
    facts = move_queue(GENERAL, category, P2020, queue(waiting))

    assert [fact.child_id for fact in facts] == [f"child-{n}" for n in range(funded)]


def test_a_grown_up_has_no_certificate() -> None:
    assert outline(close_grown_up(ANNA, CERTIFICATE)) == [("CertificateClosed", "aged-out")]


def test_what_came_too_early_waits_thirty_days() -> None:
    assert parked_until(date(2020, 8, 30)) == date(2020, 9, 29)


# --- an auditor --------------------------------------------------------------------------------

limits = st.builds(
    Limits,
    nominal_kopecks=st.integers(0, 20).map(Kopecks),
    places_max=st.integers(0, 6),
    budget_max_kopecks=st.integers(0, 60).map(Kopecks),
)


@given(limits, st.integers(0, 12), st.integers(0, 12))
def test_no_grant_exceeds_places_or_budget(caps: Limits, held_before: int, waiting: int) -> None:
    before = Category(limits=caps, holders=held_before, granted_kopecks=Kopecks(held_before * 3))

    facts = move_queue(GENERAL, before, P2020, queue(waiting))

    spent = held_before * 3 + len(facts) * caps.nominal_kopecks
    if facts:
        assert held_before + len(facts) <= caps.places_max
        assert spent <= caps.budget_max_kopecks
    if len(facts) < waiting:
        assert (
            held_before + len(facts) + 1 > caps.places_max
            or spent + caps.nominal_kopecks > caps.budget_max_kopecks
        )


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(0, 30), st.integers(0, 400))
def test_a_raise_that_is_allowed_stays_within_the_budget(
    nominals: list[int], nominal: int, budget: int
) -> None:
    counts: Mapping[int, int] = {amount: nominals.count(amount) for amount in nominals}
    caps = Limits(
        nominal_kopecks=Kopecks(nominal), places_max=99, budget_max_kopecks=Kopecks(budget)
    )
    before = Category(holders=len(nominals), granted_kopecks=Kopecks(sum(nominals)))

    answer = set_category(YEAR, before, caps, held(*counts.items()), day=TODAY, grace=GRACE)

    after = [max(nominal, amount) for amount in nominals]
    allowed = after == nominals or sum(after) <= budget
    assert (answer == ()) == allowed
