"""A process under fire may have ended before the next fault strikes it."""

import signal
from pathlib import Path

from tests.chaos.processes import Replica


async def test_who_has_ended_is_struck_by_nothing(tmp_path: Path) -> None:
    replica = Replica("enrollment", 1, tmp_path, {"PFDO_PARTITIONS": "none"})
    replica.start()
    code = await replica.ended()

    replica.signal(signal.SIGSTOP)

    assert code not in (0, None)
    assert not replica.is_paused
    assert not replica.is_stopped()
    assert replica.exit_code == code
