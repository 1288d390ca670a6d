"""What OpenAPI tells is true: schemathesis asks all it allows, and what it does not."""

import asyncio
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig

from services.cabinet.api.openapi import PATH
from tests.cabinet import story
from tests.cabinet.clients import app_of
from tests.cabinet.journals import Journals


async def told_journals() -> Journals:
    """Return a cabinet that knows the whole story."""
    journals = await Journals().start()
    await story.tell_all(journals)
    await journals.follow()
    return journals


CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20200901,
        "generation": {"max-examples": 12, "deterministic": True, "database": "none"},
        "operations": [
            {
                # An event that its schema allows may come from no source, or name another subject
                # than its data: between fields JSON Schema says nothing.
                "include-operation-id": "events_api_v1_events_post",
                # A batch of too many is refused by 413, which is not among the usual refusals.
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ["202", "422"]},
                    "negative_data_rejection": {"expected-statuses": ["400", "413", "415", "422"]},
                },
            }
        ],
    }
)
APP = app_of(asyncio.run(told_journals()))
SCHEMA = schemathesis.openapi.from_asgi(PATH, APP, config=CONFIG)


@SCHEMA.parametrize()
def test_each_answer_is_one_that_openapi_tells(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
