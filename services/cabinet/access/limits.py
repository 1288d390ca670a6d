"""How often somebody may try: so many at once, then so many a minute. In this process alone."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address

ADDRESSES_MAX = 10_000
LOG_INS_A_MINUTE = 30
"""Log-ins begun or ended from one address; a class of pupils' parents may share one."""
MISSES_A_MINUTE = 60
"""What one person or machine, or address of those not known, asked for and did not get: not there,
not theirs, not known. What is asked at /verify counts apart."""

_MINUTE_SECONDS = 60.0


class TooOftenError(Exception):
    """Somebody tried too often; `seconds` says when to come again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


class Limit:
    """A bucket of tries for each address, filled again evenly."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise TooOftenError if an address has no try left."""
        left, _ = self._standing(address)
        if left < 1:
            seconds = math.ceil((1 - left) * _MINUTE_SECONDS / self._a_minute)
            raise TooOftenError(seconds)

    def take(self, address: str) -> None:
        """Take a try from an address. Raises TooOftenError if it has none left."""
        self.check(address)
        self.count(address)

    def count(self, address: str) -> None:
        """Take a try from an address."""
        left, now = self._standing(address)
        key = _key(address)
        self._left[key] = (max(left - 1, 0.0), now)
        self._left.move_to_end(key)
        if len(self._left) > ADDRESSES_MAX:
            self._left.popitem(last=False)

    def _standing(self, address: str) -> tuple[float, float]:
        now = self._clock()
        left, since = self._left.get(_key(address), (float(self._a_minute), now))
        gained = (now - since) * self._a_minute / _MINUTE_SECONDS
        return min(left + gained, float(self._a_minute)), now


def _key(address: str) -> str:
    """Return what stands for an address: of IPv6 the network, which one customer has whole."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(int(found) >> 64)
