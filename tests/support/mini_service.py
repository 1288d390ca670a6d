"""A service small enough to see the runtime through it: a child asks, and gets an answer.

It notes children, decides `certificate-freeze-set` (waits for the child; the reason `closed` is
refused; else answers with a fact), does due work the next day, and sends nothing to others.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct
from msgspec.structs import replace

from contracts.calendar import DayOpened
from contracts.certificates import CertificateFrozen, CertificateRefused
from contracts.navigator import ChildRegistered
from contracts.payers import CertificateFreezeSet
from streaming.service import Effects, Later, Outcome, Refuse, Service, Wait, WaitForDay
from streaming.view import State, View

PARKING_DAYS = 30
PUT_OFF_TO = date(2020, 9, 10)
NUMBER = "7010000018"


class Child(Struct, frozen=True, kw_only=True):
    """What is known of a child, and how many answers it got."""

    born_on: date
    answers: int = 0
    remind_on: date | None = None
    note: str = ""


class Answered(Struct, frozen=True, kw_only=True):
    """The child was answered."""

    child_id: str
    reason: str
    why: Mapping[str, str]


class Reminded(Struct, frozen=True, kw_only=True):
    """The next day came."""

    child_id: str
    certificate_number: str
    reason: str


def mini_service() -> Service:
    """Return a fresh one; it goes by the name of certificates, whose topics it reads."""
    service = Service(
        name="certificates",
        state_version=1,
        kinds={"child": Child},
        facts={Answered: CertificateRefused, Reminded: CertificateFrozen},
        calendar=DayOpened,
        opened_day=lambda opened: opened.date,
    )

    @service.notes(ChildRegistered)
    def child_registered(event: ChildRegistered, view: View) -> Outcome:
        del event, view
        return ()

    @service.learns(ChildRegistered)
    def learn_child(event: ChildRegistered, state: State) -> None:
        known = state.find(Child, event.child_id) or Child(born_on=event.birth_date)
        state.put(event.child_id, replace(known, born_on=event.birth_date))
        state.wake(f"child:{event.child_id}")

    @service.decides(CertificateFreezeSet)
    def freeze_set(event: CertificateFreezeSet, view: View) -> Outcome:
        child = view.find(Child, event.child_id)
        if event.reason == "broken":
            raise RuntimeError("a defect")
        if event.reason == "closed":
            return Refuse("unknown_period", "it is closed")
        if event.reason == "tomorrow" and view.day <= date(2020, 8, 31):
            return WaitForDay(date(2020, 9, 1))
        if child is None and view.given_up:
            return Refuse("unknown_child")
        if child is None:
            return Wait(f"child:{event.child_id}", view.first_day + timedelta(days=PARKING_DAYS))
        answered = Answered(
            child_id=event.child_id, reason="too_young", why={"text": f"Ответ {child.answers + 1}"}
        )
        return (answered,)

    @service.evolves(Answered)
    def answered(fact: Answered, state: State) -> None:
        child = state.get(Child, fact.child_id)
        remind_on = child.remind_on or state.day + timedelta(days=1)
        state.put(fact.child_id, replace(child, answers=child.answers + 1, remind_on=remind_on))
        if child.remind_on is None:
            state.due_on("remind", remind_on, fact.child_id)

    @service.due("remind", rank=3)
    def remind(ref: str, view: View) -> Effects | Later:
        if ref.endswith("later") and view.day < PUT_OFF_TO:
            return Later(PUT_OFF_TO)
        if ref.endswith("silent"):
            return ()
        return (Reminded(child_id=ref, certificate_number=NUMBER, reason="Напоминание"),)

    @service.evolves(Reminded)
    def reminded(fact: Reminded, state: State) -> None:
        # A reminder that was put off stands under its later day.
        for due_on in (state.get(Child, fact.child_id).remind_on, PUT_OFF_TO):
            if due_on is not None:
                state.not_due("remind", due_on, fact.child_id)
        state.add("reminded", fact.child_id)

    return service
