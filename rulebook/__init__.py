"""Decision tables with effective dates: rules that an official paper can change, kept as data.

Domain code imports the pure parts by their own names (`rulebook.overlay`, `rulebook.evaluate`,
`rulebook.explain`, `rulebook.errors`); only the edge needs what reads files.
"""

from rulebook.errors import (
    InputInvalidError,
    NotInForceError,
    Problem,
    RulebookError,
    RulesInvalidError,
    UnknownTableError,
)
from rulebook.evaluate import Decision, evaluate
from rulebook.explain import explain, inputs_from_text, show, why
from rulebook.loading import Rulebook, check_paths
from rulebook.model import Table, Version
from rulebook.overlay import NO_OVERLAYS, Overlays, PayerRules, decide, publish, version_in_force

__all__ = [
    "NO_OVERLAYS",
    "Decision",
    "InputInvalidError",
    "NotInForceError",
    "Overlays",
    "PayerRules",
    "Problem",
    "Rulebook",
    "RulebookError",
    "RulesInvalidError",
    "Table",
    "UnknownTableError",
    "Version",
    "check_paths",
    "decide",
    "evaluate",
    "explain",
    "inputs_from_text",
    "publish",
    "show",
    "version_in_force",
    "why",
]
