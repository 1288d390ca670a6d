"""What the cabinet makes of the journals. Pure: the runtime loads, folds and saves.

Importing this package registers all projectors in `cabinet`.
"""

from services.cabinet.projections import (
    certificates,
    disputes,
    enrollments,
    groups,
    marks,
    messages,
    money,
    preferences,
    rules,
    terms,
)
from services.cabinet.projections.projection import cabinet

__all__ = [
    "cabinet",
    "certificates",
    "disputes",
    "enrollments",
    "groups",
    "marks",
    "messages",
    "money",
    "preferences",
    "rules",
    "terms",
]
