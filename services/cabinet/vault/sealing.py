"""Sealing: AES-256-GCM with a key for each person, which a master key wraps.

Who destroys a person's key has destroyed all that was sealed with it, wherever copies of it lie.
Nonces are random, 96 bits: a person's key seals a few values, a master key wraps far fewer keys
than the 2^32 that NIST SP 800-38D, section 8.3, allows.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streaming.errors import SettingError

KEY_BYTES = 32
NONCE_BYTES = 12

SANDBOX_KEYS = f"sandbox {base64.b64encode(bytes(KEY_BYTES)).decode()}"
"""Everybody knows this key: what it seals in the sandbox belongs to invented people."""

_LINE = re.compile(r"([a-z0-9-]{1,20})[ \t]+([A-Za-z0-9+/]{43}=)")


class UnknownMasterKeyError(Exception):
    """A key was wrapped by a master key that is not here. `name` is the name of that one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"master key {name} is not here")
        self.name = name


class BrokenSealError(Exception):
    """What was sealed was changed, or belongs to somebody else."""


class MasterKeys:
    """The master keys by name. The last one wraps; the earlier ones only unwrap."""

    def __init__(self, keys: Iterable[tuple[str, bytes]]) -> None:
        self._keys = dict(keys)
        self.newest = list(self._keys)[-1]

    @classmethod
    def parse(cls, text: str) -> "MasterKeys":
        """Return the keys of a file: `name base64-of-32-bytes` a line, the newest last.

        Raises SettingError, which never repeats what stands in the file.
        """
        found: list[tuple[str, bytes]] = []
        for number, line in enumerate(text.strip().splitlines(), 1):
            match = _LINE.fullmatch(line.strip())
            if match is None or match[1] in dict(found):
                raise SettingError(
                    f"PFDO_VAULT_KEYS, line {number}: write a name of its own and 32 random bytes "
                    "in base64, e.g. by: echo k1 $(openssl rand -base64 32)"
                )
            try:
                found.append((match[1], base64.b64decode(match[2], validate=True)))
            except binascii.Error as error:
                raise SettingError(f"PFDO_VAULT_KEYS, line {number}: is no base64.") from error
        if not found:
            raise SettingError("PFDO_VAULT_KEYS holds no key: one line for each, the newest last.")
        return cls(found)

    def new_key(self, person_id: str) -> tuple[bytes, bytes]:
        """Return a new key for a person, and the same wrapped, to be kept."""
        key = secrets.token_bytes(KEY_BYTES)
        return key, self._wrap(key, person_id)

    def unwrap(self, wrapped: bytes, person_id: str) -> bytes:
        """Return a person's key. Raises UnknownMasterKeyError, BrokenSealError."""
        name = wrapper_of(wrapped)
        if name not in self._keys:
            raise UnknownMasterKeyError(name)
        return unseal(self._keys[name], wrapped.partition(b":")[2], f"key/{name}/{person_id}")

    def rewrap(self, wrapped: bytes, person_id: str) -> bytes:
        """Return the same key wrapped by the newest master key. Raises as `unwrap` does."""
        return self._wrap(self.unwrap(wrapped, person_id), person_id)

    def _wrap(self, key: bytes, person_id: str) -> bytes:
        about = f"key/{self.newest}/{person_id}"
        return self.newest.encode() + b":" + seal(self._keys[self.newest], key, about)


def wrapper_of(wrapped: bytes) -> str:
    """Return the name of the master key that wrapped a key."""
    return wrapped.partition(b":")[0].decode(errors="replace")


def seal(key: bytes, content: bytes, about: str) -> bytes:
    """Return content that only the key opens, and only as what it is `about`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, about.encode())


def unseal(key: bytes, sealed: bytes, about: str) -> bytes:
    """Return what was sealed. Raises BrokenSealError."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError) as error:
        raise BrokenSealError(about) from error
