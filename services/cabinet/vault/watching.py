"""Whether the vault answers, and how much it holds: no journal could bring it back."""

import asyncio
import time

from services.cabinet.vault.store import VaultUnavailableError
from services.cabinet.vault.vault import Vault
from streaming.telemetry import Telemetry

LOOK_SECONDS = 5.0


async def watch(vault: Vault, telemetry: Telemetry) -> None:
    """Tell it in metrics, for ever."""
    trouble_seconds = telemetry.unsettled_seconds.labels("vault", "")
    answered_at = time.monotonic()
    while True:
        try:
            records, room = await vault.records(), await vault.room()
        except VaultUnavailableError as error:
            trouble_seconds.set(time.monotonic() - answered_at)
            telemetry.log.warning("the vault does not answer", error=str(error))
        else:
            answered_at = time.monotonic()
            trouble_seconds.set(0)
            telemetry.vault_memory.set(room.used_bytes)
            telemetry.vault_memory_max.set(room.max_bytes)
            if records is not None:
                telemetry.vault_records.set(records)
        await asyncio.sleep(LOOK_SECONDS)
