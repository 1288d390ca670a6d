"""Where there is no Navigator: a family enters a child, looks for a group, applies for a place.

Names go into the vault before anything goes to the bus; the bus gets ids alone. What is sent goes
through the intake of the API as the source `families`, and is answered once the bus has it.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.cabinet.access.gate import NotHereError, Visitor, form_of, needs, path_of
from services.cabinet.access.limits import Limit
from services.cabinet.access.policy import Action, Resource
from services.cabinet.api.problems import ProblemError
from services.cabinet.club_queries import GROUPS_READ_MAX, ClubQueries
from services.cabinet.pages import clubs as shown
from services.cabinet.pages.forms import NOTHING, OLD, Fields, FormError, fields_of
from services.cabinet.pages.people import People
from services.cabinet.pages.site import Id, Site
from services.cabinet.queries import Answer
from services.cabinet.sending import Sending
from services.cabinet.vault.store import VaultUnavailableError
from services.cabinet.vault.vault import Reader
from streaming.errors import BusUnavailableError, StoreUnavailableError

FORM_BYTES_MAX = 16 * 1024
FORMS_A_MINUTE = 10
"""So many forms of a family are taken a minute: each may enter a person, or ask for a place."""
AWAITED_SECONDS_MAX = 120
"""So long a page says that what was sent is on its way; then that it did not work."""

Word = Annotated[str, Query(max_length=20, pattern=r"^[a-z]*$")]
Code = Annotated[str, Query(max_length=8, pattern=r"^[0-9]*$")]
Text = Annotated[str, Query(max_length=80)]
ChildKey = Annotated[str, Query(max_length=49, pattern=r"^[a-z0-9-]*(\.[0-9]{8})?$")]
EnrollmentId = Annotated[str, Query(max_length=40, pattern=r"^[a-z0-9-]*$")]
Age = Annotated[str, Query(max_length=2, pattern=r"^[0-9]*$")]
Page = Annotated[int, Query(ge=0, le=1_000)]
Since = Annotated[int, Query(ge=0)]
Own = Annotated[Visitor, needs(Resource.CLUBS, Action.READ, guardian="guardian_id")]
Entering = Annotated[
    Visitor,
    needs(Resource.CLUBS, Action.WRITE, form_bytes_max=FORM_BYTES_MAX, guardian="guardian_id"),
]


def router(queries: ClubQueries, people: People, site: Site, sending: Sending) -> APIRouter:
    """Return the pages that stand in for the Navigator."""
    pages = APIRouter(prefix="/families/{guardian_id}", include_in_schema=False)
    forms = Limit(FORMS_A_MINUTE)

    async def send(event: Mapping[str, Any], then: str, who: Visitor, back: str) -> Response:
        try:
            await sending.send([event])
        except ProblemError as error:
            if error.status in (429, 503):
                return site.unavailable()
            return site.problem(OLD, who=who, back=back)
        except (BusUnavailableError, StoreUnavailableError):
            return site.unavailable()
        return RedirectResponse(then, 303)

    async def names_of(children: list[Answer], guardian_id: str) -> dict[str, str]:
        known = await people.find(
            {each["child_id"]: guardian_id for each in children},
            Reader(by=guardian_id, why="clubs"),
        )
        return {id_: person.given_name for id_, person in known.items()}

    # --- a child -------------------------------------------------------------------------------

    async def child_page(
        guardian_id: str,
        who: Visitor,
        fields: Fields = NOTHING,
        trouble: FormError | None = None,
    ) -> Response:
        content: dict[str, Any] = {
            "guardian_id": guardian_id,
            "payers": site.region.in_order(await queries.payer_codes()),
            "benefits": list(site.region.benefits.items()),
            "today": await queries.business_day(),
            "can_enter": people.can_enter,
            "trouble": trouble,
        }
        content |= shown.child_form(fields, _token())
        return site.page("child_new.html", 200 if trouble is None else 422, who=who, **content)

    @pages.get("/children/new")
    async def new_child(guardian_id: Id, who: Own) -> Response:
        return await child_page(guardian_id, who)

    @pages.post("/children")
    async def enter_child(request: Request, guardian_id: Id, who: Entering) -> Response:
        forms.take(guardian_id)
        if not people.can_enter:
            raise NotHereError
        children = await queries.own_children(guardian_id)
        back = f"/families/{guardian_id}/children/new"
        fields: Fields = NOTHING
        try:
            fields = fields_of(form_of(request).decode(errors="replace"), shown.FIELDS_MAX)
            payers, today = await queries.payer_codes(), await queries.business_day()
            entered = shown.read_child(fields, guardian_id, payers, site.region.benefits, today)
            await refuse_known(entered, children, guardian_id)
            # Sent again it is the same person: what was kept the first time stays.
            if all(each["child_id"] != entered.child_id for each in children):
                reader = Reader(by=guardian_id, why="registration")
                await people.enter(entered.child_id, entered.person, reader)
        except FormError as error:
            if not error.field:
                return site.problem(str(error), who=who, back=back)
            return await child_page(guardian_id, who, fields, error)
        except VaultUnavailableError:
            return site.unavailable()
        event = shown.child_event(entered, guardian_id, _now())
        then = f"/families/{guardian_id}/clubs?since={_seconds()}&child={entered.child_id}"
        return await send(event, then, who, back)

    async def refuse_known(
        entered: shown.Entered, children: list[Answer], guardian_id: str
    ) -> None:
        """Raise FormError for a child that is there already, and for too many."""
        others = [each for each in children if each["child_id"] != entered.child_id]
        if len(others) >= shown.CHILDREN_MAX:
            raise FormError("Детей записано слишком много. Обратитесь в муниципалитет.")
        same_day = [each for each in others if each["birth_date"] == entered.birth_date.isoformat()]
        known = await people.find(
            {each["child_id"]: guardian_id for each in same_day},
            Reader(by=guardian_id, why="registration"),
        )
        if any(person.full_name == entered.person.full_name for person in known.values()):
            text = "Этот ребёнок уже записан. Если это другой, проверьте имя и день рождения."
            raise FormError(text, "given-name")

    # --- groups --------------------------------------------------------------------------------

    @pages.get("/clubs")
    async def clubs(
        guardian_id: Id,
        who: Own,
        child: ChildKey = "",
        home: Code = "",
        direction: Word = "",
        q: Text = "",
        free: Word = "",
        age: Age = "",
        page: Page = 0,
        since: Since = 0,
    ) -> Response:
        children = await queries.own_children(guardian_id)
        chosen = _chosen(children, child)
        homes = await queries.homes()
        usual = chosen["payer"] if chosen is not None else ""
        home = home or (usual if usual in homes else (homes[0] if homes else ""))
        wanted = shown.Wanted(
            home=home, direction=direction, title=q.strip(), free=bool(free), age=age, page=page
        )
        groups = await queries.groups_in(home) if home in homes else []
        content = shown.clubs_page(groups, wanted, chosen, await queries.business_day())
        return site.page(
            "clubs.html",
            who=who,
            guardian_id=guardian_id,
            children=children,
            keys=shown.keys_of(children),
            names=await names_of(children, guardian_id),
            child=chosen,
            awaited=child if child and chosen is None else "",
            since=since,
            is_late=_is_late(since),
            homes=site.region.in_order(homes),
            is_cut=len(groups) >= GROUPS_READ_MAX,
            **content,
        )

    async def club_page(
        guardian_id: str,
        group: Answer,
        key: str,
        who: Visitor,
        *,
        sent: str = "",
        since: int = 0,
        changed: bool = False,
        fields: Fields = NOTHING,
        trouble: FormError | None = None,
    ) -> Response:
        children = await queries.own_children(guardian_id)
        chosen = _chosen(children, key)
        applied = [] if chosen is None else await queries.applied(chosen, group)
        offered = None if chosen is None else await queries.offer(chosen, group)
        content = shown.club_page(group, chosen, offered, applied, await queries.business_day())
        content |= shown.application_form(content["offer"], fields, _token(), changed=changed)
        awaited = bool(sent) and sent not in {each["enrollment_id"] for each in applied}
        return site.page(
            "club.html",
            422 if trouble is not None or changed else 200,
            who=who,
            guardian_id=guardian_id,
            names=await names_of(children, guardian_id),
            keys=shown.keys_of(children),
            awaited=awaited and not _is_late(since),
            lost=awaited and _is_late(since),
            since=since,
            here=f"/families/{guardian_id}/clubs/{group['home']}/{group['group_id']}",
            sent=sent,
            trouble=trouble,
            **content,
        )

    @pages.get("/clubs/{home}/{group_id}")
    async def club(
        guardian_id: Id,
        home: Id,
        group_id: Id,
        who: Own,
        child: ChildKey = "",
        sent: EnrollmentId = "",
        since: Since = 0,
    ) -> Response:
        group = await queries.group_at(home, group_id)
        if group is None:
            raise NotHereError
        return await club_page(guardian_id, group, child, who, sent=sent, since=since)

    @pages.post("/clubs/{home}/{group_id}")
    async def apply(
        request: Request,
        guardian_id: Id,
        home: Id,
        group_id: Id,
        who: Entering,
        child: ChildKey = "",
    ) -> Response:
        forms.take(guardian_id)
        group = await queries.group_at(home, group_id)
        own = _chosen(await queries.own_children(guardian_id), child) if child else None
        if group is None or own is None:
            raise NotHereError
        here = f"{path_of(request)}?"
        back = here + urlencode({"child": child})
        fields: Fields = NOTHING
        try:
            fields = fields_of(form_of(request).decode(errors="replace"), shown.FIELDS_MAX)
            applying = shown.read_application(fields)
        except FormError as error:
            if not error.field:
                return site.problem(str(error), who=who, back=back)
            return await club_page(guardian_id, group, child, who, fields=fields, trouble=error)
        applied = await queries.applied(own, group)
        today = await queries.business_day()
        if any(not shown.is_over(each, today) for each in applied):
            return RedirectResponse(back, 303)
        offered = (await queries.offer(own, group))["offer"]
        if offered is None or offered["parent_kopecks"] > applying.share_kopecks:
            # What was agreed to would not do any more: it is to be read anew.
            return await club_page(guardian_id, group, child, who, changed=True, fields=fields)
        event = shown.application_event(own, group, applying, _now())
        then = here + urlencode({"child": child, "since": _seconds(), "sent": event["subject"]})
        return await send(event, then, who, back)

    return pages


def _chosen(children: list[Answer], key: str) -> Answer | None:
    """Return the child that is asked for, or the first; None where that is not there yet."""
    if not key:
        return children[0] if children else None
    child_id, _, payer = key.partition(".")
    found = [each for each in children if each["child_id"] == child_id]
    return next((each for each in found if payer in ("", each["payer"])), None)


def _token() -> str:
    return secrets.token_hex(shown.TOKEN_LENGTH // 2)


def _seconds() -> int:
    return int(datetime.now(UTC).timestamp())


def _is_late(since: int) -> bool:
    """Return whether what was sent ought to be there by now; nobody sent what has no moment."""
    return _seconds() - since > AWAITED_SECONDS_MAX


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
