"""Which vault an installation has, by its settings."""

from services.cabinet.vault.invented import invent
from services.cabinet.vault.sealing import SANDBOX_KEYS, MasterKeys
from services.cabinet.vault.store import VaultStore
from services.cabinet.vault.vault import Vault
from streaming.errors import SettingError
from streaming.redis_client import Login
from streaming.settings import Settings
from streaming.valkey import EmbeddedValkey


def vault_of(settings: Settings) -> Vault | None:
    """Return the vault, not yet open; None where there are no keys: pages show ids then.

    In the sandbox it works without keys, with one that everybody knows, and invents people.
    Raises SettingError.
    """
    keys = settings.vault_keys
    if keys is None and not settings.sandbox:
        return None
    url = settings.vault_redis_url
    if url is None and settings.uses_kafka and not settings.sandbox:
        raise SettingError(
            "PFDO_VAULT_REDIS_URL is missing: personal data need a Redis of their own, which is "
            "backed up. No journal can bring them back."
        )
    login = Login(
        username=settings.redis_username, password=settings.redis_password, ca=settings.redis_ca
    )
    server = url or EmbeddedValkey(settings.data / "vault")
    return Vault(
        VaultStore(server, login=login, allow_unsafe=settings.sandbox),
        MasterKeys.parse(SANDBOX_KEYS if keys is None else keys.get_secret_value()),
        invent=invent if settings.sandbox else None,
    )
