"""Prints `deploy/example.env`: every setting, its meaning, its default.

python -m deploy.example_env > deploy/example.env
"""

import textwrap
from typing import Any

from pydantic.fields import FieldInfo

from services.cabinet.access.settings import LogInSettings
from services.notifications.senders.settings import SenderSettings
from streaming.settings import OIDC_PREFIX, PREFIX, SENDERS_PREFIX, Settings

WIDTH = 98
HEAD = """\
# The settings of a process: environment variables, all of them optional.
# Made by `python -m deploy.example_env > deploy/example.env`; a test keeps it current.
#
# A wrong or unknown PFDO_ variable stops the start with its name and the remedy.
# Any of them can come from a file: PFDO_X_FILE=/run/secrets/x instead of PFDO_X.
# deploy/compose.yaml sets what a deployment needs; this file is for other ways to run.
"""
LOG_IN_HEAD = """\
# --- The cabinet's log-in (`pfdo run`, or `pfdo run --services cabinet`) ---
"""
SENDERS_HEAD = """\
# --- Senders: what carries messages out (`pfdo run`, or `pfdo run --services senders`) ---
"""


def example_env() -> str:
    """Return the content of the file."""
    return "\n".join(
        [
            HEAD,
            *(_entry(PREFIX, name, field) for name, field in Settings.model_fields.items()),
            LOG_IN_HEAD,
            *(
                _entry(OIDC_PREFIX, name, field)
                for name, field in LogInSettings.model_fields.items()
            ),
            SENDERS_HEAD,
            *(
                _entry(SENDERS_PREFIX, name, field)
                for name, field in SenderSettings.model_fields.items()
            ),
        ]
    )


def _entry(prefix: str, name: str, field: FieldInfo) -> str:
    comment = textwrap.wrap(
        f"{field.description}.", WIDTH, initial_indent="# ", subsequent_indent="# "
    )
    return "\n".join([*comment, f"#{prefix}{name.upper()}={_as_text(field.default)}", ""])


def _as_text(default: Any) -> str:
    if default is None:
        return ""
    return str(int(default)) if isinstance(default, bool) else str(default)


if __name__ == "__main__":
    print(example_env(), end="")
