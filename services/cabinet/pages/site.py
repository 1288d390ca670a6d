"""What all pages have in common: templates, headers, and the answers when nothing can be shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import Path as InPath
from fastapi import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rulebook.wording import rubles
from services.cabinet.access.gate import Visitor
from services.cabinet.pages.family import BAR_GAP, BAR_WIDTH
from services.cabinet.pages.freshness import is_said
from services.cabinet.region import Region

FOLDER = Path(__file__).parent.parent

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    # Nobody else learns of our addresses; our own forms say where they come from.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
}

FILE_HEADERS: Mapping[str, str] = {
    name: HEADERS[name] for name in ("cache-control", "referrer-policy", "x-content-type-options")
}
"""Those of a file."""


def attached(name: str) -> dict[str, str]:
    """Return the headers of a file that is to be saved under a name."""
    return {"content-disposition": f'attachment; filename="{name}"', **FILE_HEADERS}


_HTTPS_ALONE = {"strict-transport-security": "max-age=31536000"}

STRANGER = Visitor()

Id = Annotated[str, InPath(max_length=40, pattern=r"^[a-z0-9-]+$")]


class Site:
    """Makes pages. `invented`: names are made up; `papers`: there is something to print.

    `push_key`: by what browsers know who sends them messages; None where nobody does.
    `stand_in`: families enter here what they enter in the Navigator elsewhere; `leaving`: and give
    up places; `contacts`: and say where messages reach them. `disputes`: they may say here that
    they do not agree with a debit. `region`: names of places and benefits. `https`: browsers
    are told to come by it alone.
    """

    def __init__(
        self,
        *,
        sandbox: bool,
        invented: bool,
        papers: bool,
        push_key: str | None = None,
        stand_in: bool = False,
        leaving: bool = False,
        contacts: bool = False,
        region: Region = Region(),  # noqa: B008 - frozen
        disputes: bool = False,
        https: bool = False,
    ) -> None:
        self._headers = {**HEADERS, **(_HTTPS_ALONE if https else {})}
        self.sandbox = sandbox
        self.stand_in = stand_in
        self.region = region
        self._shown = {
            "sandbox": sandbox,
            "invented": invented,
            "papers": papers,
            "push_key": push_key,
            "stand_in": stand_in,
            "leaving": leaving,
            "contacts": contacts,
            "disputes": disputes,
        }
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters["rubles"] = rubles
        self._environment.filters["municipality"] = region.municipality
        self._environment.globals.update(bar_width=BAR_WIDTH, bar_gap=BAR_GAP)

    def page(
        self, name: str, status: int = 200, *, who: Visitor = STRANGER, **shown: Any
    ) -> Response:
        """Return a page, for who asks: it shows who that is, and its forms are theirs.

        `trouble` is a FormError, or nothing: why the form of the page was not taken.
        """
        shown = {"is_behind": is_said(), "trouble": None} | shown
        content = self._environment.get_template(name).render(who=who, **shown, **self._shown)
        return Response(content, status, media_type="text/html", headers=self._headers)

    def missing(self, who: Visitor = STRANGER, status: int = 404) -> Response:
        """Return that something is not there, or not theirs: nobody can tell which.

        405 and 422 are about the address alone.
        """
        return self.page("missing.html", status, who=who, code=status)

    def problem(
        self, text: str, status: int = 422, *, who: Visitor = STRANGER, back: str = ""
    ) -> Response:
        """Return why a form was not taken, and where to go on.

        `back` is a path: the page to open anew. What was typed is lost: a form in which something
        can be corrected is shown again instead (`pages/forms.py`).
        """
        return self.page("problem.html", status, who=who, problem=text, back=back)

    def closed(self, status: int = 403) -> Response:
        """Return that there is no log-in yet."""
        return self.page("closed.html", status)

    def unavailable(self) -> Response:
        """Return that the store does not answer."""
        return self.page("unavailable.html", 503)
