"""Codes of printed certificates: the number and a keyed check, so that nobody can make one up.

The check is 50 bits of HMAC-SHA-256: who tries a thousand codes a second needs 18,000 years for an
even chance on one number.
"""

import base64
import hmac
import re
from dataclasses import dataclass
from hashlib import sha256

CHECK_LENGTH = 10
SANDBOX_KEY = "sandbox: everybody knows this key"

_CODE = re.compile(rf"([0-9]{{10}})-?([A-Z2-7]{{{CHECK_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class Codes:
    """Makes and checks codes. `key` is secret: whoever has it can print certificates."""

    key: str

    def code_of(self, number: str) -> str:
        """Return the code of a certificate by its number: ``7010000157-ABCDEFGH23``."""
        return f"{number}-{self._check(number)}"

    def number_of(self, code: str) -> str | None:
        """Return the number a code stands for, None if it was never printed with this key."""
        match = _CODE.fullmatch(re.sub(r"\s", "", code).upper())
        if match is None or not hmac.compare_digest(match[2], self._check(match[1])):
            return None
        return match[1]

    def _check(self, number: str) -> str:
        about = f"certificate/{number}".encode()
        digest = hmac.new(self.key.encode(), about, sha256).digest()
        return base64.b32encode(digest).decode()[:CHECK_LENGTH]
