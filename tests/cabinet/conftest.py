"""What every test of the cabinet may ask for."""

import pytest

from tests.cabinet import story
from tests.cabinet.journals import Journals


@pytest.fixture
async def journals() -> Journals:
    """A cabinet that knows the whole story."""
    told = await Journals().start()
    await story.tell_all(told)
    await told.follow()
    return told
